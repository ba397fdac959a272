"""What each default buys: one changed at a time, on the tuning sets alone.

The defaults were chosen on these sets and on no other. A row is one change; its figures are geometric means over the
sets of the ratios to the defaults on the same splits: of the log loss in classification, of exp(NLL) in regression.
``python benchmarks/bench_defaults.py``
"""

from operator import itemgetter

import numpy as np
from datasets import TUNING_REGRESSION_SETS, TUNING_SETS, classification, regression
from experiment import complete, write
from scoring import classification as score_classification
from scoring import regression as score_regression
from scoring import standard_error
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, RobustScaler

from skvib import VIBClassifier, VIBRegressor

COMMAND = "python benchmarks/bench_defaults.py"
FOLDS = {"letter": 1, "phoneme": 2, "digits": 2, "vehicle": 3, "credit-g": 3, "concrete": 3, "wine-quality-red": 3}
CHANGES = {
    "the defaults": {},
    "beta 1e-3": {"beta": 1e-3},
    "beta 1e-2": {"beta": 1e-2},
    "8 latent dimensions": {"latent_dim": 8},
    "widths 128, 128": {"hidden_layer_sizes": (128, 128)},
    "widths 512, 512": {"hidden_layer_sizes": (512, 512)},
    "three layers of 256": {"hidden_layer_sizes": (256, 256, 256)},
    "silu": {"activation": "silu"},
    "4 draws in training": {"n_train_draws": 4},
    "no average of weights": {"ema_decay": 0.0},
    "no average, rate 3e-3": {"ema_decay": 0.0, "learning_rate_init": 3e-3},
    "75 epochs": {"max_iter": 75},
    "alpha 1e-4": {"alpha": 1e-4},
    "alpha 1": {"alpha": 1.0},
    "alpha 10": {"alpha": 10.0},
    "no warm-up of beta": {"beta_warmup": 0.0},
    "no validation rows": {"early_stopping": False},
    "a fifth for validation": {"validation_fraction": 0.2},
    "all 150 epochs": {"n_iter_no_change": np.inf},
    "homoscedastic noise": {"noise": "homoscedastic"},
    "robust scaling": "robust",
    "periodic embeddings": "periodic",
}


def periodic(X, n_frequencies=8, scale=0.3):
    """X, and cosines of each column at random frequencies."""
    rng = np.random.default_rng(0)
    frequencies = scale * rng.normal(size=(X.shape[1], n_frequencies))
    phases = rng.uniform(0, 2 * np.pi, size=frequencies.shape)
    return np.hstack([X, np.sqrt(2) * np.cos(X[:, :, None] * frequencies + phases).reshape(len(X), -1)])


def clipped(X):
    """Columns in robust units x, bent so that they stay within 3 (Holzmueller et al. 2024)."""
    return X / np.sqrt(1 + (X / 3) ** 2)


BEFORE = {
    "robust": lambda: make_pipeline(RobustScaler(), FunctionTransformer(clipped)),
    "periodic": lambda: FunctionTransformer(periodic),
}


def run(data, fold, change):
    is_regression = data in TUNING_REGRESSION_SETS
    folds = KFold if is_regression else StratifiedKFold
    X, y = regression(data)[:2] if is_regression else (classification(data).X, classification(data).y)
    train, test = list(folds(5, shuffle=True, random_state=0).split(X, y))[fold]
    parts = (X[train], y[train], X[test], y[test]) if is_regression else classification(data).split(train, test)
    X_train, y_train, X_test, y_test = parts
    changes = CHANGES[change]
    if isinstance(changes, str):
        before = BEFORE[changes]()
        X_train, X_test, changes = before.fit_transform(X_train), before.transform(X_test), {}
    model = (VIBRegressor if is_regression else VIBClassifier)(random_state=fold, **changes)
    score = score_regression if is_regression else score_classification
    return score(model, X_train, y_train, X_test, y_test)


def settings():
    for data in sorted((*TUNING_SETS, *TUNING_REGRESSION_SETS), key=lambda name: name != "letter"):
        for fold in range(FOLDS.get(data, 5)):
            for change in CHANGES:
                if change != "homoscedastic noise" or data in TUNING_REGRESSION_SETS:
                    yield {"data": data, "fold": fold, "change": change}


def differences(runs, change, sets, measure):
    """The mean over folds of the measure's difference to the defaults, for each of the sets that the change ran on."""
    cells = {(run["data"], run["fold"], run["change"]): run for run in runs}
    means = []
    for data in sets:
        folds = [fold for name, fold, of in cells if (name, of) == (data, change)]
        pairs = [(cells[data, fold, change], cells[data, fold, "the defaults"]) for fold in folds]
        if pairs:
            means.append(np.mean([measure(one) - measure(other) for one, other in pairs]))
    return np.array(means)


def summary(runs, change):
    """Geometric means over the sets of the ratios to the defaults, and standard errors of their logarithms."""
    row = {"change": change}
    measures = {"log_loss": lambda run: np.log(run["log_loss"]), "density": itemgetter("nll")}
    for kind, sets in (("log_loss", TUNING_SETS), ("density", TUNING_REGRESSION_SETS)):
        log_ratios = differences(runs, change, sets, measures[kind])
        if len(log_ratios):
            log_times = differences(runs, change, sets, lambda run: np.log(run["seconds"]))
            row[f"{kind}_ratio"] = float(np.exp(log_ratios.mean()))
            row[f"{kind}_standard_error"] = standard_error(log_ratios)
            row[f"{kind}_time_ratio"] = float(np.exp(log_times.mean()))
    if "log_loss_ratio" in row:
        row["points_of_accuracy_lost"] = -100 * float(
            differences(runs, change, TUNING_SETS, itemgetter("accuracy")).mean()
        )
    return row


def main():
    runs = complete("defaults", COMMAND, run, list(settings()), n_jobs=2)
    write("defaults", [summary(runs, change) for change in CHANGES if change != "the defaults"], COMMAND, runs)


if __name__ == "__main__":
    main()
