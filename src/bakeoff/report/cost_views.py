"""What a task's candidates cost, in words and as a table: training, size, and one prediction."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bakeoff.evidence.cost import Standing, cost_of
from bakeoff.evidence.summary import CandidateSummary, TaskSummary
from bakeoff.evidence.words import count, listing
from bakeoff.report.view import Cell, Table, Tone, numbers, row, words
from bakeoff.report.words import grouped, plural
from bakeoff.units import format_seconds

NOT_MEASURED = "not measured"
WEIGHT_BYTES = 4  # of a weight in fp32, as stored

_STANDINGS: Mapping[Standing, tuple[str, Tone]] = {
    "front": ("on the front", "good"),
    "perhaps": ("perhaps on it", "warn"),
    "behind": ("behind it", ""),
}


def cost_view(task: TaskSummary, table_number: int) -> tuple[str, Table | None]:
    """Say what the candidates cost, and who is on the front.

    Args:
        task: The task's evidence.
        table_number: Of the table.

    Returns:
        An introduction and the table, the cheapest to train first; nothing when no run has finished.
    """
    finished = [one for one in task.candidates if one.finished]
    if not finished:
        return "", None
    order = [one.name for one in task.candidates]
    ordered = sorted(finished, key=lambda one: (cost_of(one) or float("inf"), order.index(one.name)))
    with_energy = any(one.energy_joules is not None for one in ordered)
    columns = [
        words("Candidate"), words("Accuracy and cost"), numbers("Training"), numbers("Energy"),
        numbers("Peak memory"), numbers("Parameters"), numbers("Multiplications"),
        numbers("One image"), numbers("Images a second"),
    ]  # fmt: skip
    rows = []
    for one in ordered:
        cells = _cells(task, one, order.index(one.name))
        rows.append(
            row(*(cell for i, cell in enumerate(cells) if with_energy or columns[i].label != "Energy"))
        )
    kept = tuple(column for column in columns if with_energy or column.label != "Energy")
    searched = " and of its trials" if any(one.search_seconds for one in ordered) else ""
    caption = (
        "What it costs, the cheapest to train first. Training is the mean of a run, that of the candidates "
        f"it stands on{searched} included; parameters come with the size of their file in fp32; "
        "multiplications are of "
        "one image."
    )
    return _words(task, with_energy), Table(
        number=table_number, caption=caption, columns=kept, rows=tuple(rows)
    )


def _cells(task: TaskSummary, one: CandidateSummary, color: int) -> tuple[Cell, ...]:
    seconds, inference = cost_of(one), one.inference
    with_source = one.source and one.source_seconds
    return (
        Cell(text=one.name, color=color),
        _standing_cell(task, one.name),
        Cell(
            text=_measured(seconds, format_seconds),
            sub=f"with {one.source}'s" if with_source else _trials(one),
        ),
        Cell(text=_measured(one.energy_joules, joules)),
        Cell(text=_measured(one.peak_memory_bytes or None, size)),
        Cell(
            text=_measured(one.parameters or None, count),
            sub=size(WEIGHT_BYTES * one.parameters) if one.parameters else "",
        ),
        Cell(text=_measured(one.multiplications or None, count)),
        Cell(
            text=_measured(inference.get("latency_seconds"), short_time),
            sub=_if(inference.get("latency_p90_seconds"), lambda value: f"9 of 10 in {short_time(value)}"),
        ),
        Cell(
            text=_measured(inference.get("images_per_second"), rate),
            sub=_if(inference.get("batch"), lambda value: f"batch of {value:g}"),
        ),
    )  # fmt: skip


def _trials(one: CandidateSummary) -> str:
    """Say how much of the training was that of trials."""
    return f"{format_seconds(one.search_seconds)} of it in trials" if one.search_seconds else ""


def _standing_cell(task: TaskSummary, name: str) -> Cell:
    place = next((found for group in task.groups if (found := group.standing(name)) is not None), None)
    if place is None:
        return Cell(text=NOT_MEASURED)
    text, tone = _STANDINGS[place.standing]
    sub = f"as cheap and as good, or better: {listing(list(place.beaten_by), 2)}" if place.beaten_by else ""
    return Cell(text=text, sub=sub, tone=tone)


def _words(task: TaskSummary, with_energy: bool) -> str:
    """Explain the front, the recommendation, and how a prediction was timed."""
    parts = [
        "A candidate is on the front of accuracy and training time when no other of its control is as good "
        "in both and better in one (times within 5 % are equal); perhaps on it when those that are cannot be "
        "told apart from it."
    ]
    chosen = [group.recommended for group in task.groups if group.recommended]
    if chosen:
        parts.append(
            f"Recommended, as the cheapest that is not significantly worse than the best: {listing(chosen)}. "
            "Each is compared with the best by itself, at 5 %: to be as good must not become easier with "
            "more candidates. Cheap means few seconds of training; of equal times fewer parameters decide."
        )
    timed = [one.inference for one in task.candidates if one.inference]
    if timed:
        threads = timed[0].get("threads")
        where = f" on {plural(int(threads), 'thread')}" if threads else ""
        parts.append(
            f"One image alone and the best batch were timed in fp32{where} of the study's machine, after a "
            "warm-up: median and ninth decile of repeated calls."
        )
        if not with_energy:
            parts.append("The energy of the trainings is not readable there.")
    else:
        parts.append("How long a prediction takes was not measured.")
    return " ".join(parts)


def _measured(value: float | None, write: Callable[[float], str]) -> str:
    return NOT_MEASURED if value is None else write(value)


def _if(value: float | None, write: Callable[[float], str]) -> str:
    return "" if value is None else write(value)


def short_time(seconds: float) -> str:
    """Write the time of a prediction.

    >>> short_time(0.00042), short_time(0.0123), short_time(2.5)
    ('0.42 ms', '12.3 ms', '2.50 s')
    """
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{1000 * seconds:.2f} ms" if seconds < 0.01 else f"{1000 * seconds:.1f} ms"


def rate(per_second: float) -> str:
    """Write images a second.

    >>> rate(7.25), rate(213.4)
    ('7.2', '213')
    """
    return grouped(per_second) if per_second >= 10 else f"{per_second:.1f}"


def size(count_of_bytes: float) -> str:
    """Write bytes in decimal units, as files are measured.

    >>> size(24_481_300), size(612e6), size(3.2e9), size(900)
    ('24 MB', '612 MB', '3.2 GB', '0.9 kB')
    """
    for factor, unit in ((1e9, "GB"), (1e6, "MB")):
        if count_of_bytes >= factor:
            scaled = count_of_bytes / factor
            return f"{scaled:.1f} {unit}" if scaled < 10 else f"{scaled:.0f} {unit}"
    return f"{count_of_bytes / 1e3:.1f} kB"


def joules(energy: float) -> str:
    """Write an energy as people pay for it.

    >>> joules(820), joules(42_000), joules(5.4e6)
    ('820 J', '42 kJ', '1.50 kWh')
    """
    if energy >= 3.6e6:
        return f"{energy / 3.6e6:.2f} kWh"
    return f"{energy / 1e3:.0f} kJ" if energy >= 10_000 else f"{energy:.0f} J"
