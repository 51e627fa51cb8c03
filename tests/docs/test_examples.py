"""Every example of a page runs. (Those of docstrings are doctests, too: `--doctest-modules`.)"""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from docs.pages import PAGES, ROOT, blocks_in, text_of

from stream_ml import default_stream
from stream_ml.simulation import Scenario
from stream_ml.streams.writers import write_stream

WITH_PYTHON = [page for page in PAGES if blocks_in(text_of(page), "python")]


class Generator:
    """What a generator of scikit-multiflow looks like from outside."""

    n_features, n_targets, n_samples, name = 3, 2, 20, "MultilabelGenerator"
    feature_names, target_names, target_values = ["a", "b", "c"], ["p", "q"], [[0, 1], [0, 1]]

    def __init__(self) -> None:
        self.at = 0

    def next_sample(self, batch_size: int = 1) -> tuple[Any, Any]:
        rows = min(batch_size, self.n_remaining_samples())
        self.at += rows
        return np.ones((rows, 3)), np.ones((rows, 2), dtype=int)

    def has_more_samples(self) -> bool:
        return self.at < self.n_samples

    def n_remaining_samples(self) -> int:
        return self.n_samples - self.at

    def restart(self) -> None:
        self.at = 0


def names_of_others() -> dict[str, Any]:
    """What README.md takes for granted: imports, and data of one's own."""
    from river.preprocessing import StandardScaler

    from stream_ml.adapters.multiflow import MultiflowStream
    from stream_ml.adapters.river import RiverIHomerClassifier
    from stream_ml.adapters.sklearn import SklearnIHomerClassifier

    rng = np.random.default_rng(1)
    return {
        "StandardScaler": StandardScaler,
        "RiverIHomerClassifier": RiverIHomerClassifier,
        "SklearnIHomerClassifier": SklearnIHomerClassifier,
        "MultiflowStream": MultiflowStream,
        "MultilabelGenerator": Generator,
        "X": rng.normal(size=(50, 3)),
        "y": rng.integers(0, 2, (50, 2)),
    }


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # river's datasets
@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_python_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the page, in one namespace, where a file yeast.arff.gz lies."""
    monkeypatch.chdir(tmp_path)
    write_stream(default_stream(n_instances=400), tmp_path / "yeast.arff.gz")
    (tmp_path / "simulators").symlink_to(ROOT / "simulators")
    blocks = blocks_in(text_of(page), "python")
    names = {"__name__": "example", **(names_of_others() if page.name == "README.md" else {})}
    told = doctest.DocTestParser().get_doctest("".join(blocks), names, page.name, str(page), 0)
    if told.examples:  # the page says what comes out
        assert all(block.startswith(">>>") for block in blocks), "examples that only stand between others do not run"
        assert doctest.DocTestRunner().run(told).failed == 0
        return
    for block in blocks:
        exec(compile(block, page.name, "exec"), names)


def test_the_scenario_of_the_page_is_one() -> None:
    (block,) = blocks_in(text_of(ROOT / "simulators" / "README.md"), "yaml")
    described = yaml.safe_load(block)
    assert len(Scenario.load(described).drifts) == len(described["drifts"])


def test_options_that_pages_name_are_there() -> None:
    """`--option` behind `stream-ml COMMAND`, in any page."""
    import typer

    from stream_ml.cli.main import app

    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    known = {name: {o for p in command.params for o in p.opts} for name, command in commands.items()}
    wrong = []
    for page in PAGES:
        for command, rest in re.findall(r"stream-ml ([a-z]+)((?: [^\n`#|&;]*)?)", text_of(page)):
            if command in known:
                wrong += [f"{command} {o}" for o in re.findall(r"(?<!\S)--[a-z-]+", rest) if o not in known[command]]
    assert known["evaluate"] > {"--source", "--labels"}
    assert not wrong
