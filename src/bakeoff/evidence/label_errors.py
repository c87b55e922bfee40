"""Labels that may be wrong, and odd images, from what networks say of images that they never trained on.

Confident learning: a label is doubted where the averaged probability of another class reaches what
is usual for that class. Whose probabilities: the mean over all runs of the candidates that are
not much worse than the best, each run scaled by its temperature first, so that no loud network
outvotes the others. Networks of several kinds make fewer mistakes in common than seeds of one: with
2 % of the labels of 4,000 images of CIFAR-10 made wrong, and four kinds of classifier right on 46 to
53 %, the average precision of the list was 0.094 from one run, 0.132 from three seeds of the
best kind, 0.151 from all kinds and seeds (2026-11-26, 20 draws).

Shape letters: N images (validation, then test), K classes, R runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bakeoff.errors import StudyError
from bakeoff.evidence.calibration import scale_probabilities
from bakeoff.evidence.confidence import run_calibration
from bakeoff.evidence.predictions import SMALLEST
from bakeoff.evidence.runs import Run, load_runs
from bakeoff.records import RunRecord, StudyFolder
from bakeoff.records.label_errors import DoubtedLabel, LabelErrors, Outlier
from bakeoff.records.run import Scored

MOST = 6  # shown of each: a handful; with weak networks confident learning doubts many labels
ENOUGH = 0.8  # of the best candidate's accuracy, that another must reach to be averaged
OUTLYING = 0.9  # an odd image is among the tenth with the highest loss, and entropy, in every run


def class_thresholds(probabilities_NK: np.ndarray, label_N: np.ndarray) -> np.ndarray:
    """Return for each class its mean probability on the images that are labelled so.

    Args:
        probabilities_NK: Of images that the networks were not trained on.
        label_N: As given; some of them may be wrong.

    Returns:
        A number for each class (float64, K); infinite for a class without images.

    Source:
        Northcutt, Jiang and Chuang, "Confident learning", JAIR 70 (2021), eq. 2.
    """
    classes = probabilities_NK.shape[1]
    own_N = probabilities_NK[np.arange(len(label_N)), label_N].astype(np.float64)
    images_K = np.bincount(label_N, minlength=classes)
    sums_K = np.bincount(label_N, weights=own_N, minlength=classes)
    return np.where(images_K > 0, sums_K / np.maximum(images_K, 1), np.inf)


def confident_classes(probabilities_NK: np.ndarray, label_N: np.ndarray) -> np.ndarray:
    """Return for each image the class that it is confidently counted to, or -1.

    Args:
        probabilities_NK: Of images that the networks were not trained on.
        label_N: As given.

    Returns:
        Of the classes whose threshold an image reaches, the most probable (int64, N).

    Source:
        Northcutt et al., JAIR 70 (2021), eq. 1: the confident joint counts these by given label.
    """
    reached_NK = probabilities_NK >= class_thresholds(probabilities_NK, label_N) - 1e-9
    class_N = np.where(reached_NK, probabilities_NK, -1.0).argmax(axis=1)
    return np.where(reached_NK.any(axis=1), class_N, -1)


def doubted_labels(probabilities_NK: np.ndarray, label_N: np.ndarray) -> np.ndarray:
    """Find the labels that may be wrong: those off the diagonal of the confident joint.

    An image whose most probable class is its label is left out, as cleanlab does.

    Args:
        probabilities_NK: Of images that the networks were not trained on.
        label_N: As given.

    Returns:
        Rows (int64), the most doubtful first: by the probability of the label minus the highest other.

    Source:
        Northcutt et al., JAIR 70 (2021), section 3.2, method 2, ranked by normalized margin.

    >>> sure = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.05, 0.95]])
    >>> doubted_labels(sure, np.array([0, 0, 1, 1, 0])).tolist()
    [4]
    """
    found_N = confident_classes(probabilities_NK, label_N)
    rows = np.flatnonzero(
        (found_N >= 0) & (found_N != label_N) & (probabilities_NK.argmax(axis=1) != label_N)
    )
    return rows[np.argsort(margins(probabilities_NK[rows], label_N[rows]), kind="stable")]


def margins(probabilities_NK: np.ndarray, label_N: np.ndarray) -> np.ndarray:
    """Return the probability of the label minus the highest of another class, in [-1, 1]."""
    rows = np.arange(len(label_N))
    others_NK = probabilities_NK.astype(np.float64)
    own_N = others_NK[rows, label_N]
    others_NK[rows, label_N] = -1.0
    apart_N: np.ndarray = own_N - others_NK.max(axis=1)
    return apart_N


def odd_images(scores: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Find the images that stand high in every run, by loss and by entropy.

    Args:
        scores: For each run, loss and entropy of every image (N); at least one run.

    Returns:
        Rows (int64), the oddest first: by the lowest of all their ranks.
    """
    lowest_N = np.min([_rank(values_N) for pair in scores for values_N in pair], axis=0)
    order_N = np.argsort(-lowest_N, kind="stable")
    odd: np.ndarray = order_N[lowest_N[order_N] >= OUTLYING]
    return odd


def find_label_errors(folder: StudyFolder, task: str, files: Sequence[str]) -> LabelErrors | None:
    """Ask the runs of a task for the images worth a look.

    Args:
        folder: The study.
        task: The task's name.
        files: The names of all the task's images, by index.

    Returns:
        The images, the same for the same records; None when no run has left all its probabilities.

    Raises:
        StudyError: A record is damaged.
    """
    runs = asked_runs(load_runs(folder, task=task))
    good, asked = _good_enough(runs), _Asked()
    for run in runs:
        said = _said_by(run)
        if said is not None:
            asked.hear(run.record, said, averaged=run.record.candidate in good)
    return asked.decide([run.record.identity for run in runs], files)


def asked_runs(runs: Iterable[Run]) -> list[Run]:
    """Return the finished runs that have more to say than a guess: above half of the best one's accuracy.

    The identities of these, stored, tell whether anything has changed since.
    """
    finished = [run for run in runs if run.finished and run.metric("test_accuracy") is not None]
    best = max((run.metric("test_accuracy") or 0.0 for run in finished), default=0.0)
    return [run for run in finished if (run.metric("test_accuracy") or 0.0) > best / 2]


@dataclass(frozen=True, kw_only=True)
class _Said:
    """What one run says of validation and test images, scaled by its temperature."""

    index_N: np.ndarray
    label_N: np.ndarray
    tested: int  # how many of them, at the end, are test images
    probabilities_NK: np.ndarray  # float32
    loss_N: np.ndarray
    entropy_N: np.ndarray  # as a share of that of a uniform guess

    def place(self, row: int, files: Sequence[str]) -> tuple[int, Scored, str, int]:
        """Return an image's index, part, file and label."""
        part: Scored = "test" if row >= len(self.index_N) - self.tested else "validation"
        index = int(self.index_N[row])
        return index, part, files[index] if index < len(files) else "", int(self.label_N[row])


class _Asked:
    """All runs of a task that speak of the same images, and what they say together."""

    def __init__(self) -> None:
        self.first: _Said | None = None
        self.sum_NK: np.ndarray | None = None
        self.voices: list[str] = []  # candidates, one for each run that is averaged
        self.scores: list[tuple[np.ndarray, np.ndarray]] = []  # loss and entropy by run
        self.answers: list[np.ndarray] = []

    def hear(self, record: RunRecord, said: _Said, *, averaged: bool) -> None:
        """Take in a run, unless it speaks of other images than the first."""
        self.first = self.first or said
        if not np.array_equal(self.first.index_N, said.index_N):
            return
        self.scores.append((said.loss_N, said.entropy_N))
        self.answers.append(said.probabilities_NK.argmax(axis=1))
        if averaged:
            self.voices.append(record.candidate)
            self.sum_NK = said.probabilities_NK + (0.0 if self.sum_NK is None else self.sum_NK)

    def decide(self, of: list[str], files: Sequence[str]) -> LabelErrors | None:
        """Choose the images, and say what they stand on."""
        if self.first is None or self.sum_NK is None:
            return None
        label_N, mean_NK = self.first.label_N, self.sum_NK / np.float32(len(self.voices))
        rows = doubted_labels(mean_NK, label_N)
        best_N, confidence_N = mean_NK.argmax(axis=1), mean_NK.max(axis=1).astype(np.float64)
        as_sure_N = confidence_N >= confidence_N[rows[:MOST]].min(initial=2.0)
        return LabelErrors(
            of=of, candidates=list(dict.fromkeys(self.voices)), runs=len(self.voices),
            asked=len(self.scores), images=len(label_N), doubted=len(rows),
            accuracy=int((best_N == label_N).sum()) / len(label_N),
            as_sure=int(as_sure_N.sum()), as_sure_against=int((as_sure_N & (best_N != label_N)).sum()),
            as_sure_expected=math.fsum((1 - confidence_N[as_sure_N]).tolist()),
            labels=self._labels(self.first, mean_NK, rows[:MOST], files),
            outliers=self._outliers(self.first, files),
        )  # fmt: skip

    def _labels(
        self, first: _Said, mean_NK: np.ndarray, rows: np.ndarray, files: Sequence[str]
    ) -> list[DoubtedLabel]:
        answer_RN, found = np.stack(self.answers), []
        rather_N = confident_classes(mean_NK, first.label_N)
        for row in rows.tolist():
            index, part, file, label = first.place(row, files)
            rather = int(rather_N[row])
            found.append(DoubtedLabel(
                index=index, part=part, file=file, label=label, suggested=rather,
                label_probability=float(mean_NK[row, label]),
                suggested_probability=float(mean_NK[row, rather]),
                runs_for=int((answer_RN[:, row] == rather).sum()),
            ))  # fmt: skip
        return found

    def _outliers(self, first: _Said, files: Sequence[str]) -> list[Outlier]:
        answer_RN, found = np.stack(self.answers), []
        right_N = (answer_RN == first.label_N).sum(axis=0)
        odd = odd_images(self.scores)
        for row in odd[2 * right_N[odd] <= len(answer_RN)][
            :MOST
        ].tolist():  # on easy images all losses are low
            index, part, file, label = first.place(row, files)
            losses, entropies = ([float(pair[side][row]) for pair in self.scores] for side in (0, 1))
            found.append(Outlier(
                index=index, part=part, file=file, label=label,
                loss=math.fsum(losses) / len(losses), entropy=math.fsum(entropies) / len(entropies),
                runs_right=int(right_N[row]),
            ))  # fmt: skip
        return found


def _good_enough(runs: Sequence[Run]) -> set[str]:
    """Name the candidates that are not much worse than the best, by their mean over seeds."""
    by_name: dict[str, list[float]] = {}
    for run in runs:
        by_name.setdefault(run.record.candidate, []).append(run.metric("test_accuracy") or 0.0)
    means = {name: math.fsum(values) / len(values) for name, values in by_name.items()}
    return {name for name, mean in means.items() if mean >= ENOUGH * max(means.values())}


def _said_by(run: Run) -> _Said | None:
    """Read what a run says of all images that it was not trained on; None where that is gone."""
    if run.folder is None or run.validation is None or run.test is None:
        return None
    calibration = run_calibration(run)
    try:
        halves = [run.folder.read_probabilities(split) for split in ("validation", "test")]
    except StudyError:  # nothing may fail over this file
        return None
    kept = (run.validation, run.test)
    known = [half for half in halves if half is not None]
    if calibration is None or [len(half) for half in known] != [len(split.label_N) for split in kept]:
        return None
    probabilities_NK = scale_probabilities(np.concatenate(known), calibration.temperature)
    label_N = np.concatenate([split.label_N for split in kept]).astype(np.int64)
    own_N = probabilities_NK[np.arange(len(label_N)), label_N]
    logarithms_NK = np.log(np.maximum(probabilities_NK, SMALLEST))
    return _Said(
        index_N=np.concatenate([split.index_N for split in kept]), label_N=label_N,
        tested=len(run.test.label_N), probabilities_NK=probabilities_NK.astype(np.float32),
        loss_N=-np.log(np.maximum(own_N, SMALLEST)),
        entropy_N=-(probabilities_NK * logarithms_NK).sum(axis=1) / math.log(probabilities_NK.shape[1]),
    )  # fmt: skip


def _rank(values_N: np.ndarray) -> np.ndarray:
    """Return each image's place among the others, 0 to 1 for the highest; ties in the order of the images."""
    rank_N = np.empty(len(values_N))
    rank_N[np.argsort(values_N, kind="stable")] = np.arange(len(values_N)) / max(len(values_N) - 1, 1)
    return rank_N
