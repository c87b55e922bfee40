"""Weights that are taken over may move more slowly than the head, later, or not at all."""

import pytest
import small_study
import timm
import torch
from torch import nn

from bakeoff.errors import ConfigError
from bakeoff.models.mobilenet import MobileNet
from bakeoff.models.transfer import Head, Stacked, blocks, describe_frozen, stack
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
    network.rest(99)
    assert not any(p.requires_grad for p in network.base.parameters())
    assert not any(m.training for m in network.train().base.modules())
    assert network.head.training
    network.rest(0)
    still = {name for name, p in network.base.named_parameters() if not p.requires_grad}
    assert {name.partition(".")[0] for name in still} == {"conv1", "conv1_norm"}
    norms = [m for m in network.base.modules() if isinstance(m, nn.BatchNorm2d)]
    assert [m.training for m in norms] == [False] + [True] * (len(norms) - 1)


def test_blocks_wait_for_the_ones_above_them():
    network = _network()
    count = len(blocks(network.base))
    network.rest(count - 1)
    moving = {name.partition(".")[0] for name, p in network.base.named_parameters() if p.requires_grad}
    assert moving == {"pointwise13", "pointwise13_norm"}
    assert network.train().base.pointwise13_norm.training
    assert not network.base.depthwise13_norm.training
    network.rest(count - 2)
    moving = {name.partition(".")[0] for name, p in network.base.named_parameters() if p.requires_grad}
    assert moving == {"pointwise13", "pointwise13_norm", "depthwise13", "depthwise13_norm"}
    network.rest(0)
    assert all(p.requires_grad for p in network.base.parameters())
    assert all(m.training for m in network.base.modules())


def test_a_network_on_a_network_on_a_network_has_the_blocks_of_all():
    torch.manual_seed(0)
    upper = stack(_network(), base_classes=3, tap="features", head=[], classes=2)
    assert len(blocks(upper.base)) == 28  # those of the lowest, and the dense layer of the head between


def test_statistics_that_are_kept_neither_move_nor_give_way_to_those_of_a_batch():
    network = _network()
    network.keep_statistics()
    before = describe_frozen(network)
    norms = [m for m in network.base.modules() if isinstance(m, nn.BatchNorm2d)]
    assert before["norms_kept"] == len(norms) == 27
    assert before["layers"] == []
    images_BCHW = torch.rand(4, 3, 32, 32)
    network.train()
    training = network(images_BCHW)
    training.sum().backward()
    assert all(norm.weight.grad is not None for norm in norms)
    assert torch.equal(training, network.eval()(images_BCHW))
    assert describe_frozen(network) == before
    norms[3].running_mean[0] += 1
    assert describe_frozen(network) != before
    network.freeze([norms[0]])  # says anew what is kept
    assert describe_frozen(network)["layers"] == ["base.conv1_norm"]


class Ear(Quiet):
    """Stops at a step of the fine-tuned candidate, or in its last evaluation, when asked to."""

    def __init__(self, stop_at=None):
        self.stop_at = stop_at

    def on_evaluation(self, job, split, done, total):
        if (job.candidate.name, split) == ("tuned", self.stop_at):
            raise Stopped

    def on_step(self, job, step):
        return (job.candidate.name, step.steps) == ("tuned", self.stop_at)


@pytest.mark.parametrize("more", [{}, {"head_start": "probe", "source_norms": "kept", "unfreeze_epochs": 1}])
def test_a_head_that_trains_alone_at_first_ends_alike_with_and_without_an_interruption(tmp_path, more):
    tuned = {"name": "tuned", "from": "base", "head_epochs": 1, "source_lr": 0.1, "layer_decay": 0.5, **more}
    values = small_study.study(candidate=[BASE, tuned], recipe={"epochs": 3})
    whole = small_study.train(tmp_path / "whole", values).folder
    for stop in (5, 20):  # in the first epoch, whose base rests, and in the second
        with pytest.raises(Stopped):
            small_study.train(tmp_path / "cut", values, listener=Ear(stop))
    cut = small_study.train(tmp_path / "cut", values).folder
    assert small_study.results(cut) == small_study.results(whole)


def test_what_rests_at_the_end_rests_in_the_evaluation_also_of_a_process_that_has_only_that_to_do(tmp_path):
    again = {"norm_statistics": "recalibrated"}  # of the base nothing: it rests
    tuned = {"name": "tuned", "from": "base", "head_epochs": 2, "recipe": again}
    values = small_study.study(candidate=[BASE, tuned])
    whole = small_study.train(tmp_path / "whole", values).folder
    with pytest.raises(Stopped):
        small_study.train(tmp_path / "cut", values, listener=Ear("test"), checkpoint_seconds=0)
    cut = small_study.train(tmp_path / "cut", values).folder
    assert small_study.results(cut) == small_study.results(whole)


def test_the_blocks_of_a_network_of_timm_are_found_below_other_heads():
    network = timm.create_model("test_resnet", num_classes=0)
    features = network.num_features
    first = Stacked(network, Head(features, [4], 3), probabilities=False)
    depth = len(blocks(network))
    assert depth > 3
    second = stack(first, base_classes=3, tap="features", head=[], classes=2)
    assert len(blocks(second.base)) == depth + 1
    third = stack(second, base_classes=2, tap="features", head=[], classes=2)
    assert len(blocks(third.base)) == depth + 1
    factors = third.rates(1.0, 0.5)
    assert len(set(factors.values())) == depth + 1


def test_dropout_below_the_first_block_that_moves_rests_too():
    base = nn.Sequential(
        nn.Linear(4, 4), nn.Dropout(0.5), nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)), nn.Linear(4, 4),
        nn.Dropout(0.5), nn.Linear(4, 4),
    )  # fmt: skip
    network = Stacked(base, Head(4, [], 2), probabilities=False)
    network.rest(2)
    training = [type(m).__name__ for m in network.train().base.modules() if m.training]
    assert training == ["Sequential", "Linear", "Dropout", "Linear"]


STAGE = {"name": "stage", "model": "timm:test_resnet", "input_size": 32}


@pytest.mark.parametrize(
    ("source", "more", "message"),
    [
        (STAGE, {"train": "head", "unfreeze_epochs": 1}, "unfreeze_epochs: got 1, but nothing of the source"),
        (STAGE, {"train": "head", "source_lr": 0.1}, r"source_lr: got 0\.1, but nothing of the source moves"),
        (STAGE, {"train": "head", "source_norms": "kept"}, "no batch normalization that moves"),
        ({**STAGE, "model": "timm:test_vit"}, {"source_norms": "kept"}, "no batch normalization that moves"),
        (STAGE, {"head_epochs": 5, "recipe": {"epochs": 5}}, "head_epochs: got 5, with which nothing"),
        (STAGE, {"unfreeze_epochs": 1}, "blocks never move; expected at least"),
        (STAGE, {"unfreeze_epochs": 1, "recipe": {"epochs": 99, "compile": True}}, "compile: got both"),
    ],
)
def test_words_that_would_say_nothing_are_refused(tmp_path, source, more, message):
    values = small_study.study(
        candidate=[source, {"name": "tuned", "from": "stage", "input_size": 32, **more}]
    )
    with pytest.raises(ConfigError, match=message):
        small_study.train(tmp_path, values)
    assert not (tmp_path / "out" / "runs").exists()


@pytest.mark.parametrize(
    "more",
    [{"source_lr": 0.1}, {"head_start": "probe"}, {"source_norms": "kept"}, {"unfreeze_epochs": 1}],
    ids=lambda more: next(iter(more)),
)
def test_other_rates_and_starts_are_another_run(tmp_path, more):
    tuned = {"name": "tuned", "from": "base"}
    first = small_study.train(tmp_path / "a", small_study.study(candidate=[BASE, tuned]))
    second = small_study.train(tmp_path / "b", small_study.study(candidate=[BASE, {**tuned, **more}]))
    assert first.records[0].identity == second.records[0].identity
    assert first.records[1].identity != second.records[1].identity


def test_weights_of_no_block_move_as_slowly_as_the_lowest():
    network = Stacked(timm.create_model("test_vit", num_classes=0), Head(64, [], 3), probabilities=False)
    factors = network.rates(0.5, 0.9)
    assert set(factors) == set(network.base.parameters())
    assert factors[network.base.pos_embed] == min(factors.values()) < 0.4
