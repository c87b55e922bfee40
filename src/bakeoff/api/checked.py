"""What is wrong with images before anything is trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakeoff.api.places import data_place
from bakeoff.errors import ConfigError, UnknownNameError, nearest

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bakeoff.data.source import Progress
    from bakeoff.records.checks import TaskChecks


@dataclass(frozen=True)
class CheckResult:
    """What `check` found."""

    source: str  # what was looked at, a sentence
    image_size: int  # pixels it was looked at in
    checks: TaskChecks

    @property
    def counts(self) -> dict[str, int]:
        """How much was found of each kind."""
        return dict(self.checks.counts)

    def failed(self, kinds: Sequence[str]) -> dict[str, int]:
        """Return the counts above zero of some kinds, such as ``["leaks", "unreadable"]``."""
        return self.checks.found(kinds)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values: the fields of `records.checks.TaskChecks`, and where from."""
        from dataclasses import asdict

        return {"source": self.source, "image_size": self.image_size, **asdict(self.checks)}

    def json(self) -> str:
        """Return the same as JSON."""
        from bakeoff.records.atomic import json_text

        return json_text(self.as_dict())

    def render(self) -> RenderableType:
        """Return what the terminal shows: a table, and the worst findings by name."""
        from bakeoff.report.check_terminal import render_checks

        return render_checks(self.source, self.image_size, self.checks)

    def table(self, width: int = 120) -> str:
        """Return the same as text.

        Args:
            width: Characters of a line.

        Returns:
            The words and digits that `bakeoff check` prints.
        """
        from rich.console import Console

        console = Console(width=width, no_color=True, force_terminal=False)
        with console.capture() as capture:
            console.print(self.render())
        return capture.get()


def check(
    data: str | Path,
    *,
    classes: int | None = None,
    image_size: int | None = None,
    download: bool = True,
    cache_dir: str | Path | None = None,
    decoders: int | None = None,
    progress: Progress | None = None,
) -> CheckResult:
    """Find out what is wrong with images before anything is trained on them; nothing is changed.

    Args:
        data: A source's name, or a folder, an archive or a CSV file.
        classes: The first so many classes, in sorted order; None is all.
        image_size: Pixels that images are looked at in; None follows from their own size, 64 at most.
        download: Whether an official source that is nowhere found may be fetched.
        cache_dir: Where decoded images are kept; None is the user's cache folder.
        decoders: Processes that decode; None is one a core.
        progress: Told the stage, how much is done and of how much.

    Returns:
        The findings. Files that cannot be read are one of them.

    Raises:
        BakeoffError: There is no such data, or its labels are not usable.
    """
    from bakeoff.data.checks import checked
    from bakeoff.data.prepare import prepare
    from bakeoff.data.source import silent
    from bakeoff.data.survey import survey
    from bakeoff.spec import TaskSpec

    tell = progress or silent
    where = Path(cache_dir).absolute() if cache_dir is not None else None
    task = TaskSpec(name="data", data=data_place(data), classes=classes)
    if image_size is None:
        side = survey(task, base_dir=Path.cwd(), cache_dir=where, download=download, progress=tell).side
        image_size = max(8, min(side or 64, 64))  # as `train` stores them for a network that starts fresh
    elif not 4 <= image_size <= 1024:
        raise ConfigError(f"--image-size: got {image_size}, expected 4 to 1024 pixels")
    found = prepare(
        task.model_copy(update={"image_size": image_size}), base_dir=Path.cwd(), cache_dir=where,
        decoders=decoders, on_corrupt="exclude", download=download, progress=tell,
    )  # fmt: skip
    return CheckResult(found.source, image_size, checked(found, where, tell))


def finding_names(text: str | None) -> tuple[str, ...]:
    """Read names of findings, as ``--fail-on`` takes them.

    Args:
        text: Names with commas between them, or ``all``; None is none.

    Returns:
        The names.

    Raises:
        UnknownNameError: There is no such finding.

    >>> finding_names("leaks, unreadable")
    ('leaks', 'unreadable')
    """
    from bakeoff.evidence.findings import FINDINGS

    names = tuple(filter(None, (name.strip() for name in (text or "").split(","))))
    for name in names:
        if name not in (*FINDINGS, "all"):
            raise UnknownNameError(f"--fail-on: no finding named '{name}'{nearest(name, [*FINDINGS, 'all'])}")
    return tuple(FINDINGS) if "all" in names else names
