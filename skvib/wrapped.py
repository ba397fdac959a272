"""What is inside Pipelines and searches: the VIB estimator, what prepares its rows, and the betas searched over."""

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.parallel import Parallel, delayed

from skvib.monitor import silent_codes_allowed


def unwrapped(estimator):
    """What prepares X for the VIB estimator inside searches and Pipelines, and that estimator."""
    steps = []
    while not hasattr(estimator, "encode"):
        if isinstance(estimator, Pipeline):
            steps += prediction_steps(estimator)
            estimator = estimator[-1]
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        else:
            raise TypeError(
                f"{type(estimator).__name__} is no VIBClassifier or VIBRegressor, nor a Pipeline that ends in one or "
                "a fitted search over one."
            )

    return prepared_by(steps), estimator


def prepared_by(steps):
    """The function that sends X through these steps."""

    def prepare(X):
        for step in steps:
            X = step.transform(X)
        return X

    return prepare


def at_the_end_of(estimator):
    """What prepares X for the last step of a Pipeline, or of one within another, and that step; or the estimator."""
    steps = []
    while isinstance(estimator, Pipeline):
        steps += prediction_steps(estimator)
        estimator = estimator[-1]
    return prepared_by(steps), estimator


def prediction_steps(pipeline):
    """The steps before the last that act at prediction time: neither "passthrough" nor resamplers."""
    steps = [step for _, step in pipeline.steps[:-1]]
    return [step for step in steps if step not in (None, "passthrough") and not hasattr(step, "fit_resample")]


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
