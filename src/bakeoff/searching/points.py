"""Points of a search space: a value for each setting that says something, and what they mean.

A point is plain data. It is moved by one stream of chance that is handed in, and turned into a network and
keys of a recipe here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bakeoff.spec.macro import Macro, MacroStage
from bakeoff.spec.space import NETWORK, OWN, Dimension, Space, Value

Point = dict[str, Value]

WHOLE_STEM = 40  # pixels, up to which the stem of the first trial keeps all of them
MIX_ALPHA = {"mixup": 0.2, "cutmix": 1.0}  # Zhang et al. 2018, ImageNet; Yun et al. 2019
SCHEDULE = {"schedule": "one-cycle", "warmup": 0.15}  # ends at zero, so that no trial is judged in mid-course
STEP = 0.25  # of a number's range, that a local step moves it by, at most
CHANGES = (1, 2, 3)  # settings that a local step changes


def is_active(space: Space, point: Mapping[str, Value], name: str) -> bool:
    """Tell whether a setting says something beside the others of a point."""
    if space[name].part == "network" and name != NETWORK and point.get(NETWORK, OWN) != OWN:
        return False
    needs = space[name].needs
    return needs is None or point.get(needs[0]) == needs[1]


def start_point(space: Space, pixels: int) -> Point:
    """Return the first point that is tried: a network that is known to learn well.

    Args:
        space: What is allowed.
        pixels: Of the images; small ones are not halved by the stem, and have a stage less.

    Returns:
        The table's start, or what is nearest to it in the space.
    """
    wish: Point = {name: dimension.start for name, dimension in space.items()}
    if pixels <= WHOLE_STEM:
        wish["stem"] = space["stem"].near("plain")
        wish["stages"] = space["stages"].near(3)
    return _active_only(space, wish)


def _active_only(space: Space, wish: Mapping[str, Value]) -> Point:
    point: Point = {}
    for name in space:  # what others need comes before them in the table
        if is_active(space, {**wish, **point}, name):
            point[name] = wish[name]
    return point


def draw_point(space: Space, chance: np.random.Generator) -> Point:
    """Draw every setting by itself, all values or all numbers (of rates: all ratios) alike."""
    return _active_only(space, {name: _drawn(dimension, chance) for name, dimension in space.items()})


def _drawn(dimension: Dimension, chance: np.random.Generator) -> Value:
    if dimension.values:
        return dimension.values[int(chance.integers(len(dimension.values)))]
    if dimension.step:
        count = int(dimension.high - dimension.low) // dimension.step + 1
        return int(dimension.low) + dimension.step * int(chance.integers(count))
    share = float(chance.random())
    return _at(dimension, share)


def _at(dimension: Dimension, share: float) -> float:
    """Return the number that stands at a share of the range."""
    if dimension.log:
        return float(dimension.low * (dimension.high / dimension.low) ** share)
    return dimension.low + (dimension.high - dimension.low) * share


def _share(dimension: Dimension, value: float) -> float:
    """Return where in its range a number stands."""
    if dimension.high == dimension.low:
        return 0.0
    if dimension.log:
        return float(np.log(value / dimension.low) / np.log(dimension.high / dimension.low))
    return (value - dimension.low) / (dimension.high - dimension.low)


def step_from(space: Space, point: Mapping[str, Value], chance: np.random.Generator) -> Point:
    """Change a few settings of a point a little.

    Args:
        space: What is allowed.
        point: In it.
        chance: Draws which settings, and how far.

    Returns:
        Another point; the same where nothing is free.
    """
    free = [name for name in point if not space[name].is_fixed]
    if not free:
        return dict(point)
    count = min(len(free), int(chance.choice(CHANGES)))
    moved = {name: dimension.start for name, dimension in space.items()} | dict(point)
    for index in chance.permutation(len(free))[:count]:
        name = free[index]
        moved[name] = _moved(space[name], point[name], chance)
    return _active_only(space, moved)


def _moved(dimension: Dimension, value: Value, chance: np.random.Generator) -> Value:
    if dimension.values:
        if any(isinstance(known, str) for known in dimension.values):
            others = [known for known in dimension.values if known != value]
            return others[int(chance.integers(len(others)))]
        at = dimension.values.index(value)  # in their order: the next one
        near = [dimension.values[i] for i in (at - 1, at + 1) if 0 <= i < len(dimension.values)]
        return near[int(chance.integers(len(near)))]
    if isinstance(value, str):
        return value
    if dimension.step:
        far = max(1, round(STEP * (dimension.high - dimension.low) / dimension.step))
        by = int(chance.integers(1, far + 1)) * (1 if chance.random() < 0.5 else -1) * dimension.step
        there = value + by if dimension.low <= value + by <= dimension.high else value - by
        return int(min(max(there, dimension.low), dimension.high))
    share = _share(dimension, float(value)) + STEP * float(chance.uniform(-1, 1))
    return _at(dimension, min(max(share, 0.0), 1.0))


def network_of(point: Mapping[str, Value]) -> Macro | str:
    """Return the network that a point means.

    Args:
        point: With every setting of the network.

    Returns:
        Its description; or the name of a pretrained one.
    """
    values: dict[str, Any] = dict(point)
    if values.get(NETWORK, OWN) != OWN:
        return str(values[NETWORK])
    stages = []
    for number in range(int(values["stages"])):
        width = values["width"] * values["growth"] ** number
        stages.append(
            MacroStage(
                width=max(8, 8 * round(width / 8)), depth=values["depth"], block=values["block"],
                kernel=values["kernel"], down=values["down"] if number else "none",
            )
        )  # fmt: skip
    return Macro(
        stem=values["stem"], stem_width=values["width"], stages=tuple(stages), norm=values["norm"],
        activation=values["activation"], attention=values["attention"], head=values["head"],
        dropout=round(values["dropout"], 4),
    )  # fmt: skip


def recipe_of(point: Mapping[str, Value], pixels: int) -> dict[str, Any]:
    """Return the keys of a recipe that a point means.

    Args:
        point: With every setting of the training.
        pixels: Of the images as they are stored, of which shifts are a share.

    Returns:
        Keys to lay over the task's recipe.
    """
    values: dict[str, Any] = dict(point)
    name = values["optimizer"]
    momentum = {"momentum": 0.95} if name == "muon" else {}
    mix = values["mix"]
    return {
        "optimizer": {
            "name": name, "lr": values[f"{name}_lr"], "weight_decay": values[f"{name}_decay"], **momentum,
        },
        "batch_size": values["batch_size"],
        "label_smoothing": values["label_smoothing"],
        "augmentation": {
            "crop": round(values["crop"] * pixels), "flip": values["flip"],
            "mixup": MIX_ALPHA[mix] if mix == "mixup" else 0.0,
            "cutmix": MIX_ALPHA[mix] if mix == "cutmix" else 0.0,
        },
        **SCHEDULE,
    }  # fmt: skip
