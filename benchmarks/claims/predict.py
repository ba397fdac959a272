"""Time of predict_proba with 16 draws against MLPClassifier's, and of ``import skvib``.

float32, the same hidden layers and threads.
"""

import statistics
import subprocess
import sys
import time
import warnings

import numpy as np
from sklearn.neural_network import MLPClassifier

from benchmarks.alternate import alternate
from benchmarks.claim import Claim
from benchmarks.claims.fit import SETS, load
from skvib import VIBClassifier

N_ROWS, N_CALLS = 10_000, 5  # calls in a row: the first may have to wake a core


def predictor(name, model):
    X, y = load(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
    rows = np.resize(X, (N_ROWS, X.shape[1]))

    def task():
        start = time.perf_counter()
        for _ in range(N_CALLS):
            model.predict_proba(rows)
        return (time.perf_counter() - start) / N_CALLS

    return task


def skvib(name):
    hidden, latent, *_ = SETS[name]
    return predictor(name, VIBClassifier(hidden_layer_sizes=hidden, latent_dim=latent, max_iter=2))


def mlp(name):
    return predictor(name, MLPClassifier(SETS[name][0], max_iter=2))


def import_milliseconds(modules, n_runs=9):
    """What ``import skvib`` adds to importing torch and scikit-learn in the same process."""
    script = f"import time, {modules}; start = time.perf_counter(); import skvib; print(time.perf_counter() - start)"
    times = [float(subprocess.check_output([sys.executable, "-c", script])) for _ in range(n_runs)]
    return 1000.0 * statistics.median(times)


def settings():
    for n_threads in (1, 2):
        yield from ({"set": name, "threads": n_threads} for name in SETS)
    yield {"import": "skvib"}


def run(**setting):
    if "import" in setting:
        loaded = "torch, sklearn.neural_network, sklearn.model_selection, sklearn.pipeline"
        return {"milliseconds_above_torch_and_scikit_learn": import_milliseconds(loaded)}
    tasks = {make.__name__: (make, (setting["set"],)) for make in (skvib, mlp)}
    result = alternate(tasks, setting["threads"], n_runs=25)
    seconds = {f"{system}_seconds": result[system]["seconds"] for system in result}
    return {**seconds, "skvib_over_mlp": 1.0 / result["mlp"]["ratio"]}


PREDICT = Claim("predict", settings, run, begins_anew=True)
