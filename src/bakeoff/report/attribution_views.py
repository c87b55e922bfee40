"""Where the candidates of a task looked: the same test images for all, side by side, as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bakeoff.evidence.words import listing
from bakeoff.records import Attributions, Explanation, RunRecord, ShownImage, StudyFolder
from bakeoff.report import heat
from bakeoff.report.view import HeatCell, HeatColumn, HeatRow, HeatTable
from bakeoff.report.words import TIMES, whole_percent

Images = Mapping[int, np.ndarray]  # rows x columns x 3, uint8, by index

_WHAT_IT_SAYS = (
    "Each picture shows, for one candidate, which parts of a test image raise its score for the class that "
    "it answered: bright parts most, dark parts not at all. That is where the answer comes from, and not "
    "whether it is right, nor why such a part matters. The most accurate candidate stands first."
)
_WHAT_IT_DOES_NOT = (
    "Each picture has its own scale, so that brightness cannot be compared between pictures; and a network "
    "sees in few positions, whose number stands under its name. Some ways of making such maps draw much the "
    "same when the network's weights are random; Grad-CAM is one of those that did not, when this was tried "
    "(Adebayo et al., “Sanity Checks for Saliency Maps”, 2018). They illustrate; the tables are the evidence."
)


def heat_table(
    folder: StudyFolder,
    task: str,
    records: Sequence[RunRecord],
    colors: Mapping[str, int],
    *,
    images: bool,
) -> HeatTable | None:
    """Show all candidates of a task on the same test images.

    Args:
        folder: The study.
        task: The task's name.
        records: Of the task's runs.
        colors: The candidates' numbers.
        images: Whether pictures go into the page; without them there is nothing to show.

    Returns:
        The table; None where no heat maps were kept, or no copies of their images.
    """
    kept = folder.read_attributions(task) if images else None
    copies: Images = folder.read_examples(task) if kept is not None else {}
    if kept is None:
        return None
    rows = [(row, image) for row, image in enumerate(kept.images) if image.index in copies]
    current = {record.identity for record in records}
    shown = [
        one
        for one in kept.candidates
        if one.candidate in kept.maps and one.identity in current and one.candidate in colors
    ]
    notes = _notes(kept, current, colors)
    if not rows or not (shown or notes):
        return None
    record = folder.read_task(task)
    names = record.class_names if record else []
    return HeatTable(
        words=(_WHAT_IT_SAYS, _WHAT_IT_DOES_NOT) if shown else (),
        columns=tuple(_column(one, kept.maps[one.candidate], colors) for one in shown),
        rows=tuple(_rows(rows, shown, kept.maps, copies, names)) if shown else (),
        scale=heat.STOPS,
        notes=notes,
    )


def _rows(
    rows: Sequence[tuple[int, ShownImage]],
    shown: Sequence[Explanation],
    maps: Mapping[str, np.ndarray],
    copies: Images,
    names: Sequence[str],
) -> list[HeatRow]:
    found: list[HeatRow] = []
    last_kind = ""
    for row, image in rows:
        truth = _class_name(image.label, names)
        found.append(
            HeatRow(
                heading=_heading(image.kind, [one for _, one in rows]) if image.kind != last_kind else "",
                uri=heat.picture(copies[image.index]),
                size=heat.SIZE,
                name=truth,
                words=f"{image.right} of {image.candidates} right",
                cells=tuple(
                    _cell(one, row, image, copies[image.index], maps[one.candidate][row], names)
                    for one in shown
                ),
            )
        )
        last_kind = image.kind
    return found


def _cell(
    one: Explanation,
    row: int,
    image: ShownImage,
    image_HWC: np.ndarray,
    map_hw: np.ndarray,
    names: Sequence[str],
) -> HeatCell:
    right = one.classes[row] == image.label
    answer, sure = _class_name(one.classes[row], names), whole_percent(one.probabilities[row])
    place = heat.where(map_hw)
    said = f"what speaks for it is {place}" if place else "nothing in the image speaks for it"
    return HeatCell(
        uri=heat.overlay(image_HWC, map_hw),
        alt=f"{one.candidate} answers {answer}: {said}",
        answer=answer,
        verdict="right" if right else "wrong",
        sure=sure,
        remark="" if place else "nothing speaks for it",
        tone="good" if right else "bad",
    )


def _heading(kind: str, images: Sequence[ShownImage]) -> str:
    """Say what the images of a kind have in common; all candidates, or only most."""
    same = [image for image in images if image.kind == kind]
    if kind == "disputed":
        return "Right for some, wrong for others; first where the two most accurate differ"
    extreme = all(image.right in (0, image.candidates) for image in same)
    alone = same[0].candidates == 1
    return (
        f"{'Right' if kind == 'right' else 'Wrong'}{'' if alone else ' for all' if extreme else ' for most'}"
    )


def _column(one: Explanation, maps_Nhw: np.ndarray, colors: Mapping[str, int]) -> HeatColumn:
    """Say of a candidate how its maps came about."""
    size = f"{maps_Nhw.shape[1]} {TIMES} {maps_Nhw.shape[2]}"
    lines = (one.method, one.layer, size) if one.layer else (one.method, f"{size} patches")
    return HeatColumn(candidate=one.candidate, color=colors[one.candidate], lines=lines)


def _notes(kept: Attributions, current: set[str], colors: Mapping[str, int]) -> tuple[str, ...]:
    """List why some candidates are drawn otherwise than others, or not at all."""
    known = [one for one in kept.candidates if one.candidate in colors]
    lines = []
    for one in known:
        if one.identity not in current:
            lines.append(f"{one.candidate} was trained again since; the study's next run shows it here.")
        elif one.candidate not in kept.maps:
            lines.append(f"{one.candidate} could not be asked where it looked: {_sentence(one.note)}")
        elif one.method == "occlusion":
            lines.append(
                f"{one.candidate}: Grad-CAM does not apply, because {one.note}. Instead, grey patches hide "
                "parts of the image, and what counts is what the class then loses (Zeiler and Fergus, 2014)."
            )
    lines += _passed_over([one for one in known if one.method == "Grad-CAM" and one.note])
    seeds = {one.seed for one in known if one.candidate in kept.maps}
    if len(seeds) > 1:
        told = ", ".join(f"{one.candidate} by seed {one.seed}" for one in known)
        lines.append(f"Each candidate is shown by its first finished run: {told}.")
    return tuple(lines)


def _passed_over(candidates: Sequence[Explanation]) -> list[str]:
    """Say of whom the last maps were too small, in one sentence for all of them."""
    if not candidates:
        return []
    by_size: dict[str, list[str]] = {}
    for one in candidates:
        by_size.setdefault(one.note.rpartition(" of ")[2].replace(" x ", f" {TIMES} "), []).append(
            one.candidate
        )
    told = ", ".join(f"{size} in {listing(names, most=len(names))}" for size, names in by_size.items())
    return [
        f"The last convolution gives maps of {told}: too few places to say where something is. Shown are the "
        "last larger maps, from the layer under the candidate's name."
    ]


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _class_name(label: int, names: Sequence[str]) -> str:
    return names[label] if label < len(names) else f"class {label}"
