"""bakeoff: controlled image-classification studies, from a folder of images to evidence.

    >>> import bakeoff
    >>> result = bakeoff.run("demo")  # doctest: +SKIP
    >>> print(result.table())  # doctest: +SKIP

Names are imported when they are first used, so that `bakeoff --help` needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bakeoff.api import CheckResult, StudyResult, check, estimate, open_study, pick, run, train
    from bakeoff.errors import BakeoffError
    from bakeoff.study.trained import load

__all__ = [
    "BakeoffError", "CheckResult", "StudyResult",
    "check", "estimate", "load", "open_study", "pick", "run", "train",
]  # fmt: skip

_HOMES = {
    "BakeoffError": "errors",
    "CheckResult": "api",
    "StudyResult": "api",
    "check": "api",
    "estimate": "api",
    "load": "study.trained",
    "open_study": "api",
    "pick": "api",
    "run": "api",
    "train": "api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bakeoff' has no attribute '{name}'")
    return getattr(import_module(f"bakeoff.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
