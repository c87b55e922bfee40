"""Whether a task's images and split are those of its record: by its manifest, and by reading the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bakeoff.data.contents import Content, fingerprint_of_manifest, read_contents
from bakeoff.data.source import Progress, silent
from bakeoff.data.split import Parts
from bakeoff.errors import BakeoffError
from bakeoff.evidence.verification import Check, Findings
from bakeoff.evidence.verification.check import some
from bakeoff.evidence.verification.ended import Contents
from bakeoff.records import TaskRecord
from bakeoff.spec import TaskSpec


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where what a study refers to lies on this machine."""

    base_dir: Path  # where relative paths of the study's file start
    locations: Mapping[str, Path] = field(default_factory=dict)  # from a source's name to its folder
    cache_dir: Path | None = None
    decoders: int | None = None
    progress: Progress = silent


def check_manifests(contents: Contents) -> Check:
    """Make the fingerprint of the images and the digest of their split again, from the manifest."""
    found = Findings("images and split by their manifest", "digests of manifests")
    for name, task in contents.tasks.items():
        spec = next(task for task in contents.spec.tasks if task.name == name)
        with found.trying(f"manifest of '{name}'"):
            images = contents.folder.read_manifest(name)
            if not images:
                found.unchecked.append(f"task '{name}' has no manifest")
                continue
            keys = [image["file"] for image in images]
            split = Parts(*(
                np.array([row for row, image in enumerate(images) if image["part"] == part], dtype=np.int64)
                for part in ("train", "validation", "test")
            )).digest(keys)  # fmt: skip
            words = f"manifest of '{name}': its parts give the split {split[:12]}, task.json says"
            found.expect(split == task.split_digest, f"{words} {task.split_digest[:12]}")
            if "sha256" not in images[0]:
                found.unchecked.append(f"the manifest of '{name}' goes without the images' digests")
            elif {image["class"] for image in images} <= set(task.class_ids):
                print_ = fingerprint_of_manifest(spec, task.class_ids, images)
                words = f"manifest of '{name}': its rows give the fingerprint {print_[:12]}, task.json says"
                found.expect(print_ == task.data_fingerprint, f"{words} {task.data_fingerprint[:12]}")
    return found.close()


def check_images(contents: Contents, places: Places) -> Check:
    """Read every image and hold it against the manifest."""
    found = Findings("the images against their manifest", "images")
    for task in contents.spec.tasks:
        if task.name not in contents.tasks:
            continue
        with found.trying(f"images of '{task.name}'"):
            images = contents.folder.read_manifest(task.name)
            if not images:
                found.unchecked.append(f"task '{task.name}' has no manifest")
                continue
            try:
                now = read_contents(
                    task, locations=places.locations, base_dir=places.base_dir, cache_dir=places.cache_dir,
                    progress=places.progress,
                )  # fmt: skip
            except BakeoffError as error:
                found.unchecked.append(f"the images of '{task.name}' were not looked at: {error}")
                continue
            known = contents.tasks[task.name]
            left_out = {entry.get("file", "") for entry in known.excluded}
            _compare_images(found, task.name, images, now, left_out)
            if "sha256" not in images[0] and not found.differing:
                _compare_fingerprint(found, task, known, images, now)
    return found.close()


def _compare_fingerprint(
    found: Findings,
    task: TaskSpec,
    known: TaskRecord,
    images: Sequence[Mapping[str, str]],
    now: Mapping[str, Content],
) -> None:
    """Hold the contents against the fingerprint, where a publication's manifest goes without digests."""
    rows = [{**image, "sha256": now[image["file"]].sha256} for image in images]
    print_ = fingerprint_of_manifest(task, known.class_ids, rows)
    if print_ != known.data_fingerprint:
        found.differing.append(
            f"images of '{task.name}' are of other contents: they give the fingerprint {print_[:12]}, "
            f"task.json says {known.data_fingerprint[:12]}"
        )
    else:
        found.remarks.append(f"the contents of '{task.name}' are proved by their fingerprint as a whole")


def _compare_images(
    found: Findings,
    task: str,
    images: Sequence[Mapping[str, str]],
    now: Mapping[str, Content],
    left_out: set[str],
) -> None:
    listed = {image["file"]: image for image in images}
    kinds: dict[str, list[str]] = {
        "gone": sorted(listed.keys() - now.keys()),
        "new": sorted(now.keys() - listed.keys() - left_out),
        "of another class": [], "of other contents": [],
    }  # fmt: skip
    for file in listed.keys() & now.keys():
        if listed[file]["class"] != now[file].class_id:
            kinds["of another class"].append(file)
        elif listed[file].get("sha256", now[file].sha256) != now[file].sha256:
            kinds["of other contents"].append(file)
        else:
            found.agreed += 1
    for kind, files in kinds.items():
        if files:
            found.differing.append(f"images of '{task}' that are {kind}: {some(sorted(files))}")
