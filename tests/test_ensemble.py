"""Ensembles: several networks of one fit, that are one code and one prediction."""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from models import PLAIN, SMALL, TINY, Callback, FailsInAnEpoch, asked
from scipy import integrate, stats
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvib import (
    BetaSearchCV,
    VIBClassifier,
    VIBRegressor,
    beta_path,
    feature_information,
    fit_together,
    latent_information,
    mutual_information,
    outlier_scores,
)
from skvib.mixtures import mixture_information
from skvib.nn.network import quasi_normal

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
THREE = {**SMALL, "n_estimators": 3, "max_iter": 15}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:600], y[:600], X[600:900], y[600:900]


@pytest.fixture(scope="module")
def ensemble(digits):
    return VIBClassifier(**THREE).fit(*digits[:2])


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return X[:300], y[:300], X[300:], y[300:]


def test_each_network_is_what_its_seed_makes_alone(iris):
    models = VIBClassifier(**TINY, **PLAIN, max_iter=5, n_estimators=3).fit(*iris).estimators_
    with asked() as problems:
        alone = VIBClassifier(**TINY, **PLAIN, max_iter=5).fit(*iris)
    np.testing.assert_allclose(models[0]._weights, alone._weights, atol=1e-6)
    assert problems[0].seed == models[0]._seed
    assert len({one._seed for one in models}) == 3
    assert np.abs(models[1]._weights - models[0]._weights).max() > 0.1


def test_a_single_network_is_its_own_only_estimator(iris):
    model = VIBClassifier(**TINY, max_iter=2).fit(*iris)
    assert model.estimators_ == [model]
    with pytest.raises(ValueError, match="single network: fit it with n_estimators=5"):
        model.disagreement_samples(iris[0])


def test_probabilities_are_the_means_of_those_of_the_networks(ensemble, digits):
    X, y = digits[2:]
    p = np.mean([one.predict_proba(X) for one in ensemble.estimators_], axis=0)
    np.testing.assert_allclose(ensemble.predict_proba(X), p, rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(ensemble.predict_log_proba(X), np.log(p), rtol=1e-10)
    np.testing.assert_allclose(ensemble.log_likelihood_samples(X, y), np.log(p[np.arange(len(y)), y]), rtol=1e-10)
    np.testing.assert_array_equal(ensemble.predict(X), p.argmax(axis=1))


@pytest.mark.parametrize("noise", ["homoscedastic", "heteroscedastic"])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_a_predictive_distribution_is_the_mixture_of_those_of_the_networks(noise, n_outputs, diabetes):
    X, y, X_test, y_test = diabetes
    y, y_test = (part if n_outputs == 1 else np.column_stack([part, np.log(part)]) for part in (y, y_test))
    model = VIBRegressor(**THREE, noise=noise).fit(X, y)
    means, stds = np.array([one.predict(X_test, return_std=True) for one in model.estimators_]).swapaxes(0, 1)
    mean, std = model.predict(X_test, return_std=True)
    np.testing.assert_allclose(mean, means.mean(axis=0))
    np.testing.assert_allclose(std, np.sqrt((stds**2).mean(axis=0) + means.var(axis=0)))
    assert model.predict(X_test, quantiles=[0.1, 0.5]).shape == (*y_test.shape, 2)
    log_q = [one.log_likelihood_samples(X_test, y_test) for one in model.estimators_]
    np.testing.assert_allclose(model.log_likelihood_samples(X_test, y_test), np.logaddexp.reduce(log_q) - np.log(3))


def test_its_code_is_that_of_all_networks_side_by_side(ensemble, digits):
    X, y = digits[2:]
    for method in ("transform", "latent_rate_samples"):
        own = [getattr(one, method)(X) for one in ensemble.estimators_]
        np.testing.assert_allclose(getattr(ensemble, method)(X), np.hstack(own), atol=1e-10)
    mu, sigma = ensemble.encode(X)
    assert mu.shape == sigma.shape == (len(X), 9)
    assert len(ensemble.get_feature_names_out()) == 9
    np.testing.assert_allclose(ensemble.rate_samples(X), sum(one.rate_samples(X) for one in ensemble.estimators_))
    assert ensemble.rate_ == pytest.approx(sum(one.rate_ for one in ensemble.estimators_))
    np.testing.assert_array_equal(
        ensemble.latent_rates_, np.hstack([one.latent_rates_ for one in ensemble.estimators_])
    )
    z = ensemble.sample_latent(X)[0]
    own = [
        one.log_likelihood_latent(part, y) for one, part in zip(ensemble.estimators_, np.split(z, 3, 1), strict=True)
    ]
    np.testing.assert_allclose(ensemble.log_likelihood_latent(z, y), np.logaddexp.reduce(own) - np.log(3))


def test_its_distortion_is_that_of_the_average_over_the_codes(digits):
    X, y, *_ = digits
    model = VIBClassifier(**THREE, **PLAIN, beta=0.1).fit(X, y)
    measured = -model.log_likelihood_latent(model.sample_latent(X, 64), y).mean()
    assert model.distortion_ == pytest.approx(measured, rel=0.02)
    assert model.distortion_ < np.mean([one.distortion_ for one in model.estimators_])


def test_measures_take_an_ensemble_for_one_code(ensemble, digits):
    X, y = digits[2:]
    kept = mutual_information(ensemble, X, y)
    assert kept.x_lower < kept.x_upper <= kept.rate + 1e-6
    assert kept.rate == pytest.approx(ensemble.rate_samples(X).mean())
    assert len(latent_information(ensemble, X, y).rate) == 9
    halves = {"upper": range(32), "lower": range(32, 64)}
    assert (feature_information(ensemble, X, y, features=halves, n_replacements=2).x_kept > 0).all()
    assert np.isfinite(outlier_scores(ensemble, X[:5], X[5:])).all()


def test_the_networks_hold_out_rows_of_their_own_and_store_x_once(digits):
    X, y, X_val, y_val = digits
    with asked() as problems:
        VIBClassifier(**{**THREE, "max_iter": 1}).fit(X, y)
    assert len({id(problem.rows.inputs.whole) for problem in problems}) == 1
    held_out = [set(problem.validation.inputs.index.tolist()) for problem in problems]
    for problem, own in zip(problems, held_out, strict=True):
        assert own.isdisjoint(problem.rows.inputs.index.tolist())
        assert len(own) + len(problem.rows.weights) == 600
    assert not held_out[0] & held_out[1] & held_out[2]
    with asked() as problems:
        VIBClassifier(**{**THREE, "max_iter": 1}).fit(X, y, X_val=X_val, y_val=y_val)
    assert len({id(problem.rows.inputs) for problem in problems}) == 1
    assert len({id(problem.validation.inputs) for problem in problems}) == 1


def test_histories_are_means_of_those_that_reach_an_epoch(digits):
    X, y, *_ = digits
    model = VIBClassifier(**{**THREE, "max_iter": 60, "n_iter_no_change": 2, "learning_rate_init": 3e-2}).fit(X, y)
    lengths = [one.n_iter_ for one in model.estimators_]
    assert len(set(lengths)) > 1
    assert model.n_iter_ == max(lengths) == len(model.loss_curve_)
    assert model.loss_curve_[0] == pytest.approx(np.mean([one.loss_curve_[0] for one in model.estimators_]))
    (last,) = [one.loss_curve_[-1] for one in model.estimators_ if one.n_iter_ == model.n_iter_]
    assert model.loss_curve_[-1] == last


def test_it_learns_better_than_its_networks(digits):
    X, y, X_test, y_test = digits
    model = VIBClassifier(n_estimators=5, random_state=0, max_iter=60).fit(X, y)
    own = [-one.log_likelihood_samples(X_test, y_test).mean() for one in model.estimators_]
    assert -model.log_likelihood_samples(X_test, y_test).mean() < 0.97 * np.mean(own)


@pytest.mark.parametrize("method", ["amortized", "exact"])
def test_paths_and_searches_train_every_network_at_every_beta(method, digits):
    X, y, X_val, y_val = digits
    path = beta_path(VIBClassifier(**THREE), X, y, betas=[1e-3, 1e-1], X_val=X_val, y_val=y_val, method=method)
    model = path.at_beta(1e-1)
    assert len(model.estimators_) == 3
    assert path.rate[1] == model.rate_ < path.rate[0]
    assert model.score(X_val, y_val) == path.scores[1] > 0.5
    if method == "amortized":
        assert path.rate[1] < path.at_beta(1e-2).rate_ < path.rate[0]
    stored = pickle.loads(pickle.dumps(path)).at_beta(1e-1)
    np.testing.assert_array_equal(stored.predict_proba(X_val), model.predict_proba(X_val))
    search = BetaSearchCV(VIBClassifier(**THREE), {"beta": [1e-3, 1.0]}, cv=2, method=method).fit(X, y)
    assert search.best_params_ == {"beta": 1e-3}
    assert len(search.best_estimator_.estimators_) == 3


def test_fits_that_train_together_are_those_of_their_own(iris):
    search = GridSearchCV(VIBClassifier(**TINY, max_iter=5), {"n_estimators": [1, 3]}, cv=3)
    alone = clone(search).fit(*iris).cv_results_["mean_test_score"]
    with fit_together():
        together = search.fit(*iris).cv_results_["mean_test_score"]
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_without_a_seed_its_networks_differ_in_a_shared_training(iris):
    model = VIBClassifier(**{**TINY, "random_state": None}, max_iter=3, n_estimators=2, early_stopping=False)
    with fit_together(method="amortized"):
        search = GridSearchCV(model, {"beta": [1e-3, 1e-2]}, cv=2).fit(*iris)
    first, second = search.best_estimator_.estimators_
    assert np.abs(first._weights - second._weights).max() > 0.1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sparse_rows_are_dense_rows(dtype, digits):
    from scipy import sparse

    X, y, X_test, _ = (part.astype(dtype) for part in digits)
    dense = VIBClassifier(**THREE).fit(X, y).predict_proba(X_test)
    model = VIBClassifier(**THREE).fit(sparse.csr_matrix(X), y)
    np.testing.assert_allclose(model.predict_proba(sparse.csr_matrix(X_test)), dense, atol=1e-3)


def test_frames_ramps_labels_and_weights_work_as_for_one(iris):
    X, y = iris
    frame = pd.DataFrame(X, columns=list("abcd")).assign(e=np.where(X[:, 0] > 5.8, "large", "small"))
    frame.loc[3, "a"] = np.nan
    model = VIBClassifier(**THREE, n_bins=4).fit(frame, y, sample_weight=np.arange(len(y)))
    p = np.mean([one.predict_proba(frame) for one in model.estimators_], axis=0)
    np.testing.assert_allclose(model.predict_proba(frame), p, rtol=1e-10)
    labels = np.eye(3, dtype=int)[y]
    model = VIBClassifier(**THREE).fit(X, labels)
    assert (model.disagreement_samples(X) <= 3 * np.log(3)).all()
    assert make_pipeline(StandardScaler(), model).fit(X, labels).predict(X).shape == labels.shape


def test_modules_of_a_factory_have_seeds_of_their_own(iris):
    def factory():
        return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU())

    options = {"latent_dim": 2, "random_state": 0, "max_iter": 2, "n_estimators": 2}
    model = VIBClassifier(encoder=factory, **options).fit(*iris)
    weights = [one._encoder.state_dict()["0.weight"] for one in model.estimators_]
    assert (weights[0] - weights[1]).abs().max() > 0.1
    p = np.mean([one.predict_proba(iris[0]) for one in model.estimators_], axis=0)
    np.testing.assert_allclose(model.predict_proba(iris[0]), p, rtol=1e-5)


def test_a_fit_that_continues_trains_all_networks_on(digits):
    X, y, *_ = digits
    model = VIBClassifier(**{**THREE, "max_iter": 4}, warm_start=True).fit(X, y)
    before = model.estimators_
    weights = [one._weights.copy() for one in before]
    assert len(model.fit(X, y).loss_curve_) == 8
    assert all((one._weights != weight).any() for one, weight in zip(model.estimators_, weights, strict=True))
    assert all((one._weights == weight).all() for one, weight in zip(before, weights, strict=True))
    with pytest.raises(ValueError, match="n_estimators changed from 3 to 2"):
        model.set_params(n_estimators=2).fit(X, y)
    stream = VIBClassifier(**THREE)
    for start in (0, 200, 400):
        stream.partial_fit(X[start : start + 200], y[start : start + 200], classes=np.arange(10))
    assert [len(one.loss_curve_) for one in stream.estimators_] == [3, 3, 3]


def test_a_refit_with_another_number_keeps_nothing_of_the_old(digits):
    X, y, X_test, _ = digits
    model = VIBClassifier(**THREE)
    expected = model.fit(X, y).predict_proba(X_test)
    single = VIBClassifier(**{**THREE, "n_estimators": 1}).fit(X, y).predict_proba(X_test)
    np.testing.assert_array_equal(model.set_params(n_estimators=1).fit(X, y).predict_proba(X_test), single)
    np.testing.assert_array_equal(model.set_params(n_estimators=3).fit(X, y).predict_proba(X_test), expected)
    assert not hasattr(model, "_weights")


class StopAfter(Callback):
    """A callback that stops after some epochs, and keeps what it is shown."""

    def __init__(self, n_epochs):
        self.n_epochs, self.seen = n_epochs, []

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        if context.task_name != "epoch":
            return False
        self.seen.append(fitted_estimator.predict_proba(X))
        return len(self.seen) == self.n_epochs


def test_the_first_network_is_watched_and_stops_all(iris, capsys):
    pytest.importorskip("sklearn.callback")
    callback = StopAfter(4)
    model = VIBClassifier(**{**THREE, "early_stopping": False}).set_callbacks(callback).fit(*iris)
    assert [one.n_iter_ for one in model.estimators_] == [4, 4, 4]
    assert len(callback.seen) == 4
    np.testing.assert_array_equal(callback.seen[-1], model.estimators_[0].predict_proba(iris[0]))
    VIBClassifier(**{**THREE, "max_iter": 1}, verbose=True).fit(*iris)
    assert capsys.readouterr().out.count("Iteration") == 1


def test_a_callback_that_fails_fails_the_fit(iris):
    pytest.importorskip("sklearn.callback")
    with pytest.raises(LookupError, match="broken callback"):
        VIBClassifier(**THREE).set_callbacks(FailsInAnEpoch()).fit(*iris)


def test_one_of_its_networks_goes_on_alone(iris):
    X, y = iris
    model = VIBClassifier(**THREE, warm_start=True).fit(X, y)
    before = model.predict_proba(X)
    one = copy.deepcopy(model).estimators_[1].partial_fit(X, y)
    assert len(one.loss_curve_) == one.n_iter_ + model.estimators_[1].n_iter_
    assert len(copy.deepcopy(one).fit(X, y).loss_curve_) > len(one.loss_curve_)
    np.testing.assert_array_equal(model.predict_proba(X), before)
    model.estimators_[1].partial_fit(X, y)  # it is a part of the ensemble
    p = np.mean([one.predict_proba(X) for one in model.estimators_], axis=0)
    np.testing.assert_allclose(model.predict_proba(X), p, rtol=1e-10)


def test_options_of_predictions_reach_what_networks_disagree_about(ensemble, digits):
    model, X = copy.deepcopy(ensemble), digits[2]
    single = copy.deepcopy(model).set_params(n_predict_draws=0)
    assert np.abs(single.disagreement_samples(X) - model.disagreement_samples(X)).max() > 1e-4
    assert model.disagreement_samples(X.astype(np.float32)).dtype == np.float64


def test_networks_of_a_path_know_their_beta(iris):
    path = beta_path(VIBClassifier(**THREE), *iris, betas=[1e-3, 1e-1])
    assert [one.beta for one in path.at_beta(1e-1).estimators_] == [1e-1] * 3


def test_a_stored_single_network_stays_one(iris):
    model = VIBClassifier(**TINY, max_iter=1).fit(*iris)
    del model._shaped_by["n_estimators"]  # as models of 0.1 are stored
    with pytest.raises(ValueError, match="n_estimators changed from 1 to 3"):
        model.set_params(n_estimators=3).partial_fit(*iris)


def test_more_dimensions_than_quasi_random_points_have(iris):
    options = {"hidden_layer_sizes": (4,), "latent_dim": 11_000, "max_iter": 1, "random_state": 0}
    model = VIBClassifier(**options, n_estimators=2).fit(*iris)
    assert np.isfinite(model.distortion_)


def test_one_that_diverges_is_told_of(iris):
    X, y = iris
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        VIBClassifier(**{**THREE, "max_iter": 50}, learning_rate_init=1e30).fit(X, y)
    messages = [str(one.message) for one in caught if one.category is ConvergenceWarning]
    assert len(messages) == 1
    assert "diverged" in messages[0]


def test_disagreement_is_what_is_left_of_the_entropy_of_the_average(ensemble, digits):
    X = digits[2]
    p = np.array([one.predict_proba(X) for one in ensemble.estimators_])
    entropies = stats.entropy(p, axis=-1)
    expected = stats.entropy(p.mean(axis=0), axis=-1) - entropies.mean(axis=0)
    np.testing.assert_allclose(ensemble.disagreement_samples(X), expected, atol=1e-8)


def test_disagreement_of_mixtures_is_their_mutual_information():
    means, scales = torch.tensor([0.0, 0.4, 1.5, 2.0]).double(), torch.tensor([1.0, 0.5, 0.7, 1.2]).double()
    parts = [stats.norm(float(m), float(s)) for m, s in zip(means, scales, strict=True)]

    def integrand(y):
        q = np.array([part.pdf(y) for part in parts]).reshape(2, 2).mean(axis=1)
        return 0.5 * np.sum(q * np.log(q / q.mean()))

    expected = integrate.quad(integrand, -8, 10)[0]
    measured = mixture_information(means[:, None, None], scales[:, None, None], 2)
    assert float(measured) == pytest.approx(expected, abs=0.03)
    same = mixture_information(torch.zeros(4, 1, 1).double(), torch.ones(4, 1, 1).double(), 2)
    assert float(same) == 0.0
    z = quasi_normal(16, 3)[:, 0]  # codes that predictions decode
    for slope in (1.0, -1.0):
        means = torch.cat([shift + slope * z for shift in (-2.0, 0.0, 2.0)])[:, None, None]
        assert float(mixture_information(means, torch.ones_like(means), 3)) == pytest.approx(0.415, abs=0.03)
    apart = torch.tensor([0.0, 0.0, 1e3, 1e3]).double()[:, None, None]
    assert float(mixture_information(apart, torch.ones_like(apart), 2)) == pytest.approx(np.log(2))


def test_there_is_nothing_to_disagree_about_a_constant(diabetes):
    X, y, *_ = diabetes
    targets = np.column_stack([y, np.ones(len(y))])
    model = VIBRegressor(**THREE).fit(X, targets)
    assert 0 < model.disagreement_samples(X).max() <= np.log(3)
    assert VIBRegressor(**THREE).fit(X, targets[:, 1]).disagreement_samples(X).max() < 1e-12


def test_regressors_disagree_far_from_the_rows_they_know(diabetes):
    X, y, X_test, _ = diabetes
    model = VIBRegressor(n_estimators=5, random_state=0).fit(X, y)
    far = np.repeat([0, 1], len(X_test))
    assert roc_auc_score(far, model.disagreement_samples(np.vstack([X_test, 3 * X_test]))) > 0.9


def test_classifiers_disagree_on_digits_that_they_have_not_seen(digits):
    X, y, X_test, y_test = digits
    model = VIBClassifier(n_estimators=5, max_iter=40, random_state=0).fit(X[y < 8], y[y < 8])
    assert roc_auc_score(y_test >= 8, model.disagreement_samples(X_test)) > 0.85
