"""A learner of scikit-multiflow over the rows of a file, one by one, each predicted before it is learned.

    OLD_PYTHON runner.py ROWS.npz LEARNER OUT.npz --seconds 30
    OLD_PYTHON runner.py --list

Runs in scikit-multiflow's own environment (Python 3.7 or 3.8) and knows nothing of stream_ml. `ROWS.npz` holds `x`
float64 (rows, features), `y` int8 (rows, labels) and `nominal`, the columns of x whose values are codes. `OUT.npz` gets
`said` float64 (reached, labels): what is positive is above one half; `probabilities` of the same shape, NaN in rows
where the learner has none; `seconds`, CPU time of predicting and learning, the budget's measure; and `error`, what it
stopped with, or nothing. That it is asked for probabilities, too, is not part of the time.

Before the first row is learned, none of them can predict: an empty label set is taken for that row.
"""

import argparse
import time
import warnings
from inspect import signature

import numpy as np

SEED = 1
BINARY = [0, 1]


def learners():
    """By name, what makes one from the number of labels and the nominal columns. Everything else is the default."""
    from sklearn.linear_model import Perceptron, SGDClassifier
    from skmultiflow.bayes import NaiveBayes
    from skmultiflow.lazy import KNNADWINClassifier
    from skmultiflow.meta import (
        AdaptiveRandomForestClassifier,
        ClassifierChain,
        MonteCarloClassifierChain,
        MultiOutputLearner,
        ProbabilisticClassifierChain,
    )
    from skmultiflow.trees import (
        HoeffdingAdaptiveTreeClassifier,
        HoeffdingTreeClassifier,
        LabelCombinationHoeffdingTreeClassifier,
        iSOUPTreeRegressor,
    )

    class Incremental(SGDClassifier):
        """Chains call `fit` for the first row and name no classes, of which scikit-learn wants to know at once."""

        def fit(self, X, y, **kept):
            return self.partial_fit(X, y)

        def partial_fit(self, X, y, **kept):
            return super().partial_fit(X, y, classes=BINARY)

    def one_per_label(base):
        return lambda n_labels, nominal: MultiOutputLearner(base(nominal))

    def chain(kind, base):
        return lambda n_labels, nominal: kind(base(nominal), random_state=SEED)

    def logistic(nominal):
        return Incremental(loss="log", random_state=SEED)

    def tree(nominal):
        return HoeffdingTreeClassifier(nominal_attributes=nominal)

    return {
        "MultiOutputLearner(HoeffdingTreeClassifier)": one_per_label(tree),
        "MultiOutputLearner(HoeffdingAdaptiveTreeClassifier)": one_per_label(
            lambda nominal: HoeffdingAdaptiveTreeClassifier(nominal_attributes=nominal, random_state=SEED)
        ),
        "MultiOutputLearner(NaiveBayes)": one_per_label(lambda nominal: NaiveBayes(nominal_attributes=nominal)),
        "MultiOutputLearner(Perceptron)": one_per_label(lambda nominal: Perceptron(random_state=SEED)),
        "MultiOutputLearner(KNNADWINClassifier)": one_per_label(lambda nominal: KNNADWINClassifier()),
        "MultiOutputLearner(AdaptiveRandomForestClassifier)": one_per_label(
            lambda nominal: AdaptiveRandomForestClassifier(nominal_attributes=nominal, random_state=SEED)
        ),
        "ClassifierChain(HoeffdingTreeClassifier)": chain(ClassifierChain, tree),
        "ClassifierChain(SGDClassifier)": chain(ClassifierChain, logistic),
        "MonteCarloClassifierChain(SGDClassifier)": chain(MonteCarloClassifierChain, logistic),
        "ProbabilisticClassifierChain(SGDClassifier)": chain(ProbabilisticClassifierChain, logistic),
        "LabelCombinationHoeffdingTreeClassifier": lambda n_labels, nominal: LabelCombinationHoeffdingTreeClassifier(
            n_labels=n_labels, nominal_attributes=nominal
        ),
        "iSOUPTreeRegressor": lambda n_labels, nominal: iSOUPTreeRegressor(
            nominal_attributes=nominal, random_state=SEED
        ),
    }


def run(learner, x, y, seconds):
    """What was said of the rows reached, with what probabilities, CPU seconds, and what went wrong."""
    rows, n_labels = y.shape
    said, probabilities = np.zeros((rows, n_labels)), np.full((rows, n_labels), np.nan)
    # classes are told with every row, as its evaluators do; a regressor has none
    classes = {"classes": BINARY} if "classes" in signature(learner.partial_fit).parameters else {}
    if getattr(learner, "n_targets", 0) is None:
        learner.n_targets = n_labels  # else the first row goes to `fit`, for which one row is too few
    reached, error, spent = 0, "", 0.0
    latest = time.perf_counter() + 3 * seconds  # on the clock, where the machine is busy or probabilities take long
    try:
        while reached < rows and spent < seconds and time.perf_counter() < latest:
            row = slice(reached, reached + 1)
            began = time.process_time()
            if reached:
                said[row] = np.asarray(learner.predict(x[row]), dtype=float).reshape(1, n_labels)
            between = time.process_time()
            if reached:
                probabilities[row] = probabilities_of(learner, x[row], n_labels)
            again = time.process_time()
            reached += 1
            learner.partial_fit(x[row], y[row], **classes)
            spent += between - began + time.process_time() - again
    except Exception as failure:  # whatever an old library stops with is a line of the table
        error = told(failure)
    return said[:reached], probabilities[:reached], spent, error


def probabilities_of(learner, x, n_labels):
    """One for each label; NaN where the learner has none or, yet, cannot tell."""
    try:
        chances = np.asarray(learner.predict_proba(x), dtype=float)
    except Exception:  # each of them has its own way to say that it has none
        return np.nan
    return chances if chances.shape == (1, n_labels) else np.nan


def told(failure):
    return "{}: {}".format(type(failure).__name__, " ".join(str(failure).split()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="ROWS.npz LEARNER OUT.npz")
    parser.add_argument("--list", action="store_true", help="print the learners' names")
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.list:
        print("\n".join(learners()))
        return
    rows, name, out = options.files
    with np.load(rows) as file:
        x, y, nominal = file["x"], file["y"].astype(int), file["nominal"].tolist()
    try:
        learner = learners()[name](y.shape[1], nominal or None)
        said, probabilities, spent, error = run(learner, x, y, options.seconds)
    except Exception as failure:
        said = probabilities = np.zeros((0, y.shape[1]))
        spent, error = 0.0, told(failure)
    np.savez(out, said=said, probabilities=probabilities, seconds=spent, error=error)


if __name__ == "__main__":
    main()
