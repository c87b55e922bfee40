"""Killed with SIGKILL at moments of chance, again and again, a study ends in the same bits."""

from __future__ import annotations

import multiprocessing
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

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
PATIENCE = 120  # seconds for a sign of progress


class Process(Protocol):
    """What both kinds of process here can do."""

    def code(self) -> int | None: ...

    def kill(self) -> None: ...

    def wait(self) -> int: ...


class Fresh:
    """A process that starts from nothing, as a user's does."""

    def __init__(self, study: Path, out: Path) -> None:
        code = f"import sys; sys.path.insert(0, {str(Path(small_study.__file__).parent)!r})\n"
        code += "import small_study; small_study.run_file(*sys.argv[1:])"
        self._process = subprocess.Popen([sys.executable, "-c", code, str(study), str(out)])

    def code(self) -> int | None:
        return self._process.poll()

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)

    def wait(self) -> int:
        return self._process.wait()


class Forked:
    """A process of its own too, but torch was imported before it was forked: four seconds sooner."""

    def __init__(self, study: Path, out: Path) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["bakeoff.study", "small_study"])
        self._process = context.Process(target=small_study.run_file, args=(str(study), str(out)))
        self._process.start()

    def code(self) -> int | None:
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    def wait(self) -> int:
        self._process.join()
        code = self._process.exitcode
        assert code is not None
        return code


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


def _kill(process: Process, out: Path, delay: float, *, at_work: bool) -> bool:
    """Kill after a while, counted from a new checkpoint or from the start; tell whether it still ran."""
    before, deadline = _checkpoints(out), time.monotonic() + PATIENCE
    while at_work and process.code() is None and not set(_checkpoints(out).items()) - set(before.items()):
        assert time.monotonic() < deadline, "no checkpoint appeared"
        time.sleep(0.005)
    time.sleep(delay)
    process.kill()
    code = process.wait()
    assert code in (0, -signal.SIGKILL)
    return code == -signal.SIGKILL


def _check(start: Callable[[Path, Path], Process], folder: Path, kills: int, epochs: int) -> None:
    recipe = VALUES["recipe"] | {"epochs": epochs}
    study = small_study.write(folder, **VALUES | {"recipe": recipe})
    whole = small_study.train(folder, VALUES | {"recipe": recipe}).folder  # in one go
    out, draw = folder / "killed", random.Random(kills)
    hits, ended = 0, {}
    for kill in range(kills):
        # Every third kill falls anywhere: into the imports, the decoding, the lock, the first steps.
        at_work = kill % 3 != 1
        delay = draw.uniform(0, 0.3) if at_work else draw.uniform(0, 6 if start is Fresh else 1)
        hits += _kill(start(study, out), out, delay, at_work=at_work)
        now = _records(out)
        assert {path: now[path] for path in ended} == ended  # what had ended is not written again
        ended = now
    assert start(study, out).wait() == 0
    killed = StudyFolder(out)
    assert hits >= 0.8 * kills
    assert sum(record.resumed for record in killed.records()) >= 1
    assert {path: _records(out)[path] for path in ended} == ended
    assert small_study.results(killed) == small_study.results(whole)
    assert not _checkpoints(out)


def test_a_study_that_is_killed_three_times_ends_in_the_same_bits(tmp_path):
    _check(Forked, tmp_path, kills=3, epochs=12)


@pytest.mark.slow
def test_a_study_that_is_killed_ten_times_ends_in_the_same_bits(tmp_path):
    _check(Fresh, tmp_path, kills=10, epochs=40)
