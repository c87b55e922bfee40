"""Which classes are mistaken for which, and which test images are worth showing.

Shape letters: K classes, N images, R runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bakeoff.evidence.disagreement import one_a_class, shown_images
from bakeoff.evidence.runs import Run, load_runs
from bakeoff.records import Predictions, StudyFolder

IMAGES_A_PAIR = 3  # images shown for each confused pair


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfusedPair:
    """A class that is taken for another; the two directions are two pairs."""

    truth: int
    predicted: int
    truth_name: str
    predicted_name: str
    count: int  # images, summed over seeds
    rate: float  # share of the true class's images


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A test image with how many runs of the task recognised it."""

    index: int  # into the task's images, as in `Predictions.index_N`
    label: int
    right: int
    runs: int
    mistaken_for: int | None = None  # the class that most runs took it for wrongly; None if none did
    surest: float | None = None  # of a confused pair: the highest probability of that mistake


@dataclass(frozen=True, kw_only=True)
class ExampleChoice:
    """The test images that a report shows for a task."""

    candidate: str  # whose confusions these are: the most accurate of the task
    confused: tuple[tuple[ConfusedPair, tuple[Example, ...]], ...] = ()
    easiest: tuple[Example, ...] = ()  # right in most runs, first those with the lowest loss
    hardest: tuple[Example, ...] = ()  # right in fewest runs, first those with the highest loss

    @property
    def indices(self) -> list[int]:
        """Every image once, ascending."""
        examples = [example for _, shown in self.confused for example in shown]
        return sorted({example.index for example in (*examples, *self.easiest, *self.hardest)})


def confusion_matrix(runs: Iterable[Predictions], classes: int) -> np.ndarray:
    """Count predictions by true class (rows) and best class (columns), summed over runs.

    Args:
        runs: Predictions on the same images, one for each seed.
        classes: K.

    Returns:
        Whole numbers (int64), K x K.

    Raises:
        ValueError: A label or a prediction is no class.
    """
    matrix_KK = np.zeros((classes, classes), dtype=np.int64)
    for predictions in runs:
        label_N, predicted_N = predictions.label_N.astype(np.int64), predictions.top_NT[:, 0].astype(np.int64)
        both = np.concatenate([label_N, predicted_N])
        if len(both) and not (both.min() >= 0 and both.max() < classes):
            raise ValueError(f"confusion_matrix: got class {both.max()}, expected 0 to {classes - 1}")
        np.add.at(matrix_KK, (label_N, predicted_N), 1)
    return matrix_KK


def most_confused(matrix_KK: np.ndarray, class_names: Sequence[str], k: int) -> list[ConfusedPair]:
    """List the k pairs with the most mistakes, by count, then by rate, then in class order."""
    total_K = matrix_KK.sum(axis=1)
    pairs = [
        ConfusedPair(
            truth=int(truth), predicted=int(predicted),
            truth_name=class_names[truth], predicted_name=class_names[predicted],
            count=int(matrix_KK[truth, predicted]),
            rate=int(matrix_KK[truth, predicted]) / int(total_K[truth]),
        )
        for truth, predicted in np.argwhere(matrix_KK > 0)
        if truth != predicted
    ]  # fmt: skip
    return sorted(pairs, key=lambda pair: (-pair.count, -pair.rate, pair.truth, pair.predicted))[:k]


def choose_examples(
    folder: StudyFolder, task: str, k: int = 6, runs: Sequence[Run] | None = None
) -> ExampleChoice | None:
    """Choose the test images that show a task best: what is confused, what is easy, what is hard.

    Args:
        folder: The study.
        task: The task's name.
        k: How many confused pairs, with up to 3 images each; also how many easy and hard images.
        runs: Of the study, where they are read already.

    Returns:
        The choice, the same for the same records; None when no run of the task left predictions.
    """
    known = load_runs(folder, task=task) if runs is None else runs
    runs = [run for run in known if run.record.task == task and run.test is not None]
    if not runs:
        return None
    best = _most_accurate(runs)
    chosen = [run.test for run in runs if run.record.candidate == best and run.test is not None]
    record = folder.read_task(task)
    classes = _classes(chosen) if record is None else len(record.class_names)
    names = [str(number) for number in range(classes)] if record is None else record.class_names
    tally = _Tally([run.test for run in runs if run.test is not None])
    pairs = most_confused(confusion_matrix(chosen, classes), names, k)
    return ExampleChoice(
        candidate=best,
        confused=tuple((pair, tally.confused(pair, chosen)) for pair in pairs),
        easiest=tally.easiest(k),
        hardest=tally.hardest(k),
    )


def examples_for_task(folder: StudyFolder, task: str, k: int = 6) -> np.ndarray:
    """Return the indices (int64, ascending) of the test images that a report shows.

    They are those that `choose_examples` chooses, and those on which candidates are shown side by side.
    """
    choice = choose_examples(folder, task, k)
    shown = {image.index for image in shown_images(folder, task)}
    return np.array(sorted(shown.union([] if choice is None else choice.indices)), dtype=np.int64)


class _Tally:
    """How often each test image was recognised, over all runs of a task that saw the same images."""

    def __init__(self, runs: Sequence[Predictions]) -> None:
        first = runs[0]
        self.index_N, self.label_N = first.index_N, first.label_N
        same = [run for run in runs if np.array_equal(run.index_N, self.index_N)]
        self.runs = len(same)
        self.right_N: np.ndarray = np.stack([run.correct_N for run in same]).sum(axis=0, dtype=np.int64)
        self.loss_N: np.ndarray = np.stack([run.loss_N for run in same]).mean(axis=0, dtype=np.float64)
        self.answer_RN: np.ndarray = np.stack([run.top_NT[:, 0] for run in same])
        self._row_of = {int(index): row for row, index in enumerate(self.index_N)}

    def easiest(self, k: int) -> tuple[Example, ...]:
        return self._first(np.lexsort((self.index_N, self.loss_N, -self.right_N)), k)

    def hardest(self, k: int) -> tuple[Example, ...]:
        return self._first(np.lexsort((self.index_N, -self.loss_N, self.right_N)), k)

    def confused(self, pair: ConfusedPair, runs: Sequence[Predictions]) -> tuple[Example, ...]:
        """Return the images with which most seeds made this mistake, the surest mistakes first."""
        found: dict[int, list[float]] = {}
        surest: dict[int, float] = {}
        for run in runs:
            mistaken_N = (run.label_N == pair.truth) & (run.top_NT[:, 0] == pair.predicted)
            for row in np.flatnonzero(mistaken_N):
                index, probability = int(run.index_N[row]), float(run.probability_NT[row, 0])
                found.setdefault(index, []).append(float(run.loss_N[row]))
                surest[index] = max(surest.get(index, 0.0), probability)
        order = sorted(found, key=lambda index: (-len(found[index]), -max(found[index]), index))
        rows = [self._row_of[index] for index in order if index in self._row_of]
        examples = [self._example(row) for row in rows[:IMAGES_A_PAIR]]
        return tuple(replace(example, surest=surest[example.index]) for example in examples)

    def _first(self, order_N: np.ndarray, k: int) -> tuple[Example, ...]:
        return tuple(self._example(row) for row in one_a_class(order_N, self.label_N, k))

    def _example(self, row: int) -> Example:
        label = int(self.label_N[row])
        counts_K = np.bincount(self.answer_RN[:, row])
        counts_K[label : label + 1] = 0
        return Example(
            index=int(self.index_N[row]), label=label, right=int(self.right_N[row]), runs=self.runs,
            mistaken_for=int(counts_K.argmax()) if counts_K.any() else None,
        )  # fmt: skip


def _most_accurate(runs: Sequence[Run]) -> str:
    """Name the candidate with the highest mean test accuracy; the first of the file among equals."""
    scores: dict[str, list[float]] = {}
    for run in runs:
        scores.setdefault(run.record.candidate, []).append(run.metric("test_accuracy") or 0.0)
    return max(scores, key=lambda name: sum(scores[name]) / len(scores[name]))


def _classes(runs: Sequence[Predictions]) -> int:
    return 1 + max(max(int(run.label_N.max()), int(run.top_NT.max())) for run in runs)
