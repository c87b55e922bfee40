"""Every answer but a good one: its reason, its status, and the one line that says what was expected.

The table `REASONS` is what the interface's description lists and what the metrics count.
"""

from __future__ import annotations

from bakeoff.errors import BakeoffError

REASONS: dict[str, tuple[int, str]] = {
    "malformed": (400, "The request's body is no multipart form, though its type says so, or it broke off."),
    "no_token": (401, "The server was started with a token, and the request has none or another."),
    "unknown_model": (404, "No model of this name is served."),
    "unknown_class": (404, "The model knows no class of this id or name."),
    "no_index": (404, "Beside the model lies no index of training images."),
    "unknown_address": (404, "There is nothing at this address."),
    "wrong_method": (405, "The address is there for another method."),
    "slow_body": (408, "The body did not come in time."),
    "too_many_bytes": (413, "The body is too large."),
    "too_many_pixels": (413, "An image is too large, by what its header says; it was not decoded."),
    "too_many_files": (413, "There are too many images in the request."),
    "wrong_type": (415, "The body's type, or that of a file in it, is none that is read here."),
    "empty": (422, "There is no image in the request, or a file in it is empty."),
    "unreadable": (422, "An image is truncated or damaged."),
    "wrong_value": (422, "A parameter of the address is none that is accepted."),
    "overload": (429, "Too much is waiting; try again after the seconds that Retry-After says."),
}


class Refusal(BakeoffError):
    """A request that gets no good answer, by its own fault or because too much is waiting."""

    def __init__(self, reason: str, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = REASONS[reason][0]
        self.retry_after = retry_after  # whole seconds
