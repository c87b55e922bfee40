"""One contract for every network, registered or the user's own: adding one adds no test code."""

import pytest
import torch
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


@pytest.fixture(params=[*MODELS, "my_net.py:build"])
def build(request, tmp_path):
    """Make a function of the image size that builds one network from a fixed seed."""
    (tmp_path / "my_net.py").write_text(MY_NET)

    def seeded(image_size, seed=0):
        torch.manual_seed(seed)
        return build_model(request.param, classes=CLASSES, image_size=image_size, base_dir=tmp_path)

    return seeded


def _images(count, size, seed=1):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [32, 64, 65])
def test_it_gives_one_row_of_finite_logits_for_each_image(build, size):
    with torch.no_grad():
        logits_BK = build(size).eval()(_images(3, size))
    assert logits_BK.shape == (3, CLASSES)
    assert logits_BK.dtype == torch.float32
    assert torch.isfinite(logits_BK).all()


def test_different_images_give_different_logits(build):
    with torch.no_grad():
        logits_BK = build(32).eval()(_images(3, 32))
    assert logits_BK.std(0).min() > 0


def test_every_parameter_receives_a_gradient(build):
    model = build(32)
    functional.cross_entropy(model(_images(6, 32)), torch.arange(6) % CLASSES).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


def test_it_can_memorise_eight_images(build):
    model = build(32)
    images_BCHW, labels_B = _images(8, 32), torch.arange(8) % CLASSES
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(80):
        logits_BK = model(images_BCHW)
        loss = functional.cross_entropy(logits_BK, labels_B)
        if loss < 0.1:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1
    assert (logits_BK.argmax(1) == labels_B).all()


def test_a_prediction_does_not_depend_on_the_rest_of_the_batch(build):
    model = build(32)
    with torch.no_grad():
        model(_images(8, 32, seed=2))  # statistics of batch norm that are not trivial
        model.eval()
        images_BCHW = _images(5, 32)
        together_BK = model(images_BCHW)
        other_BK = model(torch.cat([images_BCHW[:1], 10 * _images(4, 32, seed=3)]))
        torch.testing.assert_close(together_BK[:1], model(images_BCHW[:1]), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(together_BK[:1], other_BK[:1], atol=1e-5, rtol=1e-4)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(build):
    first, again, other = (build(32, seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_it_runs_with_channels_last_in_bfloat16_forward_and_backward(build):
    model = build(32).to(memory_format=torch.channels_last)
    images_BCHW = _images(4, 32).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        logits_BK = model(images_BCHW)
    functional.cross_entropy(logits_BK.float(), torch.arange(4)).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_its_weights_can_be_stored_and_loaded_under_their_names(build):
    source, target = build(32, 1), build(32, 2)
    target.load_state_dict(source.state_dict())
    with torch.no_grad():
        images_BCHW = _images(2, 32)
        assert torch.equal(source.eval()(images_BCHW), target.eval()(images_BCHW))
