"""How a training counts its steps, and what it keeps."""

import math
from types import SimpleNamespace

import pytest
import torch

from skvib.nn.prices import Linear
from skvib.nn.progress import Checkpoint, Clock, Progress

SETTINGS = SimpleNamespace(max_iter=10, learning_rate_init=2.0, schedule=lambda progress: 1.0 - progress)


def checkpoint(epoch):
    return Checkpoint(epoch, torch.zeros(1), {})


def progress(terms=("distortion", "rate"), price=None):
    watched = Progress((0.1,), terms, len(terms) - 1, price or Linear(), checkpoint(0))
    watched.first_loss = 1.0
    return watched


def test_the_rate_of_a_training_follows_the_schedule():
    clock = Clock.of(SimpleNamespace(n_steps=5, start=None), SETTINGS)
    assert [clock.learning_rate(step) for step in (0, 25)] == [2.0, 1.0]
    assert [clock.eased(step) for step in (0, 25)] == [0.0, 0.5]
    assert [epoch for epoch in range(10) if clock.is_due(epoch, 4)] == [0, 4, 8, 9]


def test_a_training_that_continues_another_eases_nothing_and_draws_what_comes_next():
    clock = Clock.of(SimpleNamespace(n_steps=5, start=SimpleNamespace(n_epochs=7)), SETTINGS)
    assert clock.eased(0) == 1.0
    assert clock.drawn(0) == 8


def test_a_loss_adds_up_what_all_heads_say_and_the_price_of_the_mean_rate():
    square = SimpleNamespace(loss=lambda beta, distortion, rate: distortion + beta * rate**2)
    watched = progress(("distortion", "reconstruction", "rate"), square)
    watched.record({"distortion": [1.0], "reconstruction": [20.0], "rate": [4.0]}, [-0.5])
    assert watched.loss == pytest.approx(1.0 + 20.0 + 1.6)
    assert watched.validation_score == pytest.approx(-0.5 - 1.6)


def test_a_loss_is_the_distortion_and_the_price_of_the_rate():
    watched = progress()
    watched.record({"distortion": [1.0], "rate": [4.0]}, [-0.5])
    watched.record({"distortion": [0.5], "rate": [6.0]}, None)
    assert watched.histories[0] == {
        "loss": [pytest.approx(1.4), pytest.approx(1.1)],
        "distortion": [1.0, 0.5],
        "rate": [4.0, 6.0],
        "validation_log_likelihood": [-0.5, -0.5],
    }
    assert watched.validation_score == pytest.approx(-1.1)


@pytest.mark.parametrize("loss", [math.nan, math.inf, 1e4])
def test_a_loss_that_is_no_number_or_a_thousand_times_the_first_has_diverged(loss):
    watched = progress()
    watched.record({"distortion": [1.0], "rate": [0.0]}, None)
    assert not watched.has_diverged
    watched.record({"distortion": [loss], "rate": [0.0]}, None)
    assert watched.has_diverged


def test_weights_that_may_have_diverged_are_not_trusted():
    watched = progress()
    for epoch in (1, 2):
        watched.record({"distortion": [1.0], "rate": [0.0]}, None)
        watched.keep(float(epoch), checkpoint(epoch))
    watched.record({"distortion": [math.nan], "rate": [0.0]}, None)
    watched.distrust_last()
    assert watched.best.epoch == 1
