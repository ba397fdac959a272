"""partial_fit on pieces of a stream: what is counted, how far a step goes, and moments that follow."""

import numpy as np
import pytest
import torch
from models import asked, inputs_of
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier, MLPRegressor

from skvib import VIBClassifier, VIBRegressor
from skvib.nn.problem import penalty_of
from skvib.specification import step_size_of

STILL = {"hidden_layer_sizes": (8,), "latent_dim": 2, "learning_rate_init": 1e-30, "alpha": 0.0, "random_state": 0}


def one_pass(model, X, y, size, **first):
    for start in range(0, len(X), size):
        model.partial_fit(X[start : start + size], y[start : start + size], **(first if start == 0 else {}))
    return model


@pytest.mark.parametrize("size", [1, 20, 100, 500])
def test_one_pass_over_digits_is_no_worse_than_that_of_mlp_classifier(size):
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    X, y = X[order], y[order]
    models = [
        one_pass(m(random_state=0), X[:1200], y[:1200], size, classes=range(10)) for m in (VIBClassifier, MLPClassifier)
    ]
    ours, theirs = (model.score(X[1200:], y[1200:]) for model in models)
    assert ours > max(theirs - 0.03, 0.88)


def test_one_pass_row_by_row_trains_a_linear_encoder():
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    X, y = X[order], y[order]
    model = VIBClassifier(hidden_layer_sizes=(), random_state=0)
    assert one_pass(model, X[:1200], y[:1200], 1, classes=range(10)).score(X[1200:], y[1200:]) > 0.88


@pytest.mark.parametrize("size", [1, 20, 100, 500])
def test_one_pass_over_diabetes_is_no_worse_than_that_of_mlp_regressor(size, diabetes):
    X, y = diabetes
    models = [one_pass(m(random_state=0), X[:330], y[:330], size) for m in (VIBRegressor, MLPRegressor)]
    ours, theirs = (model.score(X[330:], y[330:]) for model in models)
    assert ours > max(theirs, 0.1)


def pieces(rng):
    first = rng.normal(size=(60, 3)) * [1.0, 10.0, 0.0] + [0.0, 5.0, 2.0]
    return first, 3.0 * rng.normal(size=(200, 3)) + [4.0, -7.0, 2.0]


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("hidden", [(8,), ()])
def test_the_moments_follow_the_stream_and_the_function_stays(container, hidden):
    first, second = pieces(np.random.default_rng(0))
    model = VIBClassifier(**STILL | {"hidden_layer_sizes": hidden})
    model.partial_fit(container(first), first[:, 0] > 0, classes=[False, True])
    before = model.transform(first), model.predict_proba(first)
    with asked() as problems:
        model.partial_fit(container(second), second[:, 0] > 4)
    np.testing.assert_allclose(model.transform(first), before[0], atol=1e-4)
    np.testing.assert_allclose(model.predict_proba(first), before[1], atol=1e-5)
    both = np.r_[first, second]
    standardized = np.sort((second - both.mean(axis=0)) / both.std(axis=0), axis=0)
    np.testing.assert_allclose(inputs_of(problems[0]), standardized, atol=1e-5)


def assert_targets(problem, standardized):
    """Whatever their order."""
    np.testing.assert_allclose(np.sort(problem.rows.targets["y"][:, 0]), np.sort(standardized), atol=1e-5)


@pytest.mark.parametrize("noise", ["homoscedastic", "heteroscedastic"])
def test_the_scale_of_the_target_follows_the_stream_and_the_function_stays(noise):
    first, second = pieces(np.random.default_rng(0))
    model = VIBRegressor(**STILL, noise=noise).partial_fit(first, first[:, 1])
    mean, std = model.predict(first, return_std=True)
    with asked() as problems:
        model.partial_fit(second, 100.0 + 30.0 * second[:, 1])
    now, std_now = model.predict(first, return_std=True)
    np.testing.assert_allclose(now, mean, atol=1e-4)
    np.testing.assert_allclose(std_now, std, rtol=1e-3)
    y = np.r_[first[:, 1], 100.0 + 30.0 * second[:, 1]]
    assert_targets(problems[0], (y[len(first) :] - y.mean()) / y.std())


def test_alpha_is_divided_by_all_rows_seen():
    X, y = load_digits(return_X_y=True)
    with asked() as problems:
        one_pass(VIBClassifier(**STILL | {"alpha": 3.0}), X[:100], y[:100], 20, classes=range(10))
    # 1 + 2 * 2 / 10 times the share where rows are few and classes ten, and that of three rows a class at most
    np.testing.assert_allclose([problem.penalty for problem in problems], [4.2 / n for n in (30, 40, 60, 80, 100)])
    weighted = VIBClassifier(**STILL | {"alpha": 3.0})
    with asked() as problems:
        weighted.partial_fit(X[:20], y[:20], classes=range(10), sample_weight=np.full(20, 4.0))
        weighted.partial_fit(X[20:40], y[20:40])
    np.testing.assert_allclose([problem.penalty for problem in problems], [4.2 / 80, 4.2 / 100])


def test_a_piece_that_comes_again_is_an_epoch_and_no_new_rows(diabetes):
    X, y = diabetes
    model = VIBRegressor(**STILL | {"alpha": 3.0})
    with asked() as problems:
        for _ in range(5):
            one_pass(model, X[:200], y[:200], 50)
        model.partial_fit(X[:200], y[:200])
    expected = [penalty_of(3.0, n) for n in (50, 100, 150, *[200] * 17, 400)]
    assert [problem.penalty for problem in problems] == expected


def test_pieces_shorter_than_a_batch_take_shorter_steps():
    model = VIBClassifier(batch_size=100, learning_rate_init=1.0)
    assert [step_size_of(model, n) for n in (25, 100, 1000)] == [0.5, 1.0, 1.0]


@pytest.mark.parametrize("n_rows", [20, 300])
def test_a_stream_that_goes_on_after_a_fit_keeps_its_function(n_rows, diabetes):
    X, y = diabetes
    model = VIBRegressor(max_iter=20, early_stopping=False, random_state=0).fit(X[:n_rows], y[:n_rows])
    before = model.predict(X[:n_rows])
    model.set_params(learning_rate_init=1e-30, alpha=0.0)
    with asked() as problems:
        model.partial_fit(5.0 * X[300:] + 3.0, 50.0 * y[300:] + 100.0)
    np.testing.assert_allclose(model.predict(X[:n_rows]), before, atol=1e-3 * before.std())
    seen = np.r_[y[:n_rows], 50.0 * y[300:] + 100.0]
    assert_targets(problems[0], (seen[n_rows:] - seen.mean()) / seen.std())


def test_epochs_over_one_small_piece_settle_the_network(diabetes):
    X, y = diabetes
    model = VIBRegressor(**STILL)
    for _ in range(40):
        model.partial_fit(X[:10], y[:10])
    before = model.predict(X[:10])
    model.partial_fit(X[10:20] + 1.0, 9.0 * y[10:20])
    np.testing.assert_allclose(model.predict(X[:10]), before, atol=1e-3 * y.std())


def test_a_piece_is_known_again_in_any_order():
    rng = np.random.default_rng(0)
    X, weights = np.repeat(rng.normal(size=(6, 2)), 4, axis=0), rng.uniform(size=24)
    y, order = np.repeat(np.arange(6) % 2, 4), rng.permutation(24)
    model = VIBClassifier(**STILL | {"alpha": 3.0})
    with asked() as problems:
        model.partial_fit(X, y, classes=[0, 1], sample_weight=weights)
        model.partial_fit(X[order], y[order], sample_weight=weights[order])
    assert problems[0].penalty == problems[1].penalty
    torch.testing.assert_close(problems[0].rows.weights, problems[1].rows.weights)


def test_a_piece_that_overflows_is_refused_and_changes_nothing(diabetes):
    X, y = diabetes
    model = VIBRegressor(**STILL).partial_fit(X[:100], y[:100])
    before = model.predict(X[:10])
    far = X[100:200].copy()
    far[:, 0] = 1e200
    with pytest.raises(ValueError, match="overflows float64"):
        model.partial_fit(far, y[100:200])
    np.testing.assert_array_equal(model.predict(X[:10]), before)
