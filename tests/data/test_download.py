from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from bakeoff.data import download
from bakeoff.data.download import Official, fetch
from bakeoff.data.source import silent
from bakeoff.errors import DataError, ResourceError

CONTENT = np.random.default_rng(0).bytes(3_000_000)


@dataclass
class Server:
    """A server on this machine that can be told to misbehave."""

    url: str = ""
    cut_after: int | None = None  # bytes of an answer after which the connection is closed
    ranges: bool = True
    status: int | None = None
    asked: list[str | None] = field(default_factory=list)  # the Range of every request

    def official(self, content: bytes = CONTENT) -> Official:
        return Official(self.url, hashlib.md5(content).hexdigest(), "file.bin")


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append(wanted)
            if state.status is not None:
                self.send_error(state.status)
                return
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and state.ranges else 0
            if start >= len(CONTENT):
                self.send_error(416)
                return
            body = CONTENT[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: state.cut_after])
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state.url = f"http://127.0.0.1:{http.server_port}/file.bin"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        http.shutdown()
        thread.join()


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_whole_and_alone(server: Server, tmp_path: Path) -> None:
    target = fetch(server.official(), tmp_path / "new" / "file.bin", silent)
    assert target.read_bytes() == CONTENT
    assert names_in(tmp_path / "new") == ["file.bin"]


def test_a_cut_connection_is_taken_up_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.cut_after = 1_100_000
    fetch(server.official(), tmp_path / "file.bin", silent, pause=0)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=1100000-", "bytes=2200000-"]


def test_a_later_call_continues_what_an_earlier_one_left(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1234])
    fetch(server.official(), tmp_path / "file.bin", silent)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.asked == ["bytes=1234-"]


def test_a_complete_part_only_needs_its_checksum(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    fetch(server.official(), tmp_path / "file.bin", silent)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "file.bin.part").write_bytes(b"something else")
    fetch(server.official(), tmp_path / "file.bin", silent)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_progress_grows_to_the_whole(server: Server, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    fetch(server.official(), tmp_path / "file.bin", lambda *news: told.append(news))
    assert told[-1] == ("downloading file.bin", len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in told] == sorted({done for _, done, _ in told})


def test_a_wrong_checksum_is_an_error_and_the_file_is_removed(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has another checksum than .*; it was removed"):
        fetch(server.official(b"the official content"), tmp_path / "file.bin", silent)
    assert names_in(tmp_path) == []


def test_an_endless_series_of_cuts_is_given_up_and_can_be_resumed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:5000])
    server.cut_after = 0
    with pytest.raises(ResourceError, match=r"cannot download .*\(the connection was cut\)"):
        fetch(server.official(), tmp_path / "file.bin", silent, pause=0)
    assert (tmp_path / "file.bin.part").read_bytes() == CONTENT[:5000]


@pytest.mark.parametrize("status", [404, 503])
def test_a_server_that_refuses_is_quoted(status: int, server: Server, tmp_path: Path) -> None:
    server.status = status
    with pytest.raises(ResourceError, match=f"HTTP {status}.*put it at {tmp_path}/file.*--data NAME=PATH"):
        fetch(server.official(), tmp_path / "file.bin", silent)
    assert names_in(tmp_path) == []


def test_without_a_network_the_message_says_what_to_fetch_and_where_to_put_it(tmp_path: Path) -> None:
    official = Official("http://127.0.0.1:9/file.bin", "0" * 32, "file.bin")  # nobody listens there
    with pytest.raises(ResourceError, match=f"cannot download {official.url} .*put it at {tmp_path}"):
        fetch(official, tmp_path / "file.bin", silent)
    assert names_in(tmp_path) == []


def test_a_full_disk_takes_the_partial_file_away(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "file.bin.part").write_bytes(CONTENT[:5000])
    monkeypatch.setattr(download, "_copy", full)
    with pytest.raises(ResourceError, match="disk full"):
        fetch(server.official(), tmp_path / "file.bin", silent)
    assert names_in(tmp_path) == []


def test_two_downloads_at_once_fetch_the_file_once(server: Server, tmp_path: Path) -> None:
    arguments = (server.official(), tmp_path / "file.bin", silent)
    threads = [threading.Thread(target=fetch, args=arguments) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.asked == [None]
    assert names_in(tmp_path) == ["file.bin"]
