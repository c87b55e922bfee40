"""What makes two runs the same run, and what makes two candidates comparable: digests of plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bakeoff.data.preprocess import RESIZING
from bakeoff.models.architecture import OnSource
from bakeoff.records import SCHEMA
from bakeoff.spec import CandidateSpec, Recipe, TaskSpec, digest
from bakeoff.spec.base import flat
from bakeoff.training.job import Job
from bakeoff.training.optimizers import OPTIMIZERS

RATES = ("source_lr", "layer_decay", "head_epochs", "unfreeze_epochs")
MOVES = (*RATES, "probe", "views", "head_start", "source_norms")  # how weights move, where it is said


def settings(recipe: Recipe) -> dict[str, Any]:
    """Write a recipe for a digest: without defaults, so that a key added later changes no identity.

    An optimizer that came to move weights otherwise is named by its version, too.
    """
    values = recipe.model_dump(mode="json", exclude_defaults=True)
    if values.get("epochs") == 1:
        del values["epochs"]  # what a recipe without any length means
    version = OPTIMIZERS[recipe.optimizer.name].version
    return values if version == 1 else {**values, "optimizer_version": version}


def identity_of_job(job: Job) -> str:
    """Digest everything that decides the weights; names, titles and published figures do not."""
    return identity_of(
        job.task, job.candidate, job.recipe, data=job.data.fingerprint, split=job.data.split_digest,
        model=job.model_digest, input_size=job.input_size, precision=job.used_precision, seed=job.seed,
        source=job.architecture.identity if isinstance(job.architecture, OnSource) else None,
    )  # fmt: skip


def identity_of(
    task: TaskSpec,
    candidate: CandidateSpec,
    recipe: Recipe,
    *,
    data: str,
    split: str,
    model: str,
    input_size: int,
    precision: str,
    seed: int,
    source: str | None,
) -> str:
    """Digest what decides a run's weights.

    Args:
        task: The run's.
        candidate: The run's.
        recipe: Of the candidate on the task.
        data: Fingerprint of the task's images.
        split: Digest of their parts.
        model: Digest of what defines the network.
        input_size: Pixels that it takes.
        precision: Of the training.
        seed: The run's.
        source: Identity of the run that its first weights come from; None for fresh or published ones.

    Returns:
        The identity, by which the run is found again.
    """
    return digest({
        "schema": SCHEMA,
        "data": data,
        "split": split,
        "model": model,
        "input_size": input_size,
        **({"resizing": RESIZING} if input_size != task.image_size else {}),
        "recipe": settings(recipe) if candidate.external is None else {"time": str(recipe.time)},
        "precision": precision,
        "seed": seed,
        **({"source": source} if source is not None else {}),
        **{key: getattr(candidate, key) for key in MOVES if candidate.is_set(key)},
    })  # fmt: skip


def control_of(
    task: TaskSpec, recipe: Recipe, precision: str, *, data: str, split: str, terms: Mapping[str, Any]
) -> str:
    """Digest what a task holds equal; candidates are ranked among equal digests.

    Args:
        task: Which task.
        recipe: Of a candidate on it.
        precision: Of the training.
        data: Fingerprint of the task's images.
        split: Digest of their parts.
        terms: What the candidate does beside its recipe that the task does not hold equal.

    Returns:
        The digest.
    """
    images = {"data": data, "split": split, "image_size": task.image_size, **terms}
    if task.control == "budget":
        return digest({**images, "seconds": recipe.length.amount})
    return digest({**images, "recipe": settings(recipe), "precision": precision})


def recipe_differences(common: Recipe, own: Recipe) -> dict[str, list[Any]]:
    """Name the keys in which a candidate's recipe is not its task's, with both values."""
    left, right = (flat(recipe.model_dump(mode="json")) for recipe in (common, own))
    return {
        key: [left.get(key), right.get(key)]
        for key in sorted({*left, *right})
        if left.get(key) != right.get(key)
    }
