"""A search as a candidate: how long, among what, by which method, and what is not even tried."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, field_validator, model_validator

from bakeoff.errors import ConfigError
from bakeoff.spec.base import Setting
from bakeoff.spec.space import Space, narrowed, with_backbones
from bakeoff.units import Length, parse_length


def _budget(value: object) -> Length:
    try:
        length = parse_length(value) if isinstance(value, str) else value
    except ConfigError:
        length = None
    if not isinstance(length, Length) or length.unit == "steps":
        shown = str(value) if isinstance(value, Length) else value
        raise ValueError(f"got {shown!r}, expected a time such as '10m' or epochs such as '400ep'")
    return length


ETA = 3  # one of so many trials of a rung goes on to the next

Budget = Annotated[Length, BeforeValidator(_budget), PlainSerializer(str, return_type=str)]

DECIDED = ("optimizer", "label_smoothing", "augmentation", "batch_size", "schedule", "warmup", "sizes",
           "early_stop")  # fmt: skip
# Keys of a recipe that a search decides, or that would judge its networks in mid-schedule.


class SearchSpec(Setting):
    """A search for a network and the settings of its training."""

    # Seconds, or epochs over the training images, of all trials and the final training together
    budget: Budget | None = None
    trials: int | None = Field(default=None, ge=1, le=100_000)  # at most, counted when they begin
    # What is tried: Optuna's TPE, rungs and a local search; or draws of chance, each trained the same way
    method: Literal["tpe", "random"] = "tpe"
    share: float = Field(default=0.4, ge=0.05, le=0.9)  # of the budget for trials; the rest trains the winner
    space: dict[str, Any] = Field(default_factory=dict)  # narrows or fixes what may be chosen
    # Pretrained networks, "timm:NAME", that are tried beside those of its own, tuned at a tenth of the rate
    backbones: Annotated[tuple[str, ...], Field(strict=False)] = ()
    # Filters
    max_parameters: int | None = Field(default=None, ge=1)  # larger networks are not trained
    max_multiplications: int | None = Field(default=None, ge=1)  # for an image; costlier ones are not trained
    # In training at full size, measured on this machine; slower networks are not trained. Without it a
    # quarter of the first network's
    min_images_per_second: float | None = Field(default=None, gt=0)

    @field_validator("space")
    @classmethod
    def _known(cls, value: dict[str, Any]) -> dict[str, Any]:
        narrowed(value)
        return value

    @field_validator("backbones")
    @classmethod
    def _of_timm(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        odd = next((name for name in value if not name.startswith("timm:")), None)
        if odd is not None:
            raise ValueError(f"backbones: got {odd!r}, expected networks of timm such as 'timm:resnet18'")
        return tuple(dict.fromkeys(value))

    @model_validator(mode="after")
    def _ends(self) -> SearchSpec:
        if self.budget is None and self.trials is None:
            raise ValueError(
                "search: got neither 'budget' nor 'trials', expected budget = \"10m\" for example"
            )
        return self

    @property
    def bounds(self) -> Space:
        """The space in which it searches."""
        return with_backbones(narrowed(self.space), self.backbones)

    @property
    def words(self) -> str:
        """The search in a few words.

        >>> SearchSpec(budget="10m", trials=20).words
        'search, 600s, 20 trials'
        """
        parts = ["search" if self.method == "tpe" else "random search"]
        parts += [str(self.budget)] if self.budget is not None else []
        parts += [f"{self.trials} trials"] if self.trials is not None else []
        return ", ".join(parts)
