"""What a search may choose from: every setting with its bounds, in one table, and how users narrow it.

The table is the space. A study file narrows or fixes any of it: `width = [16, 32]` are bounds,
`block = ["residual", "plain"]` a shorter list, `optimizer = "muon"` fixes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from bakeoff.errors import nearest

Value = str | int | float
Part = Literal["network", "training"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One setting: named values, or numbers between two bounds."""

    part: Part
    about: str
    start: Value  # of the first trial
    values: tuple[Value, ...] = ()  # in their order, where they are counted out
    low: float = 0.0  # else the bounds
    high: float = 0.0
    step: int = 0  # of whole numbers; 0 for fractions
    log: bool = False  # whether ratios count, not differences
    needs: tuple[str, str] | None = None  # the setting and its value without which this one says nothing

    @property
    def is_fixed(self) -> bool:
        """Whether there is nothing to choose."""
        return len(self.values) == 1 or (not self.values and self.low == self.high)

    @property
    def bounds(self) -> str:
        """What is accepted, in words.

        >>> SPACE["width"].bounds, SPACE["kernel"].bounds
        ('16 to 128, by 8', '3 or 5')
        """
        if self.values:
            return " or ".join(map(str, self.values))
        return f"{self.low:g} to {self.high:g}" + (f", by {self.step}" if self.step > 1 else "")

    def holds(self, value: Value) -> bool:
        """Tell whether a value is one of them."""
        if isinstance(value, bool):
            return False
        if self.values:
            return value in self.values
        if isinstance(value, str) or not self.low <= value <= self.high:
            return False
        return not self.step or (value == int(value) and (int(value) - int(self.low)) % self.step == 0)

    def near(self, value: Value) -> Value:
        """Return the accepted value that is nearest to one that may not be."""
        if self.holds(value):
            return value
        if self.values:
            wanted = value
            if isinstance(wanted, str) or any(isinstance(known, str) for known in self.values):
                return self.values[0]
            return min(self.values, key=lambda known: abs(float(known) - float(wanted)))
        number = min(max(float(value), self.low), self.high)
        if not self.step:
            return number
        steps = round((number - self.low) / self.step)
        return int(self.low) + self.step * min(steps, int(self.high - self.low) // self.step)


def _list(part: Part, about: str, *values: Value, start: Value) -> Dimension:
    return Dimension(part=part, about=about, values=values, start=start)


def _whole(part: Part, about: str, low: int, high: int, *, start: int, step: int = 1) -> Dimension:
    return Dimension(part=part, about=about, low=low, high=high, step=step, start=start)


def _rate(about: str, optimizer: str, low: float, high: float, *, start: float) -> Dimension:
    return Dimension(
        part="training", about=about, low=low, high=high, start=start, log=True,
        needs=("optimizer", optimizer),
    )  # fmt: skip


SPACE: dict[str, Dimension] = {
    # The network (spec.macro)
    "stem": _list("network", "first layers", "plain", "stride", "deep", start="stride"),
    "width": _whole("network", "channels of stem and first stage", 16, 128, step=8, start=32),
    "stages": _whole("network", "stages; each but the first halves the maps", 2, 5, start=4),
    "growth": _list("network", "channels of a stage by those of the one before", 1.0, 1.5, 2.0, start=1.5),
    "depth": _whole("network", "blocks of a stage", 0, 3, start=1),
    "block": _list("network", "kind of block", "plain", "residual", "separable", start="residual"),
    "kernel": _list("network", "pixels of a convolution", 3, 5, start=3),
    "down": _list("network", "how maps are halved", "pool", "stride", start="stride"),
    "norm": _list("network", "normalization", "batch", "none", start="batch"),
    "activation": _list("network", "activation", "relu", "silu", "gelu", start="relu"),
    "attention": _list("network", "channel attention", "none", "se", start="none"),
    "head": _list("network", "global pool", "average", "max", start="average"),
    "dropout": Dimension(part="network", about="before the last layer", low=0.0, high=0.5, start=0.0),
    # The training (spec.recipe)
    "optimizer": _list("training", "optimizer", "sgd", "adamw", "muon", start="muon"),
    "sgd_lr": _rate("peak rate", "sgd", 0.01, 0.5, start=0.1),
    "adamw_lr": _rate("peak rate", "adamw", 3e-4, 0.02, start=3e-3),
    "muon_lr": _rate("peak rate", "muon", 2e-3, 0.1, start=0.02),
    "sgd_decay": _rate("weight decay", "sgd", 1e-5, 5e-3, start=5e-4),
    "adamw_decay": _rate("weight decay", "adamw", 1e-3, 0.5, start=0.05),
    "muon_decay": _rate("weight decay", "muon", 1e-3, 0.5, start=0.05),
    "label_smoothing": Dimension(
        part="training", about="share of the label spread over all classes", low=0.0, high=0.2, start=0.1
    ),
    "crop": _list("training", "shifts, by the image's side", 0.0, 0.0625, 0.125, 0.1875, start=0.125),
    "flip": _list("training", "mirrored images", "none", "alternating", start="alternating"),
    "mix": _list("training", "mixed images", "none", "mixup", "cutmix", start="none"),
    "batch_size": _list("training", "images of a step", 32, 64, 128, 256, start=128),
}

Space = dict[str, Dimension]
NETWORK, OWN = "network", "own"  # the choice between networks of the search's own and pretrained ones


def with_backbones(space: Space, names: Sequence[str]) -> Space:
    """Let a search choose among pretrained networks, too; settings of a network are then those of its own.

    Args:
        space: The space.
        names: Of networks of timm; none leaves the space as it is.

    Returns:
        The space, with the choice before all else.
    """
    if not names:
        return space
    about = "a network of the search's own, or a pretrained one"
    return {NETWORK: _list("network", about, OWN, *names, start=OWN), **space}


def narrowed(given: Mapping[str, Any]) -> Space:
    """Narrow the table by what a study says.

    Args:
        given: By setting: a value that fixes it, a list of values, or the two bounds of a number.

    Returns:
        The table with those bounds; a start that is now outside is moved to the nearest value inside.

    Raises:
        ValueError: A setting is unknown, or its values are not among the table's.

    >>> narrowed({"width": [16, 32]})["width"].bounds
    '16 to 32, by 8'
    """
    space = dict(SPACE)
    for name, wish in given.items():
        if name not in SPACE:
            raise ValueError(f"space: no setting named {name!r}{nearest(name, SPACE)}")
        known = SPACE[name]
        tight = _of_list(name, known, wish) if known.values else _of_bounds(name, known, wish)
        space[name] = replace(tight, start=tight.near(known.start))
    return space


def _of_list(name: str, known: Dimension, wish: Any) -> Dimension:
    values = tuple(wish) if isinstance(wish, list | tuple) else (wish,)
    odd = next((value for value in values if not known.holds(value)), None)
    if odd is not None or not values:
        came = repr(odd) if values else "an empty list"
        raise ValueError(f"space.{name}: got {came}, expected {known.bounds}")
    return replace(known, values=tuple(value for value in known.values if value in values))


def _of_bounds(name: str, known: Dimension, wish: Any) -> Dimension:
    ends = tuple(wish) if isinstance(wish, list | tuple) else (wish, wish)
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends)
    if len(ends) != 2 or not numbers:
        raise ValueError(
            f"space.{name}: got {wish!r}, expected a number or two, the lower first ({known.bounds})"
        )
    low, high = ends
    if low > high:
        raise ValueError(
            f"space.{name}: got {list(ends)!r}, bounds the wrong way round; expected the lower first"
        )
    odd = next((end for end in ends if not known.holds(end)), None)
    if odd is not None:
        raise ValueError(f"space.{name}: got {odd!r}, expected {known.bounds}")
    return replace(known, low=low, high=high)
