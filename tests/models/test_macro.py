"""Networks from descriptions: what they compute, what they cost, and the code that builds them elsewhere."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import nn

from bakeoff.models import architecture
from bakeoff.models.architecture import architecture_digest
from bakeoff.models.catalog import build_model
from bakeoff.models.macro import SpaceToDepth, build_macro, code, weigh
from bakeoff.spec.macro import Macro, MacroStage


def drawn(seed: int) -> Macro:
    """Draw a description; all kinds of everything appear among a few dozen."""
    pick = random.Random(seed).choice
    stages = tuple(
        MacroStage(
            width=pick([8, 12]), depth=pick([0, 1, 2]), block=pick(["plain", "residual", "separable"]),
            kernel=pick([3, 5]), down=pick(["none", "pool", "stride"]),
        )
        for _ in range(pick([1, 2, 3]))
    )  # fmt: skip
    return Macro(
        stem=pick(["plain", "stride", "deep"]), stem_width=pick([4, 8]), stages=stages,
        norm=pick(["batch", "none"]), activation=pick(["relu", "silu", "gelu"]),
        attention=pick(["none", "se"]), head=pick(["average", "max"]), dropout=pick([0.0, 0.3]),
        patch=(patch := pick([1, 2, 4])), zero_init_last=pick([True, False]),
        whiten=pick([0, 0, 4] if patch > 2 else [0, 0, 2, 3, 4]), identity_start=pick([True, False]),
    )  # fmt: skip


DRAWN = [drawn(seed) for seed in range(24)]


def built(description: Macro, classes: int = 5) -> nn.Sequential:
    torch.manual_seed(1)
    return build_macro(description, classes)


@pytest.mark.parametrize("description", DRAWN[:12])
def test_pasted_code_has_the_same_weights_and_outputs(description, tmp_path):
    (tmp_path / "my_net.py").write_text(code(description))
    ours = built(description)
    torch.manual_seed(1)
    theirs = build_model("my_net.py:build", classes=5, image_size=16, base_dir=tmp_path)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, theirs.state_dict()[name]), name
    with torch.no_grad():
        for parameter in ours.parameters():  # residual bodies, too, are to say something
            parameter.add_(0.05 * torch.randn_like(parameter))
    theirs.load_state_dict(ours.state_dict())
    images_BCHW = torch.randn(2, 3, 8, 16)
    assert torch.equal(ours.eval()(images_BCHW), theirs.eval()(images_BCHW))


@pytest.mark.parametrize("description", DRAWN)
def test_every_parameter_receives_a_gradient_once_bodies_have_left_zero(description):
    network = built(description)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    network(torch.randn(4, 3, 12, 12)).square().sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("size", [(4, 8), (5, 7), (1, 1)])
def test_images_of_any_size_give_logits(size):
    for description in DRAWN:
        if min(size) < description.whiten:  # there is no whole patch
            continue
        assert built(description).eval()(torch.randn(2, 3, *size)).shape == (2, 5)


@pytest.mark.parametrize("side", [2, 4])
def test_space_to_depth_holds_every_pixel_once_and_fills_edges_with_zeros(side):
    images_BCHW = torch.arange(2 * 3 * 8 * 8, dtype=torch.float32).reshape(2, 3, 8, 8)
    made = SpaceToDepth(side)(images_BCHW)
    theirs = nn.functional.pixel_unshuffle(images_BCHW, side)  # which puts colours before places
    assert torch.equal(made, theirs.unflatten(1, (3, -1)).transpose(1, 2).flatten(1, 2))
    assert made.is_contiguous(memory_format=torch.channels_last)
    odd = SpaceToDepth(side)(images_BCHW[..., :7, :5])
    padded = images_BCHW.clone()
    padded[..., 7, :] = 0
    padded[..., :, 5:] = 0
    assert torch.equal(odd, SpaceToDepth(side)(padded)[..., : -(-5 // side)])


@pytest.mark.parametrize("zero", [True, False])
def test_residual_blocks_begin_as_the_way_around_them_where_asked(zero):
    stages = (MacroStage(width=4, depth=1, block="residual"),)
    description = Macro(stem_width=4, stages=stages, zero_init_last=zero)
    block = built(description).get_submodule("stage1.block1").eval()
    values_BCHW = torch.rand(1, 4, 5, 5)
    assert torch.equal(block(values_BCHW), values_BCHW) is zero


def test_parameters_and_multiplications_are_those_of_a_count_by_hand():
    description = Macro(
        stem="stride", stem_width=4,
        stages=(MacroStage(width=6, depth=1, block="residual", kernel=3, down="pool"),),
    )  # fmt: skip
    found = weigh(description, classes=10, pixels=8)
    convolutions = 3 * 4 * 9 + 4 * 6 * 9 + 2 * 6 * 6 * 9
    assert found.parameters == convolutions + 4 * (4 + 6 + 6 + 6) + 6 * 10 + 10  # 4: statistics too
    side = 4  # of 8, behind the stem; the pool halves it once more
    expected = side**2 * (3 * 4 * 9 + 4 * 6 * 9) + (side // 2) ** 2 * 2 * 6 * 6 * 9 + 60
    assert found.multiplications == expected


def test_convolutions_begin_as_the_identity_where_asked():
    stages = (MacroStage(width=7, depth=1, block="plain"),)
    layer = built(Macro(stem_width=5, stages=stages, identity_start=True)).get_submodule("stage1.enter.0")
    values_BCHW = torch.randn(2, 5, 6, 6)
    with torch.no_grad():
        made = layer(values_BCHW)
    assert torch.equal(made[:, :5], values_BCHW)
    assert made[:, 5:].std() > 0.5


def test_gates_do_not_begin_as_the_identity():
    stages = (MacroStage(width=8, depth=1),)
    gate = built(Macro(stem_width=8, stages=stages, attention="se", identity_start=True)).get_submodule(
        "stage1.block1.body.gate"
    )
    assert not torch.equal(gate.reduce.weight[:4, :4, 0, 0], torch.eye(4))


def test_a_network_of_another_version_is_another_network(monkeypatch, tmp_path):
    """What halves by a pool has computed something else before; what does not has not."""
    pooled, plain = (
        Macro(stem_width=8, stages=(MacroStage(width=8), MacroStage(width=8, down=down)))
        for down in ("pool", "stride")
    )
    before = [architecture_digest(one, tmp_path) for one in (pooled, plain)]
    monkeypatch.setattr(architecture, "MACRO_VERSION", 99)
    assert architecture_digest(pooled, tmp_path) != before[0]
    assert architecture_digest(plain, tmp_path) == before[1]


def test_pasted_code_says_what_its_first_layer_needs():
    stages = (MacroStage(width=8),)
    assert "network.whiten.set_by(batches)" in code(Macro(whiten=2, stem_width=8, stages=stages))
    assert "set_by" not in code(Macro(stem_width=8, stages=stages))


def test_the_pool_comes_before_normalization_which_then_costs_a_quarter():
    stages = (MacroStage(width=6, depth=0, block="plain", down="pool"),)
    enter = built(Macro(stem_width=4, stages=stages)).get_submodule("stage1.enter")
    assert [type(layer) for layer in enter.children()] == [nn.Conv2d, nn.MaxPool2d, nn.BatchNorm2d, nn.ReLU]


def test_a_patch_that_leaves_pixels_out_is_refused():
    with pytest.raises(ValueError, match="whiten: got 2 with a patch of 4"):
        Macro(whiten=2, patch=4, stem_width=4, stages=(MacroStage(width=4),))


def test_a_residual_block_begins_as_the_way_around_it():
    stage: dict[str, Any] = {"width": 8, "block": "residual"}
    for norm in ("batch", "none"):
        deep = built(Macro(stem_width=8, norm=norm, stages=(MacroStage(depth=2, **stage),)))
        for name in ("block1", "block2"):
            block = deep.get_submodule(f"stage1.{name}")
            values_BCHW = torch.rand(2, 8, 4, 6)  # not negative, as behind an activation
            assert torch.equal(block(values_BCHW), values_BCHW)


def test_code_is_one_file_that_names_only_what_it_uses():
    plain = code(Macro(stem_width=8, stages=(MacroStage(width=8, block="plain"),)))
    assert "Residual" not in plain
    assert "SqueezeExcite" not in plain
    assert "bakeoff." not in plain
