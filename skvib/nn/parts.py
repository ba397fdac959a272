"""What every part of a stack of networks answers for itself."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, ValuesView
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

P = TypeVar("P", bound="Part")

if TYPE_CHECKING:

    class Parameter(nn.Parameter):
        """Its gradient is a tensor to write to: a `WeightMatrix` gives it one."""

        grad: Tensor

else:
    Parameter = nn.Parameter


class NamedParameter(NamedTuple):
    """A parameter of every network, of one network's shape: a single stacked tensor, or a tensor for each network."""

    name: str
    shape: torch.Size
    parameters: tuple[nn.Parameter, ...]

    def views(self, matrix: Tensor) -> list[Tensor]:
        """Its columns of a matrix, (M, n), as the parameters are."""
        stacked = matrix.view(len(matrix), *self.shape)
        return [stacked] if self.parameters[0].shape == stacked.shape else list(stacked)


class Part(nn.Module):
    """A piece of M networks; the first axis of each parameter of its own is the networks.

    A new part answers for its own parameters, and for children that are no parts, such as a user's modules; those that
    are parts are asked.
    """

    def latent_masks(self, used: Tensor) -> dict[nn.Parameter, Tensor]:
        """Where a network that uses these latent dimensions (bool) keeps less than all of a parameter: which entries.

        A mask is that of one network, or broadcasts to it.
        """
        return {p: mask for _, part in self._parts() for p, mask in part.latent_masks(used).items()}

    def coefficients(self) -> Iterator[nn.Parameter]:
        """The parameters that are penalized."""
        for _, part in self._parts():
            yield from part.coefficients()

    def trained(self) -> Iterator[NamedParameter]:
        """Its parameters that train, by name."""
        for name, parameter in self.named_parameters(recurse=False):
            yield NamedParameter(name, parameter.shape[1:], (parameter,))
        for name, part in self._parts():
            for named in part.trained():
                yield named._replace(name=f"{name}.{named.name}")

    def initialize(self, network: int, generator: torch.Generator) -> None:
        """Draw the initial weights of one network, as if it were alone."""
        for _, part in self._parts():
            part.initialize(network, generator)

    def fold_into(self, folded: Any, mix: Tensor) -> None:
        """Give `folded` what this is at one beta, where it mixes its knots so, (M, 1, n_values)."""
        for (_, own), (_, its) in zip(self._parts(), folded._parts(), strict=True):
            own.fold_into(its, mix)

    def _parts(self) -> Iterator[tuple[str, Part]]:
        return ((name, child) for name, child in self.named_children() if isinstance(child, Part))


class Parts(Part, nn.ModuleList, Generic[P]):
    """A list of them."""

    if TYPE_CHECKING:  # torch's containers do not say what they hold

        def __getitem__(self, index: int) -> P: ...  # type: ignore[override]  # no slices

        def __iter__(self) -> Iterator[P]: ...


class NamedParts(Part, nn.ModuleDict, Generic[P]):
    """Some by name."""

    if TYPE_CHECKING:

        def __getitem__(self, name: str) -> P: ...

        def items(self) -> ItemsView[str, P]: ...

        def values(self) -> ValuesView[P]: ...
