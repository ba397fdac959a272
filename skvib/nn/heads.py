"""What reads a code: a decoder, and a likelihood of what it says of the rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from skvib.nn.layers import MakeLinear, StackedMLP
from skvib.nn.likelihoods import Likelihood
from skvib.nn.operations import TORCH, Array, Operations
from skvib.nn.parts import Part
from skvib.nn.posteriors import Code, Diagonal
from skvib.nn.rows import GUESSED, Rows

GUESS_FROM, LEAST = 0.2, 1e-12


class Decoder(StackedMLP):
    """From codes; a network of a smaller latent size has the first inputs alone."""

    def __init__(self, latent_dims: Sequence[int], widths: Sequence[int], activation: str, linear: MakeLinear) -> None:
        super().__init__((max(latent_dims), *widths), activation, True, linear)
        self.latent_dims = tuple(latent_dims)

    def latent_masks(self, used: Tensor) -> dict[nn.Parameter, Tensor]:
        return {self.layers[0].weight: used.unsqueeze(1)}

    def n_inputs_of(self, network: int) -> int:
        return self.latent_dims[network]


class Head(Part):
    """-log q(column | z), of a column of the rows and a draw of the code; histories call it `term`."""

    def __init__(self, term: str, likelihood: Likelihood, decoder: Decoder) -> None:
        super().__init__()
        self.term, self.likelihood, self.decoder = term, likelihood, decoder

    def record(self, code: Code, rows: Rows[Any], column: str) -> tuple[Tensor, Any]:
        """Its mean over the draws, (M, n), of a column of the rows; and what `backward` needs."""
        n_draws = code.z.shape[1]
        eta, of_decoder = self.decoder.record(code.z.flatten(1, 2))
        distortion, of_likelihood = self.likelihood.record(eta, repeat_rows(rows.targets[column], n_draws))
        return distortion.unflatten(1, (n_draws, -1)).mean(1), (of_decoder, of_likelihood, code.z)

    def backward(self, tape: Any, grad: Tensor) -> Tensor:
        """The gradient of sum(grad * distortion), grad (M, n), by z; that of its own parameters it writes."""
        of_decoder, of_likelihood, z = tape
        return self.decoder.backward(of_decoder, self._of_eta(of_likelihood, grad, z.shape[1])).view_as(z)

    def _of_eta(self, of_likelihood: Any, grad: Tensor, n_draws: int) -> Tensor:
        return self.likelihood.backward(of_likelihood, repeat_rows(grad * (1.0 / n_draws), n_draws))

    def start(self, network: int, rows: Rows[Any], column: str) -> None:
        """What one network has to know of its rows before it trains."""

    def set_progress(self, progress: float) -> None:
        """How much of its training is over, in [0, 1]."""
        self.likelihood.set_progress(progress)

    def speeds(self) -> Iterator[tuple[nn.Parameter, float]]:
        """What takes longer steps, and how much: the decoder's last layer."""
        return ((p, self.likelihood.output_speed) for p in self.decoder.layers[-1].hastened())

    def predictive(self, xp: Operations, posterior: Diagonal, points: Array) -> Array:
        """Decode z = mu + sigma * point for each row and point, (M, S, latent_dim) -> (M, S, n, n_parameters).

        A linear decoder W needs no z: the draws of all rows are W mu + b + (W * point) sigma, two products.
        The parameters come first in memory, which makes a softmax over them ten times faster.
        """
        (mu, sigma), (n_networks, n_points, latent_dim) = posterior, points.shape
        if len(self.decoder.layers) > 1:
            z = xp.addcmul(mu[:, None], points[:, :, None], sigma[:, None])
            eta = self.decoder.predictive(xp, z.reshape(n_networks, -1, latent_dim))
            return eta.reshape(n_networks, n_points, -1, eta.shape[-1])
        weight = xp.permute(xp.asarray(self.decoder.layers[0].weight), (0, 2, 1))
        spread = (weight[:, :, None] * points[:, None]).reshape(n_networks, -1, latent_dim)
        eta = xp.matmul(spread, xp.permute(sigma, (0, 2, 1))).reshape(n_networks, -1, n_points, sigma.shape[1])
        eta += xp.permute(self.decoder.predictive(xp, mu), (0, 2, 1))[:, :, None]
        return xp.permute(eta, (0, 2, 3, 1))

    def log_likelihood(self, posterior: Diagonal, y: Tensor, points: Tensor) -> Tensor:
        """log of the mean over points of q(y|z), the posterior predictive, (M, n), nats."""
        n_points = points.shape[1]
        eta = self.predictive(TORCH, posterior, points).flatten(1, 2)
        distortion, _ = self.likelihood.record(eta, repeat_rows(y, n_points))
        return torch.logsumexp(-distortion.unflatten(1, (n_points, -1)), 1) - math.log(n_points)


class GuessingHead(Head):
    """A head of labels that some rows lack: its loss includes that of guessing them.

    That is the mean over all rows of 1 - sum_c q(c|z)^2, the chance that two guesses differ, and the divergence of the
    mean of q(c|z) from the shares of the labels that are known: predictions shall be sure of each row, and as frequent
    as labels are (after Grandvalet and Bengio 2005, and Krause, Perona and Gomes 2010, whose entropy made them far too
    sure where labels are few). It is times the rows' share `GUESSED`, and sets in with the first fifth of the training.
    """

    shares: Tensor  # of the classes, (M, C)

    def __init__(self, term: str, likelihood: Likelihood, decoder: Decoder) -> None:
        super().__init__(term, likelihood, decoder)
        of_class = torch.ones(len(decoder.latent_dims), likelihood.n_parameters, device="cpu")
        self.register_buffer("shares", of_class / likelihood.n_parameters, persistent=False)
        self._progress = 1.0

    def start(self, network: int, rows: Rows[Any], column: str) -> None:
        weight, n_classes = rows.share(column), self.shares.shape[1]
        counts = torch.bincount(rows.targets[column], weight.double(), n_classes) + weight.max() / n_classes
        self.shares[network] = counts / counts.sum()

    def set_progress(self, progress: float) -> None:
        super().set_progress(progress)
        self._progress = min(1.0, progress / GUESS_FROM)

    def record(self, code: Code, rows: Rows[Any], column: str) -> tuple[Tensor, Any]:
        distortion, (of_decoder, of_likelihood, z) = super().record(code, rows, column)
        guesses = None
        if GUESSED in rows.shares:
            total = rows.weights.sum(1, keepdim=True).clamp_min(torch.finfo(rows.weights.dtype).tiny)
            guesses = rows.shares[GUESSED] / total
        return distortion, (of_decoder, (of_likelihood, guesses), z)

    def _of_eta(self, tape: Any, grad: Tensor, n_draws: int) -> Tensor:
        of_likelihood, weights = tape
        of_eta = super()._of_eta(of_likelihood, grad, n_draws)
        if weights is None:
            return of_eta
        log_p, _ = of_likelihood
        p = log_p.exp()  # (M, C, S n)
        weights = repeat_rows(weights * (self._progress / n_draws), n_draws).unsqueeze(1)
        mean = (p * weights).sum(2, keepdim=True) / weights.sum(2, keepdim=True).clamp_min(LEAST)
        of_p = weights * (torch.log(mean.clamp_min(LEAST) / self.shares.unsqueeze(2)) - 2.0 * p)
        return of_eta + (p * (of_p - (p * of_p).sum(1, keepdim=True))).mT


def repeat_rows(y: Tensor, times: int) -> Tensor:
    """(M, n, ...) for each of `times` draws of z, (M, times * n, ...)."""
    if times == 1:
        return y
    return y.unsqueeze(1).expand(-1, times, *(-1,) * (y.ndim - 1)).flatten(1, 2)
