"""Which run may start next: the plan's order, sources first, each once."""

from hypothesis import given
from hypothesis import strategies as st

from bakeoff.study.engines.schedule import Schedule


def test_runs_without_sources_start_in_the_plans_order():
    schedule = Schedule([None, None, None])
    assert [schedule.take() for _ in range(3)] == [0, 1, 2]
    assert not schedule.has_next


def test_what_stands_on_a_run_waits_for_its_end_and_then_comes_before_what_is_later_in_the_plan():
    schedule = Schedule([None, 0, None, None])
    assert (schedule.take(), schedule.take()) == (0, 2)
    schedule.end(2)
    schedule.end(0)
    assert (schedule.take(), schedule.take()) == (1, 3)


@given(st.lists(st.integers(0, 8), max_size=30), st.integers(1, 5), st.randoms())
def test_with_any_plan_and_any_room_every_run_starts_once_and_after_its_source(draws, room, chance):
    sources = [i - 1 - draw if draw < i else None for i, draw in enumerate(draws)]  # sources come before
    schedule, at_work, ended = Schedule(sources), [], []
    while schedule.has_next or at_work:
        if schedule.has_next and len(at_work) < room:
            position = schedule.take()
            assert sources[position] is None or sources[position] in ended
            at_work.append(position)
        else:
            over = at_work.pop(chance.randrange(len(at_work)))
            ended.append(over)
            schedule.end(over)
    assert sorted(ended) == list(range(len(sources)))
