"""Dense layers for a stack of M independent networks, each with its reverse pass in closed form.

Every part of a network follows one protocol. ``record(inputs)`` returns the output and a tape of
what the reverse pass needs; ``backward(tape, grad)`` writes the gradients of its own parameters and
returns the gradient of its input. ``predictive(xp, inputs)`` is the output alone, in the operations of any
back end; ``forward`` is that of torch. Heads, likelihoods and priors predict, too: parameters at draws, what they say
of the target, rates by dimension.

A network for one beta has `StackedLinear` layers, whose bias is the same for all rows. A network for a
range of betas has `GatedLinear` ones: W and b become diag(g) W and c, where g and c are smooth functions of
log beta, so at any beta it folds into a network of the first kind (after Bae et al. 2023, Multi-Rate VAE).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from skvib.nn.operations import NARROW, TORCH, Array, Operations, product
from skvib.nn.parts import Parameter, Part, Parts

aten = torch.ops.aten
KNOT_SPACING = 0.5  # nats of log beta, where beta is small
DENSER = 4.0  # times beta, how much denser the knots lie up to beta = 1: a rate falls as fast as 1 / (1 - beta)
BUMP_WIDTH = 0.7  # in spacings of the knots
N_GROUPS = 16  # betas of a batch
GATE_SPEED = 10.0  # Adam moves every parameter alike, but from one end of a path to the other a gate has far to go


class Activation(NamedTuple):
    """A pointwise nonlinearity; `backward` maps (grad, input, output) to the input's gradient.

    `operation` names the one that predicts; `forward` may overwrite its input.
    """

    operation: str
    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor, Tensor], Tensor]
    gain: float


# functions with names: a network can be pickled
def _relu_backward(grad: Tensor, before: Tensor, after: Tensor) -> Tensor:
    return aten.threshold_backward(grad, after, 0)


def _silu_backward(grad: Tensor, before: Tensor, after: Tensor) -> Tensor:
    return aten.silu_backward(grad, before)


def _gelu_backward(grad: Tensor, before: Tensor, after: Tensor) -> Tensor:
    return aten.gelu_backward(grad, before)


def _tanh_backward(grad: Tensor, before: Tensor, after: Tensor) -> Tensor:
    return aten.tanh_backward(grad, after)


ACTIVATIONS = {
    "relu": Activation("relu", torch.relu_, _relu_backward, math.sqrt(2.0)),
    "silu": Activation("silu", nn.functional.silu, _silu_backward, math.sqrt(2.0)),
    "gelu": Activation("gelu", nn.functional.gelu, _gelu_backward, math.sqrt(2.0)),
    "tanh": Activation("tanh", torch.tanh_, _tanh_backward, 1.0),
}


# torch's defaults of dtype and device are its user's
zeros = partial(torch.zeros, dtype=torch.float32, device="cpu")
UNIT_SOFTPLUS = math.log(math.e - 1.0)  # softplus of it is 1


def inverse_softplus(value: Tensor) -> Tensor:
    """What has this softplus."""
    return value + torch.log(-torch.expm1(-value))


@dataclass(frozen=True)
class SparseRows:
    """The rows of a CSR matrix minus `center` (d,); the difference is never formed."""

    offsets: Tensor
    columns: Tensor
    values: Tensor
    center: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.offsets) - 1, len(self.center)

    @property
    def dtype(self) -> torch.dtype:
        return self.values.dtype

    def to(self, device: torch.device | str) -> SparseRows:
        return SparseRows(*(t.to(device) for t in vars(self).values()))

    def index_select(self, dim: int, rows: Tensor) -> SparseRows:
        """Rows `rows`; `dim` is 0, as for a dense tensor."""
        begins = self.offsets[rows]
        counts = self.offsets[rows + 1] - begins
        offsets = torch.zeros(len(rows) + 1, dtype=torch.int64, device=rows.device)
        torch.cumsum(counts, 0, out=offsets[1:])
        shift = torch.repeat_interleave(begins - offsets[:-1], counts)
        entries = shift + torch.arange(len(shift), device=rows.device)
        return SparseRows(offsets, self.columns[entries], self.values[entries], self.center)

    def product(self, weight: Tensor) -> Tensor:
        """(x - 1 center^T) W, shape (n, n_out)."""
        entries = nn.functional.embedding_bag(
            self.columns,
            weight,
            self.offsets,
            mode="sum",
            per_sample_weights=self.values,
            include_last_offset=True,
        )
        return entries - self.center @ weight

    def adjoint_product(self, grad: Tensor, out: Tensor) -> None:
        """Write (x - 1 center^T)^T grad, shape (d, n_out), into `out`."""
        rows = torch.repeat_interleave(torch.diff(self.offsets))
        torch.outer(self.center, -grad.sum(0), out=out)
        out.index_add_(0, self.columns, self.values[:, None] * grad[rows])


@dataclass(frozen=True)
class SharedRows:
    """Rows `index` of inputs that several networks share; only what is selected of them is copied."""

    whole: Tensor | SparseRows
    index: Tensor

    @property
    def dtype(self) -> torch.dtype:
        return self.whole.dtype

    def index_select(self, dim: int, rows: Tensor) -> Tensor | SparseRows:
        """Rows `rows`; `dim` is 0, as for a dense tensor."""
        return self.whole.index_select(dim, self.index[rows])


Inputs = Tensor | Sequence[SparseRows]
InputGradient = Tensor | Any  # None where it was not asked for; who asks need not look


class SharedByRows:
    """A value (M, 1, n) that is the same for all rows."""

    n_values = 1

    def spread(self, values: Tensor, n_rows: int) -> Tensor:
        return values

    def gather(self, grad: Tensor, out: Tensor) -> None:
        """Write the values' gradient, from that of each row (M, n_rows, n), into `out`."""
        torch.sum(grad, 1, keepdim=True, out=out)


class ConditionedOnBeta:
    """Values (M, n_values, n) at knots of log beta, between which normalised Gaussian bumps interpolate.

    Row r of a batch has the beta of group r modulo N_GROUPS, so the rows are a multiple of N_GROUPS: values
    of a few groups cost less than those of all rows. `condition` sets the groups' betas.
    """

    def __init__(self, log_range: tuple[float, float]) -> None:
        self.log_range = log_range
        ends = torch.tensor(log_range, dtype=torch.float64, device="cpu")
        low, high = _place(ends).tolist()
        self._ends = low, high
        self.n_values = 2 + int((high - low) / KNOT_SPACING)

    def basis(self, log_beta: Tensor) -> Tensor:
        """Positive weights of the knots that sum to one, (..., n_values)."""
        knots = torch.linspace(*self._ends, self.n_values, dtype=log_beta.dtype, device=log_beta.device)
        distances = (_place(log_beta).unsqueeze(-1) - knots) / (BUMP_WIDTH * (knots[1] - knots[0]))
        return torch.softmax(-0.5 * distances.square(), -1)

    def condition(self, log_beta: Tensor) -> None:
        """Give each group of the batch its beta, (M, N_GROUPS)."""
        self._mix = self.basis(log_beta)

    def by_group(self, values: Tensor) -> Tensor:
        """The groups' values, (M, N_GROUPS, n)."""
        return torch.bmm(self._mix, values)

    def spread(self, values: Tensor, n_rows: int) -> Tensor:
        return self.by_group(values).repeat(1, n_rows // N_GROUPS, 1)

    def gather(self, grad: Tensor, out: Tensor) -> None:
        torch.bmm(self._mix.mT, grouped(grad).sum(1), out=out)


def _place(log_beta: Tensor) -> Tensor:
    """Where a beta lies on the axis on which the knots are even."""
    return log_beta + DENSER * log_beta.exp().clamp_max(1.0)


def grouped(rows: Tensor) -> Tensor:
    """Rows (M, n_rows, n) as (M, n_rows / N_GROUPS, N_GROUPS, n)."""
    return rows.unflatten(1, (-1, N_GROUPS))


RowValues = SharedByRows | ConditionedOnBeta


class StackedLinear(Part):
    """x[m] @ weight[m] + bias[m] for m = 1 ... M.

    The inputs are (M, n, n_in) or M SparseRows; `product_dtype` (bfloat16) is that of the products.
    """

    def __init__(
        self,
        n_networks: int,
        n_in: int,
        n_out: int,
        product_dtype: torch.dtype | None = None,
        row_values: RowValues | None = None,
    ) -> None:
        super().__init__()
        self.row_values = row_values or SharedByRows()
        self.weight = Parameter(zeros(n_networks, n_in, n_out))
        self.bias = Parameter(zeros(n_networks, self.row_values.n_values, n_out))
        self.product_dtype, self.is_narrow = product_dtype, n_out in NARROW

    def coefficients(self) -> Iterator[nn.Parameter]:
        yield self.weight

    def hastened(self) -> Iterator[nn.Parameter]:
        """What takes longer steps where the layer does."""
        yield from (self.weight, self.bias)

    def forward(self, x: Inputs) -> Tensor:
        return self.predictive(TORCH, x)

    def predictive(self, xp: Operations, x: Array) -> Array:
        output = xp.product(x, xp.asarray(self.weight), self.product_dtype)
        output += xp.asarray(self.bias)
        return output

    def record(self, x: Inputs) -> tuple[Tensor, Any]:
        return product(x, self.weight, self.product_dtype).add_(self.bias), x

    def backward(self, tape: Any, grad: Tensor, input_gradient: bool = True) -> InputGradient:
        self.row_values.gather(grad, self.bias.grad)
        return self._product_backward(tape, grad, input_gradient)

    def _product_backward(self, x: Inputs, grad: Tensor, input_gradient: bool) -> InputGradient:
        if not isinstance(x, Tensor):
            for rows, g, out in zip(x, grad, self.weight.grad, strict=True):
                rows.adjoint_product(g, out)
            return None
        if self.product_dtype is not None:
            self.weight.grad.copy_(self._reduced_product(x.mT, grad))
            return self._reduced_product(grad, self.weight.mT) if input_gradient else None
        weight = self.weight  # a module's attributes take their time
        if self.is_narrow:
            weight.grad.copy_(torch.bmm(grad.mT, x).mT)
        else:
            torch.bmm(x.mT, grad, out=weight.grad)
        return torch.bmm(grad, weight.mT) if input_gradient else None

    def _reduced_product(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.bmm(a.to(self.product_dtype), b.to(self.product_dtype)).to(a.dtype)

    @torch.no_grad()
    def reset(self, network: int) -> None:
        """Zero weights and bias."""
        self.weight[network].zero_()
        self.bias[network].zero_()

    def set_bias(self, network: int, columns: slice, value: float) -> None:
        self.bias[network, :, columns] = value

    @torch.no_grad()
    def draw(self, network: int, n_in: int, gain: float, generator: torch.Generator) -> None:
        """Uniform weights of variance gain^2 / n_in for the first `n_in` inputs, the others and the bias zero."""
        self.reset(network)
        bound = gain * math.sqrt(3.0 / max(n_in, 1))
        self.weight[network, :n_in].uniform_(-bound, bound, generator=generator)


class GatedLinear(StackedLinear):
    """(x[m] @ weight[m]) * g + c, with gate g and bias c functions of each group's beta.

    Both are stored divided by GATE_SPEED.
    """

    row_values: ConditionedOnBeta

    def __init__(
        self,
        n_networks: int,
        n_in: int,
        n_out: int,
        product_dtype: torch.dtype | None,
        row_values: ConditionedOnBeta,
    ) -> None:
        super().__init__(n_networks, n_in, n_out, product_dtype, row_values)
        self.gate = Parameter(torch.zeros_like(self.bias))

    def hastened(self) -> Iterator[nn.Parameter]:
        """Gate and bias have a speed of their own."""
        yield self.weight

    def predictive(self, xp: Operations, x: Array) -> Array:
        """Networks for many betas predict at those of a batch, in torch alone; others are what they fold into."""
        return self.record(x)[0]

    def record(self, x: Inputs) -> tuple[Tensor, tuple[Inputs, Tensor, Tensor]]:
        before = product(x, self.weight, self.product_dtype)
        gate = self.row_values.by_group(GATE_SPEED * self.gate).unsqueeze(1)
        bias = self.row_values.by_group(GATE_SPEED * self.bias).unsqueeze(1)
        return torch.addcmul(bias, grouped(before), gate).flatten(1, 2), (x, before, gate)

    def backward(self, tape: tuple[Inputs, Tensor, Tensor], grad: Tensor, input_gradient: bool = True) -> InputGradient:
        x, before, gate = tape
        self.row_values.gather(grad, self.bias.grad)
        self.row_values.gather(before.mul_(grad), self.gate.grad)
        self.bias.grad.mul_(GATE_SPEED)
        self.gate.grad.mul_(GATE_SPEED)
        return self._product_backward(x, (grouped(grad) * gate).flatten(1, 2), input_gradient)

    def fold_into(self, folded: StackedLinear, mix: Tensor) -> None:
        """Give `folded` the weights that this layer has at one beta, where it mixes its knots so, (M, 1, n_values)."""
        folded.weight.copy_(self.weight * torch.bmm(mix, GATE_SPEED * self.gate))
        folded.bias.copy_(torch.bmm(mix, GATE_SPEED * self.bias))

    @torch.no_grad()
    def reset(self, network: int) -> None:
        super().reset(network)
        self.gate[network].fill_(1.0 / GATE_SPEED)

    def set_bias(self, network: int, columns: slice, value: float) -> None:
        super().set_bias(network, columns, value / GATE_SPEED)


MakeLinear = Callable[[int, int], StackedLinear]


class StackedMLP(Part):
    """A chain of layers made by `linear(n_in, n_out)`, an activation behind each, but for a linear last one."""

    layers: Parts[StackedLinear]

    def __init__(self, sizes: Sequence[int], activation: str, linear_output: bool, linear: MakeLinear) -> None:
        super().__init__()
        self.layers = Parts(linear(n_in, n_out) for n_in, n_out in pairwise(sizes))
        self.activation = ACTIVATIONS[activation]
        self._linear = len(self.layers) - 1 if linear_output else None

    def forward(self, x: Inputs) -> Tensor:
        return self.predictive(TORCH, x)

    def predictive(self, xp: Operations, x: Array) -> Array:
        activation = getattr(xp, self.activation.operation)
        for index, layer in enumerate(self.layers):
            x = layer.predictive(xp, x)
            x = x if index == self._linear else activation(x)
        return x

    def record(self, x: Inputs) -> tuple[Any, list[tuple[Any, Tensor, Tensor]]]:
        tape = []
        for index, layer in enumerate(self.layers):
            before, of_layer = layer.record(x)
            x = before if index == self._linear else self.activation.forward(before)
            tape.append((of_layer, before, x))
        return x, tape

    def backward(self, tape: list[Any], grad: Tensor, input_gradient: bool = True) -> InputGradient:
        layers = list(self.layers)
        for index in reversed(range(len(layers))):
            of_layer, before, after = tape[index]
            if index != self._linear:
                grad = self.activation.backward(grad, before, after)
            grad = layers[index].backward(of_layer, grad, input_gradient or index > 0)
        return grad

    def n_inputs_of(self, network: int) -> int:
        """How many of its inputs a network uses, the first ones."""
        return self.layers[0].weight.shape[1]

    def initialize(self, network: int, generator: torch.Generator) -> None:
        """Draw the weights of a network; a linear output starts by saying nothing."""
        for index, layer in enumerate(self.layers):
            gain = 0.0 if index == self._linear else self.activation.gain
            n_in = self.n_inputs_of(network) if index == 0 else layer.weight.shape[1]
            layer.draw(network, n_in, gain, generator)
