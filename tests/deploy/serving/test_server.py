"""The process: what it loads, how it starts, and how it stops."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from onnx_models import colour_model
from pictures import flat
from running import Running

HEAD = (
    b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\n"
    b"connection: close\r\ncontent-length: %d\r\n\r\n"
)


def received(connection: socket.socket) -> bytes:
    found = b""
    while part := connection.recv(65536):
        found += part
    return found


def test_nothing_that_serves_loads_torch(server: Running) -> None:
    code = (
        "import sys, bakeoff.cli.serve, bakeoff.deploy.serving.server\n"
        "print({'torch', 'torchvision', 'timm'} & {m.split('.')[0] for m in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
    server.post("/explain", flat((9, 8, 7)), "image/png")
    maps = Path(f"/proc/{server.process.pid}/maps")
    if maps.exists():
        text = maps.read_text()
        assert "onnxruntime" in text
        assert "torch" not in text


def test_sigterm_answers_what_has_come_and_takes_nothing_new(models: list[Path]) -> None:
    content = flat((200, 90, 10))
    with Running(models[0], "--threads", "1") as server:
        with server.connect() as connection:
            connection.sendall(HEAD % len(content) + content[:50])
            until = time.monotonic() + 30
            while (
                b"bakeoff_bytes_in_flight 50" not in server.get("/metrics").body and time.monotonic() < until
            ):
                time.sleep(0.02)
            server.process.send_signal(signal.SIGTERM)
            while time.monotonic() < until:  # the socket closes a moment later
                try:
                    server.connect().close()
                except ConnectionRefusedError:
                    break
                time.sleep(0.02)
            with pytest.raises(ConnectionRefusedError):
                server.connect()
            assert server.process.poll() is None
            connection.sendall(content[50:])
            answer = received(connection)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b'"name":"red"' in answer
        assert server.process.wait(30) == 0
        assert server.log() == ""


def test_ctrl_c_ends_with_the_code_of_being_stopped(models: list[Path]) -> None:
    with Running(models[0], "--threads", "1") as server:
        assert server.stop(signal.SIGINT) == 130


def test_it_listens_on_loopback_and_warns_when_told_to_listen_to_all(models: list[Path]) -> None:
    with Running(models[0], "--threads", "1", "--host", "0.0.0.0") as server:
        assert "http://0.0.0.0:" in server.said
        assert "--token" in server.process.stdout.readline()
    with Running(models[0], "--threads", "1") as server:
        assert server.said == f"Serving colours on http://127.0.0.1:{server.port} (Ctrl-C stops)\n"


def refused(*arguments: str | Path) -> str:
    command = [sys.executable, "-m", "bakeoff", "serve", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_what_cannot_be_served_is_refused_in_one_line(models: list[Path], tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(b"no model")
    assert "no such file" in refused(tmp_path / "missing.onnx")
    assert "cannot be opened as ONNX" in refused(other)
    assert "--max-bytes: got 'much', expected a size such as 20MiB" in refused(
        models[0], "--max-bytes", "much"
    )
    assert "--token: got an empty text" in refused(models[0], "--token", "")
    assert "rename one of the files" in refused(models[0], models[0])
    wrong = colour_model(tmp_path / "wrong.onnx", class_names=list("abcd"), class_ids=list("abcd"))
    assert "answers with shape (64, 3) for 64 images, expected 4 classes" in refused(wrong)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "cannot listen on 127.0.0.1" in refused(models[0], "--port", str(taken.getsockname()[1]))
