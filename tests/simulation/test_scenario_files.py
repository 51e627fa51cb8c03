"""The ready-made scenarios are there, are valid, and are what their names say."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from stream_ml.errors import ConfigError
from stream_ml.simulation import Scenario

FOLDER = Path(__file__).parents[2] / "simulators" / "scenarios"
FILES = {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}
GRID = [
    f"{base}-{shape}"
    for base in ("tree", "rbf", "hyperplane")
    for shape in ("sudden", "gradual", "incremental", "recurring")
]


def test_the_grid_is_whole():
    assert set(GRID) < set(FILES)
    assert len(FILES) >= 24


@pytest.mark.parametrize("name", GRID)
def test_a_cell_of_the_grid(name):
    base, shape = name.split("-")
    for variant, size in (("", (30, 8)), ("#large", (80, 25))):
        scenario = Scenario.load(f"{FILES[name]}{variant}", seed=3)
        assert (scenario.schema.n_features, scenario.schema.n_labels) == size
        assert scenario.n_instances == 50_000
        assert {d.shape for d in scenario.drifts} == {shape}
        assert {d.kind for d in scenario.drifts} == {"concept"}
        assert scenario.settings.generator["base"] == base


def test_all_files_and_variants_give_rows(tmp_path):
    data = tmp_path / "data.csv"
    data.write_text("a,b,p,q\n" + "".join(f"{i},{i % 3},{i % 2},{int(i % 3 == 0)}\n" for i in range(50)))
    for name, path in FILES.items():
        overrides = ["n_instances=1500"]
        if name == "replay":
            overrides = [f"generator.path={data}", "generator.labels=p,q", "n_instances=150"]
        for variant in ["", *(f"#{v}" for v in yaml.safe_load(path.read_text()).get("variants", {}) if v != "huge")]:
            scenario = Scenario.load(f"{path}{variant}", overrides=overrides)
            batch = next(iter(scenario.stream(batch_size=100)))
            assert len(batch) == 100
            assert scenario.description
            assert scenario.name == name + variant.replace("#", "-")


def test_a_variant_that_is_not_there_is_told():
    with pytest.raises(ConfigError, match=r"no variant is called 'larg'; known: large"):
        Scenario.load(f"{FILES['tree-sudden']}#larg")


def test_overrides_stand_above_variants():
    scenario = Scenario.load(f"{FILES['tree-sudden']}#large", overrides=["generator.n_labels=20", "n_instances=10"])
    assert (scenario.schema.n_labels, scenario.schema.n_features, scenario.n_instances) == (20, 80, 10)
