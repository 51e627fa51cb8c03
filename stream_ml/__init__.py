"""stream-ml: online multi-label learning on real streams.

The names below load what they need when they are first used, so that `import stream_ml` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stream_ml.evaluation import prequential
    from stream_ml.ihomer import IHomerClassifier
    from stream_ml.simulation import default_stream
    from stream_ml.streams import Batch, Feature, Schema, open_stream

__all__ = ["Batch", "Feature", "IHomerClassifier", "Schema", "default_stream", "open_stream", "prequential"]

__version__ = "0.1.0"

_HOMES = {
    "Batch": "stream_ml.streams",
    "Feature": "stream_ml.streams",
    "IHomerClassifier": "stream_ml.ihomer",
    "Schema": "stream_ml.streams",
    "default_stream": "stream_ml.simulation",
    "open_stream": "stream_ml.streams",
    "prequential": "stream_ml.evaluation",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
