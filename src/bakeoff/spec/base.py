"""The strict base of every setting, and validation errors as one readable line.

Settings are frozen and refuse unknown keys. pydantic finds what is wrong; this
module says it the way users of bakeoff read it: setting, what came, what is
accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from bakeoff.errors import ConfigError, nearest


class Setting(BaseModel):
    """A frozen group of settings that refuses keys it does not know.

    Types are strict: otherwise `batch_size = true` trains with batches of one.
    Tuples alone are not (`strict=False`), because TOML and JSON know only lists.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, populate_by_name=True
    )


def _printable(name: str) -> str:
    # Names become folders: '..' or a line break would do harm there.
    if name != name.strip() or not name.isprintable() or "/" in name or not any(map(str.isalnum, name)):
        raise ValueError(
            f"name: got {name!r}, expected printable text with a letter or digit, without '/' or outer spaces"
        )
    return name


Name = Annotated[str, Field(min_length=1, max_length=80), AfterValidator(_printable)]

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
    "dataclass_type": "expected a table",
}
_BOUNDS = {
    "greater_than": ("a number above", "gt"),
    "greater_than_equal": ("a number of at least", "ge"),
    "less_than": ("a number below", "lt"),
    "less_than_equal": ("a number of at most", "le"),
    "too_short": ("a list with a length of at least", "min_length"),
    "too_long": ("a list with a length of at most", "max_length"),
    "string_too_short": ("a text with a length of at least", "min_length"),
    "string_too_long": ("a text with a length of at most", "max_length"),
}


def _expectation(error: Mapping[str, Any]) -> str:
    """Say in words what one pydantic error accepts."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in _PHRASES:
        return _PHRASES[kind]
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return f"expected {words} {context[bound]:.15g}"  # no exponent: 1000000, as in a file
    if kind == "literal_error":
        return f"expected {context['expected']}"
    if kind == "value_error":
        return str(context["error"])
    return str(error["msg"])


def _place(location: tuple[int | str, ...]) -> str:
    """Write a location as users write it: ``candidate[2].model``."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        # pydantic also names the branches of unions and its own wrappers.
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


def _shown(came: object) -> str:
    """Write what came, on one line and not at length."""
    if isinstance(came, Mapping):
        return "a table"
    if isinstance(came, list | tuple):
        return "a list" if came else "an empty list"
    text = repr(came)
    return text if len(text) <= 80 else f"{text[:77]}..."


def one_line(error: ValidationError, model: type[BaseModel], where: str, prefix: str = "") -> ConfigError:
    """Turn a validation error into the one line that the user reads.

    Args:
        error: What pydantic found.
        model: The class that was validated; unknown keys are compared with its own.
        where: The file or flag that the values came from.
        prefix: A path in front of the location, such as ``"recipe"``.

    Returns:
        The error to raise.
    """
    # A list whose items failed is also reported as too short: the items say more.
    first = min(error.errors(), key=lambda e: (e["type"] == "too_short", e["type"] == "missing"))
    location, kind = first["loc"], first["type"]
    if kind == "extra_forbidden":
        unknown = str(location[-1])
        shown = unknown if unknown.isprintable() else repr(unknown)
        place = ".".join(part for part in (prefix, _place(location[:-1]), shown) if part)
        return ConfigError(f"{place}: unknown key{nearest(unknown, _fields_at(model, location))} ({where})")
    return ConfigError(f"{_said(dict(first), prefix)} ({where})")


def what_is_wrong(error: ValidationError) -> str:
    """Say the first thing that is wrong, as ``metrics.test_loss: got 'x', expected a number``."""
    return _said(dict(error.errors()[0]), "")


def _said(first: Mapping[str, Any], prefix: str) -> str:
    """Say one pydantic error: where, what came, what is accepted."""
    location, kind = first["loc"], first["type"]
    place = ".".join(part for part in (prefix, _place(location)) if part)
    expected = _expectation(first)
    if kind == "value_error" and location:
        expected = expected.removeprefix(f"{location[-1]}: ")
    elif kind not in {"missing", "value_error"}:
        expected = f"got {_shown(first['input'])}, {expected}"
    return f"{place}: {expected}" if place else expected


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Spread nested settings over dotted keys.

    >>> flat({"optimizer": {"lr": 0.1}, "epochs": 5})
    {'optimizer.lr': 0.1, 'epochs': 5}
    """
    spread: dict[str, Any] = {}
    for key, value in values.items():
        nested = isinstance(value, Mapping)
        spread |= flat(value, f"{prefix}{key}.") if nested else {prefix + key: value}
    return spread
