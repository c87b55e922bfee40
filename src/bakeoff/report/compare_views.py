"""Two candidates side by side: from what the records say of them to the words of a page."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from bakeoff.evidence.agreement import Agreement
from bakeoff.evidence.candidate_pair import CandidatePair, only
from bakeoff.evidence.intervals import Interval
from bakeoff.evidence.summary import CandidateSummary
from bakeoff.evidence.words import count, listing, number, p_text, percent, points
from bakeoff.records import StudyFolder
from bakeoff.report import figures
from bakeoff.report.compare_detail_views import class_section, image_section
from bakeoff.report.compare_view import CompareView, Said, Section
from bakeoff.report.view import Cell, Command, Row, Table, numbers, row, words
from bakeoff.report.words import (
    MISSING,
    grouped,
    plain,
    plural,
    points_range,
    range_words,
    shown,
    signed_number,
    typeset,
)
from bakeoff.units import format_bytes, format_seconds

WORTH_A_WORD = 1.1  # times that one must cost more than the other


def candidates_view(pair: CandidatePair, folder: StudyFolder, *, images: bool = True) -> CompareView:
    """Decide everything that the page of two candidates says.

    Args:
        pair: What the records say of them.
        folder: The study, for names and kept pictures of its images.
        images: Whether kept test images go into the page.

    Returns:
        The page's words, in order.
    """
    names = pair.first.name, pair.second.name
    sections = [_side_by_side(pair), _curves(pair)]
    if pair.agreement is not None:
        sections[1:1] = [
            _agreement_section(names, pair.agreement), class_section(pair),
            image_section(pair, folder, images=images),
        ]  # fmt: skip
    return CompareView(
        eyebrow=f"two candidates of {pair.study}", title=f"{names[0]} and {names[1]}",
        lede=f"Both on the task {pair.task.name}, from the study's records alone.",
        verdicts=(verdict(pair),), facts=_facts(pair),
        sections=tuple(section for section in sections if section is not None),
        commands=(Command(
            purpose="This page again, from the records alone:",
            text=f"bakeoff compare {shlex.join([folder.path.name, *names])} --task "
            f"{shlex.quote(pair.task.name)} --out comparison.html",
        ),),
    )  # fmt: skip


def verdict(pair: CandidatePair) -> Said:
    """Say whether two candidates can be told apart, and what that rests on."""
    lead = pair.among_all or pair.comparison or pair.unpaired
    if lead is None:
        raise ValueError(f"verdict: got {pair.first.name} and {pair.second.name} without a comparison")
    first, second = pair.first.name, pair.second.name
    size = f"{points(abs(lead.difference), 2 if abs(lead.difference) < 0.001 else 1)} of test accuracy"
    reach = points_range(lead.low, lead.high)
    if lead.told_apart:
        better, worse = (first, second) if lead.difference > 0 else (second, first)
        said = (
            f"{better} is better than {worse}, by more than luck: {size.lstrip('+')} ({p_text(lead.p_holm)})."
        )
    else:
        said = (
            f"{first} and {second} cannot be told apart: {typeset(points(lead.difference))} of test accuracy."
        )
    why = [f"The 95 % interval of the difference, {first} minus {second}, is {reach} points."]
    why += [_how(pair), _control_words(pair), _cost_words(pair)]
    badge = "more than luck" if lead.told_apart else "not told apart"
    tone: str = "good" if lead.told_apart else "warn"
    if not pair.same_control:
        badge, tone = "other controls", "warn"
    return Said(
        about=pair.task.name, anchor="side", badge=badge, tone="good" if tone == "good" else "warn",
        said=typeset(said), why=" ".join(filter(None, why)),
    )  # fmt: skip


def _how(pair: CandidatePair) -> str:
    """Say by which test, on which images and seeds."""
    found = pair.comparison
    if found is None:
        return (
            "They have no finished seed in common, so they are compared as if on different images, which "
            "tells less."
        )
    seeds = f"seed{'s' if len(found.seeds) > 1 else ''} {listing([str(seed) for seed in found.seeds])}"
    images = plural(found.images, "test image")
    test = "McNemar's exact test" if found.method == "mcnemar" else "seeds and images both drawn at random"
    text = f"On the same {images}, {seeds} ({test}): {p_text(found.p)} for this pair by itself"
    if pair.among_all is not None and len(pair.task.comparisons) > 1:
        pairs = plural(len(pair.task.comparisons), "pair")
        text += f", {p_text(pair.among_all.p_holm)} among all {pairs} of the task"
    return text + "."


def _control_words(pair: CandidatePair) -> str:
    if pair.same_control:
        return ""
    differing = pair.differences()
    how = "; ".join(f"{key} {plain(a)} and {plain(b)}" for key, (a, b) in differing.items())
    named = f" ({how})" if how else ""
    return f"They were trained under different controls{named}, so the difference is of these together."


def _cost_words(pair: CandidatePair) -> str:
    """Say how much more one of them costs, where that is worth a word."""
    said: dict[str, list[str]] = {}
    for what, first, second in (
        ("training time", pair.first.train_seconds, pair.second.train_seconds),
        ("parameters", pair.first.parameters, pair.second.parameters),
    ):
        times = max(first, second) / min(first, second) if first and second else 1.0
        if times >= WORTH_A_WORD:
            dear = pair.first.name if (first or 0) > (second or 0) else pair.second.name
            said.setdefault(dear, []).append(f"{times:.1f} times the {what}")
    return " ".join(f"{name} takes {' and '.join(parts)}." for name, parts in said.items())


def _facts(pair: CandidatePair) -> tuple[tuple[str, str], ...]:
    agreed = pair.agreement
    facts = [("Task", pair.task.name), ("Test images", grouped(pair.task.test_images or 0))]
    if agreed is not None:
        facts += [
            ("Seeds in common", plain(list(agreed.seeds))),
            ("Both right", percent(agreed.both / agreed.images)),
            (f"Only {pair.first.name} right", percent(agreed.first_only / agreed.images)),
            (f"Only {pair.second.name} right", percent(agreed.second_only / agreed.images)),
            ("Neither right", percent(agreed.neither / agreed.images)),
        ]
    return tuple(facts)


def _side_by_side(pair: CandidatePair) -> Section:
    first, second = pair.first, pair.second
    rows = [_metric_row(label, a, b, write, differ) for label, a, b, write, differ in (
        ("Test accuracy", first.accuracy, second.accuracy, percent, _points),
        ("Test loss, nats", first.loss, second.loss, number, signed_number),
        ("Top-5 accuracy", first.top5, second.top5, percent, _points),
        ("Macro F1", first.macro_f1, second.macro_f1, number, signed_number),
        ("Balanced accuracy", first.balanced_accuracy, second.balanced_accuracy, percent, _points),
        ("Validation accuracy", first.validation_accuracy, second.validation_accuracy, percent, _points),
    ) if (a or b) and not (label.startswith("Top-5") and (pair.task.classes or 6) <= 5)]  # fmt: skip
    rows += [_cost_row(label, a, b, write) for label, a, b, write in (
        ("Training of a run", first.train_seconds, second.train_seconds, format_seconds),
        ("Images/s in training", first.images_per_second, second.images_per_second, grouped),
        ("Epochs", first.epochs, second.epochs, "{:.3g}".format),
        ("Peak memory", first.peak_memory_bytes, second.peak_memory_bytes, format_bytes),
        ("Parameters", first.parameters, second.parameters, count),
        ("Multiplications an image", first.multiplications, second.multiplications, count),
        ("Pixels of its input", first.input_size, second.input_size, str),
    ) if a or b]  # fmt: skip
    rows.append(row("Runs finished", _runs(first), _runs(second), ""))
    table = Table(
        caption="Means over the finished runs, with 95 % intervals below them; the first minus the second, "
        "or the first as a multiple of the second.",
        columns=(words("What"), numbers(first.name), numbers(second.name), numbers("Difference")),
        rows=tuple(rows),
    )  # fmt: skip
    task = only(pair.task, (first.name, second.name))
    figure = figures.accuracy_figure(task, pair.runs, 0, 1)
    return Section(
        anchor="side", eyebrow="Results and cost", title="Side by side", tables=(table,),
        figures=(figure,) if figure else (),
    )  # fmt: skip


def _points(difference: float) -> str:
    return typeset(points(difference))


def _metric_row(
    label: str,
    first: Interval | None,
    second: Interval | None,
    write: Callable[[float], str],
    differ: Callable[[float], str],
) -> Row:
    both = first.mean - second.mean if first and second else None
    return row(label, _interval(first, write), _interval(second, write), shown(both, differ))


def _interval(found: Interval | None, write: Callable[[float], str]) -> Cell:
    if found is None:
        return Cell(text=MISSING)
    return Cell(text=write(found.mean), sub=range_words(found.low, found.high, write))


def _cost_row(label: str, first: float | None, second: float | None, write: Callable[[float], str]) -> Row:
    times = first / second if first and second else None
    return row(label, shown(first, write), shown(second, write), shown(times, _times))


def _times(value: float) -> str:
    return "equal" if value == 1 else f"{value:.2f} times" if value < 10 else f"{value:.0f} times"


def _runs(summary: CandidateSummary) -> str:
    return f"{summary.statuses.get('finished', 0)} of {summary.planned}"


def _agreement_section(names: tuple[str, str], agreed: Agreement) -> Section:
    """Show who is right together with whom, as a table of four."""
    first, second = names
    cells = [
        ("right", agreed.both, agreed.first_only),
        ("wrong", agreed.second_only, agreed.neither),
    ]

    def cell(images: float) -> Cell:
        return Cell(text=percent(images / agreed.images), sub=f"{_images(images)} images")

    table = Table(
        caption=f"Test images, mean over {plural(len(agreed.seeds), 'seed')}.",
        columns=(words(first), numbers("right", second), numbers("wrong", second)),
        rows=tuple(row(label, cell(a), cell(b)) for label, a, b in cells), kind="wide",
    )  # fmt: skip
    best = (agreed.both + agreed.first_only + agreed.second_only) / agreed.images
    said = f"They name the same class for {percent(agreed.same_answer)} of the images"
    if agreed.kappa is not None:
        said += f" (Cohen's kappa {agreed.kappa:.2f}: 0 is chance, 1 is always)"
    return Section(
        anchor="agreement", eyebrow="Agreement", title="Are they right on the same images?",
        paragraphs=(
            f"{said}. Whoever could always follow the one that is right would reach {percent(best)}.",
        ),
        tables=(table,),
    )  # fmt: skip


def _images(value: float) -> str:
    return grouped(value) if value == round(value) else f"{value:.1f}"


def _curves(pair: CandidatePair) -> Section | None:
    task = only(pair.task, (pair.first.name, pair.second.name))
    figure = figures.curves_figure(task, [run.record for run in pair.runs], 0, 3)
    if figure is None:
        return None
    return Section(anchor="curves", eyebrow="Training", title="How they learned", figures=(figure,))
