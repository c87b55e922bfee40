"""An exported classifier's graph around its network: from bytes of any size to probabilities.

In this order, each as it was when the run was scored:

1. images of another size than the study's are cut, padded or stretched, and resized, as `data.decode` does;
2. views, where the recipe asks for several: rows and columns gathered;
3. the network's own size, by whole numbers (`resizing`);
4. normalization;
5. the network;
6. the mean of the views, the temperature, softmax.

ONNX Runtime resizes bytes after Pillow's own code, so that step 1 differs from Pillow by two
of 255 at most (docs/findings.md). Images of the study's size pass it untouched.

Shape letters: N images, V views, H rows, W columns, S pixels of the study's images, I of the network's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper
from onnx.parser import parse_graph

from bakeoff.data.decode import Fit
from bakeoff.data.preprocess import Preprocess
from bakeoff.deploy.bundle import EMBEDDING, IMAGES, KEY, PROBABILITIES
from bakeoff.deploy.network import LOGITS, PIXELS
from bakeoff.deploy.resizing import byte_weights
from bakeoff.deploy.views import view_indices
from bakeoff.spec.recipe import TestViews

IR_VERSION = 10
NETWORK = "network/"  # in front of every name of the network's own part


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What stands around a network."""

    image_size: int
    fit: Fit
    preprocess: Preprocess
    views: TestViews = "one"
    temperature: float = 1.0


def assemble(network: onnx.ModelProto, around: Surroundings, about: str) -> onnx.ModelProto:
    """Put preprocessing and softmax around a network.

    Args:
        network: Takes `pixels`, (N, 3, I, I) float32; gives `logits` and `embedding`.
        around: How images become pixels, and logits probabilities.
        about: What the file says about itself, as JSON.

    Returns:
        Takes `images`, gives `probabilities` and `embedding`.
    """
    network = compose.add_prefix(network, NETWORK)
    classes, features = (output.type.tensor_type.shape.dim[1].dim_value for output in network.graph.output)
    nodes = _Nodes()
    views = view_indices(around.image_size, around.views)
    pixels = _normalized(nodes, _views(nodes, _drawn(nodes, around), views), around)
    nodes.add("Identity", [pixels], NETWORK + PIXELS)
    front = len(nodes.nodes)
    _answer(nodes, views, around.temperature, classes)
    graph = helper.make_graph(
        [*nodes.nodes[:front], *network.graph.node, *nodes.nodes[front:]],
        "classifier",
        [helper.make_tensor_value_info(IMAGES, TensorProto.UINT8, ["N", "H", "W", 3])],
        [
            helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, ["N", classes]),
            helper.make_tensor_value_info(EMBEDDING, TensorProto.FLOAT, ["N", features]),
        ],
        [*nodes.initializers, *network.graph.initializer],
    )
    model = helper.make_model(
        graph, opset_imports=_opsets(network), ir_version=IR_VERSION, producer_name="bakeoff"
    )
    helper.set_model_props(model, {KEY: about})
    return model


@dataclass
class _Nodes:
    """Nodes in order, and the constants that they take."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)

    def add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node with one output, and return its name."""
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: np.ndarray) -> str:
        """Add a constant, and return its name."""
        self.initializers.append(numpy_helper.from_array(value, name))
        return name

    def text(self, body: str) -> None:
        """Add nodes and constants written as ONNX's own text."""
        graph = parse_graph(f"part () => () {{ {body} }}")
        self.nodes += graph.node


_CROP = """
    size = Shape <start = 1, end = 3> (images)
    two = Constant <value_ints = [2]> ()
    rows_columns = Constant <value_ints = [1, 2]> ()
    side = ReduceMin <keepdims = 1> (size)
    rest = Sub (size, side)
    first = Div (rest, two)
    last = Add (first, side)
    squared = Slice (images, first, last, rows_columns)
"""
_RESIZE = """
    planes = Transpose <perm = [0, 3, 1, 2]> ({images})
    head = Shape <start = 0, end = 2> (planes)
    target = Concat <axis = 0> (head, inner)
    {drawn} = Resize <mode = "cubic", antialias = 1, exclude_outside = 1, cubic_coeff_a = -0.5,
        coordinate_transformation_mode = "half_pixel"> (planes, , , target)
"""
_INNER = """
    size = Shape <start = 1, end = 3> (images)
    sides = Cast <to = 11> (size)
    longest = ReduceMax <keepdims = 1> (sides)
    scale = Div (side_in_double, longest)
    scaled = Mul (sides, scale)
    rounded = Round (scaled)
    whole = Cast <to = 7> (rounded)
    one = Constant <value_ints = [1]> ()
    inner = Max (whole, one)
"""
_PAD = """
    two = Constant <value_ints = [2]> ()
    rest = Sub (square_sides, inner)
    before = Div (rest, two)
    after = Sub (rest, before)
    none = Constant <value_ints = [0, 0]> ()
    border = Concat <axis = 0> (none, before, none, after)
    drawn = Pad <mode = "constant"> (fitted, border)
"""


def _drawn(nodes: _Nodes, around: Surroundings) -> str:
    """Draw images of any size as `data.decode.square` does: bytes (N, 3, S, S)."""
    size = around.image_size
    if around.fit == "pad":
        nodes.constant("side_in_double", np.array([size], np.float64))
        nodes.constant("square_sides", np.array([size, size], np.int64))
        nodes.text(_INNER)
        nodes.text(_RESIZE.format(images=IMAGES, drawn="fitted"))
        nodes.text(_PAD)
        return "drawn"
    nodes.constant("inner", np.array([size, size], np.int64))
    if around.fit == "crop":
        nodes.text(_CROP)
    nodes.text(_RESIZE.format(images="squared" if around.fit == "crop" else IMAGES, drawn="drawn"))
    return "drawn"


def _views(nodes: _Nodes, drawn: str, views: Sequence[tuple[float, np.ndarray, np.ndarray]]) -> str:
    """Stack the views of all images, view by view: (V N, 3, S, S)."""
    if len(views) == 1:
        return drawn
    seen = []
    for number, (_, rows_S, columns_S) in enumerate(views):
        rows = nodes.constant(f"view{number}_rows", rows_S)
        columns = nodes.constant(f"view{number}_columns", columns_S)
        shifted = nodes.add("Gather", [drawn, rows], f"view{number}_shifted", axis=2)
        seen.append(nodes.add("Gather", [shifted, columns], f"view{number}", axis=3))
    return nodes.add("Concat", seen, "viewed", axis=0)


def _normalized(nodes: _Nodes, images: str, around: Surroundings) -> str:
    """Do what `Preprocess` does: resize bytes to bytes, then normalize."""
    preprocess, size = around.preprocess, around.image_size
    if preprocess.input_size != size:
        mode = preprocess.interpolation if size > preprocess.input_size else "bilinear"
        weights = byte_weights(size, preprocess.input_size, mode)
        nodes.constant("resize_columns", np.ascontiguousarray(weights.weights_MN.T))
        nodes.constant("resize_rows", weights.weights_MN)
        nodes.constant("half", np.array(2.0 ** (weights.bits - 1)))
        nodes.constant("share", np.array(2.0**-weights.bits))
        nodes.constant("least", np.array(0.0))
        nodes.constant("most", np.array(255.0))
        exact = nodes.add("Cast", [images], "exact", to=TensorProto.DOUBLE)
        sums = nodes.add("MatMul", [exact, "resize_columns"], "resized_columns_sums")
        across = _as_bytes(nodes, sums, "resized_columns")
        sums = nodes.add("MatMul", ["resize_rows", across], "resized_rows_sums")
        images = _as_bytes(nodes, sums, "resized_rows")
    floats = nodes.add("Cast", [images], "floats", to=TensorProto.FLOAT)
    nodes.constant("mean", preprocess.mean.numpy())
    nodes.constant("scale_of_channels", preprocess.scale.numpy())
    centred = nodes.add("Sub", [floats, "mean"], "centred")
    return nodes.add("Mul", [centred, "scale_of_channels"], "normalized")


def _as_bytes(nodes: _Nodes, sums: str, name: str) -> str:
    """Round sums of whole weights to whole numbers of 0 to 255."""
    raised = nodes.add("Add", [sums, "half"], f"{name}_raised")
    shared = nodes.add("Mul", [raised, "share"], f"{name}_shared")
    whole = nodes.add("Floor", [shared], f"{name}_whole")
    return nodes.add("Clip", [whole, "least", "most"], name)


def _answer(
    nodes: _Nodes, views: Sequence[tuple[float, np.ndarray, np.ndarray]], temperature: float, classes: int
) -> None:
    """Average logits over views, divide by the temperature, and turn them into probabilities."""
    logits, embedding = NETWORK + LOGITS, NETWORK + EMBEDDING
    if len(views) > 1:
        shape = nodes.constant("by_view", np.array([len(views), -1, classes], np.int64))
        weights = nodes.constant(
            "view_weights", np.array([w for w, _, _ in views], np.float32)[:, None, None]
        )
        apart = nodes.add("Reshape", [logits, shape], "logits_by_view")
        weighed = nodes.add("Mul", [apart, weights], "logits_weighed")
        axis = nodes.constant("axis_of_views", np.array([0], np.int64))
        logits = nodes.add("ReduceSum", [weighed, axis], "logits_of_images", keepdims=0)
        nodes.text("count = Shape <start = 0, end = 1> (images)")
        start = nodes.constant("from_first", np.array([0], np.int64))
        embedding = nodes.add("Slice", [embedding, start, "count", axis], "embedding_of_first_view")
    if temperature != 1.0:
        nodes.constant("temperature", np.array(temperature, np.float32))
        logits = nodes.add("Div", [logits, "temperature"], "logits_calibrated")
    nodes.add("Softmax", [logits], PROBABILITIES, axis=1)
    nodes.add("Identity", [embedding], EMBEDDING)


def _opsets(network: onnx.ModelProto) -> list[onnx.OperatorSetIdProto]:
    """Return the operator sets of all parts: what stands around is written for the network's."""
    return list(network.opset_import)
