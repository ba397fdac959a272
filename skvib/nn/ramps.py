"""Numbers that have thresholds: each enters as itself, and as ramps between edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from skvib.nn.operations import TORCH, Array, Operations
from skvib.nn.parts import Part

SIZE = 0.25  # of a ramp


class Edges(NamedTuple):
    """Of one network: the columns that have ramps, and where each of these begins and how wide it is, (C, B).

    A ramp of no width is 0 everywhere: a column of few values has fewer ramps than others.
    """

    columns: tuple[int, ...]
    low: Tensor
    width: Tensor


class Embedding(Part):
    """What an encoder sees of rows (M, n, n_features): `n_more` numbers more, here none."""

    n_more = 0

    def forward(self, x: Array) -> Array:
        return self.predictive(TORCH, x)

    def predictive(self, xp: Operations, x: Array) -> Array:
        return x

    def rescale(self, scale: Tensor) -> None:
        """Take rows that are `scale` (n_features,) times as large for what they were."""


class Ramps(Embedding):
    """Each number x, and SIZE * clip((x - low) / width, 0, 1) of its B ramps.

    They are a piecewise-linear encoding (Gorishniy et al. 2022, On Embeddings for Numerical Features in Tabular Deep
    Learning). Sixteen are together as large as the number itself; ramps of size 1 would learn few rows by heart.
    """

    columns: Tensor
    low: Tensor
    slope: Tensor

    def __init__(self, edges: Sequence[Edges]) -> None:
        super().__init__()
        low, width = (torch.stack(parts) for parts in list(zip(*edges, strict=True))[1:])
        self.n_more = low.shape[1] * low.shape[2]
        self.register_buffer("columns", torch.tensor(edges[0].columns, device="cpu"), persistent=False)
        self.register_buffer("low", low[:, None], persistent=False)
        self.register_buffer("slope", torch.where(width > 0, SIZE / width, 0.0)[:, None], persistent=False)

    def predictive(self, xp: Operations, x: Array) -> Array:
        ramps = (x[..., xp.asarray(self.columns)][..., None] - xp.asarray(self.low)) * xp.asarray(self.slope)
        ramps = xp.clip(ramps, 0.0, SIZE)
        return xp.concatenate((x, ramps.reshape(*x.shape[:-1], self.n_more)), -1)

    def rescale(self, scale: Tensor) -> None:
        scale = scale[self.columns][:, None]
        self.low.mul_(scale)
        self.slope.div_(scale)
