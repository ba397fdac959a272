"""What classifiers make of compressed rows: `transform` of VIBClassifier against other ways to few dimensions.

Standardised rows; the official split where there is one, else the first three of five folds. VIBClassifier, the
deterministic bottleneck (its twin without noise and rate) and the autoencoder have the same widths, epochs and
validation rows. NCA learns from at most 2000 rows; LDA ends at one dimension less than there are classes, PLS at the
number of features.
"""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NeighborhoodComponentsAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from benchmarks.claim import Claim, verdict
from benchmarks.claims.tabular import group_of, splits
from benchmarks.datasets import classification
from benchmarks.scoring import means, timed_fit
from benchmarks.twin import Autoencoder, Twin
from skvib import VIBClassifier

SETS = ("digits", "vehicle", "letter", "satimage", "pendigits", "spambase", "churn", "mfeat_factors", "breast_cancer")
DIMENSIONS = (2, 4, 8, 16, 32)
FEW = 8
N_FOLDS, N_ROWS_OF_NCA = 3, 2000


class PLS(TransformerMixin, BaseEstimator):
    """Partial least squares on indicators of the classes."""

    def __init__(self, n_components):
        self.n_components = n_components

    def fit(self, X, y):
        self.pls_ = PLSRegression(self.n_components, scale=False).fit(X, np.unique(y) == y[:, None])
        return self

    def transform(self, X):
        return self.pls_.transform(X)


class NCAOfSomeRows(NeighborhoodComponentsAnalysis):
    def fit(self, X, y):
        rows = np.random.default_rng(0).permutation(len(X))[:N_ROWS_OF_NCA]
        return super().fit(X[rows], y[rows])


METHODS = {
    "VIB": lambda d, seed: VIBClassifier(latent_dim=d, random_state=seed),
    "deterministic bottleneck": lambda d, seed: Twin(latent_dim=d, random_state=seed),
    "autoencoder": lambda d, seed: Autoencoder(latent_dim=d, random_state=seed),
    "PCA": lambda d, seed: PCA(d, random_state=seed),
    "LDA": lambda d, seed: LinearDiscriminantAnalysis(n_components=d),
    "NCA": lambda d, seed: NCAOfSomeRows(d, max_iter=50, random_state=seed),
    "PLS": lambda d, seed: PLS(d),
    "raw": lambda d, seed: FunctionTransformer(),
}
DOWNSTREAM = {
    "knn": lambda: KNeighborsClassifier(),
    "logistic": lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
    "tree": lambda: DecisionTreeClassifier(random_state=0),
    "forest": lambda: RandomForestClassifier(random_state=0),
}


def largest(data, method):
    """The most dimensions that a method can have."""
    table = classification(data)
    n_features = table.split(*splits(data)[0])[0].shape[1]
    n_lda = min(n_features, len(np.unique(table.y)) - 1)
    return {"LDA": n_lda, "NCA": n_features, "PCA": n_features, "PLS": n_features}.get(method, np.inf)


def run(data, split, method, dimensions):
    X_train, y_train, X_test, y_test = classification(data).split(*splits(data)[split])
    model = METHODS[method](dimensions, split)
    figures = {"seconds": timed_fit(model, X_train, y_train)}
    codes, test_codes = model.transform(X_train), model.transform(X_test)
    figures |= accuracies(codes, y_train, test_codes, y_test)
    if method == "VIB":
        rates = model.latent_rates_ / np.log(2)
        quantise = quantiser(codes, rates)
        quantised = accuracies(quantise(codes), y_train, quantise(test_codes), y_test)
        figures |= {"bits": float(rates.sum())} | {f"{name}_quantised": value for name, value in quantised.items()}
    return figures


def accuracies(codes, y, test_codes, y_test):
    return {name: float(make().fit(codes, y).score(test_codes, y_test)) for name, make in DOWNSTREAM.items()}


def quantiser(codes, bits):
    """Rounds each dimension to a uniform grid, so coarse that the entropy of the cells is its `bits`."""
    steps = np.array([step_of(column, b) for column, b in zip(codes.T, bits, strict=True)])
    widths = np.where(np.isfinite(steps), steps, 0.0)
    return lambda rows: np.round(rows / steps) * widths


def step_of(values, bits):
    """By bisection; infinite where there is less than a hundredth of a bit."""
    if bits < 0.01:
        return np.inf
    low, high = 1e-6 * np.ptp(values), 10 * np.ptp(values)
    for _ in range(60):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if cell_entropy(values, middle) > bits else (low, middle)
    return high


def cell_entropy(values, step):
    """In bits."""
    shares = np.unique(np.round(values / step), return_counts=True)[1] / len(values)
    return -(shares * np.log2(shares)).sum()


def dimensions_of(data, method):
    """To how many a method compresses; where it cannot have FEW, as many as it can, too."""
    if method == "raw":
        return (None,)
    most = largest(data, method)
    return sorted({d for d in DIMENSIONS if d <= most} | ({most} if most < FEW else set()))


def settings():
    for data in SETS:
        for split in range(min(N_FOLDS, len(splits(data)))):
            for method in METHODS:
                for d in dimensions_of(data, method):
                    yield {"data": data, "split": split, "method": method, "dimensions": d}


def summary(runs):
    """k-NN by dimensions, every classifier at FEW dimensions (or all there are), and the quantised codes."""
    found = {}
    for data, method, d in dict.fromkeys((r["data"], r["method"], r["dimensions"]) for r in runs):
        mine = [r for r in runs if (r["data"], r["method"], r["dimensions"]) == (data, method, d)]
        found[data, method, d] = means(mine, ("data", "split", "method", "dimensions"))
    for data in SETS:
        about = {"data": data, "group": group_of(data)}
        for method in METHODS:
            knn = {str(d): found.get((data, method, d), {}).get("knn") for d in (*DIMENSIONS, None)}
            most = found.get((data, method, largest(data, method)), {}).get("knn")
            yield {"part": "knn", **about, "method": method, **knn, "most": most}
        for method in METHODS:
            d = None if method == "raw" else min(FEW, largest(data, method))
            yield {"part": "few", **about, "method": method, "dimensions": d, **found[data, method, d]}
        for d in DIMENSIONS:
            yield {"part": "quantised", **about, "dimensions": d, **found[data, "VIB", d]}


def verdicts(rows):
    """k-NN of each method at FEW dimensions, or as many as it can have."""
    won, lost = 0, []
    for data in SETS:
        mine = [row for row in rows if row["part"] == "few" and row["data"] == data and row["method"] != "raw"]
        best = {row["method"]: row["knn"] for row in mine}
        first = max(best, key=best.get)
        won += best["VIB"] == best[first]
        if best["VIB"] < best[first]:
            lost.append(f"{data} ({first} {best[first]:.4f}, VIB {best['VIB']:.4f})")
    measured = f"{won} of {len(SETS)}; not {', '.join(lost)}"
    yield verdict(
        f"best k-NN at {FEW} dimensions, or all that a method can have, on two thirds of the sets",
        measured,
        3 * won >= 2 * len(SETS),
    )


COMPRESSION = Claim("compression", settings, run, summary, verdicts, n_jobs=2)
