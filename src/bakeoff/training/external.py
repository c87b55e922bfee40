"""One run of an external program: the images handed over, the seconds watched, the answer read and scored.

Nothing is trained here and no weights are kept. The record is that of any other run, and what is wrong
with the program or its answer is its own failure: the study goes on.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from bakeoff import external
from bakeoff.errors import ConfigError
from bakeoff.models.architecture import External, title
from bakeoff.records import RunFolder, RunRecord
from bakeoff.records.exchange import Answer, Exchange, Images
from bakeoff.records.run import Scored
from bakeoff.training.account import OVERRUN, Account
from bakeoff.training.evaluate import note_reading
from bakeoff.training.job import Job
from bakeoff.training.scoring import keep_scores
from bakeoff.units import format_seconds

PROGRAMS = Path(next(iter(external.__path__)))
ADAPTER = "bakeoff.external."  # after "-m": a file of PROGRAMS, also for a Python without bakeoff
LOOK_SECONDS = 0.05  # between two looks at a program
BEAT_SECONDS = 1.0  # between two signs of life
THREAD_NAMES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS",
)  # fmt: skip
HOW_TO_INSTALL = {
    "autokeras": 'python -m venv DIR and DIR/bin/pip install autokeras==3.0.0 "keras==3.12.*" tensorboard '
    "tensorflow-cpu",
}

Beat = Callable[[str, int, int], None]


def run_program(job: Job, folder: RunFolder, beat: Beat) -> RunRecord:
    """Ask an external program, and write the record of its run.

    A program that has ended by itself before this process was killed is not asked again.

    Args:
        job: What is asked for.
        folder: Receives predictions, the log, and the record at the end.
        beat: Hears seconds done and seconds in all, and may raise to end the program.

    Returns:
        The record that was written.

    Raises:
        ResourceError: The disk is full.
    """
    account, exchange = Account(), Exchange(folder.exchange_path)
    started = time.monotonic()
    status: Literal["finished", "failed"] = "finished"
    reason = None
    try:
        ended = exchange.ended(job.identity) or _ask(job, folder, exchange, beat)
        account.answered = _told(job, ended)
        _refuse_exit(ended["code"], folder.log_path)
        answer = exchange.read_answer(_images(job), job.seed, ended["seconds"])
        account.answered = _told(job, ended, answer)
        index: dict[Scored, np.ndarray] = {"validation": job.data.validation, "test": job.data.test}
        scores = keep_scores(folder, answer.probabilities, index, job.data.labels_N)
        account.metrics, account.calibration = scores.metrics, scores.calibration
    except ConfigError as error:
        status, reason = "failed", " ".join(f"external: {error}".split())[:400]
    took = max(account.answered.get("total_seconds", 0.0), time.monotonic() - started)
    account.answered = {**account.answered, "total_seconds": took}
    record = account.record(job, status, reason, folder.test_readings())
    if status == "failed":
        exchange.clear_arrays()
    folder.write(record)
    folder.clear_unfinished(checkpoint=status == "finished")
    return record


def words_of(job: Job) -> list[str]:
    """Resolve a job's command to what is started on this machine.

    Args:
        job: Of an external program.

    Returns:
        The program by its full path, and its words: ``python`` is the one that runs this, an adapter of
        bakeoff is its file, and a file beside the study is its full path.

    Raises:
        ConfigError: There is no such program or adapter.
    """
    architecture = cast("External", job.architecture)
    command, files = architecture.command, architecture.files(job.base_dir)
    words = [str(files[word].absolute()) if word in files else word for word in command[1:]]
    adapter = ""
    for position, word in enumerate(words[:-1]):
        if word == "-m" and words[position + 1].startswith(ADAPTER):
            adapter = words[position + 1].removeprefix(ADAPTER)
            words[position : position + 2] = [str(_adapter(adapter))]
            break
    return [_program(command[0], job.base_dir, adapter), *words]


def _adapter(name: str) -> Path:
    path = PROGRAMS / f"{name}.py"
    known = sorted(file.stem for file in PROGRAMS.glob("*.py") if file.stem not in ("__init__", "watch"))
    if name not in known:
        raise ConfigError(f"got -m {ADAPTER}{name}, expected {' or '.join(ADAPTER + one for one in known)}")
    return path


def _program(name: str, base_dir: Path, adapter: str) -> str:
    """Find the program; an adapter's own environment may have to be made first."""
    if name == "python":
        return sys.executable
    path = os.path.expanduser(name)
    found = shutil.which(base_dir.absolute() / path if "/" in path else path)
    if found is None:
        install = f"; to install it: {HOW_TO_INSTALL[adapter]}" if adapter in HOW_TO_INSTALL else ""
        raise ConfigError(
            f"got {name!r}, which cannot be run here; expected a program on the PATH, a path, or "
            f"python{install}"
        )
    return str(found)


def last_words(log: Path) -> str:
    """Quote the last line that a program has said, to end a reason with.

    Args:
        log: Where it has said it.

    Returns:
        Of at most 200 characters, with what goes before it; nothing when it has said nothing.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 8192))
            lines = file.read().decode("utf-8", "replace").replace("\r", "\n").splitlines()
    except FileNotFoundError:
        return ""
    said = next((line for line in reversed(lines) if line.strip()), "")
    said = " ".join("".join(letter if letter.isprintable() else " " for letter in said).split())
    return f"; its log ends: {said[:200]}" if said else "; it has said nothing"


def _refuse_exit(code: int, log: Path) -> None:
    """Refuse an exit code that says that something went wrong."""
    if code:
        raise ConfigError(f"{_exit_words(code)}{last_words(log)}")


def _ask(job: Job, folder: RunFolder, exchange: Exchange, beat: Beat) -> dict[str, Any]:
    """Hand everything over and start the program; return how it has ended."""
    words = words_of(job)
    if len(job.data.test):  # from here on somebody else has the images, though not their labels
        note_reading(folder, "handed to an external program, without labels", len(job.data.test))
    limit = OVERRUN * job.recipe.length.amount + job.candidate.grace.amount
    exchange.hand_over(_images(job), {
        "study": job.study, "task": job.task.name, "candidate": job.candidate.name, "seed": job.seed,
        "identity": job.identity, "image_size": int(job.data.images_NHWC.shape[1]),
        "seconds": job.recipe.length.amount, "killed_after_seconds": limit,
        "threads": job.machine.threads, "device": job.machine.device,
    }, job.seed)  # fmt: skip
    watch = [sys.executable, "-I", str(PROGRAMS / "watch.py"), str(exchange.ended_path.absolute()), *words]
    with folder.log_path.open("wb") as log:
        program = subprocess.Popen(
            [*watch, str(exchange.request_path.absolute())],
            stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, cwd=exchange.path,
            env=_environment(job), start_new_session=True,
        )  # fmt: skip
        try:
            in_time = _wait(program, limit, lambda done: beat("external", int(done), int(limit)))
        finally:
            with suppress(ProcessLookupError):  # not reaped yet, so that the number is still its own
                os.killpg(program.pid, signal.SIGKILL)
            program.wait()
            if program.stdin is not None:
                program.stdin.close()
    beat("external", int(limit), int(limit))
    ended = exchange.ended(job.identity)
    if not in_time:
        exchange.ended_path.unlink(missing_ok=True)
        raise ConfigError(
            f"killed after {format_seconds(limit)}: it was given {job.recipe.length}, and "
            f"{job.candidate.grace} of grace{last_words(folder.log_path)}"
        )
    return ended if ended is not None else {"code": _code(program), "seconds": 0.0, "peak_memory_bytes": 0}


def _wait(program: subprocess.Popen[bytes], limit: float, beat: Callable[[float], None]) -> bool:
    """Wait for a program, and tell whether it has ended in time; it is left to be reaped."""
    started = told = time.monotonic()
    while os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        now = time.monotonic()
        if now - started > limit:
            return False
        if now - told >= BEAT_SECONDS:
            told = now
            beat(now - started)
        time.sleep(LOOK_SECONDS)
    return True


def _code(program: subprocess.Popen[bytes]) -> int:
    """Return the exit code of the watch, which says how it ended where it left no word."""
    code = int(program.returncode)
    return 128 - code if code < 0 else code or 1


def _environment(job: Job) -> dict[str, str]:
    """Tell libraries that read no request how many threads there are, and whether there is a GPU."""
    threads = str(job.machine.threads)
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if job.machine.device == "cpu" else {}
    return {**os.environ, **dict.fromkeys(THREAD_NAMES, threads), **hidden, "PYTHONUNBUFFERED": "1"}


def _images(job: Job) -> Images:
    data = job.data
    return Images(
        images_NHWC=data.images_NHWC, labels_N=data.labels_N, files=data.keys, class_ids=data.class_ids,
        class_names=data.class_names,
        parts={"train": data.train, "validation": data.validation, "test": data.test},
    )  # fmt: skip


def _told(job: Job, ended: Mapping[str, Any], answer: Answer | None = None) -> dict[str, Any]:
    """Fill the fields of a record that only an external program has, or has otherwise.

    What it says to have trained is believed as far as starting and predicting took no longer than the grace.
    """
    architecture, seen = cast("External", job.architecture), float(ended["seconds"])
    said = answer.seconds if answer is not None else 0.0
    version = answer.version if answer is not None else ""
    return {
        "external": {
            "command": list(architecture.command), "version": version,
            "seconds_given": job.recipe.length.amount, "seconds_said": said, "seconds_seen": seen,
        },
        "model": title(architecture) + (f" ({version})" if version else ""),
        "train_seconds": max(said, seen - job.candidate.grace.amount, 0.0), "total_seconds": seen,
        "peak_memory_bytes": int(ended["peak_memory_bytes"]),
        "parameters": answer.parameters if answer is not None else 0,
    }  # fmt: skip


def _exit_words(code: int) -> str:
    """Say how a program that did not succeed has ended.

    >>> _exit_words(3), _exit_words(128 + 9)
    ('exit code 3, expected 0', 'ended by signal 9 (SIGKILL)')
    """
    if code > 128 and code - 128 in list(signal.Signals):
        return f"ended by signal {code - 128} ({signal.Signals(code - 128).name})"
    return f"exit code {code}, expected 0"
