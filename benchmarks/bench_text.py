"""Sentiment of sentences by TF-IDF: accuracy, log loss, fit time and memory against linear models and MLPClassifier.

SST-2 on its official split (trained without phrases), MR by 10 folds. The options of VIBClassifier were chosen on the
development rows of SST-2. Matrices stay sparse; each run is in a process of its own, for its memory.
``python benchmarks/bench_text.py``
"""

import os
import sys
from functools import partial

import numpy as np
from datasets import texts
from experiment import complete, in_a_process_of_its_own, stored_result, verdict, write
from scoring import probabilities, timed_fit
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from skvib import VIBClassifier

COMMAND = "python benchmarks/bench_text.py"
SPLITS = {"SST-2": 1, "MR": 10}
CHOSEN = {"standardize": False, "hidden_layer_sizes": (), "alpha": 1.0, "max_iter": 20}
TUNED = {
    "default": {},
    "20 epochs": {"max_iter": 20},
    "not standardised, 20 epochs": {"standardize": False, "max_iter": 20},
    "64 wide": {**CHOSEN, "hidden_layer_sizes": (64,)},
    "linear": CHOSEN,
    "linear, standardised": {**CHOSEN, "standardize": True},
    "linear, alpha 3": {**CHOSEN, "alpha": 3.0},
    "linear, alpha .3": {**CHOSEN, "alpha": 0.3},
    "linear, beta .01": {**CHOSEN, "beta": 0.01},
    "linear, 40 epochs": {**CHOSEN, "max_iter": 40},
}


def vib(options, seed):
    return VIBClassifier(random_state=seed, **options)


METHODS = {
    "VIBClassifier": partial(vib, CHOSEN),
    "LogisticRegression": lambda seed: LogisticRegression(),
    "LinearSVC": lambda seed: LinearSVC(random_state=seed),
    "MLPClassifier": lambda seed: MLPClassifier(random_state=seed),
}


def rows(data, split):
    """(texts, labels) to train on and to test on."""
    if data == "SST-2":
        return *texts("sst2_train")[::-1], *texts("sst2_test")[::-1]
    if data == "SST-2, development":
        return *texts("sst2_train")[::-1], *texts("sst2_dev")[::-1]
    y, X = texts("mr_rt-polarity")
    train, test = list(StratifiedKFold(10, shuffle=True, random_state=0).split(y, y))[split]
    return [X[i] for i in train], y[train], [X[i] for i in test], y[test]


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


def run(data, split, method):
    make = METHODS.get(method) or partial(vib, TUNED[method])
    return in_a_process_of_its_own(score, make(split), data, split)


def summary(runs):
    for data in ("SST-2, development", *SPLITS):
        for method in dict.fromkeys(r["method"] for r in runs if r["data"] == data):
            mine = [r for r in runs if r["data"] == data and r["method"] == method]
            names = ("accuracy", "log_loss", "seconds", "peak_mebibytes")
            means = {name: float(np.mean([r[name] for r in mine])) if name in mine[0] else None for name in names}
            yield {"data": data, "method": method, **means}


def verdicts(rows):
    cells = {(row["data"], row["method"]): row for row in rows}
    for data in SPLITS:
        mine, linear, mlp = (cells[data, m] for m in ("VIBClassifier", "LogisticRegression", "MLPClassifier"))
        points = 100 * (linear["accuracy"] - mine["accuracy"])
        yield verdict(
            f"{data}: at most .3 points below LogisticRegression", f"{points:.2f} points below", points <= 0.3
        )
        losses = mine["log_loss"], linear["log_loss"]
        measured = f"{losses[0]:.3f} against {losses[1]:.3f}"
        yield verdict(f"{data}: log loss no worse than LogisticRegression's", measured, losses[0] <= losses[1])
        ratio = mine["seconds"] / mlp["seconds"]
        yield verdict(f"{data}: faster than MLPClassifier", f"{ratio:.2f} of its time", ratio < 1)


def main(methods):
    wanted = [{"data": "SST-2, development", "split": 0, "method": method} for method in TUNED]
    wanted += [
        {"data": data, "split": split, "method": method}
        for data, n_splits in SPLITS.items()
        for split in range(n_splits)
        for method in methods
    ]
    complete("text", COMMAND, run, wanted)
    runs = stored_result("text")["runs"]
    table = list(summary(runs))
    write("text", table, COMMAND, runs, os.cpu_count(), verdicts(table))


if __name__ == "__main__":
    main(sys.argv[1:] or [*METHODS])
