"""`stream-ml predict` in-process: what is written, what is matched, what is told."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import numpy as np
import orjson
import pytest
from serving.records import records_of

from stream_ml import IHomerClassifier, open_stream
from stream_ml.cli.main import main
from stream_ml.evaluation import Metrics
from stream_ml.serving.checkpoints import CheckpointFolder
from stream_ml.serving.engine import Engine, EngineOptions

LABELS = ["urgent", "spam", "one, two"]
ROWS = 300


def rows():
    rng = random.Random(3)
    for _ in range(ROWS):
        a, b = round(rng.gauss(0, 1), 3), round(rng.gauss(0, 1), 3)
        yield {"a": a, "b": b, "c": rng.choice("rgb"), "urgent": int(a > 0), "spam": int(b > 0), "one, two": int(a > 1)}


def write_csv(path, columns, extra=()):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*columns, *extra])
        writer.writerows([[row[name] for name in columns] + [7] * len(extra) for row in rows()])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    write_csv(folder / "train.csv", ["a", "b", "c", *LABELS])
    line = ["evaluate", "--source", str(folder / "train.csv"), "--labels", 'urgent,spam,"one, two"', "-q"]
    more = ["--save-model", str(folder / "model"), "--checkpoint-every", "100", "--out", str(folder / "run")]
    assert main([*line, *more]) == 0
    return folder


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def predict(model, source, *more):
    return main(["predict", str(model), "--source", str(source), *more])


def lines(path):
    return [orjson.loads(line) for line in Path(path).read_bytes().splitlines()]


def test_what_is_written_is_what_the_model_says(trained, capsys):
    assert predict(trained / "model", trained / "train.csv", "--out", "p.jsonl", "--score", "--batch-size", "70") == 0
    shown = capsys.readouterr()
    assert shown.err == "predictions of 300 instances: p.jsonl\n"
    model, metrics = IHomerClassifier.load(trained / "model"), Metrics()
    (batch,) = open_stream(trained / "train.csv", labels=LABELS)
    predictions = model.predict(batch)
    metrics.update(batch, predictions)
    written = lines("p.jsonl")
    assert [line["row"] for line in written] == list(range(ROWS))
    assert all(list(line) == ["row", "labels", "probabilities"] for line in written)
    chosen = [set(z) for z in np.split(predictions.label_indices, predictions.label_indptr[1:-1])]
    assert [set(line["labels"]) for line in written] == [{batch.schema.labels[m] for m in z} for z in chosen]
    for line, p in zip(written, predictions.probabilities, strict=True):
        assert list(line["probabilities"].values()) == sorted(line["probabilities"].values(), reverse=True)
        assert line["probabilities"] == pytest.approx(dict(zip(batch.schema.labels, p.tolist(), strict=True)), abs=1e-6)
    assert "300 instances scored" in shown.out
    assert f"{metrics.result()['micro_f1']:.4f}" in shown.out
    assert "precision at 1" in shown.out
    assert "precision at 3" not in shown.out  # of three labels it is the same in whatever order


def test_features_alone_in_any_order(trained, capsys):
    assert predict(trained / "model", trained / "train.csv") == 0
    whole = capsys.readouterr()
    write_csv("x.csv", ["c", "b", "a"])
    assert predict(trained / "model", "x.csv") == 0
    assert capsys.readouterr() == whole
    write_csv("x.csv", ["c", "spam", "a"], ["more", "and"])
    assert predict(trained / "model", "x.csv", "--out", "p.jsonl") == 0
    assert capsys.readouterr().err.splitlines() == [
        "warning: features of the model that are not in the stream: 1 of 3 (missing values): b",
        "warning: features of the stream that are not the model's: 2 (left out): more, and",
        "warning: labels of the model that have a column: 1 of 3",
        "predictions of 300 instances: p.jsonl",
    ]
    assert predict(trained / "model", "x.csv", "--out", "p.jsonl", "--quiet") == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("known", ["1,2,none", "1,2,none,(other)"])
def test_numbers_are_values_where_the_model_says_so(known, capsys):
    """A nominal column that shows only numbers is read as the model has it, from CSV and from JSON Lines."""
    values = known.split(",")
    table = [(i % 7, values[i % 3]) for i in range(300)]
    lines_of = [f"{n},{value},{int(value == '1')}" for n, value in [*table, (3, values[-1])]]
    Path("train.csv").write_text("\n".join(["n,size,small", *lines_of]))
    line = ["evaluate", "--source", "train.csv", "--labels", "small", "--save-model", "model", "--out", "run", "-q"]
    assert main(line) == 0
    Path("plain.csv").write_text("\n".join(["size,n", *(f"{1 + i % 2},{i % 7}" for i in range(40))]))
    Path("new.csv").write_text("size,n\n" + "1,3\n2,3\n" * 20 + "7,3\n" * 5 + "?,3\n")
    objects = [{"x": {"n": i % 7, "size": (1, 2.0, "1", 2, True, "2")[i % 6]}} for i in range(40)]
    Path("plain.jsonl").write_bytes(b"\n".join(map(orjson.dumps, objects)))
    capsys.readouterr()
    assert predict("model", "plain.csv", "--out", "csv.jsonl", "--batch-size", "7") == 0
    assert predict("model", "plain.jsonl", "--out", "json.jsonl") == 0
    assert "warning" not in capsys.readouterr().err
    assert Path("csv.jsonl").read_bytes() == Path("json.jsonl").read_bytes()
    assert [row["labels"] == ["small"] for row in lines("csv.jsonl")] == [True, False] * 20
    what = "(other)" if "(other)" in values else "missing values"
    told = [f"warning: values of nominal features that are not the model's: 5 ({what})"]
    assert predict("model", "new.csv", "--out", "p.jsonl", "--batch-size", "10") == 0
    assert [text for text in capsys.readouterr().err.splitlines() if "warning" in text] == told
    if what == "missing values":
        *_, new, missing = lines("p.jsonl")
        assert new["probabilities"] == missing["probabilities"]
    # and learning goes on with what it knows
    line = ["evaluate", "--model-file", "model", "--source", "plain.csv", "--labels", "column:n", "--out", "more"]
    assert main([*line, "--no-report"]) == 0


def test_nominal_features_of_a_sparse_model_are_read_from_json_lines(capsys):
    """One that is left out has its first value, as in sparse ARFF."""
    rows = "".join(f"{{0 {('red', 'blue', 'green')[i % 3]}, 1 {i % 5 + 1}, 2 {int(i % 3 == 1)}}}\n" for i in range(300))
    attributes = "@attribute colour {red,blue,green}\n@attribute n numeric\n@attribute isblue {0,1}\n"
    Path("train.arff").write_text(f"@relation 'x: -C -1'\n{attributes}@data\n{rows}")
    assert main(["evaluate", "--source", "train.arff", "--save-model", "model", "--out", "run", "-q"]) == 0
    colours = [{}, {"colour": "red"}, {"colour": "blue"}, {"colour": "mauve"}]
    Path("new.jsonl").write_bytes(b"\n".join(orjson.dumps({"x": {"n": 2, **colour}}) for colour in colours * 5))
    capsys.readouterr()
    assert predict("model", "new.jsonl", "--out", "p.jsonl") == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert told == ["warning: values of nominal features that are not the model's: 5 (missing values)"]
    found = lines("p.jsonl")
    assert [row["labels"] for row in found[:3]] == [[], [], ["isblue"]]
    assert found[0]["probabilities"] == found[1]["probabilities"]


def test_csv_is_quoted(trained):
    assert predict(trained / "model", trained / "train.csv", "--out", "p.csv", "--top", "2") == 0
    assert predict(trained / "model", trained / "train.csv", "--out", "p.jsonl", "--top", "2") == 0
    with open("p.csv", newline="") as file:
        records = list(csv.DictReader(file))
    assert len(records) == ROWS
    for record, line in zip(records, lines("p.jsonl"), strict=True):
        assert int(record["row"]) == line["row"]
        assert next(csv.reader([record["labels"]]), []) == line["labels"]
        ranked = [(record[f"label_{k}"], float(record[f"probability_{k}"])) for k in (1, 2)]
        assert ranked == list(line["probabilities"].items())


def test_a_checkpoint_is_a_model_too(trained):
    for model in (trained / "model", trained / "run", trained / "run/checkpoint.safetensors"):
        assert predict(model, trained / "train.csv", "--out", f"{model.name}.jsonl") == 0
    assert Path("run.jsonl").read_bytes() == Path("checkpoint.safetensors.jsonl").read_bytes()
    assert Path("run.jsonl").read_bytes() == Path("model.jsonl").read_bytes()


def test_a_checkpoint_of_the_service_is_a_model_too(capsys):
    engine, records = Engine(IHomerClassifier(), options=EngineOptions()), []
    for i, row in enumerate(rows()):
        x = {name: row[name] for name in "abc"}
        records.append({"id": f"m{i}", "x": x, "y": [label for label in LABELS if row[label]]})
    engine.process(records_of(records))
    arrays, rest = engine.snapshot()
    others, facts = rest()
    folder = CheckpointFolder(Path("checkpoints"))
    Path("checkpoints").mkdir()
    folder.write(1, 1, arrays | others, facts)
    features = [{key: record[key] for key in ("id", "x")} for record in records[::-1]]
    Path("x.jsonl").write_bytes(b"\n".join(map(orjson.dumps, features)))
    assert predict(folder.generations()[0], "x.jsonl", "--limit", "5", "--top", "1") == 0
    shown = capsys.readouterr()
    written = [orjson.loads(line) for line in shown.out.splitlines()]
    assert [line["id"] for line in written] == [f"m{ROWS - 1 - i}" for i in range(5)]
    assert shown.err == ""
    # and learning can go on
    line = ["evaluate", "--model-file", str(folder.generations()[0]), "--source", "x.jsonl", "--out", "o"]
    assert main([*line, "--no-report"]) == 0
    assert "nothing was scored" in capsys.readouterr().out


def test_what_cannot_be(trained, capsys):
    Path("x.csv").write_text("p,q\n1,2\n")
    Path("kind.csv").write_text("a,c\nred,1\nblue,1\n")
    Path("kind.arff").write_text("@relation r\n@attribute a {red,blue}\n@data\nred\nblue\n")
    Path("empty.csv").write_text("a,b,c\n")
    write_csv("features.csv", ["c", "b", "a"])
    Path("kept.jsonl").write_text("before")
    IHomerClassifier().save("fresh")
    cases = {
        ("model", "x.csv"): "x: no feature is one of the model's; expected a, b, c, found p, q",
        ("model", "kind.csv"): "kind.csv, line 2, field 'a': not a number; expected a number, found 'red'",
        ("model", "kind.arff"): "field 'a': a feature of another kind than the model's; expected numeric, found nomin",
        ("model", "empty.csv"): "holds no instances",
        ("model", "no.csv"): "no.csv: no such file",
        ("model", "features.csv", "--score"): "no column is one of the model's labels",
        ("model", "features.csv", "--top", "-1"): "--top -1: expected 0 or more",
        ("model", "features.csv", "--objective", "f1"): "--objective f1: expected one of balanced, ",
        ("model", "features.csv", "--labels", "z"): "no column for label",
        ("model", "features.csv", "--on-error", "go"): "--on-error go: expected raise or skip",
        ("model", "features.csv", "--out", "no/where"): "--out no/where: cannot be written: no such file or directory",
        ("train.csv", "features.csv"): "damaged or not a model",
        ("nothing", "features.csv"): "no such file",
        (".", "features.csv"): "is a directory; expected a model's file",
    }
    for (model, source, *more), message in cases.items():
        assert predict(trained / model, source, *(more or ["--out", "kept.jsonl"])) == 2, message
        shown = capsys.readouterr()
        assert message in shown.err
        assert shown.err.splitlines()[-1].startswith("error: ")
        assert shown.out == ""
    assert predict("fresh", "features.csv") == 2
    assert "the model has learned no label yet" in capsys.readouterr().err
    assert Path("kept.jsonl").read_text() == "before"
    assert not [path for path in Path().iterdir() if path.name.endswith(".part")]


def test_the_objective_may_be_another_and_bad_lines_be_skipped(trained, capsys):
    text = (trained / "train.csv").read_text().splitlines()
    Path("x.csv").write_text("\n".join([*text[:50], "1,2", *text[50:]]))
    assert predict(trained / "model", "x.csv", "--out", "a.jsonl", "--on-error", "skip") == 0
    assert "warning: 1 malformed lines skipped; x.csv, line 51" in capsys.readouterr().err
    for name in ("subset_accuracy", "macro_f1"):
        assert predict(trained / "model", "x.csv", "--out", name, "--on-error", "skip", "--objective", name) == 0
    first, second = lines("subset_accuracy"), lines("macro_f1")
    assert [line["probabilities"] for line in first] == [line["probabilities"] for line in second]
    assert [line["labels"] for line in first] != [line["labels"] for line in second]


def test_the_directory_of_a_run_is_the_model_in_it_or_is_told(trained, capsys):
    run = trained / "run"
    assert main(["inspect", str(run)]) == 0
    by_directory = capsys.readouterr().out
    assert by_directory.startswith(f"{run / 'checkpoint.safetensors'}:\n300 instances learned")
    assert main(["inspect", str(run / "checkpoint.safetensors")]) == 0
    assert capsys.readouterr().out == by_directory
    line = ["evaluate", "--source", str(trained / "train.csv"), "--labels", "last:3", "-q", "--out", "alone"]
    assert main(line) == 0
    Path("empty").mkdir()
    cases = {"alone": "alone: is the directory of a run, and holds no model; a run writes", "empty": "expected a model"}
    for name, message in cases.items():
        for command in (["inspect"], ["predict", "--source", str(trained / "train.csv")]):
            assert main([*command, name]) == 2
            assert message in capsys.readouterr().err
    assert predict("alone", trained / "train.csv") == 2
    assert "to the file that --save-model FILE names" in capsys.readouterr().err
