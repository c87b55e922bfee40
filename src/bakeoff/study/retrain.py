"""Trains one run of a study again, elsewhere, and says whether it ends in the same weights."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file

from bakeoff.errors import BakeoffError, ResourceError
from bakeoff.evidence.verification import Check, Findings
from bakeoff.evidence.verification.ended import Contents, Ended
from bakeoff.evidence.words import percent
from bakeoff.records import RunFolder, RunRecord, StudyFolder, claim_folder
from bakeoff.records.digests import FILES, LATE, file_sha256
from bakeoff.records.run import VERIFICATION
from bakeoff.study.images import DataOptions
from bakeoff.study.progress import StudyListener
from bakeoff.study.reevaluate import environment_differences, readable_again
from bakeoff.study.runner import run_study
from bakeoff.study.selection import Selection
from bakeoff.study.verify_images import Places


def check_retraining(
    contents: Contents, run: Ended, places: Places, listener: StudyListener | None = None
) -> Check:
    """Train a run again in a temporary folder, on the lock's device, threads and precision.

    What it stands on is trained again with it. That its test images are read once more is noted
    beside the run, under the purpose "verification".

    Args:
        contents: The study.
        run: Which run of it; one that has finished.
        places: Where images, users' networks and the cache lie.
        listener: Hears of the training, and may stop it.

    Returns:
        What was found: bit-identical weights, or how far they differ and why that may be.

    Raises:
        Stopped: The listener asked for it.
        BusyError: Another process is at work in the study's folder.
    """
    found = Findings(f"{run.name}, trained again", "runs")
    if not run.finished:
        found.unchecked.append(f"{run.name} {run.record.status} then; there are no weights to compare with")
        return found.close()
    if run.record.external:
        found.unchecked.append(f"{run.name} is of an external program: it has no weights to compare with")
        return found.close()
    with tempfile.TemporaryDirectory(prefix="bakeoff-verify-") as folder:
        again = StudyFolder(Path(folder) / "study")
        lock = contents.folder.read_lock() or {}
        kept = {key: value for key, value in lock.items() if key not in (FILES, LATE, "tasks")}
        again.path.mkdir()
        again.write_lock(kept)
        kept_predictions = run.folder.read_predictions("test")
        with claim_folder(contents.folder.path):
            run.folder.note_test_reading({
                "when": datetime.now(UTC).isoformat(timespec="seconds"), "purpose": VERIFICATION,
                "images": str(len(kept_predictions.label_N)) if kept_predictions is not None else "",
            })  # fmt: skip
        try:
            run_study(
                contents.spec, again.path, base_dir=places.base_dir,
                selection=Selection(
                    tasks=(run.task.name,), candidates=(run.candidate.name,), seed=run.record.seed
                ),
                options=DataOptions(
                    locations=places.locations, cache_dir=places.cache_dir, decoders=places.decoders,
                    on_corrupt="exclude", download=False,
                ),
                listener=listener,
            )  # fmt: skip
        except ResourceError as error:
            found.unchecked.append(f"could not be trained here: {error}")
            return found.close()
        except BakeoffError as error:
            found.unchecked.append(f"could not be trained again: {error}")
            return found.close()
        files = [image["file"] for image in again.read_manifest(run.task.name)]
        repaired = readable_again(contents.tasks.get(run.task.name), files)
        if repaired:
            found.unchecked.append(f"{run.name} was trained on other images: {repaired}")
        else:
            _compare(found, contents, run, again.run(run.task.name, run.candidate.name, run.record.seed))
    return found.close()


def _compare(found: Findings, contents: Contents, run: Ended, again: RunFolder) -> None:
    record = again.read()
    if record is None or record.status != "finished":
        end = "did not end" if record is None else f"{record.status}: {record.reason}"
        found.differing.append(f"{run.name} finished then, and now it {end}")
        return
    if record.data_fingerprint != run.record.data_fingerprint:
        found.differing.append(f"{run.name}: the images here are others than it has seen")
        return
    try:
        same = _same_weights(contents, run, again)
    except (OSError, SafetensorError) as error:
        found.differing.append(f"{run.name}: its weights cannot be read: {error}")
        return
    if same:
        found.agreed += 1
        return
    words = f"{run.name}: other weights; {_far(run, record, again)}"
    reasons = environment_differences(run.record.environment, record.environment)
    if run.record.recipe.get("time"):
        reasons.append("its length is a time, so its steps are not the same")
    if str(record.environment.get("device")) != "cpu":
        reasons.append("some sums on this device have no fixed order")
    if record.identity != run.record.identity:
        reasons.append("its network or its recipe's meaning has changed since")
    if reasons:
        found.unchecked.append(f"{words}. That may be for these reasons: {'; '.join(reasons)}")
    else:
        found.differing.append(f"{words}, though processor, threads and versions have the same names")


def _same_weights(contents: Contents, run: Ended, again: RunFolder) -> bool:
    """Compare files by the digest that the lock has noted, or else every tensor bit by bit."""
    place = run.folder.weights_path.relative_to(contents.folder.path).as_posix()
    noted = (contents.folder.read_lock() or {}).get(FILES, {}).get(place)
    if noted is not None and noted == file_sha256(again.weights_path):
        return True
    if not run.folder.weights_path.exists():
        return False
    then, now = load_file(run.folder.weights_path), load_file(again.weights_path)
    return then.keys() == now.keys() and all(
        then[name].dtype == now[name].dtype and then[name].numpy().tobytes() == now[name].numpy().tobytes()
        for name in then
    )


def _far(run: Ended, record: RunRecord, again: RunFolder) -> str:
    """Say how far the predictions of the test images are from those of then."""
    then, now = run.folder.read_predictions("test"), again.read_predictions("test")
    if then is None or now is None or not np.array_equal(then.index_N, now.index_N):
        return "its predictions cannot be compared"
    same = float((then.top_NT[:, 0] == now.top_NT[:, 0]).mean())
    before, after = (float(kept.correct_N.mean()) for kept in (then, now))
    return (
        f"the same class for {percent(same)} of {len(then.label_N)} test images, "
        f"accuracy {percent(before)} then and {percent(after)} now"
    )
