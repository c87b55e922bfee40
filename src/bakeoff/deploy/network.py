"""A network as an ONNX graph, traced by torch: from normalized pixels to logits.

Shape letters: B images, C channels, H rows, W columns, K classes, F features.
"""

from __future__ import annotations

import copy
import io
import logging
import warnings
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from bakeoff.deploy.bundle import EMBEDDING
from bakeoff.errors import ConfigError, ResourceError, to_install
from bakeoff.models.convolutions import plain_convolutions

if TYPE_CHECKING:  # other forms than ONNX go without it
    import onnx

OPSET = 20  # ai.onnx; antialiased resizing exists from 18 on
PIXELS, LOGITS = "pixels", "logits"  # what the network's graph takes and gives
EXAMPLES = 2  # images of a trace: one alone would be taken for a constant
LARGEST = 2_000_000_000  # bytes of a file of protocol buffers


class _Logits(nn.Module):
    """A network whose one argument has a name of ours, and whose answer is of single precision."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute logits_BK."""
        logits_BK: Tensor = self.network(pixels)
        return logits_BK.float()


def trace_network(network: nn.Module, input_size: int, *, name: str) -> onnx.ModelProto:
    """Turn a network into an ONNX graph for any number of images.

    Args:
        network: In evaluation mode, on the processor; left as it is.
        input_size: Pixels of both sides.
        name: Its candidate's, for messages.

    Returns:
        Takes `pixels`, gives `logits` and `embedding`.

    Raises:
        ConfigError: torch cannot trace it, or it became too large for one file.
        ResourceError: What torch's exporter needs is not installed.
    """
    plain = copy.deepcopy(network)
    plain_convolutions(plain)
    examples_BCHW = torch.randn(
        EXAMPLES, 3, input_size, input_size, generator=torch.Generator().manual_seed(0)
    )
    quiet = logging.getLogger("torch.onnx"), logging.getLogger("onnxscript")
    levels = [logger.level for logger in quiet]
    try:
        for logger in quiet:
            logger.setLevel(logging.ERROR)
        traced = trace(_Logits(plain), examples_BCHW, name=PIXELS)
        with torch.no_grad(), warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                traced, input_names=[PIXELS], output_names=[LOGITS], opset_version=OPSET,
                dynamo=True, external_data=False, verbose=False,
            )  # fmt: skip
    except ModuleNotFoundError as error:
        raise ResourceError(
            f"export: torch needs {error.name}, which is not installed; {to_install('export')}"
        ) from None
    except Exception as error:  # of a user's network, anything
        raise ConfigError(f"export: '{name}' cannot be traced to ONNX ({_reason(error)})") from error
    finally:
        for logger, level in zip(quiet, levels, strict=True):
            logger.setLevel(level)
    if program is None:
        raise ConfigError(f"export: '{name}' cannot be traced to ONNX")
    found: onnx.ModelProto = program.model_proto
    give_embedding(found.graph)
    if found.ByteSize() > LARGEST:
        raise ConfigError(f"export: '{name}' has more than 2 GB, which one ONNX file cannot hold")
    return found


def give_embedding(graph: onnx.GraphProto) -> None:
    """Let a network's graph also give what its last dense layer is fed; without one, its logits again.

    Args:
        graph: Gives `logits`; changed in place.
    """
    from onnx import TensorProto, helper

    name, width = _fed_to_last_dense(graph)
    graph.node.append(helper.make_node("Identity", [name], [EMBEDDING], name=EMBEDDING))
    graph.output.append(helper.make_tensor_value_info(EMBEDDING, TensorProto.FLOAT, ["N", width]))


def _fed_to_last_dense(graph: onnx.GraphProto) -> tuple[str, int]:
    """Find the input of the last dense layer, which has a row for each image, and its width."""
    weights = {one.name: one for one in graph.initializer}
    ranks = {one.name: len(one.type.tensor_type.shape.dim) for one in graph.value_info}
    for node in reversed(graph.node):
        dense = node.op_type == "Gemm" or (node.op_type == "MatMul" and ranks.get(node.input[0]) == 2)
        if dense and node.input[1] in weights:
            turned = any(one.name == "transB" and one.i for one in node.attribute)
            return node.input[0], weights[node.input[1]].dims[1 if turned else 0]
    return LOGITS, graph.output[0].type.tensor_type.shape.dim[1].dim_value


def trace(module: nn.Module, examples: Tensor, *, name: str) -> torch.export.ExportedProgram:
    """Trace a module for any number of images.

    Following Python comes first; where that takes the number of images for a constant, as it does at
    ``len(images)``, reading its bytecode may not.

    Args:
        module: Of one tensor.
        examples: Two images or more.
        name: Of the module's argument.

    Returns:
        The program.

    Raises:
        Exception: Whatever torch or the module raises.
    """
    first: Exception | None = None
    for strict in (False, True):
        try:
            with torch.no_grad(), warnings.catch_warnings(), redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                return torch.export.export(
                    module.eval(), (examples,), strict=strict,
                    dynamic_shapes={name: {0: torch.export.Dim("N", min=1)}},
                )  # fmt: skip
        except Exception as error:
            first = first or error
    raise first or ValueError("nothing was tried")


def _reason(error: BaseException) -> str:
    """Say in one line what went wrong, from the innermost error: torch wraps it in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
