"""Watching a fit: scikit-learn's callbacks, the progress line of `verbose`, and warnings of what went wrong."""

import copy
import math
import time
import warnings
from contextlib import contextmanager

from sklearn.exceptions import ConvergenceWarning

from skvib.typing import Method

try:
    from sklearn.callback import CallbackSupportMixin
    from sklearn.callback import with_callbacks as _with_callbacks
except ImportError:  # scikit-learn < 1.9 has no callbacks

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing to support."""

    def _with_callbacks(method):
        return method


def with_callbacks(method: Method) -> Method:
    """A `fit` that scikit-learn's callbacks watch."""
    return _with_callbacks(method)


def fit_monitor(estimator, X, y, sample_weight):
    """A FitMonitor if anybody watches, else None."""
    if not estimator.verbose and not getattr(estimator, "_skl_callbacks", None):
        return None
    return FitMonitor(estimator, X, y, sample_weight)


LITTLE, LITTLE_NATS, LITTLE_EVIDENCE = 0.05, 0.01, 10.0  # of H(Y), and nats: of a row, and of all


class FitMonitor:
    """Reports each epoch to scikit-learn's callbacks and to the progress line; either may be absent.

    `model` is the working copy of the estimator, set before it trains. Of an ensemble it reports the first member.
    """

    def __init__(self, estimator, X, y, sample_weight):
        self.estimator, self.model, self.member, self.stopped_at = estimator, None, None, None
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self.data = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        self.started = self.printed = time.monotonic()
        self.context = None
        if getattr(estimator, "_skl_callbacks", None):
            self.context = estimator._init_callback_context(max_subtasks=estimator.max_iter)
            self.context.call_on_fit_task_begin(**self.data)

    def of_member(self, k, member):
        """The monitor of a network of an ensemble; but for the first, they stop where that was told to."""
        if k:
            return Follower(self)
        self.member = member
        return self

    def begin_epoch(self):
        if self.context is not None:
            self.epoch_context = self.context.subcontext(task_name="epoch")
            self.epoch_context.call_on_fit_task_begin(**self.data)

    def end_epoch(self, history, weights):
        """Whether a callback asks to stop."""
        if self.estimator.verbose:
            self._print(history)
        if self.context is None:
            return False
        stops = True  # those that follow stop, too, if a callback fails
        try:
            stops = self.epoch_context.call_on_fit_task_end(
                **self.data, reconstruction_attributes=lambda: self._snapshot(history, weights())
            )
        finally:
            self.stopped_at = len(history["loss"]) if stops else None
        return stops

    def end_fit(self):
        if self.context is not None:
            self.context.call_on_fit_task_end(
                **self.data, reconstruction_attributes=lambda: copy.deepcopy(_fitted(self.model))
            )

    def _snapshot(self, history, weights):
        model = copy.copy(self.member)
        model._weights, model.n_iter_ = weights.numpy(), len(history["loss"])
        model._set_history(history, None)
        return copy.deepcopy(_fitted(model))

    def _print(self, history):
        epoch, now, last = len(history["loss"]), time.monotonic(), self.estimator.max_iter
        if now - self.printed < 1.0 and epoch not in (1, last):
            return
        self.printed = now
        units, left = self.model._target.units, (now - self.started) / epoch * (last - epoch)
        print(
            f"Iteration {epoch}/{last}, loss = {history['loss'][-1] + units:.4f}, distortion = "
            f"{history['distortion'][-1] + units:.4f}, rate = {history['rate'][-1]:.2f} nats, "
            f"{left:.0f} s left"
        )


class Follower:
    """Watches a network that stops where another one was told to."""

    def __init__(self, leader):
        self.leader = leader

    def begin_epoch(self):
        """Nothing to report."""

    def end_epoch(self, history, weights):
        return self.leader.stopped_at is not None and len(history["loss"]) >= self.leader.stopped_at


def _fitted(model):
    """What a fit sets: everything but parameters and callbacks."""
    parameters = model.get_params(deep=False)
    return {name: value for name, value in vars(model).items() if name not in parameters and "callback" not in name}


def is_little(gain, entropy, n_rows):
    """Whether so many nats a row may be nothing: of a rare event few are much, and so are a few each of many rows."""
    return gain < min(LITTLE_NATS, LITTLE * abs(entropy)) and gain * n_rows < LITTLE_EVIDENCE


@contextmanager
def silent_codes_allowed():
    """No warning of a code that says nothing: at the upper end of a search over beta it is right."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The (code collapsed|loss, |predictions are)", ConvergenceWarning)
        yield


def warn_of_training(model, trainings, settings, entropy, n_rows=math.inf):
    """Say what went wrong, and the mend; nothing about a code that collapses inside a path.

    The networks of an ensemble are judged by their means, since each of them trains for itself.
    """
    failed = [training for training in trainings if training.reason in ("diverged", "interrupted")]
    by_reason = sorted(trainings, key=lambda training: training.reason == "max_iter")
    training = [*failed, by_reason[len(by_reason) // 2]][0]
    kept = f"the weights of epoch {training.best_epoch} are kept"
    distortion = sum(one.distortion_ for one in model.estimators_) / len(model.estimators_)
    rate = sum(getattr(one, "residual_rate_", one.rate_) for one in model.estimators_) / len(model.estimators_)
    price = settings.architecture.price()
    loss = distortion + price.loss(model.beta, 0.0, rate)
    message = None
    if training.reason == "diverged":
        message = (
            f"Training diverged in epoch {training.n_epochs}; {kept}. Lower learning_rate_init "
            f"(now {model.learning_rate_init:g})."
        )
    elif training.reason == "interrupted":
        message = f"Training interrupted by user in epoch {training.n_epochs + 1}; {kept}."
    elif training.reason == "max_iter" and settings.stop_on == "loss":
        message = (
            f"Maximum iterations ({model.max_iter}) reached and the optimization hasn't converged yet. "
            'Increase max_iter, or use learning_rate="cosine".'
        )
    elif entropy is None or len(training.betas) > 1:
        return
    elif price.can_pay(model.beta) and model.latent_rates_.max() < 1e-3:
        message = (
            f"The code collapsed: it carries nothing about X at beta={model.beta:g}. Lower beta, or train "
            "longer (max_iter)."
        )
    elif loss > entropy + 0.02:
        message = (
            f"The loss, {loss:.3g} nats, is above H(Y) = {entropy:.3g}, that of a code that says nothing: "
            "training fell short. Raise max_iter or learning_rate_init, or lower alpha or beta."
        )
    elif price.can_pay(model.beta) and is_little(entropy - distortion, entropy, n_rows):
        message = (
            f"The predictions are hardly better than without X: a distortion of {distortion:.3g} nats, of H(Y) = "
            f"{entropy:.3g}. X may say little about y. If it says more, lower beta, set n_bins=16 for columns with far "
            "values, or leave out columns of noise."
        )
    if message:
        warnings.warn(message, ConvergenceWarning, stacklevel=3)
