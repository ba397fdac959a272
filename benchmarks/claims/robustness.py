"""Few rows, wrong labels, corrupted and foreign inputs: VIBClassifier against its tuned deterministic twins.

Networks of (256, 256) on digits and on at most 10,000 rows of MNIST. Every method tunes six candidates on the (equally
noisy) training rows: by three folds up to 200 rows, on a fifth held out beyond. Nothing was chosen on foreign rows. The
temperature and the ensemble are those of the twin with tuned weight decay; the temperature is fitted on a fifth of the
rows, which it does not train on. With wrong labels in training, the log loss is that of the true labels of the test
rows, and beside it that of labels as wrong as in training.
"""

import numpy as np
import torch
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, StratifiedShuffleSplit, train_test_split
from torch import nn

from benchmarks.claim import Claim, counted, verdict
from benchmarks.datasets import images
from benchmarks.scoring import probabilities, standard_error
from benchmarks.twin import Twin
from skvib import VIBClassifier, outlier_scores

N_SEEDS = 5
SIZES = (50, 100, 200, 500, 1000)
# rows with wrong labels in part, and their shares; MNIST has fewer to stay within the budget
NOISY = {"digits": (1000, (0.0, 0.1, 0.2, 0.3, 0.4)), "mnist": (10_000, (0.0, 0.2, 0.4))}
EPOCHS = {10_000: 40}
ALPHAS = [0.1, 3.0]
GRIDS = {
    "VIB": (VIBClassifier, {"alpha": [*ALPHAS, 30.0], "beta": [1e-3, 1e-2]}),
    "weight decay": (Twin, {"alpha": [0.1, 0.3, 1.0, 3.0, 10.0, 30.0]}),
    "dropout": (Twin, {"alpha": ALPHAS, "dropout": [0.1, 0.3, 0.5]}),
    "label smoothing": (Twin, {"alpha": ALPHAS, "label_smoothing": [0.02, 0.1, 0.3]}),
}
PIXEL_NOISE = (0.5, 1.0)  # standard deviation; pixels lie in [-1, 1]
MISSING = (0.25, 0.5)  # share of the pixels that are set to 0
RADII = {"digits": (0.5, 1.0), "mnist": (1.0, 2.0)}  # of adversaries, L2
N_ATTACKED, N_ATTACK_STEPS, N_DRAWS = 200, 100, 16


def split(data, n_rows, seed):
    """(X, y) of the training, the reference and the test rows."""
    if data == "digits":
        X, y = load_digits(return_X_y=True)
        X = (X / 8 - 1).astype(np.float32)
        X, X_test, y, y_test = train_test_split(X, y, train_size=1200, stratify=y, random_state=seed)
        X, X_reference, y, y_reference = train_test_split(X, y, train_size=1000, stratify=y, random_state=seed)
    else:
        X, y, X_test, y_test = images("mnist")
        rest = {"test_size": 2000, "stratify": y, "random_state": seed}
        X, X_reference, y, y_reference = train_test_split(X, y, train_size=10_000, **rest)
    if n_rows < len(X):
        X, _, y, _ = train_test_split(X, y, train_size=n_rows, stratify=y, random_state=seed)
    return (X, y), (X_reference, y_reference), (X_test, y_test)


def foreign(data, X_test, rng):
    """Rows of no digit, by name."""
    clothes = images("fashion-mnist")[2]
    if data == "digits":
        padded = np.pad(clothes.reshape(-1, 28, 28), ((0, 0), (2, 2), (2, 2)), constant_values=-1)
        clothes = padded.reshape(-1, 8, 4, 8, 4).mean(axis=(2, 4)).reshape(-1, 64)
    return {
        "clothes": clothes[: len(X_test)],
        "shuffled pixels": rng.permuted(X_test, axis=1),
        "uniform noise": rng.uniform(-1, 1, X_test.shape).astype(np.float32),
    }


def wrong_labels(y, share, rng):
    """With a share of the labels replaced by another class."""
    n_classes = y.max() + 1
    return np.where(rng.random(len(y)) < share, (y + rng.integers(1, n_classes, len(y))) % n_classes, y)


class Ensemble:
    def __init__(self, members):
        self.members, self.classes_ = members, members[0].classes_

    def predict_proba(self, X):
        return np.mean([member.predict_proba(X) for member in self.members], axis=0)


def fitted(X, y, seed):
    """{method: (fitted model, chosen parameters)}."""
    few = len(X) <= 200
    folds = StratifiedKFold(3, shuffle=True, random_state=seed)
    fifth = StratifiedShuffleSplit(1, test_size=0.2, random_state=seed)
    models = {}
    for method, (make, grid) in GRIDS.items():
        model = make(standardize=False, max_iter=EPOCHS.get(len(X), 150), random_state=seed)
        search = GridSearchCV(model, grid, scoring="neg_log_loss", cv=folds if few else fifth).fit(X, y)
        models[method] = search.best_estimator_, search.best_params_
    twin, chosen = models["weight decay"]
    models["temperature"] = CalibratedClassifierCV(clone(twin), method="temperature", cv=fifth).fit(X, y), chosen
    others = [clone(twin).set_params(random_state=N_SEEDS * (1 + seed) + k).fit(X, y) for k in range(4)]
    models["ensemble of 5"] = Ensemble([twin, *others]), chosen
    return models


def run(data, kind, level, seed):
    n_rows, share = (level, 0.0) if kind == "rows" else (NOISY[data][0], level)
    train, reference, (X_test, y_test) = split(data, n_rows, seed)
    rng = np.random.default_rng(seed)
    models = fitted(train[0], wrong_labels(train[1], share, rng), seed)
    changed = changed_inputs(X_test, rng)
    strangers = foreign(data, X_test, rng)
    figures = {}
    for method, (model, chosen) in models.items():
        predicted = model.predict_proba(X_test)
        mine = {**probabilities(model.classes_, predicted, y_test), "chosen": chosen}
        if share > 0:
            mine["noisy_log_loss"] = noisy_log_loss(predicted, y_test, share)
        if kind == "wrong labels" and share == 0:
            for name, rows in changed.items():
                mine[name] = probabilities(model.classes_, model.predict_proba(rows), y_test)
            mine |= {"auroc": detection(model, train, reference[0], X_test, strangers)}
            mine |= {"attacked": attacked(model, X_test[:N_ATTACKED], y_test[:N_ATTACKED], RADII[data], seed)}
        figures[method] = mine
    return {"methods": figures}


def noisy_log_loss(predicted, y, share):
    """The expected log loss of labels of which a share is replaced by another class."""
    losses = -np.log(np.maximum(predicted, np.finfo(np.float64).eps))
    of_y = losses[np.arange(len(y)), y]
    of_another = (losses.sum(axis=1) - of_y) / (losses.shape[1] - 1)
    return float(np.mean((1 - share) * of_y + share * of_another))


def changed_inputs(X, rng):
    noisy = {f"noise {s:g}": X + s * rng.standard_normal(X.shape, dtype=np.float32) for s in PIXEL_NOISE}
    return noisy | {f"missing {s:.0%}": np.where(rng.random(X.shape) < s, np.float32(0), X) for s in MISSING}


def detection(model, train, X_reference, X_test, strangers):
    """{score: {foreign rows: AUROC}} of telling foreign rows from test rows."""
    scores = {"max softmax": lambda rows: -model.predict_proba(rows).max(axis=1)}
    if isinstance(model, Twin):
        scores["energy"] = lambda rows: -torch.logsumexp(model.logits(rows), 1).numpy()
    if hasattr(model, "transform"):
        scores["Mahalanobis"] = mahalanobis(model, *train)
    if isinstance(model, VIBClassifier):
        scores["rate"] = model.rate_samples
        scores["combined"] = lambda rows: outlier_scores(model, rows, X_reference)
    truth = np.repeat([0, 1], len(X_test))
    return {
        name: {kind: roc_auc_score(truth, np.r_[score(X_test), score(rows)]) for kind, rows in strangers.items()}
        for name, score in scores.items()
    }


def mahalanobis(model, X, y):
    """Squared distance of a code to the nearest class mean, by the classes' common covariance (Lee et al. 2018)."""
    codes = model.transform(X).astype(np.float64)
    means = np.stack([codes[y == label].mean(axis=0) for label in model.classes_])
    covariance = np.cov((codes - means[np.searchsorted(model.classes_, y)]).T)
    precision = np.linalg.pinv(covariance)

    def score(rows):
        differences = model.transform(rows)[:, None] - means
        return np.einsum("nkd,de,nke->nk", differences, precision, differences).min(axis=1)

    return score


def attacked(model, X, y, radii, seed):
    """{radius: accuracy} under projected gradient descent in L2, its gradients averaged over draws of the code."""
    log_probability = differentiable(model)
    if log_probability is None:
        return {}
    generator = torch.Generator().manual_seed(seed)
    x, target = torch.from_numpy(X), torch.from_numpy(y).long()
    accuracy = {}
    for radius in radii:
        delta = nn.functional.normalize(torch.randn(x.shape, generator=generator)) * radius * 0.5
        for _ in range(N_ATTACK_STEPS):
            delta.requires_grad_(True)
            loss = nn.functional.nll_loss(log_probability(x + delta, generator), target, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, delta)
            moved = delta.detach() + 2.5 * radius / N_ATTACK_STEPS * nn.functional.normalize(gradient)
            moved = (x + moved).clamp(-1, 1) - x
            delta = moved * (radius / moved.norm(dim=1, keepdim=True)).clamp(max=1.0)
        accuracy[str(radius)] = float(np.mean(model.predict_proba((x + delta).numpy()).argmax(axis=1) == y))
    return accuracy


def differentiable(model):
    """(rows, generator) -> log-probabilities, of the networks that have gradients."""
    if isinstance(model, VIBClassifier):
        network = model.network_

        def predictive(rows, generator):
            posterior = network(rows[None])
            noise = torch.randn((N_DRAWS, 1, *posterior.mu.shape[1:]), generator=generator)
            eta = network.decode((posterior.mu + posterior.sigma * noise).flatten(0, 2)[None])
            log_p = torch.log_softmax(eta.unflatten(1, (N_DRAWS, -1)), -1)[0]
            return torch.logsumexp(log_p, 0) - np.log(N_DRAWS)

        return predictive
    if isinstance(model, Twin):
        return lambda rows, _: torch.log_softmax(model.network_(rows), 1)
    return None


def cells(runs, kind):
    """{(data, level): the five runs' figures by method}."""
    found = {}
    for run in runs:
        if run["kind"] == kind:
            found.setdefault((run["data"], run["level"]), []).append(run["methods"])
    return found


def summary(runs):
    for kind in ("rows", "wrong labels"):
        for (data, level), seeds in cells(runs, kind).items():
            yield from compared({"part": kind, "data": data, "level": level}, seeds)
    clean = {data: seeds for (data, level), seeds in cells(runs, "wrong labels").items() if level == 0}
    for data, seeds in clean.items():
        for change in ("none", *(f"noise {s:g}" for s in PIXEL_NOISE), *(f"missing {s:.0%}" for s in MISSING)):
            changed = [{method: figures.get(change, figures) for method, figures in seed.items()} for seed in seeds]
            yield from compared({"part": "changed inputs", "data": data, "change": change}, changed)
        for method in seeds[0]:
            mine = [seed[method] for seed in seeds]
            for score in mine[0]["auroc"]:
                kinds = {k: float(np.mean([m["auroc"][score][k] for m in mine])) for k in mine[0]["auroc"][score]}
                row = {"part": "foreign", "data": data, "method": method, "score": score, **kinds}
                yield {**row, "mean": float(np.mean([*kinds.values()]))}
            for radius in mine[0]["attacked"]:
                accuracy = float(np.mean([m["attacked"][radius] for m in mine]))
                yield {"part": "attacked", "data": data, "method": method, "radius": radius, "accuracy": accuracy}


def compared(row, seeds):
    """Means of each method, and how far its log losses are behind those of VIB, pair by pair."""
    for method in seeds[0]:
        mine = [seed[method] for seed in seeds]
        names = [n for n in ("log_loss", "accuracy", "ece", "brier", "noisy_log_loss") if n in mine[0]]
        figures = {name: float(np.mean([m[name] for m in mine])) for name in names}
        for loss in (name for name in names if name.endswith("log_loss")):
            behind, key = [seed[method][loss] - seed["VIB"][loss] for seed in seeds], loss.replace("log_loss", "behind")
            figures |= {f"{key}_vib": float(np.mean(behind)), f"{key}_standard_error": standard_error(behind)}
        yield {**row, "seeds": len(mine), "method": method, **figures}


def verdicts(rows):
    twin, others = ("weight decay",), ("dropout", "label smoothing")
    few, wrong = ("rows", 0, 200, "behind"), ("wrong labels", 0.2, 1, "behind")
    for name, methods, (kind, least, most, behind) in (
        ("the twin with tuned weight decay by 2 standard errors with at most 200 rows", twin, few),
        ("tuned dropout and label smoothing likewise (added)", others, few),
        ("the twin by 2 standard errors with at least 20 % wrong labels", twin, wrong),
        ("the twin likewise on labels as wrong in tests (added)", twin, (*wrong[:-1], "noisy_behind")),
    ):
        chosen = [r for r in rows if r["part"] == kind and least <= r["level"] <= most and r["method"] in methods]
        won = [row for row in chosen if row[f"{behind}_vib"] > 2 * row[f"{behind}_standard_error"]]
        behind_whom = "{data} {level:g}" if methods == twin else "{data} {level:g} ({method})"
        lost = [behind_whom.format(**row) for row in chosen if row not in won]
        yield verdict(f"log loss ahead of {name}", counted(chosen, lost), not lost)
    means = {(r["data"], r["method"], r["score"]): r["mean"] for r in rows if r["part"] == "foreign"}
    for data in NOISY:
        combined, softmax = means[data, "VIB", "combined"], means[data, "VIB", "max softmax"]
        measured = f"{combined:.3f} against {softmax:.3f}"
        yield verdict(f"{data}: AUROC of the combined score at least max softmax's", measured, combined >= softmax)


def settings():
    for seed in range(N_SEEDS):
        for data in ("digits", "mnist"):
            yield from ({"data": data, "kind": "rows", "level": n, "seed": seed} for n in SIZES)
            yield from ({"data": data, "kind": "wrong labels", "level": s, "seed": seed} for s in NOISY[data][1])


ROBUSTNESS = Claim("robustness", settings, run, summary, verdicts, n_jobs=2)
