"""A study of one search on one dataset, and what is decided for those who do not say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bakeoff.data.survey import Survey
from bakeoff.study.defaults import WRITTEN
from bakeoff.study.single import SCRATCH_SIDE, Decision, short_name

METHOD_NAMES = {"tpe": "search", "random": "random search"}


@dataclass(frozen=True, kw_only=True)
class SearchWish:
    """What somebody asked for in one line."""

    data: str
    budget: str | None
    trials: int | None = None
    method: str = "tpe"
    classes: int | None = None
    seeds: int = 1
    image_size: int | None = None  # that images are stored in and networks take, pixels
    space: Mapping[str, Any] = field(default_factory=dict)
    search: Mapping[str, Any] = field(default_factory=dict)  # its other keys: filters, share


def decide_search(wish: SearchWish, found: Survey) -> Decision:
    """Lay out the study of a search.

    Args:
        wish: What was said.
        found: The images.

    Returns:
        The study as plain values, and a line for each thing that was decided.
    """
    size = wish.image_size or max(8, min(found.side or SCRATCH_SIDE, SCRATCH_SIDE))
    space = dict(wish.space)
    said = [f"Input: {size} pixels; the images' shorter sides are about {found.side}."]
    if wish.data in WRITTEN and "flip" not in space:
        space["flip"] = "none"
        said.append("Images are not mirrored: a mirrored letter, digit or traffic sign is another one.")
    search: dict[str, Any] = {"budget": wish.budget} if wish.budget is not None else {}
    search |= {"trials": wish.trials} if wish.trials is not None else {}
    search |= {"method": wish.method} if wish.method != "tpe" else {}
    search |= dict(wish.search)
    search |= {"space": space} if space else {}
    task: dict[str, Any] = {"name": short_name(wish.data), "data": wish.data, "image_size": size}
    task |= {"classes": wish.classes} if wish.classes is not None else {}
    recipe: dict[str, Any] = {"test_views": "one" if space.get("flip") == "none" else "mirror"}
    if wish.budget is None:
        recipe["epochs"] = 30
        said.append("Final training: 30 epochs, as no budget limits it.")
    values: dict[str, Any] = {
        "name": search_name(wish), "title": f"A network for {short_name(wish.data)}",
        "seeds": list(range(wish.seeds)), "recipe": recipe, "task": [task],
        "candidate": [{"name": METHOD_NAMES.get(wish.method, wish.method), "search": search}],
    }  # fmt: skip
    return Decision(values, tuple(said))


def search_name(wish: SearchWish) -> str:
    """Name the study of a search: its data, and how many classes of them."""
    parts = ["search", short_name(wish.data), *([str(wish.classes)] if wish.classes is not None else [])]
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", "-".join(parts)).strip("-.") or "search"
