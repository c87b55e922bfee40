"""AlexNet twice: as the original study wrote it in Keras, and as the paper has it.

The study's network differs from the paper's: no response normalisation, no groups,
"same" padding, dropout of 0.4, and batch normalisation on the logits.

Shape letters: B images, C channels, H rows, W columns, K classes.
Source: Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep
Convolutional Neural Networks", NeurIPS 2012.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from bakeoff.models.keras_layers import BatchNorm1dKeras, Conv2dSame, Dense, MaxPool2dSame

# (filters, kernel, stride, whether a pool follows); both networks share it
_CONVOLUTIONS = (
    (96, 11, 4, True), (256, 5, 1, True), (384, 3, 1, False), (384, 3, 1, False), (256, 3, 1, True),
)  # fmt: skip
_HIDDEN = (4096, 4096)


class AlexNet(nn.Sequential):
    """The original study's network, built for one image size; its logits are normalised."""

    def __init__(self, classes: int, image_size: int) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        channels, side = 3, image_size
        for index, (filters, kernel, stride, pooled) in enumerate(_CONVOLUTIONS, start=1):
            layers[f"conv{index}"] = Conv2dSame(channels, filters, kernel, stride)
            layers[f"conv{index}_relu"] = nn.ReLU(inplace=True)
            channels, side = filters, -(-side // stride)
            if pooled:
                layers[f"pool{index}"] = MaxPool2dSame(3, 2)
                side = -(-side // 2)
        layers["flatten"] = nn.Flatten()
        features = channels * side * side
        for index, width in enumerate(_HIDDEN, start=1):
            layers[f"dense{index}"] = Dense(features, width)
            layers[f"dense{index}_relu"] = nn.ReLU(inplace=True)
            layers[f"dense{index}_dropout"] = nn.Dropout(0.4)
            features = width
        layers["output"] = Dense(features, classes)
        layers["output_norm"] = BatchNorm1dKeras(classes)
        super().__init__(layers)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Compute logits_BK from three-channel images of the size that the network was built for."""
        values = images_BCHW
        for layer in self:
            values = layer(values)
        return values


PIXEL_DEVIATION = 58.0  # of ImageNet's pixels about their channels' means, 0..255 scale (0.226 of 255)
PAPER_SMALLEST = 63  # pixels: the last pool then still sees a map of 3x3


class AlexNetPaper(nn.Sequential):
    """The paper's network: two groups, local response normalisation, overlapping pools.

    At 224 pixels the first convolution is padded by two, which gives the paper's 55x55 maps.
    """

    def __init__(self, classes: int, image_size: int) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        channels, side = 3, image_size
        for index, (filters, kernel, stride, pooled) in enumerate(_CONVOLUTIONS, start=1):
            padding = 2 if stride > 1 else kernel // 2
            groups = 2 if index in (2, 4, 5) else 1  # the paper's two processors
            layers[f"conv{index}"] = nn.Conv2d(channels, filters, kernel, stride, padding, groups=groups)
            layers[f"conv{index}_relu"] = nn.ReLU(inplace=True)
            channels, side = filters, (side + 2 * padding - kernel) // stride + 1
            if index <= 2:  # section 3.3; torch divides alpha by the number of neighbours
                layers[f"conv{index}_norm"] = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)
            if pooled:
                layers[f"pool{index}"] = nn.MaxPool2d(3, 2)
                side = (side - 3) // 2 + 1
        layers["flatten"] = nn.Flatten()
        features = channels * side * side
        for index, width in enumerate(_HIDDEN, start=1):
            layers[f"dense{index}_dropout"] = nn.Dropout(0.5)
            layers[f"dense{index}"] = nn.Linear(features, width)
            layers[f"dense{index}_relu"] = nn.ReLU(inplace=True)
            features = width
        layers["output"] = nn.Linear(features, classes)
        super().__init__(layers)
        self._start()

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Compute logits_BK from three-channel images of the size that the network was built for."""
        values = images_BCHW
        for layer in self:
            values = layer(values)
        return values

    def _start(self) -> None:
        """Draw the weights as section 5 of the paper says; some biases start at one.

        The paper feeds pixels of 0 to 255 with the mean taken off; here they come with a
        deviation of one or less, so the first layer starts as much larger as they are smaller.
        """
        for name, layer in self.named_children():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.normal_(layer.weight, std=0.01 * (PIXEL_DEVIATION if name == "conv1" else 1))
                ones = name in ("conv2", "conv4", "conv5", "dense1", "dense2")
                nn.init.constant_(layer.bias, 1.0 if ones else 0.0)  # type: ignore[arg-type]
