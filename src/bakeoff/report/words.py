"""Words that only the page needs; accuracies, losses and p-values are written by `evidence.words`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

DIGITS = 16  # of a digest, shown
MISSING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"
THIN = "\N{NARROW NO-BREAK SPACE}"
NO_BREAK = "\N{NO-BREAK SPACE}"


def shown(value: float | None, write: Callable[[float], str]) -> str:
    """Write a number, or a dash where there is none.

    >>> shown(None, str) == MISSING, shown(2.5, str)
    (True, '2.5')
    """
    return MISSING if value is None else typeset(write(value))


def typeset(text: str) -> str:
    """Put a minus sign where a number has a hyphen, and thin spaces where it has commas.

    >>> typeset("-2.1 points") == f"{MINUS}2.1 points", typeset("model-4")
    (True, 'model-4')
    >>> typeset("10,000 images, 5,6") == "10\N{NARROW NO-BREAK SPACE}000 images, 5,6"
    True
    """
    grouped_text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "\N{NARROW NO-BREAK SPACE}", text)
    return re.sub(r"(?<![\w.)])-(?=\d)", MINUS, grouped_text)


def grouped(value: float) -> str:
    """Write a whole number with thin spaces between thousands.

    >>> grouped(22401384) == "22\N{NARROW NO-BREAK SPACE}401\N{NARROW NO-BREAK SPACE}384"
    True
    """
    return f"{round(value):,}".replace(",", THIN)


def pixels(size: int) -> str:
    """Write the size of a square image.

    >>> pixels(64).replace(TIMES, "x")
    '64 x 64'
    """
    return f"{size} {TIMES} {size}"


def signed_number(value: float) -> str:
    """Write a difference of losses with its sign, unless it rounds to zero.

    >>> signed_number(0.0512), signed_number(-16.12) == f"{MINUS}16.120", signed_number(0.0001)
    ('+0.051', True, '0.000')
    """
    text = f"{value:+.3f}"
    return "0.000" if float(text) == 0 else text.replace("-", MINUS)


def plural(number: int, noun: str, many: str | None = None) -> str:
    """Write a count with its noun.

    >>> plural(1, "seed"), plural(3, "seed"), plural(2, "class", "classes")
    ('1 seed', '3 seeds', '2 classes')
    """
    return f"{grouped(number)} {noun if number == 1 else many or noun + 's'}"


def range_words(low: float | None, high: float | None, write: Callable[[float], str]) -> str:
    """Write the ends of an interval, never broken over two lines; empty without an interval.

    >>> range_words(75, 79, "{:.1f} %".format).replace(NO_BREAK, " ")
    '75.0 to 79.0 %'
    >>> range_words(None, None, str)
    ''
    """
    if low is None or high is None:
        return ""
    first, last = write(low), write(high)
    unit = " %" if first.endswith(" %") and last.endswith(" %") else ""
    return typeset(f"{first.removesuffix(unit)} to {last}").replace(" ", NO_BREAK)


def plain(value: Any) -> str:
    """Write a setting as a study file would.

    >>> plain({"name": "adam", "lr": 0.001}), plain(None), plain(True), plain([0.9, 0.999])
    ('name = adam, lr = 0.001', 'none', 'yes', '0.9, 0.999')
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} = {plain(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def sentences(text: str) -> list[str]:
    """Split a text before sentences that begin with "The"; a name may hold a full stop, or begin small.

    >>> sentences("net 2. B won with 77.2 %: p < 0.001. The cheapest is b.")
    ['net 2. B won with 77.2 %: p < 0.001.', 'The cheapest is b.']
    """
    return re.split(r"(?<=[.])\s+(?=The )", text)


def points_range(low: float, high: float) -> str:
    """Write the ends of a difference in percentage points, never broken over two lines.

    >>> points_range(-0.012, 0.0).replace(NO_BREAK, " ").replace(MINUS, "-")
    '-1.2 to 0.0'
    """
    ends = (f"{100 * end:+.1f}" for end in (low, high))
    text = " to ".join("0.0" if float(end) == 0 else end for end in ends)
    return text.replace("-", MINUS).replace(" ", NO_BREAK)


def whole_percent(fraction: float) -> str:
    """Write a probability for a narrow place; what is not quite certain is not called certain.

    >>> [whole_percent(p).replace(NO_BREAK, " ") for p in (0.1234, 0.9971, 1.0)]
    ['12 %', '> 99 %', '100 %']
    """
    text = "> 99" if 0.99 < fraction < 0.9995 else f"{100 * fraction:.0f}"
    return f"{text} %".replace(" ", NO_BREAK)
