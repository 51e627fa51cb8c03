"""Drift detection: ADWIN."""

from stream_ml.drift._kernels import AdwinBank, adwin_reset, adwin_update, grow_bank, new_bank

__all__ = ["AdwinBank", "adwin_reset", "adwin_update", "grow_bank", "new_bank"]
