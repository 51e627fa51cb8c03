"""What the brokers let this service do with its topics."""

from __future__ import annotations

from collections.abc import Mapping

from kafka import KafkaAdminClient

from stream_ml.errors import ServiceError
from stream_ml.serving.kafka_client import client_settings, told
from stream_ml.serving.settings import ServiceConfig

__all__ = ["check_permissions", "needed"]

TOPIC_AUTHORIZATION_FAILED = 29


def needed(config: ServiceConfig) -> dict[str, set[str]]:
    """Operations that each topic must allow.

    >>> needed(ServiceConfig())
    {'instances': {'READ'}, 'dead-letters': {'WRITE'}, 'predictions': {'WRITE'}}
    """
    operations: dict[str, set[str]] = {topic: {"READ"} for topic in config.input.topics}
    operations.setdefault(config.dead_letters.topic, set()).add("WRITE")
    if config.output.topic is not None and config.mode != "shadow":
        operations.setdefault(config.output.topic, set()).add("WRITE")
    return operations


def check_permissions(config: ServiceConfig) -> str:
    """What is allowed, for people; topics that are not there are left to whoever looks for them.

    Raises
    ------
    ServiceError
        Something that is needed is not allowed.
    """
    operations = needed(config)
    with told("asking for permissions"):
        admin = KafkaAdminClient(**client_settings(config.kafka))
        try:
            found = {topic["name"]: topic for topic in admin.describe_topics(list(operations))}
        finally:
            admin.close()
    refused = sorted(text for topic, wants in operations.items() for text in _refused(found.get(topic), topic, wants))
    if refused:
        raise ServiceError(f"not allowed to {', '.join(refused)}: have the brokers' access control lists allow it")
    return ", ".join(f"{' and '.join(sorted(wants)).lower()} {topic}" for topic, wants in operations.items())


def _refused(topic: Mapping[str, object] | None, name: str, wants: set[str]) -> list[str]:
    if topic is None:
        return []
    if topic["error_code"] == TOPIC_AUTHORIZATION_FAILED:
        return [f"{' and '.join(sorted(wants)).lower()} {name}"]
    allowed = topic["authorized_operations"]
    if topic["error_code"] or not isinstance(allowed, list):
        return []
    return [f"{operation.lower()} {name}" for operation in wants - set(allowed)]
