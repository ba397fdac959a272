"""Classification of tables: log loss, accuracy, calibration and fit time, against networks, trees and a linear model.

The defaults were chosen on the tuning sets; the confirming sets were run once they were frozen. Sets with an official
split are scored on it, the others on the 5 folds of StratifiedKFold(5, shuffle=True, random_state=0). Every method gets
the same one-hot and standardised float32 rows and one thread, and runs right after the others on the same split. TabM
takes minutes a fit: it has the first split of each confirming set alone, and a table beside VIBClassifier of its own.
"""

import csv

import numpy as np
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit
from sklearn.neural_network import MLPClassifier
from torch import nn

from benchmarks.claim import Claim, verdict
from benchmarks.datasets import CONFIRMING_SETS, TUNING_SETS, classification, folder
from benchmarks.scoring import classification as score
from benchmarks.scoring import standard_error
from skvib import VIBClassifier

N_EPOCHS, PATIENCE = 150, 30


def temperature_scaled(seed):
    """MLPClassifier on nine tenths of the rows, its temperature on the last."""
    held_out = StratifiedShuffleSplit(1, test_size=0.1, random_state=seed)
    return CalibratedClassifierCV(MLPClassifier(random_state=seed), method="temperature", cv=held_out)


class SkorchMLP:
    """A skorch network of 2 x 256 with VIBClassifier's epochs, patience, schedule and validation share."""

    def __init__(self, seed):
        self.seed = seed

    def fit(self, X, y):
        from skorch import NeuralNetClassifier
        from skorch.callbacks import EarlyStopping, LRScheduler
        from skorch.dataset import ValidSplit

        torch.manual_seed(self.seed)
        self.classes_, codes = np.unique(y, return_inverse=True)
        layers = (
            nn.Linear(X.shape[1], 256),
            nn.ReLU(),
            nn.Linear(256, 256),
            nn.ReLU(),
            nn.Linear(256, len(self.classes_)),
        )
        self.network_ = NeuralNetClassifier(
            nn.Sequential(*layers),
            criterion=nn.CrossEntropyLoss,
            optimizer=torch.optim.Adam,
            lr=1e-3,
            batch_size=128,
            max_epochs=N_EPOCHS,
            train_split=ValidSplit(0.1, stratified=True, random_state=self.seed),
            callbacks=[
                LRScheduler("CosineAnnealingLR", T_max=N_EPOCHS),
                EarlyStopping(patience=PATIENCE, load_best=True),
            ],
            verbose=0,
        ).fit(X, codes)
        return self

    def predict_proba(self, X):
        return torch.softmax(self.network_.forward(X), 1).numpy()


def real_mlp(seed, **options):
    from pytabkit import RealMLP_TD_Classifier

    return RealMLP_TD_Classifier(device="cpu", n_threads=1, random_state=seed, **options)


def tab_m(seed):
    from pytabkit import TabM_D_Classifier

    return TabM_D_Classifier(device="cpu", n_threads=1, random_state=seed)


METHODS = {
    "VIBClassifier": lambda seed: VIBClassifier(random_state=seed),
    "VIBClassifier, n_bins=16": lambda seed: VIBClassifier(n_bins=16, random_state=seed),
    "5 VIB networks": lambda seed: VIBClassifier(n_estimators=5, random_state=seed),
    "5 VIB networks, n_bins=16": lambda seed: VIBClassifier(n_estimators=5, n_bins=16, random_state=seed),
    "MLPClassifier": lambda seed: MLPClassifier(random_state=seed),
    "MLPClassifier, temperature": temperature_scaled,
    "skorch MLP": SkorchMLP,
    "5 MLPClassifiers": lambda seed: VotingClassifier(
        [(str(k), MLPClassifier(random_state=5 * seed + k)) for k in range(5)], voting="soft"
    ),
    "LogisticRegression": lambda seed: LogisticRegression(max_iter=5000),
    "HistGradientBoosting": lambda seed: HistGradientBoostingClassifier(random_state=seed),
    "RealMLP": real_mlp,
    "RealMLP, cross-entropy": lambda seed: real_mlp(seed, use_ls=False, val_metric_name="cross_entropy"),
    "TabM": tab_m,
}
ENSEMBLES = ("5 VIB networks", "5 VIB networks, n_bins=16")
BESIDE_TABM = ("VIBClassifier", "VIBClassifier, n_bins=16", *ENSEMBLES, "TabM")
ONE_FIT = (
    "VIBClassifier",
    "VIBClassifier, n_bins=16",
    "MLPClassifier",
    "MLPClassifier, temperature",
    "skorch MLP",
    "RealMLP",
    "RealMLP, cross-entropy",
)
OURS, BEST = ("VIBClassifier", "VIBClassifier, n_bins=16", *ENSEMBLES), ENSEMBLES[-1]
NETWORKS = (*ONE_FIT, "5 MLPClassifiers", *ENSEMBLES)


def splits(data):
    table = classification(data)
    if table.n_train is not None:
        return [(np.arange(table.n_train), np.arange(table.n_train, len(table.y)))]
    return list(StratifiedKFold(5, shuffle=True, random_state=0).split(table.X, table.y))


def run(data, split, method):
    parts = classification(data).split(*splits(data)[split])
    return score(METHODS[method](split), *parts)


def by_set(runs, data):
    """A row for each method that ran on all splits, once VIBClassifier has: means, and the geometric mean of its times
    over VIBClassifier's.
    """
    rows, pairs = [], {(r["split"], r["method"]): r for r in runs if r["data"] == data}
    for method in METHODS:
        mine, base = ([pairs.get((k, m)) for k in range(len(splits(data)))] for m in (method, "VIBClassifier"))
        if not all(mine + base):
            continue
        row = {"kind": "set", "data": data, "group": group_of(data), "method": method}
        row |= {name: float(np.mean([r[name] for r in mine])) for name in ("log_loss", "accuracy", "ece", "seconds")}
        ratios = [one["seconds"] / other["seconds"] for one, other in zip(mine, base, strict=True)]
        rows.append({**row, "time_ratio": float(np.exp(np.mean(np.log(ratios))))})
    return rows


def on_first_splits(runs):
    """Figures on the first splits of the confirming sets, once all of BESIDE_TABM ran on them."""
    cells = {(r["data"], r["method"]): r for r in runs if r["split"] == 0}
    for data in CONFIRMING_SETS:
        if all((data, method) in cells for method in BESIDE_TABM):
            base = cells[data, "VIBClassifier"]["seconds"]
            for method in BESIDE_TABM:
                mine = cells[data, method]
                figures = {name: mine[name] for name in ("log_loss", "accuracy", "ece")}
                row = {"kind": "first split", "data": data, "method": method, **figures}
                yield row | {"time_ratio": mine["seconds"] / base}


def published_adult(rows):
    """Accuracy on adult's official test rows: ours, and means over seeds of Gorishniy et al. (2021)."""
    found = {row["method"]: row["accuracy"] for row in rows if row["data"] == "adult"}
    with open(folder() / "published" / "adult_rtdl_per_seed.csv", newline="") as lines:
        published = {}
        for line in csv.DictReader(lines):
            if line["variant"] in ("default", "tuned"):
                name = f"{line['model'].rstrip('_')}, {line['variant']} (published)"
                published.setdefault(name, []).append(float(line["test_accuracy"]))
    found |= {name: float(np.mean(values)) for name, values in published.items()}
    for method, accuracy in sorted(found.items(), key=lambda item: -item[1]):
        yield {"kind": "adult", "method": method, "accuracy": accuracy}


def group_of(data):
    return "tuning" if data in TUNING_SETS else "confirming"


def overall(rows, group):
    """Means over the sets of a group, of the methods that ran on all of them."""
    sets = sorted({row["data"] for row in rows if row["group"] == group})
    cells = {(row["data"], row["method"]): row for row in rows}
    methods = [m for m in METHODS if sum((d, m) in cells for d in sets) == len(sets)]
    losses = np.array([[cells[d, m]["log_loss"] for m in methods] for d in sets])
    single = [k for k, m in enumerate(methods) if m in ONE_FIT]
    ranks = 1 + losses[:, single].argsort(1).argsort(1)
    for k, method in enumerate(methods):
        mine = [cells[d, method] for d in sets]
        row = {"kind": "overall", "group": group, "sets": len(sets), "method": method}
        row |= {name: float(np.mean([cell[name] for cell in mine])) for name in ("log_loss", "accuracy", "ece")}
        row["time_ratio"] = float(np.exp(np.mean([np.log(cell["time_ratio"]) for cell in mine])))
        if k in single:
            row["mean_rank_of_one_fit"] = float(ranks[:, single.index(k)].mean())
        yield row


def settings(*methods):
    """Of these methods, or of all."""
    for data in (*TUNING_SETS, *CONFIRMING_SETS):
        for split in range(len(splits(data))):
            for method in METHODS:
                is_wanted = not methods or method in methods
                is_slow = method in (*ENSEMBLES, "TabM") and data not in CONFIRMING_SETS
                if is_wanted and not is_slow and (method != "TabM" or split == 0):
                    yield {"data": data, "split": split, "method": method}


def summary(runs):
    rows = [row for data in (*TUNING_SETS, *CONFIRMING_SETS) for row in by_set(runs, data)]
    totals = *overall(rows, "confirming"), *overall(rows, "tuning")
    return [*totals, *rows, *on_first_splits(runs), *published_adult(rows)]


def verdicts(rows):
    """The targets, on the confirming sets, once all networks have run on them."""
    confirming = [row for row in rows if row.get("group") == "confirming"]
    found = {row["method"]: row for row in confirming if row["kind"] == "overall"}
    beside = {(row["data"], row["method"]): row for row in rows if row["kind"] == "first split"}
    if not beside or not found.keys() >= {*NETWORKS}:
        return
    losses = {}
    for row in confirming:
        if row["kind"] == "set":
            losses.setdefault(row["method"], {})[row["data"]] = row["log_loss"]
    yield best_log_loss("networks with one fit but TabM", losses, ONE_FIT, "VIBClassifier")
    for method in ("VIBClassifier, n_bins=16", *ENSEMBLES):
        yield best_log_loss("networks but TabM, ensembles included,", losses, NETWORKS, method)
    ranks = {name: found[name]["mean_rank_of_one_fit"] for name in ONE_FIT}
    first = min(ranks, key=ranks.get)
    measured = f"{ranks['VIBClassifier']:.1f}; best is {first}, {ranks[first]:.1f}"
    yield verdict("best mean rank of all networks with one fit but TabM", measured, first in OURS)
    for method in BESIDE_TABM[:-1]:
        yield against_tabm(beside, method)
    for method in ("VIBClassifier", BEST):
        mine, rival = found[method], found["RealMLP"]
        points, speed = 100 * (rival["accuracy"] - mine["accuracy"]), mine["time_ratio"] / rival["time_ratio"]
        target = f"{method}: accuracy at most .3 points below RealMLP, at a fifth of its fit time"
        yield verdict(target, f"{points:.2f} points below, {speed:.2f} of its time", points <= 0.3 and speed <= 0.2)
    for data in ("spambase", "churn"):
        behind = losses[BEST][data] - losses["HistGradientBoosting"][data]
        target = f"{data}: log loss of {BEST} at most .01 behind HistGradientBoosting's"
        yield verdict(target, f"{behind:+.4f}", behind <= 0.01)


def best_log_loss(of, losses, rivals, method):
    """Against the rival of the lowest mean: the difference, with its standard error over the sets."""
    means = {name: np.mean([*losses[name].values()]) for name in (method, *rivals)}
    rival = min((name for name in rivals if name not in OURS), key=means.get)
    ahead = np.array([losses[rival][data] - loss for data, loss in losses[method].items()])
    measured = (
        f"{means[method]:.4f}; {rival} {means[rival]:.4f}; ahead of it by {ahead.mean():.4f} "
        f"± {standard_error(ahead):.4f}, on {(ahead > 0).sum()} of {len(ahead)} sets"
    )
    return verdict(f"{method}: best mean log loss of all {of}".strip(","), measured, bool(ahead.mean() >= 0))


def against_tabm(beside, method):
    """On first splits: the means, on how many sets it is ahead, and its share of the time."""
    mine, rival = ([beside[data, name] for data in CONFIRMING_SETS] for name in (method, "TabM"))
    means = [float(np.mean([row["log_loss"] for row in rows])) for rows in (mine, rival)]
    won = sum(a["log_loss"] < b["log_loss"] for a, b in zip(mine, rival, strict=True))
    share = np.exp(np.mean([np.log(a["time_ratio"] / b["time_ratio"]) for a, b in zip(mine, rival, strict=True)]))
    measured = f"{means[0]:.4f} against {means[1]:.4f}, ahead on {won} of {len(mine)}, {share:.2f} of its time"
    target = f"{method}: mean log loss below TabM's on first splits, on 4 of 6, at a fifth of its time"
    return verdict(target, measured, bool(means[0] < means[1] and won >= 4 and share <= 0.2))


TABULAR = Claim("tabular", settings, run, summary, verdicts, n_jobs=2)
