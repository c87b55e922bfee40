"""On what it was measured, and how a row of figures is put into words."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bakeoff.cores import usable_cores
from bakeoff.training.machine import Machine, describe_environment

RESULTS = Path(__file__).with_name("results")


def spread(values: Sequence[float]) -> str:
    """Write a median with its range and its number."""
    return f"{statistics.median(values):.4g} ({min(values):.4g} to {max(values):.4g}, n = {len(values)})"


def store(name: str, figures: dict[str, Any]) -> None:
    """Write the figures of a benchmark beside the machine and the versions, and say where."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    about = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": describe_environment(Machine("cpu", usable_cores())),
    }
    path.write_text(json.dumps({**about, **figures}, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"stored in {path}")
