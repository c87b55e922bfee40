"""`bakeoff bench`: what this machine can do, and what `auto` therefore chooses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bakeoff.cli.arguments import Device, Threads

if TYPE_CHECKING:  # torch takes seconds to import, and `bakeoff --help` must not wait for it
    from rich.table import Table

    from bakeoff.training.bench import Bench


def bench(
    device: Device = "auto",
    threads: Threads = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Two networks and one precision: seconds instead of minutes.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Write all figures to this file, too.")] = None,
) -> None:
    """Measure this machine: ceilings, decoding, training rates, and what auto chooses.

    Put what it prints into a bug report about speed.
    """
    from rich.console import Console

    from bakeoff.records.atomic import write_json
    from bakeoff.training.bench import bench as measure
    from bakeoff.training.machine import resolve_machine

    console = Console()
    machine = resolve_machine(device, threads)
    with console.status("") as status:
        found = measure(machine, quick=quick, heard=lambda what: status.update(f"measuring {what} ..."))
    console.print(_about(found.environment), highlight=False, soft_wrap=True, markup=False)
    console.print(_ceilings(found))
    console.print(_others(found))
    console.print(_rates(found))
    console.print(
        f"auto chooses here: {found.precision} ({found.reason}); device {machine.device}, "
        f"{machine.threads} threads; {found.decoders} processes decode.",
        highlight=False, soft_wrap=True, markup=False,
    )  # fmt: skip
    if json is not None:
        write_json(json, found.as_dict())
        console.print(f"written to {json}", soft_wrap=True, markup=False, highlight=False)


def _about(environment: dict[str, Any]) -> str:
    """Name the machine and the versions in two lines."""
    from bakeoff.units import format_bytes

    on = "" if environment["device"] == "cpu" else f", {environment['device']}"
    return (
        f"{environment['processor']}, {environment['cores']} cores, "
        f"{format_bytes(environment['memory_bytes'])} of memory{on}, {environment['system']}\n"
        f"bakeoff {environment['bakeoff']}, Python {environment['python']}, PyTorch {environment['torch']}, "
        f"NumPy {environment['numpy']}, Pillow {environment['pillow']}"
    )


def _ceilings(found: Bench) -> Table:
    """Make a row for each product and convolution, with a column for each precision."""
    from rich import box
    from rich.table import Table

    table = Table("one operation alone, GFLOP/s", box=box.SIMPLE_HEAD, pad_edge=False)
    multiplied = [ceiling for ceiling in found.ceilings if ceiling.precision]
    precisions = list(dict.fromkeys(ceiling.precision for ceiling in multiplied))
    for name in precisions:
        table.add_column(name, justify="right")
    for what in dict.fromkeys(ceiling.what for ceiling in multiplied):
        rates = {ceiling.precision: ceiling.rate for ceiling in multiplied if ceiling.what == what}
        table.add_row(what, *(_rate(rates[name]) for name in precisions))
    return table


def _others(found: Bench) -> Table:
    """Make a row for memory, decoding and batches."""
    from rich import box
    from rich.table import Table

    table = Table("memory and images", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("rate", justify="right")
    table.add_column("")
    for ceiling in found.ceilings:
        if not ceiling.precision:
            table.add_row(ceiling.what, _rate(ceiling.rate), ceiling.unit)
    return table


def _rates(found: Bench) -> Table:
    """Make a row for each network and precision."""
    from rich import box
    from rich.table import Table

    table = Table("training", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("pixels", "batch"):
        table.add_column(name, justify="right")
    table.add_column("precision")
    for name in ("images/s", "GFLOP/s", "of the best ceiling"):
        table.add_column(name, justify="right")
    for rate in found.rates:
        table.add_row(
            rate.model, str(rate.image_size), str(rate.batch_size), rate.precision,
            _rate(rate.images_per_second), _rate(rate.gflops), f"{rate.share:.0%}",
        )  # fmt: skip
    return table


def _rate(value: float) -> str:
    """Write a rate with three digits at least.

    >>> _rate(42860.1), _rate(18.943)
    ('42,860', '18.9')
    """
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
