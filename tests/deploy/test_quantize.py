"""Int8 is chosen on validation images, and what it costs is said by a paired test on test images."""

import numpy as np
import onnx
import pytest
from scipy import stats

from bakeoff.deploy import quantize as quantize_module
from bakeoff.deploy.bundle import Bundle
from bakeoff.deploy.graph import NETWORK
from bakeoff.deploy.quantize import TRIES, Speed, measure_speed, quantize
from bakeoff.errors import ConfigError
from bakeoff.use import export


@pytest.fixture(scope="module")
def found(colours, tmp_path_factory):
    return export(
        colours.run("colours", "plain", 0).path, out=tmp_path_factory.mktemp("int8") / "x.onnx",
        base_dir=colours.path.parent, quantize="int8", index=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def images(colours, class_folders, exported):
    """Drawn images and labels of a part."""
    from bakeoff.data.decode import load_image

    def of(part):
        rows = [row for row in colours.read_manifest("colours") if row["part"] == part]
        drawn = [load_image(class_folders / row["file"], 16) for row in rows]
        labels = [exported.about.class_ids.index(row["class"]) for row in rows]
        return np.stack(drawn), np.array(labels)

    return of


def test_the_networks_convolution_has_weights_of_one_byte_and_the_drawing_is_untouched(found):
    graph = onnx.load(found.path).graph
    weights = [one for one in graph.initializer if one.name.startswith(NETWORK)]
    kept = [one for one in weights if one.data_type == onnx.TensorProto.FLOAT and len(one.dims) > 1]
    assert kept == []
    kinds = {node.op_type for node in graph.node}
    assert {"QuantizeLinear", "DequantizeLinear", "Resize", "Softmax"} <= kinds
    resize = next(node for node in graph.node if node.op_type == "Resize")
    assert resize.input[0] in {
        name for node in graph.node if node.op_type == "Transpose" for name in node.output
    }


def test_weights_are_scaled_channel_by_channel(found):
    scales = [
        one for one in onnx.load(found.path).graph.initializer
        if one.name.startswith(NETWORK) and one.name.endswith("weight_scale")
    ]  # fmt: skip
    assert [4] in [list(one.dims) for one in scales]  # of the convolution's four filters


def test_what_it_costs_is_counted_on_the_test_images(found, exported, images):
    images_NHWC, labels_N = images("test")
    before_N = Bundle.open(exported.path).score(images_NHWC).argmax(axis=1) == labels_N
    after_N = Bundle.open(found.path).score(images_NHWC).argmax(axis=1) == labels_N
    cost = found.quantized
    assert cost.test_before == before_N.mean()
    assert cost.test_after == after_N.mean()
    assert (cost.before_only, cost.after_only) == ((before_N & ~after_N).sum(), (after_N & ~before_N).sum())
    disagree = cost.before_only + cost.after_only
    expected = stats.binomtest(cost.before_only, disagree).pvalue if disagree else 1.0
    assert cost.p == pytest.approx(expected)
    assert cost.low <= cost.test_after - cost.test_before <= cost.high
    assert cost.bytes_after < cost.bytes_before


def test_the_file_says_its_own_accuracy_and_that_it_is_int8(found):
    about = Bundle.open(found.path).about
    assert about.quantized == "int8"
    assert about.name == "small-plain-int8"
    assert about.accuracy["test"] == found.quantized.test_after
    assert about.accuracy["validation"] == found.quantized.validation_after
    assert "int8" in found.card.read_text()


def test_the_agreement_with_the_record_is_that_of_the_graph_before(found):
    assert found.agreement.holds
    assert found.agreement.largest < 1e-6


def test_when_a_way_costs_too_much_the_next_is_tried_and_the_best_is_taken(
    exported, images, tmp_path, monkeypatch
):
    told = []
    real = quantize_module._static

    def spoiled(prepared, file, one, excluded, images_NHWC, about):
        """Measure the ranges of all ways but the third by black images."""
        real(prepared, file, one, excluded, images_NHWC if one is TRIES[2] else images_NHWC * 0, about)

    monkeypatch.setattr(quantize_module, "_static", spoiled)
    images_NHWC, labels_N = images("train")
    cost = quantize(
        exported.path, tmp_path / "x.onnx", keep=NETWORK, tell=told.append, calibration_NHWC=images_NHWC,
        calibration_labels_N=labels_N, test_NHWC=images_NHWC, test_labels_N=labels_N,
        before_NK=Bundle.open(exported.path).score(images_NHWC),
    )  # fmt: skip
    assert cost.what == TRIES[2].what
    assert cost.tried == 3
    assert told[:3] == [f"int8: {one.what}" for one in TRIES[:3]]


def test_without_validation_images_it_is_refused(exported, images, tmp_path):
    images_NHWC, labels_N = images("test")
    with pytest.raises(ConfigError, match="no validation images"):
        quantize(
            exported.path, tmp_path / "x.onnx", keep=NETWORK, calibration_NHWC=images_NHWC[:0],
            calibration_labels_N=labels_N[:0], test_NHWC=images_NHWC, test_labels_N=labels_N,
            before_NK=np.zeros((len(labels_N), 3), np.float32),
        )  # fmt: skip


def test_speed_is_measured_in_turns_even_with_fewer_images_than_a_batch(exported):
    class Slow:
        def __init__(self, calls):
            self.calls = calls

        def probabilities_of(self, images_NHWC):
            assert images_NHWC.shape == (64, 16, 16, 3)
            self.calls.append(self)

    calls = []
    first, second = Slow(calls), Slow(calls)
    found = measure_speed(first, second, np.zeros((5, 16, 16, 3), np.uint8), 64)
    assert isinstance(found, Speed)
    turns = [one for one, before in zip(calls[2:], calls[1:], strict=False) if one is not before]
    assert len(turns) >= 2 * quantize_module.TURNS - 1
