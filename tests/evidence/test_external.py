"""What a table says of an external program."""

import pytest

from bakeoff.evidence.external import control_words
from bakeoff.records import RunRecord

TOLD = {"command": ["x"], "version": "", "seconds_given": 600.0, "seconds_said": 1.0, "seconds_seen": 2.0}


@pytest.mark.parametrize(
    ("control", "differences", "external", "words"),
    [
        ("budget", {}, TOLD, "the same split and budget (10 min); its recipe is its own, and what it"),
        (
            "budget",
            {"time": ["600s", "640s"]},
            TOLD,
            "the same split, but longer than the 10 min of the",
        ),
        ("recipe", {"time": [None, "600s"]}, TOLD, "the same split, 10 min to train; its recipe is its own"),
        ("recipe", {}, {}, ""),
    ],
)
def test_a_row_says_what_was_held_equal_and_what_was_not(control, differences, external, words):
    record = RunRecord(
        identity="x", study="s", task="t", candidate="c", seed=0, status="finished", control=control,
        differences=differences, external=external,
    )  # fmt: skip
    assert control_words(record).startswith(words)
    assert bool(control_words(record)) == bool(words)
