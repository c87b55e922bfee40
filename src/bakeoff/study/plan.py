"""From a study and its prepared images to jobs, each with its identity and its control."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from bakeoff.data.prepare import TaskData
from bakeoff.data.preprocess import channel_statistics
from bakeoff.errors import ConfigError
from bakeoff.models.catalog import check_model, source_digest
from bakeoff.records import SCHEMA
from bakeoff.spec import CandidateSpec, Recipe, StudySpec, TaskSpec, digest
from bakeoff.study.selection import Selection
from bakeoff.training.job import Job
from bakeoff.training.machine import Asked, Machine, Precision, resolve_precision


@dataclass(frozen=True, slots=True)
class Resolved:
    """What the study decided once for all its runs: machine, and precision by what a recipe asks."""

    machine: Machine
    precision: Mapping[str, tuple[Precision, str]]  # "auto", "fp32", "bf16" -> used, reason


def resolve(machine: Machine) -> Resolved:
    """Decide what each precision that a recipe can ask for means on a machine."""
    return Resolved(
        machine, {name: resolve_precision(name, machine.torch_device) for name in get_args(Asked)}
    )


def check_spec(spec: StudySpec, base_dir: Path) -> None:
    """Refuse what can be seen to fail before any image is read.

    Args:
        spec: The whole study.
        base_dir: Where relative paths in it start.

    Raises:
        ConfigError: A model does not exist, or a budget is not given in seconds.
    """
    for task in spec.tasks:
        for candidate in spec.candidates_of(task):
            check_model(candidate.model, base_dir)
            recipe = spec.recipe_for(task, candidate)
            if task.control == "budget" and recipe.time is None:
                raise ConfigError(
                    f"task '{task.name}': control = \"budget\" holds seconds equal, "
                    f"expected recipe.time for candidate '{candidate.name}'"
                )


def plan_task(
    spec: StudySpec,
    task: TaskSpec,
    data: TaskData,
    *,
    selection: Selection,
    resolved: Resolved,
    base_dir: Path,
) -> list[Job]:
    """List the jobs of a task that are asked for: seeds within candidates, in the study's order."""
    statistics = channel_statistics(data.images_NHWC, data.train)
    jobs = []
    for candidate in selection.candidates_of(spec, task):
        recipe = spec.recipe_for(task, candidate)
        model_digest = source_digest(candidate.model, base_dir)
        precision, reason = resolved.precision[recipe.precision]
        mean, std = statistics if recipe.normalize == "standardize" else ((0.0,) * 3, (255.0,) * 3)
        jobs += [
            Job(
                identity=_identity(task, candidate, recipe, precision, data, seed, model_digest),
                model_digest=model_digest,
                study=spec.name,
                task=task,
                candidate=candidate,
                seed=seed,
                recipe=recipe,
                precision=precision,
                precision_reason=reason,
                control_digest=_control(task, recipe, precision, data),
                differences=_differences(spec.recipe_of(task), recipe),
                data=data,
                mean=mean,
                std=std,
                machine=resolved.machine,
                base_dir=base_dir,
            )
            for seed in selection.seeds_of(spec)
        ]
    return jobs


def settings(recipe: Recipe) -> dict[str, Any]:
    """Write a recipe for a digest: without defaults, so that a key added later changes no identity."""
    values = recipe.model_dump(mode="json", exclude_defaults=True)
    if values.get("epochs") == 1:
        del values["epochs"]  # what a recipe without any length means
    return values


def _identity(
    task: TaskSpec,
    candidate: CandidateSpec,
    recipe: Recipe,
    precision: str,
    data: TaskData,
    seed: int,
    model_digest: str,
) -> str:
    """Digest everything that decides the weights; names, titles and published figures do not."""
    return digest({
        "schema": SCHEMA,
        "data": data.fingerprint,
        "split": data.split_digest,
        "model": model_digest,
        "input_size": candidate.input_size or task.image_size,
        "recipe": settings(recipe),
        "precision": precision,
        "seed": seed,
    })  # fmt: skip


def _control(task: TaskSpec, recipe: Recipe, precision: str, data: TaskData) -> str:
    """Digest what a task holds equal; candidates are ranked among equal digests."""
    images = {"data": data.fingerprint, "split": data.split_digest, "image_size": task.image_size}
    if task.control == "budget":
        return digest({**images, "seconds": recipe.length.amount})
    return digest({**images, "recipe": settings(recipe), "precision": precision})


def _differences(common: Recipe, own: Recipe) -> dict[str, list[Any]]:
    """Name the keys in which a candidate's recipe is not its task's, with both values."""
    left, right = (_flat(recipe.model_dump(mode="json")) for recipe in (common, own))
    return {
        key: [left.get(key), right.get(key)]
        for key in sorted({*left, *right})
        if left.get(key) != right.get(key)
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
