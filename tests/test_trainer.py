"""The training loop on stacks, below scikit-learn."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from skvib.nn.network import Architecture
from skvib.nn.problem import SCHEDULES, Problem, Rows, Settings, available_device, resolve_device
from skvib.nn.trainer import train


def make_settings(**changes):
    defaults = {
        "architecture": Architecture(6, (8,), (), "relu", "categorical", 3),
        "max_iter": 8,
        "batch_size": 32,
        "learning_rate_init": 1e-2,
        "schedule": SCHEDULES["cosine"],
        "alpha": 1e-3,
        "beta_warmup": 0.2,
        "ema_decay": 0.0,
        "n_train_draws": 1,
        "n_predict_draws": 8,
        "stop_on": None,
        "tol": 1e-4,
        "n_iter_no_change": 2,
        "device": "cpu",
    }
    return Settings(**defaults | changes)


def make_rows(n_rows, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_rows, 6))
    y = (x[:, 0] > 0).astype(int) + (x[:, 1] > 0)
    weights = rng.uniform(0.5, 1.5, n_rows)
    return Rows(*map(torch.from_numpy, (x, y, weights)))


def make_problem(seed, n_rows=100, **changes):
    defaults = {"beta": 1e-2, "latent_dim": 4, "seed": seed}
    return Problem(make_rows(n_rows, seed), **defaults | changes)


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
@pytest.mark.parametrize("stop_on", [None, "loss", "validation"])
@pytest.mark.parametrize(("n_train_draws", "decoder"), [(1, ()), (2, (5,))])
def test_a_network_trains_the_same_alone_or_in_a_stack(stop_on, ema_decay, n_train_draws, decoder):
    settings = make_settings(
        max_iter=25,
        stop_on=stop_on,
        ema_decay=ema_decay,
        n_train_draws=n_train_draws,
        tol=3e-2,
        architecture=Architecture(6, (8,), decoder, "relu", "categorical", 3),
    )
    problems = [
        make_problem(seed, n_rows, latent_dim=latent_dim, beta=beta, validation=make_rows(20 + seed, 50 + seed))
        for seed, n_rows, latent_dim, beta in ((0, 100, 4, 1e-2), (1, 99, 2, 0.3), (2, 97, 6, 0.0))
    ]
    together = train(problems, settings)
    for problem, in_stack in zip(problems, together, strict=True):
        (alone,) = train([problem], settings)
        assert alone.n_epochs == in_stack.n_epochs
        assert alone.best_epoch == in_stack.best_epoch
        np.testing.assert_allclose(alone.history["loss"], in_stack.history["loss"], atol=1e-9)
        np.testing.assert_allclose(alone.distortion, in_stack.distortion, atol=1e-9)
        torch.testing.assert_close(alone.latent_rates, in_stack.latent_rates, atol=1e-9, rtol=0)


def test_problems_of_different_step_counts_train_in_stacks_of_their_own():
    results = train([make_problem(0, 100), make_problem(1, 20), make_problem(2, 100)], make_settings())
    (alone,) = train([make_problem(1, 20)], make_settings())
    assert results[1].history["loss"] == alone.history["loss"]
    assert [len(r.history["loss"]) for r in results] == [8, 8, 8]


def test_training_cut_into_calls_is_one_training():
    settings = make_settings(schedule=SCHEDULES["constant"], beta_warmup=0.0)
    (whole,) = train([make_problem(0)], settings)
    (first,) = train([make_problem(0)], replace(settings, max_iter=3))
    (second,) = train([make_problem(0, start=first.state)], replace(settings, max_iter=5))
    torch.testing.assert_close(second.state.weights, whole.state.weights, rtol=0, atol=0)
    assert first.history["loss"] + second.history["loss"] == whole.history["loss"]


def test_bfloat16_products_train_close_to_float32():
    rows = make_rows(100, 0)
    rows = Rows(rows.inputs.float(), rows.targets, rows.weights.float())
    problem = replace(make_problem(0), rows=rows)
    (full,) = train([problem], make_settings(max_iter=20))
    (reduced,) = train([problem], make_settings(max_iter=20, product_dtype=torch.bfloat16))
    assert reduced.history["loss"] != full.history["loss"]
    np.testing.assert_allclose(reduced.history["loss"], full.history["loss"], rtol=0.05)


def test_epoch_means_are_weighted_means_over_the_rows():
    settings = make_settings(max_iter=1, learning_rate_init=1e-12)
    (training,) = train([make_problem(0)], settings)
    assert training.history["distortion"][0] == pytest.approx(np.log(3), abs=1e-6)
    assert training.distortion == pytest.approx(np.log(3), abs=1e-6)


def test_devices_are_resolved_or_refused():
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") in ("cpu", "cuda")
    with pytest.raises(ValueError, match="no torch device"):
        resolve_device("gpu")
    with pytest.raises(ValueError, match="not available"):
        resolve_device("cuda:99")
    assert available_device("cuda:99") == "cpu"
