"""A study that nobody touched is proved; every kind of tampering is found and named."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_study
from safetensors.torch import load_file, save_file

import bakeoff
from bakeoff.errors import ConfigError, StudyError
from bakeoff.evidence.verification import Verification
from bakeoff.records import RunFolder, StudyFolder
from bakeoff.records.digests import FILES, LATE
from bakeoff.report.publish import publish
from bakeoff.report.write import write_report
from bakeoff.study import bookkeeping
from bakeoff.study.images import DataOptions


@pytest.fixture(scope="module")
def _proved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two candidates and two seeds with its page, trained once."""
    folder = tmp_path_factory.mktemp("proved")
    outcome = small_study.train(folder, small_study.study(seeds=[0, 1]))
    write_report(outcome.folder)
    return folder


@pytest.fixture
def home(_proved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(_proved, tmp_path / "home"))


@pytest.fixture
def study(home: Path) -> StudyFolder:
    return StudyFolder(home / "out")


def _verify(study: StudyFolder, **options: Any) -> Verification:
    return bakeoff.verify(study.path, base_dir=study.path.parent, **options)


def _differing(found: Verification) -> dict[str, list[str]]:
    return {check.title: list(check.differing) for check in found.checks if check.differing}


def _plain(study: StudyFolder, seed: int = 0) -> RunFolder:
    return study.run("digits", "plain", seed)


def _without_digests(study: StudyFolder) -> None:
    """Turn the lock into one of an older version, so that only what follows from the files is left."""
    lock = study.read_lock() or {}
    del lock[FILES], lock["digest"]
    study.lock_path.write_text(json.dumps(lock))


def test_an_untouched_study_is_proved_by_every_check(study: StudyFolder) -> None:
    before = small_study.contents(study.path)
    found = _verify(study)
    assert {check.title: check.outcome for check in found.checks if check.outcome != "agrees"} == {}
    assert [check.unchecked for check in found.checks if check.unchecked] == []
    assert found.agrees
    assert found.verdict == "All that could be checked of 'small' agrees."
    assert small_study.contents(study.path) == before


def test_the_lock_has_a_digest_of_every_file_that_an_ended_run_leaves(study: StudyFolder) -> None:
    lock = study.read_lock() or {}
    run = _plain(study, 1)
    others = {run.log_path, run.trials_path, run.network_path}  # of external programs, and of searches
    left = [path for path in run.files() if path not in others]
    names = {path.relative_to(study.path).as_posix() for path in left}
    assert names <= set(lock[FILES])
    assert {"tasks/digits/manifest.csv.gz", "tasks/digits/task.json", "tasks/digits/examples.npz"} <= set(
        lock[FILES]
    )
    assert LATE not in lock


def test_a_second_command_leaves_the_lock_as_it_is(study: StudyFolder) -> None:
    before = study.lock_path.read_bytes()
    small_study.train(study.path.parent, small_study.study(seeds=[0, 1]))
    assert study.lock_path.read_bytes() == before


def test_runs_of_an_older_lock_are_noted_by_the_next_command_and_the_lock_says_so(study: StudyFolder) -> None:
    _without_digests(study)
    found = {check.title: check for check in _verify(study).checks}
    assert "older" in found["the files against the lock"].unchecked[0]
    assert found["the files against the lock"].outcome == "not checked"
    small_study.train(study.path.parent, small_study.study(seeds=[0, 1]))
    found = {check.title: check for check in _verify(study).checks}
    assert found["the files against the lock"].outcome == "agrees"
    assert found["the files against the lock"].remarks[0].startswith("noted by a later command")


def test_a_run_that_is_trained_again_is_noted_anew(study: StudyFolder) -> None:
    run = _plain(study)
    record = run.read()
    assert record is not None
    run.write(replace(record, status="failed", reason="told to"))
    assert not _verify(study).agrees
    small_study.train(study.path.parent, small_study.study(seeds=[0, 1]))
    found = _verify(study)
    assert _differing(found) == {}
    assert "2 readings of the test images are logged" in found.checks[6].remarks[0]


def test_a_command_that_is_stopped_behind_its_last_run_leaves_a_study_that_is_proved(
    study: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    examples = study.task_files("digits")[2].read_bytes()
    monkeypatch.setattr(bookkeeping, "keep_attributions", stop)
    with pytest.raises(KeyboardInterrupt):
        small_study.train(study.path.parent, small_study.study(seeds=[0, 1, 2]))
    assert study.task_files("digits")[2].read_bytes() != examples
    assert "the files against the lock" not in _differing(_verify(study, images=False))


def _change_prediction(study: StudyFolder) -> None:
    kept = {split: _plain(study).read_predictions(split) for split in ("validation", "test")}
    top_NT = kept["test"].top_NT.copy()
    top_NT[3, :2] = top_NT[3, 1::-1]
    _plain(study).write_predictions({**kept, "test": replace(kept["test"], top_NT=top_NT)})


def _change_metric(study: StudyFolder) -> None:
    record = _plain(study).read()
    assert record is not None
    accuracy = record.metrics["test_accuracy"] + 1e-7
    _plain(study).write(replace(record, metrics={**record.metrics, "test_accuracy": accuracy}))


def _change_weight(study: StudyFolder) -> None:
    path = _plain(study).weights_path
    content = bytearray(path.read_bytes())
    content[-2] ^= 0x40  # of the last bias, its exponent
    path.write_bytes(content)


def _change_cell(study: StudyFolder) -> None:
    lines = study.csv_path.read_text().split("\n")
    cells = lines[2].split(",")
    cells[12] = "0.999"
    study.csv_path.write_text("\n".join([*lines[:2], ",".join(cells), *lines[3:]]))


def _change_json(study: StudyFolder) -> None:
    values = json.loads(study.json_path.read_text())
    values["runs"][1]["test_loss"] = 0.001
    study.json_path.write_text(json.dumps(values))


def _change_manifest(key: str, value: str) -> Any:
    def change(study: StudyFolder) -> None:
        rows = study.read_manifest("digits")
        row = next(row for row in rows if row["part"] == "test")
        row[key] = value if value != "another" else next(r[key] for r in rows if r[key] != row[key])
        study.write_manifest("digits", list(row), (list(row.values()) for row in rows))

    return change


def _change_page(study: StudyFolder) -> None:
    text = study.report_path.read_text()
    assert "told apart" in text
    study.report_path.write_text(text.replace("told apart", "far apart", 1))


def _swap_records(study: StudyFolder) -> None:
    first, second = _plain(study, 0).record_path, _plain(study, 1).record_path
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(kept)


def _read_test_twice(study: StudyFolder) -> None:
    record = _plain(study).read()
    assert record is not None
    _plain(study).write(replace(record, test_readings=record.test_readings * 2))


def _change_identity(study: StudyFolder) -> None:
    record = _plain(study).read()
    assert record is not None
    _plain(study).write(replace(record, identity="0" * 16, control_digest="f" * 16))


@pytest.mark.parametrize(
    ("tamper", "named"),
    [
        (_change_prediction, {
            "metrics against predictions": "digits/plain/0: ",
            "predictions against probabilities": "digits/plain/0: .* other best classes for 1 of ",
        }),
        (_change_metric, {"metrics against predictions": "digits/plain/0: test_accuracy is recorded as"}),
        (_change_weight, {}),
        (_change_cell, {"the tables": "results.csv: validation_accuracy of digits/plain/1 is 0.999"}),
        (_change_json, {"the tables": "results.json: test_loss of digits/plain/1 is 0.001"}),
        (_change_manifest("part", "train"), {
            "the split": "manifest of 'digits': .* test images, but task.json counts",
            "images and split by their manifest": "its parts give the split",
        }),
        (_change_manifest("class", "another"), {
            "the split": "1 test images have other labels",
            "images and split by their manifest": "its rows give the fingerprint",
            "the images against their manifest": "that are of another class: digit/",
        }),
        (_change_manifest("sha256", "0" * 64), {
            "images and split by their manifest": "its rows give the fingerprint",
            "the images against their manifest": "of other contents: digit/",
        }),
        (_change_page, {"the page": "report.html was changed after it was written"}),
        (_swap_records, {"the records": "it is the record of another run"}),
        (_read_test_twice, {"readings of the test images": "log different readings"}),
        (_change_identity, {
            "identities": "digits/plain/0: its identity is 0000", "controls": "its control digest is ffff",
        }),
    ],
    ids=lambda value: getattr(value, "__qualname__", ""),
)  # fmt: skip
@pytest.mark.parametrize("older", [False, True], ids=["lock", "older lock"])
def test_tampering_is_found_and_named(study: StudyFolder, tamper: Any, named: Any, older: bool) -> None:
    import re

    if older:
        _without_digests(study)
    tamper(study)
    found = _verify(study)
    differing = _differing(found)
    for title, words in named.items():
        assert any(re.search(words, line) for line in differing.get(title, [])), (title, differing)
    tables = {"the tables", "the page"}
    if not older and not named.keys() & tables:  # what lies beside the runs is not in the lock
        assert "SHA-256" in differing["the files against the lock"][0]
    assert found.agrees == (not named and older)
    assert ("is not what it says it is" in found.verdict) == (not found.agrees)


def _change_test(**changes: Any) -> Any:
    def change(study: StudyFolder) -> None:
        kept = {split: _plain(study).read_predictions(split) for split in ("validation", "test")}
        test = kept["test"]
        others = {name: made(getattr(test, name).copy()) for name, made in changes.items()}
        _plain(study).write_predictions({**kept, "test": replace(test, **others)})

    return change


def _with(place: Any, value: Any) -> Any:
    def change(values: np.ndarray) -> np.ndarray:
        values[place] = value
        return values

    return change


def _change_probabilities(change: Any) -> Any:
    def changed(study: StudyFolder) -> None:
        path = _plain(study).probabilities_path
        with np.load(path) as there:
            kept = dict(there)
        with path.open("wb") as file:
            np.savez(file, **{**kept, "test": change(kept["test"])})

    return changed


def _write(name: str, content: bytes) -> Any:
    return lambda study: (study.path / name).write_bytes(content)


def _change_lock(**values: Any) -> Any:
    return lambda study: study.lock_path.write_text(json.dumps({**(study.read_lock() or {}), **values}))


MANIFEST = "tasks/digits/manifest.csv.gz"


@pytest.mark.parametrize(
    ("tamper", "named"),
    [
        (_change_test(index_N=_with(0, 10**6)), "digits/plain/0: a file is not as bakeoff writes it"),
        (_change_test(top_NT=_with((0, 0), 99)), "digits/plain/0: a file is not as bakeoff writes it"),
        (_change_test(label_N=_with(0, -1)), "does not hold predictions: test_label is of another kind"),
        (_change_test(label_N=lambda x: x[1:]), "does not hold predictions: test_label is of another"),
        (_change_test(top_NT=lambda x: x[:, 0]), "does not hold predictions: test_top is of another"),
        (_change_test(top_NT=lambda x: x.astype(str)), "does not hold predictions: test_top is of another"),
        (_change_probabilities(lambda x: x[1:]), "digits/plain/0: "),
        (_change_probabilities(lambda x: x.astype(str)), "digits/plain/0: a file is not as bakeoff"),
        (_write(MANIFEST, gzip.compress(b"file,class,sha256\na,b,c\n")), "does not hold a list of images"),
        (_write(MANIFEST, gzip.compress(b"file,class,part\na,b\n")), "does not hold a list of images"),
        (_write("results.json", b'{"runs": [1]}'), "results.json: a file is not as bakeoff writes it"),
        (_write("tasks/digits/checks.json", b"{"), "checks.json is not checks of images"),
        (_write("runs/digits/plain/seed-0/weights.safetensors", b"x" * 99), "its weights cannot be read"),
        (_change_lock(noted_late=5), "files: a file is not as bakeoff writes it"),
        (_change_lock(resolved={"device": "abacus", "threads": "a"}), "resolved.threads is a, but"),
        (_change_lock(command={"flags": 5}), "study.lock: its digest is"),
    ],
)
def test_what_a_file_cannot_hold_is_named_and_ends_no_other_check(
    study: StudyFolder, tamper: Any, named: str
) -> None:
    checks = len(_verify(study, images=False, reevaluate=True).checks)
    tamper(study)
    found = _verify(study, images=False, reevaluate=True)
    assert len(found.checks) == checks
    said = [line for lines in _differing(found).values() for line in lines]
    assert said
    left = [line for check in found.checks for line in check.unchecked]
    assert any(named in line for line in [*said, *left]), [*said, *left]


@pytest.mark.parametrize(
    ("keys", "value", "named"),
    [
        (("study", "recipe", "epochs"), 3, "recipe.epochs = 2.0, the study says 3.0"),
        (("study", "recipe", "batch_size"), 16, "its control digest is"),
        (("resolved", "threads"), 2, "resolved.threads is 2, but digits/plain/0 records 1"),
        (("resolved", "precision", "fp32", "used"), "bf16", "resolved.precision.fp32 is bf16"),
        (("tasks", "digits", "split_digest"), "0" * 64, "tasks.digits.split_digest is 000000000000"),
        (("environment", "torch"), "1.0", "study.lock: its digest is"),
        (("command",), {"study": "other"}, "study.lock: its digest is"),
        (("files", "tasks/digits/task.json"), "0" * 64, "tasks/digits/task.json: its SHA-256 is"),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else "",
)
def test_a_changed_field_of_the_lock_is_found_and_named(
    study: StudyFolder, keys: tuple[str, ...], value: Any, named: str
) -> None:
    lock = study.read_lock() or {}
    place = lock
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    study.lock_path.write_text(json.dumps(lock))
    differing = _differing(_verify(study, images=False))
    assert any(named in line for lines in differing.values() for line in lines), differing
    assert differing["the lock"][0].startswith("study.lock: its digest is")


def test_missing_files_are_named(study: StudyFolder) -> None:
    _plain(study).predictions_path.unlink()
    _plain(study, 1).record_path.unlink()
    lines = _differing(_verify(study, images=False))["the files against the lock"]
    assert lines == [
        "runs/digits/plain/seed-0/predictions.npz is gone; study.lock has its digest",
        "runs/digits/plain/seed-1/record.json is gone; study.lock has its digest",
    ]


def test_a_published_copy_passes_and_what_it_lacks_is_listed(study: StudyFolder, tmp_path: Path) -> None:
    public = StudyFolder(publish(study, tmp_path / "public").path)
    found = _verify(public)
    assert found.agrees, _differing(found)
    by_title = {check.title: check for check in found.checks}
    assert by_title["the files against the lock"].unchecked == (
        "4 files probabilities.npz not in this folder (a published copy has none)",
        "4 files weights.safetensors not in this folder (a published copy has none)",
    )
    assert by_title["the page"].outcome == "agrees"
    assert "by their fingerprint" in by_title["the images against their manifest"].remarks[0]
    # Whoever has the weights can tell that they are those of the published study.
    weights = public.run("digits", "plain", 0).weights_path
    shutil.copy(_plain(study).weights_path, weights)
    assert _verify(public).agrees
    shutil.copy(_plain(study, 1).weights_path, weights)
    assert "weights.safetensors: its SHA-256" in _differing(_verify(public))["the files against the lock"][0]


def test_a_changed_prediction_of_a_published_copy_is_found(study: StudyFolder, tmp_path: Path) -> None:
    public = StudyFolder(publish(study, tmp_path / "public").path)
    kept = _plain(public).read_predictions()
    assert kept is not None
    label_N = kept.label_N.copy()
    label_N[0] = (label_N[0] + 1) % 3
    _plain(public).write_predictions({"test": replace(kept, label_N=label_N)})
    differing = _differing(_verify(public))
    assert "other labels in predictions.npz" in differing["the split"][0]


def test_the_weights_predict_again_what_was_recorded_and_that_is_noted_beside(study: StudyFolder) -> None:
    before = small_study.contents(study.path)
    found = _verify(study, images=False, reevaluate=True).checks[-1]
    assert (found.outcome, found.agreed, found.remarks) == ("agrees", 4, ())
    after = small_study.contents(study.path)
    added = sorted(after.keys() - before.keys())
    runs = [f"runs/digits/{name}/seed-{seed}" for name in ("dropout", "plain") for seed in (0, 1)]
    assert added == [f"{run}/verifications.json" for run in runs]
    assert {name: after[name] for name in before if name != ".claim"} == {
        name: value for name, value in before.items() if name != ".claim"
    }
    assert _plain(study).verifications()[0]["purpose"] == "verification"
    again = _verify(study, images=False)
    assert again.agrees
    assert "digits/plain/0 (1)" in again.checks[6].remarks[0]


def test_other_weights_are_found_by_what_they_predict(study: StudyFolder) -> None:
    _without_digests(study)
    path = _plain(study).weights_path
    weights = load_file(path)
    weights["network.4.bias"][0] += 5.0
    save_file(weights, path)
    found = _verify(study, images=False, reevaluate=True).checks[-1]
    assert found.agreed == 3
    assert found.differing[0].startswith("digits/plain/0: its weights predict another class for ")
    weights["network.4.bias"] = weights["network.4.bias"][:2].clone()
    save_file(weights, path)
    found = _verify(study, images=False, reevaluate=True).checks[-1]
    assert found.differing[0].startswith("digits/plain/0: its weights do not fit its network: ")


def test_a_retrained_run_ends_in_the_same_bits(study: StudyFolder) -> None:
    before = small_study.contents(study.path)
    found = _verify(study, images=False, retrain="digits/dropout/1").checks[-1]
    assert (found.title, found.outcome) == ("digits/dropout/1, trained again", "agrees")
    added = small_study.contents(study.path).keys() - before.keys()
    assert added == {"runs/digits/dropout/seed-1/verifications.json"}


def test_a_run_that_ends_otherwise_on_the_same_machine_differs_and_on_another_one_is_explained(
    study: StudyFolder,
) -> None:
    _without_digests(study)
    other = load_file(_plain(study, 1).weights_path)
    save_file(other, _plain(study).weights_path)
    found = _verify(study, images=False, retrain="plain/0").checks[-1]
    assert "though processor, threads and versions have the same names" in found.differing[0]
    record = _plain(study).read()
    assert record is not None
    _plain(study).write(replace(record, environment={**record.environment, "torch": "1.0"}))
    found = _verify(study, images=False, retrain="digits/plain/0").checks[-1]
    assert found.outcome == "not checked"
    assert "the same class for 100.0 % of" in found.unchecked[0]
    assert "torch 1.0 then, " in found.unchecked[0]


def test_weights_that_cannot_be_read_are_named_when_their_run_is_trained_again(study: StudyFolder) -> None:
    path = _plain(study).weights_path
    path.write_bytes(path.read_bytes()[:100])
    _without_digests(study)
    differing = _differing(_verify(study, images=False, retrain="digits/plain/0"))
    assert "its weights cannot be read" in differing["digits/plain/0, trained again"][0]


def test_a_run_that_is_not_there_is_refused_with_the_nearest_name(study: StudyFolder) -> None:
    with pytest.raises(
        ConfigError, match=r"--retrain: got 'digits/plian/0', .*did you mean 'digits/plain/0'"
    ):
        _verify(study, retrain="digits/plian/0")


def test_a_study_of_images_that_a_program_gave_has_no_test_and_is_proved(tmp_path: Path) -> None:
    images_NHWC = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    (tmp_path / "net.py").write_text(small_study.NET)
    model = f"{tmp_path / 'net.py'}:plain"
    bakeoff.ImageClassifier(model, image_size=8, epochs=1, threads=1, out=tmp_path / "out").fit(
        images_NHWC, ["ant", "bee"] * 10
    )
    found = bakeoff.verify(tmp_path / "out")
    assert found.agrees, _differing(found)
    run = next((tmp_path / "out/runs").glob("*/*/seed-0"))
    values = json.loads((run / "record.json").read_text())
    (run / "record.json").write_text(json.dumps({**values, "test_readings": [{"images": "5"}]}))
    said = str(_differing(bakeoff.verify(tmp_path / "out")))
    assert "1 readings of test images, but its task has none" in said


def test_a_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="holds no study"):
        bakeoff.verify(tmp_path)


def test_a_users_network_that_has_changed_is_said_and_is_no_difference(study: StudyFolder) -> None:
    net = study.path.parent / "net.py"
    net.write_text(net.read_text() + "\n# newer\n")
    found = _verify(study, images=False)
    identities = next(check for check in found.checks if check.title == "identities")
    assert identities.outcome == "agrees"
    assert "net.py:plain has changed" in identities.unchecked[0]


def test_a_network_on_another_one_is_proved_with_it(tmp_path: Path, class_folders: Path) -> None:
    values = small_study.study(
        task=[{"name": "colours", "data": str(class_folders), "image_size": 16}],
        candidate=[
            {"name": "base", "model": "mobilenet-0.25"},
            {"name": "tuned", "from": "base", "head_start": "probe", "source_norms": "kept"},
        ],
    )
    study = small_study.train(tmp_path, values).folder
    found = _verify(study, reevaluate=True, retrain="tuned/0")
    assert found.agrees, _differing(found)
    assert [check.outcome for check in found.checks[-2:]] == ["agrees", "agrees"]


def test_files_that_changed_since_are_named(tmp_path: Path, class_folders: Path) -> None:
    images = Path(shutil.copytree(class_folders, tmp_path / "images"))
    values = small_study.study(task=[{"name": "colours", "data": str(images), "image_size": 8}])
    study = small_study.train(tmp_path, values).folder
    files = sorted(images.rglob("*.png"))
    files[0].write_bytes(files[1].read_bytes())
    files[2].unlink()
    shutil.copy(files[3], files[3].with_name("new.png"))
    lines = _differing(_verify(study))["the images against their manifest"]
    names = [file.relative_to(images).as_posix() for file in files]
    assert lines == [
        f"images of 'colours' that are gone: {names[2]}",
        f"images of 'colours' that are new: {files[3].with_name('new.png').relative_to(images).as_posix()}",
        f"images of 'colours' that are of other contents: {names[0]}",
    ]
    assert np.isclose(len(files) - 2, _verify(study).checks[-2].agreed)


def test_a_file_that_was_left_out_and_is_repaired_makes_the_images_no_others(
    tmp_path: Path, class_folders: Path
) -> None:
    images = Path(shutil.copytree(class_folders, tmp_path / "images"))
    files = sorted(images.rglob("*.png"))
    content = files[4].read_bytes()
    files[4].write_bytes(content[:40])
    values = small_study.study(task=[{"name": "colours", "data": str(images), "image_size": 8}])
    options = DataOptions(on_corrupt="exclude")
    study = small_study.train(tmp_path, values, options=options).folder
    files[4].write_bytes(content)
    found = _verify(study, reevaluate=True, retrain="plain/0")
    assert found.agrees, _differing(found)
    name = files[4].relative_to(images).as_posix()
    words = f"files that its runs left out can be read now: {name}"
    said = [line for check in found.checks for line in check.unchecked]
    assert f"'colours' was not evaluated: {words}" in said
    assert f"colours/plain/0 was trained on other images: {words}" in said
