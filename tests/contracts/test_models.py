"""One contract for every network, registered or the user's own: adding one adds no test code."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from bakeoff.models.catalog import MODELS, build_model

MY_NET = """\
from torch import nn

def build(classes, image_size):
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(512, classes),
    )
"""
CLASSES = 4


# Their layers are those of wide-resnet16-4, bakenet-s, resnet9 and resnet18-64px, at several times the work.
LARGE = ("wide-resnet28-10", "bakenet-m", "resnet9-wide", "resnet34-64px")


@pytest.fixture(
    params=[pytest.param(name, marks=[pytest.mark.slow] * (name in LARGE)) for name in MODELS]
    + ["my_net.py:build"]
)
def name(request):
    return request.param


@pytest.fixture
def small(name):
    """The size of the smallest images that are worth a test."""
    return max(32, MODELS[name].smallest) if name in MODELS else 32


@pytest.fixture
def build(name, tmp_path):
    """Make a function of the image size that builds one network from a fixed seed."""
    (tmp_path / "my_net.py").write_text(MY_NET)

    def seeded(image_size, seed=0):
        torch.manual_seed(seed)
        return build_model(name, classes=CLASSES, image_size=image_size, base_dir=tmp_path)

    return seeded


def _images(count, size, seed=1):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [32, 64, 65])
def test_it_gives_one_row_of_finite_logits_for_each_image(build, size, small):
    size = max(size, small)
    with torch.no_grad():
        logits_BK = build(size).eval()(_images(3, size))
    assert logits_BK.shape == (3, CLASSES)
    assert logits_BK.dtype == torch.float32
    assert torch.isfinite(logits_BK).all()


def test_different_images_give_different_logits(build, small):
    with torch.no_grad():
        logits_BK = build(small).eval()(_images(3, small))
    assert logits_BK.std(0).min() > 0


def test_every_parameter_receives_a_gradient(build, small):
    """In the first step or, where a residual path begins at nought, in the second."""
    model = build(small)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    without = set(dict(model.named_parameters()))
    for _ in range(2):
        optimizer.zero_grad()
        functional.cross_entropy(model(_images(6, small)), torch.arange(6) % CLASSES).backward()
        without -= {n for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
        optimizer.step()
    assert without == set()


# Rate, steps, and the loss that counts as known by heart, where they are not the usual ones. The study's
# AlexNet normalizes its logits: two images of each of four classes leave log(1 + 3 exp(-4 / 3^0.5)) at least.
# The paper's starts with weights so small that Adam's usual rate throws them about.
MEMORY = {"alexnet": (1e-3, 80, 0.3), "alexnet-paper": (2e-4, 200, 0.1)}


def test_it_can_memorise_eight_images(name, build, small):
    rate, steps, known = MEMORY.get(name, (1e-3, 80, 0.1))
    model = build(small)
    for layer in model.modules():
        if isinstance(layer, nn.Dropout):
            layer.eval()  # what is asked is whether the network can, not whether chance lets it
    images_BCHW, labels_B = _images(8, small), torch.arange(8) % CLASSES
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, fused=True)
    for _ in range(steps):
        logits_BK = model(images_BCHW)
        loss = functional.cross_entropy(logits_BK, labels_B)
        if loss < known:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < known
    assert (logits_BK.argmax(1) == labels_B).all()


def test_a_prediction_does_not_depend_on_the_rest_of_the_batch(build, small):
    model = build(small)
    with torch.no_grad():
        model(_images(8, small, seed=2))  # statistics of batch norm that are not trivial
        model.eval()
        images_BCHW = _images(5, small)
        together_BK = model(images_BCHW)
        other_BK = model(torch.cat([images_BCHW[:1], 10 * _images(4, small, seed=3)]))
        torch.testing.assert_close(together_BK[:1], model(images_BCHW[:1]), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(together_BK[:1], other_BK[:1], atol=1e-5, rtol=1e-4)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(build, small):
    first, again, other = (build(small, seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_it_runs_with_channels_last_in_bfloat16_forward_and_backward(build, small):
    model = build(small).to(memory_format=torch.channels_last)
    images_BCHW = _images(2, small).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        logits_BK = model(images_BCHW)
    functional.cross_entropy(logits_BK.float(), torch.arange(2)).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_its_weights_can_be_stored_and_loaded_under_their_names(build, small):
    source, target = build(small, 1), build(small, 2)
    target.load_state_dict(source.state_dict())
    with torch.no_grad():
        images_BCHW = _images(2, small)
        assert torch.equal(source.eval()(images_BCHW), target.eval()(images_BCHW))
