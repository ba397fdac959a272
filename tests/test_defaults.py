"""What the defaults do on ordinary data, to the end of training."""

import numpy as np
import pytest
from models import asked
from scipy import sparse
from scipy.stats import norm
from sklearn.base import clone
from sklearn.datasets import load_digits, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks import generators
from skvib import VIBClassifier, VIBRegressor, calibration_error
from skvib.rows import weighted_moments


@pytest.mark.parametrize("beta", [0.1, 0.3])
def test_a_fit_ends_near_the_optimum_of_its_objective(beta):
    X, y = load_wine(return_X_y=True)
    fits = [
        VIBClassifier(beta=beta, early_stopping=False, max_iter=epochs, random_state=0).fit(X, y)
        for epochs in (150, 1200)
    ]
    found, optimum = (model.distortion_ + beta * model.rate_ for model in fits)
    assert found < optimum + 0.04


def test_alpha_charges_little_where_beta_does():
    X, y = load_wine(return_X_y=True)
    losses = []
    for alpha in (0.0, 3.0):
        model = VIBClassifier(beta=0.3, alpha=alpha, early_stopping=False, max_iter=600, random_state=0).fit(X, y)
        losses.append(model.distortion_ + model.beta * model.rate_)
    assert losses[1] < losses[0] + 0.05


def test_noise_that_depends_on_the_row_does_not_keep_the_mean_from_being_learned():
    X, y, X_test, y_test = generators.smooth_table(0, n_rows=1000)
    assert VIBRegressor(random_state=0).fit(X, y).score(X_test, y_test) > 0.98
    X, y, X_test, y_test = generators.zero_inflated(0)
    assert VIBRegressor(random_state=0).fit(X, y).score(X_test, y_test) > 0.8


@pytest.mark.parametrize("max_iter", [150, 1000])
def test_a_few_wild_rows_do_not_keep_the_others_from_being_learned(max_iter):
    rng = np.random.default_rng(0)
    X, is_wild = rng.normal(size=(4000, 4)), rng.uniform(size=4000) < 0.01
    X[is_wild, 3] = 8.0
    y = np.sin(2 * X[:, 0]) + 0.5 * X[:, 1] + np.where(is_wild, 30.0, 0.1) * rng.normal(size=4000)
    model = VIBRegressor(hidden_layer_sizes=(64, 64), max_iter=max_iter, random_state=0).fit(X[:2000], y[:2000])
    usual = np.flatnonzero(~is_wild[2000:]) + 2000
    assert model.score(X[usual], y[usual]) > 0.85


@pytest.mark.parametrize("n_rows", [30, 60, 99])
def test_a_regression_of_few_rows_knows_what_it_does_not_know(n_rows):
    covered, gains = [], []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(n_rows + 2000, 10))
        y = X[:, :3] @ [1.5, -1.0, 0.5] + rng.normal(size=len(X))
        X, y, X_test, y_test = X[:n_rows], y[:n_rows], X[n_rows:], y[n_rows:]
        model = VIBRegressor(random_state=seed).fit(X, y)
        low, high = model.predict(X_test, quantiles=[0.05, 0.95]).T
        covered.append(np.mean((low < y_test) & (y_test < high)))
        gains.append(model.log_likelihood_samples(X_test, y_test) - norm.logpdf(y_test, y.mean(), y.std()))
    assert np.mean(covered) > 0.7
    assert np.mean(gains) > 0.0


@pytest.mark.parametrize("kind", generators.NOISES)
def test_intervals_of_a_hundred_rows_cover_what_they_say(kind):
    covered, gains = [], []
    for seed in range(8):
        X, y, X_test, y_test = generators.noisy_regression(seed, kind)
        model = VIBRegressor(random_state=seed).fit(X, y)
        low, high = model.predict(X_test, quantiles=[0.05, 0.95]).T
        covered.append(np.mean((low < y_test) & (y_test < high)))
        constant = -0.5 * np.log(2 * np.pi * y.var()) - 0.5 * (y_test - y.mean()) ** 2 / y.var()
        gains.append(model.log_likelihood_samples(X_test, y_test).mean() - constant.mean())
    assert 0.85 < np.mean(covered) < 0.95
    assert np.sum(np.array(gains) < 0) <= 1


@pytest.mark.parametrize("n_classes", [2, 5])
def test_classes_of_a_hundred_rows_are_calibrated_as_a_linear_model_is(n_classes):
    errors = []
    for seed in range(6):
        X, y, X_test, y_test = generators.near_linear_classes(seed, n_classes)
        models = VIBClassifier(random_state=seed).fit(X, y), LogisticRegression().fit(X, y)
        errors.append([calibration_error(y_test, model.predict_proba(X_test)) for model in models])
    ours, oracle = np.mean(errors, axis=0)
    assert ours < oracle + 0.03


def test_a_rare_flag_does_not_drown_its_row():
    ours, oracle = [], []
    for seed in range(3):
        X, y, X_test, y_test = generators.rare_flags(seed)
        ours.append(log_loss(y_test, VIBClassifier(random_state=0).fit(X, y).predict_proba(X_test)))
        oracle.append(log_loss(y_test, LogisticRegression().fit(X, y).predict_proba(X_test)))
    assert np.mean(ours) < np.mean(oracle) + 0.04


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("hidden", [(), (64, 64)])
def test_small_inputs_that_are_not_standardised_are_learned(hidden, container):
    """Rows of length 1 in a thousand columns, as TF-IDF makes them: alpha charged the weights that they need."""
    rng = np.random.default_rng(0)
    X = np.where(rng.random((4000, 1000)) < 0.02, rng.random((4000, 1000)), 0.0)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    signal = X @ np.repeat([1.0, -1.0, 0.0], [20, 20, 960])
    keeps = np.abs(signal) > 0.05
    X, y = X[keeps], signal[keeps] > 0
    X, y, X_test, y_test = X[:1500], y[:1500], X[1500:], y[1500:]
    model = VIBClassifier(hidden_layer_sizes=hidden, standardize=False, random_state=0).fit(container(X), y)
    oracle = log_loss(y_test, LogisticRegression(C=10.0).fit(X, y).predict_proba(X_test))
    assert log_loss(y_test, model.predict_proba(container(X_test))) < oracle + 0.1


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_alpha_charges_what_weights_make_of_inputs_that_are_not_standardised():
    X = np.random.default_rng(0).normal(size=(200, 5))
    model = VIBClassifier(standardize=False, max_iter=1, early_stopping=False)
    with asked() as problems:
        for size in (0.1, 1.0, 10.0):
            model.fit(size * X, X[:, 0] > 0)
        for container in (np.asarray, sparse.csr_array):  # columns of zeros mean nothing
            model.fit(container(np.c_[0.1 * X, np.zeros((200, 3))]), X[:, 0] > 0)
        model.set_params(standardize=True).fit(0.1 * X, X[:, 0] > 0)
    squares = [problem.input_square for problem in problems]
    assert squares[0] == pytest.approx(0.01 * np.mean(X**2))
    assert squares[1] == pytest.approx(min(1.0, np.mean(X**2)))
    assert squares[2] == squares[5] == 1.0  # large inputs of one column would else make the weights of others dear
    assert squares[3:5] == pytest.approx([squares[0]] * 2)


def test_a_rare_class_is_ranked_nearly_as_a_linear_model_ranks_it():
    precisions = []
    for seed in range(2):
        X, y, X_test, y_test = generators.rare_class(seed)
        models = VIBClassifier(random_state=seed), LogisticRegression()
        precisions.append([average_precision_score(y_test, m.fit(X, y).predict_proba(X_test)[:, 1]) for m in models])
    ours, oracle = np.mean(precisions, axis=0)
    assert ours > oracle - 0.1


@pytest.mark.parametrize("n_rows", [20, 50])
def test_a_few_digits_are_learned(n_rows):
    """Two and five rows of each of ten classes: alpha charged their weights as if they were noise of two classes."""
    X, y = load_digits(return_X_y=True)
    train, test = train_test_split(np.arange(len(y)), train_size=n_rows, stratify=y, random_state=0)
    model = VIBClassifier(random_state=0).fit(X[train], y[train])
    linear = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[train], y[train])
    ours, oracle = (log_loss(y[test], m.predict_proba(X[test])) for m in (model, linear))
    assert ours < oracle + 0.25  # chance is 2.3
    assert model.score(X[test], y[test]) > linear.score(X[test], y[test]) - 0.1


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_rows_whose_labels_are_nearly_all_the_same_count_as_few():
    rng = np.random.default_rng(0)
    X, is_rare = rng.normal(size=(2000, 3)), np.arange(2000) < 20
    model = VIBClassifier(max_iter=1, early_stopping=False)
    with asked() as problems:
        for y in (np.arange(2000) % 2, is_rare, np.c_[is_rare, is_rare]):
            model.fit(X, y)
        model.set_params(class_weight="balanced").fit(X, is_rare)
    even, rare, labels, balanced = (problem.penalty for problem in problems)
    assert rare == pytest.approx(labels)
    assert rare > 2 * even
    assert balanced == pytest.approx(rare)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_rows_of_many_classes_are_charged_less_and_many_rows_alike():
    rng = np.random.default_rng(0)
    model = VIBClassifier(max_iter=1, early_stopping=False)

    def penalties(n_rows):
        with asked() as problems:
            for n_classes in (2, 10):
                model.fit(rng.normal(size=(n_rows, 3)), np.arange(n_rows) % n_classes)
        return [problem.penalty for problem in problems]

    two, ten = penalties(50)
    assert ten == pytest.approx(two * 1.4 / 3)
    two, ten = penalties(20_000)
    assert ten == pytest.approx(two, rel=0.01)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("usual", [0.0, 1.0, -999.0])
@pytest.mark.parametrize("share", [0.001, 0.01, 0.05])
def test_a_rare_value_lies_one_unit_from_the_mean(usual, share, first):
    n = 2000
    X = np.column_stack([np.full(n, usual), np.random.default_rng(0).normal(size=n)])
    X[1 :: n // int(share * n), 0] += 1.0
    for container in (np.asarray, sparse.csr_array):
        moments = weighted_moments(container(X), np.r_[first, np.delete(np.arange(n), first)], np.ones(n))
        sizes = np.abs(X - moments.mean) / moments.scale_of_inputs
        assert sizes[:, 0].max() == pytest.approx(1.0, rel=0.06)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # of noise, in three epochs
@pytest.mark.parametrize("estimator", [VIBClassifier(random_state=0), VIBRegressor(random_state=0)])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_what_was_constant_in_training_means_nothing_later(estimator, container):
    rng = np.random.default_rng(0)
    X, y = np.c_[rng.normal(size=(200, 2)), np.full(200, 7.0), np.zeros(200)], rng.integers(2, size=200)
    model = clone(estimator).set_params(max_iter=3).fit(container(X), y)
    later = X + np.array([0.0, 0.0, 1e5, -3.0])
    np.testing.assert_array_equal(model.transform(container(later)), model.transform(container(X)))
    np.testing.assert_array_equal(model.predict(container(later)), model.predict(container(X)))


def test_a_stream_learns_what_was_constant_in_its_first_piece():
    rng = np.random.default_rng(0)
    X, y = np.c_[rng.normal(size=(400, 2)), np.zeros(400)], rng.integers(2, size=400)
    model = VIBClassifier(random_state=0).partial_fit(X, y, classes=[0, 1])
    X[:, 2] = 3.0 * y
    for _ in range(60):
        model.partial_fit(X, y)
    assert model.score(X, y) > 0.95


@pytest.mark.parametrize("price", [19.99, 3.0, 1e-7])
def test_gaps_in_a_constant_column_leave_it_constant(price):
    rng = np.random.default_rng(0)
    X = np.c_[rng.normal(size=300), np.where(rng.random(300) < 0.3, np.nan, price)]
    model = VIBRegressor(max_iter=5, random_state=0).fit(X, X[:, 0])
    assert model._x_deviation[1] == 0
    later = X + np.array([0.0, 5.0])
    np.testing.assert_array_equal(model.predict(later), model.predict(X))


def test_a_column_of_float32_that_differs_by_rounding_alone_is_constant():
    rng = np.random.default_rng(0)
    whole = rng.integers(1, 40, 300).astype(np.float32)
    X = np.c_[rng.normal(size=300), whole * np.float32(0.1) / whole].astype(np.float32)
    assert len(np.unique(X[:, 1])) > 1
    rows, weights = np.arange(300), np.ones(300)
    whole = weighted_moments(X, rows, weights)
    np.testing.assert_array_equal(whole.deviation > 0, [True, False])
    parts = [weighted_moments(X, half, np.ones(150)) for half in (rows[:150], rows[150:])]
    np.testing.assert_array_equal(parts[0].merged(parts[1]).deviation > 0, [True, False])
    assert weighted_moments(X.astype(np.float64), rows, weights).deviation[1] > 0  # there it may mean something


def test_columns_that_vary_keep_their_deviation():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=500) + 1e3, rng.integers(5, size=500), rng.lognormal(size=500)])
    moments = weighted_moments(X, np.arange(500), np.ones(500))
    np.testing.assert_array_equal(moments.scale_of_inputs, moments.deviation)


def test_what_is_rarer_of_two_values_lies_one_unit_from_the_mean_as_in_an_even_flag():
    X = np.arange(1000)[:, None] < [3, 50, 300, 500]
    moments = weighted_moments(
        np.c_[X, np.random.default_rng(0).normal(size=(1000, 8))], np.arange(1000), np.ones(1000)
    )
    np.testing.assert_allclose(moments.scale_of_inputs[:4], [0.997, 0.95, 0.7, 0.5], rtol=1e-9)
