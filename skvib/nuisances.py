"""What a code is not to tell: the groups of rows that a nuisance makes."""

import numpy as np

from skvib.containers import is_gap, rows_of

N_BINS = 10  # of numbers: deciles


def groups_of(nuisance, n_rows, invariance):
    """The group of each row, (n_rows,) int, None without a nuisance; a ValueError if it is not usable.

    Rows are in one group if they agree in all columns, floating-point numbers in their deciles.
    """
    if (nuisance is None) != (invariance == 0):
        given = "invariance" if nuisance is None else "nuisance"
        missing = "fit(X, y, nuisance=...)" if nuisance is None else "invariance=1.0, say"
        raise ValueError(f"{given} was given, but it takes both to leave something out of a code: pass {missing}, too.")
    if nuisance is None:
        return None
    columns = _columns_of(nuisance)
    if len(columns[0]) != n_rows:
        raise ValueError(f"nuisance has {len(columns[0])} rows, but X has {n_rows}.")
    codes = np.column_stack([_codes_of(column) for column in columns])
    return np.unique(codes, axis=0, return_inverse=True)[1].ravel()


def _columns_of(nuisance):
    """Its columns, each with a type of its own."""
    if hasattr(nuisance, "iloc") and getattr(nuisance, "ndim", 1) == 2:
        return [nuisance.iloc[:, k].to_numpy() for k in range(nuisance.shape[1])]
    values = np.asarray(rows_of(nuisance))
    if values.ndim not in (1, 2) or not values.size:
        raise ValueError(f"nuisance must be a value of each row, or some: got shape {values.shape}.")
    return list(values.reshape(len(values), -1).T)


def _codes_of(column):
    """An integer for each label, or for each decile of numbers."""
    if any(is_gap(value) for value in column.tolist()):
        raise ValueError("nuisance has missing values: give these rows a label of their own, or leave them out.")
    values = np.asarray(column.tolist()) if column.dtype == object else column
    levels, codes = np.unique(values, return_inverse=True)
    if values.dtype.kind != "f" or len(levels) <= N_BINS:
        return codes.ravel()
    return np.searchsorted(np.unique(np.quantile(values, np.arange(1, N_BINS) / N_BINS)), values, side="right")
