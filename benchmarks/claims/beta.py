"""Choosing beta: one amortized training against a fit for each beta, and the time of a search.

`beta_paths` compares the paths: networks of equal settings over 11 betas, 8000 steps.
`beta_winners` compares the choices of GridSearchCV with loky and under fit_together on five sets.
`beta_search` compares the times of BetaSearchCV and of GridSearchCV with two workers, in processes of their own.
`beta_worth` compares searched betas with the default on tuning sets cut to 60, 200 and 1000 rows.
`beta_paths` and `beta_worth` read sets from the folder that SKVIB_DATA names.
"""

import time
from functools import partial

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine, make_friedman1
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.claim import Claim, stored_result, verdict
from benchmarks.datasets import TUNING_SETS, classification, regression
from benchmarks.processes import in_a_process_of_its_own
from benchmarks.scoring import error_of_mean, standard_error
from skvib import BetaSearchCV, VIBClassifier, VIBRegressor, beta_path, fit_together, one_standard_error

LOADERS = {
    "iris": partial(load_iris, return_X_y=True),
    "wine": partial(load_wine, return_X_y=True),
    "breast_cancer": partial(load_breast_cancer, return_X_y=True),
    "digits": partial(load_digits, return_X_y=True),
    "diabetes": partial(load_diabetes, return_X_y=True),
    "friedman1": partial(make_friedman1, 10_000, noise=1.0, random_state=0),
    "kin8nm": lambda: regression("kin8nm")[:2],
    "pendigits": lambda: pendigits(),
    "20k x 40, noisy": lambda: twenty_thousand(),
}
REGRESSION = ("diabetes", "friedman1", "kin8nm")


def pendigits():
    table = classification("pendigits")
    return table.X.astype(float), table.y


def twenty_thousand():
    """40 columns of which five decide one of two noisy labels."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 40))
    return X, (X[:, :5].sum(axis=1) + rng.normal(size=20_000) > 0).astype(int)


def model(name, **parameters):
    return (VIBRegressor if name in REGRESSION else VIBClassifier)(random_state=0, **parameters)


# Paths

NETWORK = {"hidden_layer_sizes": (64, 64), "latent_dim": 8, "early_stopping": False}
BETAS = np.geomspace(1e-5, 1.0, 11)
STEPS = 8000


def losses(path):
    return path.distortion + path.betas * path.rate


def compare_paths(set):
    X, y = LOADERS[set]()
    X, X_val, y, y_val = train_test_split(X, y, test_size=0.3, random_state=0)
    held_out = {"X_val": X_val, "y_val": y_val}
    batches = int(np.ceil(len(X) / np.clip(len(X) / 8, 32, 200)))  # batch_size="auto"
    epochs = STEPS // batches
    exact = beta_path(model(set, **NETWORK, max_iter=epochs), X, y, betas=BETAS, method="exact", **held_out)
    amortized = beta_path(model(set, **NETWORK, max_iter=epochs), X, y, betas=BETAS, **held_out)
    for k, beta in enumerate(BETAS):
        row = {"beta": float(beta), "steps": batches * epochs}
        for method, path in (("exact", exact), ("amortized", amortized)):
            row[f"loss_{method}"], row[f"rate_{method}"] = float(losses(path)[k]), float(path.rate[k])
            row[f"log_likelihood_{method}"] = float(path.log_likelihoods[k])
            row[f"score_{method}"] = float(path.scores[k])
            samples = path.at_beta(beta).log_likelihood_samples(X_val, y_val)
            row[f"log_likelihood_se_{method}"] = standard_error(samples)
        yield row


def path_settings():
    return [{"set": name} for name in ("digits", "breast_cancer", "friedman1", "pendigits", "kin8nm")]


BETA_PATHS = Claim("beta_paths", path_settings, compare_paths)


# Winners


def compare_winners(set):
    X, y = LOADERS[set]()
    pipeline = make_pipeline(StandardScaler(), model(set, max_iter=40))
    grid = {f"{pipeline.steps[-1][0]}__beta": [1e-4, 1e-3, 1e-2, 1e-1, 1.0]}
    scoring = "r2" if set in REGRESSION else "neg_log_loss"
    loky, together = (GridSearchCV(pipeline, grid, scoring=scoring, n_jobs=2) for _ in range(2))
    loky.fit(X, y)
    with fit_together():
        together.fit(X, y)
    splits = [f"split{split}_test_score" for split in range(5)]
    difference = max(np.abs(loky.cv_results_[s] - together.cv_results_[s]).max() for s in splits)
    row = {"scoring": scoring, "largest_split_difference": float(difference)}
    for kind, searched in (("loky", loky), ("together", together)):
        row[f"winner_{kind}"] = next(iter(searched.best_params_.values()))
    return row


def winner_settings():
    return [{"set": name} for name in ("iris", "wine", "breast_cancer", "digits", "diabetes")]


BETA_WINNERS = Claim("beta_winners", winner_settings, compare_winners)


# Search

TIMED = {"digits": {}, "20k x 40, noisy": {"max_iter": 10}}
GRID = {"beta": np.geomspace(1e-5, 1.0, 13).tolist()}


def search(name, kind):
    """One search."""
    X, y = LOADERS[name]()
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=0)
    estimator = model(name, **TIMED[name])
    if kind == "loky":
        chosen = GridSearchCV(estimator, GRID, scoring="neg_log_loss", n_jobs=2)
    else:
        chosen = BetaSearchCV(estimator, method=kind)
    start = time.perf_counter()
    chosen.fit(X, y)
    seconds = time.perf_counter() - start
    samples = chosen.best_estimator_.log_likelihood_samples(X_test, y_test)
    return {
        "seconds": seconds,
        "beta": chosen.best_params_["beta"],
        "held_out_log_likelihood": float(samples.mean()),
        "standard_error": standard_error(samples),
    }


def compare_times(set, n_runs=2):
    kinds = ("loky", "amortized", "exact")
    runs = [{kind: in_a_process_of_its_own(search, set, kind) for kind in kinds} for _ in range(n_runs)]
    for kind in kinds:
        ratio = np.exp(np.mean([np.log(run[kind]["seconds"] / run["loky"]["seconds"]) for run in runs]))
        row = {"search": kind, "epochs": model(set, **TIMED[set]).max_iter, "runs": n_runs}
        yield row | {"seconds_over_loky": float(ratio)} | runs[-1][kind]


def search_settings():
    return [{"set": name} for name in TIMED]


BETA_SEARCH = Claim("beta_search", search_settings, compare_times)


# Worth

N_ROWS = 60, 200, 1000
N_REPEATS = 10
MOST_TEST_ROWS = 4000


def worth_of_search(data, n_rows, repeat):
    """Log loss of held-out rows of the default and of what a search chooses."""
    table = classification(data)
    train, test = train_test_split(np.arange(len(table.y)), train_size=n_rows, stratify=table.y, random_state=repeat)
    X, y, X_test, y_test = table.split(train, test[:MOST_TEST_ROWS])

    def loss(fitted):
        return -float(fitted.log_likelihood_samples(X_test, y_test).mean())

    search = BetaSearchCV(VIBClassifier(random_state=repeat)).fit(X, y)
    compressed = search.cv_results_["params"][one_standard_error(search.cv_results_)]["beta"]
    best = search.best_params_["beta"]
    return {
        "default": loss(VIBClassifier(random_state=repeat).fit(X, y)),
        "best": loss(search.best_estimator_),
        "1se": loss(VIBClassifier(random_state=repeat, beta=compressed).fit(X, y)),
        "beta_best": best,
        "beta_1se": compressed,
    }


def worth_settings():
    for n_rows in N_ROWS:
        for data in TUNING_SETS:
            if n_rows <= 0.7 * len(classification(data).y) and not (data == "letter" and n_rows < 200):
                yield from ({"data": data, "n_rows": n_rows, "repeat": repeat} for repeat in range(N_REPEATS))


def by_size_and_set(runs):
    """{number of rows: {set: its runs}}."""
    found = {n_rows: {} for n_rows in N_ROWS}
    for run in runs:
        found[run["n_rows"]].setdefault(run["data"], []).append(run)
    return found


def worth_rows(runs):
    for n_rows, by_set in by_size_and_set(runs).items():
        for data, own in by_set.items():
            losses = {name: float(np.mean([run[name] for run in own])) for name in ("default", "best", "1se")}
            beta = float(np.median([run["beta_best"] for run in own]))
            yield {"rows": n_rows, "data": data, **losses, "beta_best": beta}


def worth_verdicts(rows):
    # the standard errors are those of pairs of runs, which rows do not hold
    for n_rows, by_set in by_size_and_set(stored_result("beta_worth")["runs"]).items():
        for selection, allowed in (("best", 0.0), ("1se", 0.01)):
            differences = [np.array([run[selection] - run["default"] for run in own]) for own in by_set.values()]
            mean = np.mean([d.mean() for d in differences])
            error = error_of_mean([standard_error(d) for d in differences])
            target = f'{n_rows} rows: mean log loss of "{selection}" at most {allowed:g} above the default\'s'
            yield verdict(target, f"{mean:+.3f} ± {error:.3f}", bool(mean <= allowed))


BETA_WORTH = Claim("beta_worth", worth_settings, worth_of_search, worth_rows, worth_verdicts, n_jobs=2)
