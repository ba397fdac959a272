"""What the code kept of each input feature, or of groups of them."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from skvib.containers import column_names, with_columns_of
from skvib.information.bounds import fall, log_density
from skvib.information.estimates import Estimate, check_options, columns_of, frame_of
from skvib.information.sample import Sample
from skvib.typing import MatrixLike, Unit

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class FeatureInformation:
    """What `feature_information` returns: what the code kept of each input feature or group.

    Parameters
    ----------
    names : list of str
        Names of the features or groups.
    x_kept, x_kept_se : ndarray of shape (n_features,)
        What the code says of the feature beyond the others, at least, and its standard error; 0 if it ignores it. It is
        at most log(n_replacements + 1).
    x_upper, x_upper_se : ndarray of shape (n_features,)
        The same, at most. Far above `x_kept`, the feature is kept more exactly than so few replacements can tell.
    y_lost, y_lost_se : ndarray of shape (n_features,) or None
        The fall of I(Z;Y) if the feature is not known, and its standard error. None without y.
    unit : {"nats", "bits"}
        Unit of all the above.

    See Also
    --------
    feature_information : Measures it.
    FeatureInformationDisplay : Draws it.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvib import VIBClassifier, feature_information
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> model = VIBClassifier(hidden_layer_sizes=(32,), beta=0.1, random_state=0).fit(X, y)
    >>> feature_information(model, X, features=["petal width (cm)"]).names
    ['petal width (cm)']
    """

    names: list[str]
    x_kept: np.ndarray
    x_kept_se: np.ndarray
    x_upper: np.ndarray
    x_upper_se: np.ndarray
    y_lost: np.ndarray | None
    y_lost_se: np.ndarray | None
    unit: Unit

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas DataFrame with a row for each feature or group.

        Returns
        -------
        frame : pandas.DataFrame
            Columns names, x_kept, x_kept_se, x_upper, x_upper_se, y_lost and y_lost_se.
        """
        return frame_of(self)


def feature_information(
    estimator: BaseEstimator,
    X: MatrixLike,
    y: ArrayLike | None = None,
    *,
    features: list | dict | None = None,
    sample_weight: ArrayLike | None = None,
    n_replacements: int = 32,
    max_rows: int = 5000,
    unit: Unit = "nats",
    random_state: int | np.random.RandomState | None = 0,
) -> FeatureInformation:
    """Measure what the code kept of each input feature, or of groups of them.

    Parameters
    ----------
    estimator : fitted VIBClassifier or VIBRegressor, Pipeline that ends in one, or search over one
        Whose code is measured. Features are the columns of X as given, before the steps of a Pipeline.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows to measure on.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Their targets.
    features : list or dict, default=None
        The features: indices or names of columns, or lists of them, for groups. Keys of a dict are names of groups.
        By default each column.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.
    n_replacements : int, default=32
        Other rows that a feature is taken from when it is not known.
    max_rows : int, default=5000
        Rows, drawn by `random_state`, that are compared.
    unit : {"nats", "bits"}, default="nats"
        Unit of the result.
    random_state : int, RandomState instance or None, default=0
        Seed of the draws.

    Returns
    -------
    information : FeatureInformation
        In the order of `features`.

    Raises
    ------
    TypeError
        If there is no VIB estimator inside `estimator`.
    ValueError
        If an argument is not usable, or fewer than two rows have a positive weight.

    See Also
    --------
    FeatureInformationDisplay : Draws it.
    sklearn.inspection.permutation_importance : By the fall of a score.

    Notes
    -----
    With z_i ~ q(z|x_i), `x_kept` is mean_i log [q(z_i|x_i) / mean_s q(z_i|x_i with the feature of row s)], where the
    rows s are `n_replacements` others and i itself; `x_upper` leaves i out. `y_lost` is mean_i log [q(y_i|z_i) / mean_s
    q(y_i|z_i,s)], where z_i,s is the code of x_i with the feature of another row s and the noise of z_i. All are 0 for
    a feature that does not enter the network at all; small values are what it has learnt of noise, and where `y_lost`
    is negative, it predicts better without.

    If features depend on one another, x_i with the feature of row s may be a row that never occurs, and the measures
    overstate what the feature says beyond the others: group what belongs together.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvib import VIBClassifier, feature_information
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> model = VIBClassifier(hidden_layer_sizes=(32,), beta=0.1, random_state=0).fit(X, y)
    >>> kept = feature_information(model, X, y, features={"sepal": [0, 1], "petal": [2, 3]})
    >>> bool(kept.x_kept[1] > kept.x_kept[0])
    True
    """
    check_options(unit, n_replacements=n_replacements, max_rows=max_rows)
    rows = Sample(estimator, X, y, sample_weight, random_state)
    groups = _groups(rows.X, features)
    rows = rows.paired(max_rows)
    noise = rows.noise()
    z = rows.mu + rows.sigma * noise
    own = log_density(z, rows.mu, rows.sigma)
    own_y = None if y is None else rows.vib.log_likelihood_latent(z, rows.y)
    others = rows.others(n_replacements)
    kept, upper = [], []
    lost: list[Estimate] | None = None if y is None else []
    everyone = [*others, np.arange(rows.n)]
    for columns in groups.values():
        posteriors = [rows.encode(with_columns_of(rows.X, columns, other)) for other in others]
        log_q = [log_density(z, *posterior) for posterior in posteriors]
        kept.append(fall(own, [*log_q, own], everyone, rows.shares))
        upper.append(fall(own, log_q, others, rows.shares))
        if lost is not None:
            log_q = [rows.vib.log_likelihood_latent(mu + sigma * noise, rows.y) for mu, sigma in posteriors]
            lost.append(fall(own_y, log_q, others, rows.shares))
    return FeatureInformation(list(groups), **columns_of(unit, x_kept=kept, x_upper=upper, y_lost=lost), unit=unit)


def _groups(X, features):
    """Lists of column indices by name."""
    if len(X.shape) < 2:
        raise ValueError(
            "X has no columns whose information could be measured: pass the last step and transformed rows."
        )
    names = column_names(X) or [f"x{k}" for k in range(X.shape[1])]
    features = range(len(names)) if features is None else features
    parts = features.values() if isinstance(features, dict) else features
    groups = [[part] if np.ndim(part) == 0 else list(part) for part in parts]
    for group in groups:
        unknown = [c for c in group if not (c in names if isinstance(c, str) else _is_index(c, len(names)))]
        if unknown or not group:
            raise ValueError(
                f"features must be names or indices of columns, or groups of them; it holds "
                f"{unknown or 'an empty group'}, and X has the columns {names}."
            )
    groups = [[names.index(c) if isinstance(c, str) else int(c) for c in group] for group in groups]
    labels = features if isinstance(features, dict) else [" + ".join(names[c] for c in group) for group in groups]
    return dict(zip(labels, groups, strict=True))


def _is_index(c, n):
    return isinstance(c, Integral) and not isinstance(c, bool) and 0 <= c < n
