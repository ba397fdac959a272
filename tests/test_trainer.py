"""The training loop on stacks, below scikit-learn."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from skvib.nn.batches import Pool
from skvib.nn.network import Architecture
from skvib.nn.objective import loss_terms
from skvib.nn.problem import SCHEDULES, Problem, Settings, available_device, resolve_device
from skvib.nn.progress import Progress
from skvib.nn.rows import Rows
from skvib.nn.stopping import ByLoss
from skvib.nn.trainer import CLOSED_SHARE, train


def make_settings(**changes):
    defaults = {
        "architecture": Architecture(6, (8,), (), "relu", "categorical", 3),
        "max_iter": 8,
        "learning_rate_init": 1e-2,
        "schedule": SCHEDULES["cosine"],
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
    x, y, weights = map(torch.from_numpy, (x, y, weights))
    return Rows(x, weights, {"y": y}, {})


def in_float32(rows):
    return rows._replace(inputs=rows.inputs.float(), weights=rows.weights.float())


def make_problem(seed, n_rows=100, **changes):
    defaults = {"betas": (1e-2,), "latent_dim": 4, "seed": seed, "n_steps": math.ceil(n_rows / 32), "penalty": 3e-5}
    return Problem(make_rows(n_rows, seed), **defaults | changes)


def assert_same_training(one, other, atol):
    assert (one.n_epochs, one.best_epoch, one.reason) == (other.n_epochs, other.best_epoch, other.reason)
    assert one.state[3:] == other.state[3:]
    for mine, its in zip(one.state[:3], other.state[:3], strict=True):
        torch.testing.assert_close(mine, its, atol=atol, rtol=0)
    for mine, its in zip(one.fits, other.fits, strict=True):
        torch.testing.assert_close(mine.weights, its.weights, atol=atol, rtol=0)
        torch.testing.assert_close(mine.latent_rates, its.latent_rates, atol=atol, rtol=0)
        assert mine.distortions == pytest.approx(its.distortions, abs=atol)
        assert mine.history.keys() == its.history.keys()
        for name in mine.history:
            np.testing.assert_allclose(mine.history[name], its.history[name], atol=atol)


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
        make_problem(seed, n_rows, latent_dim=latent_dim, betas=(beta,), validation=make_rows(20 + seed, 50 + seed))
        for seed, n_rows, latent_dim, beta in ((0, 100, 4, 1e-2), (1, 99, 2, 0.3), (2, 97, 6, 0.0))
    ]
    problems.append(replace(problems[0], betas=(0.1,), seed=3))
    problems.append(replace(problems[1], latent_dim=1, seed=4, start=None))
    together = train(problems, settings)
    assert stop_on is None or len({training.n_epochs for training in together}) > 1
    for problem, in_stack in zip(problems, together, strict=True):
        (alone,) = train([problem], settings)
        assert_same_training(alone, in_stack, 1e-9)


def test_networks_that_stopped_leave_the_stack(monkeypatch):
    sizes = []

    def counting(network, *rest):
        sizes.append(network.n_networks)
        return loss_terms(network, *rest)

    monkeypatch.setattr("skvib.nn.trainer.loss_terms", counting)
    settings = make_settings(max_iter=25, stop_on="loss", tol=3e-2, ema_decay=0.9)
    problems = [make_problem(seed, latent_dim=1 + seed, betas=(10.0**-seed,)) for seed in range(6)]
    trainings = train(problems, settings)
    stopped = sorted(training.n_epochs for training in trainings)
    assert stopped[0] < stopped[-1]
    assert sizes[0] == 6
    assert sizes[-1] == sum(n == stopped[-1] for n in stopped)
    assert sum(sizes) * (1 - CLOSED_SHARE) < problems[0].n_steps * sum(stopped) <= sum(sizes)
    for problem, in_stack in zip(problems, trainings, strict=True):
        assert_same_training(*train([problem], settings), in_stack, 1e-9)


def test_position_and_width_of_the_stack_change_nothing():
    problems = [make_problem(seed, latent_dim=1 + seed) for seed in range(5)]
    forwards, backwards = train(problems, make_settings()), train(problems[::-1], make_settings())
    narrow = train(problems, make_settings(), width=2)
    for one, other, third in zip(forwards, backwards[::-1], narrow, strict=True):
        assert_same_training(one, other, 1e-9)
        assert_same_training(one, third, 1e-9)


def test_rows_that_fill_a_batch_do_not_ease_the_gradients_of_others():
    settings = make_settings(architecture=Architecture(6, (8,), (), "relu", "heteroscedastic", 1), max_iter=20)
    problems = []
    for seed, n_rows in enumerate((40, 100, 61)):
        rows = make_rows(n_rows, seed)
        rows.inputs[0] = 3.0  # the noisiest row is the one that fills batches
        noise = rows.inputs[:, 1].exp() * rows.inputs[:, 2]
        rows = rows._replace(targets={"y": (rows.inputs[:, 0] + noise).unsqueeze(1)})
        problems.append(replace(make_problem(seed), rows=rows))
    for problem, in_stack in zip(problems, train(problems, settings), strict=True):
        assert_same_training(*train([problem], settings), in_stack, 1e-9)


def test_in_float32_two_hundred_steps_agree():
    problems = []
    for seed in range(7):
        rows = in_float32(make_rows(100, seed))
        problems.append(replace(make_problem(seed, latent_dim=2 + seed), rows=rows))
    settings = make_settings(max_iter=50, learning_rate_init=3e-3)
    for problem, in_stack in zip(problems, train(problems, settings), strict=True):
        (alone,) = train([problem], settings)
        torch.testing.assert_close(alone.state.weights, in_stack.state.weights, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("stop_on", [None, "validation"])
def test_a_network_for_many_betas_trains_the_same_alone_or_in_a_stack(stop_on):
    settings = make_settings(max_iter=12, stop_on=stop_on, ema_decay=0.9)
    problems = [
        make_problem(seed, n_rows, latent_dim=dim, betas=(1e-3, 1e-1, 1.0), validation=make_rows(30, 50 + seed))
        for seed, n_rows, dim in ((0, 100, 4), (1, 97, 2))
    ]
    for problem, in_stack in zip(problems, train(problems, settings), strict=True):
        (alone,) = train([problem], settings)
        assert_same_training(alone, in_stack, 1e-9)


def test_equal_rows_are_stored_once():
    rows = make_rows(50, 0)
    first, second, third = Pool([rows, rows, rows._replace(weights=rows.weights.clone())], "cpu").members
    assert first.inputs is second.inputs is third.inputs
    assert first.weights is second.weights is not third.weights


def test_problems_of_different_step_counts_train_in_stacks_of_their_own():
    results = train([make_problem(0, 100), make_problem(1, 20), make_problem(2, 100)], make_settings())
    (alone,) = train([make_problem(1, 20)], make_settings())
    assert results[1].fits[0].history["loss"] == alone.fits[0].history["loss"]
    assert [len(r.fits[0].history["loss"]) for r in results] == [8, 8, 8]


def test_training_cut_into_calls_is_one_training():
    settings = make_settings(schedule=SCHEDULES["constant"])
    (whole,) = train([make_problem(0)], settings)
    (first,) = train([make_problem(0)], replace(settings, max_iter=3))
    (second,) = train([make_problem(0, start=first.state)], replace(settings, max_iter=5))
    torch.testing.assert_close(second.state.weights, whole.state.weights, rtol=0, atol=0)
    assert first.fits[0].history["loss"] + second.fits[0].history["loss"] == whole.fits[0].history["loss"]


def test_bfloat16_products_train_close_to_float32():
    rows = in_float32(make_rows(100, 0))
    problem = replace(make_problem(0), rows=rows)
    (full,) = train([problem], make_settings(max_iter=20))
    (reduced,) = train([problem], make_settings(max_iter=20, product_dtype=torch.bfloat16))
    assert reduced.fits[0].history["loss"] != full.fits[0].history["loss"]
    np.testing.assert_allclose(reduced.fits[0].history["loss"], full.fits[0].history["loss"], rtol=0.05)


def test_epoch_means_are_weighted_means_over_the_rows():
    settings = make_settings(max_iter=1, learning_rate_init=1e-12)
    (training,) = train([make_problem(0)], settings)
    assert training.fits[0].history["distortion"][0] == pytest.approx(np.log(3), abs=1e-6)
    assert training.fits[0].distortions["y"] == pytest.approx(np.log(3), abs=1e-6)


def test_devices_are_resolved_or_refused():
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") in ("cpu", "cuda")
    with pytest.raises(ValueError, match="no torch device"):
        resolve_device("gpu")
    with pytest.raises(ValueError, match="not available"):
        resolve_device("cuda:99")
    assert available_device("cuda:99") == "cpu"


def test_a_monitor_that_fails_at_once_leaves_the_others_limits_of_divergence_alone():
    class Failing:
        def begin_epoch(self):
            raise RuntimeError("at once")

    settings = make_settings(max_iter=40, learning_rate_init=1.0, schedule=lambda progress: 1.0 + 30 * progress)
    problems = [make_problem(seed, betas=(10.0,)) for seed in range(5)]
    failed, *others = train([replace(problems[0], monitors=(Failing(),)), *problems[1:]], settings)
    assert str(failed) == "at once"
    assert {training.reason for training in others} == {"diverged"}
    for problem, in_stack in zip(problems[1:], others, strict=True):
        (alone,) = train([problem], settings)
        assert (alone.n_epochs, alone.reason) == (in_stack.n_epochs, in_stack.reason)


def test_an_interrupt_while_a_network_is_settled_loses_nothing(monkeypatch):
    whole, calls = ByLoss.settled, []

    def interrupted(stopping, progress, latest):
        calls.append(progress)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return whole(stopping, progress, latest)

    monkeypatch.setattr(ByLoss, "settled", interrupted)
    (training,) = train([make_problem(0)], make_settings(max_iter=25, stop_on="loss", tol=3e-2))
    assert training.reason == "interrupted"
    assert 0 < training.n_epochs < 25
    assert torch.isfinite(training.state.weights).all()


def test_units_that_the_penalty_shuts_leave_no_denormal_numbers():
    rows = in_float32(make_rows(64, 0))
    settings = make_settings(
        architecture=Architecture(6, (32, 32), (), "relu", "categorical", 3), max_iter=4050, ema_decay=0.9
    )
    (training,) = train([replace(make_problem(0), rows=rows, n_steps=1, penalty=3e-2)], settings)
    weights, *moments = training.state[:3]
    assert (weights == 0.0).float().mean() > 0.2
    smallest = torch.finfo(torch.float32).tiny
    for numbers in (weights, *moments):
        assert not ((numbers != 0.0) & (numbers.abs() < smallest)).any()


@pytest.mark.parametrize("betas", [(0.5,), (1e-3, 0.5)])
def test_the_first_loss_is_that_of_the_first_batch_for_each_of_its_rows(betas, monkeypatch):
    seen = []

    def recording(network, batch, beta):
        terms = loss_terms(network, batch, beta)
        seen.append((batch.rows.weights * (terms[0] + beta * terms[1])).sum() / batch.n_rows)
        return terms

    kept = []
    monkeypatch.setattr("skvib.nn.trainer.loss_terms", recording)
    monkeypatch.setattr(Progress, "has_diverged", property(lambda self: kept.append(self.first_loss)))
    problem = make_problem(0, betas=betas)
    heavy = torch.where(torch.arange(100) % 7 == 0, 12.0, 0.1).double()
    train([replace(problem, rows=problem.rows._replace(weights=heavy))], make_settings(max_iter=1))
    assert kept[0] == pytest.approx(float(seen[0]), rel=1e-9)
