"""Write a classifier to a file, and prove what was written before it gets its name.

The file is read back and run on the test images of its study, as anybody would run it; what it says
must be what was recorded, or nothing is left behind. That reading of the test images is noted beside
the record: it decides nothing, and changes no figure.

Bits are asked of weights only. The answers of equal weights differ in their last digits with the number
of images that are computed together, for which other sums are chosen, and may with the place of a matrix
in memory (docs/findings.md, 2026-11-27): of answers a tolerance is asked, and what was found is told.

Shape letters: N images, K classes.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from bakeoff.data.decode import square
from bakeoff.data.predictor import Predictor
from bakeoff.data.prepare import TaskData
from bakeoff.deploy.bundle import SCHEMA, About, Bundle
from bakeoff.deploy.forms import (
    Form,
    Plan,
    answering_of,
    neighbour,
    read_program,
    read_weights,
    write_program,
    write_weights,
)
from bakeoff.deploy.network import trace_network
from bakeoff.deploy.shipped import InTorch, Shipped, computed
from bakeoff.errors import ResourceError, StudyError, to_install
from bakeoff.evidence.calibration import scale_probabilities
from bakeoff.evidence.fidelity import Fidelity, fidelity
from bakeoff.evidence.intervals import wilson
from bakeoff.records import RunFolder, RunRecord, writing
from bakeoff.records.atomic import read_arrays
from bakeoff.spec import TaskSpec, canonical_json
from bakeoff.spec.recipe import TestViews
from bakeoff.training.classifier import Classifier
from bakeoff.training.evaluate import note_reading

TOLERANCE = 1e-4  # of a probability; fp32 in another order of sums gives some 1e-6 (docs/findings.md)
READ_BACK_TOLERANCE = 1e-5  # ... between equal weights in equal batches: nearly always the same bits
RESIZE_TOLERANCE = 0.02  # ... where the graph itself resizes: a byte may differ by one (docs/findings.md)
SAMPLE = 48  # images that are tried one at a time, and in other sizes

if TYPE_CHECKING:  # these need onnx, and other forms go without it
    from bakeoff.deploy.quantize import Quantized

PACKAGES = ("onnx", "onnxscript", "onnxruntime")  # of the extra `export`

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Shipment:
    """A finished run, ready to be written to a file."""

    classifier: Classifier  # in evaluation mode, on the processor
    plan: Plan
    record: RunRecord
    folder: RunFolder
    task: TaskSpec
    class_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    views: TestViews
    temperature: float
    name: str

    def about(self, *, checked: bool) -> About:
        """Say what the file will say of itself."""
        record = self.record
        return About(
            schema=SCHEMA, name=self.name, study=record.study, task=record.task, candidate=record.candidate,
            seed=record.seed, identity=record.identity, class_ids=list(self.class_ids),
            class_names=list(self.class_names), image_size=self.task.image_size, fit=self.task.fit,
            input_size=record.input_size, views=self.views, temperature=self.temperature,
            accuracy=accuracy_of(self.folder, record), tolerance=TOLERANCE,
            resize_tolerance=RESIZE_TOLERANCE, checked=checked, pretrained=dict(record.pretrained),
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A file that was written, and what was proved of it; None where nothing could be."""

    path: Path
    form: Form
    about: About
    size_bytes: int
    agreement: Fidelity | None = None  # with the recorded predictions
    resizing: Fidelity | None = None  # of the graph's own resizing with Pillow's
    alone: Fidelity | None = None  # of images that are computed one at a time with the same in batches
    read_back: float | None = None  # largest difference of a probability where weights are the same bits
    quantized: Quantized | None = None
    card: Path | None = None
    index: Path | None = None

    @property
    def identical(self) -> bool:
        """Whether what was read back has the same weights and gave the same answers, to the last bit."""
        return self.read_back == 0.0


def export(
    shipment: Shipment,
    target: Path,
    form: Form,
    *,
    data: TaskData | None,
    int8: bool = False,
    tell: Tell = lambda what: None,
) -> Exported:
    """Write a classifier to a file.

    Args:
        shipment: The run.
        target: The file to be.
        form: Which kind.
        data: The task's images; None leaves the file unchecked.
        int8: Quantize; ONNX only, and the images are needed.
        tell: Hears what is being done.

    Returns:
        What was written and proved.

    Raises:
        StudyError: The file does not say what was recorded; nothing is left behind.
        ConfigError: The network cannot be written in this form.
        ResourceError: A package is missing, or the disk is full.
    """
    if form == "onnx":
        _need(PACKAGES)
    recorded_NK = None if data is None else recorded_probabilities(shipment, data)
    if data is not None:
        note_reading(shipment.folder, f"export to {form}: agreement of {target.name}", len(data.test))
    about = shipment.about(checked=data is not None)
    if form == "onnx":
        return _export_onnx(shipment, target, about, data, recorded_NK, int8=int8, tell=tell)
    with ExitStack() as stack:
        partial = stack.enter_context(writing(target))
        tell(f"writing {target.name}")
        if form == "torch-export":
            write_program(partial, shipment.classifier, about)
            found = read_program(partial)
        else:
            beside = stack.enter_context(writing(neighbour(target)))
            write_weights(partial, beside, shipment.classifier, shipment.plan, about)
            found = read_weights(partial, base_dir=shipment.plan.base_dir, beside=beside)
        images_NHWC = _sample(shipment) if data is None else data.images_NHWC[data.test]
        tell(f"reading it back, and comparing {len(images_NHWC)} images")
        found_NK = found.score(images_NHWC)
        read_back = _proved_in_torch(shipment, found, images_NHWC, found_NK)
        agreed = _as_recorded(recorded_NK, found_NK, target)
        alone = check_alone(found, images_NHWC, found_NK)
        _refuse(alone, target, "itself, one image at a time,")
    return Exported(
        path=target, form=form, about=about, size_bytes=target.stat().st_size, agreement=agreed, alone=alone,
        read_back=read_back,
    )  # fmt: skip


def recorded_probabilities(shipment: Shipment, data: TaskData) -> NDArray[np.float32]:
    """Return what was recorded for the test images, calibrated as the export is.

    Args:
        shipment: The run.
        data: The task's images.

    Returns:
        Of shape (N, K), in the order of the task's test images.

    Raises:
        StudyError: Nothing was recorded, or it is of other images.
    """
    folder, record = shipment.folder, shipment.record
    if (data.fingerprint, data.split_digest) != (record.data_fingerprint, record.split_digest):
        raise StudyError(
            f"export: the images found are not those that {folder.path} was scored on; "
            "give them with --data, or export with --unchecked"
        )
    arrays = read_arrays(folder.probabilities_path, "probabilities")
    if arrays is None or "test" not in arrays or len(arrays["test"]) != len(data.test):
        raise StudyError(
            f"export: {folder.probabilities_path} does not hold the recorded predictions of the test images; "
            "export with --unchecked to do without"
        )
    return scale_probabilities(arrays["test"], shipment.temperature).astype(np.float32)


def accuracy_of(folder: RunFolder, record: RunRecord) -> dict[str, float]:
    """Return a run's accuracies, as fractions, with Wilson's interval over test images."""
    found = {
        split: record.metric(f"{split}_accuracy")
        for split in ("validation", "test")
        if np.isfinite(record.metric(f"{split}_accuracy"))
    }
    predictions = folder.read_predictions("test")
    if predictions is not None and len(predictions.label_N):
        interval = wilson(int(predictions.correct_N.sum()), len(predictions.label_N))
        found |= {"low": interval.low or 0.0, "high": interval.high or 1.0, "images": float(interval.n)}
    return found


def build_graph(shipment: Shipment, about: About) -> bytes:
    """Make the whole classifier as an ONNX graph.

    Args:
        shipment: The run.
        about: What the file says of itself.

    Returns:
        The file's bytes.
    """
    from bakeoff.deploy.graph import Surroundings, assemble

    classifier = shipment.classifier
    network = trace_network(classifier.network, about.input_size, name=about.candidate)
    features = network.graph.output[1].type.tensor_type.shape.dim[1].dim_value
    around = Surroundings(
        image_size=about.image_size, fit=about.fit, preprocess=classifier.preprocess,
        views=about.views, temperature=about.temperature,
    )  # fmt: skip
    about = replace(about, embedding=features)
    content: bytes = assemble(network, around, canonical_json(about.as_dict())).SerializeToString()
    return content


def _need(packages: Sequence[str]) -> None:
    """Refuse before anything is computed what cannot end well."""
    for name in packages:
        if importlib.util.find_spec(name) is None:
            raise ResourceError(f"export: needs {name}, which is not installed; {to_install('export')}")


def _export_onnx(
    shipment: Shipment,
    target: Path,
    about: About,
    data: TaskData | None,
    recorded_NK: NDArray[np.float32] | None,
    *,
    int8: bool,
    tell: Tell,
) -> Exported:
    tell("tracing the network")
    content = build_graph(shipment, about)
    quantized = None
    with writing(target) as partial:
        partial.write_bytes(content)
        bundle = Bundle.open(partial)
        images_NHWC = _sample(shipment) if data is None else data.images_NHWC[data.test]
        tell(f"comparing {len(images_NHWC)} images with what was recorded" if data else "trying the file")
        found_NK = bundle.score(images_NHWC)
        agreed = _as_recorded(recorded_NK, found_NK, target)
        alone = check_alone(bundle, images_NHWC, found_NK)
        _refuse(alone, target, "itself, one image at a time,")
        resizing = check_resizing(bundle, images_NHWC)
        _refuse(resizing, target, "Pillow where the graph itself resizes")
        if int8 and data is not None:
            from bakeoff.deploy.graph import NETWORK
            from bakeoff.deploy.quantize import quantize

            labels_N = data.labels_N[data.test]
            quantized = quantize(
                partial, partial, keep=NETWORK, tell=tell,
                calibration_NHWC=data.images_NHWC[data.validation],
                calibration_labels_N=data.labels_N[data.validation],
                test_NHWC=images_NHWC, test_labels_N=labels_N, before_NK=found_NK,
            )  # fmt: skip
        written = Bundle.open(partial).about
    return Exported(
        path=target, form="onnx", about=written, size_bytes=target.stat().st_size, agreement=agreed,
        alone=alone, resizing=resizing, quantized=quantized,
    )  # fmt: skip


def check_alone(found: Predictor, images_NHWC: NDArray[np.uint8], found_NK: NDArray[np.float32]) -> Fidelity:
    """Compare images that are computed one at a time with the same images in batches.

    Args:
        found: The file.
        images_NHWC: Of which a few are taken.
        found_NK: What it said of them in batches.

    Returns:
        Fidelity of probabilities, within what is asked of the recorded ones.
    """
    rows = list(range(0, len(images_NHWC), max(1, len(images_NHWC) // SAMPLE)))[:SAMPLE]
    alone_NK = np.concatenate([found.score(images_NHWC[row : row + 1]) for row in rows])
    return fidelity(found_NK[rows], alone_NK, TOLERANCE)


def check_resizing(bundle: Bundle, images_NHWC: NDArray[np.uint8]) -> Fidelity:
    """Compare the graph's own drawing with Pillow's, on images made larger, smaller, wider and higher.

    Args:
        bundle: The file.
        images_NHWC: Some of the study's size, of which a few are taken.

    Returns:
        Fidelity of probabilities; rows are the tries, size by size.
    """
    side = bundle.image_size
    chosen_NHWC = images_NHWC[:: max(1, len(images_NHWC) // SAMPLE)][:SAMPLE]
    drawn, own = [], []
    for width, height in ((2 * side + 1, (3 * side) // 2), (side + 3, 3 * side), (max(2, side // 2), side)):
        other_NHWC = np.stack([
            np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))
            for image in chosen_NHWC
        ])  # fmt: skip
        own.append(bundle.score(other_NHWC))
        drawn.append(np.stack([square(Image.fromarray(image), side, bundle.fit) for image in other_NHWC]))
    return fidelity(bundle.score(np.concatenate(drawn)), np.concatenate(own), RESIZE_TOLERANCE)


def _proved_in_torch(
    shipment: Shipment, found: InTorch, images_NHWC: NDArray[np.uint8], found_NK: NDArray[np.float32]
) -> float:
    """Hold what was read back to the bits of the weights that were written, and to their answers."""
    about = shipment.about(checked=True)
    shipped = Shipped(shipment.classifier, answering_of(about)).eval()
    if not _same_bits(shipped.state_dict(), found.weights()):
        raise StudyError(
            f"export: what was read back differs from '{about.candidate}' in its weights; "
            "nothing is left behind"
        )
    difference = float(np.abs(computed(shipped, images_NHWC, len(about.class_ids)) - found_NK).max(initial=0))
    if not difference <= READ_BACK_TOLERANCE:
        raise StudyError(
            f"export: what was read back differs from '{about.candidate}' by up to {difference:.2g}, "
            f"tolerance {READ_BACK_TOLERANCE:g}; nothing is left behind"
        )
    return difference


def _same_bits(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        one.dtype == second[name].dtype and torch.equal(one, second[name]) for name, one in first.items()
    )


def _as_recorded(
    recorded_NK: NDArray[np.float32] | None, found_NK: NDArray[np.float32], target: Path
) -> Fidelity | None:
    """Hold answers to the record, where there is one."""
    if recorded_NK is None:
        return None
    agreed = fidelity(recorded_NK, found_NK, TOLERANCE)
    _refuse(agreed, target, "the recorded predictions")
    return agreed


def _refuse(agreed: Fidelity, target: Path, what: str) -> None:
    if not agreed.holds:
        wrong = len(set(agreed.beyond) | set(agreed.changed))
        raise StudyError(
            f"export: {target.name} disagrees with {what} on {wrong} of {agreed.images} images "
            f"(by up to {agreed.largest:.2g}, tolerance {agreed.tolerance:g}); nothing is left behind"
        )


def _sample(shipment: Shipment) -> NDArray[np.uint8]:
    """Draw noise in the place of images that are not at hand: enough to see that a file computes."""
    size = shipment.task.image_size
    chance = np.random.Generator(np.random.PCG64(0))
    return chance.integers(0, 256, (8, size, size, 3), dtype=np.uint8)
