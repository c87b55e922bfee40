"""What one run leaves: its record, its per-image predictions, its weights.

runs/<task>/<candidate>/seed-0/
    record.json         everything that was decided, measured and found
    predictions.npz     per image: label, loss, the five best classes
    probabilities.npz   per image: all classes (float32); not needed by the report
    weights.safetensors the trained weights
    test_readings.json  when the test images were read; written before they are
    verifications.json  when `bakeoff verify` has read them since; no part of the run
    traceback.txt       of a failed run: the whole error
    checkpoint.pt       only while the run is unfinished, or has failed
    tensorboard/        events for TensorBoard
    log.txt             of an external program: what it has said
    external/           only while such a run is unfinished, or has failed; see `records.exchange`
    trials.jsonl        of a search: its plan and every trial; see `records.trials`
    network.py          of a search: the network that it found, as code that needs no bakeoff
    trial/              of a search: the trial that is being trained, only while it is
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import TypeAdapter, WrapValidator

from bakeoff.errors import StudyError
from bakeoff.records.atomic import read_arrays, read_checked, read_json, write_arrays, write_json

VERIFICATION = "verification"  # the purpose of a reading that proves a run and decides nothing

SCHEMA = 1  # of records; part of a run's identity, so raising it retrains

Status = Literal["finished", "diverged", "failed"]
Scored = Literal["validation", "test"]  # the parts of the images that are predicted
RunName = tuple[str, str, int]  # task, candidate, seed


def _number_or_null(value: Any, check: Callable[[Any], float]) -> Any:
    """Accept a number as it is, and null, which stands for one that JSON cannot hold."""
    if value is not None:
        check(value)
    return value


Number = Annotated[float, WrapValidator(_number_or_null)]


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One run, as plain values; `record.json` holds exactly these fields."""

    # Who
    identity: str  # digest of spec, data and code schema
    study: str
    task: str
    candidate: str
    seed: int
    schema: int = SCHEMA
    # How it ended
    status: Status
    reason: str | None = None  # for a run that diverged or failed: why, in one line
    # Under which control
    control: str = "recipe"  # "recipe" or "budget"
    control_digest: str = ""  # runs with equal digests may be ranked together
    model_digest: str = ""  # of what defines the network; seeds with equal digests may be averaged
    recipe: dict[str, Any] = field(default_factory=dict)  # every key, resolved
    differences: dict[str, list[Any]] = field(default_factory=dict)  # "batch_size": [task's, its own]
    data_fingerprint: str = ""
    split_digest: str = ""
    # The network
    model: str = ""
    input_size: int = 0  # pixels
    parameters: int = 0  # counted as Keras counts: batch-norm statistics included
    trainable: int = 0
    multiplications: int = 0  # multiply-accumulates for one image
    layers: list[dict[str, Any]] = field(default_factory=list)  # rows of the layer table
    # The weights that it stands on and that somebody else has trained: network, what it has seen, licence
    pretrained: dict[str, Any] = field(default_factory=dict)
    # The run that its first weights come from (candidate, seed, identity, what that took), if there is one
    source: dict[str, Any] = field(default_factory=dict)
    # What did not move: layers, parameters, how many other normalizations kept their statistics (norms_kept),
    # and the digest of all their bits, equal before and after
    frozen: dict[str, Any] = field(default_factory=dict)
    # Parts of train_seconds: "seconds" of frozen work that was paid once, "lead" of all before the first step
    features: dict[str, float] = field(default_factory=dict)
    # Of a linear probe, or a head that started as one: a row for each penalty tried, one of them "chosen"
    probe: list[dict[str, Number]] = field(default_factory=list)
    # Where and how it was computed
    environment: dict[str, Any] = field(default_factory=dict)  # versions, processor, device, threads
    precision: dict[str, str] = field(default_factory=dict)  # {"used": "bf16", "reason": "..."}
    # What it cost
    epochs: float = 0.0  # trained, as a fraction of the training images seen
    steps: int = 0
    train_seconds: float = 0.0  # first step to last; evaluation, checkpoints and preparation out
    total_seconds: float = 0.0  # everything this run took
    images_per_second: float = 0.0
    peak_memory_bytes: int = 0  # resident memory of the process, at most
    resumed: int = 0  # how often it was interrupted and continued
    # What it showed
    history: list[dict[str, Number]] = field(default_factory=list)  # a row per epoch
    metrics: dict[str, Number] = field(default_factory=dict)  # test_accuracy, test_loss, validation_...
    test_readings: list[dict[str, str]] = field(default_factory=list)  # each reading of the test images
    started: str = ""  # UTC, ISO 8601
    ended: str = ""
    # How far its probabilities can be trusted (`evidence.calibration`): the temperature fitted on validation
    # images; losses, errors and bins of the test images before and after it. Empty in older records.
    calibration: dict[str, Any] = field(default_factory=dict)
    # What one prediction takes, of the first seed that was trained: latency_seconds (median, batch of 1),
    # latency_p90_seconds, images_per_second at the best batch; empty where it was not measured
    inference: dict[str, Any] = field(default_factory=dict)
    # Of an external program: its command as the study has it, its version as it says, the seconds that it
    # was given, that it says to have trained (seconds_said) and that it was there (seconds_seen)
    external: dict[str, Any] = field(default_factory=dict)
    # Of a search: seconds of all that came before the final training, how many trials, the winner's point and
    # recipe, and the rungs; and the network that it found, so that it can be built without searching again
    search: dict[str, Any] = field(default_factory=dict)
    architecture: dict[str, Any] = field(default_factory=dict)
    # Of the training, of the whole processor or GPU, whoever else used it; None where it cannot be read
    energy_joules: float | None = None

    def metric(self, name: str) -> float:
        """Return a metric, or NaN when the run has none of that name."""
        value = self.metrics.get(name)
        return math.nan if value is None else float(value)


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Per-image predictions of one split, in the order of the task's index set.

    N images, T = min(5, classes); P = T, or 1 where a study was published.
    """

    index_N: np.ndarray  # int32, into the task's images
    label_N: np.ndarray  # int16
    loss_N: np.ndarray  # float32, -log of the label's probability, nats
    top_NT: np.ndarray  # int16, the classes with the highest probability, best first
    probability_NT: np.ndarray  # float32, theirs, or in (N, P) the first alone

    @property
    def correct_N(self) -> np.ndarray:
        """Tell for each image whether the best class is the label."""
        correct: np.ndarray = self.top_NT[:, 0] == self.label_N
        return correct


def _odd_array(kept: Predictions) -> str:
    """Name an array that cannot belong to predictions, by its kind, its shape or a sign; or nothing."""
    for name, kinds, dimensions in (
        ("index_N", "iu", 1), ("label_N", "iu", 1), ("loss_N", "f", 1), ("top_NT", "iu", 2),
        ("probability_NT", "f", 2),
    ):  # fmt: skip
        values: np.ndarray = getattr(kept, name)
        fits = values.dtype.kind in kinds and values.ndim == dimensions and len(values) == len(kept.index_N)
        if not fits or (kinds == "iu" and values.min(initial=0) < 0):
            return name
        if dimensions == 2 and len(values) and not 0 < values.shape[1] <= kept.top_NT.shape[1]:
            return name
    return ""


class RunFolder:
    """The folder of one run: reading, and atomic writing."""

    def __init__(self, path: Path, name: RunName | None = None) -> None:
        self.path = path
        self._name = name  # whose record this is to hold; None takes any

    record_path = property(lambda self: self.path / "record.json")
    predictions_path = property(lambda self: self.path / "predictions.npz")
    probabilities_path = property(lambda self: self.path / "probabilities.npz")
    weights_path = property(lambda self: self.path / "weights.safetensors")
    checkpoint_path = property(lambda self: self.path / "checkpoint.pt")
    tensorboard_path = property(lambda self: self.path / "tensorboard")
    test_readings_path = property(lambda self: self.path / "test_readings.json")
    traceback_path = property(lambda self: self.path / "traceback.txt")
    verifications_path = property(lambda self: self.path / "verifications.json")
    log_path = property(lambda self: self.path / "log.txt")
    exchange_path = property(lambda self: self.path / "external")
    trials_path = property(lambda self: self.path / "trials.jsonl")
    network_path = property(lambda self: self.path / "network.py")
    trial_path = property(lambda self: self.path / "trial")

    def files(self) -> list[Path]:
        """List what an ended run leaves and nobody may change; some of it may not be there."""
        return [
            self.record_path, self.predictions_path, self.probabilities_path, self.weights_path,
            self.test_readings_path, self.log_path, self.trials_path,
            self.network_path,
        ]  # fmt: skip

    def read(self) -> RunRecord | None:
        """Read the record back; fields that a newer version added are passed over.

        Returns:
            The record, or None when the run has not ended yet.

        Raises:
            StudyError: The file is there but is not a record, or that of another run; the field is named.
        """
        record = read_checked(self.record_path, "a run's record", _record_adapter())
        if record is not None and self._name is not None:
            self._refuse_other(record, self._name)
        return record

    def _refuse_other(self, record: RunRecord, name: RunName) -> None:
        """Stop when the record was copied here from another run."""
        for key, expected in zip(("task", "candidate", "seed"), name, strict=True):
            found = getattr(record, key)
            if found != expected:
                raise StudyError(
                    f"{self.record_path}: {key}: got {found!r}, expected {expected!r}; "
                    "it is the record of another run"
                )

    def write(self, record: RunRecord) -> None:
        """Write the record last, when all else is in place: it marks the run as ended."""
        write_json(self.record_path, asdict(record))

    def write_predictions(self, by_split: dict[str, Predictions], *, smallest: bool = False) -> None:
        """Write the per-image predictions of the validation and test images.

        Args:
            by_split: The predictions of ``"validation"``, ``"test"`` or both.
            smallest: Spend time on making the file smaller still.
        """
        arrays = {
            f"{split}_{name.split('_')[0]}": value
            for split, predictions in by_split.items()
            for name, value in vars(predictions).items()
        }
        write_arrays(self.predictions_path, arrays, smallest=smallest)

    def read_predictions(self, split: Scored = "test") -> Predictions | None:
        """Read per-image predictions back.

        Args:
            split: Of which images.

        Returns:
            The predictions, or None when there are none of that split.

        Raises:
            StudyError: The file is there but does not hold predictions.
        """
        arrays = read_arrays(self.predictions_path, "predictions", f"{split}_")
        if arrays is None or f"{split}_index" not in arrays:
            return None
        names = {f.name: f"{split}_{f.name.split('_')[0]}" for f in fields(Predictions)}
        missing = [key for key in names.values() if key not in arrays]
        if missing:
            raise StudyError(f"{self.predictions_path} does not hold predictions: {missing[0]} is missing")
        kept = Predictions(**{name: arrays[key] for name, key in names.items()})
        odd = _odd_array(kept)
        if odd:
            words = f"{names[odd]} is of another kind or shape"
            raise StudyError(f"{self.predictions_path} does not hold predictions: {words}")
        return kept

    def read_probabilities(self, split: Scored = "test") -> np.ndarray | None:
        """Read the probabilities of all classes back, where they still are.

        Args:
            split: Of which images.

        Returns:
            float32 of shape (images, classes), in the order of the predictions; None when there are none.

        Raises:
            StudyError: The file is there but does not hold arrays.
        """
        arrays = read_arrays(self.probabilities_path, "probabilities")
        return None if arrays is None else arrays.get(split)

    def test_readings(self) -> list[dict[str, str]]:
        """Return every reading of the test images so far, interrupted ones included."""
        return read_json(self.test_readings_path, "a list of readings of the test images", list) or []

    def note_test_reading(self, reading: dict[str, str]) -> None:
        """Note that the test images are about to be read: when, why, how many.

        A reading that verifies an ended run is noted beside, so that the run stays as it was.
        """
        if reading.get("purpose") == VERIFICATION:
            write_json(self.verifications_path, [*self.verifications(), reading])
        else:
            write_json(self.test_readings_path, [*self.test_readings(), reading])
            self.keep(self.test_readings_path)

    def keep(self, path: Path) -> None:
        """See that a file outlives an interruption of the run; here it does as it lies there.

        A folder on a machine that may be lost sends it elsewhere before this returns.
        """

    def within(self, name: str) -> RunFolder:
        """Return a folder inside this one, of a training that is part of the run; kept like this one."""
        return RunFolder(self.path / name)

    def verifications(self) -> list[dict[str, str]]:
        """Return every reading of the test images that was made to verify this run."""
        return read_json(self.verifications_path, "a list of readings of the test images", list) or []

    def clear_unfinished(self, *, checkpoint: bool = True) -> None:
        """Remove what only an unfinished run needs, and what a killed process was writing.

        Args:
            checkpoint: Whether the checkpoint, what was exchanged with an external program, or a trial of a
                search is no longer needed either.
        """
        if checkpoint:
            self.checkpoint_path.unlink(missing_ok=True)
            shutil.rmtree(self.trial_path, ignore_errors=True)
            shutil.rmtree(self.exchange_path, ignore_errors=True)
        for partial in self.path.glob(".*.partial"):
            partial.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove a run that no longer belongs to the study's plan."""
        # The record first: killed in the middle of this, the run must not look finished.
        self.record_path.unlink(missing_ok=True)
        shutil.rmtree(self.path, ignore_errors=True)

    def reopen(self) -> None:
        """Take back the end of a run that failed; its checkpoint and its readings of the test images stay."""
        self.record_path.unlink(missing_ok=True)
        self.traceback_path.unlink(missing_ok=True)


@cache
def _record_adapter() -> TypeAdapter[RunRecord]:
    """Make what checks a record's types; once, because it takes longer than reading fifty records."""
    return TypeAdapter(RunRecord)
