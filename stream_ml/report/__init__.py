"""What a run leaves behind: its directory, and the table that ends it."""

from stream_ml.report.run_directory import CHECKPOINT, REPORT, RUN_FILES, RunDirectory
from stream_ml.report.table import print_outcome

__all__ = ["CHECKPOINT", "REPORT", "RUN_FILES", "RunDirectory", "print_outcome"]
