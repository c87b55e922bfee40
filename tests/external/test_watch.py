"""The watch between a study and a program; that it ends with its study is tested with the runs, too."""

import json
import subprocess
import sys

from bakeoff.external import watch


def watched(tmp_path, *words):
    """Start a watch as a study does, and hold its pipe open until it ends."""
    ended = tmp_path / "ended.json"
    with subprocess.Popen(
        [sys.executable, "-I", watch.__file__, str(ended), *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        said, odd, code = process.stdout.read(), process.stderr.read(), process.wait()
    return code, said, odd, json.loads(ended.read_text()) if ended.exists() else None


def test_a_program_that_ends_leaves_its_code_its_seconds_and_its_memory(tmp_path):
    code = "import time; held = bytearray(50_000_000); print('here'); time.sleep(0.3); raise SystemExit(5)"
    code, said, odd, ended = watched(tmp_path, sys.executable, "-c", code)
    assert (code, said, odd, ended["code"]) == (5, "here\n", "", 5)
    assert 0.3 <= ended["seconds"] < 30
    assert 50e6 < ended["peak_memory_bytes"] < 500e6


def test_a_program_that_a_signal_ends_has_its_number_as_shells_say_it(tmp_path):
    code, *_, ended = watched(tmp_path, "sh", "-c", "kill -TERM $$")
    assert code == ended["code"] == 128 + 15


def test_a_program_that_cannot_be_started_is_told_and_leaves_nothing(tmp_path):
    (tmp_path / "odd").write_bytes(b"\x00\x01 no program")
    (tmp_path / "odd").chmod(0o755)
    code, _, odd, ended = watched(tmp_path, str(tmp_path / "odd"))
    assert (code, ended) == (127, None)
    assert odd == f"{tmp_path / 'odd'}: Exec format error\n"


def test_it_ends_with_all_of_its_group_when_the_pipe_closes(tmp_path):
    words = [sys.executable, "-I", watch.__file__, str(tmp_path / "ended.json")]
    words += ["sh", "-c", "echo on; sleep 99"]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout.readline() == b"on\n"
        process.stdin.close()
        assert process.stdout.read() == b""  # nobody of the group holds it open any more
        assert process.wait() == -9
    assert not (tmp_path / "ended.json").exists()
