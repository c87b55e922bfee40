"""Identities: equal settings give equal digests, in every session and on every machine."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel


def canonical_json(value: Any) -> str:
    """Write plain values or settings as JSON with one spelling.

    >>> canonical_json({"b": 1, "a": (1.0, None)})
    '{"a":[1.0,null],"b":1}'
    """
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False, default=_plain
    )


def _plain(value: object) -> Any:
    """Turn settings inside plain values into plain values."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"a {type(value).__name__} has no canonical JSON")


def sha256(value: Any) -> str:
    """Hash plain values or settings; SHA-256 of their canonical JSON, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def digest(value: Any) -> str:
    """Hash plain values or settings; the first 16 hexadecimal digits of SHA-256.

    >>> digest({"a": 1}) == digest({"a": 1}) != digest({"a": 2})
    True
    """
    return sha256(value)[:16]
