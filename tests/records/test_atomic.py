"""Whole files or none: with a full disk, a killed process, a folder that is a file."""

import errno
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bakeoff.errors import ResourceError, StudyError
from bakeoff.records import writing
from bakeoff.records.atomic import read_json, write_json, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def disk_full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def write_half_and_raise(target: Path, error: BaseException) -> None:
    with writing(target) as partial:
        partial.write_text("ne", encoding="utf-8")
        raise error


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "record.json"
    path.write_text("old", encoding="utf-8")
    return path


def test_the_target_appears_only_when_all_is_written(tmp_path):
    target = tmp_path / "new" / "folder" / "weights.bin"
    with writing(target) as partial:
        partial.write_bytes(b"half")
        assert not target.exists()
        assert partial.parent == target.parent  # a rename is atomic within one file system only
        partial.write_bytes(b"whole")
    assert target.read_bytes() == b"whole"
    assert names(target.parent) == ["weights.bin"]


def test_an_old_file_is_replaced(old):
    write_text(old, "new")
    assert old.read_text(encoding="utf-8") == "new"


def test_a_failure_of_any_kind_leaves_the_old_file_and_nothing_else(old):
    with pytest.raises(ZeroDivisionError):
        write_half_and_raise(old, ZeroDivisionError())
    assert old.read_text() == "old"
    assert names(old.parent) == ["record.json"]


def test_an_interrupt_by_the_user_leaves_the_old_file_and_nothing_else(old):
    with pytest.raises(KeyboardInterrupt):
        write_half_and_raise(old, KeyboardInterrupt())
    assert old.read_text() == "old"
    assert names(old.parent) == ["record.json"]


# A full disk


def test_a_disk_that_fills_in_the_middle_leaves_the_old_file_and_nothing_else(old):
    with pytest.raises(ResourceError) as caught:
        write_half_and_raise(old, disk_full())
    assert str(caught.value) == f"disk full: could not write {old}; nothing partial is left"
    assert old.read_text() == "old"
    assert names(old.parent) == ["record.json"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_fills_while_flushing_or_renaming_does_the_same(old, monkeypatch, step):
    def fail(*_: object) -> None:
        raise disk_full()

    monkeypatch.setattr(*((os, "fsync", fail) if step == "fsync" else (Path, "replace", fail)))
    with pytest.raises(ResourceError, match="disk full"):
        write_text(old, "new")
    monkeypatch.undo()
    assert old.read_text() == "old"
    assert names(old.parent) == ["record.json"]


def test_a_quota_is_a_full_disk(old):
    with pytest.raises(ResourceError, match="disk full"), writing(old):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")


def test_a_full_disk_is_seen_behind_the_error_of_another_library(old):
    # torch.save raises RuntimeError while it handles the OSError; safetensors has only the text.
    of_torch = RuntimeError("unexpected pos 704 vs 598")
    of_torch.__context__ = disk_full()
    of_safetensors = RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    for error in (of_torch, of_safetensors):
        with pytest.raises(ResourceError, match="disk full"):
            write_half_and_raise(old, error)
    assert names(old.parent) == ["record.json"]


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no device here is always full")
def test_a_real_full_device_is_told_as_a_full_disk(old):
    with pytest.raises(ResourceError, match="disk full"), writing(old), Path("/dev/full").open("w") as file:
        file.write("x" * 100_000)
    assert old.read_text() == "old"


def test_an_error_of_another_library_that_is_no_full_disk_stays_itself(old):
    with pytest.raises(RuntimeError, match="shape"), writing(old):
        raise RuntimeError("shape mismatch")


# A folder that cannot be written to


def test_a_file_where_a_folder_should_be_is_told(tmp_path):
    (tmp_path / "studies").write_text("a file")
    for target in (tmp_path / "studies" / "x.json", tmp_path / "studies" / "deeper" / "x.json"):
        with pytest.raises(ResourceError) as caught:
            write_text(target, "text")
        assert str(caught.value).startswith(f"cannot write {target}: ")


def test_a_folder_where_the_file_should_be_is_told(tmp_path):
    target = tmp_path / "record.json"
    target.mkdir()
    with pytest.raises(ResourceError, match=r"cannot write .*record\.json: Is a directory"):
        write_text(target, "text")
    assert names(tmp_path) == ["record.json"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_told(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ResourceError, match="Permission denied"):
        write_text(tmp_path / "record.json", "text")


def test_permission_refused_by_the_system_is_told(old, monkeypatch):
    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(ResourceError, match=r"cannot write .*record\.json: Permission denied"):
        write_text(old, "new")


def test_an_image_that_cannot_be_read_meanwhile_is_not_blamed_on_the_target(old):
    with pytest.raises(PermissionError), writing(old):
        raise PermissionError(errno.EACCES, "Permission denied", "/data/cat.jpg")
    with pytest.raises(FileNotFoundError), writing(old):
        raise FileNotFoundError(errno.ENOENT, "No such file", "/data/cat.jpg")


def test_a_caller_that_writes_nothing_made_a_mistake(old):
    with pytest.raises(FileNotFoundError), writing(old):
        pass
    assert old.read_text() == "old"


# A killed process

KILLED = """
import os, signal, sys
from pathlib import Path
from bakeoff.records import writing
with writing(Path(sys.argv[1])) as partial, partial.open("w") as file:
    file.write("ne")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_killed_in_the_middle_leaves_the_old_file(old):
    ended = subprocess.run([sys.executable, "-c", KILLED, str(old)], check=False)
    assert ended.returncode == -9
    assert old.read_text() == "old"
    assert len(names(old.parent)) == 2  # the partial file, hidden and never read
    write_text(old, "new")
    assert old.read_text() == "new"


def test_what_is_written_is_on_the_disk_before_it_has_its_name(old, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "fsync", lambda file: calls.append(os.fstat(file).st_ino))
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, target: calls.append("rename") or replace(self, target))
    write_text(old, "new")
    assert calls == [old.stat().st_ino, "rename", old.parent.stat().st_ino]


# JSON

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=50)
@given(st.dictionaries(st.text(), values, max_size=4))
def test_plain_values_come_back_as_they_went(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("json") / "x.json"
    write_json(path, table)
    assert read_json(path, "a table", dict) == table


def test_equal_values_give_equal_bytes_whatever_their_order(tmp_path):
    write_json(tmp_path / "a", {"x": 1, "y": [1.5, "猫"]})
    write_json(tmp_path / "b", {"y": (1.5, "猫"), "x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_text(encoding="utf-8").endswith("}\n")


def test_numbers_that_json_cannot_hold_become_null(tmp_path):
    values = {"a": math.nan, "b": [math.inf, -math.inf, 1.0], "c": {"d": np.float32("nan")}}
    write_json(tmp_path / "x", values)
    assert json.loads((tmp_path / "x").read_text()) == {"a": None, "b": [None, None, 1.0], "c": {"d": None}}


def test_numbers_of_numpy_are_written_as_numbers(tmp_path):
    values = {"a": np.float32(0.5), "b": np.int64(7), "c": np.bool_(True), "d": np.float64(2)}
    write_json(tmp_path / "x", values)
    assert json.loads((tmp_path / "x").read_text()) == {"a": 0.5, "b": 7, "c": True, "d": 2.0}


def test_values_that_are_no_json_leave_the_old_file(old):
    with pytest.raises(TypeError):
        write_json(old, {"a": object()})
    assert old.read_text() == "old"


def test_a_file_that_is_not_there_reads_as_none(tmp_path):
    (tmp_path / "file").write_text("x")
    assert read_json(tmp_path / "no.json", "a table", dict) is None
    assert read_json(tmp_path / "file" / "no.json", "a table", dict) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1]", b"null", b"3", b'{"a": \xff}', b"[" * 100_000, b'{"a": 1} trailing', b"\0" * 64],
)
def test_a_damaged_file_is_told_in_one_line(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(StudyError) as caught:
        read_json(path, "a run's record", dict)
    assert str(caught.value).startswith(f"{path} is not a run's record: ")
    assert "\n" not in str(caught.value)


def test_a_folder_in_place_of_a_json_file_is_told(tmp_path):
    with pytest.raises(StudyError, match=r"cannot read .*: Is a directory"):
        read_json(tmp_path, "a run's record", dict)
