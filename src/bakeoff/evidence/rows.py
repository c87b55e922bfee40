"""One candidate's row: its runs put together, beside what was published of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from bakeoff.evidence.bounded import Bootstrapped, metric_interval
from bakeoff.evidence.confidence import calibrate_candidate
from bakeoff.evidence.deduplicated import without_twins
from bakeoff.evidence.external import command_words, control_words, without_unknown
from bakeoff.evidence.intervals import Interval
from bakeoff.evidence.metrics import METRICS
from bakeoff.evidence.published import published_symptoms
from bakeoff.evidence.runs import Run
from bakeoff.evidence.summary import AgainstPublished, CandidateSummary
from bakeoff.evidence.symptoms import find_symptoms, of_several_versions
from bakeoff.evidence.trials import search_cost
from bakeoff.evidence.words import number, points, published_decimals, published_percent
from bakeoff.records import RunRecord, TaskRecord
from bakeoff.spec import CandidateSpec


def summarise_candidate(
    candidate: CandidateSpec,
    runs: Sequence[Run],
    seeds: Sequence[int],
    task: TaskRecord | None,
    bootstrapped: Bootstrapped | None,
    twins: frozenset[int],
) -> CandidateSummary:
    """Put the runs of one candidate together.

    Args:
        candidate: Whose.
        runs: All of it that have ended.
        seeds: That were asked for.
        task: What is known of the images; None before they were prepared.
        bootstrapped: Of a single run, whose metrics have no formula.
        twins: Test images that are among the training images too.

    Returns:
        Its row; without runs, what it will be.
    """
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
