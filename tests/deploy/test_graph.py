"""What stands around a network: drawing, views and calibration, each against what scored the run."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from scipy.special import softmax

from bakeoff.data.augment import evaluation_views
from bakeoff.data.decode import square
from bakeoff.data.preprocess import Preprocess
from bakeoff.deploy.graph import Surroundings, assemble
from bakeoff.deploy.network import LOGITS, OPSET, PIXELS
from bakeoff.deploy.views import view_indices

SIZE = 12
FEATURES = 3 * SIZE * SIZE


@pytest.fixture(scope="module")
def looking_glass():
    """A network of one layer that gives every pixel as a logit: what it is shown can be read off."""
    shape = numpy_helper.from_array(np.array([-1, FEATURES], np.int64), "shape")
    graph = helper.make_graph(
        [
            helper.make_node("Reshape", [PIXELS, "shape"], [LOGITS], name="flat"),
            helper.make_node("Identity", [LOGITS], ["embedding"], name="same"),
        ],
        "net",
        [helper.make_tensor_value_info(PIXELS, TensorProto.FLOAT, ["N", 3, SIZE, SIZE])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", FEATURES])
            for name in (LOGITS, "embedding")
        ],
        [shape],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)


def shown(network, images_NHWC, output="embedding", **around):
    """Run the assembled graph."""
    preprocess = Preprocess((3.0, 5.0, 7.0), (2.0, 4.0, 8.0), SIZE, around.pop("interpolation", "bilinear"))
    values = {"image_size": SIZE, "fit": "crop", "preprocess": preprocess, **around}
    model = assemble(network, Surroundings(**values), "{}")
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run([output], {"images": images_NHWC})[0]


def as_bytes(rows):
    """Turn what the network saw back into bytes (N, H, W, C)."""
    planes = (
        rows.reshape(-1, 3, SIZE, SIZE) * np.float32([2, 4, 8])[:, None, None]
        + np.float32([3, 5, 7])[:, None, None]
    )
    return np.rint(planes.transpose(0, 2, 3, 1)).astype(int)


def random_images(count, height, width):
    return np.random.default_rng(height * width).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize(
    ("height", "width"), [(12, 12), (24, 12), (7, 30), (31, 64), (5, 4), (1, 1), (400, 150)]
)
def test_images_are_drawn_as_pillow_draws_them_but_for_two_of_255(looking_glass, fit, height, width):
    images_NHWC = random_images(2, height, width)
    expected = np.stack([square(Image.fromarray(image), SIZE, fit) for image in images_NHWC]).astype(int)
    found = as_bytes(shown(looking_glass, images_NHWC, fit=fit))
    assert np.abs(found - expected).max() <= 2
    assert (found != expected).mean() < 0.06


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_images_of_the_studys_size_are_not_touched(looking_glass, fit):
    images_NHWC = random_images(3, SIZE, SIZE)
    assert np.array_equal(as_bytes(shown(looking_glass, images_NHWC, fit=fit)), images_NHWC)


@pytest.mark.parametrize(
    ("size", "interpolation"), [(20, "bilinear"), (20, "bicubic"), (9, "bicubic"), (24, "bicubic")]
)
def test_the_networks_own_size_is_reached_by_the_bytes_that_torch_makes(looking_glass, size, interpolation):
    images_NHWC = random_images(3, size, size)
    preprocess = Preprocess((3.0, 5.0, 7.0), (2.0, 4.0, 8.0), SIZE, interpolation)
    expected = preprocess(torch.from_numpy(images_NHWC)).flatten(1).numpy()
    found = shown(looking_glass, images_NHWC, image_size=size, interpolation=interpolation)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("views", ["mirror", "six"])
def test_views_are_those_of_the_evaluation_and_their_logits_are_averaged(looking_glass, views):
    images_NHWC = random_images(2, SIZE, SIZE)
    preprocess = Preprocess((3.0, 5.0, 7.0), (2.0, 4.0, 8.0), SIZE)
    seen = evaluation_views(torch.from_numpy(images_NHWC), views)
    logits_NK = sum(weight * preprocess(images).flatten(1) for weight, images in seen)
    found_NK = shown(looking_glass, images_NHWC, "probabilities", views=views)
    np.testing.assert_allclose(found_NK, softmax(logits_NK.numpy().astype(float), axis=1), atol=1e-6)
    first = shown(looking_glass, images_NHWC, views=views)
    assert np.array_equal(as_bytes(first), images_NHWC)  # the embedding is of the image as it is


def test_view_indices_survive_images_of_more_than_256_pixels():
    _, rows, columns = view_indices(600, "mirror")[1]
    assert rows.tolist() == list(range(600))
    assert columns.tolist() == list(range(600))[::-1]


def test_logits_are_divided_by_the_temperature(looking_glass):
    images_NHWC = random_images(2, SIZE, SIZE)
    logits_NK = shown(looking_glass, images_NHWC).astype(float)
    found_NK = shown(looking_glass, images_NHWC, "probabilities", temperature=2.5)
    np.testing.assert_allclose(found_NK, softmax(logits_NK / 2.5, axis=1), atol=1e-6)
