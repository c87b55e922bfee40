"""`bakeoff train`: from one line to a study's folder."""

from pathlib import Path

import pytest
import small_study
import timm
import torch
from safetensors.torch import save_file

import bakeoff
from bakeoff import api
from bakeoff.api.studies import study_arguments
from bakeoff.cli.train import _head, _recipe
from bakeoff.errors import BakeoffError, ConfigError, StudyError
from bakeoff.models import pretrained
from bakeoff.spec import load_study
from bakeoff.study import pick
from bakeoff.training import account

SIZE = {"image_size": 8, "device": "cpu", "threads": 1, "report": False}


@pytest.fixture(autouse=True)
def own_places(tmp_path, monkeypatch):
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    small_study.write(tmp_path)


def test_one_line_leaves_a_study_that_can_be_run_again(tmp_path):
    result = bakeoff.train("net.py:plain", "digits", classes=3, recipe={"epochs": 1}, **SIZE)
    assert result.path.name == "net.py-plain-digits-3"
    assert [record.status for record in result.records] == ["finished"]
    spec, _ = load_study(result.path / "study.toml")
    assert spec == result.folder.spec()
    again = bakeoff.run(result.path / "study.toml", out=result.path, device="cpu", threads=1, report=False)
    assert again.records == result.records


def test_the_same_line_keeps_its_sizes_and_another_one_is_refused(tmp_path):
    first = bakeoff.train("net.py:plain", "digits", classes=3, recipe={"epochs": 1}, **SIZE)
    del (other := dict(SIZE))["image_size"]
    again = bakeoff.train("net.py:plain", "digits", classes=3, recipe={"epochs": 1}, **other)
    assert again.records == first.records
    file = (first.path / "study.toml").read_text()
    with pytest.raises(StudyError, match="epochs"):
        bakeoff.train("net.py:plain", "digits", classes=3, recipe={"epochs": 2}, **SIZE)
    assert (first.path / "study.toml").read_text() == file


@pytest.mark.parametrize("begins", [True, False])
def test_a_candidate_is_added_by_hand_and_the_study_goes_on_in_its_folder(begins, tmp_path):
    first = bakeoff.train("net.py:plain", "digits", classes=3, recipe={"epochs": 1}, out="first", **SIZE)
    file = first.path / "study.toml"
    text = file.read_text() + '\n[[candidate]]\nname = "more"\nmodel = "../net.py:dropout"\n'
    file.write_text(text if begins else text.partition("\n\n")[2])  # or its first lines are gone
    again = bakeoff.run("first", device="cpu", threads=1, report=False)
    assert again.path.resolve() == first.path.resolve()
    assert [record.candidate for record in again.records] == ["net.py:plain", "more"]
    assert again.records[0] == first.records[0]
    assert bakeoff.run(file, device="cpu", threads=1, report=False).records == again.records
    assert not (tmp_path / "studies").exists()


@pytest.mark.parametrize("out", ["first", None])
def test_what_goes_on_in_a_folder_is_known_there_by_its_file(out, tmp_path):
    first = bakeoff.train("net.py:plain", "digits", classes=3, recipe={"epochs": 1}, out=out, **SIZE)
    file = first.path / "study.toml"
    net = "/".join([".."] * len(first.path.parts)) + "/net.py:dropout"
    file.write_text(file.read_text() + f'\n[[candidate]]\nname = "more"\nmodel = "{net}"\n')
    bakeoff.run(first.path, device="cpu", threads=1, report=False)
    command = first.folder.read_lock()["command"]
    assert (command["study"], command["out"]) == (str(file), str(first.path))
    found = bakeoff.verify(first.path, reevaluate=True, threads=1)  # "../net.py" starts at the file's folder
    assert [check.differing for check in found.checks if check.differing] == []
    assert not any("not here" in reason for check in found.checks for reason in check.unchecked)


def test_a_copy_of_a_study_file_among_other_files_is_like_any_other(tmp_path):
    plan = api.plan_training("net.py:plain", "digits", out="x", classes=3, recipe={"steps": 1}, device="cpu")
    plan.write()
    assert study_arguments("x")["out"] == Path("x")
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "study.toml").write_text(plan.text.replace("\n", "\r\n"))
    assert study_arguments("y")["out"] == Path("y")
    (tmp_path / "y" / "leaves").mkdir()
    assert study_arguments("y/study.toml")["out"] == Path("studies") / plan.spec.name


def test_a_study_named_like_a_shipped_one_goes_on(tmp_path, monkeypatch):
    asked = {"out": "demo", "classes": 3, "recipe": {"steps": 1}, "device": "cpu"}
    api.plan_training("net.py:plain", "digits", **asked).write()
    again = api.plan_training("net.py:plain", "digits", **asked)  # not the study that is called so
    assert again.spec.name == "net.py-plain-digits-3"
    assert study_arguments("demo")["spec"].name == "demo"
    assert study_arguments("demo/study.toml")["out"] == Path("demo")


def test_seeds_added_by_hand_are_kept(tmp_path):
    plan = api.plan_training("net.py:plain", "digits", out="x", classes=3, recipe={"steps": 1}, device="cpu")
    plan.write()
    text = plan.text.replace("seeds = [0]", "seeds = 3")
    plan.file.write_text(text)
    with pytest.raises(StudyError, match="was changed by hand"):
        plan.write()
    assert plan.file.read_text() == text


def test_a_study_file_of_that_name_which_nobody_has_begun_goes_where_others_go(tmp_path):
    (tmp_path / "mine").mkdir()
    file = small_study.write(tmp_path / "mine").rename(tmp_path / "mine" / "study.toml")
    assert study_arguments(file)["out"] == Path("studies") / load_study(file)[0].name


def test_a_probe_leaves_word_of_what_can_be_trained_beside_it(weights):
    plan = api.plan_training(
        "timm:test_resnet", "digits", probe=True, classes=3, input_size=32, device="cpu",
        candidate={"weights": str(weights)},
    )  # fmt: skip
    body, _, hint = plan.text.rpartition("for instance:\n")
    marked = hint.splitlines()
    assert all(line.startswith("# ") for line in marked)
    plan.file.parent.mkdir(parents=True)
    plan.file.write_text(body + "\n" + "".join(f"{line[2:]}\n" for line in marked))
    spec, _ = load_study(plan.folder)
    assert [candidate.name for candidate in spec.candidates] == ["test_resnet probe", "from scratch"]
    recipe = spec.recipe_for(spec.tasks[0], spec.candidates[1])
    assert recipe.length.amount >= 10
    assert recipe.schedule == "one-cycle"


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    file = tmp_path / "given.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), file)
    return file


@pytest.mark.parametrize("probe", [True, False])
def test_a_network_of_timm_with_weights_from_a_file(weights, probe):
    result = bakeoff.train(
        "timm:test_resnet", "digits", probe=probe, classes=3, input_size=32,
        recipe={} if probe else {"steps": 3}, candidate={"weights": str(weights)}, **SIZE,
    )  # fmt: skip
    (record,) = result.records
    assert record.status == "finished"
    assert record.input_size == 32
    assert record.pretrained["network"] == "timm:test_resnet"
    assert record.pretrained["seen"] == "on ImageNet, as far as is known of a file"
    assert len(record.pretrained["weights_sha256"]) == 64
    assert record.probe  # a fine-tuning starts from one
    assert record.steps == (0 if probe else 3)
    assert record.frozen["norms_kept" if not probe else "layers"]
    if probe:
        assert record.metric("test_accuracy") > 0.5  # of three classes, from random features


def test_settings_are_read_as_toml_writes_them():
    assert _recipe({}, 0.1, ["optimizer.name=sgd", "recipe.ema=0.99", "augmentation.flip=true"]) == {
        "optimizer": {"lr": 0.1, "name": "sgd"}, "ema": 0.99, "augmentation": {"flip": True},
    }  # fmt: skip
    assert _head("1024, 0.5,10") == [1024, 0.5, 10]


@pytest.mark.parametrize("text", ["nothing", "=3", "optimizer.lr.more=1"])
def test_a_setting_that_is_none_is_refused(text):
    with pytest.raises(ConfigError, match="--set: got"):
        _recipe({}, 0.1, [text])


def test_a_head_of_words_is_refused():
    with pytest.raises(ConfigError, match="--head: got 'wide'"):
        _head("10,wide")


def test_a_file_that_was_changed_by_hand_is_never_written_over(tmp_path):
    result = bakeoff.train("net.py:plain", "digits", classes=3, recipe={"epochs": 1}, **SIZE)
    file = result.path / "study.toml"
    file.write_text(file.read_text() + '\n[[candidate]]\nname = "more"\nmodel = "model1"\n')
    text = file.read_text()
    with pytest.raises(StudyError, match="was changed by hand"):
        bakeoff.train("net.py:plain", "digits", classes=3, recipe={"epochs": 1}, **SIZE)
    assert file.read_text() == text


def test_a_wish_that_is_refused_leaves_nothing_and_the_next_one_works(weights, tmp_path):
    save_file(timm.create_model("test_vit").state_dict(), tmp_path / "other.safetensors")
    for model, asked in (
        ("model9", {}),
        ("timm:test_resnet", {"candidate": {"weights": "gone.pth"}}),
        ("timm:test_resnet", {"candidate": {"weights": "other.safetensors"}}),
    ):
        with pytest.raises(BakeoffError):
            bakeoff.train(model, "digits", out="x", classes=3, recipe={"steps": 1}, **asked, **SIZE)
        assert not (tmp_path / "x" / "study.toml").exists()
    result = bakeoff.train("net.py:plain", "digits", out="x", classes=3, recipe={"steps": 1}, **SIZE)
    assert result.records[0].status == "finished"


def test_what_was_stopped_before_it_began_goes_on_or_gives_way(tmp_path, monkeypatch):
    asked = {"out": "x", "classes": 3, "recipe": {"steps": 1}, "device": "cpu", "threads": 1, "report": False}

    def stopped(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("bakeoff.study.images.prepare", stopped)
        with pytest.raises(KeyboardInterrupt):
            bakeoff.train("net.py:plain", "digits", image_size=12, **asked)
    file = tmp_path / "x" / "study.toml"
    assert "image_size = 12" in file.read_text()
    again = api.plan_training("net.py:plain", "digits", out="x", classes=3, recipe={"steps": 1}, device="cpu")
    assert again.text == file.read_text()  # the size that it was begun with
    other = bakeoff.train("net.py:dropout", "digits", image_size=8, **asked)  # nothing was trained yet
    assert "dropout" in other.records[0].candidate
    assert "image_size = 8" in file.read_text()


def test_an_edited_file_is_kept_even_before_anything_was_trained(tmp_path, monkeypatch):
    plan = api.plan_training("net.py:plain", "digits", out="x", classes=3, recipe={"steps": 1}, device="cpu")
    plan.write()
    text = plan.file.read_text() + '\n[[candidate]]\nname = "more"\nmodel = "model1"\n'
    plan.file.write_text(text)
    with pytest.raises(StudyError, match="was changed by hand"):
        plan.write()
    assert plan.file.read_text() == text


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"recipe": {"epochs": "many"}}, "recipe.epochs: got 'many', expected a number"),
        ({"recipe": {"epochs": [1]}}, "recipe.epochs: got"),
        ({"candidate": {"train": 5}}, "candidate\\[1\\].train: got 5"),
        ({"candidate": {"train_last": "x"}}, "candidate\\[1\\].train_last: got 'x'"),
    ],
)
def test_keys_of_other_kinds_are_refused_in_one_line(asked, told, weights):
    with pytest.raises(ConfigError, match=told) as caught:
        bakeoff.train("timm:test_resnet", "digits", classes=3, **asked, **SIZE)
    assert "\n" not in str(caught.value)


def test_a_folder_with_a_study_file_of_the_users_own_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    file = small_study.write(tmp_path / "mine").rename(tmp_path / "mine" / "study.toml")
    (tmp_path / "mine" / "net.py").unlink()
    text = file.read_text()
    with pytest.raises(StudyError, match="was changed by hand"):
        bakeoff.train("net.py:plain", "digits", out="mine", recipe={"epochs": 1}, **SIZE)
    assert file.read_text() == text


def test_more_seeds_go_into_the_same_folder(tmp_path):
    bakeoff.train("net.py:plain", "digits", classes=3, recipe={"epochs": 1}, **SIZE)
    again = bakeoff.train("net.py:plain", "digits", classes=3, seeds=2, recipe={"epochs": 1}, **SIZE)
    assert [record.seed for record in again.records] == [0, 1]
    assert load_study(again.path / "study.toml")[0].seeds == (0, 1)


def test_pick_answers_for_any_images(tmp_path, weights, monkeypatch, class_folders):
    monkeypatch.setattr(pick, "BACKBONE", "test_resnet")
    monkeypatch.setattr(pick, "SMALL", "model1")
    monkeypatch.setattr(pretrained, "_packaged", lambda name: weights)
    monkeypatch.setattr(
        account, "OVERRUN", 1e9
    )  # this machine may be busy: what is set apart has its own test
    options = {"device": "cpu", "threads": 1, "report": False}
    result = bakeoff.pick(class_folders, "16s", **options)
    assert result.path.name == f"pick-{class_folders.name}"
    by_name = {record.candidate: record for record in result.records}
    assert list(by_name) == ["probe", "fine-tuning", "from scratch"]
    assert {record.status for record in by_name.values()} == {"finished"}
    assert {record.recipe["time"] for record in by_name.values()} == {"4s"}
    assert len({record.control_digest for record in by_name.values()}) == 1
    assert bakeoff.pick(class_folders, "16s", **options).records == result.records
    with pytest.raises(ConfigError, match="begun with 4s"):
        bakeoff.pick(class_folders, "30s", **options)
    with pytest.raises(ConfigError, match="--budget: got '3ep'"):
        bakeoff.pick(class_folders, "3ep", **options)
