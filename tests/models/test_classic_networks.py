"""AlexNet and MobileNet against the study's printed counts, the papers' and Keras."""

from math import isclose

import numpy as np
import pytest
import torch
from golden_formula import formula_images, formula_weight
from layers import count_layers
from torch import nn

from bakeoff.errors import ConfigError
from bakeoff.models.catalog import build_model
from bakeoff.models.keras_layers import keras_weights, load_keras_weights
from bakeoff.models.summary import count_parameters, summarise

COMPUTED = [("alexnet", 32), ("alexnet", 65), ("mobilenet", 32), ("mobilenet", 65), ("mobilenet-0.25", 64)]


def _build(name, size, classes, tmp_path, device="cpu"):
    with torch.device(device):
        return build_model(name, classes=classes, image_size=size, base_dir=tmp_path)


def _case(golden, name, size, classes):
    wanted = {"model": name, "image_size": size, "classes": classes}
    return next(case for case in golden["cases"] if case | wanted == case)


@pytest.mark.parametrize(
    ("name", "size", "classes", "parameters", "trainable"),
    [
        ("alexnet", 32, 200, 22_401_384, 22_400_984),  # seed study, section 3
        ("alexnet", 224, 200, 72_733_032, 72_732_632),
        ("alexnet-paper", 224, 1000, 60_965_224, 60_965_224),  # as in BVLC's reference model
        ("mobilenet", 32, 10, 3_250_058, 3_228_170),  # printed in the study, section 4
        ("mobilenet", 64, 200, 3_444_808, 3_422_920),
    ],
)
def test_parameters_are_as_many_as_published(name, size, classes, parameters, trainable, tmp_path):
    model = _build(name, size, classes, tmp_path, "meta")
    assert count_parameters(model) == (parameters, trainable)


@pytest.mark.parametrize(
    ("name", "size", "classes"),
    [("alexnet", 32, 200), ("alexnet", 224, 200), ("mobilenet", 32, 10), ("mobilenet", 64, 200)],
)
def test_parameters_are_as_many_as_in_keras(name, size, classes, golden_networks, tmp_path):
    case = _case(golden_networks, name, size, classes)
    model = _build(name, size, classes, tmp_path, "meta")
    assert count_parameters(model) == (case["parameters"], case["trainable"])


@pytest.mark.parametrize(("name", "size"), COMPUTED)
def test_with_keras_weights_it_computes_what_keras_computes(name, size, golden_networks, tmp_path):
    case = _case(golden_networks, name, size, 5)
    model = _build(name, size, 5, tmp_path).eval()
    weights = [formula_weight(i, kind, tuple(shape)) for i, (kind, shape) in enumerate(case["weights"])]
    load_keras_weights(model, weights)
    images_BCHW = torch.from_numpy(formula_images(size)).permute(0, 3, 1, 2).contiguous()
    with torch.no_grad():
        logits_BK = model(images_BCHW).numpy()
    assert np.ptp(case["logits"], axis=0).min() > 0.02  # the images are told apart at all
    np.testing.assert_allclose(logits_BK, case["logits"], atol=5e-4, rtol=5e-4)


@pytest.mark.parametrize(
    ("name", "multiplications"),
    [
        ("alexnet-paper", 724_406_816),
        ("mobilenet", 569_000_000),  # table 6 of the paper, rounded there
        ("mobilenet-0.75", 325_000_000),
        ("mobilenet-0.5", 149_000_000),
        ("mobilenet-0.25", 41_000_000),
    ],
)
def test_multiplications_are_the_papers(name, multiplications, tmp_path):
    with torch.device("meta"):
        found = summarise(_build(name, 224, 1000, tmp_path), 224).multiplications
    assert isclose(found, multiplications, rel_tol=0.005)


def test_alexnet_has_the_studys_layers(tmp_path):
    model = _build("alexnet", 32, 200, tmp_path, "meta")
    assert count_layers(model) == {"conv": 5, "pool": 3, "fc": 3, "bn": 1}
    assert [type(layer) for layer in model][-1].__name__ == "BatchNorm1dKeras"
    assert [layer.p for layer in model if isinstance(layer, nn.Dropout)] == [0.4, 0.4]


def test_the_papers_alexnet_has_maps_of_55_27_and_13_pixels(tmp_path):
    with torch.device("meta"):
        rows = summarise(_build("alexnet-paper", 224, 1000, tmp_path), 224).rows
    assert [row["output_shape"][1] for row in rows if row["kind"] == "conv"] == [55, 27, 13, 13, 13]
    assert next(row for row in rows if row["kind"] == "flatten")["output_shape"] == [9216]


def test_alexnets_response_normalisation_is_the_papers_equation(tmp_path):
    layer = _build("alexnet-paper", 63, 5, tmp_path).conv1_norm
    maps_BCHW = torch.from_numpy(np.random.default_rng(0).random((1, 96, 2, 3), dtype=np.float32)) * 30
    a = maps_BCHW.double().numpy()[0]
    for channel in (0, 50, 95):
        near = a[max(0, channel - 2) : min(95, channel + 2) + 1]
        expected = a[channel] / (2 + 1e-4 * (near**2).sum(axis=0)) ** 0.75
        np.testing.assert_allclose(layer(maps_BCHW)[0, channel].numpy(), expected, rtol=1e-5)


def test_the_papers_alexnet_starts_as_its_section_5_says(tmp_path):
    model = _build("alexnet-paper", 63, 5, tmp_path)
    assert abs(model.conv3.weight.std().item() - 0.01) < 2e-4
    ones = [
        name
        for name, value in model.named_parameters()
        if name.endswith("bias") and value.detach().min() == 1
    ]
    assert ones == [f"{name}.bias" for name in ("conv2", "conv4", "conv5", "dense1", "dense2")]


def test_a_network_refuses_images_that_vanish_in_it(tmp_path):
    assert summarise(_build("alexnet-paper", 63, 5, tmp_path, "meta"), 63).parameters > 0
    with pytest.raises(
        ConfigError, match="input_size: got 62 pixels, expected at least 63 for alexnet-paper"
    ):
        _build("alexnet-paper", 62, 5, tmp_path)


def test_mobilenet_takes_images_of_any_size(tmp_path):
    model = _build("mobilenet-0.25", 32, 5, tmp_path).eval()
    with torch.no_grad():
        assert {tuple(model(torch.rand(1, 3, s, s)).shape) for s in (32, 33, 64)} == {(1, 5)}


def test_mobilenet_halves_in_its_stem_and_in_four_of_its_blocks(tmp_path):
    with torch.device("meta"):
        rows = summarise(_build("mobilenet", 224, 10, tmp_path), 224).rows
    sides = [row["output_shape"][1] for row in rows if row["kind"] == "conv"]
    assert sides == [112] * 3 + [56] * 4 + [28] * 4 + [14] * 12 + [7] * 4


@pytest.mark.parametrize(("name", "size"), [("model1", 32), ("alexnet", 32), ("mobilenet-0.25", 32)])
def test_weights_go_to_keras_and_come_back(name, size, tmp_path):
    torch.manual_seed(0)
    one, other = (_build(name, size, 5, tmp_path) for _ in range(2))
    load_keras_weights(other, keras_weights(one))
    mine, yours = one.state_dict(), other.state_dict()
    assert all(torch.equal(mine[k], yours[k]) for k in mine if not k.endswith("num_batches_tracked"))
    assert keras_weights(one)[0].shape[2:] == (3, one[0].out_channels)  # HWIO
