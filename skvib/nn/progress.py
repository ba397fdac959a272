"""How far the training of one network has come: its history, its best weights, and why it ended."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

import numpy as np
from torch import Tensor

from skvib.nn.prices import Price
from skvib.nn.problem import History, Problem, Settings, State

VALIDATION = "validation_log_likelihood"
DIVERGED_FACTOR = 1e3  # times the loss of the first batch


class Checkpoint(NamedTuple):
    """Weights (P,) of a network alone, and the buffers of a user's module, after so many epochs."""

    epoch: int
    weights: Tensor
    buffers: dict[str, Tensor]


@dataclass(frozen=True)
class Clock:
    """What the epochs and steps of a training are, counted from 0, in the schedules of its settings.

    One that continues another has no gradients that are eased.
    """

    settings: Settings
    n_steps: int
    n_eased: int
    n_epochs_before: int

    @classmethod
    def of(cls, problem: Problem, settings: Settings) -> Clock:
        if problem.start is not None:
            return cls(settings, problem.n_steps, 0, problem.start.n_epochs)
        return cls(settings, problem.n_steps, settings.max_iter * problem.n_steps, 0)

    def drawn(self, epoch: int) -> int:
        """How many times rows will have been drawn; 0 is before the first epoch."""
        return 1 + self.n_epochs_before + epoch

    def learning_rate(self, step: int) -> float:
        progress = step / (self.settings.max_iter * self.n_steps)
        return self.settings.learning_rate_init * self.settings.schedule(progress)

    def eased(self, step: int) -> float:
        """How much of the time is over in which a likelihood may ease its gradients."""
        return step / self.n_eased if self.n_eased else 1.0

    def is_due(self, epoch: int, every: int) -> bool:
        """Whether what is done every so many epochs, and after the last, is done after this one."""
        return epoch % every == 0 or epoch == self.settings.max_iter - 1


class Progress:
    """A history for each beta, and the best weights; `reason` is None while the network trains.

    `best_score` chooses the weights; `best_reached`, on a path a mean over its betas, tells when to stop.
    Once it is closed, `best` is what it keeps, and `state` where it could go on. `failure` is what a monitor raised.
    """

    def __init__(
        self,
        betas: tuple[float, ...],
        terms: Sequence[str],
        n_heads: int,
        price: Price,
        start: Checkpoint,
        further: dict[str, float] | None = None,
    ) -> None:
        """`terms` are the names of what `n_heads` heads say, of the rate that is paid, and of others.

        Of these, `further` ones have a weight in the loss.
        """
        self.betas, self.terms, self.price, self.further = betas, terms, price, further or {}
        self.heads, self.paid = terms[:n_heads], terms[n_heads]
        self.histories: list[History] = [{name: [] for name in ("loss", *terms)} for _ in betas]
        self.best = self.second_best = start
        self.best_score = self.best_reached = -math.inf
        self.first_loss = math.nan
        self.n_no_change = 0
        self.reason: str | None = None
        self.state: State | None = None
        self.failure: Exception | None = None

    @property
    def n_epochs(self) -> int:
        return len(self.histories[0]["loss"])

    def record(self, means: dict[str, list[float]], likelihoods: list[float] | None) -> None:
        """The terms' means over an epoch, and log-likelihoods of the validation rows; one for each beta.

        Without new likelihoods those of the epoch before stand, if there are any.
        """
        for name, of_beta in means.items():
            for history, mean in zip(self.histories, of_beta, strict=True):
                history[name].append(mean)
        for beta, history in zip(self.betas, self.histories, strict=True):
            history["loss"].append(self._loss(beta, sum(history[name][-1] for name in self.heads), history))
        if likelihoods is None and VALIDATION in self.histories[0]:
            likelihoods = [history[VALIDATION][-1] for history in self.histories]
        if likelihoods is not None:
            for history, likelihood in zip(self.histories, likelihoods, strict=True):
                history.setdefault(VALIDATION, []).append(likelihood)

    def _loss(self, beta: float, distortion: float, history: History) -> float:
        further = sum(weight * history[name][-1] for name, weight in self.further.items())
        return self.price.loss(beta, distortion, history[self.paid][-1]) + further

    @property
    def loss(self) -> float:
        """That of the last epoch."""
        return fmean(history["loss"][-1] for history in self.histories)

    @property
    def validation_score(self) -> float:
        """Log-likelihood of the validation rows, less the price of the training rows' rate and what else they pay.

        Likelihood alone would choose a code that is not yet paid; the rate of a validation row has no bound.
        """
        return -fmean(
            self._loss(beta, -h[VALIDATION][-1], h) for beta, h in zip(self.betas, self.histories, strict=True)
        )

    @property
    def has_diverged(self) -> bool:
        return not abs(self.loss) <= DIVERGED_FACTOR * max(1.0, abs(self.first_loss))

    def count_stalls(self, reached: float, tol: float) -> None:
        """Epochs in a row that brought less than `tol`."""
        stalls = reached < self.best_reached + tol
        self.best_reached = max(reached, self.best_reached)
        self.n_no_change = self.n_no_change + 1 if stalls else 0

    def keep(self, score: float, checkpoint: Checkpoint) -> None:
        """The best weights so far, and those before them."""
        self.best_score, self.second_best, self.best = score, self.best, checkpoint

    def distrust_last(self) -> None:
        """Go back from weights with which a diverging epoch began: they may be what diverged."""
        if self.best.epoch == self.n_epochs - 1:
            self.best = self.second_best


def mean_histories(histories: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Of several histories the mean of those that reach each epoch."""
    means = {}
    for name in histories[0]:
        curves = [history[name] for history in histories]
        padded = np.full((len(curves), max(map(len, curves))), np.nan)
        for row, curve in zip(padded, curves, strict=True):
            row[: len(curve)] = curve
        means[name] = np.nanmean(padded, axis=0) if padded.size else padded[0]
    return means
