"""beta_path: every beta from one training."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from skvib.base import BaseVIB
from skvib.containers import rows_of, take, targets_array
from skvib.information.estimates import best_and_compressed, values_and_errors, weighted_mean
from skvib.information.mutual import target_information
from skvib.model_selection.variants import OverBetas, training_at
from skvib.monitor import warn_of_training
from skvib.nn.problem import METHODS
from skvib.nn.rows import TARGET
from skvib.nn.trainer import fit_at
from skvib.typing import MatrixLike
from skvib.unlabelled import rows_with_target
from skvib.wrapped import unwrapped

if TYPE_CHECKING:
    import pandas as pd

N_CORRECTIONS, NEAR_ENOUGH = 4, 0.01  # of a rate that is asked for: passes over the rows, nats
INFORMATION_ROWS = 1000  # InfoNCE compares every row with every other one


def beta_path(
    estimator: BaseVIB | Pipeline,
    X: MatrixLike,
    y: ArrayLike,
    *,
    betas: int | ArrayLike = 13,
    beta_range: tuple[float, float] = (1e-5, 1.0),
    method: Literal["amortized", "exact"] = "amortized",
    sample_weight: ArrayLike | None = None,
    X_val: MatrixLike | None = None,
    y_val: ArrayLike | None = None,
    sample_weight_val: ArrayLike | None = None,
    nuisance: ArrayLike | None = None,
) -> BetaPath:
    """Fit an estimator at every beta of a range, in one training.

    Parameters
    ----------
    estimator : VIBClassifier, VIBRegressor or Pipeline that ends in one
        It is cloned; its own `beta` does not matter. A resampler among the steps (of imbalanced-learn) resamples the
        training rows, as in a fit.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Training inputs.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets.
    betas : int or array-like of float, default=13
        How many betas, evenly spaced in their logarithm over `beta_range`, or the betas themselves.
    beta_range : tuple of float, default=(1e-5, 1.0)
        The smallest and the largest beta, when `betas` is a number.
    method : {"amortized", "exact"}, default="amortized"
        "amortized" trains one network that is conditioned on log(beta), in little more than the time of one fit, and
        knows every beta in between; "exact" trains a network for each beta, as one stack.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.
    X_val, y_val, sample_weight_val : array-like, default=None
        Validation rows, for information and scores out of sample. Unless the estimator has `early_stopping=False` each
        beta keeps the weights of the epoch where their loss was lowest, and training stops when none falls any more.
    nuisance : array-like of shape (n_samples,) or (n_samples, n_columns), default=None
        What the codes are not to tell, as for `fit`; with ``method="exact"``.

    Returns
    -------
    path : BetaPath
        The estimator at every beta, and what it keeps and predicts there.

    Raises
    ------
    TypeError
        If `estimator` is neither a VIB estimator nor a Pipeline that ends in one.
    ValueError
        If a beta or an option is not usable.

    See Also
    --------
    BetaSearchCV : Choose beta by cross-validation.
    BetaPathDisplay : Draws a path.

    References
    ----------
    Bae, Zhang, Ruan, Wang, Hasegawa, Ba and Grosse, Multi-Rate VAE: Train Once, Get the Full Rate-Distortion
    Curve, ICLR 2023, for VAEs.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvib import VIBClassifier, beta_path
    >>> X, y = load_iris(return_X_y=True)
    >>> path = beta_path(VIBClassifier(random_state=0), X[::2], y[::2], betas=6, X_val=X[1::2], y_val=y[1::2])
    >>> path.betas
    array([1.e-05, 1.e-04, 1.e-03, 1.e-02, 1.e-01, 1.e+00])
    >>> bool(path.rate[0] > path.rate[-1])
    True
    >>> path.at_beta(0.02).predict(X[:1])
    array([0])
    """
    betas = _check_betas(betas, beta_range, method)
    estimator = clone(estimator)
    before, vib = _split(estimator)
    vib.set_params(beta=betas[0])
    inputs, targets = X, y
    if before is not None:
        inputs, targets = _fit_steps(before, X, y, sample_weight)
        estimator.steps[:-1] = before.steps
    prepare, _ = unwrapped(estimator)
    inputs_val = None if X_val is None else prepare(X_val)
    validation = {"X_val": inputs_val, "y_val": y_val, "sample_weight_val": sample_weight_val}
    with OverBetas(betas, method) as trained:
        vib.fit(inputs, targets, sample_weight, **validation, nuisance=nuisance)
    held_out = X_val is not None
    rows = (X_val, y_val, sample_weight_val) if held_out else (X, y, sample_weight)
    rows = rows_with_target(*rows, vib.missing_label)
    return BetaPath(estimator, trained, _weighty(*rows), held_out)


def _fit_steps(before, X, y, sample_weight):
    """Fit the steps before the VIB estimator; what they make of the training rows, which resamplers change."""
    resamplers = [step for _, step in before.steps if hasattr(step, "fit_resample")]
    if not resamplers:
        return before.fit_transform(X, y), y
    if sample_weight is not None:
        raise ValueError(f"{type(resamplers[0]).__name__} draws rows anew, so there are no weights for them.")
    for _, step in before.steps:
        if step in resamplers:
            X, y = step.fit_resample(X, y)
        elif step not in (None, "passthrough"):
            X = step.fit_transform(X, y) if hasattr(step, "fit_transform") else step.fit(X, y).transform(X)
    return X, y


def _weighty(X, y, weights):
    """The rows of positive weight."""
    X, y = rows_of(X), targets_array(y)
    if weights is None:
        return X, y, None
    kept = np.flatnonzero(weights)
    return take(X, kept), take(y, kept), np.asarray(weights)[kept]


def _check_betas(betas, beta_range, method):
    if method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}; got {method!r}.")
    if isinstance(betas, Integral):
        low, high = beta_range
        if betas < 1 or not 0 < low <= high < np.inf:
            raise ValueError(
                f"betas must be a positive number, and beta_range two positive betas; got {betas} and {beta_range}."
            )
        betas = np.geomspace(low, high, betas)
    betas = np.unique(np.asarray(betas, dtype=np.float64))
    if not len(betas) or not np.isfinite(betas).all() or betas[0] < 0:
        raise ValueError(f"betas must be finite and not negative; got {betas}.")
    if method == "amortized" and betas[0] == 0:
        raise ValueError('A path over log(beta) has no beta of 0: leave it out, or pass method="exact".')
    return betas.tolist()


def _split(estimator):
    """The steps before the VIB estimator, None without any, and itself."""
    before, vib = (estimator[:-1], estimator[-1]) if isinstance(estimator, Pipeline) else (None, estimator)
    if not isinstance(vib, BaseVIB):
        raise TypeError(
            f"estimator must be a VIBClassifier, a VIBRegressor, or a Pipeline that ends in one; got {estimator!r}."
        )
    return before if before is not None and len(before) else None, vib


class BetaPath:
    """What `beta_path` returns: an estimator at every beta, and what it keeps and predicts there.

    Parameters
    ----------
    estimator : VIBClassifier, VIBRegressor or Pipeline that ends in one
        With its preprocessing fitted.
    trained : OverBetas
        What was trained, for which problem.
    rows : tuple of X, y and sample_weight
        Those that the path is evaluated on.
    held_out : bool
        Whether these rows were not trained on.

    Attributes
    ----------
    betas : ndarray of shape (n_betas,)
        In increasing order.
    rate, distortion : ndarray of shape (n_betas,)
        Training means: of KL(q(z|x) || p(z)), and of -log q(y|z) over draws of z, in nats.
    latent_rates : ndarray of shape (n_betas, latent_dim)
        The rate of each latent dimension, nats.
    n_active : ndarray of shape (n_betas,)
        Latent dimensions above 0.01 nats.
    information, information_se : ndarray of shape (n_betas,)
        A lower bound of I(Z;Y), nats, and its standard error: H(Y) - distortion for one label, else the InfoNCE bound
        with critic log q(y|z) (Poole et al. 2019) over at most 1000 rows, at most the logarithm of their number.
    information_rows : {"validation", "training"}
        The rows that `information` and the scores are of; those of training rows bound nothing out of sample.
    log_likelihoods, log_likelihoods_se : ndarray of shape (n_betas,)
        Mean log q(y|x), nats, and its standard error.
    scores : ndarray of shape (n_betas,)
        What the estimator's `score` says: accuracy or R^2.
    evaluation_rows : tuple of X, y and sample_weight
        These rows themselves, as they were given.

    See Also
    --------
    beta_path : Makes it.
    information_plane : Bounds of I(X;Z) and I(Z;Y) along a path.
    BetaPathDisplay : Draws it.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvib import VIBClassifier, beta_path
    >>> X, y = load_iris(return_X_y=True)
    >>> path = beta_path(VIBClassifier(random_state=0), X[::2], y[::2], betas=6, X_val=X[1::2], y_val=y[1::2])
    >>> model = path.at_beta(path.choose("1se"))
    >>> bool(model.score(X[1::2], y[1::2]) > 0.9)
    True
    """

    def __init__(self, estimator: BaseVIB | Pipeline, trained: OverBetas, rows: tuple, held_out: bool) -> None:
        self._estimator, self._method = estimator, trained.method
        self._problems = [replace(problem, monitors=()) for problem in trained.problems]
        self._settings, self._trainings = trained.settings, trained.trainings
        self.betas = np.array(trained.betas)
        models = [self._fitted(beta)[1] for beta in self.betas]
        for model, *trainings in zip(models[1:], *(own[1:] for own in self._trainings), strict=False):
            warn_of_training(model, trainings, self._settings, entropy=None)
        self.rate = np.array([model.rate_ for model in models])
        self.distortion = np.array([model.distortion_ for model in models])
        self.latent_rates = np.array([model.latent_rates_ for model in models])
        self.n_active = np.array([model.n_active_ for model in models])
        self.information_rows = "validation" if held_out else "training"
        self.evaluation_rows = X, y, weights = rows
        prepare, _ = unwrapped(estimator)
        X = prepare(X)
        options = {"sample_weight": weights, "max_rows": INFORMATION_ROWS, "random_state": models[0]._seed}
        information = [target_information(model, X, y, **options) for model in models]
        self.information, self.information_se = values_and_errors(information)
        likelihoods = [weighted_mean(model.log_likelihood_samples(X, y), weights) for model in models]
        self.log_likelihoods, self.log_likelihoods_se = values_and_errors(likelihoods)
        self.scores = np.array([model.score(X, y, weights) for model in models])

    def __setstate__(self, state):
        if "_problem" in state:  # as 0.1 pickled it
            trainings = [_of_one_head(training) for training in state["_trainings"]]
            state = {**state, "_problems": [state.pop("_problem")], "_trainings": [trainings]}
        vars(self).update(state)

    def __repr__(self):
        low, high = self.betas[[0, -1]]
        return (
            f"BetaPath({len(self.betas)} betas from {low:g} to {high:g}, {type(_split(self._estimator)[1]).__name__})"
        )

    def choose(self, selection: Literal["best", "1se"] = "best") -> float:
        """Choose a beta by the log-likelihood of the validation rows.

        Parameters
        ----------
        selection : {"best", "1se"}, default="best"
            The beta of the best mean log-likelihood, or the largest one within a standard error of it.

        Returns
        -------
        beta : float
            One of `betas`.

        Raises
        ------
        ValueError
            If the path has no validation rows, or `selection` is none of these.
        """
        if self.information_rows != "validation":
            raise ValueError("Training rows choose no beta: pass X_val and y_val to beta_path, or use BetaSearchCV.")
        if selection not in ("best", "1se"):
            raise ValueError(f'selection must be "best" or "1se"; got {selection!r}.')
        best, compressed = best_and_compressed(self.betas, self.log_likelihoods, self.log_likelihoods_se)
        return best if selection == "best" else compressed

    def at_beta(self, beta: float) -> Any:
        """The fitted estimator at one beta, a plain one: it can be pickled, cloned and fitted anew.

        Parameters
        ----------
        beta : float
            Of an amortized path, any from its smallest to its largest; of an exact one, one of `betas`.

        Returns
        -------
        estimator : estimator of the kind that was given
            With `beta` as its parameter. Between two betas of the path its rates and its distortion are evaluated on
            the training rows, which the path keeps, as it keeps `evaluation_rows`, also when it is pickled; its
            `history_` is that of the nearest one.

        Raises
        ------
        ValueError
            If the path does not know this beta.
        """
        return self._fitted(beta)[0]

    def at_rate(self, rate: float) -> Any:
        """The fitted estimator whose code carries about this rate, a plain one, without another training.

        Between two betas of the path it looks for the one whose network has this rate on the training rows, in at most
        four passes over them; the rate met is the estimator's `rate_`, the price its `beta`.

        Parameters
        ----------
        rate : float
            Of the training rows, in nats, from the least of the path to its largest.

        Returns
        -------
        estimator : estimator of the kind that was given
            As that of `at_beta`.

        Raises
        ------
        ValueError
            If no beta of the path has this rate, or the path is exact: it knows no beta between those it was trained
            for.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skvib import VIBClassifier, beta_path
        >>> X, y = load_iris(return_X_y=True)
        >>> model = VIBClassifier(hidden_layer_sizes=(16,), latent_dim=2, max_iter=60, random_state=0)
        >>> one_nat = beta_path(model, X, y, betas=5).at_rate(1.0)
        >>> print(f"{one_nat.rate_:.1f} nats")
        1.0 nats
        """
        if self._method == "exact" or len(self.betas) == 1:
            raise ValueError('at_rate looks between betas, which an exact path does not know: use method="amortized".')
        rates = np.minimum.accumulate(self.rate)  # but for noise the rate falls with beta
        if not rates[-1] <= rate <= rates[0]:
            raise ValueError(
                f"rate must be from {rates[-1]:.3g} to {rates[0]:.3g} nats, those of this path; got {rate}."
            )
        above = max(1, int(np.searchsorted(-rates, -rate)))
        ends = {float(self.betas[k]): float(self.rate[k]) for k in (above - 1, above)}
        nearest = self._fitted(min(ends, key=lambda beta: abs(ends[beta] - rate)))
        for _ in range(N_CORRECTIONS):
            if abs(nearest[1].rate_ - rate) < NEAR_ENOUGH:
                break
            (low, more), (high, less) = sorted(ends.items())
            step = (more - rate) / (more - less) if more > less else 0.5
            beta = low * (high / low) ** float(np.clip(step, 0.1, 0.9))
            found = self._fitted(beta)
            nearest = min(nearest, found, key=lambda fitted: abs(fitted[1].rate_ - rate))
            del ends[low if found[1].rate_ > rate else high]
            ends[beta] = found[1].rate_
        return nearest[0]

    def _fitted(self, beta):
        estimator = copy.deepcopy(self._estimator)
        _, vib = _split(estimator)
        beta = self._known(beta)
        for one in {vib, *vib.estimators_}:
            one.set_params(beta=beta)
        trainings = [self._training_at(beta, *own) for own in zip(self._problems, self._trainings, strict=True)]
        vib._take(vib.estimators_, trainings, self._problems[0], keeps_state=vib.warm_start)
        return estimator, vib

    def _known(self, beta):
        """The beta itself, or the one of the path that it equals but for rounding."""
        nearest = float(self.betas[np.abs(self.betas - beta).argmin()])
        if math.isclose(nearest, beta, rel_tol=1e-9):
            return nearest
        low, high = self.betas[[0, -1]]
        if self._method == "exact" or len(self.betas) == 1:
            raise ValueError(f"This path knows the betas {self.betas}, not {beta}. An amortized one knows all between.")
        if not low <= beta <= high:
            raise ValueError(f"beta must be from {low:g} to {high:g}, the range of this path; got {beta}.")
        return float(beta)

    def _training_at(self, beta, problem, trainings):
        known = training_at(trainings, beta)
        if known is not None:
            return known
        (training,) = trainings
        nearest = training.at(min(training.betas, key=lambda other: abs(math.log(other / beta))))
        fit = fit_at(replace(problem, betas=training.betas), self._settings, training.state, beta)
        fit = fit._replace(history=nearest.fits[0].history)
        return replace(nearest, fits=(fit,), state=nearest.state._replace(weights=fit.weights))

    def to_frame(self) -> pd.DataFrame:
        """A pandas DataFrame with a row for each beta.

        Returns
        -------
        frame : pandas.DataFrame
            Columns beta, rate, distortion, information, n_active, log_likelihood and score.
        """
        import pandas as pd

        return pd.DataFrame(
            {
                "beta": self.betas,
                "rate": self.rate,
                "distortion": self.distortion,
                "information": self.information,
                "n_active": self.n_active,
                "log_likelihood": self.log_likelihoods,
                "score": self.scores,
            }
        )


def _of_one_head(training):
    """A Training of 0.1, whose distortion was that of the target, a number."""
    if isinstance(training.fits[0].distortions, dict):
        return training
    fits = [fit._replace(distortions={TARGET: fit.distortions}) for fit in training.fits]
    return replace(training, fits=tuple(fits))
