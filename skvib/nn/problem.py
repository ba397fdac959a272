"""What is trained: problems, settings and results."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from skvib.nn.layers import SharedRows
from skvib.nn.network import Architecture, VIBNetwork
from skvib.nn.ramps import Edges
from skvib.nn.rows import TARGET, MemberRows
from skvib.nn.weights import Layout, WeightMatrix, in_layout


def constant(progress: float) -> float:
    return 1.0


def cosine(progress: float) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * progress))


SCHEDULES: dict[str, Callable[[float], float]] = {"constant": constant, "cosine": cosine}
RELIEF = 0.03  # the beta that halves the penalty
FEW_ROWS, FEWEST_ROWS = 200, 100
# (ratio, shift), arrays: what was a standardised column u is now ratio * u + shift
Change = tuple[Any, Any]
METHODS = ("exact", "amortized")
WIDTH = 64  # networks of a stack, at most
History = dict[str, list[float]]


class Rows:
    """What pickles of 0.1 call the rows of one target."""

    def __new__(cls, inputs: Any, targets: Tensor, weights: Tensor) -> MemberRows:  # type: ignore[misc]
        return MemberRows(inputs, weights, {TARGET: targets}, {})


class Monitor(Protocol):
    """Somebody who watches a fit."""

    def begin_epoch(self) -> None: ...

    def end_epoch(self, history: History, weights: Callable[[], Tensor]) -> bool:
        """Whether to stop; `weights` returns those of the network as it stands, (P,)."""


class State(NamedTuple):
    """Where a training stands: weights and Adam's moments (P,), their layout, buffers, steps taken, epochs drawn."""

    weights: Tensor
    mean_gradient: Tensor
    mean_square: Tensor
    layout: Layout | None
    buffers: dict[str, Tensor]
    n_steps: int
    n_epochs: int


def restandardized(state: State, network: VIBNetwork, inputs: Change | None, outputs: Change | None) -> Tensor:
    """Weights, laid out as the state's, of which `network` is any, that say the same of what is standardised anew."""
    matrix = WeightMatrix(network)
    matrix.fill([(state.weights, state.layout)])
    network.restandardize(_tensors(inputs), _tensors(outputs))
    own = matrix.layout_of(network.bottleneck.latent_dims[0])
    return in_layout(matrix.values[0].clone(), own, state.layout or own)


def _tensors(change: Change | None) -> tuple[Tensor, Tensor] | None:
    return change and (torch.from_numpy(change[0]), torch.from_numpy(change[1]))


def _shares(in_common: Callable[[Any], Any]) -> dict[str, Any]:
    """Of a field in which the networks of a stack may differ: what of it they must share."""
    return {"in_common": in_common}


_SHARES_NOTHING = _shares(lambda value: None)


def _kind_of_rows(rows: MemberRows) -> tuple[Any, ...]:
    inputs = rows.inputs.whole if isinstance(rows.inputs, SharedRows) else rows.inputs
    columns = ((name, column.shape[1:]) for name, column in rows.targets.items())
    return isinstance(inputs, Tensor), inputs.dtype, *columns, *rows.shares


def _kind_of_validation(validation: MemberRows | None) -> tuple[Any, ...] | None:
    return validation and _kind_of_rows(validation)


def _layout(encoder: nn.Module | None) -> tuple[Any, ...] | None:
    return None if encoder is None else tuple((n, p.shape, p.requires_grad) for n, p in encoder.named_parameters())


@dataclass(frozen=True, eq=False)
class Problem:
    """What one network learns, and from which seed; its result depends on nothing else.

    With several `betas` it is a network conditioned on log beta, for all of their range; `monitors` watch it at
    each of them. An epoch takes `n_steps` steps; the loss includes `unpriced_penalty` / 2 times the squared norm of the
    coefficients, of the first layer times `input_square`: small inputs need large ones to say as much. It includes
    `invariance` times what the code tells of the rows' nuisance. Its fits are evaluated on the first `n_evaluated`
    rows, whose order means nothing. `any_seed` says that the seed was chosen by nobody, `member` which network of an
    ensemble it is.

    The networks of a stack share every field but what its `in_common` leaves out.
    """

    rows: MemberRows = field(metadata=_shares(_kind_of_rows))
    betas: tuple[float, ...] = field(metadata=_shares(lambda betas: betas if len(betas) > 1 else None))
    latent_dim: int = field(metadata=_SHARES_NOTHING)
    seed: int = field(metadata=_SHARES_NOTHING)
    n_steps: int
    penalty: float = field(default=0.0, metadata=_SHARES_NOTHING)
    input_square: float = field(default=1.0, metadata=_SHARES_NOTHING)
    invariance: float = field(default=0.0, metadata=_shares(bool))
    any_seed: bool = field(default=False, metadata=_SHARES_NOTHING)
    member: int = field(default=0, metadata=_SHARES_NOTHING)
    validation: MemberRows | None = field(default=None, metadata=_shares(_kind_of_validation))
    edges: Edges | None = field(default=None, metadata=_shares(lambda edges: edges and (edges[0], edges.low.shape)))
    encoder: nn.Module | None = field(default=None, metadata=_shares(_layout))
    start: State | None = field(default=None, metadata=_shares(lambda start: start and start[-2:]))
    monitors: tuple[Monitor | None, ...] = field(default=(), metadata=_SHARES_NOTHING)
    n_evaluated: int = sys.maxsize

    def in_common(self) -> tuple[Any, ...]:
        """What it must share with the other problems of a stack."""
        return tuple(f.metadata.get("in_common", lambda value: value)(getattr(self, f.name)) for f in fields(self))

    @property
    def unpriced_penalty(self) -> float:
        """What remains of the penalty; a path has that of its least beta: at others its gates can make up for it."""
        return unpriced(self.penalty, min(self.betas))

    def seed_of(self, epoch: int) -> int:
        """An epoch always draws the same, however the training was cut into calls; 0 is before all of them."""
        return (self.seed * 0x9E3779B1 + epoch * 0x85EBCA77) % 2**32


@dataclass(frozen=True)
class Settings:
    """How all problems of a stack are trained.

    `stop_on` is None, "loss" or "validation"; `schedule` maps progress in [0, 1) to a multiple of the rate. What
    `silences` takes dimensions of little rate out of the codes at the end.
    """

    architecture: Architecture
    max_iter: int
    learning_rate_init: float
    schedule: Callable[[float], float]
    ema_decay: float
    n_train_draws: int
    n_predict_draws: int
    stop_on: str | None
    tol: float
    n_iter_no_change: float
    device: str
    product_dtype: torch.dtype | None = None
    silences: bool = False


class Fit(NamedTuple):
    """The network of one beta: weights (P,) and buffers, and what they make of the training rows.

    `distortions` are those of each head, `rates` the means of the terms of its prior.
    """

    weights: Tensor
    layout: Layout
    buffers: dict[str, Tensor]
    history: History
    distortions: dict[str, float]
    latent_rates: Tensor
    rates: dict[str, float] = {}


@dataclass(frozen=True)
class Training:
    """What came of a problem with these betas, and the fit at each of them.

    `reason` is "max_iter", "converged", "monitor", "interrupted" or "diverged".
    """

    betas: tuple[float, ...]
    state: State
    fits: tuple[Fit, ...]
    n_epochs: int
    best_epoch: int
    n_no_change: int
    reason: str

    def at(self, beta: float) -> Training:
        """What it is to a problem of one of its betas alone: a network for one beta, whose optimiser starts anew."""
        if len(self.betas) == 1:
            return self
        fit = self.fits[self.betas.index(beta)]
        unmoved = torch.zeros_like(fit.weights)
        state = State(fit.weights, unmoved, unmoved, fit.layout, fit.buffers, 0, self.state.n_epochs)
        return replace(self, fits=(fit,), state=state)


def penalty_of(alpha: float, n_rows: float, diversity: float = 1.0, n_alternatives: int = 2) -> float:
    """The penalty of a mean loss over so many rows: the share of a prior's precision alpha, and more of few rows.

    At 200 rows twice that share, at 100 three times: noise that a share alone would let a network learn. Rows whose
    targets are nearly all the same say less: only `diversity` of them count as rows here. To tell many alternatives
    apart takes larger weights, which the penalty of two would forbid to few rows of each.
    """
    few = FEW_ROWS / max(n_rows * diversity, FEWEST_ROWS) * 2.0 / n_alternatives
    return alpha * (1.0 + few) / n_rows


def unpriced(penalty: float, beta: float) -> float:
    """What remains of a penalty where beta charges what a network could overfit by."""
    return penalty / (1.0 + beta / RELIEF)


def resolve_device(device: str) -> str:
    """The device itself, or for "auto" CUDA where there is one, else the CPU; ValueError if it is not there."""
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


def check_memory(architecture: Architecture, latent_dim: int, device: str, n_networks: int = 1) -> None:
    """Raise if the weights of so many networks, their gradients, moments and average cannot be held."""
    if device.startswith("cuda"):
        held = torch.cuda.get_device_properties(device).total_memory
    elif hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        held = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    else:
        return
    n_weights = n_networks * architecture.n_weights(latent_dim)
    needed = 5 * 4 * n_weights
    if needed > held:
        raise ValueError(
            f"The network would have {n_weights:.2g} weights and need {needed / 2**30:.0f} GiB; {device} has "
            f"{held / 2**30:.0f}. Make hidden_layer_sizes, decoder_hidden_layer_sizes or latent_dim smaller."
        )


def available_device(device: str) -> str:
    """The device for predictions in any dtype: the CPU where `device` is gone, or is MPS (no float64)."""
    try:
        resolved = resolve_device(device)
    except ValueError:
        return "cpu"
    return "cpu" if resolved.startswith("mps") else resolved
