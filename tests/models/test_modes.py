import pytest
from torch import nn

from bakeoff.models.modes import evaluating


def _net():
    net = nn.Sequential(nn.BatchNorm1d(2), nn.Sequential(nn.Dropout(), nn.Linear(2, 1)))
    net.train()
    net[0].eval()  # a part that the user never lets train
    return net


def test_inside_nothing_trains_and_afterwards_each_part_is_as_it_was():
    net = _net()
    before = [module.training for module in net.modules()]
    with evaluating(net):
        assert not any(module.training for module in net.modules())
    assert [module.training for module in net.modules()] == before
    assert len(set(before)) == 2


def test_an_error_inside_restores_the_modes_too():
    net = _net()
    with pytest.raises(RuntimeError, match="inside"), evaluating(net):
        raise RuntimeError("inside")
    assert net.training
    assert not net[0].training
