"""Drift detection: ADWIN."""

from stream_ml.drift._kernels import (
    AdwinBank,
    adwin_mean,
    adwin_reset,
    adwin_update,
    adwin_variance,
    adwin_width,
    grow_bank,
    new_bank,
)
from stream_ml.drift.adwin import Adwin
from stream_ml.drift.saved import checked_bank

__all__ = [
    "Adwin",
    "AdwinBank",
    "adwin_mean",
    "adwin_reset",
    "adwin_update",
    "adwin_variance",
    "adwin_width",
    "checked_bank",
    "grow_bank",
    "new_bank",
]
