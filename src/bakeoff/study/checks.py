"""The checks of a task's images, kept in the study with small copies of what they found."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bakeoff.data.checks import checked
from bakeoff.data.prepare import TaskData
from bakeoff.evidence.findings import shown_findings
from bakeoff.records import StudyFolder
from bakeoff.study.examples import small_copies
from bakeoff.study.progress import StudyListener


def keep_checks(
    folder: StudyFolder, task: str, data: TaskData, cache_dir: Path | None, listener: StudyListener
) -> None:
    """Check a task's images, unless somebody has before, and store what was found.

    Args:
        folder: The study.
        task: The task's name.
        data: Its images.
        cache_dir: Where decoded images and earlier checks are kept; by default `cache_home`.
        listener: Hears how far it is.

    Raises:
        ResourceError: The folder or the cache cannot be written.
    """

    def tell(phase: str, done: int, total: int) -> None:
        listener.on_prepare(task, phase, done, total)

    checks = checked(data, cache_dir, tell)
    index = np.asarray(shown_findings(checks).indices, dtype=np.int64)
    folder.write_check_images(task, index, small_copies(data.images_NHWC[index]))
    folder.write_checks(task, checks)
