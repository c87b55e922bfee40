"""Where two candidates differ: their classes, and the test images on which only one is right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bakeoff.evidence.agreement import Parting
from bakeoff.evidence.candidate_pair import CandidatePair
from bakeoff.evidence.per_class import ClassDifference
from bakeoff.evidence.words import listing, p_text, percent, points
from bakeoff.records import StudyFolder
from bakeoff.report.compare_charts import Side, Span, difference_chart
from bakeoff.report.compare_view import Section
from bakeoff.report.pictures import thumb
from bakeoff.report.view import Cell, Confusion, Figure, Panel, Table, numbers, row, words
from bakeoff.report.words import grouped, plural, points_range, typeset

MOST_CLASSES = 15  # rows of classes shown at once, those that differ most
MOST_IMAGES = 8  # rows of images shown at once
MOST_FOLDED = 200  # rows below a fold: more would say nothing and weigh much
PICTURES = 8  # of each kind


def class_section(pair: CandidatePair) -> Section:
    """List the classes, those that differ most first."""
    ordered = pair.classes
    apart = [one for one in ordered if one.told_apart]
    first, second = pair.first.name, pair.second.name
    named = [f"{one.name} ({typeset(points(one.difference))})" for one in apart]
    said = (
        f"{plural(len(apart), 'class', 'classes')} of {len(ordered)} can be told apart: {listing(named)}."
        if apart
        else f"In none of the {len(ordered)} classes can they be told apart by its images alone."
    )
    shown_rows, folded = ordered[:MOST_CLASSES], ordered[MOST_CLASSES:]
    spans = [
        Span(name=one.name, difference=one.difference, low=one.low, high=one.high,
             side=_side(one))
        for one in shown_rows
    ]  # fmt: skip
    title = f"accuracy in points, {first} minus {second}"
    panel = Panel(
        key="compare-classes", title="Difference by class", spec=difference_chart(spans, title),
        description=f"Difference of accuracy by class, {first} minus {second}; the table has the numbers",
    )  # fmt: skip
    caption = (
        "The classes that differ most, with 95 % intervals."
        if folded
        else "Every class, with 95 % intervals."
    )
    return Section(
        anchor="classes", eyebrow="Classes", title="Where they differ",
        paragraphs=(
            f"{said} The p values are corrected for all {len(ordered)} classes by Holm's method.",
        ),
        figures=(Figure(number=2, caption=caption, panels=(panel,)),),
        tables=(_class_table(pair, shown_rows),),
        folded=(("The other classes", _class_table(pair, folded)),) if folded else (),
    )  # fmt: skip


def _side(one: ClassDifference) -> Side:
    if not one.told_apart:
        return "neither"
    return "first" if one.difference > 0 else "second"


def _class_table(pair: CandidatePair, classes: Sequence[ClassDifference]) -> Table:
    columns = (
        words("Class"), numbers("Images"), numbers(pair.first.name, "Recognised"),
        numbers(pair.second.name, "Recognised"), numbers("Difference"), numbers("Corrected p"),
    )  # fmt: skip
    rows = tuple(
        row(
            one.name, grouped(one.images), percent(one.first), percent(one.second),
            Cell(text=typeset(points(one.difference)), sub=points_range(one.low, one.high)),
            p_text(one.p_holm).removeprefix("p ").removeprefix("= "),
        )
        for one in classes
    )  # fmt: skip
    return Table(
        caption="Accuracy by class; the interval of a difference below it.", columns=columns, rows=rows
    )


def image_section(pair: CandidatePair, folder: StudyFolder, *, images: bool) -> Section:
    """Show the test images on which one is right more often than the other."""
    first, second = pair.first.name, pair.second.name
    sides = {
        first: [one for one in pair.partings if one.first_right > one.second_right],
        second: [one for one in pair.partings if one.second_right > one.first_right],
    }
    copies = folder.read_examples(pair.task.name) if images else {}
    cards = []
    for name, found in sides.items():
        pictured = [one for one in found if one.index in copies][:PICTURES]
        thumbs = tuple(thumb(copies[one.index], _parting_words(pair, one)) for one in pictured)
        if thumbs:
            kept = f"{len(thumbs)} of {plural(len(found), 'image')}, as kept by the study"
            cards.append(Confusion(title=f"Only or mostly {name} is right", words=kept, thumbs=thumbs))
    always = {
        name: sum(abs(one.first_right - one.second_right) == one.seeds for one in found)
        for name, found in sides.items()
    }
    said = (
        f"{first} is right more often on {plural(len(sides[first]), 'image')} ({always[first]} of them in "
        f"every seed against none), {second} on {len(sides[second])} ({always[second]})."
    )
    files = [image["file"] for image in folder.read_manifest(pair.task.name)]
    tables, folded = [], []
    for name, found in sides.items():
        if found:
            head = f"Images that {name} recognises more often"
            tables.append(_image_table(pair, found[:MOST_IMAGES], files, f"{head}, the clearest first."))
        rest = found[MOST_IMAGES : MOST_IMAGES + MOST_FOLDED]
        if rest:
            more = len(found) - MOST_IMAGES - len(rest)
            tail = f" Another {grouped(more)} are not listed." if more > 0 else ""
            folded.append((f"{head}: {len(rest)} more", _image_table(pair, rest, files, f"{head}.{tail}")))
    return Section(
        anchor="images", eyebrow="Images", title="Where only one is right", paragraphs=(said,),
        tables=tuple(tables), folded=tuple(folded), cards=tuple(cards),
    )  # fmt: skip


def _image_table(pair: CandidatePair, found: Sequence[Parting], files: Sequence[str], caption: str) -> Table:
    columns = (words("Image"), words("It shows"), words(f"{pair.first.name} says"),
               words(f"{pair.second.name} says"))  # fmt: skip
    rows = tuple(
        row(
            Path(files[one.index]).name if one.index < len(files) else f"image {one.index}",
            _class(pair, one.label),
            Cell(text=_class(pair, one.first_answer), sub=_right(one.first_right, one.seeds)),
            Cell(text=_class(pair, one.second_answer), sub=_right(one.second_right, one.seeds)),
        )
        for one in found
    )
    return Table(caption=caption, columns=columns, rows=rows)


def _right(count_: int, seeds: int) -> str:
    return f"right in {count_} of {plural(seeds, 'seed')}"


def _parting_words(pair: CandidatePair, one: Parting) -> str:
    return (
        f"{_class(pair, one.label)}: {pair.first.name} {_right(one.first_right, one.seeds)}, "
        f"{pair.second.name} in {one.second_right}"
    )


def _class(pair: CandidatePair, label: int) -> str:
    names = pair.task.record.class_names if pair.task.record else []
    return names[label] if 0 <= label < len(names) else f"class {label}"
