"""What one request may cost, and how many may wait."""

from __future__ import annotations

from dataclasses import dataclass

from bakeoff.errors import ConfigError

_MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of a server; each has an answer of its own when it is met."""

    # One request
    max_bytes: int = 20 * _MIB  # of its body
    max_files: int = 64  # images in it
    timeout: float = 30.0  # seconds in which its head, and then its body, must have come
    # One image
    max_pixels: int = 50_000_000  # as its header says; a telephone's 50 megapixels just pass
    # All requests
    max_queue: int = 256  # images that are being decoded, wait or are computed

    def __post_init__(self) -> None:
        """Refuse limits that would refuse everything.

        Raises:
            ConfigError: One of them is not above zero, or a full request would never fit in the queue.
        """
        for name in ("max_bytes", "max_files", "timeout", "max_pixels", "max_queue"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{_flag(name)}: got {getattr(self, name)}, expected more than 0")
        if self.max_queue < self.max_files:
            raise ConfigError(
                f"--max-queue: got {self.max_queue}, expected at least the images of one request, "
                f"{self.max_files} (--max-files)"
            )

    @property
    def bytes_in_flight(self) -> int:
        """Bytes of all bodies that are in memory at once."""
        return max(4 * self.max_bytes, 256 * _MIB)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
