"""An architecture as plain values, and back: what a file of weights needs beside it to be built again.

Where its first weights came from is left out: the file has those of the whole network.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bakeoff.errors import ConfigError
from bakeoff.models.architecture import Architecture, External, OnBackbone, OnSource, Searched, title
from bakeoff.models.pretrained import Backbone
from bakeoff.spec.macro import Macro


def write_architecture(architecture: Architecture) -> dict[str, Any]:
    """Describe an architecture as plain values.

    >>> write_architecture("model4")
    {'model': 'model4'}
    """
    if isinstance(architecture, str):
        return {"model": architecture}
    if isinstance(architecture, Searched) and architecture.found is not None:
        architecture = architecture.found
    if isinstance(architecture, Macro):
        return {"macro": architecture.model_dump(mode="json")}
    if isinstance(architecture, Searched):
        raise ConfigError(f"the network of a {title(architecture)} is not known before it has ended")
    if isinstance(architecture, External):
        raise ConfigError(f"{title(architecture)} is a program of which only predictions are kept")
    built = {
        "head": list(architecture.head),
        "train": architecture.train if isinstance(architecture.train, str) else list(architecture.train),
        "train_last": architecture.train_last,
    }
    if isinstance(architecture, OnBackbone):
        return {"backbone": asdict(architecture.backbone), "digest": architecture.weights_sha256, **built}
    return {
        "base": write_architecture(architecture.base),
        "base_classes": architecture.base_classes,
        "input_size": architecture.input_size,
        "source": architecture.source,
        "identity": architecture.identity,
        "tap": architecture.tap,
        **built,
    }


def read_architecture(values: dict[str, Any]) -> Architecture:
    """Build an architecture from plain values again.

    Args:
        values: As `write_architecture` gives them, through JSON or not.

    Returns:
        The architecture, for `build_network` with ``trained=False``.

    Raises:
        ConfigError: Something is missing.

    >>> read_architecture({"model": "model4"})
    'model4'
    """
    try:
        if "model" in values:
            return str(values["model"])
        if "macro" in values:
            return Macro.model_validate(values["macro"])
        train = values["train"]
        built = {
            "head": tuple(values["head"]),
            "train": train if isinstance(train, str) else tuple(train),
            "train_last": values["train_last"],
        }
        if "backbone" in values:
            known = {one.name for one in fields(Backbone)}
            plain = {name: value for name, value in values["backbone"].items() if name in known}
            plain |= {name: tuple(plain[name]) for name in ("mean", "std")}
            return OnBackbone(
                backbone=Backbone(**plain), weights=None, digest=values.get("digest", ""), **built
            )
        return OnSource(
            base=read_architecture(values["base"]), base_classes=values["base_classes"],
            input_size=values["input_size"], source=values["source"], identity=values["identity"],
            weights=Path(), tap=values["tap"], **built,
        )  # fmt: skip
    except (KeyError, TypeError, ValidationError) as error:
        raise ConfigError(f"architecture: cannot be built again ({type(error).__name__}: {error})") from None
