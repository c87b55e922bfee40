"""Training in tests computes on one core and leaves torch's settings as they were."""

import pytest
import torch


@pytest.fixture(autouse=True)
def one_core():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
