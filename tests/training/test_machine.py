"""Device, threads and precision, decided without the hardware that they are about."""

import os
from contextlib import suppress

import pytest
import torch

from bakeoff.errors import ConfigError, ResourceError
from bakeoff.training import machine
from bakeoff.training.machine import Machine, describe_environment, resolve_machine, resolve_precision

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def cards(monkeypatch):
    """Make a function that pretends so many CUDA devices, of one capability."""

    def pretend(count, capability=(8, 0)):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "Card X")

    return pretend


@pytest.mark.parametrize(
    ("asked", "count", "device"),
    [
        ("auto", 0, "cpu"),
        ("auto", 2, "cuda"),
        ("cpu", 2, "cpu"),
        ("cuda", 1, "cuda"),
        ("cuda:1", 2, "cuda:1"),
    ],
)
def test_the_device_is_what_was_asked_for_or_the_best_there_is(cards, asked, count, device):
    cards(count)
    assert resolve_machine(asked, 3) == Machine(device, 3)
    assert resolve_machine(asked, 3).torch_device == torch.device(device)


@pytest.mark.parametrize(
    "asked", ["gpu", "", "cpu:0", "cpu:", "auto:", "cuda:", "cuda:x", "cuda:-1", "cuda:²", "cuda:0 "]
)
def test_a_device_of_another_name_is_refused_in_one_line(cards, asked):
    cards(4)
    with pytest.raises(ConfigError) as caught:
        resolve_machine(asked)
    assert str(caught.value) == f"--device: got '{asked}', expected auto, cpu, cuda or cuda:N"


@pytest.mark.parametrize(("asked", "count"), [("cuda", 0), ("cuda:0", 0), ("cuda:2", 2)])
def test_a_device_that_is_not_there_is_missed_in_one_line(cards, asked, count):
    cards(count)
    with pytest.raises(ResourceError) as caught:
        resolve_machine(asked)
    assert str(caught.value) == (
        f"--device: got '{asked}', but PyTorch sees {count} CUDA devices here; expected cpu or auto"
    )


@pytest.mark.parametrize("threads", [0, -2])
def test_threads_below_one_are_refused_in_one_line(threads):
    with pytest.raises(ConfigError) as caught:
        resolve_machine("cpu", threads)
    assert str(caught.value) == f"--threads: got {threads}, expected a whole number of at least 1"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux")
def test_without_a_number_every_core_that_the_process_may_use_is_taken():
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert resolve_machine("cpu").threads == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert resolve_machine("cpu").threads == len(allowed)


def test_applying_sets_threads_memory_and_convolutions(monkeypatch):
    kept = []
    flags = torch.backends.cudnn
    before = (flags.deterministic, flags.benchmark, flags.allow_tf32)
    monkeypatch.setattr(machine, "keep_pages", lambda: kept.append(True))
    monkeypatch.setattr(torch, "set_num_threads", kept.append)
    try:
        Machine("cpu", 3).apply()
        assert kept == [3, True]
        # Repeatable, and fp32 means fp32: cuDNN's own default is TF32, with 10 bits of mantissa.
        assert (flags.deterministic, flags.benchmark, flags.allow_tf32) == (True, False, False)
    finally:
        flags.deterministic, flags.benchmark, flags.allow_tf32 = before


@pytest.mark.parametrize("asked", ["fp32", "bf16"])
def test_a_recipe_that_names_a_precision_gets_it(asked):
    assert resolve_precision(asked, CPU) == (asked, "asked for by the recipe")


@pytest.mark.parametrize(
    ("flags", "precision", "reason"),
    [
        ("fpu avx2 avx512_bf16 amx_tile", "bf16", "auto: the processor has avx512_bf16"),
        ("fpu amx_bf16 avx512_bf16", "bf16", "auto: the processor has amx_bf16"),
        ("fpu avx2 avx512f", "fp32", "auto: the processor has neither avx512_bf16 nor amx_bf16"),
        ("", "fp32", "auto: the processor has neither avx512_bf16 nor amx_bf16"),
        ("my_avx512_bf16_too", "fp32", "auto: the processor has neither avx512_bf16 nor amx_bf16"),
    ],
)
def test_a_processor_trains_in_bf16_only_if_it_has_it(monkeypatch, flags, precision, reason):
    monkeypatch.setattr(machine, "_processor_field", lambda name: flags if name == "flags" else "")
    assert resolve_precision("auto", CPU) == (precision, reason)


@pytest.mark.parametrize(
    ("capability", "precision", "reason"),
    [
        ((9, 0), "bf16", "auto: Card X multiplies bf16 natively"),
        ((8, 0), "bf16", "auto: Card X multiplies bf16 natively"),
        ((7, 5), "fp32", "auto: Card X has no bf16"),
    ],
)
def test_a_card_trains_in_bf16_only_if_it_has_it(cards, capability, precision, reason):
    cards(1, capability)
    assert resolve_precision("auto", CUDA) == (precision, reason)


def test_the_environment_names_versions_and_hardware():
    found = describe_environment(Machine("cpu", 3))
    assert found["torch"] == torch.__version__
    assert (found["device"], found["threads"]) == ("cpu", 3)
    assert found["memory_bytes"] > 1e8
    assert all(value for value in found.values())


def test_a_machine_is_given_back_as_it_was(monkeypatch):
    monkeypatch.setattr(machine, "keep_pages", lambda: True)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    threads, seen = torch.get_num_threads(), []
    with suppress(ZeroDivisionError), machine.as_it_was():
        Machine("cpu", threads + 1).apply()
        seen += [torch.get_num_threads() - threads, torch.backends.cudnn.benchmark]
        raise ZeroDivisionError
    assert seen == [1, False]
    assert torch.get_num_threads() == threads
    assert torch.backends.cudnn.benchmark
