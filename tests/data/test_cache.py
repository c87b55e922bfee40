from __future__ import annotations

import errno
import hashlib
import os
import threading
import time
from pathlib import Path

import layouts
import numpy as np
import pytest

from bakeoff.data import cache, workers
from bakeoff.data.cache import Note, Wanted, decoded, fingerprint_of
from bakeoff.data.locate import open_path
from bakeoff.data.source import Item, Opening, silent
from bakeoff.data.tree import FolderTree
from bakeoff.errors import ResourceError


def wanted_from(folder: Path, size: int = 8) -> Wanted:
    listing = open_path(folder, Opening(folder, folder, False, silent))
    items = sorted(listing.items, key=lambda item: item.key)
    ids = sorted({item.class_id for item in items})
    labels = [ids.index(item.class_id) for item in items]
    return Wanted(items, labels, ids, listing.place, listing.reader, size, "crop")


def read(folder: Path, cache_dir: Path, size: int = 8) -> tuple[np.ndarray, Note, bool]:
    return decoded(wanted_from(folder, size), cache_dir, 1, silent)


def files_in(cache_dir: Path) -> list[str]:
    return sorted(path.name for path in (cache_dir / "images").iterdir())


def test_the_fingerprint_is_what_it_was_when_the_first_runs_were_made(class_folders: Path) -> None:
    # Written out by hand from the module's words: a change here makes every stored run stale.
    item = Item("cat/1.png", "cat")
    wanted = Wanted([item], [1], ["ant", "cat"], "/anywhere", wanted_from(class_folders).reader, 64, "pad")
    head = '{"class_ids":["ant","cat"],"decoder":"1","fit":"pad","image_size":64,"schema":"bakeoff-images-1"}'
    text = head + "\n" + "cat/1.png\0" + "1\0" + "d1\n"
    assert fingerprint_of(wanted, ["d1"]) == hashlib.sha256(text.encode()).hexdigest()


def test_touched_but_equal_files_end_in_the_same_array(tmp_path: Path) -> None:
    folder = layouts.class_folders(tmp_path / "data")
    _, first, _ = read(folder, tmp_path / "cache")
    os.utime(folder / "ant" / "0.png", (1, 1))
    _, again, cached = read(folder, tmp_path / "cache")
    assert not cached  # its contents had to be read
    assert again.fingerprint == first.fingerprint
    assert files_in(tmp_path / "cache") == [f"{first.fingerprint}.u8"]


def test_a_change_that_keeps_size_and_time_of_a_file_is_seen(tmp_path: Path) -> None:
    folder = layouts.class_folders(tmp_path / "data")
    file = folder / "ant" / "0.png"
    _, first, _ = read(folder, tmp_path / "cache")
    before = file.stat()
    time.sleep(0.02)  # the clock of the file system ticks every 4 ms
    content = bytearray(file.read_bytes())
    content[-1] ^= 1  # behind the pixels: the image stays readable
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    _, again, cached = read(folder, tmp_path / "cache")
    assert not cached
    assert again.fingerprint != first.fingerprint


def test_size_and_fit_have_arrays_of_their_own(class_folders: Path, tmp_path: Path) -> None:
    _, small, _ = read(class_folders, tmp_path, 8)
    _, large, _ = read(class_folders, tmp_path, 10)
    assert small.digests == large.digests
    assert files_in(tmp_path) == sorted([f"{small.fingerprint}.u8", f"{large.fingerprint}.u8"])


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_array_is_made_again(damage: str, class_folders: Path, tmp_path: Path) -> None:
    images_NHWC, note, _ = read(class_folders, tmp_path)
    expected_NHWC = np.array(images_NHWC)
    file = tmp_path / "images" / f"{note.fingerprint}.u8"
    if damage == "cut":
        os.truncate(file, 100)
    else:
        file.unlink()
    again_NHWC, _, cached = read(class_folders, tmp_path)
    assert not cached
    assert np.array_equal(again_NHWC, expected_NHWC)


def test_a_damaged_note_is_as_good_as_none(class_folders: Path, tmp_path: Path) -> None:
    read(class_folders, tmp_path)
    (note,) = (tmp_path / "notes").iterdir()
    note.write_text("{")
    assert not read(class_folders, tmp_path)[2]
    assert read(class_folders, tmp_path)[2]


def test_unreadable_files_leave_no_gap(tmp_path: Path) -> None:
    folder = layouts.class_folders(tmp_path / "data", count=4)
    lost = ["ant/0.png", "bee/1.png", "cat/3.png"]
    for name in lost:
        (folder / name).write_bytes(b"")
    images_NHWC, note, _ = read(folder, tmp_path / "cache", 12)
    kept = [item.key for item in wanted_from(folder).items if item.key not in lost]
    assert note.unreadable == [{"file": name, "reason": "an empty file"} for name in lost]
    assert len(images_NHWC) == len(note.digests) == 9
    for image_HWC, key in zip(images_NHWC, kept, strict=True):
        label, index = key.removesuffix(".png").split("/")
        assert np.array_equal(image_HWC, layouts.picture(layouts.CLASSES.index(label), int(index)))


def test_a_file_that_could_not_be_read_for_a_while_is_read_when_it_can_be(
    class_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(self: FolderTree, key: str) -> bytes:
        if key == "bee/1.png":
            raise OSError(errno.ESTALE, "Stale file handle")
        return whole(self, key)

    whole = FolderTree.read
    monkeypatch.setattr(FolderTree, "read", away)
    _, note, _ = read(class_folders, tmp_path / "cache")
    assert [entry["file"] for entry in note.unreadable] == ["bee/1.png"]
    assert read(class_folders, tmp_path / "cache")[2]  # still away: no second pass over the others
    monkeypatch.undo()
    images_NHWC, note, cached = read(class_folders, tmp_path / "cache")
    assert (note.unreadable, len(images_NHWC), cached) == ([], 36, False)


def test_a_full_disk_is_said_in_one_line_and_leaves_nothing(
    class_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(workers, "decode_rows", full)
    with pytest.raises(ResourceError, match="disk full: could not write") as caught:
        read(class_folders, tmp_path)
    assert "\n" not in str(caught.value)
    assert files_in(tmp_path) == []


def test_a_stopped_pass_leaves_nothing(
    class_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(workers, "decode_rows", stopped)
    with pytest.raises(KeyboardInterrupt):
        read(class_folders, tmp_path)
    assert files_in(tmp_path) == []


def test_what_a_killed_process_left_is_swept_after_a_day(class_folders: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    old, young = (tmp_path / "images" / name for name in (".1-a.partial", ".2-b.partial"))
    for file in (old, young):
        file.touch()
    os.utime(old, (0, time.time() - 25 * 3600))
    read(class_folders, tmp_path)
    assert not old.exists()
    assert young.exists()


def test_a_cache_that_cannot_be_made_is_named(class_folders: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match=f"cannot write {tmp_path}/file"):
        read(class_folders, tmp_path / "file")


def test_several_preparations_at_once_end_in_one_whole_array(
    class_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(4)
    inner = cache._fill

    def at_once(*arguments: object) -> Note:
        together.wait(timeout=30)  # nobody finds the other's work done
        return inner(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(cache, "_fill", at_once)
    results: list[tuple[np.ndarray, Note, bool]] = []
    threads = [
        threading.Thread(target=lambda: results.append(read(class_folders, tmp_path))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert len(files_in(tmp_path)) == 1
    for images_NHWC, note, _ in results:
        assert note.fingerprint == results[0][1].fingerprint
        assert np.array_equal(images_NHWC, results[0][0])
        assert images_NHWC.any(axis=(1, 2, 3)).all()
