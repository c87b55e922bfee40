"""Everything a training carries from one step to the next, and its way to disk and back.

Random numbers are not part of it: they come from streams named by seed, epoch and step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor, nn, optim

from bakeoff.errors import StudyError
from bakeoff.records import writing
from bakeoff.training.averaging import Averaged


@dataclass
class Tally:
    """Sums over the training images of an epoch; they stay on the device until read."""

    loss: Tensor  # float64, nats times images
    correct: Tensor  # int64
    seen: int = 0

    @classmethod
    def empty(cls, device: torch.device) -> Tally:
        """Start an epoch."""
        return cls(
            torch.zeros((), dtype=torch.float64, device=device),
            torch.zeros((), dtype=torch.int64, device=device),
        )

    def add(self, loss: Tensor, logits_BK: Tensor, labels_B: Tensor) -> None:
        """Count one batch."""
        self.loss += loss.detach().double() * len(labels_B)
        self.correct += (logits_BK.detach().argmax(dim=1) == labels_B).sum()
        self.seen += len(labels_B)


@dataclass
class TrainingState:
    """Where a training stands: before step `step` of epoch `epoch`, both counted from 0."""

    model: nn.Module
    optimizer: optim.Optimizer
    averaged: Averaged | None
    tally: Tally
    epoch: int = 0
    step: int = 0  # within the epoch
    steps: int = 0  # in all
    images: int = 0  # seen in all
    seconds: float = 0.0  # spent in steps, and before the first one on what is frozen or fitted
    lead: float = 0.0  # of those, before the first step
    total_seconds: float = 0.0  # spent on the run by processes that were interrupted
    resumed: int = 0
    peak_bytes: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    probe: list[dict[str, float]] = field(default_factory=list)  # penalties, where the head is one or was

    @property
    def scored(self) -> nn.Module:
        """The model to evaluate: the averaged one if there is an average."""
        return self.averaged.module if self.averaged is not None else self.model

    def save(self, path: Path, identity: str) -> None:
        """Write a checkpoint, whole or not at all."""
        # Through a file of our own: on a full disk torch's writer raises an error that names no cause.
        with writing(path) as partial, partial.open("wb") as file:
            self.write(file, identity)

    def write(self, file: IO[bytes], identity: str = "") -> None:
        """Write everything to an open file."""
        plain = {name: getattr(self, name) for name in _PLAIN}
        tensors = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "averaged": self.averaged.module.state_dict() if self.averaged is not None else None,
            "tally": (self.tally.loss, self.tally.correct, self.tally.seen),
        }
        torch.save({"identity": identity, "plain": plain, **tensors}, file)

    def read(self, file: IO[bytes]) -> None:
        """Take over what another process of the same run has written."""
        self._restore(torch.load(file, map_location="cpu", weights_only=True))

    def load(self, path: Path, identity: str) -> bool:
        """Continue from a checkpoint of the same run, if there is one.

        Args:
            path: Of the checkpoint.
            identity: Of the run that wants it.

        Returns:
            Whether there was one. A checkpoint of another identity is passed over.

        Raises:
            StudyError: The file is there but cannot be read, or does not fit the network.
        """
        if not path.exists():
            return False
        try:
            saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            known = saved["identity"] == identity
        except Exception as error:  # torch raises many kinds for a damaged file
            raise StudyError(
                f"{path} is damaged ({type(error).__name__}); delete it to train this run anew"
            ) from error
        if not known:
            return False
        try:
            self._restore(saved)
        except (LookupError, TypeError, ValueError, RuntimeError) as error:  # of other versions, for example
            raise StudyError(
                f"{path} does not fit this run ({type(error).__name__}); delete it to train this run anew"
            ) from error
        self.resumed += 1
        return True

    def _restore(self, saved: dict[str, Any]) -> None:
        """Take over what a checkpoint holds."""
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.averaged is not None:
            self.averaged.module.load_state_dict(saved["averaged"])
        loss, correct, seen = saved["tally"]
        self.tally = Tally(loss.to(self.tally.loss.device), correct.to(self.tally.correct.device), seen)
        for name in _PLAIN:
            if name in saved["plain"] or name not in _LATER:
                setattr(self, name, saved["plain"][name])


def foreign_steps(path: Path, identity: str) -> int:
    """Count the steps of a checkpoint that belongs to another run than the one that finds it.

    Args:
        path: Of the checkpoint; its tensors are not read.
        identity: Of the run that finds it.

    Returns:
        0 when there is none, when it is this run's own, or when it cannot be read.
    """
    try:
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return 0 if saved["identity"] == identity else int(saved["plain"]["steps"])
    except Exception:  # torch raises many kinds for a damaged file; `load` will say so when the run starts
        return 0


def seconds_of(path: Path, identity: str) -> float:
    """Return the seconds of training that a run's checkpoint holds; 0 when it has none that can be read."""
    try:
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return float(saved["plain"]["seconds"]) if saved["identity"] == identity else 0.0
    except Exception:  # as above
        return 0.0


_PLAIN = ("epoch", "step", "steps", "images", "seconds", "total_seconds", "resumed", "peak_bytes", "history",
          "probe", "lead")  # fmt: skip
_LATER = ("probe", "lead")  # which checkpoints of earlier versions lack
