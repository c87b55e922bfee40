from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from running import form

from bakeoff.deploy.serving.limits import Limits
from bakeoff.deploy.serving.refusals import Refusal
from bakeoff.deploy.serving.uploads import Budget, Upload, read_uploads

LIMITS = Limits(max_bytes=1000, max_files=3, timeout=0.05)


class Body:
    """A body in parts, which counts how many were asked for."""

    def __init__(self, content: bytes, size: int = 100, *, endless: bool = False) -> None:
        self._parts = [content[start : start + size] for start in range(0, len(content), size)]
        self._endless = endless
        self.asked = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            self.asked += 1
            yield part
        if self._endless:
            await asyncio.sleep(30)


def read(body: Body, budget: Budget | None = None, **headers: str) -> list[Upload]:
    async def story() -> list[Upload]:
        with (budget or Budget(10**6)).share() as share:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await read_uploads(named, aiter(body), LIMITS, share)

    return asyncio.run(story())


def refusal(body: Body, budget: Budget | None = None, **headers: str) -> Refusal:
    with pytest.raises(Refusal) as refused:
        read(body, budget, **headers)
    return refused.value


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_form_gives_its_files_however_it_is_cut(size: int) -> None:
    files = [("a.png", b"\x89PNG\r\n--edg\r\n"), ("b\xe4r.jpg", bytes(range(256))), ("", b"x")]
    body, kind = form(files)
    found = read(Body(body, size), content_type=kind)
    assert [upload.content for upload in found] == [content for _, content in files]
    assert [upload.name for upload in found] == ["a.png", "b\xe4r.jpg", "image 3"]


@pytest.mark.parametrize("kind", ["image/png", "image/*", "application/octet-stream", "IMAGE/JPEG; q=1"])
def test_a_raw_body_is_one_image(kind: str) -> None:
    assert read(Body(b"abc" * 100), content_type=kind) == [Upload("image", b"abc" * 100)]


def test_a_name_is_one_short_line_without_its_folder() -> None:
    body, kind = form([("../../etc/pass\x07wd" + "x" * 200, b"1"), ("C:\\me\\cat.png", b"2")])
    first, second = (upload.name for upload in read(Body(body), content_type=kind))
    assert first.startswith("pass?wdxxx")
    assert len(first) == 80
    assert second == "cat.png"


def test_a_body_that_says_that_it_is_too_large_is_not_read_at_all() -> None:
    body = Body(b"x" * 2000)
    found = refusal(body, content_length="2000", content_type="image/png")
    assert (found.reason, found.status, body.asked) == ("too_many_bytes", 413, 0)
    assert str(found) == "body: got 2,000 bytes, expected at most 1,000 (--max-bytes)"


@pytest.mark.parametrize("kind", ["image/png", form([])[1]])
def test_a_body_that_does_not_say_so_is_read_no_further_than_the_limit(kind: str) -> None:
    content, _ = form([("a", b"x" * 5000)])
    body = Body(content)
    assert refusal(body, content_type=kind).reason == "too_many_bytes"
    assert body.asked == 11
    assert len(read(Body(b"x" * 1000), content_type="image/png")[0].content) == 1000


def test_too_many_files_are_refused_before_the_rest_is_read() -> None:
    content, kind = form([("a", b"1")] * 4)
    found = refusal(Body(content), content_type=kind)
    assert (found.reason, found.status) == ("too_many_files", 413)
    assert len(read(Body(form([("a", b"1")] * 3)[0]), content_type=kind)) == 3


def test_a_slow_body_is_not_waited_for() -> None:
    found = refusal(Body(b"x", endless=True), content_type="image/png")
    assert (found.reason, found.status) == ("slow_body", 408)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/json", "application/x-www-form-urlencoded", "nonsense"]
)
def test_another_type_is_refused(kind: str) -> None:
    found = refusal(Body(b"x"), content_type=kind)
    assert (found.reason, found.status) == ("wrong_type", 415)
    assert kind in str(found)


@pytest.mark.parametrize(
    ("content", "kind", "reason"),
    [
        (b"", "image/png", "empty"),
        (form([])[0], form([])[1], "empty"),
        (b"no form", form([])[1], "malformed"),
        (form([("a", b"1")])[0][:-9], form([])[1], "malformed"),
        (b"x", "multipart/form-data", "malformed"),
        (b"x", "multipart/form-data; boundary=" + "b" * 999, "malformed"),
    ],
    ids=["raw", "form", "no form", "cut off", "no boundary", "long boundary"],
)
def test_what_holds_no_image_says_so(content: bytes, kind: str, reason: str) -> None:
    assert refusal(Body(content), content_type=kind).reason == reason


def test_all_bodies_together_have_a_limit_and_give_back_what_they_took() -> None:
    budget = Budget(1500)
    with budget.share() as other:
        other.take(800)
        found = refusal(Body(b"x" * 900), budget, content_type="image/png")
        assert (found.reason, found.status, found.retry_after) == ("overload", 429, 1)
        assert budget.taken == 800
    assert budget.taken == 0
    assert len(read(Body(b"x" * 900), budget, content_type="image/png")) == 1
