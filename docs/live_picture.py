"""Draw the live view of a run under way as docs/live.svg: `python docs/live_picture.py`."""

from __future__ import annotations

import io
import re
from itertools import takewhile
from pathlib import Path

from rich.console import Console

from stream_ml import IHomerClassifier, prequential
from stream_ml.cli.live_run import LiveRun
from stream_ml.simulation import default_stream

SHOWN_AT, SIZE = 40_000, {"width": 124, "height": 26}
console = Console(record=True, file=io.StringIO(), force_terminal=True, **SIZE)
stream, model, pictures = default_stream(n_instances=50_000), IHomerClassifier(), []
with Path("/dev/null").open("w") as nowhere:
    view = LiveRun(Console(file=nowhere, force_terminal=True, **SIZE), model, 1000)
    with view.running("default", lambda: stream.n_instances):

        def update(snapshot):
            view.update(snapshot)
            pictures.append(view.dashboard())

        prequential(takewhile(lambda _: len(pictures) < SHOWN_AT // 1000, stream), model, on_batch=update)
console.print(pictures[-1], height=SIZE["height"])
svg = console.export_svg(title="stream-ml evaluate --live")
svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # no font from the network
Path(__file__).with_name("live.svg").write_text(svg)
