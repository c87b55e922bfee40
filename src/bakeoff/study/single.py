"""A study of one candidate on one dataset, laid out for those who say no more than that.

What is chosen (`defaults`) is told in a line, and all of it can be given instead.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch

from bakeoff.data.preprocess import Preprocess
from bakeoff.data.survey import Survey
from bakeoff.errors import ConfigError
from bakeoff.models.architecture import OnBackbone, build_network
from bakeoff.models.pretrained import Backbone, backbone, build_backbone
from bakeoff.models.transfer import Stacked
from bakeoff.spec import Recipe, study_from_dict
from bakeoff.spec.candidate import PRETRAINED
from bakeoff.spec.write import to_toml
from bakeoff.study.defaults import (
    ADAMW,
    SMALL,
    TUNING,
    Values,
    batch_size,
    common_recipe,
    fresh_epochs,
    fresh_optimizer,
    tuning_epochs,
)
from bakeoff.training.classifier import Classifier, placed
from bakeoff.training.cost import BACKWARD
from bakeoff.training.machine import Machine, resolve_precision
from bakeoff.units import format_seconds

PASS_SECONDS = 240.0  # that the frozen part of a probe may take for all images
TUNING_SECONDS = 600.0  # that a fine-tuning may take
SMALLEST_INPUT = 64  # pixels, of a network that somebody else has trained on larger ones
SCRATCH_SIDE = 64  # pixels, at most, for a network that starts fresh
_OF_STEPS = ("epochs", "steps", "time", "batch_size", "optimizer", "schedule", "warmup", "clip_norm", "ema",
             "early_stop", "sampler", "sizes", "compile")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What somebody asked for in one line."""

    model: str  # ours, "my_net.py:build", or "timm:NAME"
    data: str
    probe: bool = False
    classes: int | None = None
    seeds: int = 1
    image_size: int | None = None  # that images are stored in, pixels
    input_size: int | None = None  # that the network takes, pixels
    candidate: Mapping[str, Any] = field(default_factory=dict)  # head, train, weights, views ...
    recipe: Mapping[str, Any] = field(default_factory=dict)  # keys of the recipe
    asker: str = "bakeoff train"  # who asks, for messages


@dataclass(frozen=True)
class Decision:
    """A study's plain values, and what was decided in it."""

    values: Values
    said: tuple[str, ...]
    suggested: Values | None = None  # what may be added to a study whose candidate needs no recipe


def decide(wish: Wish, found: Survey, machine: Machine) -> Decision:
    """Turn a wish into a study.

    Args:
        wish: What was said.
        found: The images.
        machine: On which a pretrained network's speed is measured, where the size depends on it.

    Returns:
        The study as plain values, and a line for each thing that was decided.

    Raises:
        BakeoffError: There is no such network, a key or a value is refused, or wishes contradict each other.
    """
    idle = [key for key in _OF_STEPS if key in wish.recipe] if wish.probe else []
    if idle:
        raise ConfigError(
            f"{idle[0]}: got {wish.recipe[idle[0]]!r} beside a probe, which takes no steps; "
            "leave one of them out"
        )
    known = backbone(wish.model) if wish.model.startswith(PRETRAINED) else None
    if known is not None and "normalize" in wish.recipe:
        raise ConfigError(
            f"normalize: got {wish.recipe['normalize']!r} beside {wish.model}, "
            "whose own preprocessing is used; leave it out"
        )
    _check_keys(wish)
    views = wish.candidate.get("views")
    if wish.probe and views is not None and "augmentation" not in wish.recipe:
        raise ConfigError(
            f"views: got {views}, which would all be the same; expected an augmentation beside them"
        )
    input_size, why = _input_size(wish, found, known, machine)
    # Smaller images are enlarged on their device, larger ones drawn small on the way to the cache.
    image_size = wish.image_size if wish.image_size is not None else min(input_size, max(found.side, 8))
    candidate: Values = {"name": _candidate_name(wish)}
    recipe = default_recipe(wish, found, image_size, tuned=known is not None)
    if known is not None:
        candidate["from"] = wish.model
        if not wish.probe:
            candidate |= _tuning(wish, known)
    else:
        candidate["model"] = wish.model
    if input_size != image_size or known is not None:
        candidate["input_size"] = input_size
    if wish.probe:
        candidate["probe"] = True
    task: Values = {"name": short_name(wish.data), "data": wish.data, "image_size": image_size}
    if wish.classes is not None:
        task["classes"] = wish.classes
    settings = _over(recipe, wish.recipe)
    whole = candidate | dict(wish.candidate)
    values = {
        "name": study_name(wish),
        "title": f"{wish.model} on {short_name(wish.data)}",
        "seeds": list(range(wish.seeds)),
        "recipe": settings,
        "task": [task],
        "candidate": [whole],
    }
    return Decision(
        values, (why, *_tuning_line(whole), _recipe_line(wish, settings)), _beside_a_probe(wish, found, task)
    )


def _beside_a_probe(wish: Wish, found: Survey, task: Values) -> Values | None:
    """Suggest a trained candidate beside a probe, in whose study nothing says how to train."""
    if not wish.probe:
        return None
    size = min(task["image_size"], SCRATCH_SIDE)
    trained = replace(wish, model=SMALL, probe=False, candidate={}, recipe={}, input_size=size)
    recipe = default_recipe(trained, found, task["image_size"], tuned=False)
    candidate = {"name": "from scratch", "model": SMALL, "input_size": size, "recipe": recipe}
    return {"candidate": [candidate]}


def default_recipe(wish: Wish, found: Survey, image_size: int, *, tuned: bool) -> Values:
    """Choose a recipe by the number of images, and by whether the network was trained before.

    Args:
        wish: What was said; a length that it gives takes the place of the chosen one.
        found: The images.
        image_size: Pixels that they are stored in.
        tuned: Whether the network was trained before.

    Returns:
        Keys of a recipe.
    """
    if wish.probe:
        return {}
    still = tuned and not _moves(wish) and wish.candidate.get("views") is None
    batch = batch_size(found)
    if tuned:
        optimizer = TUNING if _moves(wish) else ADAMW
    elif "optimizer" in wish.recipe:  # a rate without a name is one of AdamW's
        optimizer = ADAMW
    else:
        optimizer = fresh_optimizer(
            wish.model, classes=wish.classes or found.classes, input_size=wish.input_size or image_size,
            batch_size=int(wish.recipe.get("batch_size") or batch),
        )  # fmt: skip
    recipe: Values = {
        "epochs": tuning_epochs(found) if tuned else fresh_epochs(found),
        "batch_size": batch,
        "schedule": "one-cycle",
        **common_recipe(wish.data, image_size, optimizer),
        "norm_statistics": "moving" if tuned else "recalibrated",
    }
    if still:  # each image the same in every epoch: what the frozen part makes of it is computed once
        del recipe["augmentation"]
    if {"epochs", "steps", "time"} & set(wish.recipe):
        del recipe["epochs"]
    return recipe


def _tuning(wish: Wish, known: Backbone) -> Values:
    """Choose how what is taken over starts and moves: gently (docs/findings.md, 2026-11-24).

    The head starts as a probe's, and batch normalization computes with the statistics that the
    network came with.
    """
    values: Values = {}
    if _moves(wish):
        with torch.device("meta"):
            train, last = wish.candidate.get("train", "all"), wish.candidate.get("train_last")
            moving: Any = train if isinstance(train, str) else tuple(train)
            built = OnBackbone(backbone=known, weights=None, head=(), train=moving, train_last=last)
            network = build_network(
                built, classes=2, image_size=known.input_size, base_dir=Path(), trained=False
            )
        cast("Stacked", network).keep_statistics()
        if cast("Stacked", network).kept_norms:
            values["source_norms"] = "kept"
    if not wish.candidate.get("head"):
        values["head_start"] = "probe"
    elif _moves(wish) and float(wish.recipe.get("epochs") or 2) > 1:
        values["head_epochs"] = 1
    return values


def _check_keys(wish: Wish) -> None:
    """Refuse keys of a recipe or a candidate that no study would take, before any of them is read."""
    stands = "from" if wish.model.startswith(PRETRAINED) else "model"
    said = _given(input_size=wish.input_size, probe=wish.probe or None)
    study_from_dict(
        {
            "name": "wish", "recipe": dict(wish.recipe),
            "task": [{"name": "wish", "data": wish.data, **_given(image_size=wish.image_size)}],
            "candidate": [
                {"name": "wish", stands: wish.model, **said, **wish.candidate}
            ],
        },
        wish.asker,
    )  # fmt: skip


def _given(**values: int | None) -> Values:
    """Leave out what was not said."""
    return {name: value for name, value in values.items() if value is not None}


def _tuning_line(candidate: Values) -> tuple[str, ...]:
    """Tell how a network that is taken over starts and moves; nothing of a probe or a fresh one."""
    keys = ("head_start", "source_norms", "head_epochs", "unfreeze_epochs", "source_lr", "layer_decay")
    chosen = {key: candidate[key] for key in keys if key in candidate}
    return (f"Fine-tuning: {', '.join(to_toml(chosen).splitlines())}.",) if chosen else ()


def _moves(wish: Wish) -> bool:
    """Tell whether anything of a network that is taken over is to move."""
    return wish.candidate.get("train") != "head" and wish.candidate.get("train_last") != 0


def _over(chosen: Values, given: Mapping[str, Any]) -> Values:
    """Lay what was given over what was chosen; a table of another name starts from its own defaults."""
    values = dict(chosen)
    for key, value in given.items():
        old = values.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            same = value.get("name", old.get("name")) == old.get("name")
            value = {**old, **value} if same else value
        values[key] = value
    return values


def study_name(wish: Wish) -> str:
    """Name the study of a wish: its network, its data, and whether it is a probe."""
    parts = [
        short_name(wish.model.removeprefix(PRETRAINED)),
        short_name(wish.data),
        *(["probe"] if wish.probe else []),
    ]
    if wish.classes is not None:
        parts.insert(2, str(wish.classes))
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", "-".join(parts)).strip("-.") or "train"


def _input_size(wish: Wish, found: Survey, known: Backbone | None, machine: Machine) -> tuple[int, str]:
    """Choose how large the network sees the images; say why."""
    if wish.input_size is not None:
        return wish.input_size, f"Input: {wish.input_size} pixels, as asked for or as it was begun."
    if known is None:
        size = wish.image_size or max(8, min(found.side or SCRATCH_SIDE, SCRATCH_SIDE))
        return size, f"Input: {size} pixels; the images' shorter sides are about {found.side}."
    largest = known.input_size
    per_image = seconds_per_image(known, largest, machine, side=min(largest, max(found.side, 8)))
    often, limit, doing = 1.2, PASS_SECONDS, "for one frozen pass over all images"
    if not wish.probe:
        epochs, limit = _tuning_length(wish, found)
        often, doing = BACKWARD * epochs + 1, f"for {epochs:.3g} epochs"
    cost = often * found.images * per_image  # at the largest size
    size = largest_affordable(input_sizes(known), known, cost, limit)
    here = format_seconds(cost * (size / largest) ** 2)
    return size, (
        f"Input: {size} pixels, about {here} {doing}; the network was trained on {largest} (about "
        f"{format_seconds(cost)}), the images' shorter sides are about {found.side}."
    )


def _tuning_length(wish: Wish, found: Survey) -> tuple[float, float]:
    """Return how often a fine-tuning should see the images, and the seconds that it may take."""
    length = Recipe().overlaid(wish.recipe, "bakeoff train").length
    if length.unit == "seconds":
        return tuning_epochs(found), length.amount
    if "steps" in wish.recipe:
        batch = int(wish.recipe.get("batch_size") or batch_size(found))
        return length.amount * batch / max(found.images, 1), TUNING_SECONDS
    return float(wish.recipe.get("epochs") or tuning_epochs(found)), TUNING_SECONDS


def input_sizes(known: Backbone) -> list[int]:
    """List the sizes at which a pretrained network may see images, up to the one it was trained on."""
    largest = known.input_size
    if known.one_size:
        return [largest]
    return [*range(SMALLEST_INPUT, largest, 16), largest] if largest > SMALLEST_INPUT else [largest]


def largest_affordable(sizes: list[int], known: Backbone, cost: float, limit: float) -> int:
    """Choose the largest size within a limit, or the smallest of all.

    Args:
        sizes: Rising, pixels.
        known: The network.
        cost: Seconds at the size that it was trained on; they fall with the square of the size.
        limit: Seconds.

    Returns:
        Pixels.
    """
    return max((s for s in sizes if cost * (s / known.input_size) ** 2 <= limit), default=sizes[0])


def seconds_per_image(known: Backbone, size: int, machine: Machine, *, side: int, images: int = 32) -> float:
    """Measure how long a pretrained network takes for an image, on this machine as it is now.

    Args:
        known: The network; its weights do not matter.
        size: Pixels that it sees.
        machine: Where.
        side: Pixels of the images as they are stored.
        images: Of a batch.

    Returns:
        Seconds, the better of two batches.
    """
    device = machine.torch_device
    precision, _ = resolve_precision("auto", device)
    network = build_backbone(known, None)[0]
    model = (
        Classifier(Preprocess(known.mean, known.std, size, known.interpolation), network).eval().to(device)
    )
    model = placed(model, device)
    batch_BHWC = torch.zeros(images, side, side, 3, dtype=torch.uint8, device=device)
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            float(model(batch_BHWC).float().sum())  # waits for a GPU
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:]) / images


def _recipe_line(wish: Wish, recipe: Mapping[str, Any]) -> str:
    if wish.probe:
        return "Training: a linear probe, its penalty chosen on validation."
    return f"Recipe: {', '.join(to_toml(recipe).splitlines())}."


def _candidate_name(wish: Wish) -> str:
    return f"{short_name(wish.model.removeprefix(PRETRAINED))}{' probe' if wish.probe else ''}"


def short_name(data: str) -> str:
    """Name data by the last part of its path."""
    return data.rstrip("/\\").replace("\\", "/").rpartition("/")[2] or data
