"""The training loop: `train(problems, settings)` fits independent networks of one architecture as a stack."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from skvib.nn.layers import Inputs, SparseRows
from skvib.nn.network import Architecture, VIBNetwork, WeightMatrix, quasi_normal, repeat_rows
from skvib.nn.objective import Batch, loss_terms

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "cosine": lambda progress: 0.5 * (1.0 + math.cos(math.pi * progress)),
}
DIVERGED_FACTOR = 1e3  # times the loss of the first batch
CHUNK_ROWS = 4096
History = dict[str, list[float]]


class Rows(NamedTuple):
    """Inputs (n, ...) or SparseRows, targets (n, ...) and positive weights (n,)."""

    inputs: Tensor | SparseRows
    targets: Tensor
    weights: Tensor

    def to(self, device: str) -> Rows:
        return Rows(*(part.to(device) for part in self))


class Monitor(Protocol):
    """Somebody who watches a fit."""

    def begin_epoch(self) -> None: ...

    def end_epoch(self, history: History, weights: Callable[[], Tensor]) -> bool:
        """Whether to stop; `weights` returns those of the network as it stands, (P,)."""


class State(NamedTuple):
    """Where a training stands: weights and Adam's moments (P,), steps taken, epochs drawn."""

    weights: Tensor
    mean_gradient: Tensor
    mean_square: Tensor
    n_steps: int
    n_epochs: int


@dataclass(frozen=True)
class Problem:
    """What one network learns, and from which seed; its result depends on nothing else."""

    rows: Rows
    beta: float
    latent_dim: int
    seed: int
    mean_weight: float
    validation: Rows | None = None
    encoder: nn.Module | None = None
    start: State | None = None
    monitor: Monitor | None = None


@dataclass(frozen=True)
class Settings:
    """How all problems of a stack are trained.

    `stop_on` is None, "loss" or "validation"; `schedule` maps progress in [0, 1) to a multiple of the rate.
    """

    architecture: Architecture
    max_iter: int
    batch_size: int
    learning_rate_init: float
    schedule: Callable[[float], float]
    alpha: float
    beta_warmup: float
    ema_decay: float
    n_train_draws: int
    n_predict_draws: int
    stop_on: str | None
    tol: float
    n_iter_no_change: float
    device: str
    product_dtype: torch.dtype | None = None


@dataclass(frozen=True)
class Training:
    """What came of a problem; `reason` is "max_iter", "converged", "monitor", "interrupted" or "diverged"."""

    state: State
    history: History
    n_epochs: int
    best_epoch: int
    n_no_change: int
    reason: str
    distortion: float
    latent_rates: Tensor


def resolve_device(device: str) -> str:
    """"auto" is CUDA where there is one, else the CPU; raises ValueError for a device that is not there."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device={device!r} is no torch device; use 'auto', 'cpu' or 'cuda'.") from error
    missing = (
        (kind.type == "cuda" and (kind.index or 0) >= torch.cuda.device_count())
        or (kind.type == "mps" and not torch.backends.mps.is_available())
        or kind.type not in ("cpu", "cuda", "mps")
    )
    if missing:
        raise ValueError(f"device={device!r} is not available here; use 'auto' or 'cpu'.")
    return device


def available_device(device: str) -> str:
    """The device for predictions in any dtype: the CPU where `device` is gone, or is MPS (no float64)."""
    try:
        resolved = resolve_device(device)
    except ValueError:
        return "cpu"
    return "cpu" if resolved.startswith("mps") else resolved


def train(problems: Sequence[Problem], settings: Settings) -> list[Training]:
    """Train every problem; those that take equally many steps an epoch share a stack."""
    stacks: dict[Any, list[int]] = {}
    for index, problem in enumerate(problems):
        stacks.setdefault(_stack_key(problem, settings), []).append(index)
    results: dict[int, Training] = {}
    for members in stacks.values():
        stack = _Stack([problems[index] for index in members], settings)
        results.update(zip(members, stack.run(), strict=True))
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


class _Pool:
    """The rows of each problem of a stack, and how to take some of each."""

    def __init__(self, members: list[Rows]) -> None:
        self.members = members

    def take(self, rows: Sequence[Tensor]) -> tuple[Inputs, Tensor, Tensor]:
        """Inputs, targets and weights (M, n, ...); a network with fewer rows repeats its first at weight 0."""
        padded = _pad(rows)
        pairs = list(zip(self.members, padded, strict=True))
        inputs = [member.inputs.index_select(0, index) for member, index in pairs]
        targets = _stack([member.targets.index_select(0, index) for member, index in pairs])
        weights = [m.weights.index_select(0, r) for m, r in zip(self.members, rows, strict=True)]
        x = _stack(inputs) if isinstance(inputs[0], Tensor) else inputs
        return x, targets, _stack(_pad(weights))

    def chunks(self) -> Iterator[tuple[Inputs, Tensor, Tensor]]:
        counts = [len(member.weights) for member in self.members]
        device = self.members[0].weights.device
        for start in range(0, max(counts), CHUNK_ROWS):
            stops = [min(start + CHUNK_ROWS, count) for count in counts]
            yield self.take([torch.arange(min(start, s), s, device=device) for s in stops])


def _stack(tensors: list[Tensor]) -> Tensor:
    return tensors[0].unsqueeze(0) if len(tensors) == 1 else torch.stack(tensors)


def _pad(tensors: Sequence[Tensor], dim: int = 0) -> list[Tensor]:
    """Zeros behind each tensor along `dim`, up to the longest."""
    longest = max(tensor.shape[dim] for tensor in tensors)
    behind = [0, 0] * (tensors[0].ndim - 1 - dim)
    return [
        t
        if t.shape[dim] == longest
        else nn.functional.pad(t, (*behind, 0, longest - t.shape[dim]))
        for t in tensors
    ]


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
        self.pool = _Pool([_normalized(problem).to(device) for problem in problems])
        self.validation = None
        if first.validation is not None:
            self.validation = _Pool([problem.validation.to(device) for problem in problems])
        self.n_steps = _n_steps(first, settings)
        like = self.weights.values
        self.beta = like.new_tensor([[problem.beta] for problem in problems])
        points = [quasi_normal(settings.n_predict_draws, p.latent_dim).to(like) for p in problems]
        self.points = _stack(_pad(points, dim=1))
        counts = [len(problem.rows.weights) for problem in problems]
        splits = [torch.arange(count).tensor_split(self.n_steps) for count in counts]
        self.n_rows = [like.new_tensor([[len(r)] for r in step]) for step in zip(*splits, strict=True)]
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
        self.histories: list[History] = [{} for _ in self.problems]

    @torch.no_grad()
    def run(self) -> list[Training]:
        settings, n_total = self.settings, self.settings.max_iter * self.n_steps
        n_warm = 0 if self.problems[0].start else math.ceil(settings.beta_warmup * n_total)
        try:
            for epoch in range(settings.max_iter):
                self._begin()
                losses = []
                for index, batch in enumerate(self._batches(epoch), epoch * self.n_steps):
                    beta = self.beta * min(1.0, (index + 1) / n_warm) if n_warm else self.beta
                    terms = loss_terms(self.network, batch, beta)
                    losses.append((*terms, batch.weight))
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
        return _stack(_pad(_pad(noise, dim=1), dim=2))

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

    def _record(self, losses: list[tuple[Tensor, Tensor, Tensor]]) -> None:
        """Append the epoch's weighted means to each open network's history."""
        distortion, rate, weight = (torch.cat(parts, 1) for parts in zip(*losses, strict=True))
        total = weight.sum(1)
        distortion, rate = ((weight * term).sum(1) / total for term in (distortion, rate))
        loss = distortion + self.beta[:, 0] * rate
        columns = {"loss": loss, "distortion": distortion, "rate": rate}
        if not self.first_losses:
            distortion, rate, weight = losses[0]
            loss = weight * (distortion + self.beta * rate)
            self.first_losses = (loss.sum(1) / weight.sum(1)).tolist()
        if self.validation is not None:
            columns["validation_log_likelihood"] = self._validation_scores()
        columns = {name: column.tolist() for name, column in columns.items()}
        for m in self._open():
            for name, values in columns.items():
                self.histories[m].setdefault(name, []).append(values[m])

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
            if monitor and monitor.end_epoch(history, lambda m=m: self._current()[m].cpu()):
                self._close("monitor", m)
            limit = DIVERGED_FACTOR * max(1.0, abs(self.first_losses[m]))
            if not abs(loss) <= limit or math.isnan(score):
                self._close("diverged", m)
                continue
            stalls = score < self.best_scores[m] + self.settings.tol
            self.n_no_change[m] = self.n_no_change[m] + 1 if stalls and is_warm else 0
            if score > self.best_scores[m]:
                self.best_scores[m], self.best_epochs[m] = score, epoch
                self.best[m] = self._current()[m]
            if stop_on and self.n_no_change[m] > self.settings.n_iter_no_change:
                self._close("converged", m)

    def _begin(self) -> None:
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
                self.best_epochs[m] = len(self.histories[m].get("loss", ()))

    def _results(self) -> list[Training]:
        self.weights.values.copy_(self.kept)
        distortion, latent_rates = self._evaluate()
        results = []
        for m, problem in enumerate(self.problems):
            n_epochs = len(self.histories[m].get("loss", ()))
            state = State(
                *(rows[m].cpu() for rows in (self.kept, *self.moments)),
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
        return _stack(_pad(signs, dim=1))


def _normalized(problem: Problem) -> Rows:
    inputs, targets, weights = problem.rows
    return Rows(inputs, targets, weights / problem.mean_weight)


def _epoch_seed(seed: int, epoch: int) -> int:
    """Epoch e of a seed always draws the same, however the training was cut into calls."""
    return (seed * 0x9E3779B1 + epoch * 0x85EBCA77) % 2**32
