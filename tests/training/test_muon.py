"""Muon: its matrices against exact singular values, its steps against timm's in the same precision."""

import copy
from functools import partial

import pytest
import timm.optim.muon
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bakeoff.training import muon
from bakeoff.training.muon import POLYNOMIALS, Muon, is_matrix, orthogonal


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def exact(matrices_NRC: torch.Tensor) -> torch.Tensor:
    """Apply the polynomials to singular values, in float64."""
    left, values, right = torch.linalg.svd(matrices_NRC.double(), full_matrices=False)
    values = values / matrices_NRC.double().norm(dim=(1, 2))[:, None]
    for a, b, c in POLYNOMIALS:
        values = a * values + b * values**3 + c * values**5
    return (left * values[:, None]) @ right


SHAPES = [(1, 8, 8), (3, 16, 20), (2, 16, 144), (1, 64, 576), (2, 144, 16), (1, 4, 512)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_singular_values_are_those_of_the_polynomials(shape, scale):
    matrices_NRC = scale * drawn(*shape)
    torch.testing.assert_close(orthogonal(matrices_NRC), exact(matrices_NRC).float(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 32, 40), (1, 32, 288)])
def test_matrices_of_few_directions_stay_what_they_are(shape):
    """Gradients are often nearly of low rank: what is nought, up to rounding, must not grow."""
    _, high, wide = shape
    low = drawn(1, high, 3) @ drawn(1, 3, wide, seed=1)
    made = orthogonal(low)
    assert made.isfinite().all()
    torch.testing.assert_close(made, exact(low).float(), rtol=0, atol=2e-2)


@pytest.mark.parametrize("shape", [(8, 8), (20, 16), (16, 31), (16, 32), (64, 16, 3, 3), (8, 1, 3, 3), (8,)])
def test_multiplications_are_those_that_torch_counts_in_a_step(shape):
    weight = nn.Parameter(drawn(*shape))
    weight.grad = drawn(*shape, seed=1)
    optimizer = Muon([{"params": [weight]}], lr=0.1, momentum=0.9)
    with FlopCounterMode(display=False) as counter:
        optimizer.step()
    assert muon.multiplications([weight]) == counter.get_total_flops() / 2
    assert muon.multiplications([weight, weight.to("meta")]) == counter.get_total_flops()


def test_nothing_in_gives_nothing_out():
    assert torch.equal(orthogonal(torch.zeros(2, 8, 32)), torch.zeros(2, 8, 32))


@pytest.mark.parametrize(
    ("shape", "whether"),
    [
        ((8, 16), True), ((16, 8, 3, 3), True), ((8,), False), ((8, 1, 3, 3), False), ((1, 8), False),
        ((3, 8), False), ((4, 1024), False), ((4, 512), True), ((), False), ((64, 4, 1, 1), True),
    ],
)  # fmt: skip
def test_depthwise_filters_vectors_and_very_long_matrices_are_none(shape, whether):
    weight = torch.zeros(shape)
    assert is_matrix(weight) is whether
    assert whether is timm.optim.muon._is_suitable_for_muon(weight)


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8),
        nn.Conv2d(8, 16, 1), nn.ReLU(), nn.Conv2d(16, 16, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4),
    )  # fmt: skip


def trained(network: nn.Module, optimizer: torch.optim.Optimizer, steps: int, start: int = 0) -> None:
    for step in range(start, start + steps):
        optimizer.zero_grad(set_to_none=True)
        logits_BK = network(drawn(12, 3, 8, 8, seed=step))
        nn.functional.cross_entropy(logits_BK, torch.arange(12) % 4).backward()
        optimizer.step()


def groups_of(network: nn.Module, decay: float) -> list[dict]:
    return [
        {"params": [p for p in network.parameters() if (p.ndim > 1) == matrix], "weight_decay": kept}
        for matrix, kept in ((True, decay), (False, 0.0))
    ]


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_matrices_move_as_timms_do_in_single_precision(layout, decay, monkeypatch):
    newton = timm.optim.muon.zeropower_via_newtonschulz
    monkeypatch.setattr(timm.optim.muon, "zeropower_via_newtonschulz", partial(newton, dtype=torch.float32))
    ours, theirs = small(), small()
    ours.to(memory_format=layout)
    mine = Muon(groups_of(ours, decay), lr=0.02, momentum=0.9)
    peer = timm.optim.muon.Muon(groups_of(theirs, decay), lr=0.02, momentum=0.9, nesterov=True)
    for step in range(3):
        for optimizer in (mine, peer):
            optimizer.zero_grad(set_to_none=True)
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            own_layout = layout if one.ndim == 4 else torch.preserve_format
            one.grad = drawn(*one.shape, seed=step).to(memory_format=own_layout)
            other.grad = drawn(*one.shape, seed=step)
        mine.step()
        peer.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        if is_matrix(one):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_what_is_no_matrix_moves_as_by_adamw():
    ours, theirs = small(), small()
    mine, peer = (
        make([{"params": [p for p in network.parameters() if not is_matrix(p)], "weight_decay": 0.1}])
        for make, network in (
            (partial(Muon, lr=0.01, momentum=0.9), ours),
            (partial(torch.optim.AdamW, lr=0.01, betas=(0.9, 0.95), eps=1e-7, fused=True), theirs),
        )
    )
    trained(ours, mine, 4)
    trained(theirs, peer, 4)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_a_training_that_is_taken_up_again_ends_in_the_same_weights():
    whole, halves = small(), small()
    make = partial(Muon, lr=0.02, momentum=0.9)
    trained(whole, make(groups_of(whole, 0.1)), 6)
    first = make(groups_of(halves, 0.1))
    trained(halves, first, 3)
    kept = copy.deepcopy(first.state_dict())
    second = make(groups_of(halves, 0.1))
    second.load_state_dict(kept)
    trained(halves, second, 3, start=3)
    for one, other in zip(whole.parameters(), halves.parameters(), strict=True):
        assert torch.equal(one, other)


def test_weights_of_three_and_five_axes_are_matrices_of_their_rows():
    for shape in ((6, 4, 5), (6, 4, 2, 2, 3)):
        deep, flat = nn.Parameter(drawn(*shape)), nn.Parameter(drawn(*shape).reshape(6, -1))
        for weight in (deep, flat):
            weight.grad = drawn(*shape, seed=1).reshape(weight.shape)
            Muon([{"params": [weight]}], lr=0.02, momentum=0.9).step()
        assert torch.equal(deep.reshape(6, -1), flat)


def test_weights_without_a_gradient_stay():
    network = small()
    before = copy.deepcopy(network.state_dict())
    optimizer = Muon(groups_of(network, 0.1), lr=0.02, momentum=0.9)
    optimizer.step()
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not optimizer.state


@pytest.mark.parametrize(
    ("columns", "other"), [(24, "_by_its_square"), (32, "_by_itself"), (288, "_by_itself")]
)
def test_the_cheaper_way_is_taken(columns, other, monkeypatch):
    monkeypatch.setattr(muon, other, lambda _: pytest.fail(f"{other} for {columns} columns"))
    orthogonal(drawn(1, 16, columns))
