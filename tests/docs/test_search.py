"""The page on searches: its study is accepted, and its table is the space."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from bakeoff.spec import study_from_dict
from bakeoff.spec.search import SearchSpec
from bakeoff.spec.space import SPACE

PAGE = (Path(__file__).parents[2] / "docs" / "search.md").read_text(encoding="utf-8")


def test_its_study_is_accepted() -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    spec = study_from_dict({"name": "page", **tomllib.loads(text)}, "search.md")
    assert [one.name for one in spec.candidates] == ["by hand", "search"]


def test_its_table_has_every_setting_with_its_bounds_and_start() -> None:
    for name, dimension in SPACE.items():
        (line,) = (line for line in PAGE.splitlines() if line.startswith(f"| `{name}`: "))
        _, _, bounds, start, _ = (cell.strip() for cell in line.split("|"))
        assert bounds == dimension.bounds
        assert start == (dimension.start if isinstance(dimension.start, str) else f"{dimension.start:g}")


def test_it_names_every_key_of_a_search() -> None:
    assert [key for key in SearchSpec.model_fields if f"`{key}`" not in PAGE] == []
