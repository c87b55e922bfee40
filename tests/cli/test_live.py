"""A study at work in the terminal: what it shows, and how it stops."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import small_study
from rich.console import Console

from bakeoff.cli.carry_out import run_live
from bakeoff.cli.estimated import estimate_table
from bakeoff.cli.live import Screen
from bakeoff.cli.main import main
from bakeoff.records import StudyFolder
from bakeoff.study import estimate
from bakeoff.study.estimate import Estimate, EstimateRow
from bakeoff.training.loop import Stopped

CANDIDATES = small_study.study()["candidate"]
ONE = small_study.study(candidate=CANDIDATES[:1])


def _watched(base, values=None, *, terminal=False, width=160, screen_class=Screen):
    """Run a study before a screen; return the screen and what was drawn."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=width, height=30, legacy_windows=False)
    screen = screen_class(console)
    with screen:
        small_study.train(base, values, listener=screen)
    return screen, file.getvalue()


# What it shows


def test_in_a_log_file_every_news_is_a_line_without_colours(tmp_path):
    screen, told = _watched(tmp_path)
    lines = told.splitlines()
    assert lines[0].startswith("digits: 3 classes, 387 train, 43 validation, 107 test images (")
    assert lines[1] == "2 runs"
    assert lines[2] == "digits / plain / seed 0: starts (fp32; asked for by the recipe)"
    assert lines[3].startswith("digits / plain / seed 0: epoch 1, loss ")
    assert lines[3].endswith(" for the study")
    assert lines[5].startswith("digits / plain / seed 0: finished, test accuracy 0.")
    assert len(lines) == 10
    assert "\x1b" not in told
    assert screen.failed == 0


def test_on_a_terminal_one_table_is_drawn_in_place(tmp_path):
    _, told = _watched(tmp_path, terminal=True)
    assert "\x1b[" in told
    last = told[told.rindex("images/s") :]
    assert last.count("✓") == 2
    assert "2 of 2 runs" in last
    assert "dropout" in last
    assert "2.0/2" in last  # epochs
    assert "starts (" not in told  # that is for logs


@pytest.mark.parametrize("terminal", [False, True])
def test_what_was_done_before_is_said_and_not_counted_as_failed(tmp_path, terminal):
    small_study.train(tmp_path, small_study.study(candidate=CANDIDATES[:1]))
    _, told = _watched(tmp_path, terminal=terminal)
    assert "2 runs, 1 of them done before" in told
    assert "plain / seed 0: finished" not in told


@pytest.mark.parametrize("terminal", [False, True])
def test_a_run_that_fails_or_diverges_is_told_with_its_reason(tmp_path, terminal):
    broken = {"name": "broken", "model": "net.py:broken"}
    wild = CANDIDATES[0] | {"name": "wild", "recipe": {"optimizer": {"name": "sgd", "lr": 1e30}}}
    screen, told = _watched(tmp_path, small_study.study(candidate=[broken, wild]), terminal=terminal)
    assert "broken / seed 0: failed, model: net.py:broken failed on one image of 3x8x8" in told
    assert "wild / seed 0: diverged, the loss was no longer finite by step " in told
    assert screen.failed == 1


def test_of_many_runs_those_around_the_running_one_are_shown(tmp_path):
    values = small_study.study(seeds=list(range(9)), recipe={"epochs": 1})
    shown = []

    class Watch(Screen):
        def on_run_end(self, job, record):
            super().on_run_end(job, record)
            with self._console.capture() as capture:
                self._console.print(self._draw())
            shown.append((job.name, capture.get()))

    _watched(tmp_path, values, screen_class=Watch)
    assert len(shown) == 18
    for name, drawn in shown[:-1]:
        assert name.rsplit(" / ", 2)[1] in drawn
        assert drawn.count("seed ") == 16
    assert "digits / dropout / seed 8" in shown[-1][1]
    assert "18 of 18 runs" in shown[-1][1]


def test_a_narrow_terminal_shortens_names_and_keeps_figures(tmp_path):
    name = "a candidate with a name that is longer than the terminal is wide"
    _, told = _watched(
        tmp_path, small_study.study(candidate=[CANDIDATES[0] | {"name": name}]), terminal=True, width=80
    )
    last = told[told.rindex("images/s") :]
    assert "…" in last
    assert " %" in last


def test_an_estimate_is_a_table_of_what_is_to_do_what_is_done_and_what_cannot_be():
    rows = (
        EstimateRow("t", "new", runs=2, done=1, parameters=1234567, images_per_second=99.6, seconds=90.0,
            memory_bytes=1_500_000_000, disk_bytes=2_000_000),
        EstimateRow("t", "old", runs=0, done=3),
        EstimateRow("t", "bad", runs=3, done=0, problem="raised"),
        EstimateRow("t", "theirs", runs=2, done=0, external=True, seconds=20.0, disk_bytes=1000),
    )  # fmt: skip
    console = Console(width=80, file=io.StringIO())
    console.print(estimate_table(Estimate(rows, "cpu, 1 threads", 0)))
    _, new, old, bad, theirs = console.file.getvalue().splitlines()
    assert new.split() == ["new", "2", "1", "1.2", "M", "100", "90", "s", "1.5", "GB", "2.0", "MB"]
    assert old.split() == ["old", "0", "3"]
    assert bad.split() == ["bad", "3", "0", "no", "network"]
    assert theirs.split() == ["theirs", "2", "0", "external", "20", "s", "1.0", "kB"]


def test_an_estimate_of_several_tasks_names_them_and_cuts_no_number_at_80_columns():
    made = {
        "runs": 12, "done": 24, "parameters": 22_401_384, "images_per_second": 29441.0,
        "seconds": 9780.0, "memory_bytes": 715_000_000, "disk_bytes": 94_200_000,
    }  # fmt: skip
    rows = (
        EstimateRow("200 classes", "alexnet", **made),
        EstimateRow("10 classes", "transfer 1, features", **made),
    )
    console = Console(width=80, file=io.StringIO())
    console.print(estimate_table(Estimate(rows, "cpu, 1 threads", 0)))
    _, *lines = [line.strip() for line in console.file.getvalue().splitlines()]
    assert (lines[0], lines[2]) == ("200 classes", "10 classes")
    assert "transfer 1, features" in lines[3]
    assert "…" not in "".join(lines)
    assert all("22 M" in line and "29441" in line and "2 h 43 min" in line for line in lines[1::2])


# How it stops


class Interrupted(Screen):
    """Is interrupted by a signal in the midst of something that it hears."""

    kind = signal.SIGINT

    def on_step(self, job, step):
        if step.steps == 5 and job.candidate.name == "plain":
            signal.raise_signal(self.kind)
        return super().on_step(job, step)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM], ids=lambda kind: kind.name)
def test_a_first_signal_ends_the_step_with_a_checkpoint(tmp_path, kind):
    before = signal.getsignal(kind)
    with pytest.raises(Stopped):
        _watched(tmp_path, screen_class=type("Now", (Interrupted,), {"kind": kind}))
    assert signal.getsignal(kind) == before
    run = StudyFolder(tmp_path / "out").run("digits", "plain", 0)
    assert run.checkpoint_path.exists()
    small_study.train(tmp_path)
    record = run.read()
    assert (record.status, record.resumed, record.steps) == ("finished", 1, 26)


def test_a_second_signal_stops_at_once(tmp_path):
    class Twice(Screen):
        def on_step(self, job, step):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("not reached")

    with pytest.raises(KeyboardInterrupt):
        _watched(tmp_path, screen_class=Twice)
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    assert list(StudyFolder(tmp_path / "out").records()) == []


@pytest.mark.parametrize("terminal", [False, True])
def test_a_signal_is_answered_in_words(tmp_path, terminal):
    file = io.StringIO()
    screen = Interrupted(Console(file=file, force_terminal=terminal, width=120))
    with pytest.raises(Stopped), screen:
        small_study.train(tmp_path, listener=screen)
    assert (
        file.getvalue().count("Stopping after this step, with a checkpoint; Ctrl-C again stops at once.") >= 1
    )


def test_a_signal_in_the_midst_of_a_print_is_no_failure_of_a_candidate(tmp_path):
    class Wire(io.RawIOBase):
        """Interrupts the third write, which a print from the handler would enter a second time."""

        writes = 0

        def writable(self):
            return True

        def write(self, data):
            self.writes += 1
            if self.writes == 3:
                signal.raise_signal(signal.SIGINT)
            return len(data)

    stdout = io.TextIOWrapper(io.BufferedWriter(Wire()), encoding="utf-8", write_through=True)
    screen = Screen(Console(file=stdout, force_terminal=False, width=200))
    with pytest.raises(Stopped), screen:
        small_study.train(tmp_path, listener=screen)
    assert list(StudyFolder(tmp_path / "out").records()) == []


def test_stopped_in_the_last_moment_of_a_short_run_the_run_ends_and_the_next_does_not_begin(tmp_path):
    class Late(Screen):
        def on_evaluation(self, job, split, done, total):
            if split == "test" and job.candidate.name == "plain":
                signal.raise_signal(signal.SIGINT)
            super().on_evaluation(job, split, done, total)

    with pytest.raises(Stopped):
        _watched(tmp_path, screen_class=Late)
    (record,) = StudyFolder(tmp_path / "out").records()
    assert (record.candidate, record.status, len(record.test_readings)) == ("plain", "finished", 1)
    assert not StudyFolder(tmp_path / "out").run("digits", "dropout", 0).path.exists()


def test_stopped_in_the_evaluation_after_a_long_training_it_is_left_and_repeated(tmp_path, monkeypatch):
    monkeypatch.setattr("bakeoff.cli.live.CHECKPOINT_SECONDS", 0.0)  # "long" is longer than this

    class Late(Screen):
        def on_evaluation(self, job, split, done, total):
            if split == "test":
                signal.raise_signal(signal.SIGINT)
            super().on_evaluation(job, split, done, total)

    screen = Late(Console(file=io.StringIO(), width=120))
    with pytest.raises(Stopped), screen:
        small_study.train(tmp_path, ONE, listener=screen, checkpoint_seconds=0.0)
    (record,) = small_study.train(tmp_path, ONE).records
    assert (record.steps, record.resumed, len(record.test_readings)) == (26, 1, 2)  # both readings are told


def test_the_command_ends_with_130_and_the_same_command_continues(tmp_path, monkeypatch, capsys):
    file = small_study.write(tmp_path)
    arguments = {"out": tmp_path / "out", "device": "cpu", "threads": 1}
    monkeypatch.setattr("bakeoff.cli.carry_out.Screen", Interrupted)
    assert run_live(str(file), arguments) == 130
    assert capsys.readouterr().out.endswith(
        "Stopped; everything so far is kept. The same command continues.\n"
    )
    monkeypatch.undo()
    assert run_live(str(file), arguments) == 0
    plain, dropout = StudyFolder(tmp_path / "out").records()
    assert (plain.resumed, dropout.resumed) == (1, 0)


def test_a_dry_run_stops_at_once(tmp_path, monkeypatch):
    small_study.write(tmp_path)
    monkeypatch.setattr(estimate, "measure", lambda job: signal.raise_signal(signal.SIGINT))
    monkeypatch.setattr(
        sys, "argv", ["bakeoff", "run", str(tmp_path / "small.toml"), "--dry-run", "--out", "o"]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM], ids=lambda kind: kind.name)
def test_a_process_that_is_told_to_stop_keeps_its_work(tmp_path, kind):
    study = small_study.write(tmp_path, recipe={"epochs": 100_000}, candidate=CANDIDATES[:1])
    command = [sys.executable, "-m", "bakeoff.cli.main", "run", str(study), "--out", str(tmp_path / "out"),
               "--threads", "1", "--device", "cpu"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        started = time.monotonic()
        for line in process.stdout:
            if ": epoch 2," in line:
                break
            assert time.monotonic() - started < 120
        process.send_signal(kind)
        rest, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors == ""
    assert rest.splitlines()[-1] == "Stopped; everything so far is kept. The same command continues."
    run = StudyFolder(Path(tmp_path / "out")).run("digits", "plain", 0)
    assert run.checkpoint_path.exists()
    assert run.read() is None
    assert not list(run.path.glob("*.partial"))
