"""Learned priors: gradients, rates, the optimum that a normal prior misses, and estimators that have them."""

import pickle

import numpy as np
import pytest
import torch
from models import MEDIUM, PLAIN, SMALL, TINY
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.metrics import roc_auc_score
from test_objective import assert_values, distortion_of, make_batch, make_network

from skvib import (
    BetaSearchCV,
    TrainingCurveDisplay,
    VIBClassifier,
    VIBRegressor,
    beta_path,
    fit_together,
    mutual_information,
)
from skvib.nn.objective import loss_terms
from skvib.nn.operations import TORCH
from skvib.nn.posteriors import Code, Diagonal
from skvib.nn.priors import PRIORS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
learned = pytest.mark.parametrize("prior", sorted(PRIORS))
FAST = SMALL | {"max_iter": 10}


def normal(mean, scale):
    return torch.distributions.Normal(mean, scale)


def mixture_density(prior, network, z):
    """log p(z) of one network, by torch's distributions; z (..., latent_dim)."""
    log_weights, means, scales, _ = (part[network] for part in prior.components())
    return torch.logsumexp(log_weights + normal(means, scales).log_prob(z.unsqueeze(-2)).sum(-1), -1)


@learned
@pytest.mark.parametrize("latent_dims", [(3, 3), (1, 3)])
@pytest.mark.parametrize("n_draws", [1, 2])
def test_gradients_agree_with_autograd(prior, latent_dims, n_draws):
    network, _ = make_network(latent_dims=latent_dims, prior=prior)
    batch, beta = make_batch(network, n_draws=n_draws), torch.tensor([[0.1], [0.4]], dtype=torch.float64)
    rows, posterior = batch.rows, network(batch.rows.inputs)
    code = Code(posterior, batch.noise, posterior.sample(batch.noise))
    distortion = distortion_of(network.head, code.z.flatten(1, 2), rows.targets["y"])
    log_q = normal(*(part.unsqueeze(1) for part in posterior)).log_prob(code.z).sum(-1)
    rate = (log_q - torch.stack([mixture_density(network.prior, m, code.z[m]) for m in range(2)])).mean(1)
    values, paid = (rate,), rate
    if prior == "class":
        components = network.prior.components()
        of_class = (part.gather(1, rows.targets["y"][..., None].expand(-1, -1, 3)) for part in components[1:3])
        paid = torch.distributions.kl_divergence(normal(*posterior), normal(*of_class)).sum(-1)
        values = paid, rate
    share = rows.weights / batch.n_rows
    price = (1.0 - beta if prior == "class" else 1.0) * distortion + beta * paid
    if prior == "class":  # whose weights learn the shares of the classes
        price = price - beta * components.log_weights.gather(1, rows.targets["y"])
    parameters = list(network.parameters())
    expected = torch.autograd.grad((share * price).sum(), parameters, allow_unused=True)
    with torch.no_grad():
        terms = loss_terms(network, batch, beta)
    assert_values(terms, distortion, *values)
    for parameter, gradient in zip(parameters, expected, strict=True):
        wanted = torch.zeros_like(parameter) if gradient is None else gradient
        torch.testing.assert_close(parameter.grad, wanted, rtol=1e-9, atol=1e-12)


@learned
def test_a_rate_is_the_divergence_from_the_mixture_and_those_by_dimension_from_its_marginals(prior):
    network, _ = make_network(prior=prior)
    generator = torch.Generator().manual_seed(0)
    mu = torch.randn((1, 4, 3), generator=generator, dtype=torch.float64)
    posterior, points = (
        Diagonal(mu, torch.full_like(mu, 0.7)),
        torch.randn((1, 200_000, 3), generator=generator).double(),
    )
    z = mu[:, None] + 0.7 * points[:, :, None]
    log_q, (log_weights, means, scales, _) = normal(mu, 0.7).log_prob(z), network.prior.components()
    expected = (log_q.sum(-1) - mixture_density(network.prior, 0, z)).mean(1)
    torch.testing.assert_close(network.prior.rate(TORCH, posterior, points), expected, atol=1e-2, rtol=0)
    marginal = torch.logsumexp(log_weights[0][:, None] + normal(means[0], scales[0]).log_prob(z.unsqueeze(-2)), -2)
    by_dimension = network.prior.predictive(TORCH, posterior, points)
    torch.testing.assert_close(by_dimension, (log_q - marginal).mean(1), atol=1e-2, rtol=0)


@pytest.mark.parametrize(
    ("beta", "optimum", "of_the_normal"),
    [(0.01, 0.33201, 0.33802), (0.1, 0.39440, 0.42983), (0.3, 0.53303, 0.57885), (0.5, 0.66502, 0.67109)],
)
def test_two_components_reach_the_optimum_of_a_binary_symmetric_channel(beta, optimum, of_the_normal):
    X, y, weights = np.array([[1.0], [1.0], [-1.0], [-1.0]]), [1, 0, 0, 1], [450, 50, 450, 50]
    model = VIBClassifier(
        **PLAIN,
        beta=beta,
        latent_prior="mixture",
        latent_dim=1,
        hidden_layer_sizes=(),
        decoder_hidden_layer_sizes=(32,),
        standardize=False,
        alpha=0.0,
        max_iter=1500,
        batch_size=4,
        n_train_draws=64,
        n_predict_draws=512,
        learning_rate_init=1e-2,
        random_state=0,
    ).fit(X, y, sample_weight=weights)
    loss = model.distortion_ + beta * model.rate_
    assert loss == pytest.approx(optimum, abs=0.005)
    assert loss < of_the_normal - 0.003


@learned
def test_what_is_paid_and_what_bounds_the_information_are_told_apart(prior):
    X, y = load_iris(return_X_y=True)
    model = VIBClassifier(**MEDIUM, latent_prior=prior, beta=0.1, max_iter=60).fit(X, y)
    history = model.history_
    if prior == "class":
        np.testing.assert_allclose(history["loss"], 0.9 * history["distortion"] + 0.1 * history["residual_rate"])
        # I(X;Z|Y) = I(X;Z) - I(Z;Y) for a code of X, and here Y is nearly a function of X
        assert model.residual_rate_ < model.rate_ - 0.5
    else:
        np.testing.assert_allclose(history["loss"], history["distortion"] + 0.1 * history["rate"])
        assert not hasattr(model, "residual_rate_")
    assert model.rate_ == pytest.approx(model.rate_samples(X).mean(), rel=0.1)
    kept = mutual_information(model, X, y)
    assert kept.x_lower < kept.rate + 3 * kept.x_lower.standard_error


@learned
def test_the_prior_is_public(prior):
    X, y = load_iris(return_X_y=True)
    model = VIBClassifier(**FAST, latent_prior=prior).fit(X, y)
    assert model.prior_weights_.sum() == pytest.approx(1.0)
    assert model.prior_means_.shape == model.prior_scales_.shape == (3, 3)
    plain = VIBClassifier(**FAST).fit(X, y)
    np.testing.assert_array_equal(plain.prior_means_, np.zeros((1, 3)))
    np.testing.assert_array_equal(plain.prior_scales_, np.ones((1, 3)))
    with pytest.raises(AttributeError, match="as many priors as networks"):
        _ = VIBClassifier(**FAST, n_estimators=2, latent_prior=prior).fit(X, y).prior_weights_


def test_components_begin_apart_and_at_codes():
    X, y = load_digits(return_X_y=True)
    model = VIBClassifier(**TINY, latent_prior="mixture", max_iter=1, learning_rate_init=1e-12, ema_decay=0.0).fit(X, y)
    means, codes = model.prior_means_, model.transform(X)
    assert len(np.unique(means.round(3), axis=0)) == 10
    nearest = np.min(np.linalg.norm(means[:, None] - codes, axis=-1), axis=1)
    np.testing.assert_allclose(nearest, 0.0, atol=1e-3)


@learned
def test_the_rate_alone_finds_classes_that_training_lacked(prior):
    X, y = load_digits(return_X_y=True)
    is_known = y < 8
    aucs = {}
    for name in ("normal", prior):
        model = VIBClassifier(beta=0.01, latent_prior=name, max_iter=60, random_state=0)
        model.fit(X[:1200][is_known[:1200]], y[:1200][is_known[:1200]])
        aucs[name] = roc_auc_score(~is_known[1200:], model.rate_samples(X[1200:]))
    assert aucs[prior] > max(0.8, aucs["normal"] + 0.1)


def test_weights_of_classes_are_their_shares_also_of_weighted_rows_and_of_streams():
    X, y = load_iris(return_X_y=True)
    weights = np.where(y == 0, 4.0, 1.0)
    model = VIBClassifier(**FAST, latent_prior="class").fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(model.prior_weights_, [4 / 6, 1 / 6, 1 / 6], atol=0.03)
    few = X[:, :1] > X[:, :1].mean(), np.arange(150) % 4 == 0  # rows that are equal, in all but their number
    model = VIBClassifier(**FAST, latent_prior="class").fit(*few)
    np.testing.assert_allclose(model.prior_weights_, [0.75, 0.25], atol=0.04)
    stream = VIBClassifier(**FAST, latent_prior="class", beta=0.1)
    for _ in range(150):
        for label in range(3):
            stream.partial_fit(X[y == label], y[y == label], classes=[0, 1, 2])
    np.testing.assert_allclose(stream.prior_weights_, 1 / 3, atol=0.15)


@pytest.mark.parametrize("n_draws", [0, 1, 16])
@learned
def test_a_rate_is_never_far_below_0(prior, n_draws):
    X, y = load_iris(return_X_y=True)
    model = VIBClassifier(**FAST, latent_prior=prior, beta=0.8, n_predict_draws=n_draws).fit(X, y)
    assert model.rate_samples(X).min() > -0.05
    assert min(model.history_["rate"]) > -0.05


@learned
def test_narrow_codes_are_no_reason_to_diverge(prior):
    X, y = load_iris(return_X_y=True)
    model = VIBClassifier(**FAST, latent_prior=prior, standardize=False).fit(X * [30, 1, 1, 1], y)
    assert np.isfinite(model.rate_)
    assert np.isfinite(model.rate_samples(X)).all()


def test_at_beta_1_the_decoder_still_learns_the_shares():
    y = np.arange(600) % 10 == 0
    X = np.random.default_rng(0).normal(size=(600, 2))
    model = VIBClassifier(latent_prior="class", beta=1.0, random_state=0).fit(X, y)
    assert model.predict_proba(X)[:, 1].mean() == pytest.approx(0.1, abs=0.05)


def test_a_prior_that_is_left_leaves_nothing():
    X, y = load_iris(return_X_y=True)
    model = VIBClassifier(**FAST, latent_prior="class").fit(X, y).set_params(latent_prior="normal").fit(X, y)
    assert not hasattr(model, "residual_rate_")
    assert VIBRegressor(**FAST, latent_prior="mixture").fit(X, y).prior_means_.shape == (10, 3)


def test_training_curves_are_of_what_was_trained():
    pytest.importorskip("matplotlib").use("Agg")
    X, y = load_digits(return_X_y=True)
    model = VIBClassifier(**FAST, latent_prior="class", beta=0.5).fit(X, y)
    display = TrainingCurveDisplay.from_estimator(model)
    drawn = display.distortion_line_.get_ydata() + display.rate_line_.get_ydata()
    np.testing.assert_allclose(drawn, model.history_["loss"])
    assert (
        display.best_epoch_
        == np.argmin(0.5 * model.history_["residual_rate"] - 0.5 * np.array(model.validation_scores_)) + 1
    )


@learned
def test_it_trains_in_stacks_of_several_sizes_as_alone(prior):
    X, y = load_iris(return_X_y=True)
    models = [VIBClassifier(**{**FAST, "latent_dim": dim}, latent_prior=prior) for dim in (2, 5)]
    with fit_together():
        from sklearn.utils.parallel import Parallel, delayed

        together = Parallel()(delayed(clone(model).fit)(X, y) for model in models)
    for model, in_stack in zip(models, together, strict=True):
        np.testing.assert_allclose(model.fit(X, y).transform(X), in_stack.transform(X), atol=1e-4)
        assert model.rate_ == pytest.approx(in_stack.rate_, abs=1e-3)


@pytest.mark.parametrize(
    "model",
    [
        VIBClassifier(**FAST, latent_prior="class"),
        VIBClassifier(**FAST, latent_prior="mixture", n_estimators=2),
        VIBRegressor(**FAST, latent_prior="mixture"),
    ],
)
def test_searches_exact_paths_pieces_and_pickles(model):
    X, y = load_iris(return_X_y=True)
    model = clone(model).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.rate_samples(X), model.rate_samples(X))
    model.set_params(warm_start=True).fit(X, y)
    assert np.isfinite(model.rate_)
    pieces = clone(model).partial_fit(X, y, **({"classes": [0, 1, 2]} if isinstance(model, VIBClassifier) else {}))
    assert np.isfinite(pieces.partial_fit(X, y).transform(X)).all()
    grid = {"beta": [1e-3, 1e-1]}
    search = BetaSearchCV(clone(model).set_params(warm_start=False), grid, method="exact", cv=2).fit(X, y)
    assert np.isfinite(search.best_score_)
    path = beta_path(clone(model).set_params(warm_start=False), X, y, betas=[1e-3, 1e-1], method="exact")
    assert np.isfinite(path.rate).all()


def test_multilabel_targets_have_a_mixture_of_ten():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 4))
    model = VIBClassifier(**FAST, latent_prior="mixture").fit(X, (X[:, :2] > 0).astype(int))
    assert model.prior_weights_.shape == (10,)


def test_what_cannot_be_is_refused_before_training():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match='latent_prior="class" needs one class label per row'):
        VIBRegressor(**FAST, latent_prior="class").fit(X, y)
    with pytest.raises(ValueError, match='latent_prior="class" needs one class label per row'):
        VIBClassifier(**FAST, latent_prior="class").fit(X, np.c_[y > 0, y > 1].astype(int))
    with pytest.raises(ValueError, match="beta must be at most 1; got 2"):
        VIBClassifier(**FAST, latent_prior="class", beta=2.0).fit(X, y)
    with pytest.raises(ValueError, match="latent_prior"):
        VIBClassifier(**FAST, latent_prior="laplace").fit(X, y)
    with pytest.raises(ValueError, match="latent_prior changed from 'normal' to 'mixture'"):
        VIBClassifier(**FAST, warm_start=True).fit(X, y).set_params(latent_prior="mixture").fit(X, y)
    with pytest.raises(ValueError, match="beta must be at most 1; got 5"):
        beta_path(VIBClassifier(**FAST, latent_prior="class"), X, y, betas=[0.1, 5.0], method="exact")
    trained = VIBClassifier(**FAST, latent_prior="class").partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="beta must be at most 1; got 5"):
        trained.set_params(beta=5.0).partial_fit(X, y)
    with pytest.raises(ValueError, match='latent_prior="mixture" needs method="exact"'):
        BetaSearchCV(VIBClassifier(**FAST, latent_prior="mixture")).fit(X, y)
    with pytest.raises(ValueError, match='latent_prior="mixture" needs method="exact"'):
        beta_path(VIBClassifier(**FAST, latent_prior="mixture"), X, y, betas=[1e-3, 1e-1])
