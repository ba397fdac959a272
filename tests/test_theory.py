"""Closed forms and limits that a correct VIB satisfies. All in nats."""

import numpy as np
import pytest
from sklearn.utils.parallel import Parallel, delayed

from skvib import VIBClassifier, VIBRegressor, beta_path, fit_together

# what the closed forms suppose: every row trains, coefficients are free, the noise is the same everywhere
FREE = {"early_stopping": False, "alpha": 0.0}
GAUSSIAN = FREE | {"hidden_layer_sizes": (), "noise": "homoscedastic", "max_iter": 60, "random_state": 0}
BETAS = [0.03, 0.1, 0.3, 0.45, 0.7]  # rho^2 are .8 and .5, and at them a rate is nearly free


def gaussian_limit(X, Y, beta):
    """min of D + beta R over encoders (Chechik et al. 2005), at the sample's own covariances."""
    joint = np.cov(X.T, Y.T, bias=True)
    d = X.shape[1]
    whiten_x = np.linalg.inv(np.linalg.cholesky(joint[:d, :d]))
    whiten_y = np.linalg.inv(np.linalg.cholesky(joint[d:, d:]))
    rho2 = np.linalg.svd(whiten_x @ joint[:d, d:] @ whiten_y.T, compute_uv=False) ** 2
    active = rho2[rho2 > beta]
    rate = 0.5 * np.log((1 - beta) * active / (beta * (1 - active))).sum()
    information = 0.5 * np.log((1 - beta) / (1 - active)).sum()
    entropy = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * joint[d:, d:])[1]
    return entropy - information + beta * rate, rate


def linear_gaussian(condition, n_outputs, seed=0, n=20_000):
    """X of the given condition number, rotated; independent canonical pairs with rho^2 = .8, .5."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(n, 4))
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    X = latent * np.geomspace(1, 1 / condition, 4) ** 0.5 @ rotation
    rho2 = np.array([0.8, 0.5])[:n_outputs]
    signal = latent[:, [0, 3]] if n_outputs == 2 else latent @ np.full((4, 1), 0.5)
    Y = np.sqrt(rho2) * signal[:, :n_outputs] + np.sqrt(1 - rho2) * rng.normal(size=(n, n_outputs))
    return X, Y.squeeze()


def correlated_inputs(seed=0, n=20_000):
    """Five inputs mixed at random, and two targets of canonical correlations .93 and .6."""
    rng = np.random.default_rng(seed)
    latent, mixing = rng.normal(size=(n, 5)), rng.normal(size=(5, 5))
    directions = np.linalg.qr(rng.normal(size=(5, 5)))[0][:, :2]
    rho = np.array([0.93, 0.6])
    return latent @ mixing, rho * (latent @ directions) + np.sqrt(1 - rho**2) * rng.normal(size=(n, 2))


GAUSSIAN_PROBLEMS = {
    "white": lambda: linear_gaussian(1, 1),
    "condition 100": lambda: linear_gaussian(100, 1),
    "two targets, condition 10": lambda: linear_gaussian(10, 2),
    "condition 10,000": lambda: linear_gaussian(10_000, 1),
    "two targets, condition 10,000": lambda: linear_gaussian(10_000, 2),
    "five inputs, two targets": correlated_inputs,
}


@pytest.mark.parametrize("problem", GAUSSIAN_PROBLEMS)
def test_linear_gaussian_regression_reaches_the_information_bottleneck(problem):
    X, Y = GAUSSIAN_PROBLEMS[problem]()
    with fit_together():
        models = Parallel()(
            delayed(VIBRegressor(**GAUSSIAN | {"max_iter": 100}, beta=beta).fit)(X, Y) for beta in BETAS
        )
    limits, rates = np.transpose([gaussian_limit(X, Y, beta) for beta in BETAS])
    gaps = [model.distortion_ + model.beta * model.rate_ for model in models] - limits
    assert (gaps > -0.001).all()
    assert (gaps < 0.005).all()
    np.testing.assert_allclose([model.rate_ for model in models], rates, atol=0.05)


@pytest.mark.parametrize("problem", ["condition 10,000", "five inputs, two targets"])
def test_one_training_for_all_betas_is_the_exact_fits(problem):
    X, Y = GAUSSIAN_PROBLEMS[problem]()
    model = VIBRegressor(**GAUSSIAN | {"max_iter": 120})
    paths = [beta_path(model, X, Y, betas=BETAS, method=method) for method in ("amortized", "exact")]
    limits = np.array([gaussian_limit(X, Y, beta)[0] for beta in BETAS])
    gaps = paths[0].distortion + paths[0].betas * paths[0].rate - limits
    assert (gaps > -0.001).all()
    assert (gaps < 0.003).all()
    for name in ("rate", "distortion"):
        amortized, exact = (getattr(path, name) for path in paths)
        assert (np.abs(amortized - exact) <= np.maximum(0.03, 0.03 * np.abs(exact))).all()


def test_rate_of_the_gaussian_problem_is_the_information_of_x():
    X, Y = linear_gaussian(1, 1)
    model = VIBRegressor(**GAUSSIAN, beta=0.3, latent_dim=4)
    _, rate = gaussian_limit(X, Y, 0.3)
    assert model.fit(X, Y).rate_ == pytest.approx(rate, abs=0.01)
    assert model.n_active_ == 1


@pytest.mark.filterwarnings("ignore:The loss:sklearn.exceptions.ConvergenceWarning")
def test_large_beta_collapses_the_rate():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 5))
    y = np.digitize(X[:, 0], [-1, 0.5])
    model = VIBClassifier(beta=2.0, hidden_layer_sizes=(32,), random_state=0).fit(X, y)
    assert model.rate_ < 1e-2
    prior = np.bincount(y) / len(y)
    np.testing.assert_allclose(model.predict_proba(X), np.tile(prior, (600, 1)), atol=0.02)


def binary_entropy(p):
    return -p * np.log(p) - (1 - p) * np.log(1 - p)


@pytest.mark.parametrize(
    ("beta", "optimum", "ib_limit"),
    [(0.01, 0.33802, 0.33201), (0.1, 0.42983, 0.39440), (0.3, 0.57885, 0.53214), (0.5, 0.67109, 0.65224)],
)
def test_binary_symmetric_channel_reaches_the_optimum_of_the_normal_prior(beta, optimum, ib_limit):
    counts = np.array([900, 100, 900, 100])
    X = np.array([[-1.0], [-1.0], [1.0], [1.0]])
    y = np.array([0, 1, 1, 0])
    model = VIBClassifier(
        beta=beta,
        hidden_layer_sizes=(16,),
        decoder_hidden_layer_sizes=(32,),
        latent_dim=1,
        n_train_draws=64,
        n_predict_draws=512,
        max_iter=1500,
        learning_rate_init=1e-2,
        **FREE,
        random_state=0,
    ).fit(X, y, sample_weight=counts)
    loss = model.distortion_ + beta * model.rate_
    assert loss > ib_limit - 1e-3
    assert loss == pytest.approx(optimum, abs=0.005)


def test_no_loss_is_below_what_the_noise_of_the_labels_allows():
    rng = np.random.default_rng(0)
    x = rng.integers(2, size=4000)
    y = np.where(rng.random(4000) < 0.1, 1 - x, x)
    model = VIBClassifier(beta=1e-3, hidden_layer_sizes=(16,), latent_dim=2, max_iter=300, random_state=0)
    model.fit(x[:, None], y)
    conditional = binary_entropy((x != y).mean())
    assert conditional - 0.005 < model.distortion_ < conditional + 0.02


def test_intervals_cover_what_they_say():
    """90 % intervals of a well-specified problem, mean of 20 seeds."""

    def coverage(seed):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(2200, 3))
        y = X @ [1.0, -2.0, 0.5] + rng.normal(size=2200)
        model = VIBRegressor(hidden_layer_sizes=(16,), beta=1e-2, latent_dim=4, random_state=seed)
        low, high = model.fit(X[:1200], y[:1200]).predict(X[1200:], quantiles=[0.05, 0.95]).T
        return np.mean((low <= y[1200:]) & (y[1200:] <= high))

    with fit_together():
        covered = Parallel()(delayed(coverage)(seed) for seed in range(20))
    assert np.mean(covered) == pytest.approx(0.9, abs=0.015)


def test_heteroscedastic_noise_follows_the_noise_of_the_target():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(4000, 1))
    y = X[:, 0] + np.where(X[:, 0] > 0, 1.0, 0.1) * rng.normal(size=4000)
    model = VIBRegressor(
        noise="heteroscedastic",
        hidden_layer_sizes=(32,),
        decoder_hidden_layer_sizes=(16,),
        beta=1e-3,
        latent_dim=4,
        max_iter=80,
        random_state=0,
    ).fit(X, y)
    _, std = model.predict([[-0.5], [0.5]], return_std=True)
    np.testing.assert_allclose(std, [0.1, 1.0], rtol=0.25)
