"""Which of a source's classes a task is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from bakeoff.errors import ConfigError, UnknownNameError, nearest


def choose_classes(
    wanted: int | Sequence[str] | None, class_ids: Sequence[str], names: Mapping[str, str]
) -> list[str]:
    """Return the ids of the wanted classes, sorted.

    Args:
        wanted: The first n in sorted order of id, or ids or human names, or None for all.
        class_ids: All ids, sorted.
        names: Human names, where they differ from the ids.

    Returns:
        Ids, in sorted order whatever the order asked for: labels do not depend on it.

    Raises:
        ConfigError: There are fewer classes, or a name stands for several.
        UnknownNameError: No class has such an id or name.

    >>> choose_classes(["ox", "n01"], ["n01", "n02", "n03"], {"n01": "ant", "n03": "ox"})
    ['n01', 'n03']
    """
    if wanted is None:
        return list(class_ids)
    if isinstance(wanted, int):
        if wanted > len(class_ids):
            raise ConfigError(f"classes: got {wanted}, expected at most {len(class_ids)}, all of the data's")
        return list(class_ids[:wanted])
    chosen = sorted(_resolve(name, class_ids, names) for name in wanted)
    for first, second in pairwise(chosen):
        if first == second:
            raise ConfigError(f"classes: class '{first}' is given twice, by its id and by its name")
    return chosen


def _resolve(name: str, class_ids: Sequence[str], names: Mapping[str, str]) -> str:
    """Find the one class that an id or a human name stands for."""
    if name in class_ids:
        return name
    found = [class_id for class_id in class_ids if names.get(class_id, class_id).lower() == name.lower()]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(f"classes: '{name}' stands for {', '.join(found)}; expected one of these ids")
    known = [*class_ids, *(names[class_id] for class_id in class_ids if class_id in names)]
    raise UnknownNameError(f"classes: no class '{name}' in the data{nearest(name, known)}")
