"""An architecture survives JSON."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bakeoff.errors import ConfigError
from bakeoff.models.architecture import OnBackbone, OnSource, build_network
from bakeoff.models.pretrained import backbone
from bakeoff.models.written import read_architecture, write_architecture

SOURCE = OnSource(
    base="mobilenet-0.25", base_classes=3, input_size=16, source="base", identity="abc", weights=Path("gone"),
    tap="features", head=(8, 0.5), train=("pointwise13",), train_last=None,
)  # fmt: skip
BACKBONE = OnBackbone(
    backbone=backbone("timm:tf_efficientnet_lite0"), weights=Path("gone"), head=(16,), train="head",
    train_last=None, digest="ab12",
)  # fmt: skip
TWICE = replace(SOURCE, base=SOURCE, base_classes=4, train="all", tap="output")


@pytest.mark.parametrize("architecture", ["my_net.py:build", SOURCE, BACKBONE, TWICE])
def test_it_is_the_same_after_json_but_for_where_its_first_weights_lay(architecture):
    found = read_architecture(json.loads(json.dumps(write_architecture(architecture))))
    assert write_architecture(found) == write_architecture(architecture)
    if isinstance(architecture, OnBackbone) or architecture is SOURCE:
        assert replace(found, weights=architecture.weights) == architecture


def test_what_is_read_back_builds_the_same_network():
    def weights(architecture):
        torch.manual_seed(0)
        network = build_network(architecture, classes=5, image_size=16, base_dir=Path(), trained=False)
        return network.state_dict()

    before, after = (
        weights(TWICE),
        weights(read_architecture(json.loads(json.dumps(write_architecture(TWICE))))),
    )
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    "values", [{}, {"train": "all"}, {"backbone": {}, "train": "all", "head": [], "train_last": None}]
)
def test_half_an_architecture_is_refused(values):
    with pytest.raises(ConfigError, match="cannot be built again"):
        read_architecture(values)
