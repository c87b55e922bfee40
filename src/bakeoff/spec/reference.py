"""What a study file may say: every table and key, what it accepts, its default, and what it means.

Types, bounds and defaults are those that check a file. What a key means is the comment beside its field in
this package: behind it, above it, or both. A comment of a single word is a heading, and no key's.
"""

from __future__ import annotations

import copy
import inspect
import io
import json
import tokenize
from ast import AnnAssign, ClassDef, Name, parse
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from bakeoff.errors import UnknownNameError, nearest
from bakeoff.spec.base import Setting
from bakeoff.spec.candidate import CandidateSpec, Published
from bakeoff.spec.macro import Macro, MacroStage
from bakeoff.spec.recipe import Augmentation, EarlyStop, Optimizer, Recipe
from bakeoff.spec.search import SearchSpec
from bakeoff.spec.space import SPACE, Dimension
from bakeoff.spec.study import MOST_SEEDS, StudySpec
from bakeoff.spec.task import TaskSpec

# Tables by the name that a file, or a person, gives them; a search's space is no group of settings
TABLES: dict[str, type[Setting]] = {
    "study": StudySpec, "task": TaskSpec, "candidate": CandidateSpec, "network": Macro, "stages": MacroStage,
    "search": SearchSpec, "published": Published, "recipe": Recipe, "optimizer": Optimizer,
    "augmentation": Augmentation, "early_stop": EarlyStop,
}  # fmt: skip
_WHERE = {  # of all tables, in the order of a file; in Markdown
    "study": "at the top of the file",
    "task": "`[[task]]`, once for each task",
    "candidate": "`[[candidate]]`, once for each candidate",
    "network": "`network = { ... }` of a candidate",
    "stages": "`stages = [{ ... }, ...]` of a network",
    "search": "`search = { ... }` of a candidate",
    "space": "`space = { ... }` of a search",
    "published": "`published = { ... }` of a candidate",
    "recipe": "`[recipe]` of the study; `recipe = { ... }` of a task or a candidate overrides single keys",
    "optimizer": "`optimizer = { ... }` of a recipe",
    "augmentation": "`augmentation = { ... }` of a recipe",
    "early_stop": "`early_stop = { ... }` of a recipe",
}


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a table."""

    name: str
    accepts: str  # in words
    default: str  # as a file has it; empty where there is none, "required" where one must be given
    about: str


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a study file."""

    name: str
    where: str  # how it is written
    about: str
    keys: tuple[Key, ...]


def tables(name: str | None = None) -> tuple[Table, ...]:
    """List what a study file may say.

    Args:
        name: Of one table; None is all of them.

    Returns:
        The tables, in the order of a file.

    Raises:
        UnknownNameError: There is no such table.
    """
    if name is not None and name not in _WHERE:
        raise UnknownNameError(f"settings: no table named '{name}'{nearest(name, _WHERE)}")
    return tuple(_table(one) for one in _WHERE if name in (None, one))


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a study file, for editors that complete and check TOML.

    Returns:
        Draft 7. It knows keys, their types and bounds; what holds between keys, and what a text or a list
        must say, `bakeoff run STUDY --dry-run` checks.
    """
    made = copy.deepcopy(_made())
    kinds = {kind.__name__: kind for kind in TABLES.values()}
    for title, part in {"StudySpec": made, **made["$defs"]}.items():
        about = comments(kinds[title])
        by_alias = {field.alias or name: name for name, field in kinds[title].model_fields.items()}
        for key, value in part["properties"].items():
            value["description"] = about[by_alias[key]]
    for title in ("TaskSpec", "CandidateSpec"):  # checked there when it is laid over the study's
        made["$defs"][title]["properties"]["recipe"].update({"$ref": "#/$defs/Recipe"})
    made["$defs"]["SearchSpec"]["properties"]["space"].update(
        properties={key: {"description": one.about} for key, one in SPACE.items()},
        additionalProperties=False,
    )
    return {"$schema": "http://json-schema.org/draft-07/schema#", **_as_draft_7(made)}


@cache
def _made() -> dict[str, Any]:
    """Have pydantic write its schema, and add what it cannot know."""
    made: dict[str, Any] = StudySpec.model_json_schema(mode="serialization")
    flip = made["$defs"]["Augmentation"]["properties"]["flip"]
    flip.pop("type", None)
    flip["enum"] = [*flip["enum"], True, False]  # true is "random", false "none"
    seeds = made["properties"]["seeds"]  # a number is so many
    listed = {key: seeds.pop(key) for key in ("type", "items", "minItems")}
    seeds["anyOf"] = [{"type": "integer", "minimum": 1, "maximum": MOST_SEEDS}, listed]
    return made


def _as_draft_7(node: Any) -> Any:
    """Write what draft 7 calls otherwise: tuples, and references with something beside them."""
    if isinstance(node, list):
        return [_as_draft_7(one) for one in node]
    if not isinstance(node, dict):
        return node
    found = {key: _as_draft_7(value) for key, value in node.items()}
    if "prefixItems" in found:
        found["items"] = found.pop("prefixItems")
    if "$ref" in found and len(found) > 1:
        beside = {key: found[key] for key in ("description", "default") if key in found}
        return {"allOf": [{"$ref": found["$ref"]}], **beside}
    return found


def markdown() -> str:
    """Write all tables as Markdown."""
    parts = []
    for table in tables():
        parts.append(f"## {table.name}\n\n{_capital(table.where)}. {table.about}\n")
        rows = [
            f"| `{key.name}` | {_cell(key.accepts)} | {_default_cell(key.default)} | {_cell(key.about)} |"
            for key in table.keys
        ]
        parts.append("\n".join(["| key | accepts | default | |", "|---|---|---|---|", *rows]) + "\n")
    return "\n".join(parts)


@cache
def comments(kind: type[Setting]) -> Mapping[str, str]:
    """Read what the comments beside the fields of a class say.

    Args:
        kind: A group of settings.

    Returns:
        One text for each of its fields; empty where nothing is said.
    """
    try:
        source = inspect.getsource(kind)
    except OSError:  # installed without sources
        return dict.fromkeys(kind.model_fields, "")
    said: dict[int, tuple[str, bool]] = {}  # by line: the comment, and whether it has the line to itself
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            alone = not token.line[: token.start[1]].strip()
            said[token.start[0]] = token.string.lstrip("# ").strip(), alone
    found = {}
    (body,) = (node.body for node in parse(source).body if isinstance(node, ClassDef))
    for node in body:
        if not isinstance(node, AnnAssign) or not isinstance(node.target, Name):
            continue
        above: list[str] = []
        line = node.lineno - 1
        while line in said and said[line][1]:
            above.insert(0, said[line][0])
            line -= 1
        end = node.end_lineno or node.lineno
        beside = [said[at][0] for at in range(node.lineno, end + 1) if at in said and not said[at][1]]
        while above and " " not in above[0]:
            above.pop(0)
        found[node.target.id] = "; ".join([*([" ".join(above)] if above else []), *beside])
    return found


def _table(name: str) -> Table:
    where = _WHERE[name]
    if name == "space":
        keys = tuple(
            Key(key, _value_or_values(one), _toml(one.start), _capital(_space_words(one)))
            for key, one in SPACE.items()
        )
        words = "What a search may choose from; each key fixes or narrows it. Defaults are the first trial's."
        return Table(name, where, words, keys)
    kind = TABLES[name]
    part = _made() if kind is StudySpec else _made()["$defs"][kind.__name__]
    about, required = comments(kind), part.get("required", [])
    keys = tuple(
        Key(
            field.alias or key,
            _accepts(part["properties"][field.alias or key]),
            "required" if (field.alias or key) in required else _default(part, field.alias or key),
            _capital(about[key]),
        )
        for key, field in kind.model_fields.items()
    )
    return Table(name, where, (inspect.getdoc(kind) or "").partition("\n\n")[0].replace("\n", " "), keys)


def _value_or_values(one: Dimension) -> str:
    if one.values:
        return f"{' or '.join(map(_toml, one.values))}; one, or a list"
    return f"{one.bounds}; one value, or two bounds"


def _space_words(one: Dimension) -> str:
    """Say what a setting of a search is; one that belongs to a value of another names it."""
    return f"{one.about}{f' of {one.needs[1]}' if one.needs else ''}; of the {one.part}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _default(part: Mapping[str, Any], key: str) -> str:
    value = part["properties"][key].get("default")
    return "" if value is None or isinstance(value, dict) else _toml(value)


def _toml(value: Any) -> str:
    """Write a plain value as TOML has it.

    >>> _toml("adam"), _toml(True), _toml([0.9, 0.999])
    ('"adam"', 'true', '[0.9, 0.999]')
    """
    return json.dumps(value, ensure_ascii=False)


def _accepts(node: Mapping[str, Any]) -> str:
    """Say in words what a node of the schema accepts."""
    if "$ref" in node or "allOf" in node:
        return f"a table, {_named(node)}"
    if "anyOf" in node:
        return " or ".join(_accepts(one) for one in node["anyOf"] if one.get("type") != "null")
    if "enum" in node or "const" in node:
        return " or ".join(map(_toml, node.get("enum") or [node["const"]]))
    kind = node.get("type")
    if kind == "array":
        if "prefixItems" in node:
            return f"[{', '.join(_accepts(one) for one in node['prefixItems'])}]"
        items = node.get("items") or {}
        return f"a list of tables, {_named(items)}" if "$ref" in items else f"a list: {_accepts(items)}"
    words = {
        "integer": "a whole number", "number": "a number", "string": "a text", "boolean": "true or false",
        "object": "a table",
    }[str(kind)]  # fmt: skip
    bounds = [
        f"{word} {node[name]:,.15g}"
        for name, word in (
            ("exclusiveMinimum", "above"), ("minimum", "at least"), ("exclusiveMaximum", "below"),
            ("maximum", "at most"),
        )
        if name in node
    ]  # fmt: skip
    return " ".join([words, " and ".join(bounds)]).strip()


def _named(node: Mapping[str, Any]) -> str:
    """Name the table that a node refers to."""
    reference = node["$ref"] if "$ref" in node else node["allOf"][0]["$ref"]  # pydantic before 2.9
    kind = str(reference).rpartition("/")[2]
    return next(name for name, known in TABLES.items() if known.__name__ == kind)


def _default_cell(default: str) -> str:
    return default if default in ("", "required") else f"`{default}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
