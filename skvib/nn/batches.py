"""The rows of a stack, and the batches of an epoch."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from skvib.nn.betas import Betas
from skvib.nn.layers import Inputs, SharedRows
from skvib.nn.problem import Problem
from skvib.nn.rows import Batch, MemberRows, Rows

CHUNK_ROWS = 512


class Pool:
    """The rows of each problem of a stack, and how to take some of each; equal tensors are stored once."""

    def __init__(self, members: Sequence[MemberRows], device: str) -> None:
        stored: dict[int, Any] = {}

        def on_device(part: Any) -> Any:
            if id(part) not in stored:
                is_shared = isinstance(part, SharedRows)
                stored[id(part)] = SharedRows(*map(on_device, vars(part).values())) if is_shared else part.to(device)
            return stored[id(part)]

        self.members = [rows.map(on_device) for rows in members]

    def take(self, rows: Sequence[Tensor], multiple: int = 1) -> Rows[Inputs]:
        """Those of each problem, (M, n, ...), n a multiple of `multiple`.

        A network with fewer rows repeats the first of its problem at weight 0.
        """
        padded = pad(rows, multiple=multiple)
        taken = [m.at(index, len(own)) for m, index, own in zip(self.members, padded, rows, strict=True)]
        first = taken[0]
        inputs: list[Any] = [part.inputs for part in taken]
        return Rows(
            stacked(inputs) if isinstance(first.inputs, Tensor) else inputs,
            stacked([part.weights for part in taken]),
            {name: stacked([part.targets[name] for part in taken]) for name in first.targets},
            {name: stacked([part.shares[name] for part in taken]) for name in first.shares},
        )

    def chunks(self, n_rows: int = sys.maxsize) -> Iterator[tuple[Rows[Inputs], list[int]]]:
        """All rows in turn, or the first ones, and how many of them each network has."""
        counts = [min(len(member.weights), n_rows) for member in self.members]
        device = self.members[0].weights.device
        for start in range(0, max(counts), CHUNK_ROWS):
            stops = [max(start, min(start + CHUNK_ROWS, count)) for count in counts]
            rows = [torch.arange(start, stop, device=device) for stop in stops]
            yield self.take(rows), [len(r) for r in rows]


class Batches:
    """Each problem's rows in an order of its own, spread evenly over the steps of an epoch, with noise of its own."""

    def __init__(self, problems: Sequence[Problem], pool: Pool, betas: Betas, n_draws: int) -> None:
        self.problems, self.pool, self.betas, self.n_draws = problems, pool, betas, n_draws
        self.n_steps = problems[0].n_steps
        counts = [len(rows.weights) for rows in pool.members]
        splits = [torch.arange(count, device="cpu").tensor_split(self.n_steps) for count in counts]
        like = pool.members[0].weights
        self.n_rows = [like.new_tensor([[len(r)] for r in step]) for step in zip(*splits, strict=True)]

    def of_epoch(self, generators: Sequence[torch.Generator]) -> Iterator[tuple[Batch, Tensor]]:
        """Its batches with the beta of each network or row, drawn from a generator for each problem."""
        orders = []
        for problem, generator in zip(self.problems, generators, strict=True):
            order = torch.randperm(len(problem.rows.weights), generator=generator, device=generator.device)
            orders.append(order.tensor_split(self.n_steps))
        for *rows, n_rows in zip(*orders, self.n_rows, strict=True):
            taken = self.pool.take(rows, self.betas.multiple)
            beta = self.betas.draw(generators, taken.weights.shape[1])
            yield Batch(taken, self._noise(rows, generators, like=taken.weights), n_rows), beta

    def _noise(self, rows: Sequence[Tensor], generators: Sequence[torch.Generator], like: Tensor) -> Tensor:
        """Of two draws for a row, one is the other's negative: errors of first order cancel."""
        noise = []
        for r, problem, generator in zip(rows, self.problems, generators, strict=True):
            size = (math.ceil(self.n_draws / 2), len(r), problem.latent_dim)
            drawn = torch.randn(size, generator=generator, dtype=like.dtype, device=like.device)
            noise.append(drawn if self.n_draws == 1 else torch.cat((drawn, -drawn))[: self.n_draws])
        return stacked(pad(pad(noise, dim=1, multiple=self.betas.multiple), dim=2))


def stacked(tensors: list[Tensor]) -> Tensor:
    return tensors[0].unsqueeze(0) if len(tensors) == 1 else torch.stack(tensors)


def pad(tensors: Sequence[Tensor], dim: int = 0, multiple: int = 1) -> list[Tensor]:
    """Zeros behind each tensor along `dim`, up to the longest, and to a multiple of `multiple`."""
    if len(tensors) == 1 and multiple == 1:  # a small network's time is that of such calls
        return list(tensors)
    length = math.ceil(max(tensor.shape[dim] for tensor in tensors) / multiple) * multiple
    behind = [0, 0] * (tensors[0].ndim - 1 - dim)
    return [t if t.shape[dim] == length else nn.functional.pad(t, (*behind, 0, length - t.shape[dim])) for t in tensors]
