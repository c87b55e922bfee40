"""bakeoff: controlled image-classification studies, from a folder of images to evidence.

    >>> import bakeoff
    >>> result = bakeoff.run("demo")  # doctest: +SKIP
    >>> print(result.table())  # doctest: +SKIP

Names are imported when they are first used, so that `bakeoff --help` needs no torch.

Where things are; each imports only from those below it:

- `cli`: one file per verb. `use`: the winner of a study, loaded and exported.
- `api`, `estimator`: the verbs as Python functions; a classifier for scikit-learn.
- `report`: the page, from records alone. `deploy`: exported files, served. `study`: plan, run, resume, lock.
- `training`: one run.
- `models`, `data`: networks; images, their split, their batches.
- `searching`, `evidence`: what to try next; metrics, intervals and tests. Numbers in, numbers out.
- `records`: what a run leaves on disk. `spec`: the study file as frozen settings.
- `registry`, `units`, `rng`, `homes`, `cores`, `pages`: names, quantities, random streams; our folders and
  cores; how pages are filled in.
- `errors`: everything that is raised on purpose. `external`: programs that run without bakeoff.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bakeoff.api import (
        CheckResult,
        StudyResult,
        check,
        compare,
        estimate,
        open_study,
        pick,
        run,
        search,
        train,
        verify,
    )
    from bakeoff.errors import BakeoffError
    from bakeoff.estimator import ImageClassifier
    from bakeoff.use import export, load

__all__ = [
    "BakeoffError", "CheckResult", "ImageClassifier", "StudyResult", "check", "compare", "estimate", "export",
    "load", "open_study", "pick", "run", "search", "train", "verify",
]  # fmt: skip

_HOMES = {
    "BakeoffError": "errors",
    "ImageClassifier": "estimator",
    "CheckResult": "api",
    "StudyResult": "api",
    "check": "api",
    "compare": "api",
    "estimate": "api",
    "export": "use",
    "load": "use",
    "open_study": "api",
    "pick": "api",
    "run": "api",
    "search": "api",
    "train": "api",
    "verify": "api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bakeoff' has no attribute '{name}'")
    return getattr(import_module(f"bakeoff.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
