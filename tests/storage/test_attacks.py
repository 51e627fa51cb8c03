"""A checkpoint that was made to do harm is refused in one line, or is a model that works; nothing else."""

from __future__ import annotations

import os
import random
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from storage.attacks import KINDS, make

SECONDS = 20.0
"""Within which an answer must come."""
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory as Linux does")


class Child:
    """A process that loads damaged checkpoints."""

    def __init__(self, folder: Path, kinds: Iterable[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("attacks.py")), str(folder), ",".join(kinds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        assert self.answer(300) == "ready"

    def answer(self, seconds: float) -> str:
        """Its next line, or what became of it."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        if not ready:
            return "hangs"
        line = self.process.stdout.readline().rstrip("\n")
        return line or f"crashed with {self.process.wait()}"

    def ask(self, seed: int) -> str:
        """What the checkpoint of that seed leads to."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{seed}\n")
        self.process.stdin.flush()
        return self.answer(SECONDS)

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def genuine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("genuine")
    make(folder)
    return folder


def attacked(folder: Path, seeds: Iterable[int], until: float, kinds: Iterable[str] = KINDS) -> Counter[str]:
    """Outcomes by kind; fails on the first ten that are neither a refusal nor a working model."""
    outcomes: Counter[str] = Counter()
    wrong: list[str] = []
    child = Child(folder, kinds)
    try:
        for seed in seeds:
            if time.monotonic() > until or len(wrong) >= 10:
                break
            result = child.ask(seed)
            outcomes[result if result in ("refused", "worked") else "wrong"] += 1
            if result in ("refused", "worked"):
                continue
            wrong.append(f"seed {seed}: {result}")
            if child.process.poll() is not None or result == "hangs":
                child.end()
                child = Child(folder, kinds)
    finally:
        child.end()
    assert not wrong, "\n".join(wrong)
    return outcomes


def test_a_hundred_attacks(genuine):
    outcomes = attacked(genuine, range(100), time.monotonic() + 120)
    assert outcomes["refused"] > 30
    assert outcomes["worked"] > 10


@pytest.mark.soak
def test_ten_minutes_of_attacks(genuine, capsys):
    seed = int(os.environ.get("ATTACK_SEED", random.SystemRandom().randrange(1 << 40)))
    with capsys.disabled():
        sys.stdout.write(f"\nattacks from seed {seed} on (ATTACK_SEED)\n")
    minutes = float(os.environ.get("ATTACK_MINUTES", "10"))
    outcomes = attacked(genuine, range(seed, seed + (1 << 30)), time.monotonic() + 60 * minutes)
    with capsys.disabled():
        sys.stdout.write(f"{dict(outcomes)}\n")
    assert outcomes["refused"] > 300
