from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from studies import CandidateSketch, TaskSketch, make_study

from bakeoff.records import LabelErrors, StudyFolder
from bakeoff.records.label_errors import DoubtedLabel, Outlier
from bakeoff.report.label_error_views import label_errors_view
from bakeoff.report.page import render_page
from bakeoff.report.publish import publish
from bakeoff.report.views import study_view

TASK = TaskSketch(name="t", classes=5, test_images=60, validation_images=30)
DOUBT = DoubtedLabel(
    index=301, part="test", file="val/x<1>.png", label=1, suggested=4, label_probability=0.012,
    suggested_probability=0.961, runs_for=5,
)  # fmt: skip
ODD = Outlier(index=12, part="validation", file="y.png", label=0, loss=3.2, entropy=0.93, runs_right=1)


def found(**changes: object) -> LabelErrors:
    values: dict[str, object] = {
        "of": ["a"], "candidates": ["one", "two"], "runs": 4, "asked": 6, "images": 90, "accuracy": 0.91,
        "doubted": 7, "as_sure": 40, "as_sure_against": 9, "as_sure_expected": 0.8, "labels": [DOUBT],
        "outliers": [ODD],
    }  # fmt: skip
    return LabelErrors(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    nets = [CandidateSketch(name="one", skill=2.0)]
    return make_study(tmp_path / "study", tasks=[TASK], candidates=nets, seeds=[0])


def keep(folder: StudyFolder, what: LabelErrors) -> None:
    images_NHWC = np.zeros((2, 32, 32, 3), dtype=np.uint8)
    images_NHWC[:, :16] = 200
    folder.write_label_errors("t", what, np.array([12, 301]), images_NHWC)


def test_a_label_is_shown_beside_what_the_networks_say(folder: StudyFolder) -> None:
    keep(folder, found())
    view = label_errors_view(folder, "t", images=True)
    assert view is not None
    (card,) = view.labels
    assert card.title == "Labelled salamander; they say alligator"
    assert card.words == (
        "5 of 6 runs say alligator, on average with 96.1 % against 1.20 %; test image val/x<1>.png"
    )
    assert card.thumbs[0].uri.startswith("data:image/jpeg;base64,")
    (odd,) = view.outliers
    assert odd.title == "Labelled goldfish"
    assert odd.words.startswith("right in 1 of 6 runs; validation image y.png")
    assert view.words.startswith("Worth a look, not proved wrong: ")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "So about 8 of these labels may really be wrong."),
        ({"as_sure_expected": 7.9}, "no more than one would expect if every label were right"),
        ({"accuracy": 0.46}, "They are right on 46.0 % only: expect mostly their own mistakes."),
    ],
)
def test_how_far_to_trust_it_depends_on_how_good_the_networks_are(
    folder: StudyFolder, changes: dict[str, float], said: str
) -> None:
    keep(folder, found(**changes))
    view = label_errors_view(folder, "t", images=True)
    assert view is not None
    assert said in view.words
    assert "contradict the label of 9; by their own doubt" in view.words


def test_nothing_looked_for_and_nothing_found_shows_nothing(folder: StudyFolder) -> None:
    assert label_errors_view(folder, "t", images=True) is None
    keep(folder, found(labels=[], outliers=[]))
    assert label_errors_view(folder, "t", images=True) is None
    assert "Images to look at" not in render_page(study_view(folder))


def test_odd_images_without_doubted_labels_say_so(folder: StudyFolder) -> None:
    keep(folder, found(labels=[]))
    view = label_errors_view(folder, "t", images=True)
    assert view is not None
    assert view.words == "No label of the 90 validation and test images is doubted."


def test_names_are_escaped_in_the_page_and_pictures_can_be_left_out(folder: StudyFolder) -> None:
    keep(folder, found())
    page = render_page(study_view(folder))
    assert "Images to look at" in page
    assert "x&lt;1&gt;.png" in page
    assert "x<1>.png" not in page
    bare = render_page(study_view(folder, images=False))
    assert "x&lt;1&gt;.png" in bare
    assert "data:image/jpeg" not in bare


def test_a_publication_names_the_images_without_their_pictures(folder: StudyFolder, tmp_path: Path) -> None:
    keep(folder, found())
    public = StudyFolder(publish(folder, tmp_path / "public").path)
    assert public.read_label_errors("t") == found()
    assert public.read_label_error_images("t") == {}
    assert "x&lt;1&gt;.png" in public.report_path.read_text()
