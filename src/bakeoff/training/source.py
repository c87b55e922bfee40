"""The trained run that a job is built on: that it is there, and what it has cost."""

from __future__ import annotations

from typing import Any

from bakeoff.errors import ConfigError
from bakeoff.models.architecture import OnSource
from bakeoff.records import RunFolder
from bakeoff.training.job import Job


def describe_source(job: Job) -> dict[str, Any]:
    """Describe the run that a job's weights come from, as plain values.

    Args:
        job: What is to be trained.

    Returns:
        Candidate, seed and identity of that run, and the seconds and epochs that it took,
        those of its own source included; nothing for a job from scratch.

    Raises:
        ConfigError: That run has not finished; its reason is told.
    """
    if not isinstance(job.architecture, OnSource):
        return {}
    name, record = job.architecture.source, RunFolder(job.architecture.weights.parent).read()
    if record is None or record.identity != job.architecture.identity:
        raise ConfigError(
            f"from: '{name}', seed {job.seed}, has not been trained as the study has it now; "
            f"run it first (--only '{name}')"
        )
    if record.status != "finished":
        raise ConfigError(f"from: '{name}', seed {job.seed}, {record.status}: {record.reason}")
    return {
        "candidate": record.candidate,
        "seed": record.seed,
        "identity": record.identity,
        "epochs": record.epochs + record.source.get("epochs", 0.0),
        "train_seconds": record.train_seconds + record.source.get("train_seconds", 0.0),
        "total_seconds": record.total_seconds + record.source.get("total_seconds", 0.0),
    }
