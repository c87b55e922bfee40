"""The five networks against the study's table and against Keras."""

import numpy as np
import pytest
import torch
from golden_formula import formula_images, formula_weights
from layers import count_layers

from bakeoff.models.catalog import build_model
from bakeoff.models.cnn import PLANS
from bakeoff.models.keras_layers import load_keras_weights
from bakeoff.models.summary import count_parameters, summarise

# The study's table: conv, pool, FC, BN, fewest and most filters.
TABLE = {
    "model1": (4, 2, 2, 0, 32, 64),
    "model2": (5, 3, 3, 0, 128, 128),
    "model3": (9, 0, 2, 10, 128, 512),
    "model4": (8, 4, 3, 10, 128, 512),
    "model5": (8, 4, 4, 11, 128, 1024),
}
SIZES = (32, 64, 65)


def _build(name, size, classes, tmp_path):
    return build_model(name, classes=classes, image_size=size, base_dir=tmp_path)


def _case(golden, name, size, classes=5):
    wanted = {"model": name, "image_size": size, "classes": classes}
    return next(case for case in golden["cases"] if case | wanted == case)


def _with_keras_weights(golden, name, size, tmp_path):
    case = _case(golden, name, size)
    shapes = [tuple(shape) for shape in case["shapes"]]
    model = _build(name, size, case["classes"], tmp_path)
    load_keras_weights(model, formula_weights(shapes, PLANS[name].norm))
    images_BCHW = torch.from_numpy(formula_images(size)).permute(0, 3, 1, 2).contiguous()
    return model, images_BCHW, case


@pytest.mark.parametrize("name", TABLE)
def test_layers_are_counted_as_in_the_studys_table(name, tmp_path):
    conv, pool, dense, norm, fewest, most = TABLE[name]
    model = _build(name, 64, 200, tmp_path)
    assert count_layers(model) == {"conv": conv, "pool": pool, "fc": dense, "bn": norm}
    filters = [m.out_channels for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    assert (filters[0], filters[-1]) == (fewest, most)
    assert filters == sorted(filters)


def test_model4_halves_twice_in_each_group_as_the_study_describes(tmp_path):
    rows = summarise(_build("model4", 64, 200, tmp_path), 64).rows
    sides = [row["output_shape"][1] for row in rows if row["kind"] in ("conv", "pool")]
    assert sides == [64, 32, 16, 16, 8, 4, 4, 2, 1, 1, 1, 1]


@pytest.mark.parametrize("name", TABLE)
def test_every_layer_with_weights_but_the_output_is_followed_by_relu_and_then_norm(name, tmp_path):
    kinds = [row["kind"] for row in summarise(_build(name, 32, 5, tmp_path), 32).rows]
    last = len(kinds) - 1
    after = ["activation", "norm"] if PLANS[name].norm else ["activation"]
    for index, kind in enumerate(kinds):
        if kind in ("conv", "dense") and index != last:
            assert kinds[index + 1 : index + 1 + len(after)] == after
    assert kinds[last] == "dense"


@pytest.mark.parametrize(("size", "classes"), [(32, 5), (64, 5), (65, 5), (64, 200)])
@pytest.mark.parametrize("name", TABLE)
def test_parameters_are_as_many_as_in_keras(name, size, classes, golden, tmp_path):
    case = _case(golden, name, size, classes)
    model = _build(name, size, classes, tmp_path)
    assert count_parameters(model) == (case["parameters"], case["trainable"])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", TABLE)
def test_with_keras_weights_it_computes_what_keras_computes(name, size, golden, tmp_path):
    model, images_BCHW, case = _with_keras_weights(golden, name, size, tmp_path)
    with torch.no_grad():
        logits_BK = model.eval()(images_BCHW).numpy()
    assert np.ptp(case["logits"], axis=0).min() > 0.02  # the images are told apart at all
    np.testing.assert_allclose(logits_BK, case["logits"], atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["model3", "model4", "model5"])
def test_in_training_it_normalises_as_keras_does(name, golden, tmp_path):
    model, images_BCHW, case = _with_keras_weights(golden, name, 32, tmp_path)
    with torch.no_grad():
        logits_BK = model.train()(images_BCHW).numpy()
    np.testing.assert_allclose(logits_BK, case["training_logits"], atol=5e-3, rtol=1e-3)


def test_channels_last_and_bfloat16_change_the_outputs_by_rounding_only(golden, tmp_path):
    model, images_BCHW, case = _with_keras_weights(golden, "model4", 64, tmp_path)
    model = model.eval().to(memory_format=torch.channels_last)
    images_BCHW = images_BCHW.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        np.testing.assert_allclose(model(images_BCHW).numpy(), case["logits"], atol=2e-4, rtol=1e-4)
        with torch.autocast("cpu", torch.bfloat16):
            rough_BK = model(images_BCHW)
    assert rough_BK.dtype == torch.bfloat16
    np.testing.assert_allclose(rough_BK.float().numpy(), case["logits"], atol=0.15)
