"""Which weights of a training are the best, and when it has converged."""

from __future__ import annotations

import math

from torch import Tensor

from skvib.nn.problem import Settings
from skvib.nn.progress import Checkpoint, Progress
from skvib.nn.stack import Stack


class ByLoss:
    """The latest weights are kept, or the best before a divergence, by the training loss.

    An epoch's loss is that of the weights with which it began. After `patience` epochs without progress it ends.
    """

    def __init__(self, patience: float) -> None:
        self.patience = patience

    def begin(self, stack: Stack, values: Tensor) -> None:
        """An epoch begins with these weights (M, P)."""
        self.begun = values.clone(), stack.buffers()

    def score(self, progress: Progress, is_validated: bool) -> float:
        """That of the last epoch; the highest is the best."""
        return -progress.loss

    def candidate(self, stack: Stack, values: Tensor, m: int, epoch: int) -> Checkpoint:
        """What has this score, after so many epochs."""
        weights, buffers = self.begun
        return Checkpoint(epoch - 1, stack.take(weights, m), buffers[m])

    def remember(self, stack: Stack, k: int, losses: Tensor, is_open: Tensor) -> None:
        """The validation losses (M,) of the networks as folded at the k-th beta."""

    def diverged(self, progress: Progress) -> None:
        """What was kept after the last epoch may be what diverged."""

    def settled(self, progress: Progress, latest: Checkpoint) -> Checkpoint:
        """What remains of a training that ends well."""
        return latest


class ByValidation(ByLoss):
    """The weights of the highest validation score are kept, where an epoch ends."""

    def begin(self, stack: Stack, values: Tensor) -> None:
        pass

    def score(self, progress: Progress, is_validated: bool) -> float:
        return progress.validation_score if is_validated else -math.inf

    def candidate(self, stack: Stack, values: Tensor, m: int, epoch: int) -> Checkpoint:
        return stack.checkpoint(values, m, epoch)

    def remember(self, stack: Stack, k: int, losses: Tensor, is_open: Tensor) -> None:
        stack.betas.remember(k, losses, stack.plain_weights.values, is_open)

    def diverged(self, progress: Progress) -> None:
        progress.distrust_last()

    def settled(self, progress: Progress, latest: Checkpoint) -> Checkpoint:
        return progress.best if progress.best.epoch > 0 else latest


def stopping_of(settings: Settings) -> ByLoss:
    kind = ByValidation if settings.stop_on == "validation" else ByLoss
    return kind(settings.n_iter_no_change if settings.stop_on else math.inf)
