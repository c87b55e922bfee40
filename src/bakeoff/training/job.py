"""What one run is asked for, in plain and frozen terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bakeoff.data.prepare import TaskData
from bakeoff.models.architecture import Architecture, External, OnBackbone, OnSource, Searched
from bakeoff.spec import CandidateSpec, Recipe, TaskSpec
from bakeoff.spec.search import SearchSpec
from bakeoff.training.machine import Machine, Precision

OWN = "its own"  # precision of an external program


@dataclass(frozen=True, kw_only=True)
class Job:
    """A candidate with a seed on a task's images, under a resolved recipe."""

    # Who
    identity: str  # digest of spec, data and code schema
    model_digest: str  # of what defines the network; the same for all seeds
    architecture: Architecture
    study: str
    task: TaskSpec
    candidate: CandidateSpec
    seed: int
    # Under which control
    recipe: Recipe
    precision: Precision
    precision_reason: str
    control_digest: str
    differences: dict[str, list[Any]] = field(default_factory=dict)
    # With what
    data: TaskData
    mean: tuple[float, ...]  # of each channel, 0..255: the training images', or those that a source expects
    std: tuple[float, ...]
    machine: Machine
    base_dir: Path  # relative paths of the study file start here
    cache_dir: Path | None = None  # for frozen work; None is `cache_home`
    timed: bool = False  # whether its predictions are timed, once for a candidate
    # Of the final training of a search: what the search was asked for, and what its record says of it
    asked: Recipe | None = None
    search: Mapping[str, Any] = field(default_factory=dict)

    @property
    def input_size(self) -> int:
        """Pixels that the candidate's network takes."""
        own = None
        if isinstance(self.architecture, OnBackbone):
            own = self.architecture.backbone.input_size
        elif isinstance(self.architecture, OnSource):
            own = self.architecture.input_size
        return self.candidate.input_size or own or self.task.image_size

    @property
    def is_external(self) -> bool:
        """Whether an external program answers, and nothing is trained by bakeoff."""
        return isinstance(self.architecture, External)

    @property
    def is_search(self) -> bool:
        """Whether the network is still to be found."""
        return isinstance(self.architecture, Searched) and self.architecture.found is None

    @property
    def search_spec(self) -> SearchSpec:
        """The search that is asked for."""
        if not isinstance(self.architecture, Searched):
            raise TypeError(f"{self.name} is no search")
        return self.architecture.search

    @property
    def used_precision(self) -> str:
        """The precision as it is recorded; that of an external program is its own business."""
        return OWN if self.is_external else self.precision

    @property
    def key(self) -> tuple[str, str, int]:
        """The run's place in its study: task, candidate, seed."""
        return self.task.name, self.candidate.name, self.seed

    @property
    def name(self) -> str:
        """The run as people call it."""
        return f"{self.task.name} / {self.candidate.name} / seed {self.seed}"
