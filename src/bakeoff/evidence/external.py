"""What a table says of an external program: what was held equal for it, and what cannot be."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from bakeoff.records import RunRecord
from bakeoff.units import format_seconds

# Of a record: what nobody can know of a program, or it did not say. No value is not the value 0.
UNKNOWN = ("parameters", "trainable", "multiplications", "epochs", "images_per_second")


def command_words(command: Sequence[str]) -> str:
    """Name a program by its command, as records do.

    >>> command_words(["python", "-m", "bakeoff.external.sklearn"])
    'external: python -m bakeoff.external.sklearn'
    """
    return f"external: {shlex.join(command)}"


def control_words(record: RunRecord) -> str:
    """Say what an external program had in common with the other candidates.

    Args:
        record: Of one of its runs.

    Returns:
        A few words; nothing for any other run.
    """
    told: Mapping[str, Any] = record.external
    if not told:
        return ""
    given = format_seconds(float(told.get("seconds_given", 0.0)))
    if record.control != "budget":
        equal = f"the same split, {given} to train"
    elif "time" in record.differences:
        equal = f"the same split, but longer than the {given} of the budget"
    else:
        equal = f"the same split and budget ({given})"
    return f"{equal}; its recipe is its own, and what it has seen before is not known"


def without_unknown(values: Mapping[str, Any]) -> dict[str, Any]:
    """Take zeros away where they stand for what is not known of an external program.

    >>> without_unknown({"parameters": 0, "steps": 3, "epochs": 0.0})
    {'parameters': None, 'steps': 3, 'epochs': None}
    """
    return {name: (value or None) if name in UNKNOWN else value for name, value in values.items()}
