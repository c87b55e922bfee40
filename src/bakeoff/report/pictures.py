"""The test images that say most, as pictures inside the page: confused pairs, the easiest, the hardest."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence

import numpy as np

from bakeoff.evidence.confusion import Example, ExampleChoice, choose_examples
from bakeoff.evidence.runs import Run
from bakeoff.evidence.words import percent
from bakeoff.records import StudyFolder
from bakeoff.report.heat import TINY
from bakeoff.report.view import Confusion, Thumb
from bakeoff.report.words import plural, whole_percent

Images = Mapping[int, np.ndarray]  # rows x columns x 3, uint8, by index


def confusions(
    folder: StudyFolder, task: str, *, images: bool, runs: Sequence[Run] | None = None
) -> tuple[str, tuple[Confusion, ...]]:
    """Show what the task's most accurate candidate takes for what.

    Args:
        folder: The study.
        task: The task's name.
        images: Whether pictures go into the page.
        runs: Of the study, where they are read already.

    Returns:
        An introduction (empty when there is nothing to show), and the cards.
    """
    choice = choose_examples(folder, task, runs=runs)
    if choice is None:
        return "", ()
    copies: Images = folder.read_examples(task) if images else {}
    record = folder.read_task(task)
    names = record.class_names if record else []
    cards = [
        Confusion(
            title=f"{pair.truth_name}, taken for {pair.predicted_name}",
            words=f"{plural(pair.count, 'time')}, {percent(pair.rate)} of the images of {pair.truth_name}",
            thumbs=_thumbs(examples, copies, names),
        )
        for pair, examples in choice.confused
    ]
    cards += _extremes(choice, copies, names)
    if not cards:
        return f"{choice.candidate} mistakes no test image.", ()
    return (
        f"The mistakes of {choice.candidate}, the most accurate, counted over its seeds: the classes that it "
        "confuses most, with test images on which it does.",
        tuple(cards),
    )


def _extremes(choice: ExampleChoice, copies: Images, names: Sequence[str]) -> list[Confusion]:
    """Show the easiest and the hardest images; without pictures they say nothing."""
    found = (
        ("Recognised by nearly everyone", "Right in most runs of all candidates", choice.easiest),
        ("Recognised by hardly anyone", "Right in the fewest runs", choice.hardest),
    )
    cards = [
        Confusion(title=title, words=words, thumbs=_thumbs(shown, copies, names))
        for title, words, shown in found
    ]
    return [card for card in cards if card.thumbs]


def _thumbs(examples: Sequence[Example], copies: Images, names: Sequence[str]) -> tuple[Thumb, ...]:
    return tuple(
        Thumb(
            uri=_png(copies[example.index]),
            size=64,
            words=_example_words(example, names),
            caption=_caption(example, names),
        )
        for example in examples
        if example.index in copies
    )


def thumb(image_HWC: np.ndarray, words: str) -> Thumb:
    """Put a kept image into the page, with the words of who cannot see it."""
    return Thumb(uri=_png(image_HWC), size=64, words=words)


def _example_words(example: Example, names: Sequence[str]) -> str:
    words = f"{_name(example.label, names)}: right in {example.right} of {plural(example.runs, 'run')}"
    if example.mistaken_for is None:
        return words
    return f"{words}, otherwise mostly called {_name(example.mistaken_for, names)}"


def _caption(example: Example, names: Sequence[str]) -> str:
    """Say what the card's title does not: how sure a mistake was, or what an image is and was taken for."""
    if example.surest is not None:
        return f"{whole_percent(example.surest)} sure"
    name = _name(example.label, names)
    if 2 * example.right > example.runs or example.mistaken_for is None:
        return name
    return f"{name}, called {_name(example.mistaken_for, names)}"


def _name(label: int, names: Sequence[str]) -> str:
    return names[label] if label < len(names) else f"class {label}"


def _png(image_HWC: np.ndarray) -> str:
    """Write an image into the page itself; equal pixels give equal bytes."""
    from PIL import Image

    file = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(image_HWC))
    if max(image.size) <= TINY:  # drawn in squares, so that its own pixels are seen
        image = image.resize((64, 64), Image.Resampling.NEAREST)
    image.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
