"""What is wrong with a task's images, before anything is trained on them.

One pass over the decoded images measures each, a second compares all with all. The result is
kept beside the decoded images, under the digest of what it depends on, so that a study and
`bakeoff check` look once. Nothing is changed or left out because of it: people decide.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.duplicates import ALIKE, exact_groups, near_pairs
from bakeoff.data.prepare import TaskData
from bakeoff.data.quality import KINDS, Quality, measure_quality
from bakeoff.data.source import Progress, silent
from bakeoff.data.twins import Named, Twins
from bakeoff.errors import StudyError
from bakeoff.evidence.findings import IMBALANCED
from bakeoff.homes import cache_home
from bakeoff.records.atomic import read_checked, write_json
from bakeoff.records.checks import (
    LISTED,
    VERSION,
    WORST,
    CheckedClass,
    FlaggedImage,
    TaskChecks,
    checks_adapter,
)
from bakeoff.spec.digest import sha256
from bakeoff.spec.task import PARTS

LEAST_SIDE = 16  # pixels of a file; in fewer, a likeness is no copy: 26 pairs of the digits of 8 pixels


def checked(data: TaskData, cache_dir: Path | None = None, progress: Progress = silent) -> TaskChecks:
    """Return what is wrong with a task's images, looking only if nobody has looked before.

    Args:
        data: The task's images.
        cache_dir: Where results are kept; by default `cache_home`.
        progress: Told the stage, how much is done and of how much.

    Returns:
        The findings; those of an earlier look are the same but for `seconds`.

    Raises:
        ResourceError: The cache cannot be written.
    """
    file = (cache_dir or cache_home()) / "checks" / f"{_key(data)}.json"
    found = None
    with suppress(StudyError):  # a damaged file is as good as none
        found = read_checked(file, "checks of images", checks_adapter())
    if found is None:
        found = check_images(data, progress)
        write_json(file, asdict(replace(found, unreadable=[])))
    # What cannot be read is no part of the images' fingerprint.
    counts = {**found.counts, "unreadable": len(data.unreadable)}
    return replace(found, unreadable=data.unreadable[:LISTED], counts=counts)


def _key(data: TaskData) -> str:
    """Identify what a result depends on; the names of the parts' images are in the split's digest."""
    head = [VERSION, data.fingerprint, data.split_digest]
    return sha256(head)


def check_images(data: TaskData, progress: Progress = silent) -> TaskChecks:
    """Look at a task's images.

    Args:
        data: The task's images, decoded.
        progress: Told the stage, how much is done and of how much.

    Returns:
        The findings; equal for equal data.
    """
    began = time.perf_counter()
    quality = measure_quality(data.images_NHWC, enlarged=_enlarged(data), progress=progress)
    groups = exact_groups(data.digests)
    copies = {index for group in groups for index in group[1:]}
    among = np.array([i for i in range(len(data.keys)) if i not in copies], dtype=np.int64)
    telling = _side(data) >= LEAST_SIDE
    near = near_pairs(
        data.images_NHWC, among if telling else among[:0], rank_N=_before_training(data), progress=progress
    )
    twins = Twins(Named(data), groups, near)
    classes = _classes(data)
    largest, smallest = max(c.train for c in classes), min(c.train for c in classes)
    leaks, conflicts, repeats = twins.leaks(), twins.conflicts(), twins.repeats()
    of_test = [pair for pair in leaks if pair.first.part == "test"]
    test_exact = sorted(pair.first.index for pair in of_test if pair.exact)
    test_near = sorted(pair.first.index for pair in of_test if not pair.exact)
    counts = {
        "unreadable": len(data.unreadable),
        "leaks": len(leaks),
        "conflicts": len({image.index for pair in conflicts for image in (pair.first, pair.second)}),
        "duplicates": len(repeats),
        "imbalance": sum(IMBALANCED * c.train <= largest for c in classes) if largest else 0,
        **{kind: int(quality.flagged(kind).sum()) for kind in KINDS},
        # Parts of the above, and what is behind them
        "test_exact": len(test_exact), "test_near": len(test_near),
        "validation_exact": sum(pair.exact and pair.first.part == "validation" for pair in leaks),
        "validation_near": sum(not pair.exact and pair.first.part == "validation" for pair in leaks),
        "exact_groups": len(groups), "exact_copies": len(copies), "near_pairs": len(near),
    }  # fmt: skip
    return TaskChecks(
        data_fingerprint=data.fingerprint, split_digest=data.split_digest, images=len(data.keys),
        alike=ALIKE if telling else 0.0,
        counts=counts, imbalance=round(largest / max(1, smallest), 3), classes=classes,
        modes=dict(data.modes), widths=list(data.widths), heights=list(data.heights),
        unreadable=data.unreadable[:LISTED],
        leaks=leaks[:LISTED], conflicts=conflicts[:LISTED], repeats=repeats[:LISTED],
        test_exact=test_exact, test_near=test_near, flagged=_flagged(data, quality),
        seconds=round(time.perf_counter() - began, 3),
    )  # fmt: skip


def _before_training(data: TaskData) -> NDArray[np.int64]:
    """Rank images by their parts, held-out ones first: none of their twins in training is passed over."""
    rank_N = np.zeros(len(data.keys), dtype=np.int64)
    for rank, part in enumerate(reversed(PARTS)):
        rank_N[getattr(data, part)] = rank
    return rank_N


def _side(data: TaskData) -> float:
    """Return the pixels of an image's shorter side that say something: as stored, or fewer in its file."""
    stored = float(data.images_NHWC.shape[1])
    return min([stored, *(sides[1] for sides in (data.widths, data.heights) if sides)])


def _enlarged(data: TaskData) -> float:
    """Say how much larger images are drawn than their files are, by the medians of their sides."""
    return float(data.images_NHWC.shape[1] / max(1.0, _side(data)))


def _classes(data: TaskData) -> list[CheckedClass]:
    classes = len(data.class_ids)
    counts = {part: np.bincount(data.labels_N[getattr(data, part)], minlength=classes) for part in PARTS}
    return [
        CheckedClass(id=class_id, **{part: int(counts[part][label]) for part in PARTS})
        for label, class_id in enumerate(data.class_ids)
    ]


def _flagged(data: TaskData, quality: Quality) -> dict[str, list[FlaggedImage]]:
    named = Named(data)
    return {
        kind: [
            FlaggedImage(image=named.image(index), value=round(float(quality.of(kind)[index]), 4))
            for index in quality.worst(kind)[:WORST].tolist()
        ]
        for kind in KINDS
    }
