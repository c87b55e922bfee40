"""Where in an image a trained network sees what it answers: Grad-CAM, or occlusion where that has no place.

Grad-CAM weighs each of a layer's maps by how much the class's score rises with it. It needs maps
through which all of the image passes, behind a convolution, and they need a few positions: a map
of 1x1 attributes nothing. So the network is walked back from its end to the last such maps of 4x4
or more (or to the largest there are), and which those were is said with the result. What has none,
such as a transformer, gets occlusion, which asks nothing of a network but its answers.

Not here: which images are worth it (`evidence.disagreement`), and how a map is drawn (`report`).

Shape letters: B images of a batch, N images, C channels, H rows and W columns of the images, h and
w of the maps, K classes.

Sources: Selvaraju et al., "Grad-CAM", ICCV 2017, eq. 1 and 2; Zeiler and Fergus, "Visualizing and
Understanding Convolutional Networks", ECCV 2014, section 4.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bakeoff.models.modes import evaluating
from bakeoff.training.classifier import Classifier

Method = Literal["Grad-CAM", "occlusion"]

SMALLEST_SIDE = 4  # positions a side that maps should have to say where something is
BATCH = 16  # images whose maps of all layers are held at once
CELLS = 8  # grey patches a side; each covers two cells by two, so that neighbours overlap
GREY = 128  # of a patch, in every channel


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """Where a network saw what it answered, for images of one size."""

    method: Method
    layer: str  # whose maps; empty for occlusion
    reason: str  # why not the very last layer, or why occlusion; empty where there is nothing to explain
    maps_Nhw: np.ndarray  # float32, at least 0: what speaks for the class, on the scale of its score
    class_N: np.ndarray  # int64, the class that is explained
    probability_N: np.ndarray  # float32, of that class
    size: tuple[int, int]  # rows and columns of the images

    @property
    def heat_NHW(self) -> np.ndarray:
        """Bring the maps to the images' size and each to [0, 1] (float32); 0 where nothing speaks for it."""
        return heat(torch.from_numpy(self.maps_Nhw), self.size).numpy()

    @property
    def silent_N(self) -> np.ndarray:
        """Tell of each image whether nothing in it speaks for the class, so that its map is empty."""
        silent_N: np.ndarray = self.maps_Nhw.max(axis=(1, 2)) <= 0
        return silent_N


def attribute(
    model: Classifier, images_NHWC: np.ndarray, class_N: np.ndarray | None = None, *, cells: int = CELLS
) -> Attribution:
    """Find where in images a model sees a class; by Grad-CAM where it has maps, else by occlusion.

    The model is left as it came: its mode, its weights, their gradients and its hooks.

    Args:
        model: On any device; it computes as in evaluation, in the precision of its weights.
        images_NHWC: Bytes of one size, three channels.
        class_N: Which class of each image; None is the one that the model answers.
        cells: Of occlusion, a side.

    Returns:
        The maps, and how they came about.
    """
    device = next(model.parameters()).device
    with evaluating(model), torch.inference_mode(False):
        images_BHWC = torch.from_numpy(np.array(images_NHWC)).to(device)
        found: _Maps | str = "there are no images"
        parts = []
        for start in range(0, len(images_BHWC), BATCH):
            wanted_B = None if class_N is None else torch.from_numpy(class_N[start : start + BATCH])
            found = grad_cam(model, images_BHWC[start : start + BATCH], wanted_B)
            if isinstance(found, str):
                break
            parts.append(found)
        if isinstance(found, str):
            wanted_N = None if class_N is None else torch.from_numpy(class_N)
            parts = [occlusion(model, images_BHWC, wanted_N, cells=cells)]
    return Attribution(
        method="occlusion" if isinstance(found, str) else "Grad-CAM",
        layer=parts[0].layer,
        reason=found if isinstance(found, str) else found.reason,
        maps_Nhw=torch.cat([part.maps_Bhw for part in parts]).cpu().numpy(),
        class_N=torch.cat([part.class_B for part in parts]).cpu().numpy(),
        probability_N=torch.cat([part.probability_B for part in parts]).cpu().numpy(),
        size=(int(images_NHWC.shape[1]), int(images_NHWC.shape[2])),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Maps:
    """What one batch gave."""

    maps_Bhw: Tensor
    class_B: Tensor
    probability_B: Tensor
    layer: str = ""
    reason: str = ""


# Arithmetic


def weighted_maps(activations_BChw: Tensor, gradients_BChw: Tensor) -> Tensor:
    """Weigh each map by its gradient, averaged over positions, and keep what speaks for the class.

    Args:
        activations_BChw: Maps of a layer.
        gradients_BChw: Of the class's score, by every number of the maps.

    Returns:
        maps_Bhw, at least 0.

    Source:
        Selvaraju et al., "Grad-CAM", ICCV 2017, eq. 1 and 2.

    >>> maps = torch.tensor([[[[1.0, 2.0]], [[5.0, 1.0]]]])
    >>> gradients = torch.tensor([[[[2.0, 4.0]], [[-1.0, -1.0]]]])
    >>> weighted_maps(maps, gradients).tolist()  # 3 * 1 - 5 is below 0; 3 * 2 - 1
    [[[0.0, 5.0]]]
    """
    weights_BC = gradients_BChw.float().mean(dim=(2, 3))
    return torch.einsum("bc,bchw->bhw", weights_BC, activations_BChw.float()).relu()


def heat(maps_Bhw: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring maps to an image's size, bilinearly, and the strongest place of each to 1.

    Args:
        maps_Bhw: At least 0.
        size: Rows and columns.

    Returns:
        heat_BHW in [0, 1]; a map that is 0 everywhere stays so.
    """
    heat_BHW = functional.interpolate(maps_Bhw[:, None], size=size, mode="bilinear", align_corners=False)[
        :, 0
    ]
    most_B11 = heat_BHW.amax(dim=(1, 2), keepdim=True)
    return torch.where(most_B11 > 0, heat_BHW / most_B11, torch.zeros_like(heat_BHW))


def log_odds(logits_BK: Tensor, class_B: Tensor) -> Tensor:
    """Compute log(p / (1 - p)) of a class; unlike a probability near 1, it still falls when evidence goes.

    >>> log_odds(torch.tensor([[2.0, 0.0]]), torch.tensor([0])).tolist()
    [2.0]
    """
    own_B1 = class_B[:, None]
    others_BK = logits_BK.scatter(1, own_B1, float("-inf"))
    return logits_BK.gather(1, own_B1)[:, 0] - others_BK.logsumexp(dim=1)


# Grad-CAM


def grad_cam(model: Classifier, images_BHWC: Tensor, class_B: Tensor | None = None) -> _Maps | str:
    """Compute the maps of a batch.

    Args:
        model: In evaluation mode.
        images_BHWC: Bytes.
        class_B: As for `attribute`.

    Returns:
        The maps; or why there are none, as the end of a sentence about the network.
    """
    with torch.enable_grad():
        images_BCHW = model.preprocess(images_BHWC).detach().requires_grad_()
        with _listening(model.network) as outputs:
            # A copy, because a network may begin by changing in place what it is given.
            logits_BK = model.network(images_BCHW.clone())
        class_B = logits_BK.argmax(dim=1) if class_B is None else class_B.to(logits_BK.device)
        score = logits_BK.gather(1, class_B[:, None]).sum()
        chosen = _last_maps(outputs, score, images_BCHW)
        if isinstance(chosen, str):
            return chosen
        (gradients_BChw,) = torch.autograd.grad(score, chosen.values)
    return _Maps(
        maps_Bhw=weighted_maps(chosen.values.detach(), gradients_BChw),
        class_B=class_B,
        probability_B=logits_BK.detach().float().softmax(dim=1).gather(1, class_B[:, None])[:, 0],
        layer=chosen.name,
        reason=_what_lies_behind(outputs, chosen),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Output:
    """What a layer gave in one of its calls."""

    name: str
    layer: nn.Module
    values: Tensor
    version: int  # of the values at the end of the call; what follows may change them in place

    @property
    def side(self) -> int:
        """The shorter side of its maps."""
        return min(self.values.shape[2:])


@contextmanager
def _listening(network: nn.Module) -> Iterator[list[_Output]]:
    """Collect the output of every layer in the order of the calls."""
    heard: list[_Output] = []

    def listener(name: str) -> Any:
        def hear(layer: nn.Module, _: Any, values: Any) -> None:
            if isinstance(values, Tensor):
                heard.append(_Output(name, layer, values, values._version))

        return hear

    handles = [module.register_forward_hook(listener(name)) for name, module in network.named_modules()]
    try:
        yield heard
    finally:
        for handle in handles:
            handle.remove()


def _last_maps(outputs: list[_Output], score: Tensor, images_BCHW: Tensor) -> _Output | str:
    """Find the last maps that Grad-CAM can use, or say why there are none."""
    maps = [one for one in outputs if _is_map(one, images_BCHW)]
    large = [one for one in maps if one.side >= SMALLEST_SIDE]
    small = sorted((one for one in maps if one.side < SMALLEST_SIDE), key=lambda one: one.side)
    for one in (*reversed(large), *reversed(small)):  # sorting is stable: of equal ones the last comes first
        if _is_passage(one.values, score, images_BCHW):
            if _tokens_after(outputs, one):
                return "it works on rows of patches, not on maps"
            return _named(one, maps)
    return "no convolution of it gives maps through which all of the image passes"


def _is_map(output: _Output, images_BCHW: Tensor) -> bool:
    """Tell whether an output is laid out as the images are: by image, channel, row and column."""
    shape, (count, _, height, width) = output.values.shape, images_BCHW.shape
    if output.values.ndim != 4 or shape[0] != count or shape[2] * shape[3] <= 1:
        return False
    # With its channels last, as some transformers have them, or by head of attention, the sides do not fit.
    fits = abs(shape[2] / height - shape[3] / width) * max(height, width) <= 1
    return fits and output.values.requires_grad and not isinstance(output.layer, nn.Linear)


def _is_passage(values: Tensor, score: Tensor, images_BCHW: Tensor) -> bool:
    """Tell whether maps come from a convolution, and the score hangs on the image through them alone."""
    if values.grad_fn is None or not any("conv" in node.name().lower() for node, _ in _before(values)):
        return False
    apart = _before(score, without=(values.grad_fn, values.output_nr))
    return all(getattr(node, "variable", None) is not images_BCHW for node, _ in apart)


def _before(values: Tensor, without: tuple[Any, int] | None = None) -> set[tuple[Any, int]]:
    """Collect the operations (and which of their outputs) that a tensor was computed by.

    Args:
        values: Where the walk begins.
        without: An output behind which the walk does not look.

    Returns:
        Nodes of autograd's graph.
    """
    seen: set[tuple[Any, int]] = set()
    ahead: list[tuple[Any, int]] = [(values.grad_fn, values.output_nr)]
    while ahead:
        edge = ahead.pop()
        if edge[0] is None or edge == without or edge in seen:
            continue
        seen.add(edge)
        ahead += edge[0].next_functions
    return seen


def _tokens_after(outputs: list[_Output], maps: _Output) -> bool:
    """Tell whether behind the maps a dense layer works on rows of vectors: a transformer, or a mixer."""
    behind = outputs[outputs.index(maps) + 1 :]
    return any(
        isinstance(one.layer, nn.Linear) and one.values.ndim == 3 and one.values.shape[1] > 1
        for one in behind
    )


def _named(chosen: _Output, maps: list[_Output]) -> _Output:
    """Name maps by the first layer that gave them as they are now, or else by the last one."""
    same = [one for one in maps if one.values is chosen.values]
    final = [one for one in same if one.version == chosen.values._version]
    return (final or same[-1:])[0]


def _what_lies_behind(outputs: list[_Output], chosen: _Output) -> str:
    """Say how small the maps of a last convolution are that was passed over."""
    last_call = max(at for at, one in enumerate(outputs) if one.values is chosen.values)
    behind = [one for one in outputs[last_call:] if _convolves(one) and one.side < chosen.side]
    if not behind:
        return ""
    rows, columns = behind[-1].values.shape[2:]
    return f"its last convolution, {behind[-1].name}, gives maps of {rows} x {columns}"


def _convolves(output: _Output) -> bool:
    """Tell whether an output is a convolution's; one of one pixel by one pixel is a dense layer."""
    layer = output.layer
    if not isinstance(layer, nn.Conv2d) or output.values.ndim != 4:
        return False
    return output.values.shape[2:].numel() > 1 or layer.kernel_size != (1, 1)


# Occlusion


@torch.no_grad()
def occlusion(
    model: Classifier, images_BHWC: Tensor, class_B: Tensor | None = None, *, cells: int = CELLS
) -> _Maps:
    """Measure how far the log-odds of a class fall when a grey patch covers a place.

    Args:
        model: In evaluation mode.
        images_BHWC: Bytes.
        class_B: As for `attribute`.
        cells: Places a side; fewer where the images have fewer pixels.

    Returns:
        Maps of (cells, cells); 0 where a patch makes no difference or the class likelier.

    Source:
        Zeiler and Fergus, ECCV 2014, section 4.2; log-odds in the place of the probability.
    """
    (height, width), logits_BK = images_BHWC.shape[1:3], _in_parts(model, images_BHWC)
    rows, columns = min(cells, height), min(cells, width)
    class_B = logits_BK.argmax(dim=1) if class_B is None else class_B.to(logits_BK.device)
    whole_B = log_odds(logits_BK, class_B)
    maps_Bhw = torch.zeros(len(images_BHWC), rows, columns)
    for row in range(rows):
        for column in range(columns):
            hidden_BHWC = images_BHWC.clone()
            hidden_BHWC[:, _patch(row, rows, height), _patch(column, columns, width)] = GREY
            left_B = log_odds(_in_parts(model, hidden_BHWC), class_B)
            maps_Bhw[:, row, column] = (whole_B - left_B).relu().cpu()
    return _Maps(
        maps_Bhw=maps_Bhw,
        class_B=class_B,
        probability_B=logits_BK.softmax(dim=1).gather(1, class_B[:, None])[:, 0],
    )


def _patch(cell: int, cells: int, pixels: int) -> slice:
    """Cover a cell and half of both its neighbours.

    >>> _patch(0, 8, 64), _patch(3, 8, 64), _patch(7, 8, 64)
    (slice(0, 12, None), slice(20, 36, None), slice(52, 64, None))
    """
    step = pixels / cells
    return slice(max(0, round((cell - 0.5) * step)), min(pixels, round((cell + 1.5) * step)))


def _in_parts(model: Classifier, images_BHWC: Tensor) -> Tensor:
    """Compute logits_BK, a few images at a time."""
    return torch.cat([model(part_BHWC).float() for part_BHWC in images_BHWC.split(BATCH)])
