"""Files of models: whole or refused, in one line, whatever was done to them."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from serving.records import messages, records_of

from stream_ml import IHomerClassifier, default_stream
from stream_ml.errors import ArtefactError
from stream_ml.serving.engine import Engine, EngineOptions
from stream_ml.storage import artefact as a
from stream_ml.storage import read_artefact, write_artefact


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    model = IHomerClassifier()
    for batch in default_stream(n_instances=600, seed=1):
        model.test_then_train(batch)
    model.save(path)
    return path, model


def test_the_future_is_the_same(saved):
    path, model = saved
    again = IHomerClassifier.load(path)
    batch = list(default_stream(n_instances=1600, seed=1))[1]
    mine, theirs = model.predict(batch), again.predict(batch)
    np.testing.assert_array_equal(mine.probabilities, theirs.probabilities)
    np.testing.assert_array_equal(mine.label_indices, theirs.label_indices)


def test_trees_share_the_memory_as_before(saved):
    path, model = saved
    again = IHomerClassifier.load(path)
    shares = [[x.tree.parameters for x in m._partition.learners.values()] for m in (model, again)]
    assert len(shares[0]) > 1
    assert shares[0] == shares[1]


def test_what_is_written_is_read(tmp_path):
    arrays = {"a": np.arange(6, dtype=np.int32).reshape(2, 3), "none": np.zeros((0, 4)), "one": np.array(3.5)}
    write_artefact(tmp_path / "x", arrays, {"kind": "test", "n": [1, None]})
    found = read_artefact(tmp_path / "x")
    assert found.facts == {"kind": "test", "n": [1, None]}
    for name, array in arrays.items():
        assert found.arrays[name].shape == array.shape
        np.testing.assert_array_equal(found.arrays[name], array)
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_nothing_is_left_of_what_cannot_be_written(tmp_path):
    with pytest.raises(OSError, match=r"."):
        write_artefact(tmp_path / "missing" / "x", {"a": np.zeros(3)}, {})
    assert not list(tmp_path.iterdir())


def test_a_newer_version_is_told(tmp_path, monkeypatch):
    newest = a.VERSION
    monkeypatch.setattr(a, "VERSION", newest + 1)
    write_artefact(tmp_path / "x", {}, {})
    monkeypatch.setattr(a, "VERSION", newest)
    with pytest.raises(ArtefactError, match=f"version {newest + 1}; this program knows up to {newest}"):
        read_artefact(tmp_path / "x")


def test_an_older_version_is_brought_up(tmp_path, monkeypatch):
    write_artefact(tmp_path / "x", {}, {"old": 1})
    monkeypatch.setitem(a.MIGRATIONS, a.VERSION, lambda arrays, facts: (arrays, {"new": facts["old"]}))
    monkeypatch.setattr(a, "VERSION", a.VERSION + 1)
    assert read_artefact(tmp_path / "x").facts == {"new": 1}


@pytest.fixture
def version_1(tmp_path, monkeypatch):
    """Writes what a program of format version 1 would have written."""

    def write(arrays, facts):
        new = ("prior.weights", "recency.weights", "deciders.missed", "waiting.t_indptr", "waiting.t_indices")
        new += ("neighbours.since", "neighbours.valid", "stacking.aside", "watch.held", "watch.drifted")
        new += ("columns",)
        new += ("watch.whole", "apart", "apart_gradient", "apart_information", "kept", "kept_information")
        old = {n: v for n, v in arrays.items() if not n.endswith(new)}
        old |= {n: v[:6] for n, v in old.items() if n in ("overall.sums", "recent.sums")}
        old |= {n: v[:, :5] for n, v in old.items() if n.endswith("watch.pending")}
        for name in {"settings", "model.settings"} & old.keys():
            settings = json.loads(old[name].tobytes())
            del settings["routing"]
            old[name] = np.frombuffer(json.dumps(settings).encode(), dtype=np.uint8)
        if facts.get("settings"):
            facts = {**facts, "settings": {n: v for n, v in facts["settings"].items() if n != "routing"}}
        counts = {name: n for name, n in facts.get("counts", {}).items() if name != "repeated_labels"}
        monkeypatch.setattr(a, "VERSION", 1)
        write_artefact(tmp_path / "x", old, {**facts, "counts": counts} if counts else facts)
        monkeypatch.undo()
        return read_artefact(tmp_path / "x")

    return write


def test_models_of_version_1_go_on(saved, version_1):
    found = version_1(read_artefact(saved[0]).arrays, read_artefact(saved[0]).facts)
    for name, array in saved[1].state_dict().items():
        if name == "settings":
            assert json.loads(found.arrays[name].tobytes()) == json.loads(array.tobytes())
        elif not name.startswith(("stacking.apart", "stacking.kept")):  # of the past, which was not written
            np.testing.assert_array_equal(found.arrays[name], array, err_msg=name)
    assert IHomerClassifier.from_saved(found.arrays, found.facts).n_learned == 600


def test_checkpoints_of_version_1_go_on(version_1):
    engine = Engine(IHomerClassifier())
    engine.process(records_of(messages(200, seed=1, late=0.3)))
    arrays, rest = engine.snapshot()
    arrays, (others, facts) = {name: np.array(array) for name, array in arrays.items()}, rest()
    found = version_1(arrays | others, facts)
    again = Engine.restored(found.arrays, found.facts, EngineOptions(), source="test")
    more = records_of(messages(300, seed=1, late=0.3))[200:]
    assert again.process(more) == engine.process(more)


def test_a_damaged_old_file_is_told(version_1):
    with pytest.raises(ArtefactError, match="do not fit together"):
        version_1({"pool.prior.weight": np.zeros(0)}, {})


def crafted(header: object, body: bytes = b"", claim: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if claim is None else claim) + text + body


META = {"__metadata__": {"format": "stream-ml", "version": "1", "facts": "{}", "checksum": "0"}}
ATTACKS = {
    "nothing": b"",
    "short": b"\1\2\3",
    "header larger than the file": crafted(META, claim=1 << 40),
    "largest header": crafted(META, claim=(1 << 64) - 1),
    "no JSON": crafted(b"{" * 100),
    "deep JSON": crafted(b'{"a":' * 5000 + b"1" + b"}" * 5000),
    "no metadata": crafted({}),
    "another program's": crafted({"__metadata__": {"format": "pt"}}),
    "wrong checksum": crafted(META),
    "beyond the end": crafted({**META, "../../etc/passwd": {"dtype": "F64", "shape": [4], "data_offsets": [0, 32]}}),
    "huge shape": crafted(
        {**META, "x": {"dtype": "F64", "shape": [1 << 62, 1 << 62], "data_offsets": [0, 8]}}, b"0" * 8
    ),
    "negative": crafted({**META, "x": {"dtype": "F64", "shape": [-1], "data_offsets": [8, 0]}}, b"0" * 8),
    "unknown type": crafted({**META, "x": {"dtype": "PICKLE", "shape": [1], "data_offsets": [0, 8]}}, b"0" * 8),
    "pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
}


@pytest.mark.parametrize("data", ATTACKS.values(), ids=ATTACKS)
def test_attacks_fail_in_one_line(tmp_path, data):
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises(ArtefactError) as told:
        read_artefact(path)
    assert "\n" not in str(told.value)


def test_types_that_are_never_written_are_refused(tmp_path):
    header = {"format": "stream-ml", "version": "1", "facts": "{}", "checksum": "0"}
    save_file({"x": np.zeros(3, dtype=np.float16)}, tmp_path / "x", metadata=header)
    with pytest.raises(ArtefactError, match="type that is never written"):
        read_artefact(tmp_path / "x")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_changed_or_cut_file_is_never_taken(saved, tmp_path_factory, data):
    path, _ = saved
    raw = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        at = data.draw(st.one_of(st.integers(0, 2000), st.integers(0, len(raw) - 1)))
        change = data.draw(st.integers(1, 255))
        raw[at] ^= change
    else:
        raw = raw[: data.draw(st.integers(0, len(raw) - 1))]
    damaged = tmp_path_factory.mktemp("damaged") / "x"
    damaged.write_bytes(bytes(raw))
    with pytest.raises(ArtefactError):
        read_artefact(damaged)
