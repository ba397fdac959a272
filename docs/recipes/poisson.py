"""A likelihood of counts, and the regressor that uses it."""

import numpy as np
import torch

from skvib import VIBRegressor
from skvib.nn.likelihoods import LIKELIHOODS, Likelihood
from skvib.targets import Target


class Poisson(Likelihood):
    """Counts: eta are log-rates (M, n, O); y (M, n, O)."""

    def record(self, eta, y):
        rate = eta.exp()
        return (rate - y * eta + torch.lgamma(y + 1)).sum(-1), (rate, y)

    def backward(self, tape, grad):
        rate, y = tape
        return (rate - y).mul_(grad.unsqueeze(-1))

    def predictive(self, xp, eta):
        return xp.exp(eta).mean(0)


LIKELIHOODS["poisson"] = Poisson


class Counts(Target):
    """Counts, which are not scaled; a row of y has this shape."""

    likelihood = "poisson"
    n_rows_to_hold_out = 20

    def __init__(self, shape):
        self.shape, self.n_outputs = shape, int(np.prod(shape, dtype=int))

    def attributes(self):
        return {"_y_shape": self.shape, "n_outputs_": self.n_outputs}

    def encode(self, y):
        if y.shape[1:] != self.shape:
            raise ValueError(f"y has shape {y.shape}, but the estimator was fitted on (n_samples, {self.n_outputs}).")
        if (y < 0).any():
            raise ValueError("y must hold counts: some are negative.")
        return y.astype(float).reshape(-1, self.n_outputs)


class VIBPoissonRegressor(VIBRegressor):
    """VIBRegressor for counts."""

    def _learned_target(self, y, classes):
        return Counts(y.shape[1:])

    @property
    def _target(self):
        return Counts(self._y_shape)

    def predict(self, X):
        """The expected count of each row."""

        def expected(xp, likelihood, eta):
            return likelihood.predictive(xp, eta).reshape(eta.shape[1], *self._y_shape)

        return self._map_draws(X, expected, np.float64)
