"""Models and checkpoints in files: arrays and JSON, nothing that runs code when it is read."""

from stream_ml.storage.artefact import Artefact, read_artefact, write_artefact

__all__ = ["Artefact", "read_artefact", "write_artefact"]
