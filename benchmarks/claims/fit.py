"""Time of a fit: skvib against MLPClassifier, skorch and a bare torch loop.

`fit`: as many epochs for all. float32 everywhere, the same hidden layers, batch size, epochs and threads; no early
stopping. All VIB networks have the same latent size; MLPClassifier has no such layer.
`fit_whole`: whole fits at the defaults of VIBClassifier, beside MLPClassifier of the same widths with early stopping,
in turns, in processes of their own; and the log loss of test rows.
"""

import time
import warnings
from itertools import pairwise

import numpy as np
import torch
from sklearn.datasets import load_digits, load_iris
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from torch import nn

from benchmarks.alternate import alternate
from benchmarks.claim import Claim, verdict
from benchmarks.generators import many_rows
from benchmarks.processes import in_a_process_of_its_own
from benchmarks.scoring import classification
from skvib import VIBClassifier

# name: hidden layers, latent size, batch size, epochs
SETS = {"iris": ((100,), 8, 150, 200), "digits": ((128, 128), 32, 200, 30), "20k x 40": ((256, 256), 32, 200, 4)}
BETA, LEARNING_RATE = 1e-3, 1e-3


def load(name):
    if name == "iris":
        X, y = load_iris(return_X_y=True)
    elif name == "digits":
        X, y = load_digits(return_X_y=True)
    else:
        X = np.random.default_rng(0).normal(size=(20_000, 40))
        y = (X[:, :5].sum(axis=1) > 0).astype(int)
    X = (X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-6)
    return X.astype(np.float32), y


def timed(fit):
    def task():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            start = time.perf_counter()
            fit()
            return time.perf_counter() - start

    return task


def mlp(name):
    (X, y), (hidden, _, batch, epochs) = load(name), SETS[name]
    model = MLPClassifier(hidden, batch_size=batch, max_iter=epochs, n_iter_no_change=epochs + 1, random_state=0)
    return timed(lambda: model.fit(X, y))


def skvib(name):
    (X, y), (hidden, latent, batch, epochs) = load(name), SETS[name]
    model = VIBClassifier(
        beta=BETA,
        hidden_layer_sizes=hidden,
        latent_dim=latent,
        batch_size=batch,
        max_iter=epochs,
        early_stopping=False,
        random_state=0,
    )
    return timed(lambda: model.fit(X, y))


class PlainVIB(nn.Module):
    """The network that a torch user would write."""

    def __init__(self, n_features, hidden, latent, n_classes):
        super().__init__()
        sizes = (n_features, *hidden)
        layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())]
        self.encoder = nn.Sequential(*layers, nn.Linear(sizes[-1], 2 * latent))
        self.decoder = nn.Linear(latent, n_classes)

    def forward(self, x):
        mu, raw = self.encoder(x).chunk(2, -1)
        sigma = nn.functional.softplus(raw) + 1e-4
        rate = (0.5 * (mu**2 + sigma**2 - 1) - sigma.log()).sum(-1)
        return self.decoder(mu + sigma * torch.randn_like(mu)), rate


def vib_loss(output, y):
    logits, rate = output
    return nn.functional.cross_entropy(logits, y) + BETA * rate.mean()


def bare_torch(name):
    (X, y), (hidden, latent, batch, epochs) = load(name), SETS[name]

    def fit():
        x, target = torch.from_numpy(X), torch.from_numpy(y)
        network = PlainVIB(x.shape[1], hidden, latent, int(y.max()) + 1)
        optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE, fused=True)
        for _ in range(epochs):
            for rows in torch.randperm(len(x)).split(batch):
                optimizer.zero_grad()
                vib_loss(network(x[rows]), target[rows]).backward()
                optimizer.step()

    return timed(fit)


def skorch(name):
    from skorch import NeuralNetClassifier

    class Net(NeuralNetClassifier):
        def get_loss(self, y_pred, y_true, *args, **kwargs):
            return vib_loss(y_pred, y_true)

    (X, y), (hidden, latent, batch, epochs) = load(name), SETS[name]
    network = Net(
        PlainVIB,
        module__n_features=X.shape[1],
        module__hidden=hidden,
        module__latent=latent,
        module__n_classes=int(y.max()) + 1,
        optimizer=torch.optim.Adam,
        lr=LEARNING_RATE,
        batch_size=batch,
        max_epochs=epochs,
        train_split=None,
        verbose=0,
    )
    return timed(lambda: network.fit(X, y))


def settings():
    for n_threads in (1, 2):
        yield from ({"set": name, "threads": n_threads} for name in SETS)


def run(set, threads):
    tasks = {make.__name__: (make, (set,)) for make in (skvib, mlp, bare_torch, skorch)}
    result = alternate(tasks, threads)
    ratios = {f"skvib_over_{rival}": 1.0 / result[rival]["ratio"] for rival in ("mlp", "bare_torch", "skorch")}
    return {"skvib_seconds": result["skvib"]["seconds"], **ratios}


FIT = Claim("fit", settings, run, begins_anew=True)


# Whole fits

# pairs of runs
WHOLE = {"iris": 21, "digits": 21, "20k x 40": 7, "40k x 50, five classes": 5, "100k x 50, five classes": 3}


def parts_of(name):
    if name.endswith("five classes"):
        return many_rows(0, n_rows=40_000 if name.startswith("40k") else 100_000)
    X, y = load(name)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
    return X_train, y_train, X_test, y_test


def whole_fit(name, method):
    model = VIBClassifier(random_state=0)
    if method == "MLPClassifier":
        model = MLPClassifier((256, 256), early_stopping=True, random_state=0)
    figures = classification(model, *parts_of(name))
    return {"seconds": figures["seconds"], "epochs": int(model.n_iter_), "log_loss": figures["log_loss"]}


def compare_whole(set):
    methods = "VIBClassifier", "MLPClassifier"
    runs = [{m: in_a_process_of_its_own(whole_fit, set, m) for m in methods} for _ in range(WHOLE[set])]
    ratio = np.median([run["VIBClassifier"]["seconds"] / run["MLPClassifier"]["seconds"] for run in runs])
    for method in methods:
        seconds = float(np.median([run[method]["seconds"] for run in runs]))
        over = float(ratio) if method == "VIBClassifier" else 1.0
        yield {"method": method, "pairs": len(runs), **runs[0][method], "seconds": seconds, "seconds_over_mlp": over}


def whole_settings():
    return [{"set": name} for name in WHOLE]


def whole_verdicts(rows):
    for name in WHOLE:
        if name.endswith("five classes"):
            ours, theirs = (row for row in rows if row["set"] == name)
            losses = f"log loss {ours['log_loss']:.3f}, MLPClassifier {theirs['log_loss']:.3f}"
            target = f"{name}: at most 2.5 times MLPClassifier's time"
            yield verdict(target, f"{ours['seconds_over_mlp']:.2f}; {losses}", ours["seconds_over_mlp"] <= 2.5)


FIT_WHOLE = Claim("fit_whole", whole_settings, compare_whole, verdicts=whole_verdicts)
