"""Every network by name: ours with their provenance, timm's, and the user's own from a file.

Weights start from torch's current generator: who builds, seeds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import nn

from bakeoff.errors import ConfigError
from bakeoff.models.alexnet import PAPER_SMALLEST, AlexNet, AlexNetPaper
from bakeoff.models.bakenet import WIDTHS, bakenet
from bakeoff.models.cnn import PLANS, PlainCNN
from bakeoff.models.mobilenet import MobileNet
from bakeoff.models.pretrained import backbone, fresh, is_pretrained
from bakeoff.models.resnet import BasicBlock, Bottleneck, ResNet, ResNet9, WideResNet
from bakeoff.models.user_file import build_user_model, check_user_model, is_user_model, user_digest
from bakeoff.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """One network that can be trained by name."""

    build: Callable[[int, int], nn.Module]  # of (classes, image size in pixels)
    source: str  # where the architecture comes from
    summary: str  # one line for people
    smallest: int = 4  # pixels that it can be built for
    version: int = 1  # raised whenever what it computes or how it starts changes; runs are then trained anew


MODELS: Registry[ModelEntry] = Registry("model")

_STUDY = "Liu, He, Chen: Tiny ImageNet in Keras and AutoKeras, section"
_SUMMARIES = {
    "model1": "4 convolutions of 32 and 64 filters, 2 pools, no batch normalisation",
    "model2": "5 convolutions of 128 filters, 3 pools, no batch normalisation",
    "model3": "9 convolutions of 128 to 512 filters, strides in place of pools",
    "model4": "8 convolutions of 128 to 512 filters, 4 pools; the study's best",
    "model5": "8 convolutions of 128 to 1024 filters, 4 pools, 4 dense layers",
}
for _name, _text in _SUMMARIES.items():
    MODELS.register(
        _name, ModelEntry(build=partial(PlainCNN, PLANS[_name]), source=f"{_STUDY} 1", summary=_text)
    )
MODELS.register(
    "alexnet",
    ModelEntry(
        build=AlexNet,
        source=f"{_STUDY} 3",
        summary="AlexNet as the study wrote it: batch normalisation on the logits",
    ),
)
MODELS.register(
    "alexnet-paper",
    ModelEntry(
        build=AlexNetPaper,
        source="Krizhevsky et al., NeurIPS 2012",
        summary="AlexNet as published: two groups, local response normalisation",
        smallest=PAPER_SMALLEST,
    ),
)


def _mobilenet(width: float, classes: int, image_size: int) -> nn.Module:
    return MobileNet(classes, width)


def _resnet(
    block: type[BasicBlock | Bottleneck], depths: tuple[int, ...], classes: int, image_size: int
) -> nn.Module:
    return ResNet(block, depths, classes)


def _resnet9(width: int, classes: int, image_size: int) -> nn.Module:
    return ResNet9(classes, width)


def _wide_resnet(depth: int, width: int, classes: int, image_size: int) -> nn.Module:
    return WideResNet(depth, width, classes)


for _width in (1.0, 0.75, 0.5, 0.25):
    MODELS.register(
        "mobilenet" if _width == 1 else f"mobilenet-{_width:g}",
        ModelEntry(
            build=partial(_mobilenet, _width),
            source="Howard et al., arXiv 1704.04861, table 1",
            summary=f"depthwise separable convolutions with biases, {_width:g} of the paper's width",
        ),
    )


_HE = "He et al., CVPR 2016, table 1, with the stem of its section 4.2"
for _depth, _block, _depths in (
    (18, BasicBlock, (2, 2, 2, 2)), (34, BasicBlock, (3, 4, 6, 3)), (50, Bottleneck, (3, 4, 6, 3)),
):  # fmt: skip
    MODELS.register(
        f"resnet{_depth}-64px",
        ModelEntry(
            build=partial(_resnet, _block, _depths),
            source=_HE,
            summary=f"ResNet-{_depth} for small images: 3x3 convolution of stride 1 first, no pool",
        ),
    )
for _name, _channels in (("resnet9", 64), ("resnet9-wide", 128)):
    MODELS.register(
        _name,
        ModelEntry(
            build=partial(_resnet9, _channels),
            source="Page, 'How to Train Your ResNet', 2018, part 4",
            summary=f"8 convolutions of {_channels} to {8 * _channels} filters, two residual pairs",
            smallest=8,
        ),
    )
for _depth, _width in ((16, 4), (28, 10)):
    MODELS.register(
        f"wide-resnet{_depth}-{_width}",
        ModelEntry(
            build=partial(_wide_resnet, _depth, _width),
            source="Zagoruyko and Komodakis, BMVC 2016, table 1",
            summary=f"{_depth} layers, {_width} times the width of He's network for CIFAR-10",
        ),
    )
for _name in WIDTHS:
    MODELS.register(
        f"bakenet-{_name}",
        ModelEntry(
            build=partial(bakenet, _name),
            source="Jordan, arXiv 2404.00498; Page, 2018",
            summary="whitened patches, two residual pairs of {} and {} filters".format(*WIDTHS[_name][2:]),
            smallest=8,
        ),
    )


def build_model(name_or_path: str, *, classes: int, image_size: int, base_dir: Path) -> nn.Module:
    """Build a network with fresh weights, in training mode, on torch's current device.

    Args:
        name_or_path: A registered name, `my_net.py:build`, or ``timm:NAME``, whose weights start fresh here.
        classes: Outputs of the network.
        image_size: Rows and columns of its images, pixels.
        base_dir: What a relative path to a file refers to.

    Returns:
        A network that turns float images_BCHW into logits_BK.

    Raises:
        UnknownNameError: No network has this name.
        ConfigError: The user's file is missing or fails, or its network does not fit.
    """
    if is_pretrained(name_or_path):
        return fresh(backbone(name_or_path), classes, image_size)
    if not is_user_model(name_or_path):
        entry = MODELS[name_or_path]
        if image_size < entry.smallest:
            raise ConfigError(
                f"input_size: got {image_size} pixels, expected at least {entry.smallest} for {name_or_path}"
            )
        return entry.build(classes, image_size)
    return build_user_model(name_or_path, classes=classes, image_size=image_size, base_dir=base_dir)


def source_digest(name_or_path: str, base_dir: Path) -> str:
    """Hash what defines a network: a user's file and function, the name and version of one of ours.

    An edited file is thus trained anew, and a comment in our own code retrains nobody.

    Args:
        name_or_path: A registered name, or `my_net.py:build`.
        base_dir: What a relative path to a file refers to.

    Returns:
        SHA-256 in hexadecimal digits.

    Raises:
        UnknownNameError: No network has this name.
        ConfigError: The user's file is missing.
    """
    if is_user_model(name_or_path):
        return user_digest(name_or_path, base_dir)
    if is_pretrained(name_or_path):
        return hashlib.sha256(backbone(name_or_path).name.encode()).hexdigest()
    return hashlib.sha256(f"{name_or_path} {MODELS[name_or_path].version}".encode()).hexdigest()


def check_model(name_or_path: str, base_dir: Path) -> None:
    """Refuse a name that nobody registered, and a file without the function, before anything runs.

    Args:
        name_or_path: A registered name, or `my_net.py:build`.
        base_dir: What a relative path to a file refers to.

    Raises:
        UnknownNameError: No network has this name.
        ConfigError: The user's file is missing, is not Python, or binds no such name.
    """
    if is_pretrained(name_or_path):
        backbone(name_or_path)
        return
    if not is_user_model(name_or_path):
        MODELS[name_or_path]
        return
    check_user_model(name_or_path, base_dir)
