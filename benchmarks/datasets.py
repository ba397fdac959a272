"""Real data sets: those that scikit-learn ships, and the files of the folder that SKVIB_DATA names."""

import csv
import gzip
import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets as shipped
from sklearn.compose import make_column_transformer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks.generators import discrete_table, spiky_classes, spiky_regression

TUNING_SETS = ("breast_cancer", "wine", "digits", "vehicle", "credit-g", "phoneme", "letter")
CONFIRMING_SETS = ("adult", "satimage", "pendigits", "spambase", "churn", "mfeat_factors")
TUNING_REGRESSION_SETS = ("diabetes", "concrete", "yacht", "wine-quality-red")
TUNING_FRAMES = ("sick", "page-blocks", "nursery", "abalone", "cpu_small")
# made by generators.py
MADE_SETS = {"spiky classes": spiky_classes, "discrete table": discrete_table}
MADE_REGRESSION_SETS = {"spiky regression": spiky_regression}
UCI_REGRESSION_SETS = ("concrete", "energy", "kin8nm", "power-plant", "wine-quality-red", "yacht")


@dataclass
class Table:
    """Rows X with the indices of their categorical columns; the first `n_train` rows are the official training set."""

    X: np.ndarray
    y: np.ndarray
    categorical: list[int]
    n_train: int | None = None

    def split(self, train, test):
        """(X_train, y_train, X_test, y_test), one-hot and standardised by the training rows, in float32."""
        numeric = [k for k in range(self.X.shape[1]) if k not in self.categorical]
        preprocess = make_column_transformer(
            (StandardScaler(), numeric),
            (OneHotEncoder(handle_unknown="ignore", sparse_output=False), self.categorical),
        )
        X_train = preprocess.fit_transform(self.X[train]).astype(np.float32)
        return X_train, self.y[train], preprocess.transform(self.X[test]).astype(np.float32), self.y[test]


def folder():
    """Where the data sets lie that scikit-learn does not ship."""
    if "SKVIB_DATA" not in os.environ:
        raise SystemExit(
            "This benchmark reads data sets that scikit-learn does not ship: set SKVIB_DATA to their folder."
        )
    return Path(os.environ["SKVIB_DATA"])


@cache
def classification(name):
    if name in ("breast_cancer", "wine", "digits"):
        X, y = getattr(shipped, f"load_{name}")(return_X_y=True)
        return Table(X, y, [])
    if name in MADE_SETS:
        return Table(*MADE_SETS[name](0)[:2], [])
    about = json.loads((folder() / "tabular" / "manifest.json").read_text())[name]
    with gzip.open(folder() / "tabular" / about["file"], "rt", encoding="utf-8") as lines:
        columns, *rows = csv.reader(lines)
    kept = [k for k, column in enumerate(columns[:-1]) if column not in about.get("drop", ())]
    categorical = [i for i, k in enumerate(kept) if columns[k] in about["categorical"]]
    values = np.array([[row[k] for k in kept] for row in rows], dtype=object)
    numeric = [i for i in range(len(kept)) if i not in categorical]
    values[:, numeric] = values[:, numeric].astype(np.float64)
    y = np.unique([row[-1] for row in rows], return_inverse=True)[1]
    return Table(values, y, categorical, about["n_train_first"])


@cache
def regression(name):
    """(X, y) and the standard splits, a list of (train, test), none for diabetes."""
    if name in MADE_REGRESSION_SETS:
        return *MADE_REGRESSION_SETS[name](0)[:2], []
    if name == "diabetes":
        return *shipped.load_diabetes(return_X_y=True), []
    with np.load(folder() / "uci_regression" / f"{name}.npz") as stored:
        splits = [(stored[f"train_{k}"], stored[f"test_{k}"]) for k in range(int(stored["n_splits"]))]
        return stored["X"], stored["y"], splits


@cache
def frame(name):
    """A table as it comes, a data frame with categories and gaps; its target; and whether that are numbers."""
    about = json.loads((folder() / "frames" / "manifest.json").read_text())[name]
    X = pd.read_csv(folder() / "frames" / f"{name}.csv.gz", dtype=str, keep_default_na=False, na_values=[""])
    y, is_regression = X.pop(about["target"]).to_numpy(), about["task"] == "regression"
    kinds = about["kinds"]
    X = X.astype({column: float if kinds[column] == "number" else "category" for column in X})
    return X, y.astype(float) if is_regression else np.unique(y, return_inverse=True)[1], is_regression


@cache
def images(name):
    """(X_train, y_train, X_test, y_test) of "mnist" or "fashion-mnist", pixels in [-1, 1], float32."""
    parts = []
    for part in ("train", "t10k"):
        for kind, begin in (("images-idx3", 16), ("labels-idx1", 8)):
            path = folder() / name / f"{part}-{kind}-ubyte.gz"
            parts.append(np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=begin))
    X_train, y_train, X_test, y_test = parts
    scale = np.float32(127.5)
    return X_train.reshape(-1, 784) / scale - 1, y_train, X_test.reshape(-1, 784) / scale - 1, y_test


def texts(name):
    """Labels and strings of a file of texts, as "sst2_train"."""
    lines = gzip.decompress((folder() / "text" / f"{name}.tsv.gz").read_bytes()).decode("utf-8").split("\n")
    labels, strings = zip(*(line.split("\t", 1) for line in lines if line), strict=True)
    return np.array(labels), list(strings)
