"""A run that searches: the same trials for the same seed, whatever interrupts it, within its budget."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import jobs
import numpy as np
import pytest
import timm
import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file

from bakeoff.errors import ConfigError
from bakeoff.evidence.trials import summarise_search
from bakeoff.models import architecture
from bakeoff.models.architecture import OnBackbone, Searched, architecture_digest
from bakeoff.models.written import read_architecture
from bakeoff.records import RunFolder, RunRecord
from bakeoff.records.trials import Trial, TrialsFile
from bakeoff.searching.points import network_of
from bakeoff.spec import CandidateSpec, digest
from bakeoff.spec.macro import Macro
from bakeoff.spec.search import SearchSpec
from bakeoff.spec.space import SPACE as SPACE_TABLE
from bakeoff.training import search as module
from bakeoff.training import search_jobs
from bakeoff.training.job import Job
from bakeoff.training.loop import Step, Stopped
from bakeoff.training.search import run_search

SPACE = {"width": [16, 24], "stages": 2, "depth": [0, 1], "kernel": 3, "batch_size": [32, 64], "flip": "none"}
CLOCKS = ("seconds", "elapsed", "images_per_second")


@pytest.fixture(scope="module")
def data():
    return jobs.pictures(train=96, validation=24, test=24, noise=60.0)


def asked(tmp_path: Path, data: Any, seed: int = 0, **search: Any) -> Job:
    """Ask for a search on pictures of 8 pixels."""
    values = {"budget": "30ep", "space": SPACE, **search}
    spec = SearchSpec.model_validate(values)
    length = {"epochs": spec.budget.amount} if spec.budget and spec.budget.unit == "epochs" else {}
    if spec.budget is not None and spec.budget.unit == "seconds":
        length = {"time": str(spec.budget)}
    job = jobs.make_job(tmp_path, data=data, seed=seed, **(length or {"epochs": 4.0}))
    network = Searched(search=spec)
    return replace(
        job, architecture=network, candidate=CandidateSpec(name="search", search=spec),
        model_digest=architecture_digest(network, tmp_path), cache_dir=tmp_path / "cache",
        identity=digest([values, seed]),
    )  # fmt: skip


class Ear(jobs.Ear):
    """Objects from a step on, counted over all trainings."""

    def __init__(self, stop_at: int | None = None) -> None:
        super().__init__()
        self.left = stop_at

    def on_step(self, step: Step) -> bool:
        super().on_step(step)
        return self.left is not None and len(self.steps) >= self.left


def trials_of(folder: RunFolder) -> list[dict[str, Any]]:
    """Read the trials without what the clock says."""
    return [
        {key: value for key, value in vars_of(trial).items() if key not in CLOCKS}
        for trial in TrialsFile(folder.trials_path).read().trials
    ]


def vars_of(trial: Trial) -> dict[str, Any]:
    return {name: getattr(trial, name) for name in Trial.__dataclass_fields__}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, data) -> tuple[RunRecord, RunFolder]:
    """A search that nobody interrupted."""
    path = tmp_path_factory.mktemp("whole")
    folder = RunFolder(path / "run")
    return run_search(asked(path, data), folder, Ear()), folder


def test_it_ends_in_an_ordinary_record_of_the_network_that_it_found(whole, data):
    record, folder = whole
    assert (record.status, record.reason) == ("finished", None)
    assert record.metric("test_accuracy") > 0.6  # of three classes
    found = read_architecture(record.architecture)
    assert isinstance(found, Macro)
    assert record.model == f"found: {found.words}"
    assert record.parameters == sum(
        array.size for name, array in load_file(folder.weights_path).items()
        if name.startswith("network.") and not name.endswith("num_batches_tracked")
    )  # fmt: skip
    assert len(record.test_readings) == 1  # trials read none
    assert not folder.trial_path.exists()
    assert not TrialsFile(folder.trials_path).clock_path.exists()


def test_its_journal_says_what_was_tried_and_who_won(whole):
    record, folder = whole
    journal = TrialsFile(folder.trials_path).read()
    assert record.search["trials"] == len({trial.number for trial in journal.ended}) >= 4
    assert journal.ended[0].proposed == "start"
    best = journal.best
    assert best is not None
    assert journal.final["number"] == record.search["best"] == best.number
    assert record.search["recipe"]["optimizer"]["name"] == best.point["optimizer"]
    assert record.recipe["optimizer"]["name"] == "adam"  # what was asked for is kept beside


def test_all_epochs_are_charged_to_a_budget_of_epochs(whole):
    record, folder = whole
    spent = sum(trial.epochs for trial in TrialsFile(folder.trials_path).read().ended)
    assert spent <= 0.4 * 30 + 1e-9
    assert spent + record.epochs == pytest.approx(30, abs=0.5)  # whole steps


def test_a_search_of_the_same_seed_is_the_same_to_the_last_bit(whole, tmp_path, data):
    again = RunFolder(tmp_path / "run")
    record = run_search(asked(tmp_path, data), again, Ear())
    assert trials_of(again) == trials_of(whole[1])
    assert record.metrics == whole[0].metrics
    assert again.weights_path.read_bytes() == whole[1].weights_path.read_bytes()


def test_another_seed_tries_something_else(whole, tmp_path, data):
    other = RunFolder(tmp_path / "run")
    run_search(asked(tmp_path, data, seed=1, budget="12ep"), other, Ear())
    tried = [trial["point"] for trial in trials_of(other)]
    assert tried[1:] != [trial["point"] for trial in trials_of(whole[1])][1 : len(tried)]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.97])
def test_interrupted_anywhere_it_ends_in_the_same_bits(whole, tmp_path, data, share):
    heard = Ear()
    folder, job = RunFolder(tmp_path / "run"), asked(tmp_path, data)
    run_search(job, RunFolder(tmp_path / "count"), heard)
    stop = Ear(max(1, int(share * len(heard.steps))))
    with pytest.raises(Stopped):
        run_search(job, folder, stop)
    before = len(TrialsFile(folder.trials_path).read().trials)
    record = run_search(job, folder, Ear())
    assert trials_of(folder) == trials_of(whole[1])
    assert before <= len(trials_of(folder))
    assert folder.weights_path.read_bytes() == whole[1].weights_path.read_bytes()
    assert record.metrics == whole[0].metrics


def test_selection_never_sees_a_test_image(whole, tmp_path, data):
    """Test images of noise change nothing of what is tried, chosen and trained."""
    images_NHWC = data.images_NHWC.copy()
    images_NHWC[data.test] = np.random.default_rng(0).integers(0, 256, images_NHWC[data.test].shape)
    folder = RunFolder(tmp_path / "run")
    run_search(asked(tmp_path, replace(data, images_NHWC=images_NHWC)), folder, Ear())
    assert trials_of(folder) == trials_of(whole[1])
    assert folder.weights_path.read_bytes() == whole[1].weights_path.read_bytes()


def test_a_number_of_trials_is_kept_and_the_final_training_has_the_recipes_length(tmp_path, data):
    folder = RunFolder(tmp_path / "run")
    record = run_search(asked(tmp_path, data, budget=None, trials=3), folder, Ear())
    assert record.search["trials"] == 3
    assert record.epochs == pytest.approx(4, abs=0.01)


def test_chance_trains_every_network_once_and_the_same_way(tmp_path, data):
    folder = RunFolder(tmp_path / "run")
    record = run_search(asked(tmp_path, data, method="random"), folder, Ear())
    tried = trials_of(folder)
    assert {(trial["proposed"], trial["rung"]) for trial in tried} == {("chance", 0)}
    assert len({trial["epochs"] for trial in tried}) == 1
    assert record.status == "finished"


def test_a_budget_too_small_for_one_trial_says_the_smallest(tmp_path, data):
    folder = RunFolder(tmp_path / "run")
    record = run_search(asked(tmp_path, data, budget="0.5ep"), folder, Ear())
    assert record.status == "failed"
    assert record.reason == (
        "search.budget: got 0.5ep, too small for one trial and its final training; expected at least 2.5ep"
    )
    enough = run_search(asked(tmp_path, data, budget="2.5ep"), RunFolder(tmp_path / "enough"), Ear())
    assert enough.status == "finished"


def test_filters_that_leave_nothing_are_named(tmp_path, data):
    folder = RunFolder(tmp_path / "run")
    record = run_search(asked(tmp_path, data, max_parameters=100), folder, Ear())
    assert record.status == "failed"
    assert record.reason is not None
    assert "of 60 proposals max_parameters = 100 refused 60" in record.reason
    assert {trial["status"] for trial in trials_of(folder)} == {"refused"}


def test_what_filters_refuse_is_not_trained(tmp_path, data):
    folder = RunFolder(tmp_path / "run")
    record = run_search(asked(tmp_path, data, max_parameters=16_000), folder, Ear())
    journal = TrialsFile(folder.trials_path).read()
    assert record.search["refused"]["parameters"] >= 1
    assert all(trial.parameters <= 16_000 for trial in journal.ended)
    assert record.parameters <= 16_000


def test_a_budget_in_seconds_plans_by_the_measured_speed_and_keeps_it(tmp_path, data, monkeypatch):
    monkeypatch.setattr(module.Speeds, "images_per_second", lambda self, job, **_: 2000.0)
    folder = RunFolder(tmp_path / "run")
    record = run_search(asked(tmp_path, data, budget="6s"), folder, Ear())
    journal = TrialsFile(folder.trials_path).read()
    assert journal.plan["reference_images_per_second"] == 2000.0
    assert record.search["seconds"] < record.total_seconds
    assert float(record.search["recipe"]["time"].removesuffix("s")) < 6


@pytest.mark.slow
def test_pretrained_networks_are_tried_beside_its_own_and_are_built_again(tmp_path, data, monkeypatch):
    torch.manual_seed(0)
    file = tmp_path / "test_resnet.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), file)
    monkeypatch.setattr(architecture, "find_weights", lambda *_, **__: file)
    job = asked(tmp_path, data, budget="40ep", method="random", backbones=["timm:test_resnet"])
    job = replace(job, candidate=job.candidate.model_copy(update={"input_size": 32}))
    real = TrialsFile.add_trial

    def prefer(self, trial):  # so that one of them wins
        won = trial.words == "timm:test_resnet" and trial.accuracy is not None
        real(self, replace(trial, accuracy=1.0, loss=0.0) if won else trial)

    monkeypatch.setattr(TrialsFile, "add_trial", prefer)
    folder = RunFolder(tmp_path / "run")
    record = run_search(job, folder, Ear())
    tried = {trial["words"] for trial in trials_of(folder)}
    assert "timm:test_resnet" in tried
    assert len(tried) > 1
    assert (record.status, record.reason) == ("finished", None)
    assert record.model == "found: timm:test_resnet"
    assert record.pretrained["network"] == "timm:test_resnet"
    assert record.probe
    built = read_architecture(record.architecture)
    assert isinstance(built, OnBackbone)
    assert not folder.network_path.exists()


def test_a_winner_that_diverges_in_its_final_training_is_followed_by_the_next_best(
    tmp_path, data, monkeypatch
):
    real, heard = module.train_run, []

    def sometimes(job, folder, listener, **options):
        heard.append(job)
        record = real(job, folder, listener, **options)
        if len(heard) > 1:
            return record
        folder.test_readings_path.unlink()  # as if it had not come so far
        return replace(record, status="diverged", reason="the loss was nan", epochs=3.0)

    monkeypatch.setattr(module, "train_run", sometimes)
    folder = RunFolder(tmp_path / "run")
    record = run_search(asked(tmp_path, data), folder, Ear())
    journal = TrialsFile(folder.trials_path).read()
    first, second = (job.search["point"] for job in heard)
    assert first != second
    assert journal.final["diverged"] == [journal.best.number]
    assert (record.status, record.model) == ("finished", f"found: {network_of(second).words}")
    spent = sum(trial.epochs for trial in journal.ended)
    assert record.epochs == pytest.approx(30 - spent - 3, abs=0.5)
    assert folder.read() == record


def test_killed_behind_the_record_of_a_winner_that_diverged_it_still_goes_on(tmp_path, data, monkeypatch):
    """The record of a winner that diverged is taken back before its successor is looked for."""
    real, seen = module.train_run, []

    def first_diverges(job, folder, listener, **options):
        record = real(job, folder, listener, **options)
        if seen:
            return record
        folder.test_readings_path.unlink()
        folder.write(replace(record, status="diverged", reason="the loss was nan"))
        return folder.read()

    def killed(self, record):
        seen.append(self.folder.read())
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "train_run", first_diverges)
    monkeypatch.setattr(module._Search, "_next_best", killed)
    folder, job = RunFolder(tmp_path / "run"), asked(tmp_path, data)
    with pytest.raises(KeyboardInterrupt):
        run_search(job, folder, Ear())
    assert seen == [None]
    assert run_search(job, folder, Ear()).status == "finished"


@pytest.mark.parametrize("trials", [1, 30])
def test_a_winner_that_fails_has_a_successor_or_keeps_its_record(tmp_path, data, monkeypatch, trials):
    real, heard = module.train_run, []

    def first_fails(job, folder, listener, **options):
        heard.append(job)
        if len(heard) > 1:
            return real(job, folder, listener, **options)
        record = module.Account().record(job, "failed", "RuntimeError: no memory", [])
        folder.write(record)
        folder.traceback_path.write_text("where")
        return record

    monkeypatch.setattr(module, "train_run", first_fails)
    folder = RunFolder(tmp_path / "run")
    record = run_search(asked(tmp_path, data, trials=trials), folder, Ear())
    assert folder.read() == record
    assert record.status == ("failed" if trials == 1 else "finished")
    assert folder.traceback_path.exists() == (trials == 1)


def test_an_error_behind_a_winner_that_diverged_is_a_failed_run_and_not_the_studys_end(
    tmp_path, data, monkeypatch
):
    real = module.train_run

    def diverges(job, folder, listener, **options):
        record = replace(real(job, folder, listener, **options), status="diverged", reason="nan")
        folder.test_readings_path.unlink()
        return record

    def breaks(self, record):
        raise RuntimeError("no memory")

    monkeypatch.setattr(module, "train_run", diverges)
    monkeypatch.setattr(module._Search, "_next_best", breaks)
    folder = RunFolder(tmp_path / "run")
    record = run_search(asked(tmp_path, data), folder, Ear())
    assert (record.status, record.reason) == ("failed", "RuntimeError: no memory")
    assert record.search["trials"] >= 4
    assert record.search["seconds"] > 0
    assert "no memory" in folder.traceback_path.read_text()
    assert summarise_search(record, folder.trials_path) is None  # there is no winner to be shown


def test_a_network_that_diverges_in_its_trial_does_not_end_the_search(tmp_path, data, monkeypatch):
    real = module.train_trial

    def sometimes(job, folder, listener, **options):
        shown = real(job, folder, listener, **options)
        first = job.architecture.words == heard[0] if heard else heard.append(job.architecture.words) or True
        return replace(shown, status="diverged", reason="the loss was nan", validation={}) if first else shown

    heard: list[str] = []
    monkeypatch.setattr(module, "train_trial", sometimes)
    folder = RunFolder(tmp_path / "run")
    record = run_search(asked(tmp_path, data), folder, Ear())
    journal = TrialsFile(folder.trials_path).read()
    assert journal.ended[0].status == "diverged"
    assert journal.final["number"] != 0
    assert record.status == "finished"


def test_what_another_search_has_left_in_the_folder_is_not_continued(tmp_path, data):
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(Stopped):
        run_search(asked(tmp_path, data, seed=1, budget="15ep"), folder, Ear(14))
    TrialsFile(folder.trials_path).beat(1e6)
    job = asked(tmp_path, data, budget="12ep")
    record = run_search(job, folder, Ear())
    fresh = RunFolder(tmp_path / "fresh")
    run_search(job, fresh, Ear())
    assert trials_of(folder) == trials_of(fresh)
    assert TrialsFile(folder.trials_path).read().plan["identity"] == job.identity
    assert record.search["seconds"] < 1e6


def test_a_search_with_a_budget_is_another_one_than_a_search_without(tmp_path):
    def digested(**search: Any) -> str:
        return architecture_digest(Searched(search=SearchSpec.model_validate(search)), tmp_path)

    assert digested(trials=20) != digested(trials=20, budget="30ep")
    assert digested(trials=20, budget="60ep") == digested(trials=20, budget="30ep")


def test_a_final_training_that_failed_is_charged_and_its_retry_has_what_is_left(tmp_path, data, monkeypatch):
    monkeypatch.setattr(module.Speeds, "images_per_second", lambda self, job, **_: 2000.0)
    real = module.train_run

    def breaks(job, folder, listener, **options):
        record = replace(real(job, folder, listener, **options), status="failed", reason="broken")
        folder.write(record)
        return record

    monkeypatch.setattr(module, "train_run", breaks)
    folder, job = RunFolder(tmp_path / "run"), asked(tmp_path, data, budget="6s", trials=2)
    assert run_search(job, folder, Ear()).status == "failed"
    file = TrialsFile(folder.trials_path)
    charged = file.charged()
    assert charged > file.read().final["seconds"]
    heard = []
    monkeypatch.setattr(module, "train_run", lambda job, *_, **__: heard.append(job) or real(job, *_, **__))
    folder.reopen()
    record = run_search(job, folder, Ear())
    assert record.status == "finished"
    assert heard[0].recipe.length.amount <= max(0.01, 6 - charged)
    assert not file.clock_path.exists()


def test_proposals_that_are_all_refused_end_a_search_that_has_results(tmp_path, data, monkeypatch):
    real = module._Search._weighed

    def strict(self, proposal, limits, rung):
        trial, reason = real(self, proposal, limits, rung)
        return trial, reason or ("parameters: 9, at most 5" if proposal.number == 2 else "")

    monkeypatch.setattr(module._Search, "_weighed", strict)
    monkeypatch.setattr(module, "ATTEMPTS", 3)
    folder = RunFolder(tmp_path / "run")
    record = run_search(asked(tmp_path, data), folder, Ear())
    assert (record.status, record.search["trials"]) == ("finished", 2)
    assert record.search["refused"] == {"parameters": 3}


@pytest.mark.parametrize("method", ["tpe", "random"])
def test_no_network_is_tried_twice_in_a_space_that_is_exhausted(tmp_path, data, method):
    start = {name: dimension.start for name, dimension in SPACE_TABLE.items()}
    space = {**start, "stages": 2, "width": [16, 24], "depth": 0, "batch_size": 32}
    folder = RunFolder(tmp_path / "run")
    record = run_search(asked(tmp_path, data, budget="60ep", method=method, space=space), folder, Ear())
    points = [trial["point"] for trial in trials_of(folder) if trial["rung"] == 0]
    assert [points.count(point) for point in points] == [1, 1]
    assert record.status == "finished"


def test_the_smallest_budget_pays_for_the_final_training_and_what_closes_it(tmp_path, data, monkeypatch):
    monkeypatch.setattr(module.Speeds, "images_per_second", lambda self, job, **_: 20.0)
    folder = RunFolder(tmp_path / "run")
    record = run_search(asked(tmp_path, data, budget="30s", share=0.9), folder, Ear())
    # The end has 10 % less the reserve: an epoch of 96 images, 72 predictions at half, half a second.
    smallest = math.ceil((96 / 20 + 72 / 2 / 20 + 0.5) / 0.09)
    assert f"({smallest}s) on this machine" in str(record.reason)
    told = asked(tmp_path, data, budget=f"{smallest}s", share=0.9)
    assert module._Search(told, folder, Ear(), 60.0)._plan()["trials"] >= 1


def test_validating_is_counted_in_what_a_trial_costs(tmp_path, data, monkeypatch):
    monkeypatch.setattr(module.Speeds, "images_per_second", lambda self, job, **_: 2000.0)
    search = module._Search(asked(tmp_path, data, budget="60s"), RunFolder(tmp_path / "run"), Ear(), 60.0)
    search.pace = replace(search.pace, reference=2000.0)
    rung = module.Rung(8, 1.0)
    assert search._affords(rung, 2000.0)
    many = replace(data, validation=np.resize(data.validation, 200_000))
    search.job = replace(search.job, data=many)
    assert not search._affords(rung, 2000.0)


def test_measuring_ends_when_the_trials_share_is_spent_before_anything_has_begun(tmp_path, data, monkeypatch):
    monkeypatch.setattr(module.Speeds, "images_per_second", lambda self, job, **_: 2000.0)
    real = module._Search._weighed

    def slow(self, proposal, limits, rung):
        self.clock.charged_before += 1.0
        return real(self, proposal, limits, rung)[0], "images_per_second: 1, at least 2"

    monkeypatch.setattr(module._Search, "_weighed", slow)
    record = run_search(asked(tmp_path, data, budget="9s"), RunFolder(tmp_path / "run"), Ear())
    assert record.status == "failed"
    assert "the share for trials was spent before one began" in str(record.reason)
    assert 1 <= record.search["refused"]["images_per_second"] <= 4


def test_a_pretrained_network_that_does_not_fit_is_refused_and_the_search_goes_on(
    tmp_path, data, monkeypatch
):
    real = search_jobs.build_network

    def build(network, *, image_size, **options):
        if image_size < 32:
            raise ConfigError(f"timm:test_resnet takes no images of {image_size} pixels")
        return real(network, image_size=image_size, **options)

    monkeypatch.setattr(search_jobs, "build_network", build)
    monkeypatch.setattr(architecture, "find_weights", lambda *_, **__: pytest.fail("its weights are read"))
    job = asked(tmp_path, data, budget="40ep", method="random", backbones=["timm:test_resnet"])
    job = replace(job, candidate=job.candidate.model_copy(update={"input_size": 16}))
    folder = RunFolder(tmp_path / "run")
    record = run_search(job, folder, Ear())
    assert record.status == "finished"
    reasons = {trial["reason"] for trial in trials_of(folder) if trial["status"] == "refused"}
    assert reasons == {"cannot be trained: timm:test_resnet takes no images of 16 pixels"}


def test_a_pretrained_network_is_tried_only_if_it_takes_the_images_of_every_rung(tmp_path, data, monkeypatch):
    heard: list[int] = []
    real = search_jobs.build_network

    def build(network, *, image_size, **options):
        heard.append(image_size)
        return real(network, image_size=image_size, **options)

    monkeypatch.setattr(search_jobs, "build_network", build)
    job = asked(tmp_path, data, backbones=["timm:test_resnet"])
    job = replace(job, candidate=job.candidate.model_copy(update={"input_size": 64}))
    search_jobs.count_network(job, {"network": "timm:test_resnet"}, (32, 48))
    assert heard == [32, 48, 64]


def test_a_limit_of_speed_that_was_given_is_measured_at_full_size(tmp_path, data, monkeypatch):
    asked_for: list[int] = []

    def rate(self, job, **_):
        asked_for.append(job.input_size)
        return 2000.0

    monkeypatch.setattr(module.Speeds, "images_per_second", rate)
    job = asked(tmp_path, data, budget="12ep", min_images_per_second=5.0)
    job = replace(job, candidate=job.candidate.model_copy(update={"input_size": 32}))
    run_search(job, RunFolder(tmp_path / "run"), Ear())
    assert set(asked_for) == {32}


def test_where_trials_are_counted_so_many_are_planned(tmp_path, data):
    search = module._Search(
        asked(tmp_path, data, budget=None, trials=40), RunFolder(tmp_path / "run"), Ear(), 60.0
    )  # fmt: skip
    assert search._plan()["trials"] == 40


def test_a_network_in_which_the_process_ends_is_begun_twice_and_no_more(tmp_path, data):
    """Killed, a process leaves its begin without an end; asked to stop, it does not."""
    folder, job = RunFolder(tmp_path / "run"), asked(tmp_path, data)
    for _ in range(3):
        with pytest.raises(Stopped):
            run_search(job, folder, Ear(1))
    file = TrialsFile(folder.trials_path)
    assert set(file.read().begun.values()) == {0}
    folder.trial_path.joinpath("checkpoint.pt").unlink()
    file.path.write_bytes(file.path.read_bytes().splitlines(keepends=True)[0])  # the plan
    for _ in range(2):
        file.add("begun", {"at": "trial 0 rung 0"})
    record = run_search(job, folder, Ear())
    first = file.read().trials[0]
    assert (first.status, first.reason) == ("failed", "the process ended in it, 2 times")
    assert record.status == "finished"


@pytest.mark.slow
def test_a_network_that_ends_the_process_while_it_is_measured_is_refused(tmp_path, data, monkeypatch):
    monkeypatch.setattr(module.Speeds, "images_per_second", lambda self, job, **_: 2000.0)
    folder, job = RunFolder(tmp_path / "run"), asked(tmp_path, data, budget="8s")
    with pytest.raises(Stopped):
        run_search(job, folder, Ear(1))
    for _ in range(2):
        TrialsFile(folder.trials_path).add("begun", {"at": "speed 0 attempt 0"})
    run_search(job, folder, Ear())
    first, second = trials_of(folder)[:2]
    assert first["reason"] == "cannot be trained: the process ended in measuring it, 2 times"
    assert (second["number"], second["attempt"]) == (0, 1)


def test_all_that_was_charged_is_in_the_record_also_behind_a_kill(tmp_path, data, monkeypatch):
    monkeypatch.setattr(module.Speeds, "images_per_second", lambda self, job, **_: 2000.0)
    folder, job = RunFolder(tmp_path / "run"), asked(tmp_path, data, budget="8s", trials=1)
    with pytest.raises(Stopped):
        run_search(job, folder, Ear(1))
    TrialsFile(folder.trials_path).beat(2.5)
    record = run_search(job, folder, Ear())
    assert folder.read() == record
    assert record.search["charged"] >= 2.5 + record.train_seconds
    assert record.search["charged"] >= record.search["seconds"] + record.train_seconds


def test_checkpoints_of_the_final_training_are_rare_where_saving_takes_long(tmp_path, data, monkeypatch):
    monkeypatch.setattr(module.Speeds, "images_per_second", lambda self, job, **_: 2000.0)
    monkeypatch.setattr(module._Search, "_seconds_of_saving", lambda self, parameters: 0.5)
    real, heard = module.train_run, []

    def hear(job, folder, listener, *, checkpoint_seconds):
        heard.append(checkpoint_seconds)
        return real(job, folder, listener, checkpoint_seconds=checkpoint_seconds)

    monkeypatch.setattr(module, "train_run", hear)
    run_search(asked(tmp_path, data, budget="6s", trials=1), RunFolder(tmp_path / "run"), Ear())
    assert heard == [100.0]  # of which a save is half a percent


def test_saving_is_timed_by_a_file_that_does_not_stay(tmp_path, data):
    folder = RunFolder(tmp_path / "run")
    search = module._Search(asked(tmp_path, data), folder, Ear(), 60.0)
    assert search._seconds_of_saving(1000) > 0
    assert not folder.trial_path.exists()
