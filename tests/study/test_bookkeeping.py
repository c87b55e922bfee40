"""What a study at work notes of runs that have ended, and how often."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from bakeoff.errors import StudyError
from bakeoff.records import StudyFolder
from bakeoff.records.digests import FILES, file_sha256
from bakeoff.study import bookkeeping
from bakeoff.study.bookkeeping import FREE_SECONDS, SHARE, Bookkeeping, Upkeep
from bakeoff.study.progress import Quiet


@pytest.fixture
def work(folder: StudyFolder):
    """Bookkeeping of a study whose runs have ended, and whose lock knows none of them."""
    lock = folder.read_lock() or {}
    folder.write_lock({name: value for name, value in lock.items() if name != FILES})
    with ThreadPoolExecutor(1) as hasher:
        yield Bookkeeping([], folder, folder.spec(), Quiet(), hasher)


@pytest.fixture
def runs(folder):
    records = list(folder.records())
    assert len(records) > 1
    return [folder.run(record.task, record.candidate, record.seed) for record in records]


def _wait_for(work, runs):
    for run in runs:
        work._unnoted.append((run, work._hasher.submit(bookkeeping.run_digests, work.folder, run)))


def test_digests_that_a_thread_has_made_are_those_of_the_files(work, folder, runs):
    _wait_for(work, runs)
    work.write_notes()
    noted = (folder.read_lock() or {})[FILES]
    paths = [path for run in runs for path in run.files() if path.exists()]
    assert noted == {path.relative_to(folder.path).as_posix(): file_sha256(path) for path in paths}
    before = folder.lock_path.stat().st_mtime_ns
    work.write_notes()  # nothing has ended since
    assert folder.lock_path.stat().st_mtime_ns == before


def test_a_file_that_cannot_be_read_is_told_once_and_all_other_runs_are_noted(
    work, folder, runs, monkeypatch
):
    real = bookkeeping.run_digests

    def digests(place, run):
        if run is runs[0]:
            raise StudyError("cannot read it")
        return real(place, run)

    monkeypatch.setattr(bookkeeping, "run_digests", digests)
    _wait_for(work, runs)
    with pytest.raises(StudyError, match="cannot read it"):
        work.write_notes()
    noted = (folder.read_lock() or {})[FILES]
    places = {run.path.relative_to(folder.path).as_posix() for run in runs[1:]}
    assert {name.rpartition("/")[0] for name in noted} == places
    work.write_notes()  # the study ends with what stopped it, not with this again


def test_upkeep_has_a_little_time_at_once_and_then_a_share_of_it(monkeypatch):
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(bookkeeping.time, "monotonic", lambda: clock.now)
    upkeep = Upkeep()
    assert upkeep.is_due
    with upkeep.timed():
        clock.now += FREE_SECONDS
    assert upkeep.is_due  # by the share of the time since
    with upkeep.timed():
        clock.now += 1
    assert not upkeep.is_due
    clock.now = 100 + 1 / SHARE - 2
    assert not upkeep.is_due
    clock.now = 100 + 1 / SHARE + 2
    assert upkeep.is_due
