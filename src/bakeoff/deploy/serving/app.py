"""The addresses of the server: what each takes, what it answers, and every refusal it knows.

Whether a request is allowed (token, model, parameters) is decided before its body is read.
"""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from bakeoff.deploy.serving import answers
from bakeoff.deploy.serving.metrics import CONTENT_TYPE
from bakeoff.deploy.serving.page import Page, render_page
from bakeoff.deploy.serving.refusals import Refusal
from bakeoff.deploy.serving.service import NEIGHBOURS, Service
from bakeoff.deploy.serving.uploads import FORM, RAW, Upload, read_uploads

MOST_CLASSES = 1000  # that one image's answer may name
MOST_NEIGHBOURS = 64

_FILES = ("malformed", "unknown_model", "slow_body", "too_many_bytes", "too_many_pixels", "too_many_files",
          "wrong_type", "empty", "unreadable", "wrong_value", "overload")  # fmt: skip

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

ModelName = Annotated[
    str | None, Query(max_length=200, description="A model's name; the first that is served otherwise.")
]


def create_app(service: Service, token: str | None = None) -> FastAPI:
    """Put the addresses together.

    Args:
        service: The models; closed when the app ends.
        token: What requests must carry as a bearer token; None asks for nothing.

    Returns:
        The app.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPI(
        title="bakeoff serve",
        description="Image classifiers from a controlled study: classes with probabilities, and why.",
        version=version("bakeoff"), lifespan=lifespan, docs_url=None, redoc_url=None,
    )  # fmt: skip
    app.add_middleware(_Counting, service=service)
    _add_refusals(app, service)
    guards = [Depends(_guard(token))] if token is not None else []
    barred = ("no_token",) if token is not None else ()
    _add_open_addresses(app, service, render_page(service, needs_token=token is not None))
    _add_lists(app, service, guards, barred)
    _add_images(app, service, guards, barred)
    return app


def _add_open_addresses(app: FastAPI, service: Service, page: Page) -> None:
    """Add what needs no token: the page, which holds no image and no answer, and the sign of life."""

    @app.get("/", response_class=HTMLResponse, summary="The page", operation_id="page")
    async def show_page() -> Response:
        """Answer with the page for people."""
        return HTMLResponse(page.html, headers=page.headers)

    @app.get("/health", response_model=answers.HealthAnswer, summary="Sign of life", operation_id="health")
    async def health() -> Response:
        """Answer as long as the server runs."""
        return _json({"status": "ok", "models": len(service.models)})


def _add_lists(app: FastAPI, service: Service, guards: list[Any], barred: tuple[str, ...]) -> None:
    @app.get(
        "/models", response_model=answers.ModelsAnswer, dependencies=guards, summary="What is served",
        operation_id="models", responses=answers.problem_responses(*barred),
    )  # fmt: skip
    async def models() -> Response:
        """List the models with their classes."""
        return _json({"models": service.describe()})

    @app.get(
        "/metrics", response_class=PlainTextResponse, dependencies=guards, summary="Counters for Prometheus",
        operation_id="metrics", responses=answers.problem_responses(*barred),
    )  # fmt: skip
    async def metrics() -> Response:
        """Write down what was counted."""
        return Response(service.metrics_text(), headers={"content-type": CONTENT_TYPE})


def _add_images(app: FastAPI, service: Service, guards: list[Any], barred: tuple[str, ...]) -> None:
    limits = service.limits

    @app.post(
        "/predict", dependencies=guards, summary="Classes with probabilities", operation_id="predict",
        openapi_extra=_body(f"One image, or a form of at most {limits.max_files}.", several=True),
        responses={
            200: {
                "model": answers.PredictAnswer, "description": "The classes of every image, in order.",
                "content": {"application/json": {"example": answers.PREDICT_EXAMPLE}},
            },
            **answers.problem_responses(*barred, *_FILES),
        },
    )  # fmt: skip
    async def predict(
        request: Request,
        top: Annotated[int, Query(ge=1, le=MOST_CLASSES, description="Classes that are named.")] = 5,
        model: ModelName = None,
    ) -> Response:
        """Name the likeliest classes of one or several images; all of them, or none is answered."""
        served = service.model(model)
        with service.budget.share() as share:
            uploads = await read_uploads(request.headers, request.stream(), limits, share)
            return _json(await service.predict(served, uploads, top))

    @app.post(
        "/explain", dependencies=guards, summary="What a class stands on", operation_id="explain",
        openapi_extra=_body("One image."),
        responses={
            200: {"model": answers.ExplainAnswer, "description": "A map of the class's need of each part."},
            **answers.problem_responses(*barred, *_FILES, "unknown_class"),
        },
    )  # fmt: skip
    async def explain(
        request: Request,
        label: Annotated[
            str | None, Query(max_length=200, description="A class's id or name; the likeliest otherwise.")
        ] = None,
        model: ModelName = None,
    ) -> Response:
        """Cover parts of an image in turn, and see how far the probability of a class falls."""
        served = service.model(model)
        with service.budget.share() as share:
            return _json(await service.explain(served, await one_upload(request, share), label))

    @app.post(
        "/similar", dependencies=guards, summary="Training images that look like it", operation_id="similar",
        openapi_extra=_body("One image."),
        responses={
            200: {"model": answers.SimilarAnswer, "description": "Training images, the most similar first."},
            **answers.problem_responses(*barred, *_FILES, "no_index"),
        },
    )  # fmt: skip
    async def similar(
        request: Request,
        count: Annotated[int, Query(ge=1, le=MOST_NEIGHBOURS, description="How many.")] = NEIGHBOURS,
        model: ModelName = None,
    ) -> Response:
        """Find the training images that look most like one, where an index of them is there."""
        served = service.model(model)
        with service.budget.share() as share:
            return _json(await service.similar(served, await one_upload(request, share), count))

    async def one_upload(request: Request, share: Any) -> Upload:
        uploads = await read_uploads(request.headers, request.stream(), limits, share)
        if len(uploads) > 1:
            raise Refusal("too_many_files", f"body: got {len(uploads)} images, expected one")
        return uploads[0]


def _guard(token: str) -> Callable[..., None]:
    """Make what lets only requests with the token pass."""
    expected = token.encode()

    def check(
        given: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))],
    ) -> None:
        # In constant time, so that the time of a refusal tells nothing about the token.
        if given is None or not hmac.compare_digest(given.credentials.encode("latin-1"), expected):
            raise Refusal("no_token", "authorization: expected 'Bearer' and the server's token (--token)")

    return check


def _add_refusals(app: FastAPI, service: Service) -> None:
    """Give every refusal, our own and the framework's, the same form."""

    def answer(refusal: Refusal, headers: dict[str, str] | None = None) -> Response:
        service.metrics.add("bakeoff_refusals_total", reason=refusal.reason)
        more = dict(headers or {})
        if refusal.retry_after is not None:
            more["retry-after"] = str(refusal.retry_after)
        if refusal.status == 401:
            more["www-authenticate"] = "Bearer"
        return _json({"reason": refusal.reason, "message": str(refusal)}, refusal.status, more)

    @app.exception_handler(Refusal)
    async def refused(request: Request, error: Refusal) -> Response:
        return answer(error)

    @app.exception_handler(RequestValidationError)
    async def wrong_value(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        came = str(first.get("input"))[:80]
        return answer(Refusal("wrong_value", f"{first['loc'][-1]}: got '{came}', {_expected(first)}"))

    @app.exception_handler(HTTPException)
    async def wrong_address(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == 405:
            expected = headers.get("Allow", "another method")
            return answer(Refusal("wrong_method", f"got {request.method}, expected {expected}"), headers)
        known = "/, /predict, /explain, /similar, /models, /health, /metrics, /openapi.json"
        return answer(Refusal("unknown_address", f"got {request.url.path[:80]}, expected one of {known}"))

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> Response:
        return answer(Refusal("malformed", "body: broke off"))  # nobody hears it; it is counted

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> Response:
        return _json({"reason": "internal", "message": "the server failed; its log says more"}, 500)


def _expected(error: dict[str, Any]) -> str:
    """Put pydantic's words for a wrong parameter into ours."""
    words = str(error["msg"]).removeprefix("Input should be ").removeprefix("String should ")
    return "expected a whole number" if error["type"].startswith("int_") else f"expected {words}"


def _body(words: str, *, several: bool = False) -> dict[str, Any]:
    """Describe a body that is read by hand."""
    file = {"type": "string", "format": "binary"}
    field = {"images": {"type": "array", "items": file, "minItems": 1}} if several else {"image": file}
    form = {"type": "object", "properties": field, "required": list(field), "additionalProperties": False}
    return {
        "requestBody": {
            "required": True, "description": words,
            "content": {FORM: {"schema": form}, RAW: {"schema": file}, "image/*": {"schema": file}},
        }
    }  # fmt: skip


def _json(values: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with plain values, which nothing may keep."""
    return Response(
        json.dumps(values, ensure_ascii=False, separators=(",", ":"), allow_nan=False), status,
        {"cache-control": "no-store", "x-content-type-options": "nosniff", **(headers or {})},
        media_type=JSONResponse.media_type,
    )  # fmt: skip


class _Counting:
    """Counts and times every request, by its address as it is described, never as it was typed."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], service: Service) -> None:
        self._app = app
        self._metrics = service.metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and listen to its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def listening(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, listening)
        finally:
            route = scope.get("route")
            path = getattr(route, "path", "other") if status not in (404, 405) else "other"
            self._metrics.add("bakeoff_requests_total", path=path, status=str(status))
            self._metrics.observe("bakeoff_request_seconds", time.perf_counter() - started, path=path)
