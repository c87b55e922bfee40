"""A study held to its lock, its records and its images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bakeoff.api.places import Where, absolute, locations
from bakeoff.records import StudyFolder

if TYPE_CHECKING:
    from bakeoff.evidence.verification import Verification
    from bakeoff.study import StudyListener


def verify(
    path: str | Path,
    *,
    data: Where = None,
    images: bool = True,
    reevaluate: bool = False,
    retrain: str | None = None,
    base_dir: str | Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    cache_dir: str | Path | None = None,
    decoders: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    listener: StudyListener | None = None,
) -> Verification:
    """Prove that a study is what its lock and its records say.

    Args:
        path: The study's folder, or a published copy.
        data: Where the images lie, as for `run`; else they are looked for as `run` would.
        images: Whether every image is read and held against the manifest, where they are here.
        reevaluate: Whether the weights predict the test images again.
        retrain: A run to train again, ``task/candidate/seed``, in a temporary folder.
        base_dir: Where relative paths of the study's file start; None is where that file lies.
        device: On which weights are evaluated; ``auto`` is the study's own, if it is here.
        threads: Likewise; None is the study's own number.
        cache_dir: As for `run`.
        decoders: As for `run`.
        progress: Told a stage, how much of it is done and of how much.
        listener: Hears of a training.

    Returns:
        Every check with what it found, and the verdict. Nothing of the study is changed; readings of its
        test images are noted beside the runs.

    Raises:
        StudyError: The folder holds no study.
        ConfigError: There is no such run, device or path.
    """
    from bakeoff.data.source import silent
    from bakeoff.evidence.verification import Verification, guarded
    from bakeoff.evidence.verification.ended import read_ended
    from bakeoff.report.reproduce import check_page
    from bakeoff.study.reevaluate import check_weights
    from bakeoff.study.retrain import check_retraining
    from bakeoff.study.verify import find_run, locked_machine, places_of, verify_records
    from bakeoff.training.machine import as_it_was

    folder = StudyFolder(Path(path))
    contents = read_ended(folder)
    again = None if retrain is None else find_run(contents, retrain)
    places = places_of(
        contents, locations(data, contents.spec), None if base_dir is None else absolute(base_dir),
        cache_dir=None if cache_dir is None else absolute(cache_dir), decoders=decoders,
        progress=progress or silent,
    )  # fmt: skip
    checks = [*verify_records(contents, places, images=images), guarded(check_page, folder)]
    if reevaluate:
        machine = locked_machine(contents, device, threads)
        with as_it_was():
            machine.apply()
            checks.append(guarded(check_weights, contents, places, machine))
    if again is not None:
        checks.append(guarded(check_retraining, contents, again, places, listener))
    return Verification(study=contents.spec.name, checks=tuple(checks))
