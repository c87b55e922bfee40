"""The journal of a search: one line of JSON for its plan, each ended trial, and the final training.

A line is written at once and flushed; what a killed process has left of one is cut off by the next line.
So the best so far survives, and a search continues behind its last line.

    {"kind": "plan", ...}      rungs, first of all: what was measured and decided once, and whose search it is
    {"kind": "trial", ...}     a `Trial`: a network trained at one rung, or refused by a filter
    {"kind": "begun", "at"}    what is measured or trained from now on, and may be what ends the process
    {"kind": "left", "at"}     that it is over, or was left in good order
    {"kind": "final", ...}     which trial won, before its final training; another line if that diverges
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from bakeoff.errors import ResourceError, StudyError
from bakeoff.records.atomic import read_json, write_json

Line = dict[str, Any]
Proposer = Literal["start", "tpe", "local", "chance"]
TrialStatus = Literal["ended", "diverged", "failed", "refused"]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What one network showed at one rung, or why it was not tried."""

    number: int  # of the proposal, from 0; at a higher rung it has the same
    attempt: int = 0  # at this number, from 0: filters refuse, and another is drawn
    rung: int = 0
    proposed: Proposer  # by what
    parent: int | None = None  # the trial that a local step started from
    point: dict[str, Any]  # by setting of spec.space.SPACE
    words: str = ""  # the network in a few
    parameters: int = 0
    multiplications: int = 0  # for one image of the task's size
    images_per_second: float = 0.0  # in training, measured at the lowest rung before it
    pixels: int = 0  # of the rung
    epochs: float = 0.0  # of the rung
    status: TrialStatus = "ended"
    reason: str = ""  # of every status but "ended"
    accuracy: float | None = None  # of the validation images, behind the last step
    loss: float | None = None  # of the same, nats
    seconds: float = 0.0  # that it took, everything included
    elapsed: float = 0.0  # charged to the budget when it had ended, seconds

    @property
    def score(self) -> float:
        """What it is ranked by, higher is better; below all others when it has not ended well."""
        return self.accuracy if self.status == "ended" and self.accuracy is not None else -1.0


@dataclass(frozen=True)
class Journal:
    """All lines of a search, in order."""

    plan: Line = field(default_factory=dict)
    trials: tuple[Trial, ...] = ()
    final: Line = field(default_factory=dict)
    begun: Mapping[str, int] = field(default_factory=dict)  # how often each was begun and not left

    @property
    def ended(self) -> list[Trial]:
        """The trials that were trained."""
        return [trial for trial in self.trials if trial.status != "refused"]

    def without(self, numbers: Collection[int]) -> Journal:
        """Leave some trials out."""
        return replace(self, trials=tuple(trial for trial in self.trials if trial.number not in numbers))

    @property
    def best(self) -> Trial | None:
        """The best so far: by the highest rung reached, then accuracy, then loss, then who was first."""
        ranked = [trial for trial in self.trials if trial.score >= 0]
        return max(
            ranked, key=lambda t: (t.rung, t.score, -(t.loss or 0.0), -t.number), default=None
        )  # fmt: skip


class TrialsFile:
    """The journal on the disk, and a clock beside it while the search is at work.

    Args:
        path: Of the journal, `trials.jsonl` in a run's folder.
        keep: Sees that a file outlives the machine, where that may be lost.
    """

    def __init__(self, path: Path, keep: Callable[[Path], None] = lambda path: None) -> None:
        self.path = path
        self._keep = keep
        self.clock_path = path.with_suffix(".clock.json")

    def read(self) -> Journal:
        """Read all whole lines back.

        Returns:
            The journal; empty when there is none yet.

        Raises:
            StudyError: A line in the middle is damaged, or the file cannot be read.
        """
        plan: Line = {}
        final: Line = {}
        trials = []
        begun: dict[str, int] = {}
        for number, line in enumerate(self._whole_lines(), start=1):
            try:
                values = json.loads(line)
                kind = values.pop("kind")
                if kind == "trial":
                    trials.append(Trial(**{key: values[key] for key in _TRIAL if key in values}))
                elif kind in ("begun", "left"):
                    begun[values["at"]] = begun.get(values["at"], 0) + 1 if kind == "begun" else 0
                elif kind == "plan":
                    plan = values
                elif kind == "final":
                    final = values
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise StudyError(
                    f"{self.path} is damaged in line {number} ({type(error).__name__}); "
                    "delete it to search anew"
                ) from None
        return Journal(plan, tuple(trials), final, begun)

    def add(self, kind: Literal["plan", "final", "begun", "left"], values: Mapping[str, Any]) -> None:
        """Append the plan, the final training, or the begin of something."""
        self._append({"kind": kind, **values})

    def add_trial(self, trial: Trial) -> None:
        """Append a trial that has ended or was refused."""
        self._append({"kind": "trial", **asdict(trial)})

    def charged(self) -> float:
        """Return the seconds that were charged before this process, by the clock's last stroke."""
        beat = read_json(self.clock_path, "a search's clock", dict) or {}
        seconds = beat.get("seconds", 0.0)
        journal = self.read()
        ended = [trial.elapsed for trial in journal.trials]
        return max([float(seconds), *ended, float(journal.final.get("seconds", 0.0))])

    def beat(self, seconds: float) -> None:
        """Note what is charged by now, so that a killed process has paid for what it did."""
        write_json(self.clock_path, {"seconds": round(seconds, 3)})
        self._keep(self.clock_path)

    def discard(self) -> None:
        """Remove the journal and its clock."""
        self.stop_clock()
        self.path.unlink(missing_ok=True)

    def stop_clock(self) -> None:
        """Remove the clock: the search has ended."""
        self.clock_path.unlink(missing_ok=True)

    def _whole_lines(self) -> list[bytes]:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StudyError(f"cannot read {self.path}: {error.strerror}") from None
        return content.split(b"\n")[:-1]

    def _append(self, values: Line) -> None:
        """Write one line behind the whole ones, and flush it."""
        line = json.dumps(values, sort_keys=True, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        keep = sum(len(whole) + 1 for whole in self._whole_lines())
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("r+b" if self.path.exists() else "wb") as file:
                file.truncate(keep)
                file.seek(keep)
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise ResourceError(f"cannot write {self.path}: {error.strerror}") from error
        self._keep(self.path)


_TRIAL = tuple(one.name for one in fields(Trial))
