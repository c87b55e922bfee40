"""Quantities with a unit: parsed once at the border, written back one way.

Study files and flags speak in whatever unit suits the reader ("30ep", "1200st",
"10m"); the training code counts steps or seconds and nothing else.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from bakeoff.errors import ConfigError

LengthUnit = Literal["epochs", "steps", "seconds"]

_LENGTH = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*")
_LENGTH_UNITS: dict[str, tuple[LengthUnit, float]] = {
    "ep": ("epochs", 1), "epoch": ("epochs", 1), "epochs": ("epochs", 1),
    "st": ("steps", 1), "step": ("steps", 1), "steps": ("steps", 1),
    "s": ("seconds", 1), "sec": ("seconds", 1), "second": ("seconds", 1), "seconds": ("seconds", 1),
    "m": ("seconds", 60), "min": ("seconds", 60), "minute": ("seconds", 60), "minutes": ("seconds", 60),
    "h": ("seconds", 3600), "hour": ("seconds", 3600), "hours": ("seconds", 3600),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Length:
    """How long a training lasts: epochs, optimizer steps or seconds."""

    amount: float
    unit: LengthUnit

    def __post_init__(self) -> None:
        if not (math.isfinite(self.amount) and self.amount > 0):
            raise ConfigError(f"length: got {self.amount:g}, expected a number above 0")
        if self.unit == "steps" and self.amount != int(self.amount):
            raise ConfigError(f"length: got {self.amount:g} steps, expected a whole number")

    def to_steps(self, steps_per_epoch: int) -> int | None:
        """Count the optimizer steps; None when only the clock can tell.

        >>> Length(2, "epochs").to_steps(100)
        200
        """
        if self.unit == "steps":
            return int(self.amount)
        if self.unit == "epochs":
            return max(1, round(self.amount * steps_per_epoch))
        return None

    def __str__(self) -> str:
        short = {"epochs": "ep", "steps": "st", "seconds": "s"}[self.unit]
        # All digits and no exponent, so that `parse_length` reads back the same length.
        digits = f"{Decimal(repr(float(self.amount))):f}"
        return f"{digits.removesuffix('.0')}{short}"


def parse_length(text: str) -> Length:
    """Read a length of training such as ``30ep``, ``1200st``, ``90s``, ``10m`` or ``1.5h``.

    Args:
        text: A number above 0 and a unit.

    Returns:
        The length; minutes and hours become seconds.

    Raises:
        ConfigError: The text is no number with one of these units.

    >>> parse_length("10m")
    Length(amount=600.0, unit='seconds')
    """
    match = _LENGTH.fullmatch(text)
    if not match or match[2] not in _LENGTH_UNITS:
        raise ConfigError(f"length: got {text!r}, expected a form like 30ep, 1200st, 90s, 10m or 2h")
    unit, factor = _LENGTH_UNITS[match[2]]
    return Length(float(match[1]) * factor, unit)


def format_seconds(seconds: float) -> str:
    """Write a time span for people.

    >>> format_seconds(42.3), format_seconds(3725), format_seconds(90000)
    ('42 s', '1 h 02 min', '25 h 00 min')
    """
    if not math.isfinite(seconds):
        return "unknown"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def format_bytes(count: float) -> str:
    """Write an amount of memory or disk for people, in decimal units.

    >>> format_bytes(1_350_000_000), format_bytes(512)
    ('1.4 GB', '512 B')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:  # rounds to less than 1000
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
