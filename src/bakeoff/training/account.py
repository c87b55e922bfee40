"""From what a run was asked for and how far it came to its record, in plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from bakeoff.models.architecture import FOUND, title
from bakeoff.models.summary import Summary
from bakeoff.models.written import write_architecture
from bakeoff.records import RunRecord
from bakeoff.records.run import Status
from bakeoff.spec import digest
from bakeoff.training.job import Job
from bakeoff.training.machine import describe_environment
from bakeoff.training.state import TrainingState

OVERRUN = 1.05  # times its seconds, that a run under an equal budget may take


@dataclass
class Account:
    """What is known of a run while it works; whatever it reached when it ends is recorded."""

    started: str = field(default_factory=lambda: now())
    summary: Summary | None = None
    state: TrainingState | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    pretrained: dict[str, Any] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    frozen: dict[str, Any] = field(default_factory=dict)
    features: dict[str, float] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)
    inference: dict[str, Any] = field(default_factory=dict)
    energy_joules: float | None = None
    answered: Mapping[str, Any] = field(default_factory=dict)  # fields of an external program's record

    def record(
        self,
        job: Job,
        status: Status,
        reason: str | None,
        readings: list[dict[str, str]],
    ) -> RunRecord:
        """Close the account.

        Args:
            job: What was asked for.
            status: How it ended.
            reason: Why, in one line, when it did not finish.
            readings: Every reading of the test images.

        Returns:
            What `record.json` will hold.
        """
        control_digest, differences = job.control_digest, job.differences
        used = self.answered.get("train_seconds", 0.0) + self.source.get("train_seconds", 0.0)
        used += self.state.seconds if self.state else 0.0
        searched, asked = float(job.search.get("seconds", 0.0)), job.asked or job.recipe
        used += searched
        if job.task.control == "budget" and used > OVERRUN * asked.length.amount:
            # Checked, not trusted: what took longer, its source's time included, is ranked by itself.
            whose = "its trials" if searched else "its source's"
            differences = {
                **differences,
                "time": [str(asked.length), f"{used:.0f}s, {whose} included"],
            }
            control_digest = digest({"control": control_digest, "longer": job.candidate.name})
        record = RunRecord(
            identity=job.identity,
            model_digest=job.model_digest,
            study=job.study,
            task=job.task.name,
            candidate=job.candidate.name,
            seed=job.seed,
            status=status,
            reason=reason,
            control=job.task.control,
            control_digest=control_digest,
            recipe=asked.model_dump(mode="json"),
            differences=differences,
            data_fingerprint=job.data.fingerprint,
            split_digest=job.data.split_digest,
            model=(FOUND if job.asked is not None else "") + title(job.architecture),
            input_size=job.input_size,
            environment=describe_environment(job.machine),
            precision={"used": job.used_precision, "reason": "" if job.is_external else job.precision_reason},
            pretrained=self.pretrained,
            source=self.source,
            frozen=self.frozen,
            features=self.features | self._lead(job),
            probe=self.state.probe if self.state is not None else [],
            metrics=self.metrics,
            test_readings=readings,
            started=self.started,
            ended=now(),
            calibration=self.calibration,
            inference=self.inference,
            energy_joules=self.energy_joules,
            search=dict(job.search),
            architecture=_searched(job),
            **_network(self.summary),
            **_trained(self.state, len(job.data.train)),
        )
        record = replace(record, total_seconds=record.total_seconds + searched)
        return replace(record, **self.answered)

    def _lead(self, job: Job) -> dict[str, float]:
        """Name the time before the first step, where a head was fitted in it."""
        if self.state is None or job.candidate.head_start != "probe":
            return {}
        return {"lead": self.state.lead}


def _searched(job: Job) -> dict[str, Any]:
    """Describe what a search has found, so that it can be built without searching again."""
    return write_architecture(job.architecture) if job.asked is not None else {}


def _network(summary: Summary | None) -> dict[str, Any]:
    if summary is None:
        return {}
    return {
        "parameters": summary.parameters,
        "trainable": summary.trainable,
        "multiplications": summary.multiplications,
        "layers": list(summary.rows),
    }


def _trained(state: TrainingState | None, images: int) -> dict[str, Any]:
    if state is None:
        return {}
    return {
        "epochs": state.images / images,
        "steps": state.steps,
        "train_seconds": state.seconds,
        "total_seconds": state.total_seconds,
        "images_per_second": state.images / state.seconds if state.seconds else 0.0,
        "peak_memory_bytes": state.peak_bytes,
        "resumed": state.resumed,
        "history": state.history,
    }


def now() -> str:
    """Return the time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
