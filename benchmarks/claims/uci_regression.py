"""Regression on the 20 standard splits: RMSE and negative log-likelihood beside the published tables.

concrete, wine-quality-red and yacht are tuning sets of the defaults; energy, kin8nm and power-plant confirm them.
BetaSearchCV chooses beta and the kind of noise by three folds of the training rows of each split; where these are
few, and long trainings cheap, the number of epochs, too.
MLPRegressor, HistGradientBoostingRegressor and LinearRegression have no likelihood; theirs is that of a normal
distribution with the variance of the residuals of 5-fold predictions on the training rows.
"""

import csv

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import cross_val_predict
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.claim import Claim, counted, verdict
from benchmarks.datasets import TUNING_REGRESSION_SETS, UCI_REGRESSION_SETS, folder, regression
from benchmarks.scoring import regression as score
from benchmarks.scoring import standard_error, timed_fit
from skvib import BetaSearchCV, VIBRegressor

N_SPLITS = 20
GRID = {"beta": [1e-3, 1e-2, 3e-2, 1e-1, 3e-1], "noise": ["heteroscedastic", "homoscedastic"]}
FEW, EPOCHS = 2000, {"max_iter": [150, 600], "n_iter_no_change": [100]}
PUBLISHED = {"PBP": "pbp", "MC dropout": "mcd", "deep ensembles": "de"}


def mlp(seed):
    network = make_pipeline(StandardScaler(), MLPRegressor(random_state=seed, max_iter=500))
    return TransformedTargetRegressor(network, transformer=StandardScaler())


RIVALS = {
    "MLPRegressor": mlp,
    "HistGradientBoosting": lambda seed: HistGradientBoostingRegressor(random_state=seed),
    "least squares": lambda seed: LinearRegression(),
}
ONE_FIT = {
    "VIBRegressor": {},
    "VIBRegressor, n_bins=16": {"n_bins": 16},
    "5 VIB networks, n_bins=16": {"n_estimators": 5, "n_bins": 16},
}
METHODS = (*ONE_FIT, "BetaSearchCV", *RIVALS)


def run(data, split, method):
    X, y, splits = regression(data)
    train, test = splits[split]
    parts = X[train], y[train], X[test], y[test]
    if method in RIVALS:
        return score_with_residuals(RIVALS[method](split), *parts)
    model = VIBRegressor(**ONE_FIT.get(method, {}), random_state=split)
    if method == "BetaSearchCV":
        model = BetaSearchCV(model, GRID | EPOCHS if len(train) < FEW else GRID, cv=3)
    return score(model, *parts)


def score_with_residuals(model, X_train, y_train, X_test, y_test):
    variance = np.mean((cross_val_predict(model, X_train, y_train) - y_train) ** 2)
    seconds = timed_fit(model, X_train, y_train)
    squared_error = np.mean((model.predict(X_test) - y_test) ** 2)
    nll = 0.5 * (np.log(2 * np.pi * variance) + squared_error / variance)
    return {"nll": float(nll), "rmse": float(np.sqrt(squared_error)), "seconds": seconds}


def table_of_deep_ensembles():
    with open(folder() / "published" / "uci_regression_deep_ensembles_table1.csv", newline="") as lines:
        return {row["dataset"]: row for row in csv.DictReader(lines)}


def long_dropout(data):
    """RMSE and NLL of each split, (20, 2): the long grid-searched MC dropout of Gal's repository."""
    with open(folder() / "published" / "mc_dropout_gridsearch_per_split.csv", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["dataset"] == data]
    rows.sort(key=lambda row: int(row["split"]))
    return np.array([(float(row["rmse_mc"]), -float(row["test_ll"])) for row in rows])


def of_set(runs, published, data):
    """Rows of the methods that ran on all splits, and the published ones."""
    group = "tuning" if data in TUNING_REGRESSION_SETS else "confirming"
    bar = long_dropout(data)
    for method in METHODS:
        mine = {r["split"]: (r["rmse"], r["nll"]) for r in runs if r["data"] == data and r["method"] == method}
        if len(mine) < N_SPLITS:
            continue
        values = np.array([mine[k] for k in range(N_SPLITS)])
        row = {"data": data, "group": group, "method": method}
        behind = values - bar
        for k, name in enumerate(("rmse", "nll")):
            row[name] = float(values[:, k].mean())
            row[f"{name}_standard_error"] = standard_error(values[:, k])
            row[f"{name}_behind_long_dropout"] = float(behind[:, k].mean())
            row[f"{name}_behind_standard_error"] = standard_error(behind[:, k])
        yield row
    for method, name in PUBLISHED.items():
        figures = {figure: float(published[data][f"{name}_{figure}"]) for figure in ("rmse", "nll")}
        yield {"data": data, "group": group, "method": f"{method} (published)", **figures}
    means = dict(zip(("rmse", "nll"), bar.mean(axis=0).tolist(), strict=True))
    yield {"data": data, "group": group, "method": "MC dropout, grid search, long training (published)", **means}


def summary(runs):
    published = table_of_deep_ensembles()
    return [row for data in UCI_REGRESSION_SETS for row in of_set(runs, published, data)]


def verdicts(rows):
    """Against the published tables, of methods that have run on all sets."""
    table, n_sets = {(row["data"], row["method"]): row for row in rows}, len(UCI_REGRESSION_SETS)
    for method in ("BetaSearchCV", "5 VIB networks, n_bins=16"):
        mine = [row for row in rows if row["method"] == method]
        if len(mine) < n_sets:
            continue
        for figure, label in (("rmse", "RMSE"), ("nll", "NLL")):
            for rival in PUBLISHED:
                lost = [r["data"] for r in mine if r[figure] >= table[r["data"], f"{rival} (published)"][figure]]
                yield verdict(f"{method}: {label} ahead of {rival} on all sets", counted(mine, lost), not lost)
            behind, error = f"{figure}_behind_long_dropout", f"{figure}_behind_standard_error"
            lost = [row["data"] for row in mine if row[behind] > row[error]]
            target = f"{method}: {label} within a standard error of, or ahead of, long MC dropout on 5 of {n_sets}"
            yield verdict(target, counted(mine, lost), len(lost) <= 1)


def settings(*methods):
    """Of these methods, or of all."""
    for method in METHODS:
        if not methods or method in methods:
            for data in UCI_REGRESSION_SETS:
                yield from ({"data": data, "split": split, "method": method} for split in range(N_SPLITS))


UCI_REGRESSION = Claim("uci_regression", settings, run, summary, verdicts, n_jobs=2)
