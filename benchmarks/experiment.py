"""Runs of a claim that are kept as they finish, so that a second start does only what is missing."""

import json
import multiprocessing
import os
import platform
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import joblib
from joblib.externals.loky import get_reusable_executor

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("skvib", "scikit-learn", "torch", "numpy", "skorch", "pytabkit")


def complete(claim, command, run, settings, n_jobs=1):
    """The runs of a claim: for each dict of `settings`, itself and what `run(**setting)` returns.

    Runs that results/<claim>.json holds are not repeated: delete it to begin anew, as elsewhere or with other versions
    of the packages one has to. One process works with all CPUs as threads, or `n_jobs` processes with one each.
    """
    path, stored = RESULTS / f"{claim}.json", stored_result(claim)
    tables = {name: stored[name] for name in ("verdicts", "rows") if name in stored}
    names = tuple(dict.fromkeys(name for setting in settings for name in setting))
    done = {tuple(old.get(name) for name in names): old for old in stored.get("runs", ())}
    wanted = {tuple(setting.get(name) for name in names): setting for setting in settings}
    missing = [key for key in wanted if key not in done]
    n_threads = os.cpu_count() if n_jobs == 1 else 1
    about = _provenance(claim, command, n_threads)
    if missing and done:
        _check_origin(stored, about)
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(n_threads)))
    pool = joblib.Parallel(n_jobs, return_as="generator_unordered")
    finished = pool(joblib.delayed(_run)(run, key, wanted[key], n_threads) for key in missing)
    for index, (key, figures) in enumerate(finished, 1):
        done[key] = {**wanted[key], **figures}
        print(f"{index}/{len(missing)}", *(_short(item) for item in done[key].items()), flush=True)
        _save(path, {**about, **tables, "runs": [*done.values()]})
    return [done[key] for key in wanted]


def complete_parts(claim, command, column, parts):
    """Print and keep the rows of a claim, part by part: `parts` maps what the column says to what makes its rows."""
    stored, about = stored_result(claim), _provenance(claim, command)
    rows = stored["rows"]
    missing = [part for part in parts if part not in {row[column] for row in rows}]
    if missing and rows:
        _check_origin(stored, about)
    for part in missing:
        rows += [{column: part, **row} for row in parts[part]()]
        _save(RESULTS / f"{claim}.json", {**about, "rows": rows})
    _show(rows)


def _check_origin(stored, about):
    if any(stored.get(name) != about[name] for name in about):
        raise ValueError(
            f"The {about['claim']}.json here is of another machine or other versions: delete it to begin anew."
        )


def in_a_process_of_its_own(function, *arguments):
    """The figures that `function(*arguments)` returns, and the peak memory (MiB) of the process that ran it.

    For runs of a script with `n_jobs=1`: a process cannot import the functions of a script from one of its workers.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_with_peak_memory, function, arguments).result()


def _with_peak_memory(function, arguments):
    figures = {**_silenced(function, *arguments), "peak_mebibytes": _peak_memory()}
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


def stored_result(claim):
    """What results/<claim>.json holds; with neither rows nor runs if there is none."""
    path = RESULTS / f"{claim}.json"
    return json.loads(path.read_text()) if path.exists() else {"rows": [], "runs": []}


def verdict(target, measured, met):
    """A line of the table of targets; `met` is None where nothing was measured yet."""
    return {"target": target, "measured": measured, "verdict": {True: "met", False: "missed", None: "open"}[met]}


def write(claim, rows, command, runs=None, verdicts=()):
    """Print a table and write results/<claim>.json; what `complete` kept stays that of the machine that ran it."""
    about = _provenance(claim, command) if runs is None else stored_result(claim)
    result = {**about, "verdicts": list(verdicts), "rows": rows}
    _show([*rows, *result["verdicts"]])
    _save(RESULTS / f"{claim}.json", result if runs is None else {**result, "runs": runs})


def _show(rows):
    for row in rows:
        print(*(_short(item) for item in row.items()))


def _silenced(function, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments, **options)


def _run(run, key, setting, n_threads):
    import torch

    torch.set_num_threads(n_threads)
    return key, _silenced(run, **setting)


def _short(item):
    name, value = item
    return f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"


def _provenance(claim, command, n_threads=None):
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    about = {
        "claim": claim,
        "command": command,
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
        "python": sys.version.split()[0],
        "versions": versions,
    }
    return about if n_threads is None else {**about, "threads": n_threads}


def _save(path, result):
    """As JSON, a run a line."""
    runs = result.pop("runs", None)
    text = json.dumps(result, indent=2)
    if runs is not None:
        lines = ",\n".join(f"    {json.dumps(run)}" for run in runs)
        text = f'{text[:-2]},\n  "runs": [\n{lines}\n  ]\n}}'
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".part")
    temporary.write_text(text + "\n")
    temporary.replace(path)
