"""A study: the whole file, checked against itself."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from pydantic import Field, field_validator, model_validator

from bakeoff.errors import nearest
from bakeoff.spec.base import Name, Setting
from bakeoff.spec.candidate import CandidateSpec
from bakeoff.spec.recipe import Recipe
from bakeoff.spec.task import TaskSpec

MOST_SEEDS = 1000  # when they are given as a number: more is a slip of the hand


def slug(name: str) -> str:
    """Turn a name into a folder name; letters of any script stay.

    >>> slug("5 classes"), slug("Transfer 1 (output)")
    ('5-classes', 'transfer-1-output')
    """
    folded = unicodedata.normalize("NFKC", name).casefold()
    return re.sub(r"[\W_]+", "-", folded).strip("-") or "unnamed"


class StudySpec(Setting):
    """Tasks, candidates, seeds and the recipe they share."""

    name: Name  # of the study's folder, unless another one is given
    title: str = ""  # at the top of the report
    description: str = ""  # below it
    # Each candidate is trained once with each: first weights, the order of images and all other chance; a
    # number is so many, from 0
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1, strict=False)
    recipe: Recipe = Recipe()  # how everything is trained, unless a task or a candidate says otherwise
    tasks: tuple[TaskSpec, ...] = Field(alias="task", min_length=1, strict=False)  # what is classified
    # What is compared
    candidates: tuple[CandidateSpec, ...] = Field(alias="candidate", min_length=1, strict=False)

    @field_validator("seeds", mode="before")
    @classmethod
    def _counted(cls, given: Any) -> Any:
        if not isinstance(given, int) or isinstance(given, bool):
            return given
        if not 1 <= given <= MOST_SEEDS:
            raise ValueError(f"seeds: got {given}, expected 1 to {MOST_SEEDS}, or a list such as [0, 1, 2]")
        return tuple(range(given))

    @model_validator(mode="after")
    def _consistent(self) -> StudySpec:
        if len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(f"seeds: got {list(self.seeds)}, expected different whole numbers of at least 0")
        task_names = [task.name for task in self.tasks]
        _refuse_twins("task", task_names)
        for index, candidate in enumerate(self.candidates, start=1):
            if candidate.task is not None and candidate.task not in task_names:
                raise ValueError(
                    f"candidate[{index}].task: no task named {candidate.task!r}"
                    f"{nearest(candidate.task, task_names)}"
                )
        for task in self.tasks:
            if task.seeds is not None and task.seeds > len(self.seeds):
                raise ValueError(
                    f"task '{task.name}'.seeds: got {task.seeds}, expected at most {len(self.seeds)}, "
                    "as many as the study has"
                )
            names = [candidate.name for candidate in self.candidates_of(task)]
            if not names:
                raise ValueError(f"task '{task.name}' has no candidate")
            _refuse_twins(f"candidate of task '{task.name}'", names)
            self._check_sources(task)
            for candidate in self.candidates_of(task):
                recipe = self.recipe_for(task, candidate)
                if candidate.external is not None and recipe.time is None:
                    raise ValueError(
                        f"candidate '{candidate.name}': an external program is given seconds, got "
                        f'{recipe.length}; expected recipe = {{ time = "10m" }} of its own or its task\'s'
                    )
        return self

    def _check_sources(self, task: TaskSpec) -> None:
        """Refuse a source that is no candidate of the task, and candidates that wait for each other."""
        by_name = {candidate.name: candidate for candidate in self.candidates_of(task)}
        for candidate in by_name.values():
            seen = [candidate.name]
            while (source := (latest := by_name[seen[-1]]).source) is not None:
                if latest.is_pretrained or latest.is_on_earlier:
                    break
                if source not in by_name:
                    raise ValueError(
                        f"candidate '{seen[-1]}'.from: task '{task.name}' has no candidate "
                        f"named {source!r}{nearest(source, by_name)}"
                    )
                if by_name[source].search is not None:
                    raise ValueError(
                        f"candidate '{seen[-1]}'.from: got {source!r}, a search, whose network is not known "
                        "before it has ended; expected its run's folder, in a later study"
                    )
                if by_name[source].external is not None:
                    raise ValueError(
                        f"candidate '{seen[-1]}'.from: got {source!r}, an external program, of which only "
                        "predictions are kept; expected a candidate whose network bakeoff trains"
                    )
                if source in seen:
                    circle = " from ".join([*seen[seen.index(source) :], source])
                    raise ValueError(f"candidate '{candidate.name}'.from: goes in a circle ({circle})")
                seen.append(source)

    def source_of(self, task: TaskSpec, candidate: CandidateSpec) -> CandidateSpec | None:
        """Return the candidate that another one is built on, if it is."""
        return next((c for c in self.candidates_of(task) if c.name == candidate.source), None)

    def candidates_of(self, task: TaskSpec) -> tuple[CandidateSpec, ...]:
        """List the candidates that a task compares, in the file's order."""
        return tuple(c for c in self.candidates if c.task in (None, task.name))

    def seeds_of(self, task: TaskSpec) -> tuple[int, ...]:
        """List the seeds of a task's runs."""
        return self.seeds[: task.seeds]

    def recipe_of(self, task: TaskSpec) -> Recipe:
        """Return the recipe that a task holds constant."""
        return self.recipe.overlaid(task.recipe, f"task '{task.name}'") if task.recipe else self.recipe

    def recipe_for(self, task: TaskSpec, candidate: CandidateSpec) -> Recipe:
        """Return the recipe under which a candidate is trained on a task; a search's length is its budget."""
        recipe = self.recipe_of(task)
        where = f"candidate '{candidate.name}'"
        own = dict(candidate.recipe)
        if candidate.search is not None and candidate.search.budget is not None:
            budget = candidate.search.budget
            own |= {"time": str(budget)} if budget.unit == "seconds" else {"epochs": budget.amount}
        return recipe.overlaid(own, where) if own else recipe

    def as_dict(self) -> dict[str, Any]:
        """Write the study as plain values, under the keys of the file."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)

    def resolved(self) -> dict[str, Any]:
        """Write the study as `as_dict` does, with every default filled in; overlays stay as given.

        Two files that differ only in a default that one of them writes out give equal values.
        """
        values = self.model_dump(mode="json", by_alias=True)
        if self.recipe.length == Recipe().length:  # a silent recipe trains one epoch
            values["recipe"]["epochs"] = self.recipe.length.amount
        return values


def _refuse_twins(kind: str, names: list[str]) -> None:
    """Refuse two names that would share a folder."""
    seen: dict[str, str] = {}
    for name in names:
        folder = slug(name)
        if folder in seen:
            both = f"'{seen[folder]}' and '{name}'"
            raise ValueError(f"{kind}: the names {both} are too alike, both become the folder '{folder}'")
        seen[folder] = name
