"""A CSV file with the columns path, label and, if there is one, split.

Paths are relative to the file; absolute ones are accepted. The split column says
train, val (or valid, validation) or test in every row. Comma, semicolon and tab
separate; the text is UTF-8.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from bakeoff.data.archive import stamp_of
from bakeoff.data.source import SPLIT_FOLDERS, Item, Listing, Opening
from bakeoff.data.tree import FolderTree
from bakeoff.errors import DataError


def open_table(path: Path, _opening: Opening) -> Listing:
    """List the images of a CSV file; DataError when a column, a value or a file is missing."""
    rows = _rows(path)
    with_split = any("split" in row for _, row in rows)
    items = [_item(path, line, row, with_split) for line, row in rows]
    if not items:
        raise DataError(f"data: {path} has no rows, expected one per image")
    root = path.resolve().parent
    return Listing(items, FolderTree(root), str(path.resolve()), f"images listed in {path}")


def _rows(path: Path) -> list[tuple[int, Mapping[str, str]]]:
    """Read the rows, each with its line number, under the columns' lower-case names."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline()
            file.seek(0)
            reader = csv.DictReader(file, delimiter=max(",;\t", key=head.count), restval="", strict=True)
            columns = [(name or "").strip().lower() for name in reader.fieldnames or []]
            for column in ("path", "label"):
                if column not in columns:
                    found = ", ".join(columns) or "none"
                    raise DataError(f"data: {path} has the columns {found}, expected a column '{column}'")
            reader.fieldnames = columns
            return [(reader.line_num, row) for row in reader]
    except UnicodeDecodeError:
        raise DataError(f"data: {path} is not a text file in UTF-8") from None
    except csv.Error as error:
        raise DataError(f"data: {path} cannot be read as CSV ({error})") from None
    except OSError as error:
        raise DataError(f"data: {path} cannot be read ({error.strerror or error})") from None


def _item(path: Path, line: int, row: Mapping[str, str], with_split: bool) -> Item:
    """Check one row, and find its file."""
    key, label = Path(row["path"].strip()).as_posix(), row["label"].strip()
    if not row["path"].strip() or not label:
        raise DataError(f"{path.name}, line {line}: a path or a label is missing")
    part = None
    if with_split:
        part = SPLIT_FOLDERS.get(row["split"].strip().lower())
        if part is None:
            got = _shown(row["split"])
            raise DataError(f"{path.name}, line {line}: split '{got}', expected train, val or test")
    try:
        stamp = stamp_of(path.parent / key)
    except (OSError, ValueError):  # a ValueError of a name with a NUL
        raise DataError(f"{path.name}, line {line}: no file {_shown(key)}, seen from {path.parent}") from None
    return Item(key, label, part, stamp)


def _shown(text: str) -> str:
    """Write a cell on one line, whatever is in it."""
    return text if text.isprintable() else ascii(text)[1:-1]
