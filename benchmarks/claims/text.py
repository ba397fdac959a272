"""Sentiment of sentences by TF-IDF: accuracy, log loss, fit time and memory against linear models and MLPClassifier.

SST-2 on its official split (trained without phrases), MR by 10 folds. Every method's options are those of the least log
loss (LinearSVC: best accuracy) on the development rows of SST-2, whose sentences are taken out of MR. Matrices stay
sparse; each run is in a process of its own, for its memory.
"""

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from benchmarks.claim import Claim, verdict
from benchmarks.datasets import texts
from benchmarks.processes import in_a_process_of_its_own
from benchmarks.scoring import probabilities, timed_fit
from skvib import VIBClassifier

SPLITS = {"SST-2": 1, "MR": 10}
DEVELOPMENT = "SST-2, development"
LINEAR = {"standardize": False, "hidden_layer_sizes": (), "alpha": 0.0, "max_iter": 20}
CANDIDATES = {
    "VIBClassifier": {
        "default": {},
        "20 epochs": {"max_iter": 20},
        "not standardised, 20 epochs": {"standardize": False, "max_iter": 20},
        "64 wide, 20 epochs": {**LINEAR, "hidden_layer_sizes": (64,)},
        "linear, 20 epochs": LINEAR,
        "linear, standardised": {**LINEAR, "standardize": True},
        "linear, alpha 3": {**LINEAR, "alpha": 3.0},
        "linear, beta .01": {**LINEAR, "beta": 0.01},
        "linear, beta .01, 10 epochs": {**LINEAR, "beta": 0.01, "max_iter": 10},
        "linear, beta .03, 10 epochs": {**LINEAR, "beta": 0.03, "max_iter": 10},
    },
    "LogisticRegression": {f"C {C:g}": {"C": C} for C in (0.1, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0)},
    "LinearSVC": {f"C {C:g}": {"C": C} for C in (0.01, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)},
    "MLPClassifier": {
        "default": {},
        "early stopping": {"early_stopping": True},
        "alpha .1, early stopping": {"alpha": 0.1, "early_stopping": True},
        "64 wide, early stopping": {"hidden_layer_sizes": (64,), "early_stopping": True},
        "5 epochs": {"max_iter": 5},
        "3 epochs": {"max_iter": 3},
        "64 wide, 5 epochs": {"hidden_layer_sizes": (64,), "max_iter": 5},
        "linear, 20 epochs": {"hidden_layer_sizes": (), "max_iter": 20},
        "linear, 40 epochs": {"hidden_layer_sizes": (), "max_iter": 40},
        "linear, rate .006, 20 epochs": {"hidden_layer_sizes": (), "max_iter": 20, "learning_rate_init": 6e-3},
    },
}
CLASSES = {c.__name__: c for c in (VIBClassifier, LogisticRegression, LinearSVC, MLPClassifier)}


def make(method, option, seed):
    model = CLASSES[method](**CANDIDATES[method][option])
    return model.set_params(random_state=seed)


def rows(data, split):
    """(texts, labels) to train on and to test on."""
    if data == "SST-2":
        return *texts("sst2_train")[::-1], *texts("sst2_test")[::-1]
    if data == DEVELOPMENT:
        return *texts("sst2_train")[::-1], *texts("sst2_dev")[::-1]
    seen = {normalised(text) for text in texts("sst2_dev")[1]}
    y, X = texts("mr_rt-polarity")
    kept = [i for i, text in enumerate(X) if normalised(text) not in seen]
    X, y = [X[i] for i in kept], y[kept]
    train, test = list(StratifiedKFold(10, shuffle=True, random_state=0).split(y, y))[split]
    return [X[i] for i in train], y[train], [X[i] for i in test], y[test]


def normalised(text):
    return "".join(filter(str.isalnum, text.lower()))


def pipeline(classifier):
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=r"\S+", dtype=np.float32)
    return make_pipeline(words, classifier)


def score(classifier, data, split):
    X_train, y_train, X_test, y_test = rows(data, split)
    model = pipeline(classifier)
    figures = {"seconds": timed_fit(model, X_train, y_train)}
    if hasattr(model, "predict_proba"):
        return figures | probabilities(model.classes_, model.predict_proba(X_test), y_test)
    return figures | {"accuracy": float(model.score(X_test, y_test))}


def run(data, split, method, option):
    return in_a_process_of_its_own(score, make(method, option, split), data, split)


def chosen(runs, method):
    """The option that is best on the development rows."""
    mine = [r for r in runs if r["data"] == DEVELOPMENT and r["method"] == method]
    return min(mine, key=lambda r: r.get("log_loss", -r["accuracy"]))["option"]


def summary(runs):
    for data, method, option in dict.fromkeys((r["data"], r["method"], r["option"]) for r in runs):
        mine = [r for r in runs if (r["data"], r["method"], r["option"]) == (data, method, option)]
        names = ("accuracy", "log_loss", "peak_mebibytes")
        figures = {name: float(np.mean([r[name] for r in mine])) if name in mine[0] else None for name in names}
        seconds = float(np.exp(np.mean([np.log(r["seconds"]) for r in mine])))
        yield {"data": data, "method": method, "option": option, **figures, "seconds": seconds}


def verdicts(rows):
    cells = {(row["data"], row["method"]): row for row in rows if row["data"] in SPLITS}
    for data in SPLITS:
        mine, linear, mlp = (cells[data, m] for m in ("VIBClassifier", "LogisticRegression", "MLPClassifier"))
        points = 100 * (linear["accuracy"] - mine["accuracy"])
        yield verdict(
            f"{data}: accuracy at most .3 points below LogisticRegression's",
            f"{abs(points):.2f} points {'below' if points > 0 else 'above'}",
            points <= 0.3,
        )
        losses = mine["log_loss"], linear["log_loss"]
        measured = f"{losses[0]:.3f} against {losses[1]:.3f}"
        yield verdict(f"{data}: log loss no worse than LogisticRegression's", measured, losses[0] <= losses[1])
        ratio = mine["seconds"] / mlp["seconds"]
        yield verdict(f"{data}: faster than MLPClassifier", f"{ratio:.2f} of its time", ratio < 1)


def tuning():
    for method, options in CANDIDATES.items():
        yield from ({"data": DEVELOPMENT, "split": 0, "method": method, "option": option} for option in options)


def tests(tuned):
    """Of the options that are best in tuning."""
    for data, n_splits in SPLITS.items():
        for split in range(n_splits):
            for method in CANDIDATES:
                yield {"data": data, "split": split, "method": method, "option": chosen(tuned, method)}


TEXT = Claim("text", tuning, run, summary, verdicts, then=tests, n_jobs=1)
