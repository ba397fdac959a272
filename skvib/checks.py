"""What is refused before any training, with what to do instead."""

import warnings
from numbers import Integral, Real

import numpy as np

N_PROBES = 100
MAX_TARGET = 1e18  # standardised: its square is in the range of float32
LARGEST = float(np.finfo(np.float64).max)


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


def warn_of_raw_validation(rows, held_out):
    """Warn if most columns' means lie over 5 training standard deviations away."""
    moments = rows.moments()
    if np.mean(np.abs(held_out.moments().mean - moments.mean) > 5 * moments.scale) > 0.5:
        warnings.warn(
            "Most columns of X_val lie over 5 standard deviations away from those of X: it seems to have bypassed "
            'the preprocessing. In a Pipeline, pass transform_input=["X_val"].',
            UserWarning,
            stacklevel=2,
        )
