"""A network built on another one: where it is tapped, what head it gets, what stays frozen.

- **tap**: ``"output"`` stacks the head on the base's class probabilities, as the original
  study did; ``"features"`` puts it in the place of the base's last dense layer.
- **head**: dense layers with relu, and dropouts, before a dense layer of classes.
- **frozen**: layers whose weights do not move. They compute as in evaluation, so that
  batch normalisation neither uses nor updates statistics of the batch.

Where trained weights come from is somebody else's business; here they are just weights.

Shape letters: B images, F features, K classes.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bakeoff.errors import ConfigError, nearest
from bakeoff.models.dropout import Dropout
from bakeoff.models.keras_layers import Dense

Tap = Literal["output", "features"]
_LISTED_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)  # each a layer, as Keras counts
SOFTMAX = "softmax"  # Keras counts it as a layer of its own; here the loss has it


class Head(nn.Sequential):
    """Dense layers and dropouts, and a dense layer of classes at the end.

    Args:
        features: What comes in.
        layers: A whole number is the width of a dense layer with relu, a fraction the rate
            of a dropout: ``[1024, 0.5]``.
        classes: What goes out.
    """

    def __init__(self, features: int, layers: Sequence[int | float], classes: int) -> None:
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        for position, entry in enumerate(layers, start=1):
            if isinstance(entry, float):
                parts[f"dropout{position}"] = Dropout(entry)
                continue
            parts[f"dense{position}"] = Dense(features, entry)
            parts[f"dense{position}_relu"] = nn.ReLU(inplace=True)
            features = entry
        parts["output"] = Dense(features, classes)
        super().__init__(parts)

    @torch.no_grad()
    def set_output(self, weight_KF: Tensor, bias_K: Tensor) -> None:
        """Give the last dense layer its weights."""
        self.get_parameter("output.weight").copy_(weight_KF)
        self.get_parameter("output.bias").copy_(bias_K)


class Stacked(nn.Module):
    """A base network, tapped, with a head on it.

    Args:
        base: Gives logits, or features if it was cut by `without_output`.
        head: Takes what the tap gives.
        probabilities: Whether the base's logits go through a softmax.
    """

    def __init__(self, base: nn.Module, head: Head, *, probabilities: bool) -> None:
        super().__init__()
        self.base = base
        self.head = head
        self.probabilities = probabilities
        self._frozen: tuple[nn.Module, ...] = ()
        self._still: tuple[nn.Module, ...] = ()  # parts all of whose weights are frozen, if they have any
        self._norms: tuple[nn.Module, ...] = ()  # normalizations whose statistics stay the source's
        self._resting: tuple[nn.Module, ...] = ()  # layers that wait, and the weights of them that will move
        self._waiting: tuple[nn.Parameter, ...] = ()

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Compute logits_BK."""
        logits_BK: Tensor = self.head(self.tapped(images_BCHW))
        return logits_BK

    def tapped(self, images_BCHW: Tensor) -> Tensor:
        """Compute what the head is given."""
        values_BF: Tensor = self.base(images_BCHW)
        return values_BF.softmax(dim=1) if self.probabilities else values_BF

    def rates(self, source_lr: float, layer_decay: float) -> dict[nn.Parameter, float]:
        """Give each weight of the base its factor of the learning rate.

        Args:
            source_lr: Of the base's last block; the head has 1.
            layer_decay: Of each block, of the one above it.

        Returns:
            Factors of the base's weights.
        """
        groups = blocks(self.base)
        factors = {
            parameter: source_lr * layer_decay ** (len(groups) - 1 - depth)
            for depth, layers in enumerate(groups)
            for layer in layers
            for parameter in layer.parameters(recurse=False)
        }
        # What belongs to no block, such as the positions of a transformer, lies below all of them.
        lowest = source_lr * layer_decay ** max(0, len(groups) - 1)
        return {parameter: factors.get(parameter, lowest) for parameter in self.base.parameters()}

    def rest(self, count: int) -> None:
        """Let the lowest blocks of the base stand still for a while; the others move, but for what is frozen.

        What rests computes as in evaluation, as frozen layers do.

        Args:
            count: How many blocks; all of them or more let the whole base rest.
        """
        for parameter in self._waiting:
            parameter.requires_grad_(True)
        self._resting = tuple(self._lowest(count))
        self._waiting = tuple(
            parameter
            for layer in self._resting
            for parameter in layer.parameters(recurse=False)
            if parameter.requires_grad
        )
        for parameter in self._waiting:
            parameter.requires_grad_(False)
        self.train(self.training)

    def _lowest(self, count: int) -> Iterator[nn.Module]:
        """Yield the layers of the lowest blocks, and whatever holds weights but belongs to no block."""
        groups = blocks(self.base)
        if count <= 0:
            return
        if count >= len(groups):
            yield from self.base.modules()
            return
        moving = {layer for layers in groups[count:] for layer in layers}
        modules = list(self.base.modules())
        first = min(position for position, module in enumerate(modules) if module in moving)
        for position, module in enumerate(modules):
            # What has no weights rests, too, below the first block that moves: dropout, for example.
            below = position < first and moving.isdisjoint(module.modules())
            if below or (owns_weights(module) and module not in moving):
                yield module

    def keep_statistics(self) -> None:
        """Let batch normalization of the base compute with the statistics that it has, for good."""
        self._norms = tuple(
            m for m in self.base.modules() if isinstance(m, _BatchNorm) and m.track_running_stats
        )
        self.train(self.training)

    @property
    def still(self) -> tuple[nn.Module, ...]:
        """The layers whose statistics stay as they are, for good or while they rest."""
        return (*self._frozen, *self._norms, *self._resting)

    @property
    def frozen(self) -> tuple[nn.Module, ...]:
        """The layers that stay as they are."""
        return self._frozen

    def freeze(self, layers: Sequence[nn.Module]) -> None:
        """Keep layers of the base as they are: no gradients, and evaluation even in training.

        All others move, also those that a base which is such a network itself has kept still.
        """
        for module in self.modules():
            if isinstance(module, Stacked):
                module._frozen, module._still, module._norms = (), (), ()
        self.requires_grad_(True)
        self._frozen = tuple(layers)
        self._still = tuple(_without_movement(self.base, set(layers)))
        for layer in layers:
            for parameter in layer.parameters(recurse=False):
                parameter.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Stacked:
        """Switch between training and evaluation; what is frozen stays in evaluation."""
        super().train(mode)
        for layer in (*self.still, *self._still):
            layer.training = False
        return self

    def frozen_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield name and tensor of every frozen weight and of every statistic that is kept."""
        frozen, norms = set(self._frozen), set(self._norms)
        for name, layer in self.named_modules():
            if layer in frozen:
                for part, tensor in layer.named_parameters(recurse=False):
                    yield f"{name}.{part}", tensor
            if layer in frozen or layer in norms:
                for part, tensor in layer.named_buffers(recurse=False):
                    yield f"{name}.{part}", tensor

    @property
    def kept_norms(self) -> int:
        """How many batch normalizations keep the source's statistics while their weights move."""
        return len(set(self._norms) - set(self._frozen))


def is_sequence(network: nn.Module) -> TypeGuard[nn.Sequential]:
    """Tell whether a network is its layers in a row: a sequence whose class adds nothing to that."""
    return isinstance(network, nn.Sequential) and type(network).forward is nn.Sequential.forward


def is_row(base: nn.Module) -> TypeGuard[nn.Sequential]:
    """Tell the same of a whole network; ours say their shapes in a forward of their own, and are rows."""
    ours = isinstance(base, nn.Sequential) and type(base).__module__.startswith(f"{__package__}.")
    return ours or is_sequence(base)


def owns_weights(layer: nn.Module) -> bool:
    """Tell whether a layer holds weights of its own, and not only in its parts."""
    return next(layer.parameters(recurse=False), None) is not None


def _without_movement(base: nn.Module, frozen: set[nn.Module]) -> Iterator[nn.Module]:
    """Yield the parts of a base that hold weights, all of them frozen.

    Their own `training` matters, too: dropout may be a function that asks for it.
    """
    for module in base.modules():
        owners = [m for m in module.modules() if owns_weights(m)]
        if owners and all(owner in frozen for owner in owners):
            yield module


def still_layers(model: nn.Module) -> set[nn.Module]:
    """Collect every layer of a model whose statistics stay as they are, for good or while it rests."""
    return {layer for module in model.modules() if isinstance(module, Stacked) for layer in module.still}


def describe_frozen(model: nn.Module) -> dict[str, Any]:
    """Describe what of a model stays as it is, so that a change of a single bit shows.

    Args:
        model: May hold `Stacked` networks anywhere.

    Returns:
        The names of the frozen layers that hold numbers, how many parameters they have
        (statistics included), how many other normalizations keep their statistics, and the
        SHA-256 of all those numbers; nothing when nothing is kept.
    """
    hasher, layers, numbers, norms = hashlib.sha256(), [], 0, 0
    for module in model.modules():
        if not isinstance(module, Stacked):
            continue
        norms += module.kept_norms
        kept = set(module.frozen)
        frozen = {name for name, layer in module.named_modules() if layer in kept}
        for name, tensor in module.frozen_tensors():
            hasher.update(name.encode() + b"\0")
            hasher.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
            if name.rpartition(".")[0] in frozen:
                layers.append(name.rpartition(".")[0])
                numbers += tensor.numel() if tensor.is_floating_point() else 0
    if not (layers or norms):
        return {}
    found = {"layers": list(dict.fromkeys(layers)), "parameters": numbers, "sha256": hasher.hexdigest()}
    return found | ({"norms_kept": norms} if norms else {})


def blocks(network: nn.Module) -> list[list[nn.Module]]:
    """Group a network's layers with weights into blocks, from the images to the output.

    A block is a part of the network, or of a sequence in it, that holds weights; a
    normalization belongs to what it normalizes.
    """
    found: list[list[nn.Module]] = []
    for part in _parts(network):
        owners = [m for m in part.modules() if owns_weights(m)]
        if not owners:
            continue
        if found and isinstance(part, _LISTED_NORMS):
            found[-1] += owners
        else:
            found.append(owners)
    return found


def blocks_at_rest(epoch: int, blocks: int, *, head_epochs: int, unfreeze_epochs: int) -> int:
    """Count the blocks that stand still in an epoch: all at first, then one fewer at a time, from above.

    Source: Howard and Ruder, "Universal Language Model Fine-tuning", arXiv 1801.06146, section 3.3.

    Args:
        epoch: From 0.
        blocks: Of the base.
        head_epochs: At first, in which all rest.
        unfreeze_epochs: Between one block and the next; 0 lets all move at once.

    Returns:
        The lowest so many.

    >>> [blocks_at_rest(epoch, 3, head_epochs=1, unfreeze_epochs=2) for epoch in range(7)]
    [3, 2, 2, 1, 1, 0, 0]
    """
    if epoch < head_epochs:
        return blocks
    if unfreeze_epochs == 0:
        return 0
    return max(0, blocks - 1 - (epoch - head_epochs) // unfreeze_epochs)


def _parts(network: nn.Module) -> Iterator[nn.Module]:
    """Yield the children of a network, those of its sequences in their place; what lies below it first."""
    if isinstance(network, Stacked):
        yield from _parts(network.base)
        yield from network.head.children()
        return
    for child in network.children():
        if isinstance(child, nn.Sequential | nn.ModuleList):
            yield from child.children()
        else:
            yield child


def counted_layers(network: nn.Module) -> list[tuple[str, nn.Module | None]]:
    """List a network's layers as Keras counts them: those without weights too, and a softmax at the end.

    A layer is a module without parts, or one with weights of its own: timm's batch
    normalization holds its activation as a part.
    """
    layers: list[tuple[str, nn.Module | None]] = [
        (name, module)
        for name, module in network.named_modules()
        if next(module.children(), None) is None or owns_weights(module)
    ]
    return [*layers, (SOFTMAX, None)]


def all_but_last(network: nn.Module, count: int) -> list[nn.Module]:
    """List the layers before the last ones.

    Args:
        network: The base.
        count: How many stay out of the list, counted as Keras counts, 0 or more.

    Returns:
        Layers without the softmax at the end, which is none here.

    Raises:
        ConfigError: The network has fewer layers.
    """
    layers = counted_layers(network)
    if count > len(layers):
        raise ConfigError(
            f"train_last: got {count}, but the network has {len(layers)} layers; expected at most that"
        )
    return [layer for _, layer in layers[: len(layers) - count] if layer is not None]


def all_but_blocks(network: nn.Module, blocks: Sequence[str]) -> list[nn.Module]:
    """List the layers outside of named blocks.

    Args:
        network: The base.
        blocks: Names of modules, such as ``"pointwise13"`` or ``"blocks.6"``; all below them is meant.

    Returns:
        Layers with or without weights.

    Raises:
        ConfigError: The network has no such block; the nearest names are told.
    """
    names = [name for name, _ in network.named_modules() if name]
    for block in blocks:
        if block not in names:
            raise ConfigError(f"train: the network has no block '{block}'{nearest(block, names)}")
    inside = tuple(f"{block}." for block in blocks)
    return [
        layer
        for name, layer in counted_layers(network)
        if layer is not None and not (name in blocks or name.startswith(inside))
    ]


def without_output(network: nn.Module, classes: int) -> tuple[nn.Module, int]:
    """Cut a network before its last dense layer.

    Args:
        network: Gives logits; its own parts are used, not copied.
        classes: That it gives.

    Returns:
        What gives features_BF, and how many those are.

    Raises:
        ConfigError: The network has no dense layer, or its last one gives something else.
    """
    dense = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    if not dense:
        raise ConfigError(
            'tap = "features": the network has no dense layer, expected one that gives its classes'
        )
    name, last = dense[-1]
    if last.out_features != classes:
        raise ConfigError(
            f'tap = "features": the last dense layer, {name}, gives {last.out_features} values, '
            f"expected {classes}, the classes of its network"
        )
    if is_row(network) and "." not in name:
        names = [child for child, _ in network.named_children()]
        kept = names[: names.index(name)]
        return nn.Sequential(
            OrderedDict((child, getattr(network, child)) for child in kept)
        ), last.in_features
    parent = network.get_submodule(name.rpartition(".")[0])
    setattr(parent, name.rpartition(".")[2], nn.Identity())
    return network, last.in_features


def stack(
    base: nn.Module, *, base_classes: int, tap: Tap, head: Sequence[int | float], classes: int
) -> Stacked:
    """Put a head on a base; the head's weights are drawn from torch's current generator.

    Args:
        base: Gives logits of `base_classes`.
        base_classes: Of the task that the base was trained on.
        tap: Where the head is put.
        head: As `Head` takes it.
        classes: Of the task at hand.

    Returns:
        In training mode, all trainable.

    Raises:
        ConfigError: The base cannot be tapped there.
    """
    if tap == "output":
        return Stacked(base, Head(base_classes, head, classes), probabilities=True)
    body, features = without_output(base, base_classes)
    return Stacked(body, Head(features, head, classes), probabilities=False)
