"""The built-in encoder of images."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

WIDTHS = 16, 32, 64
N_GROUPS = 4
LARGEST = 4  # side of the last map


class Convolutions(nn.Module):
    """Images (n, height, width) or (n, channels, height, width) -> features (n, 64 * height * width of the last map).

    Three times a convolution of 3 x 3, GroupNorm (Wu and He 2018), ReLU and the largest of 2 x 2. What is left of large
    images is averaged to 4 x 4.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        n_channels, *sides = (1, *shape)[-3:]
        for width in WIDTHS:
            layers += [nn.Conv2d(n_channels, width, 3, padding=1), nn.GroupNorm(N_GROUPS, width), nn.ReLU()]
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
            n_channels, sides = width, [-(-side // 2) for side in sides]
        layers.append(nn.AdaptiveAvgPool2d((min(sides[0], LARGEST), min(sides[1], LARGEST))))
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images if images.ndim == 4 else images.unsqueeze(1)).flatten(1)
