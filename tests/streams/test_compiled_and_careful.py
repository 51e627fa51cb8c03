"""Whatever stands in a file: compiled and careful reading give the same rows and the same complaints."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest.mock import patch

from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_ml.errors import DataError
from stream_ml.streams import _kernels, concatenate, open_stream

QUICK = settings(deadline=None, derandomize=True, max_examples=250)
ARFF = (
    "@relation x\n@attribute a numeric\n@attribute b {u,'New York','?','a,b',0}\n@attribute c numeric\n"
    "@attribute l {0,1}\n@attribute m {1,0}\n@attribute n numeric\n@data\n"
)
CELLS = st.sampled_from(
    ["0", "1", "1", "0", "-1.5e3", "1e-400", "1e39", "nan", "0x1", "1_0", "u", "New York", "'u'", '"u"', "'New York'",
     "?", "'?'", "'a,b'", "a", "", "''", '""', "NA", '"NA"', '"u""u"', "u%", "{", "}", "é", "\\u", "'u\\''", "+1", "1.",
     "0.1234567890123456789", "16777217.0000000001", "٣"]
)  # fmt: skip
GAPS = st.sampled_from(["", "", "", " ", "\t", "\r"])
SETTLED = ["x_indptr", "x_indices", "x_values", "y_indptr", "y_indices", "mode", "labelled"]


@st.composite
def lines(draw, names):
    """Lines of a file with those columns, most of them nearly right."""
    out = []
    for _ in range(draw(st.integers(1, 10))):
        sparse = draw(st.booleans())
        wild = draw(st.integers(0, 2)) == 0
        cells = []
        for column, good in enumerate(names):
            if sparse and draw(st.booleans()):
                continue
            cell = draw(CELLS if wild and draw(st.integers(0, 2)) == 0 else st.sampled_from(good))
            cells.append(draw(GAPS) + (f"{column} " if sparse else "") + cell + draw(GAPS))
        if wild and draw(st.integers(0, 2)) == 0:
            cells = draw(st.permutations(cells + cells[:1]))
        line = draw(st.sampled_from([",", ",", ",", ";", " "]) if wild else st.just(",")).join(cells)
        end = draw(st.sampled_from(["", "", "", " % x", "\r", ",", ",{2}", "}"]) if wild else st.just(""))
        out.append(("{" + line + "}" if sparse else line) + end)
        out += draw(st.sampled_from([[], [], [], ["% x"], [""], ["\0"], [" "]]))
    return out


def outcome(path, **options):
    """All of a file's rows, and what was said of those that were left out."""
    stream = open_stream(path, on_error="skip", **options)
    try:
        batches = list(stream)
    except DataError as error:  # of the file as a whole
        return stream.skipped.messages, str(error)
    said = (stream.skipped.count, stream.skipped.messages, stream.schema.to_dict())
    if not batches:
        return said
    whole = concatenate(batches)
    return [getattr(whole, part).tobytes() for part in SETTLED], whole.n_features, whole.n_labels, said


def check(text, name, **options):
    def nothing_is_plain(text, start, *rest):
        return start, 0, 0, _kernels.UNUSUAL

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(text.encode())
        compiled = outcome(path, **options)
        with patch.multiple(_kernels, parse_rows=nothing_is_plain, parse_pair_rows=nothing_is_plain):
            assert outcome(path, **options) == compiled


NUMBERS, LABELS = ["0", "1", "-2.5", "?", "1e3", "'7'"], ["0", "1"]


@QUICK
@given(lines([NUMBERS, ["u", "'u'", "?", "'?'", "New York", "0"], NUMBERS, LABELS, LABELS, LABELS]))
@example(["{}", "{ }", "{1 u}", "{4 0}", "{3 ?,4 ?,5 ?}", "?,?,?,?,?,?", "1,u,1,1,1,2", "1,u,1,1,1,-0"])
def test_arff(rows):
    check(ARFF + "\n".join(rows), "x.arff", labels="l,m,n")


@QUICK
@given(lines([NUMBERS, ["u", '"u"', "", "v"], NUMBERS, LABELS, ["no", "yes", "YES"]]))
@example(["1,u,1,1,yes", "1,u,1,,", "1,u,1,,no", ' "1",u,1,1,no', '"1" ,u,1,1,no', '1,"u\n",1,1,no', "\t"])
def test_csv(rows):
    head = "a,b,c,l,m\n1,u,1,0,no\n2,v,1,1,yes\n"
    for ignore in (None, "b", "a,b"):
        check(head + "\n".join(rows), "x.csv", labels="l,m", ignore=ignore)


@QUICK
@given(
    st.lists(
        st.lists(
            st.sampled_from(
                ["1", "2,0", "0:1", "1:2.5", "3:0", "3:1e39", "7:1", "1,1", "# x", "qid:3", ",", "01:1", "x"]
            ),
            max_size=4,
        ).map(" ".join),
        max_size=8,
    ),
    st.sampled_from(["", " ", "\t"]),
    st.booleans(),
)
def test_svmlight_and_xmc(rows, before, xmc):
    rows = [before * (i % 2) + row for i, row in enumerate(rows)]
    count = sum(not row.strip().startswith("#") for row in rows)
    head = f"{count} 5 3\n" if xmc else "5 2:1\n"
    check(head + "\n".join(rows) + "\n", "x.svm")
