"""How the words of a command line are read, where several verbs have the same."""

from __future__ import annotations

import os
import tomllib
from typing import Any

from bakeoff.errors import ConfigError


def value_of(text: str) -> Any:
    """Read a value as TOML writes it, or as a bare word."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def data_places(values: list[str]) -> str | dict[str, str] | None:
    """Read ``--data``: one bare path, or any number of NAME=PATH."""
    if not values:
        return None
    if len(values) == 1 and ("=" not in values[0] or os.path.exists(os.path.expanduser(values[0]))):
        return values[0]
    found = {}
    for value in values:
        name, equals, path = value.partition("=")
        if not (name and equals and path):
            raise ConfigError(f"--data: got '{value}', expected NAME=PATH")
        found[name] = path
    return found
