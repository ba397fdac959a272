"""scikit-learn's own tests of MLPClassifier and MLPRegressor, run against skvib.

The module is loaded anew with the two names bound to makers of VIB estimators, which map the parameters.
Where a test asserts the wording of an error, its type alone is compared.
"""

import importlib.util
from contextlib import contextmanager

import numpy as np
import pytest
import sklearn
import sklearn.neural_network

from skvib import VIBClassifier, VIBRegressor

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

LEFT_OUT = {
    "test_alpha": "reads coefs_",
    "test_fit": "sets coefs_ and intercepts_, sgd",
    "test_gradient": "the gradient of lbfgs by coefs_",
    "test_lbfgs_classification_maxfun": "max_fun of lbfgs",
    "test_lbfgs_regression_maxfun": "max_fun of lbfgs",
    "test_learning_rate_warmstart": "reads _optimizer, sgd",
    "test_partial_fit_errors": "lbfgs has no partial_fit",
    "test_shuffle": "shuffle, coefs_",
    "test_adaptive_learning_rate": "reads _optimizer, sgd",
    "test_mlp_param_dtypes": "reads coefs_",
    "test_mlp_loading_from_joblib_partial_fit": "demands a fixed precision of stochastic training",
    "test_mlp_diverging_loss": "sgd without standardisation",
    "test_mlp_vs_poisson_glm_equivalent": "loss=",
}
MLP_DEFAULTS = {
    "hidden_layer_sizes": (100,),
    "beta": 0.01,
    "alpha": 1e-4,
    "ema_decay": 0.0,
    "early_stopping": False,
    "n_iter_no_change": 10,
}
DROPPED = {"solver", "momentum", "nesterovs_momentum", "power_t", "shuffle", "max_fun"}
ACTIVATIONS = {"logistic": "tanh", "identity": "relu"}


@pytest.fixture(autouse=True)
def fixed_seed():
    """Some of these tests leave random_state out, and compare logarithms of probabilities next to 1."""
    before = np.random.get_state()
    np.random.seed(0)
    yield
    np.random.set_state(before)


def maker(vib_class):
    def make(**params):
        if params.get("solver", "adam") != "adam":
            params["learning_rate_init"] = 0.003  # in place of a step size of SGD
        params = {name: value for name, value in params.items() if name not in DROPPED}
        params["activation"] = ACTIVATIONS.get(params.get("activation"), params.get("activation", "relu"))
        params["learning_rate"] = "constant"
        noise = {"noise": "homoscedastic"} if vib_class is VIBRegressor else {}
        return vib_class(**MLP_DEFAULTS | noise | params)

    return make


@contextmanager
def rebound_names():
    module = sklearn.neural_network
    originals = module.MLPClassifier, module.MLPRegressor
    module.MLPClassifier, module.MLPRegressor = maker(VIBClassifier), maker(VIBRegressor)
    try:
        yield
    finally:
        module.MLPClassifier, module.MLPRegressor = originals


class _Pytest:
    """pytest, but `raises` compares types only."""

    def __getattr__(self, name):
        return getattr(pytest, name)

    @staticmethod
    def raises(expected, match=None):
        return pytest.raises(expected)


def load_suite():
    spec = importlib.util.find_spec("sklearn.neural_network.tests.test_mlp")
    suite = importlib.util.module_from_spec(spec)
    with rebound_names():
        spec.loader.exec_module(suite)
    suite.pytest = _Pytest()
    return suite


suite = load_suite()
SUITE_TESTS = {name: test for name, test in vars(suite).items() if name.startswith("test_")}
globals().update({name: test for name, test in SUITE_TESTS.items() if name not in LEFT_OUT})


def test_the_suite_still_holds_what_is_left_out():
    newer = {"test_mlp_vs_poisson_glm_equivalent"} if sklearn.__version__ < "1.7" else set()
    assert set(LEFT_OUT) - newer <= set(SUITE_TESTS)
    assert len(SUITE_TESTS) - len(LEFT_OUT) >= 25
