"""How much a code says of the inputs, I(X;Z), and of the target, I(Z;Y)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from skvib.information.bounds import contrast, critic_of_inputs, infonce_of_target
from skvib.information.estimates import NATS_IN, Estimate, check_options, in_unit, mean_of
from skvib.information.sample import Sample
from skvib.typing import MatrixLike, Unit


@dataclass(frozen=True)
class MutualInformation:
    """What `mutual_information` returns: how much the code Z says of X and of Y.

    Parameters
    ----------
    rate : Estimate
        R, the mean of KL(q(z|x) || p(z)) over all rows: an upper bound of I(X;Z).
    x_lower, x_upper : Estimate
        I(X;Z) lies between them, up to their standard errors: the InfoNCE bound, and the leave-one-out bound or, where
        codes overlap too little for that, the rate.
    y_lower : Estimate or None
        A lower bound of I(Z;Y): H(Y) - D over all rows where each has one label, else `y_infonce`. None without y.
    y_infonce : Estimate or None
        The InfoNCE bound of I(Z;Y) with critic log q(y|z), for any target.
    entropy : float or None
        H(Y) of the labels; None without y or for other targets.
    n_rows, n_paired : int
        How many rows the means are over, and how many of them the pairwise bounds.
    unit : {"nats", "bits"}
        Unit of all the above.

    See Also
    --------
    mutual_information : Measures it.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvib import VIBClassifier, mutual_information
    >>> X, y = load_iris(return_X_y=True)
    >>> model = VIBClassifier(hidden_layer_sizes=(32,), beta=0.1, random_state=0).fit(X[::2], y[::2])
    >>> kept = mutual_information(model, X[1::2], y[1::2])
    >>> bool(kept.y_lower <= kept.entropy), kept.unit, kept.n_rows
    (True, 'nats', 75)
    """

    rate: Estimate
    x_lower: Estimate
    x_upper: Estimate
    y_lower: Estimate | None
    y_infonce: Estimate | None
    entropy: float | None
    n_rows: int
    n_paired: int
    unit: Unit


def mutual_information(
    estimator: BaseEstimator,
    X: MatrixLike,
    y: ArrayLike | None = None,
    *,
    sample_weight: ArrayLike | None = None,
    n_draws: int = 4,
    max_rows: int = 5000,
    unit: Unit = "nats",
    random_state: int | np.random.RandomState | None = 0,
) -> MutualInformation:
    """Measure how much the code says of X, I(X;Z), and of the target, I(Z;Y).

    Parameters
    ----------
    estimator : fitted VIBClassifier or VIBRegressor, Pipeline that ends in one, or search over one
        Whose code is measured.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows to measure on: held-out ones, since what the code says of training labels bounds nothing out of sample.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Their targets.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.
    n_draws : int, default=4
        Draws of z for each row.
    max_rows : int, default=5000
        Rows, drawn by `random_state`, that the pairwise bounds compare with one another. Means are over all rows.
    unit : {"nats", "bits"}, default="nats"
        Unit of the result.
    random_state : int, RandomState instance or None, default=0
        Seed of the draws.

    Returns
    -------
    information : MutualInformation
        I(X;Z) between two bounds, the rate above both, and I(Z;Y) from below, with standard errors.

    Raises
    ------
    TypeError
        If there is no VIB estimator inside `estimator`.
    ValueError
        If an argument is not usable, or fewer than two rows have a positive weight.

    See Also
    --------
    information_plane : The same at every beta.
    latent_information : The same by latent dimension.
    feature_information : What the code kept of each input feature.

    Notes
    -----
    With z_i ~ q(z|x_i), and means over n rows,

    - lower: mean_i log [q(z_i|x_i) / mean_j q(z_i|x_j)] (InfoNCE), at most log n;
    - upper: the same with the mean over j other than i (leave one out);
    - I(Z;Y) >= H(Y) - D for labels, and mean_i log [q(y_i|z_i) / mean_j q(y_i|z_j)] for any target, at most log n. The
      mean over codes estimates the marginal of y_i, so the bound is tight if the decoder is right.

    All are of one draw of the code: predictions average over many, and may be better than H(Y) - D tells. At a few
    thousand rows the bounds of I(X;Z) are close to each other below some 4 nats. A weight counts in the means as that
    many copies of the row would; standard errors take rows, not copies, as what was sampled.

    References
    ----------
    Poole, Ozair, van den Oord, Alemi and Tucker, On Variational Bounds of Mutual Information, ICML 2019.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvib import VIBClassifier, mutual_information
    >>> X, y = load_iris(return_X_y=True)
    >>> model = VIBClassifier(hidden_layer_sizes=(32,), beta=0.1, random_state=0).fit(X[::2], y[::2])
    >>> kept = mutual_information(model, X[1::2], y[1::2])
    >>> bool(kept.x_lower < kept.x_upper < kept.rate)
    True
    """
    check_options(unit, n_draws=n_draws, max_rows=max_rows)
    rows = Sample(estimator, X, y, sample_weight, random_state)
    rates, log_q = rows.measure(n_draws)
    pairs = rows.paired(max_rows)
    x_lower, x_upper = contrast(critic_of_inputs(pairs), pairs, n_draws)
    y_lower = y_infonce = entropy = None
    if y is not None:
        y_lower = y_infonce = infonce_of_target(pairs, n_draws)
    if rows.has_labels:
        y_lower, entropy = _information_about_labels(rows, log_q)
        entropy /= NATS_IN[unit]
    rate = mean_of(rates, rows.shares)
    estimates = {
        "rate": rate,
        "x_lower": x_lower,
        "x_upper": min(x_upper, rate),
        "y_lower": y_lower,
        "y_infonce": y_infonce,
    }
    estimates = {name: in_unit(part, unit) for name, part in estimates.items()}
    return MutualInformation(**estimates, entropy=entropy, n_rows=rows.n, n_paired=pairs.n, unit=unit)


def target_information(estimator, X, y, *, sample_weight=None, n_draws=4, max_rows=5000, random_state=0):
    """`y_lower` of `mutual_information` alone, in nats."""
    rows = Sample(estimator, X, y, sample_weight, random_state)
    if not rows.has_labels:
        return infonce_of_target(rows.paired(max_rows), n_draws)
    _, log_q = rows.measure(n_draws)
    return _information_about_labels(rows, log_q)[0]


def _information_about_labels(rows, log_q):
    """H(Y) - D, and H(Y): the means of log q(y|z) - log p(y) and of -log p(y), where p is each label's share."""
    codes = np.unique(rows.y, return_inverse=True)[1].ravel()
    surprise = -np.log(np.bincount(codes, rows.shares))[codes]
    return mean_of(log_q + surprise, rows.shares), float(rows.shares @ surprise)
