"""Lengths, spans and amounts: one way in, one way out."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.errors import ConfigError
from bakeoff.units import Length, format_bytes, format_seconds, parse_length

amounts = st.floats(min_value=1e-6, max_value=1e12)


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("30ep", 30, "epochs"), ("0.5 epochs", 0.5, "epochs"), ("1epoch", 1, "epochs"),
        ("1200st", 1200, "steps"), ("1 step", 1, "steps"), (" 7 steps ", 7, "steps"),
        ("90s", 90, "seconds"), ("1 second", 1, "seconds"), ("1.5sec", 1.5, "seconds"),
        ("10m", 600, "seconds"), ("10 min", 600, "seconds"), ("1 minute", 60, "seconds"),
        ("1.5h", 5400, "seconds"), ("1 hour", 3600, "seconds"), ("2hours", 7200, "seconds"),
    ],
)  # fmt: skip
def test_a_text_with_a_unit_becomes_a_length(text, amount, unit):
    assert parse_length(text) == Length(amount, unit)


@pytest.mark.parametrize(
    "text",
    ["", "30", "ep", "-3ep", "1e3st", "3 ep och", "10x", "ten m", "1,5h", "0x1ep", "nan s", "3ep\n4ep"],
)
def test_a_text_that_is_no_length_is_refused_in_one_line_with_the_forms_that_are(text):
    with pytest.raises(ConfigError) as caught:
        parse_length(text)
    assert str(caught.value) == f"length: got {text!r}, expected a form like 30ep, 1200st, 90s, 10m or 2h"


@pytest.mark.parametrize("text", ["0ep", "0s", "0.0h"])
def test_a_length_of_zero_is_refused(text):
    with pytest.raises(ConfigError, match="length: got 0, expected a number above 0"):
        parse_length(text)


def test_half_a_step_is_refused():
    with pytest.raises(ConfigError, match=r"length: got 1.5 steps, expected a whole number"):
        parse_length("1.5st")


@pytest.mark.parametrize("amount", [math.nan, math.inf, -1.0, 0.0])
def test_a_length_refuses_nonsense_at_birth(amount):
    with pytest.raises(ConfigError, match="expected a number above 0"):
        Length(amount, "epochs")


def test_a_number_too_long_for_a_float_is_refused():
    with pytest.raises(ConfigError, match="got inf"):
        parse_length("9" * 400 + "s")


@given(amounts, st.sampled_from(["epochs", "seconds"]))
def test_writing_and_reading_a_length_gives_it_back(amount, unit):
    assert parse_length(str(Length(amount, unit))) == Length(amount, unit)


@given(st.integers(min_value=1, max_value=2**53))
def test_writing_and_reading_a_number_of_steps_gives_it_back(steps):
    assert parse_length(str(Length(steps, "steps"))) == Length(steps, "steps")


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (Length(30.0, "epochs"), "30ep"),
        (Length(1_234_567, "steps"), "1234567st"),  # not 1.23457e+06st
        (Length(36_001.5, "seconds"), "36001.5s"),
        (Length(1e22, "seconds"), "10000000000000000000000s"),
        (Length(0.00001, "epochs"), "0.00001ep"),
    ],
)
def test_a_length_is_written_with_all_its_digits_and_no_exponent(length, text):
    assert str(length) == text


def test_epochs_steps_and_seconds_become_steps_or_stay_with_the_clock():
    assert Length(2, "epochs").to_steps(1407) == 2814
    assert Length(0.25, "epochs").to_steps(101) == 25
    assert Length(0.25, "epochs").to_steps(103) == 26
    assert Length(9, "steps").to_steps(1) == 9
    assert Length(600, "seconds").to_steps(100) is None


def test_a_sliver_of_an_epoch_is_still_one_step():
    assert Length(1e-6, "epochs").to_steps(10) == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"), (9.94, "9.9 s"), (42.3, "42 s"), (99.4, "99 s"), (99.6, "2 min"), (3569, "59 min"),
        (3575, "1 h 00 min"), (3725, "1 h 02 min"), (86_400 * 3, "72 h 00 min"),
        (math.nan, "unknown"), (math.inf, "unknown"),
    ],
)  # fmt: skip
def test_a_span_of_time_is_written_for_people(seconds, text):
    assert format_seconds(seconds) == text


@given(st.floats(min_value=0, max_value=1e9))
def test_a_written_span_never_shows_sixty_minutes(seconds):
    assert "60 min" not in format_seconds(seconds)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"), (512, "512 B"), (999, "999 B"), (999.6, "1.0 kB"), (1000, "1.0 kB"),
        (150_000, "150 kB"), (999_999, "1.0 MB"), (1_350_000_000, "1.4 GB"), (236_000_000, "236 MB"),
        (5e12, "5.0 TB"), (2e15, "2000.0 TB"),
    ],
)  # fmt: skip
def test_an_amount_of_bytes_is_written_in_decimal_units(count, text):
    assert format_bytes(count) == text
