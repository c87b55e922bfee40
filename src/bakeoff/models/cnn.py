"""The five convolutional networks of the original study, as plans and one builder.

The study's table gives the counts of layers; what it leaves open (order, strides,
widths of the dense layers) is filled in by the plans below. A layer with weights is
followed by relu and then, in the plans that have it, by batch normalisation, as in
`Conv2D(activation="relu")` before `BatchNormalization()`; the output has neither.

Shape letters: B images, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from torch import Tensor, nn

from bakeoff.models.keras_layers import BatchNorm1dKeras, BatchNorm2dKeras, Conv2dSame, Dense, MaxPool2dSame


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A network in words: `128` is a 3x3 convolution with 128 filters, `/2` its stride, `P` a 2x2 pool."""

    body: str
    dense: tuple[int, ...]  # widths of the hidden dense layers
    norm: bool  # batch normalisation after every layer with weights but the output


PLANS: dict[str, Plan] = {
    "model1": Plan(body="32 32 P 64 64 P", dense=(512,), norm=False),
    "model2": Plan(body="128 P 128 128 P 128 128 P", dense=(512, 512), norm=False),
    "model3": Plan(body="128 128/2 128 256/2 256 256/2 512 512/2 512", dense=(512,), norm=True),
    "model4": Plan(body="128 128/2 P 128 128/2 P 256 256/2 P 512 512/2 P", dense=(512, 512), norm=True),
    "model5": Plan(
        body="128 128/2 P 256 256/2 P 512 512/2 P 1024 1024/2 P", dense=(1024, 1024, 512), norm=True
    ),
}


class PlainCNN(nn.Sequential):
    """Convolutions and pools, then dense layers; built for one image size."""

    def __init__(self, plan: Plan, classes: int, image_size: int) -> None:
        layers, channels, side = _body(plan, image_size)
        layers["flatten"] = nn.Flatten()
        features = channels * side * side
        for index, width in enumerate(plan.dense, start=1):
            layers[f"dense{index}"] = Dense(features, width)
            layers[f"dense{index}_relu"] = nn.ReLU(inplace=True)
            if plan.norm:
                layers[f"dense{index}_norm"] = BatchNorm1dKeras(width)
            features = width
        layers["output"] = Dense(features, classes)
        super().__init__(layers)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Compute logits_BK from three-channel images of the size that the network was built for."""
        values = images_BCHW
        for layer in self:
            values = layer(values)
        return values


def _body(plan: Plan, image_size: int) -> tuple[OrderedDict[str, nn.Module], int, int]:
    """Build the part before flattening; return it with the channels and the side of its maps."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels, side, convs, pools = 3, image_size, 0, 0
    for word in plan.body.split():
        if word == "P":
            pools += 1
            layers[f"pool{pools}"] = MaxPool2dSame(2, 2)
            side = -(-side // 2)
            continue
        filters, _, stride = word.partition("/")
        convs += 1
        name = f"conv{convs}"
        layers[name] = Conv2dSame(channels, int(filters), 3, int(stride or 1))
        layers[f"{name}_relu"] = nn.ReLU(inplace=True)
        if plan.norm:
            layers[f"{name}_norm"] = BatchNorm2dKeras(int(filters))
        channels, side = int(filters), -(-side // int(stride or 1))
    return layers, channels, side
