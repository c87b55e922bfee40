"""Whatever names the classes of pictures: one way in for paths, images and arrays, however it computes.

Not here: how it computes. A trained run does it in torch, an exported file in ONNX Runtime.

Shape letters: B images, H rows, W columns, K classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bakeoff.data.decode import Fit, load_image, square
from bakeoff.data.stream import draw_stream
from bakeoff.errors import ConfigError, DataError
from bakeoff.evidence.calibration import scale_probabilities

Picture = str | Path | NDArray[np.uint8] | Image.Image

BATCH = 128  # images drawn before they are scored


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """One file with its likeliest classes, best first; or the reason why it cannot be read."""

    file: Path
    top: tuple[tuple[str, float], ...] = ()  # names and probabilities
    reason: str = ""


class Predictor:
    """Base of classifiers that are ready to be used; images become pixels as those of their study did.

    Args:
        class_names: In the order of the outputs.
        image_size: Pixels of both sides of a drawn image.
        fit: How an image that is not square becomes so.
    """

    def __init__(self, class_names: Sequence[str], image_size: int, fit: Fit) -> None:
        self.class_names = tuple(class_names)
        self.image_size = image_size
        self.fit: Fit = fit

    def score(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the probabilities of all classes for images that are drawn.

        Args:
            images_NHWC: Bytes of shape (B, image_size, image_size, 3).

        Returns:
            Of shape (B, K).
        """
        raise NotImplementedError

    def predict(self, images: Picture | Iterable[Picture]) -> list[str]:
        """Name the likeliest class of each image.

        Args:
            images: One image or several: paths, PIL images, or bytes of shape (H, W, 3), (H, W, 4) with
                transparency, or (H, W) in grey.

        Returns:
            A name for each.

        Raises:
            DataError: A file is missing or no image.
            ConfigError: An array is of another shape or type.
        """
        return [self.class_names[k] for k in self.probabilities(images).argmax(axis=1)]

    def probabilities(self, images: Picture | Iterable[Picture]) -> NDArray[np.float32]:
        """Compute the probabilities of all classes, in full precision.

        Args:
            images: As for `predict`.

        Returns:
            Of shape (B, K), in the order of `class_names`.

        Raises:
            DataError: As for `predict`.
            ConfigError: Likewise.
        """
        parts: list[NDArray[np.float32]] = []
        pixels: list[NDArray[np.uint8]] = []
        for image in several(images):
            pixels.append(self.drawn(image))
            if len(pixels) == BATCH:
                parts.append(self.score(np.stack(pixels)))
                pixels = []
        if pixels:
            parts.append(self.score(np.stack(pixels)))
        return np.concatenate(parts) if parts else np.zeros((0, len(self.class_names)), np.float32)

    def top(self, images: Picture | Iterable[Picture], k: int = 5) -> list[list[tuple[str, float]]]:
        """Name the likeliest classes of each image with their probabilities, best first.

        Args:
            images: As for `predict`.
            k: How many classes; at most as many as there are.

        Returns:
            Names and probabilities for each image; of equal ones the earlier class comes first.

        Raises:
            DataError: As for `predict`.
            ConfigError: Likewise.
        """
        if k < 1:
            raise ConfigError(f"k: got {k}, expected at least 1")
        found_BK = self.probabilities(images)
        return [best(self.class_names, row_K, k) for row_K in found_BK]

    def stream(self, files: Iterable[Path], k: int = 5, *, threads: int | None = None) -> Iterator[Named]:
        """Name the likeliest classes of any number of files, while they are found, in bounded memory.

        Args:
            files: Paths.
            k: How many classes.
            threads: That draw images; None is one a core.

        Yields:
            One for each file, in their order but for those that cannot be read, which come after the
            others of their batch.
        """
        for drawn in draw_stream(files, self.image_size, self.fit, threads=threads):
            if drawn.files:
                for file, row_K in zip(drawn.files, self.score(drawn.images_BHWC), strict=True):
                    yield Named(file=file, top=tuple(best(self.class_names, row_K, k)))
            for file, reason in drawn.unreadable:
                yield Named(file=file, reason=reason)

    def drawn(self, image: Picture) -> NDArray[np.uint8]:
        """Draw an image as the study's images were drawn."""
        if isinstance(image, str | Path):
            return load_image(image, self.image_size, self.fit)
        if isinstance(image, np.ndarray):
            channels = image.shape[2:]
            if (
                image.dtype != np.uint8
                or image.ndim < 2
                or channels not in ((), (3,), (4,))
                or not image.size
            ):
                raise ConfigError(
                    f"images: got an array of {image.dtype} and shape {image.shape}, "
                    "expected uint8 and (H, W, 3), (H, W, 4) or (H, W)"
                )
            image = Image.fromarray(image)
        if not isinstance(image, Image.Image):
            raise _no_picture(image)
        try:
            return square(image, self.image_size, self.fit)
        except Exception as error:  # an image that was only opened is decoded here: see `open_image`
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DataError(f"images: unreadable ({reason}), expected a whole image") from None


class Ensemble(Predictor):
    """Several classifiers of the same classes and drawing; their probabilities are averaged.

    Args:
        members: One at least.

    Raises:
        ConfigError: They do not fit each other.
    """

    def __init__(self, members: Sequence[Predictor]) -> None:
        if not members:
            raise ConfigError("ensemble: got no classifier, expected at least one")
        first = members[0]
        about = (first.class_names, first.image_size, first.fit)
        if any((one.class_names, one.image_size, one.fit) != about for one in members):
            raise ConfigError("ensemble: got classifiers of several tasks, expected those of one")
        super().__init__(*about)
        self.members = tuple(members)

    def score(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Average the members' probabilities, in double precision."""
        total_BK = sum(one.score(images_NHWC).astype(np.float64) for one in self.members)
        mean_BK: NDArray[np.float32] = (np.asarray(total_BK) / len(self.members)).astype(np.float32)
        return mean_BK


class Uncalibrated(Predictor):
    """A classifier whose temperature is undone.

    Args:
        calibrated: What divides its logits by the temperature.
        temperature: That it divides by.
    """

    def __init__(self, calibrated: Predictor, temperature: float) -> None:
        super().__init__(calibrated.class_names, calibrated.image_size, calibrated.fit)
        self._calibrated = calibrated
        self._temperature = temperature

    def score(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the probabilities that the network gives by itself."""
        calibrated_BK = self._calibrated.score(images_NHWC)
        return scale_probabilities(calibrated_BK, 1 / self._temperature).astype(np.float32)


def several(images: Picture | Iterable[Picture]) -> Iterable[Picture]:
    """Take one image as a list of one.

    Args:
        images: One image or several.

    Returns:
        Several.

    Raises:
        ConfigError: It is neither an image nor several.
    """
    one = isinstance(images, str | Path | Image.Image)
    one = one or (isinstance(images, np.ndarray) and images.ndim in (2, 3))
    if not one and (isinstance(images, bytes) or not isinstance(images, Iterable)):
        raise _no_picture(images)
    return cast("Iterable[Picture]", [images] if one else images)


def _no_picture(found: object) -> ConfigError:
    words = " ".join(repr(found).split())
    shown = words if len(words) <= 60 else f"{type(found).__name__} {words[:40]}..."
    return ConfigError(f"images: got {shown}, expected paths, PIL images or arrays")


def best(class_names: Sequence[str], row_K: NDArray[np.float32], k: int) -> list[tuple[str, float]]:
    """Name the likeliest classes of one image, best first.

    >>> best(["ant", "bee", "cat"], np.float32([0.25, 0.5, 0.25]), 2)
    [('bee', 0.5), ('ant', 0.25)]
    """
    order = np.argsort(-row_K, kind="stable")[:k]
    return [(class_names[position], float(row_K[position])) for position in order]
