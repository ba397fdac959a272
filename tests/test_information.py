"""What a code keeps: bounds against closed forms, information by dimension and feature, calibration, outliers."""

import pickle
import tracemalloc
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from models import MEDIUM
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_digits, make_classification, make_friedman1
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from skvib import (
    BetaSearchCV,
    Estimate,
    VIBClassifier,
    VIBRegressor,
    beta_path,
    calibration_error,
    discrete_limit,
    feature_information,
    gaussian_limit,
    information_plane,
    latent_information,
    mutual_information,
    outlier_scores,
)

FAST = MEDIUM | {"max_iter": 40}


class LinearGaussianCode:
    """A code Z = gains * X + N(0, I) and a target Y = Z @ slope + N(0, 1), with the methods that information asks."""

    n_outputs_ = 1

    def __init__(self, gains, slope=0.0):
        self.gains, self.slope = np.asarray(gains, dtype=float), slope

    def encode(self, X):
        return X * self.gains, np.ones_like(X)

    def latent_rate_samples(self, X):
        mu, sigma = self.encode(X)
        return 0.5 * (mu**2 + sigma**2 - 1.0) - np.log(sigma)

    def rate_samples(self, X):
        return self.latent_rate_samples(X).sum(axis=1)

    def log_likelihood_latent(self, z, y):
        error = np.asarray(y) - z.sum(axis=-1) * self.slope
        return -0.5 * (error**2 + np.log(2 * np.pi))


CONTAINERS = {
    "pandas": pd.DataFrame,
    "polars": lambda X: pl.DataFrame(X, schema=list("abcd")),
    "pyarrow": lambda X: pa.table({name: X[:, k] for k, name in enumerate("abcd")}),
    "torch": torch.from_numpy,
    "list": np.ndarray.tolist,
    "csr": sparse.csr_array,
}


def halved(X):
    """Exact, in any container: rows that differ by rounding train in another order."""
    return X * 0.5


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
@pytest.mark.parametrize(
    "make",
    [
        VIBClassifier,
        lambda **options: make_pipeline(
            FunctionTransformer(halved, validate=True, accept_sparse=True), VIBClassifier(**options)
        ),
    ],
)
def test_what_fit_takes_the_measures_take(make, container, iris):
    X, y = iris
    rows = container(X)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X (does not have valid|has) feature names")
        plain, model = make(**FAST | {"max_iter": 5}).fit(X, y), make(**FAST | {"max_iter": 5}).fit(rows, y)
        weights = np.where(np.arange(150) % 3 == 0, 0.0, 1.0)
        for measure in (mutual_information, latent_information, feature_information):
            found, expected = (measure(m, r, y, sample_weight=weights) for m, r in ((model, rows), (plain, X)))
            for name in ("rate", "x_kept", "y_lost"):
                if hasattr(found, name):
                    np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=0.2)
        path = beta_path(make(**FAST | {"max_iter": 5}), rows, y, betas=3, X_val=rows, y_val=y)
        assert information_plane(path).rate.shape == (3,)
        assert outlier_scores(model, rows, rows).shape == (150,)


def strings(container):
    labels = np.array(["a", "b", "c"])
    return lambda y: container(labels[y])


TARGETS = {
    "column": strings(lambda y: y[:, None]),
    "object column": strings(lambda y: y.astype(object)[:, None]),
    "data frame": strings(lambda y: pd.DataFrame({"y": y})),
    "series": strings(pd.Series),
    "categories": strings(lambda y: pd.Series(y, dtype="category")),
    "polars": strings(pl.Series),
    "pyarrow": strings(pa.array),
    "list": strings(np.ndarray.tolist),
    "torch": torch.from_numpy,
}
if hasattr(np.dtypes, "StringDType"):
    TARGETS["StringDType"] = strings(lambda y: y.astype(np.dtypes.StringDType()))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
@pytest.mark.parametrize("container", TARGETS.values(), ids=TARGETS)
def test_labels_in_any_container_are_taken_by_all_that_takes_a_target(container, iris):
    X, y = iris
    options, target = FAST | {"max_iter": 5}, container(y)
    model, plain = VIBClassifier(**options).fit(X, target), VIBClassifier(**options).fit(X, y)
    for measure in (mutual_information, latent_information, feature_information):
        found, expected = (measure(m, X, t) for m, t in ((model, target), (plain, y)))
        for name in ("y_lower", "y_added", "y_lost"):
            if hasattr(found, name):
                np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    paths = [beta_path(VIBClassifier(**options), X, t, betas=3, X_val=X, y_val=t) for t in (target, y)]
    np.testing.assert_array_equal(paths[0].information, paths[1].information)
    assert model.score(X, target) == plain.score(X, y)
    np.testing.assert_array_equal(model.log_likelihood_samples(X, target), plain.log_likelihood_samples(X, y))
    search = BetaSearchCV(VIBClassifier(**options), {"beta": [0.01, 0.1]}, cv=2).fit(X, target)
    assert np.isfinite(search.score(X, target))


def test_rows_so_far_away_that_their_rates_overflow_are_an_error_or_the_strangest(iris):
    X, y = iris
    model = VIBClassifier(**FAST | {"max_iter": 5}).fit(X, y)
    far = X.copy()
    far[0] *= 1e160
    for measure in (mutual_information, latent_information):
        with pytest.raises(ValueError, match="so far from the training rows"):
            measure(model, far, y)
    scores = [outlier_scores(model, X[:1] * size, X)[0] for size in (1, 1e3, 1e100, 1e160)]
    assert scores == sorted(scores)


class Doubling(BaseEstimator):
    """Resamples as those of imbalanced-learn do: every row twice, in training alone."""

    def fit_resample(self, X, y):
        self.n_rows_ = 2 * len(y)
        return np.vstack([X, X]), np.concatenate([y, y])


class ResamplingPipeline(Pipeline):
    """As much of imbalanced-learn's Pipeline as is asked."""

    def _validate_steps(self):
        pass

    def fit(self, X, y):
        for _, step in self.steps[:-1]:
            X, y = step.fit_resample(X, y) if hasattr(step, "fit_resample") else (step.fit_transform(X, y), y)
        self.steps[-1][1].fit(X, y)
        return self


def test_a_resampler_acts_in_training_and_not_in_measures(iris):
    X, y = iris
    steps = [
        ("scale", StandardScaler()),
        ("twice", Doubling()),
        ("vib", VIBClassifier(**FAST | {"early_stopping": False})),
    ]
    plain = Pipeline([steps[0], steps[2]])
    expected = mutual_information(clone(plain).fit(X, y), X, y)
    model = ResamplingPipeline([(name, clone(step)) for name, step in steps]).fit(X, y)
    assert mutual_information(model, X, y).rate == pytest.approx(expected.rate, rel=0.3)
    assert feature_information(model, X, y).y_lost.shape == (4,)
    path = beta_path(ResamplingPipeline(steps), X[::2], y[::2], betas=3, X_val=X[1::2], y_val=y[1::2])
    assert path.at_beta(path.betas[0]).named_steps["twice"].n_rows_ == 150
    with pytest.raises(ValueError, match="Doubling draws rows anew"):
        beta_path(ResamplingPipeline(steps), X, y, betas=3, sample_weight=np.ones(150))


@pytest.fixture(scope="module")
def two_of_four():
    """Four features, of which the label depends on the first two."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 4))
    y = (X[:, 0] + X[:, 1] + 0.5 * rng.normal(size=len(X)) > 0).astype(int)
    return X[:2000], y[:2000], X[2000:], y[2000:]


@pytest.fixture(scope="module")
def classifier(two_of_four):
    X, y, _, _ = two_of_four
    return VIBClassifier(**FAST, beta=0.03).fit(X, y)


@pytest.fixture(scope="module")
def regression():
    X, y = make_friedman1(1200, noise=1.0, random_state=0)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.5, random_state=0)
    return VIBRegressor(**FAST, beta=0.1).fit(X, y), X_test, y_test


@pytest.mark.parametrize("gains", [[0.5], [1.0, 0.5], [3.0], [7.3], [2.0, 1.0, 0.5, 0.2]])
def test_both_bounds_hold_the_information_of_gaussian_codes(gains):
    truth = 0.5 * np.log1p(np.square(gains)).sum()
    assert truth <= 2.0
    bounds = []
    for seed in range(20):
        X = np.random.default_rng(seed).normal(size=(2000, len(gains)))
        found = mutual_information(LinearGaussianCode(gains), X, n_draws=1, random_state=seed)
        bounds.append((found.x_lower, found.x_upper, found.x_lower.standard_error, found.rate))
    lower, upper, error, rate = np.mean(bounds, axis=0)
    slack = 2 * error / np.sqrt(20)
    assert lower - slack <= truth <= upper + slack
    assert truth - 0.05 < lower < upper < truth + 0.05
    assert rate > truth


def test_standard_errors_are_those_of_repeated_samples():
    found = []
    for seed in range(60):
        X = np.random.default_rng(seed).normal(size=(500, 2))
        found.append(mutual_information(LinearGaussianCode([2.0, 1.0]), X, n_draws=1, random_state=seed))
    for name in ("rate", "x_lower", "x_upper"):
        estimates = [getattr(information, name) for information in found]
        claimed = np.mean([estimate.standard_error for estimate in estimates])
        assert np.std(estimates) == pytest.approx(claimed, rel=0.35)


def test_infonce_reaches_the_information_about_a_continuous_target():
    truth = 0.5 * np.log(1 + 0.64 * 5)  # z has variance 5, y = .8 z + noise
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 1))
    z = 2.0 * X[:, 0] + rng.normal(size=3000)
    y = 0.8 * z + rng.normal(size=3000)

    class Known(LinearGaussianCode):
        """It encodes to the codes that made y."""

        def encode(self, X):
            return z[:, None], np.full((len(z), 1), 1e-6)

    found = mutual_information(Known([2.0], slope=0.8), X, y)
    assert found.y_lower == found.y_infonce == pytest.approx(truth, abs=3 * found.y_lower.standard_error)
    assert found.y_lower.standard_error < 0.02
    assert found.entropy is None


@pytest.mark.parametrize("method", ["amortized", "exact"])
def test_the_plane_of_a_gaussian_problem_is_the_closed_form(method):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40_000, 4))
    y = np.sqrt(0.8) * X @ np.full(4, 0.5) + np.sqrt(0.2) * rng.normal(size=len(X))
    betas = [0.03, 0.1, 0.3, 0.5, 0.7]
    model = VIBRegressor(
        hidden_layer_sizes=(),
        latent_dim=4,
        noise="homoscedastic",
        alpha=0.0,
        max_iter=60,
        learning_rate_init=1e-2,
        early_stopping=False,
        random_state=0,
    )
    path = beta_path(model, X[:20_000], y[:20_000], betas=betas, X_val=X[20_000:], y_val=y[20_000:], method=method)
    plane = information_plane(path, max_rows=3000, n_draws=1)
    i_xz, i_zy = gaussian_limit(X[20_000:], y[20_000:], betas)
    frontier = -0.5 * np.log1p(-0.8 * -np.expm1(-2 * plane.rate))
    assert (np.abs(plane.y_lower - frontier) < 0.02 + 2 * plane.y_lower_se).all()
    assert (plane.x_lower < plane.rate + 2 * plane.x_lower_se).all()
    if method == "exact":
        np.testing.assert_allclose(plane.rate, i_xz, atol=0.02)
        assert (np.abs(plane.y_lower - i_zy) < 0.02 + 2 * plane.y_lower_se).all()


def test_nothing_lies_above_what_is_possible(two_of_four):
    X, y, X_test, y_test = two_of_four
    path = beta_path(VIBClassifier(**FAST), X, y, betas=5, X_val=X_test, y_val=y_test)
    plane = information_plane(path)
    assert plane.rows == "validation"
    assert plane.entropy == pytest.approx(np.log(2), abs=1e-3)
    possible = np.minimum(plane.rate, plane.entropy)
    assert (plane.y_lower < possible + 2 * plane.y_lower_se).all()
    assert (plane.x_lower <= plane.x_upper).all()
    assert (plane.x_lower < plane.rate + 2 * plane.x_lower_se).all()
    np.testing.assert_allclose(plane.y_lower, path.information, atol=2 * plane.y_lower_se.max())


def test_both_bounds_of_the_information_about_labels_agree(classifier, two_of_four):
    _, _, X, y = two_of_four
    found = mutual_information(classifier, X, y)
    assert found.y_lower == pytest.approx(found.y_infonce, abs=0.03)
    p = np.bincount(y) / len(y)
    assert found.entropy == pytest.approx(-p @ np.log(p))
    assert found.rate == pytest.approx(classifier.rate_samples(X).mean(), rel=1e-6)


def test_bits_are_nats_over_log_two(classifier, two_of_four):
    _, _, X, y = two_of_four
    nats, bits = (mutual_information(classifier, X, y, n_draws=1, unit=unit) for unit in ("nats", "bits"))
    for name in ("rate", "x_lower", "x_upper", "y_lower", "y_infonce", "entropy"):
        assert getattr(bits, name) * np.log(2) == pytest.approx(getattr(nats, name))
    assert bits.rate.standard_error * np.log(2) == pytest.approx(nats.rate.standard_error)
    assert type(bits.entropy) is type(nats.entropy) is float


def test_a_row_of_weight_two_is_two_rows_and_of_weight_zero_none(classifier, two_of_four):
    _, _, X, y = two_of_four
    X, y = X[:300], y[:300]
    weights = np.tile([0, 1, 2], 100)
    weighted = mutual_information(classifier, X, y, sample_weight=weights, n_draws=64)
    repeated = mutual_information(classifier, np.repeat(X, weights, axis=0), np.repeat(y, weights), n_draws=64)
    for name in ("rate", "x_lower", "y_lower", "y_infonce"):
        assert getattr(weighted, name) == pytest.approx(getattr(repeated, name), abs=0.01)
    assert weighted.entropy == pytest.approx(repeated.entropy)


def test_only_the_pairwise_bounds_are_of_max_rows(classifier, two_of_four):
    _, _, X, y = two_of_four
    found = mutual_information(classifier, X, y, max_rows=100)
    assert (found.n_rows, found.n_paired) == (2000, 100)
    assert found.rate == pytest.approx(classifier.rate_samples(X).mean(), rel=1e-6)
    assert found.x_lower <= np.log(100)


def test_the_same_seed_draws_the_same(classifier, two_of_four):
    _, _, X, y = two_of_four
    state = np.random.get_state()[1].copy()
    assert mutual_information(classifier, X, y, max_rows=500) == mutual_information(classifier, X, y, max_rows=500)
    np.testing.assert_array_equal(np.random.get_state()[1], state)


@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: GridSearchCV(model, {}, cv=2)])
def test_pipelines_searches_frames_and_sparse_rows_are_measured_alike(two_of_four, wrap):
    X, y, X_test, y_test = two_of_four
    frame = pd.DataFrame(X_test, columns=list("abcd"))
    model = wrap(make_pipeline(StandardScaler(with_mean=False), VIBClassifier(**FAST, beta=0.03)))
    model.fit(pd.DataFrame(X, columns=list("abcd")), y)
    found = mutual_information(model, frame, pd.Series(y_test))
    assert found.rate > found.x_upper > found.x_lower > found.y_lower > 0.2
    model.fit(X, y)
    dense, rows = (mutual_information(model, part, y_test) for part in (X_test, sparse.csr_array(X_test)))
    assert rows.x_lower == pytest.approx(dense.x_lower, abs=1e-6)


def test_multilabel_and_multioutput_targets_have_a_bound(two_of_four):
    X, _, X_test, _ = two_of_four
    labels = (X[:, :2] > 0).astype(int)
    model = VIBClassifier(**FAST, beta=0.03).fit(X, labels)
    found = mutual_information(model, X_test, (X_test[:, :2] > 0).astype(int))
    assert 0.8 < found.y_lower == found.y_infonce < 2 * np.log(2)
    model = VIBRegressor(**FAST, beta=0.03).fit(X, X[:, :2])
    found = mutual_information(model, X_test, X_test[:, :2])
    assert found.y_lower > 2.0
    assert np.isfinite(outlier_scores(VIBClassifier(**FAST).fit(X, labels), X_test, X)).all()


def test_string_labels_and_labels_without_rows(two_of_four):
    X, y, X_test, y_test = two_of_four
    model = VIBClassifier(**FAST, beta=0.03).fit(X, np.array(["no", "yes"], dtype=object)[y])
    found = mutual_information(model, X_test[y_test == 1], np.full(sum(y_test), "yes", dtype=object))
    assert found.entropy == pytest.approx(0.0, abs=1e-12)
    assert found.y_lower < 0.0


def test_planes_of_lists_paths_and_searches(two_of_four):
    X, y, X_test, y_test = two_of_four
    X, y, X_test, y_test = X[:400], y[:400], X_test[:400], y_test[:400]
    models = [VIBClassifier(**FAST, beta=beta).fit(X, y) for beta in (0.1, 0.01)]
    of_list = information_plane(models, X_test, y_test)
    assert of_list.betas.tolist() == [0.01, 0.1]
    assert of_list.rows == "given"
    search = GridSearchCV(make_pipeline(VIBClassifier(**FAST)), {"vibclassifier__beta": [0.1, 0.01]}, cv=2).fit(X, y)
    of_search = information_plane(search, X_test, y_test, X_train=X, y_train=y)
    np.testing.assert_allclose(of_search.rate, of_list.rate, rtol=1e-3)
    assert of_search.rows == "given"
    with pytest.warns(UserWarning, match="X_train"):
        assert information_plane(search, X, y).rows == "training"
    amortized = information_plane(BetaSearchCV(models[0], cv=2).fit(X, y), X_test, y_test, X_train=X, y_train=y)
    assert amortized.betas.shape == (13,)
    assert amortized.rate[0] > amortized.rate[-1]
    assert amortized.to_frame().shape == (13, 9)


def test_a_path_of_pipelines_keeps_its_rows(two_of_four):
    X, y, X_test, y_test = two_of_four
    model = make_pipeline(StandardScaler(), VIBClassifier(**FAST | {"max_iter": 10}))
    path = beta_path(model, X[:200] + 5.0, y[:200], betas=2, X_val=X_test[:100] + 5.0, y_val=y_test[:100])
    restored = pickle.loads(pickle.dumps(path))
    plane = information_plane(restored)
    np.testing.assert_allclose(plane.y_lower, path.information, atol=0.05)
    given = information_plane(path, X_test + 5.0, y_test)
    assert given.rows == "given"


def test_dimensions_add_at_most_their_rate(classifier, two_of_four):
    _, _, X, y = two_of_four
    found = latent_information(classifier, X, y, max_rows=1000)
    np.testing.assert_allclose(found.rate.sum(), classifier.rate_samples(X).mean(), rtol=1e-6)
    assert (found.x_added < found.rate + 2 * found.x_added_se).all()
    assert found.n_active == found.active.sum() == np.sum(found.rate > 0.01)
    assert found.to_frame().shape == (4, 7)
    without = latent_information(classifier, X, max_rows=500)
    assert without.y_added is None
    assert without.to_frame().shape == (4, 5)


def test_dimensions_of_a_gaussian_code_add_what_they_carry():
    X = np.random.default_rng(0).normal(size=(2000, 2))
    found = latent_information(LinearGaussianCode([2.0, 0.5]), X)
    expected = 0.5 * np.log1p(np.square([2.0, 0.5]))
    assert (np.abs(found.x_added - expected) < 3 * found.x_added_se + 0.01).all()
    X[:, 1] = X[:, 0]  # now the second says less beyond the first: I(X;Z) is that of a gain of sqrt(4.25)
    again = latent_information(LinearGaussianCode([2.0, 0.5]), X)
    assert again.x_added[1] == pytest.approx(0.5 * np.log(5.25 / 5), abs=0.02)


def test_one_dimension_adds_everything(two_of_four):
    X, y, X_test, y_test = two_of_four
    model = VIBClassifier(**FAST | {"latent_dim": 1}, beta=0.1).fit(X, y)
    found = latent_information(model, X_test, y_test, max_rows=1000)
    whole = mutual_information(model, X_test, y_test, max_rows=1000)
    assert found.x_added[0] == pytest.approx((whole.x_lower + whole.x_upper) / 2, abs=0.1)
    assert found.y_added[0] == pytest.approx(whole.y_lower, abs=0.05)


def test_features_that_the_target_ignores_are_forgotten(two_of_four):
    X, y, X_test, y_test = two_of_four
    model = VIBClassifier(**FAST | {"max_iter": 200}, beta=0.3).fit(X, y)
    found = feature_information(model, X_test, y_test)
    assert (found.x_kept[:2] > 0.2).all()
    assert (found.y_lost[:2] > 0.05).all()
    assert (np.abs(found.x_kept[2:]) < 0.02).all()
    assert (np.abs(found.y_lost[2:]) < 0.02).all()


def test_an_ignored_feature_keeps_exactly_nothing():
    X = np.random.default_rng(0).normal(size=(500, 3))
    found = feature_information(LinearGaussianCode([2.0, 0.0, 0.5]), X, X[:, 0])
    assert found.x_kept[1] == pytest.approx(0.0, abs=1e-12)
    assert found.y_lost[1] == pytest.approx(0.0, abs=1e-12)
    expected = 0.5 * np.log1p(np.square([2.0, 0.0, 0.5]))
    assert (np.abs(found.x_kept - expected) < 3 * found.x_kept_se + 0.03).all()


@pytest.mark.parametrize("gain", [0.5, 2.0, 7.3, 50.0])
def test_what_is_kept_of_a_feature_lies_between_its_bounds(gain):
    X = np.random.default_rng(0).normal(size=(2000, 2))
    found = feature_information(LinearGaussianCode([gain, 1.0]), X, features=[0])
    truth = 0.5 * np.log1p(gain**2)
    assert found.x_kept[0] - 2 * found.x_kept_se[0] < truth < found.x_upper[0] + 2 * found.x_upper_se[0]
    assert found.x_kept[0] <= np.log(33)
    if gain < 3:
        assert found.x_kept[0] == pytest.approx(truth, abs=0.05)


@pytest.mark.parametrize("features", [[True, False], [[2.0]], np.array([True, False]), {"a": [np.True_]}])
def test_masks_and_floats_are_no_features(classifier, two_of_four, features):
    with pytest.raises(ValueError, match="names or indices"):
        feature_information(classifier, two_of_four[0][:50], features=features)


def test_many_classes_need_little_memory():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(1500, 3)), rng.integers(500, size=1500)
    model = VIBClassifier(**FAST | {"max_iter": 1}, beta=1e-3)
    with pytest.warns(ConvergenceWarning):
        model.fit(X, y)
    tracemalloc.start()
    mutual_information(model, X, y, n_draws=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300 * 2**20


def test_features_have_names_and_groups(classifier, two_of_four):
    _, _, X, _ = two_of_four
    X = X[:200]
    frame = pd.DataFrame(X, columns=list("abcd"))
    by_index = feature_information(classifier, X, features=[0, [1, 2]])
    assert by_index.names == ["x0", "x1 + x2"]
    with pytest.warns(UserWarning, match="fitted without feature names"):
        by_name = feature_information(classifier, frame, features={"first": "a", "others": ["b", "c"]})
    assert by_name.names == ["first", "others"]
    np.testing.assert_allclose(by_name.x_kept, by_index.x_kept)
    rows = feature_information(classifier, sparse.csr_matrix(X), features=[0, [1, 2]])
    np.testing.assert_allclose(rows.x_kept, by_index.x_kept, rtol=1e-6)
    assert by_name.to_frame().columns.tolist() == ["names", "x_kept", "x_kept_se", "x_upper", "x_upper_se"]


def test_polars_frames_keep_their_names(two_of_four):
    polars = pytest.importorskip("polars")
    X, y, _, _ = two_of_four
    frame = polars.DataFrame(X[:300], schema=list("abcd"))
    model = VIBClassifier(**FAST, beta=0.03).fit(frame, polars.Series(y[:300]))
    found = feature_information(model, frame, y[:300], features=["a", ["b", "c"]], max_rows=200)
    assert found.names == ["a", "b + c"]
    assert mutual_information(model, frame, polars.Series(y[:300]), max_rows=100).n_paired == 100
    plain = feature_information(model, frame, y[:300])
    expected = feature_information(VIBClassifier(**FAST, beta=0.03).fit(X[:300], y[:300]), X[:300], y[:300])
    np.testing.assert_allclose(plain.x_kept, expected.x_kept)


def test_features_are_those_before_a_pipeline(two_of_four):
    X, y, _, _ = two_of_four
    frame = pd.DataFrame(X, columns=list("abcd")).assign(kind=np.where(X[:, 0] > 0, "high", "low"))
    encode = make_column_transformer((OneHotEncoder(), ["kind"]), (StandardScaler(), list("bcd")))
    model = make_pipeline(encode, VIBClassifier(**FAST, beta=0.03)).fit(frame, y)
    found = feature_information(model, frame.iloc[:500])
    assert found.names == ["a", "b", "c", "d", "kind"]
    assert found.x_kept[0] == pytest.approx(0.0, abs=1e-12)
    assert found.x_kept[4] > 0.1


def test_gaussian_limit_is_the_example_of_the_theory():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200_000, 1))
    y = np.sqrt(0.8) * X + np.sqrt(0.2) * rng.normal(size=X.shape)
    i_xz, i_zy = gaussian_limit(X, y, [0.3, 0.9])
    np.testing.assert_allclose(i_xz, [1.1168, 0.0], atol=0.01)
    np.testing.assert_allclose(i_zy, [0.6264, 0.0], atol=0.01)
    with pytest.raises(ValueError, match="singular"):
        gaussian_limit(np.hstack([X, X]), y, [0.3])
    with pytest.raises(ValueError, match="positive"):
        gaussian_limit(X, y, [0.0])
    with pytest.raises(ValueError, match="linear function"):
        gaussian_limit(X, 2 * X, [0.3])
    wide = np.hstack([X, 1e-9 * rng.normal(size=X.shape)])
    np.testing.assert_allclose(gaussian_limit(wide, y, 0.3)[0], i_xz[:1], atol=1e-3)


@pytest.mark.parametrize(("beta", "loss"), [(0.01, 0.33201), (0.1, 0.39440), (0.3, 0.53214), (0.5, 0.65224)])
def test_the_discrete_limit_of_a_binary_symmetric_channel(beta, loss):
    (i_xz,), (i_zy,) = discrete_limit([[45, 5], [5, 45]], beta)
    assert np.log(2) - i_zy + beta * i_xz == pytest.approx(loss, abs=2e-5)


def test_the_discrete_limit_of_labels_that_x_decides_is_all_of_them_or_nothing():
    p_xy = np.repeat(np.eye(4), 3, axis=0)  # twelve values of X, three for each label, and one that never occurs
    i_xz, i_zy = discrete_limit(np.vstack([p_xy, np.zeros(4)]), [0.3, 0.9, 1.1])
    np.testing.assert_allclose(i_xz, [np.log(4), np.log(4), 0], atol=1e-3)
    np.testing.assert_allclose(i_zy, i_xz, atol=1e-3)


def test_no_code_is_better_than_the_discrete_limit():
    rng = np.random.default_rng(0)
    p_xy = rng.dirichlet(np.full(5, 0.5), size=6) / 6
    betas = np.array([0.05, 0.2, 0.5])
    i_xz, i_zy = discrete_limit(p_xy, betas)
    assert (np.diff(i_xz) <= 1e-6).all()
    codes = rng.dirichlet(np.ones(4), size=(500, 6))
    p_z = codes.mean(axis=1)
    rate = (codes * np.log(codes / p_z[:, None])).sum(-1).mean(-1)
    p_zy = np.einsum("cxz,xy->czy", codes, p_xy)
    told = (p_zy * np.log(p_zy / (p_z[..., None] * p_xy.sum(0)))).sum((1, 2))
    assert ((betas * rate[:, None] - told[:, None]) >= betas * i_xz - i_zy - 1e-9).all()


@pytest.mark.parametrize(("p_xy", "betas"), [([[-1.0, 1.0]], 0.1), ([[0.0, 0.0]], 0.1), ([[1.0, 1.0]], 0.0)])
def test_a_table_or_a_price_that_is_none(p_xy, betas):
    with pytest.raises(ValueError, match="must"):
        discrete_limit(p_xy, betas)


def test_calibration_error_of_known_bins():
    p = np.array([0.6] * 10 + [0.9] * 10)
    y = np.array([1] * 5 + [0] * 5 + [1] * 10)
    found = calibration_error(y, np.column_stack([1 - p, p]), n_bins=2)
    assert found == pytest.approx(0.5 * 0.1 + 0.5 * 0.1)
    assert found.standard_error > 0
    weighted = calibration_error(y, np.column_stack([1 - p, p]), n_bins=2, sample_weight=[1] * 10 + [3] * 10)
    assert weighted == pytest.approx(0.1)


def test_calibrated_probabilities_have_a_small_error_and_the_order_of_rows_does_not_matter():
    rng = np.random.default_rng(0)
    p = rng.uniform(size=20_000)
    y = (rng.uniform(size=len(p)) < p).astype(int)
    proba = np.column_stack([1 - p, p])
    order = rng.permutation(len(p))
    assert calibration_error(y, proba) < 0.02
    assert calibration_error(y, proba) == pytest.approx(calibration_error(y[order], proba[order]))
    sure = np.column_stack([1 - (p > 0.5), p > 0.5])
    assert calibration_error(y, sure) == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize(
    ("y", "p", "options", "match"),
    [
        ([0, 1], [[0.5, 0.5, 0.0]] * 2, {}, "2 classes"),
        ([0, 1, 2], [[0.5, 0.5]] * 3, {"labels": [0, 1]}, "not among"),
        ([0, 1], [[0.5, 0.5]], {}, "inconsistent"),
        ([0, 1], [[0.5, 0.5]] * 2, {"n_bins": 0}, "n_bins"),
        ([0, 1], [[5.0, -5.0]] * 2, {}, "probabilities"),
        ([0, 1], [[np.nan, 0.5]] * 2, {}, "NaN"),
        ([0, 1], [[0.5, 0.5]] * 2, {"sample_weight": [-1, 1]}, "non-negative"),
    ],
)
def test_calibration_error_checks_its_arguments(y, p, options, match):
    with pytest.raises(ValueError, match=match):
        calibration_error(y, p, **options)


def test_outliers_score_higher_than_ordinary_rows():
    X, y = load_digits(return_X_y=True)
    model = VIBClassifier(**FAST, beta=0.01).fit(X[:800], y[:800])
    noise = np.random.default_rng(0).uniform(0, 16, size=(200, 64))
    ordinary, unusual = outlier_scores(model, X[1200:], X[800:1200]), outlier_scores(model, noise, X[800:1200])
    assert np.median(unusual) > np.quantile(ordinary, 0.9)
    assert ordinary.min() >= 0.0
    assert outlier_scores(model, 1e3 * noise, X[800:1200]).min() > unusual.max()
    piped = make_pipeline(StandardScaler(), VIBClassifier(**FAST)).fit(X[:800], y[:800])
    assert outlier_scores(piped, noise, X[800:1200]).shape == (200,)
    with pytest.raises(ValueError, match="single row"):
        outlier_scores(model, noise, X[:1])


class UndecidedCode:
    """A Gaussian code of a classifier that says one half of everything."""

    n_outputs_ = 1

    def encode(self, X):
        return X, np.ones_like(X)

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)


def test_an_outlier_is_a_code_in_a_gap_even_where_the_prior_expects_it():
    # two clusters of codes, 10 to the left and to the right; KL(N(a, 1) || N(b, 1)) = (a - b)^2 / 2
    reference = np.repeat([[-10.0], [10.0]], 50, axis=0)
    scores = outlier_scores(UndecidedCode(), np.array([[0.0], [10.0]]), reference)
    np.testing.assert_allclose(scores, [np.log(101), 0.0])


def test_an_estimate_is_a_float_that_keeps_its_error():
    estimate = pickle.loads(pickle.dumps(Estimate(2.0, 0.1)))
    assert estimate == 2.0
    assert estimate.standard_error == 0.1
    assert repr(estimate) == "2 ± 0.1"
    assert f"{estimate:.2f}" == "2.00"


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"unit": "digits"}, ValueError, "unit must be"),
        ({"n_draws": 0}, ValueError, "n_draws"),
        ({"n_draws": 1.5}, TypeError, "n_draws"),
        ({"max_rows": 1}, ValueError, "max_rows"),
        ({"sample_weight": np.zeros(2000)}, ValueError, "not all zero"),
        ({"sample_weight": np.eye(1, 2000)[0]}, ValueError, "two rows"),
        ({"sample_weight": np.ones(3)}, ValueError, "inconsistent"),
    ],
)
def test_arguments_are_checked(classifier, two_of_four, options, error, match):
    _, _, X, y = two_of_four
    with pytest.raises(error, match=match):
        mutual_information(classifier, X, y, **options)


def test_what_cannot_be_measured_is_said(classifier, regression, two_of_four, iris):
    model, X_test, y_test = regression
    with pytest.raises(TypeError, match="no VIBClassifier"):
        mutual_information(StandardScaler(), X_test)
    with pytest.raises(TypeError, match="BetaPath, a fitted search or a list"):
        information_plane(model, X_test, y_test)
    with pytest.raises(ValueError, match="needs X and y"):
        information_plane([model])
    with pytest.raises(ValueError, match="go together"):
        information_plane([model], X_test)
    with pytest.raises(ValueError, match="fitted already"):
        information_plane([model], X_test, y_test, X_train=X_test, y_train=y_test)
    with pytest.raises(ValueError, match="unit"):
        information_plane([model], X_test, y_test, unit="bytes")
    with pytest.raises(TypeError, match="score_samples"):
        outlier_scores(model, X_test, X_test)
    with pytest.raises(ValueError, match="has the columns"):
        feature_information(model, X_test, features=["age"])
    with pytest.raises(ValueError, match="empty group"):
        feature_information(model, X_test, features=[[]])
    with pytest.raises(ValueError, match="it holds .99."):
        feature_information(model, X_test, features=[99])
    with pytest.raises(ValueError, match="no columns"):
        feature_information(model, ["a text", "another text"])
    search = GridSearchCV(VIBClassifier(**FAST | {"max_iter": 2}), {"latent_dim": [2]}, cv=2).fit(*iris)
    with pytest.raises(ValueError, match="over one beta"):
        information_plane(search, *iris, X_train=iris[0], y_train=iris[1])
    search = GridSearchCV(VIBClassifier(**FAST), {"beta": [0.01]}, cv=2, refit=False).fit(*iris)
    with pytest.raises(ValueError, match="refit=True"):
        information_plane(search, *iris, X_train=iris[0], y_train=iris[1])


def test_log_likelihood_of_codes_pairs_what_is_asked(classifier, regression, two_of_four):
    _, _, X, y = two_of_four
    X, y = X[:7], y[:7]
    z = classifier.sample_latent(X, 3)
    own = classifier.log_likelihood_latent(z, y)
    pairs = classifier.log_likelihood_latent(z[0][:, None], y)
    assert own.shape == (3, 7)
    np.testing.assert_allclose(pairs.diagonal(), own[0], rtol=1e-6)
    by_class = classifier.log_likelihood_latent(z[0][:, None], classifier.classes_)
    np.testing.assert_allclose(np.exp(by_class).sum(axis=1), 1.0)
    model, X, y = regression
    z = model.transform(X[:4])
    mean = model.set_params(n_predict_draws=0).predict(X[:4])
    shifted = model.log_likelihood_latent(z, mean) - model.log_likelihood_latent(z, mean + 1.0)
    noise = np.exp(-model.log_likelihood_latent(z, mean)) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(shifted, 0.5 / noise**2, rtol=1e-6)
    with pytest.raises(ValueError, match="codes for 3 targets"):
        model.log_likelihood_latent(z, y[:3])


def test_encode_gives_the_posterior(classifier, two_of_four):
    _, _, X, _ = two_of_four
    mu, sigma = classifier.encode(X)
    np.testing.assert_array_equal(mu, classifier.transform(X))
    rates = 0.5 * (mu**2 + sigma**2 - 1) - np.log(sigma)
    np.testing.assert_allclose(rates.sum(axis=1), classifier.rate_samples(X))
    z = classifier.sample_latent(X[:3], 20_000)
    np.testing.assert_allclose(z.std(axis=0), sigma[:3], rtol=0.05)


def test_information_of_many_classes_is_at_most_their_entropy():
    X, y = make_classification(600, n_classes=5, n_informative=8, random_state=0)
    model = VIBClassifier(**FAST).fit(X[:300], y[:300])
    found = mutual_information(model, X[300:], y[300:])
    assert found.y_infonce < found.entropy + 2 * found.y_infonce.standard_error
