"""Pickle, joblib and skops round trips, and a model of this version that must load forever."""

import copy
import io
import pickle
import pickletools
from pathlib import Path

import joblib
import numpy as np
import pytest
import skops.io
import torch
from models import SMALL
from sklearn.base import clone
from sklearn.datasets import load_digits

from skvib import VIBClassifier, VIBRegressor
from skvib.nn.layers import ACTIVATIONS
from skvib.nn.problem import resolve_device

STORED = Path(__file__).parent / "stored"
FAST = SMALL | {"max_iter": 5}
both = pytest.mark.parametrize(
    "estimator", [VIBClassifier(**FAST), VIBRegressor(**FAST)], ids=lambda e: type(e).__name__
)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def outputs(model, X):
    return np.concatenate([model.predict(X).ravel(), model.transform(X).ravel(), model.rate_samples(X)])


def through_joblib(model, path):
    joblib.dump(model, path)
    return joblib.load(path)


def through_skops(model, path):
    data = skops.io.dumps(model)
    untrusted = skops.io.get_untrusted_types(data=data)
    assert untrusted == [f"{type(model).__module__}.{type(model).__name__}"]
    return skops.io.loads(data, trusted=untrusted)


@both
@pytest.mark.parametrize(
    "through",
    [lambda model, path: pickle.loads(pickle.dumps(model)), through_joblib, through_skops],
    ids=["pickle", "joblib", "skops"],
)
def test_a_round_trip_predicts_the_same_bits(estimator, through, iris, tmp_path):
    X, y = iris
    model = clone(estimator).fit(X, y)
    np.testing.assert_array_equal(outputs(model, X), outputs(through(model, tmp_path / "model"), X))


@both
def test_a_joblib_worker_fits_and_predicts_the_same_bits(estimator, iris):
    X, y = iris

    def fit(estimator):
        return outputs(clone(estimator).fit(X, y), X)

    first, second = joblib.Parallel(n_jobs=2)(joblib.delayed(fit)(estimator) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@both
def test_a_pickle_names_no_torch_type(estimator, iris):
    model = clone(estimator).fit(*iris)
    names = [value for _, value, _ in pickletools.genops(pickle.dumps(model)) if isinstance(value, str)]
    assert not [name for name in names if "torch" in name]


def test_a_pickle_is_little_larger_than_its_weights():
    X, y = load_digits(return_X_y=True)
    model = VIBClassifier(max_iter=200, hidden_layer_sizes=(64,)).fit(X[:100], y[:100])
    assert len(pickle.dumps(model)) <= 1.2 * model._weights.nbytes + 32_000


def test_a_model_of_a_gpu_predicts_without_one(iris):
    X, y = iris
    model = VIBClassifier(**FAST).fit(X, y)
    expected = outputs(model, X)
    model.set_params(device="cuda:99")
    with pytest.raises(ValueError, match="not available"):
        resolve_device(model.device)
    np.testing.assert_array_equal(outputs(pickle.loads(pickle.dumps(model)), X), expected)


def reversed_parts(model):
    """A copy whose weights lie side by side in the opposite order, as another version might store them."""
    copied = pickle.loads(pickle.dumps(model))
    sizes = np.cumsum([int(np.prod(shape)) for _, shape in model._layout])[:-1]
    copied._layout = model._layout[::-1]
    for name, arrays in (("_weights", [model._weights]), ("_optimizer", model._optimizer)):
        parts = [np.concatenate(np.split(array, sizes)[::-1]) for array in arrays]
        setattr(copied, name, parts[0] if name == "_weights" else tuple(parts))
    return copied


@both
def test_stored_weights_are_found_by_their_names_wherever_they_lie(estimator, iris):
    X, y = iris
    model = clone(estimator).set_params(warm_start=True).fit(X, y)
    moved = reversed_parts(model)
    np.testing.assert_array_equal(outputs(moved, X), outputs(model, X))
    np.testing.assert_array_equal(outputs(moved.fit(X, y), X), outputs(model.fit(X, y), X))
    assert model._layout == moved._layout


@both
def test_a_stream_goes_on_wherever_the_stored_weights_and_moments_lie(estimator, iris):
    X, y = iris
    model = clone(estimator).set_params(warm_start=True).fit(X, y)
    moved = reversed_parts(model)
    for piece in (slice(0, 150, 3), slice(1, 150, 3)):
        model.partial_fit(3.0 * X[piece], y[piece])
        moved.partial_fit(3.0 * X[piece], y[piece])
    np.testing.assert_array_equal(outputs(moved, X), outputs(model, X))


@both
def test_weights_of_another_network_are_refused(estimator, iris):
    X, y = iris
    model = clone(estimator).fit(X, y)
    (name, shape), *rest = model._layout
    model._layout = ((name, shape[::-1]), *rest)
    with pytest.raises(ValueError, match="stored weights are those of another network"):
        pickle.loads(pickle.dumps(model)).predict(X)


@pytest.mark.parametrize("name", sorted(path.stem for path in STORED.glob("*.pkl")))
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
def test_a_stored_model_loads_forever(name, iris):
    X, _ = iris
    model = pickle.load(io.BytesIO((STORED / f"{name}.pkl").read_bytes()))
    np.testing.assert_allclose(outputs(model, X), np.load(STORED / f"{name}.npy"), rtol=1e-6, atol=1e-9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
def test_a_stored_path_finds_a_model_at_any_beta(iris):
    X, _ = iris
    path = pickle.load(io.BytesIO((STORED / "BetaPath-0.1.0.pickle").read_bytes()))
    expected = np.load(STORED / "BetaPath-0.1.0.npy")
    np.testing.assert_allclose(outputs(path.at_beta(3e-2), X), expected, rtol=1e-5, atol=1e-6)
    for beta, rate in zip(path.betas, path.rate, strict=True):
        assert path.at_beta(beta).rate_ == rate


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("search", "BetaSearchCV"),
        ("search", "log_likelihood_score"),
        ("search", "one_standard_error"),
        ("path", "BetaPath"),
        ("bounds", "Estimate"),
        *(("information", name) for name in ("MutualInformation", "InformationPlane", "FeatureInformation")),
        *(("displays", name) for name in ("InformationPlaneDisplay", "LatentDisplay")),
    ],
)
def test_what_a_pickle_of_0_1_names_is_found(module, name):
    assert pickle.loads(f"cskvib.{module}\n{name}\n.".encode()).__name__ == name


@pytest.mark.parametrize("name", ["VIBClassifier-0.1.0", "VIBRegressor-0.1.0", "VIBRegressor-homoscedastic-0.1.0"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
def test_a_stored_model_goes_on_and_forgets_nothing(name, iris):
    X, y = iris
    model = pickle.load(io.BytesIO((STORED / f"{name}.pkl").read_bytes()))
    before = model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)
    targets = y if before.shape[-1] == 3 or before.ndim == 1 else X[:, :2]
    model.set_params(learning_rate_init=1e-30, alpha=0.0).partial_fit(3.0 * X[:40] + 5.0, targets[:40])
    after = model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)
    np.testing.assert_allclose(after, before, atol=1e-3)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_a_fitted_network_can_be_pickled_and_copied(activation, iris):
    X, y = iris
    network = VIBClassifier(**FAST, activation=activation).fit(X, y).network_
    x = torch.from_numpy(X).float().unsqueeze(0)
    for other in (pickle.loads(pickle.dumps(network)), copy.deepcopy(network)):
        torch.testing.assert_close(other(x), network(x), rtol=0, atol=0)
