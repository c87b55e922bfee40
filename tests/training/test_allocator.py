"""Memory that stays with the process, and goes back when asked; tried in processes of their own."""

import subprocess
import sys

import pytest

from bakeoff.training.allocator import give_back, private_bytes

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

PROGRAM = """
import sys, types
# Without a GPU only this is asked of torch, and importing it would take most of the test's time.
sys.modules["torch"] = types.SimpleNamespace(cuda=types.SimpleNamespace(is_initialized=lambda: False))
from bakeoff.training.allocator import give_back, keep_pages, private_bytes
if "keep" in sys.argv:
    kept = keep_pages()
    assert type(kept) is bool
    if not kept:
        sys.exit("no GNU C library")
block = bytearray(64 << 20)
with_block = private_bytes()
del block
without = private_bytes()
give_back()
print(with_block - without, without - private_bytes())
"""


def _freed(*arguments):
    """Return the bytes that went back by freeing a block of 64 MB, and by asking."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode and "GNU" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    at_once, asked = map(int, done.stdout.split())
    return at_once, asked


@linux
def test_a_freed_block_stays_until_it_is_given_back():
    at_once, asked = _freed("keep")
    assert at_once < 1 << 20
    assert asked > 60 << 20


@linux
def test_without_being_told_the_library_returns_it_at_once():
    at_once, _ = _freed()
    assert at_once > 60 << 20


@linux
def test_private_memory_counts_what_is_touched_and_not_mapped_files(tmp_path):
    before = private_bytes()
    assert before > 1 << 20
    block = bytearray(b"x") * (32 << 20)
    assert private_bytes() - before > 30 << 20
    del block


def test_where_the_system_does_not_tell_the_memory_is_unknown(monkeypatch):
    def refuse(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", refuse)
    assert private_bytes() == 0


def test_elsewhere_than_on_linux_nothing_is_asked_of_the_c_library(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    from bakeoff.training.allocator import keep_pages

    assert keep_pages() is False
    give_back()
