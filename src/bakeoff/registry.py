"""One registry class for everything that users choose by name.

An entry is data with provenance; registration is a visible line in a catalog. A
collision raises, a miss suggests the nearest name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar, overload

from bakeoff.errors import UnknownNameError, nearest

T = TypeVar("T")
D = TypeVar("D")


class Registry(Mapping[str, T], Generic[T]):
    """A read-only mapping from names to entries, in order of registration.

    >>> fruits: Registry[int] = Registry("fruit")
    >>> fruits.register("apple", 1)
    1
    >>> fruits["aple"]
    Traceback (most recent call last):
    bakeoff.errors.UnknownNameError: no fruit named 'aple'; did you mean 'apple'?
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str, entry: T) -> T:
        """Add an entry under a new name.

        Args:
            name: A name not taken yet.
            entry: What it stands for.

        Returns:
            The entry.

        Raises:
            ValueError: The name is taken.
        """
        if name in self._entries:
            raise ValueError(f"{self.kind} '{name}' is registered already")
        self._entries[name] = entry
        return entry

    def __getitem__(self, name: str) -> T:
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownNameError(f"no {self.kind} named {name!r}{nearest(name, self._entries)}") from None

    @overload
    def get(self, name: str, /) -> T | None: ...

    @overload
    def get(self, name: str, /, default: T | D) -> T | D: ...

    def get(self, name: str, /, default: T | D | None = None) -> T | D | None:
        """Return an entry, or the default; Mapping's own would pass the error of a miss on."""
        return self._entries.get(name, default)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
