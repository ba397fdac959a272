"""What a rate costs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor

LEAST_SHARE = 1e-3


class Price(Protocol):
    """What distortion and mean rate come to, in nats; nothing else multiplies by beta."""

    def check(self, betas: Iterable[float]) -> None:
        """Raise a ValueError if it has no meaning at one of them."""

    def can_pay(self, beta: float) -> bool:
        """Whether a code that says something may be worth its price: no nat about x is more than one about y."""

    def loss(self, beta: Any, distortion: Any, rate: Any) -> Any:
        """Of both together, elementwise."""

    def share(self, beta: Tensor, weights: Tensor) -> Tensor:
        """Of row weights (M, n) what counts in the distortion."""

    def slope(self, beta: Tensor, rates: Tensor, weights: Tensor) -> Tensor:
        """u'(mean rate), (M, 1) or for each row (M, n): of the rows' rates and weights (M, n)."""


class Linear:
    """beta nats for each nat (Alemi et al. 2017, equation 17)."""

    def check(self, betas: Iterable[float]) -> None:
        """It has one at all."""

    def can_pay(self, beta: float) -> bool:
        return beta < 1.0

    def loss(self, beta: Any, distortion: Any, rate: Any) -> Any:
        return distortion + beta * rate

    def share(self, beta: Tensor, weights: Tensor) -> Tensor:
        return weights

    def slope(self, beta: Tensor, rates: Tensor, weights: Tensor) -> Tensor:
        return beta


class Square(Linear):
    """beta times the square of the mean rate (Kolchinsky, Tracey and Van Kuyk 2019).

    So a nat costs 2 beta R: nothing at first, and more the more there are.
    """

    def can_pay(self, beta: float) -> bool:
        return True

    def loss(self, beta: Any, distortion: Any, rate: Any) -> Any:
        return distortion + beta * rate * rate

    def slope(self, beta: Tensor, rates: Tensor, weights: Tensor) -> Tensor:
        total = weights.sum(1, keepdim=True).clamp_min(torch.finfo(weights.dtype).tiny)
        # an estimate at draws may be below 0
        return 2.0 * beta * ((weights * rates).sum(1, keepdim=True) / total).clamp_min(0.0)


class Conditional(Linear):
    """(1 - beta) D + beta R of a residual rate R.

    The Conditional Entropy Bottleneck (Fischer 2020) at gamma = beta / (1 - beta), times 1 - beta: it is finite up to
    beta = 1 and has the same stationary points as D + beta R of a rate that bounds I(X;Z). There the decoder still
    learns, by a small share.
    """

    def check(self, betas: Iterable[float]) -> None:
        if max(betas) > 1.0:
            raise ValueError(
                f'latent_prior="class" weighs distortion by 1 - beta: beta must be at most 1; got {max(betas):g}.'
            )

    def loss(self, beta: Any, distortion: Any, rate: Any) -> Any:
        return (1.0 - beta) * distortion + beta * rate

    def share(self, beta: Tensor, weights: Tensor) -> Tensor:
        return (1.0 - beta).clamp_min(LEAST_SHARE) * weights


RATE_FUNCTIONS: dict[str, type[Linear]] = {"linear": Linear, "square": Square}
