"""What ramps buy (`n_bins=16`), on the tuning sets and on frames as they come, beside the defaults on the same folds.

A row is a set: the log loss in classification, the negative log-likelihood in regression, both in nats, the difference
that ramps make with the standard error of its mean over the folds, and the ratio of fit times.
"""

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold

from benchmarks.claim import Claim, verdict
from benchmarks.datasets import TUNING_FRAMES, TUNING_REGRESSION_SETS, TUNING_SETS, classification, frame, regression
from benchmarks.scoring import classification as score_classification
from benchmarks.scoring import regression as score_regression
from benchmarks.scoring import standard_error
from skvib import VIBClassifier, VIBRegressor

SETS = *TUNING_SETS, *TUNING_REGRESSION_SETS, *TUNING_FRAMES
N_FOLDS, N_REPEATS = 5, 2
BINS = 0, 16
LARGE = "letter", "nursery", "cpu_small", "page-blocks"  # one repeat


def rows_of(data):
    """X, y and whether y are numbers; frames as they come."""
    if data in TUNING_FRAMES:
        return frame(data)
    if data in TUNING_REGRESSION_SETS:
        return *regression(data)[:2], True
    table = classification(data)
    return table.X, table.y, False


def run(data, repeat, fold, n_bins):
    X, y, is_regression = rows_of(data)
    folds = (KFold if is_regression else StratifiedKFold)(N_FOLDS, shuffle=True, random_state=repeat)
    train, test = list(folds.split(X, y))[fold]
    options = {"n_bins": n_bins, "random_state": N_FOLDS * repeat + fold}
    if data not in (*TUNING_FRAMES, *TUNING_REGRESSION_SETS):
        options["categorical_features"] = classification(data).categorical
    take = X.iloc.__getitem__ if data in TUNING_FRAMES else X.__getitem__
    model = (VIBRegressor if is_regression else VIBClassifier)(**options)
    score = score_regression if is_regression else score_classification
    return score(model, take(train), y[train], take(test), y[test])


def settings():
    for data in SETS:
        for repeat in range(1 if data in LARGE else N_REPEATS):
            for fold in range(N_FOLDS):
                for n_bins in BINS:
                    yield {"data": data, "repeat": repeat, "fold": fold, "n_bins": n_bins}


def summary(runs):
    for data in SETS:
        cells = {(r["repeat"], r["fold"], r["n_bins"]): r for r in runs if r["data"] == data}
        pairs = [(cells[r, f, 0], cells[r, f, 16]) for r, f, n_bins in cells if n_bins == 16 and (r, f, 0) in cells]
        if not pairs:
            continue
        losses = np.array([[one.get("log_loss", one.get("nll")) for one in pair] for pair in pairs])
        times = np.array([[one["seconds"] for one in pair] for pair in pairs])
        differences = losses[:, 1] - losses[:, 0]
        yield {
            "data": data,
            "loss_without": float(losses[:, 0].mean()),
            "loss_with": float(losses[:, 1].mean()),
            "difference": float(differences.mean()),
            "standard_error": standard_error(differences),
            "time_ratio": float(np.exp(np.log(times[:, 1] / times[:, 0]).mean())),
        }


def verdicts(rows):
    worse = [row["data"] for row in rows if row["difference"] > row["standard_error"]]
    better = [row["data"] for row in rows if row["difference"] < -2 * row["standard_error"]]
    yield verdict(
        "ramps: no tuning set worse by more than a standard error",
        f"{len(rows) - len(worse)} of {len(rows)}; {len(better)} better by two or more",
        not worse,
    )


RAMPS = Claim("ramps", settings, run, summary, verdicts, n_jobs=2)
