"""What parts predict, in the operations of NumPy: another back end needs no second network."""

import numpy as np
import pytest
import torch
from models import PLAIN, SMALL
from scipy import special
from sklearn.datasets import load_iris
from test_objective import N_FEATURES, make_network

from skvib import VIBClassifier, VIBRegressor
from skvib.nn.layers import ACTIVATIONS
from skvib.nn.likelihoods import LIKELIHOODS
from skvib.nn.network import quasi_normal
from skvib.nn.operations import TORCH, Operations


class NumPy:
    """The operations on arrays of NumPy, of rows that are dense."""

    def asarray(self, parameter):
        return parameter.numpy(force=True)

    def product(self, x, weight, dtype):
        return x @ weight

    def addcmul(self, a, b, c):
        return a + b * c

    def subtract(self, a, b, times):
        return a - times * b

    def halves(self, a):
        return np.split(a, 2, -1)

    def relu(self, a):
        return np.maximum(a, 0.0)

    def sigmoid(self, a):
        return special.expit(a)

    def logsigmoid(self, a):
        return special.log_expit(a)

    def softplus(self, a):
        return np.logaddexp(a, 0.0)

    def silu(self, a):
        return a * special.expit(a)

    def gelu(self, a):
        return a * special.ndtr(a)

    def softmax(self, a, axis):
        return special.softmax(a, axis)

    def log_softmax(self, a, axis):
        return special.log_softmax(a, axis)

    def logsumexp(self, a, axis):
        return special.logsumexp(a, axis)

    matmul, permute, concatenate = map(staticmethod, (np.matmul, np.transpose, np.concatenate))
    broadcast_to = staticmethod(np.broadcast_to)
    clip, where = map(staticmethod, (np.clip, np.where))
    exp, log, tanh = map(staticmethod, (np.exp, np.log, np.tanh))


NUMPY = NumPy()


def test_a_back_end_has_all_operations():
    names = [name for name in vars(Operations) if not name.startswith("_")]
    for xp in (TORCH, NUMPY):
        assert all(callable(getattr(xp, name)) for name in names)


def assert_agree(of_numpy, of_torch):
    assert isinstance(of_numpy, np.ndarray)
    # torch's softplus is its argument from 20 on, 2e-9 less
    np.testing.assert_allclose(of_numpy, of_torch.numpy(force=True), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize("likelihood", sorted(LIKELIHOODS))
@pytest.mark.parametrize(("decoder", "prior"), [((), "normal"), ((5,), "mixture")])
def test_numpy_predicts_what_torch_does(activation, likelihood, decoder, prior):
    network, _ = make_network(activation, likelihood, latent_dims=(3, 2), decoder=decoder, prior=prior)
    network.center, network.scale = (v * torch.ones(N_FEATURES, dtype=torch.float64) for v in (0.3, 2.0))
    generator = torch.Generator().manual_seed(0)
    x = 20.0 * torch.randn((2, 50, N_FEATURES), generator=generator, dtype=torch.float64)
    points = quasi_normal(4, 3).expand(2, -1, -1)
    inputs = {TORCH: (x, points), NUMPY: (x.numpy(), points.numpy())}
    said = []
    for xp, (rows, draws) in inputs.items():
        posterior = network.predictive(xp, rows)
        eta = network.head.predictive(xp, posterior, draws)
        predicted = network.likelihood.predictive(xp, eta[0])
        rates = (ask(xp, posterior, draws) for ask in (network.prior.predictive, network.prior.rate))
        said.append((*posterior, *rates, eta, predicted))
        for method in ("log_predictive", "moments"):
            if hasattr(network.likelihood, method):
                more = getattr(network.likelihood, method)(xp, eta if method == "moments" else eta[0])
                said[-1] += more if method == "moments" else (more,)
    for of_torch, of_numpy in zip(*said, strict=True):
        assert_agree(of_numpy, of_torch)


@pytest.mark.parametrize(
    "model",
    [
        VIBClassifier(**SMALL),
        VIBClassifier(**SMALL, n_estimators=2),
        VIBClassifier(**SMALL, n_estimators=2, latent_prior="mixture"),
        VIBClassifier(**SMALL, latent_prior="class"),
        VIBRegressor(**SMALL, **PLAIN),
        VIBRegressor(**SMALL, **PLAIN, noise="homoscedastic", decoder_hidden_layer_sizes=(8,)),
    ],
)
def test_numpy_predicts_what_a_fitted_estimator_does(model):
    X, y = load_iris(return_X_y=True)
    model.fit(X, y)
    network, x = model.network_, X.astype(np.float32)[None]
    posterior = network.predictive(NUMPY, x)
    np.testing.assert_allclose(np.hstack(posterior.mu), model.transform(X), rtol=1e-4, atol=1e-5)
    points = quasi_normal(model.n_predict_draws, SMALL["latent_dim"]).float().numpy()
    points = np.repeat(points[None], network.n_networks, axis=0)
    rates = network.prior.rate(NUMPY, posterior, points).sum(0)
    np.testing.assert_allclose(rates, model.rate_samples(X), rtol=1e-4, atol=1e-4)
    eta = network.head.predictive(NUMPY, posterior, points)
    predicted = np.mean([network.likelihood.predictive(NUMPY, of_network) for of_network in eta], axis=0)
    if isinstance(model, VIBClassifier):
        np.testing.assert_allclose(predicted, model.predict_proba(X), atol=1e-5)
    else:
        predicted = predicted[:, 0] * y.std() + y.mean()
        assert np.abs(predicted - model.predict(X)).max() < 1e-3 * y.std()
