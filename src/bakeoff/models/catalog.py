"""Every network by name, and the user's own from a file.

A name leads to an entry with provenance. `my_net.py:build` leads to a function of
(classes, image_size) in a file of the user's, whose network is tried on one image
before anything is trained with it. Weights start from torch's current generator: who
builds, seeds.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from bakeoff.errors import ConfigError, nearest
from bakeoff.models.alexnet import PAPER_SMALLEST, AlexNet, AlexNetPaper
from bakeoff.models.cnn import PLANS, PlainCNN
from bakeoff.models.keras_layers import GlobalAveragePool, MaxPool2dSame
from bakeoff.models.mobilenet import MobileNet
from bakeoff.models.modes import evaluating
from bakeoff.models.pretrained import backbone, fresh, is_pretrained
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


for _width in (1.0, 0.75, 0.5, 0.25):
    MODELS.register(
        "mobilenet" if _width == 1 else f"mobilenet-{_width:g}",
        ModelEntry(
            build=partial(_mobilenet, _width),
            source="Howard et al., arXiv 1704.04861, table 1",
            summary=f"depthwise separable convolutions with biases, {_width:g} of the paper's width",
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
    path, function_name = _user_file(name_or_path, base_dir)
    before = os.getcwd()
    try:
        model = _call(path, function_name, name_or_path, classes, image_size)
    finally:
        os.chdir(before)  # a user's file may have gone elsewhere; the study's paths start here
    if not isinstance(model, nn.Module):
        raise ConfigError(
            f"model: {name_or_path} returned {type(model).__name__}, expected a torch.nn.Module"
        )
    _try_on_one_image(model, name_or_path, path, classes, image_size)
    return model


def is_user_model(name_or_path: str) -> bool:
    """Tell whether a model is given as a file.

    >>> is_user_model("my_net.py:build"), is_user_model("model4")
    (True, False)
    """
    return name_or_path.endswith(".py") or ".py:" in name_or_path


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
        path, function = _user_file(name_or_path, base_dir)
        return hashlib.sha256(_read(path) + b"\0" + function.encode()).hexdigest()
    if is_pretrained(name_or_path):
        return hashlib.sha256(backbone(name_or_path).name.encode()).hexdigest()
    return hashlib.sha256(f"{name_or_path} {MODELS[name_or_path].version}".encode()).hexdigest()


def _call(path: Path, function_name: str, name_or_path: str, classes: int, image_size: int) -> Any:
    """Return whatever the user's function returns."""
    module = _run_file(path, name_or_path)
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ConfigError(f"model: {path.name} has no function '{function_name}', expected it there")
    try:
        return function(classes, image_size)
    except (Exception, SystemExit) as error:  # a user's file may end the process
        raise ConfigError(f"model: {name_or_path} {_what_went_wrong(error, path)}") from error


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
    path, function = _user_file(name_or_path, base_dir)
    tree = _parsed(_read(path), path, name_or_path)
    _refuse_neighbours(tree, path)
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {a.asname or a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names}
    if function not in names:
        raise ConfigError(f"model: {path.name} has no function '{function}'{nearest(function, names)}")


def count_layers(model: nn.Module) -> dict[str, int]:
    """Count convolutions, pools, dense layers ("fc") and batch normalisations ("bn")."""
    kinds: dict[str, tuple[type[nn.Module], ...]] = {
        "conv": (nn.Conv1d, nn.Conv2d, nn.Conv3d),
        "pool": (
            MaxPool2dSame,
            nn.MaxPool2d,
            nn.AvgPool2d,
            nn.AdaptiveAvgPool2d,
            nn.AdaptiveMaxPool2d,
            GlobalAveragePool,
        ),
        "fc": (nn.Linear,),
        "bn": (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
    }
    counts = Counter(
        kind for module in model.modules() for kind, types in kinds.items() if isinstance(module, types)
    )
    return {kind: counts[kind] for kind in kinds}


def _parsed(source: bytes, path: Path, name_or_path: str) -> ast.Module:
    try:
        return ast.parse(source, filename=str(path))
    except (SyntaxError, ValueError) as error:
        raise ConfigError(f"model: {name_or_path} {_what_went_wrong(error, path)}") from error


def _refuse_neighbours(tree: ast.Module, path: Path) -> None:
    """Refuse to import from the file's own folder or the working folder: no digest covers what lies there.

    A notebook has the working folder on its path, so such an import would work, and an
    edited neighbour would leave yesterday's results in place.
    """
    here = {path.parent.resolve(), Path.cwd()}
    for name in sorted(_imported(tree)):
        if name not in sys.stdlib_module_names and _home(name, path.parent) in here:
            raise ConfigError(
                f"model: {path.name} imports '{name}' from its folder, "
                "which a run's identity does not cover; expected one file, or an installed package"
            )


def _imported(tree: ast.Module) -> set[str]:
    """List the modules that a file imports anywhere, by the first part of their names."""
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return {module.partition(".")[0] for module in modules} - {""}


def _home(name: str, folder: Path) -> Path | None:
    """Find the folder that a module is imported from; one that cannot be may lie beside the file."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # a module without a specification, such as a notebook's own
        return None
    if spec is None:
        beside = (folder / f"{name}.py").exists() or (folder / name).is_dir()
        return folder.resolve() if beside else None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).resolve().parent
    return Path(spec.origin).resolve().parent if spec.has_location and spec.origin else None


def _user_file(name_or_path: str, base_dir: Path) -> tuple[Path, str]:
    """Split `my_net.py:build` into the file and the function's name."""
    file, _, function = name_or_path.rpartition(":")
    if not file.endswith(".py") or not function.isidentifier():
        raise ConfigError(
            f"model: got '{name_or_path}', expected a file and a function like 'my_net.py:build'"
        )
    return base_dir / Path(os.path.expanduser(file)), function


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"model: no file {path}") from None
    except OSError as error:
        raise ConfigError(f"model: cannot read {path}: {error.strerror}") from None


def _run_file(path: Path, name_or_path: str) -> ModuleType:
    """Execute the user's file as a module of its own.

    The bytes that are hashed are the bytes that run: no compiled copy is read or left
    beside the file, and its folder is not importable, so the digest covers all of it.
    """
    source = _read(path)
    _refuse_neighbours(_parsed(source, path, name_or_path), path)
    module = ModuleType(f"bakeoff_user_{hashlib.sha256(source).hexdigest()[:16]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses and pickle look their module up
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:  # a user's file may end the process
        raise ConfigError(f"model: {name_or_path} {_what_went_wrong(error, path)}") from error
    return module


def _what_went_wrong(error: BaseException, path: Path) -> str:
    """Say in one line which exception rose in which line of the user's file."""
    if isinstance(error, SyntaxError):
        return f"is not valid Python in line {error.lineno}: {error.msg}"
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    where = f" in line {lines[-1]}" if lines else ""
    text = " ".join(str(error).split()) or "no message"
    return f"raised {type(error).__name__}{where}: {text}"


def _try_on_one_image(model: nn.Module, name_or_path: str, path: Path, classes: int, image_size: int) -> None:
    """Refuse a network whose output for one image is not a row of logits."""
    first = next(model.parameters(), None)
    image_BCHW = torch.zeros(1, 3, image_size, image_size, device=None if first is None else first.device)
    try:
        with evaluating(model), torch.no_grad():
            output: Any = model(image_BCHW)
    except (Exception, SystemExit) as error:  # a user's file may end the process
        raise ConfigError(
            f"model: {name_or_path} failed on one image of 3x{image_size}x{image_size}: "
            f"{_what_went_wrong(error, path)}"
        ) from error
    if not isinstance(output, torch.Tensor):
        raise ConfigError(
            f"model: {name_or_path} gave {type(output).__name__} for one image, expected a tensor of logits"
        )
    if tuple(output.shape) != (1, classes):
        raise ConfigError(
            f"model: {name_or_path} gave shape {tuple(output.shape)} for one image, expected (1, {classes})"
        )
