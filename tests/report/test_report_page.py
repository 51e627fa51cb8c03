"""The page: valid, whole, small, and honest about what is missing; and the command that writes it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import orjson
import pytest
from markupsafe import escape as markup_escape

from stream_ml.cli import report as command
from stream_ml.cli.main import main
from stream_ml.labels._cut_kernels import STATISTICS
from stream_ml.report import words
from stream_ml.report.contents import TOLD, contents_of, label_rows, metric_rows
from stream_ml.report.run_data import RunData, read_run
from stream_ml.report.time_plots import lanes_of, memory_parts, whole_windows
from stream_ml.report.words import COLUMN_TITLES

VOID = {"meta", "link", "br", "hr", "img", "input"}
SECTIONS = (
    "overview",
    "over-time",
    "clusters",
    "together",
    "labels",
    "experts",
    "trees",
    "resources",
    "configuration",
)


class Page(HTMLParser):
    """A page as a strict reader sees it: everything that is opened is closed, in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.loads, self.tags, self.tips = [], [], [], {}, []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self._note(tag, attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self._note(tag, attributes)

    def handle_endtag(self, tag):
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "title" and "svg" in self.open:
            self.tips.append(data)

    def _note(self, tag, attributes):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names)), attributes
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            elif name in ("src", "href", "srcset", "data", "action", "poster"):
                self.loads.append(value)
            self.loads += re.findall(r"url\(([^)]*)\)", value or "")


def check_page(text):
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    inside = {f"#{name}" for name in page.ids}
    assert {load for load in page.loads if load != "data:,"} <= inside
    assert "http://" not in text
    assert "https://" not in text
    assert "@import" not in text
    assert len(text.encode()) < 3_000_000
    assert set(SECTIONS) <= set(page.ids)
    return page


def test_the_page_of_a_run(runs):
    text = (runs["drifts"] / "report.html").read_text()
    page = check_page(text)
    assert page.tags["svg"] > 8
    assert 'class="note"' not in text.partition("<body>")[2]
    for mark in ("known drift at 2,000: sudden concept", "drift at 2,", "split at "):
        assert any(tip.startswith(mark) for tip in page.tips), mark
    summary = orjson.loads((runs["drifts"] / "summary.json").read_bytes())
    assert f"{summary['metrics']['micro_f1']:.4f}" in text
    assert f"{summary['baselines']['no_change']['micro_f1']:.4f}" in text
    assert "generator: " not in text
    assert all(f">y{i}</td>" in text for i in range(12))
    assert "grace_period" in text
    # colours are the page's, so that a theme can change them
    assert not re.findall(r"#[0-9a-f]{6}", text.partition("<body>")[2])


def test_what_is_new_to_a_reader_is_explained(runs):
    text = (runs["drifts"] / "report.html").read_text()
    run = read_run(runs["drifts"])
    contents = contents_of(run)
    given = {name for event in run.events if event["kind"] in TOLD for name in event["reason"]}
    assert {"eps", "n", "kept_before", "window_mean", "rise"} <= given
    assert {name.replace("_", " ") for name in given} == {name for name, _ in contents.event_terms}
    assert {"eps", "n"} <= {name for name, _ in contents.change_terms}
    for name, meaning in [*contents.event_terms, *contents.change_terms]:
        assert f"<dt>{name}</dt><dd>{escape(meaning, quote=False)}".replace("'", "&#39;") in text
    assert all(f'title="{markup_escape(meaning)}"' in text for meaning in COLUMN_TITLES.values())


def test_every_number_of_a_change_has_a_meaning():
    """As they stand in the sources of label clusters and of drift detection."""
    root = Path(words.__file__).parents[1]
    sources = "".join((root / name).read_text() for name in ("labels/odac.py", "labels/cut.py", "ihomer/watch.py"))
    lines = re.findall(r"reason = (?:reason \| )?\{[^}]*\}|reason \| \{[^}]*\}", sources)
    names = {name for line in lines for name in re.findall(r'"(\w+)":', line)} | set(STATISTICS)
    assert {"d0", "avg", "gained_share", "moved", "excess_after", "kept_after", "rise"} <= names
    assert names <= set(words.STATISTICS)


def test_runs_stand_side_by_side(runs):
    text = runs["both.html"].read_text()
    check_page(text)
    assert text.count('class="of-run">frequent') == text.count('class="of-run">plain') > 5
    assert "The model no_change has none." in text


def test_a_run_of_an_older_version_says_what_is_missing(runs, tmp_path, capsys):
    old = tmp_path / "old"
    shutil.copytree(runs["drifts"], old)
    for name in ("structure.json", "resources.csv", "report.html"):
        (old / name).unlink()
    assert main(["report", str(old)]) == 0
    text = (old / "report.html").read_text()
    page = check_page(text)
    assert text.count("has no structure.json, which older versions did not write") == 4
    assert text.count("has no resources.csv") == 1
    assert "run it again, stream-ml evaluate config.yaml" in text
    assert any(tip.startswith("cluster 0 → ") and "y0" in tip for tip in page.tips)  # flows need events alone


def test_a_run_that_scored_nothing_has_a_report(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"x": {"a": 1}}\n' * 7)
    line = ["evaluate", "--source", str(tmp_path / "a.jsonl"), "--out", str(tmp_path / "out"), "--model", "no_change"]
    assert main([*line, "--quiet", "--report"]) == 0
    assert "No instance was scored." in (tmp_path / "out" / "report.html").read_text()


def test_plots_go_to_files(runs, tmp_path, capsys):
    plots = tmp_path / "plots"
    line = ["report", str(runs["drifts"]), "--out", str(tmp_path / "r.html"), "--plots", str(plots)]
    assert main(line) == 0
    names = {"metrics", "flow", "cooccurrence", "experts", "resources", "reliability"}
    assert names | {"change0-before", "change0-after"} <= {path.stem for path in plots.iterdir()}
    for name in names:
        assert (plots / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert ElementTree.parse(plots / f"{name}.svg").getroot().tag.endswith("svg")
    assert f"plots: {len(list(plots.iterdir()))} files in {plots}" in capsys.readouterr().out


def test_the_same_runs_give_the_same_page(runs, tmp_path, capsys):
    out = tmp_path / "again.html"
    assert main(["report", str(runs["frequent"]), str(runs["plain"]), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"report: {out}\n"
    assert out.read_bytes() == runs["both.html"].read_bytes()


def test_mistakes_are_told_in_a_line(runs, tmp_path, capsys, monkeypatch):
    empty, mine, broken = tmp_path / "empty", tmp_path / "mine.html", tmp_path / "broken"
    empty.mkdir()
    mine.write_text("my page")
    shutil.copytree(runs["plain"], broken)
    cases = [
        ([tmp_path / "none"], "none: is no directory; expected the directory of a run"),
        ([empty], "empty: holds no summary.json; expected the directory of a run that has ended"),
        ([runs["plain"], "--out", mine], "mine.html: is there already, and no report; name another file with --out"),
        ([runs["plain"], "--out", tmp_path], "cannot be written: is a directory"),
        ([], "Missing argument 'RUN_DIR...'"),
    ]
    for name, content, problem in (
        ("events.jsonl", "{}\n", "events.jsonl:1: is no event"),
        ("windows.csv", "instance\nmany\n", "windows.csv:2: expected a number in every cell"),
        ("structure.json", "[1]", "structure.json: expected an object, found list"),
        ("summary.json", "{}", "summary.json: is not that of a run"),
    ):
        damaged = tmp_path / f"damaged {name}"
        shutil.copytree(runs["plain"], damaged)
        (damaged / name).write_text(content)
        cases.append(([damaged], problem))
    for arguments, problem in cases:
        assert main(["report", *map(str, arguments)]) == 2
        error = capsys.readouterr().err
        assert problem in error
        assert error.count("\n") == 1
    assert mine.read_text() == "my page"


def test_without_its_packages_evaluate_says_how_to_get_them(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(command, "PACKAGES", ("jinja2", "no_such_package"))
    monkeypatch.chdir(tmp_path)
    line = ["evaluate", "--model", "no_change", "--limit", "60", "--out", "out"]
    assert main(line) == 0
    told = "report: needs no_such_package: pip install 'stream-ml[report]', then stream-ml report out\n"
    assert capsys.readouterr().out.endswith(told)
    assert not Path("out/report.html").exists()
    assert main([*line, "--overwrite", "--report"]) == 2
    assert main(["report", "out"]) == 2
    wanted = "error: a report needs no_such_package: pip install 'stream-ml[report]'\n"
    assert capsys.readouterr().err == wanted * 2
    assert main([*line, "--overwrite", "--no-report"]) == 0
    assert "report:" not in capsys.readouterr().out


def test_plots_are_loaded_for_a_report_only(tmp_path):
    code = "import sys; from stream_ml.cli.main import main; main({}); print('matplotlib' in sys.modules)"
    for line in (["--help"], ["evaluate", "--model", "no_change", "--limit", "50", "--quiet"]):
        done = subprocess.run(
            [sys.executable, "-c", code.format(line)], capture_output=True, text=True, check=True, cwd=tmp_path
        )
        assert done.stdout.endswith("False\n")


# -- shaping --------------------------------------------------------------------------------------------------------


def run_of(name="a", stream="s", **parts):
    summary = {"stream": {"name": stream}, "model": {"name": "m"}, "n_scored": 9, "metrics": {}, "baselines": {}}
    return RunData(name, summary | parts.pop("summary", {}), **parts)


def test_the_best_of_a_row_is_of_one_stream():
    one = {
        "metrics": {"micro_f1": 0.5, "hamming_loss": 0.2},
        "baselines": {"b": {"micro_f1": 0.1, "hamming_loss": 0.1}},
    }
    two = {"metrics": {"micro_f1": 0.7, "hamming_loss": None}, "baselines": {}}

    def best(*runs):
        return {row["metric"]: [cell["best"] for cell in row["cells"]] for row in metric_rows(runs)}

    same = best(run_of(summary=one), run_of(summary=two))
    assert same == {"micro_f1": [False, False, True], "hamming_loss": [False, True, False]}
    others = best(run_of(summary=one), run_of(stream="t", summary=two))
    assert others == {"micro_f1": [True, False, False], "hamming_loss": [False, True, False]}


def test_precision_of_more_labels_than_there_are_is_left_out():
    metrics = {"micro_f1": 0.5, "precision_at_1": 0.9, "precision_at_3": 0.6, "precision_at_5": 0.4}
    few, many = ({"stream": {"name": "s", "n_labels": n}, "metrics": metrics} for n in (3, 6))
    assert [row["metric"] for row in metric_rows([run_of(summary=few)])] == ["micro_f1", "precision_at_1"]
    assert [row["metric"] for row in metric_rows([run_of(summary=few), run_of(summary=many)])] == list(metrics)


def test_labels_are_told_with_their_scores():
    labels = [{"name": "l", "position": 0, "tp": 6, "fp": 2, "fn": 4, "threshold": 0.4, "weights": [-2.0, 0.1, 0.7]}]
    labels += [{"name": "never", "position": 1, "tp": 0, "fp": 0, "fn": 0}]
    experts = ["linear", "prior", "neighbours"]
    first, second = label_rows(run_of(structure={"labels": labels, "experts": experts}))
    assert first["support"] == 10
    assert (first["precision"], first["recall"], first["f1"]) == (0.75, 0.6, pytest.approx(2 / 3))
    assert first["expert"] == "nearest neighbours"
    assert (second["f1"], second["expert"], second["threshold"]) == (0.0, None, None)


def test_a_last_window_that_is_hardly_begun_is_left_out():
    rows = [{"instance": 100.0, "rows": 100.0}, {"instance": 200.0, "rows": 100.0}, {"instance": 203.0, "rows": 3.0}]
    assert whole_windows(rows) == rows[:2]
    assert whole_windows(rows[2:]) == rows[2:]


def test_small_parts_of_memory_are_added_up():
    rows = [{"instance": 1.0, "rss_mb": 9.0, **{f"p{i}": (10 - i) * 2.0**20 for i in range(9)}}]
    parts = memory_parts(rows)
    assert [name for name, _ in parts] == ["p0", "p1", "p2", "p3", "p4", "all others"]
    assert sum(values[0] for _, values in parts) == sum(range(2, 11))


def test_every_kind_of_mark_has_its_row(runs):
    run = read_run(runs["drifts"])
    rows = {name: [event["instance"] for event in events] for name, _, events in lanes_of(run)}
    assert rows["known drift"] == [2000]
    assert {"drift", "split"} <= set(rows)
    assert sum(map(len, rows.values())) <= len(run.events) + 1
    contents = contents_of(run)
    assert contents.notes == {}
    assert len(contents.labels) == 12
    assert contents.changes[0].title.startswith("split at ")


def test_names_of_any_kind_are_shown_as_they_are(tmp_path):
    names = ["<script>alert(1)</script>", "$x^2$", "ラベル", "q\"'&;", "tab\there\x0b", "}{{ 1 }}"]
    rows = []
    for i in range(700):
        pair = (i * 7 + i // 3) % 3
        rows.append(orjson.dumps({"x": {f"<{pair}>": 1 + i % 2}, "y": [names[2 * pair], names[2 * pair + 1]]}))
    (tmp_path / "<i>.jsonl").write_bytes(b"\n".join(rows))
    line = ["evaluate", "--source", str(tmp_path / "<i>.jsonl"), "--out", str(tmp_path / "out"), "--window", "100"]
    assert main([*line, "--quiet", "--report"]) == 0
    text = (tmp_path / "out" / "report.html").read_text()
    page = check_page(text)
    assert page.tags["script"] == 1
    assert "1 }}" in text
    assert any("<script>alert(1)</script>" in tip for tip in page.tips)
    for name in names[:4]:
        assert escape(name, quote=False) in text or escape(name) in text or str(markup_escape(name)) in text
