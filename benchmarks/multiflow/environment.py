"""Make the environment that scikit-multiflow's learners run in: it builds on Python 3.7 and 3.8 only.

    python benchmarks/multiflow/environment.py FOLDER

The old Python is `$MULTIFLOW_PYTHON`, else `python3.8` or `python3.7` on the path, else one of pyenv's.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
RELEASE = "scikit-multiflow==0.5.3"
VERSIONS = ("3.8", "3.7")
NO_PYTHON = (
    "scikit-multiflow 0.5.3 needs Python 3.8 or 3.7, and none was found: install one, with its venv module "
    "(pyenv install 3.8; uv python install 3.8; conda create -n old python=3.8), and if it is neither on the path as "
    "python3.8 nor one of pyenv's, name it: make multiflow MULTIFLOW_PYTHON=/path/to/python3.8"
)
NO_BUILD = (
    f"{RELEASE} could not be built (see above): that takes a C and a C++ compiler (on Debian: apt-get install "
    "build-essential) and access to a package index"
)


class NotThereError(Exception):
    """The environment cannot be made; says what to do."""


def old_python() -> str:
    """A Python that scikit-multiflow builds on.

    Raises
    ------
    NotThereError
        There is none, or the one that `$MULTIFLOW_PYTHON` names is not one.
    """
    if given := os.environ.get("MULTIFLOW_PYTHON"):
        if (found := version_of(given)) not in VERSIONS:
            raise NotThereError(f"MULTIFLOW_PYTHON={given}: expected Python 3.8 or 3.7, found {found or 'no Python'}")
        return given
    for candidate in candidates():
        if version_of(candidate) in VERSIONS:
            return candidate
    raise NotThereError(NO_PYTHON)


def candidates() -> Iterator[str]:
    """What may be an old Python, best first."""
    for version in VERSIONS:
        if (on_path := shutil.which(f"python{version}")) is not None:
            yield on_path
    root = os.environ.get("PYENV_ROOT") or (_said_by(["pyenv", "root"]) if shutil.which("pyenv") else None)
    versions = Path(root or Path.home() / ".pyenv") / "versions"
    for version in VERSIONS:
        found = versions.glob(f"{version}.*/bin/python")
        yield from map(str, sorted(found, key=lambda python: (len(str(python)), python), reverse=True))


def version_of(python: str) -> str | None:
    """Its version, `3.8`, where it can make environments; None of a shim of pyenv's that leads nowhere."""
    return _said_by([python, "-c", "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"])


def _said_by(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def make(folder: Path) -> None:
    """The environment, anew.

    Raises
    ------
    NotThereError
        There is no old Python, or scikit-multiflow cannot be built.
    """
    python = old_python()
    print(f"{RELEASE} with {python}, in {folder}", flush=True)
    quiet = ["-q", "--disable-pip-version-check", "--no-deps"]
    install = [str(folder / "bin" / "python"), "-m", "pip", "install", *quiet]
    try:
        subprocess.run([python, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([*install, "-r", str(HERE / "requirements.txt")], check=True)
        subprocess.run([*install, "--no-build-isolation", RELEASE], check=True)
        subprocess.run([install[0], str(HERE / "runner.py"), "--list"], check=True, stdout=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError) as error:
        raise NotThereError(f"{NO_BUILD} ({error})") from None
    (folder / ".installed").touch()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    try:
        make(parser.parse_args().folder)
    except NotThereError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
