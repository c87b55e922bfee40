"""Which engine a user gets, and the refusal of more at once than the cores allow."""

from pathlib import Path

import pytest
import small_study

from bakeoff.errors import ConfigError
from bakeoff.records import StudyFolder
from bakeoff.study import EngineSettings, Selection
from bakeoff.study.engines import make_engine, settings
from bakeoff.study.engines.here import Here
from bakeoff.study.engines.local import Local
from bakeoff.training import machine
from bakeoff.training.machine import Machine

ONE = Selection(candidates=("plain",))


def locked_threads(folder):
    return StudyFolder(folder / "out").read_lock()["resolved"]["threads"]


@pytest.fixture
def cores(monkeypatch):
    def have(count):
        for module in (settings, machine):
            monkeypatch.setattr(module, "usable_cores", lambda: count)

    return have


def test_one_run_at_a_time_is_done_in_this_very_process():
    assert isinstance(make_engine(EngineSettings(), Machine("cpu", 1), Path("out")), Here)
    assert isinstance(make_engine(EngineSettings(workers=1), Machine("cpu", 1), Path("out")), Here)
    assert isinstance(make_engine(EngineSettings(workers=2), Machine("cpu", 1), Path("out")), Local)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "slurm"}, "--engine: got 'slurm', expected local or ray"),
        ({"workers": 0}, "--workers: got 0, expected a whole number of at least 1"),
        ({"processes": -1}, "--processes: got -1, expected a whole number of at least 1"),
    ],
)
def test_what_is_no_engine_is_refused_in_one_line(values, message):
    with pytest.raises(ConfigError) as refusal:
        EngineSettings(**values)
    assert str(refusal.value) == message


def test_a_new_study_divides_the_cores_among_its_workers(cores, tmp_path):
    cores(7)
    small_study.train(tmp_path, threads=None, engine=EngineSettings(workers=3), selection=ONE)
    assert locked_threads(tmp_path) == 2


def test_more_workers_than_cores_are_refused_and_nothing_is_written(cores, tmp_path):
    cores(2)
    with pytest.raises(ConfigError) as refusal:
        small_study.train(tmp_path, threads=None, engine=EngineSettings(workers=3))
    assert str(refusal.value) == "--workers: got 3, but this machine has 2 cores; expected at most 2"
    assert not (tmp_path / "out").exists()


def test_workers_whose_pinned_threads_exceed_the_cores_are_refused(cores, tmp_path):
    cores(4)
    with pytest.raises(ConfigError) as refusal:
        small_study.train(tmp_path, threads=3, engine=EngineSettings(workers=2))
    assert str(refusal.value) == (
        "--workers: got 2, but this machine has 4 cores and each process takes 3 threads (--threads); "
        "expected at most 1"
    )


def test_a_begun_study_keeps_its_threads_and_refuses_workers_that_they_leave_no_core_for(cores, tmp_path):
    cores(2)
    small_study.train(tmp_path, threads=None, selection=ONE)
    assert locked_threads(tmp_path) == 2
    with pytest.raises(ConfigError) as refusal:
        small_study.train(tmp_path, threads=None, engine=EngineSettings(workers=2))
    assert str(refusal.value) == (
        f"--workers: got 2, but this machine has 2 cores and each process takes 2 threads "
        f"({tmp_path / 'out' / 'study.lock'}); expected at most 1"
    )


@pytest.mark.slow
def test_processes_are_pinned_by_the_lock_as_threads_are(cores, tmp_path):
    cores(4)
    outcome = small_study.train(tmp_path, threads=None, engine=EngineSettings(processes=2), selection=ONE)
    assert outcome.folder.read_lock()["resolved"] | {"precision": None} == {
        "device": "cpu", "threads": 2, "processes": 2, "precision": None,
    }  # fmt: skip
    assert [record.status for record in outcome.records] == ["finished"]
    assert outcome.records[0].environment["processes"] == 2
    with pytest.raises(ConfigError, match="--processes: got 1, but this study was started with 2"):
        small_study.train(tmp_path, threads=None, engine=EngineSettings(processes=1))
    cores(3)
    with pytest.raises(ConfigError) as refusal:
        small_study.train(tmp_path, threads=None)
    assert str(refusal.value) == (
        f"--processes: got 2, but this machine has 3 cores and each process takes 2 threads "
        f"({tmp_path / 'out' / 'study.lock'}); expected at most 1"
    )


def test_a_cluster_on_this_machine_divides_its_cores_as_workers_do(cores):
    cores(8)
    settled = [
        settings.share_of_cores(EngineSettings(name="ray", **values), processes)
        for values, processes in (
            ({}, 1), ({"workers": 4}, 1), ({"workers": 2}, 2), ({}, 2),
            ({"address": "head:6379"}, 1), ({"address": "head:6379", "workers": 20}, 2),
        )
    ]  # fmt: skip
    assert settled == [None, 2, 2, 4, None, 4]
    with pytest.raises(
        ConfigError, match=r"--workers: got 9, but this machine has 8 cores; expected at most 8"
    ):
        settings.share_of_cores(EngineSettings(name="ray", workers=9), 1)


def test_a_numbered_gpu_is_refused_where_ray_gives_each_run_its_own():
    with pytest.raises(ConfigError, match="--device: got 'cuda:1' with --engine ray"):
        settings.check_room(EngineSettings(name="ray"), Machine("cuda:1", 1), "--threads")
