"""Everything this package raises on purpose.

    BakeoffError
    ├── ConfigError        the user's study file, flag or argument is wrong
    │   └── UnknownNameError   a registry or a file has no such entry
    ├── DataError          the images or labels are not usable
    ├── StudyError         a folder or a run contradicts the study's plan
    │   └── BusyError      another process is at work in this study's folder
    ├── ResourceError      the machine lacks what was asked for (disk, device, network)
    └── EstimatorError     any of these in scikit-learn's classifier, where it is a ValueError too

A message is one line: the setting or file, what came, what is accepted. Only the
command line catches these, prints the line and exits with 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BakeoffError(Exception):
    """Base of all errors that bakeoff raises on purpose."""


class ConfigError(BakeoffError):
    """A setting, flag or argument given by the user is wrong."""


class UnknownNameError(ConfigError):
    """A name was looked up that nobody registered."""


class DataError(BakeoffError):
    """The images or labels are not usable as they are."""


class StudyError(BakeoffError):
    """A study folder or a run contradicts the plan it belongs to."""


class BusyError(StudyError):
    """Another process is at work in this study's folder."""


class ResourceError(BakeoffError):
    """The machine lacks something that was asked for."""


class EstimatorError(BakeoffError, ValueError):
    """What the scikit-learn classifier was given is not usable; scikit-learn expects a ValueError."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known name was probably meant.

    Args:
        name: What was asked for.
        known: What there is.

    Returns:
        ``"; did you mean 'x'?"``, or the list of known names when there are few
        and none is near, or an empty string.

    >>> nearest("modle1", ["model1", "resnet"])
    "; did you mean 'model1'?"
    >>> nearest("zzz", ["a", "b"])
    '; known: a, b'
    """
    names = sorted(set(known))
    folded = {known_name.casefold(): known_name for known_name in names}  # CIFAR10 is near cifar10
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{folded[close[0]]}'?"
    if 0 < len(names) <= 12:
        return "; known: " + ", ".join(names)
    return ""


def to_install(extra: str) -> str:
    """Say what installs the packages of one of bakeoff's optional parts.

    >>> to_install("ray")
    "in bakeoff's folder: pip install -e '.[ray]'"
    """
    return f"in bakeoff's folder: pip install -e '.[{extra}]'"
