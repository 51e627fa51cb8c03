"""A configuration is read with care: what is wrong is said in one line that names key, place, expected and found."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_ml.cli.config import RunConfig, load_config
from stream_ml.cli.evaluate import config_text
from stream_ml.cli.models import MODELS
from stream_ml.errors import ConfigError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "run.yaml"
        path.write_text(text)
        return path

    return write


def test_default_file_equals_the_defaults():
    assert load_config(ROOT / "configs/default.yaml") == load_config()


def test_default_file_names_every_key():
    data = yaml.safe_load((ROOT / "configs/default.yaml").read_text())
    defaults = RunConfig().model_dump()
    assert {name: list(section) for name, section in data.items()} == {n: list(s) for n, s in defaults.items()}


def test_example_file_is_valid():
    config = load_config(ROOT / "configs/file.yaml")
    assert config.model.parameters["tree"]["grace_period"] == 100
    assert config.stream.delay == 100


def test_file_then_options_then_overrides(written):
    path = written("stream:\n  limit: 10\n  delay: 3\nevaluation:\n  window: 50\n")
    config = load_config(path, {"stream.limit": 20, "evaluation.window": 60}, ["evaluation.window=70"])
    assert (config.stream.limit, config.stream.delay, config.evaluation.window) == (20, 3, 70)


def test_overrides_are_yaml_scalars():
    config = load_config(None, {}, ["stream.source=a.arff", "evaluation.fading=1e-3", "evaluation.baselines=false"])
    assert (config.stream.source, config.evaluation.fading, config.evaluation.baselines) == ("a.arff", 0.001, False)
    assert load_config(None, {}, ["stream.limit=null"]).stream.limit is None


def test_empty_file_and_empty_sections_are_defaults(written):
    assert load_config(written("")) == load_config()
    assert load_config(written("stream:\n  # limit: 3\nmodel:\n  parameters:\n")) == load_config()


def test_model_parameters_are_completed(written):
    config = load_config(written("model:\n  name: majority_labelset\n"))
    assert config.model.parameters == {"max_sets": 100_000}


def test_another_model_leaves_the_parameters_behind(written):
    path = written("model:\n  name: majority_labelset\n  parameters:\n    max_sets: 5\n")
    assert load_config(path, {"model.name": "no_change"}).model.parameters == {}
    assert load_config(path, {"model.name": "majority_labelset"}).model.parameters == {"max_sets": 5}


WRONG = {
    "nearest key": ("evaluation:\n  windw: 3\n", ["line 2", "'evaluation.windw'", "did you mean 'evaluation.window'?"]),
    "nearest section": ("evaluatoin:\n  window: 3\n", ["line 1", "'evaluatoin'", "did you mean 'evaluation'?"]),
    "key of another section": ("stream:\n  window: 3\n", ["line 2", "did you mean 'evaluation.window'?"]),
    "no such key": ("output:\n  zzz: 3\n", ["line 2", "'output.zzz'", "valid here: dir"]),
    "wrong type": (
        "\nevaluation:\n  window: many\n",
        ["line 3", "evaluation.window: expected integer", "'many' (string)"],
    ),
    "string for a number": ("evaluation:\n  window: '3'\n", ["expected integer", "found '3' (string)"]),
    "boolean for a number": ("stream:\n  delay: true\n", ["expected integer", "found True (boolean)"]),
    "fraction for an integer": ("stream:\n  limit: 2.5\n", ["expected integer", "found 2.5 (number)"]),
    "out of range": ("evaluation:\n  fading: 1.5\n", ["expected less than or equal to 1", "found 1.5"]),
    "not finite": ("evaluation:\n  fading: .inf\n", ["evaluation.fading: expected", "found inf"]),
    "not a choice": ("stream:\n  on_error: ignore\n", ["expected 'raise' or 'skip'", "found 'ignore'"]),
    "section is a value": ("stream: 5\n", ["line 1", "stream: expected a mapping", "found 5"]),
    "duplicate key": (
        "stream:\n  delay: 1\n  limit: 2\n  delay: 3\n",
        ["line 4", "'stream.delay' is there twice", "line 2"],
    ),
    "not YAML": ("stream: [1,\n", ["not valid YAML"]),
    "tab": ("stream:\n\tdelay: 1\n", ["line 2", "not valid YAML"]),
    "alias": ("stream: &s\n  delay: 1\nmodel: *s\n", ["line 3", "aliases (*s) are not supported"]),
    "endless": ("stream: &s\n  delay: *s\n", ["line 2", "aliases"]),
    "no such date": ("stream:\n  source: 2020-13-45\n", ["not valid YAML"]),
    "date": ("stream:\n  2020-01-01: 3\n", ["line 2", "unknown key"]),
    "deep": ("stream: " + "[" * 1500 + "]" * 1500, ["nested too deeply"]),
    "a list": ("- 1\n", ["expected a mapping", "found a list"]),
    "python object": ("stream: !!python/object/apply:os.getcwd []\n", ["line 1", "not valid YAML"]),
    "unknown model": ("model:\n  name: ihomr\n", ["line 2", "'ihomr'", "did you mean 'ihomer'?"]),
    "model parameter": (
        "model:\n  parameters:\n    perod: 3\n",
        ["line 3", "'model.parameters.perod'", "'model.parameters.period'"],
    ),
    "nested model parameter": (
        "model:\n  parameters:\n    tree:\n      grace_period: soon\n",
        ["line 4", "model.parameters.tree.grace_period: expected integer", "'soon'"],
    ),
    "parameter of a model without": (
        "model:\n  name: no_change\n  parameters:\n    a: 1\n",
        ["line 4", "no parameters"],
    ),
    "parameters are a list": ("model:\n  parameters: [1]\n", ["line 2", "model.parameters: expected"]),
    "several": ("stream:\n  a: 1\n  b: 2\n", ["'stream.a'", "(and 1 more)"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_files(written, name):
    text, parts = WRONG[name]
    with pytest.raises(ConfigError) as caught:
        load_config(written(text))
    message = str(caught.value)
    assert "run.yaml" in message
    assert "\n" not in message
    assert not [part for part in parts if part not in message], message


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("evaluation.windw=3", ["--set evaluation.windw", "did you mean 'evaluation.window'?"]),
        ("evaluation.window=x", ["--set evaluation.window: expected integer", "'x'"]),
        ("window", ["expected KEY.PATH=VALUE"]),
        ("=3", ["expected KEY.PATH=VALUE"]),
        ("stream..limit=3", ["expected KEY.PATH=VALUE"]),
        ("stream.limit=[1", ["not a YAML value"]),
        ("stream.limit.deep=1", ["expected", "stream.limit"]),
        ("model.parameters.tree.grace=100", ["did you mean 'model.parameters.tree.grace_period'?"]),
    ],
)
def test_wrong_overrides(override, parts):
    with pytest.raises(ConfigError) as caught:
        load_config(None, {}, [override])
    assert not [part for part in parts if part not in str(caught.value)], str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match=r"nothing\.yaml: cannot be read: no such file"):
        load_config(tmp_path / "nothing.yaml")
    (tmp_path / "junk.yaml").write_bytes(bytes(range(256)))
    with pytest.raises(ConfigError, match=r"junk\.yaml: not a text file"):
        load_config(tmp_path / "junk.yaml")
    (tmp_path / "nul.yaml").write_bytes(b"a: \0\n")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_config(tmp_path / "nul.yaml")


@pytest.mark.parametrize("name", MODELS)
def test_text_of_a_configuration_reads_back(written, name):
    config = load_config(None, {"model.name": name, "stream.source": "ä: b.csv", "stream.shuffle": 3})
    stream = config.stream.model_copy(update={"source": str(Path("ä: b.csv").resolve())})
    assert load_config(written(config_text(config))) == config.model_copy(update={"stream": stream})


keys = st.sampled_from(["stream", "model", "name", "parameters", "limit", "tree"]) | st.text(max_size=4)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=8,
)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(values)
def test_any_yaml_is_a_configuration_or_one_line(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any") / "any.yaml"
    path.write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
    message = ""
    try:
        load_config(path)
    except ConfigError as error:
        message = str(error)
    assert "\n" not in message


def test_a_wrong_option_is_called_by_its_own_name():
    with pytest.raises(ConfigError, match=r"^--model: no model is called 'foo'"):
        load_config(None, {"model.name": "foo"}, [])
