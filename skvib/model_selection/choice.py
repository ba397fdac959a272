"""By what a beta is chosen: the log-likelihood, and the most compressed candidate that is as good as the best."""

from __future__ import annotations

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import log_loss

from skvib.wrapped import unwrapped


def one_standard_error(cv_results: dict) -> int:
    """The most compressed candidate whose mean score is within one standard error of the best one.

    Pass it as `refit=` of GridSearchCV or RandomizedSearchCV, or ask BetaSearchCV for ``selection="1se"``. The most
    compressed candidate is the one of the largest beta, then of the smallest latent_dim.

    Parameters
    ----------
    cv_results : dict
        `cv_results_` of a search with a single metric.

    Returns
    -------
    best_index : int
        Index of the candidate.

    Raises
    ------
    ValueError
        If there is no candidate with a score, no single metric, or no `beta` among the parameters.

    See Also
    --------
    BetaSearchCV : Has it as ``selection="1se"``.

    References
    ----------
    Breiman, Friedman, Olshen and Stone, Classification and Regression Trees, 1984, section 3.4.3.

    Examples
    --------
    >>> from skvib import one_standard_error
    >>> one_standard_error({
    ...     "params": [{"beta": 1e-4}, {"beta": 1e-3}, {"beta": 1e-2}, {"beta": 1e-1}],
    ...     "mean_test_score": [-0.10, -0.09, -0.11, -0.50],
    ...     "split0_test_score": [-0.12, -0.12, -0.13, -0.52],
    ...     "split1_test_score": [-0.08, -0.06, -0.09, -0.48],
    ... })
    2
    """
    if "mean_test_score" not in cv_results:
        raise ValueError("one_standard_error chooses by a single metric; this search has several, or none.")
    means = np.asarray(cv_results["mean_test_score"], dtype=float)
    if not np.isfinite(means).any():
        raise ValueError("No candidate has a finite score.")
    compression = [_compression(params) for params in cv_results["params"]]
    if max(compression)[0] == -np.inf:
        raise ValueError(f"one_standard_error needs a search over beta; the parameters are {cv_results['params'][0]}.")
    best = int(np.nanargmax(means))
    n_splits = sum(name.startswith("split") and name.endswith("_test_score") for name in cv_results)
    splits = np.array([cv_results[f"split{split}_test_score"][best] for split in range(n_splits)])
    standard_error = splits.std(ddof=1) / np.sqrt(n_splits) if n_splits > 1 else 0.0
    good = np.flatnonzero(means >= means[best] - standard_error)
    return int(max(good, key=lambda index: (compression[index], means[index])))


def _compression(params):
    """What orders candidates by how much they compress; a candidate without beta, another model, does not."""
    named = {name.rpartition("__")[2]: value for name, value in params.items()}
    return named.get("beta", -np.inf), -named.get("latent_dim", 0)


def log_likelihood_score(estimator, X, y, sample_weight=None):
    """Mean log-likelihood of the rows, nats: the default score of BetaSearchCV.

    Parameters
    ----------
    estimator : fitted VIBRegressor, VIBClassifier, Pipeline that ends in one, or any classifier with probabilities
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Their targets; labels may be some of those that the classifier knows.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.

    Returns
    -------
    score : float

    Raises
    ------
    TypeError
        If the estimator has no log-likelihood.
    """
    try:
        prepare, vib = unwrapped(estimator)
    except TypeError as error:
        if is_classifier(estimator) and hasattr(estimator, "predict_proba"):
            p = estimator.predict_proba(X)
            return -float(log_loss(y, p, labels=estimator.classes_, sample_weight=sample_weight))
        raise TypeError(f"{error} It has no log-likelihood: pass another `scoring`.") from error
    return float(np.average(vib.log_likelihood_samples(prepare(X), y), weights=sample_weight))
