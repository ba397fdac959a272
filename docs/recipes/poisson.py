"""A likelihood of counts, and the regressor that uses it."""

import numpy as np
import torch

from skvib import VIBRegressor
from skvib.nn.likelihoods import LIKELIHOODS, Likelihood


class Poisson(Likelihood):
    """Counts: eta are log-rates (M, n, O); y (M, n, O)."""

    def record(self, eta, y):
        rate = eta.exp()
        return (rate - y * eta + torch.lgamma(y + 1)).sum(-1), (rate, y)

    def backward(self, tape, grad):
        rate, y = tape
        return (rate - y).mul_(grad.unsqueeze(-1))

    def summarize(self, eta):
        return eta.exp().mean(0)


LIKELIHOODS["poisson"] = Poisson


class VIBPoissonRegressor(VIBRegressor):
    """VIBRegressor for counts."""

    def _likelihood(self):
        return "poisson"

    def _encode_targets(self, y):
        counts = super()._encode_targets(y)
        if (counts < 0).any():
            raise ValueError("y must hold counts: some are negative.")
        return counts

    # counts are not standardised, in a fit or in a stream, and have no units

    def _learn_scale(self, targets, weights):
        pass

    def _follow_targets(self, targets, weights):
        pass

    def _scale_targets(self, targets):
        return targets

    def _units(self):
        return 0.0

    def _entropy(self, targets, weights):
        return None

    def predict(self, X):
        """The expected count of each row."""

        def expected(likelihood, eta):
            return likelihood.summarize(eta).view(eta.shape[1], *self._y_shape)

        return self._map_draws(X, expected, np.float64)
