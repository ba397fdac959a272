"""What holds rows and targets: arrays, sparse matrices, lists, tensors, data frames of any maker."""

from numbers import Real

import numpy as np
from scipy import sparse


def rows_of(X):
    """X in a container that rows can be taken of: an array, a sparse matrix, a data frame, a table of pyarrow."""
    if hasattr(X, "detach"):
        X = X.detach().cpu()
        return (X.float() if X.dtype.is_floating_point and X.dtype.itemsize < 4 else X).numpy()
    return X if hasattr(X, "shape") else np.asarray(X)


def column_names(X):
    """Names of the columns of a data frame or a table; None of what has none."""
    names = getattr(X, "column_names", getattr(X, "columns", None))
    return None if names is None else [str(name) for name in names]


def take(rows, kept):
    """Some rows of an array, a list, a sparse matrix, or a data frame or table, which keep their names."""
    if hasattr(rows, "iloc"):
        return rows.iloc[kept]
    if hasattr(rows, "column_names"):
        return rows.take(kept)
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
    if hasattr(X, "column_names"):
        for column in columns:
            X = X.set_column(column, X.field(column), X.column(column).take(rows))
        return X
    if hasattr(X, "with_columns"):
        return X.with_columns(X[rows].get_columns()[column] for column in columns)
    if sparse.issparse(X):
        X, others = X.tocsr().copy(), X.tocsr()[rows]
        is_taken = np.isin(np.arange(X.shape[1]), columns)
        X.data[is_taken[X.indices]] = 0
        others.data[~is_taken[others.indices]] = 0
        return (X + others).tocsr()
    X = X.copy()
    X[:, columns] = X[rows][:, columns]
    return X


def plain_targets(y):
    """Targets in a container and a type that scikit-learn knows: no tensors, no tables, no StringDType."""
    if isinstance(y, np.ndarray):
        return y.astype(object) if y.dtype.kind == "T" else y
    if sparse.issparse(y) and y.ndim == 2 and y.shape[1] == 1:
        return y.toarray().ravel()
    is_known = y is None or isinstance(y, list) or sparse.issparse(y) or hasattr(y, "iloc")
    return y if is_known else np.asarray(rows_of(y))


def targets_array(y):
    """Targets as an array (n,) or (n, n_outputs), whatever holds them; a single column is (n,)."""
    y = y.toarray() if sparse.issparse(y) else np.asarray(plain_targets(y))
    if y.ndim == 2 and y.shape[1] == 1:
        y = y.ravel()
    if y.ndim > 1 and y.dtype == object:
        values = [np.nan if is_gap(value) else value for value in y.ravel().tolist()]
        return np.array(values, dtype=float).reshape(y.shape)
    return y


def is_gap(value):
    """Whether it says that there is no value: None, NaN, and those of pandas."""
    is_nan = isinstance(value, Real) and value != value
    return value is None or is_nan or type(value).__name__ in ("NAType", "NaTType")
