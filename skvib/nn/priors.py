"""p(z), and what a posterior costs beside it: the rate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from skvib.nn.layers import UNIT_SOFTPLUS, Inputs, inverse_softplus, zeros
from skvib.nn.operations import TORCH, Array, Operations
from skvib.nn.parts import Parameter, Part
from skvib.nn.posteriors import Code, Diagonal
from skvib.nn.rows import TARGET, Rows

RATE, RESIDUAL_RATE = "rate", "residual_rate"  # how histories call them
SCALE_FLOOR = 1e-2
PRIOR_SPEED = 3.0  # Adam moves every parameter alike, and components have to keep up with the codes of all rows


class Prior(Part, ABC):
    """p(z), to which the rate of a row compares its posterior: KL(q(z|x) || p(z)), or an estimate at the draws.

    `terms` are the names of what `record` returns. The first one is what a row pays; another one is RATE itself, if it
    pays something else.
    """

    terms: ClassVar[tuple[str, ...]] = (RATE,)

    @abstractmethod
    def record(self, code: Code, rows: Rows[Inputs]) -> tuple[tuple[Tensor, ...], Any]:
        """Each term of each row, (M, n), nats; and what `backward` needs."""

    @abstractmethod
    def backward(self, tape: Any, grad: Tensor, gradient: Diagonal) -> None:
        """Add the gradient of sum(grad * what is paid), grad (M, n), to the posterior's; write that of its own."""

    @abstractmethod
    def predictive(self, xp: Operations, posterior: Diagonal, points: Array) -> Array:
        """The rate of each row by latent dimension beside the marginals of p(z), (M, n, latent_dim), nats.

        An estimate takes the draws mu + sigma * points, (M, S, latent_dim).
        """

    def rate(self, xp: Operations, posterior: Diagonal, points: Array) -> Array:
        """The rate of each row, (M, n): of independent dimensions the sum over them."""
        return self.predictive(xp, posterior, points).sum(-1)

    def speeds(self) -> list[tuple[nn.Parameter, float]]:
        """What takes longer steps than others, and how much."""
        return []

    def start(self, network: int, posterior: Diagonal, rows: Rows[Any], generator: torch.Generator) -> None:
        """Where its parameters begin in one network: its rows, and the codes (n, latent_dim) of the first of them."""


class StandardNormal(Prior):
    """N(0, I): the rate is sum_k (mu_k^2 + sigma_k^2 - 1) / 2 - log sigma_k."""

    def record(self, code: Code, rows: Rows[Inputs]) -> tuple[tuple[Tensor, ...], Diagonal]:
        posterior = code.posterior
        twice = self._twice(TORCH, posterior).sum(-1)
        return ((twice - float(posterior.mu.shape[-1])) * 0.5,), posterior

    def backward(self, tape: Diagonal, grad: Tensor, gradient: Diagonal) -> None:
        """d/d mu = mu, d/d sigma = sigma - 1 / sigma."""
        grad = grad.unsqueeze(-1)
        gradient.mu.addcmul_(grad, tape.mu)
        gradient.sigma.addcmul_(grad, tape.sigma - tape.sigma.reciprocal())

    def predictive(self, xp: Operations, posterior: Diagonal, points: Array) -> Array:
        return (self._twice(xp, posterior) - 1.0) * 0.5

    def components_of(self, network: int, latent_dim: int) -> tuple[Tensor, Tensor, Tensor]:
        """Weights (1,), means and standard deviations (1, latent_dim) of the one component in one network."""
        one = torch.ones(1, latent_dim)
        return one[:, 0], torch.zeros_like(one), one

    def _twice(self, xp: Operations, posterior: Diagonal) -> Array:
        """mu^2 + sigma^2 - 2 log sigma."""
        mu, sigma = posterior
        return xp.subtract(xp.addcmul(mu * mu, sigma, sigma), xp.log(sigma), 2.0)


class Components(NamedTuple):
    """Those of a mixture: log weights (M, K), means and scales (M, K, latent_dim), and 1 / scale^2."""

    log_weights: Tensor
    means: Tensor
    scales: Tensor
    precisions: Tensor


class Mixture(Prior):
    """sum_k pi_k N(m_k, diag s_k^2), learned with the network; the rate of a row is estimated at the draws of its code.

    The rate is E log q(z|x) - log p(z), both at the same draws, so that their errors cancel. The bound by the closed
    divergences from the components (Hershey and Olsen 2007) would have another optimum.
    """

    def __init__(self, latent_dims: Sequence[int], n_components: int) -> None:
        super().__init__()
        n_networks, latent_dim = len(latent_dims), max(latent_dims)
        self.logits = Parameter(zeros(n_networks, n_components))
        self.means = Parameter(zeros(n_networks, n_components, latent_dim))
        self.raw_scales = Parameter(zeros(n_networks, n_components, latent_dim))
        sizes = torch.tensor(latent_dims, device="cpu")[:, None]
        # a network of a smaller latent size than its neighbours has mu = 0 and sigma = 1 in the others
        self.register_buffer(
            "used", (torch.arange(latent_dim, device="cpu") < sizes)[:, None].float(), persistent=False
        )

    used: Tensor

    def latent_masks(self, used: Tensor) -> dict[nn.Parameter, Tensor]:
        return {self.means: used, self.raw_scales: used}

    def components(self, xp: Operations = TORCH) -> Components:
        used = xp.asarray(self.used)
        scales = xp.softplus(xp.asarray(self.raw_scales) + UNIT_SOFTPLUS) + SCALE_FLOOR
        scales = scales * used + (1.0 - used)
        log_weights = xp.log_softmax(xp.asarray(self.logits), 1)
        return Components(log_weights, xp.asarray(self.means) * used, scales, used / (scales * scales))

    def record(self, code: Code, rows: Rows[Inputs]) -> tuple[tuple[Tensor, ...], Any]:
        rate, *of_mixture = self._at_draws(code)
        return (rate,), (code, *of_mixture)

    def _at_draws(self, code: Code) -> tuple[Tensor, Components, Tensor]:
        """The rate of each row, the components, and log pi_k N(z; k) - log p(z) of each draw (M, S n, K)."""
        components, z = self.components(), code.z.flatten(1, 2)
        log_joint = log_joint_of(TORCH, components, z)
        log_p = torch.logsumexp(log_joint, -1, keepdim=True)
        cross = log_p.view(code.z.shape[:3]).mean(1)
        noise = (0.5 * code.noise * code.noise * self.used.unsqueeze(1)).sum(-1).mean(1)
        return -code.posterior.sigma.log().sum(-1) - noise - cross, components, log_joint - log_p

    def backward(self, tape: Any, grad: Tensor, gradient: Diagonal) -> None:
        code, components, log_shares = tape
        n_draws, z = code.z.shape[1], code.z.flatten(1, 2)
        _, means, _, precisions = components
        shares = log_shares.exp().view(len(z), n_draws, -1, log_shares.shape[-1])
        shares = (shares * (grad / n_draws)[:, None, :, None]).flatten(1, 2)
        of_z = torch.bmm(shares, precisions).mul_(z).sub_(torch.bmm(shares, precisions * means))
        own = code.posterior.pull(code.noise, of_z.view_as(code.z))
        gradient.mu.add_(own.mu)
        gradient.sigma.add_(own.sigma).addcdiv_(grad.unsqueeze(-1), code.posterior.sigma, value=-1.0)
        totals, sums, squares = shares.sum(1), torch.bmm(shares.mT, z), torch.bmm(shares.mT, z * z)
        self._write_shares(components, totals)
        self._write(components, totals.unsqueeze(-1), sums, squares)

    def _write_shares(self, components: Components, totals: Tensor) -> None:
        """The gradient by the logits of the weights, of -log pi_k under these weights (M, K)."""
        torch.sub(components.log_weights.exp() * totals.sum(1, keepdim=True), totals, out=self.logits.grad)

    def _write(self, components: Components, totals: Tensor, sums: Tensor, squares: Tensor) -> None:
        """The gradient by means and scales, from the weights of each component, and sums of z and z^2 under them."""
        _, means, scales, precisions = components
        torch.mul(totals * means - sums, precisions, out=self.means.grad)
        errors = squares - 2.0 * means * sums + totals * means**2
        of_scales = (totals * self.used - errors * precisions) / scales
        torch.mul(of_scales, (self.raw_scales + UNIT_SOFTPLUS).sigmoid() * self.used, out=self.raw_scales.grad)

    def predictive(self, xp: Operations, posterior: Diagonal, points: Array) -> Array:
        mu, sigma = posterior
        log_weights, means, scales, _ = self.components(xp)
        z = xp.addcmul(mu[:, None], points[:, :, None], sigma[:, None])
        log_at_0, precisions = log_weights[:, None, None, :, None] - xp.log(scales)[:, None, None], 1.0 / scales

        def cross(k: int) -> Array:
            """E log p(z_k), one dimension at a time: all at once would be latent_dim times the memory."""
            error = (z[..., k : k + 1] - means[:, None, None, :, k]) * precisions[:, None, None, :, k]
            return xp.logsumexp(log_at_0[..., k] - 0.5 * error * error, 3).mean(1)[..., None]

        crosses = xp.concatenate([cross(k) for k in range(mu.shape[-1])], -1)
        noise = (0.5 * points * points * xp.asarray(self.used)).mean(1)
        return -xp.log(sigma) - noise[:, None] - crosses

    def rate(self, xp: Operations, posterior: Diagonal, points: Array) -> Array:
        mu, sigma = posterior
        z = xp.addcmul(mu[:, None], points[:, :, None], sigma[:, None])
        log_joint = log_joint_of(xp, self.components(xp), z.reshape(len(mu), -1, mu.shape[-1]))
        cross = xp.logsumexp(log_joint, 2).reshape(len(mu), points.shape[1], -1).mean(1)
        noise = (0.5 * points * points * xp.asarray(self.used)).sum(-1).mean(1)
        return -xp.log(sigma).sum(-1) - noise[:, None] - cross

    def components_of(self, network: int, latent_dim: int) -> tuple[Tensor, Tensor, Tensor]:
        """Weights (K,), means and standard deviations (K, latent_dim) of the components of one network."""
        log_weights, means, scales, _ = (part[network].detach() for part in self.components())
        return log_weights.exp(), means[:, :latent_dim], scales[:, :latent_dim]

    def speeds(self) -> list[tuple[nn.Parameter, float]]:
        return [(parameter, PRIOR_SPEED) for parameter in self.parameters()]

    def start(self, network: int, posterior: Diagonal, rows: Rows[Any], generator: torch.Generator) -> None:
        """At codes far from one another, drawn as k-means++ draws its first centres (Arthur and Vassilvitskii 2007)."""
        mu = posterior.mu
        self._start_scales(network, posterior)
        distances = torch.full_like(mu[:, 0], torch.inf)
        row = torch.zeros(1, dtype=torch.long, device=mu.device)
        for mean in self.means[network]:
            mean.copy_(mu[row[0]])
            distances = torch.minimum(distances, (mu - mean).square().sum(-1))
            chances = distances if distances.max() > 0 else torch.ones_like(distances)
            row = torch.multinomial(chances, 1, generator=generator)

    def _start_scales(self, network: int, posterior: Diagonal) -> None:
        """As narrow as the codes are: from wide components a mixture finds its way to a single one."""
        scale = (posterior.sigma.mean(0) - SCALE_FLOOR).clamp_min(SCALE_FLOOR)
        self.raw_scales[network] = inverse_softplus(scale) - UNIT_SOFTPLUS


class ClassMixture(Mixture):
    """A component for each class, its weight the class's share: a row of a known class pays KL(q(z|x) || b(z|y)).

    That is the Conditional Entropy Bottleneck (Fischer 2020). The rate, which bounds I(X;Z), is that of the mixture.
    Its weights learn -log pi_y beside, and so stay the shares of the classes.
    """

    terms = (RESIDUAL_RATE, RATE)

    def record(self, code: Code, rows: Rows[Inputs]) -> tuple[tuple[Tensor, ...], Any]:
        rate, components, log_shares = self._at_draws(code)
        y, (mu, sigma) = rows.targets[TARGET], code.posterior
        of_class = nn.functional.one_hot(y, self.logits.shape[1]).to(mu)
        _, means, scales, precisions = components
        error, precision = mu - torch.bmm(of_class, means), torch.bmm(of_class, precisions)
        log_scale = torch.bmm(of_class, scales.log())
        twice = (error * error + sigma * sigma) * precision - self.used
        residual = (0.5 * twice + log_scale).sum(-1) - sigma.log().sum(-1)
        known = rows.shares[TARGET] > 0 if TARGET in rows.shares else None
        paid = residual if known is None else torch.where(known, residual, rate)
        of_mixture = None if known is None else (code, components, log_shares)
        return (paid, rate), (code.posterior, components, of_class, error, precision, known, of_mixture)

    def backward(self, tape: Any, grad: Tensor, gradient: Diagonal) -> None:
        (mu, sigma), components, of_class, error, precision, known, of_mixture = tape
        if known is not None:  # a row without a label pays the mixture
            super().backward(of_mixture, grad * ~known, gradient)
            of_prior = [(grad, grad.clone()) for grad in (self.logits.grad, self.means.grad, self.raw_scales.grad)]
            grad = grad * known
        grad = grad.unsqueeze(-1)
        gradient.mu.addcmul_(grad, error * precision)
        gradient.sigma.addcmul_(grad, sigma * precision - sigma.reciprocal() * self.used)
        shares = (of_class * grad).mT
        totals, squares = shares.sum(-1), torch.bmm(shares, mu * mu + sigma * sigma)
        self._write_shares(components, totals)
        self._write(components, totals.unsqueeze(-1), torch.bmm(shares, mu), squares)
        if known is not None:
            for of_parameter, of_unlabelled in of_prior:
                of_parameter.add_(of_unlabelled)

    def start(self, network: int, posterior: Diagonal, rows: Rows[Any], generator: torch.Generator) -> None:
        """At the mean code of each class, with its share of the rows; a class without rows begins at 0."""
        self._start_scales(network, posterior)
        mu, n_classes = posterior.mu, self.logits.shape[1]
        of_class = nn.functional.one_hot(rows.targets[TARGET], n_classes).to(mu) * rows.share(TARGET)[:, None]
        weighed = of_class[: len(mu)]
        self.means[network] = (weighed.mT @ mu) / weighed.sum(0).clamp_min(torch.finfo(mu.dtype).tiny)[:, None]
        counts = of_class.sum(0) + 1.0 / n_classes  # no share is 0
        self.logits[network] = torch.log(counts / counts.sum())


def log_joint_of(xp: Operations, components: Components, z: Array) -> Array:
    """log pi_k N(z; m_k, s_k) without the constant of a normal density, (M, n, K), of z (M, n, latent_dim)."""
    log_weights, means, scales, precisions = components
    weighed = precisions * means
    at_zero = log_weights - xp.log(scales).sum(-1) - 0.5 * (weighed * means).sum(-1)
    linear, square = xp.permute(weighed, (0, 2, 1)), xp.permute(precisions, (0, 2, 1))
    return at_zero[:, None] + xp.matmul(z, linear) - 0.5 * xp.matmul(z * z, square)


PRIORS: dict[str, type[Mixture]] = {"mixture": Mixture, "class": ClassMixture}
