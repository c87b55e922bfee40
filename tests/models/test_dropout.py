"""Our dropout drops as many values as torch's, and scales the others as exactly."""

import pytest
import torch

from bakeoff.models.dropout import Dropout


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_share_of_the_values_is_dropped_and_the_others_are_scaled(rate, dtype):
    torch.manual_seed(0)
    values = torch.ones(1000, 101, dtype=dtype, requires_grad=True)
    out = Dropout(rate)(values)
    assert out.dtype == dtype
    assert float((out == 0).double().mean()) == pytest.approx(rate, abs=0.005)
    close = 1e-4 if dtype == torch.float32 else 0.01
    assert out.detach().unique().tolist() == pytest.approx([0, 1 / (1 - rate)], rel=close)
    out.sum().backward()
    assert torch.equal(values.grad, out.detach())


def test_the_mask_follows_torchs_generator():
    values = torch.ones(7, 9)
    layer = Dropout(0.5)
    torch.manual_seed(3)
    first, second = layer(values), layer(values)
    torch.manual_seed(3)
    assert torch.equal(layer(values), first)
    assert not torch.equal(first, second)


def test_neighbouring_values_are_independent():
    torch.manual_seed(1)
    kept = (Dropout(0.5)(torch.ones(200_000)) > 0).double()
    for distance in (1, 2, 3, 4, 64):
        together = float((kept[distance:] * kept[:-distance]).mean())
        assert together == pytest.approx(0.25, abs=0.005)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_none_or_all_are_torchs(rate):
    assert torch.equal(Dropout(rate)(torch.ones(10)), torch.full((10,), 1 - rate))


def test_nothing_is_dropped_in_evaluation():
    assert torch.equal(Dropout(0.9).eval()(torch.ones(10)), torch.ones(10))
