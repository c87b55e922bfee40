"""Control groups: candidates that were trained alike, and so may be ranked against each other.

Candidates are ranked only inside a group (equal `control_digest`), and every difference between groups is
named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bakeoff.evidence.comparison import Comparison, groups_not_told_apart
from bakeoff.evidence.cost import front, recommend
from bakeoff.evidence.summary import CandidateSummary, ControlGroup
from bakeoff.evidence.verdict import group_verdict
from bakeoff.spec import TaskSpec


def rank(rows: Sequence[CandidateSummary]) -> dict[str, list[str]]:
    """Rank the finished candidates inside each control group.

    Args:
        rows: All candidates of a task.

    Returns:
        Names, best first, by the groups' digests; the group of most candidates first.
    """
    groups: dict[str, list[CandidateSummary]] = {}
    for row in rows:
        if sum(row.statuses.values()) > row.statuses["missing"]:
            groups.setdefault(row.control_digest, []).append(row)
    largest_first = sorted(groups.items(), key=lambda item: -len(item[1]))
    return {
        digest: [row.name for row in sorted(filter(_ranked, members), key=_merit)]
        for digest, members in largest_first
    }


def _ranked(row: CandidateSummary) -> bool:
    return row.accuracy is not None


def _merit(row: CandidateSummary) -> tuple[float, float]:
    """Order by accuracy, then by loss; sorting is stable, so the file's order breaks ties."""
    accuracy = row.accuracy.mean if row.accuracy else 0.0
    return -accuracy, row.loss.mean if row.loss else 0.0


def control_group(
    task: TaskSpec,
    digest: str,
    ranking: Sequence[str],
    rows: Sequence[CandidateSummary],
    comparisons: Sequence[Comparison],
) -> ControlGroup:
    """Say what sets a group apart from the task, who won in it, and who is recommended.

    Args:
        task: Whose control is compared with.
        digest: The group's.
        ranking: Its candidates, best first.
        rows: All candidates of the task.
        comparisons: Of their pairs, corrected.

    Returns:
        The group.
    """
    members = [row for row in rows if row.control_digest == digest]
    by_name = {row.name: row for row in members}
    # Under a budget members may differ in all but the seconds: only what they share sets the group apart.
    differences = {
        name: values
        for name, values in members[0].differences.items()
        if all(row.differences.get(name) == values for row in members)
        and (task.control == "recipe" or name in ("time", "weights", "source"))
    }
    return ControlGroup(
        digest=digest,
        title=_group_title(task, members[0], differences),
        differences=differences,
        ranking=tuple(ranking),
        unranked=tuple(row.name for row in members if row.name not in ranking),
        not_told_apart=groups_not_told_apart(ranking, comparisons),
        verdict=group_verdict(by_name, ranking, comparisons),
        recommended=recommend(by_name, ranking, comparisons) if len(ranking) > 1 else "",
        places=front(by_name, ranking, comparisons),
    )


def _group_title(task: TaskSpec, first: CandidateSummary, differences: Mapping[str, Sequence[Any]]) -> str:
    if first.mixed:
        return f"more than one {first.mixed} among the seeds of {first.name}"
    if not differences:
        return f"the task's {task.control}"
    pairs = differences.items()
    return "; ".join(f"{name} {_value(own)} instead of {_value(tasks)}" for name, (tasks, own) in pairs)


def titled_apart(groups: Sequence[ControlGroup]) -> tuple[ControlGroup, ...]:
    """Tell groups apart whose recipes are equal: precision, images or split must differ then.

    Args:
        groups: All of a task.

    Returns:
        The same, each under a title of its own.
    """
    titles = Counter(group.title for group in groups)
    return tuple(
        replace(group, title=f"{group.title} (control {group.digest})") if titles[group.title] > 1 else group
        for group in groups
    )


def _value(value: Any) -> str:
    """Write a setting's value; a table as ``name=sgd lr=0.1``."""
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_value(item)}" for name, item in value.items())
    return "none" if value is None else str(value)
