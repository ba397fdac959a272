"""fit_together: a joblib backend under which fits that are asked for together are trained together."""

from __future__ import annotations

import contextvars
import threading
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from numbers import Integral
from queue import SimpleQueue
from typing import Literal

import joblib
from joblib._parallel_backends import FallbackToBackend
from joblib.parallel import ParallelBackendBase

from skvib.base import succeeded, train_problems
from skvib.model_selection.grouping import stored_once, train_together
from skvib.nn.problem import METHODS, WIDTH
from skvib.nn.trainer import train

# Callers that divide their work by the number of workers divide it by this many
N_SHARES = 256
# As many tasks as this are handed out before the first training
N_TASKS = 10**5
_WARNING_STATE = tuple(name for name in ("filters", "showwarning", "_showwarnmsg_impl") if hasattr(warnings, name))
_gathering = contextvars.ContextVar("gathering", default=None)


@contextmanager
def fit_together(*, width: int = WIDTH, method: Literal["exact", "amortized"] = "exact") -> Iterator[None]:
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
        network at its own beta: about the time of one fit for all. Their `rate_` and `distortion_` are those of at most
        2048 training rows. A beta of 0 and a fit without such companions are trained exactly.

    Yields
    ------
    None
        The context is all there is.

    Raises
    ------
    ValueError
        If an argument is not one of these.

    See Also
    --------
    BetaSearchCV : A search over beta that trains together.

    Notes
    -----
    Every task keeps its own rows while it waits. The search's `pre_dispatch` bounds how many wait at once, and so
    how many train together: with "amortized", leave it alone.

    Interrupting (Ctrl-C) ends the stack that trains, whose estimators keep their weights and warn, as a single
    fit does. A lock must not be held around a `fit`: another task that needs it would wait forever.

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
    """What `fit_together` sets. Each joblib.Parallel gets one of its own; all levels of nesting share a gathering."""

    supports_retrieve_callback = True
    supports_sharedmem = True
    uses_threads = True

    def __init__(self, nesting_level=0, width=WIDTH, method="exact", **kwargs):
        super().__init__(nesting_level=nesting_level, **kwargs)
        if isinstance(width, bool) or not isinstance(width, Integral) or width < 1:
            raise ValueError(f"width must be a positive integer, the networks of a stack; got {width!r}.")
        if method not in METHODS:
            raise ValueError(f"method must be one of {METHODS}; got {method!r}.")
        self.width, self.method = int(width), method
        self.is_own = False

    def effective_n_jobs(self, n_jobs):
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        return N_TASKS if self.is_own else N_SHARES

    def configure(self, n_jobs=1, parallel=None, **kwargs):
        if not self.is_own:
            own = TogetherBackend(self.nesting_level, self.width, self.method)
            own.is_own = True
            raise FallbackToBackend(own)
        return self.effective_n_jobs(n_jobs)

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

    apply_async = submit  # its name before joblib 1.5

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
    """The unfinished tasks of one call of joblib.Parallel; `parent` is the task that waits for them.

    Its tasks start with the context and the warnings of whoever made the call.
    """

    def __init__(self):
        self.tasks, self.parent, self.error = {}, None, None
        self.context, self.warnings = contextvars.copy_context(), _warning_state()

    def is_settled(self):
        return not self.tasks or self.error is not None


class _Player:
    """One who can have the turn, and is told so by an item in a queue.

    An interrupt may fall anywhere in Python code, within the methods of a threading.Condition, too, which then loses
    what it notifies of. A SimpleQueue has none, and an item too many wakes a player who looks and waits on.
    """

    def __init__(self):
        self.turn, self.thread = SimpleQueue(), threading.current_thread()


class _Task(_Player):
    """A piece of work in a thread of its own."""

    def __init__(self, gathering, call, work, callback, train_in_turn):
        super().__init__()
        self.gathering, self.call, self.callback = gathering, call, callback
        self.work = partial(call.context.copy().run, self._in_context, work, train_in_turn)
        self.thread, self.resumer = None, None
        self.has_begun, self.is_finished, self.is_abandoned = False, False, False
        self.request, self.answer = None, None
        call.tasks[self] = None

    def _in_context(self, work, train_in_turn):
        _gathering.set(self.gathering)
        train_problems.set(train_in_turn)
        return work()

    def run(self):
        """The thread: wait for the first turn, work, and give the turn back for good."""
        if not self.gathering.await_first_turn(self):
            return
        result = error = None
        try:
            _set_warning_state(self.call.warnings)
            if not self.is_abandoned:
                result = self.work()
        except BaseException as raised:
            error = raised
        self.work, self.outcome = None, (result, error)
        self.gathering.finish(self, error)

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
        self.owner = self.active = _Player()
        self.ready, self.waiting, self.stored = deque(), [], {}

    # In the thread of whoever has the turn

    def run(self, call):
        """Return when all tasks of the call are done, or one has failed."""
        if self.active is not self.owner:
            if not call.is_settled():
                call.parent = self.active
                self._pass_turn(self.active)
        else:
            while not call.is_settled():
                if self.ready:
                    self._resume(self.ready.popleft())
                else:
                    self._train()
        if isinstance(call.error, _CallbackError):
            raise call.error.__cause__

    def train(self, method, width, problems, settings):
        """What the fit of a task calls instead of training at once."""
        task = self.active
        if task.thread is not threading.current_thread():
            return train(problems, settings)
        problems = [stored_once(problem, self.stored) for problem in problems]
        if not task.is_abandoned:
            task.request = method, width, problems, settings
            self.waiting.append(task)
        self._pass_turn(task)
        answers, task.answer = task.answer, None
        return succeeded(answers)

    def abandon(self, call):
        """Drop the call's tasks that have not begun, and unwind those that have; an interrupt waits until then."""
        state, interrupt, is_done = _warning_state(), None, False
        while not is_done:
            try:
                self._unwind(call)
                is_done = True
            except KeyboardInterrupt as raised:
                interrupt = raised
        _set_warning_state(state)
        if interrupt is not None:
            raise interrupt

    def _unwind(self, call):
        for task in list(call.tasks):
            task.is_abandoned = True
            task.turn.put(None)
        # an interrupted owner waits here for the task that has the turn, but may not have been told
        self.active.turn.put(None)
        self._await_turn(self.owner if self.active.thread is not threading.current_thread() else self.active)
        self.ready = deque(task for task in self.ready if task.call is not call)
        self.waiting = [task for task in self.waiting if task.call is not call]
        for task in list(call.tasks):
            while task.has_begun and not task.is_finished:
                self._resume(task)
        call.tasks.clear()

    def _resume(self, task):
        """Hand the turn to a task until it gives it back."""
        me, state = self.active, _warning_state()
        task.resumer = me
        if task.thread is None:
            self._start_thread(task)
        try:
            self._give_turn(task)
            self._await_turn(me)
        finally:
            _set_warning_state(state)

    def _start_thread(self, task):
        thread = threading.Thread(target=task.run, name="skvib-task", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            if isinstance(error.__context__, KeyboardInterrupt):  # within start, which then ends in an error of its own
                raise error.__context__ from None
            raise RuntimeError(
                f"{len(self.waiting)} fits wait to be trained together, and the system gives no thread to one more. "
                "Let fewer wait at a time: pass the search a number as pre_dispatch."
            ) from error
        task.thread = thread

    def _give_turn(self, player):
        self.active = player
        player.turn.put(None)

    def _await_turn(self, me):
        while self.active is not me:
            me.turn.get()

    # In the thread of a task

    def await_first_turn(self, task):
        """Whether it came; not if the task was abandoned before."""
        while True:
            is_abandoned = task.is_abandoned  # read first: who has the turn already is not abandoned before it
            if self.active is task:
                task.has_begun = True
                return True
            if is_abandoned:
                return False
            task.turn.get()

    def _pass_turn(self, task):
        """Give the turn back, and return when it comes again."""
        if task.is_abandoned:
            raise _Abandoned
        state = _warning_state()
        self._give_turn(task.resumer)
        self._await_turn(task)
        _set_warning_state(state)
        if task.is_abandoned:
            raise _Abandoned

    def finish(self, task, error):
        call = task.call
        call.tasks.pop(task, None)
        if not task.is_abandoned:
            try:
                task.callback(task)
            except BaseException as raised:
                error = _CallbackError()
                error.__cause__ = raised
            call.error = call.error or error
            if call.parent is not None and call.is_settled():
                self.ready.append(call.parent)
                call.parent = None
        task.is_finished = True
        self._give_turn(task.resumer)

    # In the thread of the owner

    def _train(self):
        """Train what all tasks wait for."""
        tasks, self.waiting, self.stored = self.waiting, [], {}
        requests = [task.request for task in tasks]
        for task in tasks:
            task.request = None
        for task, answer in zip(tasks, train_together(requests), strict=True):
            task.answer = answer
            self.ready.append(task)


class _CallbackError(Exception):
    """joblib's callback failed, which itself would have told joblib; its cause is what went wrong."""


def _warning_state():
    return [getattr(warnings, name) for name in _WARNING_STATE]


def _set_warning_state(state):
    for name, value in zip(_WARNING_STATE, state, strict=True):
        setattr(warnings, name, value)
    with warnings.catch_warnings():  # entering it tells Python that the filters changed
        pass


joblib.register_parallel_backend("skvib", TogetherBackend)
