"""The user's own network, from a function in a file.

`my_net.py:build` leads to a function of (classes, image_size), whose network is tried on
one image before anything is trained with it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from bakeoff.errors import ConfigError, nearest
from bakeoff.models.modes import evaluating


def is_user_model(name_or_path: str) -> bool:
    """Tell whether a model is given as a file.

    >>> is_user_model("my_net.py:build"), is_user_model("model4")
    (True, False)
    """
    return name_or_path.endswith(".py") or ".py:" in name_or_path


def build_user_model(name_or_path: str, *, classes: int, image_size: int, base_dir: Path) -> nn.Module:
    """Build a user's network with fresh weights, and try it on one image.

    Args:
        name_or_path: Such as `my_net.py:build`.
        classes: Outputs of the network.
        image_size: Rows and columns of its images, pixels.
        base_dir: What a relative path to the file refers to.

    Returns:
        A network that turns float images_BCHW into logits_BK.

    Raises:
        ConfigError: The file is missing or fails, or its network does not fit.
    """
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


def user_digest(name_or_path: str, base_dir: Path) -> str:
    """Hash the user's file and the function's name.

    Args:
        name_or_path: Such as `my_net.py:build`.
        base_dir: What a relative path to the file refers to.

    Returns:
        SHA-256 in hexadecimal digits.

    Raises:
        ConfigError: The file is missing.
    """
    path, function = _user_file(name_or_path, base_dir)
    return hashlib.sha256(_read(path) + b"\0" + function.encode()).hexdigest()


def check_user_model(name_or_path: str, base_dir: Path) -> None:
    """Refuse a file without the function, before anything of it runs.

    Args:
        name_or_path: Such as `my_net.py:build`.
        base_dir: What a relative path to the file refers to.

    Raises:
        ConfigError: The file is missing, is not Python, or binds no such name.
    """
    path, function = _user_file(name_or_path, base_dir)
    tree = _parsed(_read(path), path, name_or_path)
    _refuse_neighbours(tree, path)
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {a.asname or a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names}
    if function not in names:
        raise ConfigError(f"model: {path.name} has no function '{function}'{nearest(function, names)}")


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
