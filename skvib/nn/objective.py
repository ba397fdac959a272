r"""The objective of the Variational Information Bottleneck and its gradient in closed form.

For a row (x, y) of weight w, with z = mu + sigma * noise and beta the price of a nat,

    loss = distortion + beta * rate,
    distortion = -log q(y|z),
    rate = KL(q(z|x) || N(0, I)) = sum_k (mu_k^2 + sigma_k^2 - 1) / 2 - log sigma_k

(Alemi et al. 2017, equation 17; beta multiplies the rate, and both are in nats). A batch averages w * loss
over its rows and over the draws of noise. It is divided by its number of rows times the mean weight of the whole
training set, never by its own weight sum, which would bias it towards batches of light rows.

Reverse pass, with c the coefficient of a row and g the gradient of c * distortion by z (from the
likelihood through the decoder):

    d/d mu = g + c beta mu,    d/d sigma = g * noise + c beta (sigma - 1 / sigma).

Derivatives are written out since the per-operation overhead of autograd costs a small network more
than its arithmetic does; the tests hold every one of them against autograd.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from skvib.nn.layers import Inputs
from skvib.nn.network import VIBNetwork, repeat_rows


class Batch(NamedTuple):
    """Rows for each of M networks: noise (M, S, n, latent_dim), weights (M, n) of mean 1 over the whole
    training set (0 where a network has fewer rows than its neighbours), and how many rows (M, 1).
    """

    x: Inputs
    y: Tensor
    noise: Tensor
    weight: Tensor
    n_rows: Tensor


def loss_terms(network: VIBNetwork, batch: Batch, beta: Tensor) -> Tensor:
    """Distortion and rate of each row, (2, M, n), nats.

    Writes the gradient of sum(weight * loss) / n_rows, for beta (M, 1), into the parameters' `grad`.
    """
    n_draws = batch.noise.shape[1]
    features, encoder_tape = network.encoder.record(batch.x)
    posterior, bottleneck_tape = network.bottleneck.record(features)
    z = posterior.sample(batch.noise)
    eta, decoder_tape = network.decoder.record(z.flatten(1, 2))
    distortion, likelihood_tape = network.likelihood.record(eta, repeat_rows(batch.y, n_draws))

    coefficient = batch.weight / batch.n_rows
    of_draw = repeat_rows(coefficient, n_draws) * (1.0 / n_draws)
    grad_eta = network.likelihood.backward(likelihood_tape, of_draw)
    grad_z = network.decoder.backward(decoder_tape, grad_eta).view_as(z)
    price = (beta * coefficient).unsqueeze(-1)
    grad_mu = torch.addcmul(grad_z.sum(1), price, posterior.mu)
    slope = posterior.sigma - posterior.sigma.reciprocal()
    grad_sigma = torch.addcmul((grad_z * batch.noise).sum(1), price, slope)
    is_deep = features is not batch.x
    grad_features = network.bottleneck.backward(bottleneck_tape, grad_mu, grad_sigma, is_deep)
    network.encoder.backward(encoder_tape, grad_features, input_gradient=False)

    mean_distortion = distortion.unflatten(1, (n_draws, -1)).mean(1)
    return torch.stack((mean_distortion, posterior.rate()))
