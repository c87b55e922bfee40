"""What Keras computed, and the formula of its weights and images; see tests/golden/make_cnn_keras.py."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="session")
def keras() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_cnn_keras", GOLDEN / "make_cnn_keras.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def golden() -> dict[str, Any]:
    values: dict[str, Any] = json.loads((GOLDEN / "cnn_keras.json").read_text(encoding="utf-8"))
    return values
