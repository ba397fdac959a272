"""What the decoder says of the target: q(y|z)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from skvib.nn.layers import UNIT_SOFTPLUS, RowValues, SharedByRows, StackedLinear, inverse_softplus, zeros
from skvib.nn.operations import TORCH, Array, Operations
from skvib.nn.parts import Parameter, Part

NOISE_FLOOR = 1e-3
NOISE_SPEED = 10.0  # Adam moves every parameter alike, and a lone scale has further to go than a weight
LOGIT_SPEED = 10.0
FIRST_POWER, LEAST_SHARE = 2.0, 0.03
HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


class Likelihood(Part, ABC):
    """q(y|z): what a decoder's output says of a target.

    A new one has the methods marked abstract; the others follow from them. `n_parameters` is how many numbers it
    needs of the decoder. All densities are in nats and summed over the outputs of a row.

    Parameters
    ----------
    n_networks : int
        M, how many networks it serves at once; the first axis of every parameter of its own.
    n_outputs : int
        Classes, labels or targets of a row.
    row_values : RowValues, optional
        Where a parameter of its own depends on the row's beta, how.
    """

    n_parameters: int
    # how much longer the steps of the decoder's last layer are than those of others. The prior pins the scale of z, so
    # logits need large weights, and Adam moves every weight alike
    output_speed: ClassVar[float] = 1.0

    def __init__(self, n_networks: int, n_outputs: int, row_values: RowValues | None = None) -> None:
        super().__init__()
        self.n_parameters = n_outputs

    @abstractmethod
    def record(self, eta: Tensor, y: Tensor) -> tuple[Tensor, Any]:
        """-log q(y|z), (M, n), of the decoder's output eta (M, n, n_parameters); and what `backward` needs."""

    @abstractmethod
    def backward(self, tape: Any, grad: Tensor) -> Tensor:
        """The gradient of sum(grad * -log q(y|z)) by eta; that of its own parameters it writes into their `grad`."""

    @abstractmethod
    def predictive(self, xp: Operations, eta: Array) -> Array:
        """The mean of y, or the probabilities of its values, over S draws: (S, n, n_parameters) -> (n, ...).

        `xp` holds the operations of torch or of another back end, as `xp.exp(eta)`.
        """

    def set_progress(self, progress: float) -> None:
        """How much of its training is over, in [0, 1]: `backward` may ease the beginning, and is exact at 1."""

    def log_likelihood(self, eta: Tensor, y: Tensor) -> Tensor:
        """log q(y|z), (M, n), of the targets y (n, ...) with eta (M, n, n_parameters) or, one for all, (M, 1, ...)."""
        return -self.record(eta.expand(-1, len(y), -1), y.expand(len(eta), *y.shape))[0]

    def restandardize(self, layer: StackedLinear, ratio: Tensor, shift: Tensor) -> None:
        """Change the decoder's last layer so that targets whose u is now ratio * u + shift are said the same of."""


class Categorical(Likelihood):
    """One of C classes: eta are the logits (M, n, C); y (M, n) holds class indices."""

    output_speed = LOGIT_SPEED

    def record(self, eta: Tensor, y: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        # classes before rows: torch's softmax over a short last axis is ten times slower
        log_p = torch.log_softmax(eta.mT, 1)
        index = y.unsqueeze(1)
        return -log_p.gather(1, index).squeeze(1), (log_p, index)

    def backward(self, tape: tuple[Tensor, Tensor], grad: Tensor) -> Tensor:
        log_p, index = tape
        grad = grad.unsqueeze(1)
        return log_p.exp().mul_(grad).scatter_add_(1, index, -grad).mT

    def log_likelihood(self, eta: Tensor, y: Tensor) -> Tensor:
        log_p = torch.log_softmax(eta.mT, 1)  # once for a code, however many targets it meets
        return log_p.expand(-1, -1, len(y)).gather(1, y.expand(len(eta), 1, -1)).squeeze(1)

    def predictive(self, xp: Operations, eta: Array) -> Array:
        """Mean of q(c|z) over draws, (S, n, C) -> (n, C)."""
        return xp.softmax(xp.permute(eta, (2, 0, 1)), 0).mean(1).T

    def log_predictive(self, xp: Operations, eta: Array) -> Array:
        """Its logarithm."""
        log_p = xp.log_softmax(xp.permute(eta, (2, 0, 1)), 0)
        return xp.logsumexp(log_p, 1).T - math.log(len(eta))


class Bernoulli(Likelihood):
    """L independent labels: eta are the logits (M, n, L); y (M, n, L) holds zeros and ones."""

    output_speed = LOGIT_SPEED

    def record(self, eta: Tensor, y: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        return (nn.functional.softplus(eta) - y * eta).sum(-1), (eta, y)

    def backward(self, tape: tuple[Tensor, Tensor], grad: Tensor) -> Tensor:
        eta, y = tape
        return (eta.sigmoid() - y).mul_(grad.unsqueeze(-1))

    def predictive(self, xp: Operations, eta: Array) -> Array:
        """Mean of q(1|z) of each label over draws, (S, n, L) -> (n, L)."""
        return xp.sigmoid(eta).mean(0)

    def log_predictive(self, xp: Operations, eta: Array) -> Array:
        """Its logarithm."""
        return xp.logsumexp(xp.logsigmoid(eta), 0) - math.log(len(eta))


class Gaussian(Likelihood):
    """Independent normal outputs with learned noise s = softplus(raw) + floor; y is (M, n, O).

    Where some outputs are not known y is (M, n, 2 O): the targets, and 1 for one that is known, else 0. In place of a
    target that is not known stands a number that is its loss.
    Homoscedastic: eta is the mean and raw a parameter of the network. Heteroscedastic: eta = (mean, raw).
    """

    heteroscedastic: ClassVar[bool] = False

    def __init__(self, n_networks: int, n_outputs: int, row_values: RowValues | None = None) -> None:
        super().__init__(n_networks, n_outputs * (2 if self.heteroscedastic else 1))
        self.n_outputs = n_outputs
        if not self.heteroscedastic:
            self.row_values = row_values or SharedByRows()
            self.raw_scale = Parameter(zeros(n_networks, self.row_values.n_values, n_outputs))

    def moments(self, xp: Operations, eta: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of q(y|z), each (M, n, O) or broadcast to it."""
        mean, raw = self._mean_and_raw(xp, eta)
        return mean, xp.softplus(raw + UNIT_SOFTPLUS) + NOISE_FLOOR

    def _mean_and_raw(self, xp: Operations, eta: Array) -> tuple[Array, Array]:
        if self.heteroscedastic:
            mean, raw = xp.halves(eta)
            return mean, raw
        return eta, NOISE_SPEED * self.row_values.spread(xp.asarray(self.raw_scale), eta.shape[1])

    def record(self, eta: Tensor, y: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor, Tensor | None]]:
        y, known = (y, None) if y.shape[-1] == self.n_outputs else y.tensor_split(2, -1)
        mean, scale = self.moments(TORCH, eta)
        error = (mean - y) / scale
        of_outputs = 0.5 * error * error + scale.log() + HALF_LOG_2PI
        if known is not None:
            of_outputs = torch.where(known > 0, of_outputs, y)
        return of_outputs.sum(-1), (eta, error, scale, known)

    def backward(self, tape: tuple[Tensor, Tensor, Tensor, Tensor | None], grad: Tensor) -> Tensor:
        eta, error, scale, known = tape
        grad = grad.unsqueeze(-1) if known is None else grad.unsqueeze(-1) * known
        grad = self._eased(grad, scale) / scale
        grad_mean, grad_scale = grad * error, grad * (1.0 - error * error)
        slope = (self._mean_and_raw(TORCH, eta)[1] + UNIT_SOFTPLUS).sigmoid()
        if self.heteroscedastic:
            return torch.cat([grad_mean, grad_scale * slope], -1)
        self.row_values.gather(grad_scale * (NOISE_SPEED * slope), self.raw_scale.grad)
        return grad_mean

    def _eased(self, grad: Tensor, scale: Tensor) -> Tensor:
        """The gradient of each row and output, in the part of it that is used at this stage of the training."""
        return grad

    def predictive(self, xp: Operations, eta: Array) -> Array:
        """The mean over draws, (S, n, n_parameters) -> (n, O)."""
        return self._mean_and_raw(xp, eta)[0].mean(0)

    def fold_into(self, folded: Gaussian, mix: Tensor) -> None:
        if not self.heteroscedastic:
            folded.raw_scale.copy_(torch.bmm(mix, self.raw_scale))

    def restandardize(self, layer: StackedLinear, ratio: Tensor, shift: Tensor) -> None:
        """Means change exactly; the noise of a heteroscedastic one to first order about that of the layer's bias."""
        ratio, shift = ratio.to(layer.bias), shift.to(layer.bias)
        n_outputs = len(ratio)
        mean_bias, mean_weight = layer.bias[..., :n_outputs], layer.weight[..., :n_outputs]
        mean_bias.sub_(shift).div_(ratio)
        mean_weight.div_(ratio)
        raw = layer.bias[..., n_outputs:] if self.heteroscedastic else NOISE_SPEED * self.raw_scale
        scale = (nn.functional.softplus(raw + UNIT_SOFTPLUS) + NOISE_FLOOR) / ratio - NOISE_FLOOR
        narrowed = inverse_softplus(scale.clamp_min(NOISE_FLOOR)) - UNIT_SOFTPLUS
        if self.heteroscedastic:
            slope = (raw + UNIT_SOFTPLUS).sigmoid() / ratio / (narrowed + UNIT_SOFTPLUS).sigmoid()
            layer.weight[..., n_outputs:].mul_(slope)
            raw.copy_(narrowed)
        else:
            self.raw_scale.copy_(narrowed / NOISE_SPEED)


class HeteroscedasticGaussian(Gaussian):
    """A Gaussian whose noise is a function of z.

    Where s is large the mean has hardly a gradient, is not learned, and s stays large. So training begins with
    gradients times the square of s over the largest s of the batch, as if the error were squared and its noise that of
    the noisiest row; and this power falls to 0. No row keeps less than a share of its gradient, or a few wild rows
    would make beta too dear for all others. Seitzer et al. (2022) keep a power of s itself, which makes beta dearer
    even where the noise is the same everywhere; there this changes nothing.
    """

    heteroscedastic = True
    _power = 0.0  # of s over the largest: the share of its gradient that a row has

    def set_progress(self, progress: float) -> None:
        self._power = FIRST_POWER * (1.0 - progress)

    def _eased(self, grad: Tensor, scale: Tensor) -> Tensor:
        if not self._power:
            return grad
        largest = torch.where(grad > 0, scale, 0.0).amax(1, keepdim=True)  # rows of no weight only fill the batch
        return grad * ((scale / largest) ** self._power).clamp_(LEAST_SHARE, 1.0)


LIKELIHOODS: dict[str, type[Likelihood]] = {
    "categorical": Categorical,
    "bernoulli": Bernoulli,
    "homoscedastic": Gaussian,
    "heteroscedastic": HeteroscedasticGaussian,
}
