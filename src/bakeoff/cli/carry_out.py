"""The verbs that train or plan, carried out: progress on the terminal, and what is said at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.text import Text

from bakeoff import api
from bakeoff.cli.estimated import estimate_table
from bakeoff.cli.live import Screen
from bakeoff.evidence.summarise import gather
from bakeoff.report.terminal import render_summary
from bakeoff.report.write import write_report
from bakeoff.spec import StudySpec
from bakeoff.training.loop import Stopped
from bakeoff.units import format_bytes, format_seconds


def run_live(study: str, arguments: dict[str, Any]) -> int:
    """Run a study with its progress on the terminal.

    Args:
        study: A shipped name, a file, or a folder with a `study.toml`.
        arguments: The rest of what `api.run` takes.

    Returns:
        0, 1 when a run failed, or 130 when the user stopped it.
    """
    return _live(lambda screen: api.run(study, listener=screen, report=False, **arguments))


def train_live(model: str, data: str, arguments: dict[str, Any]) -> int:
    """Train one model with its progress on the terminal.

    Args:
        model: As `api.train` takes it.
        data: Likewise.
        arguments: The rest of what it takes.

    Returns:
        As `run_live`.
    """
    return _live(lambda screen: api.train(model, data, listener=screen, report=False, **arguments))


def pick_live(data: str, arguments: dict[str, Any]) -> int:
    """Answer which classifier to use, with the progress on the terminal.

    Args:
        data: As `api.pick` takes it.
        arguments: The rest of what it takes.

    Returns:
        As `run_live`.
    """
    return _live(lambda screen: api.pick(data, listener=screen, report=False, **arguments))


def search_live(data: str, arguments: dict[str, Any]) -> int:
    """Search for a network, with the progress on the terminal.

    Args:
        data: As `api.search` takes it.
        arguments: The rest of what it takes.

    Returns:
        As `run_live`.
    """
    return _live(lambda screen: api.search(data, listener=screen, report=False, **arguments))


def _live(work: Callable[[Screen], api.StudyResult]) -> int:
    """Do something with its progress on the terminal, and show the study that results."""
    console = Console()
    screen = Screen(console)
    try:
        with screen:
            result = work(screen)
    except (Stopped, KeyboardInterrupt):
        console.print("Stopped; everything so far is kept. The same command continues.")
        return 130
    evidence = gather(result.folder)
    path = write_report(result.folder, evidence=evidence)
    console.print(render_summary(evidence.summary))
    console.print(Text.assemble("Report: ", (str(path), "bold")), soft_wrap=True)
    for record in result.records if len(result.folder.spec().candidates) == 1 else ():
        weights = result.folder.run(record.task, record.candidate, record.seed).weights_path
        if weights.exists():
            console.print(Text.assemble("Weights: ", (str(weights), "bold")), soft_wrap=True)
            use = f'bakeoff.load("{weights.parent}").predict(["image.jpg"])'
            console.print(Text.assemble("Use in Python: ", (use, "bold")), soft_wrap=True)
    return 1 if screen.failed else 0


def train_only(model: str, data: str, arguments: dict[str, Any], options: dict[str, Any]) -> int:
    """Print what a training would be and what it would cost, and stop."""
    return _only(
        lambda screen: api.plan_training(model, data, listener=screen, **arguments), arguments, options
    )


def pick_only(data: str, arguments: dict[str, Any], options: dict[str, Any]) -> int:
    """Print what `pick` would do and what it would cost, and stop."""
    return _only(lambda screen: api.plan_pick(data, listener=screen, **arguments), arguments, options)


def search_only(data: str, arguments: dict[str, Any], options: dict[str, Any]) -> int:
    """Print what a search would do and what it would cost, and stop."""
    return _only(lambda screen: api.plan_search(data, listener=screen, **arguments), arguments, options)


def _only(
    decide: Callable[[Screen], api.OneLinePlan], arguments: dict[str, Any], options: dict[str, Any]
) -> int:
    console = Console()
    with Screen(console, catching=False) as screen:
        plan = decide(screen)
    for line in plan.said:
        console.print(Text(line), soft_wrap=True)
    asked = {key: arguments[key] for key in ("device", "threads", "download")}
    return estimate_only(plan.spec, {**asked, **options, "out": plan.folder})


def estimate_only(study: str | StudySpec, arguments: dict[str, Any]) -> int:
    """Print what a study would cost, and stop."""
    console = Console()
    screen = Screen(console, catching=False)  # there is nothing to keep
    with screen:
        estimate = api.estimate(study, listener=screen, **arguments)
    console.print(estimate_table(estimate))
    for row in estimate.rows:
        if row.problem:
            console.print(Text(f"! {row.candidate}: {row.problem}", style="red"))
    console.print(
        f"In all about {format_seconds(estimate.seconds)} on {estimate.machine}, "
        f"up to {format_bytes(estimate.memory_bytes)} of memory beside the mapped images, "
        f"{format_bytes(estimate.disk_bytes)} of disk for the study, "
        f"{format_bytes(estimate.cache_bytes)} for its images."
    )
    console.print("Measured by timing a few steps of each network; nothing was trained.")
    return 0
