"""What a journal shows: why trials ended, the best so far, and which settings mattered."""

from __future__ import annotations

from bakeoff.evidence import trials as module
from bakeoff.evidence.trials import best_so_far, importances, search_cost, summarise_search
from bakeoff.records import RunRecord
from bakeoff.records.trials import Journal, Trial, TrialsFile
from bakeoff.searching.rungs import ETA


def trial(number: int, accuracy: float | None, rung: int = 0, **changes) -> Trial:
    values = {"proposed": "tpe", "point": {"width": 16 + 8 * (number % 5), "kernel": 3 + 2 * (number % 2)},
              "loss": 1.0, "seconds": 2.0, "elapsed": 10.0 * number + rung, **changes}  # fmt: skip
    return Trial(number=number, rung=rung, accuracy=accuracy, **values)


def record(**search) -> RunRecord:
    return RunRecord(
        identity="i", study="s", task="t", candidate="search", seed=0, status="finished", model="found: it",
        train_seconds=30.0, search={"seconds": 20.0, "trials": 4, "refused": {"parameters": 3}, **search},
    )  # fmt: skip


def test_it_halves_by_the_number_that_the_search_halves_by():
    assert module.ETA == ETA


def test_every_trial_says_how_it_ended(tmp_path):
    file = TrialsFile(tmp_path / "trials.jsonl")
    file.add("plan", {"rungs": [{"pixels": 8, "epochs": 1}, {"pixels": 8, "epochs": 3}]})
    for one in (
        trial(0, 0.3), trial(1, 0.6), trial(2, None, status="diverged", reason="the loss was nan"),
        trial(1, 0.7, rung=1), trial(3, 0.5),
    ):  # fmt: skip
        file.add_trial(one)
    file.add("final", {"number": 1})
    found = summarise_search(record(), file.path)
    assert found is not None
    assert [one.end for one in found.trials] == [
        "stopped: 3rd of 4 at rung 1, one went on",
        "won: trained to the end",
        "diverged: the loss was nan",
        "stopped: 2nd of 4 at rung 1, one went on",
    ]
    assert found.trials[1].accuracies == (0.6, 0.7)
    assert found.trials[1].seconds == 4.0
    assert found.refused == (("parameters", 3),)
    assert found.best_so_far == ((0.0, 0.3, 0), (10.0, 0.6, 0), (11.0, 0.7, 1))


def test_runs_without_a_journal_have_no_search(tmp_path):
    assert summarise_search(record(), tmp_path / "trials.jsonl") is None


def test_the_best_so_far_never_leaves_a_higher_rung():
    rows = (trial(0, 0.8), trial(0, 0.5, rung=1), trial(1, 0.9))
    assert [rung for _, _, rung in best_so_far(Journal({}, rows, {}))] == [0, 1]


def test_the_setting_that_decides_is_the_most_important(tmp_path):
    file = TrialsFile(tmp_path / "trials.jsonl")
    for number in range(30):
        file.add_trial(trial(number, 0.2 + 0.1 * (number % 5) + 0.001 * (number % 2)))
    found = summarise_search(record(), file.path)
    assert found is not None
    assert found.importance[0].setting == "width"
    assert found.importance[0].share > 0.9
    assert found.explained > 0.8


def test_few_trials_tell_nothing_of_importance():
    assert importances(()) == ((), 0.0)


def test_the_cost_of_trials_is_their_mean_over_seeds():
    assert search_cost([record(), record(seconds=40.0)]) == {
        "search_seconds": 30.0,
        "searched": "4 trials in 30 s",
    }
    assert search_cost([]) == {}
