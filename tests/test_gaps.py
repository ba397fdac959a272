"""Rows of a regression that lack some of several outputs: `missing_label` in single places of y."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from models import SMALL, asked, weights_of
from scipy.integrate import trapezoid
from sklearn.base import clone
from sklearn.datasets import make_friedman1
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold

from skvib import BetaSearchCV, VIBClassifier, VIBRegressor, beta_path, mutual_information
from skvib.nn.likelihoods import LIKELIHOODS

FAST = SMALL | {"max_iter": 10, "missing_label": np.nan}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def make_outputs(n=300, share=0.3, seed=0):
    """Inputs, three outputs of unlike units of which a share is not known, and all of them."""
    X, y = make_friedman1(n, noise=1.0, random_state=seed)
    Y = np.c_[y, 100.0 + 3.0 * X[:, 0] * y, -0.01 * y + 0.1 * X[:, 5]]
    return X, np.where(np.random.default_rng(seed).random(Y.shape) < share, np.nan, Y), Y


def loss_and_gradients(likelihood, eta, y, grad):
    for parameter in likelihood.parameters():
        parameter.grad = torch.zeros_like(parameter)
    loss, tape = likelihood.record(eta, y)
    with torch.no_grad():
        return loss, likelihood.backward(tape, grad), *(parameter.grad for parameter in likelihood.parameters())


@pytest.mark.parametrize("progress", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("noise", ["homoscedastic", "heteroscedastic"])
def test_a_row_without_an_output_is_no_row_to_it(noise, progress):
    generator = torch.Generator().manual_seed(0)
    likelihood = LIKELIHOODS[noise](1, 1).double()
    likelihood.set_progress(progress)
    eta = torch.randn(1, 8, likelihood.n_parameters, dtype=torch.float64, generator=generator)
    y, grad = (torch.rand(shape, dtype=torch.float64, generator=generator) for shape in ((1, 8, 1), (1, 8)))
    known = torch.arange(8) % 3 > 0
    told = torch.cat([torch.where(known[:, None], y, 7.0), known[None, :, None].to(y)], -1)
    loss, *gradients = loss_and_gradients(likelihood, eta, told, grad)
    own, *expected = loss_and_gradients(likelihood, eta[:, known], y[:, known], grad[:, known])
    torch.testing.assert_close(loss[:, known], own)
    assert (loss[:, ~known] == 7.0).all()
    torch.testing.assert_close(gradients[0][:, known], expected[0])
    assert not gradients[0][:, ~known].any()
    for gradient, alone in zip(gradients[1:], expected[1:], strict=True):
        torch.testing.assert_close(gradient, alone)


def test_what_rows_know_of_their_outputs_is_learned():
    X, some, _ = make_outputs(600, share=0.5)
    X_test, _, Y_test = make_outputs(1000, seed=1)
    whole = np.isfinite(some).all(axis=1)
    model = VIBRegressor(missing_label=np.nan, random_state=0).fit(X, some)
    alone = VIBRegressor(random_state=0).fit(X[whole], some[whole])
    assert model.score(X_test, Y_test) > alone.score(X_test, Y_test) + 0.02
    gain = model.log_likelihood_samples(X_test, Y_test) - alone.log_likelihood_samples(X_test, Y_test)
    assert gain.mean() > 0.1


def test_a_score_is_of_each_output_on_the_rows_that_have_it():
    X, some, _ = make_outputs()
    weights = np.random.default_rng(0).integers(1, 4, len(X))
    model = VIBRegressor(**FAST).fit(X, some, weights)
    predicted, parts = model.predict(X), []
    for output, known in enumerate(np.isfinite(some).T):
        parts.append(r2_score(some[known, output], predicted[known, output], sample_weight=weights[known]))
    assert model.score(X, some, weights) == pytest.approx(np.mean(parts))
    one_known = some.copy()
    one_known[1:, 0] = np.nan  # R^2 takes two rows
    assert model.score(X, one_known, weights) == pytest.approx(np.mean(parts[1:]))
    only = np.where(np.arange(3) == 1, some, np.nan)
    assert model.score(X, only, weights) == pytest.approx(parts[1])


@pytest.mark.parametrize("n_estimators", [1, 2])
def test_likelihoods_are_of_known_outputs_in_their_units(n_estimators):
    X, some, Y = make_outputs()
    some = some[np.isfinite(some).any(axis=1)]
    X, Y = X[: len(some)], Y[: len(some)]
    model = VIBRegressor(**FAST, n_estimators=n_estimators).fit(X, some)
    if n_estimators == 1:
        z = model.sample_latent(X, random_state=0)
        first, rest = (np.where((np.arange(3) == 0) == which, Y, np.nan) for which in (True, False))
        parts = [model.log_likelihood_latent(z, part) for part in (first, rest)]
        np.testing.assert_allclose(sum(parts), model.log_likelihood_latent(z, Y), rtol=1e-5, atol=1e-5)
        z = [model.sample_latent(X, random_state=seed) for seed in range(20)]
        expected = -np.mean([model.log_likelihood_latent(draw, some).mean() for draw in z])
        assert model.distortion_ == pytest.approx(expected, abs=0.02)
    mean, deviation = (part[0] for part in model.predict(X[:1], return_std=True))
    for output in range(3):
        values = np.linspace(mean[output] - 9 * deviation[output], mean[output] + 9 * deviation[output], 2001)
        points = np.where(np.arange(3) == output, values[:, None], np.nan)
        densities = np.exp(model.log_likelihood_samples(np.repeat(X[:1], 2001, axis=0), points))
        assert trapezoid(densities, values) == pytest.approx(1.0, abs=1e-3)


def test_validation_is_of_known_outputs():
    X, some, _ = make_outputs()
    X_val, Y_val, _ = make_outputs(100, seed=1)
    Y_val, X_val = Y_val[np.isfinite(Y_val).any(axis=1)], X_val[np.isfinite(Y_val).any(axis=1)]
    model = VIBRegressor(**FAST).fit(X, some, X_val=X_val, y_val=Y_val)
    best = model.history_["validation_log_likelihood"].max()
    assert best == pytest.approx(model.log_likelihood_samples(X_val, Y_val).mean(), abs=1e-4)
    _, _, whole = make_outputs(300)
    model = VIBRegressor(**FAST).fit(X, whole, X_val=X_val, y_val=Y_val)
    best = model.history_["validation_log_likelihood"].max()
    assert best == pytest.approx(model.log_likelihood_samples(X_val, Y_val).mean(), abs=1e-4)


@pytest.mark.parametrize(
    ("missing", "make"),
    [
        (np.nan, lambda y: np.where(np.isnan(y), None, y).tolist()),
        (np.nan, lambda y: pd.DataFrame(y).convert_dtypes()),
        (np.nan, lambda y: torch.from_numpy(y)),
        (-999, lambda y: np.where(np.isnan(y), -999, y)),
    ],
    ids=["None in lists", "pandas", "tensor", "number"],
)
def test_any_value_says_that_an_output_is_missing(missing, make):
    X, some, _ = make_outputs()
    expected = VIBRegressor(**FAST).fit(X, some)
    model = VIBRegressor(**FAST | {"missing_label": missing}).fit(X, make(some))
    np.testing.assert_array_equal(weights_of(model), weights_of(expected))
    assert model.score(X, make(some)) == pytest.approx(expected.score(X, some))
    kept = np.isfinite(some).any(axis=1)
    theirs = expected.log_likelihood_samples(X[kept], some[kept])
    np.testing.assert_array_equal(model.log_likelihood_samples(X[kept], make(some[kept])), theirs)
    measured = [mutual_information(m, X, y, random_state=0).y_lower for m, y in ((model, make(some)), (expected, some))]
    assert measured[0] == pytest.approx(measured[1])


def test_targets_without_gaps_are_what_they_were():
    X, _, Y = make_outputs()
    np.testing.assert_array_equal(
        weights_of(VIBRegressor(**FAST).fit(X, Y)), weights_of(VIBRegressor(**FAST | {"missing_label": None}).fit(X, Y))
    )


def test_the_order_of_rows_and_copies_mean_nothing():
    X, some, _ = make_outputs(100)
    order, weights = np.random.default_rng(0).permutation(100), np.random.default_rng(1).integers(1, 3, 100)
    model = VIBRegressor(**FAST)
    expected = weights_of(clone(model).fit(X, some, weights))
    np.testing.assert_array_equal(weights_of(clone(model).fit(X[order], some[order], weights[order])), expected)
    copies = np.repeat(np.arange(100), weights)
    np.testing.assert_array_equal(weights_of(clone(model).fit(X[copies], some[copies])), expected)


def test_rows_that_differ_in_what_they_lack_are_different_rows():
    X = np.repeat(np.random.default_rng(0).normal(size=(60, 2)), 2, axis=0)
    some = np.c_[X[:, 0], X[:, 1]]
    some[::2, 0], some[1::2, 1] = np.nan, np.nan
    model = VIBRegressor(**FAST, early_stopping=False)
    with asked() as problems:
        model.fit(X, some)
    targets = problems[0].rows.targets["y"]
    assert targets.shape == (120, 4)
    assert targets[:, 2:].sum(0).tolist() == [60, 60]


def test_each_output_is_standardised_by_the_rows_that_have_it():
    X, some, _ = make_outputs()
    model = VIBRegressor(**FAST, early_stopping=False).fit(X, some)
    np.testing.assert_allclose(model._y_mean, np.nanmean(some, axis=0))
    np.testing.assert_allclose(model._y_scale, np.nanstd(some, axis=0))


def test_the_moments_of_a_stream_are_those_of_all_its_pieces():
    X, some, _ = make_outputs(400)
    some[100:200, 1] = np.nan  # a piece may lack an output that the first one had
    model = VIBRegressor(**FAST)
    for start in range(0, 400, 100):
        model.partial_fit(X[start : start + 100], some[start : start + 100])
    np.testing.assert_allclose(model._y_mean, np.nanmean(some, axis=0))
    np.testing.assert_allclose(model._y_scale, np.nanstd(some, axis=0))
    n_seen = model._n_seen
    model.partial_fit(X[:100], some[:100])
    assert model._n_seen == n_seen


def test_an_output_that_few_rows_have_is_trained_on():
    X, some, _ = make_outputs(200, share=0.0)
    for n_known in (2, 3, 5):
        for seed in range(5):
            rare = some.copy()
            rare[n_known:, 2] = np.nan
            with asked() as problems:
                VIBRegressor(**FAST | {"random_state": seed}, early_stopping=True).fit(X, rare)
            assert problems[0].validation is not None
            assert problems[0].rows.targets["y"][:, 3:].sum(0).min() > 0


def test_scores_are_of_as_many_targets_as_rows():
    X, some, _ = make_outputs(100)
    model = VIBRegressor(**FAST).fit(X, some)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.score(X, some[:60])
    with pytest.raises(ValueError, match="was fitted on"):
        model.score(X, some[:, :2])
    rare = some.copy()
    rare[10:, 1] = np.nan
    weights = np.repeat([0.0, 1.0], [10, 90])
    assert model.score(X, rare, weights) == pytest.approx(model.score(X[10:], rare[10:]))


def test_no_output_is_held_out_whole():
    X, _, Y = make_outputs(150)
    rare = np.full((150, 4), np.nan)
    rare[:, 0], rare[[0, 1], 1], rare[[2, 3], 2], rare[[0, 2], 3] = Y[:, 0], [1.0, 2.0], [1.0, 2.0], [1.0, 2.0]
    for seed in range(30):
        model = VIBRegressor(**FAST | {"max_iter": 1, "random_state": seed}, validation_fraction=0.4)
        assert np.isfinite(model.fit(X, rare).predict(X)).all()


def test_searches_score_what_is_known():
    X, some, Y = make_outputs(150)
    some[50:], some[:5] = Y[50:], np.nan  # one fold trains without a gap, the others with some
    model, betas = VIBRegressor(**FAST), [1e-3, 1e-2]
    search = BetaSearchCV(model, {"beta": betas}, cv=KFold(3), method="exact").fit(X, some)
    known = np.flatnonzero(np.isfinite(some).any(axis=1))
    for k, (train, test) in enumerate(KFold(3).split(known)):
        train, test = np.r_[known[train], :5], known[test]
        for beta, score in zip(betas, search.cv_results_[f"split{k}_test_score"], strict=True):
            alone = clone(model).set_params(beta=beta).fit(X[train], some[train])
            assert score == pytest.approx(alone.log_likelihood_samples(X[test], some[test]).mean(), abs=1e-4)
    of_known = search.best_estimator_.log_likelihood_samples(X[known], some[known])
    assert search.score(X, some) == pytest.approx(of_known.mean())


def test_paths_ensembles_and_warm_starts_take_them():
    X, some, _ = make_outputs(150)
    model = VIBRegressor(**FAST)
    path = beta_path(model, X, some, betas=[1e-3, 1e-2], method="exact")
    for beta in path.betas:
        alone = clone(model).set_params(beta=beta).fit(X, some)
        np.testing.assert_allclose(weights_of(path.at_beta(beta)), weights_of(alone), atol=1e-5)
    assert np.isfinite(beta_path(model, X, some, betas=3).log_likelihoods).all()
    again = pickle.loads(pickle.dumps(alone))
    np.testing.assert_array_equal(again.fit(X, some).predict(X), alone.predict(X))
    ensemble = clone(model).set_params(n_estimators=2, early_stopping=True).fit(X, some)
    assert np.isfinite(ensemble.distortion_)
    warm = clone(model).set_params(warm_start=True).fit(X, some).fit(X, some)
    assert np.isfinite(warm.predict(X, return_std=True)[1]).all()


def test_information_about_y_is_of_the_outputs_that_are_known():
    X, some, _ = make_outputs(300)
    model, known = VIBRegressor(**FAST).fit(X, some), np.isfinite(some).any(axis=1)
    told = mutual_information(model, X, some, random_state=0, n_draws=1)
    assert told.n_rows == known.sum()
    z = model.sample_latent(X[known], random_state=1)[0]
    log_q = np.array([model.log_likelihood_latent(z, np.repeat(row[None], len(z), axis=0)) for row in some[known]])
    others = np.log(np.mean(np.exp(log_q), axis=1))
    assert told.y_lower == pytest.approx(np.mean(np.diag(log_q) - others), abs=0.1)


def test_what_cannot_be_is_refused():
    X, some, _ = make_outputs(60)
    gone = some.copy()
    gone[:, 1] = np.nan
    with pytest.raises(ValueError, match=r"No row to train on has the outputs \[1\] of y"):
        VIBRegressor(**FAST).fit(X, gone)
    with pytest.raises(ValueError, match="Input y contains NaN"):
        VIBRegressor(**FAST | {"missing_label": None}).fit(X, some)
    with pytest.raises(ValueError, match="contains NaN"):
        VIBRegressor(**FAST | {"missing_label": -1}).fit(X, some)
    labels = (some > np.nanmean(some, axis=0)).astype(int)
    labels[0, 0] = -1
    with pytest.raises(ValueError, match="lack a part of their labels"):
        VIBClassifier(**FAST | {"missing_label": -1}).fit(X, labels)
