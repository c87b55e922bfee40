"""The journal of a search on the disk: whole lines, whatever happens."""

from __future__ import annotations

import pytest

from bakeoff.errors import StudyError
from bakeoff.records.trials import Journal, Trial, TrialsFile


@pytest.fixture
def file(tmp_path) -> TrialsFile:
    return TrialsFile(tmp_path / "run" / "trials.jsonl")


def trial(number: int, accuracy: float = 0.5, **changes) -> Trial:
    values = {"proposed": "tpe", "point": {"width": 16}, "accuracy": accuracy, "loss": 1.0, **changes}
    return Trial(number=number, **values)


def test_what_is_added_is_read_back_in_order(file):
    assert file.read() == Journal()
    file.add("plan", {"rungs": []})
    file.add_trial(trial(0))
    file.add_trial(trial(0, rung=1))
    file.add("final", {"number": 0})
    assert file.read() == Journal({"rungs": []}, (trial(0), trial(0, rung=1)), {"number": 0})


def test_the_torn_line_of_a_killed_process_is_cut_off_by_the_next(file):
    file.add_trial(trial(0))
    with file.path.open("ab") as torn:
        torn.write(b'{"kind": "trial", "num')
    assert file.read().trials == (trial(0),)
    file.add_trial(trial(1))
    assert file.read().trials == (trial(0), trial(1))


def test_a_damaged_line_in_the_middle_is_named(file):
    file.add_trial(trial(0))
    file.path.write_bytes(b"not JSON\n" + file.path.read_bytes())
    with pytest.raises(StudyError, match="damaged in line 1"):
        file.read()


def test_the_best_is_of_the_highest_rung(file):
    for one in (trial(0, 0.9), trial(1, 0.3), trial(1, 0.4, rung=1), trial(2, 0.95, status="diverged")):
        file.add_trial(one)
    best = file.read().best
    assert best is not None
    assert (best.number, best.rung) == (1, 1)


def test_a_killed_process_has_paid_up_to_its_last_stroke(file):
    assert file.charged() == 0.0
    file.beat(12.5)
    file.add_trial(trial(0, elapsed=11.0))
    assert file.charged() == 12.5
    file.add_trial(trial(1, elapsed=14.0))
    assert file.charged() == 14.0
    file.stop_clock()
    assert file.charged() == 14.0
