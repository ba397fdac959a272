"""q(z|x), what a code is drawn from."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Diagonal(NamedTuple):
    """N(mu, diag sigma^2), each (M, n, latent_dim); its gradient is of the same type."""

    mu: Tensor
    sigma: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """z = mu + sigma * noise (Kingma and Welling 2014); noise and z are (M, S, n, latent_dim)."""
        return torch.addcmul(self.mu.unsqueeze(1), noise, self.sigma.unsqueeze(1))

    def pull(self, noise: Tensor, grad_z: Tensor) -> Diagonal:
        """The gradient that one by z, (M, S, n, latent_dim), means for it."""
        return Diagonal(grad_z.sum(1), (grad_z * noise).sum(1))


class Code(NamedTuple):
    """Draws z of a posterior, (M, S, n, latent_dim), and the noise that made them."""

    posterior: Diagonal
    noise: Tensor
    z: Tensor
