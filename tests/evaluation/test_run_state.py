"""A run's state, taken anywhere and gone on from, leads to the same end; a stream that changed is refused."""

from __future__ import annotations

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams_strategy import small_streams

from stream_ml.errors import ArtefactError, DataError
from stream_ml.evaluation import RunState, part_of, prequential
from stream_ml.ihomer.events import Event
from stream_ml.streams import LEARN, PREDICT, Batch, Predictions

quick = settings(deadline=None, derandomize=True, max_examples=30)


class Frequencies:
    """Predicts each label's frequency so far; tells of every tenth row. For another objective: nothing."""

    parameters: dict = {}  # noqa: RUF012

    def __init__(self):
        self.seen, self.events = np.zeros(0), []
        self.rows = np.zeros(1)

    def test_then_train(self, batch):
        self.seen = np.concatenate([self.seen, np.zeros(batch.n_labels - len(self.seen))])
        p, y = np.zeros((len(batch), batch.n_labels), np.float32), batch.y_dense()
        for row, mode in enumerate(batch.mode):
            if mode & PREDICT:
                p[row] = self.seen / max(1, self.rows[0])
            if mode & LEARN:
                self.rows += 1
                self.seen += y[row]
                if self.rows[0] % 10 == 0:
                    self.events.append(Event("split", int(self.rows[0]), "cluster", "0", {"b": 0.1, "a": 1.5}))
        chosen = p >= 0.4
        nothing = Predictions(np.zeros(len(batch) + 1, np.int64), np.zeros(0, np.int32))
        indptr = np.concatenate([[0], chosen.sum(axis=1).cumsum()])
        return Predictions(indptr, np.nonzero(chosen)[1].astype(np.int32), p, {"nothing": nothing})

    def drain_events(self):
        events, self.events = self.events, []
        return events

    def state_dict(self):
        return {"seen": self.seen, "rows": self.rows}

    def load_state_dict(self, state):
        self.seen, self.rows = state["seen"].copy(), state["rows"].copy()


class Cut:
    """A batch, cut into batches of some size."""

    name = "cut"

    def __init__(self, whole: Batch, size: int, stop: int | None = None):
        self.whole, self.size, self.stop = whole, size, stop

    def __iter__(self):
        for start in range(0, len(self.whole), self.size):
            if self.stop is not None and start >= self.stop:
                raise KeyboardInterrupt
            yield self.whole.rows(start, min(start + self.size, len(self.whole)))


def saved(state):
    """The state as a file would give it back."""
    facts = orjson.loads(orjson.dumps(state.facts, option=orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY))
    return RunState({name: array.copy() for name, array in state.arrays.items()}, facts)


def outcome(result):
    clock = {"seconds", "wall_seconds", "peak_rss_mb", "instances_per_second"}
    summary = {key: value for key, value in result.summary.items() if key not in clock}
    # as bytes: the order of keys counts, too
    return orjson.dumps([summary, result.windows, [event.to_dict() for event in result.events]])


def stopped(stream, **options):
    states = []
    result = prequential(stream, Frequencies(), on_checkpoint=lambda s: states.append(saved(s)), **options)
    return result, states


@quick
@given(small_streams(), st.integers(1, 9), st.integers(1, 9), st.integers(0, 60), st.integers(1, 25))
def test_going_on_is_never_having_stopped(batch, before, after, stop, window):
    whole = prequential(Cut(batch, 7), Frequencies(), window=window, fading=0.9)
    part, (state,) = stopped(Cut(batch, before, stop), window=window, fading=0.9)
    assert state.facts["finished"] is not part.summary["interrupted"]
    model = Frequencies()
    if state.facts["n_rows"]:
        model.load_state_dict(part_of(state.arrays, "model."))
    rest = prequential(Cut(batch, after), model, window=window, fading=0.9, start=state)
    assert outcome(rest) == outcome(whole)


def made(rows=200, seed=0):
    rng = np.random.default_rng(seed)
    from stream_ml.streams import Feature, Schema

    schema = Schema([Feature("a"), Feature("b")], ["p", "q", "r"])
    return Batch.from_dense(schema, rng.normal(size=(rows, 2)), rng.random((rows, 3)) < 0.4)


def test_checkpoints_come_at_the_ends_of_batches():
    _, states = stopped(Cut(made(), 30), checkpoint_every=50)
    assert [s.facts["n_rows"] for s in states] == [60, 120, 150, 200, 200]
    assert [s.facts["finished"] for s in states] == [False] * 4 + [True]


def test_an_interrupt_within_a_batch_gives_no_checkpoint():
    def act(batch, predictions):
        raise KeyboardInterrupt

    result, states = stopped(Cut(made(), 30), on_predictions=act)
    assert result.summary["interrupted"]
    assert states == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b.x_values.__setitem__(5, 9.0), "first 90 rows are not those"),
        (lambda b: b.mode.__setitem__(5, LEARN), "first 90 rows are not those"),
        (lambda b: b.labelled.__setitem__(5, False), "first 90 rows are not those"),
        (lambda b: b.y_indices.__setitem__(0, (b.y_indices[0] + 1) % 3), "first 90 rows are not those"),
        (lambda b: b.schema.labels.__setitem__(1, "z"), "other labels than the run had met; expected q, found z"),
        (lambda b: b.schema.features.pop(), "another number of features"),
    ],
)
def test_another_stream_is_refused(change, message):
    _, (state,) = stopped(Cut(made(), 30, 90))
    other = made()
    change(other)
    with pytest.raises(DataError, match=message):
        prequential(Cut(other, 40), Frequencies(), start=state)
    with pytest.raises(DataError, match="fewer rows than the run had read; expected at least 90, found 80"):
        prequential(Cut(made(80), 40), Frequencies(), start=state)


def test_a_state_whose_parts_do_not_fit_is_refused():
    _, (state,) = stopped(Cut(made(), 30, 90))
    for name in ("windows", "scored.model.overall.counts", "baseline.no_change.last"):
        lacking = RunState({key: array for key, array in state.arrays.items() if key != name}, state.facts)
        with pytest.raises(ArtefactError, match="do not fit together"):
            prequential(Cut(made(), 30), Frequencies(), start=lacking)
