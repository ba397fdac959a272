"""What trained networks make of rows: distortion, rates, log-likelihood."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from skvib.nn.network import VIBNetwork, repeat_rows
from skvib.nn.problem import Pool, pad, stack


def mean_log_likelihood(network: VIBNetwork, pool: Pool, points: Tensor) -> Tensor:
    """Weighted mean of log q(y|x) over each network's rows, (M,), nats."""
    total = weights = 0.0
    for (x, y, weight), _ in pool.chunks():
        total = total + (weight * network.log_likelihood(x, y, points)).sum(1)
        weights = weights + weight.sum(1)
    return total / weights


def distortion_and_rates(
    network: VIBNetwork, pool: Pool, points: Tensor, generators: Sequence[torch.Generator], n_rows: int
) -> tuple[Tensor, Tensor]:
    """Weighted means over the first rows: distortion (M,), over draws of z, and rates (M, latent_dim), nats.

    The draws are the points (M, S, latent_dim) with signs drawn anew for each row, so that their errors cancel.
    """
    distortion = rates = weights = 0.0
    n_points = points.shape[1]
    for (x, y, weight), counts in pool.chunks(n_rows):
        posterior = network(x)
        rates = rates + (weight.unsqueeze(-1) * posterior.rates()).sum(1)
        signs = _signs(counts, network.bottleneck.latent_dims, generators, points)
        eta = network.decode(posterior.sample(points.unsqueeze(2) * signs.unsqueeze(1)).flatten(1, 2))
        terms, _ = network.likelihood.record(eta, repeat_rows(y, n_points))
        distortion = distortion + (weight * terms.unflatten(1, (n_points, -1)).mean(1)).sum(1)
        weights = weights + weight.sum(1)
    return distortion / weights, rates / weights.unsqueeze(-1)


def _signs(
    counts: Sequence[int], latent_dims: Sequence[int], generators: Sequence[torch.Generator], like: Tensor
) -> Tensor:
    """+1 or -1 for each row and latent dimension, as each network would draw them alone."""
    drawn = [
        torch.empty(count, dim, dtype=like.dtype, device=like.device).bernoulli_(0.5, generator=generator)
        for count, dim, generator in zip(counts, latent_dims, generators, strict=True)
    ]
    return stack(pad(pad(drawn), dim=1)).mul_(2.0).sub_(1.0)
