"""`bakeoff export`: write a trained run to a file that others can use, and prove what was written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakeoff.cli.say import say
from bakeoff.errors import ConfigError

if TYPE_CHECKING:  # torch takes seconds to import, and `bakeoff --help` must not wait for it
    from rich.console import Console

    from bakeoff.deploy.export import Exported
    from bakeoff.deploy.quantize import Quantized
    from bakeoff.evidence.fidelity import Fidelity


def export(
    run: Annotated[Path, typer.Argument(help="A run's folder, or a study's.")],
    to: Annotated[str, typer.Option(help="onnx, torch-export or safetensors.")] = "onnx",
    out: Annotated[Path | None, typer.Option(help="The file.  [<study>-<candidate>.onnx]")] = None,
    candidate: Annotated[
        str | None, typer.Option(help="Which candidate of the study.  [the recommended one]")
    ] = None,
    task: Annotated[str | None, typer.Option(help="Which task, if the study has several.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Which seed of the study.  [the best by validation accuracy]")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Where the images lie.  [where the study found them]")
    ] = None,
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Do without the test images, and without a proof.")
    ] = False,
    quantize: Annotated[
        str | None, typer.Option(help="int8: smaller and faster, chosen on validation images; ONNX only.")
    ] = None,
    card: Annotated[Path | None, typer.Option(help="Where the model card goes.  [beside the file]")] = None,
    no_card: Annotated[bool, typer.Option("--no-card", help="Write no model card.")] = False,
    index: Annotated[
        bool,
        typer.Option("--index", help="Ship small copies of training images, to show the most similar ones."),
    ] = False,
) -> None:
    """Write a trained run to a file, and prove that the file says what was recorded.

    The file is run on the study's test images before it gets its name; that reading is noted beside the
    record. Of a study the candidate is taken that its report recommends.
    """
    from rich.console import Console

    from bakeoff.use import export as write

    if no_card and card is not None:
        raise ConfigError("--card and --no-card: got both, expected at most one of them")
    console = Console()
    with console.status("") as status:
        found = write(
            run, to, out=out, candidate=candidate, task=task, seed=seed, data=data, unchecked=unchecked,
            quantize=quantize, card=False if no_card else card or True, index=index,
            tell=lambda what: status.update(f"{what} ..."),
        )  # fmt: skip
    _tell(console, found)


def _tell(console: Console, found: Exported) -> None:
    """Say what was written and proved."""
    from bakeoff.units import format_bytes

    about = found.about
    say(console, f"Exported: {found.path} ({format_bytes(found.size_bytes)})")
    say(console, f"That is {about.candidate}, seed {about.seed}, of {about.study}, task {about.task}.")
    if found.agreement is None:
        say(console, "Not compared with the recorded predictions (--unchecked).")
    else:
        for line in agreement_lines(found.agreement, "the recorded predictions of the test images"):
            say(console, line)
    if found.alone is not None:
        what = "the same images in batches, when they are computed one at a time"
        say(console, agreement_lines(found.alone, what)[0])
    if found.resizing is not None:
        say(console, agreement_lines(found.resizing, "Pillow where the graph itself resizes")[0])
    if found.read_back is not None:
        say(console, read_back_line(found.read_back))
    if found.quantized is not None:
        for line in int8_lines(found.quantized):
            say(console, line)
    if found.index is not None:
        say(console, f"Index: {found.index} (it ships small copies of training images)")
    if found.card is not None:
        say(console, f"Model card: {found.card}")


def agreement_lines(found: Fidelity, what: str) -> list[str]:
    """Say how far a file agrees with something, and where nothing could be decided."""
    lines = [
        f"Agrees with {what}: {found.images:,} images, largest difference of a probability "
        f"{found.largest:.1e}, tolerance {found.tolerance:g}."
    ]
    if found.undecided:
        rows = ", ".join(map(str, found.undecided[:20])) + (" ..." if len(found.undecided) > 20 else "")
        lines.append(
            f"Of {len(found.undecided):,} images the two best classes are closer than that (rows {rows}); "
            f"{len(found.undecided_changed):,} of them turned over."
        )
    return lines


def read_back_line(difference: float) -> str:
    """Say how far what was read back is what was written."""
    if difference == 0.0:
        return "Read back, it has the same weights and computes the same bits."
    return (
        f"Read back, it has the same weights, bit for bit; its answers differ by rounding ({difference:.1e})."
    )


def int8_lines(found: Quantized) -> list[str]:
    """Say what int8 costs and gains."""
    from bakeoff.evidence.words import p_text, percent, points

    difference = found.test_after - found.test_before
    lines = [
        f"int8: {found.what}; chosen on validation images ({percent(found.validation_after)} right beside "
        f"{percent(found.validation_before)}), {found.tried} tried.",
        f"Test accuracy {percent(found.test_after)} beside {percent(found.test_before)}: "
        f"{points(difference, 2)}, 95 % interval {points(found.low, 2)} to {points(found.high, 2)}, "
        f"{found.before_only} images only fp32 got right, {found.after_only} only int8, {p_text(found.p)}.",
    ]
    lines += [
        f"Batch {one.batch}: {1000 * one.after:.3g} ms beside {1000 * one.before:.3g} ms, "
        f"{one.ratio:.2f} times as fast."
        for one in found.speeds
    ]
    return lines
