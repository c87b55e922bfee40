"""Killed with SIGKILL at moments of chance, again and again, a study ends in the same bits."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import small_study

from bakeoff.records import StudyFolder

# Steps sleep, so that on a machine of any speed a run lasts longer than the delays below.
VALUES = small_study.study(
    candidate=[
        {"name": "plain", "model": "net.py:slow_plain"},
        {"name": "dropout", "model": "net.py:slow_dropout"},
    ]
)
COMMAND = """
import sys
from pathlib import Path
from bakeoff.spec import load_study
from bakeoff.study import run_study

spec, base_dir = load_study(sys.argv[1])
run_study(
    spec, Path(sys.argv[2]), base_dir=base_dir, device="cpu", threads=1, checkpoint_seconds=0.1
)
"""
PATIENCE = 120  # seconds for a sign of progress


def _start(study: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", COMMAND, str(study), str(out)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def _checkpoints(out: Path) -> dict[Path, int]:
    found = {}
    for path in out.rglob("checkpoint.pt"):
        try:
            found[path] = path.stat().st_mtime_ns
        except FileNotFoundError:  # the run has ended meanwhile
            continue
    return found


def _records(out: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in out.rglob("record.json")}


def _kill_at_work(process: subprocess.Popen[str], out: Path, delay: float) -> bool:
    """Wait for a new checkpoint and then a while, and kill; tell whether the process was still at work."""
    before, deadline = _checkpoints(out), time.monotonic() + PATIENCE
    while process.poll() is None and not set(_checkpoints(out).items()) - set(before.items()):
        assert time.monotonic() < deadline, "no checkpoint appeared"
        time.sleep(0.005)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    _, errors = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), errors
    return process.returncode == -signal.SIGKILL


def _check(tmp_path: Path, kills: int, epochs: int) -> None:
    values = VALUES | {"recipe": VALUES["recipe"] | {"epochs": epochs}}
    study = small_study.write(tmp_path, **values)
    whole = small_study.train(tmp_path, values).folder  # in one go
    out, draw = tmp_path / "killed", random.Random(kills)
    hits, ended = 0, {}
    for _ in range(kills):
        hits += _kill_at_work(_start(study, out), out, draw.uniform(0, 0.3))
        now = _records(out)
        assert {path: now[path] for path in ended} == ended  # what had ended is not written again
        ended = now
    last = _start(study, out)
    _, errors = last.communicate()
    assert last.returncode == 0, errors
    killed = StudyFolder(out)
    assert hits >= 1
    assert sum(record.resumed for record in killed.records()) >= 1
    assert {path: _records(out)[path] for path in ended} == ended
    assert small_study.results(killed) == small_study.results(whole)
    assert not _checkpoints(out)


def test_a_study_that_is_killed_three_times_ends_in_the_same_bits(tmp_path):
    _check(tmp_path, kills=3, epochs=16)


@pytest.mark.slow
def test_a_study_that_is_killed_ten_times_ends_in_the_same_bits(tmp_path):
    _check(tmp_path, kills=10, epochs=40)
