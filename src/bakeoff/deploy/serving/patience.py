"""Connections that wait only so long for what a client does not say.

While a request is being answered, the app itself watches the time of its body. Here is what it
cannot see: a request whose head does not end, a refused body that does not end, and a crowd of
connections. What uvicorn would answer to the last is 503; it is no fault of the server's.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 900  # below the 1,024 open files that many systems allow a process

_FULL = b'{"reason":"overload","message":"too many connections, try again later"}'
_FULL_HEAD = (
    b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-type: application/json\r\ncontent-length: %d\r\n\r\n"
)


def patient(seconds: float) -> type[Patient]:
    """Make the class of connections that wait so many seconds."""
    return type("Patient", (Patient,), {"seconds": seconds})


class Patient(H11Protocol):
    """Ends a connection whose client says nothing, or goes on saying what nobody reads."""

    seconds = 30.0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or refuse it when there are too many."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.write(_FULL_HEAD % len(_FULL) + _FULL)
            transport.close()
        else:
            self._watch()

    def data_received(self, data: bytes) -> None:
        """Take what a client says."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Wait for the next request, and for the rest of the last one if it was not read."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        self._forget()

    def _watch(self) -> None:
        """Let the time run while no request is being answered."""
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy or self.transport.is_closing():
            self._forget()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.seconds, self.transport.close)

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
