"""Figures of a fit on a split: log loss, accuracy, calibration, seconds."""

import time

import numpy as np
from sklearn.metrics import log_loss

from skvib import calibration_error


def timed_fit(model, X, y):
    start = time.perf_counter()
    model.fit(X, y)
    return time.perf_counter() - start


def standard_error(values):
    """Of the mean of values."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def error_of_mean(errors):
    """The standard error of the mean of independent figures with these standard errors."""
    return float(np.sqrt(np.sum(np.square(errors))) / len(errors))


def means(runs, settings):
    """Of every figure of runs that agree in what they hold, but for what was set."""
    return {name: float(np.mean([run[name] for run in runs])) for name in runs[0] if name not in settings}


def classification(model, X_train, y_train, X_test, y_test):
    """Figures of a classifier on test rows, after a fit on training rows."""
    seconds = timed_fit(model, X_train, y_train)
    return {**probabilities(model.classes_, model.predict_proba(X_test), y_test), "seconds": seconds}


def probabilities(classes, predicted, y, n_bins=15):
    # float32 probabilities sum to one but for rounding
    predicted = predicted / predicted.sum(axis=1, keepdims=True, dtype=np.float64)
    return {
        "log_loss": float(log_loss(y, predicted, labels=classes)),
        "accuracy": float(np.mean(classes[predicted.argmax(axis=1)] == y)),
        "ece": float(calibration_error(y, predicted, labels=classes, n_bins=n_bins)),
        "brier": float(np.mean(np.sum((predicted - (y[:, None] == classes)) ** 2, axis=1))),
    }


def regression(model, X_train, y_train, X_test, y_test):
    """Figures of a VIBRegressor, or a search over one, on test rows."""
    seconds = timed_fit(model, X_train, y_train)
    best = getattr(model, "best_estimator_", model)
    likelihood = best.log_likelihood_samples(X_test, y_test).mean()
    rmse = np.sqrt(np.mean((model.predict(X_test) - y_test) ** 2))
    return {"nll": -float(likelihood), "rmse": float(rmse), "seconds": seconds}
