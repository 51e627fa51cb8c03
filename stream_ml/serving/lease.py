"""Who may write: one owner of a folder at a time, told apart by a rising epoch.

The folder holds a file per epoch, made in one step by whoever takes over, and a beat that the owner renews. A standby
takes over when the beat has not changed for the timeout, by its own clock: clocks of machines are never compared. An
owner that was paused finds the next epoch taken and leaves; what it still writes bears its old epoch, and loses.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import psutil

from stream_ml.errors import ServiceError

__all__ = ["Lease", "LeaseLostError"]

EPOCH = re.compile(r"epoch-(\d{6,})\.json")
BEATS_PER_TIMEOUT = 5
LOOK_SECONDS = 0.1


class LeaseLostError(ServiceError):
    """Another process owns the folder now."""


class Lease:
    """The right to be the one active member of a group.

    Parameters
    ----------
    folder
        Shared by all members.
    timeout
        Seconds without a beat after which an owner counts as gone.
    """

    def __init__(self, folder: Path, timeout: float) -> None:
        self.folder, self.timeout = folder, timeout
        self.epoch = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._beats = 0

    def acquire(
        self, *, stopped: Callable[[], bool] = lambda: False, waits: Callable[[str], None] | None = None
    ) -> bool:
        """Wait until no one else is active, and take over; false when `stopped` said so first.

        `waits` is told once who is active.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        seen, since, told = self._look(), time.monotonic(), False
        while True:
            epoch, owner, beat = seen
            if epoch == 0 or _is_gone(owner, beat) or time.monotonic() - since > self.timeout:
                if self._take(epoch + 1):
                    return True
            elif waits is not None and not told:
                told = True
                waits(f"{owner.get('host')} (process {owner.get('pid')}) is active: standing by")
            if stopped():
                return False
            time.sleep(LOOK_SECONDS)
            if (now := self._look()) != seen:
                seen, since = now, time.monotonic()

    def check(self) -> None:
        """Make sure that this process is still the owner; costs some microseconds.

        Raises
        ------
        LeaseLostError
            Another one took over.
        """
        newest = max(self._epochs(), default=0)
        if newest > self.epoch:
            raise LeaseLostError(
                f"another process has taken over (epoch {newest}; this one, of epoch {self.epoch}, was taken for gone)"
            )

    def release(self) -> None:
        """Let the next one take over at once."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        with contextlib.suppress(OSError):
            self._write_beat(released=True)

    def _take(self, epoch: int) -> bool:
        """Become the owner of an epoch, unless another process was quicker."""
        process = psutil.Process()
        owner = {
            "host": socket.gethostname(),
            "pid": process.pid,
            "started": process.create_time(),
            "boot": psutil.boot_time(),
        }
        aside = self.folder / f".epoch-{os.getpid()}-{id(self)}.part"
        aside.write_bytes(orjson.dumps(owner))
        try:
            os.link(aside, self._path(epoch))  # in one step, and never over another's
        except FileExistsError:
            return False
        finally:
            aside.unlink()
        self.epoch = epoch
        self._write_beat()
        self._stop.clear()
        self._thread = threading.Thread(target=self._keep_beating, name="lease", daemon=True)
        self._thread.start()
        for old in self._epochs():
            if old < epoch - 1:
                for name in (self._path(old), self._beat_path(old)):
                    with contextlib.suppress(OSError):
                        name.unlink()
        return True

    def _keep_beating(self) -> None:
        while not self._stop.wait(self.timeout / BEATS_PER_TIMEOUT):
            if max(self._epochs(), default=0) > self.epoch:
                return
            with contextlib.suppress(OSError):  # a full disk: a standby may take over, which fencing makes safe
                self._write_beat()

    def _write_beat(self, *, released: bool = False) -> None:
        self._beats += 1
        path = self._beat_path(self.epoch)
        aside = path.with_name(f".{path.name}.{os.getpid()}.part")
        aside.write_bytes(orjson.dumps({"beat": self._beats, "released": released}))
        os.replace(aside, path)

    def _look(self) -> tuple[int, dict[str, Any], dict[str, Any]]:
        """The newest epoch (0: none), its owner, and the owner's last beat."""
        epoch = max(self._epochs(), default=0)
        return epoch, _read(self._path(epoch)), _read(self._beat_path(epoch))

    def _epochs(self) -> list[int]:
        return [int(m[1]) for name in os.listdir(self.folder) if (m := EPOCH.fullmatch(name))]

    def _path(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:06d}.json"

    def _beat_path(self, epoch: int) -> Path:
        return self.folder / f"beat-{epoch:06d}.json"


def _read(path: Path) -> dict[str, Any]:
    """A small JSON file; {} while it is not there or not whole."""
    try:
        value = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return value if isinstance(value, dict) else {}


def _is_gone(owner: dict[str, Any], beat: dict[str, Any]) -> bool:
    """Whether an owner left, or was a process of this machine that is no more."""
    if beat.get("released"):
        return True
    if owner.get("host") != socket.gethostname() or not isinstance(owner.get("pid"), int):
        return False
    if owner.get("boot") != psutil.boot_time():
        return True
    try:
        process = psutil.Process(owner["pid"])
        return bool(process.create_time() != owner.get("started") or process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False
