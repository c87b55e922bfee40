"""Networks by name and from the user's file; what is refused, and in which words."""

import hashlib
import os
import sys
from dataclasses import replace

import pytest
import torch
from layers import count_layers
from torch import nn

from bakeoff.errors import ConfigError, UnknownNameError
from bakeoff.models.catalog import MODELS, build_model, check_model, source_digest
from bakeoff.models.user_file import is_user_model

GOOD = """\
import torch
from dataclasses import dataclass

@dataclass
class Width:
    first: int = 4

def build(classes, image_size):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * image_size**2, classes))
"""


def _refused(tmp_path, source, name="my_net.py:build", error=ConfigError):
    if source is not None:
        (tmp_path / "my_net.py").write_text(source)
    with pytest.raises(error) as caught:
        build_model(name, classes=5, image_size=8, base_dir=tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_users_function_is_called_with_classes_and_image_size(tmp_path):
    (tmp_path / "my_net.py").write_text(GOOD)
    model = build_model("my_net.py:build", classes=7, image_size=8, base_dir=tmp_path)
    assert model[1].weight.shape == (7, 192)
    assert model.training


def test_a_file_in_a_subfolder_and_an_absolute_path_are_found(tmp_path):
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "my_net.py").write_text(GOOD)
    for name in ("nets/my_net.py:build", f"{tmp_path}/nets/my_net.py:build"):
        assert build_model(name, classes=2, image_size=8, base_dir=tmp_path)[1].out_features == 2


def test_an_edit_within_the_same_second_is_seen_and_nothing_is_left_beside_the_file(tmp_path):
    file = tmp_path / "my_net.py"
    for width in (2, 3):
        file.write_text(GOOD.replace("classes))", f"classes), torch.nn.Linear(classes, {width}))"))
        model = build_model("my_net.py:build", classes=width, image_size=8, base_dir=tmp_path)
        assert model[2].out_features == width
    assert list(tmp_path.iterdir()) == [file]


def test_a_missing_file_is_named(tmp_path):
    assert _refused(tmp_path, None) == f"model: no file {tmp_path}/my_net.py"


def test_a_missing_function_is_named(tmp_path):
    assert _refused(tmp_path, "x = 1\n") == "model: my_net.py has no function 'build', expected it there"


def test_a_file_without_a_function_asks_for_one(tmp_path):
    assert _refused(tmp_path, GOOD, "my_net.py") == (
        "model: got 'my_net.py', expected a file and a function like 'my_net.py:build'"
    )


def test_a_syntax_error_comes_with_its_line(tmp_path):
    message = _refused(tmp_path, "import torch\n\ndef build(classes, image_size:\n    pass\n")
    assert message.startswith("model: my_net.py:build is not valid Python in line 3")


def test_an_exception_on_import_comes_with_its_line(tmp_path):
    assert _refused(tmp_path, "x = 1\nimport not_a_module_at_all\n") == (
        "model: my_net.py:build raised ModuleNotFoundError in line 2: No module named 'not_a_module_at_all'"
    )


def test_an_exception_while_building_comes_with_the_deepest_line_of_the_users_file(tmp_path):
    source = "def build(classes, image_size):\n    return deeper()\n\ndef deeper():\n    return [][3]\n"
    assert _refused(tmp_path, source) == (
        "model: my_net.py:build raised IndexError in line 5: list index out of range"
    )


def test_an_exception_in_forward_comes_with_its_line_and_the_image(tmp_path):
    source = (
        "import torch\nclass Net(torch.nn.Module):\n    def forward(self, x):\n"
        "        raise ValueError('two\\nlines')\ndef build(classes, image_size):\n    return Net()\n"
    )
    assert _refused(tmp_path, source) == (
        "model: my_net.py:build failed on one image of 3x8x8: raised ValueError in line 4: two lines"
    )


def test_another_type_than_a_module_is_refused(tmp_path):
    assert _refused(tmp_path, "def build(classes, image_size):\n    return 'net'\n") == (
        "model: my_net.py:build returned str, expected a torch.nn.Module"
    )


def test_another_number_of_outputs_is_refused(tmp_path):
    assert _refused(tmp_path, GOOD.replace("classes))", "classes + 1))")) == (
        "model: my_net.py:build gave shape (1, 6) for one image, expected (1, 5)"
    )


def test_an_output_that_is_no_tensor_is_refused(tmp_path):
    source = (
        "import torch\nclass Net(torch.nn.Module):\n    def forward(self, x):\n        return {'logits': x}\n"
        "def build(classes, image_size):\n    return Net()\n"
    )
    assert _refused(tmp_path, source) == (
        "model: my_net.py:build gave dict for one image, expected a tensor of logits"
    )


def test_an_unknown_name_suggests_the_nearest(tmp_path):
    assert "did you mean 'model4'?" in _refused(tmp_path, None, "modle4", UnknownNameError)


def test_trying_the_network_on_one_image_leaves_its_statistics_alone(tmp_path):
    (tmp_path / "my_net.py").write_text(
        "from torch import nn\ndef build(classes, image_size):\n"
        "    return nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.LazyLinear(classes))\n"
    )
    model = build_model("my_net.py:build", classes=5, image_size=8, base_dir=tmp_path)
    assert model[0].num_batches_tracked == 0
    assert model.training
    assert model[2].weight.shape == (5, 192)


def test_the_digest_of_a_users_network_is_that_of_its_bytes_and_its_function(tmp_path):
    (tmp_path / "my_net.py").write_text(GOOD)
    expected = hashlib.sha256(GOOD.encode() + b"\0build").hexdigest()
    assert source_digest("my_net.py:build", tmp_path) == expected
    assert source_digest("my_net.py:other", tmp_path) != expected


@pytest.mark.parametrize(
    "where", ["import sys\nsys.exit(0)\n", "import os\nos.chdir('/')\nraise SystemExit\n"]
)
def test_a_file_that_ends_the_process_is_an_error_and_moves_nothing(tmp_path, where):
    (tmp_path / "my_net.py").write_text(where + GOOD)
    before = os.getcwd()
    with pytest.raises(ConfigError, match="raised SystemExit"):
        build_model("my_net.py:build", classes=3, image_size=8, base_dir=tmp_path)
    assert os.getcwd() == before


def test_a_file_without_the_function_is_refused_before_it_runs(tmp_path):
    (tmp_path / "my_net.py").write_text("import nothing_of_this_name\n" + GOOD)
    check_model("my_net.py:build", tmp_path)
    with pytest.raises(ConfigError, match=r"my_net.py has no function 'bulid'; did you mean 'build'\?"):
        check_model("my_net.py:bulid", tmp_path)
    (tmp_path / "my_net.py").write_text("def build(:\n")
    with pytest.raises(ConfigError, match="is not valid Python in line 1"):
        check_model("my_net.py:build", tmp_path)


@pytest.mark.parametrize("importable", [True, False])
def test_a_neighbour_of_a_users_file_is_refused_since_no_digest_covers_it(tmp_path, monkeypatch, importable):
    (tmp_path / "my_blocks.py").write_text("width = 8\n")
    (tmp_path / "my_net.py").write_text("from my_blocks import width\n" + GOOD)
    if importable:  # as in a notebook, whose working folder is on the path
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.chdir(tmp_path)
    refusal = "my_net.py imports 'my_blocks' from its folder, which a run's identity does not cover"
    with pytest.raises(ConfigError, match=refusal):
        check_model("my_net.py:build", tmp_path)
    with pytest.raises(ConfigError, match=refusal):
        build_model("my_net.py:build", classes=3, image_size=8, base_dir=tmp_path)


def test_the_digest_of_ours_changes_with_the_name_and_with_the_version(tmp_path, monkeypatch):
    first, other = source_digest("model4", tmp_path), source_digest("model5", tmp_path)
    newer = replace(MODELS["model4"], version=MODELS["model4"].version + 1)
    monkeypatch.setitem(MODELS._entries, "model4", newer)
    assert len({first, other, source_digest("model4", tmp_path)}) == 3


def test_a_digest_of_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no file"):
        source_digest("my_net.py:build", tmp_path)
    with pytest.raises(UnknownNameError):
        source_digest("nothing", tmp_path)


def test_every_entry_says_where_it_comes_from_and_what_it_is():
    assert list(MODELS)[:8] == [*(f"model{k}" for k in range(1, 6)), "alexnet", "alexnet-paper", "mobilenet"]
    for entry in MODELS.values():
        assert len(entry.source) > 20
        assert len(entry.summary) > 20


def test_names_and_files_are_told_apart():
    assert is_user_model("nets/my_net.py:build")
    assert is_user_model("my_net.py")
    assert not is_user_model("model4")


def test_layers_are_counted_by_kind():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model.append(nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2)))
    assert count_layers(model) == {"conv": 1, "pool": 2, "fc": 1, "bn": 1}


def test_a_users_classes_can_be_found_by_their_module(tmp_path):
    source = GOOD.replace("return torch", "build.width = Width()\n    return torch")
    (tmp_path / "my_net.py").write_text(source)
    build_model("my_net.py:build", classes=2, image_size=8, base_dir=tmp_path)
    name = f"bakeoff_user_{hashlib.sha256(source.encode()).hexdigest()[:16]}"
    module = sys.modules[name]
    assert type(module.build.width).__module__ == name
    assert torch.is_tensor(torch.zeros(module.build.width.first))
