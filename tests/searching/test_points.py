"""Points of a space: drawn, moved, and what they mean."""

from __future__ import annotations

import pytest

from bakeoff import rng
from bakeoff.searching.points import draw_point, is_active, network_of, recipe_of, start_point, step_from
from bakeoff.spec import Recipe
from bakeoff.spec.space import SPACE, narrowed


def chance(*counters: int):
    return rng.generator(0, "points", *counters)


@pytest.mark.parametrize("number", range(40))
def test_every_drawn_point_is_in_the_space_and_means_a_network_and_a_recipe(number):
    point = draw_point(SPACE, chance(number))
    assert all(SPACE[name].holds(value) for name, value in point.items())
    assert set(point) == {name for name in SPACE if is_active(SPACE, point, name)}
    network = network_of(point)
    assert len(network.stages) == point["stages"]
    assert network.stages[0].down == "none"
    recipe = Recipe().overlaid(recipe_of(point, 64), "test")
    assert recipe.optimizer.name == point["optimizer"]
    assert recipe.optimizer.lr == point[f"{point['optimizer']}_lr"]
    assert recipe.schedule != "constant"  # its rate ends at zero


def test_a_tasks_own_mixing_gives_way_to_what_was_drawn():
    task = Recipe.model_validate({"augmentation": {"cutmix": 1.0, "crop": 3}})
    point = start_point(SPACE, 64) | {"mix": "none", "crop": 0.125}
    found = task.overlaid(recipe_of(point, 64), "test").augmentation
    assert (found.cutmix, found.mixup, found.crop) == (0.0, 0.0, 8)


@pytest.mark.parametrize("number", range(40))
def test_a_step_changes_one_to_three_settings_and_stays_inside(number):
    space = narrowed({"width": [16, 32], "block": "plain", "optimizer": "muon"})
    before = start_point(space, 64)
    after = step_from(space, before, chance(number))
    changed = [name for name in before if after.get(name) != before[name]]
    assert 0 < len(changed) <= 3
    assert all(space[name].holds(value) for name, value in after.items())
    assert {"block", "optimizer"}.isdisjoint(changed)


def test_another_optimizer_brings_its_own_rate():
    space, found = narrowed({}), set()
    for number in range(200):
        after = step_from(space, start_point(space, 64), chance(number))
        found.add(after["optimizer"])
        assert f"{after['optimizer']}_lr" in after
        assert len([name for name in after if name.endswith("_lr")]) == 1
    assert found == {"sgd", "adamw", "muon"}


def test_a_space_in_which_all_is_fixed_has_one_point():
    fixed = narrowed({name: dimension.start for name, dimension in SPACE.items()})
    assert step_from(fixed, start_point(fixed, 64), chance()) == start_point(fixed, 64)
    assert draw_point(fixed, chance()) == start_point(fixed, 64)


def test_small_images_are_not_halved_by_the_stem_of_the_first_network():
    assert network_of(start_point(SPACE, 64)).stem == SPACE["stem"].start
    assert network_of(start_point(SPACE, 32)).stem == "plain"
