"""What a study and an external program hand each other, as files of one folder (docs/external.md).

From the study:
    request.json            what is asked for; `SCHEMA` is its version
    images.csv              file, class and label of every row of the arrays; of test images none of these
    <part>_images.npy       uint8 of shape (N, H, W, 3), for train, validation and test
    <part>_labels.npy       int64 of shape (N,), for train and validation
From the program:
    probabilities.npz       float arrays `validation` and `test` of shape (N, K); or validation.npy, test.npy
    cost.json               seconds; parameters and version where it wants to tell them

Test images come in an order of chance, because their own may be that of their classes; what comes
back is put into the study's order here.

Shape letters: N images of a part, H rows, W columns, K classes.
"""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bakeoff.errors import ConfigError
from bakeoff.records.atomic import write_json, write_text, writing
from bakeoff.records.run import Scored
from bakeoff.rng import generator
from bakeoff.spec.task import PARTS

SCHEMA = 1  # of request.json and of what is expected back
SUM_TOLERANCE = 1e-3  # by which the probabilities of an image may miss one: what half precision leaves
ANSWERED: tuple[Scored, ...] = ("validation", "test")
COLUMNS = ("part", "row", "file", "class", "label")
_BLOCK = 4096  # images that are copied at a time
_LONGEST = 120  # characters of a version


@dataclass(frozen=True, kw_only=True)
class Images:
    """A task's images with their parts, as they are handed over."""

    images_NHWC: np.ndarray  # uint8, of the whole task
    labels_N: np.ndarray  # positions in class_ids
    files: Sequence[str]  # of the whole task
    class_ids: Sequence[str]
    class_names: Sequence[str]
    parts: Mapping[str, np.ndarray]  # positions by part


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a program has answered, checked."""

    probabilities: dict[Scored, np.ndarray]  # float32 (N, K) by part, in the order of the study's parts
    seconds: float  # of training, as the program says
    parameters: int  # 0 when it does not say
    version: str  # empty when it does not say


class Exchange:
    """The folder in which a run and an external program meet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    request_path = property(lambda self: self.path / "request.json")
    ended_path = property(lambda self: self.path / "ended.json")

    def hand_over(self, images: Images, values: Mapping[str, Any], seed: int) -> None:
        """Write what a program is given, in a folder that is empty of everything else.

        Args:
            images: The task's.
            values: What else it is told, as plain values.
            seed: Of the order of the test images.

        Raises:
            ResourceError: The disk is full, or the folder cannot be written to.
        """
        self.clear()
        for part in PARTS:
            rows_N = _order(images, part, seed)
            self._write_images(part, images.images_NHWC, rows_N)
            if part != "test":
                with writing(self.path / f"{part}_labels.npy") as partial, partial.open("wb") as file:
                    np.save(file, images.labels_N[rows_N].astype(np.int64))
        write_text(self.path / "images.csv", _listed(images, seed))
        files = {
            part: {"count": len(images.parts[part]), "images": f"{part}_images.npy"}
            | ({"labels": f"{part}_labels.npy"} if part != "test" else {})
            for part in PARTS
        }
        write_json(self.request_path, {
            "schema": SCHEMA, "class_ids": list(images.class_ids), "class_names": list(images.class_names),
            "list": "images.csv", "parts": files,
            "answer": {"probabilities": "probabilities.npz", "cost": "cost.json"}, **values,
        })  # fmt: skip

    def _write_images(self, part: str, images_NHWC: np.ndarray, rows_N: np.ndarray) -> None:
        with writing(self.path / f"{part}_images.npy") as partial:
            shape = (len(rows_N), *images_NHWC.shape[1:])
            if not len(rows_N):
                with partial.open("wb") as file:
                    np.save(file, np.zeros(shape, np.uint8))
                return
            copy_NHWC = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
            for start in range(0, len(rows_N), _BLOCK):
                block_N = rows_N[start : start + _BLOCK]
                copy_NHWC[start : start + len(block_N)] = images_NHWC[block_N]
            copy_NHWC.flush()

    def ended(self, identity: str) -> dict[str, Any] | None:
        """Tell how the program of a run has ended, where it has ended by itself.

        Args:
            identity: The run's.

        Returns:
            Its ``code``, ``seconds`` and ``peak_memory_bytes``; None when it was another run's, was killed
            or has not ended.
        """
        request, ended = _plain(self.request_path), _plain(self.ended_path)
        if request is None or ended is None or request.get("identity") != identity:
            return None
        return ended if ended.keys() >= {"code", "seconds", "peak_memory_bytes"} else None

    def read_answer(self, images: Images, seed: int, wall_seconds: float) -> Answer:
        """Read back what a program has answered.

        Args:
            images: As they were handed over.
            seed: With which they were.
            wall_seconds: That the program took.

        Returns:
            The answer, in the study's order.

        Raises:
            ConfigError: A file is missing or is not as it must be; what came and what is accepted is told.
        """
        probabilities: dict[Scored, np.ndarray] = {}
        for part in (part for part in ANSWERED if len(images.parts[part])):
            values_NK = self._probabilities(part)
            _check(part, values_NK, len(images.parts[part]), len(images.class_ids))
            found_NK = np.empty(values_NK.shape, np.float32)
            found_NK[_shuffled(len(values_NK), part, seed)] = values_NK
            probabilities[part] = found_NK
        cost = _plain(self.path / "cost.json")
        if cost is None:
            raise ConfigError('cost.json: got none, or no JSON table; expected {"seconds": ...}')
        return Answer(
            probabilities=probabilities, seconds=_seconds(cost, wall_seconds),
            parameters=_parameters(cost), version=_version(cost),
        )  # fmt: skip

    def _probabilities(self, part: str) -> np.ndarray:
        path, alone = self.path / "probabilities.npz", self.path / f"{part}.npy"
        path = alone if alone.is_file() else path
        try:
            with path.open("rb") as file:  # numpy leaves a damaged archive open
                found: Any = np.load(file, allow_pickle=False)
                found = found if path == alone else found[part]
        except FileNotFoundError:
            raise ConfigError(
                f"probabilities.npz: got none, expected one with the arrays {' and '.join(ANSWERED)}, "
                "or a .npy of each"
            ) from None
        except KeyError:
            raise ConfigError(f"{path.name}: got no array '{part}', expected one") from None
        except Exception as error:  # whatever the program has written there, numpy may say anything of it
            said = " ".join(str(error).split())[:120]
            raise ConfigError(f"{path.name}: cannot be read as numbers ({said})") from None
        if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiu":
            raise ConfigError(f"{path.name}, {part}: got no array of numbers, expected probabilities")
        return found

    def clear(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.path, ignore_errors=True)

    def clear_arrays(self) -> None:
        """Remove the large files, and what would let a run that failed pass for one that has ended."""
        for path in (*self.path.glob("*_images.npy"), self.ended_path):
            path.unlink(missing_ok=True)


def _shuffled(count: int, part: str, seed: int) -> np.ndarray:
    """Return for each handed row its place in the study's part."""
    if part != "test":
        return np.arange(count)
    return generator(seed, "order of test images handed over").permutation(count)


def _order(images: Images, part: str, seed: int) -> np.ndarray:
    rows_N = images.parts[part]
    order_N: np.ndarray = rows_N[_shuffled(len(rows_N), part, seed)]
    return order_N


def _listed(images: Images, seed: int) -> str:
    """Write the list of what lies in the arrays; file names of test images may tell their class."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for part in PARTS:
        for row, index in enumerate(_order(images, part, seed)):
            label = int(images.labels_N[index])
            told = ("", "", "") if part == "test" else (images.files[index], images.class_ids[label], label)
            writer.writerow((part, row, *told))
    return text.getvalue().encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _check(part: str, values_NK: np.ndarray, images: int, classes: int) -> None:
    """Refuse what is no table of probabilities."""
    where = f"probabilities, {part}"
    if values_NK.shape != (images, classes):
        raise ConfigError(
            f"{where}: got an array of shape {values_NK.shape}, expected ({images}, {classes}): "
            "a row for each image, a column for each class"
        )
    values_NK = values_NK.astype(np.float64)
    finite_N = np.isfinite(values_NK).all(axis=1)
    if not finite_N.all():
        row = int(np.argmin(finite_N))
        raise ConfigError(f"{where}: got a number that is not finite in row {row}, expected 0 to 1")
    if values_NK.min() < 0 or values_NK.max() > 1 + SUM_TOLERANCE:
        odd = float(values_NK.min() if values_NK.min() < 0 else values_NK.max())
        raise ConfigError(f"{where}: got {odd:g}, expected numbers from 0 to 1")
    far_N = np.abs(values_NK.sum(axis=1) - 1)
    row = int(far_N.argmax())
    if far_N[row] > SUM_TOLERANCE:
        raise ConfigError(
            f"{where}: got a sum of {values_NK[row].sum():.4g} in row {row}, expected 1 in each row "
            f"(within {SUM_TOLERANCE:g})"
        )


def _seconds(cost: Mapping[str, Any], wall_seconds: float) -> float:
    value = cost.get("seconds")
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if value is None or not is_number or not 0 <= value <= wall_seconds + 1:
        raise ConfigError(
            f"cost.json, seconds: got {value!r}, expected a number from 0 to the {wall_seconds:.1f} that the "
            "program took"
        )
    return float(value)


def _parameters(cost: Mapping[str, Any]) -> int:
    value = cost.get("parameters", 0)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConfigError(
            f"cost.json, parameters: got {value!r}, expected a whole number of at least 0, or none"
        )
    return value


def _version(cost: Mapping[str, Any]) -> str:
    value = cost.get("version", "")
    if not isinstance(value, str):
        raise ConfigError(f"cost.json, version: got {value!r}, expected a text, or none")
    return " ".join(value.split())[:_LONGEST]


def _plain(path: Path) -> dict[str, Any] | None:
    """Read a JSON table that somebody else has written; None when it is none."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None
