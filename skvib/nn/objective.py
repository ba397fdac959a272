r"""The objective of the Variational Information Bottleneck and its gradient in closed form.

For a row (x, y) of weight w, with z = mu + sigma * noise and beta the price of a nat,

    loss = distortion + beta * rate,
    distortion = -log q(y|z),
    rate = KL(q(z|x) || p(z))

(Alemi et al. 2017, equation 17; both are in nats); another price may weigh them otherwise. A batch averages w * loss
over its rows and over the draws of noise. It is divided by its number of rows times the mean weight of the whole
training set, never by its own weight sum, which would bias it towards batches of light rows.

Distortion is what the heads say, the rate what the prior says, and its cost what the price says. Further terms, such as
what a code tells of a nuisance, have prices of their own. On the way back the heads' gradients by z become one of the
posterior, to which the prior and further terms add their own. Derivatives are written out since the per-operation
overhead of autograd costs a small network more than its arithmetic does; the tests hold every one of them against
autograd.
"""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor

from skvib.nn.network import VIBNetwork
from skvib.nn.posteriors import Code
from skvib.nn.rows import Batch


def loss_terms(network: VIBNetwork, batch: Batch, beta: Tensor) -> Tensor:
    """What each head says of the rows, the terms of the prior, and at last further ones, (T, M, n), nats.

    Writes the gradient of sum(weight * loss) / n_rows, for beta (M, 1) or (M, n), into the parameters' `grad`.
    """
    (rows, noise, n_rows), heads, prior = batch, network.heads.items(), network.prior
    posterior, of_encoder = network.record(rows.inputs)
    code = Code(posterior, noise, posterior.sample(noise))
    values, tapes = zip(*[head.record(code, rows, name) for name, head in heads], strict=True)
    (paid, *others), of_prior = prior.record(code, rows)
    further = [(term, *term.record(code, rows)) for term in network.further]
    per_row = rows.weights / n_rows
    counted = network.price.share(beta, per_row)
    shares = [
        network.price.share(beta, rows.shares[name] / n_rows) if name in rows.shares else counted for name, _ in heads
    ]
    of_z = [head.backward(*given) for (_, head), *given in zip(heads, tapes, shares, strict=True)]
    gradient = posterior.pull(noise, reduce(torch.add, of_z))
    prior.backward(of_prior, network.price.slope(beta, paid, rows.weights) * per_row, gradient)
    for term, _, of_term in further:
        term.backward(of_term, per_row, gradient)
    network.backward(of_encoder, gradient)
    return torch.stack((*values, paid, *others, *(value for _, value, _ in further)))
