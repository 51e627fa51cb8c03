"""Kernels are compiled before commands are tested: what they say must not depend on which test came first."""

from __future__ import annotations

import pytest

from stream_ml import IHomerClassifier
from stream_ml.evaluation import warm_up


@pytest.fixture(scope="session", autouse=True)
def compiled():
    for sparse in (False, True):
        warm_up(IHomerClassifier(), sparse=sparse)
