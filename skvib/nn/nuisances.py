"""I(Z;S): what a code tells of a nuisance, in a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from skvib.nn.layers import Inputs
from skvib.nn.operations import TORCH
from skvib.nn.parts import Part
from skvib.nn.posteriors import Code, Diagonal
from skvib.nn.priors import Components, log_joint_of
from skvib.nn.rows import NUISANCE, Rows


class NuisanceTerm(Part):
    """I(Z;S) of a batch as if there were no other rows, at a price for each network, `prices` (M, 1).

    With groups s of rows, and q(z|s) and q(z) the mixtures of the posteriors of a group and of all rows, it is the mean
    of log q(z|s) - log q(z) at the draws of the code (after Nguyen et al. 2022, who compare two domains).
    """

    terms: ClassVar[tuple[str, ...]] = ("nuisance_information",)
    prices: Tensor

    def __init__(self, prices: Sequence[float]) -> None:
        super().__init__()
        of_networks = torch.tensor(prices, dtype=torch.float64, device="cpu")[:, None]
        self.register_buffer("prices", of_networks, persistent=False)

    def record(self, code: Code, rows: Rows[Inputs]) -> tuple[Tensor, Any]:
        """Its mean over the draws of each row, (M, n), nats; and what `backward` needs."""
        (mu, sigma), draws = code.posterior, code.z.flatten(1, 2)
        group, n_draws = rows.targets[NUISANCE], code.z.shape[1]
        is_own = (group.unsqueeze(-1) == group.unsqueeze(-2)).to(mu)
        precision = (sigma * sigma).reciprocal()
        log_weights = rows.weights.clamp_min(torch.finfo(mu.dtype).tiny).log()
        posteriors = Components(log_weights, mu, sigma, precision)
        of_all = torch.softmax(log_joint_of(TORCH, posteriors, draws), -1).unflatten(1, (n_draws, -1))
        of_own = of_all * is_own.unsqueeze(1)
        own = of_own.sum(-1, keepdim=True).clamp_min(torch.finfo(mu.dtype).tiny)
        share = (is_own @ rows.weights.unsqueeze(-1)) / rows.weights.sum(1)[:, None, None]
        information = own.log() - share.clamp_min(torch.finfo(mu.dtype).tiny).log().unsqueeze(1)
        return information.squeeze(-1).mean(1), (code, draws, precision, of_own / own - of_all)

    def backward(self, tape: Any, grad: Tensor, gradient: Diagonal) -> None:
        """Add the gradient of sum(price * grad * information), grad (M, n), to the posterior's."""
        code, draws, precision, excess = tape
        (mu, sigma), n_draws = code.posterior, code.z.shape[1]
        excess = (excess * (self.prices * grad / n_draws)[:, None, :, None]).flatten(1, 2)
        of_draws = torch.bmm(excess, precision * mu).sub_(draws * torch.bmm(excess, precision))
        own = code.posterior.pull(code.noise, of_draws.view_as(code.z))
        total = excess.sum(1).unsqueeze(-1)
        sums, squares = torch.bmm(excess.mT, draws), torch.bmm(excess.mT, draws * draws)
        gradient.mu.add_(own.mu).add_(precision * (sums - total * mu))
        errors = squares - 2.0 * mu * sums + total * mu * mu
        gradient.sigma.add_(own.sigma).add_((errors * precision - total) / sigma)
