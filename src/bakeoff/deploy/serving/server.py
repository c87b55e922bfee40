"""The process that serves: its socket, and the signals that stop it.

SIGTERM and Ctrl-C stop it gracefully: no new request is taken, and those that have come are
answered. A second Ctrl-C stops it at once.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import uvicorn
from PIL import Image

from bakeoff.deploy.bundle import Bundle
from bakeoff.deploy.serving.app import create_app
from bakeoff.deploy.serving.limits import Limits
from bakeoff.deploy.serving.memory import return_large_blocks
from bakeoff.deploy.serving.patience import patient
from bakeoff.deploy.serving.service import Service
from bakeoff.errors import ConfigError, ResourceError

_BACKLOG = 1024  # connections that the system keeps until they are taken
_LINGER = 5  # seconds for which the answers of a server that stops may take longer than a body


def serve(
    models: Sequence[str | Path],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    limits: Limits | None = None,
    threads: int | None = None,
    ready: Callable[[str, Service], None] = lambda url, service: None,
) -> int:
    """Serve exported classifiers until a signal comes.

    Args:
        models: Their ``.onnx`` files, the first of which answers when none is named.
        host: The address that is listened on.
        port: The port; 0 takes one that is free.
        token: What requests must carry; None asks for nothing.
        limits: What a request may cost.
        threads: That compute; None takes every core.
        ready: Hears the server's address once it listens.

    Returns:
        0 after SIGTERM, 130 after Ctrl-C.

    Raises:
        ConfigError: A file is none of bakeoff's, or the token is empty.
        ResourceError: The address cannot be listened on.
    """
    if token is not None and not token.strip():
        raise ConfigError("--token: got an empty text, expected a token, or no option")
    limits = limits or Limits()
    return_large_blocks()
    bundles = [Bundle.open(path, threads=threads) for path in models]
    listener = _listen(host, port)
    # The process is ours: Pillow's own guard against decompression bombs stands at the same limit as ours.
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    service = Service(bundles, limits)
    service.warm_up()
    config = uvicorn.Config(
        create_app(service, token), http=patient(limits.timeout), ws="none", lifespan="on",
        log_level="error", access_log=False, server_header=False, backlog=_BACKLOG,
        timeout_graceful_shutdown=int(limits.timeout) + _LINGER,
    )  # fmt: skip
    server = _Server(config)
    name = f"[{host}]" if ":" in host else host
    ready(f"http://{name}:{listener.getsockname()[1]}", service)
    asyncio.run(server.serve(sockets=[listener]))
    return 130 if signal.SIGINT in server.caught else 0


def _listen(host: str, port: int) -> socket.socket:
    """Open the socket here, so that an address in use is one line and not a log."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ResourceError(f"--host, --port: cannot listen on {host}:{port} ({reason})") from None
    return listener


class _Server(uvicorn.Server):
    """Notes which signal ended it, and leaves the exit code to the command line."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.caught: list[int] = []

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle both signals while it runs; uvicorn would raise them again at the end."""
        earlier = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in earlier.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.caught.append(number)
        self.handle_exit(number, frame)
