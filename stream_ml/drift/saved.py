"""What of saved detectors must be true before compiled loops may walk their histograms."""

from __future__ import annotations

import numpy as np

from stream_ml.drift._kernels import DETECTED, TICK, WIDTH, AdwinBank
from stream_ml.states import LARGEST, Part, Spec

__all__ = ["checked_bank"]


def checked_bank(part: Part, slots: int, rows: int, room: int) -> AdwinBank:
    """A bank of so many detectors, each of `rows` rows with room for `room` buckets.

    Raises
    ------
    StateError
        It is not one.
    """
    f8 = np.float64
    specs = dict.fromkeys(("totals", "variances"), Spec(f8, (slots, rows, room)))
    specs |= {"sizes": Spec(np.int32, (slots, rows), 0, room - 1), "reals": Spec(f8, (slots, DETECTED + 1))}
    bank = part.load(AdwinBank, specs)
    width, tick, detected = bank.reals[:, WIDTH], bank.reals[:, TICK], bank.reals[:, DETECTED]
    held = (bank.sizes * 2.0 ** np.arange(rows)).sum(axis=1)
    part.check((held == width).all(), "reals", "windows that are not as wide as their buckets")
    counted = (tick >= 0) & (tick <= LARGEST) & (tick == np.floor(tick))
    part.check((counted & np.isin(detected, (-1.0, 0.0, 1.0))).all(), "reals", "no numbers of values")
    return bank
