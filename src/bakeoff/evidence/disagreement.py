"""Which test images to show all candidates on: what most get right, what most get wrong, where they differ.

From predictions alone, so that equal records give equal images. Each candidate speaks through one run,
its first finished seed, which is also the one whose network can be asked where it looked.

Shape letters: N images, M candidates.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bakeoff.evidence.runs import Run, load_runs
from bakeoff.records import Predictions, ShownImage, StudyFolder
from bakeoff.records.attribution import Kind

IMAGES_A_KIND = 4


def shown_images(folder: StudyFolder, task: str, k: int = IMAGES_A_KIND) -> tuple[ShownImage, ...]:
    """Choose the test images of a task on which its candidates are shown side by side.

    Args:
        folder: The study.
        task: The task's name.
        k: How many of each kind.

    Returns:
        The images, as `choose_images` orders them; none when no run of the task left predictions.
    """
    return choose_images([run.test for run in speakers(load_runs(folder, task=task)).values() if run.test], k)


def speakers(runs: Sequence[Run]) -> dict[str, Run]:
    """Choose the run that speaks for each candidate of a task, the most accurate candidate first.

    Args:
        runs: Of one task, in the study's order.

    Returns:
        By candidate, its first finished run with predictions of the test images. Candidates are ordered by
        the mean accuracy of their finished runs; one that was tested on other images than the first is left
        out.
    """
    first: dict[str, Run] = {}
    accuracies: dict[str, list[float]] = {}
    for run in runs:
        if run.test is not None and len(run.test.label_N):
            first.setdefault(run.record.candidate, run)
            accuracies.setdefault(run.record.candidate, []).append(run.metric("test_accuracy") or 0.0)
    order = sorted(first, key=lambda name: -sum(accuracies[name]) / len(accuracies[name]))
    return {name: first[name] for name in order if _same_images(first[name], first[order[0]])}


def _same_images(one: Run, other: Run) -> bool:
    return (
        one.test is not None
        and other.test is not None
        and np.array_equal(one.test.index_N, other.test.index_N)
    )


def choose_images(runs: Sequence[Predictions], k: int = IMAGES_A_KIND) -> tuple[ShownImage, ...]:
    """Choose images that all or most runs get right, on which they differ, and that all or most get wrong.

    - right: in the most runs, and more than half; first those of the lowest mean loss.
    - wrong: in the most runs, and more than half; first those of the highest mean loss.
    - disputed: half of them the first run gets right and the second wrong, half the other way round, as far
      as there are any; first those on which the runs are divided most evenly, then those on which the losses
      of the two lie furthest apart.

    In each kind every class comes once before any comes twice.

    Args:
        runs: Predictions on the same images, one run a candidate, the best candidate first.
        k: How many of each kind.

    Returns:
        Each image once: right, disputed, wrong.
    """
    if not runs:
        return ()
    chooser = _Chooser(runs)
    right, wrong = chooser.right(k), chooser.wrong(k)
    disputed = chooser.disputed(k, {*right, *wrong})
    rows: list[tuple[Kind, list[int]]] = [("right", right), ("disputed", disputed), ("wrong", wrong)]
    return tuple(chooser.image(row, kind) for kind, of_kind in rows for row in of_kind)


class _Chooser:
    """Counts and losses of one run a candidate, by image."""

    def __init__(self, runs: Sequence[Predictions]) -> None:
        self.index_N, self.label_N = runs[0].index_N, runs[0].label_N
        self.right_MN = np.stack([run.correct_N for run in runs])
        self.loss_MN = np.stack([run.loss_N for run in runs]).astype(np.float64)
        self.runs = len(runs)
        self.count_N = self.right_MN.sum(axis=0, dtype=np.int64)

    def right(self, k: int) -> list[int]:
        order_N = np.lexsort((self.index_N, self.loss_MN.mean(axis=0), -self.count_N))
        return one_a_class(order_N[2 * self.count_N[order_N] > self.runs], self.label_N, k)

    def wrong(self, k: int) -> list[int]:
        order_N = np.lexsort((self.index_N, -self.loss_MN.mean(axis=0), self.count_N))
        return one_a_class(order_N[2 * self.count_N[order_N] < self.runs], self.label_N, k)

    def disputed(self, k: int, taken: set[int]) -> list[int]:
        if self.runs < 2:
            return []
        balance_N = np.minimum(self.count_N, self.runs - self.count_N)
        apart_N = np.abs(self.loss_MN[0] - self.loss_MN[1])
        order_N = np.lexsort((self.index_N, -apart_N, -balance_N))
        free = [row for row in order_N.tolist() if balance_N[row] > 0 and row not in taken]
        ahead = [row for row in free if self.right_MN[0, row] and not self.right_MN[1, row]]
        behind = [row for row in free if self.right_MN[1, row] and not self.right_MN[0, row]]
        share = k // 2
        chosen = one_a_class(np.array(ahead, dtype=np.int64), self.label_N, max(share, k - len(behind)))
        chosen += one_a_class(np.array(behind, dtype=np.int64), self.label_N, k - len(chosen), chosen)
        rest = np.array([row for row in free if row not in chosen], dtype=np.int64)
        return chosen + one_a_class(rest, self.label_N, k - len(chosen), chosen)

    def image(self, row: int, kind: Kind) -> ShownImage:
        return ShownImage(
            index=int(self.index_N[row]), label=int(self.label_N[row]), kind=kind,
            right=int(self.count_N[row]), candidates=self.runs,
        )  # fmt: skip


def one_a_class(order_N: np.ndarray, label_N: np.ndarray, k: int, taken: Sequence[int] = ()) -> list[int]:
    """Take rows in order, the first of each class before any second, so that one class does not fill a row.

    Args:
        order_N: Rows, the best first.
        label_N: The class of each row.
        k: How many; none when it is below 1.
        taken: Rows taken already; their classes come last.

    Returns:
        Up to k rows.

    >>> one_a_class(np.array([3, 1, 0, 2]), np.array([7, 7, 8, 7]), 3)
    [3, 2, 1]
    """
    seen = {int(label_N[row]) for row in taken}
    first: list[int] = []
    later: list[int] = []
    for row in order_N.tolist():
        label = int(label_N[row])
        (later if label in seen else first).append(row)
        seen.add(label)
    return (first + later)[: max(0, k)]
