"""The stochastic code: hidden features -> q(z|x) = N(mu, diag sigma^2)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from skvib.nn.layers import InputGradient, Inputs, MakeLinear, inverse_softplus
from skvib.nn.operations import TORCH, Array, Operations
from skvib.nn.parts import Part
from skvib.nn.posteriors import Diagonal

INITIAL_RAW = -1.0  # sigma = .31: near enough to the prior to be shut, narrow enough to carry a nat
SIGMA_FLOOR = 1e-4


class Bottleneck(Part):
    """A linear layer to (mu, raw), and sigma = softplus(raw) + floor.

    `latent_dims` gives each network its own latent size; its dimensions beyond that stay at the prior.
    """

    used: Tensor | None

    def __init__(self, n_in: int, latent_dims: tuple[int, ...], linear: MakeLinear) -> None:
        super().__init__()
        self.latent_dims = latent_dims
        self.linear = linear(n_in, 2 * max(latent_dims))
        sizes = torch.tensor(latent_dims, device="cpu")[:, None, None]
        used = torch.arange(max(latent_dims), device="cpu") < sizes
        self.register_buffer("used", None if bool(used.all()) else used, persistent=False)

    def latent_masks(self, used: Tensor) -> dict[nn.Parameter, Tensor]:
        return {parameter: used.repeat(2) for parameter in self.linear.parameters()}

    def forward(self, features: Inputs) -> Diagonal:
        return self.predictive(TORCH, features)

    def predictive(self, xp: Operations, features: Array) -> Diagonal:
        return self._posterior(xp, *xp.halves(self.linear.predictive(xp, features)))

    def record(self, features: Inputs) -> tuple[Diagonal, tuple[Any, Tensor]]:
        output, of_linear = self.linear.record(features)
        mu, raw = output.chunk(2, -1)
        return self._posterior(TORCH, mu, raw), (of_linear, raw)

    def _posterior(self, xp: Operations, mu: Array, raw: Array) -> Diagonal:
        sigma = xp.softplus(raw) + SIGMA_FLOOR
        if self.used is not None:
            used = xp.asarray(self.used)
            mu, sigma = mu * used, xp.where(used, sigma, 1.0)
        return Diagonal(mu, sigma)

    def backward(self, tape: tuple[Any, Tensor], gradient: Diagonal, input_gradient: bool = True) -> InputGradient:
        of_linear, raw = tape
        grad = torch.cat([gradient.mu, gradient.sigma.mul_(raw.sigmoid())], -1)
        if self.used is not None:
            grad = grad * self.used.repeat(1, 1, 2)
        return self.linear.backward(of_linear, grad, input_gradient)

    @torch.no_grad()
    def silence(self, is_silent: Tensor, means: Diagonal) -> None:
        """Give every row the same posterior, (M, latent_dim), in these dimensions."""
        weight, (mu, sigma) = self.linear.weight, means
        raw = inverse_softplus((sigma - SIGMA_FLOOR).clamp_min(SIGMA_FLOOR))
        both = is_silent.repeat(1, 2).unsqueeze(1)
        weight.copy_(torch.where(both, 0.0, weight))
        self.linear.bias.copy_(torch.where(both, torch.cat([mu, raw], -1).unsqueeze(1), self.linear.bias))

    @torch.no_grad()
    def initialize(self, network: int, generator: torch.Generator) -> None:
        """Each latent dimension's weights in turn; those of raw a tenth as large as those of mu."""
        n_in, width = self.linear.weight.shape[1:]
        self.linear.reset(network)
        bound = (3.0 / max(n_in, 1)) ** 0.5
        used = self.latent_dims[network]
        drawn = torch.empty(used, 2, n_in, dtype=self.linear.weight.dtype, device=generator.device)
        mu, raw = drawn.uniform_(-bound, bound, generator=generator).unbind(1)
        weight = self.linear.weight[network]
        weight[:, :used] = mu.mT
        weight[:, width // 2 : width // 2 + used] = 0.1 * raw.mT
        self.linear.set_bias(network, slice(width // 2, None), INITIAL_RAW)
