"""VIBRegressor: target scaling and the predictive distribution."""

import numpy as np
import pytest
import torch
from models import MEDIUM
from scipy import stats
from sklearn.base import clone
from sklearn.datasets import make_regression
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning

from skvib import VIBRegressor
from skvib.mixtures import mixture_quantiles

FAST = MEDIUM | {"max_iter": 60}


def test_a_smooth_function_is_learned(diabetes):
    X, y = diabetes
    model = VIBRegressor(**FAST, beta=0.1).fit(X[::2], y[::2])
    assert model.score(X[1::2], y[1::2]) > 0.4


@pytest.mark.parametrize("noise", ["homoscedastic", "heteroscedastic"])
def test_the_fit_does_not_depend_on_the_units_of_y(noise, diabetes):
    X, y = diabetes
    estimator = VIBRegressor(**FAST, noise=noise, early_stopping=False)
    model, scaled = clone(estimator).fit(X, y), clone(estimator).fit(X, 1024.0 * y)
    assert scaled.rate_ == pytest.approx(model.rate_, abs=1.0)
    assert scaled.distortion_ == pytest.approx(model.distortion_ + np.log(1024.0), abs=0.1)
    assert np.corrcoef(scaled.predict(X), model.predict(X))[0, 1] > 0.9


@pytest.mark.parametrize("noise", ["homoscedastic", "heteroscedastic"])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_shapes_of_what_predict_returns(noise, n_outputs):
    X, y = make_regression(100, 5, n_targets=n_outputs, noise=5.0, random_state=0)
    model = VIBRegressor(**FAST, noise=noise).fit(X, y)
    mean, std = model.predict(X, return_std=True)
    assert mean.shape == std.shape == y.shape
    np.testing.assert_array_equal(mean, model.predict(X))
    quantiles = model.predict(X, quantiles=[0.1, 0.5, 0.9])
    assert quantiles.shape == (*y.shape, 3)
    assert (np.diff(quantiles, axis=-1) > 0).all()
    assert model.n_outputs_ == n_outputs
    assert model.log_likelihood_samples(X, y).shape == (100,)


def test_quantiles_invert_the_distribution_of_the_mixture():
    rng = np.random.default_rng(0)
    means, scales = rng.normal(size=(16, 4, 2)), rng.uniform(0.1, 2.0, size=(16, 4, 2))
    levels = np.array([0.01, 0.3, 0.5, 0.99])
    quantiles = mixture_quantiles(torch.from_numpy(means), torch.from_numpy(scales), levels).numpy()
    below = stats.norm.cdf(quantiles, means[..., None], scales[..., None]).mean(axis=0)
    np.testing.assert_allclose(below, np.broadcast_to(levels, below.shape), atol=1e-9)


def test_log_likelihood_is_that_of_the_mixture_in_the_units_of_y(diabetes):
    X, y = diabetes
    model = VIBRegressor(**FAST, n_predict_draws=0).fit(X, y)
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_allclose(model.log_likelihood_samples(X, y), stats.norm.logpdf(y, mean, std), rtol=1e-6)


@pytest.mark.parametrize("noise", ["homoscedastic", "heteroscedastic"])
def test_a_constant_target_is_predicted_exactly_alone_or_among_others(noise):
    X = np.random.default_rng(0).normal(size=(30, 2))
    for value in (7.0, 1e18, -0.1, 0.0):
        alone = VIBRegressor(**FAST, noise=noise).fit(X, np.full(30, value))
        among = VIBRegressor(**FAST, noise=noise).fit(X, np.c_[X[:, 0], np.full(30, value)])
        mean, std = alone.predict(X, return_std=True)
        assert (mean == value).all()
        assert (std == 0).all()
        assert (alone.predict(X, quantiles=[0.1, 0.9]) == value).all()
        assert (among.predict(X)[:, 1] == value).all()
        assert np.ptp(among.predict(X)[:, 0]) > 0


def test_a_single_column_is_raveled_with_a_warning_and_predicted_flat(diabetes):
    X, y = diabetes
    with pytest.warns(DataConversionWarning, match="column-vector"):
        model = VIBRegressor(**FAST).fit(X, y[:, None])
    np.testing.assert_array_equal(model.predict(X), VIBRegressor(**FAST).fit(X, y).predict(X))
    assert model.predict(X, quantiles=[0.1, 0.9]).shape == (len(y), 2)
    np.testing.assert_array_equal(model.log_likelihood_samples(X, y[:, None]), model.log_likelihood_samples(X, y))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_outputs_keep_the_precision_of_y_whatever_the_dtype_of_x(dtype, diabetes):
    X, y = diabetes
    X = X.astype(dtype)
    near = VIBRegressor(**FAST).fit(X, y)
    far = VIBRegressor(**FAST).fit(X, y + 1e8)
    assert far.score(X, y + 1e8) == pytest.approx(near.score(X, y), abs=0.15)  # rounding makes another training
    low, high = far.predict(X, quantiles=[0.05, 0.95]).T
    assert np.mean((low < y + 1e8) & (y + 1e8 < high)) > 0.8
    large = VIBRegressor(**FAST).fit(X, 1e50 * y)
    mean, std = large.predict(X, return_std=True)
    assert mean.dtype == std.dtype == np.float64
    assert large.score(X, 1e50 * y) == pytest.approx(near.score(X, y), abs=0.15)
    assert np.isfinite(std).all()
    assert np.isfinite(large.log_likelihood_samples(X, 1e50 * y)).all()


def test_quantiles_between_a_narrow_and_a_wide_component_are_found():
    rng = np.random.default_rng(0)
    levels = np.array([1e-6, 0.1, 0.358, 0.5, 0.9, 1 - 1e-6])
    for n_components in (2, 3, 16):
        means = rng.normal(size=(n_components, 400, 1)) * 10.0 ** rng.uniform(-3, 8, size=(1, 400, 1))
        scales = 10.0 ** rng.uniform(-3, 6, size=means.shape)
        quantiles = mixture_quantiles(torch.from_numpy(means), torch.from_numpy(scales), levels).numpy()
        below = stats.norm.cdf(quantiles, means[..., None], scales[..., None]).mean(axis=0)
        np.testing.assert_allclose(below, np.broadcast_to(levels, below.shape), atol=1e-4)


def test_quantiles_far_in_the_tails_keep_their_digits():
    levels = np.array([1e-300, 1e-50, 1e-17])
    means, scales = torch.tensor([0.0, 0.0]).double()[:, None, None], torch.tensor([1.0, 1.0]).double()[:, None, None]
    np.testing.assert_allclose(
        mixture_quantiles(means, scales, levels).numpy()[0, 0], stats.norm.ppf(levels), rtol=1e-8
    )


def test_quantiles_of_hard_mixtures_are_found():
    rng = np.random.default_rng(1)
    means, scales = 1e3 * rng.normal(size=(16, 40, 3)), 10.0 ** rng.uniform(-6, 3, size=(16, 40, 3))
    levels = np.array([1e-6, 0.05, 0.5, 0.95, 1 - 1e-6])
    quantiles = mixture_quantiles(torch.from_numpy(means), torch.from_numpy(scales), levels).numpy()
    below = stats.norm.cdf(quantiles, means[..., None], scales[..., None]).mean(axis=0)
    np.testing.assert_allclose(below, np.broadcast_to(levels, below.shape), atol=1e-5)
    assert (np.diff(quantiles, axis=-1) >= 0).all()


def test_quantiles_are_checked(diabetes):
    X, y = diabetes
    model = VIBRegressor(**FAST).fit(X, y)
    for quantiles in ([0.0], [1.5], [np.nan], [[0.5]]):
        with pytest.raises(ValueError, match=r"quantiles must be .* \(0, 1\)"):
            model.predict(X, quantiles=quantiles)
    with pytest.raises(ValueError, match="not both"):
        model.predict(X, return_std=True, quantiles=[0.5])


def test_a_loss_above_the_gaussian_entropy_of_y_warns(diabetes):
    X, y = diabetes
    with pytest.warns(ConvergenceWarning, match=r"above H\(Y\)"):
        VIBRegressor(beta=0.5, max_iter=1, random_state=0).fit(X, y)
