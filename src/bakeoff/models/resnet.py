"""Residual networks in their forms for small images: no stride and no pool before the first block.

Shape letters: B images, C channels, H rows, W columns, K classes.
Sources: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 1 and
section 4.2 (the stem for small images); Zagoruyko and Komodakis, "Wide Residual Networks", BMVC
2016, table 1; Page, "How to Train Your ResNet", 2018, part 4 (ResNet-9).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

STAGES = (64, 128, 256, 512)  # channels of the four stages, before a bottleneck's expansion


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside the way around them."""

    expansion = 1

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv(channels_in, channels, 3, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _conv(channels, channels, 3)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = _shortcut(channels_in, channels, stride)

    def forward(self, values_BCHW: Tensor) -> Tensor:
        """Add what is learned to what came."""
        around = values_BCHW if self.downsample is None else self.downsample(values_BCHW)
        values_BCHW = F.relu(self.bn1(self.conv1(values_BCHW)), inplace=True)
        return F.relu(self.bn2(self.conv2(values_BCHW)).add_(around), inplace=True)


class Bottleneck(nn.Module):
    """A 3x3 convolution of few channels between two 1x1 ones, beside the way around them.

    The stride is at the 3x3 convolution, as torchvision has it ("ResNet v1.5").
    """

    expansion = 4

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        wide = channels * self.expansion
        self.conv1 = _conv(channels_in, channels, 1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _conv(channels, channels, 3, stride)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = _conv(channels, wide, 1)
        self.bn3 = nn.BatchNorm2d(wide)
        self.downsample = _shortcut(channels_in, wide, stride)

    def forward(self, values_BCHW: Tensor) -> Tensor:
        """Add what is learned to what came."""
        around = values_BCHW if self.downsample is None else self.downsample(values_BCHW)
        values_BCHW = F.relu(self.bn1(self.conv1(values_BCHW)), inplace=True)
        values_BCHW = F.relu(self.bn2(self.conv2(values_BCHW)), inplace=True)
        return F.relu(self.bn3(self.conv3(values_BCHW)).add_(around), inplace=True)


class ResNet(nn.Sequential):
    """ResNet-18, -34 or -50 behind a 3x3 convolution of stride 1; layers are named as torchvision names them.

    Args:
        block: What it is made of.
        depths: Blocks of each of the four stages.
        classes: Outputs.
    """

    def __init__(self, block: type[BasicBlock | Bottleneck], depths: Sequence[int], classes: int) -> None:
        channels = STAGES[0]
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            conv1=_conv(3, channels, 3), bn1=nn.BatchNorm2d(channels), relu=nn.ReLU(inplace=True)
        )
        for number, (planes, depth) in enumerate(zip(STAGES, depths, strict=True), start=1):
            blocks = []
            for index in range(depth):
                stride = 2 if number > 1 and index == 0 else 1
                blocks.append(block(channels, planes, stride))
                channels = planes * block.expansion
            layers[f"layer{number}"] = nn.Sequential(*blocks)
        layers |= _head(channels, classes)
        super().__init__(layers)
        _start_as_he(self)


class PreActivationBlock(nn.Module):
    """Norm and relu before each of two 3x3 convolutions (He et al., ECCV 2016)."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = _conv(channels_in, channels, 3, stride)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = _conv(channels, channels, 3)
        changes = stride > 1 or channels_in != channels
        self.shortcut = _conv(channels_in, channels, 1, stride) if changes else None

    def forward(self, values_BCHW: Tensor) -> Tensor:
        """Add what is learned to what came, or to its first activations where shapes change."""
        active_BCHW = F.relu(self.bn1(values_BCHW), inplace=True)
        around = values_BCHW if self.shortcut is None else self.shortcut(active_BCHW)
        hidden_BCHW = F.relu(self.bn2(self.conv1(active_BCHW)), inplace=True)
        added: Tensor = self.conv2(hidden_BCHW).add_(around)
        return added


class WideResNet(nn.Sequential):
    """WRN-depth-width of the paper, without dropout.

    Args:
        depth: Layers, 6 n + 4.
        width: The multiplier of the channels 16, 32 and 64.
        classes: Outputs.
    """

    def __init__(self, depth: int, width: int, classes: int) -> None:
        count, channels = (depth - 4) // 6, 16
        layers: OrderedDict[str, nn.Module] = OrderedDict(conv1=_conv(3, channels, 3))
        for number in range(3):
            blocks = []
            for index in range(count):
                stride = 2 if number > 0 and index == 0 else 1
                blocks.append(PreActivationBlock(channels, 16 * width * 2**number, stride))
                channels = 16 * width * 2**number
            layers[f"group{number + 1}"] = nn.Sequential(*blocks)
        layers["bn"] = nn.BatchNorm2d(channels)
        layers["relu"] = nn.ReLU(inplace=True)
        layers |= _head(channels, classes)
        super().__init__(layers)
        _start_as_he(self)


class ResNet9(nn.Sequential):
    """Eight convolutions, two of the four stages with a residual pair, and logits divided by eight.

    Args:
        classes: Outputs.
        width: Channels of the first convolution; the others are 2, 4 and 8 times as many.
    """

    def __init__(self, classes: int, width: int = 64) -> None:
        super().__init__(OrderedDict(
            prep=_conv_norm(3, width),
            layer1=_conv_norm(width, 2 * width, pool=True),
            residual1=_Residual(2 * width),
            layer2=_conv_norm(2 * width, 4 * width, pool=True),
            layer3=_conv_norm(4 * width, 8 * width, pool=True),
            residual3=_Residual(8 * width),
            pool=nn.AdaptiveMaxPool2d(1),
            flatten=nn.Flatten(),
            fc=nn.Linear(8 * width, classes, bias=False),
            scale=_Scaled(0.125),
        ))  # fmt: skip


class _Residual(nn.Sequential):
    """Two convolutions beside the way around them."""

    def __init__(self, channels: int) -> None:
        super().__init__(_conv_norm(channels, channels), _conv_norm(channels, channels))

    def forward(self, values_BCHW: Tensor) -> Tensor:
        learned_BCHW = values_BCHW
        for part in self:
            learned_BCHW = part(learned_BCHW)
        return values_BCHW + learned_BCHW


class _Scaled(nn.Module):
    """Multiply by a constant."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, values: Tensor) -> Tensor:
        return values * self.factor


def _conv(channels_in: int, channels: int, side: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels, side, stride, padding=side // 2, bias=False)


def _conv_norm(channels_in: int, channels: int, *, pool: bool = False) -> nn.Sequential:
    layers = [_conv(channels_in, channels, 3), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, *([nn.MaxPool2d(2)] if pool else []))


def _shortcut(channels_in: int, channels: int, stride: int) -> nn.Sequential | None:
    """Bring what goes around a block to the block's shape, where it has another."""
    if stride == 1 and channels_in == channels:
        return None
    return nn.Sequential(_conv(channels_in, channels, 1, stride), nn.BatchNorm2d(channels))


def _head(channels: int, classes: int) -> OrderedDict[str, nn.Module]:
    return OrderedDict(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), fc=nn.Linear(channels, classes))


def _start_as_he(model: nn.Module) -> None:
    """Draw convolutions as He et al. (ICCV 2015, eq. 15) for the backward pass, as torchvision does."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
