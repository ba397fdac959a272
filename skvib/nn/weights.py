"""All weights of a stack of networks as one matrix, and how those of one network are stored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor

from skvib.nn.network import VIBNetwork
from skvib.nn.parts import NamedParameter

# name and shape of each weight of a network, as they lie side by side
Layout = tuple[tuple[str, tuple[int, ...]], ...]


class WeightMatrix:
    """All weights of a stack as `values` (M, P) and their gradients as `grads`, a row a network.

    The network's own parameters become views of them, so one operation updates, averages or copies
    everything. The first `n_penalized` columns are the coefficients (no biases) that are penalized; `paces` are slices
    that take longer steps, and how much longer.
    """

    def __init__(self, network: VIBNetwork) -> None:
        coefficients, speeds = {id(p) for p in network.coefficients()}, {id(p): s for p, s in network.speeds()}

        def part_of(named: NamedParameter) -> tuple[bool, float]:
            """Coefficients before all else, and columns of one speed side by side."""
            first = id(named.parameters[0])
            return first not in coefficients, speeds.get(first, 1.0)

        self._network = network
        self._parameters = sorted(network.trained(), key=part_of)
        like, sizes = network.bottleneck.linear.weight, [named.shape.numel() for named in self._parameters]
        self.values = like.new_empty(network.n_networks, sum(sizes))
        self.grads = torch.zeros_like(self.values)
        stop, self.n_penalized, self.paces = 0, 0, []
        for (is_other, speed), group in groupby(self._parameters, part_of):
            start, stop = stop, stop + sum(named.shape.numel() for named in group)
            self.n_penalized = self.n_penalized if is_other else stop
            if speed != 1.0:
                self.paces.append((slice(start, stop), speed))
        slices = zip(self.values.split(sizes, 1), self.grads.split(sizes, 1), strict=True)
        for named, (values, grads) in zip(self._parameters, slices, strict=True):
            views = zip(named.parameters, named.views(values), named.views(grads), strict=True)
            for parameter, value, grad in views:
                value.copy_(parameter.data)
                parameter.data = value
                parameter.grad = grad

    def slice_of(self, parameter: Tensor) -> slice:
        """The columns of one of the network's parameters."""
        sizes = [named.shape.numel() for named in self._parameters]
        at = next(k for k, named in enumerate(self._parameters) if named.parameters[0] is parameter)
        return slice(sum(sizes[:at]), sum(sizes[: at + 1]))

    def fill(self, stored: Sequence[tuple[Tensor, Layout | None]]) -> None:
        """Give networks of one latent size their weights (P,), each laid out as it says."""
        own = self.layout_of(self._network.bottleneck.latent_dims[0])
        for values, (weights, layout) in zip(self.values, stored, strict=True):
            values.copy_(in_layout(weights, layout, own))

    def columns_of(self, latent_dim: int) -> Tensor:
        """Columns that a network of this latent size has when it is alone, in the order of its own matrix."""
        masks = self._masks(latent_dim)
        kept = [mask.expand(named.shape).flatten() for named, mask in zip(self._parameters, masks, strict=True)]
        return torch.cat(kept).nonzero().squeeze(1)

    def layout_of(self, latent_dim: int) -> Layout:
        """Name and shape of each of its weights, in the same order."""
        masks = self._masks(latent_dim)
        return tuple(
            (named.name, _kept_shape(named.shape, mask)) for named, mask in zip(self._parameters, masks, strict=True)
        )

    def _masks(self, latent_dim: int) -> list[Tensor]:
        """Which entries of each parameter remain when only the first latent dimensions are used."""
        used = torch.arange(max(self._network.bottleneck.latent_dims), device="cpu") < latent_dim
        masks, everything = self._network.latent_masks(used), torch.tensor(True, device="cpu")
        return [masks.get(named.parameters[0], everything) for named in self._parameters]


def _kept_shape(shape: torch.Size, mask: Tensor) -> tuple[int, ...]:
    kept = list(shape)
    for axis, size in enumerate(reversed(mask.shape), 1):
        kept[-axis] = int(mask.sum()) if size > 1 else kept[-axis]
    return tuple(kept)


# how parts were named in models stored before
FORMER_NAMES = {"head.": "heads.y.", "decoder.": "heads.y.decoder.", "likelihood.": "heads.y.likelihood."}


def _renamed(layout: Layout) -> Layout:
    for before, now in FORMER_NAMES.items():
        layout = tuple((now + n.removeprefix(before) if n.startswith(before) else n, shape) for n, shape in layout)
    return layout


def in_layout(weights: Tensor, layout: Layout | None, wanted: Layout) -> Tensor:
    """Weights (P,) laid out as `layout` (None: as wanted), in the order of `wanted`, another layout of its parts."""
    if layout is None or layout == wanted:
        return weights
    layout, wanted = _renamed(layout), _renamed(wanted)
    sizes = [math.prod(shape) for _, shape in layout]
    if dict(layout) != dict(wanted) or sum(sizes) != len(weights):
        raise ValueError(
            f"The stored weights are those of another network: it has {dict(layout)}, this one {dict(wanted)}."
        )
    parts = dict(zip((name for name, _ in layout), weights.split(sizes), strict=True))
    return torch.cat([parts[name] for name, _ in wanted])
