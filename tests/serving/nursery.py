"""Services out of a process that has everything imported and its kernels loaded: starting takes no time.

    python tests/serving/nursery.py < requests

For each line `[LOG, ARGUMENT, ...]` it forks a `stream-ml ARGUMENT ...` that writes to LOG, and tells its number.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil


class Forked:
    """A process of a nursery, to be handled as if it were `subprocess.Popen`'s."""

    def __init__(self, pid: int) -> None:
        self.pid, self._started = pid, psutil.Process(pid).create_time()

    def poll(self) -> int | None:
        try:
            alive = psutil.Process(self.pid).create_time() == self._started
        except psutil.NoSuchProcess:
            alive = False
        return None if alive else 0

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def wait(self, seconds: float = 60.0) -> int:
        end = time.monotonic() + seconds
        while self.poll() is None:
            assert time.monotonic() < end, "it does not end"
            time.sleep(0.005)
        return 0


class Nursery:
    """Where they come from."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def start(self, log: Path, *arguments: str) -> Forked:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([str(log), *arguments]) + "\n")
        return Forked(int(self._process.stdout.readline()))

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def main() -> None:
    from stream_ml.cli.main import run
    from stream_ml.evaluation import warm_up
    from stream_ml.ihomer import IHomerClassifier
    from stream_ml.serving import service  # noqa: F401 (what a start imports)

    for sparse in (True, False):
        warm_up(IHomerClassifier(experts={"neighbours": 0}), sparse=sparse)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    for line in sys.stdin:
        log, *arguments = json.loads(line)
        pid = os.fork()
        if pid:
            sys.stdout.write(f"{pid}\n")
            sys.stdout.flush()
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.argv = ["stream-ml", *arguments]
        run()
        os._exit(0)


if __name__ == "__main__":
    main()
