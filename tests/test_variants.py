"""Variants of one fit's problem, trained together."""

import numpy as np
import pytest
from models import weights_of

from skvib import VIBClassifier
from skvib.model_selection.variants import OverBetas

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
MODEL = VIBClassifier(hidden_layer_sizes=(8,), latent_dim=2, max_iter=5, early_stopping=False, random_state=0)


@pytest.mark.parametrize("method", ["amortized", "exact"])
def test_the_fit_that_asks_gets_its_own_variant(method, iris):
    with OverBetas((1e-3, 3e-3, 1e-1), method) as variants:
        model = MODEL.fit(*iris)
    (trainings,) = variants.trainings
    assert len(trainings) == {"amortized": 1, "exact": 3}[method]
    own = [training.at(3e-3) for training in trainings if 3e-3 in training.betas]
    assert model.distortion_ == own[0].fits[0].distortions["y"]
    np.testing.assert_array_equal(model.latent_rates_, own[0].fits[0].latent_rates.double())


def test_what_is_no_variant_is_trained_as_it_is(iris):
    expected = weights_of(MODEL.fit(*iris))
    with OverBetas((0.5, 1.0)) as variants:
        np.testing.assert_array_equal(weights_of(MODEL.fit(*iris)), expected)
    assert not hasattr(variants, "trainings")
