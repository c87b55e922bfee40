"""A classifier of images for scikit-learn: `bakeoff train` behind `fit` and `predict`.

It trains a study of one run, under the recipe that `bakeoff train` would choose and in the same
loop, but on images that a program holds. Of these a part is held out for validation and none
for testing: that is what the one who calls `cross_val_score` does.

    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import cross_val_score
    >>> from bakeoff import ImageClassifier
    >>> X, y = load_digits(return_X_y=True)  # 1,797 rows of 64 numbers: images of 8 x 8
    >>> model = ImageClassifier("model1", epochs=15, lr=3e-3, augmentation={"crop": 0})
    >>> cross_val_score(model, X, y, cv=5).mean().round(3)  # doctest: +SKIP
    0.983

Shape letters: N images, H rows, W columns, C channels, F numbers of an image, K classes.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    assert_all_finite,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from bakeoff.data.given import Given, given_array, given_pictures
from bakeoff.data.pixels import Reading, Shape, learn_reading
from bakeoff.data.prepare import prepare_listing
from bakeoff.data.survey import survey_listing
from bakeoff.errors import BakeoffError, ConfigError, EstimatorError
from bakeoff.models.pretrained import backbone
from bakeoff.records import RunRecord
from bakeoff.spec import Recipe, StudySpec, study_from_dict
from bakeoff.spec.candidate import PRETRAINED
from bakeoff.study.fitted import Fitted
from bakeoff.study.progress import StudyListener
from bakeoff.study.refusals import check_spec
from bakeoff.study.runner import run_prepared
from bakeoff.study.single import Wish, decide
from bakeoff.training.loop import own_global_state
from bakeoff.training.machine import Machine, as_it_was, resolve_machine

ASKER = "ImageClassifier"
DRAWN = 8192  # images that are drawn at once for a prediction

_TRAINING = threading.Lock()  # torch's global generator, which dropout draws from, serves one training


class ImageClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Train a network on images, with scikit-learn's interface.

    **Images.** `X` is an array (N, H, W, 3) or (N, H, W), a list of paths, of PIL images or of uint8
    arrays, or flat rows (N, H * W * C). Bytes (uint8) are pixels as they are. Other numbers become bytes
    by a scale that is learned in `fit`: 0 is black and 1 white where all lie between, else the smallest
    and the largest; `value_range` names it instead, for arrays of every type. Flat rows need
    `image_shape`, but for a square number of columns, which is a grey image. `image_shape="square"` is
    for features that are no image: each column has a scale of its own, and they fill the smallest
    square row by row.

    **Training.** What is None is chosen as `bakeoff train` chooses it, by the network and the
    number of images (but an `lr` without an `optimizer` is AdamW's), with these differences: a network that
    was trained before sees images in the size that it was trained on (not in one that depends on this
    machine's speed), grey images are not mirrored, for they are often written, and features are neither
    mirrored nor shifted. An int for `random_state` gives equal results
    on every call with the same libraries and `threads` on processors of the same kind, unless the length
    is a `time`.

    Random generators, the number of threads and cuDNN's switches are as before after every call, and no
    file is left, unless `out` is given. In one process one `fit` works at a time. What is wrong is said
    as `bakeoff.errors.EstimatorError`, a ValueError.

    Args:
        model: One of ours (`bakeoff models`), ``my_net.py:build``, or ``timm:NAME`` with the weights that
            it was published with.
        probe: Train the last layer of ``timm:NAME`` alone, by logistic regression on frozen features.
        candidate: Keys of a candidate, such as ``head``, ``train``, ``views`` or ``weights``.
        image_size: Pixels that images are stored in; None follows from their own size.
        input_size: Pixels that the network takes.
        image_shape: (H, W) or (H, W, C) of flat rows, channels last; or ``"square"``.
        value_range: The numbers of an array that are black and white.
        framing: How an image that is not square becomes so: ``crop``, ``pad`` or ``stretch``.
        epochs: Length of the training; or `steps`, or `time`.
        steps: Likewise, in optimizer steps.
        time: Likewise, such as ``"90s"``.
        batch_size: Images of a step.
        optimizer: A name, or a table such as ``{"name": "sgd", "lr": 0.1}``.
        lr: Of the optimizer, at its peak.
        weight_decay: Of the optimizer.
        schedule: As in a recipe.
        warmup: As in a recipe.
        clip_norm: As in a recipe.
        label_smoothing: As in a recipe.
        ema: As in a recipe.
        augmentation: A table such as ``{"crop": 2, "flip": "none"}``.
        normalize: As in a recipe.
        sizes: As in a recipe.
        test_views: As in a recipe.
        norm_statistics: As in a recipe.
        class_weights: As in a recipe; ``"balanced"`` for classes of unequal size.
        sampler: As in a recipe.
        precision: As in a recipe.
        compile: As in a recipe.
        early_stop: As in a recipe.
        validation: Share of `X` that is not learned from but watched, and that chooses a probe's penalty;
            at least one image of every class.
        random_state: A seed of at least 0, a RandomState to draw it from, or None for another one in every
            `fit`.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        threads: On the processor; None leaves what PyTorch has.
        out: A folder that keeps the study of one `fit`, for `bakeoff.load` and `bakeoff report`; an equal
            `fit` finds its run there.
        listener: Hears of every step; see `bakeoff.study.StudyListener`.

    Attributes:
        classes_: The labels, sorted; their order is that of the columns of probabilities.
        n_features_in_: Numbers of an image; not there when `X` was a list.
        feature_names_in_: Names of the columns, when `X` was a data frame.
        image_shape_: (H, W, C) of the array's images, in which rows are laid out; None when `X` was a list.
        record_: What the run has left: recipe, history by epoch, cost, validation metrics.
        said_: What was decided, a line each.
    """

    def __init__(
        self,
        model: str = "resnet9",
        *,
        # Network
        probe: bool = False,
        candidate: Mapping[str, Any] | None = None,
        # Images
        image_size: int | None = None,
        input_size: int | None = None,
        image_shape: Sequence[int] | Literal["square"] | None = None,
        value_range: tuple[float, float] | None = None,
        framing: Literal["crop", "pad", "stretch"] = "crop",
        # Recipe
        epochs: float | None = None,
        steps: int | None = None,
        time: str | None = None,
        batch_size: int | None = None,
        optimizer: str | Mapping[str, Any] | None = None,
        lr: float | None = None,
        weight_decay: float | None = None,
        schedule: str | None = None,
        warmup: float | None = None,
        clip_norm: float | None = None,
        label_smoothing: float | None = None,
        ema: float | None = None,
        augmentation: Mapping[str, Any] | None = None,
        normalize: str | None = None,
        sizes: Any = None,
        test_views: str | None = None,
        norm_statistics: str | None = None,
        class_weights: str | None = None,
        sampler: str | None = None,
        precision: str | None = None,
        compile: bool | None = None,
        early_stop: Mapping[str, Any] | None = None,
        # Run
        validation: float = 0.1,
        random_state: int | np.random.RandomState | None = 0,
        device: str = "auto",
        threads: int | None = None,
        out: str | Path | None = None,
        listener: StudyListener | None = None,
    ) -> None:
        self.model = model
        self.probe = probe
        self.candidate = candidate
        self.image_size = image_size
        self.input_size = input_size
        self.image_shape = image_shape
        self.value_range = value_range
        self.framing = framing
        self.epochs = epochs
        self.steps = steps
        self.time = time
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.warmup = warmup
        self.clip_norm = clip_norm
        self.label_smoothing = label_smoothing
        self.ema = ema
        self.augmentation = augmentation
        self.normalize = normalize
        self.sizes = sizes
        self.test_views = test_views
        self.norm_statistics = norm_statistics
        self.class_weights = class_weights
        self.sampler = sampler
        self.precision = precision
        self.compile = compile
        self.early_stop = early_stop
        self.validation = validation
        self.random_state = random_state
        self.device = device
        self.threads = threads
        self.out = out
        self.listener = listener

    def fit(self, X: Any, y: Any) -> ImageClassifier:
        """Train on images.

        Args:
            X: N images; see the class.
            y: N labels: numbers or texts, of at least two classes with at least two images each.

        Returns:
            Itself.

        Raises:
            EstimatorError: A parameter, an image or a label is not usable, the training failed, the disk is
                full, or weights are needed that are not here.
        """
        with _as_values():
            if y is None:
                raise ConfigError(f"y: {ASKER} requires y to be passed, but the target y is None")
            machine = self._machine()
            self.__dict__.pop("_fitted", None)  # what fails from here on leaves nothing half learned
            given = self._take(X, learning=True)
            labels_N = self._labels(y, len(given.keys))
            with _TRAINING, as_it_was(), own_global_state(machine.torch_device):
                self._train(given, labels_N, machine)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the likeliest label of each image.

        Args:
            X: As for `fit`; arrays and files of another size are drawn to the same one.

        Returns:
            N labels.

        Raises:
            EstimatorError: An image is not usable.
        """
        probabilities_NK = self.predict_proba(X)
        return cast("NDArray[Any]", self.classes_[probabilities_NK.argmax(axis=1)])

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Return the probabilities of all classes.

        Args:
            X: As for `predict`.

        Returns:
            Of shape (N, K), in the order of `classes_`.

        Raises:
            EstimatorError: An image is not usable.
        """
        check_is_fitted(self)
        with _as_values(), as_it_was():
            machine = self._machine()
            machine.apply()
            given, parts = self._take(X), []
            for start in range(0, len(given.keys), DRAWN):
                images_NHWC = given.drawn(
                    start, start + DRAWN, self._fitted.task.image_size, self._fitted.task.fit
                )
                parts.append(self._fitted.probabilities(images_NHWC, machine.torch_device))
            return np.concatenate(parts)[:, self._columns]

    @property
    def image_shape_(self) -> Shape | None:
        """(H, W, C) of the array that `fit` saw."""
        check_is_fitted(self)
        return self._reading.shape

    def __sklearn_is_fitted__(self) -> bool:
        """Tell whether it can predict."""
        return hasattr(self, "_fitted")

    def __sklearn_tags__(self) -> Any:
        """Say what it takes beside tables."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        return tags

    def _machine(self) -> Machine:
        threads = torch.get_num_threads() if self.threads is None else self.threads
        return resolve_machine(self.device, threads)

    def _take(self, X: Any, *, learning: bool = False) -> Given:
        """Check images, learn in `fit` how they are read, and make them readable."""
        pictures = _pictures(X)
        if pictures is not None:
            if learning:
                for name in ("n_features_in_", "feature_names_in_"):
                    self.__dict__.pop(name, None)
                self._reading = Reading()
            return given_pictures(pictures)
        values_NX = _array(X)
        if values_NX.ndim == 2:
            values_NX = cast("NDArray[Any]", validate_data(self, X, reset=learning))
        elif learning:
            validate_data(self, values_NX.reshape(len(values_NX), -1))
        if learning:
            self._reading = learn_reading(values_NX, self.image_shape, self.value_range)
        return given_array(self._reading.images(values_NX))

    def _labels(self, y: Any, images: int) -> NDArray[np.int64]:
        """Check labels, and keep what their classes are."""
        labels_N = column_or_1d(y, warn=True)
        if labels_N.dtype.kind == "f":
            assert_all_finite(labels_N, input_name="y")
        check_classification_targets(labels_N)
        check_consistent_length(range(images), labels_N)
        self.classes_, positions_N = np.unique(labels_N, return_inverse=True)
        names = [str(label) for label in self.classes_.tolist()]
        if len(names) < 2:
            raise ConfigError(f"y: got 1 class ('{names[0]}'), expected at least 2")
        if len(set(names)) < len(names):
            raise ConfigError("y: two classes are written alike, expected labels of one type")
        return positions_N

    def _train(self, given: Given, labels_N: NDArray[np.int64], machine: Machine) -> None:
        """Plan and run a study of one run, and keep its network."""
        names = [str(label) for label in self.classes_.tolist()]
        listing = given.listing([names[label] for label in labels_N])
        decision = decide(self._wish(), survey_listing(listing), machine)
        spec = self._spec(decision.values)
        task, base_dir = spec.tasks[0], Path.cwd()
        check_spec(spec, base_dir)
        with tempfile.TemporaryDirectory(prefix="bakeoff-") as temporary:
            out = Path(temporary) / "study" if self.out is None else Path(os.path.expanduser(self.out))
            cache_dir = Path(temporary) / "cache"
            data = prepare_listing(task, listing, cache_dir=cache_dir, tested=False)
            outcome = run_prepared(
                spec, out, {task.name: data}, base_dir=base_dir, cache_dir=cache_dir, device=machine.device,
                threads=machine.threads, listener=self.listener,
            )  # fmt: skip
            record = outcome.records[0]
            if record.status != "finished":
                raise ConfigError(f"fit: the training {record.status}: {record.reason}")
            run = outcome.folder.run(record.task, record.candidate, record.seed)
            self._fitted = Fitted.of(run, base_dir)
            self._columns = np.array([data.class_ids.index(name) for name in names])
        self.record_: RunRecord = record
        self.said_ = decision.said

    def _wish(self) -> Wish:
        """Say what is asked for, as `bakeoff train` would hear it."""
        recipe = {key: getattr(self, key) for key in Recipe.model_fields if getattr(self, key) is not None}
        if isinstance(self.optimizer, str):
            recipe["optimizer"] = {"name": self.optimizer}
        strength = {
            key: getattr(self, key) for key in ("lr", "weight_decay") if getattr(self, key) is not None
        }
        if strength:
            recipe["optimizer"] = {**recipe.get("optimizer", {}), **strength}
        shape = self._reading.shape
        if shape is not None and shape[2] == 1 and not self.probe:
            crop = {"crop": 0} if self._reading.is_of_features else {}
            recipe["augmentation"] = {"flip": "none", **crop, **(self.augmentation or {})}
        input_size = self.input_size
        if input_size is None and self.model.startswith(PRETRAINED):
            input_size = backbone(self.model).input_size
        return Wish(
            model=self.model, data="memory", probe=self.probe, image_size=self.image_size,
            input_size=input_size, candidate=dict(self.candidate or {}), recipe=recipe, asker=ASKER,
        )  # fmt: skip

    def _spec(self, values: Mapping[str, Any]) -> StudySpec:
        """Add to the study of a wish what only this class is told."""
        task = {**values["task"][0], "validation": self.validation, "fit": self.framing}
        return study_from_dict({**values, "task": [task], "seeds": [_seed(self.random_state)]}, ASKER)


@contextmanager
def _as_values() -> Iterator[None]:
    """Say every error that is about what was given as a ValueError, as scikit-learn expects it."""
    try:
        yield
    except BakeoffError as error:
        raise EstimatorError(str(error)) from error


def _seed(random_state: Any) -> int:
    if random_state is None:
        return secrets.randbits(31)
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    whole = isinstance(random_state, int | np.integer) and not isinstance(random_state, bool)
    if whole and random_state >= 0:
        return int(random_state)
    raise ConfigError(
        f"random_state: got {random_state!r}, expected a whole number of at least 0, a RandomState or None"
    )


def _pictures(X: Any) -> list[Any] | None:
    """Return images that came one by one; None where they are one array or a table."""
    if isinstance(X, str | os.PathLike | Image.Image):
        raise ConfigError(f"X: got one image, {X!r:.60}; expected a list of them")
    if getattr(X, "ndim", None) == 1 and getattr(X, "dtype", None) is not None:  # arrays and Series
        return list(X) if np.dtype(getattr(X.dtype, "kind", "f")).kind in "OU" else None
    if not isinstance(X, list | tuple) or not X:
        return None
    if isinstance(X[0], str | os.PathLike | Image.Image):
        return list(X)
    arrays = all(isinstance(image, np.ndarray) and image.ndim >= 2 for image in X)
    return list(X) if arrays and len({image.shape for image in X}) > 1 else None


def _array(X: Any) -> NDArray[Any]:
    """Check that an array holds rows or images of finite numbers."""
    values_NX = cast("NDArray[Any]", check_array(X, allow_nd=True))
    shape = values_NX.shape
    if values_NX.ndim == 3 and shape[2] in (1, 3, 4):
        raise ConfigError(
            f"X: got shape {shape}, which looks like one image; expected (N, H, W) or (N, H, W, 3)"
        )
    if values_NX.ndim > 4 or (values_NX.ndim == 4 and shape[3] not in (1, 3)):
        raise ConfigError(f"X: got shape {shape}, expected (N, H, W, 3), (N, H, W) or rows (N, F)")
    return values_NX
