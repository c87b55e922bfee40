"""What all tests share: one thread, folders of our own, small data, and the makers in `fixtures`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

# Before torch or NumPy are imported: tests run beside each other, and small work is slower in threads.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

# A shell that starts the tests in the background has them ignore Ctrl-C, which some are about.
signal.signal(signal.SIGINT, signal.default_int_handler)

for folder in ("fixtures", "golden"):
    sys.path.insert(0, str(Path(__file__).parent / folder))

import layouts  # noqa: E402  # found through the line above
import pytest  # noqa: E402  # after the threads are set
from hypothesis import settings  # noqa: E402  # likewise

# No test asserts a time: an example that takes long on a busy machine is no finding.
settings.register_profile("bakeoff", deadline=None)
settings.load_profile("bakeoff")


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep caches and data of the tests away from those of the person who runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEOFF_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("BAKEOFF_DATA", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="session")
def class_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of twelve small PNG images, told apart by their colour; read only."""
    return layouts.class_folders(tmp_path_factory.mktemp("class-folders"))


@pytest.fixture(scope="session")
def tiny_imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of Tiny ImageNet's official layout; read only."""
    return layouts.tiny_imagenet(tmp_path_factory.mktemp("tiny-imagenet"))
