"""VIBNetwork: encoder, bottleneck, decoder and likelihood, for a stack of M independent networks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.quasirandom import SobolEngine

from skvib.nn.bottleneck import Bottleneck, Posterior
from skvib.nn.encoders import MLPEncoder, ModuleEncoder
from skvib.nn.layers import ConditionedOnBeta, GatedLinear, Inputs, StackedLinear, StackedMLP
from skvib.nn.likelihoods import LIKELIHOODS, Likelihood

USER_MODULES = "encoder.modules_."
# name and shape of each weight of a network, as they lie side by side
Layout = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Architecture:
    """The shape of a network: what a stack must share, but for the latent size.

    With a user's encoder, `hidden_layer_sizes` is the width of the features that it returns.
    """

    n_features: int
    hidden_layer_sizes: tuple[int, ...]
    decoder_hidden_layer_sizes: tuple[int, ...]
    activation: str
    likelihood: str
    n_outputs: int

    def n_weights(self, latent_dim: int) -> int:
        """How many coefficients its layers have."""
        encoder = (self.n_features, *self.hidden_layer_sizes, 2 * latent_dim)
        decoder = (latent_dim, *self.decoder_hidden_layer_sizes, self.n_outputs)
        return sum(n_in * n_out for sizes in (encoder, decoder) for n_in, n_out in pairwise(sizes))


class VIBNetwork(nn.Module):
    """M networks x -> q(z|x) -> q(y|z) of one architecture.

    `forward(x)` returns the Posterior of the code, `decode(z)` the parameters of q(y|z); both take and
    return stacks: x (M, n, n_features), z (M, n, latent_dim). With `row_values` that are conditioned on beta,
    each row is encoded and decoded at the beta that it was given.
    """

    def __init__(
        self,
        architecture: Architecture,
        latent_dims: Sequence[int],
        encoders: Sequence[nn.Module] | None = None,
        product_dtype: torch.dtype | None = None,
        row_values: ConditionedOnBeta | None = None,
    ) -> None:
        super().__init__()
        a, n_networks = architecture, len(latent_dims)
        sizes = (a.n_features, *a.hidden_layer_sizes)
        layer = StackedLinear if row_values is None else GatedLinear
        linear = partial(layer, n_networks, product_dtype=product_dtype, row_values=row_values)
        self.encoder = MLPEncoder(sizes, a.activation, linear) if encoders is None else ModuleEncoder(encoders)
        self.bottleneck = Bottleneck(sizes[-1], tuple(latent_dims), linear)
        self.likelihood = LIKELIHOODS[a.likelihood](n_networks, a.n_outputs, row_values)
        decoder_sizes = (
            max(latent_dims),
            *a.decoder_hidden_layer_sizes,
            self.likelihood.n_parameters,
        )
        self.decoder = StackedMLP(decoder_sizes, a.activation, True, linear)
        self.n_networks, self.n_features = n_networks, a.n_features
        self.row_values = row_values
        self._dense_width = max(*sizes, 2 * max(latent_dims))
        self._hidden_width = max((*sizes[1:], 2 * max(latent_dims)))
        self._decoder_width = max(decoder_sizes)
        self.register_buffer("center", None)
        self.register_buffer("scale", None)

    def forward(self, x: Inputs) -> Posterior:
        if self.center is not None and isinstance(x, Tensor):
            x = x - self.center
        if self.scale is not None:
            x = x / self.scale
        return self.bottleneck(self.encoder(x))

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(z)

    def decode_points(self, posterior: Posterior, points: Tensor) -> Tensor:
        """Decode z = mu + sigma * point for each row and point, (M, S, latent_dim) -> (M, S, n, n_parameters).

        A linear decoder W needs no z: the draws of all rows are W mu + b + (W * point) sigma, two products.
        The parameters come first in memory, which makes a softmax over them ten times faster.
        """
        if len(self.decoder.layers) > 1:
            eta = self.decode(posterior.sample(points.unsqueeze(2)).flatten(1, 2))
            return eta.unflatten(1, (points.shape[1], -1))
        weight = self.decoder.layers[0].weight.mT
        spread = (weight.unsqueeze(2) * points.unsqueeze(1)).flatten(1, 2)
        eta = torch.bmm(spread, posterior.sigma.mT).unflatten(1, (-1, points.shape[1]))
        eta += self.decode(posterior.mu).mT.unsqueeze(2)
        return eta.permute(0, 2, 3, 1)

    def log_likelihood(self, x: Inputs, y: Tensor, points: Tensor) -> Tensor:
        """log of the mean over points of q(y|z), the posterior predictive, (M, n), nats."""
        n_points = points.shape[1]
        eta = self.decode_points(self(x), points).flatten(1, 2)
        distortion, _ = self.likelihood.record(eta, repeat_rows(y, n_points))
        return torch.logsumexp(-distortion.unflatten(1, (n_points, -1)), 1) - math.log(n_points)

    def in_dtype(self, dtype: torch.dtype) -> VIBNetwork:
        """Itself in this dtype, but for a user's modules, which run in float32."""
        self.to(dtype)
        if isinstance(self.encoder, ModuleEncoder):
            self.encoder.float()
        return self

    def initialize(self, network: int, generator: torch.Generator) -> None:
        """Draw the initial weights of one network, as if it were alone."""
        self.encoder.initialize(network, self.n_features, generator)
        self.bottleneck.initialize(network, generator)
        self.decoder.initialize(network, self.bottleneck.latent_dims[network], generator)

    @torch.no_grad()
    def fold_into(self, plain: VIBNetwork, log_beta: Tensor) -> None:
        """Give `plain`, a network without gates, the weights that this one has at each network's log beta (M,)."""
        mix = self.row_values.basis(log_beta).unsqueeze(1)
        for own, target in zip(self.modules(), plain.modules(), strict=True):
            if isinstance(own, GatedLinear | Likelihood):
                own.fold_into(target, mix)
        if isinstance(self.encoder, ModuleEncoder):
            plain.encoder.load_state_dict(self.encoder.state_dict())
            for network in range(self.n_networks):
                plain.encoder.set_buffers(network, self.encoder.buffers_of(network))

    @torch.no_grad()
    def fold_standardization(self, mean: Tensor, scale: Tensor) -> None:
        """Take x where the training took (x - mean) / scale; the scale goes into the first weights.

        The mean is subtracted first: at mean / std = 1e4 folding it would cost 13 times the rounding error.
        What rounding takes from it goes into the first bias.
        """
        like = self.bottleneck.linear.weight
        self.center = mean.to(like)
        if isinstance(self.encoder, ModuleEncoder):
            self.scale = scale.to(like)
            return
        first = self._first_layer()
        weight = first.weight / scale[:, None]
        first.weight.data = weight.to(like)
        first.bias.data = (first.bias - ((mean - self.center) @ weight).unsqueeze(-2)).to(like)

    @torch.no_grad()
    def restandardize(self, inputs: tuple[Tensor, Tensor] | None, outputs: tuple[Tensor, Tensor] | None) -> None:
        """Say the same of rows and targets that are standardised anew: what was u is now ratio * u + shift."""
        if inputs is not None:
            ratio, shift = (part.to(self.bottleneck.linear.weight) for part in inputs)
            first = self._first_layer()
            first.bias += (shift @ first.weight).unsqueeze(-2)
            first.weight *= ratio.unsqueeze(-1)
        if outputs is not None:
            self.likelihood.restandardize(self.decoder.layers[-1], *outputs)

    def linear_encoder(self) -> nn.Parameter | None:
        """The weights of an encoder without hidden layers, (M, n_features, n_out)."""
        is_linear = isinstance(self.encoder, MLPEncoder) and not len(self.encoder.layers)
        return self.bottleneck.linear.weight if is_linear else None

    def _first_layer(self) -> StackedLinear:
        return self.encoder.layers[0] if len(self.encoder.layers) else self.bottleneck.linear

    def row_elements(self, n_points: int, is_sparse: bool) -> int:
        """Numbers that one row needs in its widest places, with so many draws of z."""
        return (self._hidden_width if is_sparse else self._dense_width) + n_points * self._decoder_width


def repeat_rows(y: Tensor, times: int) -> Tensor:
    """(M, n, ...) for each of `times` draws of z, (M, times * n, ...)."""
    if times == 1:
        return y
    return y.unsqueeze(1).expand(-1, times, *(-1,) * (y.ndim - 1)).flatten(1, 2)


@lru_cache(maxsize=16)
def quasi_normal(n_points: int, dim: int) -> Tensor:
    """A fixed set of scrambled Sobol points through the normal quantile, (n_points, dim), float64.

    Each dimension has mean 0 and variance 1 exactly, so a linear decoder predicts without bias. No
    points stand for the mean of the posterior, one point at 0.
    """
    if n_points == 0:
        return torch.zeros(1, dim, dtype=torch.float64, device="cpu")
    with torch.device("cpu"):
        uniform = SobolEngine(dim, scramble=True, seed=0).draw(n_points, dtype=torch.float64)
    points = torch.special.ndtri(uniform.clamp(1e-6, 1 - 1e-6))
    if n_points == 1:
        return points
    points -= points.mean(0)
    return points / points.square().mean(0).sqrt()


class _Column(NamedTuple):
    """One parameter of every network: a single stacked tensor, or a tensor for each network."""

    name: str
    shape: torch.Size
    parameters: tuple[nn.Parameter, ...]

    @property
    def is_penalized(self) -> bool:
        return self.name.endswith("weight") and len(self.shape) > 1

    def mask(self, used: Tensor) -> Tensor:
        """Which entries remain when only some latent dimensions are used."""
        return self._kept(used).expand(self.shape)

    def own_shape(self, used: Tensor) -> tuple[int, ...]:
        """The shape of what remains."""
        shape, kept = list(self.shape), self._kept(used)
        for axis, size in enumerate(reversed(kept.shape), 1):
            shape[-axis] = int(kept.sum()) if size > 1 else shape[-axis]
        return tuple(shape)

    def _kept(self, used: Tensor) -> Tensor:
        if self.name.startswith("bottleneck."):
            return used.repeat(2)
        if self.name == "decoder.layers.0.weight":
            return used.unsqueeze(1)
        return torch.tensor(True, device="cpu")


def _columns(network: VIBNetwork) -> Iterator[_Column]:
    modules = getattr(network.encoder, "modules_", ())
    for group in zip(*(module.named_parameters() for module in modules), strict=True):
        parameters = tuple(parameter for _, parameter in group)
        if parameters[0].requires_grad:
            yield _Column(f"{USER_MODULES}{group[0][0]}", parameters[0].shape, parameters)
    for name, parameter in network.named_parameters():
        if not name.startswith(USER_MODULES):
            yield _Column(name, parameter.shape[1:], (parameter,))


class WeightMatrix:
    """All weights of a stack as `values` (M, P) and their gradients as `grads`, a row a network.

    The network's own parameters become views of them, so one operation updates, averages or copies
    everything. The first `n_penalized` columns are the coefficients (no biases) that are penalized; the slices `output`
    are coefficients and biases of the decoder's last layer.
    """

    def __init__(self, network: VIBNetwork) -> None:
        last = f"decoder.layers.{len(network.decoder.layers) - 1}."
        # of a layer conditioned on beta, gate and bias have a speed of their own
        output_bias = None if network.row_values is not None else f"{last}bias"

        def part_of(column: _Column) -> int:
            if column.is_penalized:
                return int(column.name == f"{last}weight")
            return 3 if column.name == output_bias else 2

        columns = sorted(_columns(network), key=part_of)
        like = next(network.bottleneck.parameters())
        n_weights = sum(column.shape.numel() for column in columns)
        self.values = like.new_empty(network.n_networks, n_weights)
        self.grads = torch.zeros_like(self.values)
        ends = [sum(c.shape.numel() for c in columns if part_of(c) <= part) for part in range(4)]
        self.n_penalized = ends[1]
        self.output = slice(ends[0], ends[1]), slice(ends[2], ends[3])
        self._columns, self._latent_dim = columns, max(network.bottleneck.latent_dims)
        start = 0
        for column in columns:
            stop = start + column.shape.numel()
            shape = (network.n_networks, *column.shape)
            values = self.values[:, start:stop].view(shape)
            grads = self.grads[:, start:stop].view(shape)
            if column.parameters[0].shape == column.shape:
                owners = zip(column.parameters, values, grads, strict=True)
            else:
                owners = [(column.parameters[0], values, grads)]
            for parameter, value, grad in owners:
                value.copy_(parameter.data)
                parameter.data = value
                parameter.grad = grad
            start = stop

    def fill(self, weights: Tensor, layout: Layout | None) -> None:
        """Give the only network of the stack these weights (P,), laid out so."""
        self.values.copy_(in_layout(weights, layout, self.layout_of(self._latent_dim)))

    def columns_of(self, latent_dim: int) -> Tensor:
        """Columns that a network of this latent size has when it is alone, in the order of its own matrix."""
        masks = [column.mask(self._used(latent_dim)).flatten() for column in self._columns]
        return torch.cat(masks).nonzero().squeeze(1)

    def layout_of(self, latent_dim: int) -> Layout:
        """Name and shape of each of its weights, in the same order."""
        return tuple((column.name, column.own_shape(self._used(latent_dim))) for column in self._columns)

    def _used(self, latent_dim: int) -> Tensor:
        return torch.arange(self._latent_dim, device="cpu") < latent_dim


def in_layout(weights: Tensor, layout: Layout | None, wanted: Layout) -> Tensor:
    """Weights (P,) laid out as `layout` (None: as wanted), in the order of `wanted`, another layout of its parts."""
    if layout is None or layout == wanted:
        return weights
    sizes = [math.prod(shape) for _, shape in layout]
    if dict(layout) != dict(wanted) or sum(sizes) != len(weights):
        raise ValueError(
            f"The stored weights are those of another network: it has {dict(layout)}, this one {dict(wanted)}."
        )
    parts = dict(zip((name for name, _ in layout), weights.split(sizes), strict=True))
    return torch.cat([parts[name] for name, _ in wanted])
