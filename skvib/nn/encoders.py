"""Encoders: inputs -> hidden features (M, n, width)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from skvib.nn.layers import MakeLinear, StackedMLP


class MLPEncoder(StackedMLP):
    """The built-in encoder: dense layers, an activation behind each; none at all is the identity."""

    def __init__(self, sizes: Sequence[int], activation: str, linear: MakeLinear) -> None:
        super().__init__(sizes, activation, False, linear)


class ModuleEncoder(nn.Module):
    """M copies of a user's module, differentiated by autograd."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.modules_ = nn.ModuleList(copy.deepcopy(module) for module in modules)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([module(rows) for module, rows in zip(self.modules_, x, strict=True)])

    def record(self, x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            features = self(x)
        return features.detach(), features

    def backward(self, tape: Tensor, grad: Tensor, input_gradient: bool = True) -> None:
        for parameter in self.parameters():
            if parameter.requires_grad:
                parameter.grad.zero_()
        if tape.requires_grad:
            tape.backward(grad)

    def initialize(self, network: int, n_in: int, generator: torch.Generator) -> None:
        """A module keeps the weights that its user gave it."""


def own_module(encoder: nn.Module | Callable[[], nn.Module], seed: int) -> nn.Module:
    """A copy of the user's module, or one made by the user's factory under a forked generator."""
    if isinstance(encoder, nn.Module):
        module = copy.deepcopy(encoder)
    else:
        with torch.random.fork_rng(devices=()):
            torch.default_generator.manual_seed(seed)
            module = encoder()
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"encoder must be a torch module or a callable that returns one; it returned {type(module).__name__}."
        )
    for name, part in module.named_modules():
        has_dropout = isinstance(part, _DropoutNd) or part.__dict__.get("dropout", 0.0) != 0.0
        if part.training and (has_dropout or isinstance(part, _NormBase)):
            raise ValueError(
                f"encoder holds {type(part).__name__} ({name or 'itself'}) in training mode. Dropout draws from "
                "torch's global generator and BatchNorm makes a row's code depend on its neighbours, so neither is "
                "reproducible here: the bottleneck's own noise regularises. Remove it, use LayerNorm, or call .eval()."
            )
    return module.cpu()


@torch.no_grad()
def n_outputs_of(module: nn.Module, shape: Sequence[int]) -> int:
    """Width of the features that `module` makes of rows of this shape."""
    module = copy.deepcopy(module).float()
    try:
        features = module(torch.zeros(2, *shape))
    except Exception as error:
        raise ValueError(f"encoder failed on a float32 input of shape {(2, *shape)}: {error}") from error
    if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != 2:
        got = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise ValueError(f"encoder must return features of shape (n, width); for 2 rows it returned {got}.")
    return features.shape[1]
