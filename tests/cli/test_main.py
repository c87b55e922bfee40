"""The command itself: its verbs, its exit codes, and how little it needs to say what it can do."""

import subprocess
import sys
from importlib import metadata

import pytest
import typer

from bakeoff.cli import main as command
from bakeoff.errors import BakeoffError, BusyError, ConfigError, DataError, ResourceError, StudyError

HEAVY = {"torch", "torchvision", "timm", "numpy", "sklearn", "scipy", "altair", "PIL"}


def _python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def _run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["bakeoff", *arguments])
    with pytest.raises(SystemExit) as ended:
        command.main()
    return ended.value.code


def _raising(monkeypatch, error):
    def app(**options):
        raise error

    monkeypatch.setattr(command, "app", app)


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"], ["rnu"]], ids=" ".join)
def test_help_and_refusals_load_nothing_heavy(arguments):
    done = _python(
        f"import sys; sys.argv = ['bakeoff', *{arguments}]\n"
        "from bakeoff.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    print('LOADED', *{m.split('.')[0] for m in sys.modules})"
    )
    _, _, loaded = done.stdout.partition("LOADED")
    assert "typer" in loaded.split()
    assert HEAVY & set(loaded.split()) == set()


def test_help_names_every_verb_and_comes_by_itself_without_one(monkeypatch, capsys):
    assert _run(monkeypatch, "--help") == 0
    told = capsys.readouterr().out
    for verb in ("run", "report", "models"):
        assert f"\n  {verb} " in told
    assert _run(monkeypatch) == 0
    assert capsys.readouterr() == (told, "")


def test_the_version_is_the_installed_one(monkeypatch, capsys):
    assert _run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"bakeoff {metadata.version('bakeoff')}\n"


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (1, 1), (130, 130)])
def test_the_exit_code_is_what_the_verb_returns(monkeypatch, returned, code):
    monkeypatch.setattr(command, "app", lambda **options: returned)
    assert _run(monkeypatch) == code


@pytest.mark.parametrize("kind", [BakeoffError, ConfigError, DataError, StudyError, BusyError, ResourceError])
def test_an_error_on_purpose_is_one_line_and_exit_code_2(monkeypatch, capsys, kind):
    _raising(monkeypatch, kind("recipe.epochs: got 0, expected a number above 0"))
    assert _run(monkeypatch) == 2
    assert capsys.readouterr() == ("", "bakeoff: recipe.epochs: got 0, expected a number above 0\n")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), typer.Abort()], ids=repr)
def test_a_user_who_stops_gets_130_and_a_word(monkeypatch, capsys, error):
    _raising(monkeypatch, error)
    assert _run(monkeypatch) == 130
    assert capsys.readouterr().err == "bakeoff: stopped at once; what was finished or saved is kept\n"


def test_a_mistake_of_ours_is_not_hidden(monkeypatch):
    _raising(monkeypatch, ZeroDivisionError())
    monkeypatch.setattr(sys, "argv", ["bakeoff"])
    with pytest.raises(ZeroDivisionError):
        command.main()


@pytest.mark.skipif(
    any(line.startswith("click") for line in metadata.requires("typer") or ()),
    reason="this version of typer brings click",
)
def test_it_works_where_typer_brings_no_click():
    done = _python(
        "import sys; sys.modules['click'] = None; sys.argv = ['bakeoff', 'rnu']\n"
        "from bakeoff.cli.main import main; main()"
    )
    assert done.returncode == 2
    assert done.stderr == "bakeoff: No such command 'rnu'. Did you mean 'run'?; see bakeoff --help\n"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(5, "Input/output error", "/somewhere"), "bakeoff: /somewhere: Input/output error\n"),
        (OSError(24, "Too many open files"), "bakeoff: Too many open files\n"),
        (OSError("odd"), "bakeoff: odd\n"),
    ],
)
def test_an_error_of_the_system_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: OSError, line: str
) -> None:
    def refuse(**_: object) -> int:
        raise error

    monkeypatch.setattr(sys, "argv", ["bakeoff", "models"])
    monkeypatch.setattr(command, "app", refuse)
    with pytest.raises(SystemExit) as end:
        command.main()
    assert (end.value.code, capsys.readouterr().err) == (2, line)
