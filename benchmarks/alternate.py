"""Timing side by side: each contender in a process of its own, runs in turn; medians, and geometric means of ratios.

Processes keep the thread pools of NumPy and torch apart; the one whose turn it is not sleeps.
"""

import multiprocessing
import os
import statistics
import time


def _serve(connection, make_task, arguments):
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    task = make_task(*arguments)
    while connection.recv():
        connection.send(task())


class Contender:
    """A task in a fresh process: `make_task(*arguments)` returns a callable that returns its seconds."""

    def __init__(self, make_task, arguments, n_threads):
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        os.environ.update(dict.fromkeys(names, str(n_threads)))
        self.process = context.Process(target=_serve, args=(other, make_task, arguments), daemon=True)
        self.process.start()

    def run(self):
        self.connection.send(True)
        return self.connection.recv()

    def close(self):
        self.connection.send(False)
        self.process.join()


def alternate(tasks, n_threads, n_runs=5):
    """{name: median seconds} of {name: (make_task, arguments)}, and each against the first, pair by pair."""
    contenders = {name: Contender(*task, n_threads) for name, task in tasks.items()}
    seconds = {name: [] for name in contenders}
    for run in range(n_runs + 1):
        for name, contender in contenders.items():
            time.sleep(0.1)  # the last one's BLAS threads spin for some 30 ms after their work
            elapsed = contender.run()
            if run:
                seconds[name].append(elapsed)
    for contender in contenders.values():
        contender.close()
    base = next(iter(seconds.values()))
    return {
        name: {
            "seconds": statistics.median(times),
            "ratio": statistics.geometric_mean(time / other for time, other in zip(times, base, strict=True)),
        }
        for name, times in seconds.items()
    }
