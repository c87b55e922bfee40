"""How a line is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def say(console: Console, text: str) -> None:
    """Print one line as it is: a path is never wrapped, nor taken for markup."""
    console.print(text, soft_wrap=True, markup=False, highlight=False)
