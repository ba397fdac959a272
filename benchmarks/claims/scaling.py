"""Time and peak memory as rows, columns, latent size and networks grow: against MLPClassifier, and against the floor.

Two hidden layers of 256, 100 float32 columns, two classes, batches of 200, no validation rows. MLPClassifier has no
latent layer. Each run is in a process of its own, in turn with its rival. The floor of a fit is the larger of its
FLOPs at the rate of a product of 1000 x 1000 matrices, and of its bytes (weights, their gradients, moments and average:
twelve passes a step) at a copy's rate. ``partial_fit`` takes blocks of 10,000 rows of a file through ``np.memmap``.
"""

import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from sklearn.neural_network import MLPClassifier
from sklearn.utils.parallel import Parallel, delayed

from benchmarks.claim import Claim, verdict
from benchmarks.processes import in_a_process_of_its_own
from benchmarks.scoring import timed_fit
from skvib import VIBClassifier, fit_together

HIDDEN, BATCH, N_COLUMNS, N_REPEATS, BLOCK = (256, 256), 200, 100, 2, 10_000
EPOCHS = {1000: 50, 10_000: 20, 100_000: 4, 1_000_000: 1}
VARIED = {
    "rows": (1000, 10_000, 100_000, 1_000_000),
    "columns": (10, 1000, 10_000),
    "latent size": (2, 256),
    "partial_fit": (100_000, 1_000_000),
    "networks": (1, 4, 16, 64),
}
FLOAT = 4


def make_rows(n_rows, n_columns, seed=0):
    X = np.random.default_rng(seed).standard_normal((n_rows, n_columns), dtype=np.float32)
    return X, (X[:, :5].sum(axis=1) > 0).astype(int)


def model(method, epochs, latent_dim=32):
    if method == "MLPClassifier":
        return MLPClassifier(HIDDEN, batch_size=BATCH, max_iter=epochs, n_iter_no_change=epochs + 1, random_state=0)
    return VIBClassifier(
        hidden_layer_sizes=HIDDEN,
        latent_dim=latent_dim,
        batch_size=BATCH,
        max_iter=epochs,
        early_stopping=False,
        random_state=0,
    )


def run(part, value, method, repeat):
    if part == "networks":
        return in_a_process_of_its_own(networks, value)
    if part == "partial_fit":
        return in_a_process_of_its_own(partial_fit, value, method)
    n_rows = value if part == "rows" else BLOCK
    n_columns = value if part == "columns" else N_COLUMNS
    latent_dim = value if part == "latent size" else 32
    figures = in_a_process_of_its_own(fit, n_rows, n_columns, latent_dim, method)
    if method == "VIBClassifier":
        figures["floor"] = floor(n_rows * figures["epochs"], (n_columns, *HIDDEN), latent_dim)
    return figures


def fit(n_rows, n_columns, latent_dim, method):
    epochs = EPOCHS[n_rows] if n_columns < 10_000 else 2
    X, y = make_rows(n_rows, n_columns)
    seconds = timed_fit(model(method, epochs, latent_dim), X, y)
    return {"seconds": seconds, "epochs": epochs, "data_mebibytes": X.nbytes / 2**20}


def floor(n_rows, sizes, latent_dim):
    """Seconds that the arithmetic of so many rows takes at least."""
    layers = [a * b for a, b in pairwise((*sizes, 2 * latent_dim))] + [2 * latent_dim]
    # a multiplication and an addition: forward, for the weights' gradient, and for that of all inputs but X
    n_flops = n_rows * (6 * sum(layers) - 2 * layers[0])
    n_bytes = n_rows / BATCH * sum(layers) * FLOAT * 12
    return max(n_flops / matrix_rate(), n_bytes / copy_rate())


def matrix_rate(n=1000, n_times=20):
    a = torch.ones(n, n)
    return 2 * n**3 / quickest(lambda: a @ a, n_times)


def copy_rate(n=2**26, n_times=5):
    source, target = torch.ones(n), torch.ones(n)
    return 2 * n * FLOAT / quickest(lambda: target.copy_(source), n_times)


def quickest(work, n_times):
    seconds = []
    for _ in range(n_times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def partial_fit(n_rows, method):
    """One pass over a file that is never read as a whole."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows"
        with open(path, "wb") as file:
            for block in range(n_rows // BLOCK):
                file.write(make_rows(BLOCK, N_COLUMNS, seed=block)[0].tobytes())
        network, start_time = model(method, 1), time.perf_counter()
        for start in range(0, n_rows, BLOCK):
            offset = start * N_COLUMNS * FLOAT
            X = np.memmap(path, np.float32, "r", offset, (BLOCK, N_COLUMNS))
            network.partial_fit(X, (X[:, :5].sum(axis=1) > 0).astype(int), classes=[0, 1])
        return {
            "seconds": time.perf_counter() - start_time,
            "epochs": 1,
            "data_mebibytes": n_rows * N_COLUMNS * FLOAT / 2**20,
        }


def networks(n_networks):
    """So many networks of two layers of 64 trained together."""
    X, y = make_rows(1000, N_COLUMNS)
    models = [
        VIBClassifier(hidden_layer_sizes=(64, 64), max_iter=50, early_stopping=False, random_state=seed)
        for seed in range(n_networks)
    ]
    start = time.perf_counter()
    with fit_together():
        Parallel()(delayed(each.fit)(X, y) for each in models)
    return {"seconds": time.perf_counter() - start, "epochs": 50}


def settings():
    for repeat in range(N_REPEATS):
        for part, values in VARIED.items():
            for value in values:
                for method in ("VIBClassifier", "MLPClassifier")[: 1 if part == "networks" else 2]:
                    yield {"part": part, "value": value, "method": method, "repeat": repeat}


def summary(runs):
    for part, values in VARIED.items():
        for value in values:
            mine, rival = (
                [r for r in runs if (r["part"], r["value"], r["method"]) == (part, value, method)]
                for method in ("VIBClassifier", "MLPClassifier")
            )
            row = {"part": part, "value": value, "epochs": mine[0]["epochs"]}
            row["seconds"] = float(np.median([r["seconds"] for r in mine]))
            row["peak_mebibytes"] = float(np.median([r["peak_mebibytes"] for r in mine]))
            if part == "networks":
                yield {**row, "seconds_of_each": row["seconds"] / value}
                continue
            logs = [np.log(a["seconds"] / b["seconds"]) for a, b in zip(mine, rival, strict=True)]
            row["time_over_mlp"] = float(np.exp(np.mean(logs)))
            row["mlp_peak_mebibytes"] = float(np.median([r["peak_mebibytes"] for r in rival]))
            row["data_mebibytes"] = mine[0]["data_mebibytes"]
            if "floor" in mine[0]:
                row["time_over_floor"] = float(np.median([r["seconds"] / r["floor"] for r in mine]))
            yield row


def verdicts(rows):
    peaks = [row["peak_mebibytes"] for row in rows if row["part"] == "partial_fit"]
    measured = f"{peaks[0]:.0f} MiB at the fewest rows, {peaks[-1]:.0f} at the most"
    yield verdict("partial_fit from a file in flat memory", measured, peaks[-1] <= 1.05 * peaks[0])
    yield verdict("on a GPU, a fit at least 5 times as fast as skorch's", "no GPU could be had", None)


SCALING = Claim("scaling", settings, run, summary, verdicts, n_jobs=1)
