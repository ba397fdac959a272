"""Rows without a target, or without a part of its outputs: which they are, and what becomes of them."""

import numpy as np
from scipy import sparse
from sklearn.utils import check_array, check_consistent_length

from skvib.containers import is_gap, rows_of, take, targets_array


def gaps_in(y, missing_label):
    """Where y says that there is no value, bool of its shape; None if nowhere, or `missing_label` is None.

    NaN stands for all gaps that pandas knows.
    """
    if missing_label is None or y is None or sparse.issparse(y):
        return None
    values = _values(y)
    gaps = _is_missing(values, missing_label).reshape(values.shape)
    return gaps if gaps.any() else None


def has_target(y, missing_label):
    """Which rows of y have a target, or at least one output of it, (n,) bool; None if all do."""
    return known_rows(gaps_in(y, missing_label), missing_label)


def known_rows(gaps, missing_label):
    """The same of the gaps in y."""
    if gaps is None:
        return None
    known = ~gaps.reshape(len(gaps), -1).all(axis=1)
    if not known.any():
        raise ValueError(f"No row of y has a target: all are missing_label={missing_label!r}. Each call needs some.")
    return None if known.all() else known


def _values(y):
    """An array of them; gaps in a list of strings stay what they are."""
    return np.asarray(y, dtype=object) if isinstance(y, list) else np.asarray(y)


def _is_missing(values, missing_label):
    is_nan = missing_label != missing_label
    is_missing = is_gap if is_nan else lambda value: not is_gap(value) and value == missing_label
    return np.array([bool(is_missing(value)) for value in values.ravel().tolist()], dtype=bool)


def filled(y, gaps):
    """Targets as an array in which a value that is known stands in each gap."""
    if gaps is None:
        return y
    values = _values(y)
    having = values[~gaps]
    having = np.asarray(having.tolist()) if having.dtype == object else having
    whole = np.full(values.shape, having[0], dtype=having.dtype)
    whole[~gaps] = having
    return whole


def marked(y, gaps, are_numbers):
    """Checked targets with NaN in the gaps of numbers; labels of a row are all known or none."""
    if gaps is None:
        return y
    gaps = gaps.reshape(y.shape)
    if are_numbers:
        return np.where(gaps, np.nan, y.astype(float))
    if y.ndim > 1 and (gaps.any(axis=1) != gaps.all(axis=1)).any():
        raise ValueError("Some rows of y lack a part of their labels: give all of a row, or missing_label for all.")
    return y


def checked_outputs(y, gaps, are_numbers):
    """Targets as an array of finite numbers, or of labels; numbers in the gaps are NaN."""
    return marked(check_array(targets_array(filled(y, gaps)), dtype=None, ensure_2d=False), gaps, are_numbers)


def rows_with_target(X, y, weights, missing_label):
    """X, y and weights (or None) of the rows that have a target."""
    known = has_target(y, missing_label)
    if known is None:
        return X, y, weights
    check_consistent_length(X, y, weights)
    kept = np.flatnonzero(known)
    weights = None if weights is None else np.asarray(weights)[kept]
    return take(rows_of(X), kept), known_targets(y, known), weights


def known_targets(y, known):
    """Those of the rows that have one, in an array of their own type."""
    having = _values(y)[known]
    return np.asarray(having.tolist()) if having.dtype == object else having


def refuse_gaps(known):
    """Raise if not all rows have a target."""
    if known is not None:
        raise ValueError("Rows without a target have no log-likelihood: leave them out.")


def refuse_missing(classes, missing_label):
    """Raise if the value that says that a row has no label is among the classes."""
    if classes is not None and missing_label is not None and _is_missing(_values(classes), missing_label).any():
        raise ValueError(f"`classes` holds missing_label={missing_label!r}, which is no class: leave it out.")
