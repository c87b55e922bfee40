"""`bakeoff predict`: what a trained run, a study's winner or an exported file makes of images."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal

import typer

from bakeoff.errors import ConfigError, DataError

if TYPE_CHECKING:  # torch takes seconds to import, and an exported file needs none of it
    from bakeoff.data.predictor import Named
    from bakeoff.use import Found

STDIN = "-"

Format = Literal["table", "csv", "json"]


def predict(
    model: Annotated[str, typer.Argument(help="A run's folder, a study's, or an exported file.")],
    images: Annotated[list[str], typer.Argument(help="Images, folders, or - for paths on standard input.")],
    candidate: Annotated[
        str | None, typer.Option(help="Which candidate of the study.  [the recommended one]")
    ] = None,
    task: Annotated[str | None, typer.Option(help="Which task, if the study has several.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Which seed of the study.  [the best by validation accuracy]")
    ] = None,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="Average the probabilities of the candidate's finished seeds.")
    ] = False,
    top: Annotated[int, typer.Option(min=1, help="How many classes of each image.")] = 5,
    format_: Annotated[
        Format, typer.Option("--format", help="table, csv, or json with a line for each image.")
    ] = "table",
    out: Annotated[Path | None, typer.Option(help="Write to this file.  [standard output]")] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Probabilities as the network gives them, not calibrated.")
    ] = False,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda or cuda:N; of an exported file, cpu.")
    ] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads on the processor.  [all cores]")] = None,
) -> int:
    """Name the classes of images.

    Folders are walked with all below them. Images that cannot be read are listed at the end, and the exit
    code is then 1. Of exported files open a .pt2 only from somebody you trust: it can hold any program.
    """
    from bakeoff.data.stream import find_images
    from bakeoff.use import load

    warnings.simplefilter("ignore")  # of Pillow, about odd files whose pixels are sound
    places = _places(images)
    found = _chosen(model, candidate, task, seed, ensemble=ensemble)
    if found is not None:  # looked for once; its folder says all of it
        model, candidate, task, seed = str(found.runs[0].path), None, None, None
    predictor = load(
        model, candidate=candidate, task=task, seed=seed, ensemble=ensemble, raw=raw, threads=threads,
        device=device,
    )  # fmt: skip
    if threads is not None and not _is_onnx(model):
        _use_threads(threads)
    if found is not None and (found.why or ensemble):
        print(f"bakeoff: {_choice_words(found)}", file=sys.stderr)
    unreadable: list[Named] = []
    read = 0
    with _written(out) as file, _progress(places) as tell:
        write = _writer(format_, file, min(top, len(predictor.class_names)))
        for named in predictor.stream(find_images(_listed(places)), top, threads=threads):
            tell()
            if named.reason:
                unreadable.append(named)
                continue
            write(named)
            read += 1
        if not (read or unreadable):
            raise DataError(f"images: found none in {', '.join(images)}")
    for named in unreadable:
        print(f"bakeoff: {named.file}: {named.reason}", file=sys.stderr)
    if unreadable:
        print(f"bakeoff: {len(unreadable):,} of {read + len(unreadable):,} images could not be read",
              file=sys.stderr)  # fmt: skip
    return 1 if unreadable else 0


def _chosen(
    model: str, candidate: str | None, task: str | None, seed: int | None, *, ensemble: bool
) -> Found | None:
    """Find which of a study's runs answer; None for what is no study."""
    from bakeoff.records import StudyFolder
    from bakeoff.use import find_runs

    path = Path(os.path.expanduser(model))
    if not path.is_dir() or StudyFolder(path).read_lock() is None:
        return None
    return find_runs(path, candidate=candidate, task=task, seed=seed, ensemble=ensemble)


def _choice_words(found: Found) -> str:
    """Say which runs answer, and why these."""
    records = [record for run in found.runs if (record := run.read()) is not None]
    seeds = ", ".join(str(record.seed) for record in records)
    first, why = records[0], f" ({found.why})" if found.why else ""
    return f"{first.candidate}, seed{'s' if len(records) > 1 else ''} {seeds}, of task {first.task}{why}"


def _places(images: Sequence[str]) -> list[str]:
    """Refuse a place that is not there, before anything is loaded."""
    for place in images:
        if place != STDIN and not os.path.exists(os.path.expanduser(place)):
            raise ConfigError(f"images: no file or folder {place}")
    if list(images).count(STDIN) > 1:
        raise ConfigError("images: got - twice, expected it once")
    return list(images)


def _listed(places: Sequence[str]) -> Iterator[str]:
    """Yield places, those on standard input as they come; a name is bytes, and need not be text."""
    if STDIN in places and isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    for place in places:
        if place != STDIN:
            yield place
            continue
        for line in sys.stdin:
            name = line.rstrip("\r\n")
            if "\0" in name:
                raise ConfigError("images: got a file's bytes on standard input, expected paths, one a line")
            if name:
                yield name


def _is_onnx(model: str) -> bool:
    return model.endswith(".onnx")


def _use_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


@contextmanager
def _written(out: Path | None) -> Iterator[IO[str]]:
    """Open what is written to: standard output, or a file that appears whole or not at all.

    A name that is no text, as old archives leave them, is written with its odd bytes escaped, as JSON would.
    """
    if out is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        yield sys.stdout
        return
    from bakeoff.records import writing

    with (
        writing(out) as partial,
        partial.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        yield file


def _writer(format_: Format, file: IO[str], top: int) -> Callable[[Named], None]:
    """Make what writes one image."""
    if format_ == "json":
        return lambda found: print(json.dumps(_plain(found), ensure_ascii=False), file=file)
    if format_ == "csv":
        table = csv.writer(file, lineterminator="\n")
        columns = [f"{name}{rank}" for rank in range(1, top + 1) for name in ("class", "probability")]
        table.writerow(["file", *columns])
        return lambda found: table.writerow(
            [str(found.file), *(value for name, p in found.top for value in (name, f"{p:.6g}"))]
        )
    return lambda found: print(_row(found), file=file)


def _plain(found: Named) -> dict[str, Any]:
    """Return one image's line as plain values."""
    classes = [{"class": name, "probability": float(f"{p:.6g}")} for name, p in found.top]
    return {"file": str(found.file), "classes": classes}


def _row(found: Named) -> str:
    """Write one image as a line for people: probabilities first, which are of one width."""
    return "  ".join([*(f"{100 * p:5.1f} % {name}" for name, p in found.top), f"  {found.file}"])


@contextmanager
def _progress(places: Sequence[str]) -> Iterator[Callable[[], None]]:
    """Draw a bar on the error stream, if somebody looks; how many images there are is counted meanwhile."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("predicting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
               TextColumn("{task.speed:.0f} images/s"))  # fmt: skip
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None, speed=0)

        def count() -> None:
            from bakeoff.data.stream import find_images

            progress.update(task, total=sum(1 for _ in find_images(places)))

        if STDIN not in places:
            threading.Thread(target=count, daemon=True).start()
        yield lambda: progress.advance(task)
