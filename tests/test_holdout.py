"""What is held out is decided x by x, and no copy of a row judges the training that saw it."""

import warnings

import numpy as np
import pytest
from models import SMALL, asked, inputs_of
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.metrics import log_loss

from skvib import VIBClassifier, VIBRegressor
from skvib.holdout import held_out_weights
from skvib.rows import collapse

pytestmark = pytest.mark.filterwarnings("ignore:The predictions are hardly better")  # of so few epochs

FAST = SMALL | {"max_iter": 10}


def collapsed(X, y, weights=None):
    weights = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=float)
    rows, weights, twins = collapse(np.asarray(X, dtype=float), np.asarray(y), weights)
    return np.asarray(y)[rows], weights, twins


def held(X, y, fraction=0.1, seed=0, weights=None):
    y, weights, twins = collapsed(X, y, weights)
    return y, weights, twins, held_out_weights(weights, twins, y, fraction, seed)


def test_an_x_of_many_disagreeing_copies_gives_a_share_of_every_label():
    X = np.repeat([[0.0], [1.0]], 100, axis=0)
    y = np.tile([0] * 9 + [1], 20)
    _, weights, _, given = held(X, y)
    np.testing.assert_allclose(given, 0.1 * weights)


def test_few_copies_and_copies_that_agree_are_held_out_whole_or_not_at_all():
    X = np.repeat(np.arange(60.0)[:, None], 100, axis=0)
    agreeing = np.repeat(np.arange(60) % 3, 100)
    _, weights, _, given = held(X, agreeing)
    assert set(np.unique(given / weights)) == {0.0, 1.0}
    assert (given > 0).sum() == 6
    few = np.repeat(np.arange(200.0)[:, None], 4, axis=0)
    _, weights, twins, given = held(few, np.tile([0, 0, 0, 1], 200))
    assert set(np.unique(given / weights)) == {0.0, 1.0}
    for x in np.unique(twins):
        assert len(np.unique((given / weights)[twins == x])) == 1


def test_the_draw_is_stratified_by_the_label_of_most_weight():
    y = np.arange(300) % 3
    labels, _, _, given = held(np.arange(300.0)[:, None], y)
    np.testing.assert_array_equal(np.bincount(labels[given > 0]), [10, 10, 10])


def test_no_class_loses_its_last_training_row():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 2))
    y = rng.integers(2, size=150)
    y[7] = 2
    rare = np.r_[X, X[:3]], np.r_[y, [3, 3, 3]]  # class 3 only beside others, each time with little weight
    for seed in range(30):
        labels, weights, _, given = held(*rare, fraction=0.5, seed=seed, weights=np.r_[np.ones(150), 0.1 * np.ones(3)])
        assert set(labels[given < weights]) == {0, 1, 2, 3}


def test_class_weights_say_what_an_error_costs_and_not_what_is_held_out():
    X, y = make_classification(400, 5, weights=[0.8], flip_y=0.2, random_state=0)
    X = np.round(X)
    estimator = VIBClassifier(**FAST)
    with asked() as problems:
        clone(estimator).fit(X, y)
        clone(estimator).set_params(class_weight={0: 1.0, 1: 5.0}).fit(X, y)
    assert len(inputs_of(problems[0])) == len(inputs_of(problems[1]))


@pytest.mark.parametrize("estimator", [VIBClassifier(**FAST), VIBRegressor(**FAST)], ids=lambda e: type(e).__name__)
def test_copies_weights_and_order_hold_out_the_same_bits(estimator):
    rng = np.random.default_rng(0)
    X, y = rng.integers(3, size=(300, 4)).astype(float), rng.integers(2, size=300)
    counts = rng.integers(1, 6, size=300)
    order = rng.permutation(counts.sum())
    weighted = clone(estimator).fit(X, y, sample_weight=counts)
    copied = clone(estimator).fit(np.repeat(X, counts, axis=0)[order], np.repeat(y, counts)[order])
    np.testing.assert_array_equal(weighted.transform(X), copied.transform(X))
    assert weighted.validation_scores_ == copied.validation_scores_ is not None


def test_a_table_of_levels_with_noisy_labels_is_learned_as_without_holding_out():
    losses, flipped = [], 0
    levels = np.repeat(np.arange(60), 100)
    X = np.eye(60)[levels]
    for seed in range(2):
        rng = np.random.default_rng(seed)
        usual = rng.integers(2, size=60)
        y = np.where(rng.random(6000) < 0.9, usual[levels], 1 - usual[levels])
        test = np.where(rng.random(6000) < 0.9, usual[levels], 1 - usual[levels])
        models = [
            VIBClassifier(max_iter=40, early_stopping=stopping, random_state=seed).fit(X, y)
            for stopping in ("auto", False)
        ]
        losses.append([log_loss(test, model.predict_proba(X)) for model in models])
        flipped += np.sum(models[0].predict(np.eye(60)) != usual)
    auto, without = np.mean(losses, axis=0)
    assert auto < without + 0.02
    assert flipped == 0


def test_where_nothing_can_be_held_out_auto_trains_on_all_and_true_raises():
    X, y = np.random.default_rng(0).normal(size=(100, 3)), np.arange(100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the loss, and of so many classes
        with asked() as problems:
            model = VIBClassifier(**FAST).fit(X, y)
        with pytest.raises(ValueError, match="validation set is too small"):
            VIBClassifier(**FAST, early_stopping=True).fit(X, y)
    assert model.validation_scores_ is None
    assert len(inputs_of(problems[0])) == 100


def test_where_every_drawn_x_holds_the_last_of_a_label_nothing_is_held_out():
    X = np.repeat(np.random.default_rng(0).normal(size=(150, 3)), 2, axis=0)
    y = np.zeros(300, dtype=int)
    y[1::2] = np.arange(1, 151)
    weights = np.tile([2.0, 1.0], 150)
    assert held(X, y, weights=weights)[-1] is None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of so many classes
        assert VIBClassifier(**FAST | {"max_iter": 2}).fit(X, y, weights).validation_scores_ is None
        with pytest.raises(ValueError, match="validation set is too small"):
            VIBClassifier(**FAST, early_stopping=True).fit(X, y, weights)
