"""A server with small limits, and colours that it tells apart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from onnx_models import colour_model
from running import Running

LIMITS = ("--max-bytes", "100KB", "--max-pixels", "100000", "--max-files", "4", "--timeout", "1",
          "--max-queue", "64", "--threads", "1")  # fmt: skip


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two classifiers of colours, the second of which is surer."""
    folder = tmp_path_factory.mktemp("models")
    return [
        colour_model(folder / "colours.onnx"),
        colour_model(folder / "sharp.onnx", name="sharp", sharpness=20.0, embedding=False),
    ]


@pytest.fixture(scope="session")
def server(models: list[Path]) -> Iterator[Running]:
    """Both models behind small limits."""
    with Running(*models, *LIMITS) as running:
        yield running
