"""The reference of the study file: complete, true, and the document that is made of it."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bakeoff.errors import ConfigError, UnknownNameError
from bakeoff.spec import reference, shipped_studies, study_from_dict
from bakeoff.spec.base import Setting
from bakeoff.spec.reference import TABLES, comments, markdown, schema, tables
from bakeoff.spec.space import SPACE

DOCUMENT = Path(__file__).parents[2] / "docs" / "study-file.md"
SMALL: dict[str, Any] = {
    "name": "small", "task": [{"name": "digits", "data": "digits"}],
    "candidate": [{"name": "net", "model": "model1"}],
}  # fmt: skip


def kinds_below(kind: type[Setting] = Setting) -> set[type[Setting]]:
    """Find every group of settings of the package."""
    own = {one for one in kind.__subclasses__() if one.__module__.startswith("bakeoff.spec.")}
    return own.union(*(kinds_below(one) for one in own)) if own else own


def test_every_group_of_settings_is_a_table_and_every_key_says_what_it_means():
    assert set(TABLES.values()) == kinds_below()
    silent = [(table.name, key.name) for table in tables() for key in table.keys if not key.about]
    assert silent == []


def test_keys_are_those_that_a_file_has():
    by_name = {table.name: [key.name for key in table.keys] for table in tables()}
    for name, kind in TABLES.items():
        assert by_name[name] == [field.alias or key for key, field in kind.model_fields.items()]
    assert by_name["space"] == list(SPACE)


@pytest.mark.parametrize(
    ("table", "key", "accepts", "default", "about"),
    [
        ("recipe", "batch_size", "a whole number at least 1", "64", "Images of a step"),
        ("recipe", "epochs", "a number above 0 and at most 1,000,000", "", "Passes over the training images"),
        ("recipe", "optimizer", "a table, optimizer", "", "How weights move"),
        ("optimizer", "betas", "[a number at least 0 and at most 1,", "[0.9, 0.999]", "Of adam and adamw"),
        ("candidate", "from", "a text", "", "On a trained network: another candidate of the study"),
        ("candidate", "grace", "a text", '"60s"', "How long an external program may take"),
        ("network", "patch", "1 or 2 or 4", "1", "Pixels of a side that become channels"),
        ("network", "stem_width", "a whole number at least 1", "required", "Channels"),
        ("network", "stages", "a list of tables, stages", "required", "Behind the stem"),
        ("task", "control", '"recipe" or "budget"', '"recipe"', "What is held equal"),
        (
            "augmentation",
            "flip",
            '"none" or "random" or "alternating" or true or false',
            '"none"',
            "Horizontal",
        ),
        ("space", "muon_lr", "0.002 to 0.1; one value, or two bounds", "0.02", "Peak rate of muon"),
        ("space", "width", "16 to 128, by 8; one value, or two bounds", "32", "Channels of stem"),
    ],
)
def test_a_key_says_what_it_accepts_its_default_and_its_meaning(table, key, accepts, default, about):
    (found,) = (one for one in tables(table)[0].keys if one.name == key)
    assert found.accepts.startswith(accepts)
    assert found.default == default
    assert found.about.startswith(about)


def test_comments_above_and_beside_are_read_and_headings_are_not():
    said = comments(TABLES["task"])
    assert said["data"] == 'a source\'s name ("tiny-imagenet", "digits") or a path'  # below "# Images"
    assert said["control"].startswith("What is held equal")  # below "# Control" and its own


def test_the_schema_is_one_of_draft_7_in_which_nothing_stands_beside_a_reference():
    found = schema()
    jsonschema.Draft7Validator.check_schema(found)

    def nodes(value):
        yield value
        for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from nodes(one)

    assert [
        node for node in nodes(found) if isinstance(node, dict) and "$ref" in node and len(node) > 1
    ] == []


def test_without_sources_keys_are_listed_and_say_nothing(monkeypatch):
    def none(kind):
        raise OSError("could not get source code")

    monkeypatch.setattr(reference.inspect, "getsource", none)
    comments.cache_clear()
    try:
        (table,) = tables("recipe")
        assert {key.about for key in table.keys} == {""}
    finally:
        comments.cache_clear()


def test_an_unknown_table_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="settings: no table named 'recpe'; did you mean 'recipe'"):
        tables("recpe")


def test_the_document_is_what_the_code_says():
    """After a change of settings: `bakeoff settings --format markdown`, below the document's own words."""
    text = DOCUMENT.read_text(encoding="utf-8")
    own, _, made = text.partition("`bakeoff settings --format markdown`.\n\n")
    assert own
    assert made == markdown()


@pytest.mark.parametrize("name", shipped_studies())
def test_shipped_studies_fit_the_schema(name):
    text = (resources.files("bakeoff.spec") / "shipped" / f"{name}.toml").read_text(encoding="utf-8")
    jsonschema.validate(tomllib.loads(text), schema())


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": {"augmentation": {"flip": True}, "optimizer": {"lr": 1}}},
        {"task": [{"name": "digits", "data": "digits", "classes": ["0", "1"], "recipe": {"time": "10m"}}]},
        {"candidate": [{"name": "net", "search": {"budget": "400ep", "space": {"width": [16, 32]}}}]},
        {"candidate": [{"name": "net", "from": "timm:resnet18", "train": ["layer4"], "head": [64, 0.5]}]},
    ],
)
def test_schema_and_file_accept_the_same(change):
    jsonschema.validate(SMALL | change, schema())
    study_from_dict(SMALL | change, "test")


@pytest.mark.parametrize(
    "change",
    [
        {"seed": [0]},
        {"recipe": {"batch_size": 0}},
        {"recipe": {"optimizer": {"name": "adagrad"}}},
        {"task": [{"name": "digits"}]},
        {"recipe": {"optimizer": {"betas": ["a", 1]}}},
        {"candidate": [{"name": "net", "search": {"budget": "10m", "space": {"wide": 3}}}]},
        {"task": [{"name": "digits", "data": "digits", "recipe": {"lr": 1}}]},
        {"candidate": [{"name": "net", "network": {"stem_width": 8, "stages": []}}]},
    ],
)
def test_schema_and_file_refuse_the_same(change):
    jsonschema.validate(SMALL, schema())
    study_from_dict(SMALL, "test")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(SMALL | change, schema())
    with pytest.raises(ConfigError):
        study_from_dict(SMALL | change, "test")
