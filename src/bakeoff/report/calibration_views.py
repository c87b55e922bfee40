"""How far confidence can be trusted, in words: the figure of small diagrams, the table, what to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bakeoff.evidence.calibration import Bin
from bakeoff.evidence.confidence import CandidateCalibration
from bakeoff.evidence.intervals import Interval
from bakeoff.evidence.summary import CandidateSummary, TaskSummary
from bakeoff.evidence.symptoms import UNTRUSTED
from bakeoff.evidence.words import listing, number, percent
from bakeoff.report.reliability import reliability_chart
from bakeoff.report.view import CalibrationView, Cell, Column, Figure, Panel, Row, Table, numbers, words
from bakeoff.report.words import MISSING, NO_BREAK, grouped, plural, range_words, typeset

FEW = 6  # candidates up to which the table is open; on a phone each fills half a screen

_MEANING = (
    "A classifier is calibrated when it is as often right as it says: of all images on which it says 80 %, "
    "it should get 80 % right. This matters wherever a probability decides something: what is shown to a "
    "person, what is thrown away."
)
_SCALING = (
    "Temperature scaling divides the network's last numbers, before they become probabilities, by one "
    "number. It changes no answer and no accuracy, only how sure the network sounds. The number is fitted on "
    "the validation images; what it brings is measured on the test images."
)


def calibration_view(
    task: TaskSummary, index: int, figure_number: int, table_number: int
) -> CalibrationView | None:
    """Show how far each candidate's confidence can be trusted.

    Args:
        task: Of a study.
        index: The task's place in it.
        figure_number: On the page.
        table_number: On the page.

    Returns:
        Words, diagrams and table; None when no run has left predictions.
    """
    known = [(row, row.calibration) for row in _best_first(task) if row.calibration is not None]
    if not known:
        return None
    order = [row.name for row in task.candidates]
    text = [_MEANING, typeset(_advice(*known[0]))]
    if any(found.fitted for _, found in known):
        text.append(_SCALING)
    older = [row.name for row, found in known if found.after is None]
    if older:
        text.append(f"Temperature and Brier score were not recorded for {listing(older)}.")
    return CalibrationView(
        words=tuple(text),
        figure=_figure(known, order, index, figure_number),
        table=_table(known, order, table_number),
        folded=len(known) > FEW,
    )


def _best_first(task: TaskSummary) -> list[CandidateSummary]:
    """Sort the candidates that have an accuracy; the lower loss is first among equals, as in the ranking."""
    measured = [row for row in task.candidates if row.accuracy is not None]
    return sorted(measured, key=lambda row: (_mean(row.accuracy) * -1, _mean(row.loss)))


def _mean(found: Interval | None) -> float:
    return 0.0 if found is None else found.mean


def _advice(row: CandidateSummary, found: CandidateCalibration) -> str:
    """Say what to do with the probabilities of the most accurate candidate."""
    says = f"{row.name}, the most accurate, says {percent(found.confidence)} on average and is right in "
    says += percent(found.accuracy)
    error = f"corrected error {_points(found.error.mean)} points"
    if (found.error.low or 0.0) <= UNTRUSTED:
        small = (found.error.high or found.error.mean) <= UNTRUSTED
        what = (
            "its probabilities can be taken about as they are"
            if small
            else "whether its probabilities can be taken as they are, this many images cannot tell"
        )
        return f"{says}: {what} ({error}, {_ends(found.error)})."
    direction = "too sure" if found.gap > 0 else "too modest"
    if abs(found.gap) < found.error.mean / 2:
        direction = "too sure in places and too modest in others"
    return f"{says}: it is {direction} ({error}, {_ends(found.error)}).{_remedy(found)}"


def _remedy(found: CandidateCalibration) -> str:
    if found.temperature is None or found.after is None:
        return ""
    if found.unfitted:
        return (
            f" A temperature was fitted to {found.fitted} of {plural(found.seeds, 'run')}: {found.unfitted}."
        )
    if found.after.error.mean >= found.error.mean:
        return " Temperature scaling does not mend that."
    temperature, left = f"{found.temperature.mean:.2f}", _points(found.after.error.mean)
    return f" Divided by a temperature of {temperature}, they are off by {left} points."


def _figure(
    known: Sequence[tuple[CandidateSummary, CandidateCalibration]],
    order: Sequence[str],
    index: int,
    figure_number: int,
) -> Figure:
    said = {
        row.name: f"Reliability of {row.name}: says {percent(found.confidence)} on average, is right in "
        f"{percent(found.accuracy)}; the numbers are in the table below"
        for row, found in known
    }
    panels = tuple(
        Panel(
            key=f"task-{index + 1}-reliability-{order.index(row.name) + 1}", title=row.name,
            spec=reliability_chart(row.name, order, found.bins, _bins_after(found)),
            description=said[row.name],
            marks=("seed", "dashed", *(("published",) if found.fitted else ())),
        )
        for row, found in known
    )  # fmt: skip
    marks = [
        ("seed", "images on which it says about so much; the larger, the more images"),
        ("dashed", "perfect: as often right as it says"),
    ]
    if any(found.fitted for _, found in known):
        marks.append(("published", "after temperature scaling"))
    caption = (
        "How often each candidate is right, against how often it says so. Below the dashed line it promises "
        "too much, above it too little."
    )
    if any(found.seeds > 1 for _, found in known):
        caption += " The images of all its seeds together."
    return Figure(number=figure_number, caption=caption, panels=panels, marks=tuple(marks))


def _bins_after(found: CandidateCalibration) -> tuple[Bin, ...]:
    return found.after.bins if found.after is not None and found.fitted else ()


def _table(
    known: Sequence[tuple[CandidateSummary, CandidateCalibration]], order: Sequence[str], table_number: int
) -> Table:
    columns = _columns(known)
    rows = []
    for row, found in known:
        cells = _cells(row, found, order)
        rows.append(Row(cells=tuple(cells[column] for column in columns)))
    return Table(
        number=table_number, caption=_caption(known), columns=tuple(columns.values()), rows=tuple(rows)
    )


def _columns(known: Sequence[tuple[CandidateSummary, CandidateCalibration]]) -> dict[str, Column]:
    """Choose the columns: none for what no run has recorded, none for what no temperature has changed."""
    columns = {
        "candidate": words("Candidate"),
        "says": numbers("it says", "On average"),
        "right": numbers("is right", "On average"),
        "measured": numbers("as measured", "Error, points"),
        "corrected": numbers("corrected", "Error, points"),
        "error scaled": numbers("scaled", "Error, points"),
        "temperature": numbers("Temperature"),
        "loss": numbers("as it is", "Log-loss, nats"),
        "loss scaled": numbers("scaled", "Log-loss, nats"),
        "brier": numbers("as it is", "Brier score"),
        "brier scaled": numbers("scaled", "Brier score"),
    }
    if not any(found.fitted for _, found in known):
        columns = {name: column for name, column in columns.items() if not name.endswith("scaled")}
    if not any(found.before for _, found in known):
        columns = {name: columns[name] for name in ("candidate", "says", "right", "measured", "corrected")}
    return columns


def _cells(row: CandidateSummary, found: CandidateCalibration, order: Sequence[str]) -> dict[str, Cell]:
    unsure = (found.error.low or 0.0) > UNTRUSTED
    chance, by_mass = _points(found.perfect), _points(found.measured_equal_mass)
    below = f"chance {chance};".replace(" ", NO_BREAK) + " " + f"equal mass {by_mass}".replace(" ", NO_BREAK)
    cells = {
        "candidate": Cell(text=row.name, color=order.index(row.name)),
        "says": Cell(text=percent(found.confidence)),
        "right": Cell(text=percent(found.accuracy)),
        "measured": Cell(text=_points(found.measured), sub=below),
        "corrected": Cell(
            text=_points(found.error.mean), sub=_ends(found.error), tone="warn" if unsure else ""
        ),
    }
    return cells | _recorded_cells(found)


def _recorded_cells(found: CandidateCalibration) -> dict[str, Cell]:
    before, after = found.before, found.after
    if found.temperature is None or before is None or after is None:
        names = ("error scaled", "loss", "loss scaled", "brier", "brier scaled")
        return {
            "temperature": Cell(text=MISSING, sub="not recorded"),
            **{name: Cell(text=MISSING) for name in names},
        }
    temperature = _interval_cell(found.temperature, lambda value: f"{value:.2f}")
    if found.unfitted:
        others = "" if not found.fitted else f"{found.seeds - found.fitted} of {plural(found.seeds, 'run')} "
        temperature = Cell(text=temperature.text, sub=f"{others}not fitted: {found.unfitted}", tone="warn")
    return {
        "error scaled": Cell(text=_points(after.error.mean), sub=_ends(after.error)),
        "temperature": temperature,
        "loss": _interval_cell(before.loss, number), "loss scaled": _interval_cell(after.loss, number),
        "brier": _interval_cell(before.brier, number), "brier scaled": _interval_cell(after.brier, number),
    }  # fmt: skip


def _interval_cell(found: Interval, write: Callable[[float], str]) -> Cell:
    return Cell(text=write(found.mean), sub=range_words(found.low, found.high, write))


def _caption(known: Sequence[tuple[CandidateSummary, CandidateCalibration]]) -> str:
    images = grouped(max(found.images for _, found in known))
    seeds = max(found.seeds for _, found in known)
    over = f"{plural(seeds, 'seed')} and " if seeds > 1 else ""
    text = (
        "Calibration on the test images. Error: how far confidence and accuracy are apart, mean over the "
        "images (expected calibration error, 15 bins of equal width; Guo et al. 2017). As measured it is too "
        "high on few images; by chance alone, perfect probabilities would show up to what stands below it. "
        "Corrected: without that, "
        f"with its 95 % interval over {over}{images} images. Equal mass: in bins of equally many images."
    )
    if any(found.before for _, found in known):
        text += " Log-loss and Brier score: the lower, the better; both count accuracy too."
    return text


def _points(fraction: float) -> str:
    """Write an error in percentage points.

    >>> _points(0.1234), _points(0.0)
    ('12.3', '0.0')
    """
    return f"{100 * fraction:.1f}"


def _ends(found: Interval) -> str:
    return range_words(found.low, found.high, _points)
