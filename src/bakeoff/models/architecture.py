"""What a candidate's network is, as plain data, and how it is built.

A name (ours, or `my_net.py:build`) is a network from scratch. `OnSource` is one built on a
candidate that was trained before it, which may itself have been built on another one;
`OnBackbone` one built on a network of timm. `Macro` is described layer by layer; `Searched` is the one
that a search finds, or has found. `External` is none: somebody else's program, of which nothing but its
answers is known.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from bakeoff.errors import ConfigError
from bakeoff.evidence.external import command_words
from bakeoff.evidence.provenance import seen_by
from bakeoff.models.catalog import build_model, source_digest
from bakeoff.models.macro import build_macro
from bakeoff.models.pretrained import Backbone, build_backbone, find_weights, weights_digest
from bakeoff.models.transfer import Head, Stacked, Tap, all_but_blocks, all_but_last, stack
from bakeoff.models.user_file import is_user_model
from bakeoff.records.digests import file_sha256
from bakeoff.spec.candidate import PRETRAINED
from bakeoff.spec.digest import sha256
from bakeoff.spec.macro import Macro
from bakeoff.spec.search import SearchSpec

PREFIX = "network."  # of a run's stored weights: what is scored is preprocessing and network


@dataclass(frozen=True, kw_only=True)
class OnSource:
    """A network on top of a trained one."""

    # The trained network
    base: Architecture
    base_classes: int
    input_size: int  # pixels that it was trained on
    source: str  # its candidate's name, for messages
    identity: str  # of the run that trained it
    weights: Path  # where that run leaves them; there when it has ended
    # What is built on it
    tap: Tap
    head: tuple[int | float, ...]
    # What of it moves: all, nothing but the head, blocks by name, or its last layers as Keras counts
    train: Literal["all", "head"] | tuple[str, ...]
    train_last: int | None


@dataclass(frozen=True, kw_only=True)
class OnBackbone:
    """A network on top of one of timm's, with the weights that it was published with."""

    backbone: Backbone
    weights: Path | None  # the user's own file; None looks where such weights are found
    head: tuple[int | float, ...]
    train: Literal["all", "head"] | tuple[str, ...]
    train_last: int | None
    digest: str = ""  # SHA-256 of the weights where a run has noted it, and they are not read again

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the weights in hexadecimal digits; they are looked for unless a run has noted it."""
        return self.digest or weights_digest(find_weights(self.backbone, self.weights))


@dataclass(frozen=True, kw_only=True)
class External:
    """Somebody else's program, which is no network of ours: it cannot be built, only asked."""

    command: tuple[str, ...]  # as the study has it

    def files(self, base_dir: Path) -> dict[str, Path]:
        """Find the words of the command that are files beside the study's.

        Args:
            base_dir: What relative paths refer to.

        Returns:
            The files by their words; the program itself only where it is given by a path.
        """
        words = [word for word in self.command[1:] if not word.startswith("-")]
        words += [word for word in self.command[:1] if "/" in word and not os.path.isabs(word)]
        found = {word: base_dir / os.path.expanduser(word) for word in words}
        return {word: path for word, path in found.items() if path.is_file()}


FOUND = "found: "  # before the words for a network that a search has found
MACRO_VERSION = 2  # raised whenever a described network that halves by a pool computes something else
SEARCH_VERSION = 2  # raised whenever equal settings of a search mean another search


@dataclass(frozen=True, kw_only=True)
class Searched:
    """A network that a search finds within its run; unknown until then."""

    search: SearchSpec
    found: Macro | OnBackbone | None = None


Architecture = str | OnSource | OnBackbone | External | Macro | Searched


def build_network(
    architecture: Architecture, *, classes: int, image_size: int, base_dir: Path, trained: bool = True
) -> nn.Module:
    """Build a network, in training mode, on torch's current device.

    Args:
        architecture: What it is.
        classes: Outputs.
        image_size: Rows and columns of its images, pixels.
        base_dir: What a relative path to a user's file refers to.
        trained: Whether a source's weights are read; without, they are as fresh as the head's.

    Returns:
        A network that turns float images_BCHW into logits_BK; new weights are drawn from
        torch's current generator.

    Raises:
        ConfigError: There is no such model, it is no network, or head, tap or blocks do not fit it.
        ConfigError: ... or it is still to be searched for.
        ConfigError: ... or the source's weights are missing or are of another network.
    """
    if isinstance(architecture, str):
        return build_model(architecture, classes=classes, image_size=image_size, base_dir=base_dir)
    if isinstance(architecture, OnBackbone):
        return _on_backbone(architecture, classes, image_size, trained=trained)
    if isinstance(architecture, Macro):
        return build_macro(architecture, classes)
    if isinstance(architecture, Searched):
        return build_network(
            _found(architecture), classes=classes, image_size=image_size, base_dir=base_dir, trained=trained
        )
    if isinstance(architecture, External):
        raise ConfigError(f"{title(architecture)} is a program of which only predictions are kept")
    base = build_network(
        architecture.base, classes=architecture.base_classes, image_size=image_size,
        base_dir=base_dir, trained=False,
    )  # fmt: skip
    if trained:
        _read_weights(base, architecture)
    kept = _kept(base, architecture)  # counted on the whole source, before it is cut
    network = stack(
        base, base_classes=architecture.base_classes, tap=architecture.tap,
        head=architecture.head, classes=classes,
    )  # fmt: skip
    network.freeze(kept)
    return network


def architecture_digest(architecture: Architecture, base_dir: Path) -> str:
    """Hash what defines a network, its source's among it; the source's weights are no part of it.

    Equal for all seeds of a candidate, whose sources are trained by other seeds each.

    Args:
        architecture: What it is.
        base_dir: What a relative path to a user's file refers to.

    Returns:
        SHA-256 in hexadecimal digits.

    Raises:
        UnknownNameError: No network has this name.
        ConfigError: The user's file is missing.
    """
    if isinstance(architecture, str):
        return source_digest(architecture, base_dir)
    if isinstance(architecture, OnBackbone):
        values = {
            "backbone": architecture.backbone.name,
            "weights": architecture.weights_sha256,
            "head": list(architecture.head),
            "train": architecture.train,
            "train_last": architecture.train_last,
            "interpolation": architecture.backbone.interpolation,
        }
        return sha256(values)
    if isinstance(architecture, External):
        files = {word: file_sha256(path) for word, path in architecture.files(base_dir).items()}
        return sha256({"external": list(architecture.command), "files": files})
    if isinstance(architecture, Macro):
        pooled = any(stage.down == "pool" for stage in architecture.stages)
        version = {"version": MACRO_VERSION} if pooled else {}
        return sha256({"macro": architecture.model_dump(mode="json", exclude_defaults=True), **version})
    if isinstance(
        architecture, Searched
    ):  # what it finds follows from that, the seed, the images and the clock
        settings = architecture.search.model_dump(mode="json", exclude_defaults=True, exclude={"budget"})
        settings |= (
            {"budget": True} if architecture.search.budget is not None else {}
        )  # its size is the recipe's
        return sha256({"search": settings, "version": SEARCH_VERSION})
    values = {
        "base": architecture_digest(architecture.base, base_dir),
        "base_classes": architecture.base_classes,
        "tap": architecture.tap,
        "head": list(architecture.head),
        "train": architecture.train,
        "train_last": architecture.train_last,
    }
    return sha256(values)


def _found(architecture: Searched) -> Macro | OnBackbone:
    """Return what a search has found."""
    if architecture.found is None:
        raise ConfigError(f"the network of a {title(architecture)} is not known before it has ended")
    return architecture.found


def base_digest(architecture: Architecture, base_dir: Path) -> str:
    """Hash what defines the network that another one stands on; for a fresh one, itself.

    Args:
        architecture: What stands on it.
        base_dir: What a relative path to a user's file refers to.

    Returns:
        SHA-256 in hexadecimal digits.
    """
    if isinstance(architecture, OnBackbone):
        return hashlib.sha256(architecture.backbone.name.encode()).hexdigest()
    return architecture_digest(
        architecture.base if isinstance(architecture, OnSource) else architecture, base_dir
    )


def user_files(architecture: Architecture) -> list[str]:
    """List the user's own model files, `my_net.py:build`, that a network rests on."""
    if isinstance(architecture, str):
        return [architecture] if is_user_model(architecture) else []
    return user_files(architecture.base) if isinstance(architecture, OnSource) else []


def origin(architecture: Architecture) -> OnBackbone | None:
    """Return the network of timm that a network stands on in the end; None when all of it starts fresh."""
    if isinstance(architecture, OnSource):
        return origin(architecture.base)
    if isinstance(architecture, Searched) and architecture.found is not None:
        return origin(architecture.found)
    return architecture if isinstance(architecture, OnBackbone) else None


def interpolation_of(architecture: Architecture) -> Literal["bilinear", "bicubic"]:
    """Return how larger images are brought to a network's size: as those that its weights have seen.

    >>> interpolation_of("model4")
    'bilinear'
    """
    found = origin(architecture)
    return "bilinear" if found is None else found.backbone.interpolation


def seen_before(architecture: Architecture) -> str:
    """Say what a network's weights have seen before the study; nothing for a fresh one.

    >>> seen_before("model4")
    ''
    """
    found = origin(architecture)
    if found is None:
        return ""
    seen = seen_by(found.backbone.trained_on)
    return seen if found.weights is None else f"{seen}, as far as is known of a file"


def describe_origin(architecture: Architecture) -> dict[str, Any]:
    """Describe the weights that somebody else has trained and a network stands on, as plain values.

    Args:
        architecture: What the network is.

    Returns:
        The network's name, what it has seen, its licence and its weights' SHA-256; nothing for a
        network that starts fresh.
    """
    found = origin(architecture)
    if found is None:
        return {}
    return {
        "network": f"{PRETRAINED}{found.backbone.name}",
        "seen": seen_before(architecture),
        "trained_on": found.backbone.trained_on if found.weights is None else "",
        "license": found.backbone.license if found.weights is None else "not stated",
        "weights_sha256": found.weights_sha256,
    }


def title(architecture: Architecture) -> str:
    """Say what a network is in a few words.

    >>> title("model4")
    'model4'
    >>> title(External(command=("python", "-m", "bakeoff.external.sklearn", "--model", "forest")))
    'external: python -m bakeoff.external.sklearn --model forest'
    """
    if isinstance(architecture, str):
        return architecture
    if isinstance(architecture, OnBackbone):
        return f"{PRETRAINED}{architecture.backbone.name}"
    if isinstance(architecture, External):
        return command_words(architecture.command)
    if isinstance(architecture, Macro):
        return architecture.words
    if isinstance(architecture, Searched):
        found = architecture.found
        return architecture.search.words if found is None else f"{FOUND}{title(found)}"
    place = "" if architecture.tap == "features" else "'s output"
    return f"on {architecture.source}{place}"


def _on_backbone(architecture: OnBackbone, classes: int, image_size: int, *, trained: bool) -> Stacked:
    """Build a network on one of timm's."""
    known = architecture.backbone
    file = find_weights(known, architecture.weights) if trained else None
    base, features = build_backbone(known, file, image_size)
    network = Stacked(base, Head(features, architecture.head, classes), probabilities=False)
    network.freeze(_kept(base, architecture))
    return network


def _kept(base: nn.Module, architecture: OnSource | OnBackbone) -> list[nn.Module]:
    """List the layers of the base that stay as they are."""
    if architecture.train_last is not None:
        return all_but_last(base, architecture.train_last)
    if architecture.train == "all":
        return []
    if architecture.train == "head":
        return all_but_last(base, 0)
    return all_but_blocks(base, architecture.train)


def _read_weights(base: nn.Module, architecture: OnSource) -> None:
    """Fill a network with the weights that a run has left."""
    path = architecture.weights
    try:
        stored = load_file(path)
    except FileNotFoundError:
        raise ConfigError(
            f"from: the weights of '{architecture.source}' are gone; delete {path.parent} to train it anew"
        ) from None
    except (OSError, SafetensorError) as error:
        raise ConfigError(
            f"from: cannot read {path} ({error}); delete {path.parent} to train '{architecture.source}' anew"
        ) from None
    weights = {name.removeprefix(PREFIX): t for name, t in stored.items() if name.startswith(PREFIX)}
    wanted = base.state_dict()
    odd = sorted(wanted.keys() ^ weights.keys())
    odd += sorted(
        name for name in wanted.keys() & weights.keys() if wanted[name].shape != weights[name].shape
    )
    if odd:
        raise ConfigError(
            f"from: the weights of '{architecture.source}' are of another network: "
            f"{', '.join(odd[:3])}{' and more' if len(odd) > 3 else ''} ({path})"
        )
    base.load_state_dict(weights)
