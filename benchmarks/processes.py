"""Runs in processes of their own, for their memory."""

import multiprocessing
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from joblib.externals.loky import get_reusable_executor


def in_a_process_of_its_own(function, *arguments):
    """The figures that `function(*arguments)` returns, and the peak memory (MiB) of the process that ran it."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_with_peak_memory, function, arguments).result()


def silenced(function, *arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments)


def _with_peak_memory(function, arguments):
    figures = {**silenced(function, *arguments), "peak_mebibytes": _peak_memory()}
    # idle workers would keep the process from ending for minutes
    get_reusable_executor().shutdown()
    return figures


def _peak_memory():
    """The peaks of this process and of its children, added up."""
    children = [p.read_text().split() for p in Path("/proc/self/task").glob("*/children")]
    total = 0
    for process in ("self", *(child for listed in children for child in listed)):
        status = Path(f"/proc/{process}/status").read_text().splitlines()
        total += sum(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    return total / 1024
