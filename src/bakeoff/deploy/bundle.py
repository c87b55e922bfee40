"""An exported classifier, opened without torch: one ONNX file that holds all it needs.

Its input `images` takes bytes of any size, (N, H, W, 3); its output `probabilities` gives a
float32 for each class, (N, K), calibrated if its run was. A second output `embedding` gives what
the last dense layer is fed, (N, F). What the file is, it says by itself: `About`.

Shape letters: N images, H rows, W columns, K classes, F features.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from bakeoff.data.decode import Fit
from bakeoff.data.predictor import Predictor, Uncalibrated
from bakeoff.errors import ConfigError, ResourceError, to_install
from bakeoff.spec.base import what_is_wrong

if TYPE_CHECKING:
    import onnxruntime

SCHEMA = 1  # of what a file says about itself
KEY = "bakeoff"  # under which it does, among the file's metadata
IMAGES, PROBABILITIES, EMBEDDING = "images", "probabilities", "embedding"
BATCH = 64  # images at once; more were not faster, and cost memory


@dataclass(frozen=True, kw_only=True)
class About:
    """What an exported classifier says about itself, as plain values."""

    schema: int
    # Which run it is
    name: str
    study: str
    task: str
    candidate: str
    seed: int
    identity: str
    # What it tells apart
    class_ids: list[str]
    class_names: list[str]
    # How images are drawn for it
    image_size: int  # pixels of both sides, as its study stored them
    fit: Fit
    input_size: int  # pixels that its network takes; the graph resizes
    # How its answers were made, and what they are worth
    views: Literal["one", "mirror", "six"] = "one"  # in which each image is seen; part of the graph
    temperature: float = 1.0  # that the logits are divided by
    accuracy: dict[str, Any] = field(default_factory=dict)  # test, validation, low, high, images
    tolerance: float = 0.0  # by which its probabilities may differ from the recorded ones, in any batch
    resize_tolerance: float = 0.0  # ... where the graph itself made the image smaller or larger
    checked: bool = False  # whether they were compared; of int8, those of the fp32 graph it was made from
    quantized: str = ""  # "int8", or nothing for fp32
    embedding: int = 0  # features of the second output
    pretrained: dict[str, Any] = field(default_factory=dict)  # what it stands on: network, seen, license

    def as_dict(self) -> dict[str, Any]:
        """Return the same as plain values."""
        return asdict(self)


class Bundle(Predictor):
    """An exported classifier, ready to be used; threads may share it."""

    def __init__(self, path: Path, session: onnxruntime.InferenceSession, about: About) -> None:
        super().__init__(about.class_names, about.image_size, about.fit)
        self.path = path
        self.about = about
        self._session = session

    @classmethod
    def open(cls, path: str | Path, *, threads: int | None = None) -> Bundle:
        """Open a file that `bakeoff export` has written.

        Args:
            path: The ``.onnx`` file.
            threads: That compute; None leaves it to ONNX Runtime, which takes every core.

        Returns:
            The classifier.

        Raises:
            ConfigError: There is no such file, it is damaged, or it is somebody else's.
            ResourceError: ONNX Runtime is not installed.
        """
        path = Path(path)
        if not path.is_file():
            raise ConfigError(f"{path}: no such file")
        session = _session(path, threads)
        return cls(path, session, _about(path, session))

    def probabilities_of(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the probabilities of all classes for images of one size.

        Args:
            images_NHWC: Bytes; drawn by `data.decode.load_image` they are what was scored.

        Returns:
            Of shape (N, K).

        Raises:
            ConfigError: The array is of another shape or type.
        """
        return self._run(images_NHWC, PROBABILITIES)

    def embeddings_of(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute what the last dense layer is fed, for images of one size.

        Args:
            images_NHWC: As for `probabilities_of`.

        Returns:
            Of shape (N, F).

        Raises:
            ConfigError: The file gives none, or the array is of another shape or type.
        """
        if not self.about.embedding:
            raise ConfigError(
                f"{self.path}: gives no embedding, expected a file of 'bakeoff export' that does"
            )
        return self._run(images_NHWC, EMBEDDING)

    def score(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Likewise for drawn images of any number, in batches."""
        parts = [
            self.probabilities_of(images_NHWC[start : start + BATCH])
            for start in range(0, len(images_NHWC), BATCH)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.class_names)), np.float32)

    def raw(self) -> Predictor:
        """Return the same without its calibration."""
        return Uncalibrated(self, self.about.temperature)

    def _run(self, images_NHWC: NDArray[np.uint8], output: str) -> NDArray[np.float32]:
        if images_NHWC.dtype != np.uint8 or images_NHWC.ndim != 4 or images_NHWC.shape[3] != 3:
            raise ConfigError(
                f"images: got an array of {images_NHWC.dtype} and shape {images_NHWC.shape}, "
                "expected uint8 and (N, H, W, 3)"
            )
        try:
            found: NDArray[np.float32] = self._session.run([output], {IMAGES: images_NHWC})[0]
        except Exception as error:  # ONNX Runtime's own kinds, which derive from nothing common
            raise ConfigError(f"{self.path}: cannot be computed ({_line(error)})") from None
        return found


@cache
def _adapter() -> TypeAdapter[About]:
    return TypeAdapter(About)


def _session(path: Path, threads: int | None) -> onnxruntime.InferenceSession:
    """Start a session on the processor; whatever ONNX Runtime says of a broken file becomes one line."""
    try:
        import onnxruntime
    except ImportError:
        raise ResourceError(
            f"{path}: needs onnxruntime, which is not installed; {to_install('export')}"
        ) from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; they are raised anyway
    # Threads that wait in a loop would take the cores on which the next images are decoded.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own kinds, which derive from nothing common
        raise ConfigError(f"{path}: cannot be opened as ONNX ({_line(error)})") from None


def _about(path: Path, session: onnxruntime.InferenceSession) -> About:
    """Read and check what a file says about itself."""
    text = session.get_modelmeta().custom_metadata_map.get(KEY)
    inputs = [one.name for one in session.get_inputs()]
    outputs = [one.name for one in session.get_outputs()]
    if text is None or inputs != [IMAGES] or PROBABILITIES not in outputs:
        raise ConfigError(f"{path}: was not written by bakeoff, expected a file of 'bakeoff export'")
    try:
        about = _adapter().validate_json(text, strict=True)
    except ValidationError as error:
        raise ConfigError(f"{path}: {what_is_wrong(error)}") from None
    if about.schema > SCHEMA:
        raise ConfigError(f"{path}: written by a newer bakeoff (schema {about.schema}, expected {SCHEMA})")
    return about


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
