"""bakeoff's own networks: their weights counted by hand, and what is the same at every size of image."""

import pytest
import torch

from bakeoff.models.bakenet import WIDTHS, describe
from bakeoff.models.catalog import build_model
from bakeoff.models.macro import build_macro
from bakeoff.models.whitening import Whitening, set_by_images
from bakeoff.spec.macro import Macro


def _trainable(network):
    return sum(weight.numel() for weight in network.parameters() if weight.requires_grad)


def _by_hand(widths, filters, classes):
    """3x3 convolutions without biases, two numbers a channel for every norm, a residual pair twice."""
    stem, first, second, third = widths
    norms = 2 * (stem + first + 3 * second + 3 * third)
    entering = 9 * (filters * stem + stem * first + first * second + second * third)
    pairs = 9 * 2 * (second**2 + third**2)
    return filters + norms + entering + pairs + (third + 1) * classes  # the whitening's bias alone learns


@pytest.mark.parametrize("size", WIDTHS)
@pytest.mark.parametrize(("pixels", "filters"), [(32, 24), (64, 24), (128, 96)])
def test_the_weights_are_as_many_as_counted_by_hand(size, pixels, filters, tmp_path):
    network = build_model(f"bakenet-{size}", classes=10, image_size=pixels, base_dir=tmp_path)
    assert _trainable(network) == _by_hand(WIDTHS[size], filters, 10)


def test_the_small_one_has_a_million_and_a_quarter(tmp_path):
    network = build_model("bakenet-s", classes=10, image_size=32, base_dir=tmp_path)
    assert _trainable(network) == 1_254_514


@pytest.mark.parametrize(("pixels", "side"), [(8, 1), (32, 4), (64, 4), (128, 4), (224, 7)])
def test_larger_images_are_cut_into_larger_patches(pixels, side, tmp_path):
    network = build_model("bakenet-s", classes=2, image_size=pixels, base_dir=tmp_path).eval()
    seen = []
    network.pool.register_forward_hook(lambda _, given, __: seen.append(given[0].shape[1:]))
    with torch.no_grad():
        network(torch.rand(1, 3, pixels, pixels))
    assert seen == [(192, side, side)]


def test_its_first_layer_waits_for_images():
    torch.manual_seed(0)
    network = build_macro(describe("m", 64), 3)
    layer = set_by_images(network)
    assert isinstance(layer, Whitening)
    drawn = layer.weight.clone()
    layer.set_by([torch.rand(64, 3, 64, 64)])
    assert not torch.equal(layer.weight, drawn)


def test_what_a_study_would_describe_is_the_network_of_that_name(tmp_path):
    stages = [{"width": 48, "depth": 0, "block": "plain", "down": "pool"},
              {"width": 128, "down": "pool"}, {"width": 192, "down": "pool"}]  # fmt: skip
    written = Macro.model_validate(
        {"whiten": 2, "patch": 2, "stem_width": 24, "activation": "gelu", "stages": stages}
    )
    torch.manual_seed(0)
    ours = build_model("bakenet-s", classes=3, image_size=64, base_dir=tmp_path).state_dict()
    torch.manual_seed(0)
    theirs = build_macro(written, 3).state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
