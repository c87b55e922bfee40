"""The table of a study: a row for every run that has ended, as CSV and as JSON.

Accuracies and losses are computed from the per-image predictions, and text is
written one way, so anybody can make the same bytes again from the study's files.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import Any

from bakeoff.evidence.calibration import read_calibration
from bakeoff.evidence.deduplicated import deduplicated_results
from bakeoff.evidence.external import without_unknown
from bakeoff.evidence.runs import Run, load_runs
from bakeoff.records import StudyFolder
from bakeoff.spec import Published, StudySpec

Row = dict[str, Any]

COLUMNS: tuple[str, ...] = (
    # Which run, and how it ended
    "task", "candidate", "seed", "status", "control", "model", "parameters", "trainable",
    # What it cost
    "epochs", "train_seconds", "total_seconds", "images_per_second",
    # What it showed: fractions, and nats
    "validation_accuracy", "test_loss", "test_accuracy", "published_loss", "published_accuracy",
    "test_top5", "validation_loss", "test_macro_f1", "test_balanced_accuracy",
    # How it was computed
    "precision", "steps", "multiplications", "peak_memory_bytes", "resumed", "reason",
    # By what it is compared and found again
    "identity", "control_digest", "split_digest",
    # What it was built on, and the whole time with that: as if it were the only candidate
    "source", "total_seconds_with_source",
    # How far its probabilities can be trusted, as it was recorded when the run ended
    "test_brier", "test_ece", "temperature",
    # What else it cost; of predictions only the first run of a candidate knows
    "train_seconds_with_source", "energy_joules", "latency_seconds", "latency_p90_seconds",
    "predicted_per_second", "predicted_batch",
)  # fmt: skip

_DECIMALS = 6  # enough to give back the count of right images of any test set up to 500,000


def result_rows(
    folder: StudyFolder, spec: StudySpec | None = None, runs: Sequence[Run] | None = None
) -> list[Row]:
    """List the study's ended runs; a run not there yet has no row.

    Args:
        folder: The study.
        spec: Which runs, when not all those of the folder's lock.
        runs: Those runs, where they are read already.

    Returns:
        A row for each run, in the study's order, under `COLUMNS`. Accuracies are fractions, losses
        nats. Published figures are the study's as it is now. What a run lacks is None: a diverged or
        failed run has its reason instead of metrics.

    Raises:
        StudyError: A record contradicts its predictions, or a file cannot be read.
    """
    spec = spec or folder.spec()
    published = {
        (task.name, candidate.name): candidate.published or Published()
        for task in spec.tasks
        for candidate in spec.candidates_of(task)
    }
    runs = load_runs(folder, spec) if runs is None else runs
    return [_row(run, published[run.record.task, run.record.candidate]) for run in runs]


def write_results(folder: StudyFolder, spec: StudySpec, runs: Sequence[Run] | None = None) -> None:
    """Write `results.csv` and `results.json` of all runs that have ended so far.

    Args:
        folder: A study, finished or not.
        spec: Which runs.
        runs: Those runs, where they are read already.

    Raises:
        StudyError: A record contradicts its predictions, or a file cannot be read.
        ResourceError: The folder cannot be written to.
    """
    runs = load_runs(folder, spec) if runs is None else runs
    rows = result_rows(folder, spec, runs)
    told = results_json(rows, spec) | deduplicated_results(folder, spec, runs)
    folder.write_results(results_csv(rows), told)


def results_csv(rows: Sequence[Row]) -> str:
    """Write rows as CSV: a header, one line a run, Unix line ends, empty where there is no value."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(row[name]) for name in COLUMNS] for row in rows)
    return out.getvalue()


def results_json(rows: Sequence[Row], spec: StudySpec) -> dict[str, Any]:
    """Return the rows with the study they belong to, as plain values."""
    return {
        "study": spec.name,
        "title": spec.title,
        "seeds": list(spec.seeds),
        "columns": list(COLUMNS),
        "runs": [{name: _plain(row[name]) for name in COLUMNS} for row in rows],
    }


def _row(run: Run, published: Published) -> Row:
    record = run.record
    row: Row = {name: getattr(record, name, None) for name in COLUMNS}
    row.update({name: run.metric(name) for name in COLUMNS if name.startswith(("test_", "validation_"))})
    row["published_loss"], row["published_accuracy"] = published.loss, published.accuracy
    row["precision"] = record.precision.get("used")
    row["source"] = record.source.get("candidate")
    row.update(_calibration(run))
    row["total_seconds_with_source"] = record.total_seconds + record.source.get("total_seconds", 0.0)
    row["train_seconds_with_source"] = record.train_seconds + record.source.get("train_seconds", 0.0)
    row["train_seconds_with_source"] += float(record.search.get("seconds", 0.0))
    row["latency_seconds"] = record.inference.get("latency_seconds")
    row["latency_p90_seconds"] = record.inference.get("latency_p90_seconds")
    row["predicted_per_second"] = record.inference.get("images_per_second")
    row["predicted_batch"] = record.inference.get("batch")
    if not run.finished:
        _leave_out_zeros(row)
    return without_unknown(row) if record.external else row


def _calibration(run: Run) -> Row:
    """Return what needs the probabilities themselves: only what a record says travels with a publication."""
    where = "record.json" if run.folder is None else str(run.folder.record_path)
    found = read_calibration(run.record.calibration, where)
    if found is None:
        return {}
    return {
        "test_brier": found.before.brier, "test_ece": found.before.ece, "temperature": found.temperature,
    }  # fmt: skip


def _leave_out_zeros(row: Row) -> None:
    """A run that did not finish may never have measured these: no value is not the value 0."""
    for name in ("parameters", "trainable", "epochs", "train_seconds", "total_seconds", "images_per_second",
                 "steps", "multiplications", "peak_memory_bytes", "total_seconds_with_source",
                 "train_seconds_with_source"):  # fmt: skip
        row[name] = row[name] or None


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, _DECIMALS) + 0.0 if math.isfinite(value) else None
    return value


def _cell(value: Any) -> str:
    value = _plain(value)
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value)
    return " ".join(str(value).split())  # one line, whatever an error message held
