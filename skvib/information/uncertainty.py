"""What predictions admit: calibration, and how unlike anything seen a row is."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_array, check_consistent_length, check_scalar, column_or_1d

from skvib.information.bounds import PAIR_ELEMENTS
from skvib.information.estimates import Estimate, mean_of, shares_of
from skvib.typing import MatrixLike
from skvib.wrapped import unwrapped

TAIL_START = 0.9


def calibration_error(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    *,
    n_bins: int = 15,
    labels: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> Estimate:
    """Estimate the top-label expected calibration error.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels.
    y_prob : array-like of shape (n_samples, n_classes)
        Predicted probabilities, in the order of `labels`.
    n_bins : int, default=15
        Bins of equal mass; rows of equal confidence share a bin.
    labels : array-like of shape (n_classes,), default=None
        The classes; by default those in `y_true`, sorted.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.

    Returns
    -------
    error : Estimate
        Mean over bins of the distance between accuracy and confidence, and its standard error.

    Raises
    ------
    ValueError
        If the classes are not as many as the columns of `y_prob`, or a label is not among them.

    See Also
    --------
    sklearn.calibration.CalibrationDisplay : Draws a reliability diagram.

    Notes
    -----
    Of n rows even perfect probabilities get an error of some sqrt(n_bins / n) / 3.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML 2017; bins of equal mass after
    Nguyen and O'Connor, EMNLP 2015.

    Examples
    --------
    >>> from skvib import calibration_error
    >>> round(calibration_error([0, 1, 1, 1], [[0.9, 0.1], [0.1, 0.9], [0.9, 0.1], [0.1, 0.9]], n_bins=1), 3)
    0.15
    """
    y_true, y_prob = column_or_1d(y_true), check_array(y_prob, dtype=float)
    check_consistent_length(y_true, y_prob, sample_weight)
    check_scalar(n_bins, "n_bins", Integral, min_val=1)
    labels = np.unique(y_true) if labels is None else np.asarray(labels)
    if (y_prob < 0).any() or (y_prob > 1).any():
        raise ValueError("y_prob must hold probabilities, between 0 and 1.")
    if y_prob.shape[1] != len(labels):
        raise ValueError(
            f"y_prob has shape {y_prob.shape}, but there are {len(labels)} classes, {labels}: pass one column for "
            "each, and `labels` where y_true does not hold them all."
        )
    if not np.isin(y_true, labels).all():
        raise ValueError(f"y_true holds labels that are not among {labels}.")
    shares = shares_of(sample_weight, len(y_true))
    confidence = y_prob.max(axis=1)
    gap = (labels[y_prob.argmax(axis=1)] == y_true) - confidence
    _, ties = np.unique(confidence, return_inverse=True)
    mass = np.bincount(ties, shares)
    bins = (n_bins * (np.cumsum(mass) - 0.5 * mass)).astype(int)[ties]
    signs = np.sign(np.bincount(bins, shares * gap, minlength=n_bins))
    return mean_of(signs[bins] * gap, shares)


def outlier_scores(estimator: BaseEstimator, X: MatrixLike, X_reference: MatrixLike) -> np.ndarray:
    """Score how unusual rows are, by the surprise of their codes and by the entropy of their predictions.

    Parameters
    ----------
    estimator : fitted VIBClassifier, Pipeline that ends in one, or search over one
        A row is unusual to it if its code is unlike those of other rows, or if the prediction is uncertain.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows to score.
    X_reference : {array-like, sparse matrix} of shape (n_reference, n_features)
        Two or more ordinary rows that the estimator was not fitted on, to compare with; a few thousand are enough.

    Returns
    -------
    scores : ndarray of shape (n_samples,)
        -log p(surprise) - log p(entropy), nats, where p is the share of reference rows (and the row itself) with as
        high a value, and falls exponentially beyond nine tenths of them; the higher, the more unusual. Were the two
        independent, ordinary rows would exceed 4.74 in 5 of 100.

    Raises
    ------
    TypeError
        If there is no VIB classifier inside `estimator`.
    ValueError
        If there is a single reference row.

    See Also
    --------
    VIBClassifier.score_samples : Minus the rate alone, for any estimator.

    Notes
    -----
    The surprise of x is -log of the mean of exp(-KL(q(z|x) || q(z|r))) over the (other) reference rows r, nats: a bound
    of what the code tells beyond its marginal, KL(q(z|x) || mean of q(z|r)), from above. It is the rate with the
    codes' own distribution in the place of the prior, in which a row between the classes is cheap.

    References
    ----------
    Fisher, Statistical Methods for Research Workers, 1932, section 21.1, on combining p-values; the exponential tail is
    that of Pickands, Annals of Statistics, 1975, with shape 0; the bound is by Kolchinsky and Tracey, Estimating
    Mixture Entropy with Pairwise Distances, 2017, equation 10; the rate as a score is by Alemi, Fischer and Dillon,
    Uncertainty in the Variational Information Bottleneck, 2018.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvib import VIBClassifier, outlier_scores
    >>> X, y = load_iris(return_X_y=True)
    >>> model = VIBClassifier(hidden_layer_sizes=(32,), beta=0.01, random_state=0).fit(X[::2], y[::2])
    >>> ordinary, unusual = outlier_scores(model, [X[1], 5 * X[1]], X_reference=X[1::2])
    >>> bool(ordinary < unusual)
    True
    """
    prepare, vib = unwrapped(estimator)
    if not hasattr(vib, "predict_proba"):
        raise TypeError(
            f"outlier_scores needs a classifier; got a {type(vib).__name__}, whose score_samples gives the rate alone."
        )
    inputs, reference = prepare(X), prepare(X_reference)
    codes = vib.encode(reference)
    if len(codes[0]) < 2:
        raise ValueError("X_reference holds a single row: pass two or more ordinary rows.")
    with np.errstate(over="ignore", invalid="ignore"):
        surprise = _surprises(vib.encode(inputs), codes), _surprises(codes, codes, among_themselves=True)
    entropy = _predictive_entropies(vib, inputs), _predictive_entropies(vib, reference)
    return -sum(_log_p_values(*measure) for measure in (surprise, entropy))


def _log_p_values(values, ordinary):
    """Of shares of ordinary values; beyond their 90 % quantile, of an exponential tail."""
    n_below = np.searchsorted(np.sort(ordinary), values, side="left")
    log_p = np.log((len(ordinary) - n_below + 1) / (len(ordinary) + 1))
    start = np.quantile(ordinary, TAIL_START)
    tail = ordinary[ordinary > start] - start
    if not len(tail):
        return log_p
    log_share = np.log((len(tail) + 1) / (len(ordinary) + 1))
    return np.where(values > start, log_share - (values - start) / tail.mean(), log_p)


def _surprises(codes, reference, among_themselves=False):
    """-log of the mean of exp(-KL(q(z|x) || q(z|r))) over reference rows r, or over all but x itself, nats."""
    centers, widths = (part.astype(float) for part in reference)
    precision = widths**-2.0
    of_squares_and_means = np.hstack([0.5 * precision, -precision * centers]).T
    constant = (0.5 * precision * centers**2 + np.log(widths)).sum(axis=1)
    n_met = len(centers) - among_themselves
    surprises, size = np.empty(len(codes[0])), max(1, PAIR_ELEMENTS // len(centers))
    for start in range(0, len(surprises), size):
        chunk = slice(start, start + size)
        mu, sigma = (part[chunk].astype(float) for part in codes)
        cross = np.hstack([mu**2 + sigma**2, mu]) @ of_squares_and_means
        cross += constant
        if among_themselves:
            own = np.arange(len(mu))
            cross[own, start + own] = np.inf
        nearest = cross.min(axis=1)
        # the exponentials are what is slow; what is too far for single precision adds nothing
        beyond = np.subtract(nearest[:, None], cross, out=cross).astype(np.float32)
        share = np.exp(beyond, out=beyond).sum(axis=1) / n_met
        surprises[chunk] = nearest - np.log(share) - (0.5 + np.log(sigma)).sum(axis=1)
    # so far away that the distance overflows
    return np.where(np.isnan(surprises), np.inf, surprises)


def _predictive_entropies(vib, X):
    """Entropy of each row's prediction, nats, summed over the labels of a multilabel target."""
    p = vib.predict_proba(X)
    p = np.stack([p, 1.0 - p]) if vib.n_outputs_ > 1 else p[None]
    return -(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=(0, 2))
