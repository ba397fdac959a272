"""What differs between networks for one beta each and networks for a range of them; the loop asks for neither."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from skvib.nn.layers import N_GROUPS, ConditionedOnBeta
from skvib.nn.network import VIBNetwork
from skvib.nn.weights import WeightMatrix

VALIDATE_EVERY = 5  # epochs, of a network conditioned on beta: it is as many networks as it has betas
# nats of log beta beyond both ends of a range, from which its network learns too: it is weakest at the ends
MARGIN = 0.7
Make = Callable[[], VIBNetwork]


class Betas(ABC):
    """At which betas the networks of a stack are, `values` (M, K)."""

    row_values: ConditionedOnBeta | None
    multiple: int  # of which a batch has rows
    n_epochs_apart: int  # from one validation to the next
    may_shrink: bool  # a stack, once some of its networks have closed

    def __init__(self, values: Tensor) -> None:
        self.values = values

    @abstractmethod
    def draw(self, generators: Sequence[torch.Generator], n_rows: int) -> Tensor:
        """The beta of each network (M, 1), or of each of its n rows (M, n)."""

    def means(self, terms: Tensor, weights: Tensor, drawn: Sequence[Tensor]) -> Tensor:
        """Weighted means (T, M, K) of terms (T, M, n) of rows, at each beta; `weights` are (T, M, n) or (M, n)."""
        return (weights * terms).sum(-1, keepdim=True) / weights.sum(-1, keepdim=True)

    @abstractmethod
    def folded_of(self, network: VIBNetwork, weights: WeightMatrix, make: Make) -> tuple[VIBNetwork, WeightMatrix]:
        """What holds the networks at one beta."""

    @abstractmethod
    def fold(self, network: VIBNetwork, folded: VIBNetwork, k: int) -> None:
        """Make `folded` what the networks are at the k-th beta."""

    @abstractmethod
    def remember(self, k: int, losses: Tensor, folded: Tensor, is_open: Tensor) -> None:
        """Folded weights (M, P), if their validation loss at the k-th beta is the lowest so far."""

    @abstractmethod
    def recall(self, k: int, folded: Tensor, is_trusted: Tensor) -> None:
        """Give folded weights (M, P) back what is remembered of the k-th beta."""

    @abstractmethod
    def reached(self, m: int, score: float) -> float:
        """How far network m has come, the higher the better; `score` is that of the last epoch."""


class OneBeta(Betas):
    """Networks for one beta each. What trains is what predicts, and there is nothing to fold or remember."""

    row_values, multiple, n_epochs_apart, may_shrink = None, 1, 1, True

    def draw(self, generators: Sequence[torch.Generator], n_rows: int) -> Tensor:
        return self.values

    def folded_of(self, network: VIBNetwork, weights: WeightMatrix, make: Make) -> tuple[VIBNetwork, WeightMatrix]:
        return network, weights

    def fold(self, network: VIBNetwork, folded: VIBNetwork, k: int) -> None:
        pass

    def remember(self, k: int, losses: Tensor, folded: Tensor, is_open: Tensor) -> None:
        pass

    def recall(self, k: int, folded: Tensor, is_trusted: Tensor) -> None:
        pass

    def reached(self, m: int, score: float) -> float:
        return score


class BetaRange(Betas):
    """Networks conditioned on log beta, for all betas of `log_range`.

    They fold into networks for one beta, any of these. Those of `values` are judged, and the best is remembered.
    """

    row_values: ConditionedOnBeta
    multiple = N_GROUPS
    n_epochs_apart = VALIDATE_EVERY
    may_shrink = False  # they are few

    def __init__(self, values: Tensor, log_range: tuple[float, float]) -> None:
        super().__init__(values)
        self.row_values = ConditionedOnBeta(log_range)
        self.best: list[Tensor | None] = [None] * values.shape[1]
        self.lowest = torch.full_like(values, math.inf)

    def draw(self, generators: Sequence[torch.Generator], n_rows: int) -> Tensor:
        """A beta for each row, at which its group is conditioned: log beta uniform over the range and stratified."""
        (low, high), like = self.row_values.log_range, self.values
        strata = torch.arange(N_GROUPS, dtype=like.dtype, device=like.device)
        drawn = [torch.rand(N_GROUPS, generator=g, dtype=like.dtype, device=like.device) for g in generators]
        log_beta = low + (high - low) / N_GROUPS * (strata + torch.stack(drawn))
        self.row_values.condition(log_beta)
        return log_beta.exp().repeat(1, n_rows // N_GROUPS)

    def means(self, terms: Tensor, weights: Tensor, drawn: Sequence[Tensor]) -> Tensor:
        """Those of the rows that drew a beta nearest to each of the K."""
        log_betas = self.values[0].log()
        nearest = torch.bucketize(torch.cat(list(drawn), -1).log(), (log_betas[1:] + log_betas[:-1]) / 2)
        nearest, weights = nearest.expand_as(terms), weights.expand_as(terms)
        none = terms.new_zeros(*terms.shape[:2], self.values.shape[1])
        totals = none.scatter_add(-1, nearest, weights)
        sums = none.scatter_add(-1, nearest, weights * terms)
        return torch.where(totals > 0, sums / totals, super().means(terms, weights, drawn))

    def folded_of(self, network: VIBNetwork, weights: WeightMatrix, make: Make) -> tuple[VIBNetwork, WeightMatrix]:
        folded = make()
        return folded, WeightMatrix(folded)

    def fold(self, network: VIBNetwork, folded: VIBNetwork, k: int) -> None:
        network.fold_at(self.values[:, k].log(), folded)

    def remember(self, k: int, losses: Tensor, folded: Tensor, is_open: Tensor) -> None:
        better = is_open & (losses < self.lowest[:, k])
        best = self.best[k]
        self.best[k] = torch.where(better[:, None], folded, folded if best is None else best)
        self.lowest[:, k] = torch.where(better, losses, self.lowest[:, k])

    def recall(self, k: int, folded: Tensor, is_trusted: Tensor) -> None:
        best = self.best[k]
        if best is not None:
            folded.copy_(torch.where(is_trusted[:, None], best, folded))

    def reached(self, m: int, score: float) -> float:
        """The training goes on while one of its betas improves."""
        return score if self.best[0] is None else -float(self.lowest[m].mean())


def learned_range(betas: Sequence[float]) -> tuple[float, float]:
    """From where to where log beta is drawn, to learn a range that holds these betas."""
    return math.log(min(betas)) - MARGIN, math.log(max(betas)) + MARGIN


def betas_of(betas: Sequence[tuple[float, ...]], like: Tensor) -> Betas:
    """For networks that each learn these betas."""
    values = like.new_tensor(betas)
    return OneBeta(values) if values.shape[1] == 1 else BetaRange(values, learned_range(betas[0]))
