"""Where a network saw what it answered: the arithmetic, the layer that is found, what is left untouched."""

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from make_grad_cam import GOLDEN, images, network
from torch import nn
from torch.nn import functional

from bakeoff.data.preprocess import Preprocess
from bakeoff.models.catalog import build_model
from bakeoff.models.convolutions import hasten_convolutions
from bakeoff.models.transfer import all_but_last, stack
from bakeoff.training.attribution import attribute, grad_cam, heat, occlusion
from bakeoff.training.classifier import Classifier, placed

CASES = json.loads(GOLDEN.read_text())["cases"]


class AsItIs(nn.Module):
    """Preprocessing of images of any shape: channels to the front, and nothing else."""

    def forward(self, images_BHWC):
        return images_BHWC.permute(0, 3, 1, 2).float()


def classifier(net, pixels=None):
    """Put a network behind preprocessing; with `pixels` behind that of a real run."""
    preprocess = AsItIs() if pixels is None else Preprocess((127.0,) * 3, (60.0,) * 3, pixels)
    return Classifier(preprocess, net).eval()


def pictures(count=3, height=32, width=None, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width or height, 3), dtype=np.uint8)


# Against values from elsewhere


@pytest.mark.parametrize("case", CASES, ids=[f"{case['network']} {case['size'][0]}" for case in CASES])
def test_maps_are_those_of_pytorch_grad_cam_and_of_the_layer_that_was_named_by_hand(case):
    net = network(case["network"])
    images_BCHW = images(*case["size"])
    wanted_B = torch.full((2,), case["class"])
    found = grad_cam(classifier(net), images_BCHW.permute(0, 2, 3, 1), wanted_B)
    assert found.layer.startswith(case["layer"])
    raw = torch.tensor(case["raw"])
    torch.testing.assert_close(found.maps_Bhw, raw, rtol=1e-4, atol=1e-5 * float(raw.max()))
    if "heat" in case:  # the library also subtracts the smallest value, which ours leaves
        heat_BHW = heat(found.maps_Bhw, tuple(case["size"]))
        least_B11 = heat_BHW.amin(dim=(1, 2), keepdim=True)
        stretched_BHW = (heat_BHW - least_B11) / (1 - least_B11)
        torch.testing.assert_close(stretched_BHW, torch.tensor(case["heat"]), rtol=0, atol=2e-3)


def by_hand():
    """One 1x1 convolution of two filters, then a dense layer: every gradient can be read off its weights."""
    net = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False), nn.Flatten(), nn.Linear(2 * 4 * 8, 2, bias=False))
    with torch.no_grad():
        net[0].weight[:] = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]])[..., None, None]  # red, green
        net[2].weight[0] = torch.cat([torch.full((32,), 2.0), torch.full((32,), -1.0)])  # 2 red - green
        net[2].weight[1] = torch.cat([torch.full((32,), -1.0), torch.full((32,), 0.5)])
    return classifier(net)


def test_a_map_worked_by_hand_has_its_rows_and_columns_in_place():
    image_HWC = np.zeros((4, 8, 3), np.uint8)
    image_HWC[1, 6, 0] = 20  # red: 2 * 20
    image_HWC[2, 3] = (10, 8, 0)  # 2 * 10 - 8
    image_HWC[3, 0, 1] = 30  # green speaks against it
    found = attribute(by_hand(), image_HWC[None], np.array([0]))
    expected_hw = np.zeros((4, 8), np.float32)
    expected_hw[1, 6], expected_hw[2, 3] = 40, 12
    np.testing.assert_allclose(found.maps_Nhw[0], expected_hw)
    np.testing.assert_allclose(found.heat_NHW[0], expected_hw / 40)
    assert (found.method, found.layer, found.reason) == ("Grad-CAM", "0", "")
    against = attribute(by_hand(), image_HWC[None], np.array([1]))
    assert against.maps_Nhw[0, 3, 0] == pytest.approx(15)
    assert against.maps_Nhw[0].astype(bool).sum() == 1


def test_the_class_that_is_explained_is_the_answered_one_unless_another_is_asked_for():
    red, green = np.zeros((4, 8, 3), np.uint8), np.zeros((4, 8, 3), np.uint8)
    red[..., 0], green[..., 1] = 1, 1
    both = np.stack([red, green])
    found = attribute(by_hand(), both)
    assert found.class_N.tolist() == [0, 1]
    np.testing.assert_allclose(found.probability_N, [1, 1 / (1 + np.exp(-48))], rtol=1e-6)
    asked = attribute(by_hand(), both, np.array([1, 0]))
    assert asked.class_N.tolist() == [1, 0]
    assert asked.silent_N.tolist() == [True, True]  # nothing in a red picture speaks for green
    assert not asked.heat_NHW.any()
    assert asked.probability_N.max() < 1e-6


def test_heat_reaches_one_in_every_picture_and_stays_nothing_where_there_is_nothing():
    maps_Bhw = torch.tensor([[[0.0, 1e-20], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]], [[7.0, 7.0], [7.0, 7.0]]])
    found = heat(maps_Bhw, (6, 10))
    assert found.shape == (3, 6, 10)
    assert found.amax((1, 2)).tolist() == [1, 0, 1]
    assert found[0, 0, 9] == 1
    torch.testing.assert_close(found[2], torch.ones(6, 10))


# Which layer


@pytest.mark.parametrize(
    ("name", "pixels", "layer", "shape", "reason"),
    [
        ("model1", 64, "pool2", (16, 16), ""),
        ("model3", 64, "conv9_norm", (4, 4), ""),
        ("model4", 64, "conv5_norm", (4, 4), "its last convolution, conv8, gives maps of 1 x 1"),
        (
            "mobilenet",
            32,
            "pointwise5_relu",
            (4, 4),
            "its last convolution, depthwise13, gives maps of 1 x 1",
        ),
        (
            "mobilenet",
            64,
            "pointwise11_relu",
            (4, 4),
            "its last convolution, pointwise13, gives maps of 2 x 2",
        ),
        ("alexnet", 32, "conv2_relu", (4, 4), "its last convolution, conv5, gives maps of 2 x 2"),
        ("resnet18-64px", 32, "layer4.1", (4, 4), ""),
        ("resnet9", 32, "residual3", (4, 4), ""),
        ("wide-resnet16-4", 32, "relu", (8, 8), ""),
    ],
)
def test_the_last_maps_of_four_by_four_are_found_and_what_was_passed_over_is_said(
    name, pixels, layer, shape, reason
):
    torch.manual_seed(0)
    net = build_model(name, classes=5, image_size=pixels, base_dir=Path())
    hasten_convolutions(net)
    found = attribute(placed(classifier(net, pixels), torch.device("cpu")), pictures(2, pixels))
    assert (found.layer, found.maps_Nhw.shape[1:], found.reason) == (layer, shape, reason)
    assert found.method == "Grad-CAM"
    assert found.heat_NHW.shape == (2, pixels, pixels)


class Block(nn.Module):
    """Halves its maps in its second convolution; the way around takes them as they came."""

    def __init__(self):
        super().__init__()
        self.narrow, self.smaller = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, 2, 1)
        self.around = nn.Conv2d(4, 4, 1, 2)

    def forward(self, values_BCHW):
        learned_BCHW = self.smaller(functional.relu(self.narrow(values_BCHW)))
        return functional.relu(learned_BCHW.add_(self.around(values_BCHW)), inplace=True)


def test_maps_that_a_way_leads_around_are_not_taken():
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1), Block(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    found = attribute(classifier(net, 8), pictures(2, 8))
    assert found.layer == "0"  # the first half of the block gives 4 x 4 too, but the shortcut passes it by
    found = attribute(classifier(net, 16), pictures(2, 16))
    assert (found.layer, found.maps_Nhw.shape[1:]) == ("1", (4, 4))


class ChannelsLast(nn.Module):
    """Gives its values with the channels at the end, as some transformers do."""

    def forward(self, values_BCHW):
        return values_BCHW.permute(0, 2, 3, 1)


def test_values_with_their_channels_last_are_no_maps():
    net = nn.Sequential(nn.Conv2d(3, 9, 3, 2, 1), ChannelsLast(), nn.Flatten(), nn.Linear(9 * 16, 2))
    assert attribute(classifier(net, 8), pictures(1, 8)).layer == "0"


def test_the_largest_maps_do_where_none_are_of_four_by_four():
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, 2, 1), nn.Flatten(), nn.Linear(4, 2)
    )
    found = attribute(classifier(net, 8), pictures(2, 8))
    assert (found.layer, found.maps_Nhw.shape) == ("1", (2, 2, 2))


@pytest.mark.parametrize(
    ("net", "reason"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), "no convolution"),
        (nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(48, 3)), "no convolution"),
        (nn.Sequential(nn.Conv2d(3, 4, 8), nn.Flatten(), nn.Linear(4, 3)), "no convolution"),
        (
            timm.create_model("vit_tiny_patch16_224", num_classes=3, img_size=8, patch_size=2, depth=1),
            "patches",
        ),
    ],
    ids=["dense", "pooled", "whole", "transformer"],
)
def test_what_has_no_maps_gets_occlusion_and_a_word_why(net, reason):
    found = attribute(classifier(net, 8), pictures(2, 8), cells=3)
    assert (found.method, found.layer) == ("occlusion", "")
    assert reason in found.reason
    assert found.maps_Nhw.shape == (2, 3, 3)
    assert found.heat_NHW.max() <= 1


@pytest.mark.parametrize("tap", ["features", "output"])
@pytest.mark.parametrize("frozen", [True, False])
def test_networks_on_others_are_explained_whether_frozen_or_not(tap, frozen):
    torch.manual_seed(0)
    base = build_model("mobilenet-0.25", classes=5, image_size=32, base_dir=Path())
    kept = all_but_last(base, 0) if frozen else []
    net = stack(base, base_classes=5, tap=tap, head=(16,), classes=3)
    net.freeze(kept)
    found = attribute(classifier(net, 32), pictures())
    assert (found.method, found.layer) == ("Grad-CAM", "base.pointwise5_relu")
    assert all(parameter.requires_grad != frozen for parameter in net.base.parameters())


class Rude(nn.Module):
    """Begins by changing its images in place."""

    def __init__(self):
        super().__init__()
        self.rest = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.Flatten())
        self.output = nn.LazyLinear(2)

    def forward(self, images_BCHW):
        images_BCHW -= 1
        return self.output(self.rest(images_BCHW).clone())


def test_a_network_that_changes_its_images_in_place_is_explained_too():
    model = classifier(Rude(), 8)
    model(torch.zeros(1, 8, 8, 3, dtype=torch.uint8))
    assert attribute(model, pictures(2, 8)).layer == "rest.1"


def test_one_module_that_is_called_twice_is_heard_in_its_last_call():
    relu = nn.ReLU()
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), relu, nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1), relu,
        nn.Flatten(), nn.Linear(64, 2),
    )  # fmt: skip
    assert attribute(classifier(net, 8), pictures(1, 8)).maps_Nhw.shape == (1, 4, 4)


# Occlusion


def test_occlusion_finds_the_place_that_decides():
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 16, 2, bias=False))
    with torch.no_grad():
        net[1].weight.zero_()
        net[1].weight[0].view(3, 8, 16)[:, 5, 2] = 1.0  # brightness of one pixel speaks for class 0
    image_HWC = np.full((8, 16, 3), 128, np.uint8)
    image_HWC[5, 2] = 250
    found = occlusion(classifier(net), torch.from_numpy(image_HWC[None]), torch.tensor([0]), cells=4)
    # Cells of 2 x 4 pixels, patches of twice that: row 5 lies under cells 2 and 3 (pixels 3 to 6 and 5 to 7),
    # column 2 under cells 0 and 1 (pixels 0 to 5 and 2 to 9).
    fall = 3 * (250 - 128)
    expected = np.zeros((4, 4))
    expected[2:, :2] = fall
    np.testing.assert_allclose(found.maps_Bhw[0].numpy(), expected, rtol=1e-5)
    other = occlusion(classifier(net), torch.from_numpy(image_HWC[None]), torch.tensor([1]), cells=4)
    assert not other.maps_Bhw.any()  # hiding what speaks against a class is no evidence for it


def test_occlusion_still_sees_evidence_where_the_probability_is_one():
    net = nn.Sequential(nn.Flatten(), nn.Linear(48, 2, bias=False))
    with torch.no_grad():
        net[1].weight[0], net[1].weight[1] = 1.0, -1.0
    found = occlusion(classifier(net), torch.full((1, 4, 4, 3), 200, dtype=torch.uint8), cells=4)
    assert found.probability_B.tolist() == [1.0]
    assert bool((found.maps_Bhw > 0).all())


# What is left as it was


def test_the_model_is_left_exactly_as_it_came():
    torch.manual_seed(0)
    net = build_model("mobilenet-0.25", classes=3, image_size=16, base_dir=Path())
    model = placed(classifier(net, 16), torch.device("cpu")).train()
    net.conv1_norm.eval()  # a layer of its own mind
    net.output.weight.requires_grad_(False)
    net.output.bias.grad = torch.ones(3)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    with torch.no_grad():
        expected = attribute(model, pictures(2, 16))
        assert not torch.is_grad_enabled()
    with torch.inference_mode():
        assert np.array_equal(attribute(model, pictures(2, 16)).maps_Nhw, expected.maps_Nhw)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert [name for name, p in model.named_parameters() if p.grad is not None] == ["network.output.bias"]
    assert torch.equal(net.output.bias.grad, torch.ones(3))
    assert not net.output.weight.requires_grad
    assert not any(module._forward_hooks for module in model.modules())


class Failing(nn.Module):
    def forward(self, values):
        raise ValueError("no")


def test_hooks_and_modes_are_put_back_also_when_the_network_fails():
    model = classifier(nn.Sequential(nn.Conv2d(3, 2, 3), Failing()), 8).train()
    with pytest.raises(ValueError, match="no"):
        attribute(model, pictures(1, 8))
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())


def test_many_images_give_what_each_gives_alone():
    torch.manual_seed(0)
    model = classifier(build_model("model1", classes=4, image_size=32, base_dir=Path()), 32)
    images_NHWC = pictures(19)
    whole = attribute(model, images_NHWC)
    alone = attribute(model, images_NHWC[17:18])
    assert whole.maps_Nhw.shape[0] == 19
    np.testing.assert_allclose(whole.heat_NHW[17], alone.heat_NHW[0], atol=1e-4)


# Whether it says anything


PATCH = np.s_[
    :, 2:8, 8:14
]  # rows 3 to 6, columns 9 to 12, and the pixel around that coarse maps cannot leave out
AREA = 6 * 6 / 16**2


def planted(count, seed):
    """Draw grey noise with a patch whose colour is the class; elsewhere all classes look alike."""
    chance = np.random.default_rng(seed)
    images_NHWC = chance.integers(60, 196, (count, 16, 16, 1), dtype=np.uint8).repeat(3, axis=3)
    labels_N = np.arange(count) % 3
    for image_HWC, label in zip(images_NHWC, labels_N, strict=True):
        image_HWC[3:7, 9:13] = 40
        image_HWC[3:7, 9:13, label] = 230
    return images_NHWC, torch.from_numpy(labels_N)


def untrained(seed):
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 3),
    )  # fmt: skip
    return classifier(net, 16)


@pytest.fixture(scope="module")
def trained():
    """A network that tells the patches apart without a mistake."""
    model = untrained(0).train()
    images_NHWC, labels_N = planted(150, seed=0)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(40):
        rows = slice(30 * (step % 5), 30 * (step % 5) + 30)
        optimizer.zero_grad()
        functional.cross_entropy(model(torch.from_numpy(images_NHWC[rows])), labels_N[rows]).backward()
        optimizer.step()
    return model.eval()


def _share(heat_NHW):
    """Which part of all heat lies on the patch."""
    return float(heat_NHW[PATCH].sum() / max(heat_NHW.sum(), 1e-9))


def test_the_heat_lies_on_the_patch_that_decides(trained):
    images_NHWC, labels_N = planted(20, seed=1)
    found = attribute(trained, images_NHWC)
    assert (found.class_N == labels_N.numpy()).all()
    assert _share(found.heat_NHW) > 3 * AREA
    peaks = [np.unravel_index(one.argmax(), one.shape) for one in found.heat_NHW]
    assert sum(2 <= row < 8 and 8 <= column < 14 for row, column in peaks) >= 19
    hidden = heat(occlusion(trained, torch.from_numpy(images_NHWC)).maps_Bhw, (16, 16)).numpy()
    assert _share(hidden) > 4 * AREA  # the other method agrees


def test_with_weights_of_chance_the_heat_lies_anywhere():
    """The check of Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018."""
    images_NHWC, labels_N = planted(20, seed=1)
    shares = [_share(attribute(untrained(seed), images_NHWC, labels_N.numpy()).heat_NHW) for seed in range(5)]
    assert np.mean(shares) < 1.7 * AREA
