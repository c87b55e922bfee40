"""What a search tried and found, in words, tables and charts: from its journal and its record alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from bakeoff.evidence.trials import SearchSummary, TrialSummary, summarise_search
from bakeoff.evidence.words import count, listing, percent
from bakeoff.records import RunRecord, StudyFolder
from bakeoff.report.search_charts import axes_of, progress_chart, settings_chart, written
from bakeoff.report.view import Cell, Figure, Panel, Row, SearchView, Table, numbers, row, words
from bakeoff.report.words import plural
from bakeoff.spec.space import SPACE
from bakeoff.units import format_seconds

MOST_IMPORTANT = 8  # settings that are listed
BY = {
    "start": "the start", "tpe": "Optuna's proposal", "local": "a step from the best", "chance": "chance",
}  # fmt: skip


def searches(
    folder: StudyFolder,
    records: Sequence[RunRecord],
    index: int,
    colors: Mapping[str, int],
    *,
    table: Callable[[], int],
    figure: Callable[[], int],
) -> tuple[SearchView, ...]:
    """Show the searches of a task.

    Args:
        folder: The study.
        records: The task's.
        index: The task's place in the study.
        colors: Numbers of the candidates' colours.
        table: Numbers a table.
        figure: Numbers a figure.

    Returns:
        One for each run that searched and whose journal is here.
    """
    found: list[SearchView] = []
    several = len([record for record in records if record.search]) > 1
    for record in (record for record in records if record.search):
        run = folder.run(record.task, record.candidate, record.seed)
        search = summarise_search(record, run.trials_path)
        if search is None or not any(trial.accuracy is not None for trial in search.trials):
            continue
        title = f"What {record.candidate} tried" + (f", seed {record.seed}" if several else "")
        code = run.network_path.read_text(encoding="utf-8") if run.network_path.is_file() else ""
        key = f"task-{index + 1}-search-{len(found) + 1}"
        found.append(
            SearchView(
                title=title, words=_words(search), figures=(_figure(search, key, colors, figure()),),
                importance_words=_importance_words(search), importance=_importance(search),
                trials=replace(_trials(search), number=table()), winner=_winner(search), code=code,
            )
        )  # fmt: skip
    return tuple(found)


def _words(search: SearchSummary) -> tuple[str, ...]:
    """Say in sentences what was done, what was left out, and what was found."""
    clock = " (of the first network; others for as long)" if search.budget.endswith("s") else ""
    rungs = [f"{rung['epochs']:g} epochs{clock} at {rung['pixels']} pixels" for rung in search.rungs]
    begun, reached = len(search.trials), [0] * len(search.rungs)
    for trial in search.trials:
        for rung in range(min(trial.rung + 1, len(reached))):
            reached[rung] += 1
    how = "Draws of chance, each trained the same way" if search.method == "random" else (
        "Optuna proposed, each rung let one of three go on, and steps from the best ended it"
    )  # fmt: skip
    ladder = "; ".join(f"{n or 'none'} for {rung}" for n, rung in zip(reached, rungs, strict=True))
    budget = f" of a budget of {_budget(search.budget)}" if search.budget else ""
    told = [
        f"{plural(begun, 'trial')} in {format_seconds(search.seconds)}{budget}, chosen on validation images "
        f"alone: {how}. Trained were {ladder}. The winner's final training took "
        f"{format_seconds(search.final_seconds)}."
    ]
    best = f" ({percent(search.validation_accuracy)} of validation images at its last rung)" if (
        search.validation_accuracy is not None
    ) else ""  # fmt: skip
    told.append(f"Found: {search.winner.removeprefix('found: ')}{best}.")
    refused = [f"{plural(number, 'proposal')} by {name}" for name, number in search.refused]
    if refused:
        told.append(f"Filters refused before training: {listing(refused)}.")
    return tuple(told)


def _budget(budget: str) -> str:
    return format_seconds(float(budget.removesuffix("s"))) if budget.endswith("s") else budget


def _figure(search: SearchSummary, key: str, colors: Mapping[str, int], number: int) -> Figure:
    order = sorted(colors, key=lambda name: colors[name])
    panels = [
        Panel(
            key=f"{key}-progress", title="Best so far", spec=progress_chart(search, order),
            description=_progress_words(search),
        )
    ]  # fmt: skip
    if len(axes_of(search)) > 2:
        panels.append(
            Panel(
                key=f"{key}-settings", title="Trials by their settings", spec=settings_chart(search, order),
                description=f"A line for each of {len(search.trials)} trials over "
                f"{listing(axes_of(search), 11)}; the table of trials holds the same.",
            )
        )  # fmt: skip
    caption = (
        "Left: every trial where its last rung ended, and the best so far. An accuracy at a higher rung "
        "replaces those below it, whatever they were. Right: every trial as a line over its settings, each "
        "from its lowest value to its highest, the accuracy last; fainter lines were less accurate, the "
        "winner's is thick. Rates and decays stand in the range of their own optimizer."
    )
    return Figure(number=number, caption=caption, panels=tuple(panels))


def _progress_words(search: SearchSummary) -> str:
    steps = [f"{percent(accuracy)} after {format_seconds(at)}" for at, accuracy, _ in search.best_so_far]
    return f"Best validation accuracy so far: {listing(steps, 6)}."


def _trials(search: SearchSummary) -> Table:
    """List every trial, the winner first, then by how far they came."""
    ranked = sorted(search.trials, key=lambda t: (not t.won, -t.rung, -(t.accuracy or 0.0), t.number))
    columns = (
        words("Trial"), words("Network and optimizer"), numbers("Accuracy by rung"), numbers("Parameters"),
        numbers("Images a second"), numbers("Time"), words("What became of it"),
    )  # fmt: skip
    rows = tuple(replace(_trial_row(trial), lead=trial.won) for trial in ranked)
    return Table(
        caption="Trials, those that came furthest first; accuracies are of validation images.",
        columns=columns, rows=rows,
    )  # fmt: skip


def _trial_row(trial: TrialSummary) -> Row:
    by = BY.get(trial.proposed, trial.proposed)
    parent = f", {trial.parent}" if trial.parent is not None else ""
    optimizer = str(trial.point.get("optimizer", ""))
    rate = trial.point.get(f"{optimizer}_lr")
    return row(
        Cell(text=str(trial.number), sub=f"{by}{parent}"),
        Cell(text=trial.words, sub=f"{optimizer}, rate {written(rate)}" if rate is not None else ""),
        ", ".join("none" if value is None else percent(value) for value in trial.accuracies),
        count(trial.parameters), f"{trial.images_per_second:.0f}", format_seconds(trial.seconds), trial.end,
    )  # fmt: skip


def _winner(search: SearchSummary) -> Table:
    """List the winner's settings."""
    rows = [
        row(Cell(text=name, sub=SPACE[name].about), written(value))
        for name, value in search.point.items()
        if name in SPACE
    ]
    rows.append(row(Cell(text="length", sub="of the final training"), format_seconds(search.final_seconds)))
    return Table(
        caption="The winner's settings.", columns=(words("Setting"), words("Value")), rows=tuple(rows),
        kind="pairs",
    )  # fmt: skip


def _importance_words(search: SearchSummary) -> str:
    if not search.importance:
        return "Too few trials tell how much each setting mattered."
    if search.explained <= 0:
        return (
            "How much each setting mattered cannot be told: a random forest that learned accuracies from "
            "settings predicts trials that it has not seen no better than their mean."
        )
    return (
        f"A random forest that learned the accuracies at the first rung from the settings explains "
        f"{percent(search.explained)} of the variance among trials that it has not seen. How much of that is "
        "lost when one setting is shuffled says how much it mattered here, within the values that were tried."
    )


def _importance(search: SearchSummary) -> Table | None:
    if not search.importance or search.explained <= 0:
        return None
    rows = tuple(
        row(Cell(text=one.setting, sub=one.about), percent(one.share))
        for one in search.importance[:MOST_IMPORTANT]
        if one.share > 0
    )
    return Table(
        caption="Importance of settings, as a share of all that was lost.",
        columns=(words("Setting"), numbers("Share")), rows=rows,
    )  # fmt: skip
