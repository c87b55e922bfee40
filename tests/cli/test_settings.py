"""`bakeoff settings`: every key of a study file, for people, documents and editors."""

import json

import pytest
import typer
from typer.testing import CliRunner

from bakeoff.cli.settings import settings
from bakeoff.errors import ConfigError, UnknownNameError

app = typer.Typer()
app.command()(settings)


def _run(*arguments):
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "100"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def test_one_table_is_shown_with_what_it_accepts():
    lines = [line.strip() for line in _run("early_stop").splitlines()]
    assert lines[0] == "early_stop: early_stop = { ... } of a recipe"
    assert "a whole number at least 1, required" in lines
    assert not any(line.startswith("recipe:") for line in lines)


def test_all_tables_are_shown_without_a_name():
    heads = [line.partition(":")[0] for line in _run().splitlines() if line[:1].isalpha()]
    assert {"study", "task", "candidate", "network", "search", "space", "recipe", "optimizer"} <= set(heads)


def test_no_line_is_wider_than_the_terminal():
    assert max(map(len, _run().splitlines())) <= 100


def test_the_schema_is_json():
    schema = json.loads(_run("--format", "json-schema"))
    assert schema["properties"]["recipe"]["description"].startswith("how everything is trained")


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (["recpe"], UnknownNameError, "settings: no table named 'recpe'; did you mean 'recipe'"),
        (["--format", "yaml"], ConfigError, "--format: got 'yaml', expected one of table, markdown"),
        (["recipe", "--format", "markdown"], ConfigError, "--format: got 'markdown' for one table"),
    ],
)
def test_what_cannot_be_shown_is_refused(arguments, error, said):
    with pytest.raises(error, match=said):
        _run(*arguments)
