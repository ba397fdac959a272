"""What each latent dimension keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from skvib.information.bounds import bound_of, contrasts, critic_of_inputs, fall
from skvib.information.estimates import Estimate, check_options, columns_of, frame_of
from skvib.information.sample import Sample
from skvib.typing import MatrixLike, Unit

if TYPE_CHECKING:
    import pandas as pd

ACTIVE_NATS = 0.01


@dataclass(frozen=True)
class LatentInformation:
    """What `latent_information` returns: what each latent dimension keeps.

    Parameters
    ----------
    rate, rate_se : ndarray of shape (latent_dim,)
        The rate of each dimension, the mean of KL(q(z_k|x) || p(z_k)), and its standard error.
    x_added, x_added_se : ndarray of shape (latent_dim,)
        What dimension k says of X beyond the others, I(X;Z) - I(X;Z without k), and its standard error. It is at most
        the rate of k, and taken as 0 for an inactive dimension.
    y_added, y_added_se : ndarray of shape (latent_dim,) or None
        What the prediction of y loses if dimension k is not known, and its standard error. None without y.
    active : ndarray of bool of shape (latent_dim,)
        Dimensions with a rate above 0.01 nats.
    unit : {"nats", "bits"}
        Unit of all the above.

    Attributes
    ----------
    n_active : int
        Number of active dimensions.

    See Also
    --------
    latent_information : Measures it.
    LatentRatesDisplay : Draws it.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvib import VIBClassifier, latent_information
    >>> X, y = load_iris(return_X_y=True)
    >>> model = VIBClassifier(hidden_layer_sizes=(32,), latent_dim=4, beta=0.1, random_state=0).fit(X, y)
    >>> latent_information(model, X, y).to_frame().columns.tolist()
    ['rate', 'rate_se', 'x_added', 'x_added_se', 'y_added', 'y_added_se', 'active']
    """

    rate: np.ndarray
    rate_se: np.ndarray
    x_added: np.ndarray
    x_added_se: np.ndarray
    y_added: np.ndarray | None
    y_added_se: np.ndarray | None
    active: np.ndarray
    unit: Unit

    @property
    def n_active(self) -> int:
        """Number of active dimensions."""
        return int(self.active.sum())

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas DataFrame with a row for each latent dimension.

        Returns
        -------
        frame : pandas.DataFrame
            Columns rate, rate_se, x_added, x_added_se, y_added, y_added_se and active.
        """
        return frame_of(self)


def latent_information(
    estimator: BaseEstimator,
    X: MatrixLike,
    y: ArrayLike | None = None,
    *,
    sample_weight: ArrayLike | None = None,
    n_replacements: int = 32,
    max_rows: int = 5000,
    unit: Unit = "nats",
    random_state: int | np.random.RandomState | None = 0,
) -> LatentInformation:
    """Measure what each latent dimension keeps of X, and adds to the prediction of y.

    Parameters
    ----------
    estimator : fitted VIBClassifier or VIBRegressor, Pipeline that ends in one, or search over one
        Whose code is measured.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows to measure on.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Their targets.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.
    n_replacements : int, default=32
        Other rows that a dimension is taken from when it is not known.
    max_rows : int, default=5000
        Rows, drawn by `random_state`, for all but the rates.
    unit : {"nats", "bits"}, default="nats"
        Unit of the result.
    random_state : int, RandomState instance or None, default=0
        Seed of the draws.

    Returns
    -------
    information : LatentInformation
        By latent dimension.

    Raises
    ------
    TypeError
        If there is no VIB estimator inside `estimator`.
    ValueError
        If an argument is not usable, or fewer than two rows have a positive weight.

    See Also
    --------
    LatentRatesDisplay : Draws it.

    Notes
    -----
    `x_added` is the difference of the means of the two bounds of I(X;Z) with and without the dimension. `y_added` is
    mean_i log [q(y_i|z_i) / mean_s q(y_i|z_i with the dimension of row s)].

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvib import VIBClassifier, latent_information
    >>> X, y = load_iris(return_X_y=True)
    >>> model = VIBClassifier(hidden_layer_sizes=(32,), latent_dim=4, beta=0.1, random_state=0).fit(X, y)
    >>> information = latent_information(model, X, y)
    >>> bool((information.x_added <= information.rate + 0.1).all())
    True
    """
    check_options(unit, n_replacements=n_replacements, max_rows=max_rows)
    rows = Sample(estimator, X, y, sample_weight, random_state)
    rates = rows.measure_rates()
    active = np.array(rates) > ACTIVE_NATS
    pairs = rows.paired(max_rows)
    z = pairs.draw()
    x_added = [Estimate(0.0, 0.0)] * len(rates)
    whole = contrasts(critic_of_inputs(pairs), pairs, z)
    for k in np.flatnonzero(active):
        rest = contrasts(critic_of_inputs(pairs, np.arange(len(rates)) != k), pairs, z)
        x_added[k] = bound_of((whole - rest).mean(axis=0), pairs.shares)
    y_added = None
    if y is not None:
        own = pairs.vib.log_likelihood_latent(z, pairs.y)
        y_added = [_fall_without_dimension(k, z, own, pairs, n_replacements) for k in range(len(rates))]
    return LatentInformation(**columns_of(unit, rate=rates, x_added=x_added, y_added=y_added), active=active, unit=unit)


def _fall_without_dimension(k, z, own, pairs, n_replacements):
    """The mean of log q(y_i|z_i), its own, - log mean_s q(y_i|z_i with dimension k of row s)."""
    others, log_q = pairs.others(n_replacements), []
    for other in others:
        replaced = z.copy()
        replaced[:, k] = z[other, k]
        log_q.append(pairs.vib.log_likelihood_latent(replaced, pairs.y))
    return fall(own, log_q, others, pairs.shares)
