"""Bad input gets an error that names the parameter and the mend, before any training."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from models import TINY
from scipy import sparse
from sklearn.base import clone
from sklearn.utils._param_validation import InvalidParameterError

from skvib import VIBClassifier, VIBRegressor
from skvib.base import train_problems

FAST = TINY | {"max_iter": 3}
both = pytest.mark.parametrize(
    "estimator", [VIBClassifier(**FAST), VIBRegressor(**FAST)], ids=lambda e: type(e).__name__
)


@pytest.fixture(autouse=True)
def no_training():
    def refuse(*args):
        raise AssertionError("training started")

    token = train_problems.set(refuse)
    yield
    train_problems.reset(token)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 3)), rng.integers(2, size=40)


@both
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beta": -1.0}, "'beta' parameter .* must be a float in the range"),
        ({"beta": np.nan}, "'beta' parameter"),
        ({"latent_dim": 0}, "'latent_dim' parameter"),
        ({"activation": "logistic"}, "'activation' parameter"),
        ({"learning_rate": "adaptive"}, "'learning_rate' parameter"),
        ({"learning_rate_init": 0.0}, "'learning_rate_init' parameter"),
        ({"max_iter": 0}, "'max_iter' parameter"),
        ({"ema_decay": 1.0}, "'ema_decay' parameter"),
        ({"validation_fraction": 1.0}, "'validation_fraction' parameter"),
        ({"encoder": 3}, "'encoder' parameter"),
    ],
    ids=str,
)
def test_parameters_out_of_range(estimator, changes, message, data):
    with pytest.raises(InvalidParameterError, match=message):
        clone(estimator).set_params(**changes).fit(*data)


@both
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_layer_sizes": (8, 0)}, "hidden_layer_sizes must be positive integers"),
        ({"decoder_hidden_layer_sizes": (2.5,)}, "decoder_hidden_layer_sizes must be positive"),
        ({"device": "cuda:99"}, "device='cuda:99' is not available here; use 'auto' or 'cpu'"),
        ({"device": "gpu"}, "device='gpu' is no torch device"),
    ],
    ids=str,
)
def test_values_that_cannot_work(estimator, changes, message, data):
    with pytest.raises(ValueError, match=message):
        clone(estimator).set_params(**changes).fit(*data)


@both
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite(estimator, value, data):
    X, y = data
    bad = X.copy()
    bad[3, 1] = value
    # a gap of a table is none of an image, and none of a sparse row
    refused = [sparse.csr_array(bad)] + ([bad] if np.isinf(value) else [])
    for rows in refused:
        with pytest.raises(ValueError, match="Input X contains"):
            clone(estimator).fit(rows, y)
    with pytest.raises(ValueError, match="Input X contains"):
        clone(estimator).set_params(encoder=lambda: torch.nn.Linear(X.shape[1], 4)).fit(bad, y)
    bad_y = y.astype(float)
    bad_y[3] = value
    with pytest.raises(ValueError, match="Input y contains"):
        clone(estimator).fit(X, bad_y)
    weights = np.ones(40)
    weights[3] = value
    with pytest.raises(ValueError, match="sample_weight"):
        clone(estimator).fit(X, y, sample_weight=weights)


@both
def test_weights(estimator, data):
    X, y = data
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        clone(estimator).fit(X, y, sample_weight=-np.ones(40))
    with pytest.raises(ValueError, match="at least one"):
        clone(estimator).fit(X, y, sample_weight=np.zeros(40))
    with pytest.raises(ValueError, match="inconsistent|shape"):
        clone(estimator).fit(X, y, sample_weight=np.ones(39))


@both
def test_validation_sets(estimator, data):
    X, y = data
    with pytest.raises(ValueError, match="X_val was passed without y_val"):
        clone(estimator).fit(X, y, X_val=X)
    with pytest.raises(ValueError, match="y_val was passed without X_val"):
        clone(estimator).fit(X, y, y_val=y)
    with pytest.raises(ValueError, match="sample_weight_val was passed without X_val"):
        clone(estimator).fit(X, y, sample_weight_val=np.ones(40))
    with pytest.raises(ValueError, match="validation set.*X has 2 features, but .* is expecting 3"):
        clone(estimator).fit(X, y, X_val=X[:, :2], y_val=y)
    with pytest.raises(ValueError, match="validation set.*inconsistent numbers of samples"):
        clone(estimator).fit(X, y, X_val=X, y_val=y[:5])
    with pytest.raises(ValueError, match="The validation set is too small"):
        clone(estimator).set_params(early_stopping=True).fit(X[:3], [0, 0, 0])
    with pytest.raises(ValueError, match="The validation set is too small"):
        VIBClassifier(early_stopping=True).fit(X[:3], [0, 1, 2])


@both
def test_values_too_large_for_arithmetic(estimator, data):
    X, y = data
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"overflows float64.*Rescale the data"):
        clone(estimator).fit(np.finfo(float).max * rng.uniform(size=(40, 3)), y)
    with pytest.raises(ValueError, match="X overflows float32: rescale it, or set standardize=True"):
        clone(estimator).set_params(standardize=False).fit(1e200 * X, y)


@both
@pytest.mark.parametrize(
    ("encoder", "error", "message"),
    [
        (
            lambda: torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Dropout()),
            ValueError,
            "Dropout .*training mode",
        ),
        (lambda: torch.nn.BatchNorm1d(3), ValueError, "BatchNorm1d .*neighbours"),
        (lambda: 3, TypeError, "must be a torch module or a callable that returns one; it returned int"),
        (lambda: torch.nn.Linear(5, 4), ValueError, r"encoder failed on a float32 input of shape \(2, 3\)"),
        (lambda: torch.nn.Unflatten(1, (3, 1)), ValueError, r"must return features of shape \(n, width\)"),
    ],
)
def test_encoders_that_cannot_work(estimator, encoder, error, message, data):
    with pytest.raises(error, match=message):
        clone(estimator).set_params(encoder=encoder).fit(*data)


@both
def test_images_need_an_encoder(estimator, data):
    with pytest.raises(ValueError, match="dim 3"):
        clone(estimator).fit(np.zeros((40, 2, 2)), data[1])


def test_targets_of_a_classifier(data):
    X, y = data
    with pytest.raises(ValueError, match="Unknown label type"):
        VIBClassifier(**FAST).fit(X, X[:, 0])
    with pytest.raises(ValueError, match="MultiOutputClassifier"):
        VIBClassifier(**FAST).fit(X, np.c_[y, y + 1])
    with pytest.raises(ValueError, match=r"labels that are not among the known classes \[0 1\]: \[2\]"):
        VIBClassifier(**FAST).fit(X, y, X_val=X, y_val=y + 1)
    with pytest.raises(ValueError, match=r"not among the known classes \[0 5\]: \[1\]"):
        VIBClassifier(**FAST).partial_fit(X, y, classes=[0, 5])
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        VIBClassifier(**FAST).partial_fit(X, y)


def test_class_weights(data):
    X, y = data
    with pytest.raises(ValueError, match=r"class_weight .* labels among \[0, 1\]"):
        VIBClassifier(**FAST, class_weight={0: 1.0, 7: 1.0}).fit(X, y)
    with pytest.raises(ValueError, match="non-negative"):
        VIBClassifier(**FAST, class_weight={0: -1.0}).fit(X, y)
    for weight in (10**400, "a", [1, 2], np.nan):
        with pytest.raises(ValueError, match="class_weight must give"):
            VIBClassifier(**FAST, class_weight={0: weight, 1: 1.0}).fit(X, y)
    with pytest.raises(ValueError, match="check sample_weight and class_weight"):
        VIBClassifier(**FAST, class_weight={0: 0.0, 1: 0.0}).fit(X, y)
    with pytest.raises(ValueError, match="not supported by partial_fit"):
        VIBClassifier(**FAST, class_weight="balanced").partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match="use sample_weight"):
        VIBClassifier(**FAST, class_weight={0: 2.0}).fit(X, np.c_[y, 1 - y])


@both
def test_early_stopping_has_no_place_in_partial_fit(estimator, data):
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping=True"):
        clone(estimator).set_params(early_stopping=True).partial_fit(*data)


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        *((n, ".") for n in ("solver", "momentum", "shuffle", "beta_1", "power_t", "max_fun", "loss")),
        ("epochs", "did you mean 'max_iter'"),
        ("dropout", "beta, its price, or alpha"),
        ("latent_dims", "did you mean 'latent_dim'"),
        ("hidden_layers_sizes", "did you mean 'hidden_layer_sizes'"),
        ("seed", "did you mean 'random_state'"),
        ("xyzzy", "it has beta, latent_dim, "),
    ],
)
@pytest.mark.parametrize("estimator_class", [VIBClassifier, VIBRegressor])
def test_an_unknown_argument_is_told_what_to_write_instead(estimator_class, name, instead):
    with pytest.raises(TypeError, match=f"{estimator_class.__name__} has no parameter '{name}': .*{instead}"):
        estimator_class(**{name: 1})


@both
@pytest.mark.parametrize("weights", [np.full(40, 1e307), np.r_[np.ones(38), 1e308, 1e308]])
def test_weights_that_overflow(estimator, weights, data):
    X, y = data
    with pytest.raises(ValueError, match="add up to more than float64 can hold: divide sample_weight"):
        clone(estimator).fit(X, y, sample_weight=weights)
    with pytest.raises(ValueError, match="add up to more than float64 can hold"):
        clone(estimator).fit(X, y, X_val=X, y_val=y, sample_weight_val=weights)


@both
@pytest.mark.parametrize("value", [None, 1j, -1.0, np.nan, np.inf, 10**400, np.array(1j), np.array(None), "0.5", [0.5]])
def test_a_schedule_that_gives_no_step_size(estimator, value, data):
    with pytest.raises(ValueError, match=r"learning_rate, a callable, must map .* of 0.5 it makes"):
        clone(estimator).set_params(learning_rate=lambda p: 1.0 if p < 0.5 else value).fit(*data)


@both
@pytest.mark.parametrize(
    "changes",
    [
        {"max_iter": 2**70},
        {"hidden_layer_sizes": (10**9,)},
        {"decoder_hidden_layer_sizes": (10**6, 10**6)},
        {"latent_dim": 10**9},
        {"n_predict_draws": 2**40},
        {"n_train_draws": 2**40},
        {"beta": 10**400},
        {"beta": np.inf},
        {"alpha": 10**400},
        {"tol": 10**400},
        {"learning_rate_init": np.inf},
    ],
    ids=str,
)
def test_numbers_that_no_machine_can_hold(estimator, changes, data):
    with pytest.raises(ValueError, match=f"{next(iter(changes))}"):
        clone(estimator).set_params(**changes).fit(*data)


@both
@pytest.mark.parametrize(
    "dates",
    [
        lambda days: pd.DataFrame({"number": np.arange(40.0), "day": days}),
        lambda days: pd.DataFrame({"number": np.arange(40.0), "day": days.tz_localize("UTC")}),
        lambda days: pd.DataFrame({"number": np.arange(40.0), "day": days - days[0]}),
        lambda days: pd.DataFrame({"number": np.arange(40.0), "day": days.to_period("D")}),
        lambda days: pd.DataFrame({"number": np.arange(40.0), "day": days.date}),
        lambda days: pl.DataFrame({"number": np.arange(40.0), "day": days.to_numpy()}),
        lambda days: np.asarray(days)[:, None],
        lambda days: [[1.0, day] for day in days.date],
        lambda days: np.array([[1.0, day] for day in days.date], dtype=object),
    ],
)
def test_dates_say_how_to_encode_them(estimator, dates, data):
    with pytest.raises(TypeError, match="X holds dates or times .*: encode them as numbers first"):
        clone(estimator).fit(dates(pd.date_range("2020-01-01", periods=40)), data[1])


@pytest.mark.parametrize("container", [list, np.asarray, pd.Series, pd.DataFrame])
@pytest.mark.parametrize(("estimator", "values"), [(VIBClassifier(), ["a", "b"]), (VIBRegressor(), [1.0, 2.0])])
def test_a_target_with_gaps(estimator, values, container):
    y = [None, *values * 20][:40]
    with pytest.raises(ValueError, match="contains NaN"):
        estimator.fit(np.zeros((40, 2)), container(y))


@pytest.mark.parametrize("container", [np.asarray, pd.Series])
def test_dates_are_no_numbers_to_predict(container):
    days = pd.date_range("2020-01-01", periods=40).to_numpy()
    for y in (days, days - days[0]):
        with pytest.raises(TypeError, match="y holds dates or durations: make numbers of them first"):
            VIBRegressor().fit(np.zeros((40, 2)), container(y))


def test_a_validation_target_whose_loss_overflows(data):
    X, _ = data
    y_val = X[:, 0].copy()
    y_val[3] = 1e22
    with pytest.raises(ValueError, match="A target to validate on lies so far"):
        VIBRegressor(**FAST).fit(X, X[:, 0], X_val=X, y_val=y_val)


def test_a_sparse_target_of_a_regression(data):
    X, y = data
    with pytest.raises(TypeError, match="Sparse y is not supported in regression"):
        VIBRegressor(**FAST).fit(X, sparse.csr_array(np.c_[y, y]))
