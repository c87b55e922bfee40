"""Arguments that several verbs have, and how the words of a command line are read."""

from __future__ import annotations

import os
import tomllib
from typing import Annotated, Any, Literal

import typer

from bakeoff.errors import ConfigError

Images = Annotated[
    str, typer.Argument(help="A folder of class folders, an archive of one, a CSV file, or a known name.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Threads = Annotated[int | None, typer.Option(help="Threads on the processor.  [all cores]")]
Decoders = Annotated[int | None, typer.Option(help="Processes that read the image files.  [one a core]")]
OnCorrupt = Annotated[
    Literal["stop", "exclude"], typer.Option(help="What to do about images that cannot be read.")
]
Download = Annotated[bool, typer.Option(help="Fetch data sets known by name that are nowhere found.")]


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
