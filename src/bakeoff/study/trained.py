"""A trained run, ready to be used: what was scored, on images from anywhere.

Shape letters: B images, H rows, W columns, K classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file

from bakeoff.data.batches import ImageStore
from bakeoff.data.decode import load_image, square
from bakeoff.errors import ConfigError, UnknownNameError, nearest
from bakeoff.models.architecture import architecture_digest, user_files
from bakeoff.records import StudyFolder
from bakeoff.spec import TaskSpec
from bakeoff.spec.recipe import TestViews
from bakeoff.study.earlier import earlier_run
from bakeoff.training.attribution import Attribution, attribute
from bakeoff.training.classifier import Classifier, build_classifier, placed
from bakeoff.training.evaluate import BATCH, predict
from bakeoff.training.loop import own_global_state
from bakeoff.training.machine import resolve_machine

Picture = str | Path | NDArray[np.uint8] | Image.Image


class Trained:
    """A run's model with its classes; images become pixels as those of its study did."""

    def __init__(
        self, model: Classifier, class_names: Sequence[str], task: TaskSpec, views: TestViews = "one"
    ) -> None:
        self.model = model
        self.class_names = tuple(class_names)
        self._task = task
        self._views = views  # in which each image is seen, as when it was scored

    def predict(self, images: Picture | Iterable[Picture]) -> list[str]:
        """Name the likeliest class of each image.

        Args:
            images: One image or several: paths, PIL images, or bytes of shape (H, W, 3).

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
        given = _several(images)
        device = next(self.model.parameters()).device
        parts: list[NDArray[np.float32]] = []
        pixels: list[NDArray[np.uint8]] = []
        for image in given:
            pixels.append(self._pixels(image))
            if len(pixels) == BATCH:
                parts.append(self._scores(pixels, device))
                pixels = []
        if pixels:
            parts.append(self._scores(pixels, device))
        return np.concatenate(parts) if parts else np.zeros((0, len(self.class_names)), np.float32)

    def explain(
        self, images: Picture | Iterable[Picture], classes: str | Sequence[str] | None = None
    ) -> Attribution:
        """Find where in each image the model sees a class: by Grad-CAM, or by occlusion where it has no maps.

        Args:
            images: As for `predict`; each as the model sees it, without other views of it.
            classes: The name of the class to look for, or one for each image; None is what the model answers.

        Returns:
            Its `heat_NHW` is in [0, 1] at the size of the study's images: 1 at the strongest place of each
            image, and 0 where nothing speaks for the class; `method` and `layer` say how it came about.

        Raises:
            DataError: As for `predict`.
            ConfigError: Likewise, or there is no such class, or no image.
        """
        pixels = [self._pixels(image) for image in _several(images)]
        if not pixels:
            raise ConfigError("images: got none, expected at least one to explain")
        if classes is None:
            return attribute(self.model, np.stack(pixels))
        names = [classes] * len(pixels) if isinstance(classes, str) else list(classes)
        if len(names) != len(pixels):
            raise ConfigError(
                f"classes: got {len(names)}, expected one, or one for each of {len(pixels)} images"
            )
        for name in names:
            if name not in self.class_names:
                raise UnknownNameError(f"classes: no class '{name}'{nearest(name, self.class_names)}")
        wanted_N = np.array([self.class_names.index(name) for name in names], dtype=np.int64)
        return attribute(self.model, np.stack(pixels), wanted_N)

    def _scores(self, pixels: list[NDArray[np.uint8]], device: torch.device) -> NDArray[np.float32]:
        store = ImageStore(np.stack(pixels), np.zeros(len(pixels), np.int64), device)
        return predict(self.model, store, np.arange(len(pixels)), views=self._views)

    def _pixels(self, image: Picture) -> NDArray[np.uint8]:
        """Draw an image as the study's images were drawn."""
        size, fit = self._task.image_size, self._task.fit
        if isinstance(image, str | Path):
            return load_image(image, size, fit)
        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
                raise ConfigError(
                    f"images: got an array of {image.dtype} and shape {image.shape}, "
                    "expected uint8 and (H, W, 3)"
                )
            image = Image.fromarray(image)
        if not isinstance(image, Image.Image):
            raise ConfigError(f"images: got {image!r}, expected paths, PIL images or arrays")
        return square(image, size, fit)


def _several(images: Picture | Iterable[Picture]) -> Iterable[Picture]:
    """Take one image as a list of one."""
    one = isinstance(images, str | Path | Image.Image)
    one = one or (isinstance(images, np.ndarray) and images.ndim == 3)
    if not (one or isinstance(images, Iterable)):
        raise ConfigError(f"images: got {images!r}, expected paths, PIL images or arrays")
    return cast("Iterable[Picture]", [images] if one else images)


def load(path: str | Path, *, device: str = "cpu", base_dir: str | Path = ".") -> Trained:
    """Load a trained run.

    Args:
        path: Its folder, ``<study>/runs/<task>/<candidate>/seed-<k>``, or a study's with one finished run.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        base_dir: What the path of a network from a file of one's own refers to, as it did when its study ran.

    Returns:
        The run's model, as it was scored.

    Raises:
        ConfigError: There is no such run, its network cannot be built again, or its file has changed.
        ResourceError: The device is not there.
    """
    where = resolve_machine(device).torch_device
    folder, files = Path(path).expanduser().absolute(), Path(base_dir).expanduser().absolute()
    found = earlier_run(str(_run_folder(folder)), 0, files, asker="load", own_files=True)
    if user_files(found.architecture) and (
        architecture_digest(found.architecture, files) != found.record.model_digest
    ):
        file = user_files(found.architecture)[0]
        raise ConfigError(f"load: {file} is not as it was when {folder} was trained")
    with own_global_state(torch.device("cpu")):
        model = build_classifier(
            found.architecture, classes=found.classes, input_size=found.record.input_size,
            mean=found.mean, std=found.std, seed=found.record.seed, base_dir=files, trained=False,
        )  # fmt: skip
    model.load_state_dict(load_file(found.folder.weights_path))
    views = found.record.recipe.get("test_views", "one")
    return Trained(placed(model, where).eval(), found.class_names, found.task, views)


def _run_folder(folder: Path) -> Path:
    """Take the only run of a study, where a study is named."""
    if folder.name.startswith("seed-"):
        return folder
    study = StudyFolder(folder)
    if study.read_lock() is None:
        raise ConfigError(f"load: got {folder}, expected the folder of a run or of a study")
    runs = [study.run(r.task, r.candidate, r.seed).path for r in study.records() if r.status == "finished"]
    if len(runs) != 1:
        raise ConfigError(
            f"load: the study {folder} has {len(runs)} finished runs, expected one; name a run's folder"
            + "".join(f", such as {run}" for run in runs[:1])
        )
    return runs[0]
