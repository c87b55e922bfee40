"""`bakeoff report DIR`: the page again, from records alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakeoff.cli.say import say
from bakeoff.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from bakeoff.records import StudyFolder


def report(
    study: Annotated[Path, typer.Argument(help="A study's folder, finished or not.")],
    file: Annotated[Path | None, typer.Argument(help="With --markdown: the file to write.  [stdout]")] = None,
    no_images: Annotated[
        bool, typer.Option("--no-images", help="Leave the test images out of the page.")
    ] = False,
    charts: Annotated[
        Path | None, typer.Option(help="Write the charts as PNG and SVG to this folder.")
    ] = None,
    publish: Annotated[
        Path | None, typer.Option(help="Copy the study without weights to this folder, to be committed.")
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Only this: the results as Markdown, for a pull request.")
    ] = False,
) -> None:
    """Write a study's page and tables again, from its records alone."""
    from rich.console import Console

    from bakeoff.evidence.summarise import gather
    from bakeoff.records import StudyFolder
    from bakeoff.report.terminal import render_summary
    from bakeoff.report.write import write_charts, write_report

    if markdown:
        _write_markdown(StudyFolder(study), file, alone=charts is None and publish is None and not open_page)
        return
    if file is not None:
        raise ConfigError(f"report: got '{file}' beside the study, expected it only with --markdown")
    console, folder = Console(), StudyFolder(study)
    evidence = gather(folder)
    path = write_report(folder, images=not no_images, evidence=evidence)
    for part in render_summary(evidence.summary).renderables:
        console.print(part)
    say(console, f"Report: {path}")
    if charts is not None:
        written = write_charts(folder, charts, evidence)
        say(console, f"Charts: {len(written)} files in {charts}")
    if publish is not None:
        _publish(console, folder, publish)
    if open_page:
        typer.launch(path.resolve().as_uri())


def _write_markdown(folder: StudyFolder, file: Path | None, *, alone: bool) -> None:
    """Print the results as Markdown, or write them to a file."""
    from bakeoff.records.atomic import write_text
    from bakeoff.report.markdown import study_markdown
    from bakeoff.report.views import study_view

    if not alone:
        raise ConfigError("--markdown: got it with --charts, --publish or --open, expected it alone")
    text = study_markdown(study_view(folder, images=False))
    if file is None:
        print(text, end="")
    else:
        write_text(file, text)


def _publish(console: Console, folder: StudyFolder, target: Path) -> None:
    """Publish, and say how large that became."""
    from bakeoff.report.publish import LARGEST_BYTES
    from bakeoff.report.publish import publish as publish_study
    from bakeoff.units import format_bytes

    published = publish_study(folder, target)
    say(console, f"Published: {published.path} ({format_bytes(published.size_bytes)})")
    if published.too_large:
        say(console, f"That is more than {format_bytes(LARGEST_BYTES)}, which is much for a repository.")
