"""The interface over real sockets: good answers, every refusal, and clients that mean no good."""

from __future__ import annotations

import base64
import io
import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from onnx_models import CLASSES, probabilities
from pictures import bomb, flat, noisy, written
from PIL import Image
from running import Answer, Running, form

from bakeoff.deploy.serving import answers
from bakeoff.deploy.serving.refusals import REASONS
from bakeoff.records.atomic import write_arrays

ORANGE = (200, 90, 10)


def given(image: dict) -> dict[str, float]:
    return {one["name"]: one["probability"] for one in image["classes"]}


def expected(colour: tuple[int, int, int], sharpness: float = 8.0) -> dict[str, float]:
    return {
        name: pytest.approx(p, abs=1e-5)
        for name, p in zip(CLASSES, probabilities(colour, sharpness), strict=True)
    }


def counted(server: Running, start: str) -> float:
    lines = server.get("/metrics").body.decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(start))


def refused(answer: Answer, reason: str) -> str:
    """Check the form of a refusal, and return its message."""
    assert (answer.status, answer.reason) == (REASONS[reason][0], reason), answer.body
    assert answer.headers["content-type"] == "application/json"
    answers.Problem.model_validate(answer.json, strict=True)
    assert "\n" not in answer.json["message"]
    return answer.json["message"]


def test_one_raw_image_gets_its_classes_the_likeliest_first(server: Running) -> None:
    answer = server.post("/predict", flat(ORANGE), "image/png")
    assert answer.status == 200
    answers.PredictAnswer.model_validate(answer.json, strict=True)
    (image,) = answer.json["images"]
    assert (answer.json["model"], image["file"]) == ("colours", "image")
    assert given(image) == expected(ORANGE)
    assert [one["id"] for one in image["classes"]] == ["n0", "n1", "n2"]
    assert answer.headers["cache-control"] == "no-store"


def test_top_and_model_choose_what_is_said(server: Running) -> None:
    answer = server.post("/predict?top=1&model=sharp", flat(ORANGE), "image/png")
    assert answer.json["model"] == "sharp"
    assert given(answer.json["images"][0]) == {"red": expected(ORANGE, 20.0)["red"]}


def test_several_images_of_a_form_are_answered_in_their_order(server: Running) -> None:
    colours = [(250, 0, 0), (0, 240, 10), (5, 5, 230), (90, 80, 70)]
    body, kind = form((f"{k}.png", flat(colour)) for k, colour in enumerate(colours))
    images = server.post("/predict", body, kind).json["images"]
    assert [image["file"] for image in images] == ["0.png", "1.png", "2.png", "3.png"]
    assert list(map(given, images)) == list(map(expected, colours))


def test_concurrent_requests_get_their_own_answers(server: Running) -> None:
    """Every request has other colours and another number of images; they share batches."""
    generator = np.random.default_rng(11)
    asked = [[tuple(map(int, c)) for c in generator.integers(0, 256, (1 + k % 3, 3))] for k in range(120)]

    def ask(colours: list[tuple[int, int, int]]) -> list[dict[str, float]]:
        body, kind = form(("x.png", flat(colour)) for colour in colours)
        while (answer := server.post("/predict", body, kind)).status == 429:
            time.sleep(0.05)
        return list(map(given, answer.json["images"]))

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(ask, asked))
    assert found == [list(map(expected, colours)) for colours in asked]


def test_an_images_orientation_and_shape_are_those_of_the_one_path_from_a_file(server: Running) -> None:
    """The middle square of a wide image is red; beside it all is blue."""
    wide = Image.new("RGB", (48, 16), (0, 0, 255))
    wide.paste((255, 0, 0), (16, 0, 32, 16))
    assert given(server.post("/predict", written(wide, "PNG")).json["images"][0]) == expected((255, 0, 0))


def test_a_heat_map_is_warm_where_the_class_is(server: Running) -> None:
    """Red below, on the right, on black: an image whose rows cannot be taken for its columns."""
    image = Image.new("RGB", (28, 28))
    image.paste((255, 0, 0), (18, 10, 26, 14))
    answer = server.post("/explain?label=red", written(image, "PNG"), "image/png")
    answers.ExplainAnswer.model_validate(answer.json, strict=True)
    drops_GG = np.array(answer.json["drops"])
    row, column = np.unravel_index(drops_GG.argmax(), drops_GG.shape)
    assert drops_GG.shape == (14, 14)
    assert (row, column) in {(r, c) for r in (5, 6) for c in range(9, 13)}
    assert drops_GG.max() > 0.01 > abs(drops_GG[0, 0])
    seen = Image.open(io.BytesIO(base64.b64decode(answer.json["image"].split(",")[1])))
    assert seen.size == (16, 16)
    assert answer.json["label"]["name"] == "red"
    likeliest = server.post("/explain", flat((0, 255, 0)), "image/png").json["label"]
    assert likeliest["name"] == "green"


def test_similar_images_need_an_index(server: Running) -> None:
    message = refused(server.post("/similar", flat(ORANGE), "image/png"), "no_index")
    assert message == "model 'colours': has no index, see bakeoff export --index"


def test_similar_images_come_with_class_and_thumbnail(models: list[Path], tmp_path: Path) -> None:
    model = tmp_path / "colours.onnx"
    model.write_bytes(models[0].read_bytes())
    files = [flat(colour, kind="JPEG") for colour in [(0, 0, 255), (255, 0, 0), (0, 255, 0)]]
    write_arrays(
        model.with_suffix(".index.npz"),
        {
            "embeddings": np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], np.float16),
            "labels": np.array([2, 0, 1], np.int16), "keys": np.array(["b.png", "r.png", "g.png"]),
            "thumbnails": np.frombuffer(b"".join(files), np.uint8),
            "offsets": np.cumsum([0, *map(len, files)]),
            "about": np.array(json.dumps({"identity": "0" * 16, "quantized": ""})),
        },
    )  # fmt: skip
    with Running(model, "--threads", "1") as server:
        found = server.post("/similar?count=2", flat(ORANGE), "image/png").json
        answers.SimilarAnswer.model_validate(found, strict=True)
        assert [(one["label"], one["key"]) for one in found["images"]] == [
            ("red", "r.png"),
            ("green", "g.png"),
        ]
        length = (200**2 + 90**2 + 10**2) ** 0.5
        likenesses = [one["likeness"] for one in found["images"]]
        assert likenesses == pytest.approx([200 / length, 90 / length], abs=1e-3)
        thumbnails = [base64.b64decode(one["thumbnail"].split(",")[1]) for one in found["images"]]
        assert thumbnails == files[1:]
        assert server.get("/models").json["models"][0]["similar"] is True


def test_models_and_health_say_what_is_served(server: Running) -> None:
    found = server.get("/models").json
    answers.ModelsAnswer.model_validate(found, strict=True)
    assert [model["name"] for model in found["models"]] == ["colours", "sharp"]
    assert found["models"][0]["classes"][1] == {"id": "n1", "name": "green"}
    assert server.get("/health").json == {"status": "ok", "models": 2}


@pytest.mark.parametrize(
    ("path", "reason", "message"),
    [
        ("/predict?top=0", "wrong_value", "top: got '0', expected greater than or equal to 1"),
        ("/predict?top=many", "wrong_value", "top: got 'many', expected a whole number"),
        ("/predict?model=colour", "unknown_model", "model: got 'colour'; did you mean 'colours'?"),
        ("/explain?label=rde", "unknown_class", "label: got 'rde'; did you mean 'red'?"),
        ("/predicted", "unknown_address", "got /predicted, expected one of /, /predict, "),
    ],
)
def test_a_wrong_address_says_what_is_accepted(server: Running, path: str, reason: str, message: str) -> None:
    assert refused(server.post(path, flat(ORANGE), "image/png"), reason).startswith(message)


def test_another_method_is_refused_with_those_that_are_allowed(server: Running) -> None:
    answer = server.get("/predict")
    assert refused(answer, "wrong_method") == "got GET, expected POST"
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("content", "kind", "reason"),
    [
        (b"", "image/png", "empty"),
        (form([("a.png", b"")])[0], form([])[1], "empty"),
        (noisy(0)[:700], "image/jpeg", "unreadable"),
        (b"some text", "image/png", "wrong_type"),
        (b'{"image": 1}', "application/json", "wrong_type"),
        (bomb(50_000, 50_000), "image/png", "too_many_pixels"),
        (bomb(317, 316), "image/png", "too_many_pixels"),
        (b"x" * 100_001, "image/png", "too_many_bytes"),
        (form([("a.png", flat(ORANGE))] * 100)[0], form([])[1], "too_many_files"),
        (b"--nothing--", form([])[1], "malformed"),
    ],
    ids=["empty", "empty file", "truncated", "text", "json", "bomb", "a pixel too many", "a byte too many",
         "100 files", "no form"],
)  # fmt: skip
def test_a_hostile_request_gets_its_4xx_and_a_line(
    server: Running, content: bytes, kind: str, reason: str
) -> None:
    before = counted(server, f'bakeoff_refusals_total{{reason="{reason}"}}')
    refused(server.post("/predict", content, kind), reason)
    assert counted(server, f'bakeoff_refusals_total{{reason="{reason}"}}') == before + 1
    assert server.post("/predict", flat(ORANGE), "image/png").status == 200


def test_one_bad_image_of_several_is_named_and_none_is_answered(server: Running) -> None:
    body, kind = form([("good.png", flat(ORANGE)), ("bad.png", flat(ORANGE)[:40])])
    message = refused(server.post("/predict", body, kind), "unreadable")
    assert message.startswith("bad.png: unreadable")
    body, kind = form([("one.png", flat(ORANGE)), ("two.png", flat(ORANGE))])
    assert "expected one" in refused(server.post("/explain", body, kind), "too_many_files")


def test_a_huge_body_without_a_length_is_refused_while_it_is_sent(server: Running) -> None:
    """The client goes on sending what nobody reads, and still hears the answer."""
    chunks = iter([b"x" * 65536] * 40)
    answer = server.post("/predict", chunks, "image/png")
    refused(answer, "too_many_bytes")


def spoken(connection: socket.socket, text: bytes) -> bytes:
    """Say something, and return everything that comes until the server ends the connection."""
    connection.sendall(text)
    found = b""
    while part := connection.recv(65536):
        found += part
    return found


def test_a_slow_body_is_told_so(server: Running) -> None:
    head = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\ncontent-length: 500\r\n\r\n"
    with server.connect() as connection:
        found = spoken(connection, head + b"half of it")
    assert found.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"not complete after 1 seconds (--timeout)" in found


def test_a_head_that_does_not_end_and_a_client_that_is_silent_lose_their_connection(server: Running) -> None:
    with server.connect() as connection:
        assert spoken(connection, b"POST /predict HTTP/1.1\r\nhost:") == b""
    with server.connect() as connection:
        assert spoken(connection, b"") == b""


def test_nonsense_is_a_bad_request_and_no_error_of_the_server(server: Running) -> None:
    with server.connect() as connection:
        assert spoken(connection, b"\x16\x03\x01 hello\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert server.get("/health").status == 200


def test_a_client_that_hangs_up_is_counted_and_leaves_nothing_behind(server: Running) -> None:
    counter = 'bakeoff_refusals_total{reason="malformed"}'
    before = counted(server, counter)
    with server.connect() as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\nhalf")
    until = time.monotonic() + 30
    while (
        counted(server, 'bakeoff_refusals_total{reason="malformed"}') == before and time.monotonic() < until
    ):
        time.sleep(0.05)
    assert counted(server, 'bakeoff_refusals_total{reason="malformed"}') == before + 1
    assert counted(server, "bakeoff_bytes_in_flight") == 0
    assert counted(server, "bakeoff_queue_images") == 0


def test_metrics_count_requests_images_and_batches(server: Running) -> None:
    before = {name: counted(server, name) for name in ("bakeoff_images_total", "bakeoff_batches_total")}
    body, kind = form([("a.png", flat(ORANGE))] * 3)
    server.post("/predict?model=sharp", body, kind)
    server.get("/secret/" + "x" * 50)
    assert counted(server, "bakeoff_images_total") == before["bakeoff_images_total"] + 3
    assert counted(server, "bakeoff_batches_total") >= before["bakeoff_batches_total"] + 1
    text = server.get("/metrics").body.decode()
    assert re.search(r'^bakeoff_requests_total\{path="/predict",status="200"\} \d+$', text, re.MULTILINE)
    assert re.search(r'^bakeoff_requests_total\{path="other",status="404"\} \d+$', text, re.MULTILINE)
    assert "secret" not in text
    assert counted(server, "process_resident_memory_bytes") > 10 * 2**20


def test_a_token_is_asked_for_wherever_images_or_names_are(models: list[Path]) -> None:
    with Running(models[0], "--threads", "1", env={"BAKEOFF_TOKEN": "s\u00e9same"}) as server:
        for path in ("/predict", "/explain", "/similar"):
            answer = server.post(path, flat(ORANGE), "image/png")
            refused(answer, "no_token")
            assert answer.headers["www-authenticate"] == "Bearer"
        for wrong in ("Bearer sesame", "Bearer ", "Basic s\u00e9same", "s\u00e9same"):
            assert server.get("/models", authorization=wrong.encode()).status == 401
        good = {"authorization": "Bearer s\u00e9same".encode()}
        assert server.get("/models", **good).status == server.get("/metrics", **good).status == 200
        assert server.post("/predict", flat(ORANGE), "image/png", **good).status == 200
        assert server.get("/health").status == server.get("/").status == 200
        described = server.get("/openapi.json").json
        assert described["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
        assert "401" in described["paths"]["/predict"]["post"]["responses"]


def test_the_description_lists_every_refusal_with_an_example(server: Running) -> None:
    described = server.get("/openapi.json").json
    found = described["paths"]["/predict"]["post"]["responses"]
    assert set(found) == {"200", "400", "404", "408", "413", "415", "422", "429"}
    for status, response in found.items():
        content = response["content"]["application/json"]
        assert "schema" in content
        if status != "200":
            for reason, example in content["examples"].items():
                assert REASONS[reason][0] == int(status)
                answers.Problem.model_validate(example["value"], strict=True)
    assert "Retry-After" in found["429"]["headers"]
    assert set(described["paths"]["/predict"]["post"]["requestBody"]["content"]) == {
        "multipart/form-data", "application/octet-stream", "image/*",
    }  # fmt: skip
    assert "securitySchemes" not in described["components"]
    assert "HTTPValidationError" not in json.dumps(described)
