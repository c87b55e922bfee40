"""What a study found, decided before anything is drawn: rows, rankings and verdicts of each task.

Page, terminal and JSON show these objects; they choose fonts, not words. Candidates
are ranked only inside a control group (equal `control_digest`), and every difference
between groups is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

from bakeoff.evidence.agreement import paired
from bakeoff.evidence.bounded import Bootstrapped, bootstrap_single_runs, metric_interval
from bakeoff.evidence.comparison import (
    BySeed,
    Comparison,
    compare_pairs,
    groups_not_told_apart,
)
from bakeoff.evidence.confidence import CandidateCalibration, calibrate_candidate
from bakeoff.evidence.cost import Place, front, recommend
from bakeoff.evidence.deduplicated import without_twins
from bakeoff.evidence.external import command_words, control_words, without_unknown
from bakeoff.evidence.findings import checks_of
from bakeoff.evidence.intervals import Interval
from bakeoff.evidence.metrics import METRICS
from bakeoff.evidence.per_class import ClassDifference, class_differences
from bakeoff.evidence.published import published_symptoms
from bakeoff.evidence.runs import Run, load_runs
from bakeoff.evidence.symptoms import Symptom, find_symptoms, of_several_versions
from bakeoff.evidence.trials import search_cost
from bakeoff.evidence.verdict import group_verdict, sensitivity_words, task_verdict
from bakeoff.evidence.words import number, points, published_decimals, published_percent
from bakeoff.records import RunRecord, StudyFolder, TaskRecord
from bakeoff.records.checks import TaskChecks
from bakeoff.spec import CandidateSpec, Published, StudySpec, TaskSpec


@dataclass(frozen=True, kw_only=True)
class AgainstPublished:
    """Ours beside what somebody else reported."""

    loss: float | None
    accuracy: float | None
    accuracy_difference: float | None  # ours minus published, a fraction
    loss_difference: float | None  # ours minus published, nats
    at_least_as_accurate: bool | None  # by the mean; None when no accuracy was published
    inside_interval: bool | None  # whether our interval holds the published accuracy
    text: str


@dataclass(frozen=True, kw_only=True)
class CandidateSummary:
    """One candidate of a task over its seeds; None where no run has finished."""

    # Who
    name: str
    model: str
    note: str
    control_digest: str  # candidates with equal ones are ranked together
    differences: dict[str, list[Any]]  # "batch_size": [the task's, its own]
    mixed: str = ""  # what its seeds have more than one of ("control"), so that it is ranked alone
    # How its runs ended
    planned: int
    statuses: dict[str, int]  # "finished", "diverged", "failed", "missing"
    seeds: tuple[int, ...]  # the finished ones
    # What it showed; over seeds and images, or for one seed over its test images (`bounded`)
    accuracy: Interval | None = None
    loss: Interval | None = None
    top5: Interval | None = None
    macro_f1: Interval | None = None
    balanced_accuracy: Interval | None = None
    validation_accuracy: Interval | None = None
    validation_loss: Interval | None = None
    # What it is and cost; means over the finished seeds
    parameters: int | None = None
    trainable: int | None = None
    multiplications: int | None = None
    input_size: int | None = None
    epochs: float | None = None
    train_seconds: float | None = None
    total_seconds: float | None = None
    images_per_second: float | None = None
    pretrained: str = ""  # what its weights have seen before the study; empty for fresh ones
    source: str = ""  # the candidate that it is built on
    source_seconds: float | None = None  # that the training of its source took, with what that one stands on
    search_seconds: float | None = None  # that the trials took of the search that found it
    searched: str = ""  # what the search was: how many trials, and in what time; empty for other candidates
    peak_memory_bytes: int | None = None
    precision: str = ""
    external: str = ""  # what was held equal for an external program, and what was not; empty for networks
    # What to make of it
    reported: Published | None = None  # as the study file has it, epochs included
    published: AgainstPublished | None = None
    symptoms: tuple[Symptom, ...] = ()
    calibration: CandidateCalibration | None = None  # how far its probabilities can be trusted
    # What one image takes once it is trained, on the study's machine (`training.latency`); empty where that
    # was not measured. And what its training took, mean over the seeds that could be read
    inference: dict[str, Any] = field(default_factory=dict)
    energy_joules: float | None = None
    deduplicated: Interval | None = None  # accuracy without test images that have a twin; None where none has

    @property
    def finished(self) -> bool:
        """Whether at least one run has finished."""
        return bool(self.seeds)


@dataclass(frozen=True, kw_only=True)
class ControlGroup:
    """Candidates that were trained under the same control, and so may be ranked."""

    digest: str
    title: str  # "the task's recipe", "the task's budget", or what differs from it
    differences: dict[str, list[Any]]  # "batch_size": [the task's, the group's]
    ranking: tuple[str, ...]  # best first; those with a finished run only
    unranked: tuple[str, ...]  # no run has finished
    not_told_apart: tuple[tuple[str, ...], ...]  # the largest groups, best first
    verdict: str
    recommended: str = ""  # the cheapest that is not significantly worse than the best; empty without a rival
    places: tuple[Place, ...] = ()  # between accuracy and training time

    def standing(self, name: str) -> Place | None:
        """Return where a candidate stands; None for one without accuracy or time."""
        return next((place for place in self.places if place.candidate == name), None)


@dataclass(frozen=True, kw_only=True)
class TaskSummary:
    """A task: its rows in the study's order, its control groups, its comparisons and its verdict."""

    name: str
    record: TaskRecord | None  # None when its images were never prepared
    control: str  # "recipe" or "budget"
    classes: int | None
    test_images: int | None
    guess: float | None  # accuracy of always answering the commonest class
    candidates: tuple[CandidateSummary, ...]
    groups: tuple[ControlGroup, ...]
    comparisons: tuple[Comparison, ...]  # all pairs inside groups, corrected together
    planned: int  # runs
    ended: int
    verdict: str  # one to three sentences
    sensitivity: str = ""  # how far apart two candidates have to lie, in words
    rivals: tuple[str, str] | None = None  # winner and runner-up of the largest group
    by_class: tuple[ClassDifference, ...] = ()  # theirs, the largest first
    checks: TaskChecks | None = None  # None when these images were not checked

    def candidate(self, name: str) -> CandidateSummary:
        """Return the row of a candidate."""
        return next(row for row in self.candidates if row.name == name)

    @property
    def best(self) -> CandidateSummary | None:
        """The winner of the largest group (the first among equals), or None before any run has finished."""
        ranked = [group for group in self.groups if group.ranking]
        if not ranked:
            return None
        return self.candidate(max(ranked, key=lambda group: len(group.ranking)).ranking[0])


@dataclass(frozen=True, kw_only=True)
class StudySummary:
    """A whole study."""

    name: str
    title: str
    description: str
    seeds: tuple[int, ...]
    tasks: tuple[TaskSummary, ...]

    @property
    def planned(self) -> int:
        """Runs that the study asks for."""
        return sum(task.planned for task in self.tasks)

    @property
    def ended(self) -> int:
        """Runs that have ended, in whatever way."""
        return sum(task.ended for task in self.tasks)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A study's runs with what they say: page, tables, charts and terminal are all made of one of these."""

    runs: tuple[Run, ...]
    summary: StudySummary


def gather(folder: StudyFolder) -> Evidence:
    """Read the runs of a study, and summarise them; for many runs of many images nothing takes longer.

    Args:
        folder: The study, finished or not.

    Returns:
        Of all that the folder's lock asks for.

    Raises:
        StudyError: The folder holds no study, or a record contradicts its predictions.
    """
    spec = folder.spec()
    runs = tuple(load_runs(folder, spec))
    return Evidence(runs=runs, summary=summarise_study(folder, spec, runs))


def summarise_study(
    folder: StudyFolder, spec: StudySpec | None = None, runs: Sequence[Run] | None = None
) -> StudySummary:
    """Summarise every task of a study from its records alone.

    Args:
        folder: The study.
        spec: Which tasks, candidates and seeds, when not all those of the folder's lock.
        runs: Theirs, where they are read already.

    Returns:
        The summary, its tasks in the study's order.

    Raises:
        StudyError: The folder holds no study, or a record contradicts its predictions.
    """
    spec = spec or folder.spec()
    return StudySummary(
        name=spec.name, title=spec.title or spec.name, description=spec.description, seeds=spec.seeds,
        tasks=tuple(summarise_task(folder, spec, task, runs) for task in spec.tasks),
    )  # fmt: skip


def summarise_task(
    folder: StudyFolder, spec: StudySpec, task: TaskSpec, runs: Sequence[Run] | None = None
) -> TaskSummary:
    """Summarise one task: rows, groups, comparisons, verdict.

    Args:
        folder: The study.
        spec: The study's candidates and seeds.
        task: One of its tasks.
        runs: Of the study, where they are read already.

    Returns:
        The summary; candidates without an ended run have a row too.

    Raises:
        StudyError: A record contradicts its predictions, or candidates were tested on different images.
    """
    if runs is None:
        runs = load_runs(folder, spec, task.name)
    runs = [run for run in runs if run.record.task == task.name]
    record = folder.read_task(task.name)
    candidates = spec.candidates_of(task)
    by_candidate = {c.name: [run for run in runs if run.record.candidate == c.name] for c in candidates}
    classes, test_images, guess = _size(record, runs)
    seeds = spec.seeds_of(task)
    checks = checks_of(folder, task.name, record)
    twins = frozenset() if checks is None else checks.test_twins
    single = bootstrap_single_runs(
        {name: [run for run in own if run.finished] for name, own in by_candidate.items()}
    )
    rows = tuple(
        _candidate_summary(c, by_candidate[c.name], seeds, record, single.get(c.name), twins)
        for c in candidates
    )
    planned = len(rows) * len(seeds)
    rankings = _rankings(rows)
    pairs = [pair for names in rankings.values() for pair in combinations(names, 2)]
    tested = _tested(by_candidate)
    comparisons = compare_pairs(pairs, tested)
    groups = _distinct([_group(task, digest, rankings[digest], rows, comparisons) for digest in rankings])
    rivals = next(((names[0], names[1]) for names in rankings.values() if len(names) > 1), None)
    return TaskSummary(
        name=task.name, record=record, control=task.control, classes=classes, test_images=test_images,
        guess=guess, candidates=rows, groups=groups, comparisons=comparisons,
        planned=planned, ended=len(runs),
        verdict=task_verdict(
            [group.verdict for group in groups if group.ranking], len(runs), planned, tested=test_images != 0
        ),
        sensitivity=sensitivity_words(comparisons), rivals=rivals,
        by_class=_by_class(rivals, tested, record),
        checks=checks,
    )  # fmt: skip


def _by_class(
    rivals: tuple[str, str] | None, tested: Mapping[str, BySeed], record: TaskRecord | None
) -> tuple[ClassDifference, ...]:
    """Compare the winner and the runner-up on each class."""
    if rivals is None:
        return ()
    first, second = (tested[name] for name in rivals)
    if not set(first) & set(second):
        return ()
    return class_differences(paired(first, second), None if record is None else record.class_names)


def _tested(by_candidate: Mapping[str, Sequence[Run]]) -> dict[str, dict[int, Any]]:
    """Collect the test predictions by candidate and seed."""
    return {
        name: {run.record.seed: run.test for run in runs if run.test is not None}
        for name, runs in by_candidate.items()
    }


def _size(record: TaskRecord | None, runs: Sequence[Run]) -> tuple[int | None, int | None, float | None]:
    """Return the classes, the test images and the accuracy of the commonest class's constant guess."""
    tested = next((run.test for run in runs if run.test is not None), None)
    classes = None if record is None else len(record.class_names)
    if tested is None:
        return classes, None if record is None else record.counts.get("test"), None
    images = len(tested.label_N)
    return classes, images, max(Counter(tested.label_N.tolist()).values()) / images


def _candidate_summary(
    candidate: CandidateSpec,
    runs: Sequence[Run],
    seeds: Sequence[int],
    task: TaskRecord | None,
    bootstrapped: Bootstrapped | None,
    twins: frozenset[int],
) -> CandidateSummary:
    """Put the runs of one candidate together."""
    finished = [run for run in runs if run.finished]
    ended = Counter(run.record.status for run in runs)
    statuses = {name: ended.get(name, 0) for name in ("finished", "diverged", "failed")}
    statuses["missing"] = len(seeds) - len(runs)
    measured = {name: metric_interval(finished, "test", name, bootstrapped) for name in METRICS}
    known = (finished or list(runs))[0].record if runs else None
    mixed, control_digest = _control(candidate, runs)
    class_names, calibration = None if task is None else task.class_names, calibrate_candidate(runs)
    return CandidateSummary(
        name=candidate.name, note=candidate.note,
        model=(known.model if known else "") or _network(candidate),
        control_digest=control_digest, mixed=mixed,
        differences=dict(known.differences) if known else {},
        planned=len(seeds), statuses=statuses,
        seeds=tuple(run.record.seed for run in finished),
        accuracy=measured["accuracy"], loss=measured["loss"], top5=measured["top5"],
        macro_f1=measured["macro_f1"], balanced_accuracy=measured["balanced_accuracy"],
        validation_accuracy=metric_interval(finished, "validation", "accuracy"),
        validation_loss=metric_interval(finished, "validation", "loss"),
        **_cost([run.record for run in finished]),
        reported=candidate.published,
        published=_against_published(candidate, measured["accuracy"], measured["loss"]),
        symptoms=find_symptoms(runs, class_names, calibration)
        + published_symptoms(candidate.published, len(class_names) if class_names else None),
        calibration=calibration,
        deduplicated=metric_interval([without_twins(run, twins) for run in finished], "test", "accuracy")
        if twins else None,
    )  # fmt: skip


def _network(candidate: CandidateSpec) -> str:
    """Say what a candidate that has no run yet will be, in the words of a record."""
    if candidate.model is not None:
        return candidate.model
    if candidate.network is not None:
        return candidate.network.words
    if candidate.external is not None:
        return command_words(candidate.external)
    if candidate.search is not None:
        return candidate.search.words
    if candidate.is_pretrained:
        return candidate.source or ""
    place = "" if candidate.tap == "features" else "'s output"
    return f"on {candidate.source}{place}"


def _control(candidate: CandidateSpec, runs: Sequence[Run]) -> tuple[str, str]:
    """Return what a candidate's seeds mix, if anything, and the digest that it is ranked under.

    A candidate whose seeds differ in more than chance has a digest of its own, so it is ranked alone.
    """
    digests = sorted({run.record.control_digest for run in runs})
    model = of_several_versions(runs)
    mixed = "control" if len(digests) > 1 else f"version of {model}" if model else ""
    return mixed, "+".join([*digests, candidate.name] if mixed else digests)


def _cost(records: Sequence[RunRecord]) -> dict[str, Any]:
    """Average what the finished runs cost; what does not vary is taken from the first."""
    if not records:
        return {}
    first, n = records[0], len(records)
    known: dict[str, Any] = {
        "parameters": first.parameters, "trainable": first.trainable,
        "multiplications": first.multiplications,
    }  # fmt: skip
    means = {
        name: sum(getattr(record, name) for record in records) / n
        for name in ("epochs", "train_seconds", "total_seconds", "images_per_second")
    }
    sources = [record.source for record in records if record.source]
    energies = [record.energy_joules for record in records if record.energy_joules is not None]
    counted = known | means
    return {
        **(without_unknown(counted) if first.external else counted),
        "external": control_words(first),
        "pretrained": first.pretrained.get("seen", ""),
        "source": sources[0].get("candidate", "") if sources else "",
        "source_seconds": sum(s.get("train_seconds", 0.0) for s in sources) / n if sources else None,
        **search_cost(records),
        "input_size": first.input_size, "precision": first.precision.get("used", ""),
        "peak_memory_bytes": max(record.peak_memory_bytes for record in records),
        "inference": next((record.inference for record in records if record.inference), {}),
        "energy_joules": sum(energies) / len(energies) if energies else None,
    }  # fmt: skip


def _against_published(
    candidate: CandidateSpec, accuracy: Interval | None, loss: Interval | None
) -> AgainstPublished | None:
    """Hold our means against the published numbers; None when nothing was published."""
    published = candidate.published
    if published is None or (published.loss is None and published.accuracy is None):
        return None
    apart = None if accuracy is None or published.accuracy is None else accuracy.mean - published.accuracy
    at_least = None if apart is None else apart >= -1e-9  # equal decimals may differ in the last bit
    inside = None
    if accuracy is not None and accuracy.half_width is not None and published.accuracy is not None:
        inside = accuracy.holds(published.accuracy)
    return AgainstPublished(
        loss=published.loss, accuracy=published.accuracy, accuracy_difference=apart,
        loss_difference=None if loss is None or published.loss is None else loss.mean - published.loss,
        at_least_as_accurate=at_least, inside_interval=inside,
        text=_published_text(published.accuracy, published.loss, apart, at_least),
    )  # fmt: skip


def _published_text(
    accuracy: float | None, loss: float | None, apart: float | None, at_least: bool | None
) -> str:
    if accuracy is None:
        return f"published with loss {number(loss or 0.0)} only"
    if apart is None:
        return f"published with {published_percent(accuracy)}; ours has not finished"
    word = "at least as accurate as published" if at_least else "less accurate than published"
    return f"{word}: {points(apart, published_decimals(accuracy))} against {published_percent(accuracy)}"


def _rankings(rows: Sequence[CandidateSummary]) -> dict[str, list[str]]:
    """Rank the finished candidates inside each control group, the group of most candidates first."""
    groups: dict[str, list[CandidateSummary]] = {}
    for row in rows:
        if sum(row.statuses.values()) > row.statuses["missing"]:
            groups.setdefault(row.control_digest, []).append(row)
    largest_first = sorted(groups.items(), key=lambda item: -len(item[1]))
    return {
        digest: [row.name for row in sorted(filter(_ranked, members), key=_merit)]
        for digest, members in largest_first
    }


def _ranked(row: CandidateSummary) -> bool:
    return row.accuracy is not None


def _merit(row: CandidateSummary) -> tuple[float, float]:
    """Order by accuracy, then by loss; sorting is stable, so the file's order breaks ties."""
    accuracy = row.accuracy.mean if row.accuracy else 0.0
    return -accuracy, row.loss.mean if row.loss else 0.0


def _group(
    task: TaskSpec,
    digest: str,
    ranking: Sequence[str],
    rows: Sequence[CandidateSummary],
    comparisons: Sequence[Comparison],
) -> ControlGroup:
    members = [row for row in rows if row.control_digest == digest]
    by_name = {row.name: row for row in members}
    # Under a budget members may differ in all but the seconds: only what they share sets the group apart.
    differences = {
        name: values
        for name, values in members[0].differences.items()
        if all(row.differences.get(name) == values for row in members)
        and (task.control == "recipe" or name in ("time", "weights", "source"))
    }
    return ControlGroup(
        digest=digest,
        title=_group_title(task, members[0], differences),
        differences=differences,
        ranking=tuple(ranking),
        unranked=tuple(row.name for row in members if row.name not in ranking),
        not_told_apart=groups_not_told_apart(ranking, comparisons),
        verdict=group_verdict(by_name, ranking, comparisons),
        recommended=recommend(by_name, ranking, comparisons) if len(ranking) > 1 else "",
        places=front(by_name, ranking, comparisons),
    )


def _group_title(task: TaskSpec, first: CandidateSummary, differences: Mapping[str, Sequence[Any]]) -> str:
    if first.mixed:
        return f"more than one {first.mixed} among the seeds of {first.name}"
    if not differences:
        return f"the task's {task.control}"
    pairs = differences.items()
    return "; ".join(f"{name} {_value(own)} instead of {_value(tasks)}" for name, (tasks, own) in pairs)


def _distinct(groups: Sequence[ControlGroup]) -> tuple[ControlGroup, ...]:
    """Tell groups apart whose recipes are equal: precision, images or split must differ then."""
    titles = Counter(group.title for group in groups)
    return tuple(
        replace(group, title=f"{group.title} (control {group.digest})") if titles[group.title] > 1 else group
        for group in groups
    )


def _value(value: Any) -> str:
    """Write a setting's value; a table as ``name=sgd lr=0.1``."""
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_value(item)}" for name, item in value.items())
    return "none" if value is None else str(value)
