"""The recipe: everything about a training that is not architecture.

One recipe holds for every candidate of a task; that is the control. Keys that a
task or a candidate overrides are laid over it by `Recipe.overlaid`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, ValidationError, model_validator

from bakeoff.errors import ConfigError
from bakeoff.spec.base import Setting, one_line
from bakeoff.units import Length, parse_length

Fraction = Annotated[float, Field(ge=0, le=1)]
TestViews = Literal["one", "mirror", "six"]
VIEWS: dict[TestViews, int] = {"one": 1, "mirror": 2, "six": 6}  # times that an image is evaluated
Stage = tuple[Annotated[int, Field(ge=4, le=4096)], Annotated[float, Field(gt=0, le=1)]]


def _time(value: object) -> Length:
    try:
        length = parse_length(value) if isinstance(value, str) else value
    except ConfigError:
        length = None
    if not isinstance(length, Length) or length.unit != "seconds":
        shown = str(value) if isinstance(value, Length) else value
        raise ValueError(f"got {shown!r}, expected a time above 0 such as '90s', '10m' or '1.5h'")
    return length


TimeText = Annotated[Length, BeforeValidator(_time), PlainSerializer(str, return_type=str)]


class Optimizer(Setting):
    """Which optimizer, with its strength."""

    name: Literal["sgd", "adam", "adamw", "muon"] = "adam"  # muon moves matrices, and AdamW what is none
    lr: float = Field(default=1e-3, gt=0)  # learning rate at its peak; for this batch size, never rescaled
    weight_decay: float = Field(default=0.0, ge=0)  # not on norms and biases
    momentum: float = Field(default=0.9, ge=0, lt=1)  # of sgd and muon, in Nesterov's form
    bias_factor: float = Field(default=1.0, gt=0)  # of the rate, for biases and normalization
    betas: tuple[Fraction, Fraction] = Field(default=(0.9, 0.999), strict=False)  # of adam and adamw
    eps: float = Field(default=1e-7, gt=0)  # of adam and adamw; Keras's default


class Augmentation(Setting):
    """What is done to a batch of training images, as tensors; off by default."""

    # Pixels of reflected border before a random crop back to size
    crop: int = Field(default=0, ge=0, le=1024)
    flip: Literal["none", "random", "alternating"] = "none"  # horizontal; alternating: Jordan 2024
    mixup: float = Field(default=0.0, ge=0)  # alpha of the beta distribution; 0 is off
    cutmix: float = Field(default=0.0, ge=0)  # alpha; with mixup too, each batch draws one of the two

    @model_validator(mode="before")
    @classmethod
    def _accept_bool_flip(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("flip"), bool):
            return {**values, "flip": "random" if values["flip"] else "none"}
        return values


class EarlyStop(Setting):
    """Stop when validation no longer improves, for all candidates alike."""

    patience: int = Field(ge=1)  # epochs without a better validation loss


class Recipe(Setting):
    """Length, batch, optimizer, schedule, augmentation, precision.

    The length is one of `epochs`, `steps` or `time`; the last one given by the most
    specific place (candidate over task over study) holds.
    """

    # Length
    # Passes over the training images; of epochs, steps and time one is given, and without any it is one epoch
    epochs: float | None = Field(default=None, gt=0, le=1e6)
    steps: int | None = Field(default=None, ge=1, le=10**12)  # optimizer steps
    time: TimeText | None = None  # wall clock of training, evaluation not counted, such as "10m"
    # Steps
    batch_size: int = Field(default=64, ge=1)  # images of a step
    optimizer: Optimizer = Optimizer()  # how weights move
    # The rate's course behind the warm-up: as it is, or falling to zero at the end
    schedule: Literal["constant", "cosine", "one-cycle", "linear"] = "constant"
    warmup: Fraction = 0.0  # share of the length; for one-cycle the rising part (0 means 0.3)
    clip_norm: float | None = Field(default=None, gt=0)  # of all gradients together, L2
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)  # share of the label spread over all classes
    ema: float | None = Field(default=None, gt=0, lt=1)  # decay per step of the averaged weights
    # Images
    augmentation: Augmentation = Augmentation()  # what is done to training images
    normalize: Literal["standardize", "scale"] = "standardize"  # by training mean and std; or to [0, 1]
    # Progressive resizing: pixels and share of the length, in turn; without, all steps see the input size
    sizes: Annotated[tuple[Annotated[Stage, Field(strict=False)], ...], Field(strict=False)] = ()
    # How each image is seen in the final evaluation: as it is, mirrored too, or shifted as well (Jordan 2024)
    test_views: TestViews = "one"
    # Batch normalization at evaluation: moving averages, or measured again on training images
    norm_statistics: Literal["moving", "recalibrated"] = "moving"
    # Imbalance
    class_weights: Literal["none", "balanced"] = "none"  # in the loss; balanced: rare classes weigh more
    # Which images an epoch draws; balanced: as many of each class
    sampler: Literal["uniform", "balanced"] = "uniform"
    # Numbers
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: bf16 where the device is quick at it
    compile: bool = False  # whether torch.compile makes the training step
    early_stop: EarlyStop | None = None  # when validation no longer improves

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        given = [name for name in ("epochs", "steps", "time") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"got {' and '.join(given)}, expected one of epochs, steps, time")
        if self.sizes and abs(sum(share for _, share in self.sizes) - 1) > 1e-6:
            shares = " + ".join(f"{share:g}" for _, share in self.sizes)
            raise ValueError(f"sizes: got shares of {shares}, expected a sum of 1")
        if self.class_weights == "balanced" and self.sampler == "balanced":
            raise ValueError("got 'balanced' for class_weights and for sampler, expected at most one of them")
        return self

    @property
    def length(self) -> Length:
        """The length of training; one epoch when the study is silent."""
        if self.steps is not None:
            return Length(self.steps, "steps")
        if self.time is not None:
            return self.time
        return Length(self.epochs if self.epochs is not None else 1, "epochs")

    def overlaid(self, override: Mapping[str, Any], where: str) -> Recipe:
        """Lay a task's or a candidate's keys over this recipe.

        Tables (`optimizer`, `augmentation`) are merged key by key, but naming
        another optimizer starts from that optimizer's own defaults. Giving a
        length in one unit drops the length in any other.

        Args:
            override: Keys of a recipe, as in the file.
            where: Whose keys they are, for messages.

        Returns:
            The recipe that results.

        Raises:
            ConfigError: A key is unknown or a value is refused.
        """
        values = self.model_dump(exclude_unset=True)
        if {"epochs", "steps", "time"} & set(override):
            for name in ("epochs", "steps", "time"):
                values.pop(name, None)
        for name, value in override.items():
            old = values.get(name)
            if isinstance(old, dict) and isinstance(value, Mapping) and not self._renames(name, value):
                values[name] = {**old, **value}
            else:
                values[name] = value
        try:
            return Recipe.model_validate(values)
        except ValidationError as error:
            raise one_line(error, Recipe, where, prefix="recipe") from None

    def _renames(self, name: str, table: Mapping[str, Any]) -> bool:
        """Tell whether a table asks for another optimizer, not for other settings of this one."""
        return name == "optimizer" and table.get("name", self.optimizer.name) != self.optimizer.name
