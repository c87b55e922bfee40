"""Candidates that are built on others: what comes first, what they start from, what stays as it was."""

import numpy as np
import pytest
import small_study
import timm
import torch
from safetensors.torch import load_file, save_file

from bakeoff.errors import ConfigError
from bakeoff.evidence.results import result_rows
from bakeoff.evidence.summarise import summarise_study
from bakeoff.report.views import study_view
from bakeoff.study import Quiet, Selection
from bakeoff.study.trained import load
from bakeoff.training.loop import Stopped

BASE = {"name": "base", "model": "net.py:dropout"}
PROBE = {"name": "probe", "from": "base", "train": "head"}
STACKED = {"name": "stacked", "from": "base", "tap": "output", "head": [6, 0.5]}
STAGE = {"name": "stage", "model": "timm:test_resnet", "input_size": 32}  # its file need not be there again
ON_STAGE = {"name": "on stage", "from": "stage", "head": [5]}
SECOND = {"name": "second", "from": "stacked", "head": [5]}


class Ear(Quiet):
    """Keeps what starts; stops at a step of a candidate when asked to."""

    def __init__(self, stop_at=None):
        self.started, self.stop_at = [], stop_at

    def on_run_start(self, job):
        self.started.append((job.candidate.name, job.seed))

    def on_step(self, job, step):
        return (job.candidate.name, step.steps) == self.stop_at


def _train(folder, candidates, listener=None, seeds=(0,), **options):
    values = small_study.study(candidate=list(candidates), seeds=list(seeds))
    return small_study.train(folder, values, listener=listener or Quiet(), **options)


def _weights(folder, candidate, seed=0):
    return load_file(folder.run("digits", candidate, seed).weights_path)


def test_a_source_comes_before_what_is_built_on_it_whatever_the_files_order(tmp_path):
    ear = Ear()
    _train(tmp_path, [SECOND, PROBE, STACKED, BASE], ear)
    assert [name for name, _ in ear.started] == ["base", "stacked", "second", "probe"]


def test_a_source_that_was_not_asked_for_is_trained_all_the_same_and_once(tmp_path):
    ear = Ear()
    only = Selection(candidates=("second",))
    _train(tmp_path, [BASE, PROBE, STACKED, SECOND], ear, selection=only)
    assert [name for name, _ in ear.started] == ["base", "stacked", "second"]
    again = Ear()
    assert _train(tmp_path, [BASE, PROBE, STACKED, SECOND], again, selection=only).trained == 0


def test_each_seed_stands_on_the_same_seed_of_its_source(tmp_path):
    folder = _train(tmp_path, [BASE, PROBE], seeds=(0, 1)).folder
    for seed in (0, 1):
        source, probe = _weights(folder, "base", seed), _weights(folder, "probe", seed)
        assert torch.equal(source["network.0.weight"], probe["network.base.0.weight"])
        record = folder.run("digits", "probe", seed).read()
        base = folder.run("digits", "base", seed).read()
        assert (record.source["candidate"], record.source["seed"]) == ("base", seed)
        assert record.source["identity"] == base.identity
    assert not torch.equal(
        _weights(folder, "base", 0)["network.0.weight"], _weights(folder, "base", 1)["network.0.weight"]
    )


def test_what_is_frozen_is_the_sources_to_the_last_bit_and_the_record_says_what_it_was(tmp_path):
    folder = _train(tmp_path, [BASE, PROBE]).folder
    source, probe = _weights(folder, "base"), _weights(folder, "probe")
    kept = [name for name in probe if name.startswith("network.base.")]
    assert len(kept) == 7  # a convolution's two, a norm's five
    assert all(torch.equal(probe[name], source[name.replace(".base.", ".")]) for name in kept)
    record = folder.run("digits", "probe", 0).read()
    assert record.frozen["layers"] == ["base.0", "base.1"]
    assert record.frozen["parameters"] == 4 * 27 + 4 + 4 * 4
    assert record.trainable == (4 * 4 * 4 + 1) * 3
    assert folder.run("digits", "base", 0).read().frozen == {}


def test_what_is_not_frozen_starts_from_the_source_and_moves(tmp_path):
    folder = _train(tmp_path, [BASE, STACKED]).folder
    source, stacked = _weights(folder, "base"), _weights(folder, "stacked")
    first, moved = source["network.0.weight"], stacked["network.base.0.weight"]
    assert not torch.equal(first, moved)
    assert (first - moved).abs().max() < 0.2
    assert folder.run("digits", "stacked", 0).read().frozen == {}


def test_a_stopped_probe_goes_on_and_ends_in_the_same_bits(tmp_path):
    whole = _train(tmp_path / "whole", [BASE, PROBE]).folder
    with pytest.raises(Stopped):
        _train(tmp_path / "cut", [BASE, PROBE], Ear(("probe", 7)))
    cut = _train(tmp_path / "cut", [BASE, PROBE]).folder
    assert small_study.results(cut) == small_study.results(whole)
    assert cut.run("digits", "probe", 0).read().resumed == 1


def test_a_source_that_failed_says_so_in_everything_that_needed_it(tmp_path):
    broken = {"name": "base", "model": "net.py:broken"}
    outcome = _train(tmp_path, [broken, PROBE, STACKED, SECOND])
    reasons = {record.candidate: (record.status, record.reason) for record in outcome.records}
    assert reasons["probe"][0] == reasons["stacked"][0] == reasons["second"][0] == "failed"
    assert reasons["probe"][1].startswith("from: 'base', seed 0, failed: model: net.py:broken")
    assert reasons["second"][1].startswith("from: 'stacked', seed 0, failed: from: 'base', seed 0, failed")


def test_a_source_with_other_settings_trains_what_is_built_on_it_anew(tmp_path):
    _train(tmp_path, [BASE, PROBE])
    net = (tmp_path / "net.py").read_text()
    (tmp_path / "net.py").write_text(net.replace("nn.Dropout(0.3)", "nn.Dropout(0.4)"))
    ear = Ear()
    _train(tmp_path, [BASE, PROBE], ear)
    assert [name for name, _ in ear.started] == ["base", "probe"]


def test_what_a_source_took_is_charged_to_what_is_built_on_it(tmp_path):
    folder = _train(tmp_path, [BASE, STACKED, SECOND]).folder
    base, stacked, second = (folder.run("digits", name, 0).read() for name in ("base", "stacked", "second"))
    assert stacked.source["total_seconds"] == base.total_seconds
    assert second.source["total_seconds"] == pytest.approx(base.total_seconds + stacked.total_seconds)
    assert second.source["epochs"] == 4


def test_the_seeds_of_a_candidate_are_of_one_version_though_their_sources_differ(tmp_path):
    folder = _train(tmp_path, [BASE, PROBE], seeds=(0, 1)).folder
    first, second = (folder.run("digits", "probe", seed).read() for seed in (0, 1))
    assert first.model_digest == second.model_digest
    (task,) = summarise_study(folder).tasks
    assert [row.mixed for row in task.candidates] == ["", ""]


def test_the_report_says_what_was_frozen_what_went_before_and_what_that_took(tmp_path):
    folder = _train(tmp_path, [BASE, PROBE]).folder
    view = study_view(folder)
    (base, probe) = view.tasks[0].networks
    assert "Built on" not in base.words
    assert "Built on base, seed by seed" in probe.words
    assert (
        "Frozen: 128 parameters in 2 layers, from base.0 to base.1; they are the source's to the last bit"
        in probe.words
    )
    assert "computed once" in probe.words
    record = folder.run("digits", "base", 0).read()
    first, second = result_rows(folder)
    assert (first["source"], second["source"]) == (None, "base")
    assert second["total_seconds_with_source"] == pytest.approx(
        second["total_seconds"] + record.total_seconds
    )
    assert first["total_seconds_with_source"] == first["total_seconds"]
    times = {
        row.cells[0].text: cell.sub
        for row in view.tasks[0].results.rows
        for cell in row.cells
        if "epoch" in cell.sub
    }
    assert times["base"] == "2 epochs"
    assert times["probe"].startswith("2 epochs, after ")
    assert times["probe"].endswith(" for base")


def test_the_page_names_what_moved_between_frozen_layers(tmp_path):
    folder = _train(tmp_path, [STAGE, {"name": "middle", "from": "stage", "train": ["layer2"]}]).folder
    _, network = study_view(folder).tasks[0].networks
    moved = "but for base.layer2.0.conv1, base.layer2.0.bn1, base.layer2.0.conv2 and "
    assert "layers, from base.conv1.0 to base.layer4.0.downsample.2 " + moved in network.words


def _from_earlier(folder, source, **changes):
    values = small_study.study(candidate=[{"name": "late", "from": source, "train": "head"}], **changes)
    return small_study.train(folder, values)


def test_a_source_of_an_earlier_study_is_named_by_its_folder(tmp_path):
    earlier = _train(tmp_path / "first", [STAGE, ON_STAGE], seeds=(0, 1)).folder
    path = earlier.run("digits", "on stage", 0).path.parent
    outcome = _from_earlier(tmp_path / "second", str(path), seeds=[0, 1])
    for record in outcome.records:
        source = earlier.run("digits", "on stage", record.seed)
        assert record.status == "finished"
        assert record.source["identity"] == source.read().identity
        assert record.source["total_seconds"] > source.read().total_seconds  # and of what that stands on
        late = load_file(outcome.folder.run("digits", "late", record.seed).weights_path)
        first = load_file(source.weights_path)
        kept = {name: t for name, t in first.items() if name.startswith("network.base.")}
        assert len(kept) > 10  # of the first source, two studies ago
        for name, tensor in kept.items():
            assert torch.equal(late[name.replace("network.base.", "network.base.base.", 1)], tensor), name


def test_one_seed_of_an_earlier_study_serves_all(tmp_path):
    earlier = _train(tmp_path / "first", [STAGE]).folder
    outcome = _from_earlier(tmp_path / "second", str(earlier.run("digits", "stage", 0).path), seeds=[0, 1])
    assert len({record.source["identity"] for record in outcome.records}) == 1
    assert len({record.identity for record in outcome.records}) == 2


def test_an_earlier_study_that_has_no_such_run_is_refused_before_anything_is_read(tmp_path):
    earlier = _train(tmp_path / "first", [STAGE, BASE]).folder
    for path, message in (
        (earlier.run("digits", "stage", 0).path.parent, "seed-1 holds no run"),
        (tmp_path / "nowhere" / "at all", "holds no run that has ended"),
        (earlier.run("digits", "base", 0).path, "is a network from a file, net.py:dropout"),
    ):
        with pytest.raises(ConfigError, match=message):
            _from_earlier(tmp_path / "second", str(path), seeds=[0, 1])
    assert not (tmp_path / "second" / "out").exists()


def test_a_source_that_has_learned_from_test_images_is_ranked_apart_and_says_so(tmp_path):
    earlier = _train(tmp_path / "first", [STAGE]).folder
    task = {"name": "digits", "data": "digits", "classes": 3, "image_size": 8}
    path = str(earlier.run("digits", "stage", 0).path)
    same = _from_earlier(tmp_path / "same", path).records[0]
    other = _from_earlier(tmp_path / "other", path, task=[{**task, "split_seed": 1}]).records[0]
    assert "source" not in same.differences
    assert other.differences["source"][1].endswith("of 107 test images")


def test_the_time_of_a_source_counts_against_an_equal_budget(tmp_path):
    task = {"name": "digits", "data": "digits", "classes": 3, "image_size": 8, "control": "budget"}
    values = small_study.study(candidate=[BASE, PROBE], task=[task])
    values["recipe"] = {"time": "1s", "batch_size": 32, "precision": "fp32"}
    base, probe = small_study.train(tmp_path, values).records
    assert base.status == probe.status == "finished"
    assert "time" not in base.differences
    assert probe.differences["time"][0] == "1s"  # and took two, its source's included
    assert probe.control_digest != base.control_digest


def test_the_page_says_where_a_head_started_and_which_statistics_were_kept(tmp_path):
    tuned = {"name": "tuned", "from": "base", "head_start": "probe", "source_norms": "kept"}
    folder = _train(tmp_path, [BASE, tuned]).folder
    (record,) = (record for record in folder.records() if record.candidate == "tuned")
    (task,) = study_view(folder).tasks
    base, network = task.networks
    (chosen,) = (fit for fit in record.probe if fit["chosen"])
    assert f"The last layer is at first logistic regression with a penalty of {chosen['penalty']:g}" in (
        network.words
    )
    assert "The statistics of 1 batch normalization whose weights move are the source's" in network.words
    assert base.penalties is None
    assert len(network.penalties.rows) == len(record.probe)
    (lead,) = (row for row in network.penalties.rows if row.lead)
    assert lead.cells[0].text == f"{chosen['penalty']:g}"


def test_a_leak_is_told_of_everything_that_stands_on_it(tmp_path):
    first = _train(tmp_path / "first", [STAGE]).folder
    path = str(first.run("digits", "stage", 0).path)
    task = {"name": "digits", "data": "digits", "classes": 3, "image_size": 8, "split_seed": 1}
    candidates = [
        {"name": "a", "from": path}, {"name": "b", "from": "a"}, {"name": "fresh", "model": "mobilenet-0.25"},
    ]  # fmt: skip
    folder = small_study.train(
        tmp_path / "second", small_study.study(task=[task], candidate=candidates)
    ).folder
    a, b, fresh = (folder.run("digits", name, 0).read() for name in ("a", "b", "fresh"))
    assert "test images" in b.differences["source"][1]
    assert b.differences["source"] == a.differences["source"]
    assert b.control_digest != fresh.control_digest


def test_a_leak_is_found_through_a_run_between(tmp_path):
    task = {"name": "digits", "data": "digits", "classes": 3, "image_size": 8}
    first = _train(tmp_path / "first", [STAGE]).folder
    same = {
        "task": [task],
        "candidate": [{"name": "next", "from": str(first.run("digits", "stage", 0).path)}],
    }
    second = small_study.train(tmp_path / "second", small_study.study(**same)).folder
    path = str(second.run("digits", "next", 0).path)
    last = _from_earlier(tmp_path / "last", path, task=[{**task, "split_seed": 1}]).records[0]
    assert "source" in last.differences
    # Its own study saw none of these images: the one before it did.
    manifest = second.manifest_path("digits")
    rows = [row | {"part": "test"} for row in second.read_manifest("digits")]
    manifest.unlink()
    second.write_manifest("digits", list(rows[0]), ([row[key] for key in rows[0]] for row in rows))
    again = _from_earlier(tmp_path / "again", path, task=[{**task, "split_seed": 1}]).records[0]
    assert "source" in again.differences


def test_the_file_of_weights_that_an_earlier_run_stood_on_is_not_asked_for_again(tmp_path):
    file = tmp_path / "given.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), file)
    tuned = {"name": "tuned", "from": "timm:test_resnet", "weights": str(file), "input_size": 32}
    first = _train(tmp_path / "first", [tuned]).folder
    file.unlink()
    late = _from_earlier(tmp_path / "second", str(first.run("digits", "tuned", 0).path)).records[0]
    assert late.status == "finished"
    assert late.pretrained == first.run("digits", "tuned", 0).read().pretrained
    assert load(first.run("digits", "tuned", 0).path).predict(np.zeros((8, 8, 3), np.uint8))
