"""Who watches a fit: the line of progress, and warnings of what went wrong."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from skvib import VIBClassifier, VIBRegressor
from skvib.monitor import fit_monitor, silent_codes_allowed, warn_of_training
from skvib.nn.prices import Linear


def said(reason="max_iter", *, stop_on=None, entropy=1.0, rate=0.5, distortion=0.2, betas=(0.1,), beta=0.1, n_rows=500):
    """The warning of a training that ended so, or None."""
    model = VIBClassifier(beta=beta)
    model.distortion_, model.rate_, model.latent_rates_ = distortion, rate, np.array([rate])
    training = SimpleNamespace(reason=reason, n_epochs=7, best_epoch=5, betas=betas)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_training(
            model,
            [training],
            SimpleNamespace(stop_on=stop_on, architecture=SimpleNamespace(price=Linear)),
            entropy,
            n_rows,
        )
    assert all(warning.category is ConvergenceWarning for warning in caught)
    return str(caught[0].message) if caught else None


def test_a_training_that_went_well_says_nothing():
    assert said() is None
    assert said("converged", stop_on="loss") is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reason": "diverged"}, "diverged in epoch 7; the weights of epoch 5 are kept. Lower learning_rate_init"),
        ({"reason": "interrupted"}, "interrupted by user in epoch 8; the weights of epoch 5 are kept"),
        ({"stop_on": "loss"}, "hasn't converged yet"),
        ({"rate": 0.0}, "The code collapsed"),
        ({"distortion": 1.5}, "above H"),
        ({"distortion": 0.995, "rate": 0.01}, "hardly better than without X: a distortion of 0.995 nats, of H(Y) = 1"),
    ],
)
def test_what_went_wrong_is_said_with_the_mend(options, message):
    assert message in said(**options)


def test_a_rare_event_that_is_foreseen_a_little_is_no_fault():
    assert said(distortion=0.018, entropy=0.02, rate=0.01) is None
    assert said(distortion=0.995, rate=0.01, n_rows=20_000) is None  # nor a little of many rows
    assert "hardly better" in said(distortion=0.0195, entropy=0.02, rate=0.01)


def test_a_silent_code_is_no_fault_where_it_is_right():
    assert said(rate=0.0, entropy=None) is None  # of a target whose entropy bounds nothing
    assert said(rate=0.0, betas=(0.1, 1.0)) is None  # inside a path
    assert said(rate=0.0, distortion=1.0, beta=1.0) is None  # where nothing is worth its price
    assert said(distortion=0.999, rate=0.01, beta=1.0) is None
    with silent_codes_allowed(), warnings.catch_warnings():
        warnings.filterwarnings("error", "no such message")
        warnings.warn("The code collapsed: of a search", ConvergenceWarning, stacklevel=1)
        warnings.warn("The predictions are hardly better: of a search", ConvergenceWarning, stacklevel=1)


def test_nobody_watches_a_fit_that_nobody_asked_about(iris):
    assert fit_monitor(VIBClassifier(), *iris, None) is None


def test_the_line_of_progress_is_in_the_units_of_y(capsys):
    X = np.random.default_rng(0).normal(size=(60, 2))
    model = VIBRegressor(verbose=True, max_iter=2, early_stopping=False, random_state=0).fit(X, 1e3 * X[:, 0])
    *_, line = capsys.readouterr().out.splitlines()
    assert line.startswith("Iteration 2/2, ")
    assert f"loss = {model.loss_:.4f}, distortion = {model.history_['distortion'][-1]:.4f}, " in line
    assert model.loss_ > 5.0  # of standardised y it would be some 1.4
