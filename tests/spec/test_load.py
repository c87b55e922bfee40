"""From a file or a shipped name to a study."""

import pytest

from bakeoff.errors import ConfigError, UnknownNameError
from bakeoff.spec import load_study, shipped_studies, study_from_dict

TEXT = """
name = "mine"
[[task]]
name = "t"
data = "digits"
[[candidate]]
name = "c"
model = "model1"
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", shipped_studies())
def test_every_shipped_study_loads_and_comes_back_equal_from_its_plain_values(name):
    study, folder = load_study(name)
    assert folder is None
    assert study.name == name
    assert study_from_dict(study.as_dict(), "study.lock") == study


def test_the_studies_of_the_first_release_are_shipped():
    assert {"classic", "demo"} <= set(shipped_studies())


def test_the_classic_study_holds_what_was_published():
    study, _ = load_study("classic")
    five, every = study.tasks[:2]
    competitors = [candidate for candidate in study.candidates_of(five) if candidate.published]
    assert {c.name: (c.published.loss, c.published.accuracy) for c in competitors} == {
        "model1": (1.247, 0.516),
        "model2": (1.530, 0.312),
        "model3": (1.048, 0.615),
        "model4": (0.724, 0.772),
        "model5": (0.898, 0.752),
    }
    model4 = next(c for c in study.candidates_of(every) if c.name == "model4")
    assert (model4.published.loss, model4.published.accuracy) == (3.194, 0.2795)
    assert len(model4.published.validation_accuracy) == 5
    assert (five.classes, every.classes) == (5, None)
    assert str(study.recipe_of(five).length) == "30ep"
    assert str(study.recipe_of(every).length) == "5ep"


def test_the_classic_study_compares_its_search_under_an_equal_budget():
    study, _ = load_study("classic")
    (task,) = (one for one in study.tasks if one.name == "200 classes, 60 min")
    search, model4 = study.candidates_of(task)
    assert (task.control, search.name, model4.name) == ("budget", "search", "model4, 60 min")
    length = study.recipe_of(task).length
    assert length == search.search.budget == study.recipe_for(task, model4).length


def test_a_file_tells_its_folder_for_the_relative_paths_in_it(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    study, folder = load_study("mine.toml")
    assert study.name == "mine"
    assert folder == file.parent.resolve()


def test_a_file_without_the_usual_ending_is_read_too(file):
    renamed = file.rename(file.with_name("study"))
    assert load_study(renamed)[0].name == "mine"


def test_a_home_folder_may_be_written_as_a_tilde(file, monkeypatch):
    monkeypatch.setenv("HOME", str(file.parent))
    assert load_study("~/mine.toml")[0].name == "mine"


def test_a_mark_that_windows_puts_in_front_and_its_line_ends_do_no_harm(file):
    file.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    assert load_study(file)[0].name == "mine"


def test_a_folder_named_like_a_shipped_study_does_not_hide_it(tmp_path, monkeypatch):
    (tmp_path / "demo").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_study("demo")[0].name == "demo"


def test_an_unknown_name_suggests_a_shipped_one():
    with pytest.raises(UnknownNameError) as caught:
        load_study("clasic")
    assert str(caught.value) == (
        "study: got 'clasic', expected a TOML file, a folder with a study.toml or a shipped study; "
        "did you mean 'classic'?"
    )


@pytest.mark.parametrize("name", ["~nobody-of-this-name/mine.toml", "nowhere/mine.toml"])
def test_a_file_that_is_not_there_is_named(name):
    with pytest.raises(ConfigError, match=f"^study: no file {name}$"):
        load_study(name)


def test_a_name_too_long_for_any_file_is_no_study():
    with pytest.raises(UnknownNameError):
        load_study("x" * 5000)


def test_a_folder_is_no_study_file(tmp_path):
    (tmp_path / "x.toml").mkdir()
    with pytest.raises(ConfigError, match=r"cannot read .*x\.toml: Is a directory"):
        load_study(tmp_path / "x.toml")


def test_a_file_that_is_no_text_is_refused(file):
    file.write_bytes(b"name = '\xff\xfe'")
    with pytest.raises(ConfigError, match="is not a text file in UTF-8"):
        load_study(file)


@pytest.mark.parametrize("text", ["name = ", "name = 'a'\nname = 'b'", "[[task]\n", "a = '\n'", "\0"])
def test_a_file_that_is_no_toml_is_refused_in_one_line_with_the_place(file, text):
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_study(file)
    assert str(caught.value).startswith("mine.toml is not valid TOML: ")
    assert "line " in str(caught.value) or "at end of document" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_value_is_told_with_the_files_name(file):
    file.write_text(TEXT.replace('"digits"', "3"), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_study(file)
    assert str(caught.value) == "task[1].data: got 3, expected a text (mine.toml)"


def test_a_clock_time_of_toml_is_no_length_of_training(file):
    file.write_text(TEXT + "recipe = { time = 00:10:00 }\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"recipe\.time: got datetime\.time\(0, 10\), expected a time"):
        load_study(file)
