"""What a study will cost, said before anything is trained and without leaving a trace."""

import pytest
import small_study

from bakeoff.errors import ConfigError, StudyError
from bakeoff.study import Selection, estimate, estimate_study
from bakeoff.training.cost import Measured

CANDIDATES = small_study.study()["candidate"]

ODD_NET = """
from torch import nn


class Odd(Exception):
    pass


class OnlyInTraining(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, classes))

    def forward(self, x):
        if self.training:
            raise Odd("not with me")
        return self.net(x)


def build(classes, image_size):
    return OnlyInTraining(classes)
"""


def _estimate(base, out, values=None, **options):
    spec = small_study.study_from_dict(values or small_study.study(), "small.toml")
    return estimate_study(spec, out, base_dir=base, device="cpu", threads=1, **options)


def test_nothing_is_written_into_a_new_studys_folder(tmp_path):
    small_study.write(tmp_path)
    before = small_study.contents(tmp_path)
    _estimate(tmp_path, tmp_path / "out")
    assert small_study.contents(tmp_path) == before
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_into_a_studys_folder_that_is_there(ended, folder):
    before = small_study.contents(ended)
    _estimate(ended, folder.path, small_study.study(seeds=[0, 1]))
    assert small_study.contents(ended) == before


def test_what_is_done_costs_nothing_more(ended, folder):
    whole = _estimate(ended, folder.path)
    assert [(row.candidate, row.runs, row.done) for row in whole.rows] == [
        ("plain", 0, 1), ("dropout", 0, 1),
    ]  # fmt: skip
    assert (whole.seconds, whole.memory_bytes, whole.disk_bytes) == (0, 0, 0)


def test_a_row_counts_the_runs_that_are_missing_and_what_they_take(ended, folder):
    whole = _estimate(ended, folder.path, small_study.study(seeds=[0, 1, 2]))
    plain = whole.rows[0]
    assert (plain.task, plain.candidate, plain.runs, plain.done) == ("digits", "plain", 2, 1)
    assert plain.parameters == small_study.PARAMETERS[3]
    assert plain.images_per_second > 0
    assert whole.seconds == sum(row.seconds for row in whole.rows) > 0
    assert whole.memory_bytes == max(row.memory_bytes for row in whole.rows)
    assert whole.machine == "cpu, 1 threads"
    assert whole.cache_bytes == 537 * 8 * 8 * 3  # scikit-learn has 537 digits below 3


def test_time_and_disk_are_those_of_all_missing_runs(ended, folder, monkeypatch):
    found = Measured(
        seconds_per_step=0.01,
        seconds_per_prediction=0.001,
        memory_bytes=7,
        parameters=100,
        images_per_second=3200.0,
    )
    monkeypatch.setattr(estimate, "measure", lambda job: found)
    row = _estimate(ended, folder.path, small_study.study(seeds=[0, 1, 2])).rows[0]
    # Two runs of 26 steps; 43 validation images after each epoch and at the end, and 107 test images.
    assert row.seconds == pytest.approx(2 * (26 * 0.01 + (3 * 43 + 107) * 0.001), rel=0.02)
    assert row.disk_bytes == 2 * 4 * (100 + 3 * (43 + 107)) + 3 * 4 * 100  # and one checkpoint at a time
    assert row.memory_bytes == 7


def test_the_disk_that_is_said_is_the_disk_that_is_taken(ended, folder, tmp_path):
    small_study.write(tmp_path)
    row = _estimate(tmp_path, tmp_path / "out").rows[0]
    run = folder.run("digits", "plain", 0)
    weights = 4 * small_study.PARAMETERS[3]
    probabilities = 4 * 3 * (43 + 107)  # validation and test images, float32
    assert row.disk_bytes == weights + probabilities + 3 * weights
    assert run.weights_path.stat().st_size > weights


def test_more_epochs_take_proportionally_longer(tmp_path):
    small_study.write(tmp_path)
    short, long = (
        _estimate(tmp_path, tmp_path / "out", small_study.study(candidate=CANDIDATES[:1], recipe=recipe))
        for recipe in ({"epochs": 1}, {"epochs": 1000})
    )
    assert 200 < long.seconds / short.seconds < 5000  # of two measurements on a busy machine


def test_a_length_in_seconds_is_taken_at_its_word(tmp_path):
    small_study.write(tmp_path)
    values = small_study.study(candidate=CANDIDATES[:1])
    del values["recipe"]["epochs"]
    values["recipe"]["time"] = "90s"
    (row,) = _estimate(tmp_path, tmp_path / "out", values).rows
    assert 90 < row.seconds < 360  # validation after every epoch comes on top


def test_a_candidate_that_cannot_be_built_says_so_and_the_others_are_timed(tmp_path):
    small_study.write(tmp_path)
    (tmp_path / "odd.py").write_text(ODD_NET)
    values = small_study.study(
        candidate=[
            {"name": "broken", "model": "net.py:broken"},
            {"name": "odd", "model": "odd.py:build"},
            CANDIDATES[0],
        ]
    )
    broken, odd, plain = _estimate(tmp_path, tmp_path / "out", values).rows
    assert broken.problem.startswith("model: net.py:broken failed on one image of 3x8x8")
    assert odd.problem == "Odd: not with me"
    assert (broken.seconds, odd.seconds, plain.problem) == (0, 0, "")
    assert plain.seconds > 0


def test_only_what_is_asked_for_is_timed(tmp_path):
    small_study.write(tmp_path)
    asked = Selection(candidates=("dropout",), seeds=1)
    whole = _estimate(tmp_path, tmp_path / "out", small_study.study(seeds=[0, 1]), selection=asked)
    assert [(row.candidate, row.runs) for row in whole.rows] == [("dropout", 1)]


def test_what_a_run_would_refuse_is_refused_here_too(ended, folder):
    with pytest.raises(StudyError, match=r"holds another study, differing in recipe\.epochs"):
        _estimate(ended, folder.path, small_study.study(recipe={"epochs": 3}))
    with pytest.raises(ConfigError, match="--only: got 'plian'"):
        _estimate(ended, folder.path, selection=Selection(candidates=("plian",)))
