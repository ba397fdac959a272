"""beta_path: every beta from one training."""

import pickle

import numpy as np
import pytest
from models import MEDIUM, FailsInAnEpoch
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, make_friedman1
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skvib import VIBClassifier, VIBRegressor, beta_path, gaussian_limit, mutual_information

FAST = MEDIUM | {"max_iter": 60, "early_stopping": False}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return train_test_split(X, y, test_size=0.5, random_state=0)


@pytest.fixture(scope="module")
def digits_path(digits):
    X, X_val, y, y_val = digits
    return beta_path(VIBClassifier(**FAST), X, y, betas=7, X_val=X_val, y_val=y_val)


def test_rate_falls_and_distortion_rises_with_beta(digits_path):
    assert digits_path.betas == pytest.approx(np.geomspace(1e-5, 1, 7))
    assert (np.diff(digits_path.rate) < 0).all()
    assert (np.diff(digits_path.distortion) > 0).all()
    assert digits_path.latent_rates.shape == (7, 4)
    np.testing.assert_allclose(digits_path.latent_rates.sum(axis=1), digits_path.rate, rtol=1e-6)
    assert digits_path.n_active.tolist() == (digits_path.latent_rates > 0.01).sum(axis=1).tolist()


def test_a_path_is_as_good_as_fits_of_their_own(digits, digits_path):
    X, X_val, y, y_val = digits
    exact = beta_path(VIBClassifier(**FAST), X, y, betas=7, X_val=X_val, y_val=y_val, method="exact")
    loss, expected = (path.distortion + path.betas * path.rate for path in (digits_path, exact))
    # at large betas a path has more of alpha to pay than fits of their own
    assert (loss[:-2] < 1.02 * expected[:-2] + 0.01).all()
    assert (loss[-2:] < expected[-2:] + 0.1).all()
    best = exact.log_likelihoods.argmax()
    assert digits_path.log_likelihoods.max() > exact.log_likelihoods[best] - 0.03
    alone = VIBClassifier(**FAST, beta=exact.betas[3]).fit(X, y)
    assert alone.rate_ == pytest.approx(exact.rate[3], rel=1e-3)


def test_information_on_held_out_rows_is_a_bound(digits_path):
    labels = np.log(10)
    assert digits_path.information_rows == "validation"
    assert (digits_path.information < np.minimum(labels, digits_path.rate) + 0.02).all()
    assert digits_path.information.max() > 0.8 * labels


def test_information_of_training_rows_is_labelled(digits):
    X, _, y, _ = digits
    path = beta_path(VIBClassifier(**FAST | {"max_iter": 5}), X, y, betas=[1e-3, 1e-1])
    assert path.information_rows == "training"
    entropy = mutual_information(path.at_beta(1e-3), X, y).entropy
    np.testing.assert_allclose(path.information, entropy - path.distortion, atol=0.02)


@pytest.mark.parametrize("method", ["amortized", "exact"])
def test_at_beta_is_a_plain_estimator_that_agrees_with_the_path(digits, digits_path, method):
    X, X_val, y, _ = digits
    path = digits_path
    if method == "exact":
        path = beta_path(VIBClassifier(**FAST | {"max_iter": 5}), X, y, betas=7, method="exact")
    model = path.at_beta(path.betas[3])
    assert type(model) is VIBClassifier
    assert model.beta == path.betas[3]
    assert model.rate_ == pytest.approx(path.rate[3], abs=1e-5)
    assert model.distortion_ == pytest.approx(path.distortion[3], abs=1e-5)
    assert model.rate_samples(X).mean() == pytest.approx(path.rate[3], abs=1e-3)
    assert len(model.loss_curve_) == model.n_iter_
    restored = pickle.loads(pickle.dumps(model))
    assert vars(restored).keys() == vars(clone(model).fit(X, y)).keys()
    np.testing.assert_array_equal(restored.predict_proba(X_val), model.predict_proba(X_val))


def test_betas_in_between_need_no_training(digits, digits_path):
    X, _, _, _ = digits
    rates = [digits_path.at_beta(beta).rate_ for beta in np.geomspace(1e-4, 1, 25)]
    assert (np.diff(rates) < 0).all()
    model = digits_path.at_beta(0.05)
    assert model.rate_samples(X).mean() == pytest.approx(model.rate_, abs=1e-3)
    assert digits_path.rate[5] < model.rate_ < digits_path.rate[4]
    restored = pickle.loads(pickle.dumps(digits_path))
    assert restored.at_beta(0.05).rate_ == model.rate_


def test_a_pipeline_gives_pipelines(digits):
    X, X_val, y, y_val = digits
    model = make_pipeline(StandardScaler(), VIBClassifier(**FAST | {"max_iter": 40}))
    path = beta_path(model, X, y, betas=3, X_val=X_val, y_val=y_val)
    fitted = path.at_beta(1e-2)
    assert isinstance(fitted, Pipeline)
    assert fitted[-1].beta == 1e-2
    assert fitted.score(X_val, y_val) > 0.85
    assert fitted.score(X_val, y_val) == pytest.approx(path.scores[1], abs=0.05)
    lone = beta_path(Pipeline([("vib", VIBClassifier(**FAST | {"max_iter": 2}))]), X, y, betas=2)
    assert isinstance(lone.at_beta(1.0), Pipeline)


@pytest.mark.parametrize("noise", ["homoscedastic", "heteroscedastic"])
def test_a_path_of_a_regression_compresses_and_bounds_information(noise):
    X, Y = make_friedman1(1500, noise=1.0, random_state=0)
    X_train, X_val, y_train, y_val = train_test_split(X, Y, random_state=0)
    model = VIBRegressor(**FAST, noise=noise)
    path = beta_path(model, X_train, y_train, betas=5, X_val=X_val, y_val=y_val)
    assert (np.diff(path.rate) < 0).all()
    assert path.information.max() > 0.9
    assert (path.information < np.minimum(path.rate, np.log(len(X_val))) + 0.05).all()
    assert path.scores.max() > 0.85
    best = path.at_beta(path.betas[path.log_likelihoods.argmax()])
    mean, std = best.predict(X_val, return_std=True)
    assert np.mean(np.abs(mean - y_val) < 1.645 * std) == pytest.approx(0.9, abs=0.07)


@pytest.mark.parametrize("kind", [VIBClassifier, VIBRegressor])
def test_weights_are_copies_on_a_path(iris, kind):
    X, y = iris
    weights = np.random.default_rng(0).integers(0, 3, size=150)
    copies = np.repeat(np.arange(150), weights)
    one = beta_path(kind(**FAST), X, y, betas=3, sample_weight=weights, X_val=X, y_val=y, sample_weight_val=weights)
    other = beta_path(kind(**FAST), X[copies], y[copies], betas=3, X_val=X[copies], y_val=y[copies])
    np.testing.assert_array_equal(one.rate, other.rate)
    np.testing.assert_allclose(one.log_likelihoods, other.log_likelihoods, rtol=1e-6)
    np.testing.assert_allclose(one.information, other.information, atol=0.05)


def test_rows_of_no_weight_may_hold_anything(iris):
    X, y = iris
    weights, labels = np.ones(150), y.copy()
    weights[0], labels[0] = 0.0, 7
    path = beta_path(VIBClassifier(**FAST | {"max_iter": 2}), X, labels, betas=2, sample_weight=weights)
    assert np.isfinite(path.log_likelihoods).all()


def test_many_draws_and_rows_bound_information():
    X, y = make_friedman1(1500, noise=1.0, random_state=0)
    model = VIBRegressor(**FAST | {"max_iter": 5}, n_predict_draws=64, decoder_hidden_layer_sizes=(64,))
    assert np.isfinite(beta_path(model, X, y, betas=2).information).all()


def test_cached_transformers_are_kept(digits, tmp_path):
    X, X_val, y, _ = digits
    model = Pipeline(
        [("scale", StandardScaler()), ("pass", StandardScaler()), ("vib", VIBClassifier(**FAST | {"max_iter": 2}))],
        memory=str(tmp_path),
    )
    assert beta_path(model, X, y, betas=2).at_beta(1.0).predict(X_val).shape == (len(X_val),)


def test_each_exact_fit_stops_by_itself(digits):
    X, X_val, y, y_val = digits
    model = VIBClassifier(**FAST | {"max_iter": 200, "early_stopping": True}, n_iter_no_change=3, tol=1e-2)
    path = beta_path(model, X, y, betas=[1e-4, 0.5], X_val=X_val, y_val=y_val, method="exact")
    models = [path.at_beta(beta) for beta in path.betas]
    assert models[0].n_iter_ != models[1].n_iter_
    assert [model.n_iter_ for model in models] == [len(model.loss_curve_) for model in models]


@pytest.mark.parametrize("batch_size", [32, 150])
@pytest.mark.filterwarnings("ignore:Training diverged:sklearn.exceptions.ConvergenceWarning")
def test_a_diverging_path_keeps_the_best_weights_at_each_beta(iris, batch_size):
    X, y = iris
    options = FAST | {"early_stopping": True, "learning_rate_init": 1e6, "batch_size": batch_size}
    path = beta_path(VIBClassifier(**options), X, y, betas=3)
    assert all(np.abs(path.at_beta(beta).transform(X)).max() < 100 for beta in path.betas)


def test_validation_rows_stop_a_path(digits):
    X, X_val, y, y_val = digits
    model = VIBClassifier(**FAST | {"max_iter": 500, "early_stopping": True}, n_iter_no_change=5, tol=1e-3)
    path = beta_path(model, X, y, betas=5, X_val=X_val, y_val=y_val)
    fitted = path.at_beta(1e-5)
    assert fitted.n_iter_ < 500
    assert fitted.best_validation_score_ == max(fitted.validation_scores_)


def test_sparse_rows_make_the_path_of_their_dense_copy(digits):
    X, _, y, _ = digits
    options = {"betas": 3}
    model = VIBClassifier(**FAST | {"max_iter": 3})
    dense = beta_path(model, X, y, **options)
    rows = beta_path(model, sparse.csr_matrix(X), y, **options)
    np.testing.assert_allclose(rows.rate, dense.rate, rtol=1e-3)


@pytest.mark.parametrize("kind", [VIBClassifier, VIBRegressor])
def test_data_frames_keep_their_names_on_a_path(kind):
    X, y = load_iris(return_X_y=True, as_frame=True)
    options = {"X_val": X[1::2], "y_val": y[1::2], "sample_weight_val": np.arange(75)}
    path = beta_path(kind(**FAST | {"max_iter": 2}), X[::2], y[::2], betas=2, **options)
    assert path.at_beta(1.0).feature_names_in_.tolist() == X.columns.tolist()
    assert np.isfinite(path.information).all()


def test_to_frame_has_a_row_for_each_beta(digits_path):
    frame = digits_path.to_frame()
    assert frame.shape == (7, 7)
    assert frame["beta"].tolist() == digits_path.betas.tolist()
    assert repr(digits_path) == "BetaPath(7 betas from 1e-05 to 1, VIBClassifier)"


def test_the_given_estimator_stays_as_it_was(digits):
    X, _, y, _ = digits
    model = VIBClassifier(**FAST | {"max_iter": 2, "beta": 0.5})
    beta_path(model, X, y, betas=2)
    assert model.beta == 0.5
    assert not hasattr(model, "rate_")


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"betas": 0}, "positive number"),
        ({"beta_range": (0.0, 1.0)}, "two positive betas"),
        ({"beta_range": (1.0, 0.1)}, "two positive betas"),
        ({"betas": [-1.0, 1.0]}, "not negative"),
        ({"betas": [np.nan]}, "finite"),
        ({"betas": []}, "finite"),
        ({"betas": [0.0, 1.0]}, "no beta of 0"),
        ({"method": "fast"}, "method must be"),
    ],
)
def test_arguments_are_checked_before_any_training(iris, arguments, match):
    with pytest.raises(ValueError, match=match):
        beta_path(VIBClassifier(), *iris, **arguments)


def test_what_is_no_vib_estimator_is_refused(iris):
    with pytest.raises(TypeError, match="must be a VIBClassifier"):
        beta_path(StandardScaler(), *iris)


@pytest.mark.parametrize(("beta", "match"), [(1e-6, "from 1e-05 to 1"), (2.0, "from 1e-05 to 1")])
def test_a_beta_outside_the_path_is_refused(digits_path, beta, match):
    with pytest.raises(ValueError, match=match):
        digits_path.at_beta(beta)


def test_an_exact_path_knows_its_own_betas_only(iris):
    path = beta_path(VIBClassifier(**FAST | {"max_iter": 2}), *iris, betas=[0.0, 1e-2], method="exact")
    assert path.at_beta(0.0).beta == 0.0
    with pytest.raises(ValueError, match="knows the betas"):
        path.at_beta(1e-3)


@pytest.mark.parametrize("method", ["amortized", "exact"])
def test_a_callback_that_fails_fails_the_path(method, iris):
    pytest.importorskip("sklearn.callback")
    model = VIBClassifier(**FAST).set_callbacks(FailsInAnEpoch())
    with pytest.raises(LookupError, match="broken callback"):
        beta_path(model, *iris, betas=[1e-3, 1e-1], method=method)


@pytest.mark.parametrize("rate", [0.5, 1.0, 2.0, 4.0])
def test_a_rate_that_is_asked_for_is_met(rate, digits):
    X, _, y, _ = digits
    path = beta_path(VIBClassifier(**MEDIUM, max_iter=60), X, y)
    model = path.at_rate(rate)
    assert model.rate_ == pytest.approx(rate, abs=0.05)
    assert model.rate_samples(X).mean() == pytest.approx(rate, abs=0.3)
    assert path.at_beta(model.beta).rate_ == model.rate_


def test_a_rate_of_the_gaussian_problem_is_met_at_the_beta_that_theory_has_for_it():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 3))
    y = X @ [1.0, 0.5, 0.2] + 0.5 * rng.normal(size=4000)
    options = {"hidden_layer_sizes": (), "noise": "homoscedastic", "max_iter": 60, "random_state": 0}
    path = beta_path(VIBRegressor(**options), X, y)
    for rate in (0.5, 1.0, 2.0):
        model = path.at_rate(rate)
        assert model.rate_ == pytest.approx(rate, abs=0.05)
        (i_xz, _) = gaussian_limit(X, y[:, None], [model.beta])
        assert rate == pytest.approx(float(np.squeeze(i_xz)), abs=0.1)


def test_a_rate_that_no_beta_has_is_refused(digits_path, digits):
    with pytest.raises(ValueError, match=r"rate must be from .* nats, those of this path; got 1000"):
        digits_path.at_rate(1000)
    X, _, y, _ = digits
    exact = beta_path(VIBClassifier(**FAST), X[:200], y[:200], betas=[1e-3, 1e-1], method="exact")
    with pytest.raises(ValueError, match="exact path does not know"):
        exact.at_rate(1.0)
