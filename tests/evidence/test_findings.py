from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from studies import make_study

from bakeoff.evidence.findings import SHOWN_IMAGES, SHOWN_PAIRS, checks_of, shown_findings
from bakeoff.records import StudyFolder
from bakeoff.records.checks import CheckedImage, CheckedPair, FlaggedImage, TaskChecks


def image(index: int, part: str = "test", label: str = "ant") -> CheckedImage:
    return CheckedImage(index=index, file=f"{index}.png", part=part, label=label)  # type: ignore[arg-type]


def pair(first: int, second: int) -> CheckedPair:
    return CheckedPair(first=image(first), second=image(second, "train"), exact=False, likeness=0.95)


CHECKS = TaskChecks(
    data_fingerprint="d", split_digest="s", images=100,
    leaks=[pair(1, 50), pair(2, 51)],
    conflicts=[pair(50, 1), *(pair(10 + number, 60 + number) for number in range(9))],
    repeats=[pair(2, 51), pair(3, 4)],
    flagged={
        "dark": [FlaggedImage(image=image(90 + number), value=float(number)) for number in range(9)],
        "blank": [], "blurred": [FlaggedImage(image=image(1), value=0.01)],
    },
)  # fmt: skip


def test_no_pair_is_shown_twice_whichever_way_round() -> None:
    shown = shown_findings(CHECKS)
    assert [(p.first.index, p.second.index) for p in shown.leaks] == [(1, 50), (2, 51)]
    assert [p.first.index for p in shown.conflicts] == [10 + number for number in range(SHOWN_PAIRS)]
    assert [p.first.index for p in shown.repeats] == [3]


def test_the_worst_images_of_each_kind_that_occurs_are_shown() -> None:
    shown = shown_findings(CHECKS)
    assert [(kind, [one.image.index for one in images]) for kind, images in shown.images] == [
        ("dark", [90 + number for number in range(SHOWN_IMAGES)]), ("blurred", [1]),
    ]  # fmt: skip
    assert shown.indices == [1, 2, 3, 4, *range(10, 16), 50, 51, *range(60, 66), *range(90, 94)]


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return make_study(tmp_path / "study")


def test_checks_of_other_images_or_another_split_are_none(folder: StudyFolder) -> None:
    record = folder.read_task("5 classes")
    assert record is not None
    assert checks_of(folder, "5 classes", record) is None  # an older study has none
    own = replace(CHECKS, data_fingerprint=record.data_fingerprint, split_digest=record.split_digest)
    folder.write_checks("5 classes", own)
    assert checks_of(folder, "5 classes", record) == own
    assert checks_of(folder, "5 classes", replace(record, split_digest="another")) is None
    assert checks_of(folder, "5 classes", replace(record, data_fingerprint="another")) is None
    assert checks_of(folder, "5 classes", None) is None
