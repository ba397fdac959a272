"""M networks side by side, and what of a stack belongs to each of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from skvib.nn.betas import Betas
from skvib.nn.layers import ConditionedOnBeta
from skvib.nn.network import VIBNetwork
from skvib.nn.problem import Problem, Settings
from skvib.nn.progress import Checkpoint
from skvib.nn.weights import Layout, WeightMatrix, in_layout


class Stack:
    """The networks of some problems: `network` is what trains, `folded` what it is at one beta, as last folded.

    A matrix laid out as that of the weights, (M, P), has a row a network; of it network m has `columns[m]`.
    """

    def __init__(self, problems: Sequence[Problem], settings: Settings, betas: Betas) -> None:
        self.problems, self.betas = problems, betas
        self.latent_dims = [problem.latent_dim for problem in problems]
        make = partial(self._make, settings)
        self.network = make(betas.row_values)
        self.weights = WeightMatrix(self.network)
        self.folded, self.folded_weights = betas.folded_of(self.network, self.weights, make)
        self.columns = [self._columns_of(dim) for dim in self.latent_dims]
        self.folded_columns = [self.folded_weights.columns_of(dim).to(settings.device) for dim in self.latent_dims]
        self.generators = [torch.Generator(settings.device) for _ in problems]
        for m, problem in enumerate(problems):
            if problem.start is None:
                self.network.initialize(m, self.seeded(m, 0))
            else:
                self.put(self.weights.values, m, problem.start.weights, problem.start.layout)
                self.network.encoder.set_buffers(m, problem.start.buffers)

    def _make(self, settings: Settings, row_values: ConditionedOnBeta | None = None) -> VIBNetwork:
        first = self.problems[0]
        encoders = [problem.encoder for problem in self.problems if problem.encoder is not None] or None
        edges = [problem.edges for problem in self.problems if problem.edges is not None]
        invariances = [problem.invariance for problem in self.problems if problem.invariance] or None
        network = VIBNetwork(
            settings.architecture, self.latent_dims, encoders, settings.product_dtype, row_values, edges, invariances
        )
        return network.to(settings.device, first.rows.inputs.dtype)

    @property
    def may_shrink(self) -> bool:
        """Whether some of its networks may go on without the others."""
        return self.betas.may_shrink and self.network.encoder.is_stateless

    def _columns_of(self, latent_dim: int) -> Tensor | slice:
        """A slice is faster where a network has all."""
        columns, values = self.weights.columns_of(latent_dim), self.weights.values
        return slice(None) if len(columns) == values.shape[1] else columns.to(values.device)

    def seeded(self, m: int, epoch: int) -> torch.Generator:
        """The generator of network m, as each epoch finds it; 0 is before all of them."""
        return self.generators[m].manual_seed(self.problems[m].seed_of(epoch))

    def seed(self, epoch: int) -> list[torch.Generator]:
        return [self.seeded(m, epoch) for m in range(len(self.problems))]

    def layout_of(self, m: int) -> Layout:
        return self.weights.layout_of(self.latent_dims[m])

    def put(self, matrix: Tensor, m: int, stored: Tensor, layout: Layout | None = None) -> None:
        """Give network m its part of a matrix, stored in this layout; by default, in that of the stack."""
        matrix[m, self.columns[m]] = in_layout(stored, layout, self.layout_of(m)).to(matrix)

    def take(self, matrix: Tensor, m: int) -> Tensor:
        """A copy of network m's part of a matrix, (P,)."""
        own = matrix[m, self.columns[m]]
        return own.clone() if isinstance(self.columns[m], slice) else own

    def checkpoint(self, matrix: Tensor, m: int, epoch: int) -> Checkpoint:
        """Network m with its part of a matrix for weights, after so many epochs."""
        return Checkpoint(epoch, self.take(matrix, m), self.network.encoder.buffers_of(m))

    def restore(self, m: int, checkpoint: Checkpoint) -> None:
        self.put(self.weights.values, m, checkpoint.weights)
        self.network.encoder.set_buffers(m, checkpoint.buffers)

    def buffers(self) -> list[dict[str, Tensor]]:
        return [self.network.encoder.buffers_of(m) for m in range(len(self.problems))]

    @contextmanager
    def holding(self, values: Tensor) -> Iterator[None]:
        """With these weights instead of the latest."""
        latest = self.weights.values.clone()
        self.weights.values.copy_(values)
        try:
            yield
        finally:
            self.weights.values.copy_(latest)

    def fold(self, k: int) -> VIBNetwork:
        """The networks at the k-th betas."""
        self.betas.fold(self.network, self.folded, k)
        return self.folded

    def folded_weights_of(self, m: int) -> Tensor:
        """Weights (P,) of network m, as last folded."""
        return self.folded_weights.values[m, self.folded_columns[m]].cpu()
