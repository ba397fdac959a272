"""The rows that a measure is of, their posteriors, and the generator of all draws."""

import copy

import numpy as np
from sklearn.utils import check_consistent_length, check_random_state

from skvib.containers import rows_of, take, targets_array
from skvib.information.estimates import Estimate, shares_of
from skvib.unlabelled import rows_with_target
from skvib.wrapped import unwrapped

CHUNK_ROWS = 2**14


class Sample:
    """Rows of positive weight, the estimator that encodes them, and the generator of all draws."""

    def __init__(self, estimator, X, y, sample_weight, random_state, *, is_target=True):
        self.prepare, self.vib = unwrapped(estimator)
        if y is not None:
            check_consistent_length(X, y, sample_weight)
            if is_target:
                X, y, sample_weight = rows_with_target(X, y, sample_weight, getattr(self.vib, "missing_label", None))
            y = targets_array(y)
        X = rows_of(X)
        check_consistent_length(X, y, sample_weight)
        shares = shares_of(sample_weight, X.shape[0])
        kept = np.flatnonzero(shares)
        if len(kept) < 2:
            raise ValueError(f"Information needs at least two rows of positive weight; got {len(kept)}.")
        self.rng = np.random.default_rng(check_random_state(random_state).randint(2**31 - 1))
        self._set(X, y, shares, kept)

    def _set(self, X, y, shares, kept):
        self.n = len(kept)
        everything = self.n == X.shape[0]
        self.X = X if everything else take(X, kept)
        self.y = y if everything or y is None else y[kept]
        self.shares = shares[kept] / shares[kept].sum()

    @property
    def has_labels(self):
        return self.y is not None and hasattr(self.vib, "classes_") and self.vib.n_outputs_ == 1

    def encode(self, X):
        return self.vib.encode(self.prepare(X))

    def chunks(self):
        """Some rows at a time: their indices, and what the estimator takes."""
        for start in range(0, self.n, CHUNK_ROWS):
            rows = np.arange(start, min(start + CHUNK_ROWS, self.n))
            yield rows, self.prepare(take(self.X, rows))

    def measure(self, n_draws):
        """Rates and, with a target, log q(y|z) averaged over draws of z, (n,), of all rows."""
        rates, log_q = np.empty((2, self.n))
        for rows, X in self.chunks():
            rates[rows] = self.vib.rate_samples(X)
            if self.y is not None:
                log_q[rows], (mu, sigma) = 0.0, self.vib.encode(X)
                for _ in range(n_draws):
                    z = mu + sigma * self.rng.standard_normal(mu.shape, dtype=mu.dtype)
                    log_q[rows] += self.vib.log_likelihood_latent(z, self.y[rows]) / n_draws
        return rates, log_q

    def measure_rates(self):
        """The rate of each latent dimension."""
        total = squares = crossed = 0.0
        for rows, X in self.chunks():
            rates, shares = self.vib.latent_rate_samples(X).astype(float), self.shares[rows]
            total = total + shares @ rates
            crossed = crossed + shares**2 @ rates
            squares = squares + shares**2 @ rates**2
        spread = squares - 2.0 * total * crossed + total**2 * (self.shares @ self.shares)
        return [Estimate(*part) for part in zip(total, np.sqrt(np.maximum(spread, 0.0)), strict=True)]

    def paired(self, max_rows):
        """At most `max_rows` of the rows, with their posteriors, in float64."""
        pairs = copy.copy(self)
        kept = np.arange(self.n) if self.n <= max_rows else np.sort(self.rng.permutation(self.n)[:max_rows])
        pairs._set(self.X, self.y, self.shares, kept)
        pairs.mu, pairs.sigma = (part.astype(float) for part in pairs.encode(pairs.X))
        return pairs

    def noise(self):
        return self.rng.standard_normal(self.mu.shape)

    def draw(self):
        return self.mu + self.sigma * self.noise()

    def others(self, n_replacements):
        """Arrays of rows, (n,), in each of which every row meets another one."""
        return [np.roll(np.arange(self.n), 1 + shift) for shift in self.rng.permutation(self.n - 1)[:n_replacements]]
