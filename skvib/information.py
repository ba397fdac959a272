"""What a code keeps, in nats: mutual information, the information plane, by latent dimension and input feature.

Everything here asks fitted estimators through their public methods alone. Z is the code, q(z|x) its posterior, R the
rate, D the distortion.
"""

import math
import warnings
from dataclasses import dataclass, fields
from numbers import Integral

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.utils import check_array, check_consistent_length, check_random_state, check_scalar
from sklearn.utils.parallel import Parallel, delayed

from skvib.bounds import (
    Estimate,
    Sample,
    at_the_end_of,
    bound_of,
    contrast,
    contrasts,
    critic_of_inputs,
    fall,
    infonce_of_target,
    log_density,
    mean_of,
    unwrapped,
    values_and_errors,
)
from skvib.monitor import silent_codes_allowed
from skvib.rows import column_names, with_columns_of

NATS_IN = {"nats": 1.0, "bits": math.log(2.0)}
ACTIVE_NATS = 0.01


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
    unit: str


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
    rows: str
    unit: str

    def to_frame(self):
        """Return a pandas DataFrame with a row for each beta.

        Returns
        -------
        frame : pandas.DataFrame
            Columns betas, rate, rate_se, x_lower, x_lower_se, x_upper, x_upper_se, y_lower and y_lower_se.
        """
        return _frame(self)


@dataclass(frozen=True)
class LatentInformation:
    """What `latent_information` returns: what each latent dimension keeps.

    Parameters
    ----------
    rate, rate_se : ndarray of shape (latent_dim,)
        The rate of each dimension, the mean of KL(q(z_k|x) || p(z_k)), and its standard error. They add up to the rate.
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
    unit: str

    @property
    def n_active(self):
        """Number of active dimensions."""
        return int(self.active.sum())

    def to_frame(self):
        """Return a pandas DataFrame with a row for each latent dimension.

        Returns
        -------
        frame : pandas.DataFrame
            Columns rate, rate_se, x_added, x_added_se, y_added, y_added_se and active.
        """
        return _frame(self)


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

    names: list
    x_kept: np.ndarray
    x_kept_se: np.ndarray
    x_upper: np.ndarray
    x_upper_se: np.ndarray
    y_lost: np.ndarray | None
    y_lost_se: np.ndarray | None
    unit: str

    def to_frame(self):
        """Return a pandas DataFrame with a row for each feature or group.

        Returns
        -------
        frame : pandas.DataFrame
            Columns names, x_kept, x_kept_se, x_upper, x_upper_se, y_lost and y_lost_se.
        """
        return _frame(self)


def mutual_information(
    estimator, X, y=None, *, sample_weight=None, n_draws=4, max_rows=5000, unit="nats", random_state=0
):
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
    _check_options(unit, n_draws=n_draws, max_rows=max_rows)
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
    estimates = rate, x_lower, min(x_upper, rate), y_lower, y_infonce
    return MutualInformation(*(_in_unit(part, unit) for part in estimates), entropy, rows.n, pairs.n, unit)


def target_information(estimator, X, y, *, sample_weight=None, n_draws=4, max_rows=5000, random_state=0):
    """`y_lower` of `mutual_information` alone, in nats."""
    rows = Sample(estimator, X, y, sample_weight, random_state)
    if not rows.has_labels:
        return infonce_of_target(rows.paired(max_rows), n_draws)
    _, log_q = rows.measure(n_draws)
    return _information_about_labels(rows, log_q)[0]


def information_plane(
    source,
    X=None,
    y=None,
    *,
    X_train=None,
    y_train=None,
    sample_weight=None,
    n_draws=4,
    max_rows=5000,
    unit="nats",
    random_state=0,
):
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
    _check_options(unit, n_draws=n_draws, max_rows=max_rows)
    models, (X, y, sample_weight), label = _models_and_rows(source, (X, y, sample_weight), X_train, y_train)
    # the same draws for every beta
    seed = random_state if isinstance(random_state, Integral) else check_random_state(random_state).randint(2**31 - 1)
    options = {"n_draws": n_draws, "max_rows": max_rows, "unit": unit, "random_state": seed}
    models = sorted(models, key=lambda model: unwrapped(model)[1].beta)
    measured = [mutual_information(model, X, y, sample_weight=sample_weight, **options) for model in models]
    betas = np.array([unwrapped(model)[1].beta for model in models], dtype=float)
    names = "rate", "x_lower", "x_upper", "y_lower"
    # measured in `unit` already
    columns = _columns("nats", **{name: [getattr(part, name) for part in measured] for name in names})
    return InformationPlane(betas, **columns, entropy=measured[0].entropy, rows=label, unit=unit)


def latent_information(
    estimator,
    X,
    y=None,
    *,
    sample_weight=None,
    n_replacements=32,
    max_rows=5000,
    unit="nats",
    random_state=0,
):
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
    _check_options(unit, n_replacements=n_replacements, max_rows=max_rows)
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
    return LatentInformation(**_columns(unit, rate=rates, x_added=x_added, y_added=y_added), active=active, unit=unit)


def feature_information(
    estimator,
    X,
    y=None,
    *,
    features=None,
    sample_weight=None,
    n_replacements=32,
    max_rows=5000,
    unit="nats",
    random_state=0,
):
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
    _check_options(unit, n_replacements=n_replacements, max_rows=max_rows)
    rows = Sample(estimator, X, y, sample_weight, random_state)
    groups = _groups(rows.X, features)
    rows = rows.paired(max_rows)
    noise = rows.noise()
    z = rows.mu + rows.sigma * noise
    own = log_density(z, rows.mu, rows.sigma)
    own_y = None if y is None else rows.vib.log_likelihood_latent(z, rows.y)
    others = rows.others(n_replacements)
    kept, upper, lost = [], [], None if y is None else []
    everyone = [*others, np.arange(rows.n)]
    for columns in groups.values():
        posteriors = [rows.encode(with_columns_of(rows.X, columns, other)) for other in others]
        log_q = [log_density(z, *posterior) for posterior in posteriors]
        kept.append(fall(own, [*log_q, own], everyone, rows.shares))
        upper.append(fall(own, log_q, others, rows.shares))
        if y is not None:
            log_q = [rows.vib.log_likelihood_latent(mu + sigma * noise, rows.y) for mu, sigma in posteriors]
            lost.append(fall(own_y, log_q, others, rows.shares))
    return FeatureInformation(list(groups), **_columns(unit, x_kept=kept, x_upper=upper, y_lost=lost), unit=unit)


def gaussian_limit(X, y, betas):
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
    betas = np.atleast_1d(np.asarray(betas, dtype=float))
    if not (betas > 0).all():
        raise ValueError(f"betas must be positive; got {betas}.")
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


def _check_options(unit, **integers):
    if unit not in NATS_IN:
        raise ValueError(f"unit must be one of {list(NATS_IN)}; got {unit!r}.")
    for name, value in integers.items():
        check_scalar(value, name, Integral, min_val=2 if name == "max_rows" else 1)


def _models_and_rows(source, rows, X_train, y_train):
    """The fitted estimators of a plane, the rows to measure them on, and what these are called."""
    X, y, sample_weight = rows
    is_paired = (X is None) == (y is None) and (X_train is None) == (y_train is None)
    if not is_paired or (X is None and sample_weight is not None):
        raise ValueError("X and y, and X_train and y_train, go together; sample_weight is of the rows of X.")
    prepare, last = at_the_end_of(source)
    if hasattr(last, "cv_results_"):
        source, X, X_train = last, *(part if part is None else prepare(part) for part in (X, X_train))
        rows = X, y, sample_weight
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


def _in_unit(estimate, unit):
    nats = NATS_IN[unit]
    return None if estimate is None else Estimate(estimate / nats, estimate.standard_error / nats)


def _columns(unit, **estimates):
    """Arrays of values and standard errors, by name; None where there are no estimates."""
    columns = {}
    for name, parts in estimates.items():
        arrays = (None, None) if parts is None else (part / NATS_IN[unit] for part in values_and_errors(parts))
        columns[name], columns[f"{name}_se"] = arrays
    return columns


def _frame(result):
    import pandas as pd

    columns = {field.name: getattr(result, field.name) for field in fields(result)}
    return pd.DataFrame({name: column for name, column in columns.items() if isinstance(column, np.ndarray | list)})


def _information_about_labels(rows, log_q):
    """H(Y) - D, and H(Y): the means of log q(y|z) - log p(y) and of -log p(y), where p is each label's share."""
    codes = np.unique(rows.y, return_inverse=True)[1].ravel()
    surprise = -np.log(np.bincount(codes, rows.shares))[codes]
    return mean_of(log_q + surprise, rows.shares), float(rows.shares @ surprise)


def _fall_without_dimension(k, z, own, pairs, n_replacements):
    """The mean of log q(y_i|z_i), its own, - log mean_s q(y_i|z_i with dimension k of row s)."""
    others, log_q = pairs.others(n_replacements), []
    for other in others:
        replaced = z.copy()
        replaced[:, k] = z[other, k]
        log_q.append(pairs.vib.log_likelihood_latent(replaced, pairs.y))
    return fall(own, log_q, others, pairs.shares)


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


def beta_grid(search, is_refitted=True):
    """The name of the parameter beta that a search is over, and its values, sorted."""
    if not hasattr(search, "cv_results_"):
        raise TypeError(f"{type(search).__name__} is no fitted search over beta.")
    if is_refitted and not hasattr(search, "best_estimator_"):
        raise ValueError("The search has no best_estimator_ to fit at each beta: fit it with refit=True.")
    params = search.cv_results_["params"]
    names = {name for part in params for name in part if name.rpartition("__")[2] == "beta"}
    if len(names) != 1:
        raise ValueError(f"The search must be over one beta; its parameters are {params[0]}.")
    (name,) = names
    return name, np.unique([part[name] for part in params if name in part])


def fit_at_betas(search, X, y):
    """Clones of the best estimator of a search, fitted at each of its betas."""
    name, betas = beta_grid(search)
    models = [clone(search.best_estimator_).set_params(**{name: beta}) for beta in betas]
    method = getattr(search, "method", "exact")
    with joblib.parallel_config(backend="skvib", method=method), silent_codes_allowed():
        return Parallel()(delayed(model.fit)(X, y) for model in models)
