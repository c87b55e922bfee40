"""Whether there is Ray, and a cluster at an address; without importing more of Ray than that takes."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import Any

from bakeoff.errors import ConfigError, ResourceError, to_install

ANSWER_SECONDS = 6.5  # in which a cluster must answer, so that a wrong address is told within ten
KNOCK_SECONDS = 3.0  # of these, for its port


def import_ray() -> Any:
    """Import Ray.

    Returns:
        The module.

    Raises:
        ResourceError: It is not installed.
    """
    try:
        import ray
    except ImportError:
        raise ResourceError(f"--engine ray: Ray is not installed; {to_install('ray')}") from None
    return ray


def check_address(address: str) -> None:
    """Refuse the address of a cluster that does not answer, within ten seconds.

    Ray itself asks for a minute, and then ends the process.

    Args:
        address: ``HOST:PORT`` or ``auto``.

    Raises:
        ConfigError: It is no address, or one that needs another way.
        ResourceError: Nobody answers, or somebody else.
    """
    if address.startswith("ray://"):
        raise ConfigError(
            f"--address: got '{address}', expected HOST:PORT of the head, from a machine of the cluster"
        )
    knock(address)
    program = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        answer = subprocess.run(
            program, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ResourceError(f"--address: {address} does not answer as a Ray cluster does") from None
    if answer.returncode:
        said = next((line for line in reversed(answer.stderr.splitlines()) if line.strip()), "")
        raise ResourceError(f"--address: {address} is no Ray cluster to work with: {said.strip()[:300]}")


def knock(address: str) -> None:
    """See that somebody listens at an address; ``auto`` is taken at its word.

    Args:
        address: ``HOST:PORT`` or ``auto``.

    Raises:
        ConfigError: It is no address.
        ResourceError: Nobody answers.
    """
    if address == "auto":
        return
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isdigit() and 0 < int(port) < 65536):
        raise ConfigError(f"--address: got '{address}', expected HOST:PORT or auto")
    try:
        socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS).close()
    except OSError as error:
        said = error.strerror or str(error) or type(error).__name__
        raise ResourceError(f"--address: nobody answers at {address} ({said})") from None
