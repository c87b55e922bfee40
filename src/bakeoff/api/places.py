"""Where things are, as people write it: paths of data, of networks, and relative ones."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from bakeoff.errors import ConfigError
from bakeoff.spec import StudySpec

Where = str | Path | Mapping[str, str | Path] | None


def locations(data: Where, spec: StudySpec) -> dict[str, Path]:
    """Read where sources lie; a bare path belongs to the study's one source."""
    sources = sorted({task.data for task in spec.tasks})
    if data is None:
        return {}
    if isinstance(data, str | Path):
        if len(sources) > 1:
            raise ConfigError(
                f"data: got a path, but the study has the sources {', '.join(sources)}; write NAME=PATH"
            )
        return {sources[0]: absolute(data)}
    for name in data:
        if name not in sources:
            raise ConfigError(
                f"data: got '{name}', expected one of the study's sources: {', '.join(sources)}"
            )
    return {name: absolute(path) for name, path in data.items()}


def data_place(data: str | Path) -> str:
    """Make a path absolute, as the study's file lies elsewhere; the name of a source stays."""
    from bakeoff.data.catalog import SOURCES

    text = str(data)
    if text in SOURCES or text.startswith("torchvision:"):
        return text
    return str(absolute(text))


def model_place(model: str) -> str:
    """Likewise for a user's own network."""
    from bakeoff.models.user_file import is_user_model

    if not is_user_model(model):
        return model
    file, suffix, function = model.partition(".py")
    return f"{absolute(file)}{suffix}{function}"


def absolute(path: str | Path) -> Path:
    """Make a path absolute; ``~`` is the home folder."""
    return Path(os.path.abspath(os.path.expanduser(path)))  # Path.expanduser raises for an unknown user
