"""`bakeoff models`: what can be trained, and what a network consists of."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakeoff.errors import ConfigError

if TYPE_CHECKING:  # torch takes seconds to import, and `bakeoff --help` must not wait for it
    from rich.console import Console
    from rich.table import Table

    from bakeoff.models.summary import Summary


def models(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A network's name, a pattern such as 'model*' or 'timm:*lite*', or your 'my_net.py:build'."
        ),
    ] = None,
    classes: Annotated[int, typer.Option(min=1, help="Outputs of the network.")] = 200,
    image_size: Annotated[
        int | None,
        typer.Option(
            min=4, help="Rows and columns of the images, pixels; 64, or what timm's were trained on."
        ),
    ] = None,
    draw: Annotated[Path | None, typer.Option(help="Write a drawing of it to this SVG file.")] = None,
) -> None:
    """List what can be trained; with a name, show that network layer by layer."""
    from rich.console import Console

    names = _select(name)
    one = name is not None and len(names) == 1
    _check_drawing(draw, names if one or draw is None else [])
    console = Console()
    pretrained = _is_pretrained(names[0])
    if pretrained:
        console.print(_list_pretrained(names, classes))
    if pretrained and image_size is None:
        image_size = _own_size(names[0])
    image_size = image_size or 64
    if not one and pretrained:
        console.print(f"Counted for {classes} classes, at each network's own input size.", highlight=False)
        console.print(
            "With weights: from = 'timm:NAME' in a study, or bakeoff train timm:NAME DATA. "
            "Not at hand: fetched once, or given by a file."
        )
        return
    if not one:
        console.print(_list(names, classes, image_size))
        console.print(f"Counted for {classes} classes and {image_size}x{image_size} pixels.", highlight=False)
        console.print("Your own network: 'my_net.py:build', a function of (classes, image_size).")
        console.print("Pretrained networks: bakeoff models 'timm:PATTERN', such as 'timm:efficientnet*'.")
        return
    summary = _summarise(names[0], classes, image_size)
    _show(console, names[0], summary, image_size)
    if draw is not None:
        _draw(draw, names[0], summary, image_size)
        console.print(f"drawn to {draw}", soft_wrap=True, markup=False, highlight=False)


def _own_size(name: str) -> int:
    from bakeoff.models.pretrained import backbone

    return backbone(name).input_size


def _is_pretrained(name: str) -> bool:
    from bakeoff.models.pretrained import is_pretrained

    return is_pretrained(name)


def _select(name: str | None) -> list[str]:
    """Find the networks that a name or a pattern means; an `UnknownNameError` when it means none."""
    from bakeoff.models.catalog import MODELS
    from bakeoff.models.pretrained import backbone, is_known, is_pretrained
    from bakeoff.models.pretrained import matching as matching_pretrained
    from bakeoff.models.user_file import is_user_model

    if name is None:
        return list(MODELS)
    if is_user_model(name) or name in MODELS:
        return [name]
    if is_pretrained(name):
        found = [] if is_known(name) else matching_pretrained(name)
        if not found:
            backbone(name)  # raises, with the nearest name
        return found or [name]
    matching = [known for known in MODELS if fnmatchcase(known, name)]
    if not matching:
        MODELS[name]  # raises, with the nearest name
    return matching


def _check_drawing(draw: Path | None, names: Sequence[str]) -> None:
    """Refuse a drawing of no single network, or in another format, before anything is built."""
    if draw is None:
        return
    if not names:
        raise ConfigError("--draw: got no single network, expected the name of one before it")
    if draw.suffix.lower() != ".svg":
        raise ConfigError(f"--draw: got '{draw}', expected a file that ends in .svg")


def _summarise(name: str, classes: int, image_size: int) -> Summary:
    """Build a network and measure it; ours without memory or arithmetic, the user's for real."""
    import torch

    from bakeoff.models.catalog import build_model
    from bakeoff.models.summary import summarise
    from bakeoff.models.user_file import is_user_model

    device = "cpu" if is_user_model(name) else "meta"
    with torch.device(device):
        model = build_model(name, classes=classes, image_size=image_size, base_dir=Path.cwd())
        return summarise(model, image_size)


def _list(names: Sequence[str], classes: int, image_size: int) -> Table:
    """Make a table with a row for each network."""
    from rich.table import Table

    from bakeoff.models.catalog import MODELS

    table = Table("model", "what it is", "source")
    table.add_column("parameters", justify="right")
    table.add_column("multiplications", justify="right")
    for name in names:
        entry, summary = MODELS[name], _summarise(name, classes, image_size)
        table.add_row(
            name, entry.summary, entry.source, f"{summary.parameters:,}", f"{summary.multiplications:,}"
        )
    return table


def _list_pretrained(names: Sequence[str], classes: int) -> Table:
    """Make a table with a row for each network of timm."""
    from rich import box
    from rich.table import Table

    from bakeoff.models.pretrained import at_hand, backbone

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("network", no_wrap=True, min_width=min(40, max(map(len, names))))
    for column in ("parameters", "multiplications", "input"):
        table.add_column(column, justify="right")
    for column in ("trained on", "weights", "licence"):
        table.add_column(column)
    for name in names:
        known = backbone(name)
        try:
            summary = _summarise(name, classes, known.input_size)
            counts = (_millions(summary.parameters), _millions(summary.multiplications))
        except Exception:  # a few cannot be built without what they need
            counts = ("not built here", "")
        table.add_row(name, *counts, str(known.input_size), known.trained_on, at_hand(known), known.license)
    return table


def _millions(count: int) -> str:
    """Write a count short enough for a terminal; a network's own table has it exactly.

    >>> _millions(3_669_224), _millions(384_163_000)
    ('3.67 M', '384 M')
    """
    return f"{count / 1e6:,.0f} M" if count >= 1e8 else f"{count / 1e6:.3g} M"


def _show(console: Console, name: str, summary: Summary, image_size: int) -> None:
    """Print a network's layer table, its totals, its drawing and where it comes from."""
    from rich.text import Text

    from bakeoff.evidence.architecture import draw_text
    from bakeoff.models.catalog import MODELS

    console.print(_layers(name, summary))
    console.print()
    console.print(Text(draw_text(summary.rows, image_size=image_size)), soft_wrap=True)
    if name in MODELS:
        console.print()
        console.print(Text(f"{MODELS[name].summary}. Source: {MODELS[name].source}."))


def _layers(name: str, summary: Summary) -> Table:
    """Make a table with a row for each layer, and the sums below."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(name), title_justify="left", show_footer=True, box=box.SIMPLE_HEAD, pad_edge=False
    )
    table.add_column("layer", "all")
    table.add_column("kind")
    table.add_column("output")
    table.add_column("parameters", f"{summary.parameters:,}", justify="right")
    table.add_column("trainable", f"{summary.trainable:,}", justify="right")
    table.add_column("mult-adds", f"{summary.multiplications:,}", justify="right")
    for row in summary.rows:
        shape = "x".join(map(str, row["output_shape"]))
        kind = f"{row['kind']} {row['detail']}".strip().replace(", stride ", " /")
        counts = [row["parameters"], row["trainable"], row["multiplications"]]
        table.add_row(Text(row["name"]), Text(kind), shape, *[f"{n:,}" if n else "" for n in counts])
    return table


def _draw(file: Path, name: str, summary: Summary, image_size: int) -> None:
    from bakeoff.evidence.architecture import draw_architecture
    from bakeoff.records.atomic import write_text

    write_text(file, draw_architecture(summary.rows, title=name, image_size=image_size))
