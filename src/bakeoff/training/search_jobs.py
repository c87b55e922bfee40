"""From a point of a search's space to the training that it means."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch

from bakeoff.models.architecture import OnBackbone, architecture_digest, build_network, title
from bakeoff.models.macro import weigh
from bakeoff.models.pretrained import backbone
from bakeoff.models.summary import Summary, summarise
from bakeoff.searching.points import Point, network_of, recipe_of, start_point
from bakeoff.searching.rungs import Rung
from bakeoff.spec import CandidateSpec, Recipe, digest
from bakeoff.spec.macro import Macro
from bakeoff.training.job import Job

TUNED = 0.1  # of the rate, for weights that were trained before
THIRD = 3  # trials that cost as much as a final training, where trials alone are counted


def on_network(job: Job, point: Point) -> Job:
    """Ask for a point's network: one from scratch, or a pretrained one, which is tuned gently.

    Args:
        job: The search's.
        point: Of its space.

    Returns:
        The search's job with that network in its place.
    """
    network = network_of(point)
    if isinstance(network, Macro):
        return replace(job, architecture=network)
    known = backbone(network)
    candidate = CandidateSpec(
        name=job.candidate.name, source=network, input_size=job.input_size, source_lr=TUNED,
        source_norms="kept", head_start="probe",
    )  # fmt: skip
    built = OnBackbone(backbone=known, weights=None, head=(), train="all", train_last=None)
    return replace(job, architecture=built, candidate=candidate, mean=known.mean, std=known.std)


def recipe_at(job: Job, point: Point) -> Recipe:
    """Lay a point over the recipe of a search's task.

    Args:
        job: The search's.
        point: Of its space.

    Returns:
        The recipe, of the task's length.
    """
    values = recipe_of(point, job.task.image_size)
    return job.recipe.overlaid({**values, "early_stop": None, "sizes": ()}, "search")


def trial_job(job: Job, point: Point, rung: Rung, name: str) -> Job:
    """Ask for a network's training at a rung.

    Args:
        job: The search's.
        point: Of its space.
        rung: How long and at which size.
        name: What the training is to the search; part of its identity.

    Returns:
        The training's job.
    """
    recipe = recipe_at(job, point).overlaid({"epochs": rung.epochs}, "search")
    found = on_network(job, point)
    return replace(
        found, recipe=recipe, timed=False,
        model_digest=architecture_digest(found.architecture, found.base_dir),
        identity=digest([job.identity, name, point, rung.pixels, rung.epochs]),
        candidate=found.candidate.model_copy(update={"input_size": rung.pixels}),
    )  # fmt: skip


def count_network(job: Job, point: Point, pixels: Iterable[int] = ()) -> tuple[Summary, str]:
    """Count a point's network without computing anything, and name it.

    Args:
        job: The search's; its own size is what is counted at.
        point: Of its space.
        pixels: Other sizes that the network must take.

    Returns:
        Its layers, and the network in a few words.

    Raises:
        Exception: It cannot be built for one of the sizes; of any kind.
    """
    network, classes = on_network(job, point).architecture, len(job.data.class_ids)
    if isinstance(network, Macro):
        return weigh(network, classes=classes, pixels=job.input_size), network.words
    for size in sorted({*pixels, job.input_size}):  # not every pretrained one takes every size
        with torch.device("meta"):
            built = build_network(
                network, classes=classes, image_size=size, base_dir=job.base_dir, trained=False
            )
    return summarise(built, job.input_size), title(network)  # the full size came last


def stand_in(job: Job) -> Job:
    """Ask for the training that a search without a clock costs about as much as, for an estimate.

    Args:
        job: A search whose budget is epochs, or that counts trials.

    Returns:
        The first network's training, for all the epochs of the search.
    """
    spec, length = job.search_spec, job.recipe.length
    point = start_point(spec.bounds, job.input_size)
    recipe = job.recipe.overlaid({**recipe_of(point, job.task.image_size), "early_stop": None}, "search")
    if spec.budget is None and length.unit != "seconds":  # beside the final training a third of it for each
        amount = length.amount * (1 + (spec.trials or 1) / THIRD)
        recipe = recipe.overlaid({length.unit: int(amount) if length.unit == "steps" else amount}, "search")
    network = network_of(point)
    return replace(job, architecture=network, recipe=recipe)
