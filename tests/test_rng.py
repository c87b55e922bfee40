"""Streams of random numbers: known values, and no stream touches another."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff import rng


@pytest.mark.parametrize(
    ("stream", "name"),
    [
        ((0, "order"), b"0/order"),
        ((0, "order", 1), b"0/order/1"),
        ((7, "crop", 3, 120), b"7/crop/3/120"),
        ((-1, "split"), b"-1/split"),
    ],
)
def test_a_key_is_the_first_63_bits_of_the_sha256_of_its_name(stream, name):
    bits = "".join(f"{byte:08b}" for byte in hashlib.sha256(name).digest())
    assert rng.key(*stream) == int(bits[:63], 2)


def test_keys_are_what_the_sha256sum_tool_says():
    # printf '0/order/1' | sha256sum | cut -c1-16, then shifted right by one bit.
    assert rng.key(0, "order", 1) == 0x7C9B834547AC6879 >> 1


@given(st.integers(), st.text().filter(lambda text: "/" not in text), st.lists(st.integers(min_value=0)))
def test_a_key_fits_a_signed_64_bit_integer(seed, purpose, counters):
    assert 0 <= rng.key(seed, purpose, *counters) < 2**63


def test_streams_of_different_seeds_purposes_and_counters_differ():
    counters = [(), (0,), (1,), (1, 1), (11,), (0, 0)]
    names = [(s, p, *c) for s in (0, 1, 11) for p in ("order", "crop") for c in counters]
    assert len({rng.key(*name) for name in names}) == len(names) == 36


def test_a_purpose_with_a_slash_is_refused_because_it_could_be_a_counter():
    with pytest.raises(ValueError, match="'order/1'"):
        rng.key(0, "order/1")


def test_numpy_integers_name_the_same_stream_as_pythons():
    assert rng.key(np.int64(3), "order", np.uint8(2)) == rng.key(3, "order", 2)


def test_a_generator_is_philox_seeded_with_the_key():
    expected = np.random.Generator(np.random.Philox(rng.key(5, "mix", 2, 9))).random(4)
    np.testing.assert_array_equal(rng.generator(5, "mix", 2, 9).random(4), expected)


def test_drawing_from_one_stream_does_not_move_another():
    alone = rng.generator(0, "order", 1).permutation(100)
    other = rng.generator(0, "crop", 1)
    other.random(1000)
    np.testing.assert_array_equal(rng.generator(0, "order", 1).permutation(100), alone)


def test_neither_the_global_state_is_read_nor_moved():
    np.random.seed(1)  # noqa: NPY002 - the global state is what is tested
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = rng.generator(0, "order").random(8)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    np.testing.assert_array_equal(rng.generator(0, "order").random(8), first)


def test_neighbouring_streams_are_not_correlated():
    # 2,016 pairs of 4,096 draws: |r| of independent streams stays under 5.5/sqrt(4096), p about 1e-4 in all.
    draws = np.stack([rng.generator(0, "order", epoch).random(4096) for epoch in range(64)])
    correlation = np.corrcoef(draws) - np.eye(64)
    assert np.abs(correlation).max() < 5.5 / 4096**0.5
    assert abs(draws.mean() - 0.5) < 0.003


def test_another_process_with_another_hash_seed_draws_the_same():
    code = "from bakeoff import rng; print(rng.generator(3, 'order', 2).integers(0, 2**62, 5).tolist())"
    environments = [{"PYTHONHASHSEED": "1"}, {"PYTHONHASHSEED": "2"}]
    command = [sys.executable, "-c", code]
    outputs = [subprocess.check_output(command, env=env, text=True) for env in environments]
    assert outputs == [f"{rng.generator(3, 'order', 2).integers(0, 2**62, 5).tolist()}\n"] * 2
