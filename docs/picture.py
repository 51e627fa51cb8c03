"""Draw the closing table of a run as docs/run.svg: `python docs/picture.py RUN_DIR`."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

from rich.console import Console

from stream_ml.report import print_outcome

run = Path(sys.argv[1])
console = Console(record=True, width=150, file=io.StringIO(), force_terminal=True)
print_outcome(console, json.loads((run / "summary.json").read_text()), [])
svg = console.export_svg(title="stream-ml evaluate")
svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # no font from the network
Path(__file__).with_name("run.svg").write_text(svg)
