"""The parts of a task's images, and how often the test images among them were read.

Shape letters: N images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from bakeoff.evidence.verification.check import Check, Findings, some
from bakeoff.evidence.verification.ended import Contents, Ended
from bakeoff.records import TaskRecord

PARTS = ("train", "validation", "test")

Image = Mapping[str, str]  # a row of the manifest


def check_split(contents: Contents) -> Check:
    """Hold the manifest's parts against each other, the task's record and every run's predictions."""
    found = Findings("the split", "statements about parts")
    for name, task in contents.tasks.items():
        with found.trying(f"task '{name}'"):
            images = contents.folder.read_manifest(name)
            if not images:
                found.unchecked.append(f"task '{name}' has no manifest")
                continue
            _check_parts(found, name, task, images)
            for run in contents.of(name):
                _check_predicted(found, run, task, images)
    return found.close()


def _check_parts(found: Findings, name: str, task: TaskRecord, images: Sequence[Image]) -> None:
    twice = [file for file, count in Counter(image["file"] for image in images).items() if count > 1]
    found.expect(not twice, f"manifest of '{name}': listed twice, so in two parts: {some(twice)}")
    odd = sorted({image["part"] for image in images} - {*PARTS, ""})
    found.expect(not odd, f"manifest of '{name}': part is {some(odd)}, expected one of {some(PARTS)}")
    strange = sorted({image["class"] for image in images} - set(task.class_ids))
    found.expect(not strange, f"manifest of '{name}': classes that the task does not have: {some(strange)}")
    counts = Counter(image["part"] for image in images)
    for part in PARTS:
        said = task.counts.get(part)
        words = f"manifest of '{name}': {counts[part]} {part} images, but task.json counts {said}"
        found.expect(said == counts[part], words)
    if task.test_files:
        listed = [image["file"] for image in images if image["part"] == "test"]
        found.expect(listed == task.test_files, f"manifest of '{name}': other test images than task.json's")


def _check_predicted(found: Findings, run: Ended, task: TaskRecord, images: Sequence[Image]) -> None:
    """See that a run predicted exactly the images of its parts, under their own labels."""
    number = {class_id: label for label, class_id in enumerate(task.class_ids)}
    for split in ("validation", "test"):
        with found.trying(run.name):
            kept = run.folder.read_predictions(split)
            if kept is None:
                continue
            rows = [row for row, image in enumerate(images) if image["part"] == split]
            same = np.array_equal(np.sort(kept.index_N), np.asarray(rows))
            words = f"{run.name}: its {split} predictions are not of the manifest's {split} images"
            found.expect(same, words)
            if same:
                labels = np.array([number.get(images[int(i)]["class"], -1) for i in kept.index_N])
                wrong = int((labels != kept.label_N).sum())
                words = f"{run.name}: {wrong} {split} images have other labels in predictions.npz than in"
                found.expect(not wrong, f"{words} the manifest")


def check_readings(contents: Contents) -> Check:
    """See that every run has read its test images once, after training, and has logged it."""
    found = Findings("readings of the test images", "logs of readings")
    since: list[str] = []
    for run in contents.runs:
        with found.trying(run.name):
            logged, record = run.folder.test_readings(), run.record
            if run.folder.test_readings_path.exists():
                words = f"{run.name}: record.json and test_readings.json log different readings"
                found.expect(logged == record.test_readings, words)
            _check_reading(found, run, contents.tasks.get(run.task.name))
            if run.folder.verifications():
                since.append(f"{run.name} ({len(run.folder.verifications())})")
    if since:
        found.remarks.append(f"read again to be verified, which decides nothing: {some(since)}")
    return found.close()


def _check_reading(found: Findings, run: Ended, task: TaskRecord | None) -> None:
    readings = run.record.test_readings
    count = len(readings)
    if task is not None and task.counts.get("test") == 0:  # a program gave all its images to be learned from
        found.expect(not count, f"{run.name}: {count} readings of test images, but its task has none")
        return
    if run.finished:
        found.expect(count > 0, f"{run.name}: finished, and no reading of the test images is logged")
    if count > 1:  # each is logged before it begins; one that was broken off has given no result
        found.remarks.append(
            f"{run.name}: {count} readings of the test images are logged; it was interrupted or failed in "
            "its evaluation, and was evaluated again"
        )
    said = readings[-1].get("images") if readings else None
    if task is not None and said is not None and task.counts.get("test") is not None:
        words = f"{run.name}: {said} test images were read, but its task has {task.counts['test']}"
        found.expect(said == str(task.counts["test"]), words)
