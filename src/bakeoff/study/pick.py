"""The study `pick`: which classifier for these images, within this time?

Three approaches under equal seconds of training: a linear probe and a fine-tuning of a
pretrained network, and a small network from scratch. Sizes follow from the images, the time
and the machine's measured speed.
"""

from __future__ import annotations

from typing import Any

from bakeoff.data.survey import Survey
from bakeoff.models.pretrained import backbone
from bakeoff.spec.candidate import PRETRAINED
from bakeoff.study.defaults import SMALL, TUNING, batch_size, common_recipe, fresh_optimizer
from bakeoff.study.single import (
    SCRATCH_SIDE,
    Decision,
    input_sizes,
    largest_affordable,
    seconds_per_image,
    short_name,
)
from bakeoff.training.cost import BACKWARD
from bakeoff.training.machine import Machine
from bakeoff.units import format_seconds

BACKBONE = "tf_efficientnet_lite0"  # its weights come as a package, so that no hub is needed
CANDIDATES = 3
FEWEST_EPOCHS = 3  # of the fine-tuning; a larger input that leaves fewer is not worth its cost
EVALUATION = 0.25  # of the budget, for what is not training: evaluation in full precision, reading


def run_time(budget: float, seeds: int) -> str:
    """Say how long each run may train: an equal share of what is kept for training."""
    return f"{max(1, round(budget * (1 - EVALUATION) / (CANDIDATES * seeds)))}s"


def decide_pick(data: str, budget: float, found: Survey, machine: Machine, *, seeds: int = 1) -> Decision:
    """Lay out the study.

    Args:
        data: A path or a source's name.
        budget: Seconds for all of it.
        found: The images.
        machine: On which speed is measured.
        seeds: Runs of each candidate.

    Returns:
        The study as plain values, and a line for each thing that was decided.

    Raises:
        BakeoffError: The weights of the pretrained network are not at hand.
    """
    known = backbone(f"{PRETRAINED}{BACKBONE}")
    seconds = budget * (1 - EVALUATION) / (CANDIDATES * seeds)
    per_image = seconds_per_image(
        known, known.input_size, machine, side=min(known.input_size, max(found.side, 8))
    )
    sizes = input_sizes(known)
    probe = largest_affordable(sizes, known, found.images * per_image, 0.8 * seconds)
    passes = FEWEST_EPOCHS * BACKWARD + 1  # its head starts as a probe's
    tuned = largest_affordable(sizes, known, passes * found.images * per_image, 0.8 * seconds)
    image_size = min(max(probe, tuned), max(found.side, 8))
    fresh = min(image_size, SCRATCH_SIDE)
    batch = batch_size(found)
    optimizer = fresh_optimizer(SMALL, classes=found.classes, input_size=fresh, batch_size=batch)
    values: dict[str, Any] = {
        "name": "pick",
        "title": f"Which classifier for {short_name(data)}?",
        "description": "A probe, a fine-tuning and a small network from scratch, under equal seconds.",
        "seeds": list(range(seeds)),
        "recipe": {
            "time": run_time(budget, seeds),
            "batch_size": batch,
            "schedule": "one-cycle",
        },
        "task": [
            {"name": short_name(data), "data": data, "image_size": image_size, "control": "budget"},
        ],
        "candidate": [
            {"name": "probe", "from": f"{PRETRAINED}{BACKBONE}", "probe": True, "input_size": probe},
            {"name": "fine-tuning", "from": f"{PRETRAINED}{BACKBONE}", "input_size": tuned,
             "head_start": "probe", "source_norms": "kept",
             "recipe": common_recipe(data, image_size, TUNING)},
            {"name": "from scratch", "model": SMALL, "input_size": fresh,
             "recipe": {**common_recipe(data, image_size, optimizer), "norm_statistics": "recalibrated"}},
        ],
    }  # fmt: skip
    said = (
        f"{format_seconds(seconds)} of training for each of {CANDIDATES * seeds} runs, a quarter of the "
        "budget kept for evaluation.",
        f"Input: {probe} pixels for the probe, {tuned} for the fine-tuning, {fresh} from scratch; the "
        f"images' shorter sides are about {found.side}.",
    )
    return Decision(values, said)
