"""Int8: an exported file whose network has weights and activations of one byte, by validation images.

ONNX Runtime's static quantization, weights by channel. How activations are measured, and what stays in
fp32, is tried in a fixed order; the first that costs no more than `ENOUGH` of the validation accuracy is
taken, or else the best. Test images are looked at once, afterwards, to say what it cost.

Shape letters: N images, K classes.
"""

from __future__ import annotations

import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from bakeoff.deploy.bundle import IMAGES, KEY, About, Bundle
from bakeoff.errors import ConfigError, ResourceError, to_install
from bakeoff.evidence.comparison import mcnemar, paired_interval
from bakeoff.evidence.intervals import wilson
from bakeoff.spec import canonical_json

ENOUGH = 0.005  # of the validation accuracy, that nobody looks further for
IMAGES_MEASURED = 256  # validation images by which activations are measured; more changed nothing
JUDGED = 2000  # validation images by which a try is judged
TURNS = 7  # of each arm, for the speed

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One way to quantize."""

    method: str  # of ONNX Runtime's calibration
    exclude: str  # "", "depthwise" or "ends": what stays in fp32
    what: str  # for people


TRIES = (
    Try(method="MinMax", exclude="", what="all layers, ranges from the smallest to the largest value"),
    Try(method="Percentile", exclude="", what="all layers, ranges that hold 99.999 % of the values"),
    Try(method="MinMax", exclude="ends", what="first and last layer in fp32, ranges from min to max"),
    Try(method="Percentile", exclude="ends", what="first and last layer in fp32, ranges of 99.999 %"),
    Try(method="MinMax", exclude="depthwise", what="depthwise layers in fp32, ranges from min to max"),
    Try(method="Entropy", exclude="ends", what="first and last layer in fp32, ranges by entropy"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Seconds of one call, medians over turns in which both files took part."""

    batch: int
    before: float
    after: float
    ratio: float  # median over turns of before / after: above 1 is a gain


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """What int8 costs and gains."""

    what: str  # the way that was taken
    tried: int
    validation_before: float  # accuracies
    validation_after: float
    test_before: float
    test_after: float
    before_only: int  # test images that only the fp32 file got right
    after_only: int
    low: float  # ends of the 95 % interval of after minus before
    high: float
    p: float  # McNemar's exact test, two-sided
    images: int
    speeds: tuple[Speed, ...]
    bytes_before: int
    bytes_after: int


def quantize(
    source: Path,
    target: Path,
    *,
    keep: str,
    calibration_NHWC: NDArray[np.uint8],
    calibration_labels_N: NDArray[np.int64],
    test_NHWC: NDArray[np.uint8],
    test_labels_N: NDArray[np.int64],
    before_NK: NDArray[np.float32],
    tell: Tell = lambda what: None,
) -> Quantized:
    """Quantize an exported file.

    Args:
        source: The fp32 file.
        target: Receives the int8 file; may be the same.
        keep: What the names of the network's own nodes begin with; nothing else is quantized.
        calibration_NHWC: Validation images.
        calibration_labels_N: Their labels.
        test_NHWC: Test images.
        test_labels_N: Theirs.
        before_NK: What the fp32 file says of the test images.
        tell: Hears what is being done.

    Returns:
        What it costs and gains.

    Raises:
        ConfigError: There is nothing to quantize, or no validation image.
        ResourceError: ONNX Runtime is not installed.
    """
    if not len(calibration_NHWC):
        raise ConfigError("--quantize: the task has no validation images, expected some to measure ranges by")
    fp32 = Bundle.open(source)
    judged = _spread(len(calibration_NHWC), JUDGED)
    labels_N = calibration_labels_N[judged]
    validation_before = _accuracy(fp32.score(calibration_NHWC[judged]), labels_N)
    measured_NHWC = calibration_NHWC[_spread(len(calibration_NHWC), IMAGES_MEASURED)]
    with tempfile.TemporaryDirectory(prefix="bakeoff-int8-") as folder:
        prepared = _prepared(source, Path(folder))
        best: tuple[float, Try, Path] | None = None
        tried = 0
        for number, one in enumerate(TRIES):
            excluded = _excluded(prepared, keep, one.exclude)
            if excluded is None:
                continue
            tell(f"int8: {one.what}")
            file = Path(folder) / f"int8-{number}.onnx"
            _static(prepared, file, one, excluded, measured_NHWC, fp32.about)
            tried += 1
            found = _accuracy(Bundle.open(file).score(calibration_NHWC[judged]), labels_N)
            if best is None or found > best[0]:
                best = (found, one, file)
            if best[0] >= validation_before - ENOUGH:
                break
        if best is None:
            raise ConfigError(f"--quantize: '{fp32.about.candidate}' has no layer that int8 knows")
        tell("comparing int8 with fp32 on the test images")
        after_NK = Bundle.open(best[2]).score(test_NHWC)
        speeds = tuple(measure_speed(fp32, Bundle.open(best[2]), test_NHWC, batch) for batch in (1, 64))
        bytes_before = source.stat().st_size
        _say_accuracy(best[2], target, fp32.about, best[0], after_NK.argmax(axis=1) == test_labels_N)
    return _weighed(before_NK, after_NK, test_labels_N, Quantized(
        what=best[1].what, tried=tried, validation_before=validation_before, validation_after=best[0],
        test_before=0.0, test_after=0.0, before_only=0, after_only=0, low=0.0, high=0.0, p=1.0, images=0,
        speeds=speeds, bytes_before=bytes_before, bytes_after=target.stat().st_size,
    ))  # fmt: skip


def measure_speed(before: Bundle, after: Bundle, images_NHWC: NDArray[np.uint8], batch: int) -> Speed:
    """Time two files on the same images, in turns.

    Args:
        before: One of them.
        after: The other.
        images_NHWC: Of which the first are taken, again and again if there are too few.
        batch: How many at once.

    Returns:
        Medians, and the median ratio within a turn.
    """
    some_NHWC = np.ascontiguousarray(np.resize(images_NHWC[:batch], (batch, *images_NHWC.shape[1:])))
    seconds: tuple[list[float], list[float]] = ([], [])
    for bundle in (before, after):
        bundle.probabilities_of(some_NHWC)
    for _ in range(TURNS):
        for bundle, kept in zip((before, after), seconds, strict=True):
            calls, started = 0, time.perf_counter()
            while calls < 3 or time.perf_counter() - started < 0.05:
                bundle.probabilities_of(some_NHWC)
                calls += 1
            kept.append((time.perf_counter() - started) / calls)
    ratios = [a / b for a, b in zip(*seconds, strict=True)]
    return Speed(
        batch=batch, before=statistics.median(seconds[0]), after=statistics.median(seconds[1]),
        ratio=statistics.median(ratios),
    )  # fmt: skip


def _weighed(
    before_NK: NDArray[np.float32],
    after_NK: NDArray[np.float32],
    labels_N: NDArray[np.int64],
    found: Quantized,
) -> Quantized:
    """Add what the test images say, by a paired test."""
    right_before_N, right_after_N = before_NK.argmax(axis=1) == labels_N, after_NK.argmax(axis=1) == labels_N
    before_only = int((right_before_N & ~right_after_N).sum())
    after_only = int((right_after_N & ~right_before_N).sum())
    low, high = paired_interval(after_only, before_only, len(labels_N))
    return replace(
        found, test_before=float(right_before_N.mean()), test_after=float(right_after_N.mean()),
        before_only=before_only, after_only=after_only, low=low, high=high,
        p=mcnemar(before_only, after_only), images=len(labels_N),
    )  # fmt: skip


def _accuracy(probabilities_NK: NDArray[np.float32], labels_N: NDArray[np.int64]) -> float:
    return float((probabilities_NK.argmax(axis=1) == labels_N).mean())


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """Choose at most so many positions, evenly."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def _prepared(source: Path, folder: Path) -> Path:
    """Let ONNX Runtime fold what can be folded; quantization then sees convolutions without norms."""
    try:
        import onnxruntime
    except ImportError:
        raise ResourceError(
            f"--quantize: needs onnxruntime, which is not installed; {to_install('export')}"
        ) from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folder / "prepared.onnx")
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    return folder / "prepared.onnx"


def _excluded(prepared: Path, keep: str, exclude: str) -> list[str] | None:
    """List the nodes that stay in fp32; None when the wish makes no difference for this network."""
    nodes = list(onnx.load(prepared).graph.node)
    names = {node.name for node in nodes}
    inside = [node for node in nodes if _is_inside(node, keep)]
    heavy = [node for node in inside if node.op_type in ("Conv", "Gemm", "MatMul")]
    if not heavy:
        return None
    out = names - {node.name for node in inside}
    if exclude == "depthwise":
        depthwise = [node.name for node in heavy if _group(node) > 1]
        if not depthwise:
            return None
        out |= set(depthwise)
    if exclude == "ends":
        out |= {heavy[0].name, heavy[-1].name}
    return sorted(out)


def _is_inside(node: onnx.NodeProto, keep: str) -> bool:
    """Tell the network's own nodes, by the names of what they give or of themselves."""
    return node.name.startswith(keep) or any(name.startswith(keep) for name in node.output)


def _group(node: onnx.NodeProto) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)


def _static(
    prepared: Path, file: Path, one: Try, excluded: list[str], images_NHWC: NDArray[np.uint8], about: About
) -> None:
    """Quantize one way, and say in the file that it was."""
    import logging

    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    extra: dict[str, Any] = {"ActivationSymmetric": False, "WeightSymmetric": True}
    if one.method == "Percentile":
        extra |= {"CalibPercentile": 99.999}
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of constants that are thrown away afterwards
            quantize_static(
                prepared, file, _Reader(images_NHWC), quant_format=QuantFormat.QDQ, per_channel=True,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, nodes_to_exclude=excluded,
                calibrate_method=CalibrationMethod[one.method], extra_options=extra,
            )  # fmt: skip
    finally:
        logger.setLevel(level)
    _say(file, file, about)


def _say_accuracy(
    source: Path, target: Path, about: About, validation: float, right_N: NDArray[np.bool_]
) -> None:
    """Let the int8 file give its own accuracies, not those of the fp32 one."""
    interval = wilson(int(right_N.sum()), len(right_N))
    accuracy = {
        "validation": validation, "test": interval.mean, "low": interval.low, "high": interval.high,
        "images": float(interval.n),
    }  # fmt: skip
    _say(source, target, replace(about, accuracy=accuracy))


def _say(source: Path, target: Path, about: About) -> None:
    """Write in a file what it is."""
    model = onnx.load(source)
    del model.metadata_props[:]
    helper.set_model_props(model, {KEY: canonical_json(replace(about, quantized="int8").as_dict())})
    onnx.save(model, target)


class _Reader:
    """Hands calibration images to ONNX Runtime, in batches."""

    def __init__(self, images_NHWC: NDArray[np.uint8]) -> None:
        self._batches = self._cut(images_NHWC)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """Return the next batch, or None at the end."""
        return next(self._batches, None)

    @staticmethod
    def _cut(images_NHWC: NDArray[np.uint8]) -> Iterator[dict[str, NDArray[np.uint8]]]:
        for start in range(0, len(images_NHWC), 32):
            yield {IMAGES: np.ascontiguousarray(images_NHWC[start : start + 32])}
