"""From a study's plain values to a TOML file that a person can read, change and run again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def to_toml(values: Mapping[str, Any]) -> str:
    """Write plain values as TOML: single keys first, tables in one line, lists of tables last.

    Args:
        values: As `study_from_dict` takes them; a key whose value is None is left out.

    Returns:
        The file's text, which reads back as the same values.

    >>> print(to_toml({"name": "a", "recipe": {"epochs": 2}, "task": [{"name": "t", "data": "digits"}]}))
    name = "a"
    recipe = { epochs = 2 }
    <BLANKLINE>
    [[task]]
    name = "t"
    data = "digits"
    <BLANKLINE>
    """
    tables = {key: value for key, value in values.items() if _is_list_of_tables(value)}
    lines = [f"{key} = {_inline(v)}" for key, v in values.items() if key not in tables and v is not None]
    for key, items in tables.items():
        for item in items:
            lines += ["", f"[[{key}]]"]
            lines += [f"{name} = {_inline(value)}" for name, value in item.items() if value is not None]
    return "\n".join(lines) + "\n"


def _is_list_of_tables(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(v, Mapping) for v in value)


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_inline(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_inline, value)) + "]"
    # JSON's texts, numbers and truth values are TOML's too, but for the character DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
