"""Pairwise bounds of mutual information over a sample of rows, and estimates with their standard errors.

Z is the code and q(z|x) its posterior. The bounds follow Poole, Ozair, van den Oord, Alemi and Tucker, On Variational
Bounds of Mutual Information, ICML 2019. All in nats and in log space.
"""

import copy

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils import check_consistent_length, check_random_state

from skvib.rows import rows_of, take, targets_array

CHUNK_ROWS = 2**14
PAIR_ELEMENTS = 2**22


class Estimate(float):
    """A number with its standard error.

    It is a float in every other respect.

    Parameters
    ----------
    value : float
        The estimate.
    standard_error : float
        Its standard error, in the same unit.

    See Also
    --------
    mutual_information : Returns estimates.

    Examples
    --------
    >>> from skvib import Estimate
    >>> rate = Estimate(1.5, standard_error=0.02)
    >>> rate, rate.standard_error, rate + 1
    (1.5 ± 0.02, 0.02, 2.5)
    """

    def __new__(cls, value, standard_error):
        estimate = super().__new__(cls, value)
        estimate.standard_error = float(standard_error)
        return estimate

    def __getnewargs__(self):
        return float(self), self.standard_error

    def __repr__(self):
        return f"{float(self):.4g} ± {self.standard_error:.1g}"


def shares_of(sample_weight, n):
    """Weights that add up to 1."""
    weights = np.ones(n) if sample_weight is None else np.asarray(sample_weight, dtype=float)
    if weights.shape != (n,) or not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise ValueError("sample_weight must be one non-negative finite number for each row, and not all zero.")
    return weights / weights.sum()


def weighted_mean(values, sample_weight=None):
    """The weighted mean of values of independent rows, with its standard error."""
    return mean_of(values, shares_of(sample_weight, len(values)))


def values_and_errors(estimates):
    """Arrays of the values and of the standard errors."""
    return np.array(estimates, dtype=float), np.array([estimate.standard_error for estimate in estimates])


def mean_of(values, shares, influence=None):
    """The mean under shares of values of independent rows; their centred influence makes the standard error."""
    mean = shares @ values
    return Estimate(mean, np.sqrt(np.square(shares) @ np.square(values - mean if influence is None else influence)))


def best_and_compressed(betas, scores, errors):
    """The largest beta of the best score, and the largest one within a standard error of it (Breiman et al. 1984)."""
    best = int(np.nanargmax(scores))
    return tuple(float(betas[scores >= scores[best] - slack].max()) for slack in (0.0, errors[best]))


def unwrapped(estimator):
    """What prepares X for the VIB estimator inside searches and Pipelines, and that estimator."""
    steps = []
    while not hasattr(estimator, "encode"):
        if isinstance(estimator, Pipeline):
            steps += prediction_steps(estimator)
            estimator = estimator[-1]
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        else:
            raise TypeError(
                f"{type(estimator).__name__} is no VIBClassifier or VIBRegressor, nor a Pipeline that ends in one or "
                "a fitted search over one."
            )

    return prepared_by(steps), estimator


def prepared_by(steps):
    """The function that sends X through these steps."""

    def prepare(X):
        for step in steps:
            X = step.transform(X)
        return X

    return prepare


def at_the_end_of(estimator):
    """What prepares X for the last step of a Pipeline, or of one within another, and that step; or the estimator."""
    steps = []
    while isinstance(estimator, Pipeline):
        steps += prediction_steps(estimator)
        estimator = estimator[-1]
    return prepared_by(steps), estimator


def prediction_steps(pipeline):
    """The steps before the last that act at prediction time: neither "passthrough" nor resamplers."""
    steps = [step for _, step in pipeline.steps[:-1]]
    return [step for step in steps if step not in (None, "passthrough") and not hasattr(step, "fit_resample")]


class Sample:
    """Rows of positive weight, the estimator that encodes them, and the generator of all draws."""

    def __init__(self, estimator, X, y, sample_weight, random_state):
        self.prepare, self.vib = unwrapped(estimator)
        X = rows_of(X)
        y = None if y is None else targets_array(y)
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
        """Some rows at a time: their indices and their posterior."""
        for start in range(0, self.n, CHUNK_ROWS):
            rows = np.arange(start, min(start + CHUNK_ROWS, self.n))
            yield rows, *self.encode(take(self.X, rows))

    def measure(self, n_draws):
        """Rates and, with a target, log q(y|z) averaged over draws of z, (n,), of all rows."""
        rates, log_q = np.empty((2, self.n))
        for rows, mu, sigma in self.chunks():
            rates[rows] = rates_of(mu, sigma).sum(axis=1)
            if self.y is not None:
                log_q[rows] = 0.0
                for _ in range(n_draws):
                    z = mu + sigma * self.rng.standard_normal(mu.shape, dtype=mu.dtype)
                    log_q[rows] += self.vib.log_likelihood_latent(z, self.y[rows]) / n_draws
        return rates, log_q

    def measure_rates(self):
        """The rate of each latent dimension."""
        total = squares = crossed = 0.0
        for rows, mu, sigma in self.chunks():
            rates, shares = rates_of(mu, sigma).astype(float), self.shares[rows]
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


def rates_of(mu, sigma):
    """KL(q(z_k|x) || N(0, 1)), (n, latent_dim), nats; an error tells of rows so far away that it overflows."""
    mu, sigma = mu.astype(np.float64), sigma.astype(np.float64)
    with np.errstate(over="ignore"):
        rates = 0.5 * (mu**2 + sigma**2 - 1.0) - np.log(sigma)
    if not np.isfinite(rates).all():
        raise ValueError("Some rows lie so far from the training rows that their rates overflow: leave them out.")
    return rates


def log_density(z, mu, sigma):
    """log q(z|x) but for a constant, summed over latent dimensions."""
    return (-0.5 * np.square((z - mu) / sigma) - np.log(sigma)).sum(-1)


def critic_of_inputs(pairs, dimensions=slice(None)):
    """The function of codes z (n, latent_dim) and rows i -> log q(z_i|x_j), (b, n), but for a constant."""
    mu, sigma = pairs.mu[:, dimensions], pairs.sigma[:, dimensions]
    precision = sigma**-2.0
    constant = -(0.5 * mu**2 * precision + np.log(sigma)).sum(1)

    def critic(z, rows):
        z = z[rows][:, dimensions]
        return (-0.5 * z**2) @ precision.T + z @ (mu * precision).T + constant

    return critic


def critic_of_targets(pairs):
    """The function of codes z (n, latent_dim) and rows i -> log q(y_i|z_j), (b, n)."""

    def critic(z, rows):
        y = pairs.y[rows]
        targets, codes = np.unique(y, axis=0 if y.ndim > 1 else None, return_inverse=True)
        return pairs.vib.log_likelihood_latent(z[:, None], targets).T[codes.ravel()]

    return critic


def contrasts(critic, pairs, z):
    """Terms and influence functions, (2, 2, n), of the InfoNCE and of the leave-one-out bound.

    A row enters a bound as what is compared, and in the means that others are compared with. The influence function
    holds both, so that the standard error does.
    """
    n, shares, log_shares = pairs.n, pairs.shares, np.log(pairs.shares)
    terms, columns = np.empty((2, n)), np.zeros((2, n))
    size = max(1, PAIR_ELEMENTS // (n * pairs.vib.n_outputs_))
    for start in range(0, n, size):
        rows = np.arange(start, min(start + size, n))
        own = np.arange(len(rows)), rows
        scores = critic(z, rows) + log_shares
        score = scores[own]
        scores[own] = -np.inf
        peak = scores.max(axis=1, keepdims=True)
        np.exp(np.subtract(scores, peak, out=scores), out=scores)
        total = scores.sum(axis=1)
        log_others = np.log(total) + peak[:, 0]
        log_all = np.logaddexp(log_others, score)
        terms[0, rows] = score - log_shares[rows] - log_all
        terms[1, rows] = score - log_shares[rows] - log_others + np.log1p(-shares[rows])
        columns += (shares[rows] / total * np.stack([np.exp(log_others - log_all), np.ones(len(rows))])) @ scores
        columns[0, rows] += shares[rows] * np.exp(score - log_all)
    return np.stack([terms, terms - columns / shares], axis=1)


def contrast(critic, pairs, n_draws):
    """The InfoNCE and the leave-one-out bound."""
    bounds = np.mean([contrasts(critic, pairs, pairs.draw()) for _ in range(n_draws)], axis=0)
    return [bound_of(bound, pairs.shares) for bound in bounds]


def bound_of(bound, shares):
    """The estimate of a bound from its terms and its influence function, (2, n)."""
    terms, influence = bound
    return mean_of(terms, shares, influence - shares @ influence)


def infonce_of_target(pairs, n_draws):
    return contrast(critic_of_targets(pairs), pairs, n_draws)[0]


def fall(own, replaced, others, shares):
    """The mean of log q(i) - log mean_s q(i with something of row s)."""
    log_shares = np.log(shares[np.array(others)])
    log_mean = np.logaddexp.reduce(np.add(replaced, log_shares)) - np.logaddexp.reduce(log_shares)
    return mean_of(own - log_mean, shares)
