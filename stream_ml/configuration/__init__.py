"""Configuration files: YAML that remembers its lines, and messages that name them."""

from stream_ml.configuration.documents import Document, parse_scalar, read_yaml
from stream_ml.configuration.validation import override, put, validate

__all__ = ["Document", "override", "parse_scalar", "put", "read_yaml", "validate"]
