"""What the decorators ask of numba, numba does."""

from __future__ import annotations

import subprocess
import sys
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
