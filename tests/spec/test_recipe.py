"""The recipe: what it refuses at birth, and how overrides are laid over it."""

import pytest
from pydantic import ValidationError

from bakeoff.errors import ConfigError
from bakeoff.spec import Augmentation, Optimizer, Recipe
from bakeoff.units import Length


def refusal(recipe: Recipe, override: dict[str, object]) -> str:
    with pytest.raises(ConfigError) as caught:
        recipe.overlaid(override, "task 't'")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_silent_recipe_trains_one_epoch_with_adam():
    recipe = Recipe()
    assert recipe.length == Length(1, "epochs")
    assert (recipe.optimizer.name, recipe.optimizer.lr, recipe.batch_size) == ("adam", 1e-3, 64)
    assert recipe.augmentation == Augmentation(crop=0, flip="none", mixup=0, cutmix=0)


@pytest.mark.parametrize(
    ("keys", "length"),
    [
        ({"epochs": 30}, Length(30, "epochs")),
        ({"epochs": 0.5}, Length(0.5, "epochs")),
        ({"steps": 1200}, Length(1200, "steps")),
        ({"time": "10m"}, Length(600, "seconds")),
        ({"time": Length(90, "seconds")}, Length(90, "seconds")),
    ],
)
def test_the_length_is_the_one_that_was_given(keys, length):
    assert Recipe(**keys).length == length


def test_a_recipe_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        Recipe().batch_size = 3


@pytest.mark.parametrize("word", [True, False])
def test_flip_may_be_said_as_true_or_false(word):
    assert Augmentation(flip=word).flip == ("random" if word else "none")


# What is refused


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"batch_sise": 1}, "recipe.batch_sise: unknown key; did you mean 'batch_size'?"),
        ({"optimizer": {"lrr": 1}}, "recipe.optimizer.lrr: unknown key; did you mean 'lr'?"),
        ({"augmentation": {"flop": True}}, "recipe.augmentation.flop: unknown key; did you mean 'flip'?"),
        ({"sizes": [[32, 0.5]]}, "recipe: sizes: got shares of 0.5, expected a sum of 1"),
        ({"sizes": [[2, 1.0]]}, "recipe.sizes[1][1]: got 2, expected a number of at least 4"),
        ({"test_views": "ten"}, "recipe.test_views: got 'ten', expected 'one', 'mirror' or 'six'"),
        ({"batch_size": 0}, "recipe.batch_size: got 0, expected a number of at least 1"),
        ({"epochs": 1e308}, "recipe.epochs: got 1e+308, expected a number of at most 1000000"),
        ({"steps": 10**13}, "recipe.steps: got 10000000000000, expected a number of at most 1000000000000"),
        ({"augmentation": {"crop": 1025}},
         "recipe.augmentation.crop: got 1025, expected a number of at most 1024"),
        ({"batch_size": True}, "recipe.batch_size: got True, expected a whole number"),
        ({"batch_size": "64"}, "recipe.batch_size: got '64', expected a whole number"),
        ({"batch_size": 64.0}, "recipe.batch_size: got 64.0, expected a whole number"),
        ({"batch_size": {"a": 1}}, "recipe.batch_size: got a table, expected a whole number"),
        ({"epochs": 0}, "recipe.epochs: got 0, expected a number above 0"),
        ({"epochs": True}, "recipe.epochs: got True, expected a number"),
        ({"epochs": float("nan")}, "recipe.epochs: got nan, expected a finite number"),
        ({"steps": 0}, "recipe.steps: got 0, expected a number of at least 1"),
        ({"compile": "yes"}, "recipe.compile: got 'yes', expected true or false"),
        ({"warmup": 5}, "recipe.warmup: got 5, expected a number of at most 1"),
        ({"ema": 1}, "recipe.ema: got 1, expected a number below 1"),
        ({"label_smoothing": -0.1}, "recipe.label_smoothing: got -0.1, expected a number of at least 0"),
        ({"clip_norm": 0}, "recipe.clip_norm: got 0, expected a number above 0"),
        ({"optimizer": "sgd"}, "recipe.optimizer: got 'sgd', expected a table"),
        ({"optimizer": {"name": "adm"}},
         "recipe.optimizer.name: got 'adm', expected 'sgd', 'adam', 'adamw' or 'muon'"),
        ({"optimizer": {"betas": [0.9, 2]}},
         "recipe.optimizer.betas[2]: got 2, expected a number of at most 1"),
        ({"optimizer": {"betas": [0.9]}}, "recipe.optimizer.betas[2]: is missing, expected a value"),
        ({"early_stop": {}}, "recipe.early_stop.patience: is missing, expected a value"),
        ({"epochs": 1, "steps": 2}, "recipe: got epochs and steps, expected one of epochs, steps, time"),
        ({"steps": 1, "time": "1m"}, "recipe: got steps and time, expected one of epochs, steps, time"),
        ({"class_weights": "balanced", "sampler": "balanced"},
         "recipe: got 'balanced' for class_weights and for sampler, expected at most one of them"),
    ],
)  # fmt: skip
def test_a_refused_key_is_named_with_what_came_and_what_is_accepted(override, message):
    assert refusal(Recipe(batch_size=32), override) == f"{message} (task 't')"


@pytest.mark.parametrize("time", ["3ep", "100st", "0s", "soon", 600, 1.5, True, ["10m"], {"amount": 1}])
def test_a_time_without_a_unit_of_time_is_refused(time):
    expected = f"recipe.time: got {time!r}, expected a time above 0 such as '90s', '10m' or '1.5h' (task 't')"
    assert refusal(Recipe(), {"time": time}) == expected


def test_a_value_of_great_length_does_not_fill_the_screen():
    assert len(refusal(Recipe(), {"schedule": "x" * 10_000})) < 250


# What an override keeps and drops


@pytest.mark.parametrize("old", [{"epochs": 5}, {"steps": 100}, {"time": "10m"}])
@pytest.mark.parametrize(
    ("new", "length"),
    [
        ({"epochs": 2}, Length(2, "epochs")),
        ({"steps": 7}, Length(7, "steps")),
        ({"time": "1h"}, Length(3600, "seconds")),
    ],
)
def test_a_length_in_any_unit_replaces_a_length_in_any_other(old, new, length):
    assert Recipe(**old).overlaid(new, "here").length == length


def test_other_keys_leave_the_length_alone():
    assert Recipe(time="10m").overlaid({"batch_size": 8}, "here").length == Length(600, "seconds")


def test_keys_that_are_not_overridden_stay_as_they_were():
    recipe = Recipe(epochs=3, schedule="cosine", augmentation=Augmentation(crop=4, flip="random"))
    overlaid = recipe.overlaid({"batch_size": 8}, "here")
    assert overlaid == recipe.model_copy(update={"batch_size": 8})


def test_settings_of_the_same_optimizer_are_merged():
    recipe = Recipe(optimizer=Optimizer(name="sgd", lr=0.1, momentum=0.8))
    overlaid = recipe.overlaid({"optimizer": {"lr": 0.2}}, "here").optimizer
    assert overlaid == Optimizer(name="sgd", lr=0.2, momentum=0.8)


def test_naming_the_same_optimizer_again_keeps_its_settings():
    recipe = Recipe(optimizer=Optimizer(name="sgd", lr=0.1, momentum=0.8))
    overlaid = recipe.overlaid({"optimizer": {"name": "sgd", "lr": 0.2}}, "here").optimizer
    assert overlaid == Optimizer(name="sgd", lr=0.2, momentum=0.8)


def test_naming_the_default_optimizer_where_it_was_left_out_keeps_its_settings():
    recipe = Recipe(optimizer=Optimizer(lr=0.1))
    overlaid = recipe.overlaid({"optimizer": {"name": "adam"}}, "here").optimizer
    assert overlaid == Optimizer(name="adam", lr=0.1)


def test_naming_another_optimizer_starts_from_its_own_defaults():
    recipe = Recipe(optimizer=Optimizer(name="sgd", lr=0.1, weight_decay=5e-4))
    overlaid = recipe.overlaid({"optimizer": {"name": "adamw"}}, "here").optimizer
    assert overlaid == Optimizer(name="adamw")
    assert overlaid.lr == 1e-3


def test_augmentations_are_merged_key_by_key():
    recipe = Recipe(augmentation=Augmentation(crop=4, flip="alternating"))
    overlaid = recipe.overlaid({"augmentation": {"flip": True, "mixup": 0.2}}, "here").augmentation
    assert overlaid == Augmentation(crop=4, flip="random", mixup=0.2)


def test_a_table_is_laid_over_silence():
    assert Recipe().overlaid({"augmentation": {"crop": 4}}, "here").augmentation == Augmentation(crop=4)


def test_laying_over_changes_neither_the_recipe_nor_the_override():
    recipe, override = Recipe(epochs=3, optimizer=Optimizer(lr=0.1)), {"steps": 5, "optimizer": {"eps": 1e-8}}
    recipe.overlaid(override, "here")
    assert recipe == Recipe(epochs=3, optimizer=Optimizer(lr=0.1))
    assert override == {"steps": 5, "optimizer": {"eps": 1e-8}}


def test_an_empty_override_changes_nothing():
    recipe = Recipe(steps=3, optimizer=Optimizer(name="muon"))
    assert recipe.overlaid({}, "here") == recipe
