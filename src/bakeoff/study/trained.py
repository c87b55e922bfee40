"""A trained run, ready to be used: what was scored, on images from anywhere.

Shape letters: B images, H rows, W columns, C channels, K classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from bakeoff.data.batches import ImageStore
from bakeoff.data.predictor import Picture, Predictor, several
from bakeoff.errors import ConfigError, UnknownNameError, nearest
from bakeoff.models.architecture import Searched, architecture_digest, user_files
from bakeoff.records import RunRecord
from bakeoff.spec import TaskSpec
from bakeoff.spec.macro import Macro
from bakeoff.spec.recipe import TestViews
from bakeoff.study.earlier import Earlier, earlier_run
from bakeoff.training.attribution import Attribution, attribute
from bakeoff.training.classifier import Classifier, build_classifier, placed
from bakeoff.training.evaluate import predict
from bakeoff.training.loop import own_global_state
from bakeoff.training.machine import resolve_machine


class Trained(Predictor):
    """A run's model with its classes; images become pixels as those of its study did."""

    def __init__(
        self,
        model: Classifier,
        class_names: Sequence[str],
        task: TaskSpec,
        views: TestViews = "one",
        *,
        temperature: float = 1.0,
        run: Earlier | None = None,
    ) -> None:
        super().__init__(class_names, task.image_size, task.fit)
        self.model = model
        self.temperature = temperature  # that probabilities are calibrated by; 1 leaves them as they are
        self.run = run  # where it comes from
        self._views = views  # in which each image is seen, as when it was scored

    def score(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the probabilities of all classes for images that are drawn, in full precision.

        Args:
            images_NHWC: Bytes of shape (B, image_size, image_size, 3).

        Returns:
            Of shape (B, K), calibrated.
        """
        device = next(self.model.parameters()).device
        store = ImageStore(images_NHWC, np.zeros(len(images_NHWC), np.int64), device)
        index = np.arange(len(images_NHWC))
        return predict(self.model, store, index, views=self._views, temperature=self.temperature)

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
        pixels = [self.drawn(image) for image in several(images)]
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


def load(path: str | Path, *, device: str = "cpu", base_dir: str | Path = ".", raw: bool = False) -> Trained:
    """Load a trained run.

    Args:
        path: Its folder, ``<study>/runs/<task>/<candidate>/seed-<k>``.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        base_dir: What the path of a network from a file of one's own refers to, as it did when its study ran.
        raw: Leave the probabilities as they were recorded, without the run's calibration if it has one.

    Returns:
        The run's model, as it was scored.

    Raises:
        ConfigError: There is no such run, its network cannot be built again, or its file has changed.
        ResourceError: The device is not there.
    """
    where = resolve_machine(device).torch_device
    folder, files = Path(path).expanduser().absolute(), Path(base_dir).expanduser().absolute()
    found = earlier_run(str(folder), 0, files, asker="load", own_files=True)
    own = user_files(found.architecture)
    described = isinstance(found.architecture, Macro | Searched)
    if (own or described) and architecture_digest(found.architecture, files) != found.record.model_digest:
        changed = f"{own[0]} is not as it was" if own else "another version of bakeoff was at work"
        raise ConfigError(f"load: {changed} when {folder} was trained; train it again")
    with own_global_state(torch.device("cpu")):
        model = build_classifier(
            found.architecture, classes=found.classes, input_size=found.record.input_size,
            mean=found.mean, std=found.std, seed=found.record.seed, base_dir=files, trained=False,
        )  # fmt: skip
    model.load_state_dict(load_file(found.folder.weights_path))
    views = found.record.recipe.get("test_views", "one")
    return Trained(
        placed(model, where).eval(), found.class_names, found.task, views,
        temperature=1.0 if raw else temperature_of(found.record), run=found,
    )  # fmt: skip


def temperature_of(record: RunRecord) -> float:
    """Return what a run's logits are divided by to be calibrated; 1 where nothing was recorded."""
    return float(record.calibration.get("temperature") or 1.0)
