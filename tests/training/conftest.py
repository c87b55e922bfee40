"""Training in tests computes on one core and leaves torch's settings as they were."""

import pytest
import torch

from bakeoff.training import cost, run


@pytest.fixture(autouse=True)
def one_core():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def no_collection(monkeypatch):
    """A collection over all objects of the tests takes longer than a whole run of theirs."""
    for module in (run, cost):
        monkeypatch.setattr(module, "give_back", lambda: None)
