"""The stream that a configuration names, and how many rows it will have."""

from __future__ import annotations

import gzip

import pytest

from stream_ml.cli.config import StreamSection
from stream_ml.cli.sources import expected_rows, open_source
from stream_ml.errors import ConfigError

ARFF = "% a comment\n@relation 'x: -C 1'\n@attribute p {0,1}\n@attribute a numeric\n\n@DATA\n" + "0,1.5\n1,2.5\n" * 30


@pytest.fixture
def arff(tmp_path):
    path = tmp_path / "x.arff.gz"
    path.write_bytes(gzip.compress(ARFF.encode()))
    return str(path)


def rows(stream):
    return sum(len(batch) for batch in stream)


@pytest.mark.parametrize("settings", [{}, {"delay": 3}, {"limit": 10}, {"limit": 10, "delay": 3}, {"shuffle": 1}])
def test_rows_of_a_file(arff, settings):
    section = StreamSection(source=arff, **settings)
    stream = open_source(section)
    assert expected_rows(stream, section) == rows(stream)


def test_files_without_a_header_or_a_last_line_end(tmp_path):
    path = tmp_path / "x.svm"
    path.write_text("0 1:2\n1 1:3\n0 2:1")
    section = StreamSection(source=str(path))
    stream = open_source(section)
    assert expected_rows(stream, section) == rows(stream) == 3


def test_large_files_are_not_read_twice(arff, monkeypatch):
    monkeypatch.setattr("stream_ml.cli.sources.COUNTED_BYTES", 10)
    section = StreamSection(source=arff)
    assert expected_rows(open_source(section), section) is None


@pytest.mark.parametrize("settings", [{}, {"delay": 100}, {"limit": 3000}, {"limit": 3000, "shuffle": 2}])
def test_built_in_stream(settings):
    section = StreamSection(**settings)
    stream = open_source(section)
    assert stream.batch_size == 1000
    expected = settings.get("limit", 50_000) * (2 if "delay" in settings else 1)
    assert expected_rows(stream, section) == expected
    assert len(next(iter(stream))) == 1000


@pytest.mark.parametrize("settings", [{"labels": "last:3"}, {"format": "csv"}])
def test_settings_of_files_need_a_file(settings):
    with pytest.raises(ConfigError, match=r"no stream\.source"):
        open_source(StreamSection(**settings))
