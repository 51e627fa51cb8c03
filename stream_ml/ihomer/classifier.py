"""The iHOMER-style classifier: label clusters, a tree per cluster, experts, drift handling and restructuring."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from stream_ml.decisions import Deciders, JointPosterior, JointRows, Objective
from stream_ml.errors import ConfigError, ExpertError
from stream_ml.experts import (
    BLOCK_ROWS,
    ROOT_EXPERTS,
    SLEEPERS,
    ExpertPool,
    ExtraExpert,
    ExtraExperts,
    SleepSchedule,
    Stacking,
)
from stream_ml.experts.neighbours import Nearest
from stream_ml.experts.pool import TOGETHER_ROWS
from stream_ml.ihomer.collected import Collected, LabelSets
from stream_ml.ihomer.events import Event
from stream_ml.ihomer.explain import BlockResult, Explaining
from stream_ml.ihomer.gated import GatedLearner
from stream_ml.ihomer.parameters import IHomerParameters
from stream_ml.ihomer.partition import Partition
from stream_ml.ihomer.restructuring import Restructuring
from stream_ml.ihomer.rows import check_kinds, check_positions, running_highest, without_scored_labels
from stream_ml.ihomer.saving import Saving
from stream_ml.ihomer.state import EXTRA, check_extra, check_parts, check_schema, check_settings, json_array
from stream_ml.ihomer.view import EXPERTS
from stream_ml.ihomer.watch import LossWatch
from stream_ml.states import Part, Spec
from stream_ml.streams.batch import ALL_KNOWN, LEARN, PREDICT, Batch, Predictions, first_learned
from stream_ml.streams.schema import Schema
from stream_ml.threads import InOrder, threads

__all__ = ["IHomerClassifier"]

LEAF_SLOTS = 3
BLOCK_CELLS = 1 << 22
EVENTS_KEPT = 10_000
"""Events that nobody drains are bounded, too: the oldest go first."""


class _Said(NamedTuple):
    """What is known of a block before label sets are decided."""

    probabilities: NDArray[np.float32]
    logits: NDArray[np.float32]
    nearest: Nearest | None
    unknown: NDArray[np.bool_]


class IHomerClassifier(Explaining, Restructuring, Saving):
    """Online multi-label classifier that keeps clusters of correlated labels and a Hoeffding tree for each.

    Root experts (linear models, naive Bayes, nearest neighbours, prior, recency; for ever) and the experts of the leaf
    that the instance reaches in its cluster's tree give log-odds; stacking makes them one probability per label, a
    posterior over label sets follows what labels have to do with each other, and decisions are made from both for the
    objective that is set. The labels are partitioned by online divisive-agglomerative clustering of their
    co-occurrence; trees follow the partition. ADWIN on the loss of every cluster and of the whole starts background
    learners and re-opens the partition.

    Everything that changes structure happens when the number of learned instances is a multiple of `period`, so results
    do not depend on how a stream is cut into batches.

    Parameters
    ----------
    schema
        The stream's schema; taken from the first batch when not given.
    extra_experts
        Experts of one's own, name to an object with `predict_proba_one` and `learn_one` (see
        `stream_ml.experts.ExtraExpert`), which stacking weighs beside the others. They are Python for every row: slow.
    **parameters
        Fields of `IHomerParameters`; sections as dicts, e.g. `tree={"grace_period": 100}` or
        `decisions={"objective": "micro_f1", "alternatives": ["subset_accuracy"]}`.

    Raises
    ------
    ConfigError
        An unknown parameter or a value out of bounds.

    References
    ----------
    Neves, Lourenço, Cano, Marreiros: Online hierarchical partitioning of the output space in extreme multi-label data
    streams, ECAI 2025. Rodrigues, Gama, Pedroso: Hierarchical clustering of time-series data streams, IEEE TKDE 2008.

    Examples
    --------
    >>> from stream_ml.simulation import default_stream
    >>> model = IHomerClassifier()
    >>> for batch in default_stream(n_instances=2000, seed=1):
    ...     predictions = model.test_then_train(batch)
    >>> model.n_learned, predictions.probabilities.shape[0]
    (2000, 1000)
    """

    def __init__(
        self,
        schema: Schema | None = None,
        *,
        extra_experts: Mapping[str, ExtraExpert] | None = None,
        **parameters: Any,
    ) -> None:
        try:
            self.settings = IHomerParameters(**parameters)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "parameters"
            raise ConfigError(f"IHomerClassifier: {where}: {first['msg']}, found {first.get('input')!r}") from error
        self._extra = ExtraExperts(extra_experts or {}, (*EXPERTS, "intercept"))
        self.n_learned = 0
        self._behind = InOrder()  # all that the joint posterior and the deciders do, in its order
        self._schema: Schema | None = None
        self._events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        if schema is not None:
            self._start(schema)

    @classmethod
    def from_parameters(cls, parameters: IHomerParameters, schema: Schema | None = None) -> IHomerClassifier:
        """A classifier of the given settings."""
        return cls(schema, **parameters.model_dump())

    def _start(self, schema: Schema) -> None:
        """Make the parts, now that it is known what an absent feature means."""
        self._schema = schema
        self._arities = schema.arities()
        self._gated: GatedLearner | None = None
        self._columns = 0
        self._make_parts(schema)

    def _make_parts(self, schema: Schema) -> None:
        """Those that look at all labels, fresh: without gates they learn, else they are empty."""
        settings = self.settings
        experts, decisions = settings.experts, settings.decisions
        self._pool = ExpertPool(
            sparse=schema.sparse,
            prior_fading=experts.prior_fading,
            window=experts.window,
            neighbours=experts.neighbours,
            neighbours_mb=settings.memory_of("neighbours"),
        )
        roots = len(ROOT_EXPERTS)
        self._stacking = Stacking(
            [1.0 / roots] * roots + [0.0] * (LEAF_SLOTS + len(self._extra.names)),
            own_rate=experts.stacking_own_rate,
            decay=experts.stacking_decay,
        )
        self._sleep = SleepSchedule([experts.sleep and name in SLEEPERS for name in ROOT_EXPERTS])
        self._joint = JointPosterior(enabled=decisions.joint, fading=decisions.fading)
        self._deciders = Deciders(fading=decisions.fading)
        self._partition = Partition(settings, sparse=schema.sparse)
        self._watch = LossWatch(settings.drift)
        self._followed = None

    # -- the hot call ---------------------------------------------------------------------------------------------

    def test_then_train(self, batch: Batch) -> Predictions:
        """Predict each row with PREDICT in its mode, then learn it if it has LEARN; in order, row by row.

        Returns
        -------
        Predictions
            Label sets decided for the objective, and for each of the alternatives; probabilities float32 (rows,
            batch.n_labels): 0 for labels never learned.
        """
        if self._schema is None:
            self._start(batch.schema)
        elif batch.schema.sparse != self._pool.design.sparse:
            raise ConfigError("a batch of a sparse schema after one of a dense schema, or the reverse: use a new model")
        check_positions(batch)
        batch = without_scored_labels(batch)
        self._grow_features(batch)
        collected = Collected(self.objectives, batch)
        try:
            for start, stop, known in self._blocks(batch):
                self._run_block(batch.rows(start, stop), start, known, collected)
        finally:
            self._behind.wait()
        return collected.predictions()

    def _run_block(self, block: Batch, start: int, known: int, collected: Collected) -> None:
        """Predict and learn a block, then look at the structure if it is time to; label sets are decided behind it."""
        wanted, together = self.objectives, len(block) >= TOGETHER_ROWS and threads() > 1
        if self._gated is None:
            try:
                said = self._probabilities(block, known, together=together)
            except ExpertError as error:
                raise error.further(start) from error.cause
            said = said._replace(logits=said.logits[:0].copy())  # they are large, and not needed any more

            def decide() -> None:
                collected.take_all(start, said.probabilities, self._decide(block, said, wanted)[0])
        else:
            later = self._gated.process(block, wanted, self.n_learned, together=together)
            self.n_learned += int(np.count_nonzero(first_learned(block.mode)))

            def decide() -> None:
                collected.take_likely(start, *later())

        self._behind.start(decide, together=together)
        if self.n_learned and self.n_learned % self.settings.period == 0 and first_learned(block.mode[-1:])[0]:
            self._restructure()

    def predict(self, batch: Batch) -> Predictions:
        """Predict all rows, learn none; the model does not change."""
        return self.test_then_train(batch.with_mode(PREDICT))

    def learn(self, batch: Batch) -> None:
        """Learn all rows, in order, without predictions."""
        self.test_then_train(batch.with_mode(LEARN))

    def _blocks(self, batch: Batch) -> Iterator[tuple[int, int, int]]:
        """Cut the batch where structure may change, where a new label is first learned, and to bound scratch memory.

        Of each block: its first row, the row after its last, and the number of labels known before it. Labels that are
        gated are met in the midst of blocks.
        """
        learned = np.cumsum(first_learned(batch.mode))
        highest, gated_from = self._label_space(batch)
        start = 0
        while start < len(batch):
            known = self.n_labels
            if start == gated_from and self._gated is None:
                self._open_gates()
            before = int(learned[start - 1]) if start else 0
            due = self.settings.period - self.n_learned % self.settings.period
            stop = min(int(np.searchsorted(learned, before + due)) + 1, start + BLOCK_ROWS, len(batch))
            if self._gated is None:
                if int(highest[start]) >= self.n_labels:
                    row = batch.y_indices[batch.y_indptr[start] : batch.y_indptr[start + 1]]
                    self._grow_labels(int(highest[start]) + 1, row)
                cells = len(self.expert_names) * max(1, self.n_labels)
                stop = min(stop, int(np.searchsorted(highest, self.n_labels)), gated_from)
                stop = min(stop, start + max(1, BLOCK_CELLS // cells))
            yield start, stop, known
            start = stop

    def _label_space(self, batch: Batch) -> tuple[NDArray[np.int64], int]:
        """The highest label learned up to each row, -1 before any; the row from which on there are too many to look at.

        Too many they are by number, or by what experts that look at all of them would keep of the features met.
        """
        learns = (batch.mode & LEARN) != 0
        highest = running_highest(batch.y_indptr, batch.y_indices, learns)
        columns = np.maximum(running_highest(batch.x_indptr, batch.x_indices, learns) + 1, self._columns)
        labels = np.maximum(highest + 1, self.n_labels)
        many = self.settings.too_many(labels, columns)
        self._columns = int(columns[-1]) if len(columns) else self._columns
        return highest, int(np.argmax(many & learns)) if (many & learns).any() else len(batch)

    def _open_gates(self) -> None:
        """Look at likely labels only from here on."""
        assert self._schema is not None
        if self._extra.names:
            raise ConfigError(
                f"extra experts look at all labels, and of {self.n_labels:,} there are too many: leave them out, "
                "or raise routing.gated_above, routing.all_labels_mb and memory_limit_mb"
            )
        reason = {"labels": float(self.n_labels)}
        self._behind.wait()
        self._gated = GatedLearner(self.settings, self._behind, sparse=self._schema.sparse)
        self._gated.take_over(self._pool.design, self._pool.neighbours, self._schema)
        self._gated.grow_features(self._arities)
        self._events.append(Event("gate", self.n_learned, "global", "labels", reason))
        self._make_parts(self._schema)

    def _learn_block(self, block: Batch, known: int, wanted: tuple[Objective, ...]) -> BlockResult:
        """Probabilities and label sets of one block; rows are learned, structure stays."""
        said = self._probabilities(block, known)
        decided, rows = self._decide(block, said, wanted)
        return BlockResult(said.probabilities, decided, said.logits, rows)

    def _probabilities(self, block: Batch, known: int, *, together: bool = False) -> _Said:
        """What experts and stacking say of a block; they learn its rows. Label sets may be decided beside the next."""
        n_labels, partition = self.n_labels, self._partition
        roots, leaves = len(ROOT_EXPERTS), len(EXPERTS)
        # two rows at least: parts of a single one are contiguous, for which kernels would be compiled once more
        logits = np.zeros((max(2, len(block)), len(self.expert_names), n_labels), dtype=np.float32)
        if not n_labels:
            self.n_learned += int(np.count_nonzero(first_learned(block.mode)))
            return _Said(logits[: len(block), 0], logits[: len(block)], None, ALL_KNOWN)
        unknown = block.unknown_labels(n_labels)

        def trees(whole: Batch) -> list[Callable[[], None]]:
            return partition.tasks(whole, self.n_learned, logits[:, roots:leaves])

        nearest, whole = self._pool.process(block, logits, self._sleep.awake, unknown, trees)
        self._extra.process(block, whole, unknown, n_labels, logits[:, leaves:])
        p = self._stacking.process(logits, block.y_indptr, block.y_indices, block.mode, unknown)
        if self.settings.drift.enabled:
            self._watch.update_clusters(block, p, unknown, partition, self.n_learned)
        p[0, known:] = 0.0  # labels that the first row itself brings are not known when it is predicted
        partition.learn_labels(whole)
        self.n_learned += int(np.count_nonzero(first_learned(block.mode)))
        return _Said(p, logits[: len(block)], nearest.kept() if together else nearest, unknown)

    def _decide(
        self, block: Batch, said: _Said, wanted: tuple[Objective, ...]
    ) -> tuple[dict[Objective, LabelSets], JointRows | None]:
        """Label sets of a block, and the posterior that they are decided by, which then learns the rows."""
        if said.nearest is None:
            nothing = np.zeros(len(block) + 1, dtype=np.int64), np.zeros(0, dtype=np.int32)
            return dict.fromkeys(wanted, nothing), None
        rows = self._joint.process(said.probabilities, said.nearest, block, said.unknown)
        return self._deciders.decide(wanted, said.probabilities, rows, block, said.unknown), rows

    # -- growth ---------------------------------------------------------------------------------------------------

    @property
    def n_labels(self) -> int:
        """Labels met in learning so far (one more than the highest position)."""
        if self._schema is None:
            return 0
        return self._partition.n_labels if self._gated is None else self._gated.highest + 1

    def _grow_features(self, batch: Batch) -> None:
        """Make room for features that the schema gained; it changes no prediction until they are used."""
        if batch.n_features > len(self._arities) or batch.schema is not self._schema:
            arities = batch.schema.arities(batch.n_features)
            check_kinds(arities, self._arities)
            self._schema = batch.schema
            if len(arities) > len(self._arities):
                self._arities = arities
        if self._gated is not None:
            self._gated.grow_features(self._arities)
            return
        self._pool.grow(self._arities, self.n_labels)
        self._partition.grow_features(self._arities)

    def _grow_labels(self, n_labels: int, companions: NDArray[np.int32]) -> None:
        """Let labels join that are about to be learned for the first time, with the label set that brings them."""
        self._pool.grow(self._arities, n_labels)
        self._stacking.grow(n_labels)
        self._behind.then(partial(self._deciders.grow, n_labels))
        self._events += self._partition.grow_labels(n_labels, companions, self.n_learned)
        self._watch.follow(self._partition.ids, changed=False)
        self._follow()

    # -- looking in -----------------------------------------------------------------------------------------------

    @property
    def parameters(self) -> dict[str, Any]:
        """All settings, defaults included."""
        return self.settings.model_dump()

    @property
    def schema(self) -> Schema | None:
        """The columns of the stream, None before data."""
        return self._schema

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What label sets are decided for, the objective first, then the alternatives."""
        decisions = self.settings.decisions
        return tuple(dict.fromkeys((decisions.objective, *decisions.alternatives)))

    @property
    def clusters(self) -> list[list[int]]:
        """Positions of the labels of each cluster; a partition of the labels met so far."""
        if self._schema is None:
            return []
        if self._gated is not None:
            return self._gated.partition
        return [x.tolist() for x in self._partition.clusters.partition.values()]

    def drain_events(self) -> list[Event]:
        """Events since the last call, oldest first; of those never asked for, the last `EVENTS_KEPT`."""
        events = list(self._events)
        self._events.clear()
        return events

    def expert_weights(self) -> dict[str, NDArray[np.float64]]:
        """Stacking weight of each expert for each label, and the intercept: name -> (n_labels,); {} before data."""
        if self._schema is None:
            return {}
        weights = self._weights_of(None)
        if self._gated is not None:  # labels that were not met have none
            weights, met = np.zeros((len(weights), self.n_labels)), weights
            weights[:, self._gated.outer] = met
        return dict(zip((*self.expert_names, "intercept"), weights, strict=True))

    @property
    def n_tree_nodes(self) -> int:
        """Nodes of all clusters' trees."""
        return 0 if self._schema is None else sum(x.tree.n_nodes for x in self._partition.learners.values())

    def memory_usage(self) -> dict[str, int]:
        """Bytes held, by part."""
        if self._schema is None:
            return {}
        if self._gated is not None:
            return self._gated.memory_usage()
        decisions = {"joint": self._joint.nbytes, "thresholds": self._deciders.nbytes}
        return {**self._pool.memory_usage(), **self._partition.memory_usage(), **decisions}

    # -- state ----------------------------------------------------------------------------------------------------

    def own_state(self) -> dict[str, NDArray]:
        """All that the future depends on, but for the states of extra experts; live."""
        state: dict[str, NDArray] = {"n_learned": np.array([self.n_learned], dtype=np.int64)}
        state["settings"] = json_array(self.settings.model_dump(mode="json"))
        state["events"] = json_array([event.to_dict() for event in self._events])
        if self._extra.names:
            state[EXTRA] = json_array(list(self._extra.names))
        if self._schema is not None:
            state["sparse"] = np.array([self._schema.sparse])
            state["arities"] = self._arities
            state["columns"] = np.array([self._columns], dtype=np.int64)
        for name, part in self._parts():
            state |= {f"{name}.{key}": array for key, array in part.state_dict().items()}
        return state

    def load_own_state(self, schema: Schema, state: Mapping[str, NDArray]) -> None:
        """Take over what `own_state` gave; see `load_state_dict`."""
        whole = Part.of(state)
        check_settings(whole.plain("settings"), self.settings.model_dump(mode="json"))
        check_extra(whole.plain(EXTRA) if EXTRA in whole else (), self._extra.names)
        n_learned, events = whole.whole("n_learned", 0), map(Event.from_dict, whole.plain("events"))
        self._behind = InOrder()
        self._events = deque(events, maxlen=EVENTS_KEPT)
        self._schema = None
        if "arities" in whole:
            arities = whole.array("arities", Spec(np.int32, (whole.length("arities"),), 0))
            sparse = bool(whole.array("sparse", Spec(np.bool_, (1,)))[0])
            gated = "gated.outer" in whole
            check_schema(schema, sparse, arities, 0 if gated else whole.whole("pool.n_labels", 0))
            self._start(schema)
            self._columns = whole.whole("columns", 0, len(arities))
            if gated:
                self._gated = GatedLearner(self.settings, self._behind, sparse=sparse)
            try:
                for name, part in self._parts():
                    part.load_state_dict(whole.part(f"{name}."))
                check_parts(whole, arities, dict(self._parts()))
            except BaseException:
                self._schema = None
                raise
            self._arities = arities
        self.n_learned = n_learned

    def _parts(self) -> list[tuple[str, Any]]:
        """The stateful parts by name."""
        if self._schema is None:
            return []
        if self._gated is not None:
            return [("gated", self._gated)]
        return [
            ("pool", self._pool),
            ("stacking", self._stacking),
            ("partition", self._partition),
            ("watch", self._watch),
            ("sleep", self._sleep),
            ("joint", self._joint),
            ("deciders", self._deciders),
        ]
