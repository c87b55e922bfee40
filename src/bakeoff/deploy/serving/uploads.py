"""From a request's body to the files in it, never more of it in memory than is allowed.

A body is an image as it is, or a multipart form of which every part is an image. It is read
as it comes: its bytes are counted before they are kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from bakeoff.deploy.serving.limits import Limits
from bakeoff.deploy.serving.refusals import Refusal

FORM = "multipart/form-data"
RAW = "application/octet-stream"
ACCEPTED = f"an image (image/* or {RAW}) or {FORM}"

_LONGEST_NAME = 80  # characters of a file's name that are repeated in an answer


@dataclass(frozen=True, slots=True)
class Upload:
    """One file as it was sent."""

    name: str  # as the client calls it, or "image 3"; only ever repeated, never opened
    content: bytes


class Budget:
    """The bytes of all bodies that are in memory at once."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0

    @contextmanager
    def share(self) -> Iterator[Share]:
        """Yield one request's share, and give back what it took."""
        share = Share(self)
        try:
            yield share
        finally:
            self.taken -= share.taken


class Share:
    """What one request has taken of the budget."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.taken = 0

    def take(self, size: int) -> None:
        """Count bytes that are about to be kept.

        Args:
            size: How many.

        Raises:
            Refusal: All requests together would hold too many.
        """
        if self._budget.taken + size > self._budget.most:
            raise Refusal("overload", "too many bytes are being received, try again later", retry_after=1)
        self._budget.taken += size
        self.taken += size


async def read_uploads(
    headers: Mapping[str, str], body: AsyncIterator[bytes], limits: Limits, share: Share
) -> list[Upload]:
    """Read the files of a request.

    Args:
        headers: The request's, by lower-case names.
        body: Its parts as they come.
        limits: On bytes, files and time.
        share: Where bytes are counted.

    Returns:
        The files in their order, at least one.

    Raises:
        Refusal: A limit is met, the type is none that is accepted, or there is no file.
    """
    kind, options = parse_options_header(headers.get("content-type", RAW))
    _check_announced(headers.get("content-length", ""), limits)
    try:
        collector = _collector(kind.decode("latin-1"), options, limits)
        async with asyncio.timeout(limits.timeout):
            async for part in body:
                share.take(len(part))
                if share.taken > limits.max_bytes:
                    raise _too_many_bytes("more", limits)
                collector.write(part)
    except TimeoutError:
        raise Refusal(
            "slow_body", f"body: not complete after {limits.timeout:g} seconds (--timeout)"
        ) from None
    except FormParserError as error:
        raise Refusal("malformed", f"body: {error}, expected {FORM}") from None
    return collector.finish()


def _check_announced(length: str, limits: Limits) -> None:
    """Refuse a body that says itself that it is too large, before any of it is read."""
    if length.isdigit() and int(length) > limits.max_bytes:
        raise _too_many_bytes(f"{int(length):,}", limits)


def _too_many_bytes(came: str, limits: Limits) -> Refusal:
    return Refusal(
        "too_many_bytes", f"body: got {came} bytes, expected at most {limits.max_bytes:,} (--max-bytes)"
    )


def _collector(kind: str, options: Mapping[bytes, bytes], limits: Limits) -> _Raw | _Form:
    if kind == FORM:
        if not options.get(b"boundary"):
            raise Refusal("malformed", f"content-type: got {FORM} without a boundary, expected one")
        return _Form(options[b"boundary"], limits)
    if kind == RAW or kind.startswith("image/"):
        return _Raw()
    raise Refusal("wrong_type", f"content-type: got '{kind[:_LONGEST_NAME]}', expected {ACCEPTED}")


class _Raw:
    """Collects a body that is one image."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, part: bytes) -> None:
        """Keep a part."""
        self._parts.append(part)

    def finish(self) -> list[Upload]:
        """Return the file."""
        content = b"".join(self._parts)
        if not content:
            raise Refusal("empty", f"body: got 0 bytes, expected {ACCEPTED}")
        return [Upload("image", content)]


class _Form:
    """Collects the files of a multipart form; the names of its fields are of no matter."""

    def __init__(self, boundary: bytes, limits: Limits) -> None:
        self._limits = limits
        self._files: list[tuple[str, bytearray]] = []
        self._field, self._value = bytearray(), bytearray()
        self._name = ""
        self._ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin, "on_part_data": self._data, "on_end": self._end,
                "on_header_field": self._header_field, "on_header_value": self._header_value,
                "on_header_end": self._header_end, "on_headers_finished": self._headers_finished,
            },
        )  # fmt: skip

    def write(self, part: bytes) -> None:
        """Take a part of the body."""
        self._parser.write(part)

    def finish(self) -> list[Upload]:
        """Return the files."""
        if not self._ended:
            raise Refusal("malformed", f"body: ends before its last boundary, expected {FORM}")
        if not self._files:
            raise Refusal("empty", "body: got a form without files, expected at least one image")
        return [Upload(name, bytes(content)) for name, content in self._files]

    def _begin(self) -> None:
        if len(self._files) == self._limits.max_files:
            raise Refusal(
                "too_many_files",
                f"body: got more than {self._limits.max_files} files, expected at most so many (--max-files)",
            )
        self._name = ""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if bytes(self._field).lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._value))
            self._name = _printable(options.get(b"filename", b""))
        self._field.clear()
        self._value.clear()

    def _headers_finished(self) -> None:
        self._files.append((self._name or f"image {len(self._files) + 1}", bytearray()))

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._files[-1][1].extend(memoryview(data)[start:end])

    def _end(self) -> None:
        self._ended = True


def _printable(name: bytes) -> str:
    """Make a client's name for a file one short line."""
    text = name.decode("utf-8", errors="replace").rpartition("/")[2].rpartition("\\")[2]
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:_LONGEST_NAME]
