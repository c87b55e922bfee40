"""Proposals follow from the seed, the number and the trials before, and from nothing else."""

from __future__ import annotations

from bakeoff.records.trials import Trial
from bakeoff.searching.points import start_point
from bakeoff.searching.proposals import propose
from bakeoff.spec.search import SearchSpec
from bakeoff.spec.space import SPACE

SPEC = SearchSpec(budget="10m")


def told(spec: SearchSpec, count: int, seed: int = 0, planned: int = 12) -> list[Trial]:
    """Propose and answer so many times; wider networks are the better ones."""
    trials: list[Trial] = []
    for number in range(count):
        found = propose(
            spec, trials, number=number, attempt=0, seed=seed, pixels=64, planned=planned
        )  # fmt: skip
        accuracy = float(found.point["width"]) / 200
        trials.append(
            Trial(number=number, proposed=found.proposed, parent=found.parent, point=found.point,
                  accuracy=accuracy, loss=1.0)
        )  # fmt: skip
    return trials


def test_the_same_seed_proposes_the_same_and_another_one_something_else():
    assert told(SPEC, 10) == told(SPEC, 10)
    assert told(SPEC, 10)[1:] != told(SPEC, 10, seed=1)[1:]


def test_a_search_that_goes_on_proposes_what_it_would_have_proposed():
    whole = told(SPEC, 9)
    again = propose(SPEC, whole[:6], number=6, attempt=0, seed=0, pixels=64, planned=12)
    assert again.point == whole[6].point


def test_it_begins_at_the_start_and_ends_with_steps_from_the_best():
    trials = told(SPEC, 12)
    assert trials[0].point == start_point(SPACE, 64)
    assert [one.proposed for one in trials] == ["start", *["tpe"] * 3, *["local"] * 8]
    best = max(trials[:4], key=lambda one: one.score)
    assert trials[4].parent == best.number


def test_no_point_is_proposed_twice():
    points = [trial.point for trial in told(SPEC, 20)]
    assert all(point not in points[:index] for index, point in enumerate(points))


def test_a_refused_proposal_is_followed_by_another_at_the_same_number():
    trials = told(SPEC, 3)
    first = propose(SPEC, trials, number=3, attempt=0, seed=0, pixels=64, planned=12)
    refused = Trial(number=3, proposed="tpe", point=first.point, status="refused", reason="parameters: 9")
    second = propose(SPEC, [*trials, refused], number=3, attempt=1, seed=0, pixels=64, planned=12)
    assert second.point != first.point


def test_optuna_learns_from_what_was_tried():
    wide = SearchSpec(budget="10m", space={"optimizer": "muon"})
    late = told(wide, 60, planned=200)
    widths = [float(trial.point["width"]) for trial in late]
    assert sum(widths[40:]) / 20 > sum(widths[1:11]) / 10 + 10


def test_chance_alone_heeds_no_result():
    spec = SearchSpec(budget="10m", method="random")
    blind = propose(spec, [], number=4, attempt=0, seed=0, pixels=64, planned=12)
    assert blind.point == told(spec, 5)[4].point
    assert blind.proposed == "chance"
