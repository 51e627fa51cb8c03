"""Models against models on streams: measured in processes of their own, kept, compared on the rows that both did."""

from stream_ml.benchmark.comparison import METRICS, Comparison, compare
from stream_ml.benchmark.measure import Measured, measure
from stream_ml.benchmark.pool import run_all
from stream_ml.benchmark.store import Store
from stream_ml.benchmark.tallies import Tallies

__all__ = ["METRICS", "Comparison", "Measured", "Store", "Tallies", "compare", "measure", "run_all"]
