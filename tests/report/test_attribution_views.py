from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from heat_maps import with_heat
from studies import CandidateSketch, TaskSketch, make_study

from bakeoff.records import StudyFolder
from bakeoff.report.attribution_views import heat_table
from bakeoff.report.page import render_page
from bakeoff.report.publish import publish
from bakeoff.report.view import HeatTable
from bakeoff.report.views import study_view

TASK = "5 classes"


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return make_study(tmp_path / "study", seeds=[0, 1])


def table(folder: StudyFolder, *, images: bool = True) -> HeatTable | None:
    return study_view(folder, images=images).tasks[0].heat


def found(folder: StudyFolder) -> HeatTable:
    heat = table(folder)
    assert heat is not None
    return heat


def test_images_are_rows_in_their_groups_and_candidates_columns_best_first(folder: StudyFolder) -> None:
    kept = with_heat(folder, TASK)
    heat = found(folder)
    assert [column.candidate for column in heat.columns] == [one.candidate for one in kept.candidates]
    assert heat.columns[0].candidate == "model4"
    assert [column.color for column in heat.columns] == [
        ["model1", "model4", "model5"].index(column.candidate) for column in heat.columns
    ]
    assert heat.columns[1].lines == ("Grad-CAM", "conv1", "8 \N{MULTIPLICATION SIGN} 8")
    assert [row.heading for row in heat.rows if row.heading] == [
        "Right for all",
        "Right for some, wrong for others; first where the two most accurate differ",
        "Wrong for all",
    ]
    assert [bool(row.heading) for row in heat.rows] == 3 * [True, False, False, False]


def test_every_cell_says_what_was_answered_how_sure_and_whether_it_is_right(folder: StudyFolder) -> None:
    kept = with_heat(folder, TASK)
    record = folder.read_task(TASK)
    assert record is not None
    for image, row in zip(kept.images, found(folder).rows, strict=True):
        assert row.name == record.class_names[image.label]
        verdicts = [cell.verdict for cell in row.cells]
        assert verdicts.count("right") == image.right
        assert row.words == f"{image.right} of 3 right"
        for one, cell in zip(kept.candidates, row.cells, strict=True):
            run = folder.run(TASK, one.candidate, 0).read_predictions()
            assert run is not None
            at = run.index_N.tolist().index(image.index)
            assert cell.answer == record.class_names[run.top_NT[at, 0]]
            assert (cell.verdict == "right") == (run.top_NT[at, 0] == image.label) == (cell.tone == "good")
            assert cell.alt.startswith(f"{one.candidate} answers {cell.answer}: what speaks for it is ")
            probability = float(run.probability_NT[at, 0])
            assert cell.sure.replace("\N{NO-BREAK SPACE}", " ") in (f"{100 * probability:.0f} %", "> 99 %")
            assert cell.uri.startswith("data:image/")


def test_an_image_in_which_nothing_speaks_says_so_in_words(folder: StudyFolder) -> None:
    maps = np.zeros((12, 4, 4), np.uint8)
    maps[1:, 0, 0] = 255
    with_heat(folder, TASK, {"model4": {"maps": maps}})
    heat = found(folder)
    assert heat.rows[0].cells[0].remark == "nothing speaks for it"
    assert heat.rows[0].cells[0].alt.endswith("nothing in the image speaks for it")
    assert heat.rows[1].cells[0].remark == ""
    assert heat.rows[1].cells[0].alt.endswith("at the upper left")


def test_what_differs_between_candidates_is_said_below(folder: StudyFolder) -> None:
    with_heat(folder, TASK, {
        "model1": {"method": "occlusion", "layer": "", "note": "it works on rows of patches, not on maps"},
        "model4": {"note": "its last convolution, conv8, gives maps of 1 x 1"},
        "model5": {"maps": None, "method": "", "layer": "", "note": "RuntimeError: no", "seed": 1},
    })  # fmt: skip
    heat = found(folder)
    assert [column.candidate for column in heat.columns] == ["model4", "model1"]
    assert all(len(row.cells) == 2 for row in heat.rows)
    assert heat.columns[1].lines[0] == "occlusion"
    text = " ".join(heat.notes)
    assert "model5 could not be asked where it looked: RuntimeError: no." in text
    assert "model1: Grad-CAM does not apply, because it works on rows of patches, not on maps." in text
    assert "The last convolution gives maps of 1 \N{MULTIPLICATION SIGN} 1 in model4: too few places" in text
    assert "by seed" not in text  # those that are shown are of one seed


def test_a_candidate_that_was_trained_again_is_not_shown_with_its_old_maps(folder: StudyFolder) -> None:
    with_heat(folder, TASK)
    run = folder.run(TASK, "model1", 0)
    record = run.read()
    assert record is not None
    run.write(replace(record, identity="another"))
    heat = found(folder)
    assert "model1" not in [column.candidate for column in heat.columns]
    assert any(note.startswith("model1 was trained again") for note in heat.notes)


def test_older_records_and_pages_without_images_have_no_such_part(folder: StudyFolder) -> None:
    assert table(folder) is None
    with_heat(folder, TASK)
    assert table(folder) is not None
    assert table(folder, images=False) is None
    assert "Where the networks looked" not in render_page(study_view(folder, images=False))
    (folder.path / "tasks" / "5-classes" / "examples.npz").unlink()
    assert table(folder) is None


def test_all_that_failed_is_told_without_an_empty_table(folder: StudyFolder) -> None:
    gone = {"maps": None, "method": "", "layer": "", "note": "its weights are not there any more"}
    with_heat(folder, TASK, dict.fromkeys(("model1", "model4", "model5"), gone))
    heat = found(folder)
    assert (heat.columns, heat.rows, heat.words) == ((), (), ())
    assert len(heat.notes) == 3
    assert "could not be asked where it looked" in render_page(study_view(folder))


def test_a_lone_candidate_is_right_or_wrong_for_nobody_else(tmp_path: Path) -> None:
    folder = make_study(tmp_path, candidates=[CandidateSketch(name="only", skill=1.5)], seeds=[0])
    with_heat(folder, TASK)
    assert [row.heading for row in found(folder).rows if row.heading] == ["Right", "Wrong"]


def test_the_page_shows_each_picture_with_words_in_place_of_it(folder: StudyFolder) -> None:
    with_heat(folder, TASK)
    page = render_page(study_view(folder))
    heat = found(folder)
    assert page.count('<div class="scroll heat" tabindex="0" role="region"') == 1
    for row in heat.rows:
        assert f'alt="Test image of {row.name}"' in page
        for cell in row.cells:
            assert cell.uri in page
            assert f'alt="{cell.alt}"' in page
    assert page == render_page(study_view(folder))


def test_twelve_images_of_fourteen_candidates_cost_less_than_half_a_megabyte(tmp_path: Path) -> None:
    nets = [CandidateSketch(name=f"candidate {number:02d}", skill=0.3 * number) for number in range(14)]
    task = TaskSketch(name=TASK, classes=16, test_images=320, validation_images=16)
    folder = make_study(tmp_path / "study", tasks=[task], candidates=nets, seeds=[0])
    index = sorted(folder.read_examples(TASK))
    noise_NHWC = np.random.default_rng(0).integers(0, 256, (len(index), 16, 16, 3), dtype=np.uint8)
    # Coarse noise at full size: photographs compress further.
    folder.write_examples(TASK, np.array(index), noise_NHWC.repeat(4, axis=1).repeat(4, axis=2))
    without = len(render_page(study_view(folder)))
    kept = with_heat(folder, TASK)
    assert (len(kept.images), len(kept.maps)) == (12, 14)
    assert len(render_page(study_view(folder))) - without < 500_000
    (file,) = folder.path.rglob("attributions.npz")
    assert file.stat().st_size < 300_000


def test_a_publication_keeps_the_maps_without_paths_and_without_pictures(
    folder: StudyFolder, tmp_path: Path
) -> None:
    gone = {"maps": None, "method": "", "layer": "", "note": "load: /home/ann/secret/net.py is not as it was"}
    kept = with_heat(folder, TASK, {"model1": gone})
    public = StudyFolder(publish(folder, tmp_path / "public").path)
    there = public.read_attributions(TASK)
    assert there is not None
    assert there.images == kept.images
    assert all(np.array_equal(there.maps[name], kept.maps[name]) for name in kept.maps)
    notes = {one.candidate: one.note for one in there.candidates}
    assert notes["model1"] == "load: …/net.py is not as it was"
    assert "data:image" not in public.report_path.read_text(encoding="utf-8")
    again = StudyFolder(publish(public, tmp_path / "again").path)
    assert again.read_attributions(TASK) is not None


def test_the_table_asks_only_for_what_is_kept(tmp_path: Path) -> None:
    assert heat_table(StudyFolder(tmp_path), "none", [], {}, images=True) is None
