"""Updates per second of ADWIN beside river's, on the same values in one run: `python benchmarks/adwin.py [n_values]`.

Times are the best of three, and both must find the same changes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
from river.drift import ADWIN

from stream_ml.drift import Adwin

Found = list[int]


def river(values: list[float]) -> Found:
    detector, found = ADWIN(), []
    for i, value in enumerate(values):
        detector.update(value)
        if detector.drift_detected:
            found.append(i)
    return found


def one_by_one(values: list[float]) -> Found:
    detector = Adwin()
    return [i for i, value in enumerate(values) if detector.update(value)]


def many(values: np.ndarray) -> Found:
    return Adwin().update_many(values).tolist()


def rate(run: Callable[..., Found], values: np.ndarray | list[float]) -> tuple[float, Found]:
    """Updates per second, and what was found."""
    best, found = float("inf"), []
    for _ in range(3):
        start = time.perf_counter()
        found = run(values)
        best = min(best, time.perf_counter() - start)
    return len(values) / best, found


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 500_000
    rng = np.random.default_rng(0)
    streams = {
        "binary, stationary": (rng.random(n) < 0.3).astype(float),
        "binary, drift every 5,000": (rng.random(n) < np.where(np.arange(n) // 5000 % 2, 0.6, 0.2)).astype(float),
        "real, slow ramp": np.linspace(0, 1, n) + rng.normal(0, 0.2, n),
    }
    Adwin().update_many(np.zeros(100))  # compiled before the clock starts
    print(f"{n:,} values; updates per second")
    print(f"{'stream':<27}{'changes':>8}{'river':>13}{'update':>13}{'update_many':>13}{'ratio':>8}{'many':>8}")
    for name, values in streams.items():
        (base, expected), (single, a), (bulk, b) = (
            rate(river, values.tolist()),
            rate(one_by_one, values.tolist()),
            rate(many, values),
        )
        if not a == b == expected:
            raise SystemExit(f"{name}: changes differ from river's")
        ratios = f"{single / base:>7.2f}x{bulk / base:>7.1f}x"
        print(f"{name:<27}{len(expected):>8}{base:>13,.0f}{single:>13,.0f}{bulk:>13,.0f}{ratios}")


if __name__ == "__main__":
    main()
