"""Estimates with their standard errors, their units, and the tables that they make."""

from __future__ import annotations

import math
from dataclasses import fields
from numbers import Integral
from typing import Self

import numpy as np
from sklearn.utils import check_scalar

NATS_IN = {"nats": 1.0, "bits": math.log(2.0)}


class Estimate(float):
    """A number with its standard error.

    It is a float in every other respect.

    Parameters
    ----------
    value : float
        The estimate.
    standard_error : float
        Its standard error, in the same unit.

    See Also
    --------
    mutual_information : Returns estimates.

    Examples
    --------
    >>> from skvib import Estimate
    >>> rate = Estimate(1.5, standard_error=0.02)
    >>> rate, rate.standard_error, rate + 1
    (1.5 ± 0.02, 0.02, 2.5)
    """

    standard_error: float

    def __new__(cls, value: float, standard_error: float) -> Self:
        estimate = super().__new__(cls, value)
        estimate.standard_error = float(standard_error)
        return estimate

    def __getnewargs__(self):
        return float(self), self.standard_error

    def __repr__(self):
        return f"{float(self):.4g} ± {self.standard_error:.1g}"


def shares_of(sample_weight, n):
    """Weights that add up to 1."""
    weights = np.ones(n) if sample_weight is None else np.asarray(sample_weight, dtype=float)
    if weights.shape != (n,) or not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise ValueError("sample_weight must be one non-negative finite number for each row, and not all zero.")
    return weights / weights.sum()


def weighted_mean(values, sample_weight=None):
    """The weighted mean of values of independent rows, with its standard error."""
    return mean_of(values, shares_of(sample_weight, len(values)))


def values_and_errors(estimates):
    """Arrays of the values and of the standard errors."""
    return np.array(estimates, dtype=float), np.array([estimate.standard_error for estimate in estimates])


def mean_of(values, shares, influence=None):
    """The mean under shares of values of independent rows; their centred influence makes the standard error."""
    mean = shares @ values
    return Estimate(mean, np.sqrt(np.square(shares) @ np.square(values - mean if influence is None else influence)))


def best_and_compressed(betas, scores, errors):
    """The largest beta of the best score, and the largest one within a standard error of it (Breiman et al. 1984)."""
    best = int(np.nanargmax(scores))
    return tuple(float(betas[scores >= scores[best] - slack].max()) for slack in (0.0, errors[best]))


def check_options(unit, **integers):
    if unit not in NATS_IN:
        raise ValueError(f"unit must be one of {list(NATS_IN)}; got {unit!r}.")
    for name, value in integers.items():
        check_scalar(value, name, Integral, min_val=2 if name == "max_rows" else 1)


def in_unit(estimate, unit):
    nats = NATS_IN[unit]
    return None if estimate is None else Estimate(estimate / nats, estimate.standard_error / nats)


def columns_of(unit, **estimates):
    """Arrays of values and standard errors, by name; None where there are no estimates."""
    columns = {}
    for name, parts in estimates.items():
        arrays = (None, None) if parts is None else (part / NATS_IN[unit] for part in values_and_errors(parts))
        columns[name], columns[f"{name}_se"] = arrays
    return columns


def frame_of(result):
    import pandas as pd

    columns = {field.name: getattr(result, field.name) for field in fields(result)}
    return pd.DataFrame({name: column for name, column in columns.items() if isinstance(column, np.ndarray | list)})
