"""The information bottleneck of variables with finitely many values."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp, rel_entr
from sklearn.utils import check_array

from skvib.information.gaussian import positive_betas

N_STARTS, MAX_STEPS = 30, 5000
CONVERGED = 1e-12  # nats of D + beta R that a step brings
TINY = 1e-300


def discrete_limit(p_xy: ArrayLike, betas: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Compute the information bottleneck of X and Y with finitely many values, by Blahut-Arimoto.

    The problem is not convex: of many starts the best is taken, random codes and nearly Z = X, from where alone the
    optima of small beta are found.

    Parameters
    ----------
    p_xy : array-like of shape (n_x, n_y)
        Joint probabilities, or counts, of the values of X and Y.
    betas : array-like of shape (n_betas,)
        Prices of a nat.

    Returns
    -------
    i_xz, i_zy : ndarray of shape (n_betas,)
        I(X;Z) and I(Z;Y) of the best code that was found at each beta, nats. The least loss is H(Y) - i_zy + beta i_xz.

    Raises
    ------
    ValueError
        If p_xy has negative entries or none above 0, or a beta is not positive.

    See Also
    --------
    gaussian_limit : The same for Gaussian variables, in closed form.
    information_plane : What trained codes reach.

    References
    ----------
    Tishby, Pereira and Bialek, The information bottleneck method, 1999, with their Lagrange multiplier 1 / beta.

    Examples
    --------
    >>> from skvib import discrete_limit
    >>> i_xz, i_zy = discrete_limit([[0.45, 0.05], [0.05, 0.45]], [0.1, 0.7])  # above beta = .64 nothing is worth it
    >>> i_xz.round(2), i_zy.round(2)
    (array([0.69, 0.  ]), array([0.37, 0.  ]))
    """
    p_xy = check_array(p_xy, dtype=float)
    betas = positive_betas(betas)
    if (p_xy < 0).any() or not p_xy.any():
        raise ValueError("p_xy must hold probabilities or counts: no entry below 0, and some above.")
    p_xy = p_xy[p_xy.any(axis=1)] / p_xy.sum()
    p_x = p_xy.sum(axis=1)
    starts = _starts(len(p_x))
    points = [min(_converged(starts, p_x, p_xy / p_x[:, None], beta), key=lambda found: found[0]) for beta in betas]
    _, i_xz, i_zy = np.array(points).T
    return i_xz, i_zy


def _starts(n_x):
    """Codes p(z|x), (n_starts, n_x, n_z)."""
    drawn = np.random.default_rng(0).dirichlet(np.full(n_x, 0.3), size=(N_STARTS, n_x))
    return np.concatenate([drawn, [0.99 * np.eye(n_x) + 0.01 / n_x]])


def _converged(codes, p_x, p_y_x, beta):
    """(beta I(X;Z) - I(Z;Y), I(X;Z), I(Z;Y)) of each code after steps that fall to the nearest optimum."""
    best = np.inf
    for _ in range(MAX_STEPS):
        p_z = np.maximum(p_x @ codes, TINY)
        p_y_z = np.swapaxes(codes * p_x[:, None], 1, 2) @ p_y_x / p_z[..., None]
        log_p_y_z = np.log(np.maximum(p_y_z, TINY))
        i_xz = rel_entr(codes, p_z[:, None]).sum(-1) @ p_x
        i_zy = (p_z * (p_y_z * (log_p_y_z - np.log(np.maximum(p_x @ p_y_x, TINY)))).sum(-1)).sum(-1)
        losses = beta * i_xz - i_zy
        if np.max(best - losses) < CONVERGED:
            break
        best = losses
        logits = np.log(p_z)[:, None] + p_y_x @ np.swapaxes(log_p_y_z, 1, 2) / beta
        codes = np.exp(logits - logsumexp(logits, axis=2, keepdims=True))
    return zip(losses, i_xz, i_zy, strict=True)
