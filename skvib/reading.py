"""Rows in: what X and y may be, and the inputs and the chunks that networks take."""

import datetime

import numpy as np
import torch
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.utils import check_array, check_X_y
from sklearn.utils.validation import column_or_1d, validate_data

from skvib.checks import check_total, checked_targets
from skvib.containers import column_names, plain_targets, rows_of
from skvib.frames import (
    categorical_columns,
    check_categories,
    column_types,
    columns_of_strings,
    encoded,
    has_gaps,
    learned_columns,
    parted,
    warn_of_unknown,
)
from skvib.nn.layers import SharedRows, SparseRows
from skvib.nn.rows import GUESSED, NUISANCE, TARGET, Rows
from skvib.private import check_sample_weight
from skvib.rows import WeightedRows, canonical, standardized
from skvib.unlabelled import filled, gaps_in, known_rows, marked

DATES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)
PREDICT_ELEMENTS = 2**20
FAR = 1e4


def read_inputs(estimator, X):
    """X of a prediction, checked against what the fit has seen."""
    categorical, rules = _categories_of(estimator, X, reset=False), _rules(estimator, X)
    X = validate_data(estimator, X, reset=False, skip_check_array=bool(categorical), **rules)
    X, values = parted(X, categorical)
    if categorical:
        X = check_array(X, estimator=estimator, ensure_min_features=0, **rules)
    X = _filled(estimator, canonical(X), values)
    check_shape(estimator, X)
    return X


def read_rows(estimator, X, y, sample_weight, reset=False, warn=False):
    """Arrays X, y and weights, and which rows have a target (None: all of positive weight; others have any in y).

    Outputs that are not known are NaN. The names, number and kinds of columns are learned with `reset`, else checked.
    """
    refuse_dates(X)
    y = plain_targets(y)
    gaps = gaps_in(y, estimator.missing_label)
    known = known_rows(gaps, estimator.missing_label)
    y, are_numbers = filled(y, gaps), not is_classifier(estimator)
    _refuse_targets(y, are_numbers)
    X = given = rows_of(X) if hasattr(X, "detach") else X
    categorical = _categories_of(estimator, X, reset)
    rules = {"multi_output": True, "y_numeric": are_numbers, **_rules(estimator, X)}
    try:
        X, y = validate_data(estimator, X, y, reset=reset, skip_check_array=bool(categorical), **rules)
        X, values = parted(X, categorical)
        if categorical:
            X, y = check_X_y(X, y, estimator=estimator, ensure_min_features=0, **rules)
    except (TypeError, ValueError) as error:
        _explain_strings(error, given, categorical)
        raise
    X = canonical(X)
    weights = check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    if not weights.any():
        raise ValueError("sample_weight is zero for every row: at least one must be positive.")
    check_total(weights)
    if reset:
        check_categories(values, column_names(given))
        estimator._columns = learned_columns(X, values, weights)
    if not reset or estimator._columns is not None:
        X = _filled(estimator, X, values)
    if not reset:
        check_shape(estimator, X)
    if sparse.issparse(y):
        if are_numbers:
            raise TypeError("Sparse y is not supported in regression: pass y.toarray().")
        y = y.toarray()
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=warn)
    y = marked(y, gaps, are_numbers)
    if known is not None and known[weights > 0].all():
        known = None
    return X, y, weights, known


def _refuse_targets(y, are_numbers):
    """Raise if y holds gaps that sorting would trip over, or dates where numbers are asked for."""
    if y is None or sparse.issparse(y):
        return
    try:
        values = np.asarray(y)
    except ValueError:  # rows of several lengths, which scikit-learn refuses
        return
    if are_numbers and values.dtype.kind in ("m", "M"):
        raise TypeError(
            "y holds dates or durations: make numbers of them first, such as days since the first one "
            "((y - y.min()) / np.timedelta64(1, 'D'))."
        )
    if values.dtype.kind == "O" and any(value is None for value in values.flat):
        raise ValueError("Input y contains NaN: None is a missing value. Drop these rows.")


def _explain_strings(error, X, categorical):
    """Raise which columns hold strings, if that is why X is no array of numbers."""
    names = columns_of_strings(X, categorical)
    if names:
        raise ValueError(
            f"Columns of X hold strings, but are no categorical_features: {', '.join(names)}. Name them there, too, or "
            "encode or drop them."
        ) from error
    if "could not convert string" in str(error):
        raise ValueError(
            f"{error}. Name columns of strings in categorical_features, or pass a data frame, which tells their types."
        ) from error


def _categories_of(estimator, X, reset):
    """The columns of X that are categories."""
    if estimator.encoder is not None:
        return []
    if reset:
        return categorical_columns(X, estimator.categorical_features)
    return list((estimator._columns or {"categories": ()})["categories"])


def _filled(estimator, X, values):
    """X with a number for each gap, and categories as zeros and ones; the mean fills columns that had no gap."""
    if estimator._columns is not None:
        warn_of_unknown(values, estimator._columns["categories"], getattr(estimator, "feature_names_in_", None))
        return encoded(X.toarray() if sparse.issparse(X) else X, values, **estimator._columns)
    return np.where(np.isnan(X), estimator._x_mean.astype(X.dtype), X) if has_gaps(X) else X


def read_validation(estimator, X_val, y_val, sample_weight_val):
    """The WeightedRows of positive weight."""
    try:
        X, y, weights, known = read_rows(estimator, X_val, y_val, sample_weight_val)
        kept = np.flatnonzero(weights if known is None else weights * known)
        if not len(kept):
            raise ValueError("No row of positive weight has a target.")
        return WeightedRows(X[kept], estimator._target.encode(y[kept]), np.arange(len(kept)), weights[kept])
    except ValueError as error:
        raise ValueError(f"In the validation set (X_val, y_val): {error}") from error


def _rules(estimator, X):
    own = estimator.encoder is not None
    return {
        "accept_sparse": False if own else "csr",
        "allow_nd": own,
        "dtype": [np.float64, np.float32],
        "ensure_all_finite": True if own or sparse.issparse(X) else "allow-nan",
    }


def check_shape(estimator, X):
    if X.shape[1:] != estimator._x_mean.shape:
        raise ValueError(f"Rows of X have shape {X.shape[1:]}, but those of the fit {estimator._x_mean.shape}.")


def refuse_dates(X):
    """Raise if X holds dates or times, which are no numbers yet."""
    found = _date_columns(X)
    if found:
        raise TypeError(
            f"X holds dates or times ({', '.join(map(str, found))}): encode them as numbers first, such as year, month "
            "and day of the week (X[column].dt.month), or days since the first one "
            "((X[column] - X[column].min()).dt.days)."
        )


def _date_columns(X):
    kinds = column_types(X)
    if kinds is None and getattr(getattr(X, "dtype", None), "kind", None) in ("m", "M"):
        return [f"dtype {X.dtype}"]
    if kinds is None:
        is_objects = isinstance(X, list) or getattr(getattr(X, "dtype", None), "kind", None) == "O"
        row = X[0] if is_objects and len(X) else ()
        return [type(v).__name__ for v in row if isinstance(v, DATES)] if isinstance(row, list | np.ndarray) else []
    dates = "date", "time", "duration", "period"
    named = [name for name, kind in zip(column_names(X), kinds, strict=True) if kind.lower().startswith(dates)]
    if hasattr(X, "iloc") and len(X):
        named += [name for name, value in zip(column_names(X), X.iloc[0], strict=True) if isinstance(value, DATES)]
    return list(dict.fromkeys(named))


def far_columns(mean, scale):
    """Those whose mean is so many deviations from 0 that products of single precision would lose them."""
    return np.abs(mean) > FAR * scale


def tensors_of(rows, inputs, target, mean_weight, guess):
    """WeightedRows for a network, with these inputs; the loss of guessing what some lack has the weight `guess`."""
    targets = checked_targets(target.tensor(rows.own_targets))
    weights, shares = torch.from_numpy((rows.weights / mean_weight).astype(np.float32)), {}
    if not rows.own_known.all():
        known = torch.from_numpy(rows.own_known)
        shares[TARGET] = weights * known * (weights.sum() / weights[known].sum())
        shares[GUESSED] = guess * weights * torch.from_numpy(rows.own_guessable)
    columns = {TARGET: targets}
    if rows.groups is not None:
        columns[NUISANCE] = torch.from_numpy(rows.groups[rows.rows])
    return Rows(inputs, weights, columns, shares)


def standardized_inputs(X, rows, mean, scale):
    """(X[rows] - mean) / scale in float32, for training: a tensor or SparseRows."""
    # NumPy before torch: torch's threads of a waiting task would slow down the training that it waits for
    if sparse.issparse(X):
        inputs = sparse_rows(X[rows], mean, scale, np.float32, far_columns(mean, scale))
        values = inputs.values.numpy()
    else:
        values = standardized(X, rows, mean, scale)
        inputs = torch.from_numpy(values)
    if not np.isfinite(values).all():
        raise ValueError("X overflows float32: rescale it, or set standardize=True.")
    return inputs


def inputs_of(sets, mean, scale):
    """Standardised inputs of each of several WeightedRows, by its id; what they have in common is stored once.

    Two of one X are the rows that a network trains on and those that it holds out: only rows that are repeated (those
    with a target among many without) are in common.
    """
    of_X, inputs = {}, {}
    for rows in sets:
        of_X.setdefault(id(rows.X), {})[id(rows)] = rows
    for X, group in ((next(iter(group.values())).X, group) for group in of_X.values()):
        if len(group) > 2 or any(rows.known is not None for rows in group.values()):
            distinct = np.unique(np.concatenate([rows.rows for rows in group.values()]))
            whole = standardized_inputs(X, distinct, mean, scale)
            for key, rows in group.items():
                inputs[key] = SharedRows(whole, torch.from_numpy(np.searchsorted(distinct, rows.rows)))
        else:
            inputs |= {key: standardized_inputs(X, rows.rows, mean, scale) for key, rows in group.items()}
    return inputs


def sparse_rows(X, mean, scale, dtype, is_far):
    """(X - mean) / scale as SparseRows.

    Where the mean is far from 0 (`is_far`) a column has no zeros, and its differences are stored instead.
    """
    if is_far.any():
        mean, X = np.where(is_far, 0.0, mean), _with_differences(X, np.where(is_far, mean, 0.0), is_far)
    return SparseRows(
        torch.from_numpy(X.indptr.astype(np.int64)),
        torch.from_numpy(X.indices.astype(np.int64)),
        torch.from_numpy((X.data / scale[X.indices]).astype(dtype)),
        torch.from_numpy((mean / scale).astype(dtype)),
    )


def _with_differences(X, mean, columns):
    """X - mean in these columns, where every entry is stored, also the zeros of rows not seen in training."""
    near = X.copy()
    near.data = np.where(columns[near.indices], 0.0, near.data)
    near.eliminate_zeros()
    columns = np.flatnonzero(columns)
    differences = (X[:, columns].toarray() - mean[columns]).ravel()
    places = np.tile(columns, X.shape[0]), np.arange(0, differences.size + 1, len(columns))
    return (near + sparse.csr_matrix((differences, *places), shape=X.shape)).tocsr()


def chunks_of(X, network, n_points, x_mean, x_scale):
    """Stacks of one network: the rows of X in its dtype, so many at a time that memory stays bounded."""
    mean, is_sparse = network.center.cpu().numpy(), sparse.issparse(X) and not network.embedding.n_more
    is_far = far_columns(x_mean, x_scale) if is_sparse else None
    size = max(1, PREDICT_ELEMENTS // network.row_elements(n_points, is_sparse))
    for start in range(0, X.shape[0], size):
        rows = X[start : start + size]
        rows = rows.toarray() if sparse.issparse(rows) and not is_sparse else rows
        if is_sparse:
            shared = sparse_rows(rows, mean, np.ones_like(mean), mean.dtype, is_far).to(network.center.device)
            yield [shared] * network.n_networks
        else:
            rows = np.require(rows, mean.dtype, requirements=["C", "W"])
            yield torch.from_numpy(rows).unsqueeze(0).to(network.center.device)


def gathered(chunks, n_rows, dtype):
    """Tensors, or tuples of them, of some rows each as NumPy arrays of all rows, which are filled as they come."""
    wholes, start = None, 0
    for chunk in chunks:
        parts = chunk if isinstance(chunk, tuple) else (chunk,)
        if wholes is None:
            kind = torch.float32 if dtype == np.float32 else torch.float64
            wholes = [torch.empty((n_rows, *part.shape[1:]), dtype=kind, device="cpu") for part in parts]
        stop = start + len(parts[0])
        for whole, part in zip(wholes, parts, strict=True):
            whole[start:stop] = part
        start = stop
    arrays = tuple(whole.numpy() for whole in wholes)
    return arrays if isinstance(chunk, tuple) else arrays[0]
