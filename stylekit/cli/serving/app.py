"""The HTTP interface of ``stylekit serve``, and the page that uses it."""

from __future__ import annotations

import asyncio
import base64
import binascii
import functools
import hmac
import html
import io
import json
import secrets
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

import stylekit
from stylekit import images
from stylekit.cli.serving.worker import MEDIA, Job, StyleInput, TooLarge, Worker
from stylekit.errors import StylekitError, explain

PAGE = Path(__file__).parent / "page.html"
THUMBNAIL = 128
"""Longer side of the images of the gallery."""
FIELDS = ("strength", "keep_color", "style_scale", "seed", "max_size", "format")
LOCAL = ("127.0.0.1", "localhost", "[::1]")
DISCONNECTED = 499


@dataclass(frozen=True)
class Limits:
    """What the service accepts.

    Attributes:
        bytes: the largest body of a request
        queue: the most requests that wait or are stylised at the same time
        seconds: the longest time of a request, with its upload and its time in the queue
        held: the most bytes that all requests may hold together
    """

    bytes: int = 50_000_000
    queue: int = 128
    seconds: float = 120.0
    held: int = 2**30


class Load:
    """The requests at the moment, and what they hold in memory.

    Args:
        limits: the most that is accepted
    """

    def __init__(self, limits: Limits) -> None:
        self.limits, self.requests, self.bytes = limits, 0, 0
        self._lock = threading.Lock()  # threads that stylise report the end of their jobs

    def enter(self) -> None:
        """Counts a request.

        Raises:
            Refused: there are too many.
        """
        with self._lock:
            if self.requests >= self.limits.queue:
                raise self._full(f"{self.requests} requests are waiting already.")
            self.requests += 1

    def add(self, size: int) -> None:
        """Counts bytes of a request's body.

        Raises:
            Refused: all requests together hold too many.
        """
        with self._lock:
            self.bytes += size
            if self.bytes > self.limits.held:
                raise self._full("The requests that are waiting hold too much memory.")

    def leave(self, size: int) -> None:
        """Forgets a request with so many bytes."""
        with self._lock:
            self.requests -= 1
            self.bytes -= size

    def _full(self, reason: str) -> Refused:
        return Refused(429, f"{reason} Try again in a moment.", **{"Retry-After": "1"})


class Refused(Exception):
    """A request that is not fulfilled: its status, and a sentence."""

    def __init__(self, status: int, sentence: str, **headers: str) -> None:
        super().__init__(sentence)
        self.status, self.headers = status, headers


def create_app(worker: Worker, limits: Limits, model: str, token: str = "") -> FastAPI:
    """The application.

    Args:
        worker: what stylises
        limits: what it accepts
        model: what the user gave as ``--model``, for the page's command line
        token: what requests must show, if it is not empty
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        worker.close()

    app = FastAPI(title="stylekit", version=stylekit.__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    load = Load(limits)

    @app.middleware("http")
    async def guard(request: Request, call: Any) -> Response:
        try:
            _require_origin(request)
            _require_token(request, token)
            _require_length(request, limits)
            response: Response = await call(request)
        except Refused as refused:
            return _refusal(refused)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        if token and request.query_params.get("token"):
            response.set_cookie("token", token, httponly=True, samesite="strict")
        return response

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> Response:
        return _refusal(error)

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> Response:
        return _refusal(Refused(error.status_code, f"{request.method} {request.url.path}: {error.detail}."))

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        nonce = secrets.token_urlsafe(16)
        text = PAGE.read_text(encoding="utf-8").replace("{{nonce}}", nonce).replace("{{model}}", html.escape(model))
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self' blob: data:; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        return HTMLResponse(text, headers={"Content-Security-Policy": policy})

    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Whether the service runs, its model, and how many requests it has at the moment."""
        return {
            "status": "ok",
            "model": model,
            "method": worker.model.name,
            "requests": load.requests,
            "limit": limits.queue,
        }

    @app.get("/styles")
    async def styles() -> list[dict[str, Any]]:
        """The styles that requests can name: those of the gallery, and those that the model has learned."""
        known = [{"name": name, "kind": worker.gallery.kind(name)} for name in worker.gallery.files]
        return [*known, *({"name": name, "kind": "learned"} for name in worker.model.learned_styles())]

    @app.get("/styles/{name}", responses={200: {"content": {"image/jpeg": {}}}})
    async def thumbnail(name: str) -> Response:
        """A small image of a style in the gallery."""
        if name not in worker.gallery.files or worker.gallery.kind(name) != "image":
            raise Refused(404, f"There is no image {name!r} in the gallery.")
        try:
            data = await asyncio.to_thread(_thumbnail, worker.gallery[name])
        except StylekitError as error:
            raise Refused(404, str(error)) from error
        return Response(data, media_type="image/jpeg", headers={"Cache-Control": "max-age=3600"})

    @app.post("/stylize", openapi_extra={"requestBody": {"content": SCHEMA}}, responses=RESPONSES)
    async def stylize(request: Request) -> Response:
        """Stylises a picture, which is sent as a form or as JSON with base64, and returns the file.

        Errors are JSON, ``{"error": a sentence}``: 400 for what cannot be stylised, 413 for what is too large, 429 when too
        many requests wait, and 504 when it takes too long.
        """
        load.enter()
        end, body, future = asyncio.get_running_loop().time() + limits.seconds, bytearray(), None
        try:
            job = await asyncio.wait_for(_read(request, body, load), limits.seconds)
            future = worker.submit(job)
            # A job that runs cannot be stopped, so it counts until it ends, even if nobody waits for it.
            future.add_done_callback(lambda done: load.leave(len(body)))
            data = await _finished(request, future, end, limits)
        except asyncio.TimeoutError as error:
            raise _too_long_time(limits) from error
        finally:
            if future is None:
                load.leave(len(body))
        return Response(data, media_type=MEDIA[job.format], headers={"Cache-Control": "no-store"})

    return app


async def _finished(request: Request, future: Future[bytes], end: float, limits: Limits) -> bytes:
    """The stylised file; a job that has not begun is given up when the client has gone."""
    done = asyncio.wrap_future(future)
    while not done.done():
        await asyncio.wait([done], timeout=0.2)
        if not done.done() and await request.is_disconnected():
            future.cancel()
            raise Refused(DISCONNECTED, "The client has gone.")
        if not done.done() and asyncio.get_running_loop().time() > end:
            future.cancel()
            raise _too_long_time(limits)
    try:
        return done.result()
    except TooLarge as error:
        raise Refused(413, str(error)) from error
    except StylekitError as error:
        raise Refused(400, str(error)) from error
    except Exception as error:
        raise Refused(500, explain(error)) from error


async def _read(request: Request, body: bytearray, load: Load) -> Job:
    """The job of a request.

    Args:
        request: the request
        body: is filled with its body
        load: what all requests hold

    Raises:
        Refused: the body is too large, or cannot be read.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        async for chunk in request.stream():
            body += chunk
            load.add(len(chunk))
            if len(body) > load.limits.bytes:
                raise _too_long(load.limits)
    except ClientDisconnect:
        raise Refused(DISCONNECTED, "The client has gone.") from None
    try:
        if kind == "application/json":
            return _from_json(bytes(body))
        if kind == "multipart/form-data":
            return await _from_form(request, bytes(body))
    except StylekitError as error:
        raise Refused(400, str(error)) from error
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise Refused(400, "The request cannot be read: a value has another type than /openapi.json says.") from error
    raise Refused(415, "Send a form (multipart/form-data), or JSON (application/json).")


def _from_json(body: bytes) -> Job:
    given = json.loads(body)
    if not isinstance(given, dict) or "content" not in given:
        raise StylekitError("The JSON needs 'content', the picture's file in base64.")
    styles = [
        StyleInput(_decoded(each, "image"), str(each.get("name", "")), _number(each.get("weight", 1.0), "weight"))
        for each in given.get("styles", [])
    ]
    return _job(_decoded(given, "content") or b"", styles, _decoded(given, "mask"), given)


def _decoded(given: Mapping[str, Any], key: str) -> bytes | None:
    if given.get(key) is None:
        return None
    try:
        return base64.b64decode(given[key], validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise StylekitError(f"{key!r} is not base64.") from None


async def _from_form(request: Request, body: bytes) -> Job:
    async def replay() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        form = await MultiPartParser(request.headers, replay(), max_part_size=len(body) + 1).parse()
    except MultiPartException as error:
        raise StylekitError(f"The form cannot be read: {error.message}") from None

    try:
        return await _form_job(form)
    finally:
        await form.close()


async def _form_job(form: FormData) -> Job:
    async def file(key: str) -> bytes | None:
        value = form.get(key)
        return None if value is None or isinstance(value, str) else await value.read()

    content = await file("content")
    if content is None:
        raise StylekitError("The form needs the file 'content', the picture.")
    styles = []
    for value in form.getlist("style"):
        if isinstance(value, str):
            styles.append(StyleInput(name=value))
        else:
            styles.append(StyleInput(await value.read()))
    weights = [_number(value, "weight") for value in form.getlist("weight")]
    if weights and len(weights) != len(styles):
        raise StylekitError(f"There are {len(styles)} styles, but {len(weights)} weights.")
    styles = [
        StyleInput(each.data, each.name, weight)
        for each, weight in zip(styles, weights or [1.0] * len(styles), strict=True)
    ]
    return _job(content, styles, await file("mask"), {key: value for key, value in form.items() if key in FIELDS})


def _job(content: bytes, styles: list[StyleInput], mask: bytes | None, given: Mapping[str, Any]) -> Job:
    options: dict[str, Any] = {key: given[key] for key in FIELDS if given.get(key) not in (None, "")}
    for key in ("strength", "style_scale"):
        if key in options:
            options[key] = _number(options[key], key)
    for key in ("seed", "max_size"):
        if key in options:
            options[key] = _whole(options[key], key)
    return Job(content, styles, mask, **options)


def _whole(value: Any, name: str) -> int:
    number = _number(value, name)
    if number != int(number):
        raise StylekitError(f"{name!r} must be a whole number, not {value!r}.")
    return int(number)


def _number(value: Any, name: str) -> float:
    if not isinstance(value, str | int | float):
        raise StylekitError(f"{name!r} must be a number.")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise StylekitError(f"{name!r} must be a number, not {str(value)[:40]!r}.") from None
    if not abs(number) < 1e9:  # also true for NaN
        raise StylekitError(f"{name!r} must be a number, not {value!r}.")
    return number


@functools.lru_cache(maxsize=512)
def _thumbnail(path: Path) -> bytes:
    picture = images.read(path, THUMBNAIL, arrays=True)
    image = images.to_pil(picture).convert("RGB")
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()


def _require_origin(request: Request) -> None:
    """Refuses requests that another web page sends: by its origin, or by a name that it gave to this machine."""
    host = request.headers.get("host", "")
    local = request.scope.get("server", ("",))[0] in ("127.0.0.1", "::1")
    if local and host.rpartition(":")[0] not in LOCAL and host not in LOCAL:
        raise Refused(403, f"This service is not called {host!r}.")
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != host:
        raise Refused(403, f"Requests of {origin} are not answered.")


def _require_token(request: Request, token: str) -> None:
    if not token:
        return
    given = request.headers.get("authorization", "").removeprefix("Bearer ") or request.query_params.get("token", "")
    given = given or request.cookies.get("token", "")
    if not hmac.compare_digest(given.encode(), token.encode()):
        raise Refused(
            401, "This needs the token that the service printed when it started: add ?token=... to the address."
        )


def _too_long_time(limits: Limits) -> Refused:
    return Refused(504, f"It took longer than {limits.seconds:g} seconds. Reduce the picture, or try again later.")


def _require_length(request: Request, limits: Limits) -> None:
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > limits.bytes:
        raise _too_long(limits)


def _too_long(limits: Limits) -> Refused:
    return Refused(
        413, f"The request has more than the {limits.bytes / 1e6:g} MB that are accepted.", Connection="close"
    )


def _refusal(refused: Refused) -> Response:
    return JSONResponse({"error": str(refused)}, refused.status, dict(refused.headers))


def _properties(image: dict[str, Any], styles: dict[str, Any]) -> dict[str, Any]:
    number, whole = {"type": "number"}, {"type": "integer"}
    return {
        "type": "object",
        "required": ["content"],
        "properties": {
            "content": image,
            **styles,
            "mask": image,
            "strength": {**number, "minimum": 0, "maximum": 1, "default": 1},
            "keep_color": {"type": "string", "enum": ["luminance", "histogram"]},
            "style_scale": {**number, "default": 1},
            "seed": {**whole, "default": 0},
            "max_size": {
                **whole,
                "default": 0,
                "description": "maximum length of the longer side in pixels; 0: its own",
            },
            "format": {"type": "string", "enum": list(MEDIA), "default": "png"},
        },
    }


BINARY, BASE64 = {"type": "string", "format": "binary"}, {"type": "string", "contentEncoding": "base64"}
SCHEMA = {
    "multipart/form-data": {
        "schema": _properties(
            BINARY,
            {
                "style": {"type": "array", "items": BINARY, "description": "files, or names of the gallery"},
                "weight": {"type": "array", "items": {"type": "number"}, "description": "one for each style"},
            },
        )
    },
    "application/json": {
        "schema": _properties(
            BASE64,
            {
                "styles": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {"image": BASE64, "name": {"type": "string"}, "weight": {"type": "number"}},
                    },
                }
            },
        )
    },
}
ERROR = {"content": {"application/json": {"schema": {"type": "object", "properties": {"error": {"type": "string"}}}}}}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {media: {"schema": BINARY} for media in MEDIA.values()}, "description": "the stylised file"},
    400: {**ERROR, "description": "it cannot be stylised"},
    413: {**ERROR, "description": "it is too large"},
    429: {**ERROR, "description": "too many requests are waiting"},
    504: {**ERROR, "description": "it took too long"},
}
