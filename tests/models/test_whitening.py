"""The first layer that images set: what it makes of images whose statistics are known."""

import pytest
import torch
from torch import nn

from bakeoff.models.whitening import SetByImages, Whitening, set_by_images


def smooth(images: int = 64, size: int = 12) -> torch.Tensor:
    """Draw images whose neighbouring pixels are alike, of mean zero and variance one."""
    chance = torch.Generator().manual_seed(0)
    noise_BCHW = torch.randn(images, 3, size + 4, size + 4, generator=chance)
    smooth_BCHW = nn.functional.avg_pool2d(noise_BCHW, 5, stride=1)
    centred = smooth_BCHW - smooth_BCHW.mean((0, 2, 3), keepdim=True)
    return centred / centred.std((0, 2, 3), keepdim=True)


def shown(side: int, stride: int = 1, batches: int = 4) -> Whitening:
    layer = Whitening(side, stride)
    layer.set_by(smooth().chunk(batches))
    return layer


def at_all_places(layer: Whitening) -> Whitening:
    """Return the same filters, a pixel apart."""
    found = Whitening(layer.kernel_size[0])
    found.load_state_dict(layer.state_dict())
    return found


@pytest.mark.parametrize(("side", "stride"), [(2, 1), (2, 2), (3, 1), (3, 2), (4, 4)])
def test_outputs_of_what_was_shown_are_uncorrelated_and_of_the_same_variance(side, stride):
    layer, images_BCHW = shown(side, stride), smooth()  # of so few pixels that every place is looked at
    half = 3 * side * side
    with torch.no_grad():
        patches_BPL = nn.functional.unfold(images_BCHW, side)
        outputs_BCHW = at_all_places(layer)(images_BCHW)
    rows = outputs_BCHW.permute(0, 2, 3, 1).reshape(-1, 2 * half).double()
    found = rows[:, :half].t() @ rows[:, :half] / len(rows)
    given = patches_BPL.permute(0, 2, 1).reshape(-1, half).double()
    variances = torch.linalg.eigvalsh(given.t().cov(correction=0)).flip(0)
    expected = torch.diag(variances / (variances + Whitening.eps))
    assert found.sub(expected).abs().max() < 1e-3
    assert torch.equal(rows[:, half:], -rows[:, :half])


def test_patches_alike_in_the_input_are_far_from_white_as_they_are():
    patches = nn.functional.unfold(smooth(), 2).permute(0, 2, 1).reshape(-1, 12)
    spread = torch.linalg.eigvalsh(patches.t() @ patches / len(patches))
    assert spread.max() > 20 * spread.min()


def test_filters_are_fixed_and_the_bias_learns():
    layer = shown(2)
    layer(smooth()).square().sum().backward()
    assert [name for name, _ in layer.named_parameters()] == ["bias"]
    assert set(layer.state_dict()) == {"weight", "bias"}
    assert layer.bias is not None
    assert layer.bias.grad is not None
    assert layer.bias.abs().max() < 0.2  # of images of mean zero
    nn.Sequential(layer).requires_grad_(True)
    assert not layer.weight.requires_grad


def test_images_twice_or_in_other_batches_gives_the_same_filters():
    once, again, otherwise = shown(2), shown(2), shown(2, batches=16)
    assert torch.equal(once.weight, again.weight)
    torch.testing.assert_close(once.weight, otherwise.weight, rtol=1e-3, atol=1e-4)


def test_outputs_are_uncorrelated_and_of_mean_zero_for_images_with_a_mean_too():
    """As images in [0, 1] have one."""
    layer, images_BCHW = Whitening(2), 0.5 + 0.2 * smooth()
    layer.set_by(images_BCHW.chunk(4))
    with torch.no_grad():
        outputs = layer(images_BCHW)[:, :12].permute(0, 2, 3, 1).reshape(-1, 12).double()
    assert outputs.mean(0).abs().max() < 1e-3
    found = outputs.t().cov(correction=0)
    assert (found - torch.diag(found.diagonal())).abs().max() < 1e-3
    assert found.diagonal().max() <= 1


def test_of_large_images_so_many_places_are_looked_at_and_no_more(monkeypatch):
    rows: list[int] = []
    real = torch.Tensor.sum

    def note(tensor, *arguments, **options):
        rows.append(len(tensor))
        return real(tensor, *arguments, **options)

    monkeypatch.setattr(torch.Tensor, "sum", note)
    layer = Whitening(4)
    layer.set_by([nn.functional.interpolate(smooth(2), size=(300, 300), mode="bilinear")])
    assert 2 * 0.7 * Whitening.places < rows[0] <= 2 * Whitening.places


def test_images_of_one_colour_give_finite_filters():
    layer = Whitening(2)
    layer.set_by([torch.zeros(2, 3, 4, 4)])
    assert layer.weight.isfinite().all()
    assert layer.weight.abs().max() <= Whitening.eps**-0.5 + 1e-3


def test_without_images_filters_stay_as_drawn():
    layer = Whitening(2)
    before = layer.weight.clone()
    layer.set_by([])
    assert torch.equal(layer.weight, before)


def test_only_a_first_layer_is_set():
    layer = Whitening(2)
    assert set_by_images(nn.Sequential(layer, nn.ReLU())) is layer
    assert set_by_images(nn.Sequential(nn.ReLU(), layer)) is None
    assert set_by_images(nn.Sequential()) is None
    assert isinstance(layer, SetByImages)
    assert not isinstance(nn.Conv2d(3, 4, 2), SetByImages)
