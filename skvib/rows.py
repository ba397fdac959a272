"""Rows as a weighted set: equal rows collapsed in a canonical order, and their weighted moments.

Weight k then is k copies, and no result depends on the order of the rows. Everything is NumPy and SciPy.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy import sparse

CHUNK_ELEMENTS = 2**18  # a chunk stays in the cache
# a smaller deviation, relative to the mean, is that of rounding
ROUNDING, ROUNDING_OF_FLOAT32 = 10 * float(np.finfo(np.float64).eps), 2 * float(np.finfo(np.float32).eps)
N_TYPICAL = 9  # rows whose median is taken for a common value, if it is no rarer than 0
N_LOOKED_AT = 2**14  # rows, for the edges of ramps
LABELLED = 0.25  # of the weight, at least, is that of rows with a target, where others have none
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
    twins : ndarray of int
        For each of them, the first with the same x.
    """
    kept = np.flatnonzero(weights)
    y = y.reshape(len(y), -1)
    of_x = row_hashes(X, 1)
    hashes = (of_x + row_hashes(y, 2) * _ODD)[kept]
    if len(kept) and np.ptp(weights[kept]):
        # equal rows by their weights, whose sum then does not depend on the order of the rows
        order = np.lexsort((weights[kept], hashes))
    else:
        order = np.argsort(hashes, kind="stable")
    rows = kept[order]
    starts = _starts(hashes[order], rows, X, y)
    totals = np.add.reduceat(weights[rows], starts) if len(starts) else weights[rows]
    rows = rows[starts]
    order = np.argsort(of_x[rows], kind="stable")
    starts = _starts(of_x[rows[order]], rows[order], X)
    twins = np.empty_like(order)
    twins[order] = np.repeat(order[starts], np.diff(starts, append=len(order)))
    return rows, totals, twins


def fingerprint(X, y, rows, weights):
    """A number that tells this weighted set of rows from others."""
    hashes = (row_hashes(X, 1) + row_hashes(y.reshape(len(y), -1), 2) * _ODD)[rows]
    return np.sum(_mix(weights, hashes | np.uint64(1)), dtype=np.uint64)


def told(targets, known, groups=None):
    """Columns that tell rows of one x apart: targets, which of them are NaN, which are known, and groups, if any."""
    has_value = targets == targets
    parts = (targets,) if has_value.all() else (np.where(has_value, targets, 0.0), has_value)
    parts = (*parts, *(part for part in (known, groups) if part is not None))
    return targets if len(parts) == 1 else np.column_stack(parts)


def _starts(hashes, rows, *arrays):
    """Where among rows sorted by their hashes a run of rows begins that are equal in all arrays."""
    is_first = np.ones(len(rows), dtype=bool)
    suspects = np.flatnonzero(hashes[1:] == hashes[:-1])
    before, after = rows[suspects], rows[suspects + 1]
    is_first[suspects + 1] = ~np.logical_and.reduce([_equal(array, before, after) for array in arrays])
    return np.flatnonzero(is_first)


@dataclass(frozen=True, eq=False)
class WeightedRows:
    """Some rows of X and of encoded targets: their indices, and their weights; and which of all have a target.

    `known` is None where all do. Else the target of a row without one is any valid value. Single outputs that a row
    lacks are NaN. `groups` are those that a nuisance makes.
    """

    X: np.ndarray | sparse.csr_matrix
    targets: np.ndarray
    rows: np.ndarray
    weights: np.ndarray
    known: np.ndarray | None = None
    groups: np.ndarray | None = None

    def __len__(self):
        return len(self.rows)

    @property
    def own_targets(self):
        """Those of these rows alone."""
        return self.targets[self.rows]

    def at(self, kept, weights):
        """Some of them, with these weights."""
        return replace(self, rows=self.rows[kept], weights=weights)

    @property
    def own_known(self):
        """Which of these rows have a target."""
        return np.ones(len(self), dtype=bool) if self.known is None else self.known[self.rows]

    @property
    def own_guessable(self):
        """Which of these rows have labels that others tell of: not those of groups in which none is known."""
        if self.groups is None:
            return np.ones(len(self), dtype=bool)
        own = self.groups[self.rows]
        return np.isin(own, own[self.own_known])

    def labelled(self):
        """Those that have a target, as if there were no others."""
        if self.known is None:
            return self
        kept = np.flatnonzero(self.own_known)
        return replace(self.at(kept, self.weights[kept]), known=None)

    def balanced(self):
        """The same for training: rows with a target are repeated until they are about half of all.

        And they have at least `LABELLED` of the weight. If all rows paid alike, it would be cheapest to encode the few
        that have a target, and no others.
        """
        known = self.own_known
        times = np.where(known, max(1, round(np.sum(~known) / known.sum())), 1)
        of_known, of_others = (self.weights[part].sum() for part in (known, ~known))
        factor = max(1.0, LABELLED / (1.0 - LABELLED) * of_others / of_known)
        weights = np.where(known, factor * self.weights, self.weights) / times
        return self.at(np.repeat(np.arange(len(self)), times), np.repeat(weights, times))

    def mean_square(self):
        """Of the inputs, in columns that are not all 0; at most 1."""
        squares = np.zeros(self.X.shape[1:])
        with np.errstate(over="ignore"):
            if sparse.issparse(self.X):
                part = self.X[self.rows]
                squares += np.bincount(part.indices, part.data.astype(np.float64) ** 2, len(squares))
            else:
                for chunk in _chunks(len(self), self.X):
                    squares += np.square(self.X[self.rows[chunk]], dtype=np.float64).sum(axis=0)
            return min(1.0, squares.sum() / len(self) / max(1, np.sum(squares > 0)))

    def moments(self, common=None):
        """The Moments of the inputs."""
        return weighted_moments(self.X, self.rows, self.weights, common)


def canonical(X):
    """X itself, or a CSR matrix equal to it without duplicate entries."""
    if sparse.issparse(X) and not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return X


class Moments(NamedTuple):
    """Mean and standard deviation of columns, 0 for a constant one, and what share of each is not its common value.

    All are float64. The common value is 0, or the median of some rows if more rows have it. `weight` is that of the
    rows, `rounding` the deviation, relative to the mean, from which on a column varies.
    """

    mean: np.ndarray
    deviation: np.ndarray
    filled: np.ndarray
    weight: float
    common: np.ndarray
    rounding: float = ROUNDING

    @property
    def scale(self):
        """What standardised columns are divided by; no ulp of a constant column becomes large by it."""
        return np.where(self.deviation > 0, self.deviation, np.maximum(1.0, np.abs(self.mean)))

    @property
    def scale_of_inputs(self):
        """The same, but for columns that mostly have their common value, such as flags and counts of words.

        By its deviation alone what is rare would be the larger the rarer it is, 1 / sqrt(share of rows), and drown the
        rest of its row. Here it lies one unit from the mean, as both values of an even flag do; a column whose common
        value is no rarer than that of an even flag keeps its deviation. No column has a say in the scale of another.
        The scale of a constant column is infinite: of what it may be later nothing was learned, and nothing is made.
        """
        varies = (self.deviation > 0) & (self.filled > 0)
        squares, filled = (self.deviation**2 + (self.mean - self.common) ** 2)[varies], self.filled[varies]
        scale = self.scale
        scale[varies] = np.maximum(scale[varies], (1.0 - filled) * np.sqrt(squares / filled))
        return np.where(self.deviation > 0, scale, np.inf)

    def of_channels(self):
        """Those of images (..., height, width) whose pixels are taken alike: each has the moments of its channel."""
        mean = self.mean.mean(axis=(-2, -1), keepdims=True)
        deviation = np.sqrt((self.deviation**2 + (self.mean - mean) ** 2).mean(axis=(-2, -1), keepdims=True))
        mean, deviation, filled = (np.broadcast_to(part, self.mean.shape).copy() for part in (mean, deviation, 1.0))
        return Moments(*_settled(mean, deviation, self.rounding), filled, self.weight, self.common, self.rounding)

    def merged(self, other):
        """Those of both sets of rows together; of equal ones, these themselves (Chan, Golub and LeVeque 1983).

        The other's shares are those of values that are not common here.
        """
        weight = self.weight + other.weight
        share, rounding = other.weight / weight, max(self.rounding, other.rounding)
        with np.errstate(over="ignore", invalid="ignore"):
            step, variance = other.mean - self.mean, self.deviation**2
            variance = variance + share * (other.deviation**2 - variance) + share * (1.0 - share) * step**2
            mean, deviation = _settled(self.mean + share * step, np.sqrt(variance), rounding)
        filled = self.filled + share * (other.filled - self.filled)
        return Moments(mean, deviation, filled, weight, self.common, rounding).checked()

    def checked(self):
        """Itself, if its numbers are finite."""
        if not (np.isfinite(self.mean).all() and np.isfinite(self.deviation).all()):
            raise ValueError(
                "The mean or the standard deviation of a column overflows float64: its values are too large. "
                "Rescale the data."
            )
        return self


def change(before, after, scale_before, scale_after):
    """(ratio, shift) by which what was standardised so is ratio * what it is now + shift; None if it is the same.

    Of a column that was constant nothing is known but that value, which keeps its meaning.
    """
    scale_before = np.where(before.deviation > 0, scale_before, scale_after)
    ratio = np.where(after.deviation > 0, scale_after, 1.0) / np.where(after.deviation > 0, scale_before, 1.0)
    shift = (after.mean - before.mean) / scale_before
    return (ratio, shift) if (ratio != 1).any() or shift.any() else None


def weighted_moments(X, rows, weights, common=None):
    """The Moments of X[rows], computed about their first row: a far mean costs no precision.

    What is not `common` in a column counts as filled; by default it is the value that more rows have, 0 or the median
    of the first ones.
    """
    total, rounding = float(weights.sum()), ROUNDING_OF_FLOAT32 if X.dtype == np.float32 else ROUNDING
    values = [np.zeros(X.shape[1:]), _median(X, rows[:N_TYPICAL])] if common is None else [common]
    with np.errstate(over="ignore", invalid="ignore"):
        moments = _sparse_moments if sparse.issparse(X) else _dense_moments
        mean, variance, shares = moments(X, rows, weights / total, values)
        mean, deviation = _settled(mean, np.sqrt(variance), rounding)
    most = np.argmax(shares, axis=0)[None]
    share, common = (np.take_along_axis(np.stack(parts), most, 0)[0] for parts in (shares, values))
    return Moments(mean, deviation, np.maximum(1.0 - share, 0.0), total, common, rounding).checked()


def _dense(X, rows):
    return (X[rows].toarray() if sparse.issparse(X) else X[rows]).astype(np.float64)


def _row(X, row):
    return _dense(X, [row])[0]


def _median(X, rows):
    """The lower median of these rows: a value of each column."""
    return np.sort(_dense(X, rows), axis=0)[(len(rows) - 1) // 2]


def _settled(mean, deviation, rounding):
    """A column whose values differ by rounding alone is constant."""
    return mean, np.where(deviation <= rounding * np.abs(mean), 0.0, deviation)


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


def ramp_edges(X, rows, n_bins, deviation):
    """Columns (C,) that have thresholds to find, and edges (C, n_bins + 1) between quantiles of their distinct values.

    Of many rows some are looked at, the first ones in their canonical order. A column of fewer values than edges
    repeats its largest one.
    """
    columns, edges = [], []
    looked_at = np.asarray(X[rows[:N_LOOKED_AT]], dtype=np.float64).T if n_bins else ()
    for column, values in enumerate(looked_at):
        values = np.unique(values)
        if len(values) > 2 and deviation[column] > 0:
            own = np.quantile(values, np.linspace(0.0, 1.0, min(n_bins, len(values) - 1) + 1))
            columns.append(column)
            edges.append(np.pad(own, (0, n_bins + 1 - len(own)), mode="edge"))
    return np.array(columns, dtype=np.int64), np.array(edges, dtype=np.float64).reshape(len(columns), n_bins + 1)


def row_hashes(X, salt):
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
    terms = (values.astype(np.float64) + 0.0).view(np.uint64)
    # the lower half of a small integer is empty, and a product of it forgets most of the key
    terms ^= terms >> np.uint64(32)
    terms *= keys
    terms ^= terms >> np.uint64(32)
    terms *= np.uint64(0x94D049BB133111EB)
    return terms


def _equal(X, a, b):
    if sparse.issparse(X):
        return np.asarray(abs(X[a] - X[b]).sum(axis=1)).ravel() == 0
    return (X[a] == X[b]).all(axis=tuple(range(1, X.ndim)))


def _dense_moments(X, rows, shares, values):
    """Means, variances, and the shares of rows that have each of the values."""
    origin = _row(X, rows[0])
    shift, *having = np.zeros((1 + len(values), *X.shape[1:]))
    for chunk in _chunks(len(rows), X):
        part = X[rows[chunk]]
        shift += np.tensordot(shares[chunk], part - origin, 1)
        for value, share in zip(values, having, strict=True):
            share += np.tensordot(shares[chunk], part == value, 1)
    variance = np.zeros(X.shape[1:])
    for chunk in _chunks(len(rows), X):
        variance += np.tensordot(shares[chunk], np.square((X[rows[chunk]] - origin) - shift), 1)
    return origin + shift, variance, having


def _sparse_moments(X, rows, shares, values):
    X = X[rows]
    share_of_entry = np.repeat(shares, np.diff(X.indptr))

    def column_sums(values):
        return np.bincount(X.indices, share_of_entry * values, minlength=X.shape[1]).astype(np.float64)

    # about the first row, where a column has no zeros
    is_full = np.bincount(X.indices, minlength=X.shape[1]) == X.shape[0]
    origin = np.where(is_full, _row(X, 0), 0.0)
    missing = np.where(is_full, 0.0, np.maximum(1.0 - column_sums(np.ones(len(X.data))), 0.0))
    shift = column_sums(X.data - origin[X.indices])
    spread = column_sums(np.square(X.data - origin[X.indices] - shift[X.indices]))
    having = [column_sums(X.data == value[X.indices]) + np.where(value == 0, missing, 0.0) for value in values]
    return origin + shift, spread + missing * np.square(shift), having
