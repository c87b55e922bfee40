"""Numbers as people read them: one way of writing each, for the page and the terminal alike."""

from __future__ import annotations

from decimal import Decimal

from bakeoff.evidence.intervals import Interval


def percent(fraction: float) -> str:
    """Write a fraction as a percentage.

    >>> percent(0.7724), percent(0.0055)
    ('77.2 %', '0.55 %')
    """
    return f"{_percentage(fraction)} %"


def published_percent(fraction: float) -> str:
    """Write a published fraction as a percentage with the digits that it was published with.

    >>> published_percent(0.2795), published_percent(0.772), published_percent(0.5)
    ('27.95 %', '77.2 %', '50.0 %')
    """
    return f"{100 * fraction:.{published_decimals(fraction)}f} %"


def published_decimals(fraction: float) -> int:
    """Count the decimals of a published percentage, one at least.

    >>> published_decimals(0.2795), published_decimals(0.5)
    (2, 1)
    """
    exponent = Decimal(repr(float(fraction))).normalize().as_tuple().exponent
    return max(1, -int(exponent) - 2)


def points(difference: float, decimals: int = 1) -> str:
    """Write a difference of fractions in percentage points, signed.

    >>> points(0.0213), points(-0.001), points(0.0), points(0.08049, 2)
    ('+2.1 points', '-0.1 points', '0.0 points', '+8.05 points')
    """
    value = round(100 * difference, decimals) + 0.0
    return f"{value:{'+' if value else ''}.{decimals}f} points"


def percent_interval(interval: Interval) -> str:
    """Write an accuracy with its interval: ± the larger side over seeds, both ends over images alone.

    >>> percent_interval(Interval(mean=0.772, low=0.75, high=0.794, n=3))
    '77.2 ± 2.2'
    >>> percent_interval(Interval(mean=0.772, low=0.7, high=0.82, n=250, over="images"))
    '77.2 [70.0, 82.0]'
    """
    mean = _percentage(interval.mean)
    if interval.low is None or interval.high is None or interval.half_width is None:
        return mean
    if interval.over == "images":
        return f"{mean} [{_percentage(interval.low)}, {_percentage(interval.high)}]"
    return f"{mean} ± {100 * interval.half_width:.1f}"


def number(value: float) -> str:
    """Write a loss and the like with three significant digits at least.

    >>> number(0.7241), number(48.561), number(-0.0)
    ('0.724', '48.56', '0.000')
    """
    return f"{value + 0.0:.3f}" if abs(value) < 10 else f"{value:.2f}"


def count(value: float) -> str:
    """Write a large whole number in thousands, millions or billions.

    >>> count(999), count(3_250_058), count(31_400)
    ('999', '3.3 M', '31 k')
    """
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            scaled = value / factor
            return f"{scaled:.1f} {unit}" if scaled < 10 else f"{scaled:.0f} {unit}"
    return f"{value:.0f}"


def p_text(p: float) -> str:
    """Write a p value.

    >>> p_text(0.0001), p_text(0.0312), p_text(1.0)
    ('p < 0.001', 'p = 0.031', 'p = 1.000')
    """
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def listing(names: list[str], most: int = 5) -> str:
    """Join names, the last with "and"; many are cut short.

    >>> listing(["a"]), listing(["a", "b"]), listing(list("abcdefg"), most=3)
    ('a', 'a and b', 'a, b, c and 4 more')
    """
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _percentage(fraction: float) -> str:
    value = 100 * fraction
    return f"{value:.2f}" if 0 < abs(value) < 9.995 else f"{value:.1f}"


def ordinal(number: int) -> str:
    """Write a place in a ranking.

    >>> [ordinal(number) for number in (1, 2, 3, 4, 11, 22)]
    ['1st', '2nd', '3rd', '4th', '11th', '22nd']
    """
    teens = 10 <= number % 100 <= 20
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"
