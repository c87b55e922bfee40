"""MobileNet as the original study had it: the paper's first version, with a bias in every convolution.

Each convolution is followed by batch normalisation and relu. The bias before a norm
does nothing that the norm's own shift does not do; it is kept, because the study's
parameter counts have it.

Shape letters: B images, C channels, H rows, W columns, K classes.
Source: Howard et al., "MobileNets", arXiv 1704.04861, table 1; sections 3.3 and 3.4 for
the width multiplier and the resolution.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from bakeoff.models.keras_layers import BatchNorm2dKeras, Conv2dSame, Dense, GlobalAveragePool

STEM = 32  # filters of the first convolution, before the width multiplier

# (filters of the pointwise convolution, stride of the depthwise one)
BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip


class MobileNet(nn.Sequential):
    """Depthwise separable convolutions, global average pooling and one dense layer; for any image size.

    Args:
        classes: Outputs.
        width: The multiplier of all channels, above 0.
    """

    def __init__(self, classes: int, width: float = 1.0) -> None:
        channels = _scaled(STEM, width)
        layers = _normalised("conv1", Conv2dSame(3, channels, 3, 2))
        for index, (filters, stride) in enumerate(BLOCKS, start=1):
            depthwise = Conv2dSame(channels, channels, 3, stride, groups=channels)
            layers |= _normalised(f"depthwise{index}", depthwise)
            layers |= _normalised(f"pointwise{index}", Conv2dSame(channels, _scaled(filters, width), 1))
            channels = _scaled(filters, width)
        layers["pool"] = GlobalAveragePool()
        layers["output"] = Dense(channels, classes)
        super().__init__(layers)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Compute logits_BK from three-channel images."""
        values = images_BCHW
        for layer in self:
            values = layer(values)
        return values


def _scaled(channels: int, width: float) -> int:
    """Thin a layer; one channel always stays.

    >>> _scaled(32, 0.25), _scaled(1024, 0.75)
    (8, 768)
    """
    return max(1, int(channels * width))


def _normalised(name: str, convolution: nn.Conv2d) -> OrderedDict[str, nn.Module]:
    return OrderedDict({
        name: convolution,
        f"{name}_norm": BatchNorm2dKeras(convolution.out_channels),
        f"{name}_relu": nn.ReLU(inplace=True),
    })  # fmt: skip
