"""Drift detection: ADWIN."""

from stream_ml.drift._kernels import AdwinBank, adwin_reset, adwin_update, grow_bank, new_bank
from stream_ml.drift.adwin import Adwin

__all__ = ["Adwin", "AdwinBank", "adwin_reset", "adwin_update", "grow_bank", "new_bank"]
