"""River's classifiers as experts of ours."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from river import compose, linear_model, multioutput, naive_bayes, preprocessing, tree

from stream_ml import IHomerClassifier, default_stream
from stream_ml.adapters.river import RiverExpert
from stream_ml.errors import ConfigError
from stream_ml.streams import concatenate

SETTINGS = {"period": 50, "experts": {"neighbours": 0}}
CLASSIFIERS = {
    "bernoulli": naive_bayes.BernoulliNB,
    "tree": lambda: tree.HoeffdingTreeClassifier(grace_period=50),
    "logistic": lambda: compose.SelectType(float) | preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    "chain": lambda: multioutput.ProbabilisticClassifierChain(
        compose.SelectType(float) | preprocessing.StandardScaler() | linear_model.LogisticRegression()
    ),
}


@pytest.fixture(scope="module")
def stream():
    return concatenate(list(default_stream(n_instances=240, seed=3)))


def make(name):
    expert = RiverExpert(CLASSIFIERS[name](), multilabel=name == "chain" or None)
    return IHomerClassifier(extra_experts={name: expert}, **SETTINGS)


def run(stream, size, model):
    parts = [model.test_then_train(stream.rows(i, min(i + size, len(stream)))) for i in range(0, len(stream), size)]
    return np.concatenate([part.probabilities for part in parts])


@pytest.mark.parametrize("name", ["bernoulli", "tree", "logistic"])
def test_it_votes_and_batch_size_changes_nothing(stream, name):
    usable = stream if name != "bernoulli" else numeric(stream)
    model = make(name)
    one = run(usable, 240, model)
    assert one.tobytes() == run(usable, 37, make(name)).tobytes()
    votes = [vote for label in model.explain(usable, 9).labels for vote in label.votes if vote.expert == name]
    assert len(votes) == 10
    assert any(vote.log_odds for vote in votes)
    assert (model.expert_weights()[name] != 0).any()
    again = pickle.loads(pickle.dumps(model))
    few = usable.rows(0, 40)
    assert run(few, 40, again).tobytes() == run(few, 40, model).tobytes()


def numeric(stream):
    """The rows without their nominal features: naive Bayes of river wants numbers."""
    from stream_ml.adapters.river import RiverStream

    pairs = [({n: v for n, v in x.items() if not isinstance(v, str)}, y) for x, y in stream.iter_dicts()]
    return concatenate(list(RiverStream(pairs)))


def test_what_it_says_is_what_river_says(stream):
    expert = RiverExpert(tree.HoeffdingTreeClassifier(grace_period=50))
    IHomerClassifier(extra_experts={"tree": expert}, **SETTINGS).test_then_train(stream)
    alone = {label: tree.HoeffdingTreeClassifier(grace_period=50) for label in stream.schema.labels}
    rows = list(stream.iter_dicts())
    appeared = set()
    for x, y in rows:
        appeared |= {label for label, present in y.items() if present}
        highest = max((stream.schema.labels.index(label) for label in appeared), default=-1)
        for label in stream.schema.labels[: highest + 1]:
            alone[label].learn_one(x, y[label])
    x = rows[-1][0]
    assert expert.predict_proba_one(x) == {label: model.predict_proba_one(x) for label, model in alone.items()}


def test_a_multilabel_one_learns_all_at_once(stream):
    model = make("chain")
    model.test_then_train(stream.rows(0, 60))
    votes = [v for label in model.explain(stream, 9).labels for v in label.votes if v.expert == "chain"]
    assert any(vote.log_odds for vote in votes)


def test_what_is_no_classifier_is_refused(tmp_path):
    for wrong in (preprocessing.StandardScaler(), object(), naive_bayes.BernoulliNB):
        with pytest.raises(ConfigError, match="expected a classifier of river"):
            RiverExpert(wrong)
    with pytest.raises(ConfigError, match=r"'tree' cannot be saved: RiverExpert has no state_dict"):
        make("tree").save(tmp_path / "model")
