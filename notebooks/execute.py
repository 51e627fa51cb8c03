"""Run notebooks from top to bottom and keep what they show: `python notebooks/execute.py [NAME.ipynb ...]`.

Nothing of the machine is kept: no times, no paths, no versions.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from traitlets.config import Config

HERE = Path(__file__).resolve().parent
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
SECONDS = 900
"""A cell may take so long: the first one of an install compiles."""


def executed(path: Path) -> nbformat.NotebookNode:
    """The notebook with fresh outputs; raises `nbclient.exceptions.CellExecutionError` where a cell does."""
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    with tempfile.TemporaryDirectory() as sockets:
        # files that nobody else can open, instead of ports
        config = Config(KernelManager={"transport": "ipc", "ip": f"{sockets}/kernel"})
        NotebookClient(notebook, timeout=SECONDS, resources=resources, record_timing=False, config=config).execute()
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
    return notebook


if __name__ == "__main__":
    for path in [HERE / name for name in sys.argv[1:]] or sorted(HERE.glob("*.ipynb")):
        print(path.name, flush=True)
        nbformat.write(executed(path), path)
