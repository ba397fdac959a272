"""The information plane: what codes say of the target against what they say of the input."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from skvib.information.estimates import check_options, columns_of, frame_of
from skvib.information.mutual import mutual_information
from skvib.typing import MatrixLike, Unit
from skvib.wrapped import at_the_end_of, fit_at_betas, unwrapped

if TYPE_CHECKING:
    import pandas as pd

    from skvib.model_selection.path import BetaPath


@dataclass(frozen=True)
class InformationPlane:
    """What `information_plane` returns: I(X;Z) and I(Z;Y) at each beta.

    Parameters
    ----------
    betas : ndarray of shape (n_betas,)
        In increasing order.
    rate, rate_se, x_lower, x_lower_se, x_upper, x_upper_se, y_lower, y_lower_se : ndarray of shape (n_betas,)
        As in `MutualInformation`; those that end in `_se` are the standard errors.
    entropy : float or None
        H(Y) of the labels, the most that a code can say of them; None for other targets.
    rows : {"validation", "training", "given"}
        The rows it is of. Information about the target of training rows bounds nothing out of sample.
    unit : {"nats", "bits"}
        Unit of all the above but `betas`.

    See Also
    --------
    information_plane : Measures it.
    InformationPlaneDisplay : Draws it.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvib import VIBClassifier, beta_path, information_plane
    >>> X, y = load_iris(return_X_y=True)
    >>> model = VIBClassifier(hidden_layer_sizes=(32,), random_state=0)
    >>> plane = information_plane(beta_path(model, X[::2], y[::2], betas=3, X_val=X[1::2], y_val=y[1::2]))
    >>> plane.rows, plane.rate.shape
    ('validation', (3,))
    """

    betas: np.ndarray
    rate: np.ndarray
    rate_se: np.ndarray
    x_lower: np.ndarray
    x_lower_se: np.ndarray
    x_upper: np.ndarray
    x_upper_se: np.ndarray
    y_lower: np.ndarray
    y_lower_se: np.ndarray
    entropy: float | None
    rows: Literal["validation", "training", "given"]
    unit: Unit

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas DataFrame with a row for each beta.

        Returns
        -------
        frame : pandas.DataFrame
            Columns betas, rate, rate_se, x_lower, x_lower_se, x_upper, x_upper_se, y_lower and y_lower_se.
        """
        return frame_of(self)


def information_plane(
    source: BetaPath | BaseEstimator | Sequence[BaseEstimator],
    X: MatrixLike | None = None,
    y: ArrayLike | None = None,
    *,
    X_train: MatrixLike | None = None,
    y_train: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    n_draws: int = 4,
    max_rows: int = 5000,
    unit: Unit = "nats",
    random_state: int | np.random.RandomState | None = 0,
) -> InformationPlane:
    """Measure I(X;Z) and I(Z;Y) of estimators that differ in beta.

    Parameters
    ----------
    source : BetaPath, fitted search over beta, or list of fitted estimators
        Of a search, clones of `best_estimator_` are fitted at each of its betas, together. It may be the last step of
        a Pipeline.
    X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
        Rows to measure on; of a BetaPath, by default those that its `information` is of.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Their targets.
    X_train, y_train : array-like, default=None
        Of a search, the rows to fit on; by default X and y, and then the plane is of training rows.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows of X.
    n_draws, max_rows, unit, random_state : int, int, str and int or RandomState, default=4, 5000, "nats" and 0
        As in `mutual_information`.

    Returns
    -------
    plane : InformationPlane
        In increasing order of beta.

    Raises
    ------
    TypeError
        If `source` is none of these.
    ValueError
        If X or y is needed and missing, or a search has no beta among its parameters.

    See Also
    --------
    InformationPlaneDisplay : Draws it.
    gaussian_limit : The best that any code can do where X and Y are Gaussian.
    discrete_limit : The same where they have finitely many values.

    References
    ----------
    Tishby, Pereira and Bialek, The information bottleneck method, 1999.

    Examples
    --------
    >>> from sklearn.base import clone
    >>> from sklearn.datasets import load_iris
    >>> from skvib import VIBClassifier, information_plane
    >>> X, y = load_iris(return_X_y=True)
    >>> model = VIBClassifier(hidden_layer_sizes=(32,), random_state=0)
    >>> models = [clone(model).set_params(beta=beta).fit(X[::2], y[::2]) for beta in (0.01, 0.3)]
    >>> plane = information_plane(models, X[1::2], y[1::2])
    >>> bool(plane.rate[0] > plane.rate[1])
    True
    """
    check_options(unit, n_draws=n_draws, max_rows=max_rows)
    models, (X, y, sample_weight), label = _models_and_rows(source, (X, y, sample_weight), X_train, y_train)
    # the same draws for every beta
    seed = random_state if isinstance(random_state, Integral) else check_random_state(random_state).randint(2**31 - 1)
    options = {"n_draws": n_draws, "max_rows": max_rows, "unit": unit, "random_state": seed}
    models = sorted(models, key=lambda model: unwrapped(model)[1].beta)
    measured = [mutual_information(model, X, y, sample_weight=sample_weight, **options) for model in models]
    betas = np.array([unwrapped(model)[1].beta for model in models], dtype=float)
    names = "rate", "x_lower", "x_upper", "y_lower"
    # measured in `unit` already
    columns = columns_of("nats", **{name: [getattr(part, name) for part in measured] for name in names})
    return InformationPlane(betas, **columns, entropy=measured[0].entropy, rows=label, unit=unit)


def _models_and_rows(source, rows, X_train, y_train):
    """The fitted estimators of a plane, the rows to measure them on, and what these are called."""
    X, y, sample_weight = rows
    is_paired = (X is None) == (y is None) and (X_train is None) == (y_train is None)
    if not is_paired or (X is None and sample_weight is not None):
        raise ValueError("X and y, and X_train and y_train, go together; sample_weight is of the rows of X.")
    prepare, last = at_the_end_of(source)
    if hasattr(last, "cv_results_"):
        X, X_train = (part if part is None else prepare(part) for part in (X, X_train))
        source, rows = last, (X, y, sample_weight)
    is_path, is_search = hasattr(source, "at_beta"), hasattr(source, "cv_results_")
    if not (is_path or is_search or (isinstance(source, list | tuple) and source)):
        raise TypeError(f"source must be a BetaPath, a fitted search or a list of estimators; got {source!r}.")
    if X_train is not None and not is_search:
        raise ValueError("X_train and y_train are for a search, to be fitted at each beta; these are fitted already.")
    if X is None and not is_path:
        raise ValueError("information_plane needs X and y, the rows to measure on.")
    if is_path:
        models = [source.at_beta(beta) for beta in source.betas]
        return models, *((source.evaluation_rows, source.information_rows) if X is None else (rows, "given"))
    if not is_search:
        return source, rows, "given"
    if X_train is not None:
        return fit_at_betas(source, X_train, y_train), rows, "given"
    warnings.warn(
        "The search is fitted on the rows that it is measured on, and what a code says of training labels bounds "
        "nothing: pass the rows to fit on as X_train and y_train, and held-out ones as X and y.",
        UserWarning,
        stacklevel=3,
    )
    return fit_at_betas(source, X, y), rows, "training"
