"""What a benchmark claims: its runs, the table of them, the verdicts on it, and the file that keeps all three."""

import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import joblib

from benchmarks.processes import silenced

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("skvib", "scikit-learn", "torch", "numpy", "skorch", "pytabkit")


@dataclass(frozen=True)
class Claim:
    """What results/<name>.json holds. Runs are kept as they finish, so that a second start does only what is missing.

    `settings()` lists the arguments of the runs, `then(runs)` those of more that depend on the first. `run(**setting)`
    returns figures, `summary(runs)` the rows of the table, `verdicts(rows)` the verdicts. Without a summary, `run`
    returns rows itself, and no more is kept. One process works with all CPUs as threads, or `n_jobs` processes with one
    each; without `n_jobs`, runs see to their threads themselves. Where `begins_anew`, nothing stored counts.
    """

    name: str
    settings: Callable
    run: Callable
    summary: Callable | None = None
    verdicts: Callable | None = None
    then: Callable | None = None
    n_jobs: int | None = None
    begins_anew: bool = False

    @property
    def command(self):
        return f"make bench NAME={self.name}"

    @property
    def path(self):
        return RESULTS / f"{self.name}.json"

    def complete(self, *only):
        """Run what is missing, renew the tables and print them; `only` some methods where the settings take them."""
        if self.begins_anew:
            self.path.unlink(missing_ok=True)
        settings = [*self.settings(*only)]
        runs = self._completed(settings)
        if self.then:
            runs = self._completed([*settings, *self.then(runs)])
        tables = self.tables(runs)
        _save(self.path, {**stored_result(self.name), self._kept: runs, **tables})
        for row in (*tables["rows"], *tables.get("verdicts", ())):
            print(*map(_short, row.items()))

    def tables(self, runs):
        """The rows, and the verdicts on them where there are any to give."""
        rows = [*self.summary(runs)] if self.summary else runs
        return {"verdicts": [*self.verdicts(rows)], "rows": rows} if self.verdicts else {"rows": rows}

    @property
    def _kept(self):
        return "runs" if self.summary else "rows"

    def _completed(self, settings):
        """The runs of all settings, in their order, and others that are stored."""
        names = tuple(dict.fromkeys(name for setting in settings for name in setting))

        def key(run):
            return tuple(run.get(name) for name in names)

        stored, done = stored_result(self.name), {}
        for run in stored.get(self._kept, ()):
            done.setdefault(key(run), []).append(run)
        wanted = {key(setting): setting for setting in settings}
        missing = [setting for at, setting in wanted.items() if at not in done]
        if missing:
            about = self._provenance()
            if done and any(stored.get(name) != about[name] for name in about):
                raise ValueError(f"{self.path.name} is of another machine or other versions: delete it to begin anew.")
            for index, (setting, figures) in enumerate(self._finished(missing), 1):
                done[key(setting)] = [{**setting, **row} for row in figures]
                for run in done[key(setting)]:
                    print(f"{index}/{len(missing)}", *map(_short, run.items()), flush=True)
                _save(self.path, {**stored, **about, self._kept: [run for runs in done.values() for run in runs]})
        return [run for at in {**wanted, **done} for run in done[at]]

    def _finished(self, settings):
        """Each setting and the list of its figures, as they come."""
        n_threads = self._n_threads
        if n_threads:
            names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
            os.environ.update(dict.fromkeys(names, str(n_threads)))
        pool = joblib.Parallel(self.n_jobs or 1, return_as="generator_unordered")
        return pool(joblib.delayed(_figures)(self.run, setting, n_threads) for setting in settings)

    @property
    def _n_threads(self):
        return {None: None, 1: os.cpu_count()}.get(self.n_jobs, 1)

    def _provenance(self):
        about = {
            "claim": self.name,
            "command": self.command,
            "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
            "python": sys.version.split()[0],
            "versions": _versions(),
        }
        return {**about, "threads": self._n_threads} if self.n_jobs else about


def stored_result(name):
    """What results/<name>.json holds, nothing if there is none."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def verdict(target, measured, met):
    """A line of the table of targets; `met` is None where nothing was measured yet."""
    return {"target": target, "measured": measured, "verdict": {True: "met", False: "missed", None: "open"}[met]}


def counted(cells, lost):
    """How many of the cells are not lost, and the names of those that are."""
    return f"{len(cells) - len(lost)} of {len(cells)}" + (f"; not {', '.join(lost)}" if lost else "")


def _figures(run, setting, n_threads):
    import torch

    if n_threads:
        torch.set_num_threads(n_threads)
    return setting, silenced(_rows_of, run, setting)


def _rows_of(run, setting):
    found = run(**setting)
    return [found] if isinstance(found, dict) else [*found]


def _short(item):
    name, value = item
    return f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"


def _versions():
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


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
