"""VIBNetwork: encoder, bottleneck, decoder and likelihood, for a stack of M independent networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.quasirandom import SobolEngine

from skvib.nn.bottleneck import Bottleneck
from skvib.nn.encoders import MLPEncoder, ModuleEncoder
from skvib.nn.heads import Decoder, GuessingHead, Head
from skvib.nn.layers import ConditionedOnBeta, GatedLinear, Inputs, MakeLinear, RowValues, StackedLinear
from skvib.nn.likelihoods import LIKELIHOODS, Likelihood
from skvib.nn.nuisances import NuisanceTerm
from skvib.nn.operations import TORCH, Array, Operations
from skvib.nn.parts import NamedParts, Parameter, Part, Parts
from skvib.nn.posteriors import Diagonal
from skvib.nn.prices import RATE_FUNCTIONS, Conditional, Price
from skvib.nn.priors import PRIORS, Prior, StandardNormal
from skvib.nn.ramps import Edges, Embedding, Ramps
from skvib.nn.rows import TARGET


@dataclass(frozen=True)
class Architecture:
    """What a network is made of: what a stack must share, but for the latent size.

    With a user's encoder, `hidden_layer_sizes` is the width of the features that it returns. `n_ramps` are the numbers
    that an encoder sees beside those of a row, `n_components` those of a prior that is learned. One that `guesses` has
    labels that rows may lack.
    """

    n_features: int
    hidden_layer_sizes: tuple[int, ...]
    decoder_hidden_layer_sizes: tuple[int, ...]
    activation: str
    likelihood: str
    n_outputs: int
    n_ramps: int = 0
    latent_prior: str = "normal"
    n_components: int = 0
    rate_function: str = "linear"
    guesses: bool = False

    def n_weights(self, latent_dim: int) -> int:
        """How many coefficients its layers have."""
        encoder = (self.n_features + self.n_ramps, *self.hidden_layer_sizes, 2 * latent_dim)
        decoder = (latent_dim, *self.decoder_hidden_layer_sizes, self.n_outputs)
        return sum(n_in * n_out for sizes in (encoder, decoder) for n_in, n_out in pairwise(sizes))

    def heads(self, latent_dims: Sequence[int], linear: MakeLinear, row_values: RowValues | None) -> dict[str, Head]:
        """A head for each column of the rows that a code describes."""
        likelihood = LIKELIHOODS[self.likelihood](len(latent_dims), self.n_outputs, row_values)
        widths = (*self.decoder_hidden_layer_sizes, likelihood.n_parameters)
        kind = GuessingHead if self.guesses else Head
        return {TARGET: kind("distortion", likelihood, Decoder(latent_dims, widths, self.activation, linear))}

    def prior(self, latent_dims: Sequence[int]) -> Prior:
        """What codes are compared to."""
        return PRIORS[self.latent_prior](latent_dims, self.n_components) if self.n_components else StandardNormal()

    def price(self) -> Price:
        """What their rate costs."""
        return Conditional() if self.latent_prior == "class" else RATE_FUNCTIONS[self.rate_function]()


def check_amortized(chosen: Mapping[str, Any]) -> None:
    """Raise if one network cannot serve all betas, for parameters by name."""
    for name, default in (("latent_prior", "normal"), ("rate_function", "linear"), ("invariance", 0.0)):
        if (value := chosen.get(name, default)) != default:
            shown = f'"{value}"' if isinstance(value, str) else f"{value:g}"
            raise ValueError(f'{name}={shown} needs method="exact", which trains a network for each beta.')


class VIBNetwork(Part):
    """M networks x -> q(z|x) -> q(y|z) of one architecture.

    `forward(x)` returns the posterior of the code, `decode(z)` the parameters of q(y|z); both take and
    return stacks: x (M, n, n_features), z (M, n, latent_dim). With `row_values` that are conditioned on beta,
    each row is encoded and decoded at the beta that it was given.
    """

    embedding: Embedding
    heads: NamedParts[Head]
    center: Tensor | None
    scale: Tensor | None

    def __init__(
        self,
        architecture: Architecture,
        latent_dims: Sequence[int],
        encoders: Sequence[nn.Module] | None = None,
        product_dtype: torch.dtype | None = None,
        row_values: ConditionedOnBeta | None = None,
        edges: Sequence[Edges] | None = None,
        invariances: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        a, n_networks = architecture, len(latent_dims)
        sizes = (a.n_features + a.n_ramps, *a.hidden_layer_sizes)
        self.embedding = Ramps(edges) if edges else Embedding()
        layer: type[StackedLinear] = StackedLinear if row_values is None else GatedLinear
        linear = partial(layer, n_networks, product_dtype=product_dtype, row_values=row_values)
        self.encoder = MLPEncoder(sizes, a.activation, linear) if encoders is None else ModuleEncoder(encoders)
        self.bottleneck = Bottleneck(sizes[-1], tuple(latent_dims), linear)
        self.heads = NamedParts(a.heads(latent_dims, linear, row_values))
        self.prior, self.price = a.prior(latent_dims), a.price()
        self.further: Parts[NuisanceTerm] = Parts([NuisanceTerm(invariances)] if invariances else [])
        if len(set(self.terms)) < len(self.terms):
            raise ValueError(f"Two heads have one term: {', '.join(self.terms)}.")
        if row_values is not None:
            check_amortized(vars(a) | {"invariance": max(invariances or [0.0])})
        self.n_networks, self._n_components = n_networks, a.n_components
        self.row_values = row_values
        self._dense_width = max(*sizes, 2 * max(latent_dims))
        self._hidden_width = max((*sizes[1:], 2 * max(latent_dims)))
        self._decoder_width = max(max(latent_dims), *a.decoder_hidden_layer_sizes, self.likelihood.n_parameters)
        self.register_buffer("center", None)
        self.register_buffer("scale", None)

    @property
    def terms(self) -> tuple[str, ...]:
        """The names of those of its loss: what its heads say, what its prior does, of which the first is paid, and
        further ones.
        """
        further = (name for part in self.further for name in part.terms)
        return *(head.term for head in self.heads.values()), *self.prior.terms, *further

    @property
    def head(self) -> Head:
        """That of the target."""
        return self.heads[TARGET]

    @property
    def likelihood(self) -> Likelihood:
        return self.head.likelihood

    @property
    def decoder(self) -> Decoder:
        return self.head.decoder

    def forward(self, x: Inputs) -> Diagonal:
        return self.predictive(TORCH, x)

    def predictive(self, xp: Operations, x: Array) -> Diagonal:
        """The posterior of rows (M, n, n_features), or (1, n, n_features) for all, or of M SparseRows, which know their
        center.
        """
        if self.center is not None and not isinstance(x, list):
            x = x - xp.asarray(self.center)
        if self.scale is not None:
            x = x / xp.asarray(self.scale)
        if len(x) < self.n_networks:
            x = xp.broadcast_to(x, (self.n_networks, *x.shape[1:]))
        return self.bottleneck.predictive(xp, self.encoder.predictive(xp, self.embedding.predictive(xp, x)))

    def record(self, x: Inputs) -> tuple[Diagonal, tuple[Any, Any, bool]]:
        """The posterior, and what `backward` needs."""
        x = self.embedding.predictive(TORCH, x)
        features, of_encoder = self.encoder.record(x)
        posterior, of_bottleneck = self.bottleneck.record(features)
        return posterior, (of_encoder, of_bottleneck, features is not x)

    def backward(self, tape: tuple[Any, Any, bool], gradient: Diagonal) -> None:
        """Write the gradients of the parameters before the code, from that of the posterior."""
        of_encoder, of_bottleneck, is_deep = tape
        grad_features = self.bottleneck.backward(of_bottleneck, gradient, is_deep)
        self.encoder.backward(of_encoder, grad_features, input_gradient=False)

    def decode(self, z: Tensor) -> Tensor:
        return self.head.decoder(z)

    def log_likelihood(self, x: Inputs, y: Tensor, points: Tensor) -> Tensor:
        """log of the mean over points of q(y|z), the posterior predictive, (M, n), nats."""
        return self.head.log_likelihood(self(x), y, points)

    def in_dtype(self, dtype: torch.dtype) -> VIBNetwork:
        """Itself in this dtype, but for a user's modules, which run in float32."""
        self.to(dtype)
        if isinstance(self.encoder, ModuleEncoder):
            self.encoder.float()
        return self

    @torch.no_grad()
    def fold_at(self, log_beta: Tensor, folded: VIBNetwork) -> None:
        """Give `folded`, a network without gates, the weights that this one has at each network's log beta (M,)."""
        assert self.row_values is not None
        self.fold_into(folded, self.row_values.basis(log_beta).unsqueeze(1))

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
        first, n_features = self.first_layer(), len(mean)
        assert first is not None
        weight = first.weight.double()
        weight[:, :n_features].div_(scale[:, None])
        first.weight.data = weight.to(like)
        first.bias.data = (first.bias - ((mean - self.center) @ weight[:, :n_features]).unsqueeze(-2)).to(like)
        self.embedding.rescale(scale)

    @torch.no_grad()
    def restandardize(self, inputs: tuple[Tensor, Tensor] | None, outputs: tuple[Tensor, Tensor] | None) -> None:
        """Say the same of rows and targets that are standardised anew: what was u is now ratio * u + shift."""
        if inputs is not None:
            ratio, shift = (part.to(self.bottleneck.linear.weight) for part in inputs)
            first = self.first_layer()
            assert first is not None
            weight = first.weight[:, : len(ratio)]
            first.bias.add_((shift @ weight).unsqueeze(-2))
            weight.mul_(ratio.unsqueeze(-1))
        if outputs is not None:
            self.likelihood.restandardize(self.decoder.layers[-1], *outputs)

    def speeds(self) -> Iterator[tuple[nn.Parameter, float]]:
        """What takes longer steps than others, and how much."""
        for head in self.heads.values():
            yield from head.speeds()
        yield from self.prior.speeds()

    def set_progress(self, progress: float) -> None:
        """How much of its training is over, in [0, 1]."""
        for head in self.heads.values():
            head.set_progress(progress)

    def linear_encoder(self) -> Parameter | None:
        """The weights of an encoder without hidden layers, (M, n_features, n_out)."""
        first = self.first_layer()
        return first.weight if first is self.bottleneck.linear else None

    def first_layer(self) -> StackedLinear | None:
        """The layer that takes the inputs; None where a module of a user does."""
        if not isinstance(self.encoder, MLPEncoder):
            return None
        return self.encoder.layers[0] if len(self.encoder.layers) else self.bottleneck.linear

    def row_elements(self, n_points: int, is_sparse: bool) -> int:
        """Numbers that one row needs in its widest places, with so many draws of z."""
        width = self._hidden_width if is_sparse else self._dense_width
        return self.n_networks * (width + n_points * max(self._decoder_width, self._n_components))


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
