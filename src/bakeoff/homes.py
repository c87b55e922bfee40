"""Where bakeoff keeps what is its own on a machine: what can be made again, and datasets."""

from __future__ import annotations

import os
from pathlib import Path


def cache_home() -> Path:
    """Return the folder of what can be made again: ``$BAKEOFF_CACHE``, or the XDG cache home's."""
    own = os.environ.get("BAKEOFF_CACHE")
    return Path(os.path.expanduser(own)) if own else _xdg("XDG_CACHE_HOME", ".cache")


def data_home() -> Path:
    """Return the folder of datasets: ``$BAKEOFF_DATA``, or the XDG data home's."""
    own = os.environ.get("BAKEOFF_DATA")
    return Path(os.path.expanduser(own)) if own else _xdg("XDG_DATA_HOME", ".local/share")


def _xdg(variable: str, default: str) -> Path:
    base = os.environ.get(variable)
    return (Path(base) if base else Path.home() / default) / "bakeoff"
