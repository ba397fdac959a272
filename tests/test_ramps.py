"""Ramps: numbers with thresholds."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from models import PLAIN, SMALL, TINY, asked
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.metrics import log_loss
from test_objective import N_FEATURES, assert_gradients_agree, make_batch, make_network
from test_operations import NUMPY
from test_trainer import assert_same_training, make_problem, make_settings

from skvib import BetaSearchCV, VIBClassifier, VIBRegressor, beta_path
from skvib.nn.ramps import SIZE, Edges, Ramps
from skvib.nn.trainer import train
from skvib.rows import ramp_edges

FAST = SMALL | {"max_iter": 5, "n_bins": 4}
both = pytest.mark.parametrize(
    "estimator", [VIBClassifier(**FAST), VIBRegressor(**FAST)], ids=lambda e: type(e).__name__
)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def edges_of(low, width, columns=(0, 2)):
    return Edges(columns, *(torch.tensor(part, dtype=torch.float64) for part in (low, width)))


EDGES = edges_of([[-1.0, 0.0], [0.5, 2.0]], [[1.0, 2.0], [1.5, 0.0]])
OTHERS = edges_of([[0.0, 0.5], [-2.0, 1.0]], [[0.5, 0.5], [3.0, 1.0]])


def test_a_ramp_rises_between_its_edges_and_one_of_no_width_never():
    x = torch.tensor([[-2.0, 7.0, 0.5], [-0.5, 7.0, 1.25], [1.0, 7.0, 9.0]], dtype=torch.float64)
    values = Ramps([EDGES])(x[None])[0]
    expected = np.array([[0, 0, 0, 0], [0.5, 0, 0.5, 0], [1, 0.5, 1, 0]]) * SIZE
    np.testing.assert_array_equal(values[:, :3], x)
    np.testing.assert_allclose(values[:, 3:], expected)


def test_each_network_has_edges_of_its_own_and_numpy_says_the_same():
    x = torch.randn((2, 20, 3), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ramps = Ramps([EDGES, OTHERS])
    for m, edges in enumerate((EDGES, OTHERS)):
        torch.testing.assert_close(ramps(x)[m], Ramps([edges])(x[m : m + 1])[0])
    np.testing.assert_allclose(ramps.predictive(NUMPY, x.numpy()), ramps(x))


def test_gradients_agree_with_autograd_behind_ramps():
    network, _ = make_network(latent_dims=(3, 2), edges=[EDGES, OTHERS])
    assert_gradients_agree(network, make_batch(network))


def test_networks_with_edges_of_their_own_train_the_same_alone_or_in_a_stack():
    settings = make_settings()
    settings = replace(settings, architecture=replace(settings.architecture, n_ramps=4))
    problems = [make_problem(m, 100 - m, latent_dim=2 + m, edges=edges) for m, edges in enumerate((EDGES, OTHERS))]
    for problem, in_stack in zip(problems, train(problems, settings), strict=True):
        assert_same_training(*train([problem], settings), in_stack, 1e-9)


def test_edges_lie_between_quantiles_of_distinct_values_where_there_is_a_threshold_to_find():
    rng = np.random.default_rng(0)
    spiky = np.where(rng.random(1000) < 0.92, 0.0, rng.integers(1, 9, 1000))
    X = np.c_[spiky, rng.integers(0, 2, 1000), np.ones(1000), rng.integers(0, 4, 1000), np.arange(1000.0)]
    columns, edges = ramp_edges(X, rng.permutation(1000), 4, X.std(axis=0))
    np.testing.assert_array_equal(columns, [0, 3, 4])
    np.testing.assert_allclose(edges, [[0, 2, 4, 6, 8], [0, 1, 2, 3, 3], 999 * np.linspace(0, 1, 5)])


@both
def test_no_ramps_are_none_at_all(estimator, iris):
    X, y = iris
    estimator = clone(estimator).set_params(n_bins=0)
    expected = estimator.fit(X, y).transform(X)
    levels = (X.mean(axis=0) < X).astype(float)
    few, none = (clone(estimator).set_params(n_bins=n).fit(levels, y) for n in (4, 0))
    np.testing.assert_array_equal(few.transform(levels), none.transform(levels))
    assert not np.array_equal(clone(estimator).set_params(n_bins=4).fit(X, y).transform(X), expected)


@both
@pytest.mark.parametrize(
    ("changes", "container", "reason"),
    [
        ({}, sparse.csr_array, "X is sparse, and ramps are not: pass X.toarray"),
        ({"hidden_layer_sizes": ()}, np.asarray, "an encoder without hidden layers is linear"),
        ({"encoder": lambda: torch.nn.Linear(4, 8)}, np.asarray, "an `encoder` takes X as it is"),
        ({"encoder": "conv"}, lambda X: X.reshape(-1, 2, 2), "an `encoder` takes X as it is"),
    ],
)
def test_ramps_are_refused_where_there_can_be_none(estimator, changes, container, reason, iris):
    with pytest.raises(ValueError, match=f"n_bins=4, but {reason}"):
        clone(estimator).set_params(**changes).fit(container(iris[0]), iris[1])


@both
def test_rows_are_predicted_alike_in_any_form_and_after_a_round_trip(estimator, iris):
    X, y = iris
    model = clone(estimator).fit(X, y)
    expected = model.transform(X)
    np.testing.assert_array_equal(model.transform(sparse.csr_array(X)), expected)
    np.testing.assert_allclose(model.transform(X.astype(np.float32)), expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).transform(X), expected)


def test_a_network_says_of_rows_as_given_what_it_says_of_standardised_ones():
    network, _ = make_network(latent_dims=(3, 2), edges=[EDGES, OTHERS])
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((2, 20, N_FEATURES), generator=generator, dtype=torch.float64)
    mean, scale = 1e6 + torch.arange(5.0, dtype=torch.float64), torch.logspace(-2, 4, N_FEATURES, dtype=torch.float64)
    expected = network(x).mu
    folded = copy.deepcopy(network)
    folded.fold_standardization(mean, scale)
    torch.testing.assert_close(folded(x * scale + mean).mu, expected, rtol=1e-6, atol=1e-6)


def test_a_threshold_in_a_spiky_column_is_found():
    rng = np.random.default_rng(0)
    gain = np.where(rng.random(3000) < 0.9, 0.0, np.exp(rng.normal(8, 1.5, 3000)))
    X = np.c_[gain, rng.normal(size=(3000, 3))]
    y = rng.random(3000) < np.where((gain > 3000) & (gain < 20000), 0.95, 0.1)
    losses = {}
    for n_bins in (0, 16):
        model = VIBClassifier(n_bins=n_bins, random_state=0).fit(X[:1500], y[:1500])
        losses[n_bins] = log_loss(y[1500:], model.predict_proba(X[1500:]))
    truth = np.where((gain > 3000) & (gain < 20000), 0.95, 0.1)[1500:]
    best = log_loss(y[1500:], truth)
    assert losses[16] - best < 0.7 * (losses[0] - best)


def test_moments_follow_a_stream_and_the_function_stays():
    X, y = load_diabetes(return_X_y=True)
    model = VIBRegressor(**FAST | {"learning_rate_init": 1e-30, "alpha": 0.0})
    model.partial_fit(X[:200], y[:200])
    before = model.transform(X[:200]), model.predict(X[:200])
    model.partial_fit(5.0 * X[200:] + 3.0, 50.0 * y[200:])
    np.testing.assert_allclose(model.transform(X[:200]), before[0], atol=1e-4)
    np.testing.assert_allclose(model.predict(X[:200]), before[1], atol=1e-3 * y.std())


def test_a_fit_that_continues_keeps_its_bins(iris):
    X, y = iris
    model = VIBClassifier(**FAST, warm_start=True).fit(X, y)
    model.fit(X, y)
    with pytest.raises(ValueError, match="n_bins changed from 4 to 8"):
        model.set_params(n_bins=8).fit(X, y)


def test_a_search_shares_a_network_and_a_path_has_ramps_at_any_beta(iris):
    X, y = iris
    with asked() as problems:
        BetaSearchCV(VIBClassifier(**TINY, **PLAIN, max_iter=5, n_bins=4), cv=2).fit(X, y)
    assert all(problem.edges is not None for problem in problems)
    path = beta_path(VIBClassifier(**FAST), X, y, betas=[1e-3, 1e-1])
    model = path.at_beta(1e-2)
    assert model.network_.embedding.n_more == 16
    assert np.isfinite(model.predict_proba(X)).all()


@pytest.mark.parametrize("n_bins", [-1, 256, 1.5, "auto"])
def test_a_number_of_bins_that_is_none_is_refused(n_bins):
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match="n_bins"):
        VIBClassifier(n_bins=n_bins).fit(X, y)
