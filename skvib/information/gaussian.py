"""The information bottleneck of jointly Gaussian variables."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array, check_consistent_length


def gaussian_limit(X: ArrayLike, y: ArrayLike, betas: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Compute the information bottleneck of jointly Gaussian X and Y in closed form.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Inputs, whose sample covariances are used.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets.
    betas : array-like of shape (n_betas,)
        Prices of a nat; above the largest squared canonical correlation nothing is worth its price.

    Returns
    -------
    i_xz, i_zy : ndarray of shape (n_betas,)
        I(X;Z) and I(Z;Y) of the optimal code at each beta, nats.

    Raises
    ------
    ValueError
        If the covariance of X or of Y is singular, Y is a linear function of X, or a beta is not positive.

    See Also
    --------
    discrete_limit : The same for variables with finitely many values.
    information_plane : What trained codes reach.

    References
    ----------
    Chechik, Globerson, Tishby and Weiss, Information Bottleneck for Gaussian Variables, JMLR 2005, with their Lagrange
    multiplier 1 / beta.

    Examples
    --------
    >>> import numpy as np
    >>> from skvib import gaussian_limit
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(100_000, 1))
    >>> y = np.sqrt(0.8) * x + np.sqrt(0.2) * rng.normal(size=x.shape)
    >>> i_xz, i_zy = gaussian_limit(x, y, [0.3])
    >>> i_xz.round(2), i_zy.round(2)
    (array([1.12]), array([0.63]))
    """
    X = check_array(X, dtype=float, ensure_min_samples=2)
    y = check_array(y, dtype=float, ensure_2d=False)
    check_consistent_length(X, y)
    betas = positive_betas(betas)
    d = X.shape[1]
    joint = np.corrcoef(X.T, y.reshape(len(y), -1).T)
    for block in (joint[:d, :d], joint[d:, d:]):
        if not np.isfinite(block).all() or np.linalg.matrix_rank(block, hermitian=True) < len(block):
            raise ValueError("The covariance of X or of y is singular: remove constant and determined columns.")
    whiten_x = np.linalg.inv(np.linalg.cholesky(joint[:d, :d]))
    whiten_y = np.linalg.inv(np.linalg.cholesky(joint[d:, d:]))
    rho2 = np.linalg.svd(whiten_x @ joint[:d, d:] @ whiten_y.T, compute_uv=False) ** 2
    if rho2[0] > 1 - 1e-12:
        raise ValueError("y is a linear function of X: their mutual information is infinite, and there is no limit.")
    beta = betas[:, None]
    active = rho2 > beta
    rho2, price = np.where(active, rho2, 0.5), np.where(active, beta, 0.5)
    i_xz = 0.5 * np.log((1 - price) * rho2 / (price * (1 - rho2))).sum(1)
    i_zy = 0.5 * np.log((1 - price) / (1 - rho2)).sum(1)
    return i_xz, i_zy


def positive_betas(betas: ArrayLike) -> np.ndarray:
    """Prices as an array (n_betas,), if they are some."""
    betas = np.atleast_1d(np.asarray(betas, dtype=float))
    if not (betas > 0).all():
        raise ValueError(f"betas must be positive; got {betas}.")
    return betas
