"""p(z), and what a posterior costs beside it: the rate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor

from skvib.nn.operations import TORCH, Array, Operations
from skvib.nn.parts import Part
from skvib.nn.posteriors import Code, Diagonal

RATE = "rate"  # how histories call it


class Prior(Part, ABC):
    """p(z), to which the rate of a row compares its posterior: KL(q(z|x) || p(z)), or an estimate at the draws."""

    @abstractmethod
    def record(self, code: Code) -> tuple[Tensor, Any]:
        """The rate of each row, (M, n), nats; and what `backward` needs."""

    @abstractmethod
    def backward(self, tape: Any, grad: Tensor, gradient: Diagonal) -> None:
        """Add the gradient of sum(grad * rate), grad (M, n), to the posterior's; write that of its own parameters."""

    @abstractmethod
    def predictive(self, xp: Operations, posterior: Diagonal) -> Array:
        """The rate of each row by latent dimension, (M, n, latent_dim), nats."""

    def rates(self, posterior: Diagonal) -> Tensor:
        """The same in torch."""
        return self.predictive(TORCH, posterior)


class StandardNormal(Prior):
    """N(0, I): the rate is sum_k (mu_k^2 + sigma_k^2 - 1) / 2 - log sigma_k."""

    def record(self, code: Code) -> tuple[Tensor, Diagonal]:
        posterior = code.posterior
        twice = self._twice(TORCH, posterior).sum(-1)
        return (twice - float(posterior.mu.shape[-1])) * 0.5, posterior

    def backward(self, tape: Diagonal, grad: Tensor, gradient: Diagonal) -> None:
        """d/d mu = mu, d/d sigma = sigma - 1 / sigma."""
        grad = grad.unsqueeze(-1)
        gradient.mu.addcmul_(grad, tape.mu)
        gradient.sigma.addcmul_(grad, tape.sigma - tape.sigma.reciprocal())

    def predictive(self, xp: Operations, posterior: Diagonal) -> Array:
        return (self._twice(xp, posterior) - 1.0) * 0.5

    def _twice(self, xp: Operations, posterior: Diagonal) -> Array:
        """mu^2 + sigma^2 - 2 log sigma."""
        mu, sigma = posterior
        return xp.subtract(xp.addcmul(mu * mu, sigma, sigma), xp.log(sigma), 2.0)
