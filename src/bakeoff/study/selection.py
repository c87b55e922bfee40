"""Which part of a study one command asks for; the study itself stays whole."""

from __future__ import annotations

from dataclasses import dataclass

from bakeoff.errors import ConfigError, UnknownNameError, nearest
from bakeoff.spec import CandidateSpec, StudySpec, TaskSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Names as the user gave them; empty means all."""

    tasks: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()
    seeds: int | None = None  # the first so many of the study's
    seed: int | None = None  # this one

    def check(self, spec: StudySpec) -> None:
        """Refuse what the study does not have.

        Args:
            spec: The study that the names belong to.

        Raises:
            ConfigError: A name or a seed is not the study's.
        """
        _known("--task", self.tasks, [task.name for task in spec.tasks])
        _known("--only", self.candidates, [candidate.name for candidate in spec.candidates])
        if self.seeds is not None and self.seed is not None:
            raise ConfigError("--seeds and --seed: got both, expected at most one of them")
        if self.seeds is not None and not 1 <= self.seeds <= len(spec.seeds):
            raise ConfigError(
                f"--seeds: got {self.seeds}, expected a number from 1 to {len(spec.seeds)}, "
                "as many as the study has"
            )
        if self.seed is not None and self.seed not in spec.seeds:
            listed = ", ".join(map(str, spec.seeds))
            raise ConfigError(f"--seed: got {self.seed}, expected one of the study's seeds: {listed}")
        asked = [task for task in spec.tasks if not self.tasks or task.name in self.tasks]
        if not any(self.candidates_of(spec, task) for task in asked):
            known = sorted({one.name for task in asked for one in spec.candidates_of(task)})
            raise ConfigError(
                f"--task and --only: got {', '.join(self.candidates)} in {', '.join(self.tasks)}, "
                f"expected candidates of these tasks: {', '.join(known)}"
            )
        if self.seed is not None and not self.tasks_of(spec):
            theirs = sorted({seed for task in asked for seed in spec.seeds_of(task)})
            raise ConfigError(
                f"--seed: got {self.seed}, expected one of these tasks' seeds: {', '.join(map(str, theirs))}"
            )

    def tasks_of(self, spec: StudySpec) -> list[TaskSpec]:
        """List the tasks that are asked for and have a candidate and a seed that are."""
        return [
            task
            for task in spec.tasks
            if (not self.tasks or task.name in self.tasks)
            and self.candidates_of(spec, task)
            and self.seeds_of(spec, task)
        ]

    def candidates_of(self, spec: StudySpec, task: TaskSpec) -> list[CandidateSpec]:
        """List the candidates of a task that are asked for."""
        return [c for c in spec.candidates_of(task) if not self.candidates or c.name in self.candidates]

    def seeds_of(self, spec: StudySpec, task: TaskSpec) -> tuple[int, ...]:
        """List the seeds of a task that are asked for."""
        seeds = spec.seeds_of(task)
        if self.seed is not None:
            return (self.seed,) if self.seed in seeds else ()
        return seeds[: self.seeds]


def _known(flag: str, names: tuple[str, ...], known: list[str]) -> None:
    for name in names:
        if name not in known:
            raise UnknownNameError(f"{flag}: got '{name}'{nearest(name, known)}")
