"""What the decorators ask of numba, numba does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numba.core.caching import NullCache
from numpy.typing import NDArray

from stream_ml.jit import kernel, lean_kernel


class Two(NamedTuple):
    """What a kernel is given."""

    first: NDArray[np.float64]
    second: NDArray[np.float64]


def chosen(two, n):
    """Holds one of two arrays, and then views of it."""
    array = two.first
    for i in range(n):
        array = two.second[i:] if array[0] > 0 else two.first[i:]
    return array[0]


@pytest.mark.parametrize(("decorator", "counts"), [(kernel, True), (lean_kernel, False)])
def test_a_lean_kernel_counts_no_references(decorator, counts):
    compiled = decorator(chosen)
    compiled._cache = NullCache()
    assert compiled(Two(np.array([1.0, 2.0]), np.array([3.0, 4.0])), 2) == 4.0
    [llvm] = compiled.inspect_llvm().values()
    body = "\n".join(line for line in llvm.splitlines() if not line.startswith("declare"))
    assert ("NRT_incref" in body) == counts


def test_what_is_called_by_kernels_alone_has_no_entry_for_python():
    @kernel
    def inner(value):
        return value + 1

    @kernel
    def outer(value):
        return inner(value)

    assert outer(2) == 3
    assert len(outer.signatures) == 1
    assert not inner.signatures
    assert inner(4) == 5


def some_kernel(folder: Path, added: int) -> None:
    """A module with a kernel that adds a number."""
    (folder / "adds.py").write_text(f"N = {added}\n")
    (folder / "some_kernels.py").write_text(
        "from stream_ml.jit import kernel\nfrom adds import N\n\n\n@kernel\ndef plus(x):\n    return x + N\n"
    )


def test_who_is_killed_between_index_and_code_leaves_nothing_wrong(tmp_path):
    """The index is written first, and must not name what another version left."""

    def run(version: str, last: str = "", code: int = 0) -> str:
        text = f"import stream_ml.jit as jit, os; jit.SOURCES = '{version}'\n{last}\n"
        text += "import some_kernels as k; print(k.plus(1))"
        done = subprocess.run([sys.executable, "-c", text], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == code, done.stderr
        return done.stdout.strip()

    some_kernel(tmp_path, 1)
    assert run("A") == "2"
    some_kernel(tmp_path, 100)
    killed = "import numba.core.caching as c; c.IndexDataCacheFile._save_data = lambda self, name, data: os._exit(9)"
    assert run("B", killed, 9) == ""
    assert run("B") == "101"
    assert run("B") == "101"


def test_without_a_compiler_kernels_are_plain_functions():
    code = "from stream_ml.drift._kernels import adwin_width as f; import types; print(type(f) is types.FunctionType)"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert out.stdout.strip() == "True"


@pytest.mark.parametrize("harm", ["another version", "cut short", "no index", "no code", "code cut short"])
def test_what_is_cached_of_another_version_or_damaged_is_compiled_anew(tmp_path, harm):
    """In processes of their own, as after an upgrade."""
    (tmp_path / "some_kernels.py").write_text(
        "from typing import NamedTuple\nimport numpy as np\nfrom stream_ml.jit import kernel\n\n\n"
        "class Pair(NamedTuple):\n    one: np.ndarray\n    two: np.ndarray\n\n\n"
        "@kernel\ndef total(pair):\n    return pair.one[0] + pair.two[0]\n"
    )
    code = (
        "import numpy as np, some_kernels as k; pair = k.Pair(np.ones(1), np.ones(1));"
        "print(k.total(pair), sum(k.total.stats.cache_hits.values()))"
    )

    def run(before: str = "") -> str:
        command = [sys.executable, "-c", f"import stream_ml.jit as jit\n{before}\n{code}"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120).stdout

    assert run().split() == ["2.0", "0"]
    assert run().split() == ["2.0", "1"]
    [index] = (tmp_path / "__pycache__").glob("*.nbi")
    [compiled] = (tmp_path / "__pycache__").glob("*.nbc")
    if harm == "another version":
        index.write_bytes(index.read_bytes().replace(b"Pair", b"Gone"))  # a class that is not there
    elif harm == "cut short":
        index.write_bytes(index.read_bytes()[:-20])
    elif harm == "no index":
        index.write_bytes(b"")
    elif harm == "no code":
        compiled.unlink()
    else:
        compiled.write_bytes(compiled.read_bytes()[:100])
    before = "jit.SOURCES = 'other'" if harm == "another version" else ""
    assert run(before).split() == ["2.0", "0"]
    assert run(before).split() == ["2.0", "1"]
