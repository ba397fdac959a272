"""Sentences as a few numbers: k-NN on codes from TF-IDF, and the log loss of the defaults.

Words that two sentences have, weighed by TF-IDF; SST-2 on its official split, MR by 10 folds, less the development rows
of SST-2. Codes are those of VIBClassifier at its defaults but for `latent_dim`, of truncated SVD, and of partial least
squares, which needs dense rows. Neighbours are scikit-learn's default five. Likelihood compares VIBClassifier and
LogisticRegression, both at their defaults.
"""

import numpy as np
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from benchmarks.claim import Claim, counted, verdict
from benchmarks.claims.text import SPLITS, rows
from benchmarks.scoring import probabilities, standard_error, timed_fit
from skvib import VIBClassifier

DIMENSIONS = 2, 4, 8


class PLS(PLSRegression):
    """Partial least squares of sparse rows, on a label of two."""

    def fit(self, X, y):
        return super().fit(X.toarray(), (y == np.unique(y)[-1]).astype(float))

    def transform(self, X):
        return super().transform(X.toarray())


CODES = {
    "VIB": lambda d, seed: VIBClassifier(latent_dim=d, random_state=seed),
    "truncated SVD": lambda d, seed: TruncatedSVD(d, random_state=seed),
    "PLS": lambda d, seed: PLS(d, scale=False),
}
DEFAULTS = {
    "VIB": lambda seed: VIBClassifier(random_state=seed),
    "LogisticRegression": lambda seed: LogisticRegression(),
}


def run(data, split, method, dimensions):
    """Accuracy of k-NN on codes, or figures of the classifier itself where `dimensions` is None."""
    X_train, y_train, X_test, y_test = rows(data, split)
    words = TfidfVectorizer(min_df=2, sublinear_tf=True, token_pattern=r"\S+", dtype=np.float32)
    X_train, X_test = words.fit_transform(X_train), words.transform(X_test)
    if dimensions is None:
        model = DEFAULTS[method](split)
        figures = {"seconds": timed_fit(model, X_train, y_train)}
        return figures | probabilities(model.classes_, model.predict_proba(X_test), y_test)
    model = CODES[method](dimensions, split)
    figures = {"seconds": timed_fit(model, X_train, y_train)}
    neighbours = KNeighborsClassifier().fit(model.transform(X_train), y_train)
    return figures | {"accuracy": float(neighbours.score(model.transform(X_test), y_test))}


def settings():
    for data, n_splits in SPLITS.items():
        for split in range(n_splits):
            for method in DEFAULTS:
                yield {"data": data, "split": split, "method": method, "dimensions": None}
            for d in DIMENSIONS:
                for method in CODES:
                    yield {"data": data, "split": split, "method": method, "dimensions": d}


def summary(runs):
    for data, method, d in dict.fromkeys((r["data"], r["method"], r["dimensions"]) for r in runs):
        mine = [r for r in runs if (r["data"], r["method"], r["dimensions"]) == (data, method, d)]
        accuracies = [r["accuracy"] for r in mine]
        row = {"part": "defaults" if d is None else "codes", "data": data, "method": method, "dimensions": d}
        row |= {"accuracy": float(np.mean(accuracies)), "seconds": float(np.mean([r["seconds"] for r in mine]))}
        row["standard_error"] = standard_error(accuracies) if len(mine) > 1 else None
        yield row if d is not None else row | {"log_loss": float(np.mean([r["log_loss"] for r in mine]))}


def verdicts(rows):
    codes = {(r["data"], r["dimensions"], r["method"]): r["accuracy"] for r in rows if r["part"] == "codes"}
    cells = [(data, d) for data in SPLITS for d in DIMENSIONS]
    for rival in ("truncated SVD", "PLS"):
        lost = [f"{data} {d}" for data, d in cells if codes[data, d, "VIB"] <= codes[data, d, rival]]
        yield verdict(f"k-NN on codes of 2, 4 and 8 numbers ahead of {rival}", counted(cells, lost), not lost)
    losses = {(r["data"], r["method"]): r["log_loss"] for r in rows if r["part"] == "defaults"}
    for data in SPLITS:
        mine, linear = losses[data, "VIB"], losses[data, "LogisticRegression"]
        target = f"{data}: log loss at the defaults no worse than LogisticRegression's"
        yield verdict(target, f"{mine:.3f} against {linear:.3f}", mine <= linear)


TEXT_CODES = Claim("text_codes", settings, run, summary, verdicts, n_jobs=2)
