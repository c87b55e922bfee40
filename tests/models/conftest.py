"""What Keras computed; see tests/golden."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

GOLDEN = Path(__file__).parents[1] / "golden"


def _read(name: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((GOLDEN / name).read_text(encoding="utf-8"))
    return values


@pytest.fixture(scope="session")
def golden() -> dict[str, Any]:
    """What came out, for the five CNNs."""
    return _read("cnn_keras.json")


@pytest.fixture(scope="session")
def golden_networks() -> dict[str, Any]:
    """What came out, for the larger networks of the study."""
    return _read("networks_keras.json")
