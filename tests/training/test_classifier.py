"""Preprocessing and network as one module, built from a seed and placed on a device."""

import copy

import torch
from jobs import make_job

from bakeoff.training.classifier import build_classifier, placed

CPU = torch.device("cpu")


def _build(job, seed=0):
    return build_classifier(
        job.candidate.model, classes=3, input_size=8, mean=job.mean, std=job.std, seed=seed,
        base_dir=job.base_dir,
    )  # fmt: skip


def _weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_weights_depend_on_the_seed_and_on_nothing_that_was_drawn_before(tmp_path):
    job = make_job(tmp_path)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = _weights(_build(job))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    again, other = _weights(_build(job)), _weights(_build(job, seed=1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["network.0.weight"], other["network.0.weight"])


def test_bytes_of_images_become_logits(tmp_path):
    job = make_job(tmp_path)
    images_BHWC = torch.tensor(job.data.images_NHWC[:5])
    model = _build(job).eval()
    by_hand = (job.data.images_NHWC[:5].astype("float64") - job.mean) / job.std
    expected = model.network(torch.from_numpy(by_hand).permute(0, 3, 1, 2).float())
    torch.testing.assert_close(model(images_BHWC), expected)


def test_weights_of_convolutions_are_placed_channels_last_and_stay_what_they_are(tmp_path):
    model = _build(make_job(tmp_path))
    before, parameters = _weights(model), [id(parameter) for parameter in model.parameters()]
    assert placed(model, CPU) is model
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert [id(parameter) for parameter in model.parameters()] == parameters
    weight = model.network[0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()


def test_weights_are_laid_out_as_torch_itself_does(tmp_path):
    model = _build(make_job(tmp_path, "model3"))
    torchs = copy.deepcopy(model).to(memory_format=torch.channels_last).state_dict()
    ours = placed(model, CPU).state_dict()
    assert {name: value.stride() for name, value in ours.items()} == {
        name: value.stride() for name, value in torchs.items()
    }


def test_weights_of_five_axes_have_no_such_layout_and_are_left(tmp_path):
    model = placed(_build(make_job(tmp_path, "volume")), CPU)
    assert model.network.mix.weight.is_contiguous()
