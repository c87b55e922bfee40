"""Heads, taps and freezing, against the study's printed counts."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from bakeoff.errors import ConfigError
from bakeoff.models.catalog import build_model
from bakeoff.models.cut import split_frozen
from bakeoff.models.mobilenet import MobileNet
from bakeoff.models.summary import count_parameters
from bakeoff.models.transfer import (
    all_but_blocks,
    all_but_last,
    counted_layers,
    describe_frozen,
    stack,
)

# The study's sections 5 and 6: heads, and the counts that it prints
TRANSFER = {
    "transfer 1": ([1024, 1024, 512], 4_840_852, 4_818_964),
    "transfer 2": ([1024, 1024, 512, 512, 256], 5_232_276, 5_210_388),
    "transfer 3": ([1024, 1024, 512, 512, 256, 256, 128], 5_329_684, 5_307_796),
}


def _small(tap="features", head=(6, 0.5), classes=3):
    torch.manual_seed(0)
    return stack(MobileNet(10, 0.25), base_classes=10, tap=tap, head=head, classes=classes)


def _images(count=4, size=32):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def _step(model):
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    functional.cross_entropy(model.train()(_images()), torch.tensor([0, 1, 2, 0])).backward()
    optimizer.step()


@pytest.mark.parametrize("name", TRANSFER)
def test_a_head_on_the_output_has_the_parameters_that_the_study_prints(name):
    head, parameters, trainable = TRANSFER[name]
    with torch.device("meta"):
        model = stack(MobileNet(10), base_classes=10, tap="output", head=head, classes=10)
    assert count_parameters(model) == (parameters, trainable)


@pytest.mark.parametrize("last", [2, 3, 4])
def test_of_the_base_only_its_dense_layer_is_among_the_last_two_to_four_layers(last):
    with torch.device("meta"):
        base = MobileNet(10)
        model = stack(base, base_classes=10, tap="output", head=[1024, 0.5], classes=10)
    model.freeze(all_but_last(base, last))
    trainable = sum(p.numel() for p in base.parameters() if p.requires_grad)
    assert (trainable, count_parameters(base)[0]) == (10_250, 3_250_058)


def test_the_last_four_layers_are_relu_pool_dense_and_softmax():
    with torch.device("meta"):
        names = [name for name, _ in counted_layers(MobileNet(10))]
    assert names[-4:] == ["pointwise13_relu", "pool", "output", "softmax"]


def test_the_output_tap_hands_on_probabilities_and_the_feature_tap_pooled_maps():
    images_BCHW = _images()
    output, features = (_small(tap).eval() for tap in ("output", "features"))
    with torch.no_grad():
        probabilities_BK, pooled_BF = output.tapped(images_BCHW), features.tapped(images_BCHW)
        torch.testing.assert_close(probabilities_BK.sum(1), torch.ones(4))
        assert probabilities_BK.shape == (4, 10)
        assert pooled_BF.shape == (4, 256)
        torch.testing.assert_close(output.base.output(pooled_BF).softmax(1), probabilities_BK)


def test_what_is_frozen_is_bit_identical_after_training_and_the_rest_is_not():
    model = _small()
    model.freeze(all_but_last(model.base, 0))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    digest = describe_frozen(model)
    for _ in range(3):
        _step(model)
    after = model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {"head.output.weight", "head.output.bias"} <= changed
    assert all(name.startswith("head.") for name in changed)
    assert describe_frozen(model) == digest
    with torch.no_grad():
        model.base.conv1_norm.running_mean[0] += 1e-6
    assert describe_frozen(model) != digest


def test_frozen_layers_compute_in_training_what_they_compute_in_evaluation():
    model = _small(head=[6])
    model.freeze(all_but_last(model.base, 0))
    with torch.no_grad():
        assert torch.equal(model.train()(_images()), model.eval()(_images()))


def test_without_freezing_everything_moves():
    model = _small("output")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    _step(model)
    moved = [name for name, t in model.named_parameters() if not torch.equal(before[name], t.detach())]
    still = {name for name, _ in model.named_parameters()} - set(moved)
    # A bias before a norm has no effect on the loss; the original has them nevertheless.
    assert all(name.endswith("bias") and "norm" not in name for name in still)


def test_named_blocks_stay_trainable():
    model = _small()
    model.freeze(all_but_blocks(model.base, ["pointwise13", "pointwise13_norm"]))
    trainable = {name for name, p in model.named_parameters() if p.requires_grad and name.startswith("base.")}
    assert trainable == {
        f"base.pointwise13{part}" for part in (".weight", ".bias", "_norm.weight", "_norm.bias")
    }


def test_an_unknown_block_suggests_the_nearest_and_too_many_layers_are_counted():
    base = MobileNet(10, 0.25)
    with pytest.raises(ConfigError, match=r"no block 'pointwise14'; did you mean 'pointwise\d+'\?"):
        all_but_blocks(base, ["pointwise14"])
    total = len(counted_layers(base))
    assert all_but_last(base, total) == []
    with pytest.raises(ConfigError, match=f"train_last: got {total + 1}, but the network has {total} layers"):
        all_but_last(base, total + 1)


@pytest.mark.parametrize("name", ["model1", "model4", "alexnet", "mobilenet-0.25"])
def test_every_network_of_ours_can_be_tapped_at_its_features(name, tmp_path):
    base = build_model(name, classes=10, image_size=32, base_dir=tmp_path)
    model = stack(base, base_classes=10, tap="features", head=[], classes=3).eval()
    with torch.no_grad():
        assert model(_images()).shape == (4, 3)


def test_a_users_sequence_with_a_forward_of_its_own_is_no_row_of_layers():
    class Halved(nn.Sequential):
        def forward(self, images_BCHW):
            return super().forward(images_BCHW / 2)

    def base():
        torch.manual_seed(0)
        return Halved(nn.Flatten(), nn.Linear(3 * 32 * 32, 5), nn.Linear(5, 10))

    whole, images_BCHW = base(), _images()
    network = stack(base(), base_classes=10, tap="features", head=[], classes=3)
    network.freeze(list(network.base.modules()))
    beginning, rest = split_frozen(nn.Identity(), network)
    with torch.no_grad():
        assert torch.equal(network.tapped(images_BCHW), whole[1](whole[0](images_BCHW / 2)))
        assert torch.equal(rest(beginning(images_BCHW)), network(images_BCHW))


def test_a_users_network_is_cut_at_its_last_dense_layer_and_one_without_is_refused():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 7))
            self.classify = nn.ModuleDict({"last": nn.Linear(7, 10)})

        def forward(self, images_BCHW):
            return self.classify["last"](self.body(images_BCHW))

    with torch.no_grad():
        assert stack(Net(), base_classes=10, tap="features", head=[], classes=3).tapped(_images()).shape == (
            4,
            7,
        )
    with pytest.raises(ConfigError, match='tap = "features": the network has no dense layer'):
        stack(nn.Conv2d(3, 4, 1), base_classes=4, tap="features", head=[], classes=3)


class _Noisy(nn.Module):
    """Drops values by a function, which asks the module whether it trains."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(12, 8)
        self.output = nn.Linear(8, 3)

    def forward(self, images_BCHW):
        hidden = torch.nn.functional.dropout(self.inner(images_BCHW.flatten(1)), 0.5, self.training)
        return self.output(hidden)


def test_a_frozen_part_drops_nothing_also_where_dropout_is_a_function():
    network = stack(_Noisy(), base_classes=3, tap="output", head=[4], classes=2).train()
    images_BCHW = torch.rand(4, 3, 2, 2)
    assert not torch.equal(network.tapped(images_BCHW), network.tapped(images_BCHW))
    network.freeze(all_but_last(network.base, 0))
    assert torch.equal(network.tapped(images_BCHW), network.tapped(images_BCHW))
    assert network.head.training


def test_a_network_on_a_frozen_one_freezes_anew_and_counts_each_layer_once():
    inner = stack(_Noisy(), base_classes=3, tap="output", head=[], classes=3)
    inner.freeze(all_but_last(inner.base, 0))
    outer = stack(inner, base_classes=3, tap="output", head=[], classes=2)
    outer.freeze([])
    assert all(parameter.requires_grad for parameter in outer.parameters())
    assert describe_frozen(outer) == {}
    outer.freeze(all_but_last(inner, 0))
    assert describe_frozen(outer)["parameters"] == sum(p.numel() for p in inner.parameters())


def test_a_tap_before_a_layer_that_gives_no_classes_is_refused():
    base = nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.ReLU(), nn.Linear(3, 7))
    with pytest.raises(ConfigError, match="gives 7 values, expected 3"):
        stack(base, base_classes=3, tap="features", head=[], classes=2)
