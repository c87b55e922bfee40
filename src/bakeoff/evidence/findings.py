"""What the checks of images look for, in words, and which of their findings are worth a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bakeoff.records import StudyFolder, TaskRecord
from bakeoff.records.checks import CheckedPair, FlaggedImage, TaskChecks

IMBALANCED = 3.0  # training images of the largest class for one of the smallest, from which it is told

SHOWN_PAIRS = 6  # as pictures: of held-out images, and again of labels that contradict each other
SHOWN_REPEATS = 3  # pairs in one part
SHOWN_IMAGES = 4  # of each kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A kind of thing to find: how it is counted, and what can be done about it."""

    words: str
    advice: str
    one: str  # of them, in a sentence
    many: str


_LOOK = "look whether they show their class; a bound is a question, not a verdict"

FINDINGS: Mapping[str, Finding] = {
    "unreadable": Finding(
        words="files that cannot be read",
        advice="repair or remove them, or train with --on-corrupt exclude",
        one="unreadable file",
        many="unreadable files",
    ),
    "leaks": Finding(
        words="held-out images with a duplicate in a part before them: of test images in training or "
        "validation, of validation images in training",
        advice="remove the copies, or quote the accuracy without these test images, which a report gives",
        one="leak",
        many="leaks",
    ),
    "conflicts": Finding(
        words="images with a duplicate under another label",
        advice="look at them: one of the labels is wrong, or the picture shows both classes",
        one="conflict",
        many="conflicts",
    ),
    "duplicates": Finding(
        words="images that repeat an earlier one of the same part",
        advice="remove them: they weigh twice, and in a test they make intervals too narrow",
        one="duplicate",
        many="duplicates",
    ),
    "imbalance": Finding(
        words="classes with a third or less of the largest class's training images",
        advice="judge by balanced accuracy and macro F1, which a report gives",
        one="small class",
        many="small classes",
    ),
    "blank": Finding(
        words="images of one colour: brightness varies by less than 3 of 255",
        advice=_LOOK,
        one="blank image",
        many="blank images",
    ),
    "dark": Finding(
        words="dark images: 95 % of the pixels are darker than 50 of 255",
        advice=_LOOK,
        one="dark image",
        many="dark images",
    ),
    "bright": Finding(
        words="bright images: 95 % of the pixels are brighter than 235 of 255",
        advice=_LOOK,
        one="bright image",
        many="bright images",
    ),
    "pale": Finding(
        words="pale images: brightness varies by less than 12 of 255",
        advice=_LOOK,
        one="pale image",
        many="pale images",
    ),
    "blurred": Finding(
        words="blurred images, even at 64 pixels: neighbours differ by less than 0.05 of the variance",
        advice=_LOOK,
        one="blurred image",
        many="blurred images",
    ),
}
IMAGE_KINDS = ("blank", "dark", "bright", "pale", "blurred")


@dataclass(frozen=True, kw_only=True)
class ShownFindings:
    """Findings that are shown as pictures; none twice."""

    leaks: tuple[CheckedPair, ...]
    conflicts: tuple[CheckedPair, ...]  # that are not among the leaks
    repeats: tuple[CheckedPair, ...]  # that are in neither
    images: tuple[tuple[str, tuple[FlaggedImage, ...]], ...]  # by kind, the worst first; kinds with any

    @property
    def indices(self) -> list[int]:
        """Return the position of every shown image once, ascending."""
        pairs = (*self.leaks, *self.conflicts, *self.repeats)
        of_pairs = {image.index for pair in pairs for image in (pair.first, pair.second)}
        return sorted(of_pairs | {one.image.index for _, images in self.images for one in images})


def shown_findings(checks: TaskChecks) -> ShownFindings:
    """Choose what is shown as pictures, the clearest of each kind; the same for the same checks."""
    seen: set[frozenset[int]] = set()

    def first_few(pairs: Sequence[CheckedPair], most: int) -> tuple[CheckedPair, ...]:
        chosen: list[CheckedPair] = []
        for pair in pairs:
            both = frozenset((pair.first.index, pair.second.index))
            if len(chosen) < most and both not in seen:
                seen.add(both)
                chosen.append(pair)
        return tuple(chosen)

    leaks, conflicts = first_few(checks.leaks, SHOWN_PAIRS), first_few(checks.conflicts, SHOWN_PAIRS)
    repeats = first_few(checks.repeats, SHOWN_REPEATS)
    images = {kind: tuple(checks.flagged.get(kind, ())[:SHOWN_IMAGES]) for kind in IMAGE_KINDS}
    return ShownFindings(
        leaks=leaks, conflicts=conflicts, repeats=repeats,
        images=tuple((kind, found) for kind, found in images.items() if found),
    )  # fmt: skip


def checks_of(folder: StudyFolder, task: str, record: TaskRecord | None) -> TaskChecks | None:
    """Read the checks of a task's images; those of other images or another split are none.

    Args:
        folder: The study.
        task: The task's name.
        record: What the task's images are.

    Returns:
        The checks, or None when these images were not checked.

    Raises:
        StudyError: The file is there but holds no checks.
    """
    checks = folder.read_checks(task)
    if checks is None or record is None:
        return None
    same = (checks.data_fingerprint, checks.split_digest) == (record.data_fingerprint, record.split_digest)
    return checks if same else None
