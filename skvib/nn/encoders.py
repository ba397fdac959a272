"""Encoders: inputs -> hidden features (M, n, width)."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parameter import UninitializedParameter

from skvib.nn.layers import MakeLinear, StackedMLP
from skvib.nn.operations import Operations
from skvib.nn.parts import NamedParameter, Part


class MLPEncoder(StackedMLP):
    """The built-in encoder: dense layers, an activation behind each; none at all is the identity."""

    is_stateless = True
    # it saves a sixth of a small network's time
    without_gradients = torch.inference_mode

    def __init__(self, sizes: Sequence[int], activation: str, linear: MakeLinear) -> None:
        super().__init__(sizes, activation, False, linear)

    def buffers_of(self, network: int) -> dict[str, Tensor]:
        """Nothing beside its weights."""
        return {}

    def set_buffers(self, network: int, buffers: dict[str, Tensor]) -> None:
        """There are none."""


class ModuleEncoder(Part):
    """M copies of a user's module, differentiated by autograd.

    They run in their own dtype, which is float32 (`own_module`), whatever that of the rest of the network. Buffers
    that a module moves, it moves in training alone.
    """

    is_stateless = False
    without_gradients = torch.no_grad  # inference mode forbids autograd

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.modules_ = nn.ModuleList(copy.deepcopy(module) for module in modules)

    def trained(self) -> Iterator[NamedParameter]:
        for named in zip(*(module.named_parameters() for module in self.modules_), strict=True):
            (name, first), parameters = named[0], tuple(parameter for _, parameter in named)
            if first.requires_grad:
                yield NamedParameter(f"modules_.{name}", first.shape, parameters)

    def coefficients(self) -> Iterator[nn.Parameter]:
        for name, parameter in self.named_parameters():
            if name.endswith("weight") and parameter.ndim > 1:
                yield parameter

    def fold_into(self, folded: ModuleEncoder, mix: Tensor) -> None:
        """A module says the same at each beta."""
        folded.load_state_dict(self.state_dict())
        for network in range(len(self.modules_)):
            folded.set_buffers(network, self.buffers_of(network))

    def predictive(self, xp: Operations, x: Tensor) -> Tensor:
        """A user's module runs in torch alone."""
        return self(x)

    def forward(self, x: Tensor) -> Tensor:
        before = [self.buffers_of(network) for network in range(len(self.modules_))]
        modes = [(part, part.training) for part in self.modules_.modules()]
        self.modules_.eval()
        try:
            return self._features(x)
        finally:
            for part, mode in modes:
                part.training = mode
            for network, buffers in enumerate(before):
                self.set_buffers(network, buffers)

    def _features(self, x: Tensor) -> Tensor:
        floating = (p.dtype for p in self.parameters() if p.is_floating_point())
        own = x.to(next(floating, torch.float32))
        return torch.stack([module(rows) for module, rows in zip(self.modules_, own, strict=True)]).to(x.dtype)

    def record(self, x: Any) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            features = self._features(x)
        return features.detach(), features

    def backward(self, tape: Tensor, grad: Tensor, input_gradient: bool = True) -> None:
        for parameter in self.parameters():
            if parameter.grad is not None:
                parameter.grad.zero_()
        if tape.requires_grad:
            tape.backward(grad)

    def initialize(self, network: int, generator: torch.Generator) -> None:
        """A module keeps the weights that its user gave it."""

    def buffers_of(self, network: int) -> dict[str, Tensor]:
        """A copy of what the module of one network keeps beside its weights."""
        buffers = self.modules_[network].named_buffers(remove_duplicate=False)
        return {name: buffer.detach().clone() for name, buffer in buffers}

    def set_buffers(self, network: int, buffers: dict[str, Tensor]) -> None:
        set_buffers(self.modules_[network], buffers)


def set_buffers(module: nn.Module, buffers: dict[str, Tensor]) -> None:
    """Give the buffers of a module these values; in place, since a module may know one by two names."""
    for name, value in buffers.items():
        owner, _, leaf = name.rpartition(".")
        buffer = getattr(module.get_submodule(owner), leaf)
        if buffer is not None and (buffer.shape, buffer.dtype) == (value.shape, value.dtype):
            buffer.copy_(value)
        else:
            setattr(module.get_submodule(owner), leaf, value.clone())


# what a factory draws, and how it names dtype and device, is global: one fit at a time
_FACTORY = threading.RLock()


def _free_the_factory() -> None:
    """In a forked child: the thread that held the lock, if one did, is not there."""
    global _FACTORY
    _FACTORY = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_the_factory)


@contextmanager
def _private_defaults(seed: int) -> Iterator[None]:
    """With torch's global generator seeded, and float32 and the CPU as defaults; then all is as before."""
    dtype = torch.get_default_dtype()
    with _FACTORY, torch.random.fork_rng(devices=()), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)


def own_module(encoder: nn.Module | Callable[[], nn.Module], seed: int, shape: Sequence[int]) -> nn.Module:
    """A copy in float32 of the user's module, or of what the user's factory makes; it takes rows of this shape.

    What is drawn, the weights of a factory's module and of lazy layers, depends on the seed alone.
    """
    with _private_defaults(seed):
        module = copy.deepcopy(encoder if isinstance(encoder, nn.Module) else encoder())
        if not isinstance(module, nn.Module):
            raise TypeError(
                f"encoder must be a torch module or a callable that returns one; it returned {type(module).__name__}."
            )
        module = module.cpu()
        _check_repeatable(module)
        if any(isinstance(parameter, UninitializedParameter) for parameter in module.parameters()):
            _features_of_zeros(module, shape)
    return module.float()


def _check_repeatable(module: nn.Module) -> None:
    for name, part in module.named_modules():
        share = part.p if isinstance(part, _DropoutNd) else part.__dict__.get("dropout")
        draws = isinstance(share, Real) and share != 0.0
        is_random = part.training and (draws or isinstance(part, nn.RReLU))
        moves = isinstance(part, _NormBase) and part.training and part.track_running_stats
        if is_random or moves or (isinstance(part, _BatchNorm) and (part.training or not part.track_running_stats)):
            raise ValueError(
                f"encoder holds {type(part).__name__} ({name or 'itself'}) in training mode. Dropout draws from "
                "torch's global generator and BatchNorm makes a row's code depend on its neighbours, so neither is "
                "reproducible here: the bottleneck's own noise regularises. Remove it, use LayerNorm, or call .eval() "
                "(of BatchNorm with running statistics)."
            )


@torch.no_grad()
def _features_of_zeros(module: nn.Module, shape: Sequence[int]) -> Tensor:
    try:
        return module(torch.zeros(2, *shape, dtype=torch.float32, device="cpu"))
    except Exception as error:
        raise ValueError(f"encoder failed on a float32 input of shape {(2, *shape)}: {error}") from error


def n_outputs_of(module: nn.Module, seed: int, shape: Sequence[int]) -> int:
    """Width of the features that `module` makes of rows of this shape."""
    with _private_defaults(seed):
        features = _features_of_zeros(copy.deepcopy(module), shape)
    if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != 2:
        got = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise ValueError(f"encoder must return features of shape (n, width); for 2 rows it returned {got}.")
    return features.shape[1]
