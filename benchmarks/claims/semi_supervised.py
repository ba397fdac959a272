"""What rows without a label are good for: few labels, and the rest of the rows beside them.

`semi_supervised`: 4000 rows of each set at most, of which a third tests; 5 or 20 labels of each class. `missing_label`
is beside the labelled rows alone, self-training of the same network, and label spreading, whose zeros get a hundredth
of the labels' shares, or its log loss would be infinite. pendigits confirms: nothing was chosen on it. Classes of
`linear` (ten normal columns, logistic noise) and `flipped` (make_classification, flip_y=.3) overlap. MNIST has 60,000
rows, 30 epochs and two dense layers of 256.
"""

import numpy as np
from sklearn.datasets import make_classification
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

from benchmarks.claim import Claim, counted, verdict
from benchmarks.datasets import classification, images
from benchmarks.scoring import standard_error
from skvib import VIBClassifier

SETS, OVERLAPPING = ("digits", "letter", "satimage", "pendigits"), ("linear", "flipped")
N_LABELS, N_OVERLAPPING_LABELS, N_SEEDS, N_ROWS = (5, 20), (20, 100), 10, 4000
IMAGE_LABELS, N_IMAGE_SEEDS = (100, 1000), 3
VIB, ALONE, SELF, SPREADING = "VIBClassifier", "labelled rows alone", "self-training", "label spreading"
METHODS = VIB, ALONE, SELF, SPREADING
WORST = {100: 15.0, 1000: 5.0}  # errors on MNIST, in percent
MIXED = 0.01
NONE = -1
SIGNS = {"log_loss": -1.0, "accuracy": 1.0}
FIGURES = tuple(SIGNS)


def settings():
    for data in SETS + OVERLAPPING:
        for n_labels in N_LABELS if data in SETS else N_OVERLAPPING_LABELS:
            for seed in range(N_SEEDS):
                for method in METHODS:
                    yield {"data": data, "n_labels": n_labels, "method": method, "seed": seed}
    for n_labels in IMAGE_LABELS:
        for seed in range(N_IMAGE_SEEDS):
            for method in (VIB, ALONE):
                yield {"data": "mnist", "n_labels": n_labels, "method": method, "seed": seed}


def rows_of(data, n_labels, seed):
    """Rows, their labels, of which most are -1, and rows and labels to test on."""
    rng = np.random.default_rng(seed)
    if data == "mnist":
        X, y, X_test, y_test = images("mnist")
        n_of_class = n_labels // 10
    elif data in OVERLAPPING:
        X, y = overlapping(data, seed)
        X, X_test, y, y_test = train_test_split(X, y, train_size=800, stratify=y, random_state=seed)
        n_of_class = n_labels
    else:
        table, n_of_class = classification(data), n_labels
        kept = rng.permutation(len(table.y))[:N_ROWS]
        train, test = train_test_split(kept, test_size=1 / 3, stratify=table.y[kept], random_state=seed)
        X, y, X_test, y_test = table.split(train, test)
    labels, y = np.unique(y, return_inverse=True)
    some = np.full(len(y), NONE)
    for label in range(len(labels)):
        some[rng.permutation(np.flatnonzero(y == label))[:n_of_class]] = label
    return X, some, X_test, np.searchsorted(labels, y_test)


def overlapping(data, seed):
    rng = np.random.default_rng(seed)
    if data == "flipped":
        return make_classification(2800, 20, n_informative=8, flip_y=0.3, random_state=seed)
    X = rng.normal(size=(2800, 10))
    return X, (X @ rng.normal(size=10) / 1.5 + rng.logistic(size=len(X)) > 0).astype(int)


def fitted(method, X, some, seed, max_iter):
    network = VIBClassifier(max_iter=max_iter, random_state=seed)
    if method == VIB:
        return network.set_params(missing_label=NONE).fit(X, some)
    if method == ALONE:
        return network.fit(X[some != NONE], some[some != NONE])
    if method == SELF:
        return SelfTrainingClassifier(network).fit(X, some)
    return LabelSpreading(kernel="knn").fit(X, some)


def run(data, n_labels, method, seed):
    X, some, X_test, y_test = rows_of(data, n_labels, seed)
    if data != "mnist":
        scaler = StandardScaler().fit(X)
        X, X_test = scaler.transform(X), scaler.transform(X_test)
    p = fitted(method, X, some, seed, 30 if data == "mnist" else 150).predict_proba(X_test)
    accuracy = float(np.mean(p.argmax(axis=1) == y_test))
    if method == SPREADING:
        shares = np.bincount(some[some != NONE]) / np.sum(some != NONE)
        p = (1.0 - MIXED) * np.nan_to_num(p) + MIXED * shares
        p = p / p.sum(axis=1, keepdims=True)
    return {"log_loss": float(log_loss(y_test, p, labels=np.arange(p.shape[1]))), "accuracy": accuracy}


def summary(runs):
    """A row for each set and number of labels; what a paired difference to the labelled rows alone is, too."""
    cells = {}
    for run in runs:
        cells.setdefault((run["data"], run["n_labels"]), {}).setdefault(run["method"], []).append(run)
    for (data, n_labels), of_method in cells.items():
        row = {"data": data, "n_labels": n_labels}
        for figure in FIGURES:
            row |= {f"{figure}, {method}": float(np.mean([r[figure] for r in of])) for method, of in of_method.items()}
            ours, alone = ([run[figure] for run in of_method[method]] for method in (VIB, ALONE))
            lost = SIGNS[figure] * np.subtract(alone, ours)
            row |= {f"{figure} lost": float(lost.mean()), f"{figure} lost, ±": standard_error(lost)}
        yield row


def verdicts(rows):
    sets = [row for row in rows if row["data"] in SETS]
    for rival in METHODS[1:]:
        for figure, sign in SIGNS.items():
            ours, theirs = (float(np.mean([row[f"{figure}, {method}"] for row in sets])) for method in (VIB, rival))
            name = f"ahead of {rival} in the mean {figure.replace('_', ' ')} over the sets"
            yield verdict(name, f"{ours:.3f} against {theirs:.3f}", sign * (ours - theirs) > 0)
    for figure in FIGURES:
        tables = [row for row in rows if row["data"] != "mnist"]
        lost = [f"{r['data']} {r['n_labels']}" for r in tables if r[f"{figure} lost"] > 4 * r[f"{figure} lost, ±"]]
        name = f"{figure.replace('_', ' ')} nowhere worse than labelled rows alone by more than four standard errors"
        yield verdict(name, counted(tables, lost), not lost)
    for row in rows:
        if row["data"] == "mnist":
            error, most = 100.0 * (1.0 - row[f"accuracy, {VIB}"]), WORST[row["n_labels"]]
            name = f"MNIST, {row['n_labels']} labels: error at most {most:g} %"
            yield verdict(name, f"{error:.1f} %", error <= most)


SEMI_SUPERVISED = Claim("semi_supervised", settings, run, summary, verdicts, n_jobs=2)
