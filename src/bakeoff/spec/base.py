"""The strict base of every setting, and validation errors as one readable line.

Settings are frozen and refuse unknown keys. pydantic finds what is wrong; this
module says it the way users of bakeoff read it: setting, what came, what is
accepted.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from bakeoff.errors import ConfigError, nearest


class Setting(BaseModel):
    """A frozen group of settings that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


_PHRASES = {
    "missing": "is missing, expected a value",
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "int_parsing": "expected a whole number",
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "finite_number": "expected a finite number",
    "string_type": "expected a text",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "list_type": "expected a list",
    "tuple_type": "expected a list",
    "dict_type": "expected a table",
    "model_type": "expected a table",
    "model_attributes_type": "expected a table",
}


def _expectation(error: dict[str, Any]) -> str:
    """Say in words what one pydantic error accepts."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in _PHRASES:
        return _PHRASES[kind]
    bounds = {"greater_than": ("gt", "above"), "greater_than_equal": ("ge", "at least"),
              "less_than": ("lt", "below"), "less_than_equal": ("le", "at most")}  # fmt: skip
    if kind in bounds:
        name, word = bounds[kind]
        return f"expected a number of {word} {context[name]}" if "equal" in kind else (
            f"expected a number {word} {context[name]}"
        )  # fmt: skip
    if kind == "literal_error":
        return f"expected {context['expected']}"
    if kind in {"too_short", "string_too_short"}:
        return f"expected at least {context['min_length']}"
    if kind == "too_long":
        return f"expected at most {context['max_length']}"
    if kind == "string_pattern_mismatch":
        return f"expected a text like {context['pattern']}"
    if kind == "value_error":
        return str(context.get("error", error["msg"]))
    return str(error["msg"])


def _place(location: tuple[int | str, ...]) -> str:
    """Write a location as users write it: ``candidate[2].model``."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        elif "[" not in part and not part.startswith(("function-", "tagged-", "constrained-")):
            text += f".{part}" if text else part
    return text


def _fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """List the keys that are known where an unknown one was found."""
    current: Any = model
    for part in location[:-1]:
        if not isinstance(part, str):
            continue
        for name, field in getattr(current, "model_fields", {}).items():
            if part in (name, field.alias):
                current = _model_in(field.annotation)
                break
    fields = getattr(current, "model_fields", {})
    return [field.alias or name for name, field in fields.items()]


def _model_in(annotation: Any) -> Any:
    """Find the settings class inside ``tuple[X, ...]``, ``X | None`` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _model_in(argument)
        if found is not None:
            return found
    return None


def one_line(error: ValidationError, model: type[BaseModel], where: str, prefix: str = "") -> ConfigError:
    """Turn a validation error into the one line that the user reads.

    Args:
        error: What pydantic found.
        model: The class that was validated; unknown keys are compared with its own.
        where: The file or flag that the values came from.
        prefix: A path in front of the location, such as ``"recipe"``.
    """
    # A list whose items failed is also reported as too short: the items say more.
    first = min(error.errors(), key=lambda e: (e["type"] == "too_short", e["type"] == "missing"))
    location = first["loc"]
    place = ".".join(part for part in (prefix, _place(location)) if part)
    if first["type"] == "extra_forbidden":
        hint = nearest(str(location[-1]), _fields_at(model, location))
        return ConfigError(f"{place}: unknown key{hint} ({where})")
    expected = _expectation(dict(first))
    if first["type"] == "missing":
        return ConfigError(f"{place}: {expected} ({where})")
    came = first["input"]
    shown = repr(came) if not isinstance(came, dict | list | tuple) else type(came).__name__
    if first["type"] == "value_error":
        expected = expected.removeprefix(f"{location[-1]}: ") if location else expected
        return ConfigError(f"{place}: {expected} ({where})" if place else f"{expected} ({where})")
    return ConfigError(f"{place}: got {shown}, {expected} ({where})")
