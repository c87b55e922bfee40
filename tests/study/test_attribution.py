"""Where each candidate looked is kept when a task's runs have ended, once; nobody's fault ends the study."""

import numpy as np
import pytest
import small_study

import bakeoff
from bakeoff.errors import ConfigError, UnknownNameError
from bakeoff.evidence.disagreement import shown_images
from bakeoff.records import StudyFolder
from bakeoff.study import attribution, bookkeeping
from bakeoff.study.selection import Selection
from bakeoff.study.trained import load


def _kept(folder):
    return folder.read_attributions("digits")


def _file(folder):
    return folder.path / "tasks" / "digits" / "attributions.npz"


def test_an_ended_study_has_kept_where_its_candidates_looked(ended, folder, digits):
    kept = _kept(folder)
    assert kept.images == shown_images(folder, "digits")
    assert {image.index for image in kept.images} <= set(folder.read_examples("digits"))
    assert {one.candidate for one in kept.candidates} == {"plain", "dropout"} == set(kept.maps)
    index = [image.index for image in kept.images]
    for one in kept.candidates:
        run = folder.run("digits", one.candidate, 0)
        assert (one.seed, one.identity) == (0, run.read().identity)
        assert (one.method, one.layer, one.note) == (
            "Grad-CAM",
            {"plain": "2", "dropout": "3"}[one.candidate],
            "",
        )
        model = load(run.path, base_dir=ended)
        found = model.explain(list(digits.images_NHWC[index]))
        assert found.class_N.tolist() == one.classes
        np.testing.assert_allclose(found.probability_N, one.probabilities, atol=1e-4)
        peaks_N = found.maps_Nhw.max(axis=(1, 2), keepdims=True)
        expected = np.rint(255 * found.maps_Nhw / np.where(peaks_N > 0, peaks_N, 1))
        assert np.abs(kept.maps[one.candidate] - expected).max() <= 1
        assert kept.maps[one.candidate].shape == (len(index), 4, 4)


@pytest.fixture
def asked(monkeypatch):
    """Whom the study asks where it looked."""
    names, explain = [], attribution._explain

    def heard(folder, run, images, jobs):
        names.append(run.record.candidate)
        return explain(folder, run, images, jobs)

    monkeypatch.setattr(attribution, "_explain", heard)
    return names


def test_what_is_kept_is_not_computed_again(ended, folder, asked):
    before = (_file(folder).read_bytes(), _file(folder).stat().st_mtime_ns)
    small_study.train(ended)
    assert asked == []
    assert (_file(folder).read_bytes(), _file(folder).stat().st_mtime_ns) == before


def test_only_the_candidate_whose_run_is_new_is_asked_again(ended, folder, asked):
    kept = _kept(folder)
    old = next(one for one in kept.candidates if one.candidate == "plain")
    folder.run("digits", "plain", 0).discard()
    small_study.train(ended)
    assert asked == []  # the same run trained again has the same identity, and the same weights
    other = [
        type(one)(**{**vars(one), "identity": "of another"}) if one is old else one for one in kept.candidates
    ]
    folder.write_attributions(
        "digits", type(kept)(images=kept.images, candidates=tuple(other), maps=kept.maps)
    )
    small_study.train(ended)
    assert asked == ["plain"]
    assert _kept(folder).candidates == kept.candidates


def test_a_damaged_file_is_written_anew(ended, folder):
    before = _file(folder).read_bytes()
    _file(folder).write_bytes(before[:100])
    small_study.train(ended)
    assert _file(folder).read_bytes() == before


def test_other_images_are_explained_by_all(ended, folder, asked):
    kept = _kept(folder)
    fewer = {name: maps_Nhw[1:] for name, maps_Nhw in kept.maps.items()}
    candidates = [
        type(one)(**{**vars(one), "classes": one.classes[1:], "probabilities": one.probabilities[1:]})
        for one in kept.candidates
    ]
    folder.write_attributions(
        "digits", type(kept)(images=kept.images[1:], candidates=tuple(candidates), maps=fewer)
    )
    small_study.train(ended)
    assert sorted(asked) == ["dropout", "plain"]
    assert _kept(folder).images == kept.images


def test_a_candidate_that_was_not_asked_for_is_explained_from_its_folder(ended, folder, asked):
    before = _file(folder).read_bytes()
    _file(folder).unlink()
    small_study.train(ended, selection=Selection(candidates=("plain",)))
    assert sorted(asked) == ["dropout", "plain"]
    assert _file(folder).read_bytes() == before


STUBBORN = '''

class Stubborn(nn.Module):
    """Works while it is scored, and breaks when it is asked for gradients by its images."""

    def __init__(self, network, error):
        super().__init__()
        self.network, self.error = network, error

    def forward(self, x):
        if x.requires_grad:
            raise self.error
        return self.network(x)


def stubborn(classes, image_size):
    return Stubborn(plain(classes, image_size), RuntimeError("not\\\\nwith me"))


def leaving(classes, image_size):
    return Stubborn(plain(classes, image_size), SystemExit(3))
'''


def test_a_network_that_breaks_does_not_lose_the_study(tmp_path):
    small_study.write(tmp_path)
    (tmp_path / "net.py").write_text(small_study.NET + STUBBORN.replace("\\\\n", "\\n"))
    candidates = [{"name": name, "model": f"net.py:{name}"} for name in ("plain", "stubborn", "leaving")]
    outcome = small_study.train(tmp_path, small_study.study(candidate=candidates))
    assert [record.status for record in outcome.records] == ["finished"] * 3
    kept = _kept(outcome.folder)
    notes = {one.candidate: one.note for one in kept.candidates}
    assert notes == {"plain": "", "stubborn": "RuntimeError: not with me", "leaving": "SystemExit: 3"}
    assert set(kept.maps) == {"plain"}


def test_weights_that_are_gone_are_said_and_maps_that_are_kept_need_none(ended, folder):
    folder.run("digits", "plain", 0).weights_path.unlink()
    small_study.train(ended)
    assert set(_kept(folder).maps) == {"plain", "dropout"}
    _file(folder).unlink()
    small_study.train(ended)
    kept = _kept(folder)
    assert set(kept.maps) == {"dropout"}
    (note,) = [one.note for one in kept.candidates if one.candidate == "plain"]
    assert note == "its weights are not there any more"


def test_a_user_file_that_has_changed_is_said(ended, folder):
    _file(folder).unlink()
    with (ended / "net.py").open("a") as file:
        file.write("# another version\n")
    values = small_study.study(candidate=[
        *small_study.study()["candidate"], {"name": "third", "model": "mobilenet-0.25"},
    ])  # fmt: skip
    small_study.train(ended, values, selection=Selection(candidates=("third",)))
    notes = {one.candidate: one.note for one in _kept(folder).candidates}
    assert notes["third"].startswith("its last convolution, depthwise13")
    assert "is not as it was when" in notes["plain"]


def test_networks_on_others_are_explained_with_their_frozen_base(tmp_path, class_folders):
    values = small_study.study(
        task=[{"name": "colours", "data": str(class_folders), "image_size": 16}],
        candidate=[
            {"name": "base", "model": "mobilenet-0.25"},
            {"name": "head", "from": "base", "train": "head"},
            {"name": "probe", "from": "base", "probe": True},
            {"name": "output", "from": "base", "tap": "output", "head": [8]},
        ],
    )
    folder = small_study.train(tmp_path, values).folder
    kept = folder.read_attributions("colours")
    layers = {one.candidate: (one.method, one.layer) for one in kept.candidates}
    assert layers.pop("base") == ("Grad-CAM", "pointwise3_relu")
    assert set(layers.values()) == {("Grad-CAM", "base.pointwise3_relu")}
    assert len(layers) == 3


def test_a_task_without_a_result_keeps_nothing(tmp_path):
    values = small_study.study(candidate=[{"name": "broken", "model": "net.py:broken"}])
    assert _kept(small_study.train(tmp_path, values).folder) is None


def test_nothing_of_a_run_is_touched(ended, folder):
    before = small_study.contents(folder.path / "runs")
    _file(folder).unlink()
    small_study.train(ended)
    assert small_study.contents(folder.path / "runs") == before


def test_the_runner_explains_each_task_once_when_its_last_run_has_ended(tmp_path, monkeypatch):
    heard = []
    monkeypatch.setattr(
        bookkeeping, "keep_attributions", lambda folder, jobs: heard.append([job.name for job in jobs])
    )
    task = small_study.study()["task"][0]
    small_study.train(
        tmp_path, small_study.study(task=[task, {**task, "name": "again"}], recipe={"epochs": 1})
    )
    assert heard == [
        [f"{name} / plain / seed 0", f"{name} / dropout / seed 0"] for name in ("digits", "again")
    ]


# From Python


def test_a_trained_run_explains_images_of_any_kind(ended, folder, digits):
    trained = bakeoff.load(folder.run("digits", "plain", 0).path, base_dir=ended)
    image_HWC = digits.images_NHWC[digits.test[0]]
    assert trained.explain(image_HWC).heat_NHW.shape == (1, 8, 8)
    found = trained.explain(list(digits.images_NHWC[digits.test]))
    assert not found.silent_N.all()
    assert np.array_equal(found.heat_NHW.max(axis=(1, 2)), np.where(found.silent_N, 0, 1))
    name = trained.class_names[2]
    asked = trained.explain([image_HWC, image_HWC], name)
    assert asked.class_N.tolist() == [2, 2]
    assert np.array_equal(trained.explain([image_HWC] * 2, [name, name]).maps_Nhw, asked.maps_Nhw)
    with pytest.raises(UnknownNameError, match="classes: no class 'cat'"):
        trained.explain(image_HWC, "cat")
    with pytest.raises(ConfigError, match="classes: got 1, expected one, or one for each of 2 images"):
        trained.explain([image_HWC, image_HWC], [name])
    with pytest.raises(ConfigError, match="images: got none"):
        trained.explain([])


def test_a_studys_folder_is_all_that_is_needed(folder):
    assert _kept(StudyFolder(folder.path)) is not None
