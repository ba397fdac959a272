"""Rows without a target: which they are, and what they are to a fit."""

from numbers import Real

import numpy as np
from scipy import sparse

from skvib.rows import rows_of, take


def has_target(y, missing_label):
    """Which rows of y have a target, (n,) bool; None if all do, or `missing_label` is None.

    NaN stands for all gaps that pandas knows. A row of several outputs lacks all of them or none.
    """
    if missing_label is None or y is None or sparse.issparse(y):
        return None
    values = np.asarray(y)
    is_missing = _is_gap if missing_label != missing_label else lambda value: value == missing_label
    is_missing = np.array([bool(is_missing(value)) for value in values.ravel().tolist()]).reshape(len(values), -1)
    if (is_missing.any(axis=1) != is_missing.all(axis=1)).any():
        raise ValueError(
            "Some rows of y lack a part of their outputs: give all outputs of a row, or missing_label for all of them."
        )
    known = ~is_missing.any(axis=1)
    if not known.any():
        raise ValueError(f"No row of y has a target: all are missing_label={missing_label!r}.")
    return None if known.all() else known


def _is_gap(value):
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, Real) and value != value)
    )


def rows_with_target(X, y, weights, missing_label):
    """X, y and weights (or None) of the rows that have a target."""
    known = has_target(y, missing_label)
    if known is None:
        return X, y, weights
    kept = np.flatnonzero(known)
    weights = None if weights is None else np.asarray(weights)[kept]
    return take(rows_of(X), kept), filled(y, known)[kept], weights


def filled(y, known):
    """Targets as an array, in which rows without one have that of the first row that has one."""
    values = np.asarray(y)
    having = np.asarray(values[known].tolist())
    whole = np.empty((len(values), *having.shape[1:]), dtype=having.dtype)
    whole[:] = having[0]
    whole[known] = having
    return whole
