"""What five networks are good for: intervals of few rows, rows far away, wrong labels, and against bagging.

`intervals`: 100 rows train; the share of the others in the central 90 % interval of one network and of five.
`far rows`: AUROC of telling test rows at three times their distance from the mean from the rows themselves, by
`disagreement_samples` of five networks and by the predictive deviation (in classification the entropy) of one.
`wrong labels`: the rows, the options and the rivals of the claim `robustness`, whose VIB is a single network; its
log loss is that of the true labels, `noisy` that of labels as wrong as in training.
`bagging`: `n_estimators=5` and BaggingClassifier(bootstrap=False) of five under `fit_together`, on five folds.
"""

import numpy as np
from sklearn.ensemble import BaggingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.preprocessing import StandardScaler

from benchmarks.claim import Claim, counted, stored_result, verdict
from benchmarks.claims import robustness
from benchmarks.datasets import classification, regression
from benchmarks.scoring import probabilities, standard_error, timed_fit
from skvib import VIBClassifier, VIBRegressor, fit_together

N_SEEDS, N_FEW, N_NOISY, LEVEL = 10, 100, 5, 0.9
REGRESSION = "diabetes", "concrete", "wine-quality-red", "yacht", "kin8nm"
CLASSIFICATION = "breast_cancer", "wine", "digits", "vehicle"
BAGGED = "breast_cancer", "wine", "vehicle", "credit-g"
NUMBERS = 1, 5


def numbers_of(data, size, seed):
    X, y = regression(data)[:2]
    return train_test_split(X, y, train_size=size, random_state=seed)


def intervals(data, seed, share):
    X, X_test, y, y_test = numbers_of(data, N_FEW, seed)
    for n in NUMBERS:
        model = VIBRegressor(n_estimators=n, random_state=seed).fit(X, y)
        low, high = model.predict(X_test, quantiles=[0.5 - LEVEL / 2, 0.5 + LEVEL / 2]).T
        figures = {"coverage": float(np.mean((low <= y_test) & (y_test <= high)))}
        figures["nll"] = -float(model.log_likelihood_samples(X_test, y_test).mean())
        yield {"networks": n, **figures}


def far_rows(data, seed, share):
    if data in REGRESSION:
        X, X_test, y, _ = numbers_of(data, 0.75, seed)
        model = VIBRegressor(n_estimators=5, random_state=seed)
    else:
        table = classification(data)
        X, X_test, y, _ = train_test_split(table.X.astype(float), table.y, stratify=table.y, random_state=seed)
        model = VIBClassifier(n_estimators=5, random_state=seed)
    scaler = StandardScaler().fit(X)
    X, X_test = scaler.transform(X), scaler.transform(X_test)
    model.fit(X, y)
    rows, truth = np.concatenate([X_test, 3 * X_test]), np.repeat([0, 1], len(X_test))
    one = model.estimators_[0]
    if data in REGRESSION:
        own = one.predict(rows, return_std=True)[1]
    else:
        log_p = one.predict_log_proba(rows)
        own = -(np.exp(log_p) * log_p).sum(axis=1)
    scores = {"disagreement": model.disagreement_samples(rows), "of_one": own}
    return [{name: float(roc_auc_score(truth, score)) for name, score in scores.items()}]


def wrong_labels(data, seed, share):
    """Five networks with the options that one chose in the claim `robustness`."""
    (stored,) = (
        r
        for r in stored_result("robustness")["runs"]
        if (r["data"], r["kind"], r["level"], r["seed"]) == (data, "wrong labels", share, seed)
    )
    (X, y), _, (X_test, y_test) = robustness.split(data, robustness.NOISY[data][0], seed)
    y = robustness.wrong_labels(y, share, np.random.default_rng(seed))
    options = {"standardize": False, "max_iter": robustness.EPOCHS.get(len(X), 150), "random_state": seed}
    model = VIBClassifier(n_estimators=5, **options, **stored["methods"]["VIB"]["chosen"]).fit(X, y)
    found = {"5 VIB networks": model.predict_proba(X_test), "VIB": model.estimators_[0].predict_proba(X_test)}
    for method, p in found.items():
        figures = probabilities(model.classes_, p, y_test)
        noisy = robustness.noisy_log_loss(p, y_test, share)
        yield {"method": method, "log_loss": figures["log_loss"], "noisy": noisy, "accuracy": figures["accuracy"]}
    rival = stored["methods"]["ensemble of 5"]
    figures = {name: rival[name] for name in ("log_loss", "accuracy")}
    yield {"method": "5 twins", **figures, "noisy": rival["noisy_log_loss"]}


def bagging(data, seed, share):
    table = classification(data)
    train, test = list(StratifiedKFold(5, shuffle=True, random_state=0).split(table.X, table.y))[seed]
    X, y, X_test, y_test = table.split(train, test)
    one = VIBClassifier(random_state=seed)
    bagged = BaggingClassifier(VIBClassifier(), 5, bootstrap=False, random_state=seed)
    for method, model in (("1", one), ("5", VIBClassifier(n_estimators=5, random_state=seed)), ("bagging", bagged)):
        with fit_together():
            seconds = timed_fit(model, X, y)
        loss = probabilities(model.classes_, model.predict_proba(X_test), y_test)["log_loss"]
        yield {"method": method, "log_loss": loss, "seconds": seconds}


PARTS = {"intervals": intervals, "far rows": far_rows, "wrong labels": wrong_labels, "bagging": bagging}


def run(part, data, seed, share):
    return {"figures": list(PARTS[part](data, seed, share))}


def settings():
    yield from ({"part": "intervals", "data": d, "seed": s, "share": None} for d in REGRESSION for s in range(N_SEEDS))
    far = (*REGRESSION[:-1], *CLASSIFICATION)
    yield from ({"part": "far rows", "data": d, "seed": s, "share": None} for d in far for s in range(2))
    yield from ({"part": "bagging", "data": d, "seed": s, "share": None} for d in BAGGED for s in range(5))
    for share in (share for share in robustness.NOISY["digits"][1] if share):
        yield from ({"part": "wrong labels", "data": "digits", "seed": s, "share": share} for s in range(N_NOISY))


def grouped(runs, part, *by):
    """{(data, ...): the lists of figures of its seeds}."""
    found = {}
    for r in runs:
        if r["part"] == part:
            found.setdefault(tuple(r[name] for name in by), []).append(r["figures"])
    return found


def summary(runs):
    for (data,), seeds in grouped(runs, "intervals", "data").items():
        row = {"part": "intervals", "data": data}
        for k, n in enumerate(NUMBERS):
            row |= {f"{name} of {n}": float(np.mean([s[k][name] for s in seeds])) for name in ("coverage", "nll")}
        differences = [s[1]["nll"] - s[0]["nll"] for s in seeds]
        yield {**row, "nll of 5 - 1": float(np.mean(differences)), "standard_error": standard_error(differences)}
    for (data,), seeds in grouped(runs, "far rows", "data").items():
        row = {"part": "far rows", "data": data, "task": "numbers" if data in REGRESSION else "labels"}
        yield row | {name: float(np.mean([s[0][name] for s in seeds])) for name in ("disagreement", "of_one")}
    for (data, share), seeds in grouped(runs, "wrong labels", "data", "share").items():
        for k, method in enumerate(m["method"] for m in seeds[0]):
            row = {"part": "wrong labels", "data": data, "share": share, "method": method, "seeds": len(seeds)}
            row |= {n: float(np.mean([s[k][n] for s in seeds])) for n in ("log_loss", "noisy", "accuracy")}
            behind = [s[k]["noisy"] - s[0]["noisy"] for s in seeds]
            yield {**row, "behind": float(np.mean(behind)), "standard_error": standard_error(behind)}
    for (data,), seeds in grouped(runs, "bagging", "data").items():
        for k, method in enumerate(m["method"] for m in seeds[0]):
            row = {"part": "bagging", "data": data, "method": method}
            row["log_loss"] = float(np.mean([s[k]["log_loss"] for s in seeds]))
            row["ratio_to_one"] = float(np.exp(np.mean([np.log(s[k]["log_loss"] / s[0]["log_loss"]) for s in seeds])))
            yield row | {"seconds": float(np.mean([s[k]["seconds"] for s in seeds]))}


def verdicts(rows):
    mine = [r for r in rows if r["part"] == "intervals"]
    one, five = (float(np.mean([abs(r[f"coverage of {n}"] - LEVEL) for r in mine])) for n in NUMBERS)
    measured = f"{five:.3f} from .9 in the mean against {one:.3f}"
    yield verdict("intervals of 100 rows nearer to 90 % than one network's", measured, five < one)
    for task in ("numbers", "labels"):
        of_task = {r["data"]: r["disagreement"] for r in rows if r["part"] == "far rows" and r["task"] == task}
        lost = [f"{data} ({auroc:.2f})" for data, auroc in of_task.items() if auroc < 0.9]
        target = f"AUROC of disagreement about {task} at three times the distance at least .9"
        yield verdict(target, counted(of_task, lost), not lost)
    twins = [r for r in rows if r["part"] == "wrong labels" and r["method"] == "5 twins"]
    lost = [f"{r['data']} {r['share']:g}" for r in twins if r["behind"] < -r["standard_error"]]
    yield verdict("wrong labels: level with or ahead of five twins, by labels as wrong", counted(twins, lost), not lost)
    of = {method: [r["ratio_to_one"] for r in rows if r.get("method") == method] for method in ("5", "bagging")}
    five, bagged = (float(np.exp(np.mean(np.log(ratios)))) for ratios in of.values())
    yield verdict("log loss of five at most bagging's", f"{five:.3f} of one's against {bagged:.3f}", five <= bagged)


ENSEMBLES = Claim("ensembles", settings, run, summary, verdicts, n_jobs=2)
