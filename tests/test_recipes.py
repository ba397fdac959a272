"""The recipes of the documentation work as they stand."""

import inspect
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from models import MEDIUM
from sklearn.dummy import DummyRegressor
from sklearn.metrics import mean_poisson_deviance
from test_objective import assert_gradients_agree, make_batch, make_network

from skvib import BetaSearchCV, beta_path, feature_information, latent_information, mutual_information
from skvib.nn.likelihoods import LIKELIHOODS, Likelihood

DOCS = Path(__file__).parents[1] / "docs"
FAST = MEDIUM | {"max_iter": 40}


@pytest.fixture
def recipe(monkeypatch):
    monkeypatch.setitem(LIKELIHOODS, "poisson", None)
    return runpy.run_path(str(DOCS / "recipes" / "poisson.py"))


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1200, 4))
    return X, rng.poisson(np.exp(0.8 * X[:, 0] - 0.5 * X[:, 1]))


def test_the_page_shows_the_recipe_and_the_contract():
    page = (DOCS / "architecture.rst").read_text()
    assert ".. literalinclude:: recipes/poisson.py" in page
    assert ":pyobject: Likelihood" in page


def test_a_likelihood_without_one_of_its_methods_is_no_likelihood():
    assert Likelihood.__abstractmethods__ == {"record", "backward", "summarize"}
    for name in Likelihood.__abstractmethods__:
        assert inspect.getdoc(getattr(Likelihood, name))
    with pytest.raises(TypeError, match="abstract"):
        Likelihood(1, 1)
    assert all(issubclass(likelihood, Likelihood) for likelihood in LIKELIHOODS.values())


@pytest.mark.parametrize("n_draws", [1, 3])
def test_the_gradients_of_the_recipe_agree_with_autograd(recipe, n_draws):
    network, _ = make_network(likelihood="poisson")
    assert_gradients_agree(network, make_batch(network, "poisson", n_draws))


def test_the_regressor_of_the_recipe_fits_counts(recipe, counts):
    X, y = counts
    model = recipe["VIBPoissonRegressor"](**FAST).fit(X[:800], y[:800])
    deviances = [
        mean_poisson_deviance(y[800:], m.predict(X[800:])) for m in (model, DummyRegressor().fit(X[:800], y[:800]))
    ]
    assert deviances[0] < 0.75 * deviances[1]
    log_rate = torch.from_numpy(np.log(model.predict(X[800:])))
    plugged_in = (
        y[800:] * log_rate.numpy() - log_rate.exp().numpy() - torch.lgamma(torch.from_numpy(y[800:] + 1.0)).numpy()
    )
    assert model.log_likelihood_samples(X[800:], y[800:]).mean() == pytest.approx(plugged_in.mean(), abs=0.05)
    with pytest.raises(ValueError, match="some are negative"):
        model.fit(X, y - 1)
    two = recipe["VIBPoissonRegressor"](**FAST).fit(X, np.c_[y, y])
    assert two.predict(X).shape == (1200, 2)
    assert np.isfinite(two.partial_fit(X, np.c_[y, y]).predict(X)).all()


def test_measures_paths_and_searches_take_the_regressor_of_the_recipe(recipe, counts):
    X, y = counts
    model = recipe["VIBPoissonRegressor"](**FAST)
    path = beta_path(model, X[:800], y[:800], betas=[0.01, 0.1, 1.0], X_val=X[800:], y_val=y[800:])
    assert path.rate[0] > path.rate[-1]
    best = path.at_beta(0.05)
    assert mutual_information(best, X[800:], y[800:]).y_lower > 0.05
    lost = feature_information(best, X[800:], y[800:]).y_lost
    assert lost[0] > lost[1] > max(lost[2:])
    assert latent_information(best, X[800:], y[800:]).n_active >= 1
    search = BetaSearchCV(model, {"beta": [0.01, 0.1]}, cv=2).fit(X[:800], y[:800])
    assert np.isfinite(search.score(X[800:], y[800:]))
