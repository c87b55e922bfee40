"""The files that a classifier is written to, and how each is read back.

- ``.onnx``: for any program with an ONNX runtime (`bundle` reads it, without torch).
- ``.pt2``: torch's own exported program; reading one runs what it holds, so that it must be a trusted one.
- ``.safetensors`` with a ``.json`` of the same name: weights, and what is needed to build the network again.

Each says what it is: `About`. Nothing is proved here; `export` does that.
"""

from __future__ import annotations

import json
import pickle
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from bakeoff.deploy.bundle import SCHEMA, About
from bakeoff.deploy.network import trace
from bakeoff.deploy.shipped import Answering, InTorch, Shipped
from bakeoff.errors import ConfigError
from bakeoff.models.architecture import Architecture, architecture_digest, user_files
from bakeoff.models.written import read_architecture, write_architecture
from bakeoff.records.atomic import write_json
from bakeoff.spec import canonical_json
from bakeoff.spec.base import what_is_wrong
from bakeoff.training.classifier import Classifier, build_classifier, placed
from bakeoff.training.loop import own_global_state

Form = Literal["onnx", "torch-export", "safetensors"]

SUFFIXES: dict[Form, str] = {"onnx": ".onnx", "torch-export": ".pt2", "safetensors": ".safetensors"}
ABOUT = "bakeoff.json"  # inside of an exported program


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a stored network is built from again."""

    architecture: Architecture
    mean: tuple[float, ...]
    std: tuple[float, ...]
    base_dir: Path  # of a network from a user's file


def answering_of(about: About) -> Answering:
    """Say how logits become the answer of a classifier."""
    return Answering(image_size=about.image_size, views=about.views, temperature=about.temperature)


def write_program(file: Path, classifier: Classifier, about: About) -> None:
    """Write torch's exported program.

    Args:
        file: The ``.pt2`` to be.
        classifier: In evaluation mode, on the processor.
        about: What it is.

    Raises:
        ConfigError: torch cannot trace the network.
    """
    shipped = Shipped(classifier, answering_of(about)).eval()
    size = about.image_size
    examples = torch.randint(
        0, 256, (2, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    try:
        program = trace(shipped, examples, name="images")
    except Exception as error:  # of a user's network, anything
        text = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"export: '{about.candidate}' cannot be traced by torch.export ({type(error).__name__}: {text})"
        ) from error
    with file.open("wb") as opened, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch about its own format
        torch.export.save(program, opened, extra_files={ABOUT: canonical_json(about.as_dict())})


def read_program(file: Path) -> InTorch:
    """Read torch's exported program, which can hold any program: reading it runs what is in it.

    Args:
        file: A ``.pt2`` that `bakeoff export` has written, from somebody who is trusted.

    Returns:
        The classifier, on the processor.

    Raises:
        ConfigError: The file is missing, damaged, or somebody else's.
    """
    extra = {ABOUT: ""}
    try:
        with file.open("rb") as opened, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.load(opened, extra_files=extra)
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None
    except (RuntimeError, ValueError, KeyError, EOFError, AssertionError, pickle.UnpicklingError,
            zipfile.BadZipFile) as error:  # fmt: skip
        raise ConfigError(f"{file}: cannot be read as an exported program ({_line(error)})") from None
    about = read_about(extra[ABOUT], file)
    return InTorch(program.module(), about)


def neighbour(file: Path) -> Path:
    """Name the file beside weights that says what they are of."""
    return file.with_suffix(".json")


def write_weights(file: Path, beside: Path, classifier: Classifier, plan: Plan, about: About) -> None:
    """Write weights, and what is needed to build their network again.

    Args:
        file: The ``.safetensors`` to be.
        beside: The ``.json`` to be.
        classifier: Whose.
        plan: What it is built from.
        about: What it is.
    """
    weights = {
        name: tensor.to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in classifier.state_dict().items()
    }
    files = user_files(plan.architecture)
    values = {
        "bakeoff": about.as_dict(),
        "architecture": write_architecture(plan.architecture),
        "digest": architecture_digest(plan.architecture, plan.base_dir) if files else "",
        "mean": list(plan.mean),
        "std": list(plan.std),
    }
    file.write_bytes(save(weights, metadata={"bakeoff": canonical_json({"identity": about.identity})}))
    write_json(beside, values)


def read_weights(file: Path, *, base_dir: Path, beside: Path | None = None) -> InTorch:
    """Build a network again and give it its weights.

    Args:
        file: A ``.safetensors`` that `bakeoff export` has written.
        base_dir: What the path of a network from a user's file refers to.
        beside: What it is; None is the ``.json`` of the same name.

    Returns:
        The classifier, on the processor.

    Raises:
        ConfigError: One of the files is missing, damaged or somebody else's, or the user's has changed.
    """
    beside = beside or neighbour(file)
    try:
        values: dict[str, Any] = json.loads(beside.read_text(encoding="utf-8"))
        about = read_about(json.dumps(values["bakeoff"]), beside)
        architecture = read_architecture(values["architecture"])
        mean, std = tuple(values["mean"]), tuple(values["std"])
        weights = load_file(file)
    except OSError as error:
        raise ConfigError(f"{error.filename or file}: {error.strerror or 'no such file'}") from None
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ConfigError(f"{file}: is no export of bakeoff ({_line(error)})") from None
    if user_files(architecture) and architecture_digest(architecture, base_dir) != values.get("digest"):
        raise ConfigError(f"{file}: {user_files(architecture)[0]} is not as it was when it was exported")
    with own_global_state(torch.device("cpu")):
        classifier = build_classifier(
            architecture, classes=len(about.class_ids), input_size=about.input_size, mean=mean, std=std,
            seed=about.seed, base_dir=base_dir, trained=False,
        )  # fmt: skip
    try:
        classifier.load_state_dict(weights)
    except RuntimeError as error:
        raise ConfigError(f"{file}: is of another network ({_line(error)})") from None
    module: nn.Module = Shipped(placed(classifier, torch.device("cpu")), answering_of(about)).eval()
    return InTorch(module, about)


def read_about(text: str, file: Path) -> About:
    """Check what a file says about itself."""
    if not text:
        raise ConfigError(f"{file}: was not written by bakeoff, expected a file of 'bakeoff export'")
    try:
        about = TypeAdapter(About).validate_json(text, strict=True)
    except ValidationError as error:
        raise ConfigError(f"{file}: {what_is_wrong(error)}") from None
    if about.schema > SCHEMA:
        raise ConfigError(f"{file}: written by a newer bakeoff (schema {about.schema}, expected {SCHEMA})")
    return about


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
