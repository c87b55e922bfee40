"""The study file, checked against itself."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.errors import ConfigError
from bakeoff.spec import StudySpec, study_from_dict
from bakeoff.spec.study import slug

STUDY: dict[str, Any] = {
    "name": "mine",
    "recipe": {"epochs": 5, "batch_size": 64, "optimizer": {"name": "sgd", "lr": 0.1}},
    "task": [
        {"name": "five", "data": "digits", "classes": 5, "recipe": {"epochs": 30}},
        {"name": "all", "data": "digits"},
    ],
    "candidate": [
        {"name": "small", "model": "model1"},
        {"name": "big", "model": "model4", "task": "five",
         "recipe": {"time": "10m", "optimizer": {"lr": 0.2}}},
    ],
}  # fmt: skip


def changed(path: str, value: Any) -> dict[str, Any]:
    values = copy.deepcopy(STUDY)
    *parents, last = (int(part) if part.isdigit() else part for part in path.split("/"))
    place: Any = values
    for part in parents:
        place = place.setdefault(part, {}) if isinstance(part, str) else place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return values


def refusal(values: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        study_from_dict(values, "mine.toml")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        # Unknown keys, at every depth
        ("sedes", [1], "sedes: unknown key; did you mean 'seeds'?"),
        ("recipe/epoch", 1, "recipe.epoch: unknown key; did you mean 'epochs'?"),
        ("recipe/optimizer/nmae", "x", "recipe.optimizer.nmae: unknown key; did you mean 'name'?"),
        ("task/1/imagesize", 32, "task[2].imagesize: unknown key; did you mean 'image_size'?"),
        ("candidate/0/modle", "x", "candidate[1].modle: unknown key; did you mean 'model'?"),
        ("candidate/1/published", {"acuracy": 1},
         "candidate[2].published.acuracy: unknown key; did you mean 'accuracy'?"),
        ("a\nb", 1, "'a\\nb': unknown key; known: candidate, description, name, recipe, seeds, task, title"),
        ("function-x", 1,
         "function-x: unknown key; known: candidate, description, name, recipe, seeds, task, title"),
        ("tasks", [], "tasks: unknown key; did you mean 'task'?"),
        # Missing and of the wrong type
        ("name", ..., "name: is missing, expected a value"),
        ("task/0/data", ..., "task[1].data: is missing, expected a value"),
        ("candidate/1/model", ...,
         "candidate[2]: got none of 'model', 'network', 'from', 'search', 'external', expected one of them"),
        ("candidate/1/network", {"stem_width": 4, "stages": [{"width": 4}]},
         "candidate[2]: model and network: got both, expected one of them"),
        ("candidate/1", {"name": "own", "network": {"stem_width": 4, "stages": []}},
         "candidate[2].network.stages: got an empty list, expected a list with a length of at least 1"),
        ("candidate/1", {"name": "b", "network": {"stem_width": 4, "stages": [{"width": 4, "dwon": "pool"}]}},
         "candidate[2].network.stages[1].dwon: unknown key; did you mean 'down'?"),
        ("candidate/1", {"name": "own", "network": {"stem_width": 4, "stages": [{"width": 4}]}, "head": [4]},
         "candidate[2]: head: needs 'from', the trained network that it is about"),
        ("name", 3, "name: got 3, expected a text"),
        ("name", "", "name: got '', expected a text with a length of at least 1"),
        ("task", {"name": "t", "data": "digits"}, "task: got a table, expected a list"),
        ("recipe", 5, "recipe: got 5, expected a table"),
        ("seeds", 0, "seeds: got 0, expected 1 to 1000, or a list such as [0, 1, 2]"),
        ("seeds", 2026, "seeds: got 2026, expected 1 to 1000, or a list such as [0, 1, 2]"),
        ("seeds", True, "seeds: got True, expected a list"),
        ("seeds", "3", "seeds: got '3', expected a list"),
        ("seeds", ["1"], "seeds[1]: got '1', expected a whole number"),
        ("seeds", [], "seeds: got an empty list, expected a list with a length of at least 1"),
        ("task", [], "task: got an empty list, expected a list with a length of at least 1"),
        # Values
        ("seeds", [1, 1], "seeds: got [1, 1], expected different whole numbers of at least 0"),
        ("seeds", [-1], "seeds: got [-1], expected different whole numbers of at least 0"),
        ("task/0/classes", 0, "task[1].classes: got 0, expected at least 2 classes"),
        ("task/0/classes", 1, "task[1].classes: got 1, expected at least 2 classes"),
        ("task/0/classes", [], "task[1].classes: got 0, expected at least 2 classes"),
        ("task/0/classes", ["a", "a"], "task[1].classes: a name is given twice"),
        ("task/0/classes", 5.5, "task[1].classes: got 5.5, expected a whole number or a list of names"),
        ("task/0/classes", True, "task[1].classes: got True, expected a whole number or a list of names"),
        ("task/0/classes", "goldfish",
         "task[1].classes: got 'goldfish', expected a whole number or a list of names"),
        ("task/0/classes", [1, 2], "task[1].classes: got [1, 2], expected a whole number or a list of names"),
        ("task/0/image_size", 3, "task[1].image_size: got 3, expected a number of at least 4"),
        ("task/0/test", 1, "task[1].test: got 1, expected a number below 1"),
        ("task/0/validation", 0, "task[1].validation: got 0, expected a number above 0"),
        ("task/0/control", "time", "task[1].control: got 'time', expected 'recipe' or 'budget'"),
        ("candidate/0/input_size", 2, "candidate[1].input_size: got 2, expected a number of at least 4"),
        ("candidate/0/published", {"accuracy": 77.2},
         "candidate[1].published.accuracy: got 77.2, expected a number of at most 1"),
        # Against each other
        ("candidate/1/task", "fiv", "candidate[2].task: no task named 'fiv'; did you mean 'five'?"),
        ("candidate/1/task", "a\nb", "candidate[2].task: no task named 'a\\nb'; known: all, five"),
        ("task/1/name", "FIVE",
         "task: the names 'five' and 'FIVE' are too alike, both become the folder 'five'"),
        ("candidate/1/name", "small!",
         "candidate of task 'five': the names 'small' and 'small!' are too alike, "
         "both become the folder 'small'"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_the_setting_what_came_and_the_file(path, value, message):
    assert refusal(changed(path, value)) == f"{message} (mine.toml)"


@pytest.mark.parametrize("name", ["../up", "a/b", " a", "a ", "a\tb", "..", ".", "---"])
@pytest.mark.parametrize("path", ["name", "task/0/name", "candidate/0/name"])
def test_a_name_that_would_harm_a_folder_is_refused(path, name):
    expected = "expected printable text with a letter or digit, without '/' or outer spaces"
    assert refusal(changed(path, name)).endswith(f"name: got {name!r}, {expected} (mine.toml)")


def test_a_name_of_more_than_eighty_letters_is_refused():
    assert "expected a text with a length of at most 80 (mine.toml)" in refusal(changed("name", "x" * 81))


def test_a_mistake_in_an_override_names_whose_it_is_and_the_file():
    assert refusal(changed("task/0/recipe/epochs", 0)) == (
        "recipe.epochs: got 0, expected a number above 0 (task 'five', mine.toml)"
    )
    assert refusal(changed("candidate/1/recipe/epoch", 1)) == (
        "recipe.epoch: unknown key; did you mean 'epochs'? (candidate 'big', mine.toml)"
    )


def test_a_task_that_nobody_enters_is_refused():
    values = changed("candidate/0/task", "five")
    assert refusal(values) == "task 'all' has no candidate (mine.toml)"


@pytest.mark.parametrize("values", [None, [], "text", 3])
def test_something_that_is_no_table_is_refused(values):
    assert refusal(values).endswith(", expected a table (mine.toml)")


def test_a_wrong_key_is_told_before_a_missing_one():
    values = changed("candidate/0", {"name": "small", "modle": "model1"})
    assert refusal(values).startswith("candidate[1].modle: unknown key")


def test_an_entry_that_is_wrong_is_told_before_the_list_being_too_short():
    values = changed("candidate", [{"name": "small", "model": "m", "input_size": 2}])
    assert refusal(values).startswith("candidate[1].input_size: got 2")


# External programs


def _with_external(**keys: Any) -> dict[str, Any]:
    values = copy.deepcopy(STUDY)
    values["candidate"].append(
        {"name": "theirs", "external": ["python", "theirs.py"], "recipe": {"time": "10m"}} | keys
    )
    return values


def test_an_external_program_is_a_candidate_with_its_words_and_its_grace():
    study = study_from_dict(_with_external(grace="5m"), "mine.toml")
    assert study.candidates[2].external == ("python", "theirs.py")
    assert study.candidates[2].grace.amount == 300
    assert study_from_dict(_with_external(), "mine.toml").candidates[2].grace.amount == 60
    assert study_from_dict(study.as_dict(), "study.lock") == study


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"external": "python theirs.py"}, "candidate[3].external: got 'python theirs.py', expected a list"),
        ({"external": []}, "candidate[3].external: got an empty list, expected a list with a length of"),
        ({"external": ["python", ""]}, "candidate[3].external[2]: got '', expected a text with a length of"),
        ({"model": "model1"}, "candidate[3]: model and external: got both, expected one of them"),
        ({"input_size": 32}, "candidate[3]: input_size: is about networks that bakeoff trains, not about"),
        ({"probe": True}, "candidate[3]: probe: is about networks that bakeoff trains, not about external"),
        ({"grace": "0s"}, "candidate[3].grace: got '0s', expected a time above 0 such as '90s'"),
        ({"recipe": {"time": "1m", "batch_size": 8}},
         "candidate[3]: recipe.batch_size: belongs to trainings of bakeoff, expected 'time' alone"),
        ({"recipe": {}},
         "candidate 'theirs': an external program is given seconds, got 30ep; expected recipe = { time = "),
    ],
)  # fmt: skip
def test_what_says_nothing_to_an_external_program_is_refused(keys, message):
    assert refusal(_with_external(**keys)).startswith(message)


def test_a_grace_without_a_program_and_a_network_on_one_are_refused():
    assert refusal(changed("candidate/0/grace", "5m")).startswith(
        "candidate[1]: grace: needs 'external', the program that it is about"
    )
    values = _with_external()
    values["candidate"].append({"name": "on it", "from": "theirs"})
    assert refusal(values).startswith(
        "candidate 'on it'.from: got 'theirs', an external program, of which only predictions are kept"
    )


# Who competes where, under which recipe


def test_a_candidate_without_a_task_enters_every_task():
    study = study_from_dict(STUDY, "mine.toml")
    entered = {task.name: [c.name for c in study.candidates_of(task)] for task in study.tasks}
    assert entered == {"five": ["small", "big"], "all": ["small"]}


def test_the_same_name_may_compete_in_two_tasks():
    values = changed("candidate/0/task", "all")
    values["candidate"][1]["name"] = "small"
    study = study_from_dict(values, "mine.toml")
    assert [c.model for task in study.tasks for c in study.candidates_of(task)] == ["model4", "model1"]


def test_candidate_overrides_task_and_task_overrides_study():
    study = study_from_dict(STUDY, "mine.toml")
    five, every = study.tasks
    small, big = study.candidates
    assert str(study.recipe_of(five).length) == "30ep"
    assert str(study.recipe_for(every, small).length) == "5ep"
    assert str(study.recipe_for(five, small).length) == "30ep"
    assert str(study.recipe_for(five, big).length) == "600s"
    assert study.recipe_for(five, big).optimizer.name == "sgd"
    assert study.recipe_for(five, big).optimizer.lr == 0.2


# As plain values, and back


def test_a_study_comes_back_equal_from_its_plain_values():
    study = study_from_dict(STUDY, "mine.toml")
    again = study_from_dict(study.as_dict(), "study.lock")
    assert again == study
    assert again.as_dict() == study.as_dict()


def test_the_plain_values_have_the_keys_of_the_file_and_no_others():
    assert study_from_dict(STUDY, "mine.toml").as_dict() == STUDY


def test_a_time_survives_being_written():
    study = study_from_dict(changed("recipe", {"time": "123456789.25s"}), "mine.toml")
    assert study_from_dict(study.as_dict(), "study.lock").recipe.length == study.recipe.length
    assert study.recipe.length.amount == 123456789.25


def test_a_study_may_be_built_in_python_under_the_names_of_the_fields():
    built = StudySpec(name="mine", recipe=STUDY["recipe"], tasks=STUDY["task"], candidates=STUDY["candidate"])
    assert built == study_from_dict(STUDY, "mine.toml")


# Names of folders


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("5 classes", "5-classes"), ("Transfer 1 (output)", "transfer-1-output"), ("a__b", "a-b"),
        ("--x--", "x"), ("cnn v1.2", "cnn-v1-2"), ("!", "unnamed"), ("迁移学习", "迁移学习"),
        ("Größe", "grösse"),
    ],
)  # fmt: skip
def test_a_name_becomes_a_folder_name(name, folder):
    assert slug(name) == folder


@given(st.text(max_size=80))
def test_a_folder_name_is_a_single_step_down_and_a_fixed_point(name):
    folder = slug(name)
    assert folder not in {"", ".", ".."}
    assert not set(folder) & set("/\\\0\n ")
    assert slug(folder) == folder


def test_two_names_in_another_script_are_not_too_alike():
    values = changed("candidate/0/name", "迁移")
    values["candidate"][1]["name"] = "微调"
    assert len(study_from_dict(values, "mine.toml").candidates) == 2


# Written out in full


SILENT = {
    "name": "s",
    "task": [{"name": "t", "data": "digits", "recipe": {"batch_size": 8}}],
    "candidate": [{"name": "c", "model": "model1"}],
}


@pytest.mark.parametrize(
    "written_out",
    [
        {"recipe": {"schedule": "constant"}},
        {"recipe": {"epochs": 1}},
        {"recipe": {"optimizer": {"name": "adam", "eps": 1e-7}}},
        {"recipe": {"augmentation": {"flip": False}}},
        {"seeds": [0], "title": ""},
        {"task": [{**SILENT["task"][0], "control": "recipe", "validation": 0.1}]},
        {"candidate": [{**SILENT["candidate"][0], "note": "", "recipe": {}}]},
    ],
)
def test_a_default_that_is_written_out_changes_nothing_that_is_resolved(written_out):
    silent = study_from_dict(SILENT, "a.toml")
    spoken = study_from_dict({**SILENT, **written_out}, "b.toml")
    assert spoken.as_dict() != silent.as_dict()
    assert spoken.resolved() == silent.resolved()


def test_what_is_resolved_has_the_keys_of_the_file_and_overlays_as_given():
    values = study_from_dict(SILENT, "a.toml").resolved()
    assert set(values) == {"name", "title", "description", "seeds", "recipe", "task", "candidate"}
    assert values["recipe"]["optimizer"]["name"] == "adam"
    assert values["task"][0]["recipe"] == {"batch_size": 8}
    assert study_from_dict({**SILENT, "recipe": {"epochs": 2}}, "b").resolved() != values
    assert study_from_dict({**SILENT, "recipe": {"time": "1m"}}, "b").resolved()["recipe"]["epochs"] is None


def test_what_is_resolved_can_be_read_as_a_study_again():
    study = study_from_dict(SILENT, "a.toml")
    assert study_from_dict(study.resolved(), "b").resolved() == study.resolved()


def test_seeds_may_be_given_as_their_number():
    spec = study_from_dict(changed("seeds", 3), "mine.toml")
    assert spec.seeds == (0, 1, 2)
    assert spec == study_from_dict(changed("seeds", [0, 1, 2]), "mine.toml")


def test_a_task_has_at_most_the_studys_seeds():
    assert refusal(changed("task/0/seeds", 9)).startswith("task '")
    assert "seeds: got 9, expected at most" in refusal(changed("task/0/seeds", 9))
    assert "seeds: got 0, expected a number of at least 1" in refusal(changed("task/0/seeds", 0))
