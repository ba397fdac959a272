"""What each default buys: one changed at a time, on the tuning sets alone.

The defaults were chosen on these sets and on no other. A row is one change; its figures are geometric means over the
sets of the ratios to the defaults on the same splits: of the log loss in classification, of exp(NLL) in regression.
``python benchmarks/bench_defaults.py``
"""

import numpy as np
from datasets import TUNING_REGRESSION_SETS, TUNING_SETS, classification, regression
from experiment import complete, write
from scoring import classification as score_classification
from scoring import regression as score_regression
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
    for change in CHANGES:
        sets = TUNING_REGRESSION_SETS if change == "homoscedastic noise" else (*TUNING_SETS, *TUNING_REGRESSION_SETS)
        for data in sorted(sets, key=lambda name: name != "letter"):
            yield from ({"data": data, "fold": fold, "change": change} for fold in range(FOLDS.get(data, 5)))


def summary(runs, change):
    """Means over sets of the mean over folds of the log ratio to the defaults, and their standard errors over sets."""
    row = {"change": change}
    for kind, sets, figure in (("log_loss", TUNING_SETS, "log_loss"), ("density", TUNING_REGRESSION_SETS, "nll")):
        ratios, seconds, errors = [], [], []
        for data in sets:
            pairs = [
                (one, other)
                for one in runs
                for other in runs
                if one["change"] == change and other["change"] == "the defaults"
                if one["data"] == other["data"] == data and one["fold"] == other["fold"]
            ]
            if not pairs:
                continue
            of = np.log if figure == "log_loss" else np.asarray
            ratios.append(np.mean([of(one[figure]) - of(other[figure]) for one, other in pairs]))
            seconds.append(np.mean([np.log(one["seconds"] / other["seconds"]) for one, other in pairs]))
            if figure == "log_loss":
                errors.append(np.mean([other["accuracy"] - one["accuracy"] for one, other in pairs]))
        if ratios:
            row[f"{kind}_ratio"] = float(np.exp(np.mean(ratios)))
            row[f"{kind}_standard_error"] = float(np.std(ratios, ddof=1) / np.sqrt(len(ratios)))
            row[f"{kind}_time_ratio"] = float(np.exp(np.mean(seconds)))
            if errors:
                row["points_of_accuracy_lost"] = 100 * float(np.mean(errors))
    return row


def main():
    runs = complete("defaults", COMMAND, run, list(settings()), n_jobs=2)
    write("defaults", [summary(runs, change) for change in CHANGES if change != "the defaults"], COMMAND, runs, 1)


if __name__ == "__main__":
    main()
