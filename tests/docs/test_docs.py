"""What the documents say is checked against what the program does."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from typer.main import get_command

import bakeoff
from bakeoff.cli.main import app
from bakeoff.models.catalog import build_model
from bakeoff.spec import shipped_studies, study_from_dict

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for page in ROOT.rglob("*.md")
    if not any(
        part.startswith(".") or part in ("node_modules", "studies") for part in page.relative_to(ROOT).parts
    )
)
LINK = re.compile(r"\[[^\]]*\]\(([^)#]+)(?:#[^)]*)?\)")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def test_there_are_pages_to_check() -> None:
    assert ROOT / "README.md" in PAGES
    assert len(PAGES) > 8


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = [t for t in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in t]
    assert [t for t in targets if not (page.parent / t).exists()] == []


def test_the_study_in_the_readme_is_accepted() -> None:
    (text,) = blocks(ROOT / "README.md", "toml")
    spec = study_from_dict(tomllib.loads(text), "README.md")
    assert [c.name for c in spec.candidates] == ["small", "deep", "mine", "described", "tuned", "probe"]


def test_the_python_in_the_readme_uses_names_that_exist() -> None:
    (text,) = blocks(ROOT / "README.md", "python")
    compile(text, "README.md", "exec")
    assert set(re.findall(r"bakeoff\.(\w+)", text)) <= set(bakeoff.__all__)


def test_the_help_of_run_names_every_shipped_study() -> None:
    (argument,) = (p for p in get_command(app).commands["run"].params if p.name == "study")  # type: ignore[attr-defined]
    assert all(name in argument.help for name in (*shipped_studies(), "pick"))


def test_the_network_in_the_guide_is_one(tmp_path: Path) -> None:
    (text,) = blocks(ROOT / "docs" / "guide.md", "python")
    (tmp_path / "my_net.py").write_text(text, encoding="utf-8")
    network = build_model("my_net.py:build", classes=5, image_size=48, base_dir=tmp_path)
    assert network(torch.rand(2, 3, 48, 48)).shape == (2, 5)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_shown_has_a_verb_and_flags_that_exist(page: Path) -> None:
    verbs = get_command(app).commands  # type: ignore[attr-defined]
    for text in blocks(page, "sh"):
        for line in text.splitlines():
            words = line.split("#")[0].split()
            if not words or words[0] != "bakeoff":
                continue
            assert words[1] in verbs, line
            known = {
                flag for option in verbs[words[1]].params for flag in option.opts + option.secondary_opts
            }
            assert {w.split("=")[0] for w in words[2:] if w.startswith("--")} <= known, line


@pytest.mark.parametrize("target", ["demo", "test", "test-slow", "check", "bench"])
def test_the_makefile_has_the_targets_that_the_documents_name(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_help_names_every_verb() -> None:
    shown = CliRunner().invoke(get_command(app), ["--help"]).output
    assert all(verb in shown for verb in get_command(app).commands)  # type: ignore[attr-defined]
    assert len(get_command(app).commands) > 10  # type: ignore[attr-defined]


PACKAGES = sorted(
    init.parent
    for init in (ROOT / "src" / "bakeoff").rglob("__init__.py")
    if init.parent.name != "cli"  # a file there is a verb
)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_a_package_says_what_each_of_its_modules_is_for(package: Path) -> None:
    told = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8"))) or ""
    inside = {path.stem for path in package.glob("*.py") if not path.stem.startswith("__")}
    inside |= {path.parent.name for path in package.glob("*/__init__.py")}
    assert {name for name in inside if f"`{name}`" not in told} == set()
