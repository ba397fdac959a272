"""A prior with longer tails, and a price by which the first nat is free."""

import math

import torch

from skvib.nn.network import Architecture
from skvib.nn.prices import Linear
from skvib.nn.priors import Prior

LOG_2, HALF_LOG_2PIE = math.log(2.0), 0.5 * math.log(2.0 * math.pi * math.e)


class Laplace(Prior):
    """exp(-|z|) / 2 in each dimension; the rate of a row is estimated at the draws of its code."""

    def __init__(self, latent_dims):
        super().__init__()
        # a network of a smaller latent size than its neighbours has z = 0 and sigma = 1 in the others
        self.register_buffer("n_dims", torch.tensor(latent_dims, dtype=torch.float32, device="cpu")[:, None])

    def record(self, code, rows):
        minus_entropy = -code.posterior.sigma.log().sum(-1)
        return (code.z.abs().sum(-1).mean(1) + minus_entropy + (LOG_2 - HALF_LOG_2PIE) * self.n_dims,), code

    def backward(self, tape, grad, gradient):
        of_z = grad[:, None, :, None] * tape.z.sign() / tape.z.shape[1]
        own = tape.posterior.pull(tape.noise, of_z)
        gradient.mu.add_(own.mu)
        gradient.sigma.add_(own.sigma).addcdiv_(grad.unsqueeze(-1), tape.posterior.sigma, value=-1.0)

    def predictive(self, xp, posterior, points):
        mu, sigma = posterior
        ratio = mu / sigma
        density = xp.exp(-0.5 * ratio * ratio) / math.sqrt(2.0 * math.pi)
        # gelu(r) is r times the share of a normal distribution below r
        mean_size = sigma * (2.0 * density + 2.0 * xp.gelu(ratio) - ratio)
        return mean_size - xp.log(sigma) + LOG_2 - HALF_LOG_2PIE


class FirstNatFree(Linear):
    """beta for each nat of the mean rate above the first (Kingma et al. 2016 call it free bits)."""

    def loss(self, beta, distortion, rate):
        return distortion + beta * (rate > 1.0) * (rate - 1.0)

    def slope(self, beta, rates, weights):
        mean = (weights * rates).sum(1, keepdim=True) / weights.sum(1, keepdim=True)
        return beta * (mean > 1.0)


class LaplaceArchitecture(Architecture):
    """An architecture with both."""

    def prior(self, latent_dims):
        return Laplace(latent_dims)

    def price(self):
        return FirstNatFree()
