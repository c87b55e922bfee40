"""A task: one data source, class subset, image size and split, under one control."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from bakeoff.spec.base import Name, Setting

Part = Literal["train", "validation", "test"]  # of a task's images
PARTS: tuple[Part, ...] = ("train", "validation", "test")


class TaskSpec(Setting):
    """What is classified, and how its images are cut, sized and split."""

    name: Name  # by which candidates and commands refer to it
    # Images
    data: str = Field(min_length=1)  # a source's name ("tiny-imagenet", "digits") or a path
    # The first so many in sorted order, or names; all, where nothing is given
    classes: int | Annotated[tuple[str, ...], Field(strict=False)] | None = None
    image_size: int = Field(default=64, ge=4, le=1024)  # pixels, both sides
    fit: Literal["crop", "pad", "stretch"] = "crop"  # how an image that is not square is made so
    # Split
    test: float = Field(default=0.2, gt=0, lt=1)  # share, when the source has no test split of its own
    validation: float = Field(default=0.1, gt=0, lt=1)  # share of the training images
    split_seed: int = Field(default=0, ge=0)  # the task's own; never the run's
    # The first so many of the study's seeds, for a task that takes long; all, where nothing is given
    seeds: int | None = Field(default=None, ge=1)
    # Control
    # What is held equal: all of the recipe, or its seconds alone, in which each candidate does as it likes
    control: Literal["recipe", "budget"] = "recipe"
    recipe: dict[str, Any] = Field(default_factory=dict)  # keys that differ from the study's recipe

    @field_validator("classes", mode="before")
    @classmethod
    def _count_or_names(cls, value: object) -> object:
        # Said here, because pydantic would report each branch of the union by itself.
        whole = isinstance(value, int) and not isinstance(value, bool)
        names = isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)
        if value is None or whole or names:
            return value
        raise ValueError(f"classes: got {value!r}, expected a whole number or a list of names")

    @field_validator("classes")
    @classmethod
    def _some_classes(cls, value: int | tuple[str, ...] | None) -> int | tuple[str, ...] | None:
        count = value if isinstance(value, int) else len(value) if value is not None else 2
        if count < 2:
            raise ValueError(f"classes: got {count}, expected at least 2 classes")
        if isinstance(value, tuple) and len(set(value)) < len(value):
            raise ValueError("classes: a name is given twice")
        return value
