"""What trained networks make of rows: distortion, rates, log-likelihood."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from skvib.nn.batches import Pool, pad, stacked
from skvib.nn.heads import repeat_rows
from skvib.nn.network import VIBNetwork, quasi_normal
from skvib.nn.operations import TORCH
from skvib.nn.posteriors import Code, Diagonal
from skvib.nn.problem import Problem, Settings
from skvib.nn.rows import TARGET

N_DRAWS = 128  # of as many rows as a step takes, to evaluate a fit on its training rows


class Evaluation:
    """The rows on which the networks of a stack are judged, and the draws of their codes.

    The more rows, the fewer draws of each: it is their mean that counts.
    """

    def __init__(self, problems: Sequence[Problem], settings: Settings, training: Pool) -> None:
        self.training, self.n_evaluated = training, problems[0].n_evaluated
        validation = [problem.validation for problem in problems if problem.validation is not None]
        self.validation = Pool(validation, settings.device) if validation else None
        n_draws = settings.n_predict_draws
        self.points = self._points(problems, n_draws)
        self.few_points = self._points(problems, _few(n_draws, problems[0]))

    def _points(self, problems: Sequence[Problem], n_draws: int) -> Tensor:
        """So many draws of each network's code, (M, n_draws, latent_dim)."""
        like = self.training.members[0].weights
        return stacked(pad([quasi_normal(n_draws, problem.latent_dim).to(like) for problem in problems], dim=1))

    def log_likelihood(self, network: VIBNetwork) -> Tensor:
        """Weighted mean of log q(y|x) over each network's validation rows, (M,), nats."""
        assert self.validation is not None
        total = weights = self.points.new_zeros(())
        for rows, _ in self.validation.chunks():
            weight = rows.share(TARGET)
            total = total + (weight * network.log_likelihood(rows.inputs, rows.targets[TARGET], self.points)).sum(1)
            weights = weights + weight.sum(1)
        return total / weights

    def mean_posterior(self, network: VIBNetwork) -> Diagonal:
        """Weighted means over training rows of its parameters, each (M, latent_dim)."""
        mu = sigma = weights = self.points.new_zeros(())
        for rows, _ in self.training.chunks(self.n_evaluated):
            posterior, weight = network(rows.inputs), rows.weights.unsqueeze(-1)
            mu, sigma = mu + (weight * posterior.mu).sum(1), sigma + (weight * posterior.sigma).sum(1)
            weights = weights + weight.sum(1)
        return Diagonal(mu / weights, sigma / weights)

    def distortions_and_rates(
        self, network: VIBNetwork, generators: Sequence[torch.Generator]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
        """Weighted means over training rows, nats: of each head and each term of the prior (M,), over draws of z, and
        of rates by dimension (M, latent_dim).

        The draws are the points with signs drawn anew for each row, so that their errors cancel.
        """
        points = self.few_points
        latent_rates = weights = zero = points.new_zeros(())
        rates = dict.fromkeys(network.prior.terms, zero)
        distortions, shares = dict.fromkeys(network.heads, zero), dict.fromkeys(network.heads, zero)
        for rows, counts in self.training.chunks(self.n_evaluated):
            posterior = network(rows.inputs)
            by_dimension = network.prior.predictive(TORCH, posterior, points)
            latent_rates = latent_rates + (rows.weights.unsqueeze(-1) * by_dimension).sum(1)
            weights = weights + rows.weights.sum(1)
            signs = _signs(counts, network.bottleneck.latent_dims, generators, points)
            noise = points.unsqueeze(2) * signs.unsqueeze(1)
            code = Code(posterior, noise, posterior.sample(noise))
            for name, head in network.heads.items():
                share, (values, _) = rows.share(name), head.record(code, rows, name)
                distortions[name] = distortions[name] + (share * values).sum(1)
                shares[name] = shares[name] + share.sum(1)
            of_rows, _ = network.prior.record(code, rows)
            for name, values in zip(network.prior.terms, of_rows, strict=True):
                rates[name] = rates[name] + (rows.weights * values).sum(1)
        return (
            {name: total / shares[name] for name, total in distortions.items()},
            {name: total / weights for name, total in rates.items()},
            latent_rates / weights.unsqueeze(-1),
        )


def joint_distortion(network: VIBNetwork, problem: Problem, n_draws: int) -> float:
    """Weighted mean over the problem's training rows of -log of the mean over networks m of q_m(y|z_m), nats.

    It is that of the one code that all their codes are, and of a decoder that averages what they say.
    """
    dims, weights = network.bottleneck.latent_dims, problem.rows.share(TARGET)[: problem.n_evaluated]
    generator, total = torch.Generator().manual_seed(problem.seed_of(0)), 0.0
    points, generators = quasi_normal(_few(n_draws, problem), dims[0]).to(weights), [generator] * len(dims)
    n_draws = len(points)
    points = torch.stack([points[torch.randperm(n_draws, generator=generator)] for _ in dims])
    for chunk, (count,) in Pool([problem.rows], "cpu").chunks(problem.n_evaluated):
        posterior = network(chunk.inputs if isinstance(chunk.inputs, Tensor) else [*chunk.inputs] * len(dims))
        signs = _signs([count] * len(dims), dims, generators, points)
        z = posterior.sample(points.unsqueeze(2) * signs.unsqueeze(1))
        y = repeat_rows(chunk.targets[TARGET].expand(len(dims), *chunk.targets[TARGET].shape[1:]), n_draws)
        values, _ = network.likelihood.record(network.decode(z.flatten(1, 2)), y)
        joint = math.log(len(dims)) - torch.logsumexp(-values, 0)
        total += float((chunk.share(TARGET)[0] * joint.view(n_draws, count).mean(0)).sum())
    return total / float(weights.sum())


def _few(n_draws: int, problem: Problem) -> int:
    """Draws of each row of so many, where their mean counts."""
    return min(n_draws, max(4, N_DRAWS // problem.n_steps))


def _signs(
    counts: Sequence[int], latent_dims: Sequence[int], generators: Sequence[torch.Generator], like: Tensor
) -> Tensor:
    """+1 or -1 for each row and latent dimension, as each network would draw them alone."""
    drawn = [
        torch.empty(count, dim, dtype=like.dtype, device=like.device).bernoulli_(0.5, generator=generator)
        for count, dim, generator in zip(counts, latent_dims, generators, strict=True)
    ]
    return stacked(pad(pad(drawn), dim=1)).mul_(2.0).sub_(1.0)
