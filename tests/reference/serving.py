"""Plain-Python twin of the service's copying."""

from __future__ import annotations


def copy_rows(to, source):
    for a, b in zip(to, source, strict=True):
        for k, byte in enumerate(b):
            a[k] = byte
