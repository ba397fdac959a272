r"""The objective of the Variational Information Bottleneck and its gradient in closed form.

For a row (x, y) of weight w, with z = mu + sigma * noise and beta the price of a nat,

    loss = distortion + beta * rate,
    distortion = -log q(y|z),
    rate = KL(q(z|x) || N(0, I))

(Alemi et al. 2017, equation 17; beta multiplies the rate, and both are in nats). A batch averages w * loss
over its rows and over the draws of noise. It is divided by its number of rows times the mean weight of the whole
training set, never by its own weight sum, which would bias it towards batches of light rows.

Distortion is what the heads say, the rate what the prior says, and its cost what the price says. On the way back the
heads' gradients by z become one of the posterior, to which the prior adds its own. Derivatives are written out since
the per-operation overhead of autograd costs a small network more than its arithmetic does; the tests hold every one of
them against autograd.
"""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

from skvib.nn.network import VIBNetwork
from skvib.nn.posteriors import Code
from skvib.nn.rows import Batch


class Term(NamedTuple):
    """What it is of each row, and the weight of the row in it, (M, n)."""

    values: Tensor
    weights: Tensor


def loss_terms(network: VIBNetwork, batch: Batch, beta: Tensor) -> list[Term]:
    """What each head says of the rows, and their rates at last, nats.

    Writes the gradient of sum(weight * loss) / n_rows, for beta (M, 1) or (M, n), into the parameters' `grad`.
    """
    rows, noise, n_rows = batch
    posterior, of_encoder = network.record(rows.inputs)
    code = Code(posterior, noise, posterior.sample(noise))
    recorded = {name: head.record(code, rows.targets[name]) for name, head in network.heads.items()}
    rate, of_prior = network.prior.record(code)
    of_z = [head.backward(recorded[name][1], rows.share(name) / n_rows) for name, head in network.heads.items()]
    gradient = posterior.pull(noise, reduce(torch.add, of_z))
    slope = network.price.slope(beta, rate, rows.weights)
    network.prior.backward(of_prior, slope * (rows.weights / n_rows), gradient)
    network.backward(of_encoder, gradient)
    return [*(Term(values, rows.share(name)) for name, (values, _) in recorded.items()), Term(rate, rows.weights)]
