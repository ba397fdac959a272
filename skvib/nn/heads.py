"""What reads a code: a decoder, and a likelihood of what it says of the rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from skvib.nn.layers import MakeLinear, StackedMLP
from skvib.nn.likelihoods import Likelihood
from skvib.nn.operations import TORCH, Array, Operations
from skvib.nn.parts import Part
from skvib.nn.posteriors import Code, Diagonal


class Decoder(StackedMLP):
    """From codes; a network of a smaller latent size has the first inputs alone."""

    def __init__(self, latent_dims: Sequence[int], widths: Sequence[int], activation: str, linear: MakeLinear) -> None:
        super().__init__((max(latent_dims), *widths), activation, True, linear)
        self.latent_dims = tuple(latent_dims)

    def latent_masks(self, used: Tensor) -> dict[nn.Parameter, Tensor]:
        return {self.layers[0].weight: used.unsqueeze(1)}

    def n_inputs_of(self, network: int) -> int:
        return self.latent_dims[network]


class Head(Part):
    """-log q(column | z), of a column of the rows and a draw of the code; histories call it `term`."""

    def __init__(self, term: str, likelihood: Likelihood, decoder: Decoder) -> None:
        super().__init__()
        self.term, self.likelihood, self.decoder = term, likelihood, decoder

    def record(self, code: Code, y: Tensor) -> tuple[Tensor, tuple[Any, Any, Tensor]]:
        """Its mean over the draws, (M, n), of a column y (M, n, ...); and what `backward` needs."""
        n_draws = code.z.shape[1]
        eta, of_decoder = self.decoder.record(code.z.flatten(1, 2))
        distortion, of_likelihood = self.likelihood.record(eta, repeat_rows(y, n_draws))
        return distortion.unflatten(1, (n_draws, -1)).mean(1), (of_decoder, of_likelihood, code.z)

    def backward(self, tape: tuple[Any, Any, Tensor], grad: Tensor) -> Tensor:
        """The gradient of sum(grad * distortion), grad (M, n), by z; that of its own parameters it writes."""
        of_decoder, of_likelihood, z = tape
        n_draws = z.shape[1]
        grad_eta = self.likelihood.backward(of_likelihood, repeat_rows(grad * (1.0 / n_draws), n_draws))
        return self.decoder.backward(of_decoder, grad_eta).view_as(z)

    def speeds(self) -> Iterator[tuple[nn.Parameter, float]]:
        """What takes longer steps, and how much: the decoder's last layer."""
        return ((p, self.likelihood.output_speed) for p in self.decoder.layers[-1].hastened())

    def predictive(self, xp: Operations, posterior: Diagonal, points: Array) -> Array:
        """Decode z = mu + sigma * point for each row and point, (M, S, latent_dim) -> (M, S, n, n_parameters).

        A linear decoder W needs no z: the draws of all rows are W mu + b + (W * point) sigma, two products.
        The parameters come first in memory, which makes a softmax over them ten times faster.
        """
        (mu, sigma), (n_networks, n_points, latent_dim) = posterior, points.shape
        if len(self.decoder.layers) > 1:
            z = xp.addcmul(mu[:, None], points[:, :, None], sigma[:, None])
            eta = self.decoder.predictive(xp, z.reshape(n_networks, -1, latent_dim))
            return eta.reshape(n_networks, n_points, -1, eta.shape[-1])
        weight = xp.permute(xp.asarray(self.decoder.layers[0].weight), (0, 2, 1))
        spread = (weight[:, :, None] * points[:, None]).reshape(n_networks, -1, latent_dim)
        eta = xp.matmul(spread, xp.permute(sigma, (0, 2, 1))).reshape(n_networks, -1, n_points, sigma.shape[1])
        eta += xp.permute(self.decoder.predictive(xp, mu), (0, 2, 1))[:, :, None]
        return xp.permute(eta, (0, 2, 3, 1))

    def log_likelihood(self, posterior: Diagonal, y: Tensor, points: Tensor) -> Tensor:
        """log of the mean over points of q(y|z), the posterior predictive, (M, n), nats."""
        n_points = points.shape[1]
        eta = self.predictive(TORCH, posterior, points).flatten(1, 2)
        distortion, _ = self.likelihood.record(eta, repeat_rows(y, n_points))
        return torch.logsumexp(-distortion.unflatten(1, (n_points, -1)), 1) - math.log(n_points)


def repeat_rows(y: Tensor, times: int) -> Tensor:
    """(M, n, ...) for each of `times` draws of z, (M, times * n, ...)."""
    if times == 1:
        return y
    return y.unsqueeze(1).expand(-1, times, *(-1,) * (y.ndim - 1)).flatten(1, 2)
