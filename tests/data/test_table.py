from __future__ import annotations

from collections import Counter
from pathlib import Path

import layouts
import pytest

from bakeoff.data.source import Opening
from bakeoff.data.table import open_table
from bakeoff.errors import DataError


def listed(folder: Path, text: str) -> Path:
    layouts.class_folders(folder)
    (folder / "list.csv").write_text(text, encoding="utf-8")
    return folder / "list.csv"


def test_rows_become_images_with_their_part(tmp_path: Path, opening: Opening) -> None:
    listing = open_table(layouts.table(tmp_path), opening)
    assert Counter(item.split for item in listing.items) == {"train": 18, "test": 6}
    assert listing.items[0].key == "images/ant/0.png"
    assert listing.items[0].class_id == "ant"


def test_without_a_split_column_no_part_is_given(tmp_path: Path, opening: Opening) -> None:
    listing = open_table(listed(tmp_path, "label,path\nx,ant/0.png\ny,bee/0.png\n"), opening)
    assert [(item.key, item.class_id, item.split) for item in listing.items] == [
        ("ant/0.png", "x", None), ("bee/0.png", "y", None),
    ]  # fmt: skip


@pytest.mark.parametrize("mark", [";", "\t"])
def test_spreadsheets_of_other_countries_are_read(mark: str, tmp_path: Path, opening: Opening) -> None:
    text = "\ufeffPath,Label\nant/0.png,x\n".replace(",", mark)
    assert open_table(listed(tmp_path, text), opening).items[0].class_id == "x"


def test_absolute_paths_are_accepted(tmp_path: Path, opening: Opening) -> None:
    elsewhere = layouts.class_folders(tmp_path / "elsewhere")
    file = listed(tmp_path / "here", f"path,label\n{elsewhere}/ant/0.png,x\n")
    listing = open_table(file, opening)
    assert listing.reader.read(listing.items[0].key) == (elsewhere / "ant" / "0.png").read_bytes()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\nant/0.png,x\n", r"list\.csv has the columns file, label, expected a column 'path'"),
        ("path,class\nant/0.png,x\n", "expected a column 'label'"),
        ("", "has the columns none"),
        ("path,label\n", "has no rows"),
        ("path,label\nant/0.png,x\nant/99.png,x\n", r"list\.csv, line 3: no file ant/99\.png, seen from"),
        ("path,label\nant/0.png,\n", "line 2: a path or a label is missing"),
        ("path,label\nant/0.png\n", "line 2: a path or a label is missing"),
        ("path,label\nant/0.png,x\nant/\0.png,x\n", r"list\.csv, line 3: no file ant/\\x00\.png, seen from"),
        ('path,label\n"ant/\n0.png",x\n', r"no file ant/\\n0\.png, seen from"),
        ("path,label,split\nant/0.png,x,dev\n", "line 2: split 'dev', expected train, val or test"),
        ("path,label,split\nant/0.png,x,train\nant/1.png,x,\n", "line 3: split '', expected"),
    ],
)
def test_a_wrong_table_is_refused_in_one_line(
    text: str, message: str, tmp_path: Path, opening: Opening
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        open_table(listed(tmp_path, text), opening)
    assert "\n" not in str(caught.value)


def test_a_table_in_another_encoding_is_refused(tmp_path: Path, opening: Opening) -> None:
    (tmp_path / "list.csv").write_bytes("path,label\nant/0.png,b\xe4r\n".encode("latin-1"))
    with pytest.raises(DataError, match="not a text file in UTF-8"):
        open_table(tmp_path / "list.csv", opening)


def test_a_table_that_cannot_be_read_is_named(
    tmp_path: Path, opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    file = listed(tmp_path, "path,label\n")
    monkeypatch.setattr(Path, "open", refused)  # a file's own rights do not stop the superuser
    with pytest.raises(DataError, match=rf"data: {file} cannot be read \(Permission denied\)"):
        open_table(file, opening)
