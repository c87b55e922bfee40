"""An exported file is opened without torch, says what it is, and draws images of any size by itself."""

import json
import subprocess
import sys

import layouts
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from bakeoff.data.decode import square
from bakeoff.deploy.bundle import KEY, Bundle
from bakeoff.deploy.export import RESIZE_TOLERANCE
from bakeoff.errors import ConfigError

PROGRAM = """
import sys
from bakeoff.deploy.bundle import Bundle
from bakeoff.deploy.index import Index
print(Bundle.open(sys.argv[1]).predict(sys.argv[2]))
print("IMPORTED", sorted({"torch", "torchvision", "timm", "sklearn", "scipy", "onnx"} & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def bundle(exported):
    return Bundle.open(exported.path, threads=1)


def test_it_says_what_it_is(bundle, colours):
    record = colours.run("colours", "plain", 0).read()
    about = bundle.about
    assert (about.schema, about.study, about.task, about.candidate, about.seed) == (
        1, "small", "colours", "plain", 0,
    )  # fmt: skip
    assert about.identity == record.identity
    assert about.class_names == list(layouts.CLASSES) == list(bundle.class_names)
    assert (about.image_size, about.input_size, about.fit, about.views) == (16, 16, "crop", "one")
    assert about.accuracy["test"] == pytest.approx(record.metric("test_accuracy"))
    assert about.accuracy["low"] < about.accuracy["test"] <= about.accuracy["high"]
    assert about.checked
    assert about.embedding == 4 * 8 * 8


def test_what_it_says_is_plain_json_in_the_file(exported):
    model = onnx.load(exported.path)
    (text,) = [entry.value for entry in model.metadata_props if entry.key == KEY]
    assert json.loads(text)["class_ids"] == list(layouts.CLASSES)
    shapes = [
        [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    ]
    assert shapes == [["N", "H", "W", 3], ["N", 3], ["N", 256]]
    onnx.checker.check_model(model, full_check=True)


def test_files_are_classified_exactly_as_recorded(bundle, colours, class_folders):
    rows = [row for row in colours.read_manifest("colours") if row["part"] == "test"]
    found_NK = bundle.probabilities(class_folders / row["file"] for row in rows)
    stored_NK = np.load(colours.run("colours", "plain", 0).probabilities_path)["test"]
    np.testing.assert_allclose(found_NK, stored_NK, atol=1e-6)


@pytest.mark.parametrize(
    ("width", "height"), [(12, 12), (16, 16), (40, 25), (25, 40), (9, 31), (200, 16), (5, 5)]
)
def test_the_graph_draws_images_of_any_size_as_pillow_does(bundle, width, height):
    images_NHWC = np.stack([layouts.picture(label, 7, height, width) for label in range(3)])
    drawn = np.stack([square(Image.fromarray(image), 16, "crop") for image in images_NHWC])
    own_NK = bundle.probabilities_of(images_NHWC)
    np.testing.assert_allclose(own_NK, bundle.probabilities_of(drawn), atol=RESIZE_TOLERANCE)
    assert own_NK.argmax(axis=1).tolist() == bundle.score(drawn).argmax(axis=1).tolist()


def test_an_answer_does_not_depend_on_the_rest_of_the_batch(bundle):
    images_NHWC = np.stack([layouts.picture(n % 3, n, 16, 16) for n in range(70)])
    together_NK = bundle.score(images_NHWC)
    assert together_NK.shape == (70, 3)
    np.testing.assert_allclose(together_NK[5:6], bundle.probabilities_of(images_NHWC[5:6]), atol=1e-6)
    assert bundle.score(images_NHWC[:0]).shape == (0, 3)


def test_embeddings_come_from_before_the_last_dense_layer(bundle):
    weights = {one.name: onnx.numpy_helper.to_array(one) for one in onnx.load(bundle.path).graph.initializer}
    (weight_KF,) = [value for value in weights.values() if value.shape == (3, 256)]
    (bias_K,) = [value for value in weights.values() if value.shape == (3,) and value.dtype == np.float32]
    images_NHWC = np.stack([layouts.picture(n, n, 16, 16) for n in range(3)])
    logits_NK = bundle.embeddings_of(images_NHWC) @ weight_KF.T + bias_K
    expected_NK = np.exp(logits_NK) / np.exp(logits_NK).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(bundle.probabilities_of(images_NHWC), expected_NK, atol=1e-5)


def test_a_process_that_predicts_imports_no_torch(exported, class_folders):
    command = [sys.executable, "-c", PROGRAM, str(exported.path), str(class_folders / "bee" / "0.png")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "IMPORTED []"


@pytest.mark.parametrize(
    "images", [np.zeros((1, 4, 4, 3)), np.zeros((4, 4, 3), np.uint8), np.zeros((1, 4, 4, 4), np.uint8)]
)
def test_arrays_of_other_kinds_are_refused(bundle, images):
    with pytest.raises(ConfigError, match=r"expected uint8 and \(N, H, W, 3\)"):
        bundle.probabilities_of(images)


@pytest.mark.parametrize("content", [b"", b"no model at all", None])
def test_a_file_that_is_damaged_is_refused_in_one_line(exported, tmp_path, content):
    file = tmp_path / "x.onnx"
    file.write_bytes(exported.path.read_bytes()[:3000] if content is None else content)
    with pytest.raises(ConfigError, match=r"x\.onnx: cannot be opened as ONNX") as caught:
        Bundle.open(file)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_somebody_elses_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        Bundle.open(tmp_path / "gone.onnx")
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])])  # fmt: skip
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10),
        tmp_path / "y.onnx",
    )
    with pytest.raises(ConfigError, match="was not written by bakeoff"):
        Bundle.open(tmp_path / "y.onnx")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 99}, "written by a newer bakeoff"),
        ({"class_names": "ant"}, "class_names"),
        ({"fit": "bend"}, "fit"),
    ],
)
def test_a_file_that_says_nonsense_of_itself_is_refused(exported, tmp_path, change, message):
    model = onnx.load(exported.path)
    (entry,) = [one for one in model.metadata_props if one.key == KEY]
    entry.value = json.dumps(json.loads(entry.value) | change)
    onnx.save(model, tmp_path / "x.onnx")
    with pytest.raises(ConfigError, match=message):
        Bundle.open(tmp_path / "x.onnx")
