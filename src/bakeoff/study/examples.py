"""Small copies of the images that the report shows, kept when a task's runs have ended."""

from __future__ import annotations

import numpy as np
from PIL import Image

from bakeoff.data.prepare import TaskData
from bakeoff.evidence.confusion import examples_for_task
from bakeoff.evidence.label_errors import asked_runs, find_label_errors
from bakeoff.evidence.runs import load_runs
from bakeoff.records import StudyFolder

LARGEST = 64  # pixels


def keep_examples(folder: StudyFolder, task: str, data: TaskData) -> None:
    """Store the images that the evidence so far points at."""
    index = np.asarray(examples_for_task(folder, task), dtype=np.int64)
    if len(index) == 0:
        return
    folder.write_examples(task, index, small_copies(data.images_NHWC[index]))


def keep_label_errors(folder: StudyFolder, task: str, data: TaskData) -> None:
    """Store which images are worth a look, unless the same runs have been asked before."""
    known = folder.read_label_errors(task)
    asked = [run.record.identity for run in asked_runs(load_runs(folder, task=task))]
    if known is not None and known.of == asked:
        return
    found = find_label_errors(folder, task, data.keys)
    if found is None:
        return
    shown = [one.index for one in found.labels] + [one.index for one in found.outliers]
    index = np.unique(np.array(shown, dtype=np.int64))
    folder.write_label_errors(task, found, index, small_copies(data.images_NHWC[index]))


def small_copies(images_NHWC: np.ndarray) -> np.ndarray:
    """Draw images down to `LARGEST` pixels, when they are larger."""
    if len(images_NHWC) and images_NHWC.shape[1] > LARGEST:
        images_NHWC = np.stack([
            np.asarray(Image.fromarray(image).resize((LARGEST, LARGEST), Image.Resampling.LANCZOS))
            for image in images_NHWC
        ])  # fmt: skip
    return np.ascontiguousarray(images_NHWC)
