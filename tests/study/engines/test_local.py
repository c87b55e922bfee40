"""Several runs at once in processes of their own: the same study, whatever happens to one of them."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import small_study

from bakeoff.records import StudyFolder
from bakeoff.study import EngineSettings, Quiet
from bakeoff.study.engines import local, settings
from bakeoff.training import machine
from bakeoff.training.loop import Stopped

TWO = EngineSettings(workers=2)
PLAIN, DROPOUT = small_study.study()["candidate"]
ODD = """
import os
import signal
import sys

from torch import nn


class Killed(nn.Flatten):
    def forward(self, x):
        if self.training:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(x)


def killed(classes, image_size):
    return nn.Sequential(Killed(), nn.Linear(3 * image_size**2, classes))


def talking(classes, image_size):
    print("hello from a network", flush=True)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * image_size**2, classes))


class Leaving(nn.Flatten):
    def forward(self, x):
        if self.training:
            os._exit(3)
        return super().forward(x)


def leaving(classes, image_size):
    return nn.Sequential(Leaving(), nn.Linear(3 * image_size**2, classes))
"""


@pytest.fixture(autouse=True)
def cores(monkeypatch):
    for module in (settings, machine):
        monkeypatch.setattr(module, "usable_cores", lambda: 2)


class Ear(Quiet):
    """Keeps what it hears; stops at the first step that it hears of a candidate."""

    def __init__(self, stop_at=None):
        self.started, self.ended, self.remarks, self.epochs, self.steps = [], [], [], [], []
        self.stop_at = stop_at

    def on_remark(self, text):
        self.remarks.append(text)

    def on_run_start(self, job):
        self.started.append(job.name)

    def on_step(self, job, step):
        self.steps.append((job.name, step.steps, float(step.loss)))
        return job.candidate.name == self.stop_at

    def on_epoch(self, job, row):
        self.epochs.append((job.name, row["epoch"]))

    def on_run_end(self, job, record):
        self.ended.append((job.name, record.status))


def _odd(tmp_path, *names):
    small_study.write(tmp_path)
    (tmp_path / "odd.py").write_text(ODD)
    return [{"name": name, "model": f"odd.py:{name}"} for name in names]


def _runs(folder: StudyFolder):
    return sorted(str(path.relative_to(folder.path)) for path in (folder.path / "runs").rglob("*"))


def test_two_at_once_leave_the_same_study_as_one_after_the_other(ended, folder, tmp_path):
    own = tmp_path / "own"
    ear = Ear()
    outcome = small_study.train(own, listener=ear, engine=TWO)
    assert small_study.results(outcome.folder) == small_study.results(folder)
    assert [record.candidate for record in outcome.records] == ["plain", "dropout"]
    assert outcome.trained == 2
    before, now = folder.read_lock(), outcome.folder.read_lock()
    assert now["resolved"] == before["resolved"]
    assert now["files"].keys() == before["files"].keys()
    names = {name.rpartition("events.")[0] or name for name in _runs(folder)}
    assert {name.rpartition("events.")[0] or name for name in _runs(outcome.folder)} == names
    runs = ["digits / plain / seed 0", "digits / dropout / seed 0"]
    assert ear.started == runs
    assert sorted(ear.ended) == sorted((name, "finished") for name in runs)
    assert sorted(ear.epochs) == sorted((name, epoch) for name in runs for epoch in (1.0, 2.0))
    assert {name for name, *_ in ear.steps} == set(runs)
    assert small_study.train(own, engine=TWO).trained == 0


@pytest.mark.slow
def test_a_source_ends_before_what_stands_on_it_starts(tmp_path):
    on_plain = {"name": "on plain", "from": "plain", "train": "head"}
    values = small_study.study(candidate=[on_plain, PLAIN, DROPOUT])
    heard = []

    class Order(Quiet):
        def on_run_start(self, job):
            heard.append(("starts", job.candidate.name))

        def on_run_end(self, job, record):
            heard.append((record.status, job.candidate.name))

    small_study.train(tmp_path, values, listener=Order(), engine=TWO)
    assert heard[:2] == [("starts", "plain"), ("starts", "dropout")]
    assert heard.index(("finished", "plain")) < heard.index(("starts", "on plain"))
    assert ("finished", "on plain") in heard


@pytest.mark.slow
def test_a_process_that_is_killed_or_ends_itself_fails_its_run_only(tmp_path):
    values = small_study.study(candidate=[*_odd(tmp_path, "killed", "leaving"), PLAIN, DROPOUT])
    outcome = small_study.train(tmp_path, values, engine=TWO)
    killed, leaving, *others = outcome.records
    assert killed.status == leaving.status == "failed"
    assert killed.reason == "its process was ended by SIGKILL; is memory short?"
    assert leaving.reason == "its process ended itself with exit code 3"
    assert [record.status for record in others] == ["finished", "finished"]


def test_a_run_that_is_submitted_behind_a_stop_is_stopped_too(monkeypatch):
    asked = []

    class Child:
        def __init__(self, number, machine):
            self.number, self.order = number, None

        def give(self, order):
            self.order = order

        def ask(self, wish):
            asked.append((self.number, wish))

    monkeypatch.setattr(local, "_Child", Child)
    engine = local.Local(2, machine.Machine("cpu", 1))
    engine.submit(SimpleNamespace())
    engine.submit(SimpleNamespace())
    engine.stop()
    assert asked == [(0, "stop"), (1, "stop")]
    engine._children[0].order, asked[:] = None, []
    engine.submit(SimpleNamespace())
    assert asked == [(0, "stop")]


def test_a_process_that_dies_behind_its_record_has_not_failed_its_run(folder):
    run = folder.run("digits", "plain", 0)
    record = run.read()
    run.checkpoint_path.touch()
    order = SimpleNamespace(job=SimpleNamespace(identity=record.identity), folder=run)
    assert local._left_by(order, "killed") == run.read() == record
    assert not run.checkpoint_path.exists()


def test_what_a_network_prints_is_told_with_its_name(tmp_path):
    values = small_study.study(candidate=[*_odd(tmp_path, "talking"), PLAIN])
    ear = Ear()
    small_study.train(tmp_path, values, listener=ear, engine=TWO)
    assert "digits / talking / seed 0: hello from a network" in ear.remarks


def test_what_is_stopped_leaves_checkpoints_and_continues_to_the_same_bits(tmp_path):
    slow = [PLAIN | {"model": "net.py:slow_plain"}, DROPOUT | {"model": "net.py:slow_dropout"}]
    values = small_study.study(candidate=slow, recipe={"epochs": 12})
    whole = small_study.train(tmp_path / "whole", values)
    own = tmp_path / "own"
    with pytest.raises(Stopped):
        small_study.train(own, values, listener=Ear("dropout"), engine=TWO)
    stopped = StudyFolder(own / "out")
    assert stopped.run("digits", "dropout", 0).checkpoint_path.exists()
    assert list(stopped.records()) == []
    outcome = small_study.train(own, values)  # one after the other
    assert sum(record.resumed for record in outcome.records) >= 1
    assert small_study.results(outcome.folder) == small_study.results(whole.folder)


START = """
import sys
sys.path.insert(0, {fixtures!r})
import small_study
from pathlib import Path
from bakeoff.study import EngineSettings, run_study
from bakeoff.spec import load_study
from bakeoff.study.engines import settings
settings.usable_cores = lambda: 2
spec, base = load_study(sys.argv[1])
run_study(spec, Path(sys.argv[2]), base_dir=base, device="cpu", threads=1, checkpoint_seconds=0.1,
          engine=EngineSettings(workers=2))
"""


def _children(pid):
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return [int(word) for word in found.stdout.split()]


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_killed_with_its_workers_at_work_a_study_leaves_no_process_and_ends_in_the_same_bits(tmp_path):
    slow = [PLAIN | {"model": "net.py:slow_plain"}, DROPOUT | {"model": "net.py:slow_dropout"}]
    values = small_study.study(candidate=slow, recipe={"epochs": 30})
    study = small_study.write(tmp_path, **values)
    code = START.format(fixtures=str(Path(small_study.__file__).parent))
    process = subprocess.Popen([sys.executable, "-c", code, str(study), str(tmp_path / "out")])
    out, deadline = tmp_path / "out", time.monotonic() + 120
    while len(list(out.rglob("checkpoint.pt"))) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline, "no checkpoints appeared"
        time.sleep(0.02)
    workers = _children(process.pid)
    assert len(workers) == 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    while any(_alive(worker) for worker in workers):
        assert time.monotonic() < deadline, "a worker outlived the study"
        time.sleep(0.02)
    killed = small_study.train(tmp_path, values, engine=TWO)
    assert sum(record.resumed for record in killed.records) == 2
    whole = small_study.train(tmp_path / "whole", values)
    assert small_study.results(killed.folder) == small_study.results(whole.folder)
