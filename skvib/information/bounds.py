"""Pairwise bounds of mutual information over a sample of rows.

Z is the code and q(z|x) its posterior. The bounds follow Poole, Ozair, van den Oord, Alemi and Tucker, On Variational
Bounds of Mutual Information, ICML 2019. All in nats and in log space.
"""

import numpy as np

from skvib.information.estimates import mean_of

PAIR_ELEMENTS = 2**22


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
