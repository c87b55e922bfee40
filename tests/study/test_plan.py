"""From a study to jobs: what makes a run another run, and what makes two runs comparable."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import small_study

from bakeoff.errors import ConfigError, UnknownNameError
from bakeoff.records import StudyFolder
from bakeoff.spec import study_from_dict
from bakeoff.study import Selection
from bakeoff.study.plan import Resolved, plan_task, resolve
from bakeoff.study.refusals import check_spec
from bakeoff.training.machine import Machine
from bakeoff.training.optimizers import OPTIMIZERS

CPU = resolve(Machine("cpu", 1))


@pytest.fixture
def base(tmp_path):
    small_study.write(tmp_path)
    return tmp_path


def _jobs(base, data, resolved=CPU, selection=None, **changes):
    spec = small_study.spec(**changes)
    return plan_task(
        spec,
        spec.tasks[0],
        data,
        folder=StudyFolder(base / "out"),
        selection=selection or Selection(),
        resolved=resolved,
        base_dir=base,
    )


def _first(base, data, resolved=CPU, **changes):
    return _jobs(base, data, resolved, **changes)[0].identity


# Identity


def test_the_identity_is_what_it_was_when_the_first_runs_were_made(base, digits):
    # Written out by hand: a change here trains every stored run anew.
    data = replace(digits, fingerprint="f" * 64, split_digest="5" * 64)
    model = hashlib.sha256((base / "net.py").read_bytes() + b"\0plain").hexdigest()
    text = (
        f'{{"data":"{"f" * 64}","input_size":8,"model":"{model}","precision":"fp32",'
        '"recipe":{"batch_size":32,"epochs":2.0,"precision":"fp32"},"schema":1,"seed":0,'
        f'"split":"{"5" * 64}"}}'
    )
    assert _first(base, data) == hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": [1]},
        {"recipe": {"epochs": 3}},
        {"recipe": {"optimizer": {"name": "adam", "lr": 1e-2}}},
        {"recipe": {"augmentation": {"flip": True}}},
        {"recipe": {"precision": "bf16"}},
        {"candidate": [{"name": "plain", "model": "net.py:plain", "recipe": {"batch_size": 16}}]},
        {"candidate": [{"name": "plain", "model": "net.py:plain", "input_size": 16}]},
        {"candidate": [{"name": "plain", "model": "model1"}]},
    ],
    ids=str,
)
def test_what_decides_the_weights_decides_the_identity(base, digits, changes):
    assert _first(base, digits, **changes) != _first(base, digits)


@pytest.mark.parametrize("part", ["fingerprint", "split_digest"])
def test_other_images_or_another_split_are_another_run(base, digits, part):
    assert _first(base, replace(digits, **{part: "0" * 64})) != _first(base, digits)


def test_the_precision_that_auto_becomes_decides_the_identity(base, digits):
    fp32, bf16 = (Resolved(CPU.machine, {"auto": (used, "because")}) for used in ("fp32", "bf16"))
    changes = {"recipe": {"precision": "auto"}}
    assert _first(base, digits, fp32, **changes) != _first(base, digits, bf16, **changes)


def test_a_changed_byte_of_the_models_file_is_another_run(base, digits):
    before = _first(base, digits)
    (base / "net.py").write_text(small_study.NET + "# a word\n")
    assert _first(base, digits) != before
    (base / "net.py").write_text(small_study.NET)
    assert _first(base, digits) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "another", "title": "A title", "description": "Words"},
        {"seeds": [0, 1, 2]},
        {"task": [{"name": "numbers", "data": "digits", "classes": 3, "image_size": 8}]},
        {
            "candidate": [
                {"name": "other", "model": "net.py:plain", "note": "n", "published": {"accuracy": 0.9}}
            ]
        },
        {"recipe": {"schedule": "constant", "warmup": 0.0}},  # the defaults, spelled out
        {"candidate": [{"name": "plain", "model": "net.py:plain", "input_size": 8}]},
    ],
    ids=str,
)
def test_names_titles_and_published_figures_do_not_decide_the_identity(base, digits, changes):
    assert _first(base, digits, **changes) == _first(base, digits)


def test_two_functions_of_one_file_are_two_runs(base, digits):
    plain, dropout = _jobs(base, digits)
    assert plain.identity != dropout.identity


# Control


def test_candidates_under_one_recipe_have_one_control_and_no_differences(base, digits):
    jobs = _jobs(base, digits, seeds=[0, 1])
    assert len({job.control_digest for job in jobs}) == 1
    assert [job.differences for job in jobs] == [{}] * 4
    assert len({job.identity for job in jobs if job.candidate.name == "plain"}) == 2


def test_a_candidate_with_a_recipe_of_its_own_has_its_own_control_and_says_how_it_differs(base, digits):
    own = {"batch_size": 16, "optimizer": {"lr": 0.01}, "augmentation": {"crop": 2}}
    candidates = [*small_study.study()["candidate"], {"name": "own", "model": "net.py:plain", "recipe": own}]
    plain, dropout, other = _jobs(base, digits, candidate=candidates)
    assert plain.control_digest == dropout.control_digest != other.control_digest
    assert other.differences == {
        "augmentation.crop": [0, 2],
        "batch_size": [32, 16],
        "optimizer.lr": [0.001, 0.01],
    }


def test_a_task_with_a_recipe_of_its_own_is_the_measure_for_its_candidates(base, digits):
    task = {**small_study.study()["task"][0], "recipe": {"batch_size": 16}}
    plain, _ = _jobs(base, digits, task=[task])
    assert plain.differences == {}
    assert plain.recipe.batch_size == 16


def test_other_images_are_never_under_the_same_control(base, digits):
    here, there = (_jobs(base, data)[0] for data in (digits, replace(digits, fingerprint="0" * 64)))
    assert here.control_digest != there.control_digest


def _budget(base, digits, own, seconds="10s"):
    task = {**small_study.study()["task"][0], "control": "budget", "recipe": {"time": seconds}}
    candidates = [
        {"name": "plain", "model": "net.py:plain"},
        {"name": "own", "model": "net.py:plain", "recipe": own},
    ]
    return _jobs(base, digits, task=[task], candidate=candidates)


def test_under_a_budget_seconds_are_held_equal_and_all_else_is_free(base, digits):
    plain, own = _budget(base, digits, {"batch_size": 8, "optimizer": {"name": "sgd", "lr": 0.1}})
    assert plain.control_digest == own.control_digest
    assert own.differences["optimizer.name"] == ["adam", "sgd"]
    assert plain.identity != own.identity


def test_under_a_budget_other_seconds_are_another_control(base, digits):
    plain, own = _budget(base, digits, {"time": "11s"})
    assert plain.control_digest != own.control_digest
    (longer, _) = _budget(base, digits, {}, seconds="11s")
    assert longer.control_digest == own.control_digest


def test_a_budget_without_seconds_is_refused_before_any_image_is_read(base):
    task = {"name": "t", "data": "nowhere", "control": "budget", "recipe": {"time": "10s"}}
    candidate = {"name": "long", "model": "net.py:plain", "recipe": {"epochs": 5}}
    spec = small_study.spec(task=[task], candidate=[candidate])
    with pytest.raises(ConfigError) as caught:
        check_spec(spec, base)
    assert str(caught.value) == (
        "task 't': control = \"budget\" holds seconds equal, expected recipe.time for candidate 'long'"
    )


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        ("modle4", UnknownNameError, "did you mean 'model4'"),
        ("nett.py:plain", ConfigError, "model: no file .*nett.py"),
    ],
)
def test_a_model_that_does_not_exist_is_refused_before_any_image_is_read(base, model, error, message):
    with pytest.raises(error, match=message):
        check_spec(small_study.spec(candidate=[{"name": "a", "model": model}]), base)


# Jobs


def test_jobs_come_seed_by_seed_within_candidates_and_only_those_asked_for(base, digits):
    jobs = _jobs(base, digits, seeds=[2, 0])
    assert [(job.candidate.name, job.seed) for job in jobs] == [
        ("plain", 2), ("plain", 0), ("dropout", 2), ("dropout", 0),
    ]  # fmt: skip
    asked = Selection(candidates=("dropout",), seed=0)
    assert [job.name for job in _jobs(base, digits, selection=asked, seeds=[2, 0])] == [
        "digits / dropout / seed 0"
    ]


def test_images_are_standardized_by_the_training_images_alone(base, digits):
    job = _jobs(base, digits)[0]
    train_NHWC = np.asarray(digits.images_NHWC)[digits.train].astype(np.float64)
    assert job.mean == pytest.approx(train_NHWC.mean(axis=(0, 1, 2)), rel=1e-6)
    assert job.std == pytest.approx(train_NHWC.std(axis=(0, 1, 2)), rel=1e-6)
    scaled = study_from_dict(small_study.study(recipe={"normalize": "scale"}), "s.toml")
    job = plan_task(
        scaled,
        scaled.tasks[0],
        digits,
        folder=StudyFolder(base / "out"),
        selection=Selection(),
        resolved=CPU,
        base_dir=base,
    )[0]
    assert (job.mean, job.std) == ((0.0,) * 3, (255.0,) * 3)  # bytes become [0, 1]


def test_sizes_that_a_network_does_not_take_are_refused_before_anything_is_trained(base, digits):
    candidate = [{"name": "one", "model": "mobilenet-0.25"}, {"name": "two", "model": "model1"}]
    _jobs(base, digits, candidate=candidate[:1], recipe={"sizes": [[4, 0.5], [16, 0.5]]})
    _jobs(base, digits, candidate=candidate, recipe={"sizes": [[8, 1.0]]})
    with pytest.raises(ConfigError, match="candidate 'two': sizes: got 4, but model1 was built for 8 pixels"):
        _jobs(base, digits, candidate=candidate, recipe={"sizes": [[4, 0.5], [8, 0.5]]})


def test_runs_are_trained_anew_when_images_are_resized_in_another_way_and_only_where_they_are(
    base, digits, monkeypatch
):
    candidate = [{"name": "same", "model": "model1"}, {"name": "larger", "model": "model1", "input_size": 16}]

    def identities():
        return {job.candidate.name: job.identity for job in _jobs(base, digits, candidate=candidate)}

    before = identities()
    monkeypatch.setattr("bakeoff.study.identity.RESIZING", 99)
    after = identities()
    assert after["same"] == before["same"]
    assert after["larger"] != before["larger"]


def test_runs_are_trained_anew_when_their_optimizer_moves_weights_otherwise(base, digits, monkeypatch):
    candidate = [
        {"name": name, "model": "model1", "recipe": {"optimizer": {"name": name}}} for name in ("sgd", "muon")
    ]

    def found():
        jobs = {job.candidate.name: job for job in _jobs(base, digits, candidate=candidate)}
        return {name: (job.identity, job.control_digest) for name, job in jobs.items()}

    before = found()
    entry = OPTIMIZERS["muon"]
    monkeypatch.setitem(OPTIMIZERS._entries, "muon", replace(entry, version=entry.version + 1))
    after = found()
    assert after["sgd"] == before["sgd"]
    assert all(one != other for one, other in zip(after["muon"], before["muon"], strict=True))


@pytest.mark.parametrize(
    ("candidate", "told"),
    [
        ({"model": "alexnet-paper"}, "input_size: got 8 pixels, expected at least"),
        ({"model": "timm:test_vit", "input_size": 70}, "input_size: timm:test_vit takes no 70 pixels"),
        (
            {"model": "timm:densenet121", "input_size": 16},
            "input_size: got 16, but timm:densenet121 takes",
        ),
        ({"from": "base", "input_size": 16}, "input_size: got 16, but 'base' was trained on 8 pixels"),
    ],
)
def test_an_image_size_that_does_not_fit_is_refused_before_anything_is_trained(base, digits, candidate, told):
    source = {"name": "base", "model": "model1"}
    with pytest.raises(ConfigError, match=f"candidate 'one': {told}"):
        _jobs(base, digits, candidate=[source, {"name": "one", **candidate}])
