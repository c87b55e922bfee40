"""A study at work, drawn in the terminal: what is done, what runs, what is left.

On a terminal one table is redrawn in place; in a pipe or a log file the same news are
plain lines. A first Ctrl-C ends the current step, writes a checkpoint and stops; a second
one stops at once.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from math import isfinite, nan
from types import FrameType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bakeoff.data.prepare import TaskData
from bakeoff.models.architecture import title
from bakeoff.records import RunRecord
from bakeoff.study.progress import PlannedRun
from bakeoff.training.job import Job
from bakeoff.training.loop import Step, Stopped
from bakeoff.training.run import CHECKPOINT_SECONDS
from bakeoff.units import format_seconds

LOOK_SECONDS = 0.5  # between two looks at the loss: a look makes a GPU wait
SHOWN = 16  # rows of the table, at most
_STOPPING = "Stopping after this step, with a checkpoint; Ctrl-C again stops at once."


def _remarks(data: TaskData) -> list[str]:
    """Say what somebody should know of the images before anything is trained on them."""
    remarks = []
    if data.ignored:
        remarks.append(f"{data.ignored:,} images of the source belong to none of the classes")
    if data.ignored_files:
        kinds = ", ".join(
            f"{count:,} {suffix or 'without suffix'}" for suffix, count in data.ignored_files.items()
        )
        remarks.append(f"files of other kinds are passed over: {kinds}")
    if data.dark_16_bit:
        remarks.append(
            f"{data.dark_16_bit:,} 16-bit images use the lowest 12 bits only and come out almost black"
        )
    for parts, found in data.leaks().items():
        if found:
            first, second = parts.split("-")
            images = f"{second} images are" if found > 1 else f"{second} image is"
            remarks.append(f"{found:,} {images} byte for byte among the {first} images")
    return remarks


@dataclass
class _Line:
    """One run as it is shown."""

    run: PlannedRun
    state: str = "waiting"  # then running, and finished, diverged, failed or earlier
    started: float = 0.0
    first: tuple[float, float] | None = None  # progress and time at the first step heard
    looked: float = 0.0
    trained: float = 0.0  # seconds that its steps took
    seconds: float = 0.0  # spent, by the clock on the wall
    pace: float = nan  # seconds that the whole run takes, at the speed seen so far
    progress: float = 0.0
    epoch: float = 0.0
    images_per_second: float = 0.0
    loss: float | None = None
    accuracy: float | None = None  # validation; test when the run has ended
    note: str = ""


class Screen:
    """Hears a study and draws it; a `StudyListener` and a context."""

    def __init__(self, console: Console, *, catching: bool = True) -> None:
        self._console = console
        self._catching = catching  # whether a first Ctrl-C waits for a step to end
        self._signals: AbstractContextManager[None] = nullcontext()
        self._live: Live | None = None
        self._lines: list[_Line] = []
        self._preparing = ""
        self._started = time.monotonic()
        self._by_job: dict[int, _Line] = {}
        self._stop = False
        self._told = False
        self.failed = 0

    # --- the context ---

    def __enter__(self) -> Screen:
        self._signals = _catching(self._interrupt) if self._catching else nullcontext()
        self._signals.__enter__()
        if self._console.is_terminal:
            self._live = Live(get_renderable=self._draw, console=self._console, refresh_per_second=4)
            self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._live is not None:
            self._live.__exit__(*error)
        self._signals.__exit__(*error)

    def _interrupt(self) -> None:
        # Nothing is printed here: a signal may come in the midst of a print, which must not be entered twice.
        self._stop = True

    @property
    def wants_stop(self) -> bool:
        """Whether Ctrl-C was pressed."""
        self._say_stopping()
        return self._stop

    def _say_stopping(self) -> None:
        """Answer a Ctrl-C in the log; the table says it by itself."""
        if self._stop and not self._told and self._live is None:
            self._told = True
            self._say(_STOPPING)

    def _say(self, text: str) -> None:
        """Print a line of news: above the table, or to the log."""
        self._console.print(Text(text), soft_wrap=True)

    # --- what it hears ---

    def on_remark(self, text: str) -> None:
        """Print it."""
        self._say(text)

    def on_prepare(self, task: str, phase: str, done: int, total: int) -> None:
        """Show how far the images are read."""
        self._preparing = f"{task}: {phase} {done:,} of {total:,}"
        if self._stop:
            raise KeyboardInterrupt

    def on_data(self, task: str, data: TaskData) -> None:
        """Say what the images are."""
        self._preparing = ""
        counts = f"{len(data.train):,} train, {len(data.validation):,} validation, {len(data.test):,} test"
        how = "from the cache" if data.cached else f"prepared in {format_seconds(data.seconds)}"
        self._say(f"{task}: {len(data.class_ids)} classes, {counts} images ({how})")
        if data.unreadable:
            self._say(f"{task}: {len(data.unreadable)} unreadable images are left out for every candidate")
        for remark in _remarks(data):
            self._say(f"{task}: {remark}")

    def on_plan(self, runs: Sequence[PlannedRun]) -> None:
        """Lay out the table."""
        self._lines = [_Line(run) for run in runs]
        self._by_job = {id(line.run.job): line for line in self._lines}
        for line in self._lines:
            if line.run.record is not None:
                self._close(line, line.run.record, earlier=True)
        done = sum(run.record is not None for run in runs)
        count = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
        self._say(f"{count}, {done} of them done before" if done else count)
        older = sum(run.older for run in runs)
        if older:
            self._say(f"{older} ended runs are of an older version of their network and are trained anew")
        for run in runs:
            if run.given_up:
                self._say(
                    f"{run.job.name}: begun with other settings or another version of its network; "
                    f"its {run.given_up:,} steps are given up"
                )

    def on_run_start(self, job: Job) -> None:
        """Mark a run as running, unless the study is to stop."""
        if self._stop:
            raise Stopped
        line = self._line(job)
        line.state = "running"
        line.started, line.first = time.monotonic(), None
        if self._live is None:
            how = f"{job.precision}; {job.precision_reason}"
            self._say(
                f"{job.name}: starts ({title(job.architecture) if job.is_external or job.is_search else how})"
            )

    def on_step(self, job: Job, step: Step) -> bool:
        """Keep the figures of a step."""
        now = time.monotonic()
        line = self._line(job)
        line.progress, line.seconds = step.progress, now - line.started
        line.trained = step.seconds
        if line.first is None:
            line.first = (step.progress, now)
        elif step.progress > line.first[0]:
            line.pace = (now - line.first[1]) / (step.progress - line.first[0])
        if now - line.looked > LOOK_SECONDS:
            line.looked = now
            line.loss = float(step.loss)
            line.epoch = step.images_seen / len(job.data.train)
            line.images_per_second = step.images_seen / step.seconds
        self._say_stopping()
        return self._stop

    def on_epoch(self, job: Job, row: dict[str, float]) -> None:
        """Keep the figures of an epoch."""
        line = self._line(job)
        line.epoch, line.loss = row["epoch"], row["train_loss"]
        line.accuracy, line.images_per_second = row["validation_accuracy"], row["images_per_second"]
        if self._live is None:
            self._say(
                f"{job.name}: epoch {row['epoch']:.3g}, loss {row['train_loss']:.4f}, "
                f"validation accuracy {row['validation_accuracy']:.4f}, "
                f"{row['images_per_second']:.0f} images/s, {format_seconds(self._left(line))} left, "
                f"{format_seconds(self._left_in_all())} for the study"
            )

    def on_evaluation(self, job: Job, split: str, done: int, total: int) -> None:
        """Show an evaluation; the final one is left only when the training before it is kept.

        A training shorter than the interval of checkpoints leaves none at its end: then the
        evaluation is short too, and the run ends first.
        """
        line = self._line(job)
        line.note = f"{split} {done:,}/{total:,}" if done < total else ""
        self._say_stopping()
        kept = split == "test" and line.trained > CHECKPOINT_SECONDS
        # What features there are, are kept; an external program starts again in any case.
        if self._stop and (kept or split in ("features", "probe", "external")):
            raise Stopped

    def on_run_end(self, job: Job, record: RunRecord) -> None:
        """Close a run's line."""
        line = self._line(job)
        self._close(line, record, earlier=False)
        if self._live is None or record.status != "finished":
            told = f"test accuracy {record.metric('test_accuracy'):.4f}" if record.metrics else record.reason
            self._say(f"{job.name}: {record.status}, {told}, {format_seconds(record.total_seconds)}")

    def _close(self, line: _Line, record: RunRecord, *, earlier: bool) -> None:
        line.state = "earlier" if earlier else record.status
        line.seconds, line.progress, line.epoch = record.total_seconds, 1.0, record.epochs
        line.pace = record.total_seconds
        line.images_per_second = record.images_per_second
        line.loss = record.metrics.get("test_loss")
        line.accuracy = record.metrics.get("test_accuracy")
        line.note = record.reason or ""
        self.failed += record.status == "failed"

    def _line(self, job: Job) -> _Line:
        return self._by_job[id(job)]

    # --- how long it will take ---

    def _left(self, line: _Line) -> float:
        """Seconds until the running run ends, by its own pace."""
        return (1 - line.progress) * line.pace

    def _left_in_all(self) -> float:
        """Seconds until the study ends: paces of the same candidate, or else of all work so far."""
        running = [self._left(line) for line in self._lines if line.state == "running"]
        expected = self._expectations()
        waiting = [expected(line) for line in self._lines if line.state == "waiting"]
        return sum([*running, *waiting]) / max(1, len(running))  # as many go on side by side

    def _expectations(self) -> Callable[[_Line], float]:
        """Look once at all paces seen; return what expects a run's seconds from them."""
        seen = [line for line in self._lines if isfinite(line.pace) and line.run.multiplications]
        pace: dict[str | None, float] = {}  # in seconds, and work: of each candidate, and of all under None
        work: dict[str | None, float] = {}
        for line in seen:
            for name in (line.run.job.candidate.name, None):
                pace[name] = pace.get(name, 0.0) + line.pace
                work[name] = work.get(name, 0.0) + line.run.multiplications

        def expected(line: _Line) -> float:
            if line.run.seconds is not None:
                return line.run.seconds
            own = line.run.job.candidate.name
            name = own if own in work else None
            return line.run.multiplications * pace[name] / work[name] if work else nan

        return expected

    # --- how it looks ---

    def _draw(self) -> RenderableType:
        if not self._lines:
            return Text(self._preparing or "Preparing the images ...", style="dim")
        said = [Text(_STOPPING, style="yellow")] if self._stop else []
        return Group(self._table(), self._bar(), *said)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        table.add_column("", min_width=1, no_wrap=True)
        room = self._console.width - sum(_WIDTHS.values()) - 2 * (len(_WIDTHS) + 2) - 1
        table.add_column("run", no_wrap=True, overflow="ellipsis", max_width=max(16, room))
        for name, width in _WIDTHS.items():
            table.add_column(name, justify="right", no_wrap=True, min_width=width)
        for line in self._window():
            table.add_row(*_cells(line, self._left(line)))
        return table

    def _window(self) -> list[_Line]:
        """Choose the rows around the running ones, when there are more than fit."""
        running = [i for i, line in enumerate(self._lines) if line.state == "running"]
        middle = running[0] if running else len(self._lines) - 1
        room = max(4, min(SHOWN, self._console.height - 6))
        first = min(max(0, middle - room // 2), max(0, len(self._lines) - room))
        around = range(first, min(first + room, len(self._lines)))
        chosen = dict.fromkeys([*running, *around])  # whatever runs is shown, wherever it stands
        return [self._lines[i] for i in sorted(list(chosen)[:room])]

    def _bar(self) -> Table:
        weights = [line.run.multiplications or 1.0 for line in self._lines]
        shares = [line.progress * weight for line, weight in zip(self._lines, weights, strict=True)]
        ended = sum(line.state not in ("waiting", "running") for line in self._lines)
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            f"{ended} of {len(self._lines)} runs",
            ProgressBar(total=sum(weights), completed=sum(shares), width=30),
            f"{format_seconds(time.monotonic() - self._started)} so far, "
            f"{format_seconds(self._left_in_all())} left",
        )
        return bar


_WIDTHS = {"epoch": 7, "images/s": 8, "loss": 6, "accuracy": 8, "time": 11}  # characters

_MARKS = {
    "waiting": ("·", "dim"), "running": ("▸", "bold cyan"), "finished": ("✓", "green"),
    "earlier": ("✓", "dim green"), "diverged": ("!", "yellow"), "failed": ("✗", "red"),
}  # fmt: skip


def _cells(line: _Line, left: float) -> list[RenderableType]:
    job = line.run.job
    mark, style = _MARKS[line.state]
    name = Text.assemble((f"{job.task.name} / ", "dim"), job.candidate.name, (f" / seed {job.seed}", "dim"))
    if line.note:
        name.append(f"  {line.note}", style="yellow")
    if line.state == "waiting":
        return [Text(mark, style), name, "", "", "", "", ""]
    length = job.recipe.length
    total = f"/{length.amount:g}" if length.unit == "epochs" else ""
    when = f"{format_seconds(left)} left" if line.state == "running" else format_seconds(line.seconds)
    return [
        Text(mark, style),
        name,
        f"{line.epoch:.1f}{total}",
        f"{line.images_per_second:.0f}" if line.images_per_second else "",
        "" if line.loss is None else f"{line.loss:.3f}",
        "" if line.accuracy is None else f"{100 * line.accuracy:.1f} %",
        when,
    ]


@contextmanager
def _catching(stop: Any) -> Iterator[None]:
    """Call `stop` at the first Ctrl-C or termination; the second one interrupts as usual."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {kind: signal.getsignal(kind) for kind in kinds}

    def handle(kind: int, frame: FrameType | None) -> None:
        for each in kinds:
            signal.signal(each, signal.default_int_handler)
        stop()

    for kind in kinds:
        signal.signal(kind, handle)
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
