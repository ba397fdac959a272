"""Columns as they come: categories, and numbers with gaps, as one array of numbers."""

import warnings
from numbers import Integral, Number

import numpy as np
from scipy import sparse

from skvib.containers import column_names

N_TELLING = 5  # values that are all unknown, of a type that is known, are no chance
MANY = 255  # values of a column of categories; of more most should occur again

# of pandas, polars and pyarrow, lower case
CATEGORICAL = ("categor", "enum", "str", "string", "large_string", "utf8", "dictionary", "boolean[")


def column_types(X):
    """The type of each column of a data frame or a table, as it is written; None of what has none."""
    if hasattr(X, "column_names"):
        return [str(kind) for kind in X.schema.types]
    return [str(kind) for kind in X.dtypes] if hasattr(X, "columns") and hasattr(X, "dtypes") else None


def categorical_columns(X, wanted):
    """Indices of the columns that are categories: by the types of a frame, or those named, masked or counted."""
    if wanted is None or sparse.issparse(X):
        return []
    kinds, names = column_types(X), column_names(X) or []
    if isinstance(wanted, str):
        return [k for k, kind in enumerate(kinds or ()) if _is_categorical(X, k, kind)]
    shape = (X if kinds else np.asarray(X)).shape
    n_columns, wanted = shape[1] if len(shape) == 2 else 0, list(wanted)
    if wanted and all(isinstance(one, bool | np.bool_) for one in wanted):
        if len(wanted) != n_columns:
            raise ValueError(f"categorical_features masks {len(wanted)} columns, but X has {n_columns}.")
        return [k for k, is_wanted in enumerate(wanted) if is_wanted]
    columns = [names.index(one) if isinstance(one, str) and one in names else one for one in wanted]
    for one in columns:
        if not isinstance(one, Integral) or not 0 <= one < n_columns:
            raise ValueError(f"categorical_features names {one!r}, which is no column of X.")
    return sorted({int(one) for one in columns})


def _is_categorical(X, column, kind):
    """Whether a column of a frame has a type of categories; one of objects that are no numbers is."""
    if kind == "object":
        return not all(value is None or isinstance(value, Number) for value in values_of(X, column))
    if kind in ("bool", "boolean", "Boolean"):
        return None in values_of(X, column)
    return kind.lower().startswith(CATEGORICAL)


def columns_of_strings(X, categorical):
    """Names of the columns of a data frame that hold strings and are no categories."""
    names = column_names(X) or []
    others = [k for k in range(len(names)) if k not in set(categorical)]
    return [names[k] for k in others if any(isinstance(value, str) for value in values_of(X, k))]


def check_categories(values, names):
    """Raise if a column cannot be categories, from {column: list of values}: of lists, or of a value for each row."""
    for column, of_column in values.items():
        name = _told(column, names)
        try:
            n_values = len(set(of_column))
        except TypeError as error:
            raise TypeError(f"Column {name} of X holds values that are no categories: {error}.") from error
        if n_values > max(MANY, len(of_column) / 2):
            raise ValueError(
                f"Column {name} of X has {n_values} values in {len(of_column)} rows, too many for categories. Drop an "
                "identifier; encode text (TfidfVectorizer), dates, and numbers written as strings (pandas.to_numeric)."
            )


def warn_of_unknown(values, categories, names):
    """Say so if no value of a column was there in training: it has another type, or perhaps another spelling."""
    for column, of_column in values.items():
        known, given = categories[column], [value for value in of_column if value is not None]
        is_telling = len(given) >= N_TELLING or not {*map(type, given)} <= {*map(type, known)}
        if given and known and is_telling and set(known).isdisjoint(given):
            warnings.warn(
                f"No value of column {_told(column, names)} of X was there in training, such as {given[0]!r}; it had "
                f"{known[0]!r}. They enter as zeros. Check the type and the spelling.",
                UserWarning,
                stacklevel=2,
            )


def _told(column, names):
    """A column by its name, or by its number where it has none."""
    return column if names is None else repr(names[column])


def values_of(X, column):
    """A column as a list of values; a gap is None."""
    if hasattr(X, "iloc"):
        of_column = X.iloc[:, column]
        values = of_column.astype(object).to_numpy(copy=True)
        values[of_column.isna().to_numpy()] = None
        return values.tolist()
    if hasattr(X, "column_names"):
        return X.column(column).to_pylist()
    if hasattr(X, "get_columns"):
        return X.get_columns()[column].to_list()
    return [None if value != value else value for value in np.asarray(X, dtype=object)[:, column]]


def parted(X, categorical):
    """The columns of numbers, and {column: list of values} of the others."""
    if not categorical:
        return X, {}
    if sparse.issparse(X):
        raise TypeError("Columns of X are categories: pass a data frame or an array, and no sparse matrix.")
    X = X if hasattr(X, "shape") else np.asarray(X, dtype=object)
    kept = [k for k in range(X.shape[1]) if k not in set(categorical)]
    values = {column: values_of(X, column) for column in categorical}
    if not kept:
        return np.empty((X.shape[0], 0)), values
    if hasattr(X, "iloc"):
        return X.iloc[:, kept], values
    return (X.select(kept) if hasattr(X, "column_names") else X[:, kept]), values


def has_gaps(X):
    return not sparse.issparse(X) and X.size > 0 and bool(np.isnan(X.min()))


def learned_columns(numbers, values, weights):
    """What `encoded` needs, plain values, of rows with these weights; None where all are numbers without gaps."""
    if not values and not has_gaps(numbers):
        return None
    kept = np.flatnonzero(weights)
    gaps = np.isnan(numbers[kept])
    weight = weights[kept, None] * ~gaps
    shares = weight / np.maximum(weight.sum(axis=0), np.finfo(float).tiny)
    known = np.where(gaps, 0.0, numbers[kept])
    fill = _rounded((shares * known).sum(axis=0))
    low, high = (known.min(axis=0, initial=np.inf, where=~gaps), known.max(axis=0, initial=-np.inf, where=~gaps))
    fill = np.where(low == high, low, fill)  # to the bit, or the column would seem to vary
    categories = {
        column: sorted({of_column[row] for row in kept}, key=lambda value: (value is None, str(value), repr(value)))
        for column, of_column in values.items()
    }
    return {"categories": categories, "fill": fill, "flagged": gaps.any(axis=0)}


def _rounded(means):
    """To the digits of float32, so that they depend neither on the order of rows nor on whether weights are copies."""
    mantissa, exponent = np.frexp(means)
    return np.ldexp(np.round(mantissa * 2**24) / 2**24, exponent)


def encoded(numbers, values, categories, fill, flagged):
    """Numbers without gaps, flags, and zeros and ones, side by side.

    `categories` are the values of each categorical column, {column: list}. Each gets a column of zeros and ones; any
    other value is zeros. `fill` is what stands for a gap of each number, and `flagged` says whose gaps get a
    column of their own.
    """
    gaps = np.isnan(numbers)
    parts = [np.where(gaps, fill.astype(numbers.dtype), numbers), gaps[:, flagged]]
    for column, known in categories.items():
        index = {value: k for k, value in enumerate(known)}
        codes = np.array([index.get(value, -1) for value in values[column]], dtype=np.int64)
        parts.append(codes[:, None] == np.arange(len(known)))
    return np.hstack(parts).astype(numbers.dtype, copy=False)
