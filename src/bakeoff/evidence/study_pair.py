"""Two studies, put side by side from their records alone: what they share, what differs, what changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bakeoff.errors import StudyError
from bakeoff.evidence.between import Unpaired, compare_unpaired
from bakeoff.evidence.candidate_pair import tested
from bakeoff.evidence.comparison import Comparison, compare, holm
from bakeoff.evidence.runs import Run
from bakeoff.evidence.summarise import gather
from bakeoff.evidence.summary import StudySummary, TaskSummary
from bakeoff.records import RunRecord, StudyFolder
from bakeoff.spec.base import flat

Both = tuple[Any, Any]  # a value of the first study, and of the second

# Of a record, beside its recipe: what decides how a candidate is trained and what it is
_WHAT = {
    "model": "network", "model_digest": "definition of the network", "input_size": "input size",
    "parameters": "parameters", "control": "control",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SharedCandidate:
    """A candidate that both studies have in a task; differences are the second study's minus the first's."""

    name: str
    paired: Comparison | None  # on the same images and seeds
    unpaired: Unpaired | None  # otherwise
    why_unpaired: str
    changed: dict[str, Both]  # settings that the two studies give it

    @property
    def result(self) -> Comparison | Unpaired | None:
        """The comparison, whichever could be made; None when one of them has not finished."""
        return self.paired or self.unpaired

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, ``not told apart`` or ``not finished``."""
        found = self.result
        if found is None:
            return "not finished"
        if not found.told_apart:
            return "not told apart"
        return "better" if found.difference > 0 else "worse"


@dataclass(frozen=True, kw_only=True)
class SharedTask:
    """A task that both studies have."""

    first: TaskSummary
    second: TaskSummary
    same_images: bool
    why: str  # what makes the test images the same, or not
    candidates: tuple[SharedCandidate, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    data: dict[str, Both]  # what differs in images, classes and split


@dataclass(frozen=True, kw_only=True)
class StudyPair:
    """Two studies."""

    first: StudySummary
    second: StudySummary
    tasks: tuple[SharedTask, ...]
    only_first: tuple[str, ...]  # tasks
    only_second: tuple[str, ...]
    machines: dict[str, Both]  # versions and hardware that differ

    @property
    def compared(self) -> tuple[tuple[SharedTask, SharedCandidate], ...]:
        """Every candidate that could be compared, with its task."""
        return tuple(
            (task, candidate) for task in self.tasks for candidate in task.candidates if candidate.result
        )


def pair_studies(first: StudyFolder, second: StudyFolder) -> StudyPair:
    """Compare two studies.

    Tasks are the same when they have one name, or else the same images and split; candidates when they
    have one name.

    Args:
        first: A study, usually the older one.
        second: Another one.

    Returns:
        What they share and how it differs; p values are corrected together by Holm's method.

    Raises:
        StudyError: One holds no study, or they have no task in common.
    """
    sides = gather(first), gather(second)
    ours, theirs = (side.summary for side in sides)
    runs = sides[0].runs, sides[1].runs
    pairs = _shared_tasks(ours.tasks, theirs.tasks)
    if not pairs:
        names = [", ".join(task.name for task in study.tasks) for study in (ours, theirs)]
        raise StudyError(f"compare: no task in common ({names[0]} and {names[1]})")
    tasks = [_shared(a, b, (first, second), runs) for a, b in pairs]
    in_first, in_second = {a.name for a, _ in pairs}, {b.name for _, b in pairs}
    return StudyPair(
        first=ours, second=theirs, tasks=_corrected(tasks),
        only_first=tuple(task.name for task in ours.tasks if task.name not in in_first),
        only_second=tuple(task.name for task in theirs.tasks if task.name not in in_second),
        machines=_differing(*(_machine([run.record for run in side]) for side in runs)),
    )  # fmt: skip


def _shared_tasks(
    first: Sequence[TaskSummary], second: Sequence[TaskSummary]
) -> list[tuple[TaskSummary, TaskSummary]]:
    by_name = {task.name: task for task in second}
    by_images = {_images(task): task for task in second if task.record is not None}
    found = []
    for task in first:
        other = by_name.get(task.name)
        if other is None and task.record is not None:
            other = by_images.get(_images(task))
        if other is not None:
            found.append((task, other))
    return found


def _images(task: TaskSummary) -> tuple[str, str]:
    return (task.record.data_fingerprint, task.record.split_digest) if task.record else ("", "")


def _shared(
    first: TaskSummary,
    second: TaskSummary,
    folders: tuple[StudyFolder, StudyFolder],
    runs: tuple[Sequence[Run], Sequence[Run]],
) -> SharedTask:
    same, why = _same_images(first, second, folders)
    sides = [
        [run for run in side if run.record.task == task.name]
        for side, task in zip(runs, (first, second), strict=True)
    ]
    names = [row.name for row in first.candidates]
    others = [row.name for row in second.candidates]
    return SharedTask(
        first=first, second=second, same_images=same, why=why,
        candidates=tuple(_candidate(name, sides[0], sides[1], same, why) for name in names if name in others),
        only_first=tuple(name for name in names if name not in others),
        only_second=tuple(name for name in others if name not in names),
        data=_differing(_data(first), _data(second)),
    )  # fmt: skip


def _same_images(
    first: TaskSummary, second: TaskSummary, folders: tuple[StudyFolder, StudyFolder]
) -> tuple[bool, str]:
    """Tell whether two tasks have the same test images, and how that is known."""
    if first.record is None or second.record is None:
        return False, "the images of one of them were never prepared"
    if _images(first) == _images(second):
        return True, "equal fingerprints of images and split"
    if first.record.split_digest != second.record.split_digest:
        return False, "their splits are not the same"
    manifests = [
        {
            row["file"]: (row.get("sha256"), row["class"])
            for row in folder.read_manifest(task.name)
            if row["part"] == "test"
        }
        for folder, task in zip(folders, (first, second), strict=True)
    ]
    known = all(digest for manifest in manifests for digest, _ in manifest.values())
    if manifests[0] and known and manifests[0] == manifests[1]:
        return True, "the same files in the same split, drawn otherwise"
    return False, "their images have other fingerprints"


def _candidate(
    name: str, first: Sequence[Run], second: Sequence[Run], same_images: bool, why: str
) -> SharedCandidate:
    ours, theirs = tested(first, name), tested(second, name)
    paired, unpaired, reason = None, None, ""
    if ours and theirs:
        if same_images and set(ours) & set(theirs):
            paired = compare(name, name, theirs, ours)
        else:
            reason = why if not same_images else "they share no seed"
            unpaired = compare_unpaired(name, name, theirs, ours)
    changed: dict[str, Both] = {}
    if ours and theirs:
        changed = _differing(*(_settings(_first(side, name)) for side in (first, second)))
    return SharedCandidate(name=name, paired=paired, unpaired=unpaired, why_unpaired=reason, changed=changed)


def _first(runs: Sequence[Run], name: str) -> RunRecord:
    return next(run.record for run in runs if run.record.candidate == name and run.test is not None)


def _settings(record: RunRecord) -> dict[str, Any]:
    """Spread what a run was made by over dotted keys; what it did not record is left out."""
    values = {f"recipe.{key}": value for key, value in flat(record.recipe).items()}
    values |= {words: getattr(record, key) for key, words in _WHAT.items() if getattr(record, key)}
    if record.precision.get("used"):
        values["precision of training"] = record.precision["used"]
    if record.pretrained.get("weights_sha256"):
        values["pretrained weights"] = record.pretrained["weights_sha256"]
    return values


def _data(task: TaskSummary) -> dict[str, Any]:
    if task.record is None:
        return {}
    record = task.record
    return {
        "source": record.source, "classes": len(record.class_ids), "image size": record.image_size,
        **{f"{part} images": count for part, count in record.counts.items()},
        "left out": len(record.excluded), "images (fingerprint)": record.data_fingerprint,
        "split (digest)": record.split_digest,
    }  # fmt: skip


def _machine(records: Sequence[RunRecord]) -> dict[str, Any]:
    """Collect what the runs recorded of versions and hardware; several values where they differ."""
    found: dict[str, dict[str, None]] = {}
    for record in records:
        for key, value in record.environment.items():
            found.setdefault(key, {})[str(value)] = None
    return {key: ", ".join(values) for key, values in found.items()}


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Both]:
    """Keep what both say and say differently; what one does not record is no difference."""
    return {key: (first[key], second[key]) for key in first if key in second and first[key] != second[key]}


def _corrected(tasks: Sequence[SharedTask]) -> tuple[SharedTask, ...]:
    """Correct all p values together: they are looked at together."""
    results = [row.result for task in tasks for row in task.candidates if row.result is not None]
    p_values = iter(holm([result.p for result in results]))

    def corrected(row: SharedCandidate) -> SharedCandidate:
        if row.paired is not None:
            return replace(row, paired=replace(row.paired, p_holm=next(p_values)))
        if row.unpaired is not None:
            return replace(row, unpaired=replace(row.unpaired, p_holm=next(p_values)))
        return row

    return tuple(replace(task, candidates=tuple(map(corrected, task.candidates))) for task in tasks)
