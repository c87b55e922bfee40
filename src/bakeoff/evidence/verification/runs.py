"""Each run's record against its study, its predictions and its probabilities.

Shape letters: N images, K classes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bakeoff.evidence.metrics import measure
from bakeoff.evidence.predictions import summarise_probabilities
from bakeoff.evidence.verification.check import Check, Findings, some
from bakeoff.evidence.verification.ended import Contents, Ended
from bakeoff.records import Predictions
from bakeoff.records.atomic import read_arrays
from bakeoff.records.run import Scored
from bakeoff.records.study import RUNS, SEED
from bakeoff.spec.base import flat

SPLITS: tuple[Scored, ...] = ("validation", "test")

_EXACT = 1e-9  # of a metric, relative: it is a sum of the same numbers
_ROUNDING = 3e-7  # of a float32, relative: a logarithm's last bit may differ between processors


def check_runs(contents: Contents) -> Check:
    """Hold every record against its place, its study's recipe and its task's images."""
    found = Findings("the records", "statements of records")
    found.differing += [*contents.unreadable, *contents.unreadable_tasks]
    for run in contents.runs:
        record, task = run.record, contents.tasks.get(run.task.name)
        _expect(found, run, "study", record.study, contents.spec.name)
        _expect(found, run, "control", record.control, run.task.control)
        if task is None:
            found.unchecked.append(f"{run.name}: its task has no record (task.json)")
        else:
            for key in ("data_fingerprint", "split_digest"):
                _expect(found, run, key, getattr(record, key), getattr(task, key))
        asked = flat(contents.spec.recipe_for(run.task, run.candidate).model_dump(mode="json"))
        used = flat(record.recipe)
        for key in sorted(asked.keys() & used.keys()):  # a key of a newer version is in one of them only
            _expect(found, run, f"recipe.{key}", used[key], asked[key])
    missing = contents.planned - len(contents.runs) - len(contents.unreadable)
    if missing:
        found.remarks.append(f"{missing} of {contents.planned} planned runs have not ended")
    strangers = _strangers(contents)
    if strangers:
        found.remarks.append(f"folders of runs that the study does not have: {some(strangers)}")
    return found.close()


def _expect(found: Findings, run: Ended, key: str, came: Any, expected: Any) -> None:
    words = f"{run.name}: record.json says {key} = {came}, the study says {expected}"
    found.expect(came == expected, words)


def _strangers(contents: Contents) -> list[str]:
    """List folders below runs/ that belong to no run of the study."""
    spec, folder = contents.spec, contents.folder
    known = {
        folder.run(task.name, candidate.name, seed).path
        for task in spec.tasks
        for candidate in spec.candidates_of(task)
        for seed in spec.seeds_of(task)
    }
    there = sorted((folder.path / RUNS).glob(f"*/*/{SEED}*"))
    return [path.relative_to(folder.path).as_posix() for path in there if path not in known]


def check_metrics(contents: Contents) -> Check:
    """Compute every recorded metric again from the per-image predictions."""
    found = Findings("metrics against predictions", "recorded metrics")
    without: dict[str, list[str]] = {}
    for run in contents.runs:
        if not run.finished:
            found.expect(not run.record.metrics, f"{run.name}: {run.record.status}, and yet it has metrics")
            continue
        for split in SPLITS:
            with found.trying(run.name):
                predictions = run.folder.read_predictions(split)
                if predictions is None or not len(predictions.label_N):
                    without.setdefault(split, []).append(run.name)
                else:
                    _check_split(found, run, predictions, split)
    for part, names in without.items():
        found.unchecked.append(f"no predictions of the {part} images here: {some(names)}")
    return found.close()


def _check_split(found: Findings, run: Ended, predictions: Predictions, split: Scored) -> None:
    for name, value in measure(predictions, split).items():
        recorded = run.record.metrics.get(name)
        if recorded is None:
            found.remarks.append(f"{run.name}: {name} is not in its record, which is older")
            continue
        words = f"{run.name}: {name} is recorded as {recorded:.6f}, its predictions give {value:.6f}"
        found.expect(math.isclose(recorded, value, rel_tol=_EXACT, abs_tol=_EXACT), words)


def check_probabilities(contents: Contents) -> Check:
    """Make the compact predictions again from the probabilities of all classes."""
    found = Findings("predictions against probabilities", "sets of predictions")
    without = []
    for run in (run for run in contents.runs if run.finished):
        with found.trying(run.name):
            full = read_arrays(run.folder.probabilities_path, "probabilities")
            if full is None:
                without.append(run.name)
                continue
            for split in SPLITS:
                kept = run.folder.read_predictions(split)
                if split in full and kept is not None:
                    words = f"{run.name}: predictions.npz does not follow from probabilities.npz ({split}: "
                    why = _contradiction(full[split], kept)
                    found.expect(not why, f"{words}{why})")
    if without:
        found.unchecked.append(f"no probabilities.npz here: {some(without)}")
    return found.close()


def _contradiction(probabilities_NK: np.ndarray, kept: Predictions) -> str:
    """Say in which way predictions do not follow from probabilities; nothing when they do."""
    try:
        ours = summarise_probabilities(probabilities_NK, kept.label_N, kept.index_N)
    except ValueError as error:
        return str(error)
    if ours.top_NT.shape != kept.top_NT.shape:
        return f"{kept.top_NT.shape[1]} classes are kept, expected {ours.top_NT.shape[1]}"
    others = int((ours.top_NT != kept.top_NT).any(axis=1).sum())
    if others:
        return f"other best classes for {others} of {len(kept.label_N)} images"
    width = kept.probability_NT.shape[1]
    pairs = {"loss": (ours.loss_N, kept.loss_N)}
    if width == ours.probability_NT.shape[1]:  # a published copy has the first alone, rounded
        pairs["probability"] = (ours.probability_NT.ravel(), kept.probability_NT.ravel())
    for name, (expected, came) in pairs.items():
        apart = int((~np.isclose(expected, came, rtol=_ROUNDING, atol=1e-12)).sum())
        if apart:
            return f"another {name} for {apart} of {len(kept.label_N)} images"
    return ""
