"""One contract for the export of every network: what a file says is what torch says of the same bytes.

The networks are as small as they come; those that take long to trace are left to the slow tests, and
each kind of layer is in one of the others.
"""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from bakeoff.data.batches import ImageStore
from bakeoff.deploy.bundle import SCHEMA, About, Bundle
from bakeoff.deploy.forms import Plan, answering_of, read_program, read_weights, write_program, write_weights
from bakeoff.deploy.graph import Surroundings, assemble
from bakeoff.deploy.network import trace_network
from bakeoff.deploy.shipped import Shipped, computed
from bakeoff.models.architecture import OnSource
from bakeoff.models.catalog import MODELS
from bakeoff.spec import canonical_json
from bakeoff.spec.macro import Macro, MacroStage
from bakeoff.training.classifier import build_classifier, placed
from bakeoff.training.evaluate import predict

MY_NET = """\
from torch import nn


class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)  # as in the paper's AlexNet
        self.second = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.output = nn.Linear(8 * 16, classes)

    def forward(self, images):
        maps = self.norm(nn.functional.gelu(self.first(images)))
        maps = self.second(nn.functional.max_pool2d(maps, 3, 2))
        maps = nn.functional.adaptive_avg_pool2d(maps, 4)
        return self.output(maps.reshape(len(maps), -1))  # a length is a constant to many a tracer


def build(classes, image_size):
    return Net(classes)
"""
STACKED = OnSource(
    base="my_net.py:build", base_classes=3, input_size=32, source="base", identity="", weights=None,
    tap="output", head=(16, 0.5, 8), train="head", train_last=None,
)  # fmt: skip
DESCRIBED = Macro(whiten=2, stem_width=8, stages=(MacroStage(width=12, down="pool"),), zero_init_last=False)
OTHERS = {"stacked": STACKED, "described": DESCRIBED}
QUICK = ("model1", "mobilenet-0.25", "my_net.py:build", *OTHERS)
NAMES = [*MODELS, "timm:tf_efficientnet_lite0", "my_net.py:build", *OTHERS]
CLASSES = 4


@pytest.fixture(
    scope="module",
    params=[name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NAMES],
)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def size(name):
    return 64 if name == "alexnet-paper" else 32


@pytest.fixture(scope="module")
def plan(name, tmp_path_factory):
    folder = tmp_path_factory.mktemp("net")
    (folder / "my_net.py").write_text(MY_NET)
    return Plan(
        architecture=OTHERS.get(name, name), mean=(120.5, 110.0, 100.25),
        std=(60.0, 61.5, 62.0), base_dir=folder,
    )  # fmt: skip


@pytest.fixture(scope="module")
def classifier(plan, size):
    """A network whose normalizations know their inputs, and whose answers differ from image to image."""
    found = build_classifier(
        plan.architecture, classes=CLASSES, input_size=size, mean=plan.mean, std=plan.std, seed=0,
        base_dir=plan.base_dir, trained=False,
    )  # fmt: skip
    with torch.no_grad():
        for layer in found.modules():
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                layer.momentum = 0.9
            if isinstance(layer, nn.Conv2d | nn.Linear):  # some start so small that all images look alike
                nn.init.kaiming_normal_(layer.weight)
        found.train()
        for seed in range(3):
            found(torch.from_numpy(images(8, size, seed)))
        logits_BK = found.eval()(torch.from_numpy(images(8, size, 9)))
        if not isinstance(getattr(found.network, "output_norm", None), nn.BatchNorm1d):
            last = [layer for layer in found.modules() if isinstance(layer, nn.Linear)][-1]
            factor = 1 / float(logits_BK.std(0).mean())
            last.weight.mul_(factor)
            if last.bias is not None:
                last.bias.mul_(factor).sub_(factor * logits_BK.mean(0))
            else:  # what all images have in common is taken out of the weights instead
                seen = []
                with last.register_forward_pre_hook(lambda layer, given: seen.append(given[0])):
                    found(torch.from_numpy(images(8, size, 9)))
                mean_F = seen[0].mean(0)
                last.weight.sub_(torch.outer(last(mean_F), mean_F) / mean_F.square().sum())
    return placed(found, torch.device("cpu")).eval()


def images(count, size, seed=1):
    """Coarse coloured blocks and noise: no two images, rows or columns are alike."""
    chance = np.random.default_rng(seed)
    blocks = chance.integers(0, 256, (count, 4, 4, 3)).repeat(-(-size // 4), 1).repeat(-(-size // 4), 2)
    noise = chance.integers(-20, 20, (count, size, size, 3))
    return np.clip(blocks[:, :size, :size] + noise, 0, 255).astype(np.uint8)


def about(name, size, image_size, **more):
    classes = [f"class {k}" for k in range(CLASSES)]
    return About(
        schema=SCHEMA, name="x", study="s", task="t", candidate=name, seed=0, identity="i", class_ids=classes,
        class_names=classes, image_size=image_size, fit="crop", input_size=size, **more,
    )  # fmt: skip


def scored(classifier, images_NHWC, views="one"):
    """What scores a run."""
    store = ImageStore(images_NHWC, np.zeros(len(images_NHWC), np.int64), torch.device("cpu"))
    return predict(classifier, store, np.arange(len(images_NHWC)), views=views)


@pytest.fixture(scope="module")
def traced(classifier, name, size):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what tracing says is ours to keep quiet
        return trace_network(classifier.network, size, name=name)


@pytest.mark.parametrize(("larger", "views"), [(0, "one"), (8, "one"), (8, "six")])
def test_an_onnx_file_says_what_torch_says(classifier, name, size, traced, larger, views, tmp_path):
    side = size + larger
    said = about(name, size, side, views=views)
    around = Surroundings(image_size=side, fit="crop", preprocess=classifier.preprocess, views=views)
    (tmp_path / "x.onnx").write_bytes(
        assemble(traced, around, canonical_json(said.as_dict())).SerializeToString()
    )
    bundle = Bundle.open(tmp_path / "x.onnx", threads=1)
    given = images(5, side)
    expected_NK = scored(classifier, given, views)
    assert expected_NK.std(axis=0).max() > 0.01
    np.testing.assert_allclose(bundle.score(given), expected_NK, atol=2e-5)
    np.testing.assert_allclose(bundle.score(given[:1]), expected_NK[:1], atol=2e-5)


def test_a_program_of_torch_has_the_same_weights_and_gives_the_same_answers(classifier, name, size, tmp_path):
    said = about(name, size, size + 8, views="mirror", temperature=1.5)
    write_program(tmp_path / "x.pt2", classifier, said)
    given = images(3, size + 8)
    shipped = Shipped(classifier, answering_of(said)).eval()
    found = read_program(tmp_path / "x.pt2")
    weights, read = shipped.state_dict(), found.weights()
    assert read.keys() == weights.keys()
    for name, tensor in weights.items():
        assert torch.equal(read[name], tensor), name
        assert read[name].stride() == tensor.stride(), name  # the layout chooses how a layer is computed
    # Equal bits in all of 12,000 tries, and once not (2026-11-26, Intel Xeon): see `deploy.export`.
    np.testing.assert_allclose(found.score(given), computed(shipped, given, CLASSES), rtol=0, atol=1e-6)
    # One image is computed by other sums than a batch: at most 4.3e-6 of 40 batches of 64 (MobileNet).
    np.testing.assert_allclose(found.score(given[:1]), found.score(given)[:1], rtol=0, atol=1e-5)
    assert found.about == said


def test_weights_and_their_description_give_the_same_bits(classifier, name, size, plan, tmp_path):
    said = about(name, size, size)
    write_weights(tmp_path / "x.safetensors", tmp_path / "x.json", classifier, plan, said)
    given = images(3, size)
    found = read_weights(tmp_path / "x.safetensors", base_dir=plan.base_dir)
    assert np.array_equal(found.score(given), scored(classifier, given))
