"""The recipes of the documentation work as they stand."""

import inspect
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from models import MEDIUM
from sklearn.datasets import load_digits
from sklearn.dummy import DummyRegressor
from sklearn.metrics import mean_poisson_deviance
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_objective import (
    N_ROWS,
    assert_gradients_agree,
    assert_gradients_of_price_agree,
    make_batch,
    make_network,
)
from test_trainer import assert_same_training, make_problem, make_settings

from skvib import BetaSearchCV, VIBClassifier, beta_path, feature_information, latent_information, mutual_information
from skvib.nn.layers import ConditionedOnBeta
from skvib.nn.likelihoods import LIKELIHOODS, Likelihood
from skvib.nn.operations import TORCH
from skvib.nn.posteriors import Code, Diagonal
from skvib.nn.prices import Linear
from skvib.nn.priors import StandardNormal
from skvib.nn.trainer import train

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


def test_the_page_shows_the_recipes_and_the_contracts():
    page = (DOCS / "architecture.rst").read_text()
    for recipe in (DOCS / "recipes").glob("*.py"):
        assert f".. literalinclude:: recipes/{recipe.name}" in page
    for contract in ("Likelihood", "Head", "Prior", "Price"):
        assert f":pyobject: {contract}\n" in page


def test_a_likelihood_without_one_of_its_methods_is_no_likelihood():
    assert Likelihood.__abstractmethods__ == {"record", "backward", "predictive"}
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


@pytest.fixture
def reconstruction():
    return runpy.run_path(str(DOCS / "recipes" / "reconstruction.py"))


def with_two_heads(batch):
    """Inputs as a column of their own; some rows without a target, and weights of their own in both heads."""
    rows, generator = batch.rows, torch.Generator().manual_seed(2)
    known = torch.rand(rows.weights.shape, generator=generator) < 0.5
    assert known.any(1).all()
    assert not known.all(1).any()
    shares = {"y": rows.weights * known, "x": 0.3 * rows.weights}
    return batch._replace(rows=rows._replace(targets=rows.targets | {"x": rows.inputs}, shares=shares))


@pytest.mark.parametrize("n_draws", [1, 3])
@pytest.mark.parametrize("latent_dims", [(3, 3), (1, 3)])
@pytest.mark.parametrize("likelihood", sorted(LIKELIHOODS))
def test_the_gradients_of_two_heads_agree_with_autograd(reconstruction, likelihood, latent_dims, n_draws):
    network, _ = make_network(likelihood=likelihood, latent_dims=latent_dims, kind=reconstruction["Reconstructing"])
    assert network.terms == ("distortion", "reconstruction", "rate")
    assert_gradients_agree(network, with_two_heads(make_batch(network, likelihood, n_draws)))


def test_the_gradients_of_two_heads_agree_where_every_row_has_its_own_beta(reconstruction):
    row_values = ConditionedOnBeta((-9.0, 0.0))
    network, _ = make_network(latent_dims=(3, 2), row_values=row_values, kind=reconstruction["Reconstructing"])
    log_beta = -9.0 * torch.rand(2, N_ROWS, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    row_values.condition(log_beta)
    batch = with_two_heads(make_batch(network))
    assert_gradients_agree(network, batch, log_beta.exp(), atol=1e-11)


def reconstructing(reconstruction, *problems, weight=1.0, **changes):
    settings = make_settings(**changes)
    changed = [reconstruction["with_reconstruction"](problem, settings, weight) for problem in problems]
    return [problem for problem, _ in changed], changed[0][1]


def test_a_network_of_two_heads_trains_the_same_alone_or_in_a_stack(reconstruction):
    problems = (make_problem(seed, 100 - seed, latent_dim=dim) for seed, dim in ((0, 4), (1, 2), (2, 6)))
    problems, settings = reconstructing(reconstruction, *problems, ema_decay=0.9)
    for problem, in_stack in zip(problems, train(problems, settings), strict=True):
        (alone,) = train([problem], settings)
        assert_same_training(alone, in_stack, 1e-9)


@pytest.mark.parametrize("betas", [(1e-2,), (1e-3, 1e-1)])
def test_a_head_of_the_inputs_learns_them(reconstruction, betas):
    (problem,), settings = reconstructing(reconstruction, make_problem(0, betas=betas), max_iter=60, weight=0.3)
    (training,) = train([problem], settings)
    history = training.fits[0].history
    assert set(history) == {"loss", "distortion", "reconstruction", "rate"}
    assert history["reconstruction"][-1] < history["reconstruction"][0] - 1.0
    assert training.fits[0].distortions["x"] == pytest.approx(history["reconstruction"][-1], abs=0.5)


def test_rows_without_a_target_pay_their_rate_and_weigh_nothing_in_its_head():
    problem = make_problem(0, n_steps=1, betas=(0.5,))
    rows = problem.rows
    known = torch.arange(len(rows.weights)) % 2 == 0
    shares, weighted = {"y": rows.weights * known}, rows._replace(weights=rows.weights * known)
    settings = make_settings(max_iter=1, learning_rate_init=1e-12)
    part, known_alone, whole = (
        train([replace(problem, rows=r)], settings)[0].fits[0] for r in (rows._replace(shares=shares), weighted, rows)
    )
    assert part.distortions == pytest.approx(known_alone.distortions, abs=1e-9)
    assert part.history["distortion"] == pytest.approx(known_alone.history["distortion"], abs=1e-9)
    torch.testing.assert_close(part.latent_rates, whole.latent_rates, atol=1e-9, rtol=0)
    assert part.history["rate"] == pytest.approx(whole.history["rate"], abs=1e-9)
    other = {"y": torch.where(known, rows.targets["y"], 0)}
    (trained,) = train([replace(problem, rows=rows._replace(shares=shares))], make_settings())
    (again,) = train([replace(problem, rows=rows._replace(shares=shares, targets=other))], make_settings())
    torch.testing.assert_close(trained.state.weights, again.state.weights, atol=0, rtol=0)


@pytest.fixture(scope="module")
def laplace():
    return runpy.run_path(str(DOCS / "recipes" / "laplace.py"))


@pytest.mark.parametrize("latent_dims", [(3, 3), (1, 3)])
@pytest.mark.parametrize("prior", [StandardNormal, None])
@pytest.mark.parametrize("price", [Linear, None])
def test_the_gradients_of_any_prior_and_price_agree_with_autograd(laplace, prior, price, latent_dims):
    network, _ = make_network(latent_dims=latent_dims, kind=laplace["LaplaceArchitecture"])
    network.prior, network.price = prior() if prior else network.prior, price() if price else network.price
    assert_gradients_of_price_agree(network)


def test_the_rate_at_draws_is_in_the_mean_that_by_dimension(laplace):
    generator, prior = torch.Generator().manual_seed(0), laplace["Laplace"]([3]).double()
    mu = torch.randn((1, 4, 3), generator=generator, dtype=torch.float64)
    posterior = Diagonal(mu, torch.full_like(mu, 0.7))
    noise = torch.randn((1, 200_000, 4, 3), generator=generator, dtype=torch.float64)
    (rate,), _ = prior.record(Code(posterior, noise, posterior.sample(noise)), rows=None)
    torch.testing.assert_close(rate, prior.rate(TORCH, posterior, None), atol=1e-2, rtol=0)


def test_networks_with_another_prior_and_price_train_the_same_alone_or_in_a_stack(laplace):
    settings = make_settings(max_iter=60)
    settings = replace(settings, architecture=laplace["LaplaceArchitecture"](**vars(settings.architecture)))
    problems = [make_problem(seed, latent_dim=dim, betas=(0.05,)) for seed, dim in ((0, 4), (1, 2), (2, 6))]
    for problem, in_stack in zip(problems, train(problems, settings), strict=True):
        (alone,) = train([problem], settings)
        assert_same_training(alone, in_stack, 1e-9)
        history = alone.fits[0].history
        assert history["distortion"][-1] < history["distortion"][0] - 0.2
        np.testing.assert_allclose(
            history["loss"],
            np.array(history["distortion"]) + 0.05 * np.maximum(np.subtract(history["rate"], 1.0), 0.0),
            atol=1e-12,
        )


def test_the_measure_of_the_recipe_adds_up_to_the_mean_rate():
    X, y = load_digits(return_X_y=True)
    model = make_pipeline(StandardScaler(), VIBClassifier(**MEDIUM, max_iter=10)).fit(X, y)
    weights = np.random.default_rng(0).integers(0, 3, len(y))
    rate_by_label = runpy.run_path(str(DOCS / "recipes" / "rate_by_label.py"))["rate_by_label"]
    rates = rate_by_label(model, X, y, sample_weight=weights)
    assert set(rates) == set(y)
    shares = np.array([weights[y == label].sum() for label in rates]) / weights.sum()
    whole = np.average(model[-1].rate_samples(model[0].transform(X)), weights=weights)
    assert shares @ np.array(list(rates.values())) == pytest.approx(whole, rel=1e-5)
    assert all(0 < rate.standard_error < 0.1 * rate for rate in rates.values())


def test_every_head_hears_how_far_the_training_is_and_has_steps_of_its_own(reconstruction):
    network, _ = make_network(kind=reconstruction["Reconstructing"])
    network.heads["x"].likelihood = LIKELIHOODS["heteroscedastic"](1, 5)
    network.set_progress(0.25)
    eased = torch.ones(1, 2, 1), torch.tensor([[[1.0], [2.0]]])
    assert not torch.equal(network.heads["x"].likelihood._eased(*eased), eased[0])
    speeds = {id(parameter): speed for parameter, speed in network.speeds()}
    for name, speed in (("y", 10.0), ("x", 1.0)):
        assert speeds[id(network.heads[name].decoder.layers[-1].weight)] == speed


def test_two_heads_of_one_term_are_refused(reconstruction):
    class Twice(reconstruction["Reconstructing"]):
        def heads(self, *given):
            heads = super().heads(*given)
            heads["x"].term = "distortion"
            return heads

    with pytest.raises(ValueError, match="Two heads have one term"):
        make_network(kind=Twice)


def test_problems_of_other_columns_train_in_stacks_of_their_own():
    whole = make_problem(0)
    shares = {"y": whole.rows.weights * 0.5}
    part = replace(whole, rows=whole.rows._replace(shares=shares))
    for problem, together in zip((whole, part), train([whole, part], make_settings()), strict=True):
        assert_same_training(*train([problem], make_settings()), together, 0.0)


def test_validation_rows_without_a_target_judge_nothing():
    problem, rows = make_problem(0), make_problem(1).rows
    known = torch.arange(len(rows.weights)) % 3 == 0
    shared = rows._replace(shares={"y": rows.weights * known}, targets={"y": torch.where(known, rows.targets["y"], 0)})
    settings = make_settings(stop_on="validation")
    judged = [
        train([replace(problem, validation=validation)], settings)[0].fits[0].history["validation_log_likelihood"]
        for validation in (shared, rows._replace(weights=rows.weights * known), rows)
    ]
    assert judged[0] == pytest.approx(judged[1], abs=1e-9)
    assert judged[0] != pytest.approx(judged[2], abs=1e-3)
