"""`bakeoff models`: lists, layer tables, drawings and refusals."""

import subprocess
import sys
from xml.etree import ElementTree

import pytest
import typer
from typer.testing import CliRunner

from bakeoff.cli.models import models
from bakeoff.errors import ConfigError, UnknownNameError
from bakeoff.models.catalog import MODELS

MY_NET = """\
from torch import nn

def build(classes, image_size):
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes))
"""

app = typer.Typer()
app.command()(models)


def _run(*arguments, width="200"):
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": width})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def _line(text, start):
    return next(line for line in text.splitlines() if line.strip(" │").startswith(start))


def test_without_a_name_every_network_is_listed_with_its_size_cost_and_source():
    output = _run().stdout
    for name, entry in MODELS.items():
        assert entry.summary in _line(output, name)
        assert entry.source in _line(output, name)
    assert "5,511,752" in _line(output, "model4")  # Keras counts as many
    assert "223,580,160" in _line(output, "model4")


def test_a_name_shows_the_table_of_its_layers_and_a_drawing():
    output = _run("model4", "--classes", 5).stdout
    assert _line(output, "conv2 ").split() == [
        "conv2", "conv", "3x3", "/2", "128x32x32", "147,584", "147,584", "150,994,944",
    ]  # fmt: skip
    assert _line(output, "conv2_norm").split() == ["conv2_norm", "norm", "128x32x32", "512", "256"]
    assert _line(output, "all").split()[:3] == ["all", "5,411,717", "5,405,573"]
    assert "█" in output
    assert "Liu, He, Chen" in output


def test_classes_and_image_size_are_those_that_were_asked_for():
    output = _run("model1", "--classes", 7, "--image-size", 32).stdout
    assert " 7 " in _line(output, "output")
    assert "32x32x32" in _line(output, "conv1 ")


def test_a_pattern_lists_what_it_matches_and_a_pattern_of_one_shows_it():
    output = _run("model[12]").stdout
    assert "model1" in output
    assert "model2" in output
    assert "model3" not in output
    assert "conv8" in _run("*el4").stdout


def test_ones_own_file_is_shown_like_a_registered_network(tmp_path, monkeypatch):
    (tmp_path / "my_net.py").write_text(MY_NET)
    monkeypatch.chdir(tmp_path)
    output = _run("my_net.py:build", "--classes", 3, "--image-size", 16).stdout
    assert _line(output, "0 ").split() == ["0", "conv", "3x3", "8x14x14", "224", "224", "42,336"]
    assert _line(output, "all").split() == ["all", "251", "251", "42,360"]


def test_the_layer_table_fits_a_terminal_of_80_columns():
    lines = _run("model5", width="80").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)


def test_draw_writes_a_drawing(tmp_path):
    file = tmp_path / "new" / "net.svg"
    assert str(file) in _run("model3", "--draw", file).stdout
    root = ElementTree.parse(file).getroot()
    assert root.get("aria-label") == "model3: 9 conv, 2 dense"
    assert [path.name for path in file.parent.iterdir()] == ["net.svg"]


def test_a_drawing_of_several_networks_is_refused(tmp_path):
    for arguments in ([], ["model*"]):
        with pytest.raises(ConfigError, match="--draw: got no single network, expected the name of one"):
            _run(*arguments, "--draw", tmp_path / "net.svg")
    assert list(tmp_path.iterdir()) == []


def test_a_drawing_in_another_format_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"--draw: got '.*net\.png', expected a file that ends in \.svg"):
        _run("model1", "--draw", tmp_path / "net.png")


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'model4'"):
        _run("modle4")


@pytest.mark.parametrize("arguments", [["--classes", "0"], ["--image-size", "3"]])
def test_nonsense_is_refused_before_anything_is_built(arguments):
    assert _run("model1", *arguments).exit_code == 2


def test_importing_the_verb_does_not_import_torch():
    code = "import sys, bakeoff.cli.models; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_pattern_of_timm_lists_its_networks_with_where_their_weights_are(capsys, monkeypatch):
    from bakeoff.models import pretrained

    monkeypatch.setattr(
        pretrained, "_packaged", lambda name: "here" if name == "tf_efficientnet_lite0" else None
    )
    monkeypatch.setenv("COLUMNS", "200")
    models("timm:tf_efficientnet_lite[01]", classes=10)
    lines = capsys.readouterr().out.splitlines()
    (first,) = (line for line in lines if "tf_efficientnet_lite0" in line)
    (second,) = (line for line in lines if "tf_efficientnet_lite1" in line)
    assert "package" in first
    assert "on the hub" in second
    assert "in1k" in first
    assert "224" in first
    assert "240" in second
    assert "apache-2.0" in first


def test_a_name_of_timm_shows_that_network_layer_by_layer(capsys):
    models("timm:test_resnet", classes=10, image_size=32)
    assert "layer1.0.conv1" in capsys.readouterr().out


def test_one_network_of_timm_says_where_it_comes_from_at_its_own_size(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    models("timm:tf_efficientnet_lite0", classes=10)
    text = capsys.readouterr().out
    assert "apache-2.0" in text
    assert "in1k" in text
    assert "32x112x112" in text  # behind the first convolution, of images of 224 pixels


def test_a_part_of_timms_names_lists_what_holds_it(capsys):
    models("timm:efficientnet_lite", classes=10)
    text = capsys.readouterr().out
    assert "timm:tf_efficientnet_lite0" in text
    assert "timm:tf_efficientnet_lite4" in text


def test_an_unknown_name_of_timm_is_refused_with_the_nearest(capsys):
    with pytest.raises(UnknownNameError, match="resnet18"):
        models("timm:resnet81")
