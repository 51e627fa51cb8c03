"""`python -m stream_ml.cli` is `stream-ml`."""

from stream_ml.cli.main import run

run()
