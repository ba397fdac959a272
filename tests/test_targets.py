"""What y is: encoded, weighed, scaled and back."""

import numpy as np
import pytest
import torch

from skvib.targets import Indicators, Labels, Numbers, Target, learned_classes

TARGETS = {
    "labels": (learned_classes(np.array(["b", "a", "c", "a"]), None), np.array(["b", "a", "c", "a"])),
    "indicators": (learned_classes(np.array([[0, 1], [1, 1], [0, 0], [1, 0]]), None), np.eye(4)[:, :2]),
    "numbers": (Numbers("heteroscedastic", (2,)), np.arange(8.0).reshape(4, 2)),
}


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_keeps_the_contract(name):
    target, y = TARGETS[name]
    assert isinstance(target, Target)
    targets = target.encode(y)
    weights = np.array([1.0, 2.0, 1.0, 4.0])
    assert target.factors(None, targets, weights).tolist() == [1.0] * 4
    assert 0.0 <= target.diversity(targets) <= 1.0
    scaled = target.standardized_by(targets, weights)
    assert len(scaled.tensor(targets)) == 4
    assert np.isfinite(scaled.units)
    assert scaled.entropy(targets, weights) > 0
    later, changed = scaled.following(targets, weights, 8.0)
    torch.testing.assert_close(later.tensor(targets), scaled.tensor(targets))
    assert changed is None or np.allclose(changed[0], 1.0)
    assert "n_outputs_" in target.attributes()


def test_labels_are_their_places_among_the_sorted_ones():
    target, y = TARGETS["labels"]
    assert isinstance(target, Labels)
    assert target.encode(y).tolist() == [1, 0, 2, 0]
    with pytest.raises(ValueError, match="not among the known classes"):
        target.encode(np.array(["d"]))


def test_numbers_and_back_are_the_same():
    y = np.random.default_rng(0).normal([3.0, -50.0], [2.0, 1e-3], size=(30, 2))
    target = Numbers("homoscedastic", (2,))
    target = target.standardized_by(target.encode(y), np.ones(30))
    scaled = target.tensor(y, np.float64)
    torch.testing.assert_close(scaled.mean(0), torch.zeros(2, dtype=torch.float64), atol=1e-9, rtol=0.0)
    np.testing.assert_allclose(target.unscaled(scaled, target.mean), y)
    assert target.units == pytest.approx(np.log(y.std(axis=0)).sum())


def test_a_constant_target_is_predicted_as_what_it_was():
    target = Numbers("homoscedastic", ())
    target = target.standardized_by(np.full((5, 1), 7.0), np.ones(5))
    assert target.unscaled(torch.randn(3, 1), target.mean).tolist() == [7.0] * 3
    assert target.entropy(np.full((5, 1), 7.0), np.ones(5)) is None


def test_balanced_factors_give_each_label_the_same_weight():
    target, targets = Labels(np.array([0, 1, 2])), np.array([0, 0, 0, 1])
    weights = np.array([1.0, 2.0, 1.0, 1.0])
    balanced = target.factors("balanced", targets, weights) * weights
    assert balanced[:3].sum() == pytest.approx(balanced[3])
    assert balanced.sum() == pytest.approx(weights.sum())
    with pytest.raises(ValueError, match="not defined for multilabel"):
        Indicators(np.arange(2)).factors("balanced", np.eye(2), np.ones(2))


def test_a_diversity_of_one_is_labels_equally_frequent():
    target = Labels(np.array([0, 1, 2]))
    assert target.diversity(np.array([0, 1, 2])) == pytest.approx(1.0)
    assert target.diversity(np.array([0] * 99 + [1])) < 0.05
    assert Indicators(np.arange(2)).diversity(np.array([[0.0, 0.0], [1.0, 1.0]])) == pytest.approx(1.0)
