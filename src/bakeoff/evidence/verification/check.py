"""What one check of a study found, and the verdict over all checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from bakeoff.errors import BakeoffError, BusyError

_OF_FILES = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)  # with strange contents

Outcome = Literal["agrees", "differs", "not checked"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check: how much agrees, what differs, and what could not be looked at."""

    title: str
    noun: str  # what was looked at, in the plural
    agreed: int
    differing: tuple[str, ...] = ()  # each names its file or run, what is there and what was expected
    unchecked: tuple[str, ...] = ()  # why something could not be looked at
    remarks: tuple[str, ...] = ()  # to be known; no difference

    @property
    def outcome(self) -> Outcome:
        """What came out; a check of which only a part could be made agrees if that part does."""
        if self.differing:
            return "differs"
        return "agrees" if self.agreed else "not checked"

    @property
    def said(self) -> str:
        """The outcome in words."""
        if self.differing:
            return f"{self.noun} that differ: {len(self.differing)} of {self.agreed + len(self.differing):,}"
        return f"{self.noun} that agree: {self.agreed:,}" if self.agreed else "could not be checked"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "title": self.title, "outcome": self.outcome, "said": self.said, "agreed": self.agreed,
            "differing": list(self.differing), "unchecked": list(self.unchecked),
            "remarks": list(self.remarks),
        }  # fmt: skip


@dataclass
class Findings:
    """Gathers what one check finds."""

    title: str
    noun: str
    agreed: int = 0
    differing: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def expect(self, agrees: bool, otherwise: str) -> None:
        """Count what agrees, and keep the words for what does not."""
        if agrees:
            self.agreed += 1
        else:
            self.differing.append(otherwise)

    @contextmanager
    def trying(self, about: str = "") -> Iterator[None]:
        """Count an error in the block as a difference: ours in its own words, others with what it is about.

        Whoever edits a file may leave anything in it, and a proof must not end at the first such file.
        """
        try:
            yield
        except BakeoffError as error:
            self.differing.append(str(error))
        except _OF_FILES as error:
            self.differing.append(_odd(about, error))

    def close(self) -> Check:
        """Return what was found."""
        return Check(
            title=self.title, noun=self.noun, agreed=self.agreed, differing=tuple(self.differing),
            unchecked=tuple(self.unchecked), remarks=tuple(self.remarks),
        )  # fmt: skip


def guarded(check: Callable[..., Check], *arguments: Any) -> Check:
    """Make a check; one that a damaged file ends is a difference, and the others are made all the same.

    Args:
        check: Named ``check_`` and what it looks at.
        arguments: Of it.

    Returns:
        What it found.
    """
    about = check.__name__.removeprefix("check_").replace("_", " ")
    try:
        return check(*arguments)
    except BusyError:
        raise
    except BakeoffError as error:
        said = str(error)
    except _OF_FILES as error:
        said = _odd(about, error)
    return Check(title=f"the {about}", noun="things", agreed=0, differing=(said,))


def _odd(about: str, error: Exception) -> str:
    """Say that a file holds what bakeoff does not write there."""
    where = f"{about}: " if about else ""
    return f"{where}a file is not as bakeoff writes it ({type(error).__name__}: {error})"


@dataclass(frozen=True, kw_only=True)
class Verification:
    """All checks of a study."""

    study: str
    checks: tuple[Check, ...]

    @property
    def agrees(self) -> bool:
        """Whether nothing differs of all that could be checked."""
        return not any(check.differing for check in self.checks)

    @property
    def verdict(self) -> str:
        """The outcome in one sentence or two."""
        differing = [check for check in self.checks if check.differing]
        partly = [check.title for check in self.checks if check.unchecked]
        if differing:
            count = sum(len(check.differing) for check in differing)
            things = "difference" if count == 1 else "differences"
            titles = "; ".join(check.title for check in differing)
            return f"'{self.study}' is not what it says it is: {count} {things} ({titles})."
        said = f"All that could be checked of '{self.study}' agrees."
        return said + (f" Not or not wholly checked: {'; '.join(partly)}." if partly else "")

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "study": self.study, "agrees": self.agrees, "verdict": self.verdict,
            "checks": [check.as_dict() for check in self.checks],
        }  # fmt: skip


def some(names: Iterable[str], most: int = 3) -> str:
    """Name a few of many.

    >>> some(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    listed: Sequence[str] = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
