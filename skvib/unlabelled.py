"""Rows without a target: which they are, and what becomes of them."""

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
    values = _values(y)
    is_missing = _is_missing(values, missing_label).reshape(len(values), -1)
    if (is_missing.any(axis=1) != is_missing.all(axis=1)).any():
        raise ValueError(
            "Some rows of y lack a part of their outputs: give all outputs of a row, or missing_label for all of them."
        )
    known = ~is_missing.any(axis=1)
    if not known.any():
        raise ValueError(f"No row of y has a target: all are missing_label={missing_label!r}. Each call needs some.")
    return None if known.all() else known


def _values(y):
    """An array of them; gaps in a list of strings stay what they are."""
    return np.asarray(y, dtype=object) if isinstance(y, list) else np.asarray(y)


def _is_missing(values, missing_label):
    is_nan = missing_label != missing_label
    is_missing = _is_gap if is_nan else lambda value: not _is_gap(value) and value == missing_label
    return np.array([bool(is_missing(value)) for value in values.ravel().tolist()], dtype=bool)


def _is_gap(value):
    is_nan = isinstance(value, Real) and value != value
    return value is None or is_nan or type(value).__name__ in ("NAType", "NaTType")


def filled(y, known):
    """Targets as an array, in which rows without one have that of the first row that has one."""
    values = _values(y)
    having = values[known]
    having = np.asarray(having.tolist()) if having.dtype == object else having
    whole = np.empty((len(values), *having.shape[1:]), dtype=having.dtype)
    whole[:] = having[0]
    whole[known] = having
    return whole


def rows_with_target(X, y, weights, missing_label):
    """X, y and weights (or None) of the rows that have a target."""
    known = has_target(y, missing_label)
    if known is None:
        return X, y, weights
    kept = np.flatnonzero(known)
    weights = None if weights is None else np.asarray(weights)[kept]
    return take(rows_of(X), kept), filled(y, known)[kept], weights


def refuse_gaps(known):
    """Raise if not all rows have a target."""
    if known is not None:
        raise ValueError("Rows without a target have no log-likelihood: leave them out.")


def refuse_missing(classes, missing_label):
    """Raise if the value that says that a row has no label is among the classes."""
    if classes is not None and missing_label is not None and _is_missing(_values(classes), missing_label).any():
        raise ValueError(f"`classes` holds missing_label={missing_label!r}, which is no class: leave it out.")
