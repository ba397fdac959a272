"""What both estimators share: rows, weights, seeds, dtypes, devices, validation data, continued fits."""

import pickle
import warnings
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from models import asked, inputs_of, weights_of
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.preprocessing import StandardScaler

from skvib import VIBClassifier, VIBRegressor
from skvib.fitted import DTYPES
from skvib.rows import collapse, row_hashes, weighted_moments

pytestmark = pytest.mark.filterwarnings("ignore:The predictions are hardly better")  # of so few epochs

FAST = {
    "hidden_layer_sizes": (16,),
    "latent_dim": 3,
    "max_iter": 15,
    "learning_rate_init": 1e-2,
    "early_stopping": False,
    "ema_decay": 0.0,
    "alpha": 0.0,
}
ESTIMATORS = [VIBClassifier(**FAST, random_state=0), VIBRegressor(**FAST, noise="homoscedastic", random_state=0)]
both = pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)


@pytest.fixture(scope="module")
def data():
    return make_classification(120, 6, n_informative=4, random_state=0)


def signature(model, X):
    """Everything that a fit decides."""
    return np.concatenate([model.transform(X).ravel(), weights_of(model), model.history_["loss"]])


# Rows are a weighted set


@both
def test_weight_k_is_k_copies(estimator, data):
    X, y = data
    counts = np.random.default_rng(0).integers(0, 4, len(y))
    weighted = clone(estimator).fit(X, y, sample_weight=counts)
    copied = clone(estimator).fit(np.repeat(X, counts, axis=0), np.repeat(y, counts))
    np.testing.assert_array_equal(signature(weighted, X), signature(copied, X))


@both
def test_the_order_of_the_rows_does_not_matter(estimator, data):
    X, y = data
    order = np.random.default_rng(0).permutation(len(y))
    first = clone(estimator).fit(X, y)
    second = clone(estimator).fit(X[order], y[order])
    np.testing.assert_array_equal(signature(first, X), signature(second, X))


@both
def test_a_duplicate_never_leaks_into_the_validation_split(estimator, data):
    X, y = data
    estimator = clone(estimator).set_params(early_stopping=True)
    once = clone(estimator).fit(X, y)
    twice = clone(estimator).fit(np.vstack([X, X]), np.concatenate([y, y]))
    np.testing.assert_allclose(once.validation_scores_, twice.validation_scores_, rtol=1e-5)


@both
def test_minus_zero_is_zero(estimator):
    X = np.array([[0.0, 1.0], [-0.0, 1.0], [2.0, 0.0], [3.0, -0.0]])
    y = [0, 0, 1, 1]
    first, second = clone(estimator).fit(X, y), clone(estimator).fit(np.abs(X), y)
    np.testing.assert_array_equal(signature(first, X), signature(second, X))


def test_equal_rows_of_integers_are_merged_wherever_they_stand():
    rng = np.random.default_rng(0)
    X, y = rng.integers(3, size=(3000, 12)).astype(float), rng.integers(2, size=3000)
    X, y = np.repeat(X, 3, axis=0), np.repeat(y, 3)
    order = rng.permutation(len(y))
    rows, weights, twins = collapse(X[order], y[order], np.ones(len(y)))
    assert len(rows) == len(np.unique(np.c_[X, y], axis=0))
    assert weights.sum() == len(y)
    assert len(np.unique(twins)) == len(np.unique(X, axis=0))
    permuted = rng.permuted(np.tile(np.arange(64.0), (20_000, 1)), axis=1)
    assert len(np.unique(row_hashes(permuted, 1))) == 20_000


# Inputs


@both
@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csr_array, sparse.csc_matrix, sparse.csc_array])
def test_sparse_and_dense_copies_agree(estimator, container, data):
    X = np.where(np.abs(data[0]) > 0.7, data[0], 0.0)
    y = data[1]
    on_dense = clone(estimator).fit(X, y)
    on_sparse = clone(estimator).fit(container(X), y)
    np.testing.assert_allclose(on_dense.transform(X), on_dense.transform(container(X)), atol=1e-5)
    np.testing.assert_allclose(on_dense.transform(X), on_sparse.transform(X), atol=1e-3)
    np.testing.assert_allclose(on_dense.rate_samples(container(X)), on_dense.rate_samples(X), atol=1e-5)


@both
def test_sparse_duplicate_entries_are_summed(estimator):
    X = sparse.csr_matrix(([1.0, 1.0, 2.0, 3.0], ([0, 0, 1, 2], [0, 0, 1, 0])), shape=(3, 2))
    raw = sparse.csr_matrix((3, 2))
    raw.data, raw.indices = np.array([1.0, 1.0, 2.0, 3.0]), np.array([0, 0, 1, 0])
    raw.indptr = np.array([0, 2, 3, 4])
    y = [0, 1, 1]
    first, second = clone(estimator).fit(X, y), clone(estimator).fit(raw, y)
    np.testing.assert_array_equal(first.transform(X), second.transform(raw))


@both
def test_every_container_gives_the_same_fit(estimator, data, tmp_path):
    X, y = data
    X = X.astype(np.float32).astype(np.float64)
    expected = signature(clone(estimator).fit(X, y), X)
    mapped = np.memmap(tmp_path / "x", dtype=np.float64, mode="w+", shape=X.shape)
    mapped[:] = X
    read_only = X.copy()
    read_only.flags.writeable = False
    names = [f"x{i}" for i in range(X.shape[1])]
    for container in (
        X.tolist(),
        torch.from_numpy(X),
        np.asfortranarray(X),
        X[:, ::-1][:, ::-1],
        mapped,
        read_only,
    ):
        np.testing.assert_array_equal(signature(clone(estimator).fit(container, y), container), expected)
    for frame in (pd.DataFrame(X, columns=names), pl.DataFrame(X, schema=names)):
        model = clone(estimator).fit(frame, y)
        np.testing.assert_array_equal(signature(model, frame), expected)
        assert model.feature_names_in_.tolist() == names


@both
def test_predictions_have_the_dtype_of_x(estimator, data):
    X, y = data
    model = clone(estimator).fit(X, y)
    for dtype in (np.float32, np.float64):
        assert model.transform(X.astype(dtype)).dtype == dtype
        assert model.rate_samples(X.astype(dtype)).dtype == dtype
    assert model.transform(np.round(X).astype(int)).dtype == np.float64
    np.testing.assert_allclose(model.transform(X.astype(np.float32)), model.transform(X), atol=1e-4)


@both
def test_a_far_mean_costs_no_precision(estimator, data):
    X, y = data
    far = np.round(8 * X) / 8 + 2.0**13  # exact in float32, mean / std about 1e4
    model = clone(estimator).fit(far, y)
    np.testing.assert_allclose(model.transform(far.astype(np.float32)), model.transform(far), atol=1e-4)


@both
def test_a_row_does_not_depend_on_its_neighbours(estimator, data, monkeypatch):
    X, y = data
    model = clone(estimator).fit(X, y)
    whole = model.predict(X), model.transform(X), model.log_likelihood_samples(X, y)
    monkeypatch.setattr("skvib.reading.PREDICT_ELEMENTS", 100)
    chunked = model.predict(X), model.transform(X), model.log_likelihood_samples(X, y)
    for a, b in zip(whole, chunked, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@both
@pytest.mark.filterwarnings("ignore:The loss, ")  # one epoch
def test_dense_and_sparse_levels_are_scaled_alike(estimator):
    rng = np.random.default_rng(0)
    for _ in range(20):
        X = np.hstack([np.eye(10)[rng.integers(10, size=90)] for _ in range(3)])
        y = rng.integers(2, size=90)
        with asked() as problems:
            for container in (np.asarray, sparse.csr_array):
                clone(estimator).set_params(max_iter=1).fit(container(X), y)
        np.testing.assert_allclose(*map(inputs_of, problems), atol=1e-5)


@pytest.mark.parametrize("share", [0.03, 0.1, 0.4, 0.6])
def test_no_column_has_a_say_in_the_scale_of_another(share):
    rng = np.random.default_rng(0)
    flags, money = rng.random((400, 100)) < share, rng.lognormal(8, 2, size=(400, 1))
    money[rng.random(400) < 0.5] = 0.0
    units = np.r_[np.ones(100), 1.0] * 10.0 ** rng.integers(-6, 7, size=101)

    def scale_of(X):
        return weighted_moments(X, np.arange(400), np.ones(400)).scale_of_inputs

    scale = scale_of(np.hstack([flags, money]))
    np.testing.assert_allclose(scale_of(np.hstack([flags, money]) * units), scale * units, rtol=1e-9)
    np.testing.assert_allclose(scale[:100], scale_of(flags.astype(float)), rtol=1e-12)
    np.testing.assert_allclose(scale[100:], scale_of(money), rtol=1e-12)


@pytest.mark.parametrize("estimator", [VIBClassifier(random_state=0), VIBRegressor(random_state=0)])
@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e4])
def test_many_flags_are_learned_beside_a_number_of_any_unit(estimator, unit):
    rng = np.random.default_rng(0)
    flags = rng.random((1200, 100)) < 0.03
    y = flags @ rng.normal(size=100)
    if isinstance(estimator, VIBClassifier):
        y = y > 0
    X = np.c_[flags, unit * rng.lognormal(0, 1, 1200)]
    assert clone(estimator).set_params(max_iter=40).fit(X[:800], y[:800]).score(X[800:], y[800:]) > 0.75


def test_wide_sparse_input_is_never_densified():
    rng = np.random.default_rng(0)
    columns = rng.integers(200_000, size=(300, 20))
    X = sparse.csr_array((rng.uniform(size=6000), (np.repeat(np.arange(300), 20), columns.ravel())), (300, 200_000))
    y = np.asarray(X.sum(axis=1)).ravel() > np.median(np.asarray(X.sum(axis=1)))
    model = VIBClassifier(hidden_layer_sizes=(4,), latent_dim=2, max_iter=2, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    assert model.predict_proba(X).shape == (300, 2)


CONSTANT = {
    "1e18": np.full(120, 1e18),
    "a day in nanoseconds": np.full(120, 1.7e18),
    "with jitter": 1.7e18 + np.random.default_rng(0).integers(0, 200_000, 120),
    "ulps": np.nextafter(np.full(120, 1e18), np.where(np.arange(120) % 2, np.inf, 0.0)),
    "a third": np.full(120, 1 / 3),
    "tiny": np.full(120, 1e-300),
    "-1e12": np.full(120, -1e12),
}


@both
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("name", CONSTANT)
def test_a_column_far_from_zero_that_hardly_varies_ruins_nothing(estimator, container, name, data):
    X, y = data
    beside = np.c_[X, CONSTANT[name]]
    estimator = clone(estimator).set_params(max_iter=40)
    plain, model = clone(estimator).fit(X, y), clone(estimator).fit(container(beside), y)
    assert model.score(container(beside), y) > plain.score(X, y) - 0.1
    assert np.abs(model.transform(container(beside))).max() < 100
    for weights in (np.ones(120), np.random.default_rng(0).uniform(size=120)):
        mean, deviation, *_ = weighted_moments(beside, np.arange(120), weights)
        assert mean[-1] == pytest.approx(CONSTANT[name].mean(), rel=1e-13)
        assert deviation[-1] == pytest.approx(CONSTANT[name].std() if name == "with jitter" else 0.0, rel=0.3)


@both
@pytest.mark.filterwarnings("ignore:invalid value encountered in reduce")  # of scikit-learn's look for infinities
@pytest.mark.parametrize("scale", [1e-44, 1e-39, 1e-20, 1e20, 3e38])
def test_extremes_of_float32_are_fitted_and_predicted(estimator, scale):
    rng = np.random.default_rng(0)
    X = (scale * rng.uniform(-1, 1, size=(150, 4))).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    model = clone(estimator).set_params(max_iter=40).fit(X, y)
    for rows in (X, X.astype(np.float64)):
        assert model.score(rows, y) > (0.85 if isinstance(model, VIBClassifier) else 0.3)
        assert model.transform(rows).dtype == rows.dtype
        assert np.isfinite(model.transform(rows)).all()
        assert np.isfinite(model.rate_samples(rows)).all()
        assert np.isfinite(model.log_likelihood_samples(rows, y)).all()


@both
def test_rows_far_beyond_are_finite_or_an_error_and_never_nan(estimator, data):
    X, y = data
    model = clone(estimator).fit(X.astype(np.float32), y)
    for far in (np.full((3, 6), 3e38, dtype=np.float32), np.full((3, 6), 1e300), 1e30 * X, 1e15 * X.astype(np.float32)):
        for method in (
            model.predict,
            model.transform,
            model.rate_samples,
            partial(model.log_likelihood_samples, y=y[:3]),
        ):
            far = far[:3]
            try:
                assert np.isfinite(method(far)).all()
            except ValueError as error:
                assert "lies so far from the training rows" in str(error)
    with pytest.raises(ValueError, match=r"Row 1 of X lies so far .* overflows float32: check its values"):
        model.transform(np.r_[X[:1], np.full((1, 6), 3e38)].astype(np.float32))


@both
def test_a_sparse_matrix_without_entries_is_fitted(estimator):
    y = np.arange(40) % 2
    model = clone(estimator).fit(sparse.csr_matrix((40, 3)), y)
    for rows in (np.zeros((2, 3), np.float32), np.zeros((2, 3)), sparse.csr_matrix((2, 3), dtype=np.float32)):
        assert np.isfinite(model.predict(rows)).all()


@both
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64, bool, sparse.csr_array])
def test_what_is_fitted_has_one_type_whatever_x_has(estimator, kind):
    X, y = np.random.default_rng(0).integers(2, size=(40, 3)), np.arange(40) % 2
    X = kind(X) if kind is sparse.csr_array else X.astype(kind)
    model = clone(estimator).fit(X, y)
    for name, dtype in DTYPES.items():
        assert getattr(model, name, np.empty(0, dtype)).dtype == dtype


# Seeds


@both
def test_same_seed_same_bits(estimator, data):
    X, y = data
    first, second = clone(estimator).fit(X, y), clone(estimator).fit(X, y)
    np.testing.assert_array_equal(signature(first, X), signature(second, X))
    np.testing.assert_array_equal(first.predict(X), first.predict(X))
    np.testing.assert_array_equal(first.predict(X), pickle.loads(pickle.dumps(first)).predict(X))
    other = clone(estimator).set_params(random_state=1).fit(X, y)
    assert not np.array_equal(first.transform(X), other.transform(X))


@both
def test_a_random_state_instance_advances(estimator, data):
    X, y = data
    shared = np.random.RandomState(0)
    first = clone(estimator).set_params(random_state=shared).fit(X, y)
    second = clone(estimator).set_params(random_state=np.random.RandomState(0)).fit(X, y)
    np.testing.assert_array_equal(first.transform(X), second.transform(X))


@both
def test_global_states_are_left_alone(estimator, data):
    X, y = data
    numpy_state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()
    n_threads, grad = torch.get_num_threads(), torch.is_grad_enabled()
    model = clone(estimator).fit(X, y)
    model.predict(X)
    model.transform(X)
    model.sample_latent(X)
    model.rate_samples(X)
    model.score_samples(X)
    model.log_likelihood_samples(X, y)
    model.partial_fit(X, y)
    assert torch.get_num_threads() == n_threads
    assert torch.is_grad_enabled() == grad
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)
    assert torch.equal(torch.get_rng_state(), torch_state)


@both
def test_no_seed_takes_one_draw_from_numpys_global_generator(estimator, data):
    X, y = data
    estimator = clone(estimator).set_params(random_state=None)
    np.random.seed(3)
    first = clone(estimator).fit(X, y)
    after = np.random.rand()
    np.random.seed(3)
    np.random.randint(2**31 - 1)
    assert np.random.rand() == after
    np.random.seed(3)
    np.testing.assert_array_equal(clone(estimator).fit(X, y).transform(X), first.transform(X))


# What a fit reports


@both
def test_fitted_attributes_agree_with_each_other(estimator, data):
    X, y = data
    model = clone(estimator).fit(X, y)
    assert model.n_iter_ == len(model.loss_curve_) == 15
    assert model.loss_ == model.loss_curve_[-1]
    assert model.best_loss_ == min(model.loss_curve_)
    history = model.history_
    np.testing.assert_allclose(history["loss"], history["distortion"] + model.beta * history["rate"])
    assert model.rate_ == pytest.approx(model.latent_rates_.sum())
    assert model.rate_ == pytest.approx(model.rate_samples(X).mean(), rel=1e-4)
    assert model.n_active_ == np.sum(model.latent_rates_ > 0.01)
    np.testing.assert_array_equal(model.score_samples(X), -model.rate_samples(X))
    rates, (mu, sigma) = model.latent_rate_samples(X), model.encode(X)
    np.testing.assert_allclose(rates, 0.5 * (mu**2 + sigma**2 - 1.0) - np.log(sigma), atol=1e-12)
    np.testing.assert_allclose(rates.sum(axis=1), model.rate_samples(X), rtol=1e-12)
    assert model.validation_scores_ is None
    assert model.best_validation_score_ is None


@both
def test_the_network_is_a_torch_module_of_the_raw_rows(estimator, data):
    X, y = data
    model = clone(estimator).fit(X, y)
    network = model.network_
    assert isinstance(network, torch.nn.Module)
    assert not network.training
    posterior = network(torch.from_numpy(X.astype(np.float32))[None])
    np.testing.assert_allclose(posterior.mu[0], model.transform(X), atol=1e-4)
    with pytest.raises(NotFittedError):
        _ = clone(estimator).network_


@both
def test_latent_draws_have_the_moments_of_the_posterior(estimator, data):
    X, y = data
    model = clone(estimator).fit(X, y)
    draws = model.sample_latent(X[:5], n_samples=4000)
    assert draws.shape == (4000, 5, 3)
    np.testing.assert_allclose(draws.mean(0), model.transform(X[:5]), atol=0.1)
    np.testing.assert_array_equal(draws, model.sample_latent(X[:5], n_samples=4000))


@both
def test_log_likelihood_takes_a_data_frame(estimator, data):
    X, y = data
    frame = pd.DataFrame(X, columns=list("abcdef"))
    model = clone(estimator).fit(frame, y)
    assert np.isfinite(model.log_likelihood_samples(frame, y)).all()


@both
def test_the_scale_of_the_weights_does_not_matter(estimator, data):
    X, y = data
    plain = clone(estimator).fit(X, y)
    tiny = clone(estimator).fit(X, y, sample_weight=np.full(len(y), 2.0**-200))
    np.testing.assert_allclose(plain.transform(X), tiny.transform(X))


@both
def test_no_predict_draws_decode_the_mean(estimator, data):
    X, y = data
    model = clone(estimator).set_params(n_predict_draws=0).fit(X, y)
    assert np.isfinite(model.predict(X)).all()
    assert model.log_likelihood_samples(X, y).shape == (len(y),)


# Validation data and stopping


@both
def test_early_stopping_restores_the_best_weights(estimator, data):
    X, y = data
    estimator = clone(estimator).set_params(early_stopping=True, max_iter=200, n_iter_no_change=3)
    model = clone(estimator).fit(X[:80], y[:80], X_val=X[80:], y_val=y[80:])
    assert model.n_iter_ < 200
    assert model.best_loss_ is None
    assert model.best_validation_score_ == max(model.validation_scores_)
    history = model.history_
    best = np.argmin(model.beta * history["rate"] - history["validation_log_likelihood"])
    now = model.log_likelihood_samples(X[80:], y[80:]).mean()
    assert now == pytest.approx(model.validation_scores_[best], abs=1e-4)


@both
def test_a_column_that_is_constant_but_for_rounding_is_constant(estimator, data):
    X, y = data
    X = np.c_[X, np.full(len(X), -0.0333148)]
    far = X.copy()
    far[:, -1] = 30.0
    model = clone(estimator).set_params(max_iter=3).fit(X, y)
    assert np.abs(model.transform(far)).max() < 1e3


def test_a_validation_row_far_away_does_not_choose_the_epoch(data):
    X, y = data
    losses = []
    for seed in range(5):
        model = VIBClassifier(**FAST | {"early_stopping": True, "beta": 0.1, "max_iter": 60}, random_state=seed)
        X_val = X[80:].copy()
        usual = clone(model).fit(X[:80], y[:80], X_val=X_val, y_val=y[80:])
        X_val[0, 0] = 1e6
        unusual = clone(model).fit(X[:80], y[:80], X_val=X_val, y_val=y[80:])
        losses.append(usual.score(X[:80], y[:80]) - unusual.score(X[:80], y[:80]))
    assert np.mean(losses) < 0.05


@both
def test_validation_rows_without_early_stopping_only_record(estimator, data):
    X, y = data
    plain = clone(estimator).fit(X[:80], y[:80])
    watched = clone(estimator).fit(X[:80], y[:80], X_val=X[80:], y_val=y[80:])
    np.testing.assert_array_equal(plain.transform(X), watched.transform(X))
    assert len(watched.validation_scores_) == watched.n_iter_ == 15


@both
def test_validation_weights_count(estimator, data):
    X, y = data
    weights = np.r_[np.ones(20), np.zeros(20)]
    weighted = clone(estimator).fit(X[:80], y[:80], X_val=X[80:], y_val=y[80:], sample_weight_val=weights)
    dropped = clone(estimator).fit(X[:80], y[:80], X_val=X[80:100], y_val=y[80:100])
    np.testing.assert_allclose(weighted.validation_scores_, dropped.validation_scores_)


@both
def test_a_validation_set_that_bypassed_the_preprocessing_warns(estimator, data):
    X, y = data
    X_val = 100 + 10 * X
    for standardize in (True, False):
        with pytest.warns(UserWarning, match="transform_input"):
            clone(estimator).set_params(standardize=standardize).fit(X, y, X_val=X_val, y_val=y)


# Continued fits


@both
def test_partial_fit_calls_are_the_epochs_of_a_fit(estimator, data):
    X, y = data
    estimator = clone(estimator).set_params(learning_rate="constant", n_iter_no_change=np.inf)
    with pytest.warns(ConvergenceWarning, match="Maximum iterations"):
        whole = clone(estimator).fit(X, y)
    parts = clone(estimator)
    for _ in range(15):
        arguments = {"classes": [0, 1]} if isinstance(parts, VIBClassifier) else {}
        parts.partial_fit(X, y, **arguments)
    np.testing.assert_array_equal(signature(parts, X), signature(whole, X))


@both
def test_partial_fit_goes_on_after_a_pickle(estimator, data):
    X, y = data
    model = clone(estimator)
    model.partial_fit(X, y, **({"classes": [0, 1]} if isinstance(model, VIBClassifier) else {}))
    copied = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(model.partial_fit(X, y).transform(X), copied.partial_fit(X, y).transform(X))


@both
def test_warm_start_goes_on(estimator, data):
    X, y = data
    model = clone(estimator).set_params(warm_start=True).fit(X, y)
    before = model.loss_
    model.fit(X, y)
    assert model.n_iter_ == 15
    assert len(model.loss_curve_) == 30
    assert model.loss_ < before
    with pytest.raises(ValueError, match="latent_dim changed from 3 to 4"):
        model.set_params(latent_dim=4).fit(X, y)


@both
def test_a_refit_forgets(estimator, data):
    X, y = data
    model = clone(estimator).fit(pd.DataFrame(X, columns=list("abcdef")), y)
    model.fit(X[:, :4], y)
    assert model.n_features_in_ == 4
    assert not hasattr(model, "feature_names_in_")
    np.testing.assert_array_equal(model.transform(X[:, :4]), clone(estimator).fit(X[:, :4], y).transform(X[:, :4]))


@both
@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_layer_sizes": (4,)},
        {"decoder_hidden_layer_sizes": (4,)},
        {"activation": "tanh"},
        {"standardize": False},
        {"latent_dim": 4},
        {"encoder": torch.nn.Flatten()},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_fit_that_continues_keeps_its_network(estimator, changes, data):
    X, y = data
    name = next(iter(changes))
    first = {"classes": [0, 1]} if isinstance(estimator, VIBClassifier) else {}
    for go_on in (lambda model: model.fit(X, y), lambda model: model.partial_fit(X, y)):
        model = clone(estimator).set_params(warm_start=True)
        model.partial_fit(X, y, **first)
        with pytest.raises(ValueError, match=f"{name} changed from .* keeps its network"):
            go_on(model.set_params(**changes))


def test_the_noise_of_a_fit_that_continues_stays(data):
    X, y = data
    model = VIBRegressor(**FAST, warm_start=True).partial_fit(X, y)
    with pytest.raises(ValueError, match="noise changed from 'heteroscedastic' to 'homoscedastic'"):
        model.set_params(noise="homoscedastic").fit(X, y)


# Schedules and options


@both
def test_learning_rate_may_be_a_callable(estimator, data):
    X, y = data
    linear = clone(estimator).set_params(learning_rate=lambda progress: 1.0 - progress).fit(X, y)
    cosine = clone(estimator).fit(X, y)
    assert linear.n_iter_ == cosine.n_iter_ == 15
    assert not np.array_equal(linear.transform(X), cosine.transform(X))


@both
@pytest.mark.parametrize(
    "changes",
    [
        {"activation": "silu"},
        {"activation": "gelu"},
        {"activation": "tanh"},
        {"ema_decay": 0.9},
        {"n_train_draws": 3},
        {"autocast": "bfloat16"},
        {"hidden_layer_sizes": ()},
        {"hidden_layer_sizes": 8, "decoder_hidden_layer_sizes": (8, 4)},
        {"batch_size": 10},
        {"standardize": False},
        {"learning_rate": "constant", "tol": 1.0, "n_iter_no_change": 10},
    ],
    ids=str,
)
def test_each_option_learns(estimator, changes, data):
    X, y = data
    X = StandardScaler().fit_transform(X)
    model = clone(estimator).set_params(**{"max_iter": 60} | changes).fit(X, y)
    assert model.history_["loss"][-1] < model.history_["loss"][0]
    assert model.score(X, y) >= (0.7 if isinstance(model, VIBClassifier) else 0.2)


@both
def test_an_average_of_the_weights_predicts(estimator, data):
    X, y = data
    constant = clone(estimator).set_params(learning_rate="constant", n_iter_no_change=np.inf)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        last = clone(constant).fit(X, y)
        averaged = clone(constant).set_params(ema_decay=0.99).fit(X, y)
    np.testing.assert_array_equal(last.history_["loss"], averaged.history_["loss"])
    assert not np.array_equal(last.transform(X), averaged.transform(X))


@both
def test_alpha_shrinks_the_coefficients(estimator, data):
    X, y = data
    norms = [np.abs(weights_of(clone(estimator).set_params(alpha=alpha).fit(X, y))).sum() for alpha in (0, 1, 100)]
    assert norms[0] > norms[1] > norms[2]


@both
def test_verbose_prints_a_line_of_progress(estimator, data, capsys):
    X, y = data
    clone(estimator).set_params(verbose=True).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Iteration 1/15, loss = ")
    for word in ("distortion = ", "rate = ", " nats", "s left"):
        assert word in lines[-1]
    clone(estimator).fit(X, y)
    assert capsys.readouterr().out == ""


# An encoder of the user


class Convolution(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv2d(1, 4, 3)

    def forward(self, x):
        return torch.relu(self.convolution(x[:, None])).flatten(1)


@both
def test_a_module_of_the_user_trains_on_images(estimator):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 6, 6))
    y = (X[:, 1:3, 1:3].sum((1, 2)) > 0).astype(int)
    with torch.random.fork_rng():
        module = Convolution()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    model = clone(estimator).set_params(encoder=module).fit(X, y)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert model.score(X, y) > (0.85 if isinstance(model, VIBClassifier) else 0.4)
    assert model.transform(X).shape == (200, 3)
    with pytest.raises(ValueError, match=r"Rows of X have shape \(6, 1\)"):
        model.transform(X[:, :, :1])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).transform(X), model.transform(X))
    np.testing.assert_array_equal(model.transform(X), clone(model).fit(X, y).transform(X))


@both
def test_a_factory_makes_the_same_module_for_the_same_seed(estimator, data):
    X, y = data
    estimator = clone(estimator).set_params(encoder=lambda: torch.nn.Linear(6, 8))
    state = torch.get_rng_state()
    first, second = clone(estimator).fit(X, y), clone(estimator).fit(X, y)
    np.testing.assert_array_equal(first.transform(X), second.transform(X))
    assert torch.equal(torch.get_rng_state(), state)


@both
def test_a_frozen_part_of_a_module_stays_frozen(estimator, data):
    X, y = data
    with torch.random.fork_rng():
        module = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Linear(8, 5))
    module[0].requires_grad_(False)
    model = clone(estimator).set_params(encoder=module, alpha=10.0).fit(X, y)
    fitted = model.network_.encoder.modules_[0]
    assert torch.equal(fitted[0].weight, module[0].weight)
    assert not torch.equal(fitted[1].weight, module[1].weight)
