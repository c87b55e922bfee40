from __future__ import annotations

import io
import os
import tarfile
import time
import zipfile
from pathlib import Path

import layouts
import pytest

from bakeoff.data.archive import open_tree, refuse_escape
from bakeoff.data.locate import open_path
from bakeoff.data.source import Opening
from bakeoff.data.tree import unwrapped
from bakeoff.errors import DataError, ResourceError

ESCAPES = ["../evil.png", "/etc/evil.png", "a/../../evil.png", "C:\\evil.png", "..\\evil.png"]


def zip_with(file: Path, *members: str) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for member in members:
            archive.writestr(zipfile.ZipInfo(member), b"x")
    return file


def tar_with(file: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(file, "w") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return file


def plain(name: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = 1
    return member


@pytest.mark.parametrize("make", [layouts.class_zip, layouts.class_tar])
def test_an_archive_holds_what_its_folder_holds(make: object, tmp_path: Path, opening: Opening) -> None:
    tree, stamps = unwrapped(open_tree(make(tmp_path), opening))  # type: ignore[operator]
    folder = tmp_path / "pets"
    assert sorted(stamps) == sorted(str(f.relative_to(folder)) for f in folder.rglob("*.png"))
    assert tree.read("bee/3.png") == (folder / "bee" / "3.png").read_bytes()


@pytest.mark.parametrize("member", ESCAPES)
def test_a_zip_with_a_path_that_escapes_is_refused(member: str, tmp_path: Path, opening: Opening) -> None:
    tree = open_tree(zip_with(tmp_path / "a.zip", "cat/1.png", member), opening)
    with pytest.raises(DataError, match=r"a\.zip: member '.*evil\.png' leaves the archive"):
        tree.stamps()


@pytest.mark.parametrize("member", ESCAPES)
def test_a_tar_with_a_path_that_escapes_leaves_nothing_behind(
    member: str, tmp_path: Path, opening: Opening
) -> None:
    file = tar_with(tmp_path / "a.tar", plain("cat/1.png"), plain(member))
    with pytest.raises(DataError, match=r"a\.tar: member '.*evil\.png' leaves the archive"):
        open_tree(file, opening)
    assert list((opening.cache_dir / "unpacked").iterdir()) == []
    assert not list(tmp_path.rglob("evil.png"))


@pytest.mark.parametrize("member", ["a.png", "a/b..c.png", "..a/b.png"])
def test_dots_in_names_are_no_escape(member: str) -> None:
    refuse_escape(Path("a.zip"), member)


def test_links_in_a_tar_are_left_out(tmp_path: Path, opening: Opening) -> None:
    link = tarfile.TarInfo("cat/link.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    tree = open_tree(tar_with(tmp_path / "a.tar", plain("cat/1.png"), link), opening)
    assert list(tree.stamps()) == ["cat/1.png"]


def test_a_tar_is_unpacked_once(tmp_path: Path, opening: Opening) -> None:
    file = layouts.class_tar(tmp_path)
    first = open_tree(file, opening)
    stamps = first.stamps()
    again = open_tree(file, opening)
    assert (again.place, again.stamps()) == (first.place, stamps)


def test_an_encrypted_zip_is_refused(tmp_path: Path, opening: Opening) -> None:
    file = zip_with(tmp_path / "a.zip", "cat/1.png")
    content = bytearray(file.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag in the table of contents
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"'cat/1\.png' is encrypted"):
        open_tree(file, opening).stamps()


def test_a_damaged_member_of_a_zip_cannot_be_read(tmp_path: Path, opening: Opening) -> None:
    file = layouts.class_zip(tmp_path)
    content = bytearray(file.read_bytes())
    content[content.index(b"IDAT") + 8] ^= 255
    file.write_bytes(content)
    tree, _ = unwrapped(open_tree(file, opening))
    with pytest.raises(OSError, match="Bad CRC-32"):
        tree.read("ant/0.png")


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.xz"])
def test_a_file_that_is_no_archive_says_so(name: str, tmp_path: Path, opening: Opening) -> None:
    (tmp_path / name).write_bytes(b"this is a text" * 100)
    with pytest.raises(DataError, match=r"cannot be read as a (zip|tar) archive"):
        open_tree(tmp_path / name, opening).stamps()


def test_a_cut_tar_leaves_nothing_behind(tmp_path: Path, opening: Opening) -> None:
    file = layouts.class_tar(tmp_path)
    file.write_bytes(file.read_bytes()[:-4000])
    with pytest.raises(DataError, match="cannot be read as a tar archive"):
        open_tree(file, opening)
    assert list((opening.cache_dir / "unpacked").iterdir()) == []


def test_a_full_disk_leaves_nothing_unpacked(
    tmp_path: Path, opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    file = layouts.class_tar(tmp_path)
    monkeypatch.setattr("bakeoff.data.archive.shutil.copyfileobj", full)
    with pytest.raises(ResourceError, match="disk full"):
        open_tree(file, opening)
    assert list((opening.cache_dir / "unpacked").iterdir()) == []


@pytest.mark.parametrize(
    ("members", "blamed"),
    [
        (["cat/1.png", "cat/" + "x" * 300 + ".png"], r"member 'cat/x+\.\.\.x+\.png' .*File name too long"),
        (["a/1.png", "a/1.png/2.png"], r"member 'a/1\.png/2\.png' cannot be unpacked"),
        (["a/1.png/2.png", "a/1.png"], r"member 'a/1\.png' cannot be unpacked"),
    ],
    ids=["long", "file then folder", "folder then file"],
)
def test_a_tar_with_a_name_that_no_file_can_have_is_blamed_itself(
    members: list[str], blamed: str, tmp_path: Path, opening: Opening
) -> None:
    file = tar_with(tmp_path / "a.tar", *map(plain, members))
    with pytest.raises(DataError, match=rf"^{file}: {blamed}") as caught:
        open_tree(file, opening)
    assert "\n" not in str(caught.value)
    assert str(opening.cache_dir) not in str(caught.value)
    assert list((opening.cache_dir / "unpacked").iterdir()) == []


@pytest.mark.parametrize("inner", ["", "pets/"])
def test_messages_name_the_users_tar_not_where_it_was_unpacked(
    inner: str, tmp_path: Path, opening: Opening
) -> None:
    file = tar_with(tmp_path / "a.tar", plain(f"{inner}cat/notes.txt"), plain(f"{inner}dog/notes.txt"))
    with pytest.raises(DataError, match=f"no images in {file}") as caught:
        open_path(file, opening)
    assert str(opening.cache_dir) not in str(caught.value)


def test_a_tar_that_cannot_be_opened_is_named(
    tmp_path: Path, opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    file = layouts.class_tar(tmp_path)
    monkeypatch.setattr(Path, "open", refused)  # a file's own rights do not stop the superuser
    with pytest.raises(DataError, match=rf"^{file}: cannot be read \(Permission denied\)"):
        open_tree(file, opening)
    assert list((opening.cache_dir / "unpacked").iterdir()) == []


def test_a_folder_seen_in_an_unpacked_tar_is_shown_below_the_archive(
    tmp_path: Path, opening: Opening
) -> None:
    tree = open_tree(layouts.class_tar(tmp_path), opening)
    assert tree.place == str(tmp_path / "pets.tar.gz")
    assert tree.below("ant").below("old").place == f"{tmp_path / 'pets.tar.gz'}!ant/old/"


def test_what_a_killed_unpacking_left_is_swept_after_a_day(
    tmp_path: Path, opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = layouts.class_tar(tmp_path)
    with monkeypatch.context() as killed:  # a process that is killed cleans nothing
        killed.setattr("bakeoff.data.archive.shutil.rmtree", lambda *_, **__: None)
        killed.setattr("bakeoff.data.archive._settle", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            open_tree(file, opening)
    (left,) = (opening.cache_dir / "unpacked").iterdir()
    assert (left / "ant" / "0.png").is_file()
    os.utime(left, (0, time.time() - 25 * 3600))
    tree = open_tree(file, opening)
    assert not left.exists()
    assert len(tree.stamps()) == 36
