"""Predicts the test images again with the stored weights, and holds that against what was recorded.

The readings are logged like any other, by `training.evaluate.read_test`, under the purpose
"verification" and beside the run: nothing is decided by them, and the run stays as it was.

Shape letters: N images, K classes, T kept classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from bakeoff.data.batches import ImageStore
from bakeoff.data.prepare import TaskData, prepare
from bakeoff.errors import BakeoffError
from bakeoff.evidence.verification import Check, Findings
from bakeoff.evidence.verification.check import some
from bakeoff.evidence.verification.ended import Contents, Ended
from bakeoff.records import Predictions, TaskRecord, claim_folder
from bakeoff.records.atomic import read_arrays
from bakeoff.records.run import VERIFICATION
from bakeoff.spec import TaskSpec
from bakeoff.study.trained import load
from bakeoff.study.verify_images import Places
from bakeoff.training.evaluate import read_test
from bakeoff.training.machine import Machine, describe_environment

TOLERANCE = 1e-3  # of a probability: what other kernels and processors make of the same fp32 network
DECIDING = (
    "processor",
    "system",
    "device",
    "threads",
    "torch",
    "numpy",
    "bakeoff",
    "python",
)  # of an environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """How far two sets of predictions of the same images are from each other."""

    images: int
    others: int  # images with another best class, beyond ties
    ties: int  # images whose two best classes have changed places within the tolerance
    furthest: float  # largest difference of a probability
    exact: bool  # equal to the last bit


def deviation(again_NK: np.ndarray, kept: Predictions, full_NK: np.ndarray | None) -> Deviation:
    """Compare probabilities with those that were recorded.

    Args:
        again_NK: Computed anew, in the order of `kept`.
        kept: The compact predictions.
        full_NK: All recorded probabilities, where they are here; else the kept ones must do.

    Returns:
        How far they are apart.
    """
    rows_N = np.arange(len(kept.label_N))
    best_N, recorded_N = again_NK.argmax(axis=1), kept.top_NT[:, 0].astype(np.int64)
    changed_N = best_N != recorded_N
    near_N = again_NK[rows_N, best_N] - again_NK[rows_N, recorded_N] <= TOLERANCE
    if full_NK is not None:
        ours, theirs = again_NK, full_NK
    else:
        width = kept.probability_NT.shape[1]
        ours = np.take_along_axis(again_NK, kept.top_NT[:, :width].astype(np.int64), axis=1)
        theirs = kept.probability_NT
    return Deviation(
        images=len(rows_N), others=int((changed_N & ~near_N).sum()), ties=int((changed_N & near_N).sum()),
        furthest=float(np.abs(ours.astype(np.float64) - theirs).max(initial=0.0)),
        exact=bool(np.array_equal(ours, theirs)),
    )  # fmt: skip


def environment_differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Name what decides sums in floating point and is not as it was.

    >>> environment_differences({"torch": "2.9", "threads": 2}, {"torch": "2.14", "threads": 2})
    ['torch 2.9 then, 2.14 now']
    """
    return [
        f"{key} {then[key]} then, {now[key]} now"
        for key in DECIDING
        if key in then and key in now and then[key] != now[key]
    ]


def check_weights(contents: Contents, places: Places, machine: Machine) -> Check:
    """Evaluate every run whose weights are here again, in fp32.

    Args:
        contents: The study.
        places: Where images and users' networks lie.
        machine: Where to compute.

    Returns:
        What was found: the same best class for every image but for ties, and probabilities within
        `TOLERANCE`. On a processor of the same kind with the same versions they are bit-equal mostly.

    Raises:
        BusyError: Another process is at work in the study's folder.
    """
    found = Findings("predictions of the weights, computed again", "runs")
    with claim_folder(contents.folder.path):
        for task in contents.spec.tasks:
            runs = [run for run in contents.of(task.name) if run.finished]
            external = [run.name for run in runs if run.record.external]
            if external:
                found.unchecked.append(f"external programs, which have no weights here: {some(external)}")
            runs = [run for run in runs if not run.record.external]
            without = [run.name for run in runs if not run.folder.weights_path.exists()]
            if without:
                found.unchecked.append(f"no weights here: {some(without)}")
            here = [run for run in runs if run.folder.weights_path.exists()]
            data = _images(found, contents, places, task) if here else None
            for position, run in enumerate(here, start=1):
                if data is not None:
                    _check_run(found, run, data, places, machine)
                    places.progress(f"evaluating {task.name}", position, len(here))
    return found.close()


def _images(found: Findings, contents: Contents, places: Places, task: TaskSpec) -> TaskData | None:
    """Prepare a task's images, if they are here and are those that its runs have seen."""
    try:
        data = prepare(
            task, locations=places.locations, base_dir=places.base_dir, cache_dir=places.cache_dir,
            decoders=places.decoders, on_corrupt="exclude", download=False, progress=places.progress,
        )  # fmt: skip
    except BakeoffError as error:
        found.unchecked.append(f"'{task.name}' was not evaluated, its images are not here: {error}")
        return None
    known = contents.tasks.get(task.name)
    repaired = readable_again(known, data.keys)
    if repaired:
        found.unchecked.append(f"'{task.name}' was not evaluated: {repaired}")
        return None
    if known is not None and known.data_fingerprint != data.fingerprint:
        found.differing.append(
            f"the images of '{task.name}' are others than its runs have seen (fingerprint "
            f"{data.fingerprint[:12]}, recorded {known.data_fingerprint[:12]}); it was not evaluated"
        )
        return None
    return data


def readable_again(known: TaskRecord | None, files: Iterable[str]) -> str:
    """Say which files a task's runs have left out that are among the images now; nothing when none are.

    They are no images of the study, and where they lie makes its other images no others.
    """
    left_out = {entry.get("file", "") for entry in known.excluded} if known is not None else set()
    again = sorted(left_out.intersection(files))
    return f"files that its runs left out can be read now: {some(again)}" if again else ""


def _check_run(found: Findings, run: Ended, data: TaskData, places: Places, machine: Machine) -> None:
    with found.trying(run.name):
        kept = run.folder.read_predictions("test")
        full = read_arrays(run.folder.probabilities_path, "probabilities") or {}
        if kept is None:
            found.unchecked.append(f"{run.name}: there are weights and no predictions of the test images")
            return
        try:
            with safe_open(run.folder.weights_path, framework="np"):
                pass
        except (OSError, SafetensorError) as error:
            found.differing.append(f"{run.name}: its weights cannot be read: {_short(error)}")
            return
        try:
            trained = load(run.folder.path, device=machine.device, base_dir=places.base_dir)
        except BakeoffError as error:
            found.unchecked.append(f"{run.name}: its network cannot be built again: {error}")
            return
        except RuntimeError as error:  # of PyTorch: names or shapes that are not the network's
            found.differing.append(f"{run.name}: its weights do not fit its network: {_short(error)}")
            return
        store = ImageStore(data.images_NHWC, data.labels_N, machine.torch_device)
        index_N = kept.index_N.astype(np.int64)
        again_NK = read_test(
            trained.model, store, index_N, run.folder, purpose=VERIFICATION,
            views=run.record.recipe.get("test_views", "one"),
        )  # fmt: skip
        _judge(found, run, deviation(again_NK, kept, full.get("test")), machine)


def _judge(found: Findings, run: Ended, far: Deviation, machine: Machine) -> None:
    reasons = environment_differences(run.record.environment, describe_environment(machine))
    words = f"probabilities differ by up to {far.furthest:.2g}"
    if far.others or not far.furthest <= TOLERANCE:
        found.differing.append(
            f"{run.name}: its weights predict another class for {far.others} of {far.images} test images, "
            f"{words} (accepted: {TOLERANCE:g})"
        )
        return
    found.agreed += 1
    if far.exact:
        return
    why = "; ".join(reasons) if reasons else "though processor and versions have the same names"
    ties = f", {far.ties} ties fell otherwise" if far.ties else ""
    found.remarks.append(f"{run.name}: not bit-equal, {words}{ties} ({why})")


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]
