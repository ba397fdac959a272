"""A user's torch module as encoder: float32 always, its own seed, its buffers."""

import pickle
import threading

import numpy as np
import pytest
import torch
from models import asked
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.utils.parallel import Parallel, delayed
from torch import nn

from skvib import VIBClassifier, VIBRegressor, beta_path, fit_together

pytestmark = pytest.mark.filterwarnings("ignore:The predictions are hardly better")  # of so few epochs

FAST = {"latent_dim": 3, "max_iter": 10, "random_state": 0}


@pytest.fixture(scope="module")
def data():
    return make_classification(120, 6, n_informative=4, random_state=0)


def fitted(encoder, data, **changes):
    return VIBClassifier(**FAST | changes, encoder=encoder).fit(*data)


class Casting(nn.Module):
    """Casts its rows, and holds a constant in float32."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 8)
        self.scale = torch.full((8,), 0.5, dtype=torch.float32)

    def forward(self, x):
        return torch.matmul(x.float(), self.layer.weight.T) * self.scale


@pytest.mark.parametrize("make", [Casting, lambda: nn.Linear(6, 8).double(), lambda: nn.Linear(6, 8).half()])
def test_a_module_runs_in_float32_whatever_the_rows(make, data):
    X, _ = data
    model = fitted(make, data)
    assert np.isfinite(model.predict_proba(X)).all()
    np.testing.assert_allclose(model.transform(X.astype(np.float32)), model.transform(X), atol=1e-5)
    assert model.transform(X).dtype == np.float64
    assert {p.dtype for p in model.network_.encoder.parameters()} == {torch.float32}


class WithoutDropout(nn.Linear):
    def __init__(self):
        super().__init__(6, 4)
        self.dropout = None


class Late(nn.Linear):
    """Makes its buffer when it first sees rows."""

    def __init__(self):
        super().__init__(6, 4)
        self.register_buffer("seen", None)

    def forward(self, x):
        self.seen = x.mean(0).detach() if self.seen is None else self.seen
        return super().forward(x - self.seen)


def test_a_buffer_may_come_late(data):
    model = fitted(Late, data)
    assert np.isfinite(pickle.loads(pickle.dumps(model)).transform(data[0])).all()


class Tied(nn.Module):
    """Knows one buffer by two names."""

    def __init__(self):
        super().__init__()
        self.layer, self.inner = nn.Linear(6, 4), nn.Module()
        self.register_buffer("total", torch.zeros(()))
        self.inner.register_buffer("total", self.total)

    def forward(self, x):
        self.inner.total += 1.0
        return self.layer(x)


def test_a_buffer_of_two_names_stays_one(data):
    module = fitted(Tied, data).network_.encoder.modules_[0]
    assert module.total == module.inner.total > 0
    assert module.total is module.inner.total


def test_a_module_that_a_factory_shares_is_not_changed(data):
    shared = nn.Linear(6, 4).double()
    before = shared.weight.clone()
    fitted(lambda: shared, data)
    assert shared.weight.dtype == torch.float64
    assert torch.equal(shared.weight, before)


@pytest.mark.parametrize("is_factory", [True, False])
def test_lazy_modules_are_materialised_under_the_seed(is_factory, data):
    def make():
        return nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(5))

    X, _ = data
    state = torch.get_rng_state()
    encoder = make if is_factory else make()
    first, second = fitted(encoder, data), fitted(encoder, data)
    np.testing.assert_array_equal(first.transform(X), second.transform(X))
    other = fitted(encoder, data, random_state=1)
    assert not np.array_equal(first.transform(X), other.transform(X))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    "part",
    [
        lambda: nn.Dropout(p=0.0),
        lambda: nn.Sequential(nn.Unflatten(1, (2, 3)), nn.InstanceNorm1d(2), nn.Flatten()),
        lambda: nn.Sequential(
            nn.Unflatten(1, (2, 3)), nn.TransformerEncoderLayer(3, 1, 4, dropout=0.0, batch_first=True), nn.Flatten()
        ),
        lambda: nn.BatchNorm1d(6).eval(),
        lambda: WithoutDropout(),
    ],
)
def test_what_draws_nothing_and_looks_at_no_neighbour_is_accepted(part, data):
    model = fitted(part, data)
    assert np.isfinite(model.predict_proba(data[0])).all()


@pytest.mark.parametrize(
    "part",
    [
        lambda: nn.RReLU(),
        lambda: nn.BatchNorm1d(6),
        lambda: nn.BatchNorm1d(6, track_running_stats=False).eval(),
        lambda: nn.Sequential(nn.Unflatten(1, (2, 3)), nn.InstanceNorm1d(2, track_running_stats=True), nn.Flatten()),
        lambda: nn.Sequential(nn.Unflatten(1, (2, 3)), nn.LSTM(3, 3, num_layers=2, dropout=0.5)),
    ],
)
def test_what_draws_or_looks_at_neighbours_is_refused(part, data):
    with pytest.raises(ValueError, match="neither is reproducible"):
        fitted(part, data)


@pytest.mark.parametrize("encoder", [None, lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.LazyLinear(4))])
@pytest.mark.parametrize("estimator_class", [VIBClassifier, VIBRegressor])
def test_the_defaults_of_torch_change_nothing(encoder, estimator_class, data):
    X, y = data

    def outputs():
        model = estimator_class(**FAST, encoder=encoder).fit(X, y)
        beta_path(model, X, y, betas=2).at_beta(1e-3)
        if estimator_class is VIBRegressor:
            model.partial_fit(X[:60], y[:60]).predict(X, quantiles=[0.1, 0.9])
        return model.transform(X), model.predict(X), model.fit(X, y).log_likelihood_samples(X, y)

    usual = outputs()
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        unusual = outputs()
        assert torch.get_default_dtype() == torch.float64
        assert torch.get_default_device().type == "meta"
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    for one, other in zip(usual, unusual, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_factory_in_threads_gives_each_fit_the_weights_of_its_seed(data):
    X, y = data

    def factory():
        return nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))

    def fit(seed):
        return VIBClassifier(**FAST | {"max_iter": 1, "random_state": seed}, encoder=factory).fit(X, y).transform(X)

    alone = [fit(seed) for seed in range(12)]
    state, found = torch.get_rng_state(), {}
    threads = [threading.Thread(target=lambda s=seed: found.update({s: fit(s)})) for seed in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(12):
        np.testing.assert_array_equal(found[seed], alone[seed])
    assert torch.equal(torch.get_rng_state(), state)


class Counting(nn.Module):
    """Shifts its rows by a running mean that moves in training alone, and counts the batches that it saw."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 8)
        self.register_buffer("mean", torch.zeros(6))
        self.register_buffer("n_batches", torch.zeros((), dtype=torch.int64), persistent=False)

    def forward(self, x):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.mean(0).detach()
            self.n_batches += 1
        return torch.relu(self.layer(x - self.mean))


@pytest.mark.parametrize("early_stopping", [True, False])
def test_buffers_that_move_in_training_are_kept_and_used(early_stopping, data):
    X, y = data
    with asked() as problems:
        model = fitted(Counting, (X + 3.0, y), early_stopping=early_stopping, standardize=False, n_iter_no_change=100)
    module = model.network_.encoder.modules_[0]
    n_steps = 10 * problems[0].n_steps
    assert 0 < int(module.n_batches) <= n_steps
    assert early_stopping or int(module.n_batches) == n_steps
    assert module.mean.mean() > 0.5
    before = module.mean.clone()
    first, second = model.transform(X), model.transform(X)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).transform(X), first)
    assert torch.equal(model.network_.encoder.modules_[0].mean, before)


@pytest.mark.parametrize("early_stopping", [True, False])
def test_buffers_are_each_networks_own_in_a_stack(early_stopping, data):
    X, y = data
    estimators = [
        VIBClassifier(**FAST | {"random_state": seed}, encoder=Counting, early_stopping=early_stopping)
        for seed in range(3)
    ]
    alone = [clone(estimator).fit(X, y) for estimator in estimators]
    with fit_together():
        together = Parallel()(delayed(clone(estimator).fit)(X, y) for estimator in estimators)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one.transform(X), other.transform(X), atol=1e-4)
        mine, its = (model.network_.encoder.modules_[0].mean for model in (one, other))
        torch.testing.assert_close(mine, its)


def test_a_path_keeps_buffers_too(data):
    X, y = data
    path = beta_path(
        VIBClassifier(**FAST, encoder=Counting), X[:80] + 3.0, y[:80], betas=3, X_val=X[80:] + 3.0, y_val=y[80:]
    )
    for beta in (path.betas[0], 3e-3):
        assert int(path.at_beta(beta).network_.encoder.modules_[0].n_batches) > 0


def test_partial_fit_and_warm_starts_go_on_with_the_buffers(data):
    X, y = data
    model = VIBClassifier(**FAST, encoder=Counting)
    model.partial_fit(X[:60], y[:60], classes=[0, 1])
    counted = int(model.network_.encoder.modules_[0].n_batches)
    model.partial_fit(X[60:], y[60:])
    assert int(model.network_.encoder.modules_[0].n_batches) == 2 * counted


class Vacant(nn.Module):
    """Has a parameter of no elements."""

    def __init__(self):
        super().__init__()
        self.layer, self.nothing = nn.Linear(6, 8), nn.Parameter(torch.empty(0, 3))

    def forward(self, x):
        return self.layer(x).relu() + self.nothing.sum()


def test_a_parameter_may_have_no_elements(data):
    assert fitted(Vacant, data).score(*data) > 0.5
