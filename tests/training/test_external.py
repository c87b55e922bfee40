"""One run of an external program, however it behaves."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import programs
import pytest
from jobs import make_job, pictures

from bakeoff.evidence.metrics import measure
from bakeoff.models.architecture import External
from bakeoff.records import RunFolder, RunRecord
from bakeoff.spec import Recipe
from bakeoff.training import external
from bakeoff.training.external import last_words, run_program, words_of
from bakeoff.training.loop import Stopped

# What a program has none of, or what nobody can know of it
UNKNOWN = {"reason", "differences", "resumed", "seed", "source", "pretrained", "frozen", "features", "probe"}
UNKNOWN |= {"inference", "energy_joules", "trainable", "multiplications", "layers", "epochs", "steps"}
UNKNOWN |= {"images_per_second", "history", "architecture", "search"}


def make(tmp_path, between="", *, command=None, time="20s", grace="20s", after=""):
    command = command or programs.write(tmp_path, between, after=after)
    job = make_job(tmp_path, data=pictures(noise=5.0))
    return replace(
        job, candidate=programs.candidate(command, grace=grace), architecture=External(command=command),
        recipe=Recipe(time=time),
    )  # fmt: skip


def ask(job, tmp_path, beat=lambda part, done, total: None):
    folder = RunFolder(tmp_path / "run")
    return run_program(job, folder, beat), folder


def alive(tmp_path):
    """Processes whose command names this test's folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            said = place.read_bytes()
        except OSError:  # it has ended meanwhile
            continue
        if str(tmp_path).encode() in said:
            found.append(said)
    return found


def test_a_program_leaves_the_records_of_any_other_run(tmp_path):
    job = make(tmp_path)
    record, folder = ask(job, tmp_path)
    empty = {f.name for f in fields(RunRecord) if not getattr(record, f.name)} - UNKNOWN
    assert (record.status, record.reason, empty) == ("finished", None, set())
    assert folder.read() == replace(record, recipe=json.loads(json.dumps(record.recipe)))
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "log.txt", "predictions.npz", "probabilities.npz", "record.json", "test_readings.json",
    ]  # fmt: skip
    assert folder.log_path.read_text() == "all done\n"
    for part, index in (("validation", job.data.validation), ("test", job.data.test)):
        kept = folder.read_predictions(part)
        assert kept.index_N.tolist() == index.tolist()
        assert kept.label_N.tolist() == job.data.labels_N[index].tolist()
        assert measure(kept, part).items() <= record.metrics.items()


def test_the_answers_are_put_back_into_the_order_of_the_study(tmp_path):
    record, folder = ask(make(tmp_path), tmp_path)
    assert record.metric("test_accuracy") == 1.0  # a wrong order would leave a third of it
    assert folder.read_probabilities("test").max() == np.float32(0.9)


def test_the_record_says_what_was_asked_and_what_it_cost(tmp_path):
    record, _ = ask(make(tmp_path), tmp_path)
    assert record.model == "external: python program.py (nearest 1.2)"
    assert record.external.pop("seconds_seen") == record.total_seconds or record.total_seconds > 0.01
    assert record.external == {
        "command": ["python", "program.py"], "version": "nearest 1.2", "seconds_given": 20.0,
        "seconds_said": 0.01,
    }  # fmt: skip
    assert (record.train_seconds, record.parameters) == (0.01, 9)
    assert record.precision["used"] == "its own"
    assert record.peak_memory_bytes > 1e6


def test_what_a_program_says_of_its_seconds_is_believed_up_to_the_grace(tmp_path):
    record, _ = ask(make(tmp_path, "time.sleep(1.5)", grace="0.5s", time="1.6s"), tmp_path)
    assert record.status == "finished"
    assert record.train_seconds == pytest.approx(record.external["seconds_seen"] - 0.5)


def test_seconds_that_a_program_took_beyond_its_budget_rank_it_by_itself(tmp_path):
    job = make(tmp_path, "time.sleep(2); cost['seconds'] = 2.0", time="1.5s", grace="20s")
    job = replace(job, task=job.task.model_copy(update={"control": "budget"}))
    record, _ = ask(job, tmp_path)
    assert record.differences["time"] == ["1.5s", "2s, its source's included"]
    assert record.control_digest != job.control_digest
    failing = make(tmp_path / "failing", "time.sleep(2); sys.exit(1)", time="1.5s", grace="20s")
    failing = replace(failing, task=job.task)
    record, _ = ask(failing, tmp_path / "failing")  # it has no result to be ranked
    assert (record.status, record.control_digest) == ("failed", failing.control_digest)


def test_test_images_are_read_once_and_that_is_noted_before_they_are_handed_over(tmp_path, monkeypatch):
    folder, noted = RunFolder(tmp_path / "run"), []
    monkeypatch.setattr(
        external.Exchange, "hand_over", lambda *_: noted.append(len(folder.test_readings())) or 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        run_program(make(tmp_path), folder, lambda *_: None)
    monkeypatch.undo()
    assert noted == [1]
    assert folder.test_readings()[0]["images"] == "9"


@pytest.mark.parametrize(
    ("between", "message"),
    [
        ("print('first'); sys.exit(3)", "exit code 3, expected 0; its log ends: first"),
        ("1 / 0", "exit code 1, expected 0; its log ends: ZeroDivisionError: division by zero"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
         "ended by signal 11 (SIGSEGV); it has said nothing"),
        ("answers['test'] = answers['test'][:-1]",
         "probabilities, test: got an array of shape (8, 3), expected (9, 3): a row for each image"),
        ("answers['test'][2, 0] = np.nan", "probabilities, test: got a number that is not finite in row 2"),
        ("answers['validation'] *= 2", "probabilities, validation: got 1.8, expected numbers from 0 to 1"),
        ("answers['validation'] /= 2", "probabilities, validation: got a sum of 0.5 in row 0, expected 1"),
        ("cost = {}", "cost.json, seconds: got None, expected a number from 0"),
        ("sys.exit(0)", "probabilities.npz: got none, expected one with the arrays validation and test"),
    ],
)  # fmt: skip
def test_what_goes_wrong_in_a_program_is_its_own_failure_in_one_line(between, message, tmp_path):
    record, folder = ask(make(tmp_path, between), tmp_path)
    assert record.status == "failed"
    assert record.reason.startswith(f"external: {message}")
    assert "\n" not in record.reason
    assert folder.read_predictions("test") is None or "validation" in message
    assert record.metrics == {}
    assert folder.read().reason == record.reason


def test_a_program_that_hangs_is_killed_with_all_that_it_has_started(tmp_path):
    between = (
        "import subprocess; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)', "
        f"{str(tmp_path)!r}]); print('epoch 1\\nepoch 2'); time.sleep(99)"
    )
    began = time.monotonic()
    record, folder = ask(make(tmp_path, between, time="1s", grace="0.5s"), tmp_path)
    assert time.monotonic() - began < 20
    assert record.reason == (
        "external: killed after 1.6 s: it was given 1s, and 0.5s of grace; its log ends: epoch 2"
    )
    _until(lambda: not alive(tmp_path))  # killed, they still take a moment
    assert not list(folder.exchange_path.glob("*_images.npy"))


def test_what_a_program_leaves_running_ends_with_it(tmp_path):
    after = (
        "import subprocess; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)', "
        f"{str(tmp_path)!r}])"
    )
    record, _ = ask(make(tmp_path, after=after), tmp_path)
    assert record.status == "finished"
    _until(lambda: not alive(tmp_path))  # killed, they still take a moment


def test_whoever_stops_the_study_ends_the_program_and_leaves_no_record(tmp_path, monkeypatch):
    monkeypatch.setattr(external, "BEAT_SECONDS", 0.05)

    def stop(part, done, total):
        raise Stopped

    with pytest.raises(Stopped):
        ask(make(tmp_path, "time.sleep(99)"), tmp_path, stop)
    assert RunFolder(tmp_path / "run").read() is None
    _until(lambda: not alive(tmp_path))  # killed, they still take a moment


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("no-such-program",), "got 'no-such-program', which cannot be run here; expected a program on"),
        (("./no/program",), "got './no/program', which cannot be run here"),
        (("python", "-m", "bakeoff.external.sclearn"),
         "got -m bakeoff.external.sclearn, expected bakeoff.external.autokeras or bakeoff.external.sklearn"),
        (("no/bin/python", "-m", "bakeoff.external.autokeras"),
         "got 'no/bin/python', which cannot be run here; expected a program on the PATH, a path, or python; "
         "to install it: python -m venv DIR"),
    ],
)  # fmt: skip
def test_a_command_that_is_not_there_is_told_and_no_test_image_is_handed_over(command, message, tmp_path):
    record, folder = ask(make(tmp_path, command=command), tmp_path)
    assert record.reason.startswith(f"external: {message}")
    assert record.test_readings == folder.test_readings() == []
    assert not folder.exchange_path.exists()


def test_words_become_what_is_started_here(tmp_path):
    (tmp_path / "mine.py").touch()
    job = make(tmp_path, command=("python", "mine.py", "other.py", "--mine.py"))
    assert words_of(job) == [sys.executable, str(tmp_path / "mine.py"), "other.py", "--mine.py"]
    job = make(tmp_path, command=("sh", "-m", "bakeoff.external.sklearn", "--model", "forest"))
    program, file, *rest = words_of(job)
    assert program.endswith("/sh")
    assert Path(file).name == "sklearn.py"
    assert rest == ["--model", "forest"]


def test_a_program_is_told_its_threads_and_that_there_is_no_gpu(tmp_path):
    between = "import os; print(os.environ['OMP_NUM_THREADS'], repr(os.environ['CUDA_VISIBLE_DEVICES']))"
    between += "; print(request['threads'], request['device'], request['seed'], request['seconds'])"
    _, folder = ask(make(tmp_path, between), tmp_path)
    assert folder.log_path.read_text() == "1 ''\n1 cpu 0 20.0\nall done\n"


def test_a_log_of_any_bytes_ends_in_one_short_line(tmp_path):
    log = tmp_path / "log.txt"
    assert last_words(log) == ""
    log.write_bytes(b"x" * 20000 + b"\r 10%\r\x1b[2K 20%\xff \x07 " + "é".encode() + b"\n\n  \n")
    assert last_words(log) == "; its log ends: [2K 20%� é"
    log.write_bytes(b"y" * 500)
    assert last_words(log) == f"; its log ends: {'y' * 200}"


CHILD = """
import sys
from pathlib import Path
sys.path[:0] = {paths}
import test_external as tests
tests.ask(tests.make(Path({tmp!r}), {between!r}, time="90s"), Path({tmp!r}))
"""


def _child(tmp_path, between):
    here = Path(__file__).parent
    paths = [str(here), str(here.parent / "fixtures"), *sys.path]
    code = CHILD.format(paths=paths, tmp=str(tmp_path), between=between)
    return subprocess.Popen([sys.executable, "-c", code])


def _until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_program_dies_with_a_study_that_is_killed_and_is_asked_again(tmp_path):
    study = _child(tmp_path, f"open({str(tmp_path / 'here')!r}, 'w').close(); time.sleep(99)")
    _until((tmp_path / "here").exists)
    study.send_signal(signal.SIGKILL)
    study.wait()
    _until(lambda: not alive(tmp_path))
    record, folder = ask(make(tmp_path), tmp_path)
    assert record.status == "finished"
    assert len(folder.test_readings()) == 2


def test_a_program_that_had_ended_before_the_study_was_killed_is_not_asked_again(tmp_path, monkeypatch):
    monkeypatch.setattr(external, "_refuse_exit", lambda *_: os.kill(os.getpid(), signal.SIGUSR1))
    signal.signal(signal.SIGUSR1, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    try:
        with pytest.raises(KeyboardInterrupt):
            ask(make(tmp_path), tmp_path)
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        monkeypatch.undo()
    monkeypatch.setattr(external, "_ask", lambda *_: 1 / 0)
    record, folder = ask(make(tmp_path), tmp_path)
    assert (record.status, len(folder.test_readings())) == ("finished", 1)
    assert not folder.exchange_path.exists()


def test_a_failed_program_is_asked_again_when_its_run_is(tmp_path):
    assert ask(make(tmp_path, "cost = {}"), tmp_path)[0].status == "failed"
    RunFolder(tmp_path / "run").reopen()
    assert ask(make(tmp_path), tmp_path)[0].status == "finished"
