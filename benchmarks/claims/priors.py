"""What a learned prior buys: excess over the discrete bottleneck, foreign rows found by the rate alone, log loss.

"tables" are those of `limits`, with the same network; what counts is D + beta R of the rate that bounds I(X;Z), for
"class", too. "foreign" trains on 10,000 digits of MNIST and asks the rate for clothes, or trains on all but two classes
and asks for these; the better of two betas is taken for each prior by the log-likelihood of test rows of known classes,
without foreign rows. "tuning" are the tuning sets at the defaults, five folds.
"""

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold, StratifiedKFold

from benchmarks.claim import Claim, verdict
from benchmarks.claims.limits import DISCRETE_BETAS, TABLES, discrete
from benchmarks.datasets import TUNING_REGRESSION_SETS, TUNING_SETS, classification, images, regression
from benchmarks.scoring import standard_error
from skvib import VIBClassifier, VIBRegressor

PRIORS = "normal", "mixture", "class"
FOREIGN = "clothes", "two classes"
FOREIGN_BETAS, N_SEEDS, N_FOLDS = (0.01, 0.1), 3, 5
COSTLY = 0.01  # nats that the normal prior costs


def foreign(data, beta, seed, prior):
    X, y, X_test, y_test = images("mnist")
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(y))[:10_000]
    held_out = rng.choice(10, 2, replace=False) if data == "two classes" else []
    rows = rows[~np.isin(y[rows], held_out)]
    is_held_out = np.isin(y_test, held_out)
    clothes = images("fashion-mnist")[2][:2000] if data == "clothes" else X_test[is_held_out]
    known, labels = X_test[~is_held_out][:2000], y_test[~is_held_out][:2000]
    model = VIBClassifier(beta=beta, latent_prior=prior, max_iter=30, random_state=seed).fit(X[rows], y[rows])
    rates = model.rate_samples(np.r_[known, clothes])
    return {
        "log_likelihood": float(model.log_likelihood_samples(known, labels).mean()),
        "auroc": float(roc_auc_score(np.arange(len(rates)) >= len(known), rates)),
    }


def tuning(data, fold, prior):
    is_numbers = data in TUNING_REGRESSION_SETS
    if is_numbers:
        X, y, _ = regression(data)
        train, test = list(KFold(N_FOLDS, shuffle=True, random_state=0).split(X))[fold]
        X_train, y_train, X_test, y_test = X[train], y[train], X[test], y[test]
    else:
        table = classification(data)
        train, test = list(StratifiedKFold(N_FOLDS, shuffle=True, random_state=0).split(table.X, table.y))[fold]
        X_train, y_train, X_test, y_test = table.split(train, test)
    model = (VIBRegressor if is_numbers else VIBClassifier)(latent_prior=prior, random_state=fold)
    model.fit(X_train, y_train)
    return {"loss": -float(model.log_likelihood_samples(X_test, y_test).mean())}


def run(part, data, prior, beta, repeat):
    if part == "tables":
        return discrete(data, beta, latent_prior=prior)
    return foreign(data, beta, repeat, prior) if part == "foreign" else tuning(data, repeat, prior)


def settings():
    for prior in PRIORS:
        for data in FOREIGN:
            for beta in FOREIGN_BETAS:
                for seed in range(N_SEEDS):
                    yield {"part": "foreign", "data": data, "prior": prior, "beta": beta, "repeat": seed}
        for data in TABLES:
            for beta in DISCRETE_BETAS:
                yield {"part": "tables", "data": data, "prior": prior, "beta": beta, "repeat": 0}
        for data in (*TUNING_SETS, *TUNING_REGRESSION_SETS):
            if prior != "class" or data in TUNING_SETS:
                for fold in range(N_FOLDS):
                    yield {"part": "tuning", "data": data, "prior": prior, "beta": None, "repeat": fold}


def summary(runs):
    cells = {tuple(r[name] for name in ("part", "data", "prior", "beta", "repeat")): r for r in runs}
    for data in FOREIGN:
        for prior in PRIORS:
            of_beta = {b: [cells["foreign", data, prior, b, seed] for seed in range(N_SEEDS)] for b in FOREIGN_BETAS}
            chosen = max(of_beta, key=lambda b: np.mean([r["log_likelihood"] for r in of_beta[b]]))
            row = {"part": "foreign", "data": data, "prior": prior, "beta": chosen}
            row |= {f"auroc at {b:g}": float(np.mean([r["auroc"] for r in of_beta[b]])) for b in FOREIGN_BETAS}
            yield row | {"auroc": row[f"auroc at {chosen:g}"]}
    for data in TABLES:
        for beta in DISCRETE_BETAS:
            of_prior = {prior: cells["tables", data, prior, beta, 0] for prior in PRIORS}
            row = {"part": "tables", "data": data, "beta": beta, "cost": of_prior["normal"]["of_the_prior"]}
            yield row | {prior: of_prior[prior]["excess"] for prior in PRIORS}
    for data in (*TUNING_SETS, *TUNING_REGRESSION_SETS):
        losses = {p: [cells["tuning", data, p, None, k]["loss"] for k in range(N_FOLDS)] for p in priors_of(data)}
        row = {"part": "tuning", "data": data} | {prior: float(np.mean(of)) for prior, of in losses.items()}
        for prior in priors_of(data)[1:]:
            differences = np.subtract(losses[prior], losses["normal"])
            row |= {f"{prior}, gain": -float(differences.mean()), f"{prior}, ±": standard_error(differences)}
        yield row


def priors_of(data):
    return PRIORS if data in TUNING_SETS else PRIORS[:2]


def verdicts(rows):
    aurocs = {(row["data"], row["prior"]): row["auroc"] for row in rows if row["part"] == "foreign"}
    for data, target in zip(FOREIGN, (0.85, 0.8), strict=True):
        best = max(PRIORS[1:], key=lambda prior: aurocs[data, prior])
        found = f"{aurocs[data, best]:.3f} ({best}); normal {aurocs[data, 'normal']:.3f}"
        name = "clothes among digits" if data == "clothes" else "digits of two classes held out"
        yield verdict(f"{name}: AUROC of the rate alone at least {target}", found, aurocs[data, best] >= target)
    costly = [row for row in rows if row["part"] == "tables" and row["cost"] > COSTLY]
    cost = sum(row["cost"] for row in costly)
    fallen = {prior: sum(row["normal"] - row[prior] for row in costly) for prior in PRIORS[1:]}
    best = max(fallen, key=fallen.get)
    target = "tables where the normal prior costs more than .01: the excess falls by half of that cost"
    yield verdict(target, f"by {fallen[best]:.3f} of {cost:.3f} nats ({best})", fallen[best] >= 0.5 * cost)


PRIORS_CLAIM = Claim("priors", settings, run, summary, verdicts, n_jobs=2)
