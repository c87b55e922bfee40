from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image
from studies import CandidateSketch, TaskSketch, make_study

from bakeoff.errors import StudyError
from bakeoff.records import StudyFolder
from bakeoff.report.write import write_charts, write_report

TASK = [TaskSketch(name="a task", classes=3, test_images=60, validation_images=30)]
NETS = [CandidateSketch(name="one", skill=1.0), CandidateSketch(name="two", skill=2.0)]


def test_the_page_and_both_tables_are_written_again(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "s", tasks=TASK, candidates=NETS, seeds=[0])
    csv, json = folder.csv_path.read_bytes(), folder.json_path.read_bytes()
    folder.csv_path.unlink()
    folder.json_path.unlink()
    assert write_report(folder) == folder.report_path
    assert folder.csv_path.read_bytes() == csv
    assert folder.json_path.read_bytes() == json
    assert [path.name for path in folder.path.iterdir() if path.name.startswith(".")] == []


def test_charts_are_pictures_for_markdown(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "s", tasks=TASK, candidates=NETS, seeds=[0])
    written = write_charts(folder, tmp_path / "charts")
    names = [path.name for path in written]
    assert names[:4] == ["a-task-accuracy.png", "a-task-accuracy.svg", "a-task-cost.png", "a-task-cost.svg"]
    for path in written:
        if path.suffix == ".png":
            with Image.open(path) as picture:
                assert picture.width == 1280
                assert len(picture.convert("RGB").getcolors(maxcolors=1000) or []) > 5
        else:
            assert "a task" in path.read_text(encoding="utf-8")


def test_a_study_without_a_result_has_no_charts(tmp_path: Path) -> None:
    missing = {("a task", net.name, 0) for net in NETS}
    folder = make_study(tmp_path / "s", tasks=TASK, candidates=NETS, seeds=[0], missing=missing)
    with pytest.raises(StudyError, match=r"--charts: .* holds no run with a result"):
        write_charts(folder, tmp_path / "charts")


def test_the_same_study_elsewhere_gives_the_same_page(tmp_path: Path) -> None:
    here = make_study(tmp_path / "here", tasks=TASK, candidates=NETS, seeds=[0])
    shutil.copytree(here.path, tmp_path / "there")
    pages = [write_report(StudyFolder(tmp_path / name)).read_bytes() for name in ("here", "there")]
    assert pages[0] == pages[1]


def test_of_more_candidates_than_can_be_named_beside_their_points_a_legend_tells(tmp_path: Path) -> None:
    nets = [
        CandidateSketch(name=f"net {n}", skill=1 + n / 10, train_seconds=10.0 * (n + 1)) for n in range(10)
    ]
    task = TaskSketch(name="a task", classes=3, test_images=60, validation_images=30)
    folder = make_study(tmp_path / "study", tasks=[task], candidates=nets, seeds=[0])
    write_charts(folder, tmp_path / "charts")
    cost = (tmp_path / "charts" / "a-task-cost.svg").read_text(encoding="utf-8")
    accuracy = (tmp_path / "charts" / "a-task-accuracy.svg").read_text(encoding="utf-8")
    assert cost.count("role-legend-label") == 10
    assert "role-legend" not in accuracy  # its axis names them
    assert all(accuracy.count(f">net {n}<") == 1 for n in range(10))
