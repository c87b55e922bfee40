"""Images worth a look, as cards: labels that the networks contradict, and images that all of them fail on."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence

import numpy as np

from bakeoff.evidence.words import listing, percent
from bakeoff.records import LabelErrors, StudyFolder
from bakeoff.records.label_errors import DoubtedLabel, Outlier
from bakeoff.report.view import Confusion, LabelErrorsView, Thumb
from bakeoff.report.words import grouped, plural

WEAK = 0.6  # accuracy below which most contradictions are the networks' own mistakes
QUALITY = 85  # of a JPEG; a PNG of a photograph is four times as large
Images = Mapping[int, np.ndarray]


def label_errors_view(folder: StudyFolder, task: str, *, images: bool) -> LabelErrorsView | None:
    """Show the images of a task that are worth a look.

    Args:
        folder: The study.
        task: The task's name.
        images: Whether pictures go into the page.

    Returns:
        Words and cards; None when nobody has looked for such images, or there are none.
    """
    found = folder.read_label_errors(task)
    if found is None or not (found.labels or found.outliers):
        return None
    copies: Images = folder.read_label_error_images(task) if images else {}
    record = folder.read_task(task)
    names = record.class_names if record else []
    return LabelErrorsView(
        words=_words(found),
        labels=tuple(_label_card(one, found.asked, copies, names) for one in found.labels),
        outliers_words=_outliers_words(found),
        outliers=tuple(_outlier_card(one, found.asked, copies, names) for one in found.outliers),
    )


def _words(found: LabelErrors) -> str:
    """Say whom these labels are doubted by, and how far to trust that."""
    if not found.labels:
        return f"No label of the {grouped(found.images)} validation and test images is doubted."
    who = f"mean of {plural(found.runs, 'run')} of {listing(found.candidates)}"
    return (
        "Worth a look, not proved wrong: labels that the networks contradict most surely, on validation and "
        f"test images, which none of them was trained on ({who}). "
        f"{_precision(found)} In all, confident learning doubts {grouped(found.doubted)} of "
        f"{grouped(found.images)} labels (Northcutt et al. 2021)."
    )


def _precision(found: LabelErrors) -> str:
    """Hold the contradictions against the networks' own doubt: what is more than that may be wrong labels."""
    against, expected = found.as_sure_against, found.as_sure_expected
    about = f"about {round(expected)}" if round(expected) else "hardly any"
    text = (
        f"On {grouped(found.as_sure)} images they are as sure as on these, and contradict the label of "
        f"{grouped(against)}; by their own doubt they would be mistaken on {about}."
    )
    if found.accuracy < WEAK:
        return f"{text} They are right on {percent(found.accuracy)} only: expect mostly their own mistakes."
    if against - expected > 2 * math.sqrt(max(expected, 1.0)):
        more = round(against - expected)
        verb = "label" if more == 1 else "labels"
        return f"{text} So about {more} of these {verb} may really be wrong."
    return f"{text} That is no more than one would expect if every label were right: the pictures must tell."


def _outliers_words(found: LabelErrors) -> str:
    if not found.outliers:
        return ""
    return (
        f"Odd images: in each of {plural(found.asked, 'run')} they are among the tenth with the highest loss "
        "and the tenth with the greatest doubt, and half of the runs or more are wrong. They may show "
        "something else, or hardly anything."
    )


def _label_card(one: DoubtedLabel, asked: int, copies: Images, names: Sequence[str]) -> Confusion:
    label, rather = _name(one.label, names), _name(one.suggested, names)
    return Confusion(
        title=f"Labelled {label}; they say {rather}",
        words=f"{one.runs_for} of {plural(asked, 'run')} say {rather}, on average with "
        f"{percent(one.suggested_probability)} against {percent(one.label_probability)}; {_where(one)}",
        thumbs=_thumbs(one.index, f"labelled {label}, perhaps {rather}", copies),
    )


def _outlier_card(one: Outlier, asked: int, copies: Images, names: Sequence[str]) -> Confusion:
    label = _name(one.label, names)
    return Confusion(
        title=f"Labelled {label}",
        words=f"right in {one.runs_right} of {plural(asked, 'run')}; {_where(one)}",
        thumbs=_thumbs(one.index, f"labelled {label}, which leaves every run in doubt", copies),
    )


def _where(one: DoubtedLabel | Outlier) -> str:
    return f"{one.part} image {one.file or one.index}"


def _name(label: int, names: Sequence[str]) -> str:
    return names[label] if label < len(names) else f"class {label}"


def _thumbs(index: int, said: str, copies: Images) -> tuple[Thumb, ...]:
    return (Thumb(uri=_jpeg(copies[index]), size=64, words=said),) if index in copies else ()


def _jpeg(image_HWC: np.ndarray) -> str:
    """Write an image into the page itself; equal pixels give equal bytes."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image_HWC)).save(file, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
