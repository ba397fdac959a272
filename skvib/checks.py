"""What is refused before any training, with what to do instead."""

import datetime
import warnings
from numbers import Integral, Real

import numpy as np

from skvib.rows import weighted_moments

DATES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)
N_PROBES = 100
MAX_TARGET = 1e18  # standardised: its square is in the range of float32
LARGEST = float(np.finfo(np.float64).max)


def refuse_dates(X):
    """Raise if X holds dates or times, which are no numbers yet."""
    found = _date_columns(X)
    if found:
        raise TypeError(
            f"X holds dates or times ({', '.join(map(str, found))}): encode them as numbers first, such as year, month "
            "and day of the week (X[column].dt.month), or days since the first one "
            "((X[column] - X[column].min()).dt.days)."
        )


def _date_columns(X):
    if hasattr(X, "column_names"):  # pyarrow
        dtypes = zip(X.column_names, X.schema.types, strict=True)
    elif hasattr(X, "dtypes") and hasattr(X, "columns"):
        dtypes = zip(X.columns, X.dtypes, strict=True)
    elif getattr(getattr(X, "dtype", None), "kind", None) in ("m", "M"):
        return [f"dtype {X.dtype}"]
    else:
        is_objects = isinstance(X, list) or getattr(getattr(X, "dtype", None), "kind", None) == "O"
        row = X[0] if is_objects and len(X) else ()
        return [type(v).__name__ for v in row if isinstance(v, DATES)] if isinstance(row, list | np.ndarray) else []
    named = [name for name, dtype in dtypes if str(dtype).lower().startswith(("date", "time", "duration", "period"))]
    if hasattr(X, "iloc") and len(X):
        named += [name for name, value in zip(X.columns, X.iloc[0], strict=True) if isinstance(value, DATES)]
    return list(dict.fromkeys(named))


def checked_schedule(schedule):
    """A schedule of the user, tried before any training."""
    for progress in np.linspace(0.0, 1.0, N_PROBES, endpoint=False):
        factor = schedule(float(progress))
        is_number = isinstance(factor, Real) or (isinstance(factor, np.ndarray) and factor.dtype.kind in "fiu")
        if not is_number or np.ndim(factor) or not 0.0 <= factor <= LARGEST:
            raise ValueError(
                "learning_rate, a callable, must map progress in [0, 1) to a finite multiple of learning_rate_init "
                f"that is not negative; of {progress:g} it makes {factor!r}."
            )
    return schedule


def checked_targets(targets):
    """Standardised targets, none of them so far out that its loss overflows: of those trained on none can be."""
    if targets.is_floating_point() and not (targets.abs() < MAX_TARGET).all():
        raise ValueError(
            "A target to validate on lies so far from those to train on that its loss overflows float32: check it."
        )
    return targets


def weighed(weights, factors):
    """Weights times the factors of their classes."""
    with np.errstate(over="ignore"):
        weights = weights * factors
    check_total(weights)
    return weights


def check_total(weights):
    with np.errstate(over="ignore"):
        if not np.isfinite(weights.sum()):
            raise ValueError(
                "The weights add up to more than float64 can hold: divide sample_weight by its mean, or lower "
                "class_weight."
            )


def layer_sizes(sizes, name):
    """Layer sizes as a tuple of positive integers."""
    sizes = np.atleast_1d(np.asarray(sizes, dtype=object))
    if sizes.ndim != 1 or not all(isinstance(n, Integral) and n > 0 for n in sizes):
        raise ValueError(f"{name} must be positive integers, one for each layer; got {list(sizes)}.")
    return tuple(int(n) for n in sizes)


def warn_of_raw_validation(X, rows, weights, X_val, targets_val, rows_val, weights_val):
    """Warn if most columns' means lie over 5 training standard deviations away."""
    moments = weighted_moments(X, rows, weights)
    mean_val = weighted_moments(X_val, rows_val, weights_val).mean
    if np.mean(np.abs(mean_val - moments.mean) > 5 * moments.scale) > 0.5:
        warnings.warn(
            "Most columns of X_val lie over 5 standard deviations away from those of X: it seems to have bypassed "
            'the preprocessing. In a Pipeline, pass transform_input=["X_val"].',
            UserWarning,
            stacklevel=2,
        )
