"""The training loop: `train(problems, settings)` fits independent networks of one architecture as a stack."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from skvib.nn.evaluation import distortion_and_rates, mean_log_likelihood
from skvib.nn.layers import N_GROUPS, ConditionedOnBeta
from skvib.nn.network import VIBNetwork, WeightMatrix, in_layout, quasi_normal
from skvib.nn.objective import Batch, loss_terms
from skvib.nn.optimizer import Optimizer
from skvib.nn.problem import Fit, Monitor, Pool, Problem, Settings, State, Training, available_device, pad, stack
from skvib.nn.progress import Checkpoint, Progress

SWEEP_EVERY = 100  # steps
VALIDATE_EVERY = 5  # epochs, of a network conditioned on beta: it is as many networks as it has betas
EVALUATION_DRAWS = 128  # of as many rows as a step takes, to evaluate a fit on its training rows
CLOSED_SHARE = 0.25  # once so many networks of a stack have closed, the others go on without them
# nats of log beta beyond both ends of a path, from which its network learns too: it is weakest at the ends
MARGIN = 0.7


def train(problems: Sequence[Problem], settings: Settings, width: int = 64) -> list[Training | Exception]:
    """Train every problem, in stacks of at most `width` of those that can share one.

    A monitor's exception ends its own network alone: in a stack of several it takes the place of the Training.
    """
    groups: dict[Any, list[int]] = {}
    for index, problem in enumerate(problems):
        groups.setdefault(problem.in_common(), []).append(index)
    results: dict[int, Training | Exception] = {}
    for members in (part for group in groups.values() for part in _parts(group, width)):
        trained = _Stack([problems[index] for index in members], settings)
        # inference mode saves a sixth of a small network's time, but forbids the autograd of a user's module
        without_gradients = torch.inference_mode if problems[members[0]].encoder is None else torch.no_grad
        with without_gradients():
            results.update(zip(members, trained.run(), strict=True))
    return [results[index] for index in range(len(problems))]


def _parts(group: list[int], width: int) -> list[list[int]]:
    """As few parts of at most `width` as there can be, of about one size."""
    n_parts = math.ceil(len(group) / width)
    return [group[part::n_parts] for part in range(n_parts)]


class _Stack:
    """M networks in training, and the progress of each.

    `network` is what trains; `plain` is what it is at one beta: itself, or what it folds into.
    """

    @torch.no_grad()
    def __init__(self, problems: list[Problem], settings: Settings) -> None:
        self.problems, self.settings = problems, settings
        first, device = problems[0], settings.device
        make_network = partial(
            VIBNetwork,
            settings.architecture,
            [problem.latent_dim for problem in problems],
            None if first.encoder is None else [problem.encoder for problem in problems],
            settings.product_dtype,
        )
        self.prices = ConditionedOnBeta(log_range(first.betas)) if len(first.betas) > 1 else None
        self.multiple = 1 if self.prices is None else N_GROUPS
        self.network = make_network(self.prices).to(device, first.rows.inputs.dtype)
        self.weights = WeightMatrix(self.network)
        self.plain, self.plain_weights = self.network, self.weights
        if self.prices is not None:
            self.plain = make_network().to(device, first.rows.inputs.dtype)
            self.plain_weights = WeightMatrix(self.plain)
        self.generators = [torch.Generator(device) for _ in problems]
        self.pool = Pool([problem.rows for problem in problems], device)
        self.validation = None
        if first.validation is not None:
            self.validation = Pool([problem.validation for problem in problems], device)
        self.n_steps = first.n_steps
        like = self.weights.values
        self.betas = like.new_tensor([problem.betas for problem in problems])
        self.points = self._points(settings.n_predict_draws)
        # the more rows, the fewer draws of each: it is their mean that counts
        n_draws = min(settings.n_predict_draws, max(4, EVALUATION_DRAWS // self.n_steps))
        self.evaluation_points = self._points(n_draws)
        counts = [len(problem.rows.weights) for problem in problems]
        splits = [torch.arange(count, device="cpu").tensor_split(self.n_steps) for count in counts]
        penalties = like.new_tensor([[problem.unpriced_penalty] for problem in problems])
        self.optimizer = Optimizer(self.network, self.weights, penalties, self.pool.members)
        self.n_rows = [like.new_tensor([[len(r)] for r in step]) for step in zip(*splits, strict=True)]
        self._start(like)

    def _points(self, n_draws: int) -> Tensor:
        """So many draws of each network's code, (M, n_draws, latent_dim)."""
        points = [quasi_normal(n_draws, p.latent_dim).to(self.weights.values) for p in self.problems]
        return stack(pad(points, dim=1))

    def _start(self, values: Tensor) -> None:
        dims = [problem.latent_dim for problem in self.problems]
        self.columns = [self._columns_of(dim) for dim in dims]
        self.plain_columns = [self.plain_weights.columns_of(dim).to(values.device) for dim in dims]
        for m, problem in enumerate(self.problems):
            if problem.start is None:
                self.generators[m].manual_seed(problem.seed_of(0))
                self.network.initialize(m, self.generators[m])
            else:
                layout = self.weights.layout_of(problem.latent_dim)
                for rows, stored in zip((values, *self.optimizer.moments), problem.start[:3], strict=True):
                    rows[m, self.columns[m]] = in_layout(stored, problem.start.layout, layout).to(rows)
                self.network.encoder.set_buffers(m, problem.start.buffers)
        start = self.problems[0].start
        self.n_epochs_before = start.n_epochs if start else 0
        self.n_total = self.settings.max_iter * self.n_steps
        self.n_warm = 0 if start else math.ceil(self.settings.beta_warmup * self.n_total)
        self.is_fresh = start is None
        self.optimizer.step.fill_(start.n_steps if start else 0)
        self.average = values.clone() if self.settings.ema_decay else None
        self.best_plain: list[Tensor | None] = [None] * self.betas.shape[1]
        self.lowest_losses = torch.full_like(self.betas, math.inf)
        self.progress = [Progress(p.betas, self._checkpoint(0, values, m)) for m, p in enumerate(self.problems)]

    def _columns_of(self, latent_dim: int) -> Tensor | slice:
        """Those of a network in the stack's matrix of weights; a slice is faster where it has all."""
        columns, values = self.weights.columns_of(latent_dim), self.weights.values
        return slice(None) if len(columns) == values.shape[1] else columns.to(values.device)

    def _checkpoint(self, epoch: int, values: Tensor, m: int, buffers: list[dict] | None = None) -> Checkpoint:
        """Network m with these weights (M, P), and these buffers, by default as they stand."""
        of_module = self.network.encoder.buffers_of(m) if buffers is None else buffers[m]
        return Checkpoint(epoch, self._own(values, m), of_module)

    def _own(self, matrix: Tensor, m: int) -> Tensor:
        """A copy of network m's columns of a matrix (M, P) laid out as that of the weights."""
        own = matrix[m, self.columns[m]]
        return own.clone() if isinstance(self.columns[m], slice) else own

    def run(self) -> list[Training | Exception]:
        training = self
        try:
            for epoch in range(self.settings.max_iter):
                if training._is_worth_shrinking():
                    training = training._of_the_open()
                training._train_epoch(epoch)
                if not training._open():
                    break
        except KeyboardInterrupt:
            training._close("interrupted")
        training._close("max_iter")
        if len(self.progress) == 1 and self.progress[0].failure is not None:
            raise self.progress[0].failure
        finished = zip(self.progress, self._results(), strict=True)
        return [result if progress.failure is None else progress.failure for progress, result in finished]

    def _is_worth_shrinking(self) -> bool:
        """Not of networks conditioned on beta, which are few, nor of a user's modules, whose buffers may have moved."""
        is_plain = self.prices is None and self.problems[0].encoder is None
        return is_plain and len(self._open()) <= (1 - CLOSED_SHARE) * len(self.problems)

    def _train_epoch(self, epoch: int) -> None:
        every = 1 if self.prices is None else VALIDATE_EVERY
        self.validates = self.validation is not None and (epoch % every == 0 or epoch == self.settings.max_iter - 1)
        self._begin()
        terms = []
        for index, (batch, beta) in enumerate(self._batches(epoch), epoch * self.n_steps):
            warmth = min(1.0, (index + 1) / self.n_warm) if self.n_warm else 1.0
            self.network.likelihood.set_progress(index / self.n_total if self.is_fresh else 1.0)
            distortion_and_rate = batch.weight * loss_terms(self.network, batch, warmth * beta)
            terms.append((distortion_and_rate, beta, batch.weight))
            rate = self.settings.learning_rate_init * self.settings.schedule(index / self.n_total)
            self._update(rate, index)
        self._record(terms)
        self._judge(is_warm=(epoch + 1) * self.n_steps > self.n_warm)

    def _of_the_open(self) -> _Stack:
        """A stack of the networks that still train, as they stand; it goes on with their Progress."""
        problems = [
            replace(
                self.problems[m],
                rows=self.pool.members[m],
                validation=self.validation and self.validation.members[m],
                start=self._state(m, self._checkpoint(self.progress[m].n_epochs, self.weights.values, m)),
            )
            for m in self._open()
        ]
        smaller = _Stack(problems, self.settings)
        smaller.n_epochs_before, smaller.n_warm, smaller.is_fresh = self.n_epochs_before, self.n_warm, self.is_fresh
        for n, m in enumerate(self._open()):
            smaller.progress[n] = self.progress[m]
            if self.average is not None:
                smaller.average[n, smaller.columns[n]] = self._own(self.average, m)
        return smaller

    def _state(self, m: int, checkpoint: Checkpoint) -> State:
        """From where network m could go on with these weights."""
        moments = (self._own(moment, m).cpu() for moment in self.optimizer.moments)
        layout, n_epochs = self.weights.layout_of(self.problems[m].latent_dim), self.progress[m].n_epochs
        n_epochs += self.n_epochs_before
        buffers = {name: buffer.cpu() for name, buffer in checkpoint.buffers.items()}
        return State(checkpoint.weights.cpu(), *moments, layout, buffers, int(self.optimizer.step), n_epochs)

    def _batches(self, epoch: int) -> Iterator[tuple[Batch, Tensor]]:
        """Each problem's rows in an order of its own, spread evenly over the steps, with noise of its own.

        With them comes the beta of each network (M, 1), or of each row (M, n).
        """
        orders = []
        for problem, generator in zip(self.problems, self.generators, strict=True):
            generator.manual_seed(problem.seed_of(1 + self.n_epochs_before + epoch))
            n, device = len(problem.rows.weights), generator.device
            order = torch.randperm(n, generator=generator, device=device)
            orders.append(order.tensor_split(self.n_steps))
        for *rows, n_rows in zip(*orders, self.n_rows, strict=True):
            x, y, weight = self.pool.take(rows, self.multiple)
            beta = self.betas
            if self.prices is not None:
                log_beta = self._log_betas()
                self.prices.condition(log_beta)
                beta = log_beta.exp().repeat(1, weight.shape[1] // N_GROUPS)
            yield Batch(x, y, self._noise(rows), weight, n_rows), beta

    def _noise(self, rows: Sequence[Tensor]) -> Tensor:
        """Of two draws for a row, one is the other's negative: errors of first order cancel."""
        like, n_draws = self.betas, self.settings.n_train_draws
        noise = []
        for r, problem, generator in zip(rows, self.problems, self.generators, strict=True):
            size = (math.ceil(n_draws / 2), len(r), problem.latent_dim)
            drawn = torch.randn(size, generator=generator, dtype=like.dtype, device=like.device)
            noise.append(drawn if n_draws == 1 else torch.cat((drawn, -drawn[: n_draws // 2])))
        return stack(pad(pad(noise, dim=1, multiple=self.multiple), dim=2))

    def _log_betas(self) -> Tensor:
        """A log beta for each group of rows, uniform over the range and stratified, (M, N_GROUPS)."""
        (low, high), like = self.prices.log_range, self.betas
        strata = torch.arange(N_GROUPS, dtype=like.dtype, device=like.device)
        drawn = [torch.rand(N_GROUPS, generator=g, dtype=like.dtype, device=like.device) for g in self.generators]
        return low + (high - low) / N_GROUPS * (strata + stack(drawn))

    def _update(self, learning_rate: float, step: int) -> None:
        self.optimizer.update(learning_rate)
        if self.average is not None:
            # a short training averages over its last tenth, not over its beginning
            decay = min(self.settings.ema_decay, (1 + step) / (10 + step))
            self.average.lerp_(self.weights.values, 1.0 - decay)
        if step % SWEEP_EVERY == 0:
            self.optimizer.sweep(*([] if self.average is None else [self.average]))

    def _current(self) -> Tensor:
        """The weights as they stand: the latest, or their moving average."""
        return self.weights.values if self.average is None else self.average

    def _record(self, terms: list[tuple[Tensor, Tensor, Tensor]]) -> None:
        """Append the epoch's means to each open network's history, from its weighted terms (2, M, n).

        Of a network conditioned on beta, each beta of its path gets the mean of the rows that drew one near it.
        """
        if not any(progress.n_epochs for progress in self.progress):
            (distortion, rate), beta, _ = terms[0]
            first_losses = (distortion + beta * rate).sum(-1) / self.n_rows[0].squeeze(1)
            for progress, loss in zip(self.progress, first_losses.tolist(), strict=True):
                progress.first_loss = loss
        values, weights = torch.cat([t for t, _, _ in terms], -1), torch.cat([w for *_, w in terms], -1)
        if self.prices is None:
            means = values.sum(-1, keepdim=True) / weights.sum(-1, keepdim=True)
        else:
            means = self._means_by_beta(values, weights, torch.cat([beta for _, beta, _ in terms], -1))
        scores = self._validation_scores(rates=means[1]) if self.validates else None
        means = means.tolist()
        for m in self._open():
            likelihoods = None if scores is None else [of_beta[m] for of_beta in scores]
            self.progress[m].record(means[0][m], means[1][m], likelihoods)

    def _means_by_beta(self, values: Tensor, weights: Tensor, beta: Tensor) -> Tensor:
        """Means (2, M, K) of the terms (2, M, n) over the rows whose beta is nearest to each of the path."""
        log_betas = self.betas[0].log()
        nearest = torch.bucketize(beta.log(), (log_betas[1:] + log_betas[:-1]) / 2)
        shape = (*weights.shape[:1], self.betas.shape[1])
        totals = weights.new_zeros(shape).scatter_add_(-1, nearest, weights)
        sums = values.new_zeros(2, *shape).scatter_add_(-1, nearest.expand(2, -1, -1), values)
        overall = values.sum(-1, keepdim=True) / weights.sum(-1, keepdim=True)
        return torch.where(totals > 0, sums / totals, overall)

    @contextmanager
    def _evaluating(self, values: Tensor) -> Iterator[None]:
        """With these weights instead of the latest."""
        latest = self.weights.values.clone()
        self.weights.values.copy_(values)
        try:
            yield
        finally:
            self.weights.values.copy_(latest)

    def _fold(self, k: int) -> VIBNetwork:
        """The plain networks of the k-th betas."""
        if self.prices is not None:
            self.network.fold_into(self.plain, self.betas[:, k].log())
        return self.plain

    def _plain_weights_of(self, m: int) -> Tensor:
        """Weights (P,) of plain network m alone, as last folded."""
        return self.plain_weights.values[m, self.plain_columns[m]].cpu()

    def _snapshot(self, m: int, k: int) -> Tensor:
        with self._evaluating(self._current()):
            self._fold(k)
            return self._plain_weights_of(m)

    def _validation_scores(self, rates: Tensor) -> list[list[float]]:
        """Mean log-likelihood of each network's validation rows, for each beta; `rates` (M, K) are the epoch's."""
        scores = []
        with self._evaluating(self._current()):
            for k in range(self.betas.shape[1]):
                likelihoods = mean_log_likelihood(self._fold(k), self.validation, self.points)
                if self.prices is not None and self.settings.stop_on == "validation":
                    self._keep_best(k, self.betas[:, k] * rates[:, k] - likelihoods)
                scores.append(likelihoods.tolist())
        return scores

    def _keep_best(self, k: int, losses: Tensor) -> None:
        """Keep the plain networks of the k-th betas, as last folded, whose validation loss is their lowest so far."""
        is_open = torch.tensor([progress.reason is None for progress in self.progress], device=losses.device)
        better = is_open & (losses < self.lowest_losses[:, k])
        before = self.plain_weights.values if self.best_plain[k] is None else self.best_plain[k]
        self.best_plain[k] = torch.where(better[:, None], self.plain_weights.values, before)
        self.lowest_losses[:, k] = torch.where(better, losses, self.lowest_losses[:, k])

    def _judge(self, is_warm: bool) -> None:
        """Keep the best weights; close the networks that diverged, converged or were told to stop."""
        by_validation, stop_on = self.settings.stop_on == "validation", self.settings.stop_on
        for m in self._open():
            progress = self.progress[m]
            score = -progress.loss
            if by_validation:
                score = progress.validation_score if self.validates else -math.inf
            stops = self._watch(m, partial(self._end_epoch, m))
            if progress.failure is not None:
                continue
            if progress.has_diverged or math.isnan(score):
                if by_validation:
                    progress.distrust_last()
                self._close("diverged", m)
                continue
            # a path goes on while one of its betas improves
            reached = score if self.best_plain[0] is None else -float(self.lowest_losses[m].mean())
            progress.count_stalls(reached, self.settings.tol, is_warm)
            if score > progress.best_score:
                # a training loss is that of the weights with which the epoch began
                epoch = progress.n_epochs if by_validation else progress.n_epochs - 1
                weights, buffers = (self._current(), None) if by_validation else self.begun
                progress.keep(score, self._checkpoint(epoch, weights, m, buffers))
            if stop_on and progress.n_no_change > self.settings.n_iter_no_change:
                self._close("converged", m)
            elif stops and all(stops):
                self._close("monitor", m)

    def _begin(self) -> None:
        if self.settings.stop_on != "validation":
            buffers = [self.network.encoder.buffers_of(m) for m in range(len(self.problems))]
            self.begun = self._current().clone(), buffers
        for m in self._open():
            self._watch(m, lambda k, monitor: monitor.begin_epoch())

    def _end_epoch(self, m: int, k: int, monitor: Monitor) -> bool:
        return monitor.end_epoch(self.progress[m].histories[k], partial(self._snapshot, m, k))

    def _watch(self, m: int, call: Callable[[int, Monitor], Any]) -> list[Any]:
        """What each monitor of a network answers; a network whose monitor fails is closed."""
        try:
            return [call(k, monitor) for k, monitor in enumerate(self.problems[m].monitors) if monitor is not None]
        except Exception as error:
            self.progress[m].failure = error
            self._close("monitor", m)
            return []

    def _open(self) -> list[int]:
        return [m for m, progress in enumerate(self.progress) if progress.reason is None]

    def _close(self, reason: str, network: int | None = None) -> None:
        """Settle the weights of one network, or of all that still train."""
        for m in self._open() if network is None else [network]:
            progress = self.progress[m]
            latest = self._checkpoint(progress.n_epochs, self._current(), m)
            ended = reason if bool(torch.isfinite(latest.weights).all()) else "diverged"
            is_validated = self.settings.stop_on == "validation" and progress.best.epoch > 0
            if not is_validated and ended != "diverged":
                progress.best = latest
            progress.state = self._state(m, progress.best)
            progress.reason = ended

    def _results(self) -> list[Training]:
        for m, progress in enumerate(self.progress):
            self.weights.values[m, self.columns[m]] = progress.best.weights
            self.network.encoder.set_buffers(m, progress.best.buffers)
        fits = [self._fits(k) for k in range(self.betas.shape[1])]
        return [
            Training(
                problem.betas,
                progress.state,
                tuple(fits_of_beta[m] for fits_of_beta in fits),
                progress.n_epochs,
                progress.best.epoch,
                progress.n_no_change,
                progress.reason,
            )
            for m, (problem, progress) in enumerate(zip(self.problems, self.progress, strict=True))
        ]

    def _fits(self, k: int) -> list[Fit]:
        """What the weights as set make of each network's rows at its k-th beta, or those kept for this beta."""
        for problem, generator in zip(self.problems, self.generators, strict=True):
            generator.manual_seed(problem.seed_of(0))
        network = self._fold(k)
        if self.best_plain[k] is not None:
            values = self.plain_weights.values
            trusted = torch.tensor([[p.reason != "diverged"] for p in self.progress], device=values.device)
            values.copy_(torch.where(trusted, self.best_plain[k], values))
        n_rows = self.problems[0].n_evaluated
        distortion, rates = distortion_and_rates(network, self.pool, self.evaluation_points, self.generators, n_rows)
        return [
            Fit(
                self._plain_weights_of(m),
                self.plain_weights.layout_of(dim),
                {name: buffer.cpu() for name, buffer in network.encoder.buffers_of(m).items()},
                self.progress[m].histories[k],
                float(distortion[m]),
                rates[m, :dim].cpu(),
            )
            for m, dim in enumerate(network.bottleneck.latent_dims)
        ]


@torch.inference_mode()
def fit_at(problem: Problem, settings: Settings, state: State, beta: float) -> Fit:
    """The plain network that a trained path, `state`, is at any beta of its range; it has no history."""
    settings = replace(settings, device=available_device(settings.device))
    trained = _Stack([replace(problem, start=state)], settings)
    trained.betas = trained.betas.new_tensor([[beta]])
    return trained._fits(0)[0]._replace(history={})


def log_range(betas: Sequence[float]) -> tuple[float, float]:
    """From where to where log beta is drawn, to learn a path over these betas."""
    return math.log(min(betas)) - MARGIN, math.log(max(betas)) + MARGIN
