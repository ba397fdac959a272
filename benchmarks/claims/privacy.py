"""What a fitted model and its codes give away as beta grows: membership in the training set, and a removed attribute.

Membership by LiRA (Carlini et al. 2022, online): 17 models, each trained on a row with probability one half; each in
turn is the target, and the other 16 are its shadow models. A larger beta also trains longer before its validation rows
stop it, so all is shown for trainings of all epochs, too. The attribute is the sex of adult, which is not among the
inputs; an attacker knows it of 5000 training rows, and learns it from their mean codes or from a draw of them.
"""

from itertools import product

import numpy as np
from scipy.stats import norm
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.utils.parallel import Parallel, delayed

from benchmarks.claim import Claim, verdict
from benchmarks.datasets import classification
from benchmarks.scoring import means, standard_error
from skvib import VIBClassifier, fit_together

BETAS = (0.0, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
N_SHADOWS = 16
POOLS = {"digits": 1797, "vehicle": 846, "credit-g": 1000, "letter": 4000, "phoneme": 4000}
N_SEEDS, N_ROWS, N_KNOWN = 3, 10_000, 5000
SEX = 9  # column of adult
TRAININGS = {"membership": {}, "membership, all epochs": {"early_stopping": False}}


def run(part, data, beta, seed):
    return membership(data, beta, **TRAININGS[part]) if part in TRAININGS else attribute(beta, seed)


def membership(data, beta, **options):
    table, rng = classification(data), np.random.default_rng(0)
    pool = rng.permutation(len(table.y))[: POOLS[data]]
    X, y = table.split(pool, pool)[:2]
    is_in = rng.random((N_SHADOWS + 1, len(y))) < 0.5
    models = [VIBClassifier(beta=beta, random_state=k, **options) for k in range(len(is_in))]
    with fit_together():
        models = Parallel()(delayed(model.fit)(X[row], y[row]) for model, row in zip(models, is_in, strict=True))
    accuracy = np.mean([model.score(X[~row], y[~row]) for model, row in zip(models, is_in, strict=True)])
    logits = np.stack([logit_of_the_label(model, X, y) for model in models])
    aucs, low = zip(*(attack(logits, is_in, target) for target in range(len(models))), strict=True)
    return {
        "accuracy": float(accuracy),
        "auc": float(np.mean(aucs)),
        "auc_standard_error": standard_error(aucs),
        "tpr_at_1_percent_fpr": float(np.mean(low)),
    }


def logit_of_the_label(model, X, y):
    """log p_y - log(1 - p_y), the second by the sum of the others, so that it does not round to infinity."""
    p = model.predict_proba(X.astype(np.float64))
    of_y = model.classes_ == y[:, None]
    tiny = np.finfo(np.float32).tiny
    return np.log(np.maximum(p[of_y], tiny)) - np.log(np.maximum(np.where(of_y, 0.0, p).sum(axis=1), tiny))


def attack(logits, is_in, target):
    """AUC, and true positives at 1 % false ones, of the likelihood ratio of the target's confidences."""
    others = np.arange(len(logits)) != target
    # by chance a row or two was in all shadow models or in none, which says nothing of the other case
    known = is_in[others].any(axis=0) & ~is_in[others].all(axis=0)
    logits, is_in = logits[:, known], is_in[:, known]
    log_ratio = 0.0
    for sign, chosen in ((1, is_in[others]), (-1, ~is_in[others])):
        values = np.where(chosen, logits[others], np.nan)
        mean = np.nanmean(values, axis=0)
        # one spread for all rows: 8 shadow models are too few for one each
        spread = np.sqrt(np.nanmean((values - mean) ** 2))
        log_ratio = log_ratio + sign * norm.logpdf(logits[target], mean, spread)
    false, true, _ = roc_curve(is_in[target], log_ratio)
    return roc_auc_score(is_in[target], log_ratio), np.interp(0.01, false, true)


def attribute(beta, seed):
    adult = classification("adult")
    sex = np.unique(adult.X[:, SEX], return_inverse=True)[1]
    kept = [k for k in range(adult.X.shape[1]) if k != SEX]
    without = type(adult)(adult.X[:, kept], adult.y, [kept.index(k) for k in adult.categorical if k != SEX])
    train = np.random.default_rng(seed).permutation(adult.n_train)[:N_ROWS]
    test = np.arange(adult.n_train, len(adult.y))
    X, y, X_test, y_test = without.split(train, test)
    model = VIBClassifier(beta=beta, random_state=seed).fit(X, y)
    views = {
        "inputs": lambda rows: rows,
        "transform": model.transform,
        "sample_latent": lambda rows: model.sample_latent(rows)[0],
    }
    figures = {"accuracy": float(model.score(X_test, y_test)), "rate": model.rate_}
    for name, view in views.items():
        thief = HistGradientBoostingClassifier(random_state=0).fit(view(X[:N_KNOWN]), sex[train[:N_KNOWN]])
        figures[f"auc_of_{name}"] = float(roc_auc_score(sex[test], thief.predict_proba(view(X_test))[:, 1]))
    return figures


def settings():
    for beta in BETAS:
        yield from ({"part": p, "data": data, "beta": beta, "seed": 0} for p in TRAININGS for data in POOLS)
        yield from ({"part": "attribute", "data": "adult", "beta": beta, "seed": seed} for seed in range(N_SEEDS))


def summary(runs):
    yield from (r for r in runs if r["part"] in TRAININGS)
    for beta in BETAS:
        mine = [r for r in runs if r["part"] == "attribute" and r["beta"] == beta]
        yield {"part": "attribute", "data": "adult", "beta": beta, **means(mine, ("part", "data", "beta", "seed"))}


def verdicts(rows):
    target = "AUC - .5 half of that at beta = 0, for at most 1 point of accuracy"
    for part, data in product(TRAININGS, POOLS):
        free, *priced = (row for row in rows if row["part"] == part and row["data"] == data)
        allowed = [row for row in priced if row["accuracy"] >= free["accuracy"] - 0.01]
        best = min(allowed, key=lambda row: row["auc"], default=free)
        share = (best["auc"] - 0.5) / (free["auc"] - 0.5)
        measured = f"beta {best['beta']:g}: AUC {best['auc']:.3f} against {free['auc']:.3f}, {share:.2f} of the excess"
        of = data if part == "membership" else f"{data}, all epochs (added)"
        yield verdict(f"{of}: {target}", measured, share <= 0.5)


PRIVACY = Claim("privacy", settings, run, summary, verdicts, n_jobs=2)
