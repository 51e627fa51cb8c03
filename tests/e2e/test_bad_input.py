"""Bad input, one kind at a time: one clear line, exit code 2, no traceback, nothing written."""

from __future__ import annotations

import gzip
import random
import re
import subprocess
import sys

import pytest

from stream_ml.cli.main import main

HEADER = "@relation 'x: -C -1'\n@attribute a numeric\n@attribute b numeric\n@attribute l {0,1}\n@data\n"
ROWS = "1,2,0\n3,4,1\n"
CSV = "a,b,l\n" + ROWS
JUNK = random.Random(0)

# name: (file name, content, further arguments, patterns that the message must match)
FILES: dict[str, tuple[str, str | bytes, list[str], list[str]]] = {
    "empty file": ("x.arff", "", [], [r"x\.arff", "empty"]),
    "no labels": ("x.arff", HEADER.replace(": -C -1", "") + ROWS, [], [r"x\.arff", "label", "--labels"]),
    "truncated gzip": ("x.arff.gz", gzip.compress((HEADER + ROWS * 5000).encode())[:-40], [], [r"\.gz", "truncated"]),
    "too few columns": ("x.arff", HEADER + ROWS + "1,2\n", [], [r"x\.arff, line 8", "expected 3", "found 2"]),
    "too many columns": ("x.csv", "a,b,l\n1,2,0\n1,2,3,0\n", ["--labels", "l"], [r"x\.csv, line 3", "3", "4"]),
    "label index out of range": ("x.svm", "2 5 1\n0 0:1\n9 1:1\n", [], [r"x\.svm, line 3", "9"]),
    "label value out of range": ("x.arff", HEADER + ROWS + "1,2,7\n", [], [r"x\.arff, line 8", "'l'", "7"]),
    "NaN": ("x.arff", HEADER + ROWS + "nan,2,0\n", [], [r"x\.arff, line 8", "'a'", "nan"]),
    "infinity": ("x.csv", "a,l\n1,0\ninf,1\n", ["--labels", "l"], [r"x\.csv, line 3", "'a'", "inf"]),
    "duplicate names": ("x.arff", HEADER.replace(" b ", " a ") + ROWS, [], [r"x\.arff, line 3", "same name", "'a'"]),
    "10 MB line": ("x.csv", "a,l\n" + "9" * 10_000_000 + ",0\n", ["--labels", "l"], [r"x\.csv, line 2"]),
    "10 MB line of a header": ("x.arff", "@relation " + "x" * 10_000_000, [], [r"x\.arff"]),
    "binary junk": ("x.arff", JUNK.randbytes(5000), [], [r"x\.arff"]),
    "binary junk as gzip": ("x.csv.gz", JUNK.randbytes(5000), ["--labels", "last:1"], [r"x\.csv\.gz", "gzip"]),
    "binary junk as JSON": ("x.jsonl", JUNK.randbytes(5000), [], [r"x\.jsonl, line 1"]),
    "no data": ("x.arff", HEADER, [], [r"x\.arff", "holds no instances"]),
    "no good row": ("x.arff", HEADER + "1\n2\n", ["--on-error", "skip"], ["all 2 instances are malformed", "line 6"]),
    "no such label": ("x.csv", "a,label\n1,0\n", ["--labels", "lable"], [r"x\.csv", "did you mean 'label'"]),
    "more labels than columns": ("x.csv", "a,l\n1,0\n", ["--labels", "last:9"], [r"x\.csv", "9"]),
    "all columns are labels": ("x.csv", "a,l\n1,0\n", ["--labels", "last:2"], [r"x\.csv", "label"]),
    "unknown format": ("x.arff", HEADER + ROWS, ["--format", "arf"], ["arf"]),
    "unknown ending": ("x.dat", "1", [], [r"x\.dat", "format"]),
    "another format": ("x.parquet", b"PAR1", [], [r"x\.parquet", "format", "save it as CSV"]),
    "UTF-16": ("x.csv", CSV.encode("utf-16"), ["--labels", "l"], [r"x\.csv", "expected UTF-8, found UTF-16 ", "iconv"]),
    "UTF-16 without a mark": ("x.arff", (HEADER + ROWS).encode("utf-16-be"), [], [r"x\.arff", "UTF-8, found UTF-16BE"]),
    "UTF-16 of spreadsheets": ("x.txt", CSV.replace(",", "\t").encode("utf-16"), ["--labels", "l"], ["found UTF-16 "]),
    "UTF-16 packed": ("x.jsonl.gz", gzip.compress('{"x": {"a": 1}}'.encode("utf-16")), [], [r"as UTF-8\)"]),
    "UTF-32": ("x.svm", "1 2:3\n".encode("utf-32"), [], ["expected UTF-8, found UTF-32 "]),
    "CSV as text": ("x.txt", CSV, ["--labels", "l"], [r"x\.txt: svmlight by its ending", "'a,b,l'", "--format csv"]),
    "numbers as text": ("x.txt", "1,2,0\n3,4,1\n", [], [r"x\.txt", "looks like csv: say --format csv"]),
    "ARFF as text": ("x.txt", HEADER + ROWS, [], [r"x\.txt", "say --format arff"]),
    "JSON as text": ("x.txt", '{"x": {"a": 1}}\n', [], [r"x\.txt", "say --format jsonl"]),
    "prose": ("x.txt", "once upon\na time\n", [], [r"x\.txt", r"--format arff \| csv"]),
    "no such file": ("y.arff", "", ["--source", "x.arff"], [r"x\.arff", "no such file"]),
    "a directory": ("y.arff", "", ["--source", "."], [r"\."]),
}  # fmt: skip
CONFIGURATIONS: dict[str, tuple[str, list[str]]] = {
    "unknown config key": ("stream:\n  limt: 3\n", [r"run\.yaml, line 2", "'stream.limt'", "mean 'stream.limit'"]),
    "wrong type": ("stream:\n  limit: soon\n", [r"run\.yaml, line 2", r"stream\.limit", "expected integer", "'soon'"]),
    "junk": ("\x01\x02", [r"run\.yaml"]),
}  # fmt: skip
SUBPROCESS = {
    "empty file", "no labels", "truncated gzip", "too few columns", "label index out of range", "NaN", "infinity",
    "duplicate names", "10 MB line", "binary junk", "unknown config key", "wrong type",
}  # fmt: skip


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def arguments(name, tmp_path):
    """The command line of a case, its file written, and the patterns of its message."""
    if name in CONFIGURATIONS:
        text, patterns = CONFIGURATIONS[name]
        (tmp_path / "run.yaml").write_text(text)
        return ["evaluate", "run.yaml"], patterns
    file, content, more, patterns = FILES[name]
    (tmp_path / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    return ["evaluate", "--model", "no_change", "--source", file, *more], patterns


def check(code, out, err, patterns, tmp_path):
    assert code == 2, err
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert len(err) < 500
    assert "Traceback" not in err
    assert not [pattern for pattern in patterns if not re.search(pattern, err)], err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", [*FILES, *CONFIGURATIONS])
def test_bad_input(name, tmp_path, capsys):
    command, patterns = arguments(name, tmp_path)
    code = main(command)
    shown = capsys.readouterr()
    check(code, shown.out, shown.err, patterns, tmp_path)


@pytest.mark.parametrize("name", sorted(SUBPROCESS))
def test_bad_input_as_users_meet_it(name, tmp_path):
    command, patterns = arguments(name, tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "stream_ml.cli", *command], capture_output=True, text=True, check=False
    )
    check(done.returncode, done.stdout, done.stderr, patterns, tmp_path)


@pytest.mark.parametrize("name", ["too few columns", "label value out of range", "NaN", "too many columns"])
def test_bad_rows_can_be_skipped(name, tmp_path, capsys):
    command, _ = arguments(name, tmp_path)
    assert main([*command, "--on-error", "skip", "--out", "out"]) == 0
    assert "1 malformed lines skipped" in capsys.readouterr().out
