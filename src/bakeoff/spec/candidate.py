"""A candidate: one approach to a task."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from bakeoff.spec.base import Name, Setting


class Published(Setting):
    """What somebody else reported for this candidate; shown beside ours, never mixed in."""

    loss: float | None = None  # test cross-entropy, nats
    accuracy: float | None = Field(default=None, ge=0, le=1)  # test, a fraction
    validation_accuracy: tuple[float, ...] = Field(default=(), strict=False)  # by epoch
    validation_loss: tuple[float, ...] = Field(default=(), strict=False)  # by epoch
    training_accuracy: tuple[float, ...] = Field(default=(), strict=False)  # by epoch
    note: str = ""


class CandidateSpec(Setting):
    """One approach to one task (or to every task, when `task` is not given)."""

    name: Name
    task: str | None = None  # the name of a task; None enters it in all of them
    model: str = Field(min_length=1)  # a registered name, or the user's own "my_net.py:build"
    # Pixels; resized on the device, the images stay the task's.
    input_size: int | None = Field(default=None, ge=4)
    recipe: dict[str, Any] = Field(default_factory=dict)  # keys that differ from the task's recipe
    published: Published | None = None
    note: str = ""
