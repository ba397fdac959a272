r"""The objective of the Variational Information Bottleneck and its gradient in closed form.

For a row (x, y) of weight w, with z = mu + sigma * noise and beta the price of a nat,

    loss = distortion + beta * rate,
    distortion = -log q(y|z),
    rate = KL(q(z|x) || N(0, I))

(Alemi et al. 2017, equation 17; beta multiplies the rate, and both are in nats). A batch averages w * loss
over its rows and over the draws of noise. It is divided by its number of rows times the mean weight of the whole
training set, never by its own weight sum, which would bias it towards batches of light rows.

Distortion is what the head says, the rate what the prior says, and its cost what the price says. On the way back the
head's gradient by z becomes one of the posterior, to which the prior adds its own. Derivatives are written out since
the per-operation overhead of autograd costs a small network more than its arithmetic does; the tests hold every one of
them against autograd.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from skvib.nn.layers import Inputs
from skvib.nn.network import VIBNetwork
from skvib.nn.posteriors import Code

TERMS = "distortion", "rate"


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
    """The terms of each row, (2, M, n), nats.

    Writes the gradient of sum(weight * loss) / n_rows, for beta (M, 1) or (M, n), into the parameters' `grad`.
    """
    head, prior = network.head, network.prior
    per_row = batch.weight / batch.n_rows
    posterior, of_encoder = network.record(batch.x)
    code = Code(posterior, batch.noise, posterior.sample(batch.noise))
    distortion, of_head = head.record(code, batch.y)
    rate, of_prior = prior.record(code)
    gradient = posterior.pull(batch.noise, head.backward(of_head, per_row))
    prior.backward(of_prior, network.price.slope(beta, rate, batch.weight) * per_row, gradient)
    network.backward(of_encoder, gradient)
    return torch.stack((distortion, rate))
