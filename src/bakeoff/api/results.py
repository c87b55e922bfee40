"""A study's folder, read as results; nothing here trains, and torch is not needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakeoff.errors import ConfigError, DataError, UnknownNameError, nearest
from bakeoff.evidence.results import result_rows
from bakeoff.records import RunRecord, StudyFolder

if TYPE_CHECKING:
    from bakeoff.study.trained import Trained


@dataclass(frozen=True, slots=True)
class Choice:
    """A run that was chosen to be used."""

    record: RunRecord
    why: str


@dataclass(frozen=True)
class StudyResult:
    """A study's folder, read as results."""

    folder: StudyFolder

    @property
    def path(self) -> Path:
        """Where the study lies."""
        return self.folder.path

    @property
    def records(self) -> list[RunRecord]:
        """Every run that has ended, in the study's order."""
        return list(self.folder.records())

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of `results.csv` as plain values, ready for a data frame."""
        return result_rows(self.folder)

    def table(self, width: int = 120) -> str:
        """Return the verdict and the table of every task as text.

        Args:
            width: Characters of a line.

        Returns:
            The same words and digits as `bakeoff run` prints.
        """
        from rich.console import Console

        from bakeoff.report.terminal import render_study

        console = Console(width=width, no_color=True, force_terminal=False)
        with console.capture() as capture:
            console.print(render_study(self.folder))
        return capture.get()

    def best(self, task: str | None = None) -> RunRecord:
        """Return the finished run with the best validation accuracy of a task.

        Validation, not test: choosing by the test images would spend them.

        Args:
            task: Its name; None for a study of one task.

        Returns:
            Its record; of two equally good runs the earlier in the study's order.

        Raises:
            ConfigError: The study has several tasks and none was named, or has no such task.
            DataError: No run of the task has finished.
        """
        return _best_of(self._finished(self._named(task)))

    def choose(self, task: str | None = None) -> Choice:
        """Choose a run to be used: of the candidate that the report recommends, the best seed.

        A report recommends the cheapest candidate that is not significantly worse than the best; test images
        have a part in that. Its seed is chosen by validation accuracy alone, and so is one of several
        recommended candidates, which were trained under different controls. Where nothing is recommended (no
        rival, or no test images), validation accuracy chooses among all.

        Args:
            task: Its name; None for a study of one task.

        Returns:
            The run's record, and why it was chosen.

        Raises:
            ConfigError: The study has several tasks and none was named, or has no such task.
            DataError: No run of the task has finished.
            StudyError: A record contradicts its predictions.
        """
        from bakeoff.evidence.summarise import summarise_task  # takes a second to import

        wanted = self._named(task)
        finished = self._finished(wanted)
        if len({one.candidate for one in finished}) == 1:
            return Choice(_best_of(finished), "the only candidate that has finished")
        spec = self.folder.spec()
        found = summarise_task(self.folder, spec, next(one for one in spec.tasks if one.name == wanted))
        names = {group.recommended for group in found.groups if group.recommended}
        recommended = [one for one in finished if one.candidate in names]
        if not recommended:
            return Choice(
                _best_of(finished), "the best by validation accuracy, as the report recommends nobody"
            )
        why = "recommended by the report"
        if len(names) > 1:
            why += " and the best of such by validation accuracy"
        return Choice(_best_of(recommended), why)

    def recommended(self, task: str | None = None) -> RunRecord:
        """Return the run that `choose` chooses.

        Args:
            task: As for `choose`.

        Returns:
            Its record.

        Raises:
            BakeoffError: As `choose` does.
        """
        return self.choose(task).record

    def _named(self, task: str | None) -> str:
        """Return the name of the one task that can be meant."""
        tasks = [t.name for t in self.folder.spec().tasks]
        if task is None and len(tasks) > 1:
            raise ConfigError(f"task: the study has {len(tasks)}, expected one of {', '.join(tasks)}")
        if task is not None and task not in tasks:
            raise UnknownNameError(f"task: got '{task}'{nearest(task, tasks)}")
        return task or tasks[0]

    def _finished(self, task: str) -> list[RunRecord]:
        found = [r for r in self.records if r.task == task and r.status == "finished"]
        if not found:
            raise DataError(f"task '{task}': no run has finished")
        return found

    def load(
        self, record: RunRecord | None = None, *, device: str = "cpu", base_dir: str | Path = "."
    ) -> Trained:
        """Load a run's model, ready to be used.

        Args:
            record: Whose; None takes that of `recommended`, in a study of one task.
            device: Where it computes.
            base_dir: What the path of a network from a file of one's own refers to.

        Returns:
            The model, as it was scored.

        Raises:
            ConfigError: The run's network cannot be built again from its study.
        """
        from bakeoff.study.trained import load

        found = record or self.recommended()
        path = self.folder.run(found.task, found.candidate, found.seed).path
        return load(path, device=device, base_dir=base_dir)

    def report(self, *, images: bool = True) -> Path:
        """Write the page again and return where it is."""
        from bakeoff.report.write import write_report

        return write_report(self.folder, images=images)

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(self.table())}</pre>"


def _best_of(records: Sequence[RunRecord]) -> RunRecord:
    """Return the run of the best validation accuracy; of equally good ones the first."""
    return max(records, key=lambda record: record.metric("validation_accuracy"))


def open_study(path: str | Path) -> StudyResult:
    """Read a study's folder.

    Args:
        path: What `run` calls `out`.

    Returns:
        The results of its runs so far.

    Raises:
        StudyError: The folder holds no study.
    """
    folder = StudyFolder(Path(path))
    folder.spec()
    return StudyResult(folder)
