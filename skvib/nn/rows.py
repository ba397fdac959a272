"""The rows of a problem, and the batches that a stack takes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from skvib.nn.layers import Inputs, SharedRows, SparseRows

X = TypeVar("X", bound=Any)
TARGET = "y"  # the column that an estimator predicts, and the head that describes it
NUISANCE = "nuisance"  # the column of what a code is not to tell
GUESSED = "guessed"  # the share of rows in the loss of guessing what some of them lack


class Rows(NamedTuple, Generic[X]):
    """Inputs (n, ...) or SparseRows, weights (n,), of mean 1 in training, and a column (n, ...) for each head, and
    the groups that a nuisance makes.

    `shares` are the weights (n,) of rows in a head where they are others: 0 where a row has no target. Such a row still
    pays its rate, and its column holds any valid value. Of a stack all of these are (M, n, ...).
    """

    inputs: X
    weights: Tensor
    targets: dict[str, Tensor]
    shares: dict[str, Tensor]

    def share(self, head: str) -> Tensor:
        """The weights of the rows in a head."""
        return self.shares.get(head, self.weights)

    def term_weights(self, heads: Iterable[str], n_others: int = 1) -> Tensor:
        """Their weights in what each head says and in `n_others` terms, (T, ..., n).

        Where all are equal they are (..., n).
        """
        if not self.shares:
            return self.weights
        return torch.stack([*map(self.share, heads), *[self.weights] * n_others])

    def map(self, function: Callable[[Any], Any]) -> Rows[X]:
        """A function of each of its parts."""
        targets, shares = ({k: function(part) for k, part in parts.items()} for parts in (self.targets, self.shares))
        return Rows(function(self.inputs), function(self.weights), targets, shares)

    def at(self, index: Tensor, n_weighed: int) -> Rows[X]:
        """Some of its rows; those behind the first ones weigh nothing."""
        rows = Rows(
            self.inputs.index_select(0, index),
            self.weights.index_select(0, index),
            {name: column.index_select(0, index) for name, column in self.targets.items()},
            {name: share.index_select(0, index) for name, share in self.shares.items()},
        )
        if n_weighed < len(index):
            for weights in (rows.weights, *rows.shares.values()):
                weights[n_weighed:] = 0.0
        return rows


MemberRows = Rows[Tensor | SparseRows | SharedRows]  # those of one network


class Batch(NamedTuple):
    """Rows of each of M networks, and noise (M, S, n, latent_dim) for the draws of their codes.

    A network with fewer rows than its neighbours, `n_rows` (M, 1), has weight 0 in the last ones.
    """

    rows: Rows[Inputs]
    noise: Tensor
    n_rows: Tensor
