"""Two studies side by side: what they share, what differs, and which candidates changed beyond luck."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from bakeoff.evidence.between import Unpaired
from bakeoff.evidence.study_pair import SharedCandidate, SharedTask, StudyPair
from bakeoff.evidence.summary import TaskSummary
from bakeoff.evidence.words import listing, p_text, percent, points
from bakeoff.records import StudyFolder
from bakeoff.report.compare_charts import Side, Span, difference_chart
from bakeoff.report.compare_view import CompareView, Said, Section
from bakeoff.report.task_views import anchor
from bakeoff.report.view import Cell, Command, Figure, Panel, Table, Tone, numbers, row, words
from bakeoff.report.words import (
    DIGITS,
    MISSING,
    grouped,
    plain,
    plural,
    points_range,
    range_words,
    typeset,
)

Names = tuple[str, str]  # of the two studies, as the page calls them


def studies_view(pair: StudyPair, first: StudyFolder, second: StudyFolder) -> CompareView:
    """Decide everything that the page of two studies says.

    Args:
        pair: What the records say of them.
        first: The first study's folder, for its name.
        second: The second one's.

    Returns:
        The page's words, in order.
    """
    names = _names(pair, first, second)
    sections = [_task_section(task, index, names) for index, task in enumerate(pair.tasks) if task.candidates]
    sections.append(_differences(pair, names))
    return CompareView(
        eyebrow="two studies", title=f"{names[0]} and {names[1]}",
        lede=f"{pair.first.title} ({names[0]}) and {pair.second.title} ({names[1]}), from their records.",
        verdicts=tuple(_verdict(task, index, names, pair) for index, task in enumerate(pair.tasks)),
        facts=_facts(pair), sections=tuple(sections),
        commands=(Command(
            purpose="This page again, from the records alone:",
            text=f"bakeoff compare {shlex.join([first.path.name, second.path.name])} --out comparison.html",
        ),),
    )  # fmt: skip


def _names(pair: StudyPair, first: StudyFolder, second: StudyFolder) -> Names:
    """Call the studies by their names, by their folders where these are equal, else by their order."""
    for found in ((pair.first.name, pair.second.name), (first.path.name, second.path.name)):
        if found[0] != found[1]:
            return found
    return "first", "second"


def _facts(pair: StudyPair) -> tuple[tuple[str, str], ...]:
    verdicts = [row.verdict for _, row in pair.compared]
    return (
        ("Tasks in common", grouped(len(pair.tasks))),
        ("Candidates compared", grouped(len(verdicts))),
        ("Better", grouped(verdicts.count("better"))),
        ("Worse", grouped(verdicts.count("worse"))),
        ("Not told apart", grouped(verdicts.count("not told apart"))),
    )


def _verdict(task: SharedTask, index: int, names: Names, pair: StudyPair) -> Said:
    """Say of one task which candidates changed beyond luck."""
    by = {
        word: [row.name for row in task.candidates if row.verdict == word]
        for word in ("better", "worse", "not told apart", "not finished")
    }
    compared = [row for row in task.candidates if row.result is not None]
    if not compared:
        said, badge, tone = "No candidate has finished in both.", "nothing to compare", "warn"
    elif not by["better"] and not by["worse"]:
        among = plural(len(compared), "candidate")
        said = f"No difference beyond luck from {names[0]} to {names[1]} in {among}."
        badge, tone = "not told apart", "warn"
    else:
        parts = [f"{listing(by[word])} got {word}" for word in ("better", "worse") if by[word]]
        said = f"From {names[0]} to {names[1]}, {', and '.join(parts)}, by more than luck."
        badge = "changed" if by["better"] and by["worse"] else "better" if by["better"] else "worse"
        tone = "bad" if by["worse"] else "good"
    unpaired = [row for row in compared if row.unpaired is not None]
    why = (
        f"{_images_words(task)} p values are corrected for all {plural(len(pair.compared), 'candidate')} of "
        "both studies by Holm's method."
        if compared
        else ""
    )
    if unpaired and task.same_images:
        why += f" {listing([row.name for row in unpaired])}: no seed in common, so not paired."
    if by["not finished"]:
        why += f" Not finished in both: {listing(by['not finished'])}."
    return Said(
        about=_task_name(task), anchor=anchor(index), badge=badge, tone=_tone(tone), said=said, why=why
    )


def _tone(word: str) -> Tone:
    tones: dict[str, Tone] = {"good": "good", "warn": "warn", "bad": "bad"}
    return tones.get(word, "")


def _images_words(task: SharedTask) -> str:
    if task.same_images:
        return f"Both were tested on the same images ({task.why}), so the comparisons are paired."
    return (
        f"They were tested on different images ({task.why}): the comparisons are not paired, and would see "
        "only large differences."
    )


def _task_name(task: SharedTask) -> str:
    names = task.first.name, task.second.name
    return names[0] if names[0] == names[1] else f"{names[0]} / {names[1]}"


def _task_section(task: SharedTask, index: int, names: Names) -> Section:
    compared = [row for row in task.candidates if row.result is not None]
    spans = [
        Span(name=row.name, difference=row.result.difference, low=row.result.low, high=row.result.high,
             side=_side(row))
        for row in compared if row.result is not None
    ]  # fmt: skip
    figures = []
    if spans:
        panel = Panel(
            key=f"{anchor(index)}-differences", title="Difference of test accuracy",
            spec=difference_chart(spans, f"accuracy in points, {names[1]} minus {names[0]}"),
            description="Difference of test accuracy: "
            + "; ".join(f"{span.name} {typeset(points(span.difference))}" for span in spans),
        )  # fmt: skip
        figures.append(Figure(
            number=index + 1, panels=(panel,),
            caption=f"{names[1]} minus {names[0]} with 95 % intervals; grey where chance explains it.",
        ))  # fmt: skip
    said = [_images_words(task)]
    for name, only in ((names[0], task.only_first), (names[1], task.only_second)):
        if only:
            said.append(f"Only in {name}: {listing(list(only), most=12)}.")
    return Section(
        anchor=anchor(index), eyebrow="Results", title=_task_name(task), paragraphs=tuple(said),
        tables=(_results(task, names),), figures=tuple(figures),
    )  # fmt: skip


def _side(row: SharedCandidate) -> Side:
    sides: dict[str, Side] = {"better": "better", "worse": "worse"}
    return sides.get(row.verdict, "neither")


def _results(task: SharedTask, names: Names) -> Table:
    columns = (
        words("Candidate"), numbers(names[0], "Test accuracy"), numbers(names[1], "Test accuracy"),
        numbers("Difference"), numbers("Corrected p"), words("In words"),
    )  # fmt: skip
    rows = []
    for shared in task.candidates:
        found, tone = shared.result, {"better": "good", "worse": "bad"}.get(shared.verdict, "")
        how = ""
        if found is not None:
            how = (
                "not paired" if isinstance(found, Unpaired) else f"paired, {plural(len(found.seeds), 'seed')}"
            )
        rows.append(row(
            shared.name, _accuracy(task.first, shared.name), _accuracy(task.second, shared.name),
            Cell(text=typeset(points(found.difference)), sub=points_range(found.low, found.high))
            if found else MISSING,
            p_text(found.p_holm).removeprefix("p ").removeprefix("= ") if found else MISSING,
            Cell(text=shared.verdict, sub=how, tone=_tone(tone)),
        ))  # fmt: skip
    caption = f"{_task_name(task)}: test accuracy in both, with 95 % intervals; differences are "
    caption += f"{names[1]} minus {names[0]}."
    return Table(caption=caption, columns=columns, rows=tuple(rows))


def _accuracy(task: TaskSummary, name: str) -> Cell:
    found = task.candidate(name).accuracy
    if found is None:
        return Cell(text=MISSING)
    return Cell(text=percent(found.mean), sub=range_words(found.low, found.high, percent))


def _differences(pair: StudyPair, names: Names) -> Section:
    """List what differs between the two studies, beside their results."""
    tables = []
    data = [(_task_name(task), task.data) for task in pair.tasks if task.data]
    if data:
        tables.append(_both_table("Data that differs.", data, names))
    settings = _settings(pair)
    if settings:
        tables.append(_both_table("Settings and networks that differ.", settings, names))
    if pair.machines:
        tables.append(_both_table("Versions and hardware that differ.", [("", pair.machines)], names))
    said = []
    if not tables:
        said.append("Nothing that both recorded differs: images, recipes, networks, versions, hardware.")
    elif not pair.machines:
        said.append("Versions and hardware are those of each other, as far as both recorded them.")
    for name, only in ((names[0], pair.only_first), (names[1], pair.only_second)):
        if only:
            said.append(f"Tasks only in {name}: {listing(list(only), most=12)}.")
    return Section(
        anchor="differences", eyebrow="Method", title="What differs between them", paragraphs=tuple(said),
        tables=tuple(tables),
    )  # fmt: skip


def _settings(pair: StudyPair) -> list[tuple[str, Mapping[str, Any]]]:
    """Say of each changed setting for which candidates it changed, once for those that share it."""
    found: list[tuple[str, Mapping[str, Any]]] = []
    for task in pair.tasks:
        rows = [row for row in task.candidates if row.result is not None]
        groups: dict[str, list[str]] = {}
        values: dict[str, Any] = {}
        for shared in rows:
            for key, both in shared.changed.items():
                mark = f"{key}\0{both!r}"
                groups.setdefault(mark, []).append(shared.name)
                values[mark] = both
        by_names: dict[str, dict[str, Any]] = {}
        for mark, members in groups.items():
            whom = "all candidates" if len(members) == len(rows) > 1 else listing(members)
            by_names.setdefault(whom, {})[mark.partition("\0")[0]] = values[mark]
        found += [(f"{_task_name(task)}: {whom}", changed) for whom, changed in by_names.items()]
    return found


def _both_table(caption: str, parts: Sequence[tuple[str, Mapping[str, Any]]], names: Names) -> Table:
    where = any(place for place, _ in parts)
    columns = ((words("Where"),) if where else ()) + (words("What"), words(names[0]), words(names[1]))
    rows = tuple(
        row(*((place,) if where else ()), key.removeprefix("recipe."), _value(first), _value(second))
        for place, changed in parts
        for key, (first, second) in changed.items()
    )
    return Table(caption=caption, columns=columns, rows=rows, kind="wide")


def _value(value: Any) -> str:
    text = plain(value)
    is_digest = len(text) == 64 and set(text) <= set("0123456789abcdef")
    return text[:DIGITS] if is_digest else text
