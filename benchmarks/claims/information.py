"""Are the measures right and fast? Bounds and planes against closed forms, irrelevant features, a million rows."""

import resource
import time

import numpy as np

from benchmarks.claim import Claim
from benchmarks.processes import in_a_process_of_its_own
from skvib import (
    VIBClassifier,
    VIBRegressor,
    beta_path,
    feature_information,
    gaussian_limit,
    information_plane,
    mutual_information,
    outlier_scores,
)


class GaussianCode:
    """Z = gains * X + N(0, I): I(X;Z) is known."""

    n_outputs_ = 1

    def __init__(self, gains):
        self.gains = np.array(gains)

    def encode(self, X):
        return X * self.gains, np.ones_like(X)


def bounds():
    for gains in ([0.5], [1.0, 0.5], [3.0], [7.3], [2.0, 1.0, 0.5, 0.2], [0.6] * 12):
        found = []
        for seed in range(20):
            X = np.random.default_rng(seed).normal(size=(2000, len(gains)))
            measured = mutual_information(GaussianCode(gains), X, random_state=seed)
            error = measured.x_lower.standard_error / np.sqrt(20)
            found.append((measured.x_lower, measured.x_upper, error, measured.rate))
        lower, upper, error, rate = np.mean(found, axis=0).tolist()
        truth = 0.5 * np.log1p(np.square(gains)).sum()
        row = {"truth": float(truth), "lower": lower, "upper": upper, "standard_error": error, "rate": rate}
        yield {"gains": ", ".join(map(str, gains)), "n_seeds": 20, **row}


def plane():
    betas = [0.03, 0.1, 0.3, 0.5, 0.7]
    for method in ("exact", "amortized"):
        found = []
        for seed in range(5):
            rng = np.random.default_rng(seed)
            X = rng.normal(size=(40_000, 4))
            y = np.sqrt(0.8) * X @ np.full(4, 0.5) + np.sqrt(0.2) * rng.normal(size=len(X))
            rows = {"X_val": X[20_000:], "y_val": y[20_000:]}
            model = VIBRegressor(hidden_layer_sizes=(), early_stopping=False, random_state=seed)
            measured = information_plane(beta_path(model, X[:20_000], y[:20_000], betas=betas, method=method, **rows))
            limits = gaussian_limit(X[20_000:], y[20_000:], betas)
            frontier = -0.5 * np.log1p(-0.8 * -np.expm1(-2 * measured.rate))
            columns = measured.rate, measured.x_lower, measured.x_upper, measured.y_lower, measured.y_lower_se
            found.append((*columns, *limits, measured.y_lower - frontier))
        names = "rate", "x_lower", "x_upper", "information", "information_se", "rate_limit", "information_limit"
        means = np.mean(found, axis=0)
        for k, beta in enumerate(betas):
            columns = dict(zip((*names, "to_the_curve"), means[:, k].tolist(), strict=True))
            yield {"method": method, "beta": beta, "n_seeds": 5, **columns}


def features():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 4))
    y = (X[:, 0] + X[:, 1] + 0.5 * rng.normal(size=len(X)) > 0).astype(int)
    for beta in (0.03, 0.1, 0.3):
        model = VIBClassifier(hidden_layer_sizes=(32,), latent_dim=4, beta=beta, random_state=0).fit(X[:2000], y[:2000])
        kept = feature_information(model, X[2000:], y[2000:]).x_kept
        yield {"beta": beta, "kept_relevant": float(kept[:2].min()), "kept_irrelevant": float(kept[2:].max())}


MEASURES = {
    "mutual_information": lambda model, X, y: mutual_information(model, X, y),
    "feature_information": lambda model, X, y: feature_information(model, X, y),
    "outlier_scores": lambda model, X, y: outlier_scores(model, X, X[:5000]),
}


def million():
    for name in MEASURES:
        yield {"measure": name, **in_a_process_of_its_own(measure, name)}


def measure(name):
    """Seconds, and memory beyond the peak of all that came before."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1_000_000, 20), dtype=np.float32)
    y = (X[:, 0] + X[:, 1] ** 2 + rng.normal(size=len(X)) > 1).astype(int)
    model = VIBClassifier(max_iter=3, beta=0.01, random_state=0).fit(X[:5000], y[:5000])
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    MEASURES[name](model, X, y)
    seconds = time.perf_counter() - start
    added = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"seconds": seconds, "mebibytes_added": added / 1024}


PARTS = {part.__name__: part for part in (bounds, features, plane, million)}


def settings():
    return [{"part": part} for part in PARTS]


def run(part):
    return PARTS[part]()


INFORMATION = Claim("information", settings, run)
