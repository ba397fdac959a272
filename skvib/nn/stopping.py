"""Which weights of a training are the best, and when it has converged."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from torch import Tensor

from skvib.nn.problem import Settings
from skvib.nn.progress import Checkpoint, Progress
from skvib.nn.stack import Stack


class Stopping(ABC):
    """It ends after `patience` epochs without progress."""

    def __init__(self, patience: float) -> None:
        self.patience = patience

    @abstractmethod
    def begin(self, stack: Stack, values: Tensor) -> None:
        """An epoch begins with these weights (M, P)."""

    @abstractmethod
    def score(self, progress: Progress, is_validated: bool) -> float:
        """That of the last epoch; the highest is the best."""

    @abstractmethod
    def candidate(self, stack: Stack, values: Tensor, m: int, epoch: int) -> Checkpoint:
        """What has this score, after so many epochs."""

    @abstractmethod
    def remember(self, stack: Stack, k: int, losses: Tensor, is_open: Tensor) -> None:
        """The validation losses (M,) of the networks as folded at the k-th beta."""

    @abstractmethod
    def diverged(self, progress: Progress) -> None:
        """What was kept after the last epoch may be what diverged."""

    @abstractmethod
    def settled(self, progress: Progress, latest: Checkpoint) -> Checkpoint:
        """What remains of a training that ends well."""


class ByLoss(Stopping):
    """The latest weights are kept, or the best before a divergence, by the training loss.

    An epoch's loss is that of the weights with which it began, so that no weights were kept after the last epoch.
    """

    def begin(self, stack: Stack, values: Tensor) -> None:
        self.begun = values.clone(), stack.buffers()

    def score(self, progress: Progress, is_validated: bool) -> float:
        return -progress.loss

    def candidate(self, stack: Stack, values: Tensor, m: int, epoch: int) -> Checkpoint:
        weights, buffers = self.begun
        return Checkpoint(epoch - 1, stack.take(weights, m), buffers[m])

    def remember(self, stack: Stack, k: int, losses: Tensor, is_open: Tensor) -> None:
        pass

    def diverged(self, progress: Progress) -> None:
        pass

    def settled(self, progress: Progress, latest: Checkpoint) -> Checkpoint:
        return latest


class ByValidation(Stopping):
    """The weights of the highest validation score are kept, where an epoch ends."""

    def begin(self, stack: Stack, values: Tensor) -> None:
        pass

    def score(self, progress: Progress, is_validated: bool) -> float:
        return progress.validation_score if is_validated else -math.inf

    def candidate(self, stack: Stack, values: Tensor, m: int, epoch: int) -> Checkpoint:
        return stack.checkpoint(values, m, epoch)

    def remember(self, stack: Stack, k: int, losses: Tensor, is_open: Tensor) -> None:
        stack.betas.remember(k, losses, stack.folded_weights.values, is_open)

    def diverged(self, progress: Progress) -> None:
        progress.distrust_last()

    def settled(self, progress: Progress, latest: Checkpoint) -> Checkpoint:
        return progress.best if progress.best.epoch > 0 else latest


def stopping_of(settings: Settings) -> Stopping:
    kind = ByValidation if settings.stop_on == "validation" else ByLoss
    return kind(settings.n_iter_no_change if settings.stop_on else math.inf)
