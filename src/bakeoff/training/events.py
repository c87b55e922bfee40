"""The history of a run as TensorBoard events, beside its record."""

from __future__ import annotations

import shutil
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

_SERIES = {
    "loss/train": "train_loss",
    "loss/validation": "validation_loss",
    "accuracy/train": "train_accuracy",
    "accuracy/validation": "validation_accuracy",
    "speed/images_per_second": "images_per_second",
    "rate/lr": "lr",
}


class EventLog:
    """Writes each epoch as it ends; a resumed run starts the file anew from its history.

    Args:
        path: The folder of the events.
        history: The rows so far.
    """

    def __init__(self, path: Path, history: list[dict[str, float]]) -> None:
        shutil.rmtree(path, ignore_errors=True)
        self._writer = SummaryWriter(str(path))
        for row in history:
            self.add(row)

    def add(self, row: dict[str, float]) -> None:
        """Write one epoch's row."""
        for tag, name in _SERIES.items():
            self._writer.add_scalar(tag, row[name], int(row["step"]))
        self._writer.flush()

    def close(self) -> None:
        """Write what is left and close the file."""
        self._writer.close()
