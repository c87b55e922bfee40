"""Where each candidate of a task looked, on the same few test images; kept when the task's runs have ended.

What is kept already is not computed again: a candidate's maps stay as long as its run and the images
are the same. Nothing here changes a result, and no candidate's fault ends the study: what could not be
explained is kept as a sentence that says why.

Shape letters: N images, h and w positions of a map.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn import functional

from bakeoff.errors import BakeoffError, StudyError
from bakeoff.evidence.disagreement import choose_images, speakers
from bakeoff.evidence.runs import Run, load_runs
from bakeoff.records import Attributions, Explanation, ShownImage, StudyFolder
from bakeoff.records.attribution import LARGEST_MAP, in_bytes
from bakeoff.study.trained import load
from bakeoff.training.attribution import CELLS, Attribution, attribute
from bakeoff.training.classifier import Classifier, placed
from bakeoff.training.job import Job
from bakeoff.training.loop import own_global_state
from bakeoff.training.run import classifier_of

HEAVY = 1_000_000_000  # multiplications for one image, from which on occlusion takes fewer patches
FEW_CELLS = 5  # a side


def keep_attributions(folder: StudyFolder, jobs: Sequence[Job]) -> None:
    """Explain, for each candidate of a task, what its first finished run answered; keep it through records.

    Args:
        folder: The study.
        jobs: Of the task, those that this command was asked for; at least one.

    Raises:
        StudyError: A record contradicts its predictions, or a file cannot be read.
        ResourceError: The folder cannot be written to.
    """
    task = jobs[0].task.name
    chosen = speakers(load_runs(folder, task=task))
    images = choose_images([run.test for run in chosen.values() if run.test is not None])
    if not images:
        return
    before = _kept_before(folder, task)
    known = _still_valid(before, images)
    candidates: list[Explanation] = []
    maps: dict[str, np.ndarray] = {}
    for name, run in chosen.items():
        old = known.get((name, run.record.identity))
        if old is not None and before is not None:
            candidates.append(old)
            maps[name] = before.maps[name]
            continue
        explanation, maps_Nhw = _explain(folder, run, images, jobs)
        candidates.append(explanation)
        if maps_Nhw is not None:
            maps[name] = maps_Nhw
    found = Attributions(images=images, candidates=tuple(candidates), maps=maps)
    if before is None or (before.images, before.candidates) != (found.images, found.candidates):
        folder.write_attributions(task, found)


def _kept_before(folder: StudyFolder, task: str) -> Attributions | None:
    """Read what is kept; a damaged file is as good as none, because all of it can be computed again."""
    try:
        return folder.read_attributions(task)
    except StudyError:
        return None


def _still_valid(
    before: Attributions | None, images: tuple[ShownImage, ...]
) -> dict[tuple[str, str], Explanation]:
    """Collect what is there of these very images, by candidate and by its run's identity."""
    if before is None or [one.index for one in before.images] != [one.index for one in images]:
        return {}
    return {(one.candidate, one.identity): one for one in before.candidates if one.candidate in before.maps}


def _explain(
    folder: StudyFolder, run: Run, images: Sequence[ShownImage], jobs: Sequence[Job]
) -> tuple[Explanation, np.ndarray | None]:
    """Explain one run; without maps where its network cannot be asked, for whatever reason."""
    record = run.record
    job = next((one for one in jobs if one.identity == record.identity), None)
    classes_N, probability_N = _answers(run, images)
    try:
        model = _model(folder, run, job, jobs[0])
        index = np.array([image.index for image in images])
        with own_global_state(jobs[0].machine.torch_device):
            found = attribute(
                model, jobs[0].data.images_NHWC[index], classes_N,
                cells=FEW_CELLS if record.multiplications > HEAVY else CELLS,
            )  # fmt: skip
        maps_Nhw = _small(found)
    except (Exception, SystemExit) as error:  # a user's network may fail in ways that nobody knows
        note = " ".join(str(error).split())[:300]
        if not isinstance(error, BakeoffError):
            note = f"{type(error).__name__}: {note}" if note else type(error).__name__
        return Explanation(
            candidate=record.candidate, seed=record.seed, identity=record.identity, note=note
        ), None
    explanation = Explanation(
        candidate=record.candidate, seed=record.seed, identity=record.identity,
        method=found.method, layer=found.layer, note=found.reason,
        classes=classes_N.tolist(), probabilities=probability_N.tolist(),
    )  # fmt: skip
    return explanation, maps_Nhw


def _answers(run: Run, images: Sequence[ShownImage]) -> tuple[np.ndarray, np.ndarray]:
    """Look up what the run answered when it was tested: class and probability, to four digits."""
    if run.test is None:
        raise AssertionError("a run that speaks has predictions")
    row_of = {int(index): row for row, index in enumerate(run.test.index_N)}
    rows = [row_of[image.index] for image in images]
    probabilities_N = np.round(run.test.probability_NT[rows, 0].astype(np.float64), 4)
    return run.test.top_NT[rows, 0].astype(np.int64), probabilities_N


def _model(folder: StudyFolder, run: Run, job: Job | None, any_job: Job) -> Classifier:
    """Build a run's network as it was scored: by its job, or by its folder where it was not asked for."""
    record = run.record
    run_folder = folder.run(record.task, record.candidate, record.seed)
    if record.external:
        raise StudyError("it is an external program, of which only predictions are kept")
    if not run_folder.weights_path.is_file():
        raise StudyError("its weights are not there any more")
    machine = any_job.machine
    if job is None or job.is_search:  # which network it is stands in the folder
        return load(run_folder.path, device=machine.device, base_dir=any_job.base_dir).model
    with own_global_state(torch.device("cpu")):
        model = classifier_of(job, trained=False)
    model.load_state_dict(load_file(run_folder.weights_path))
    return placed(model, machine.torch_device).eval()


def _small(found: Attribution) -> np.ndarray:
    """Bring maps to bytes, and to the size that is kept at most."""
    maps_Nhw = torch.from_numpy(found.maps_Nhw)
    rows, columns = (min(side, LARGEST_MAP) for side in maps_Nhw.shape[1:])
    return in_bytes(functional.adaptive_avg_pool2d(maps_Nhw, (rows, columns)).numpy())
