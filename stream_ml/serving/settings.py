"""What a service is told: one validated object."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from stream_ml.errors import ConfigError

__all__ = ["KafkaSection", "SecretSource", "ServiceConfig"]

LARGEST = 2**53
Topic = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SecretSource(_Section):
    """Where a secret is: never in the configuration itself."""

    env: str | None = Field(None, description="Environment variable that holds it.")
    file: str | None = Field(None, description="File whose first line it is.")

    @model_validator(mode="after")
    def _one(self) -> SecretSource:
        if (self.env is None) == (self.file is None):
            raise ValueError("exactly one of env and file")
        return self

    def read(self, name: str) -> SecretStr:
        """The secret.

        Raises
        ------
        ConfigError
            It is not there; the message does not tell it.
        """
        if self.env is not None:
            value = os.environ.get(self.env)
            if not value:
                raise ConfigError(f"{name}: the environment variable {self.env} is not set")
            return SecretStr(value)
        assert self.file is not None
        try:
            return SecretStr(Path(self.file).read_text(encoding="utf-8").splitlines()[0])
        except (OSError, UnicodeDecodeError, IndexError) as error:
            raise ConfigError(f"{name}: {self.file} cannot be read as a secret ({type(error).__name__})") from None


class SecuritySection(_Section):
    """TLS and SASL, as Kafka clients call them."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field("PLAINTEXT", description="")
    ca_file: str | None = Field(None, description="Certificates that are trusted; null: the system's.")
    cert_file: str | None = Field(None, description="The client's certificate.")
    key_file: str | None = Field(None, description="The client's key.")
    key_password: SecretSource | None = Field(None, description="{env: NAME} or {file: PATH}.")
    check_hostname: bool = Field(True, description="Whether the broker's certificate must bear its name.")
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(None, description="Of SASL.")
    username: str | None = Field(None, description="Of SASL.")
    password: SecretSource | None = Field(None, description="{env: NAME} or {file: PATH}.")

    def check_files(self) -> None:
        """Make sure that the files are there: clients hide it. Raises `ConfigError`."""
        for name in ("ca_file", "cert_file", "key_file"):
            path = getattr(self, name)
            if path is not None and not os.access(path, os.R_OK):
                problem = "cannot be read" if Path(path).exists() else "no such file"
                raise ConfigError(f"kafka.security.{name}: {path}: {problem}")

    def secrets(self) -> dict[str, str]:
        """The secrets that are set, by name. Raises `ConfigError` where one is not there."""
        sources = {"key_password": self.key_password, "password": self.password}
        return {
            name: source.read(f"kafka.security.{name}").get_secret_value()
            for name, source in sources.items()
            if source is not None
        }


class KafkaSection(_Section):
    """How to reach the brokers."""

    servers: list[str] = Field(["127.0.0.1:9092"], min_length=1, description="host:port of some brokers.")
    client: Literal["kafka-python", "confluent"] = Field(
        "kafka-python", description="confluent needs the extra stream-ml[confluent]; it is faster."
    )
    security: SecuritySection = SecuritySection()
    connect_timeout_seconds: float = Field(
        30.0, gt=0, le=3600, description="How long the brokers may take to answer at the start."
    )
    delivery_timeout_seconds: float = Field(
        600.0, gt=0, le=86400, description="How long the brokers may be away before the service gives up."
    )


class InputSection(_Section):
    """What is read."""

    topics: list[Topic] = Field(["instances"], min_length=1, description="Instances and labels, mixed or apart.")
    group: str = Field("stream-ml", min_length=1, description="Group whose offsets are committed, for lag tools.")
    start: Literal["earliest", "latest"] = Field("earliest", description="Where a service without state begins.")
    on_lost: Literal["stop", "continue"] = Field(
        "stop", description="When records were deleted before they were read: stop, or go on with the first there is."
    )
    format: str | None = Field(None, description="File of the pinned schema (JSON); null: as instances show it.")
    max_records: int = Field(2000, ge=1, le=1_000_000, description="Records taken at a time; changes no result.")


class WaitingSection(_Section):
    """Instances that wait for their labels, and labels that came first."""

    max_instances: int = Field(100_000, ge=0, le=LARGEST, description="The oldest go first.")
    max_labels: int = Field(10_000, ge=0, le=LARGEST, description="The oldest go to the dead letters.")
    max_age_seconds: float | None = Field(None, gt=0, description="By the records' own time; null: no limit.")


class OutputSection(_Section):
    """What is written."""

    topic: Topic | None = Field("predictions", description="null: predictions are not published.")
    probabilities: int = Field(10, ge=0, le=100_000, description="Most probable labels named in a prediction.")


class DeadLetterSection(_Section):
    """Where records go that cannot be used, and when there are too many of them."""

    topic: Topic = Field("dead-letters", description="")
    max_consecutive: int | None = Field(1000, ge=1, le=LARGEST, description="Bad records in a row that stop it.")
    max_share: float | None = Field(0.5, gt=0, le=1, description="Share of bad records that stops it.")
    window: int = Field(1000, ge=1, le=LARGEST, description="Records that the share is taken of.")


class ModelSection(_Section):
    """What learns."""

    file: str | None = Field(None, description="A model that was saved, to begin with; null: a new one.")
    parameters: dict[str, Any] = Field(default_factory=dict, description="Of a new model; see `evaluate`.")


class CheckpointSection(_Section):
    """What survives."""

    dir: str = Field("state", description="Folder of checkpoints and lease; shared with standbys.")
    every_seconds: float = Field(30.0, gt=0, le=86400, description="")
    every_records: int | None = Field(None, ge=1, le=LARGEST, description="Also after so many; null: by time alone.")
    keep: int = Field(3, ge=1, le=10_000, description="Generations kept.")
    lease_seconds: float = Field(10.0, ge=0.5, le=3600, description="Silence after which a standby takes over.")


class TelemetrySection(_Section):
    """Where metrics and health are served."""

    host: str = Field("127.0.0.1", description="")
    port: int | None = Field(9464, ge=0, le=65535, description="/metrics, /live, /ready; 0: a free one; null: none.")


class LogSection(_Section):
    """What is told."""

    format: Literal["auto", "text", "json"] = Field("auto", description="auto: text on a terminal, else JSON.")
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="")


class ServiceConfig(_Section):
    """One service."""

    kafka: KafkaSection = KafkaSection()
    input: InputSection = InputSection()
    waiting: WaitingSection = WaitingSection()
    output: OutputSection = OutputSection()
    dead_letters: DeadLetterSection = DeadLetterSection()
    delivery: Literal["at_least_once", "transactional"] = Field(
        "at_least_once",
        description="Predictions may repeat after a crash, with the same key and value; or Kafka transactions.",
    )
    mode: Literal["learn", "frozen", "shadow"] = Field(
        "learn", description="frozen: predict, do not learn; shadow: learn and score, publish nothing."
    )
    model: ModelSection = ModelSection()
    checkpoint: CheckpointSection = CheckpointSection()
    telemetry: TelemetrySection = TelemetrySection()
    log: LogSection = LogSection()
