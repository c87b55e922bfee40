"""Weights that are taken over may move more slowly than the head, later, or not at all."""

import pytest
import small_study
import timm
import torch
from torch import nn

from bakeoff.models.mobilenet import MobileNet
from bakeoff.models.transfer import Head, Stacked, blocks, stack
from bakeoff.spec import Optimizer
from bakeoff.study import Quiet
from bakeoff.training.loop import Stopped
from bakeoff.training.optimizers import build_optimizer, set_rate

BASE = {"name": "base", "model": "net.py:dropout"}


def _network():
    torch.manual_seed(0)
    return stack(MobileNet(10, 0.25), base_classes=10, tap="features", head=[4], classes=3)


def test_a_blocks_rate_falls_with_its_distance_from_the_head():
    network = _network()
    factors = network.rates(0.5, 0.9)
    count = len(blocks(network.base))
    assert count == 27  # a stem and thirteen pairs of convolutions, each with its norm
    assert factors[network.base.pointwise13.weight] == factors[network.base.pointwise13_norm.bias] == 0.5
    assert factors[network.base.depthwise13.weight] == pytest.approx(0.45)
    assert factors[network.base.conv1.weight] == pytest.approx(0.5 * 0.9 ** (count - 1))
    assert not any(parameter in factors for parameter in network.head.parameters())


def test_an_optimizer_gives_every_weight_its_rate_once():
    network = _network()
    optimizer = build_optimizer(network, Optimizer(weight_decay=0.1), network.rates(0.5, 0.9))
    set_rate(optimizer, 0.01)
    rates = {p: group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert (
        len(rates) == len(list(network.parameters())) == sum(len(g["params"]) for g in optimizer.param_groups)
    )
    assert rates[network.head.output.weight] == 0.01
    assert rates[network.base.pointwise13.weight] == pytest.approx(0.005)
    for group in optimizer.param_groups:
        assert group["weight_decay"] == (0.1 if group["params"][0].ndim > 1 else 0)


def test_while_the_base_rests_nothing_of_it_moves_and_then_all_of_it_but_what_is_frozen():
    network = _network()
    network.freeze([network.base.conv1, network.base.conv1_norm])
    network.rest_base(resting=True)
    assert not any(p.requires_grad for p in network.base.parameters())
    assert not any(m.training for m in network.train().base.modules())
    assert network.head.training
    network.rest_base(resting=False)
    still = {name for name, p in network.base.named_parameters() if not p.requires_grad}
    assert {name.partition(".")[0] for name in still} == {"conv1", "conv1_norm"}
    norms = [m for m in network.base.modules() if isinstance(m, nn.BatchNorm2d)]
    assert [m.training for m in norms] == [False] + [True] * (len(norms) - 1)


class Ear(Quiet):
    """Stops at a step of the fine-tuned candidate when asked to."""

    def __init__(self, stop_at=None):
        self.stop_at = stop_at

    def on_step(self, job, step):
        return (job.candidate.name, step.steps) == ("tuned", self.stop_at)


def test_a_head_that_trains_alone_at_first_ends_alike_with_and_without_an_interruption(tmp_path):
    tuned = {"name": "tuned", "from": "base", "head_epochs": 1, "source_lr": 0.1, "layer_decay": 0.5}
    values = small_study.study(candidate=[BASE, tuned], recipe={"epochs": 3})
    whole = small_study.train(tmp_path / "whole", values).folder
    for stop in (5, 20):  # in the first epoch, whose base rests, and in the second
        with pytest.raises(Stopped):
            small_study.train(tmp_path / "cut", values, listener=Ear(stop))
    cut = small_study.train(tmp_path / "cut", values).folder
    assert small_study.results(cut) == small_study.results(whole)


def test_other_rates_are_another_run(tmp_path):
    tuned = {"name": "tuned", "from": "base"}
    first = small_study.train(tmp_path / "a", small_study.study(candidate=[BASE, tuned]))
    second = small_study.train(
        tmp_path / "b", small_study.study(candidate=[BASE, {**tuned, "source_lr": 0.1}])
    )
    assert first.records[0].identity == second.records[0].identity
    assert first.records[1].identity != second.records[1].identity


def test_weights_of_no_block_move_as_slowly_as_the_lowest():
    network = Stacked(timm.create_model("test_vit", num_classes=0), Head(64, [], 3), probabilities=False)
    factors = network.rates(0.5, 0.9)
    assert set(factors) == set(network.base.parameters())
    assert factors[network.base.pos_embed] == min(factors.values()) < 0.4
