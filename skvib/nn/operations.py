"""What predictions are made of: the operations that a back end has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

NARROW = range(2, 16)  # outputs: BLAS is up to six times as fast with so few before the rows, not behind them
Array = Any


class Operations(Protocol):
    """Those of one kind of array. Beside them arrays have operators, slices, `mean`, `sum`, `reshape` and `T`.

    What a part predicts, it says by these alone, as `predictive(xp, ...)`: another back end is another `xp`.
    """

    def asarray(self, parameter: Tensor) -> Array:
        """A parameter or buffer of a network."""

    def product(self, x: Array, weight: Array, dtype: torch.dtype | None) -> Array:
        """Rows (M, n, d), which may be sparse, times weights (M, d, k); `dtype` is that of a training's products."""

    def matmul(self, a: Array, b: Array) -> Array: ...

    def addcmul(self, a: Array, b: Array, c: Array) -> Array:
        """a + b * c."""

    def subtract(self, a: Array, b: Array, times: float) -> Array:
        """a - times * b."""

    def halves(self, a: Array) -> Sequence[Array]:
        """The first and the second half of the last axis."""

    def permute(self, a: Array, axes: Sequence[int]) -> Array: ...

    def broadcast_to(self, a: Array, shape: Sequence[int]) -> Array: ...

    def concatenate(self, arrays: Sequence[Array], axis: int) -> Array: ...

    def clip(self, a: Array, low: float, high: float) -> Array: ...

    def where(self, condition: Array, a: Array, b: Array) -> Array: ...

    def exp(self, a: Array) -> Array: ...

    def log(self, a: Array) -> Array: ...

    def tanh(self, a: Array) -> Array:
        """It may overwrite its argument, as may `relu`."""

    def sigmoid(self, a: Array) -> Array: ...

    def logsigmoid(self, a: Array) -> Array: ...

    def softplus(self, a: Array) -> Array: ...

    def relu(self, a: Array) -> Array: ...

    def silu(self, a: Array) -> Array: ...

    def gelu(self, a: Array) -> Array: ...

    def softmax(self, a: Array, axis: int) -> Array: ...

    def log_softmax(self, a: Array, axis: int) -> Array: ...

    def logsumexp(self, a: Array, axis: int) -> Array: ...


def product(x: Tensor | Sequence[Any], weight: Tensor, dtype: torch.dtype | None) -> Tensor:
    """Rows (M, n, d) or M SparseRows times weights (M, d, k)."""
    if not isinstance(x, Tensor):
        return torch.stack([rows.product(w) for rows, w in zip(x, weight, strict=True)])
    if dtype is not None:
        return torch.bmm(x.to(dtype), weight.to(dtype)).to(x.dtype)
    return torch.bmm(weight.mT, x.mT).mT if weight.shape[-1] in NARROW else torch.bmm(x, weight)


class Torch:
    """Those of tensors."""

    @staticmethod
    def asarray(parameter: Tensor) -> Tensor:
        return parameter

    @staticmethod
    def subtract(a: Tensor, b: Tensor, times: float) -> Tensor:
        return torch.sub(a, b, alpha=times)

    @staticmethod
    def halves(a: Tensor) -> Sequence[Tensor]:
        return a.chunk(2, -1)

    product = staticmethod(product)
    matmul = staticmethod(torch.bmm)
    addcmul = staticmethod(torch.addcmul)
    permute = staticmethod(torch.permute)
    broadcast_to = staticmethod(torch.broadcast_to)
    concatenate = staticmethod(torch.cat)
    clip = staticmethod(torch.clip)
    where = staticmethod(torch.where)
    exp, log, sigmoid = map(staticmethod, (torch.exp, torch.log, torch.sigmoid))
    # in place: what an activation is of was made for it
    relu, tanh = map(staticmethod, (torch.relu_, torch.tanh_))
    silu = staticmethod(nn.functional.silu)
    gelu = staticmethod(nn.functional.gelu)
    softplus, logsigmoid = map(staticmethod, (nn.functional.softplus, nn.functional.logsigmoid))
    softmax = staticmethod(torch.softmax)
    log_softmax = staticmethod(torch.log_softmax)
    logsumexp = staticmethod(torch.logsumexp)


TORCH: Operations = Torch()  # type: ignore[assignment]  # of a function with overloads mypy sees one
