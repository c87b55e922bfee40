"""Does `bakeoff check` find what is planted in a copy of Tiny ImageNet, and how long does it look?

    BAKEOFF_TINY_IMAGENET=... python -m benchmarks.planted_faults --work FOLDER

Planted among the training images: 50 test images as they are; 50 encoded again (JPEG, quality 60 to
85), half of them resized to 48 to 96 pixels before; of each fifty 10 under another class. And
10 training files are cut off in the middle. The copy consists of hard links where the file system
has them; the planted files are new ones, the original is never written to.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from bakeoff.data.checks import check_images
from bakeoff.data.prepare import TaskData, prepare
from bakeoff.records.checks import TaskChecks
from bakeoff.spec import TaskSpec
from benchmarks._machine import store

SEED = 6
EXACT, AGAIN, MISLABELLED, CUT = 50, 50, 10, 10  # mislabelled: of each fifty


@dataclass(frozen=True)
class Planted:
    """What was put where."""

    exact: dict[str, str]  # test image -> its copy
    again: dict[str, str]
    mislabelled: set[str]  # copies
    cut: set[str]  # training files


def main() -> None:
    """Plant, check, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="a folder for the copy and its cache")
    options = parser.parse_args()
    source, work = Path(os.environ["BAKEOFF_TINY_IMAGENET"]), options.work
    before, _ = _checked(source, work / "cache")
    busy = {before.keys[index] for index in before_twins(before)}
    shutil.rmtree(work / "copy", ignore_errors=True)
    planted = plant(source, work / "copy", busy)
    data, clock = _checked(work / "copy", work / "cache")
    began, cpu = time.perf_counter(), time.process_time()
    checks = check_images(data)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    figures = compare(planted, data, checks)
    figures |= {
        "images": len(data.keys), "decode_seconds": round(clock, 1), "check_seconds": round(seconds, 1),
        "check_processor_seconds": round(cpu, 1), "anonymous_memory_mb": _anonymous_mb(),
        "load_average": round(os.getloadavg()[0], 1),
    }  # fmt: skip
    for name, value in figures.items():
        print(f"{name}: {value}")
    store("planted-faults", figures)
    assert figures["exact_found"] == EXACT
    assert figures["again_found"] >= 45
    assert figures["cut_found"] == CUT


def before_twins(data: TaskData) -> set[int]:
    """Return the test images that have a twin already; they are not planted again."""
    return set(check_images(data).test_twins)


def plant(source: Path, copy: Path, busy: set[str]) -> Planted:
    """Make the copy.

    Args:
        source: Tiny ImageNet, unpacked; only read.
        copy: The folder to be.
        busy: Test images that are not to be used.

    Returns:
        What was planted.
    """
    draw = np.random.default_rng(SEED)
    _link(source, copy)
    lines = (copy / "val" / "val_annotations.txt").read_text(encoding="utf-8").splitlines()
    label_of = {f"val/images/{line.split()[0]}": line.split()[1] for line in lines}
    wnids = sorted(set(label_of.values()))
    chosen = draw.permutation(sorted(set(label_of) - busy))[: EXACT + AGAIN].tolist()
    exact, again, mislabelled = {}, {}, set()
    for number, key in enumerate(chosen):
        others = [wnid for wnid in wnids if wnid != label_of[key]]
        wrong = number % EXACT < MISLABELLED
        wnid = others[int(draw.integers(len(others)))] if wrong else label_of[key]
        target = f"train/{wnid}/images/{wnid}_planted{number}.JPEG"
        if number < EXACT:
            shutil.copyfile(source / key, copy / target)
            exact[key] = target
        else:
            _encode_again(source / key, copy / target, draw, resized=number % 2 == 1)
            again[key] = target
        if wrong:
            mislabelled.add(target)
    files = sorted(
        str(p.relative_to(copy)) for p in (copy / "train").rglob("*.JPEG") if "planted" not in p.name
    )
    cut = set(draw.permutation(files)[:CUT].tolist())
    for key in cut:
        content = (copy / key).read_bytes()
        (copy / key).unlink()  # a link: the original stays
        (copy / key).write_bytes(content[: len(content) // 2])
    return Planted(exact, again, mislabelled, cut)


def _link(source: Path, copy: Path) -> None:
    def link(old: str, new: str) -> None:
        try:
            os.link(old, new)
        except OSError:
            shutil.copyfile(old, new)

    shutil.copytree(source, copy, copy_function=link)


def _encode_again(old: Path, new: Path, draw: np.random.Generator, *, resized: bool) -> None:
    image = Image.open(old).convert("RGB")
    if resized:
        side = int(draw.integers(48, 97))
        curve = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
        image = image.resize((side, side), curve[int(draw.integers(3))])
    image.save(new, "JPEG", quality=int(draw.integers(60, 86)))


def compare(planted: Planted, data: TaskData, checks: TaskChecks) -> dict[str, float]:
    """Count what of the planted was found, and what was found besides."""
    place = {key: index for index, key in enumerate(data.keys)}
    exact, near = set(checks.test_exact), set(checks.test_near)
    told = {frozenset((p.first.file, p.second.file)) for p in checks.conflicts}
    wrong = [
        frozenset((key, target))
        for key, target in (planted.exact | planted.again).items()
        if target in planted.mislabelled
    ]
    known = {place[key] for key in planted.exact | planted.again}
    return {
        "exact_found": sum(place[key] in exact for key in planted.exact),
        "again_found": sum(place[key] in near for key in planted.again),
        "mislabelled_found": sum(pair in told for pair in wrong),
        "cut_found": len(planted.cut & {entry["file"] for entry in data.unreadable}),
        "test_twins_besides": len((exact | near) - known),
        "conflicts": checks.counts["conflicts"],
    }


def _checked(folder: Path, cache: Path) -> tuple[TaskData, float]:
    task = TaskSpec(name="t", data=str(folder), image_size=64)
    data = prepare(task, base_dir=Path("/"), cache_dir=cache, on_corrupt="exclude", download=False)
    return data, data.seconds


def _anonymous_mb() -> int:
    """Return the memory that is the process's own, without mapped files; or else the peak of all."""

    def lines() -> Iterator[str]:
        with Path("/proc/self/status").open(encoding="utf-8") as status:
            yield from (line.split()[1] for line in status if line.startswith("RssAnon"))

    try:
        return round(int(next(lines())) / 1024)
    except (OSError, StopIteration):
        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
