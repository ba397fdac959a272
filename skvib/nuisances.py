"""What a code is not to tell: the groups of rows that a nuisance makes."""

import warnings
from numbers import Real

import numpy as np

from skvib.containers import column_names, is_gap, rows_of

N_BINS = 10  # of numbers: deciles
FEW_OWN = 4  # rows of a group in a batch


def asked_groups(nuisance, weights, invariance):
    """The groups that a fit with this invariance leaves out of its code, None of one that leaves nothing out."""
    if nuisance is None and invariance:
        raise ValueError(
            f"invariance={invariance:g} is the price of what a code tells of a nuisance: pass nuisance=... beside y."
        )
    if nuisance is not None and not invariance:
        raise ValueError("A nuisance is left out at a price, and invariance is 0: set invariance=1.0, say.")
    return None if nuisance is None else groups_of(nuisance, weights)


def groups_of(nuisance, weights):
    """The group of each row of these weights, (n,) int; a ValueError if the nuisance is not usable.

    Rows are in one group if they agree in all columns, floating-point numbers in their deciles.
    """
    columns = _columns_of(nuisance)
    if len(columns[0]) != len(weights):
        raise ValueError(f"nuisance has {len(columns[0])} rows, but X has {len(weights)}.")
    codes = np.column_stack([_codes_of(column, weights) for column in columns])
    return np.unique(codes, axis=0, return_inverse=True)[1].ravel()


def warn_of_small_groups(groups, weights, n_rows):
    """Warn if a row meets few others of its group in a batch of so many rows: nearly all would tell them apart."""
    shares = np.bincount(groups, weights) / weights.sum()
    n_own = n_rows * float(shares @ shares)
    if n_own < FEW_OWN and np.sum(shares > 0) > 1:
        warnings.warn(
            f"A batch holds {n_own:.1f} rows of a group of the nuisance on average: so few are told apart by chance, "
            "and invariance may shut the code. Merge groups, raise batch_size, or lower invariance.",
            UserWarning,
            stacklevel=2,
        )


def _columns_of(nuisance):
    """Its columns, each with a type of its own."""
    names = column_names(nuisance)
    if names is not None:
        columns = [nuisance.iloc[:, k] if hasattr(nuisance, "iloc") else nuisance[name] for k, name in enumerate(names)]
        columns = [np.asarray(column.to_numpy()) for column in columns]
    else:
        values = np.asarray(nuisance, dtype=object) if isinstance(nuisance, list) else np.asarray(rows_of(nuisance))
        columns = [values] if values.ndim < 2 else list(values.T)
    if not columns or any(column.ndim != 1 for column in columns):
        raise ValueError(
            "nuisance must be an array, a list or a data frame with a value of each row, or several: pass X['sex'], "
            "say, or an array (n_samples, n_columns)."
        )
    return columns


def _codes_of(column, weights):
    """An integer for each label, or for each decile of numbers; rows without weight have no say in these."""
    values = column.tolist()
    if any(is_gap(value) for value in values):
        raise ValueError("nuisance has missing values: give these rows a label of their own, or leave them out.")
    if column.dtype == object and not all(isinstance(value, Real) for value in values):
        levels = sorted(set(values), key=lambda value: (type(value).__name__, value))
        index = {level: code for code, level in enumerate(levels)}
        return np.array([index[value] for value in values])
    column = np.asarray(values)
    codes = np.unique(column, return_inverse=True)[1].ravel()
    totals = np.bincount(codes, weights)
    if column.dtype.kind != "f" or np.sum(totals > 0) <= N_BINS:
        return codes
    below = (np.cumsum(totals) - totals) / totals.sum()
    return np.minimum(N_BINS * below, N_BINS - 1).astype(int)[codes]
