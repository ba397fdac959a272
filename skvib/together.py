"""fit_together: a joblib backend under which fits that are asked for together are trained together."""

import contextvars
import hashlib
import pickle
import threading
import warnings
from collections import deque
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import joblib
from joblib.parallel import ParallelBackendBase

from skvib.base import train_alone, train_one
from skvib.nn.layers import SparseRows
from skvib.nn.problem import Rows, Training
from skvib.nn.trainer import train

METHODS = ("exact", "amortized")
# Callers that divide their work by the number of workers divide it by this many
N_SHARES = 256
# As many tasks as this are handed out before the first training
N_TASKS = 10**5
_WARNING_STATE = tuple(name for name in ("filters", "showwarning", "_showwarnmsg_impl") if hasattr(warnings, name))
_gathering = contextvars.ContextVar("gathering", default=None)


@contextmanager
def fit_together(*, width=64, method="exact"):
    """Train together what scikit-learn fits inside this context.

    Any search, cross-validation or ensemble that scikit-learn runs through joblib stays as it is. Its tasks run
    one at a time, each up to the `fit` of a VIB estimator; when all of them wait, their networks train as one stack.
    `n_jobs` is ignored: what is parallel is the training. ``joblib.parallel_config(backend="skvib")`` does the same.

    Parameters
    ----------
    width : int, default=64
        Networks of a stack, at most; it bounds the memory of a training.
    method : {"exact", "amortized"}, default="exact"
        With "exact" every fit gets the network that it would get alone, up to rounding. With "amortized", fits that
        differ in nothing but `beta` share one network that is conditioned on log(beta), and each gets that
        network at its own beta: about the time of one fit for all. A beta of 0 and a fit without such
        companions are trained exactly.

    Raises
    ------
    ValueError
        If an argument is not one of these.

    Notes
    -----
    Every task keeps its own rows while it waits; the search's `pre_dispatch` bounds how many wait at once. Interrupting
    (Ctrl-C) ends the stack that trains, whose estimators keep their best weights so far and warn.
    A lock must not be held around a `fit`: another task that needs it would wait forever.

    References
    ----------
    Amortized training follows Bae et al., Multi-Rate VAE: Train Once, Get the Full Rate-Distortion Curve, ICLR 2023.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skvib import VIBClassifier, fit_together
    >>> search = GridSearchCV(VIBClassifier(max_iter=40, random_state=0), {"beta": [1e-3, 1e-2, 1e-1]})
    >>> with fit_together():
    ...     search = search.fit(*load_iris(return_X_y=True))
    >>> bool(search.best_score_ > 0.9)
    True
    """
    with joblib.parallel_config(backend=TogetherBackend(width=width, method=method)):
        yield


class TogetherBackend(ParallelBackendBase):
    """What `fit_together` sets; the calls of all levels of nesting share one `_Gathering`."""

    supports_retrieve_callback = True
    supports_sharedmem = True
    uses_threads = True

    def __init__(self, nesting_level=0, width=64, method="exact", **kwargs):
        super().__init__(nesting_level=nesting_level, **kwargs)
        if isinstance(width, bool) or not isinstance(width, int) or width < 1:
            raise ValueError(f"width must be a positive integer, the networks of a stack; got {width!r}.")
        if method not in METHODS:
            raise ValueError(f"method must be one of {METHODS}; got {method!r}.")
        self.width, self.method = width, method
        self.n_workers = N_SHARES

    def effective_n_jobs(self, n_jobs):
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        return self.n_workers

    def configure(self, n_jobs=1, parallel=None, **kwargs):
        self.n_workers = N_TASKS
        return self.effective_n_jobs(n_jobs)

    def terminate(self):
        self.n_workers = N_SHARES

    def get_nested_backend(self):
        return TogetherBackend(self.nesting_level + 1, self.width, self.method), None

    def start_call(self):
        gathering = _gathering.get()
        # a thread that a task started by itself is not in its turn
        joins = gathering is not None and gathering.active.thread is threading.current_thread()
        self.gathering = gathering if joins else _Gathering()
        self.call = _Call()

    def submit(self, func, callback=None):
        train_in_turn = partial(self.gathering.train, self.method, self.width)
        task = _Task(self.gathering, self.call, func, callback, train_in_turn)
        self.gathering.ready.append(task)
        return task

    def retrieve_result_callback(self, out):
        return out.take()

    @contextmanager
    def retrieval_context(self):
        self.gathering.run(self.call)
        yield

    def abort_everything(self, ensure_ready=True):
        self.gathering.abandon(self.call)


class _Abandoned(BaseException):
    """Unwinds a task whose result nobody wants any more."""


class _Call:
    """The unfinished tasks of one call of joblib.Parallel; `parent` is the task that waits for them."""

    def __init__(self):
        self.tasks, self.parent, self.has_failed = {}, None, False

    def is_settled(self):
        return not self.tasks or self.has_failed


class _Player:
    """One who can have the turn."""

    def __init__(self, lock):
        self.turn, self.thread = threading.Condition(lock), threading.current_thread()


class _Task(_Player):
    """A piece of work in a thread of its own, in a copy of the context and the warnings of its submitter."""

    def __init__(self, gathering, call, work, callback, train_in_turn):
        super().__init__(gathering.lock)
        self.gathering, self.call, self.callback = gathering, call, callback
        self.work = partial(contextvars.copy_context().run, self._in_context, work, train_in_turn)
        self.warnings = _warning_state()
        self.thread, self.resumer = None, None
        self.is_abandoned, self.is_finished = False, False
        self.request, self.answer = None, None
        call.tasks[self] = None

    def _in_context(self, work, train_in_turn):
        _gathering.set(self.gathering)
        train_one.set(train_in_turn)
        return work()

    def run(self):
        """The thread: wait for the first turn, work, and give the turn back for good."""
        self.gathering.await_turn(self)
        _set_warning_state(self.warnings)
        result = error = None
        try:
            if not self.is_abandoned:
                result = self.work()
        except BaseException as raised:
            error = raised
        self.work, self.outcome = None, (result, error)
        self.gathering.finish(self, failed=error is not None)

    def take(self):
        (result, error), self.outcome = self.outcome, None
        if error is not None:
            raise error
        return result


class _Gathering:
    """Runs tasks one at a time, and trains together what they wait for.

    The thread of the outermost call owns it. It trains, and it hands the turn to one task after another; each has
    it until it ends, asks for a training or waits for tasks of its own. So whenever no task is ready, each one
    waits for a training or, at last, for a task that does: there is always something to do, in an order that
    depends on nothing but the tasks, and whoever fails or is interrupted leaves nothing locked.
    """

    def __init__(self):
        self.lock = threading.Lock()
        self.owner = self.active = _Player(self.lock)
        self.ready, self.waiting = deque(), []

    # In the thread of whoever has the turn

    def run(self, call):
        """Return when all tasks of the call are done, or one has failed."""
        if self.active is not self.owner:
            if not call.is_settled():
                call.parent = self.active
                self._pass_turn(self.active)
            return
        while not call.is_settled():
            if self.ready:
                self._resume(self.ready.popleft())
            else:
                self._train()

    def train(self, method, width, problem, settings):
        """What the fit of a task calls instead of training at once."""
        task = self.active
        if task.thread is not threading.current_thread():
            return train_alone(problem, settings)
        task.request = method, width, problem, settings
        del problem
        self.waiting.append(task)
        self._pass_turn(task)
        answer, task.answer = task.answer, None
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def abandon(self, call):
        """Drop the call's tasks that have not begun, and unwind those that have."""
        for task in call.tasks:
            task.is_abandoned = True
        # an interrupted owner waits here for the task that has the turn
        self._await_return(self.owner if self.active.thread is not threading.current_thread() else self.active)
        for task in list(call.tasks):
            self.ready = deque(other for other in self.ready if other is not task)
            self.waiting = [other for other in self.waiting if other is not task]
            while task.thread is not None and not task.is_finished:
                self._resume(task)
        call.tasks.clear()

    def _resume(self, task):
        """Hand the turn to a task until it gives it back."""
        me, state = self.active, _warning_state()
        task.resumer = me
        if task.thread is None:
            task.thread = threading.Thread(target=task.run, name="skvib-task", daemon=True)
            task.thread.start()
        try:
            with self.lock:
                self.active = task
            self._await_return(me)
        finally:
            _set_warning_state(state)

    def _await_return(self, me):
        with self.lock:
            while self.active is not me:
                self.active.turn.notify()
                me.turn.wait()

    def _pass_turn(self, task):
        """Give the turn of a task back, and return when it has it again."""
        if task.is_abandoned:
            raise _Abandoned
        state = _warning_state()
        with self.lock:
            self.active = task.resumer
            self.active.turn.notify()
        self.await_turn(task)
        _set_warning_state(state)
        if task.is_abandoned:
            raise _Abandoned

    def await_turn(self, task):
        with self.lock:
            while self.active is not task:
                task.turn.wait()

    def finish(self, task, failed):
        call = task.call
        call.tasks.pop(task, None)
        if not task.is_abandoned:
            task.callback(task)
            call.has_failed |= failed
            if call.parent is not None and call.is_settled():
                self.ready.append(call.parent)
                call.parent = None
        with self.lock:
            task.is_finished = True
            self.active = task.resumer
            self.active.turn.notify()

    def _train(self):
        """Train what all tasks wait for, in the owner's thread."""
        tasks, self.waiting = self.waiting, []
        requests = [task.request for task in tasks]
        for task in tasks:
            task.request = None
        for task, answer in zip(tasks, _train_together(requests), strict=True):
            task.answer = answer
            self.ready.append(task)


def _train_together(requests):
    """A Training or an exception for each request (method, width, problem, settings)."""
    stored, groups = {}, {}
    for index, (method, width, problem, settings) in enumerate(requests):
        problem = _stored_once(problem, stored)
        alone = method == "exact" or problem.start is not None or len(problem.betas) > 1 or 0.0 in problem.betas
        key = index if alone else (width, settings, _all_but_beta(problem))
        groups.setdefault(key, (width, settings, {}))[-1][index] = problem
    trainings = {}
    for (width, settings), batch in _by_settings(groups.values()).items():
        answers = _train_or_fail([_merged(list(group.values())) for group in batch], settings, width)
        for group, answer in zip(batch, answers, strict=True):
            for index, problem in group.items():
                shared = len(group) > 1 and isinstance(answer, Training)
                trainings[index] = answer.at(problem.betas[0]) if shared else answer
    return [trainings[index] for index in range(len(requests))]


def _by_settings(groups):
    """Lists of {index: problem} that can be handed to one call of `train`, by (width, settings)."""
    batches = {}
    for width, settings, group in groups:
        differs = len({problem.betas for problem in group.values()}) > 1
        parts = [group] if differs else [{index: problem} for index, problem in group.items()]
        batches.setdefault((width, settings), []).extend(parts)
    return batches


def _merged(problems):
    """One problem for all betas of a group."""
    if len(problems) == 1:
        return problems[0]
    watched = {problem.betas[0]: problem.monitors for problem in problems}
    betas = tuple(sorted(watched))
    monitors = tuple(watched[beta][0] for beta in betas) if all(watched.values()) else ()
    return replace(problems[0], betas=betas, monitors=monitors)


def _train_or_fail(problems, settings, width):
    """A Training for each problem; if the stack fails, each is trained alone, and the guilty one gets its exception."""
    try:
        return train(problems, settings, width)
    except Exception as error:
        if len(problems) == 1:
            return [error]
    return [_train_or_fail([problem], settings, width)[0] for problem in problems]


def _stored_once(problem, stored):
    """The problem with tensors that are the same objects wherever their values are equal."""
    rows = Rows(*(_interned(part, stored) for part in problem.rows))
    validation = problem.validation and Rows(*(_interned(part, stored) for part in problem.validation))
    return replace(problem, rows=rows, validation=validation)


def _interned(part, stored):
    tensors = list(vars(part).values()) if isinstance(part, SparseRows) else [part]
    digest = hashlib.blake2b()
    for tensor in tensors:
        digest.update(repr((tensor.dtype, tuple(tensor.shape))).encode())
        digest.update(tensor.contiguous().numpy().data)
    return stored.setdefault(digest.digest(), part)


def _all_but_beta(problem):
    """What two problems share that differ in beta alone; their rows are stored once."""
    parts = (*problem.rows, *(problem.validation or ()))
    try:
        encoder = problem.encoder and pickle.dumps(problem.encoder)
    except Exception:  # a module that cannot be compared with another
        encoder = id(problem.encoder)
    seed = None if problem.any_seed else problem.seed
    return tuple(map(id, parts)), problem.latent_dim, problem.n_steps, seed, encoder


def _warning_state():
    return [getattr(warnings, name) for name in _WARNING_STATE]


def _set_warning_state(state):
    for name, value in zip(_WARNING_STATE, state, strict=True):
        setattr(warnings, name, value)
    with warnings.catch_warnings():  # entering it tells Python that the filters changed
        pass


joblib.register_parallel_backend("skvib", TogetherBackend)
