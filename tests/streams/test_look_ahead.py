"""Nothing of later rows shows: not in a batch's width, not in the pairs for river, however the file is cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_ml.streams import json_lines, lines, open_stream, svmlight
from stream_ml.streams.source import rebatch

QUICK = settings(deadline=None, derandomize=True, max_examples=60)
RECORDS = st.lists(
    st.tuples(
        st.dictionaries(st.integers(0, 30), st.integers(0, 3), max_size=3), st.lists(st.integers(0, 20), max_size=2)
    ),
    min_size=1,
    max_size=40,
)


def written(path, records, kind):
    """The records in a file of that format; a comment makes every third svmlight row one for the careful reader."""
    if kind == "jsonl":
        lines_of = [json.dumps({"x": {f"{k}": v for k, v in x.items()}, "y": [f"{m}" for m in y]}) for x, y in records]
    else:
        lines_of = [
            ",".join(map(str, dict.fromkeys(y)))
            + "".join(f" {k}:{v}" for k, v in sorted(x.items()))
            + " # a" * (i % 3 > 1)
            for i, (x, y) in enumerate(records)
        ]
        lines_of = [line if line else " #" for line in lines_of]
    file = path / f"x.{kind}"
    file.write_text("\n".join(lines_of) + "\n")
    return file


def seen_before(rows):
    """Per row the features and labels that rows up to it have shown, from what the rows themselves say."""
    features, labels, out = set(), set(), []
    for x, y in rows:
        features |= x.keys()
        labels |= {name for name, positive in y.items() if positive}
        out.append((set(features), set(labels)))
    return out


@pytest.mark.parametrize("kind", ["jsonl", "svm"])
@QUICK
@given(records=RECORDS, size=st.integers(1, 50))
def test_rows_offer_what_has_occurred(kind, records, size, tmp_path_factory):
    records = [(x or {0: 1}, y) for x, y in records]
    batches = list(open_stream(written(tmp_path_factory.mktemp("x"), records, kind), batch_size=size))
    pairs = [pair for b in batches for pair in b.iter_dicts()]
    expected = seen_before([({f"{k}": 1 for k in x}, {f"{m}": True for m in y}) for x, y in records])
    assert [(x.keys(), y.keys()) for x, y in pairs] == expected
    at = 0
    for b in batches:
        at += len(b)
        assert (b.n_features, b.n_labels) == tuple(map(len, expected[at - 1]))
        assert b.labels_known().tolist() == [len(labels) for _, labels in expected[at - len(b) : at]]
        for start in range(len(b)):  # parts of a batch are no wiser
            part = b.rows(start, start + 1)
            assert (part.n_features, part.n_labels) == tuple(map(len, expected[at - len(b) + start]))
            assert list(part.iter_dicts()) == [pairs[at - len(b) + start]]


@pytest.mark.parametrize("kind", ["jsonl", "svm"])
@pytest.mark.parametrize("options", [{}, {"limit": 70}, {"delay": 9}, {"delay": 9, "limit": 70}])
def test_the_size_of_pieces_changes_nothing(kind, options, tmp_path, monkeypatch):
    records = [({i // 4: 1, 100 + i % 7: 2}, [f"{i // 5}"]) for i in range(100)]
    file, seen = written(tmp_path, records, kind), []
    for piece, chunk in ((1000, 1 << 20), (1, 1 << 20), (7, 64), (3, 1)):
        monkeypatch.setattr(json_lines, "PIECE", piece)
        monkeypatch.setattr(svmlight, "PIECE", piece)
        monkeypatch.setattr(lines, "CHUNK", chunk)
        batches = list(open_stream(file, batch_size=20, **options))
        widths = [(len(b), b.n_features, b.n_labels, b.known, b.labels_known().tolist()) for b in batches]
        seen.append((widths, [pair for b in batches for pair in b.iter_dicts()]))
    assert all(other == seen[0] for other in seen[1:])


def test_fixed_schemas_offer_all_labels(tmp_path):
    (tmp_path / "x.csv").write_text("a,p,q\n1,0,0\n2,0,1\n")
    (batch,) = open_stream(tmp_path / "x.csv", labels="p,q")
    assert batch.known is None
    assert [y for _, y in batch.iter_dicts()] == [{"p": False, "q": False}, {"p": False, "q": True}]
    assert batch.rows(0, 1).n_labels == 2


def test_a_batch_cut_again_stays_honest(tmp_path):
    file = written(tmp_path, [({i: 1}, [f"{i}"]) for i in range(12)], "jsonl")
    whole = next(iter(open_stream(file)))
    again = list(rebatch(iter([whole]), 4))
    assert [(b.n_features, b.n_labels, b.known) for b in again] == [(4, 4, (0, 0)), (8, 8, (4, 4)), (12, 12, (8, 8))]
