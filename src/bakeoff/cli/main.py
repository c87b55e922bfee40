"""The `bakeoff` command: its verbs, and the one place that turns errors into exit codes.

Exit codes: 0 done; 1 done, but a run failed, a check found what it was to fail on, or a study is
not what it says; 2 wrong input, with one line on the error stream; 130 stopped by the user, with
everything kept.
"""

from __future__ import annotations

import os
import sys

import typer

from bakeoff.cli.bench import bench
from bakeoff.cli.check import check
from bakeoff.cli.compare import compare
from bakeoff.cli.export import export
from bakeoff.cli.models import models
from bakeoff.cli.predict import predict
from bakeoff.cli.report import report
from bakeoff.cli.run import run
from bakeoff.cli.search import search
from bakeoff.cli.serve import serve
from bakeoff.cli.settings import settings
from bakeoff.cli.train import train
from bakeoff.cli.verify import verify
from bakeoff.errors import BakeoffError

# typer carries click inside itself, and older versions import it; what it exports leads to either.
_WRONG_USE: tuple[type[Exception], ...] = tuple(
    kind
    for kind in typer.BadParameter.__mro__
    if issubclass(kind, Exception) and kind.__name__ == "ClickException"
)

app = typer.Typer(
    name="bakeoff",
    help="Controlled image-classification studies: which classifier, how sure, at what cost. "
    "Try it: bakeoff run demo. Your images: bakeoff run pick --data FOLDER.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run)
app.command("train")(train)
app.command("search")(search)
app.command("report")(report)
app.command("models")(models)
app.command("settings")(settings)
app.command("bench")(bench)
app.command("compare")(compare)
app.command("verify")(verify)
app.command("serve")(serve)
app.command("predict")(predict)
app.command("export")(export)
app.command("check")(check)


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    if version:
        from importlib.metadata import version as installed

        print(f"bakeoff {installed('bakeoff')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit


def main() -> None:
    """Run the command line and exit."""
    try:
        code = app(standalone_mode=False)
    except BakeoffError as error:
        print(f"bakeoff: {error}", file=sys.stderr)
        sys.exit(2)
    except _WRONG_USE as error:
        print(f"bakeoff: {_one_line(error)}", file=sys.stderr)
        sys.exit(2)
    except (typer.Abort, KeyboardInterrupt):
        print("bakeoff: stopped at once; what was finished or saved is kept", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on: end quietly
        sys.exit(0)
    except OSError as error:  # the system refused something that no part of bakeoff expected to be refused
        place = f"{error.filename}: " if error.filename else ""
        print(f"bakeoff: {place}{error.strerror or error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)


def _one_line(error: BaseException) -> str:
    text: str = getattr(error, "format_message", error.__str__)()
    refusal = getattr(error.__cause__, "errors", None)  # pydantic's, with which newer versions of typer check
    came = f"; got {refusal()[0]['input']!r}" if refusal is not None else ""
    return " ".join(text.split()) + came + "; see bakeoff --help"


if __name__ == "__main__":
    main()
