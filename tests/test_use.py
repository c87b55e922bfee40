"""The winner of a study is found, loaded and exported by the place where it lies."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import small_study

import bakeoff
from bakeoff.errors import ConfigError, DataError
from bakeoff.evidence import summarise
from bakeoff.evidence.summarise import summarise_task
from bakeoff.records import StudyFolder
from bakeoff.study.trained import load as load_run
from bakeoff.use import export, find_runs


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two candidates with two seeds each, on digits."""
    folder = tmp_path_factory.mktemp("use")
    values = small_study.study(seeds=[0, 1])
    return small_study.train(folder, values).folder


@pytest.fixture
def base_dir(trained):
    return trained.path.parent


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)


def _run(study, candidate, seed):
    return study.run("digits", candidate, seed)


def _best(records):
    return max(records, key=lambda record: record.metric("validation_accuracy"))


def test_of_a_study_the_recommended_candidate_is_taken_by_its_best_seed(trained):
    spec = trained.spec()
    (group,) = summarise_task(trained, spec, spec.tasks[0]).groups
    runs = [one for one in trained.records() if one.candidate == group.recommended]
    (run,) = find_runs(trained.path).runs
    assert run.path == _run(trained, group.recommended, _best(runs).seed).path
    for seed in (0, 1):
        assert find_runs(trained.path, seed=seed).runs[0].path == _run(trained, group.recommended, seed).path


@pytest.mark.parametrize(
    ("recommended", "candidates", "why"),
    [
        (["plain"], {"plain"}, "recommended by the report"),
        (["dropout", ""], {"dropout"}, "recommended by the report"),
        (
            ["plain", "dropout"],
            {"plain", "dropout"},
            "recommended by the report and the best of such",
        ),
        (["", ""], {"plain", "dropout"}, "the best by validation accuracy, as the report recommends nobody"),
        ([], {"plain", "dropout"}, "the best by validation accuracy, as the report recommends nobody"),
    ],
)
def test_a_choice_is_among_the_recommended_and_says_why(trained, monkeypatch, recommended, candidates, why):
    groups = [SimpleNamespace(recommended=name) for name in recommended]
    monkeypatch.setattr(summarise, "summarise_task", lambda *_: SimpleNamespace(groups=groups))
    choice = bakeoff.open_study(trained.path).choose()
    assert choice.record == _best([one for one in trained.records() if one.candidate in candidates])
    assert choice.why.startswith(why)
    found = find_runs(trained.path)
    assert found.why.startswith(why)
    assert found.why.endswith(
        "--candidate names another; the best seed by validation accuracy; --seed names another"
    )


def test_a_study_of_one_finished_candidate_needs_no_evidence(copy, monkeypatch):
    monkeypatch.setattr(summarise, "summarise_task", lambda *_: pytest.fail("summarised"))
    for seed in (0, 1):
        _ended(_run(copy, "plain", seed), status="failed", reason="no", metrics={})
    choice = bakeoff.open_study(copy.path).choose()
    assert (choice.record.candidate, choice.why) == ("dropout", "the only candidate that has finished")


def test_a_recommended_external_program_is_refused_with_the_way_out(copy, monkeypatch):
    groups = [SimpleNamespace(recommended="plain")]
    monkeypatch.setattr(summarise, "summarise_task", lambda *_: SimpleNamespace(groups=groups))
    for seed in (0, 1):
        _ended(_run(copy, "plain", seed), external={"command": ["python", "x.py"]})
    with pytest.raises(ConfigError, match=r"external program, 'plain', .* name another with --candidate"):
        find_runs(copy.path)


def test_a_study_loads_its_choice(trained, base_dir, images):
    result = bakeoff.open_study(trained.path)
    expected_NK = result.load(result.recommended(), base_dir=base_dir).probabilities(images)
    assert np.array_equal(result.load(base_dir=base_dir).probabilities(images), expected_NK)


def test_candidate_and_seed_choose_otherwise(trained):
    records = list(trained.records())
    for name in ("plain", "dropout"):
        best = _best([one for one in records if one.candidate == name])
        assert find_runs(trained.path, candidate=name).runs[0].path == _run(trained, name, best.seed).path
        assert find_runs(trained.path, candidate=name, seed=1).runs[0].path == _run(trained, name, 1).path


def test_an_ensemble_averages_the_finished_seeds(trained, base_dir, images):
    members = [load_run(_run(trained, "plain", seed).path, base_dir=base_dir) for seed in (0, 1)]
    expected_NK = np.mean([one.probabilities(images).astype(float) for one in members], axis=0)
    for place, more in ((trained.path, {"candidate": "plain"}), (_run(trained, "plain", 1).path, {})):
        found = bakeoff.load(place, ensemble=True, base_dir=base_dir, **more)
        np.testing.assert_allclose(found.probabilities(images), expected_NK, atol=1e-7)


def test_a_runs_folder_is_that_run(trained, base_dir, images):
    run = _run(trained, "dropout", 1)
    assert np.array_equal(
        bakeoff.load(run.path, base_dir=base_dir).probabilities(images),
        load_run(run.path, base_dir=base_dir).probabilities(images),
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"candidate": "plane"}, "candidate: got 'plane'; did you mean 'plain'"),
        ({"task": "digit", "seed": 0}, "task: got 'digit'; did you mean 'digits'"),
        ({"task": "digit"}, "task: got 'digit'; did you mean 'digits'"),
        ({"seed": 7}, "has no run of task digits, candidate [a-z]+, seed 7 that has ended"),
    ],
)
def test_what_the_study_does_not_have_is_refused(trained, more, message):
    with pytest.raises(ConfigError, match=message):
        find_runs(trained.path, **more)


def test_names_belong_to_a_study_and_not_to_a_run_or_a_file(trained, tmp_path):
    with pytest.raises(ConfigError, match="is one run"):
        find_runs(_run(trained, "plain", 0).path, seed=0)
    with pytest.raises(ConfigError, match="is one classifier"):
        bakeoff.load(tmp_path / "x.onnx", ensemble=True)
    with pytest.raises(ConfigError, match=r"expected one that ends in \.onnx, \.pt2 or \.safetensors"):
        bakeoff.load(_run(trained, "plain", 0).record_path)


def test_a_place_that_is_no_study_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="expected the folder of a run or of a study, or an exported file"):
        bakeoff.load(tmp_path)


@pytest.fixture
def copy(trained, tmp_path):
    return StudyFolder(shutil.copytree(trained.path, tmp_path / "copy"))


def _ended(run, **changes):
    run.record_path.write_text(json.dumps(json.loads(run.record_path.read_text()) | changes))


def test_a_diverged_run_is_refused_with_its_reason_and_never_the_best(copy, base_dir):
    for seed in (0, 1):
        _ended(
            _run(copy, "plain", seed), status="diverged", reason="the loss became nan at step 3", metrics={}
        )
    assert find_runs(copy.path).runs[0].path.parent.name == "dropout"
    for ask in (lambda: find_runs(copy.path, candidate="plain"), lambda: export(_run(copy, "plain", 0).path)):
        with pytest.raises(ConfigError, match="seed-0 diverged: the loss became nan at step 3"):
            ask()
    for seed in (0, 1):
        _ended(_run(copy, "dropout", seed), status="failed", reason="no")
    with pytest.raises(DataError, match="no run has finished"):
        find_runs(copy.path)


def test_a_published_copy_has_no_weights_and_that_is_said(copy):
    for seed in (0, 1):
        _run(copy, "plain", seed).weights_path.unlink()
    with pytest.raises(ConfigError, match="has no weights: a published copy"):
        export(copy.path, candidate="plain")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"to": "onyx"},
            "--to: got 'onyx', expected one of onnx, torch-export, safetensors; did you mean 'onnx'",
        ),
        ({"quantize": "int4"}, "--quantize: got 'int4', expected int8"),
        ({"quantize": "int8", "to": "torch-export"}, "--quantize: got --to torch-export, expected onnx"),
        ({"quantize": "int8", "unchecked": True}, "--quantize: needs the study's images"),
        ({"index": True, "to": "safetensors"}, "--index: got --to safetensors, expected onnx"),
        ({"out": "x.pt"}, r"--out: got 'x.pt', expected a file that ends in \.onnx"),
    ],
)
def test_wishes_that_do_not_go_together_are_refused(trained, base_dir, more, message):
    with pytest.raises(ConfigError, match=message):
        export(trained.path, base_dir=base_dir, **more)


def test_a_missing_package_is_named_with_its_extra(trained, base_dir, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(bakeoff.BakeoffError, match=r"needs onnxruntime, .*pip install -e '\.\[export\]'"):
        export(trained.path, out=tmp_path / "x.onnx", base_dir=base_dir, unchecked=True)
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_named_after_study_and_candidate(trained, base_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = bakeoff.export(trained.path, "safetensors", candidate="plain", base_dir=base_dir)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "small-plain.json", "small-plain.md", "small-plain.safetensors",
    ]  # fmt: skip
    assert found.agreement.holds
    assert found.about.name == "small-plain"
