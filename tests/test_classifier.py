"""VIBClassifier: labels, class weights, probabilities."""

import numpy as np
import pytest
from models import MEDIUM, QUICK
from scipy import sparse
from sklearn.datasets import load_digits, make_classification, make_multilabel_classification
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from skvib import VIBClassifier, mutual_information

pytestmark = pytest.mark.filterwarnings("ignore:The predictions are hardly better")  # of so few epochs

FAST = MEDIUM | QUICK | {"max_iter": 40}


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["cat", "dog", "emu"]),
        np.array(["cat", "dog", "emu"], dtype=object),
        np.array([-5, 0, 7]),
        np.array([0.0, 1.0, 2.0]),
        np.array([False, True, True]),
    ],
    ids=lambda labels: str(labels.dtype),
)
def test_labels_of_any_sortable_type_come_back(labels, iris):
    X, y = iris
    y = labels[y]
    model = VIBClassifier(**FAST).fit(X, y)
    assert model.classes_.tolist() == sorted(set(labels.tolist()))
    assert model.predict(X).dtype == y.dtype
    assert model.score(X, y) > 0.9


def test_digits_are_learned():
    X, y = load_digits(return_X_y=True)
    model = VIBClassifier(random_state=0, max_iter=40).fit(X[::2], y[::2])
    assert model.score(X[1::2], y[1::2]) > 0.96
    assert log_loss(y[1::2], model.predict_proba(X[1::2])) < 0.15


def test_probabilities_are_the_posterior_predictive(iris):
    X, y = iris
    model = VIBClassifier(**FAST).fit(X, y)
    p = model.predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    np.testing.assert_allclose(model.predict_log_proba(X), np.log(p), rtol=1e-6)
    np.testing.assert_allclose(model.log_likelihood_samples(X, y), np.log(p[np.arange(150), y]))
    np.testing.assert_array_equal(model.predict(X), p.argmax(axis=1))


def test_more_draws_agree_with_monte_carlo(iris):
    X, y = iris
    model = VIBClassifier(**FAST, n_predict_draws=256, beta=0.1).fit(X, y)
    z = model.sample_latent(X, n_samples=4000)
    weight, bias = (model.network_.decoder.layers[0].get_parameter(n)[0].numpy() for n in ("weight", "bias"))
    logits = z @ weight + bias
    p = np.exp(logits - logits.max(-1, keepdims=True))
    p = (p / p.sum(-1, keepdims=True)).mean(0)
    np.testing.assert_allclose(model.predict_proba(X), p, atol=0.02)


def test_multilabel_targets_are_bernoulli():
    X, Y = make_multilabel_classification(300, n_classes=4, random_state=0)
    model = VIBClassifier(**{**FAST, "max_iter": 100}).fit(X, Y)
    p = model.predict_proba(X)
    assert p.shape == (300, 4)
    np.testing.assert_array_equal(model.predict(X), p > 0.5)
    np.testing.assert_allclose(model.predict_log_proba(X), np.log(p), rtol=1e-6, atol=1e-12)
    assert (model.predict(X) == Y).mean() > 0.85
    assert model.n_outputs_ == 4
    assert model.log_likelihood_samples(X, Y).shape == (300,)


def test_a_single_class_is_certain():
    X = np.random.default_rng(0).normal(size=(20, 3))
    model = VIBClassifier(**FAST).fit(X, np.ones(20, dtype=int))
    np.testing.assert_array_equal(model.predict_proba(X), np.ones((20, 1)))
    np.testing.assert_array_equal(model.predict(X), np.ones(20))


def imbalanced():
    return make_classification(400, 5, weights=[0.9], class_sep=0.5, flip_y=0.1, random_state=0)


def test_balanced_class_weights_are_their_sample_weights():
    X, y = imbalanced()
    weights = len(y) / (2 * np.bincount(y))[y]
    balanced = VIBClassifier(**FAST, class_weight="balanced").fit(X, y)
    weighted = VIBClassifier(**FAST).fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(balanced.predict_proba(X), weighted.predict_proba(X), atol=1e-6)
    plain = VIBClassifier(**FAST).fit(X, y)
    assert balanced.predict_proba(X)[:, 1].mean() > plain.predict_proba(X)[:, 1].mean() + 0.2


def test_class_weights_multiply_sample_weights():
    X, y = imbalanced()
    sample_weight = np.random.default_rng(0).uniform(0.5, 2, len(y))
    first = VIBClassifier(**FAST, class_weight={0: 1.0, 1: 3.0}).fit(X, y, sample_weight=sample_weight)
    second = VIBClassifier(**FAST).fit(X, y, sample_weight=sample_weight * np.where(y == 1, 3.0, 1.0))
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))


def test_a_class_of_zero_weight_is_known_and_not_expected(iris):
    X, y = iris
    weights = np.where(y == 2, 0.0, 1.0)
    for model in (
        VIBClassifier(**FAST, class_weight={2: 0.0}).fit(X, y),
        VIBClassifier(**FAST).fit(X, y, sample_weight=weights),
        VIBClassifier(**FAST, class_weight="balanced").fit(X, y, sample_weight=weights),
        VIBClassifier(**FAST, warm_start=True).fit(X, y, sample_weight=weights).fit(X, y, sample_weight=weights),
    ):
        assert model.classes_.tolist() == [0, 1, 2]
        p = model.predict_proba(X)
        assert p[:, 2].max() < 0.3
        np.testing.assert_allclose(p[:50, 0].mean(), p[50:100, 1].mean(), atol=0.05)


def test_rows_of_zero_weight_are_absent_rows(iris):
    X, y = iris
    weights = np.where(np.arange(150) % 3 == 0, 0.0, 1.0)
    with_them = VIBClassifier(**FAST).fit(X, y, sample_weight=weights)
    without = VIBClassifier(**FAST).fit(X[weights > 0], y[weights > 0])
    np.testing.assert_array_equal(with_them.predict_proba(X), without.predict_proba(X))


def test_soft_voting_takes_weights_without_a_class(iris):
    X, y = iris
    vote = VotingClassifier([("a", VIBClassifier(**FAST)), ("b", LogisticRegression(max_iter=1000))], voting="soft")
    vote.fit(X, y, sample_weight=np.where(y == 1, 0.0, 1.0))
    assert vote.predict_proba(X).shape == (150, 3)


def test_a_class_weight_may_name_labels_that_this_fold_lacks(iris):
    X, y = iris
    weights = {0: 1.0, 1: 2.0, 2: 1.0}
    fewer = VIBClassifier(**FAST, class_weight=weights).fit(X[:100], y[:100])
    np.testing.assert_array_equal(
        fewer.predict_proba(X),
        VIBClassifier(**FAST, class_weight={1: 2.0}).fit(X[:100], y[:100]).predict_proba(X),
    )
    with pytest.raises(ValueError, match="class_weight"):
        VIBClassifier(**FAST, class_weight={0: 1.0, 7: 1.0}).fit(X, y)


@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csr_array, sparse.csc_matrix])
def test_a_sparse_indicator_is_taken_by_fit_and_by_all_that_takes_a_target(container):
    X, Y = make_multilabel_classification(150, n_classes=3, random_state=0)
    model = VIBClassifier(**FAST).fit(X, container(Y))
    np.testing.assert_array_equal(model.predict_proba(X), VIBClassifier(**FAST).fit(X, Y).predict_proba(X))
    assert model.score(X, container(Y)) == model.score(X, Y)
    np.testing.assert_array_equal(model.log_likelihood_samples(X, container(Y)), model.log_likelihood_samples(X, Y))
    assert mutual_information(model, X, container(Y)) == mutual_information(model, X, Y)
    column = container(Y[:, :1])
    model = VIBClassifier(**FAST).fit(X, column)
    assert model.score(X, column) == model.score(X, Y[:, 0])


def test_partial_fit_knows_classes_that_it_has_not_seen(iris):
    X, y = iris
    model = VIBClassifier(**FAST)
    model.partial_fit(X[:100], y[:100], classes=[0, 1, 2])
    for _ in range(30):
        model.partial_fit(X, y)
    assert model.score(X, y) > 0.85


def test_a_collapsed_code_warns(iris):
    X, _ = iris
    with pytest.warns(ConvergenceWarning, match="collapsed.*Lower beta"):
        VIBClassifier(**FAST | {"max_iter": 200}, beta=0.95).fit(X[:, :1], np.arange(150) % 2)


def test_a_loss_above_the_entropy_of_y_warns(iris):
    X, y = iris
    with pytest.warns(ConvergenceWarning, match=r"above H\(Y\) = 1.1"):
        VIBClassifier(beta=0.5, max_iter=2, random_state=0).fit(X, y)
