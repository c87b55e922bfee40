"""The model card of an exported classifier, as Markdown: what it is, was trained on, can and cannot do.

Everything in it comes from the records of its study; what these do not say is said to be unknown. Its
sections are those of the source. Not here: the page of the study, which compares candidates.

Source: Mitchell et al., "Model Cards for Model Reporting", FAT* 2019, figure 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bakeoff.deploy.export import Exported
from bakeoff.errors import ConfigError
from bakeoff.evidence.fidelity import Fidelity
from bakeoff.evidence.intervals import wilson
from bakeoff.evidence.provenance import are_imagenets
from bakeoff.evidence.words import count, listing, number, p_text, percent, points
from bakeoff.records import Predictions, RunRecord, StudyFolder, TaskRecord
from bakeoff.records.atomic import write_text
from bakeoff.units import format_bytes, format_seconds

if TYPE_CHECKING:  # it needs onnx, and other forms go without it
    from bakeoff.deploy.quantize import Quantized

_OTHERS = (
    ("test_top5", "test top-5 accuracy"),
    ("test_balanced_accuracy", "test balanced accuracy"),
    ("test_macro_f1", "test macro F1"),
    ("validation_accuracy", "validation accuracy"),
)
WEAKEST = 5  # classes that are named with their accuracy


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a card is drawn from."""

    exported: Exported
    record: RunRecord
    task: TaskRecord
    test: Predictions | None
    seeds: Sequence[RunRecord]  # finished runs of the same candidate, this one among them
    description: str  # the study's


def card_of(exported: Exported, study: StudyFolder, record: RunRecord) -> Card:
    """Collect from a study's records what a card says.

    Args:
        exported: What was written.
        study: Where its run lies.
        record: The run.

    Returns:
        What `render_card` draws.

    Raises:
        ConfigError: The study no longer knows the run's task.
    """
    task = study.read_task(record.task)
    if task is None:
        raise ConfigError(f"the study {study.path} no longer has the task '{record.task}'")
    spec = study.spec()
    same = [
        one for one in study.records(spec)
        if (one.task, one.candidate, one.status) == (record.task, record.candidate, "finished")
    ]  # fmt: skip
    test = study.run(record.task, record.candidate, record.seed).read_predictions("test")
    return Card(
        exported=exported, record=record, task=task, test=test, seeds=same, description=spec.description
    )


def write_card(path: Path, card: Card) -> None:
    """Write a card, whole or not at all."""
    write_text(path, render_card(card))


def render_card(card: Card) -> str:
    """Draw a card as Markdown; equal records give equal bytes."""
    about = card.exported.about
    sections = {
        "Model details": _details(card),
        "Intended use": _intended(card),
        "How to use it": _use(card),
        "Training data": _training_data(card),
        "Training": _training(card),
        "Evaluation data": _evaluation_data(card),
        "Results": _results(card),
        "Where it is weakest": _weakest(card),
        "What was proved of this file": _proved(card),
        "Limits": _limits(card),
    }
    text = [f"# {about.name}", "", _first_sentence(card), ""]
    for title, lines in sections.items():
        body = list(lines)
        if body:
            text += [f"## {title}", "", *body, ""]
    return "\n".join(text).rstrip("\n") + "\n"


def _first_sentence(card: Card) -> str:
    about = card.exported.about
    classes = f"{len(about.class_names)} classes"
    return (
        f"An image classifier for {classes} ({listing([_plain(n) for n in about.class_names])}): candidate "
        f"`{about.candidate}`, seed {about.seed}, of the study `{about.study}`, task `{about.task}`."
    )


def _details(card: Card) -> Iterable[str]:
    record, about = card.record, card.exported.about
    yield f"- File: `{card.exported.path.name}`, {format_bytes(card.exported.size_bytes)}, {_form(card)}"
    yield (
        f"- Network: `{record.model}`, {count(record.parameters)} parameters, "
        f"{count(record.multiplications)} multiplications an image, input {about.input_size} x "
        f"{about.input_size} pixels"
    )
    if about.views != "one":
        yield f"- Each image is seen in several views (`{about.views}`), whose logits are averaged"
    version = record.environment.get("bakeoff", "of an unknown version")
    yield f"- Trained {_when(record)} by bakeoff {version}"
    yield f"- Identity of the run: `{record.identity}`"
    yield from _provenance(record)


def _form(card: Card) -> str:
    words = {
        "onnx": "ONNX",
        "torch-export": "torch's exported program",
        "safetensors": "safetensors with JSON",
    }
    kind = words[card.exported.form]
    return f"{kind}, int8" if card.exported.about.quantized else f"{kind}, fp32"


def _provenance(record: RunRecord) -> Iterable[str]:
    origin = record.pretrained
    if not origin:
        yield (
            "- All weights were trained by this study; nothing pretrained is in them"
            if not record.source
            else (
                f"- It stands on the candidate `{record.source.get('candidate')}`, of this or another study"
            )
        )
        return
    yield (
        f"- Pretrained weights: `{origin.get('network', 'unknown')}`, trained "
        f"{origin.get('seen') or 'elsewhere'} (`{origin.get('trained_on') or 'unknown tag'}`); "
        "licence of those weights: "
        f"{origin.get('license') or 'not stated'}"
    )
    yield f"- SHA-256 of those weights: `{origin.get('weights_sha256', 'not recorded')}`"


def _intended(card: Card) -> Iterable[str]:
    classes = len(card.exported.about.class_names)
    yield f"To name which of the {classes} classes below an image shows, when it shows one of them."
    yield ""
    yield (
        "Not for images of anything else: it always names one of its classes, and has never been shown what "
        "is none of them. Not for decisions about people."
    )


def _use(card: Card) -> Iterable[str]:
    name = card.exported.path.name
    if card.exported.form != "onnx":
        yield from ("```python", "import bakeoff", "", f'model = bakeoff.load("{name}")',
                    'print(model.top("photo.jpg"))', "```")  # fmt: skip
        if card.exported.form == "torch-export":
            yield ""
            yield _RUNS_CODE
        return
    yield from _SNIPPET.format(name=name).strip().splitlines()
    yield ""
    yield (
        "The file resizes by itself, but knows three channels of 8 bits only: its study laid transparent "
        "pixels on white, and scaled 16 bits to 8. To get to the last digit what was scored, draw images "
        f"as its study did: `bakeoff predict {name} photo.jpg`, or in Python "
        f'`bakeoff.load("{name}").top("photo.jpg")`.'
    )


_RUNS_CODE = (
    "torch's format can hold any program, and reading it runs that: open such a file only if you trust where "
    "it comes from. ONNX and safetensors files hold numbers and known operations."
)
_SNIPPET = """
```python
import json

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession("{name}", providers=["CPUExecutionProvider"])
about = json.loads(session.get_modelmeta().custom_metadata_map["bakeoff"])
image = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")
images = np.asarray(image)[None]  # uint8, (N, H, W, 3), any size
probabilities = session.run(["probabilities"], {{"images": images}})[0][0]
for k in probabilities.argsort()[::-1][:5]:
    print(f"{{about['class_names'][k]}}: {{probabilities[k]:.1%}}")
```
"""


def _training_data(card: Card) -> Iterable[str]:
    task, counts = card.task, card.task.counts
    yield f"- {_plain(task.source)}"
    yield (
        f"- {counts.get('train', 0):,} training images, {counts.get('validation', 0):,} validation images "
        "held out of them, drawn as squares of "
        f"{task.image_size} x {task.image_size} pixels (`{card.exported.about.fit}`)"
    )
    yield f"- Fingerprint of the images: `{task.data_fingerprint}`; of the split: `{task.split_digest}`"
    if task.excluded:
        yield f"- {len(task.excluded):,} files could not be read and were left out"
    yield f"- Classes: {', '.join(_plain(name) for name in card.exported.about.class_names)}"
    yield "- Licence of the images: not recorded; ask where they come from"


def _training(card: Card) -> Iterable[str]:
    record = card.record
    optimizer = record.recipe.get("optimizer", {})
    yield (
        f"- {record.epochs:.4g} epochs in {format_seconds(record.train_seconds)}, {record.steps:,} steps, "
        f"in {record.precision.get('used', 'an unrecorded precision')}, on "
        f"{record.environment.get('processor', 'an unrecorded machine')} "
        f"({record.environment.get('device', 'unknown')})"
    )
    yield f"- Optimizer: {_settings(optimizer)}; schedule `{record.recipe.get('schedule', 'not recorded')}`"
    augmentation = {
        k: v for k, v in record.recipe.get("augmentation", {}).items() if v not in (0, 0.0, "none")
    }
    yield f"- Augmentation: {_settings(augmentation) if augmentation else 'none'}"
    if record.differences:
        yield f"- Differs from its task's recipe in {listing(sorted(record.differences))}"


def _settings(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items() if value is not None) or "not recorded"


def _evaluation_data(card: Card) -> Iterable[str]:
    yield (
        f"- {card.task.counts.get('test', 0):,} test images, read after training "
        f"({len(card.record.test_readings)} reading in the record). Seeds, trials and penalties are chosen "
        "on validation images; a study recommends a candidate by paired tests on these test images, so that "
        "the accuracy of a recommended one is that of a chosen one"
    )
    leaks = card.task.details.get("leaks", {})
    found = sum(n for parts, n in leaks.items() if parts.endswith("-test"))
    if found:
        yield f"- {found:,} of the test images are byte for byte among the training or validation images"
    if card.record.pretrained and are_imagenets(card.task.class_ids):
        yield (
            "- The classes are ImageNet's, and the pretrained weights have seen ImageNet: the test images "
            "may be among what they were trained on"
        )


def _results(card: Card) -> Iterable[str]:
    record, test = card.record, card.test
    yield "| | value | 95 % interval | over |"
    yield "|---|---:|---:|---|"
    if test is not None and len(test.label_N):
        interval = wilson(int(test.correct_N.sum()), len(test.label_N))
        ends = _ends(interval.low, interval.high)
        yield f"| test accuracy | {percent(interval.mean)} | {ends} | {interval.n:,} images |"
    else:
        yield f"| test accuracy | {_or_unknown(record.metric('test_accuracy'), percent)} | not recorded | |"
    for name, title in _OTHERS:
        yield f"| {title} | {_or_unknown(record.metric(name), percent)} | | |"
    yield f"| test loss, nats | {_or_unknown(record.metric('test_loss'), number)} | | |"
    if len(card.seeds) > 1:
        values = [one.metric("test_accuracy") for one in card.seeds]
        yield ""
        yield (
            f"The {len(values)} finished seeds of this candidate have test accuracies of "
            f"{percent(min(values))} to {percent(max(values))}; this is seed {record.seed}."
        )
    yield ""
    yield from _calibration(card)
    if card.exported.quantized is not None:
        yield ""
        yield from _int8(card.exported.quantized)


def _calibration(card: Card) -> Iterable[str]:
    test, about = card.test, card.exported.about
    if test is not None and len(test.label_N):
        sure = float(np.asarray(test.probability_NT)[:, 0].astype(np.float64).mean())
        yield (
            "Calibration: before any correction the named class has a probability of "
            f"{percent(sure)} on average, and is right for {percent(float(test.correct_N.mean()))} of the "
            "test images."
        )
    if about.temperature != 1.0:
        yield f"The file divides its logits by {about.temperature:.4g}, fitted on validation images."
    else:
        yield "The probabilities are the network's own, not corrected."


def _int8(found: Quantized) -> Iterable[str]:
    yield (
        f"Int8 ({found.what}; chosen on validation images among {found.tried} tried): test accuracy "
        f"{percent(found.test_after)} beside {percent(found.test_before)} in fp32, "
        f"{points(found.test_after - found.test_before, 2)} (95 % interval {points(found.low, 2)} to "
        f"{points(found.high, 2)}; {found.before_only} images only fp32 got right, {found.after_only} only "
        f"int8; McNemar's exact test: {p_text(found.p)})."
    )
    speeds = "; ".join(
        f"batch {one.batch}: {1000 * one.after:.3g} ms beside {1000 * one.before:.3g} ms, "
        f"{one.ratio:.2f} times as fast"
        for one in found.speeds
    )
    yield (
        f"On the exporting machine, {speeds}. {format_bytes(found.bytes_after)} beside "
        f"{format_bytes(found.bytes_before)}."
    )


def _weakest(card: Card) -> Iterable[str]:
    test = card.test
    if test is None or not len(test.label_N):
        return
    rows = []
    for label, name in enumerate(card.exported.about.class_names):
        own_N = test.label_N == label
        if own_N.any():
            interval = wilson(int(test.correct_N[own_N].sum()), int(own_N.sum()))
            rows.append((interval.mean, label, name, interval))
    yield "| class | recognised | 95 % interval | test images |"
    yield "|---|---:|---:|---:|"
    for mean, _, name, interval in sorted(rows)[:WEAKEST]:
        yield f"| {_plain(name)} | {percent(mean)} | {_ends(interval.low, interval.high)} | {interval.n:,} |"


def _proved(card: Card) -> Iterable[str]:
    exported = card.exported
    if exported.agreement is None:
        yield "Nothing: it was exported with `--unchecked`, and has not been compared with what was recorded."
        return
    yield f"- {_agreed(exported.agreement, 'the recorded predictions of the test images')}"
    if exported.resizing is not None:
        what = "Pillow, on images of other sizes that the graph itself resized"
        yield f"- {_agreed(exported.resizing, what)}"
    if exported.alone is not None:
        what = "the same images in batches, when they are computed one at a time"
        yield f"- {_agreed(exported.alone, what)}"
    if exported.read_back is not None:
        yield f"- Read back, its weights are bit for bit the run's, {_read_back(exported.read_back)}"
    if exported.quantized is not None:
        yield "- The agreement above is that of the fp32 graph which int8 was made from"


def _read_back(difference: float) -> str:
    """Say how far answers are those of the run's network, in the same batches on the same processor."""
    if difference == 0.0:
        return "and so are its answers to these images on the processor that wrote it"
    return (
        f"and its answers to these images are the run's up to rounding (largest difference {difference:.2g})"
    )


def _agreed(found: Fidelity, what: str) -> str:
    undecided = len(found.undecided)
    text = (
        f"{found.images:,} images agree with {what}: probabilities within {found.tolerance:g} (largest "
        f"difference {found.largest:.2g}), the best class everywhere where it leads by more than that"
    )
    if not undecided:
        return text
    rows = listing([str(place) for place in found.undecided], most=10)
    turned = len(found.undecided_changed)
    return f"{text}; {undecided:,} are closer than that (rows {rows}), {turned:,} of them turned over"


def _limits(card: Card) -> Iterable[str]:
    yield "- Accuracy holds for images like the test images; other cameras, light or cropping can change it"
    yield (
        "- The interval of the test accuracy is about images alone: another training of the same candidate "
        "moves the figure, too"
    )
    if not card.exported.about.quantized:
        yield (
            "- The last digits of a probability depend on the processor, and on how many images are computed "
            f"together: by up to {card.exported.about.tolerance:g} a file may differ from what was recorded"
        )
    yield "- Groups of people, places or devices were not looked at one by one: the records do not know them"
    yield "- A high probability is no proof: on images unlike its classes it can be high as well"


def _ends(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{percent(low)} to {percent(high)}"


def _or_unknown(value: float, write: Any) -> str:
    return str(write(value)) if np.isfinite(value) else "not recorded"


def _when(record: RunRecord) -> str:
    return record.ended[:10] if record.ended else "at an unrecorded time"


def _plain(text: str) -> str:
    """Keep a name of somebody else's from being taken for Markdown."""
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>|#" else sign for sign in " ".join(text.split()))
