"""BetaSearchCV, a GridSearchCV over beta whose fits are trained together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn import get_config
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import (
    BaseCrossValidator,
    BaseShuffleSplit,
    GridSearchCV,
    ParameterGrid,
    PredefinedSplit,
    check_cv,
    cross_validate,
)
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted

from skvib.base import BaseVIB
from skvib.containers import plain_targets, rows_of, take, targets_array
from skvib.model_selection.choice import log_likelihood_score, one_standard_error
from skvib.model_selection.together import fit_together
from skvib.monitor import is_little, silent_codes_allowed
from skvib.nn.network import check_amortized
from skvib.nn.problem import METHODS
from skvib.private import StrOptions
from skvib.typing import MatrixLike, Method
from skvib.unlabelled import checked_outputs, gaps_in, has_target, known_targets, rows_with_target
from skvib.wrapped import at_the_end_of, prediction_steps

BETAS = np.geomspace(1e-5, 1.0, 13)
SINGLE_LABELS = ("binary", "multiclass")


class _NoFiniteScoreError(ValueError):
    """No score can choose; `splits` are those without any, `params` a candidate."""

    splits, params = (), None


def _no_finite_score(results, metric):
    splits = [key for key in results if key.startswith("split") and key.endswith(f"_test_{metric}")]
    failed = [key.partition("_")[0] for key in splits if not np.isfinite(results[key]).any()]
    names = ", ".join(failed) or "no split for all of them"
    error = _NoFiniteScoreError(f"No candidate has a finite score, so none can be chosen; without one is {names}.")
    error.splits = [int(name.removeprefix("split")) for name in failed]
    error.params = results["params"][0]
    return error


def _warn_of_an_end(beta):
    """Say it if the chosen beta is an end of the default grid: a peak of the scores is inside."""
    advice = {
        BETAS[0]: "any smaller one may do as well, and the network as without a bottleneck",
        BETAS[-1]: "the code carries little or nothing, so compare with a linear model: there may be little to learn",
    }
    if beta in advice:
        warnings.warn(f"The chosen beta, {beta:g}, is an end of the grid: {advice[beta]}.", UserWarning, stacklevel=3)


def _warn_of_little(best, baseline):
    """Say that no candidate predicts much better than without X, so that chance may have chosen."""
    warnings.warn(
        f"No candidate predicts much better than without X: the best mean log-likelihood is {best:.3g} "
        f"nats, that of y alone {baseline:.3g}, so chance may have chosen. X may say little about y; else look at its "
        "columns.",
        ConvergenceWarning,
        stacklevel=3,
    )


def _labelled_splits(cv, X, labels, kept, groups, is_by_row):
    """Splits of all rows: those with a target (`kept`, with these labels) are split, all others train in every one.

    Splits that are given `is_by_row` are of all rows already.
    """
    X = rows_of(X)
    numbers = np.arange(X.shape[0])
    others = np.setdiff1d(numbers, kept)
    if not is_by_row:
        groups = None if groups is None else np.asarray(groups)[kept]
        splits = cv.split(take(X, kept), labels, groups)
        return [(np.concatenate((kept[train], others)), kept[test]) for train, test in splits]
    splits = [[numbers[np.asarray(part)] for part in split] for split in cv.split(X)]
    splits = [(np.union1d(train, others), np.intersect1d(test, kept)) for train, test in splits]
    for k, (_, test) in enumerate(splits):
        if not len(test):
            raise ValueError(f"No row that split {k} of `cv` tests on has a target: give each split some that do.")
    return splits


def _chosen_has(method: str) -> Callable[[Method], Method]:
    return available_if(
        lambda self: bool(self.refit) and hasattr(getattr(self, "best_estimator_", self.estimator), method)
    )


class BetaSearchCV(GridSearchCV):
    """Choose beta by cross-validation, all folds and betas in one training.

    It is a GridSearchCV, whose fits are trained together (`fit_together`), with what a search over beta needs as
    defaults: the grid, the score, and the choice of the most compressed model that predicts as well as the best.

    Parameters
    ----------
    estimator : estimator
        A VIBClassifier or VIBRegressor, or anything that holds one as a parameter: a Pipeline, or, with a `scoring`
        of yours, a TransformedTargetRegressor.
    param_grid : dict or list of dict, default=None
        As in GridSearchCV. By default 13 betas from 1e-5 to 1, evenly spaced in their logarithm.
    method : {"amortized", "exact"}, default="amortized"
        How fits that differ in beta alone are trained: as one network conditioned on log(beta), or as one each. The
        refit is a fit of the chosen parameters alone in either case.
    selection : {"best", "1se"}, default="best"
        The candidate of the best mean score, or the most compressed one within a standard error of it.
    scoring : str, callable, list, tuple or dict, default=None
        As in GridSearchCV; by default the mean log-likelihood, in nats; of classifiers that is minus the log loss. It
        is finite for folds that lack a label, too, and for a single row.
    n_jobs : int, default=None
        Ignored: the fits train together. To spread searches over workers, run several under joblib.
    refit : bool, str or callable, default=True
        As in GridSearchCV.
    cv : int, cross-validation generator or iterable, default=None
        As in GridSearchCV: 5 folds by default.
    verbose : int, default=0
        As in GridSearchCV.
    pre_dispatch : int or str, default="2*n_jobs"
        How many fits wait for their training at a time; by default all. Fewer share fewer networks.
    error_score : "raise" or numeric, default=np.nan
        As in GridSearchCV.
    return_train_score : bool, default=False
        As in GridSearchCV.

    Attributes
    ----------
    best_estimator_, best_params_, best_score_, best_index_, cv_results_, ...
        Those of GridSearchCV; `best_score_` is that of the selected candidate.

    See Also
    --------
    fit_together : The same for any search, cross-validation or ensemble.
    beta_path : All betas on one training set.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvib import BetaSearchCV, VIBClassifier
    >>> search = BetaSearchCV(VIBClassifier(random_state=0), selection="1se").fit(*load_iris(return_X_y=True))
    >>> bool(1e-3 < search.best_params_["beta"] < 1)
    True
    """

    _parameter_constraints = {
        **GridSearchCV._parameter_constraints,
        "param_grid": [*GridSearchCV._parameter_constraints["param_grid"], None],
        "method": [StrOptions(set(METHODS))],
        "selection": [StrOptions({"best", "1se"})],
    }

    def __init__(
        self,
        estimator: BaseEstimator,
        param_grid: dict | list[dict] | None = None,
        *,
        method: Literal["amortized", "exact"] = "amortized",
        selection: Literal["best", "1se"] = "best",
        scoring: str | Callable | list | tuple | dict | None = None,
        n_jobs: int | None = None,
        refit: bool | str | Callable = True,
        cv: int | BaseCrossValidator | BaseShuffleSplit | Iterable | None = None,
        verbose: int = 0,
        pre_dispatch: int | str = "2*n_jobs",
        error_score: Literal["raise"] | float = np.nan,
        return_train_score: bool = False,
    ) -> None:
        super().__init__(
            estimator,
            param_grid,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.method = method
        self.selection = selection

    def fit(self, X: MatrixLike, y: ArrayLike | None = None, **params: Any) -> Self:
        """Choose among the candidates by cross-validation, and refit the chosen one.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their targets. Rows without one (`missing_label`) train in every fold, and `cv` splits the others alone.
        **params : dict
            As in GridSearchCV: parameters of the estimator's `fit`, of the scorer and of the splitter.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        TypeError
            If there is no VIB estimator inside `estimator`.
        ValueError
            If a parameter is not usable, or several VIB estimators leave open whose beta is searched.
        """
        self._validate_params()
        if y is None:
            raise ValueError("BetaSearchCV requires y to be passed, but the target y is None.")
        y = plain_targets(y)
        names = self._names_of_beta()
        _, last = at_the_end_of(self.estimator)
        grid = self.param_grid if self.param_grid is not None else {names[0]: BETAS.tolist()}
        if self.method == "amortized":
            for candidate in ParameterGrid(grid) if isinstance(last, BaseVIB) else ():
                asked = {name.rpartition("__")[2]: value for name, value in candidate.items()}
                check_amortized(last.get_params(deep=False) | asked)
        refit = self._refit(grid)
        known = has_target(y, getattr(last, "missing_label", None))
        labels = y if known is None else known_targets(y, known)
        cv = check_cv(self.cv, labels, classifier=is_classifier(self.estimator))
        if known is not None:
            is_by_row = isinstance(cv, PredefinedSplit) or (
                isinstance(self.cv, Iterable) and not hasattr(self.cv, "split")
            )
            groups = params.get("groups")
            cv = check_cv(_labelled_splits(cv, X, labels, np.flatnonzero(known), groups, is_by_row))
        with self._given(param_grid=grid, scoring=self._scoring(labels), refit=refit, cv=cv), silent_codes_allowed():
            try:
                with fit_together(method=self.method):
                    super().fit(X, y, **params)
            except _NoFiniteScoreError as error:
                self._explain(error, X, y, **params)
        if self.selection == "1se":
            self.best_index_ = one_standard_error(self.cv_results_)
            self.best_params_ = self.cv_results_["params"][self.best_index_]
            self.best_score_ = self.cv_results_["mean_test_score"][self.best_index_]
        baseline = self._score_without_inputs(labels) if params.get("sample_weight") is None else None
        best = np.nanmax(self.cv_results_["mean_test_score"]) if baseline is not None else None
        if best is not None and is_little(best - baseline, baseline, len(labels)):
            _warn_of_little(best, baseline)
        elif self.param_grid is None and hasattr(self, "best_params_"):
            _warn_of_an_end(self.best_params_[names[0]])
        return self

    def _score_without_inputs(self, y):
        """The mean log-likelihood that a prediction without X has; None of another score or an end that has none."""
        _, last = at_the_end_of(getattr(self, "best_estimator_", None))
        if self.scoring is not None or not isinstance(last, BaseVIB) or getattr(last, "class_weight", None):
            return None
        targets = last._target.encode(checked_outputs(y, gaps_in(y, last.missing_label), not is_classifier(last)))
        entropy = last._target.entropy(targets, np.ones(len(targets)))
        return None if entropy is None else -entropy

    def _explain(self, error, X, y, groups=None, **params):
        """Raise what failed on the splits without a finite score, or the error itself if it does not fail again."""
        splits = [*self.cv.split(X, y, groups)]
        estimator = clone(self.estimator).set_params(**clone(error.params, safe=False))
        try:
            failed = [splits[split] for split in error.splits] or splits
            cross_validate(estimator, X, y, cv=failed, scoring=self.scoring, params=params, error_score="raise")
        except Exception as cause:
            kind = TypeError if isinstance(cause, TypeError) else ValueError
            raise kind(f"{error} There, {cause}") from cause
        raise ValueError(f"{error} The warnings above say what failed.") from error

    @contextmanager
    def _given(self, **parameters):
        """With these parameters in place of the user's."""
        before = {name: getattr(self, name) for name in parameters}
        vars(self).update(parameters)
        try:
            yield
        finally:
            vars(self).update(before)

    def _names_of_beta(self):
        """The parameters that are the beta of a VIB estimator."""
        parts = {"": self.estimator, **self.estimator.get_params(deep=True)}
        names = [f"{name}__beta" if name else "beta" for name, part in parts.items() if isinstance(part, BaseVIB)]
        if not names:
            raise TypeError(f"BetaSearchCV needs a VIBClassifier or VIBRegressor inside; got {self.estimator!r}.")
        if len(names) > 1 and self.param_grid is None:
            raise ValueError(f"The estimator has several betas, {names}: say which to search in param_grid.")
        return names

    def _scoring(self, y):
        if self.scoring is not None:
            return self.scoring
        _, last = at_the_end_of(self.estimator)
        has_single_labels = is_classifier(self.estimator) and type_of_target(targets_array(y)) in SINGLE_LABELS
        if isinstance(last, BaseVIB) or has_single_labels:
            return log_likelihood_score
        raise TypeError(f"{type(last).__name__} has no log-likelihood to choose by: pass `scoring`.")

    def _get_routed_params_for_fit(self, params):
        """Let weights reach the default score, too; before scikit-learn 1.7 they reach the fits alone."""
        routed = super()._get_routed_params_for_fit(params)
        weights, is_routing = params.get("sample_weight"), get_config()["enable_metadata_routing"]
        if self.scoring is log_likelihood_score and weights is not None and not is_routing:
            routed.scorer.score["sample_weight"] = weights
        return routed

    @staticmethod
    def _select_best_index(refit, refit_metric, results):
        """Raise before the refit if no score can choose."""
        name = f"mean_test_{refit_metric}"
        if name in results and not np.isfinite(results[name]).any():
            raise _no_finite_score(results, refit_metric)
        return GridSearchCV._select_best_index(refit, refit_metric, results)

    def _refit(self, grid):
        if self.selection == "best":
            return self.refit
        if not isinstance(self.refit, bool):
            raise ValueError(f'selection="1se" chooses the candidate itself: leave refit=True; got {self.refit!r}.')
        if not (self.scoring is None or isinstance(self.scoring, str) or callable(self.scoring)):
            raise ValueError(f'selection="1se" chooses by a single metric; got scoring={self.scoring!r}.')
        names = {name for part in ([grid] if isinstance(grid, dict) else grid) for name in part}
        if not any(name.rpartition("__")[2] == "beta" for name in names):
            raise ValueError(f'selection="1se" needs a search over beta; param_grid has {sorted(names)}.')
        return self.refit and one_standard_error

    def score(self, X: MatrixLike, y: ArrayLike | None = None, **params: Any) -> float:
        """Score the chosen estimator, by `scoring`, on rows that have a target.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their targets.
        **params : dict
            As in GridSearchCV: metadata that is routed to the scorer.

        Returns
        -------
        score : float
            The higher, the better.
        """
        _, last = at_the_end_of(self.best_estimator_)
        weights = params.pop("sample_weight", None)
        X, y, weights = rows_with_target(X, plain_targets(y), weights, getattr(last, "missing_label", None))
        return super().score(X, y, **params if weights is None else {**params, "sample_weight": weights})

    @_chosen_has("predict")
    def predict(self, X: MatrixLike, **params: Any) -> np.ndarray | Any:
        """Predict with the chosen estimator.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        **params : dict
            Passed on: `return_std` and `quantiles` of a VIBRegressor.

        Returns
        -------
        y : ndarray or tuple of ndarray
            What the estimator returns.
        """
        check_is_fitted(self)
        return self.best_estimator_.predict(X, **params)

    @_chosen_has("transform")
    def fit_transform(self, X: MatrixLike, y: ArrayLike | None = None, **params: Any) -> np.ndarray:
        """Fit, and return the codes of the chosen estimator.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their targets.
        **params : dict
            As for `fit`.

        Returns
        -------
        mu : ndarray of shape (n_samples, latent_dim)
            Mean codes.
        """
        return self.fit(X, y, **params).transform(X)

    @_chosen_has("get_feature_names_out")
    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Name the codes of the chosen estimator.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns of X; they do not matter.

        Returns
        -------
        names : ndarray of str of shape (latent_dim,)
            Such as "vibclassifier0".
        """
        check_is_fitted(self)
        return self.best_estimator_.get_feature_names_out(input_features)

    @_chosen_has("set_output")
    def set_output(self, *, transform: Literal["default", "pandas", "polars"] | None = None) -> Self:
        """Choose the container of `transform`, as for the estimator itself.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"} or None, default=None
            What `transform` returns; None leaves it as it is.

        Returns
        -------
        self : object
            The search.
        """
        for estimator in (self.estimator, getattr(self, "best_estimator_", None)):
            if estimator is not None:
                estimator.set_output(transform=transform)
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.transformer_tags, tags.target_tags = inner.transformer_tags, inner.target_tags
        steps = [self.estimator]
        if isinstance(self.estimator, Pipeline):
            steps = [*prediction_steps(self.estimator), self.estimator[-1]]
        tags.input_tags.allow_nan = all(get_tags(step).input_tags.allow_nan for step in steps)
        if tags.regressor_tags is not None and self.scoring is None:
            tags.regressor_tags.poor_score = True  # the score is a log-likelihood, no R^2
        return tags
