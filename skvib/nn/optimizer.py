"""Adam for a stack of networks, with what their layers need beyond it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam

from skvib.nn.batches import CHUNK_ROWS, Pool
from skvib.nn.problem import State
from skvib.nn.rows import Rows
from skvib.nn.stack import Stack

ADAM: dict[str, Any] = {
    "fused": True,
    "amsgrad": False,
    "beta1": 0.9,
    "beta2": 0.99,
    "eps": 1e-8,
    "weight_decay": 0.0,
    "maximize": False,
}
# Below these nothing but rounding sees weights and Adam's two moments. The penalty would shrink those of dead units for
# ever; products of such numbers are denormal, and many a CPU takes a hundred times as long for one.
NEGLIGIBLE = 1e-12, 1e-16, 1e-24
SWEEP_EVERY = 100  # steps
MOST_COLUMNS = 512  # of inputs that are whitened


class Optimizer:
    """Adam (Kingma and Ba 2015) on the loss plus penalty / 2 * ||W||^2, with one learning rate and three paces.

    A decoder's last layer takes steps `output_speed` times as long as others. A linear encoder takes those that it
    would take if its inputs were white: along a direction in which they hardly vary, the longer. A network with hidden
    layers gains nothing by that.
    """

    def __init__(self, stack: Stack, pool: Pool, decay: float) -> None:
        weights, network = stack.weights, stack.network
        self.values, self.grads = weights.values, weights.grads
        self.penalties = _penalties(stack)
        self.coefficients, self.of_coefficients = (m[:, : weights.n_penalized] for m in (self.values, self.grads))
        self.paces = [(self.values[:, part], speed) for part, speed in weights.paces]
        self.moments = [torch.zeros_like(self.values), torch.zeros_like(self.values)]
        self.step = self.values.new_tensor(0, dtype=torch.float32)
        self.first, self.members = network.linear_encoder(), pool.members
        # the weights as they stand: the latest, or their moving average
        self.decay, self.current = decay, self.values.clone() if decay else self.values
        for m, problem in enumerate(stack.problems):
            if problem.start is not None:
                self._continue(stack, m, problem.start)

    def _continue(self, stack: Stack, m: int, state: State) -> None:
        for moment, stored in zip(self.moments, (state.mean_gradient, state.mean_square), strict=True):
            stack.put(moment, m, stored, state.layout)
        self.step.fill_(state.n_steps)

    @cached_property
    def whitening(self) -> Tensor | None:
        """C^(-1/2) of each network's inputs, (M, d, d); None where steps are taken as they are."""
        return None if self.first is None else _whitening(self.members, like=self.values)

    def update(self, learning_rate: float, step: int) -> None:
        """One step of this training, which may continue another."""
        self._move(learning_rate)
        if self.decay:
            # a short training averages over its last tenth, not over its beginning
            decay = min(self.decay, (1 + step) / (10 + step))
            self.current.lerp_(self.values, 1.0 - decay)
        if step % SWEEP_EVERY == 0:
            self._sweep()

    def _move(self, learning_rate: float) -> None:
        values, grads = self.values, self.grads
        self.of_coefficients.addcmul_(self.coefficients, self.penalties)
        before = [part.clone() for part, _ in self.paces]
        first, second = self.moments
        if self.first is not None and self.whitening is not None:
            weight, grad = self.first.data, self.first.grad
            weight_before = weight.clone()
            grad.copy_(torch.bmm(self.whitening, grad))
        adam([values], [grads], [first], [second], [], [self.step], lr=learning_rate, **ADAM)
        if self.whitening is not None:
            weight.copy_(torch.baddbmm(weight_before, self.whitening, weight - weight_before))
        for start, (part, speed) in zip(before, self.paces, strict=True):
            torch.lerp(start, part, speed, out=part)

    def _sweep(self) -> None:
        """Zeros where a number is negligible."""
        of_weights, *of_moments = NEGLIGIBLE
        for matrix in (self.values, self.current):
            torch.hardshrink(matrix, of_weights, out=matrix)
        for moment, floor in zip(self.moments, of_moments, strict=True):
            torch.hardshrink(moment, floor, out=moment)


def _penalties(stack: Stack) -> Tensor:
    """That of each coefficient, (M, n_penalized), or (M, 1) where those of a network are all the same."""
    weights, problems = stack.weights, stack.problems
    penalties = weights.values.new_tensor([[problem.unpriced_penalty] for problem in problems])
    first = stack.network.first_layer()
    if first is None or all(problem.input_square == 1.0 for problem in problems):
        return penalties
    penalties = penalties.repeat(1, weights.n_penalized)
    squares = weights.values.new_tensor([[problem.input_square] for problem in problems])
    penalties[:, weights.slice_of(first.weight)] *= squares
    return penalties


def _whitening(members: Sequence[Rows[Any]], like: Tensor) -> Tensor | None:
    if not isinstance(members[0].inputs, Tensor) or not 1 < members[0].inputs.shape[1] <= MOST_COLUMNS:
        return None
    distinct = {(id(rows.inputs), id(rows.weights)): rows for rows in members}
    roots = {key: _inverse_root(rows).to(like) for key, rows in distinct.items()}
    return torch.stack([roots[id(rows.inputs), id(rows.weights)] for rows in members])


def _inverse_root(rows: Rows[Any]) -> Tensor:
    """C^(-1/2), where C are the second moments of the inputs over their mean: white inputs of any size keep their pace.

    C is shrunk towards the identity, the more the fewer rows there are; of fewer rows than columns it is the identity.
    """
    n, d = rows.inputs.shape
    identity = torch.eye(d, dtype=torch.float64, device="cpu")
    if n < d:
        return identity
    moments = torch.zeros_like(identity)
    for start in range(0, n, CHUNK_ROWS):
        x, weight = (part[start : start + CHUNK_ROWS].cpu().double() for part in (rows.inputs, rows.weights))
        moments += (x.mT * weight) @ x
    size = moments.diagonal().mean()
    if not size > 0:
        return identity
    variances, directions = torch.linalg.eigh(torch.lerp(moments / size, identity, d / (n + d)))
    return (directions * variances.rsqrt()) @ directions.mT
