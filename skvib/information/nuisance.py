"""How much a code tells of a nuisance, I(Z;S)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from skvib.containers import rows_of
from skvib.information.bounds import PAIR_ELEMENTS, critic_of_inputs
from skvib.information.estimates import NATS_IN, Estimate, check_options, in_unit, mean_of, shares_of
from skvib.information.sample import Sample
from skvib.nuisances import groups_of
from skvib.typing import MatrixLike, Unit

TINY = np.finfo(float).tiny
DOUBTS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)  # the part of a guess that is what is known without the code


@dataclass(frozen=True)
class NuisanceInformation:
    """What `nuisance_information` returns: how much the code Z tells of the nuisance S.

    Parameters
    ----------
    lower, upper : Estimate
        I(Z;S) lies between them, up to their standard errors.
    entropy : float
        H(S): a code that tells S apart carries so much.
    n_paired : int
        Rows that were compared with one another.
    unit : {"nats", "bits"}
        Unit of all the above.

    See Also
    --------
    nuisance_information : Measures it.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvib import VIBClassifier, nuisance_information
    >>> X, y = load_iris(return_X_y=True)
    >>> model = VIBClassifier(hidden_layer_sizes=(32,), beta=0.1, random_state=0).fit(X, y)
    >>> told = nuisance_information(model, X, X[:, 1])  # the width of sepals
    >>> bool(0 <= told.lower <= told.upper <= told.entropy), told.unit
    (True, 'nats')
    """

    lower: Estimate
    upper: Estimate
    entropy: float
    n_paired: int
    unit: Unit


def nuisance_information(
    estimator: BaseEstimator,
    X: MatrixLike,
    nuisance: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    n_draws: int = 4,
    max_rows: int = 5000,
    unit: Unit = "nats",
    random_state: int | np.random.RandomState | None = 0,
) -> NuisanceInformation:
    """Measure how much the code tells of a nuisance, I(Z;S).

    Parameters
    ----------
    estimator : fitted VIBClassifier or VIBRegressor, Pipeline that ends in one, or search over one
        Whose code is measured.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows to measure on: held-out ones.
    nuisance : array-like of shape (n_samples,) or (n_samples, n_columns)
        S: labels, or floating-point numbers, which are binned at their deciles. Of several columns every combination
        is a group.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.
    n_draws : int, default=4
        Draws of z for each row.
    max_rows : int, default=5000
        Rows, drawn by `random_state`, that are compared with one another.
    unit : {"nats", "bits"}, default="nats"
        Unit of the result.
    random_state : int, RandomState instance or None, default=0
        Seed of the draws.

    Returns
    -------
    information : NuisanceInformation
        I(Z;S) between two bounds, with standard errors.

    Raises
    ------
    TypeError
        If there is no VIB estimator inside `estimator`.
    ValueError
        If an argument is not usable, or fewer than two rows have a positive weight.

    See Also
    --------
    mutual_information : I(X;Z) and I(Z;Y).

    Notes
    -----
    With z_i ~ q(z|x_i), and r(s|z) the share of the rows of group s in the sum of q(z|x_j) over rows j,

    - upper: the mean of log r(s_i|z_i) / p(s_i), row i itself among the j; rows of a sample tell their groups apart
      more easily than all rows do;
    - lower: the same without row i, which is a guess of s_i by a rule that has not seen it (Barber and Agakov 2003). Of
      six mixtures of it with p(s) the best one counts, so that it is not below 0.

    They hold in the mean over samples, for groups of more than a few rows: p(s) are the shares of the sample, and its
    entropy too small by about (groups - 1) / (2 rows). Standard errors take the mixtures as given. Both bounds are of
    draws of the code. The means that `transform` returns have no noise and may tell more.

    References
    ----------
    Barber and Agakov, The IM Algorithm: A Variational Approach to Information Maximization, NIPS 2003.

    Nguyen, Tran, Gal, Torr and Baydin, KL Guided Domain Adaptation, ICLR 2022.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvib import VIBClassifier, nuisance_information
    >>> X, y = load_iris(return_X_y=True)
    >>> is_wide = X[:, 1] > 3.0  # of sepals
    >>> told = {}
    >>> for invariance in (0.0, 1.0):
    ...     model = VIBClassifier(hidden_layer_sizes=(32,), invariance=invariance, random_state=0)
    ...     model.fit(X, y, nuisance=is_wide if invariance else None)
    ...     told[invariance] = nuisance_information(model, X, is_wide).upper
    VIBClassifier(...)
    VIBClassifier(...)
    >>> bool(told[1.0] < told[0.0])
    True
    """
    check_options(unit, n_draws=n_draws, max_rows=max_rows)
    groups = groups_of(nuisance, shares_of(sample_weight, rows_of(X).shape[0]))
    pairs = Sample(estimator, X, groups, sample_weight, random_state, is_target=False).paired(max_rows)
    groups = np.unique(pairs.y, return_inverse=True)[1]
    shares_of_groups = np.bincount(groups, pairs.shares)[groups]
    drawn = [_chances(pairs, groups) for _ in range(n_draws)]

    def information(chances):
        return mean_of(np.mean([np.log(part) for part in chances], axis=0) - np.log(shares_of_groups), pairs.shares)

    upper = information([seen for seen, _ in drawn])
    lower = max(information([(1.0 - d) * unseen + d * shares_of_groups for _, unseen in drawn]) for d in DOUBTS)
    entropy = max(0.0, float(-pairs.shares @ np.log(shares_of_groups)))
    # errors of few draws can put one beyond another
    estimates = in_unit(lower, unit), in_unit(max(lower, upper), unit)
    return NuisanceInformation(*estimates, entropy / NATS_IN[unit], pairs.n, unit)


def _chances(pairs, groups):
    """r(s_i|z_i) at a draw of each code, with row i among those that are compared, and without, (2, n)."""
    critic, z, chances = critic_of_inputs(pairs), pairs.draw(), np.empty((2, pairs.n))
    size = max(1, PAIR_ELEMENTS // pairs.n)
    for start in range(0, pairs.n, size):
        rows = np.arange(start, min(start + size, pairs.n))
        scores = critic(z, rows) + np.log(pairs.shares)
        is_own = groups[rows, np.newaxis] == groups
        for part in chances:
            densities = np.exp(scores - scores.max(axis=1, keepdims=True))
            part[rows] = (densities * is_own).sum(axis=1) / densities.sum(axis=1)
            scores[np.arange(len(rows)), rows] = -np.inf
    return np.maximum(chances, TINY)
