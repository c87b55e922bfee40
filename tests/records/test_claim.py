"""One process at a time in a study's folder."""

import errno
import fcntl
import os
import signal
import subprocess
import sys

import pytest

from bakeoff.errors import BusyError, ResourceError
from bakeoff.records import claim_folder

HOLD = """
import sys
from pathlib import Path
from bakeoff.records import claim_folder
with claim_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_process_is_told_which_one_is_at_work(holder, tmp_path):
    with pytest.raises(BusyError) as caught, claim_folder(tmp_path):
        pass
    assert str(caught.value) == (
        f"{tmp_path} is in use by process {holder.pid}; wait for it to end, or use another --out"
    )


def test_the_claim_of_a_killed_process_is_free_again(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    assert holder.wait() == -9
    with claim_folder(tmp_path):
        assert (tmp_path / ".claim").read_text() == str(os.getpid())


def test_the_claim_of_a_process_that_ended_is_free_again(holder, tmp_path):
    holder.communicate("")
    with claim_folder(tmp_path):
        pass


def test_being_refused_does_not_disturb_the_holder(holder, tmp_path):
    for _ in range(2):
        with pytest.raises(BusyError, match=f"process {holder.pid};"), claim_folder(tmp_path):
            pass


def test_one_process_cannot_claim_a_folder_twice(tmp_path):
    ours = f"process {os.getpid()};"
    with claim_folder(tmp_path), pytest.raises(BusyError, match=ours), claim_folder(tmp_path):
        pass
    with claim_folder(tmp_path):
        pass


def test_an_error_inside_gives_the_folder_back_and_stays_itself(tmp_path):
    with pytest.raises(OSError, match="cat"), claim_folder(tmp_path):
        raise OSError(errno.EIO, "cat")
    with claim_folder(tmp_path):
        pass


def test_a_longer_number_left_by_another_process_is_not_mixed_with_ours(tmp_path):
    (tmp_path / ".claim").write_text("99999999999999")
    with claim_folder(tmp_path):
        assert (tmp_path / ".claim").read_text() == str(os.getpid())


def test_two_folders_are_claimed_independently(holder, tmp_path):
    with claim_folder(tmp_path / "another"):
        pass


def test_a_claim_without_a_readable_number_is_held_by_an_unknown_process(holder, tmp_path):
    (tmp_path / ".claim").write_bytes(b"")
    with pytest.raises(BusyError, match="in use by process unknown;"), claim_folder(tmp_path):
        pass


def test_the_folder_is_made(tmp_path):
    with claim_folder(tmp_path / "studies" / "mine"):
        assert (tmp_path / "studies" / "mine").is_dir()


def test_a_file_in_place_of_the_folder_is_told(tmp_path):
    (tmp_path / "out").write_text("a file")
    for folder in (tmp_path / "out", tmp_path / "out" / "deeper"):
        with pytest.raises(ResourceError) as caught, claim_folder(folder):
            pass
        assert str(caught.value).startswith(f"cannot use the folder {folder}: ")


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(ResourceError, match="No locks available"), claim_folder(tmp_path):
        pass
