"""Choosing beta: one amortized training against a fit for each beta, and the time of a search.

``python benchmarks/bench_beta_grid.py paths`` compares the paths: networks of equal settings over 11 betas, the
exact ones trained until twice the epochs change no loss by more than 0.5 % or 0.002 nats, at most 16,000 steps.
``winners`` compares the choices of GridSearchCV with loky and under fit_together on five sets.
``time`` compares BetaSearchCV with GridSearchCV and two workers, in turns, in processes of their own. Each part
writes a results file and starts where it was stopped.
"""

import json
import sys
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
from alternate import RESULTS, Contender, write
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine, make_friedman1
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvib import BetaSearchCV, VIBClassifier, VIBRegressor, beta_path, fit_together

COMMAND = "python benchmarks/bench_beta_grid.py"
LOADERS = {
    "iris": load_iris,
    "wine": load_wine,
    "breast_cancer": load_breast_cancer,
    "digits": load_digits,
    "diabetes": load_diabetes,
    "friedman1": lambda return_X_y: make_friedman1(2000, noise=1.0, random_state=0),
    "20k x 40": lambda return_X_y: twenty_thousand(),
}
REGRESSION = ("diabetes", "friedman1")


def twenty_thousand():
    """40 columns of which five decide one of two noisy labels."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 40))
    return X, (X[:, :5].sum(axis=1) + rng.normal(size=20_000) > 0).astype(int)


def model(name, **parameters):
    return (VIBRegressor if name in REGRESSION else VIBClassifier)(random_state=0, **parameters)


def done(claim):
    """Rows of an earlier run."""
    path = RESULTS / f"{claim}.json"
    return json.loads(path.read_text())["rows"] if path.exists() else []


# Paths

NETWORK = {"hidden_layer_sizes": (64, 64), "latent_dim": 8}
BETAS = np.geomspace(1e-5, 1.0, 11)
EPOCHS = (500, 1000, 2000)  # of 8 steps


def losses(path):
    return path.distortion + path.betas * path.rate


def standard_error(values):
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def compare_paths(name):
    X, y = LOADERS[name](return_X_y=True)
    X, X_val, y, y_val = train_test_split(X, y, test_size=0.3, random_state=0)
    held_out = {"X_val": X_val, "y_val": y_val}
    before = None
    for epochs in EPOCHS:
        start = time.perf_counter()
        exact = beta_path(model(name, **NETWORK, max_iter=epochs), X, y, betas=BETAS, method="exact", **held_out)
        seconds = time.perf_counter() - start
        change = np.inf if before is None else np.abs(losses(exact) - before)
        before = losses(exact)
        if np.all(change < np.maximum(0.005 * np.abs(before), 0.002)):
            break
    start = time.perf_counter()
    amortized = beta_path(model(name, **NETWORK, max_iter=epochs), X, y, betas=BETAS, **held_out)
    amortized_seconds = time.perf_counter() - start
    for k, beta in enumerate(BETAS):
        row = {"set": name, "beta": float(beta), "steps_exact": 8 * epochs, "steps_amortized": 8 * epochs}
        row |= {"seconds_exact": seconds, "seconds_amortized": amortized_seconds}
        for method, path in (("exact", exact), ("amortized", amortized)):
            row[f"loss_{method}"], row[f"rate_{method}"] = float(losses(path)[k]), float(path.rate[k])
            row[f"log_likelihood_{method}"] = float(path.log_likelihoods[k])
            row[f"score_{method}"] = float(path.scores[k])
            samples = path.at_beta(beta).log_likelihood_samples(X_val, y_val)
            row[f"log_likelihood_se_{method}"] = standard_error(samples)
        yield row


def paths():
    rows = done("beta_paths")
    for name in ("digits", "breast_cancer", "diabetes", "friedman1"):
        if name not in {row["set"] for row in rows}:
            rows = rows + list(compare_paths(name))
            write("beta_paths", rows, f"{COMMAND} paths")


# Winners


def winners():
    rows = []
    for name in ("iris", "wine", "breast_cancer", "digits", "diabetes"):
        X, y = LOADERS[name](return_X_y=True)
        pipeline = make_pipeline(StandardScaler(), model(name, max_iter=40))
        grid = {f"{pipeline.steps[-1][0]}__beta": [1e-4, 1e-3, 1e-2, 1e-1, 1.0]}
        scoring = "r2" if name in REGRESSION else "neg_log_loss"
        loky, together = (GridSearchCV(pipeline, grid, scoring=scoring, n_jobs=2) for _ in range(2))
        loky.fit(X, y)
        with fit_together():
            together.fit(X, y)
        splits = [f"split{split}_test_score" for split in range(5)]
        difference = max(np.abs(loky.cv_results_[s] - together.cv_results_[s]).max() for s in splits)
        row = {"set": name, "winner_loky": next(iter(loky.best_params_.values()))}
        row |= {"winner_together": next(iter(together.best_params_.values()))}
        rows.append(row | {"scoring": scoring, "largest_split_difference": float(difference)})
    write("beta_winners", rows, f"{COMMAND} winners")


# Time

TIMED = {"digits": {}, "20k x 40": {"max_iter": 10}}
GRID = {"beta": np.geomspace(1e-5, 1.0, 13).tolist()}


def search(name, kind):
    X, y = LOADERS[name](return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=0)
    estimator = model(name, **TIMED[name])

    warnings.simplefilter("ignore", ConvergenceWarning)

    def task():
        if kind == "loky":
            chosen = GridSearchCV(estimator, GRID, scoring="neg_log_loss", n_jobs=2)
        else:
            chosen = BetaSearchCV(estimator, method=kind)
        start = time.perf_counter()
        with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
            chosen.fit(X, y)
        seconds = time.perf_counter() - start
        samples = chosen.best_estimator_.log_likelihood_samples(X_test, y_test)
        return {
            "seconds": seconds,
            "beta": chosen.best_params_["beta"],
            "held_out_log_likelihood": float(samples.mean()),
            "standard_error": standard_error(samples),
            "peak_mebibytes": peak_memory(),
        }

    return task


def peak_memory():
    """The peaks of this process and of its children, added up."""
    children = [p.read_text().split() for p in Path("/proc/self/task").glob("*/children")]
    total = 0
    for process in ("self", *(child for listed in children for child in listed)):
        status = Path(f"/proc/{process}/status").read_text().splitlines()
        total += sum(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    return total / 1024


def times(n_runs=2):
    rows = done("beta_search")
    for name in TIMED:
        if name in {row["set"] for row in rows}:
            continue
        contenders = {kind: Contender(search, (name, kind), 2) for kind in ("loky", "amortized", "exact")}
        runs = [{kind: contender.run() for kind, contender in contenders.items()} for _ in range(n_runs)]
        for contender in contenders.values():
            contender.close()
        for kind in contenders:
            ratio = np.exp(np.mean([np.log(run[kind]["seconds"] / run["loky"]["seconds"]) for run in runs]))
            row = {"set": name, "search": kind, "epochs": TIMED[name].get("max_iter", 200)}
            rows.append(row | {"runs": n_runs, "seconds_over_loky": float(ratio)} | runs[-1][kind])
        write("beta_search", rows, f"{COMMAND} time")


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)
    {"paths": paths, "winners": winners, "time": times}[sys.argv[1]]()
