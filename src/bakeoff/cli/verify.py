"""`bakeoff verify DIR`: prove that a study is what its lock says; exit with 1 when something differs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bakeoff.cli.arguments import Decoders, data_places

if TYPE_CHECKING:
    from rich.console import Console

    from bakeoff.evidence.verification import Check, Verification

_MARKS = {"agrees": ("+", "green"), "differs": ("x", "bold red"), "not checked": ("-", "yellow")}
_FEW = 10  # lines of one kind below a check; all are in the JSON


def verify(
    study: Annotated[Path, typer.Argument(help="A study's folder, or a published copy of one.")],
    data: Annotated[
        list[str] | None, typer.Option(help="Where a source lies: NAME=PATH, or PATH if there is one source.")
    ] = None,
    images: Annotated[bool, typer.Option(help="Read every image and hold it against the manifest.")] = True,
    reevaluate: Annotated[
        bool, typer.Option("--reevaluate", help="Let the weights predict the test images again.")
    ] = False,
    retrain: Annotated[
        str | None, typer.Option(help="Train this run again, elsewhere: 'task/candidate/seed'.")
    ] = None,
    base_dir: Annotated[
        Path | None, typer.Option(help="Where paths of the study's file start.  [where that file lies]")
    ] = None,
    device: Annotated[str, typer.Option(help="To evaluate on: auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads on the processor.  [the study's]")
    ] = None,
    decoders: Decoders = None,
    form: Annotated[Literal["text", "json"], typer.Option("--format", help="How it is printed.")] = "text",
) -> int:
    """Recompute what can be recomputed of a study, and say what differs.

    Nothing of the study is changed. Exits with 0 when all that could be checked agrees, with 1 when
    something differs.
    """
    from rich.console import Console

    from bakeoff import api

    news = Console(stderr=True)
    arguments: dict[str, Any] = {
        "data": data_places(data or []), "images": images, "reevaluate": reevaluate, "retrain": retrain,
        "base_dir": base_dir, "device": device, "threads": threads, "decoders": decoders,
    }  # fmt: skip
    with _progress(news) as progress, _screen(news, retrain) as screen:
        try:
            found = api.verify(study, progress=progress, listener=screen, **arguments)
        except KeyboardInterrupt:
            raise typer.Abort from None
    if form == "json":
        print(json.dumps(found.as_dict(), indent=1, ensure_ascii=False))
    else:
        _print(Console(), found)
    return 0 if found.agrees else 1


def _screen(console: Console, retrain: str | None) -> Any:
    """Show a training as `bakeoff run` does, where there is one."""
    if retrain is None:
        return nullcontext()
    from bakeoff.cli.live import Screen

    return Screen(console, catching=False)


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """Rewrite one line on a terminal; elsewhere say nothing."""
    if not console.is_terminal:
        yield lambda stage, done, total: None
        return

    def tell(stage: str, done: int, total: int) -> None:
        sys.stderr.write(f"\r\x1b[K{stage}: {done:,} of {total:,}")
        sys.stderr.flush()

    yield tell
    sys.stderr.write("\r\x1b[K")


def _print(console: Console, found: Verification) -> None:
    from rich.text import Text

    for check in found.checks:
        mark, style = _MARKS[check.outcome]
        console.print(Text.assemble((f"{mark} ", style), (check.title, "bold"), f": {check.said}"))
        for line in _lines(check):
            console.print(Text(f"    {line}"), soft_wrap=True)
    console.print(Text(f"\n{found.verdict}", style="bold"))


def _lines(check: Check) -> Iterator[str]:
    for opening, said in (
        ("", check.differing),
        ("not checked: ", check.unchecked),
        ("note: ", check.remarks),
    ):
        yield from (opening + words for words in said[:_FEW])
        if len(said) > _FEW:
            yield f"{opening}and {len(said) - _FEW} more (--format json has all)"
