"""Networks from a description, a study's or a search's: built, weighed, and written as code to paste.

A stage is entered by one layer, which changes the width and may halve the maps; its blocks leave both as
they are, so that the way around a block is never a convolution. That is the form of ResNet-9 (Page, "How to
Train Your ResNet", 2018, part 4) with every number left open.

Shape letters: B images, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict

import torch
from torch import Tensor, nn

from bakeoff.models.summary import Summary, summarise
from bakeoff.models.whitening import Whitening
from bakeoff.spec.macro import Activation, Macro, MacroStage

SE_REDUCTION = 8  # Hu et al., CVPR 2018, section 3.2 has 16; narrow networks keep more

_ACTIVATIONS: dict[Activation, type[nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU}


class Residual(nn.Module):
    """Add what a body makes of its input to that input, then activate."""

    def __init__(self, body: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.activation = activation

    def forward(self, values_BCHW: Tensor) -> Tensor:
        """Add and activate."""
        added: Tensor = self.activation(values_BCHW + self.body(values_BCHW))
        return added


class SqueezeExcite(nn.Module):
    """Weigh each channel by what the means of all channels say (Hu et al., CVPR 2018)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.expand = nn.Conv2d(hidden, channels, 1)

    def forward(self, values_BCHW: Tensor) -> Tensor:
        """Weigh."""
        means_BC11 = values_BCHW.mean((2, 3), keepdim=True)
        weighed: Tensor = values_BCHW * self.expand(self.reduce(means_BC11).relu()).sigmoid()
        return weighed


class SpaceToDepth(nn.Module):
    """Lay the pixels of small squares side by side as channels; edges are filled up with zeros.

    Shi et al., CVPR 2016, section 3.2, the other way round; as a stem in Ridnik et al., WACV 2021 (TResNet).
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return (B, side x side x C, H / side, W / side), channels last in memory."""
        side = self.side
        high, wide = -images_BCHW.shape[2] % side, -images_BCHW.shape[3] % side
        if high or wide:
            images_BCHW = nn.functional.pad(images_BCHW, (0, wide, 0, high))
        channels, rows, columns = images_BCHW.shape[1:]
        split = (-1, rows // side, side, columns // side, side, channels)
        moved = images_BCHW.permute(0, 2, 3, 1).reshape(split).permute(0, 1, 3, 2, 4, 5)
        return moved.flatten(3).permute(0, 3, 1, 2)


def start(network: nn.Module, zero_init_last: bool = True, identity: bool = False) -> None:
    """Draw first weights by each layer's inputs (He et al., ICCV 2015); residual bodies may start at zero.

    Convolutions may begin by passing on their first channels as they are (Jordan, arXiv 2404.00498).
    """
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
            if identity and layer.groups == 1 and layer.kernel_size[0] % 2 and ".gate." not in name:
                nn.init.dirac_(layer.weight[: layer.in_channels])
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    for name, layer in network.named_modules():
        if zero_init_last and name.endswith(".body"):
            weighed = [
                part
                for place, part in layer.named_modules()
                if isinstance(part, nn.BatchNorm2d | nn.Conv2d) and not place.startswith("gate")
            ]
            nn.init.zeros_(weighed[-1].weight)


def build_macro(description: Macro, classes: int) -> nn.Sequential:
    """Build a network with fresh weights, in training mode, on torch's current device.

    Args:
        description: What it is.
        classes: Outputs.

    Returns:
        A network that turns float images_BCHW of any size into logits_BK; weights are drawn from torch's
        current generator.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if description.whiten:
        layers["whiten"] = Whitening(description.whiten, description.patch)
        layers["whiten_act"] = _ACTIVATIONS[description.activation]()
    elif description.patch > 1:
        layers["patch"] = SpaceToDepth(description.patch)
    layers["stem"] = _stem(description)
    channels = description.stem_width
    for number, stage in enumerate(description.stages, start=1):
        layers[f"stage{number}"] = _stage(description, stage, channels)
        channels = stage.width
    layers["pool"] = nn.AdaptiveAvgPool2d(1) if description.head == "average" else nn.AdaptiveMaxPool2d(1)
    layers["flatten"] = nn.Flatten()
    if description.dropout:
        layers["dropout"] = nn.Dropout(description.dropout)
    layers["output"] = nn.Linear(channels, classes)
    network = nn.Sequential(layers)
    start(network, description.zero_init_last, description.identity_start)
    return network


def weigh(description: Macro, *, classes: int, pixels: int) -> Summary:
    """Count a network's parameters and multiplications; nothing is computed.

    Args:
        description: What it is.
        classes: Outputs.
        pixels: Rows and columns of an image.

    Returns:
        Its layers and their sums.
    """
    with torch.device("meta"):
        return summarise(build_macro(description, classes), pixels)


def code(description: Macro) -> str:
    """Write a network as a module of its own, to be used without bakeoff or as ``my_net.py:build``.

    Args:
        description: What it is.

    Returns:
        Python: the function ``build(classes, image_size)`` makes the same layers with the same names, so
        that the weights of one fit the other, and draws the same first weights from the same generator.
    """
    with torch.device("meta"):
        network = build_macro(description, 2)
    used = {type(module) for module in network.modules()}
    classes = [kind for kind in (Residual, SqueezeExcite, SpaceToDepth, Whitening) if kind in used]
    body = "\n".join(_call(network, 1, top=True))
    unusual = ", zero_init_last=False" * (not description.zero_init_last)
    begin = f"start(network{unusual}{', identity=True' * description.identity_start})"
    build = f"def build(classes, image_size):\n    network = {body}\n    {begin}\n    return network\n"
    about = f"A network that bakeoff has described: {description.words}."
    if Whitening in used:
        about += (
            "\n\nIts first layer is set by images: outside bakeoff call network.whiten.set_by(batches)\n"
            "before the first step, with normalized training images of shape (B, 3, H, W).\n"
        )
    head = f'"""{about}"""\n\n'
    whitened = Whitening in used
    imports = "import math\n" * whitened + "from collections import OrderedDict\n"
    imports += "from collections.abc import Iterable\n" * whitened
    imports += "\n" + "import torch\n" * whitened + f"from torch import {'Tensor, ' if classes else ''}nn\n"
    parts = [inspect.getsource(part) for part in (*classes, start)]
    return "\n\n".join([head + imports, *parts, build]).replace("\n\n\n\n", "\n\n\n")


def _call(module: nn.Module, depth: int, *, top: bool = False) -> list[str]:
    """Write the call that makes a module, its first line without indentation."""
    pad = "    " * (depth + 1)
    if isinstance(module, nn.Sequential):
        named = not all(name.isdigit() for name, _ in module.named_children())
        lines = ["nn.Sequential(OrderedDict(" if named else "nn.Sequential("]
        for name, part in module.named_children():
            first, *rest = _call(part, depth + 1)
            if top and isinstance(part, nn.Linear):
                first = f"nn.Linear({part.in_features}, classes)"
            lines += [f"{pad}{name}={first}" if named else f"{pad}{first}", *rest]
            lines[-1] += ","
        return [*lines, "    " * depth + ("))" if named else ")")]
    if isinstance(module, Residual):
        first, *rest = _call(module.body, depth + 1)
        lines = ["Residual(", f"{pad}{first}", *rest]
        lines[-1] += ","
        return [*lines, f"{pad}{_leaf(module.activation)},", "    " * depth + ")"]
    return [_leaf(module)]


def _leaf(module: nn.Module) -> str:
    """Write the call that makes one layer."""
    if isinstance(module, Whitening):
        return f"Whitening({module.kernel_size[0]}, {module.stride[0]})"
    if isinstance(module, nn.Conv2d):
        extra = "".join(
            f", {name}={value}"
            for name, value, usual in (
                ("stride", module.stride[0], 1), ("padding", int(module.padding[0]), 0),
                ("groups", module.groups, 1), ("bias", module.bias is not None, True),
            )
            if value != usual
        )  # fmt: skip
        return f"nn.Conv2d({module.in_channels}, {module.out_channels}, {module.kernel_size[0]}{extra})"
    if isinstance(module, SqueezeExcite):
        return f"SqueezeExcite({module.reduce.in_channels}, {module.reduce.out_channels})"
    if isinstance(module, SpaceToDepth):
        return f"SpaceToDepth({module.side})"
    if isinstance(module, nn.BatchNorm2d):
        return f"nn.BatchNorm2d({module.num_features})"
    if isinstance(module, nn.Dropout):
        return f"nn.Dropout({module.p!r})"
    if isinstance(module, nn.MaxPool2d):
        return "nn.MaxPool2d(2, ceil_mode=True)"
    if isinstance(module, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d):
        return f"nn.{type(module).__name__}(1)"
    return f"nn.{type(module).__name__}()"


def _stem(description: Macro) -> nn.Sequential:
    width, channels = description.stem_width, 3 * description.patch**2
    if description.whiten:
        channels = 6 * description.whiten**2
    if description.stem == "deep":
        return nn.Sequential(
            *_layer_parts(description, channels, width, 3),
            *_layer_parts(description, width, width, 3, stride=2),
        )
    return _layer(description, channels, width, 3, stride=1 if description.stem == "plain" else 2)


def _stage(description: Macro, stage: MacroStage, channels: int) -> nn.Sequential:
    """Build the layer that enters a stage, and its blocks."""
    stride = 2 if stage.down == "stride" else 1
    layers: OrderedDict[str, nn.Module] = OrderedDict(enter=_enter(description, stage, channels, stride))
    for number in range(1, stage.depth + 1):
        layers[f"block{number}"] = _block(description, stage)
    return nn.Sequential(layers)


def _enter(description: Macro, stage: MacroStage, channels: int, stride: int) -> nn.Sequential:
    pool = stage.down == "pool"
    if stage.block != "separable":
        parts = _layer_parts(description, channels, stage.width, stage.kernel, stride=stride, pool=pool)
        return nn.Sequential(*parts)
    deep = _layer_parts(description, channels, channels, stage.kernel, stride=stride, groups=channels)
    return nn.Sequential(*deep, *_layer_parts(description, channels, stage.width, 1, pool=pool))


def _block(description: Macro, stage: MacroStage) -> nn.Module:
    width, kernel = stage.width, stage.kernel
    if stage.block == "plain":
        parts = _layer_parts(description, width, width, kernel)
    elif stage.block == "residual":
        parts = [
            *_layer_parts(description, width, width, kernel),
            *_layer_parts(description, width, width, kernel, active=False),
        ]
    else:
        parts = [
            *_layer_parts(description, width, width, kernel, groups=width),
            *_layer_parts(description, width, width, 1),
            *_layer_parts(description, width, width, kernel, groups=width),
            *_layer_parts(description, width, width, 1, active=False),
        ]
    layers = OrderedDict((f"part{number}", part) for number, part in enumerate(parts, start=1))
    if description.attention == "se":
        layers["gate"] = SqueezeExcite(width, max(4, width // SE_REDUCTION))
    body = nn.Sequential(layers)
    return body if stage.block == "plain" else Residual(body, _ACTIVATIONS[description.activation]())


def _layer(
    description: Macro, channels_in: int, channels: int, kernel: int, stride: int = 1
) -> nn.Sequential:
    return nn.Sequential(*_layer_parts(description, channels_in, channels, kernel, stride=stride))


def _layer_parts(
    description: Macro,
    channels_in: int,
    channels: int,
    kernel: int,
    *,
    stride: int = 1,
    groups: int = 1,
    active: bool = True,
    pool: bool = False,
) -> list[nn.Module]:
    """Make a convolution, its pool, its normalization and its activation, as far as there are such.

    The pool comes first of these (as in Jordan, arXiv 2404.00498), so that the others cost a quarter.
    """
    normed = description.norm == "batch"
    parts: list[nn.Module] = [
        nn.Conv2d(
            channels_in, channels, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=not normed
        )
    ]
    if pool:  # of a side of one pixel that pixel stays
        parts.append(nn.MaxPool2d(2, ceil_mode=True))
    if normed:
        parts.append(nn.BatchNorm2d(channels))
    if active:
        parts.append(_ACTIVATIONS[description.activation]())
    return parts
