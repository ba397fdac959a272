"""The training loop: `train(problems, settings)` fits independent networks of one architecture as a stack."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam

from skvib.nn.network import VIBNetwork, WeightMatrix, quasi_normal, repeat_rows
from skvib.nn.objective import Batch, loss_terms
from skvib.nn.problem import History, Pool, Problem, Settings, State, Training, pad, stack

DIVERGED_FACTOR = 1e3  # times the loss of the first batch


def train(problems: Sequence[Problem], settings: Settings) -> list[Training]:
    """Train every problem; those that take equally many steps an epoch share a stack."""
    stacks: dict[Any, list[int]] = {}
    for index, problem in enumerate(problems):
        stacks.setdefault(_stack_key(problem, settings), []).append(index)
    results: dict[int, Training] = {}
    for members in stacks.values():
        trained = _Stack([problems[index] for index in members], settings)
        # inference mode saves a sixth of a small network's time, but forbids the autograd of a user's module
        without_gradients = torch.inference_mode if problems[members[0]].encoder is None else torch.no_grad
        with without_gradients():
            results.update(zip(members, trained.run(), strict=True))
    return [results[index] for index in range(len(problems))]


def _n_steps(problem: Problem, settings: Settings) -> int:
    return math.ceil(len(problem.rows.weights) / settings.batch_size)


def _stack_key(problem: Problem, settings: Settings) -> tuple:
    return (
        _n_steps(problem, settings),
        isinstance(problem.rows.inputs, Tensor),
        problem.rows.inputs.dtype,
        problem.validation is None,
        problem.encoder is None,
        problem.start and (problem.start.n_steps, problem.start.n_epochs),
    )


class _Stack:
    """M networks in training; `reasons[m]` is None while network m trains."""

    @torch.no_grad()
    def __init__(self, problems: list[Problem], settings: Settings) -> None:
        self.problems, self.settings = problems, settings
        first, device = problems[0], settings.device
        self.network = VIBNetwork(
            settings.architecture,
            [problem.latent_dim for problem in problems],
            None if first.encoder is None else [problem.encoder for problem in problems],
            settings.product_dtype,
        ).to(device, first.rows.inputs.dtype)
        self.weights = WeightMatrix(self.network)
        self.generators = [torch.Generator(device) for _ in problems]
        self.pool = Pool([problem.rows.to(device) for problem in problems])
        self.validation = None
        if first.validation is not None:
            self.validation = Pool([problem.validation.to(device) for problem in problems])
        self.n_steps = _n_steps(first, settings)
        like = self.weights.values
        self.beta = like.new_tensor([[problem.beta] for problem in problems])
        points = [quasi_normal(settings.n_predict_draws, p.latent_dim).to(like) for p in problems]
        self.points = stack(pad(points, dim=1))
        counts = [len(problem.rows.weights) for problem in problems]
        splits = [torch.arange(count).tensor_split(self.n_steps) for count in counts]
        self.n_rows = [like.new_tensor([[len(r)] for r in step]) for step in zip(*splits, strict=True)]
        self.total_weight = like.new_tensor([float(m.weights.sum()) for m in self.pool.members])
        self._start(like)

    def _start(self, values: Tensor) -> None:
        self.moments = [torch.zeros_like(values), torch.zeros_like(values)]
        for m, problem in enumerate(self.problems):
            if problem.start is None:
                self.generators[m].manual_seed(_epoch_seed(problem.seed, 0))
                self.network.initialize(m, self.generators[m])
            else:
                for rows, stored in zip((values, *self.moments), problem.start[:3], strict=True):
                    rows[m] = stored
        start = self.problems[0].start
        self.n_epochs_before = start.n_epochs if start else 0
        self.step = values.new_tensor(start.n_steps if start else 0, dtype=torch.float32)
        self.average = torch.zeros_like(values) if self.settings.ema_decay else None
        self.n_averaged = 0
        self.best, self.best_scores = values.clone(), [-math.inf] * len(self.problems)
        self.best_epochs = [0] * len(self.problems)
        self.n_no_change = [0] * len(self.problems)
        self.first_losses: list[float] = []
        self.reasons: list[str | None] = [None] * len(self.problems)
        self.kept = values.clone()
        self.histories: list[History] = [{"loss": [], "distortion": [], "rate": []} for _ in self.problems]

    def run(self) -> list[Training]:
        settings, n_total = self.settings, self.settings.max_iter * self.n_steps
        n_warm = 0 if self.problems[0].start else math.ceil(settings.beta_warmup * n_total)
        try:
            for epoch in range(settings.max_iter):
                self._begin()
                losses = []
                for index, batch in enumerate(self._batches(epoch), epoch * self.n_steps):
                    beta = self.beta * min(1.0, (index + 1) / n_warm) if n_warm else self.beta
                    losses.append(batch.weight * loss_terms(self.network, batch, beta))
                    rate = settings.learning_rate_init * settings.schedule(index / n_total)
                    self._update(rate, batch.n_rows)
                self._record(losses)
                self._judge(is_warm=(epoch + 1) * self.n_steps > n_warm)
                if all(self.reasons):
                    break
        except KeyboardInterrupt:
            self._close("interrupted")
        self._close("max_iter")
        return self._results()

    def _batches(self, epoch: int) -> Iterator[Batch]:
        """Each problem's rows in an order of its own, spread evenly over the steps, with noise of its own."""
        orders = []
        for problem, generator in zip(self.problems, self.generators, strict=True):
            generator.manual_seed(_epoch_seed(problem.seed, 1 + self.n_epochs_before + epoch))
            n, device = len(problem.rows.weights), generator.device
            order = torch.randperm(n, generator=generator, device=device)
            orders.append(order.tensor_split(self.n_steps))
        for *rows, n_rows in zip(*orders, self.n_rows, strict=True):
            x, y, weight = self.pool.take(rows)
            yield Batch(x, y, self._noise(rows), weight, n_rows)

    def _noise(self, rows: Sequence[Tensor]) -> Tensor:
        like, n_draws = self.beta, self.settings.n_train_draws
        noise = [
            torch.randn(
                (n_draws, len(r), problem.latent_dim),
                generator=generator,
                dtype=like.dtype,
                device=like.device,
            )
            for r, problem, generator in zip(rows, self.problems, self.generators, strict=True)
        ]
        return stack(pad(pad(noise, dim=1), dim=2))

    def _update(self, learning_rate: float, n_rows: Tensor) -> None:
        """One Adam step (Kingma and Ba 2015), with the gradient of alpha / (2 n_rows) * ||W||^2."""
        values, grads, penalized = self.weights.values, self.weights.grads, self.weights.n_penalized
        if self.settings.alpha:
            grads[:, :penalized].addcmul_(values[:, :penalized], self.settings.alpha / n_rows)
        adam(
            [values],
            [grads],
            [self.moments[0]],
            [self.moments[1]],
            [],
            [self.step],
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=learning_rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )
        if self.average is not None:
            self.average.lerp_(values, 1.0 - self.settings.ema_decay)
            self.n_averaged += 1

    def _current(self) -> Tensor:
        """The weights as they stand: the latest, or their zero-debiased moving average."""
        if not self.n_averaged:
            return self.weights.values
        return self.average / (1.0 - self.settings.ema_decay**self.n_averaged)

    def _record(self, losses: list[Tensor]) -> None:
        """Append the epoch's means to each open network's history, from its weighted terms (2, M, n)."""
        means = (torch.cat(losses, -1).sum(-1) / self.total_weight).tolist()
        if not self.first_losses:
            first = (losses[0].sum(-1) / self.n_rows[0].squeeze(1)).tolist()
            self.first_losses = [self._loss(m, *terms) for m, terms in enumerate(zip(*first, strict=True))]
        scores = None if self.validation is None else self._validation_scores().tolist()
        for m in self._open():
            distortion, rate = means[0][m], means[1][m]
            values = {"loss": self._loss(m, distortion, rate), "distortion": distortion, "rate": rate}
            if scores is not None:
                values["validation_log_likelihood"] = scores[m]
            for name, value in values.items():
                self.histories[m].setdefault(name, []).append(value)

    def _loss(self, network: int, distortion: float, rate: float) -> float:
        return distortion + self.problems[network].beta * rate

    def _validation_scores(self) -> Tensor:
        latest = self.weights.values.clone()
        self.weights.values.copy_(self._current())
        total = weights = 0.0
        for x, y, weight in self.validation.chunks():
            log_likelihood = self.network.log_likelihood(x, y, self.points)
            total = total + (weight * log_likelihood).sum(1)
            weights = weights + weight.sum(1)
        self.weights.values.copy_(latest)
        return total / weights

    def _judge(self, is_warm: bool) -> None:
        """Keep the best weights; close the networks that diverged, converged or were told to stop."""
        by_validation, stop_on = self.settings.stop_on == "validation", self.settings.stop_on
        for m in self._open():
            history, monitor = self.histories[m], self.problems[m].monitor
            epoch, loss = len(history["loss"]), history["loss"][-1]
            score = history["validation_log_likelihood"][-1] if by_validation else -loss
            stops = monitor and monitor.end_epoch(history, lambda m=m: self._current()[m].cpu())
            limit = DIVERGED_FACTOR * max(1.0, abs(self.first_losses[m]))
            if not abs(loss) <= limit or math.isnan(score):
                self._close("diverged", m)
                continue
            stalls = score < self.best_scores[m] + self.settings.tol
            self.n_no_change[m] = self.n_no_change[m] + 1 if stalls and is_warm else 0
            if score > self.best_scores[m]:
                self.best_scores[m] = score
                # a training loss is that of the weights with which the epoch began
                self.best_epochs[m] = epoch if by_validation else epoch - 1
                self.best[m] = self._current()[m] if by_validation else self.begun[m]
            if stop_on and self.n_no_change[m] > self.settings.n_iter_no_change:
                self._close("converged", m)
            elif stops:
                self._close("monitor", m)

    def _begin(self) -> None:
        self.begun = self._current().clone()
        for m in self._open():
            if self.problems[m].monitor:
                self.problems[m].monitor.begin_epoch()

    def _open(self) -> list[int]:
        return [m for m, reason in enumerate(self.reasons) if reason is None]

    def _close(self, reason: str, network: int | None = None) -> None:
        """Settle the weights of one network, or of all that still train."""
        for m in self._open() if network is None else [network]:
            latest = self._current()[m]
            finite = bool(torch.isfinite(latest).all())
            self.reasons[m] = reason if finite else "diverged"
            validated = self.settings.stop_on == "validation" and self.best_epochs[m] > 0
            use_best = validated or self.reasons[m] == "diverged"
            self.kept[m] = self.best[m] if use_best else latest
            if not use_best:
                self.best_epochs[m] = len(self.histories[m]["loss"])

    def _results(self) -> list[Training]:
        self.weights.values.copy_(self.kept)
        distortion, latent_rates = self._evaluate()
        results = []
        for m, problem in enumerate(self.problems):
            n_epochs = len(self.histories[m]["loss"])
            state = State(
                *(rows[m].cpu().clone() for rows in (self.kept, *self.moments)),
                int(self.step),
                self.n_epochs_before + n_epochs,
            )
            results.append(
                Training(
                    state,
                    self.histories[m],
                    n_epochs,
                    self.best_epochs[m],
                    self.n_no_change[m],
                    self.reasons[m],
                    float(distortion[m]),
                    latent_rates[m, : problem.latent_dim].cpu(),
                )
            )
        return results

    def _evaluate(self) -> tuple[Tensor, Tensor]:
        """Weighted means over the rows: distortion (M,), over draws of z, and rates (M, latent_dim).

        The draws are the fixed points with signs drawn anew for each row, so that their errors cancel.
        """
        for problem, generator in zip(self.problems, self.generators, strict=True):
            generator.manual_seed(_epoch_seed(problem.seed, 0))
        distortion = rates = weights = 0.0
        n_points = self.points.shape[1]
        for x, y, weight in self.pool.chunks():
            posterior = self.network(x)
            rates = rates + (weight.unsqueeze(-1) * posterior.rates()).sum(1)
            z = posterior.sample(self.points.unsqueeze(2) * self._signs(weight.shape[1]).unsqueeze(1))
            eta = self.network.decode(z.flatten(1, 2))
            terms, _ = self.network.likelihood.record(eta, repeat_rows(y, n_points))
            distortion = distortion + (weight * terms.unflatten(1, (n_points, -1)).mean(1)).sum(1)
            weights = weights + weight.sum(1)
        return distortion / weights, rates / weights.unsqueeze(-1)

    def _signs(self, n_rows: int) -> Tensor:
        signs = [
            torch.empty(n_rows, problem.latent_dim, dtype=self.beta.dtype, device=self.beta.device)
            .bernoulli_(0.5, generator=generator)
            .mul_(2.0)
            .sub_(1.0)
            for problem, generator in zip(self.problems, self.generators, strict=True)
        ]
        return stack(pad(signs, dim=1))


def _epoch_seed(seed: int, epoch: int) -> int:
    """Epoch e of a seed always draws the same, however the training was cut into calls."""
    return (seed * 0x9E3779B1 + epoch * 0x85EBCA77) % 2**32
