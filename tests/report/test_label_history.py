"""The partition that is replayed from events is the one that the model had; flows lose no label."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_ml.labels import LabelClusters
from stream_ml.report.label_history import flows, names_by_position, partition_steps, selected
from stream_ml.report.label_plots import cluster_colours, flow_plot

quick = settings(deadline=None, derandomize=True, max_examples=40)


def event(kind, instance, before, after, **reason):
    return {"kind": kind, "instance": instance, "reason": reason, "changed": {"before": before, "after": after}}


def joined(instance, **clusters):
    changed = {"joined": {name[1:]: labels for name, labels in clusters.items()}}
    return {"kind": "join", "instance": instance, "reason": {}, "changed": changed}


HISTORY = [
    joined(0, c0=[0, 1, 2, 3]),
    {"kind": "warning", "instance": 90, "reason": {}, "changed": {}},
    event("split", 100, {"0": [0, 1, 2, 3]}, {"1": [0, 1], "2": [2, 3]}, eps=0.1),
    joined(150, c2=[4]),
    event("move", 200, {"1": [0, 1], "2": [2, 3, 4]}, {"1": [0, 1, 2], "2": [3, 4]}),
    event("merge", 200, {"1": [0, 1, 2], "2": [3, 4]}, {"3": [0, 1, 2, 3, 4]}),
    {"kind": "restructure", "instance": 200, "reason": {}, "changed": {"before": [], "after": []}},
]


def test_what_happens_at_one_instant_is_one_step():
    steps = partition_steps(HISTORY)
    assert [step.instance for step in steps] == [0, 100, 200]
    assert [step.kinds for step in steps] == [(), ("split",), ("move", "merge", "restructure")]
    assert steps[0].partition == {"0": [0, 1, 2, 3]}
    assert steps[2].before == {"1": [0, 1], "2": [2, 3, 4]}
    assert steps[2].after == steps[2].partition == {"3": [0, 1, 2, 3, 4]}
    assert [step.moved for step in steps[1:]] == [0, 2]
    assert steps[1].reasons == ({"kind": "split", "eps": 0.1},)


def test_labels_that_never_change_make_one_step():
    assert [step.partition for step in partition_steps(HISTORY[:2])] == [{"0": [0, 1, 2, 3]}]
    assert partition_steps([]) == []


def test_names_come_from_the_clusters_of_the_summary_where_these_fit():
    steps = partition_steps(HISTORY[:4])
    assert names_by_position(steps, [["a", "b"], ["c", "d"]]) == {0: "a", 1: "b", 2: "c", 3: "d"}
    assert names_by_position(steps, [["a", "b", "c", "d"]]) == {}


def test_of_many_steps_the_first_the_last_and_the_largest_are_shown():
    events = [joined(0, c0=list(range(8)))]
    events += [event("split", 100, {"0": list(range(8))}, {"1": [0], "2": list(range(1, 8))})]
    for i in range(9):  # label i goes over; in the middle two do
        gone = [1 + i] if i != 4 else [1 + i, 7]
        steps = partition_steps(events)
        one, two = steps[-1].partition["1"], steps[-1].partition["2"]
        one, two = ([*one, *(x for x in gone if x not in one)], [x for x in two if x not in gone])
        if two:
            events.append(event("move", 200 + i, steps[-1].partition, {"1": one, "2": two}))
    steps = partition_steps(events)
    shown = selected(steps, 3)
    assert shown[0] is steps[0]
    assert shown[-1] is steps[-1]
    assert shown[1].moved == max(step.moved for step in steps[1:-1])
    assert selected(steps, 99) == steps


@quick
@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.lists(st.integers(0, 4), min_size=12, max_size=12))
def test_flows_lose_no_label(first, second):
    before, after = {}, {}
    for label, (a, b) in enumerate(zip(first, second, strict=False)):
        before.setdefault(f"{a}", []).append(label)
        after.setdefault(f"{b + 10}", []).append(label)
    found = flows(before, after)
    assert sorted(label for flow in found for label in flow.labels) == list(range(len(first)))
    assert all(set(f.labels) <= set(before[f.source]) & set(after[f.target]) for f in found)
    assert len({(f.source, f.target) for f in found}) == len(found)


@quick
@given(st.integers(0, 2**32 - 1))
def test_the_replayed_partition_is_that_of_the_clusters(seed):
    rng = np.random.default_rng(seed)
    clusters = LabelClusters(0, min_size=2)
    changes = clusters.grow(9)
    for part in range(3):
        group = rng.integers(0, 3, 900)
        order = rng.permutation(9)
        y = (np.repeat(np.eye(3)[group], 3, axis=1) * (rng.random((900, 9)) < 0.9) > 0)[:, order]
        indptr = np.concatenate([[0], y.sum(1).cumsum()])
        clusters.update(indptr, y.nonzero()[1].astype(np.int32), np.full(900, 2, dtype=np.uint8), 0, 900)
        changes += clusters.check(900 * (part + 1))
        clusters.reopen(0.1)
    events = []
    for change in changes:
        before, after = ({str(c): labels for c, labels in side.items()} for side in (change.before, change.after))
        if change.kind == "join":
            events.append(joined(change.instance, **{f"c{c}": labels for c, labels in after.items()}))
        else:
            events.append(event(change.kind, change.instance, before, after))
    steps = partition_steps(events)
    assert len(steps) > 1
    assert steps[-1].partition == {str(c): labels.tolist() for c, labels in clusters.partition.items()}
    colours = cluster_colours(steps)
    assert {c for step in steps for c in step.partition} <= set(colours)
    for step in steps:  # so few clusters never share one
        assert len({colours[c] for c in step.partition}) == len(step.partition)


def test_of_hundreds_of_clusters_the_smallest_flow_together():
    whole = list(range(600))
    parts = {str(c): [2 * c - 2, 2 * c - 1] for c in range(1, 301)}
    steps = partition_steps([joined(0, c0=whole), event("split", 100, {"0": whole}, parts)])
    canvas = flow_plot(steps, cluster_colours(steps), {}).draw(960)
    blocks = [tip for tip in canvas.titles.values() if " at 100: " in tip]
    assert len(blocks) == 64
    assert "cluster others at 100: 474 labels" in "".join(blocks)
