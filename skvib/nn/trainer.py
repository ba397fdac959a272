"""The training loop: `train(problems, settings)` fits independent networks of one architecture as a stack."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from skvib.nn.batches import Batches, Pool
from skvib.nn.betas import BetaRange, betas_of, learned_range
from skvib.nn.evaluation import Evaluation
from skvib.nn.objective import loss_terms
from skvib.nn.optimizer import Optimizer
from skvib.nn.posteriors import Diagonal
from skvib.nn.problem import WIDTH, Fit, Monitor, Problem, Settings, State, Training, available_device
from skvib.nn.progress import Checkpoint, Clock, Progress
from skvib.nn.stack import Stack
from skvib.nn.stopping import stopping_of

N_STARTS = 1024  # rows of whose codes the prior's components begin
SPARED_NATS = 0.01, 0.02, 0.05, 0.1  # bounds of the rate of a latent dimension that codes may spare
SPARED_LOSS = 0.002  # nats that it may cost
CLOSED_SHARE = 0.25  # once so many networks of a stack have closed, the others go on without them


def train(problems: Sequence[Problem], settings: Settings, width: int = WIDTH) -> list[Training | Exception]:
    """Train every problem, in stacks of at most `width` of those that can share one.

    A monitor's exception ends its own network alone: in a stack of several it takes the place of the Training.
    """
    groups: dict[Any, list[int]] = {}
    for index, problem in enumerate(problems):
        groups.setdefault(problem.in_common(), []).append(index)
    results: dict[int, Training | Exception] = {}
    for members in (part for group in groups.values() for part in _in_stacks(group, width)):
        trained = _train_stack([problems[index] for index in members], settings)
        results.update(zip(members, trained, strict=True))
    return [results[index] for index in range(len(problems))]


def _in_stacks(group: list[int], width: int) -> list[list[int]]:
    """As few parts of at most `width` as there can be, of about one size."""
    n_parts = math.ceil(len(group) / width)
    return [group[part::n_parts] for part in range(n_parts)]


def _train_stack(problems: list[Problem], settings: Settings) -> list[Training | Exception]:
    whole = run = _Run(problems, settings)
    with whole.stack.network.encoder.without_gradients():
        try:
            for epoch in range(settings.max_iter):
                run = run.of_the_open()
                run.train_epoch(epoch)
                if not run.open():
                    break
        except KeyboardInterrupt:
            run.close("interrupted")
        run.close("max_iter")
        return whole.results()


class _Run:
    """The networks of a stack in training, and how far each has come."""

    @torch.no_grad()
    def __init__(
        self,
        problems: list[Problem],
        settings: Settings,
        clock: Clock | None = None,
        progress: list[Progress] | None = None,
    ) -> None:
        """Begin, or go on where another run has come to with these networks: by its clock, with their progress."""
        self.problems, self.settings = problems, settings
        first = problems[0]
        like = torch.empty(0, dtype=first.rows.inputs.dtype, device=settings.device)
        betas = betas_of([problem.betas for problem in problems], like)
        self.stack = Stack(problems, settings, betas)
        self.stack.network.price.check(first.betas if len(first.betas) > 1 else [p.betas[0] for p in problems])
        pool = Pool([problem.rows for problem in problems], settings.device)
        self._start(pool)
        self.batches = Batches(problems, pool, betas, settings.n_train_draws)
        self.evaluation = Evaluation(problems, settings, pool)
        self.optimizer = Optimizer(self.stack, pool, settings.ema_decay)
        self.clock = clock or Clock.of(first, settings)
        self.stopping = stopping_of(settings)
        self.progress = progress or [self._at_the_start(m) for m in range(len(problems))]

    def _start(self, pool: Pool) -> None:
        """Heads learn what they have to know of the rows; components of a prior begin where codes are."""
        for m, member in enumerate(pool.members):
            for name, head in self.stack.network.heads.items():
                head.start(m, member, name)
        network, begin = self.stack.network, [m for m, p in enumerate(self.problems) if p.start is None]
        if not begin or next(network.prior.parameters(), None) is None:
            return
        counts = [min(len(rows.weights), N_STARTS) for rows in pool.members]
        rows = pool.take([torch.arange(count, device=self.settings.device) for count in counts])
        codes = network(rows.inputs)
        for m in begin:
            of_network = Diagonal(*(part[m, : counts[m]] for part in codes))
            network.prior.start(m, of_network, pool.members[m], self.stack.seeded(m, 0))

    def _at_the_start(self, m: int) -> Progress:
        stack, network = self.stack, self.stack.network
        start = stack.checkpoint(stack.weights.values, m, 0)
        further = {name: float(part.prices[m]) for part in network.further for name in part.terms}
        return Progress(self.problems[m].betas, network.terms, len(network.heads), network.price, start, further)

    def train_epoch(self, epoch: int) -> None:
        stack, network, clock = self.stack, self.stack.network, self.clock
        self._begin()
        recorded = []
        batches = self.batches.of_epoch(stack.seed(clock.drawn(epoch)))
        for step, (batch, beta) in enumerate(batches, epoch * clock.n_steps):
            network.set_progress(clock.eased(step))
            terms = loss_terms(network, batch, beta)
            n_others = len(network.terms) - len(network.heads)
            recorded.append((terms, batch.rows.term_weights(network.heads, n_others), beta))
            self.optimizer.update(clock.learning_rate(step), step)
        is_validated = self.evaluation.validation is not None and clock.is_due(epoch, stack.betas.n_epochs_apart)
        self._record(recorded, is_validated)
        self._judge(is_validated)

    def _begin(self) -> None:
        self.stopping.begin(self.stack, self.optimizer.current)
        for m in self.open():
            self._watch(m, lambda k, monitor: monitor.begin_epoch())

    def _record(self, recorded: list[tuple[Tensor, Tensor, Tensor]], is_validated: bool) -> None:
        """Append the epoch's means to each open network's histories, from terms (T, M, n) and weights of its steps."""
        if not any(progress.n_epochs for progress in self.progress):
            self._record_first(*recorded[0])
        terms, weights, drawn = zip(*recorded, strict=True)
        means = self.stack.betas.means(torch.cat(terms, -1), torch.cat(weights, -1), drawn)
        likelihoods = self._validate(rates=means[len(self.stack.network.heads)]) if is_validated else None
        of_terms = means.tolist()
        for m in self.open():
            own = {name: of_term[m] for name, of_term in zip(self.progress[m].terms, of_terms, strict=True)}
            self.progress[m].record(own, None if likelihoods is None else [of_beta[m] for of_beta in likelihoods])

    def _record_first(self, terms: Tensor, weights: Tensor, drawn: Tensor) -> None:
        """The loss of the first batch; as rows of different betas have no mean rate, each pays for its own."""
        network, weighed = self.stack.network, weights * terms
        n_heads = len(network.heads)
        losses = network.price.loss(drawn, weighed[:n_heads].sum(0), weighed[n_heads])
        losses = losses + sum(part.prices * weighed[network.terms.index(part.terms[0])] for part in network.further)
        first_losses = losses.sum(-1) / self.batches.n_rows[0].squeeze(1)
        for progress, loss in zip(self.progress, first_losses.tolist(), strict=True):
            progress.first_loss = loss

    def _validate(self, rates: Tensor) -> list[list[float]]:
        """Log-likelihood of each network's validation rows, for each beta; `rates` (M, K) were paid in the epoch."""
        betas = self.stack.betas.values
        is_open = torch.tensor([progress.reason is None for progress in self.progress], device=betas.device)
        likelihoods = []
        with self.stack.holding(self.optimizer.current):
            for k in range(betas.shape[1]):
                likelihood = self.evaluation.log_likelihood(self.stack.fold(k))
                losses = self.stack.network.price.loss(betas[:, k], -likelihood, rates[:, k])
                self.stopping.remember(self.stack, k, losses, is_open)
                likelihoods.append(likelihood.tolist())
        return likelihoods

    def _judge(self, is_validated: bool) -> None:
        """Keep the best weights; close the networks that diverged, converged or were told to stop."""
        for m in self.open():
            progress, stopping = self.progress[m], self.stopping
            score = stopping.score(progress, is_validated)
            stops = self._watch(m, partial(self._end_epoch, m))
            if progress.failure is not None:
                continue
            if progress.has_diverged or math.isnan(score):
                stopping.diverged(progress)
                self.close("diverged", m)
                continue
            progress.count_stalls(self.stack.betas.reached(m, score), self.settings.tol)
            if score > progress.best_score:
                progress.keep(score, stopping.candidate(self.stack, self.optimizer.current, m, progress.n_epochs))
            if progress.n_no_change > stopping.patience:
                self.close("converged", m)
            elif stops and all(stops):
                self.close("monitor", m)

    def _end_epoch(self, m: int, k: int, monitor: Monitor) -> bool:
        return monitor.end_epoch(self.progress[m].histories[k], partial(self._snapshot, m, k))

    def _snapshot(self, m: int, k: int) -> Tensor:
        with self.stack.holding(self.optimizer.current):
            self.stack.fold(k)
            return self.stack.folded_weights_of(m)

    def _watch(self, m: int, call: Callable[[int, Monitor], Any]) -> list[Any]:
        """What each monitor of a network answers; a network whose monitor fails is closed."""
        try:
            return [call(k, monitor) for k, monitor in enumerate(self.problems[m].monitors) if monitor is not None]
        except Exception as error:
            self.progress[m].failure = error
            self.close("monitor", m)
            return []

    def open(self) -> list[int]:
        """The networks that still train."""
        return [m for m, progress in enumerate(self.progress) if progress.reason is None]

    def of_the_open(self) -> _Run:
        """A run of the networks that still train, as they stand, if it is worth it; it goes on with their Progress."""
        members, stack = self.open(), self.stack
        if len(members) > (1 - CLOSED_SHARE) * len(self.problems) or not stack.may_shrink:
            return self
        rows, validation = self.batches.pool, self.evaluation.validation
        problems = [
            replace(
                self.problems[m],
                rows=rows.members[m],
                validation=None if validation is None else validation.members[m],
                start=self._state(m, stack.checkpoint(stack.weights.values, m, self.progress[m].n_epochs)),
            )
            for m in members
        ]
        smaller = _Run(problems, self.settings, self.clock, [self.progress[m] for m in members])
        for n, m in enumerate(members):
            smaller.stack.put(smaller.optimizer.current, n, stack.take(self.optimizer.current, m))
        return smaller

    def _state(self, m: int, checkpoint: Checkpoint) -> State:
        """From where network m could go on with these weights."""
        mean, square = (self.stack.take(moment, m).cpu() for moment in self.optimizer.moments)
        buffers = {name: buffer.cpu() for name, buffer in checkpoint.buffers.items()}
        n_steps, n_epochs = int(self.optimizer.step), self.clock.n_epochs_before + self.progress[m].n_epochs
        return State(checkpoint.weights.cpu(), mean, square, self.stack.layout_of(m), buffers, n_steps, n_epochs)

    def close(self, reason: str, network: int | None = None) -> None:
        """Settle the weights of one network, or of all that still train."""
        for m in self.open() if network is None else [network]:
            progress = self.progress[m]
            latest = self.stack.checkpoint(self.optimizer.current, m, progress.n_epochs)
            ended = reason if bool(torch.isfinite(latest.weights).all()) else "diverged"
            if ended != "diverged":
                progress.best = self.stopping.settled(progress, latest)
            progress.state = self._state(m, progress.best)
            progress.reason = ended  # at last: who is interrupted here is closed again

    def results(self) -> list[Training | Exception]:
        """A Training of each network, or what its monitor raised; of a lone network that is raised again."""
        if len(self.progress) == 1 and self.progress[0].failure is not None:
            raise self.progress[0].failure
        for m, progress in enumerate(self.progress):
            self.stack.restore(m, progress.best)
        if self.settings.silences:
            self._silence()
        is_trusted = torch.tensor([p.reason != "diverged" for p in self.progress], device=self.settings.device)
        fits = [self._fits(k, is_trusted) for k in range(len(self.problems[0].betas))]
        return [
            self._training(progress, of_network) if progress.failure is None else progress.failure
            for progress, of_network in zip(self.progress, zip(*fits, strict=True), strict=True)
        ]

    @torch.no_grad()
    def _silence(self) -> None:
        """Make latent dimensions of little rate the same for all rows, where this costs next to nothing.

        Their means, which have no noise, could tell a nuisance that draws hide. Of some bounds of the rate the largest
        counts that leaves distortion, price and the likelihood of validation rows as good as they were.
        """
        stack, network = self.stack, self.stack.network
        values, means = stack.weights.values, self.evaluation.mean_posterior(network)
        weights, settled = values.clone(), values.clone()
        before = self._costs()
        _, _, latent_rates = self.evaluation.distortions_and_rates(network, stack.seed(0))
        for nats in SPARED_NATS:
            network.bottleneck.silence(latent_rates <= nats, means)
            is_spared = (self._costs() <= before + SPARED_LOSS).all(0)
            settled = torch.where(is_spared.unsqueeze(1), values, settled)
            values.copy_(weights)
        values.copy_(settled)

    def _costs(self) -> Tensor:
        """What distortion and rate cost on training rows, and the loss of validation rows if there are any, (., M)."""
        network, evaluation = self.stack.network, self.evaluation
        distortions, rates, _ = evaluation.distortions_and_rates(network, self.stack.seed(0))
        distortion, paid = torch.stack([*distortions.values()]).sum(0), rates[network.prior.terms[0]]
        costs = [network.price.loss(self.stack.betas.values[:, 0], distortion, paid)]
        if evaluation.validation is not None:
            costs.append(-evaluation.log_likelihood(network))
        return torch.stack(costs)

    def _training(self, progress: Progress, fits: tuple[Fit, ...]) -> Training:
        assert progress.state is not None  # it is closed
        assert progress.reason is not None
        return Training(
            progress.betas,
            progress.state,
            fits,
            progress.n_epochs,
            progress.best.epoch,
            progress.n_no_change,
            progress.reason,
        )

    def _fits(self, k: int, is_trusted: Tensor) -> list[Fit]:
        self.stack.fold(k)
        self.stack.betas.recall(k, self.stack.folded_weights.values, is_trusted)
        fits = _fits_of(self.stack, self.evaluation)
        return [fit._replace(history=p.histories[k]) for fit, p in zip(fits, self.progress, strict=True)]


def _fits_of(stack: Stack, evaluation: Evaluation) -> list[Fit]:
    """What the networks, as last folded, make of their rows; without a history."""
    network = stack.folded
    distortions, rates, latent_rates = evaluation.distortions_and_rates(network, stack.seed(0))
    return [
        Fit(
            stack.folded_weights_of(m),
            stack.folded_weights.layout_of(dim),
            {name: buffer.cpu() for name, buffer in network.encoder.buffers_of(m).items()},
            {},
            {name: float(distortion[m]) for name, distortion in distortions.items()},
            latent_rates[m, :dim].cpu(),
            {name: float(rate[m]) for name, rate in rates.items()},
        )
        for m, dim in enumerate(stack.latent_dims)
    ]


@torch.inference_mode()
def fit_at(problem: Problem, settings: Settings, state: State, beta: float) -> Fit:
    """The network that a trained path, `state`, is at any beta of its range; it has no history."""
    settings, problem = replace(settings, device=available_device(settings.device)), replace(problem, start=state)
    value = torch.tensor([[beta]], dtype=problem.rows.inputs.dtype, device=settings.device)
    stack = Stack([problem], settings, BetaRange(value, learned_range(problem.betas)))
    stack.fold(0)
    return _fits_of(stack, Evaluation([problem], settings, Pool([problem.rows], settings.device)))[0]
