"""Tables as they come, with categories and gaps: a frame in one line, beside a Pipeline that prepares it, and trees.

Five folds of each frame, two of the large ones, and adult on its official split. "Frame" is the estimator at its
defaults, fitted on the data frame itself; "ColumnTransformer" the same behind OneHotEncoder and
SimpleImputer(add_indicator=True); "skrub" the same in skrub's tabular_pipeline. HistGradientBoosting takes the frame,
too. Losses are log losses, or negative log-likelihoods of numbers; of trees, which have none, that of a normal
distribution with the residual variance of 5-fold predictions on the training rows.
"""

import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from benchmarks.claim import Claim, counted, verdict
from benchmarks.claims.uci_regression import score_with_residuals
from benchmarks.datasets import TUNING_FRAMES, classification, frame
from benchmarks.scoring import probabilities, standard_error, timed_fit
from skvib import VIBClassifier, VIBRegressor

CONFIRMING_FRAMES = ("hypothyroid", "anneal", "kr-vs-kp", "credit-a", "pol", "cal_housing", "bank32nh")
SETS = (*TUNING_FRAMES, *CONFIRMING_FRAMES, "adult")
N_FOLDS = 5
LARGE = "nursery", "cpu_small", "pol", "cal_housing", "bank32nh"


def rows_of(data):
    """A data frame, its target, and whether that are numbers."""
    if data != "adult":
        return frame(data)
    table = classification("adult")
    columns = {
        str(k): pd.Categorical(table.X[:, k]) if k in table.categorical else table.X[:, k].astype(float)
        for k in range(table.X.shape[1])
    }
    return pd.DataFrame(columns), table.y, False


def splits(data):
    X, y, is_regression = rows_of(data)
    if data == "adult":
        n_train = classification("adult").n_train
        return [(np.arange(n_train), np.arange(n_train, len(y)))]
    folds = (KFold if is_regression else StratifiedKFold)(N_FOLDS, shuffle=True, random_state=0)
    return list(folds.split(X, y))[: n_splits_of(data)]


def n_splits_of(data):
    return 1 if data == "adult" else 2 if data in LARGE else N_FOLDS


def vib(is_regression, seed, **options):
    return (VIBRegressor if is_regression else VIBClassifier)(random_state=seed, **options)


def prepared(is_regression, seed):
    categories, numbers = make_column_selector(dtype_include="category"), make_column_selector(dtype_include=float)
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), categories),
        (SimpleImputer(add_indicator=True), numbers),
    )
    return make_pipeline(columns, vib(is_regression, seed))


def in_skrub(is_regression, seed):
    from skrub import tabular_pipeline

    return tabular_pipeline(vib(is_regression, seed))


def trees(is_regression, seed):
    """They cannot bin a column without any value, and stop by rows that they cannot hold out of a class of one row."""
    make = HistGradientBoostingRegressor if is_regression else HistGradientBoostingClassifier
    return make_pipeline(FunctionTransformer(filled_columns), make(random_state=seed))


def filled_columns(X):
    return X.fillna({column: 0.0 for column in X.select_dtypes("number") if X[column].isna().all()})


METHODS = {
    "frame": vib,
    "ColumnTransformer": prepared,
    "skrub": in_skrub,
    "frame, n_bins=16": lambda *about: vib(*about, n_bins=16),
    "frame, n_bins=128": lambda *about: vib(*about, n_bins=128),
    "frame, 5 networks, n_bins=128": lambda *about: vib(*about, n_estimators=5, n_bins=128),
    "HistGradientBoosting": trees,
}
ON_ADULT = ("frame, n_bins=128", "frame, 5 networks, n_bins=128")  # for the time that they take


def run(data, split, method):
    X, y, is_regression = rows_of(data)
    train, test = splits(data)[split]
    X_train, y_train, X_test, y_test = X.iloc[train], y[train], X.iloc[test], y[test]
    model = METHODS[method](is_regression, split)
    if is_regression and method == "HistGradientBoosting":
        figures = score_with_residuals(model, X_train, y_train, X_test, y_test)
        return {"loss": figures["nll"], "score": float(model.score(X_test, y_test)), "seconds": figures["seconds"]}
    try:
        seconds = timed_fit(model, X_train, y_train)
    except ValueError:
        if method != "HistGradientBoosting":
            raise
        model[-1].set_params(early_stopping=False)
        seconds = timed_fit(model, X_train, y_train)
    if is_regression:
        prepare, last = (model[:-1].transform, model[-1]) if hasattr(model, "steps") else (lambda rows: rows, model)
        loss = -float(last.log_likelihood_samples(prepare(X_test), y_test).mean())
        return {"loss": loss, "score": float(model.score(X_test, y_test)), "seconds": seconds}
    figures = probabilities(model.classes_, model.predict_proba(X_test), y_test)
    return {"loss": figures["log_loss"], "score": figures["accuracy"], "seconds": seconds}


def settings():
    for data in SETS:
        for split in range(n_splits_of(data)):
            for method in METHODS:
                if data == "adult" or method not in ON_ADULT:
                    yield {"data": data, "split": split, "method": method}


def group_of(data):
    return "tuning" if data in TUNING_FRAMES else "confirming" if data in CONFIRMING_FRAMES else "adult"


def summary(runs):
    for data in SETS:
        n_splits = n_splits_of(data)
        cells = {(r["split"], r["method"]): r for r in runs if r["data"] == data}
        base = [cells.get((k, "frame")) for k in range(n_splits)]
        for method in METHODS:
            mine = [cells.get((k, method)) for k in range(n_splits)]
            if not all(mine + base):
                continue
            differences = [one["loss"] - other["loss"] for one, other in zip(mine, base, strict=True)]
            row = {"data": data, "group": group_of(data), "method": method}
            row |= {name: float(np.mean([r[name] for r in mine])) for name in ("loss", "score", "seconds")}
            row["behind_frame"] = float(np.mean(differences))
            yield row | {"standard_error": standard_error(differences) if n_splits > 1 else None}


def verdicts(rows):
    cells = {(row["data"], row["method"]): row for row in rows}
    frames = [cells[data, "ColumnTransformer"] for data in SETS if data != "adult"]
    # the frame is behind by less than a standard error, or ahead
    lost = [row["data"] for row in frames if -row["behind_frame"] > row["standard_error"]]
    target = "frames no worse than behind a ColumnTransformer, within a standard error"
    yield verdict(target, counted(frames, lost), not lost)
    for method, target in (("frame, n_bins=128", 0.290), ("frame, 5 networks, n_bins=128", 0.284)):
        loss = cells["adult", method]["loss"]
        yield verdict(f"adult, official test: log loss of {method} at most {target:.3f}", f"{loss:.4f}", loss <= target)


FRAMES = Claim("frames", settings, run, summary, verdicts, n_jobs=2)
