"""What a rate costs."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor


class Price(Protocol):
    """The cost u of a network's mean rate, in nats; nothing else multiplies by beta."""

    def cost(self, beta: Any, rate: Any) -> Any:
        """u(rate), elementwise."""

    def slope(self, beta: Tensor, rates: Tensor, weights: Tensor) -> Tensor:
        """u'(mean rate), (M, 1) or for each row (M, n): of the rows' rates and weights (M, n)."""


class Linear:
    """beta nats for each nat (Alemi et al. 2017, equation 17)."""

    def cost(self, beta: Any, rate: Any) -> Any:
        return beta * rate

    def slope(self, beta: Tensor, rates: Tensor, weights: Tensor) -> Tensor:
        return beta
