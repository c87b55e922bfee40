"""Heat maps of a task's candidates on a few of its test images: one file, images and candidates side by side.

A map is kept as coarse as its network gave it (a few positions a side, at most 64), one byte a
position; whoever draws it brings it to the image's size. Equal maps give equal bytes.

Shape letters: N images, h and w positions of a candidate's maps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError

from bakeoff.errors import StudyError
from bakeoff.records.atomic import read_arrays, write_arrays
from bakeoff.spec.base import what_is_wrong
from bakeoff.spec.digest import canonical_json

LARGEST_MAP = 64  # positions a side

Kind = Literal["right", "disputed", "wrong"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownImage:
    """A test image on which candidates are shown side by side, and why."""

    index: int  # into the task's images, as in `Predictions.index_N`
    label: int
    kind: Kind  # what most candidates make of it, or that they differ
    right: int  # candidates that recognise it
    candidates: int  # that were asked


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """One candidate on all shown images."""

    candidate: str
    seed: int
    identity: str  # of the run that was explained
    method: str = ""  # "Grad-CAM" or "occlusion"; empty without maps
    layer: str = ""  # whose maps; empty for occlusion
    note: str = ""  # why this layer or this method; without maps, why there are none
    classes: list[int] = field(default_factory=list)  # that the run answered, and that is explained
    probabilities: list[float] = field(default_factory=list)  # that it gave them


@dataclass(frozen=True, kw_only=True)
class Attributions:
    """What is kept of a task."""

    images: tuple[ShownImage, ...]
    candidates: tuple[Explanation, ...]
    # By candidate, uint8 of shape (N, h, w): 255 is a map's strongest place, all 0 where nothing speaks
    maps: Mapping[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class _About:
    """All of it but the maps, as it is written."""

    images: tuple[ShownImage, ...]
    candidates: tuple[Explanation, ...]


@cache
def _adapter() -> TypeAdapter[_About]:
    return TypeAdapter(_About)


def in_bytes(maps_Nhw: np.ndarray) -> np.ndarray:
    """Bring each map to one byte a position, its strongest place to 255; what is 0 everywhere stays so.

    Args:
        maps_Nhw: At least 0, of any scale.

    Returns:
        uint8 of the same shape.

    >>> in_bytes(np.array([[[0.0, 1e-9]], [[0.0, 0.0]]])).tolist()
    [[[0, 255]], [[0, 0]]]
    """
    maps_Nhw = np.asarray(maps_Nhw, dtype=np.float64)
    most_N11 = maps_Nhw.max(axis=(1, 2), keepdims=True)
    return np.rint(255 * maps_Nhw / np.where(most_N11 > 0, most_N11, 1)).astype(np.uint8)


def write_attributions(path: Path, kept: Attributions) -> None:
    """Write a task's heat maps, whole or not at all."""
    about = canonical_json(asdict(_About(images=kept.images, candidates=kept.candidates)))
    arrays = {"about": np.frombuffer(about.encode(), dtype=np.uint8)}
    for position, one in enumerate(kept.candidates):
        if one.candidate in kept.maps:
            arrays[f"maps_{position}"] = kept.maps[one.candidate]
    write_arrays(path, arrays)


def read_attributions(path: Path) -> Attributions | None:
    """Read a task's heat maps back.

    Args:
        path: The file.

    Returns:
        What was written, or None when there is no such file.

    Raises:
        StudyError: The file is there but does not hold heat maps.
    """
    arrays = read_arrays(path, "heat maps")
    if arrays is None:
        return None
    try:
        about = _adapter().validate_json(arrays["about"].tobytes())
    except (KeyError, ValidationError) as error:
        what = what_is_wrong(error) if isinstance(error, ValidationError) else f"{error} is missing"
        raise StudyError(f"{path} does not hold heat maps: {what}") from None
    maps = {
        one.candidate: arrays[f"maps_{position}"]
        for position, one in enumerate(about.candidates)
        if f"maps_{position}" in arrays
    }
    for one in about.candidates:
        if one.candidate in maps:
            _refuse_misfit(path, one, maps[one.candidate], len(about.images))
    return Attributions(images=about.images, candidates=about.candidates, maps=maps)


def _refuse_misfit(path: Path, one: Explanation, maps_Nhw: np.ndarray, images: int) -> None:
    """Stop when a candidate's maps are not one for each image."""
    counts = {len(one.classes), len(one.probabilities), *maps_Nhw.shape[:1]}
    if maps_Nhw.dtype != np.uint8 or maps_Nhw.ndim != 3 or counts != {images} or 0 in maps_Nhw.shape:
        raise StudyError(f"{path} does not hold heat maps: those of '{one.candidate}' are not one an image")
