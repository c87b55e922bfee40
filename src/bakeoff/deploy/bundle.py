"""An exported classifier, opened without torch: one ONNX file that holds all it needs.

Its input `images` takes bytes of any size, (N, H, W, 3); its output `probabilities` gives a
float32 for each class, (N, K). A second output `embedding`, where there is one, gives what the
last dense layer is fed, (N, F). What the file is, it says by itself: `About`.

Shape letters: N images, H rows, W columns, K classes, F features.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from bakeoff.data.decode import Fit
from bakeoff.errors import ConfigError, ResourceError
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
    temperature: float = 1.0  # that the logits are divided by
    accuracy: dict[str, Any] = field(default_factory=dict)
    quantized: str = ""  # "int8", or nothing for fp32
    embedding: int = 0  # features of the second output


class Bundle:
    """An exported classifier, ready to be used; threads may share it."""

    def __init__(self, path: Path, session: onnxruntime.InferenceSession, about: About) -> None:
        self.path = path
        self.about = about
        self.class_names = tuple(about.class_names)
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
            raise ConfigError(f"{self.path}: gives no embedding")
        return self._run(images_NHWC, EMBEDDING)

    def _run(self, images_NHWC: NDArray[np.uint8], output: str) -> NDArray[np.float32]:
        if images_NHWC.dtype != np.uint8 or images_NHWC.ndim != 4 or images_NHWC.shape[3] != 3:
            raise ConfigError(
                f"images: got an array of {images_NHWC.dtype} and shape {images_NHWC.shape}, "
                "expected uint8 and (N, H, W, 3)"
            )
        found: NDArray[np.float32] = self._session.run([output], {IMAGES: images_NHWC})[0]
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
            f"{path}: needs onnxruntime, which is not installed; pip install 'bakeoff[serve]'"
        ) from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; they are raised anyway
    if threads is not None:
        options.intra_op_num_threads = threads
    # Threads that wait in a loop would take the cores on which the next images are decoded.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own kinds, which derive from nothing common
        text = " ".join(str(error).split())[:200]
        raise ConfigError(f"{path}: cannot be opened as ONNX ({text})") from None


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
