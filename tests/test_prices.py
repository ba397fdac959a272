"""What a rate costs: the square of the mean rate finds codes of every rate where a linear price finds two."""

import numpy as np
import pytest
from models import SMALL
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from test_objective import assert_gradients_of_price_agree, make_network
from test_theory import GAUSSIAN, gaussian_limit, linear_gaussian

from skvib import BetaSearchCV, TrainingCurveDisplay, VIBClassifier, VIBRegressor, beta_path, fit_together
from skvib.nn.prices import Linear, Square

FAST = SMALL | {"max_iter": 10}
EIGHT = VIBClassifier(
    latent_prior="mixture",
    latent_dim=8,
    hidden_layer_sizes=(),
    decoder_hidden_layer_sizes=(32,),
    n_train_draws=64,
    n_predict_draws=512,
    standardize=False,
    learning_rate_init=1e-2,
    batch_size=8,
    max_iter=1500,
    alpha=0.0,
    early_stopping=False,
    random_state=0,
)


@pytest.mark.parametrize("price", [Linear, Square])
@pytest.mark.parametrize("prior", ["normal", "mixture"])
def test_the_gradients_agree_with_autograd(price, prior):
    network, _ = make_network(latent_dims=(3, 3), prior=prior)
    network.price = price()
    assert_gradients_of_price_agree(network)


def rates_of_eight_classes(rate_function, betas):
    """Of a code of eight classes without noise: any nat about x up to ln 8 is one about y."""
    model = clone(EIGHT).set_params(rate_function=rate_function)
    path = beta_path(model, np.eye(8), np.arange(8), betas=betas, method="exact", sample_weight=np.full(8, 250))
    return path.rate


def test_a_square_finds_every_rate_of_labels_without_noise():
    asked = np.linspace(0.2, 2.0, 9)[::-1]
    np.testing.assert_allclose(rates_of_eight_classes("square", 1 / (2 * asked)), asked, atol=0.05)


@pytest.mark.filterwarnings("ignore:The loss:sklearn.exceptions.ConvergenceWarning")
def test_a_linear_price_finds_all_or_nothing_of_them():
    rates = rates_of_eight_classes("linear", [0.3, 0.6, 0.9, 1.1])
    np.testing.assert_allclose(rates, [np.log(8)] * 3 + [0.0], atol=0.05)


def test_a_square_charges_twice_beta_times_the_rate_for_a_nat():
    """The optimum of the Gaussian problem: R is that of the closed form at the price 2 beta R."""
    X, y = linear_gaussian(1, 1)
    for beta in (0.05, 0.1, 0.3):
        model = VIBRegressor(**GAUSSIAN, rate_function="square", beta=beta).fit(X, y)
        low, high = 1e-3, 5.0
        for _ in range(60):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if gaussian_limit(X, y, 2 * beta * middle)[1] > middle else (low, middle)
        assert model.rate_ == pytest.approx(low, abs=0.05)


def test_what_was_paid_is_what_histories_and_curves_say():
    pytest.importorskip("matplotlib").use("Agg")
    X, y = load_iris(return_X_y=True)
    model = VIBClassifier(**FAST, rate_function="square", beta=0.3).fit(X, y)
    history = model.history_
    np.testing.assert_allclose(history["loss"], history["distortion"] + 0.3 * history["rate"] ** 2)
    display = TrainingCurveDisplay.from_estimator(model)
    np.testing.assert_allclose(display.rate_line_.get_ydata(), 0.3 * history["rate"] ** 2)


def test_above_a_beta_of_1_it_still_buys_what_is_cheap():
    """Digits are all but a function of their pixels, so the rate is near 1 / (2 beta)."""
    model = VIBClassifier(rate_function="square", beta=2.0, random_state=0).fit(*load_digits(return_X_y=True))
    assert model.rate_ == pytest.approx(0.25, abs=0.07)


def test_it_goes_with_exact_paths_stacks_and_pieces_and_not_with_others():
    X, y = load_iris(return_X_y=True)
    model = VIBClassifier(**FAST, rate_function="square")
    with fit_together():
        both = [clone(model).set_params(rate_function=name).fit(X, y) for name in ("linear", "square")]
    assert both[0].rate_ != both[1].rate_
    assert np.isfinite(BetaSearchCV(model, {"beta": [1e-3, 1e-1]}, method="exact", cv=2).fit(X, y).best_score_)
    assert np.isfinite(clone(model).partial_fit(X, y, classes=[0, 1, 2]).partial_fit(X, y).transform(X)).all()
    refusal = 'rate_function="square" needs method="exact"'
    with pytest.raises(ValueError, match=refusal):
        BetaSearchCV(model).fit(X, y)
    with pytest.raises(ValueError, match=refusal):
        BetaSearchCV(VIBClassifier(**FAST), {"beta": [0.1], "rate_function": ["linear", "square"]}).fit(X, y)
    with pytest.raises(ValueError, match=refusal):
        beta_path(model, X, y, betas=[1e-3, 1e-1])
    with pytest.raises(ValueError, match='latent_prior="class" has a price of its own'):
        clone(model).set_params(latent_prior="class").fit(X, y)
    with pytest.raises(ValueError, match="rate_function"):
        clone(model).set_params(rate_function="cube").fit(X, y)
    with pytest.raises(ValueError, match="rate_function changed from 'square' to 'linear'"):
        clone(model).set_params(warm_start=True).fit(X, y).set_params(rate_function="linear").fit(X, y)
