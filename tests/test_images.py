"""encoder="conv": images in, no module to write."""

import pickle
import warnings

import numpy as np
import pytest
from models import asked
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skvib import BetaSearchCV, VIBClassifier, VIBRegressor, beta_path, fit_together, mutual_information

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
CONV = VIBClassifier(encoder="conv", latent_dim=8, max_iter=10, random_state=0)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    images = X.reshape(-1, 8, 8)
    return images[:700], y[:700], images[700:], y[700:]


@pytest.fixture(scope="module")
def model(digits):
    return clone(CONV).fit(*digits[:2])


def test_it_reads_images_better_than_dense_layers(digits):
    X, y, X_test, y_test = digits
    conv = VIBClassifier(encoder="conv", max_iter=60, random_state=0).fit(X, y)
    dense = VIBClassifier(max_iter=60, random_state=0).fit(X.reshape(len(X), -1), y)
    losses = [
        -one.log_likelihood_samples(rows, y_test).mean()
        for one, rows in ((conv, X_test), (dense, X_test.reshape(len(X_test), -1)))
    ]
    assert losses[0] < 0.8 * losses[1]


def test_one_channel_may_be_an_axis_or_none(model, digits):
    X, y, X_test, _ = digits
    same = clone(CONV).fit(X[:, None], y)
    np.testing.assert_array_equal(same.predict_proba(X_test[:, None]), model.predict_proba(X_test))


@pytest.mark.parametrize("shape", [(5, 7), (1, 1), (3, 40, 65), (2, 9, 8)])
def test_images_have_any_size_and_channels(shape):
    X = np.random.default_rng(0).normal(size=(40, *shape))
    model = VIBRegressor(encoder="conv", max_iter=2, random_state=0).fit(X, X.reshape(40, -1)[:, 0])
    assert model.predict(X).shape == (40,)
    assert model.transform(X.astype(np.float32)).dtype == np.float32


def test_each_channel_is_standardised_as_one(digits):
    X, y, *_ = digits
    channels = np.stack([X, 1000.0 + 50.0 * X, np.full_like(X, 3.0)], axis=1)
    with asked() as problems:
        clone(CONV).set_params(early_stopping=False, max_iter=1).fit(channels, y)
    inputs = problems[0].rows.inputs.numpy()
    np.testing.assert_allclose(inputs.mean(axis=(0, 2, 3)), 0.0, atol=1e-4)
    np.testing.assert_allclose(inputs.std(axis=(0, 2, 3)), [1.0, 1.0, 0.0], rtol=1e-3)
    np.testing.assert_allclose(inputs[:, 0], inputs[:, 1], atol=1e-3)
    with asked() as problems:
        clone(CONV).set_params(early_stopping=False, max_iter=1, standardize=False).fit(X, y)
    assert problems[0].rows.inputs.min() == 0.0


def test_what_is_no_image_is_refused_with_the_mend(digits):
    X, y, *_ = digits
    with pytest.raises(ValueError, match=r"takes images.*rows of shape \(64,\). Reshape them"):
        clone(CONV).fit(X.reshape(len(X), -1), y)
    with pytest.raises(ValueError, match="'encoder' parameter"):
        VIBClassifier(encoder="convolutional").fit(X, y)
    with pytest.raises(ValueError, match="is expecting 8 features"):
        clone(CONV).fit(X, y).predict(X[:, :4])


def test_it_works_wherever_dense_layers_do(model, digits):
    X, y, X_test, y_test = digits
    p = model.predict_proba(X_test)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X_test), p)
    np.testing.assert_array_equal(clone(model).fit(X, y).predict_proba(X_test), p)
    flat = make_pipeline(FunctionTransformer(lambda rows: rows.reshape(-1, 8, 8)), clone(CONV))
    np.testing.assert_array_equal(flat.fit(X.reshape(len(X), -1), y).predict_proba(X_test.reshape(-1, 64)), p)
    kept = mutual_information(model, X_test, y_test)
    assert kept.x_lower < kept.x_upper <= kept.rate + 1e-6
    weighted = clone(CONV).fit(np.concatenate([X, X]), np.concatenate([y, y]), sample_weight=np.full(1400, 0.5))
    np.testing.assert_allclose(weighted.predict_proba(X_test), p, atol=1e-5)
    stream = clone(CONV)
    for start in 5 * [0, 350]:
        stream.partial_fit(X[start : start + 350], y[start : start + 350], classes=np.arange(10))
    assert stream.score(X_test, y_test) > 0.5


def test_it_trains_in_stacks_searches_paths_and_ensembles(digits):
    X, y, X_test, y_test = digits
    small = clone(CONV).set_params(max_iter=3)
    search = GridSearchCV(small, {"beta": [1e-3, 1e-1]}, cv=2, refit=False)
    alone = clone(search).fit(X, y).cv_results_["mean_test_score"]
    with fit_together():
        together = search.fit(X, y).cv_results_["mean_test_score"]
    np.testing.assert_allclose(together, alone, atol=0.01)
    assert BetaSearchCV(small, {"beta": [1e-3, 1.0]}, cv=2).fit(X, y).best_params_ == {"beta": 1e-3}
    path = beta_path(small, X, y, betas=[1e-3, 1.0], X_val=X_test, y_val=y_test)
    assert path.rate[1] < path.rate[0]
    ensemble = clone(small).set_params(n_estimators=2).fit(X, y)
    p = np.mean([one.predict_proba(X_test) for one in ensemble.estimators_], axis=0)
    np.testing.assert_allclose(ensemble.predict_proba(X_test), p, rtol=1e-4, atol=1e-6)
    assert cross_val_score(small, X, y, cv=2).mean() > 0.3


def test_channels_that_come_last_are_told(digits):
    X, y = digits[:2]
    colours = np.repeat(X[:100, :, :, None], 3, axis=3)
    with pytest.warns(UserWarning, match=r"move them with np.moveaxis\(X, -1, 1\)"):
        clone(CONV).set_params(max_iter=1).fit(colours, y[:100])
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "X holds images")
        clone(CONV).set_params(max_iter=1).fit(np.moveaxis(colours, -1, 1), y[:100])
