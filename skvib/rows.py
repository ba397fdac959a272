"""Rows as a weighted set: equal rows collapsed in a canonical order, and their weighted moments.

Weight k then is k copies, and no result depends on the order of the rows. Everything is NumPy and SciPy.
"""

import math

import numpy as np
from scipy import sparse

CHUNK_ELEMENTS = 2**18  # a chunk stays in the cache
_ODD = np.uint64(0x9E3779B97F4A7C15)


def collapse(X, y, weights):
    """Drop rows of zero weight and merge equal (x, y) rows.

    Parameters
    ----------
    X : ndarray of shape (n, ...) or CSR of shape (n, d)
    y : ndarray of shape (n,) or (n, k)
    weights : ndarray of shape (n,), float64, non-negative

    Returns
    -------
    rows : ndarray of int
        One row of each distinct (x, y), ordered by a hash of its values as float64. The hash takes
        -0 as 0 and is the same for dense and sparse X.
    weights : ndarray of float64
        Their summed weights.
    """
    kept = np.flatnonzero(weights)
    y = y.reshape(len(y), -1)
    hashes = (_hash(X, 1) + _hash(y, 2) * _ODD)[kept]
    order = np.argsort(hashes, kind="stable")
    rows, hashes = kept[order], hashes[order]
    is_first = np.ones(len(rows), dtype=bool)
    suspects = np.flatnonzero(hashes[1:] == hashes[:-1])
    before, after = rows[suspects], rows[suspects + 1]
    is_first[suspects + 1] = ~(_equal(X, before, after) & _equal(y, before, after))
    starts = np.flatnonzero(is_first)
    totals = np.add.reduceat(weights[rows], starts) if len(starts) else weights[rows]
    return rows[starts], totals


def take(rows, kept):
    """Some rows of an array, a list, a sparse matrix or a data frame, which keeps its names."""
    if hasattr(rows, "iloc"):
        return rows.iloc[kept]
    if sparse.issparse(rows):
        return rows.tocsr()[kept]
    return (rows if hasattr(rows, "shape") else np.asarray(rows))[kept]


def with_columns_of(X, columns, rows):
    """X with these columns taken from other rows."""
    if hasattr(X, "iloc"):
        X = X.copy()
        for column in columns:
            X.isetitem(column, X.iloc[rows, column].array)
        return X
    if hasattr(X, "with_columns"):
        return X.with_columns(X[rows].get_columns()[column] for column in columns)
    if sparse.issparse(X):
        taken = np.zeros(X.shape[1])
        taken[columns] = 1.0
        return (X @ sparse.diags_array(1.0 - taken) + X.tocsr()[rows] @ sparse.diags_array(taken)).tocsr()
    X = X.copy()
    X[:, columns] = X[rows][:, columns]
    return X


def canonical(X):
    """X itself, or a CSR matrix equal to it without duplicate entries."""
    if sparse.issparse(X) and not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return X


def weighted_moments(X, rows, weights):
    """Mean and standard deviation of the columns of X[rows], float64; 1 for a constant column's deviation."""
    with np.errstate(over="ignore", invalid="ignore"):
        if sparse.issparse(X):
            mean, variance = _sparse_moments(X[rows], weights / weights.sum())
        else:
            mean, variance = _dense_moments(X, rows, weights / weights.sum())
        scale = np.sqrt(variance)
    if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
        raise ValueError(
            "The mean or the standard deviation of a column overflows float64: its values are too large. "
            "Rescale the data."
        )
    rounding = max(10, len(rows)) * np.finfo(np.float64).eps * np.abs(mean)
    return mean, np.where(scale <= rounding, 1.0, scale)


def standardized(X, rows, mean, scale):
    """(X[rows] - mean) / scale, computed in float64 and returned in float32, where it may overflow."""
    out = np.empty((len(rows), *X.shape[1:]), dtype=np.float32)
    with np.errstate(over="ignore"):
        for chunk in _chunks(len(rows), X):
            out[chunk] = (X[rows[chunk]] - mean) / scale
    return out


def _chunks(n, X):
    """Slices of n rows of the dense X."""
    size = max(1, CHUNK_ELEMENTS // max(1, math.prod(X.shape[1:])))
    return (slice(start, start + size) for start in range(0, n, size))


def _keys(n_columns, salt):
    """An odd 64-bit number for each column."""
    keys = (np.arange(n_columns, dtype=np.uint64) + np.uint64(salt << 40)) * _ODD
    keys ^= keys >> np.uint64(29)
    return (keys * np.uint64(0xBF58476D1CE4E5B9)) | np.uint64(1)


def _hash(X, salt):
    """A 64-bit hash of each row: a sum over its columns to which a zero adds nothing."""
    if sparse.issparse(X):
        terms = _mix(X.data, _keys(X.shape[1], salt)[X.indices])
        totals = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(terms, dtype=np.uint64)])
        return totals[X.indptr[1:]] - totals[X.indptr[:-1]]
    X = X.reshape(len(X), -1)
    keys = _keys(X.shape[1], salt)
    hashes = np.empty(len(X), dtype=np.uint64)
    for chunk in _chunks(len(X), X):
        hashes[chunk] = _mix(X[chunk], keys).sum(axis=1, dtype=np.uint64)
    return hashes


def _mix(values, keys):
    terms = (values.astype(np.float64) + 0.0).view(np.uint64) * keys
    terms ^= terms >> np.uint64(32)
    terms *= np.uint64(0x94D049BB133111EB)
    return terms


def _equal(X, a, b):
    if sparse.issparse(X):
        return np.asarray(abs(X[a] - X[b]).sum(axis=1)).ravel() == 0
    return (X[a] == X[b]).all(axis=tuple(range(1, X.ndim)))


def _dense_moments(X, rows, shares):
    mean = np.zeros(X.shape[1:])
    for chunk in _chunks(len(rows), X):
        mean += np.tensordot(shares[chunk], X[rows[chunk]].astype(np.float64, copy=False), 1)
    variance = np.zeros(X.shape[1:])
    for chunk in _chunks(len(rows), X):
        variance += np.tensordot(shares[chunk], np.square(X[rows[chunk]] - mean), 1)
    return mean, variance


def _sparse_moments(X, shares):
    share_of_entry = np.repeat(shares, np.diff(X.indptr))

    def column_sums(values):
        return np.bincount(X.indices, share_of_entry * values, minlength=X.shape[1])

    mean = column_sums(X.data)
    stored = column_sums(np.ones(len(X.data)))
    spread = column_sums(np.square(X.data - mean[X.indices]))
    return mean, spread + np.maximum(1.0 - stored, 0.0) * np.square(mean)
