"""Batch normalization over two processes' rows is that of one process over all rows."""

import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

TWO = """
import sys, torch
from torch import distributed
from torch.nn import functional as F
from bakeoff.training.synced_norm import SyncedBatchNorm

rank, folder = int(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)
store = distributed.FileStore(folder + "/meeting", 2)
distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
given = torch.load(folder + "/given.pt")
rows = slice(0, given["cut"]) if rank == 0 else slice(given["cut"], None)
found = {}
for name, (values, upstream, weight, bias) in given["cases"].items():
    values = values[rows].clone().requires_grad_()
    weight, bias = weight.clone().requires_grad_(), bias.clone().requires_grad_()
    mean, variance = torch.full_like(weight, 0.5).detach(), torch.full_like(weight, 2.0).detach()
    with SyncedBatchNorm():
        out = F.batch_norm(values, mean, variance, weight, bias, True, 0.1, 1e-3)
    (out.float() * upstream[rows]).sum().backward()
    for gradient in (weight.grad, bias.grad):
        distributed.all_reduce(gradient)
    found[name] = {"out": out.detach(), "values": values.grad, "weight": weight.grad, "bias": bias.grad,
                   "mean": mean, "variance": variance}
with SyncedBatchNorm():
    try:
        torch.batch_norm(torch.ones(2, 3), None, None, None, None, True, 0.1, 1e-3, False)
    except Exception as error:
        found["refused"] = str(error)
    evaluated = F.batch_norm(torch.ones(2, 3), torch.zeros(3), torch.ones(3))
found["evaluated"] = evaluated
torch.save(found, f"{folder}/{rank}.pt")
distributed.destroy_process_group()
"""

SHAPES = {"vectors": (7, 3), "maps": (7, 3, 4, 2), "volumes": (7, 2, 2, 3, 4)}


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """What went in, and what two processes of 3 and 4 rows have made of it."""
    folder = tmp_path_factory.mktemp("norm")
    chance = torch.Generator().manual_seed(0)
    cases = {}
    for name, shape in SHAPES.items():
        values = torch.randn(shape, generator=chance) * 3 + 40  # a mean that is large beside the deviation
        upstream = torch.randn(shape, generator=chance)
        weight, bias = torch.randn(2, shape[1], generator=chance)
        cases[name] = (values, upstream, weight, bias)
    values, *rest = cases["maps"]
    cases["half"] = (values.bfloat16(), *rest)
    torch.save({"cut": 3, "cases": cases}, folder / "given.pt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLOO_SOCKET_IFNAME", "lo")
        command = [sys.executable, "-c", TWO]
        processes = [subprocess.Popen([*command, str(rank), str(folder)]) for rank in range(2)]
        assert [process.wait(120) for process in processes] == [0, 0]
    return cases, [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def _whole(values, upstream, weight, bias):
    values, weight, bias = (tensor.clone().requires_grad_() for tensor in (values, weight, bias))
    mean, variance = torch.full((len(weight),), 0.5), torch.full((len(weight),), 2.0)
    out = F.batch_norm(values, mean, variance, weight, bias, True, 0.1, 1e-3)
    (out.float() * upstream).sum().backward()
    return {"out": out.detach(), "values": values.grad, "weight": weight.grad, "bias": bias.grad,
            "mean": mean, "variance": variance}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_values_gradients_and_running_statistics_are_those_of_all_rows(both, name):
    cases, found = both
    expected = _whole(*cases[name])
    for key in ("out", "values"):
        joined = torch.cat([part[name][key] for part in found])
        torch.testing.assert_close(joined, expected[key], rtol=1e-4, atol=1e-4)
    for key in ("weight", "bias", "mean", "variance"):
        for part in found:
            torch.testing.assert_close(part[name][key], expected[key], rtol=1e-4, atol=1e-4)


def test_half_precision_stays_what_it_is_and_is_near(both):
    cases, found = both
    joined = torch.cat([part["half"]["out"] for part in found])
    assert joined.dtype == torch.bfloat16
    torch.testing.assert_close(joined, _whole(*cases["half"])["out"], rtol=0.02, atol=0.02)


def test_evaluation_exchanges_nothing_and_what_cannot_be_shared_is_refused(both):
    _, found = both
    for part in found:
        torch.testing.assert_close(part["evaluated"], torch.full((2, 3), 1 / (1 + 1e-5) ** 0.5))
        assert part["refused"].startswith("--processes: the network calls torch.batch_norm, whose statistics")
