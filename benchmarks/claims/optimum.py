"""How near fits come to the optimum of D + beta R, what `alpha` adds to it, and what held-out rows say.

`optimum` compares fits of all rows at the defaults with references of ten times the steps, the best of three step
sizes: with the same `alpha`, and with none. All in nats.
`held_out` scores fits at the defaults on rows held out, at eight betas, beside those of older code (bec3e70), which are
made in the root of its checkout by ``PYTHONPATH=<this checkout> python -m benchmarks held_out``.
Both read vehicle and concrete from the folder that SKVIB_DATA names.
"""

from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

import skvib
from benchmarks.claim import Claim, verdict
from benchmarks.datasets import classification, regression
from benchmarks.scoring import error_of_mean, standard_error
from skvib import VIBClassifier, VIBRegressor

REGRESSION = "diabetes", "concrete"
SETS = "wine", "breast_cancer", "vehicle", *REGRESSION, "digits"
BETAS = 0.01, 0.1, 0.3
HELD_OUT_BETAS = 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 0.5
STEP_SIZES = 3e-3, 6e-3, 1.2e-2
N_REPEATS = 10


def load(data):
    if data in REGRESSION:
        return regression(data)[:2]
    table = classification(data)
    return table.X.astype(float), table.y


def model(data, **parameters):
    return (VIBRegressor if data in REGRESSION else VIBClassifier)(**parameters)


# Optimum


def optimum(data, beta, kind, step_size):
    alpha = {"alpha": 0.0} if kind == "reference without alpha" else {}
    epochs = 150 if kind == "fit" else 1500
    X, y = load(data)
    fitted = model(
        data, beta=beta, early_stopping=False, max_iter=epochs, learning_rate_init=step_size, random_state=0, **alpha
    ).fit(X, y)
    loss = fitted.distortion_ + beta * fitted.rate_
    return {"loss": float(loss), "rate": fitted.rate_, "charged": charged(fitted), "units": float(fitted._target.units)}


def charged(fitted):
    """What `alpha` adds to the loss."""
    # bec3e70 has none
    from skvib.nn.problem import unpriced

    sizes = [int(np.prod(shape)) for _, shape in fitted._layout]
    parts = np.split(fitted._weights.astype(float), np.cumsum(sizes)[:-1])
    squares = sum(
        np.sum(part**2)
        for part, (name, shape) in zip(parts, fitted._layout, strict=True)
        if name.endswith("weight") and len(shape) > 1
    )
    return float(unpriced(fitted._penalty(), fitted.beta) / 2 * squares)


def optimum_settings():
    for data in SETS:
        for beta in BETAS:
            yield {"data": data, "beta": beta, "kind": "fit", "step_size": 6e-3}
            for step_size in STEP_SIZES:
                for kind in ("reference", "reference without alpha"):
                    yield {"data": data, "beta": beta, "kind": kind, "step_size": step_size}


def compare_with_references(runs):
    for data in SETS:
        for beta in BETAS:
            of = {
                kind: [run for run in runs if (run["data"], run["beta"], run["kind"]) == (data, beta, kind)]
                for kind in ("fit", "reference", "reference without alpha")
            }
            (fit,) = of["fit"]
            best = min(of["reference"], key=lambda run: run["loss"] + run["charged"])
            free = min(of["reference without alpha"], key=lambda run: run["loss"])
            # five percent of a loss in units of y would depend on the units
            size = abs(best["loss"] - best["units"]) + best["charged"]
            yield {
                "data": data,
                "beta": beta,
                "loss": fit["loss"],
                "charged": fit["charged"],
                "loss_of_reference": best["loss"],
                "charged_of_reference": best["charged"],
                "loss_without_alpha": free["loss"],
                "behind_reference": fit["loss"] + fit["charged"] - best["loss"] - best["charged"],
                "allowed_behind": max(0.02, 0.05 * size),
                "share_of_alpha": best["loss"] - free["loss"],
                "allowed_share": max(0.05, 0.1 * abs(free["loss"] - free["units"])),
            }


def optimum_verdicts(rows):
    reached = [row["behind_reference"] <= row["allowed_behind"] for row in rows]
    of_alpha = [row["share_of_alpha"] <= row["allowed_share"] for row in rows if row["beta"] >= 0.1]
    for target, held in (
        ("D + beta R and what alpha charges within max(.02, 5 %) of ten times the steps", reached),
        ("alpha's share of D + beta R at most max(.05, 10 %) from beta = .1 on", of_alpha),
    ):
        yield verdict(target, f"{sum(held)} of {len(held)} sets and betas", all(held))


OPTIMUM = Claim("optimum", optimum_settings, optimum, compare_with_references, optimum_verdicts, n_jobs=2)


# Held out


def held_out(data, beta, repeat, code):
    X, y = load(data)
    strata = None if data in REGRESSION else y
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=repeat, stratify=strata)
    fitted = model(data, beta=beta, random_state=repeat).fit(X, y)
    return {"log_likelihood": float(fitted.log_likelihood_samples(X_test, y_test).mean())}


def held_out_settings():
    is_of_now = Path(skvib.__file__).parents[1] == Path(__file__).parents[2]
    code = "now" if is_of_now else "before"
    for data in SETS:
        for beta in HELD_OUT_BETAS:
            yield from ({"data": data, "beta": beta, "repeat": k, "code": code} for k in range(N_REPEATS))


def compare_codes(runs):
    """Once both have run."""
    if {run["code"] for run in runs} != {"before", "now"}:
        return
    cells = {(run["data"], run["beta"], run["repeat"], run["code"]): run["log_likelihood"] for run in runs}
    for data in SETS:
        for beta in HELD_OUT_BETAS:
            now, before = (
                np.array([cells[data, beta, repeat, code] for repeat in range(N_REPEATS)]) for code in ("now", "before")
            )
            row = {"data": data, "beta": beta, "before": float(before.mean()), "now": float(now.mean())}
            yield row | {"gain": float((now - before).mean()), "standard_error": standard_error(now - before)}


def held_out_verdicts(rows):
    if not rows:
        return
    by_beta = {beta: [row for row in rows if row["beta"] == beta] for beta in HELD_OUT_BETAS}
    means = {beta: np.mean([row["gain"] for row in of]) for beta, of in by_beta.items()}
    errors = {beta: error_of_mean([row["standard_error"] for row in of]) for beta, of in by_beta.items()}
    level = all(means[beta] > -errors[beta] for beta in HELD_OUT_BETAS)
    cells = all(row["gain"] > -4 * row["standard_error"] for row in rows)
    found = {beta: f"{means[beta]:+.3f} ± {errors[beta]:.3f} at {beta:g}" for beta in HELD_OUT_BETAS}
    yield verdict(
        "held-out log-likelihood no worse than before at any of eight betas", ", ".join(found.values()), level and cells
    )
    large = [beta for beta in HELD_OUT_BETAS if beta >= 0.03]
    better = all(means[beta] > 0 for beta in large)
    yield verdict("better in the mean from beta = .03 on", ", ".join(found[beta] for beta in large), better)


HELD_OUT = Claim("held_out", held_out_settings, held_out, compare_codes, held_out_verdicts, n_jobs=2)
