"""The HTTP interface of ``stylekit serve``, and the page that uses it."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import io
import json
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser

import stylekit
from stylekit import images
from stylekit.cli.serving.worker import MEDIA, Job, StyleInput, TooLarge, Worker
from stylekit.cli.style_arguments import STYLE_FILE
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
        seconds: the longest time of a request, with its time in the queue
    """

    bytes: int = 50_000_000
    queue: int = 128
    seconds: float = 120.0


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
    running = 0

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

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        nonce = secrets.token_urlsafe(16)
        text = (
            PAGE.read_text()
            .replace("{{nonce}}", nonce)
            .replace("{{model}}", model.replace("&", "&amp;").replace('"', "&quot;"))
        )
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self' blob: data:; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        return HTMLResponse(text, headers={"Content-Security-Policy": policy})

    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Whether the service runs, its model, and how many requests it has at the moment."""
        return {"status": "ok", "model": model, "method": worker.model.name, "requests": running, "limit": limits.queue}

    @app.get("/styles")
    async def styles() -> list[dict[str, Any]]:
        """The styles that requests can name: those of the gallery, and those that the model has learned."""
        known = [
            {"name": name, "kind": "style file" if path.suffix == STYLE_FILE else "image"}
            for name, path in worker.gallery.files.items()
        ]
        return [*known, *({"name": name, "kind": "learned"} for name in worker.model.learned_styles())]

    @app.get("/styles/{name}", responses={200: {"content": {"image/jpeg": {}}}})
    async def thumbnail(name: str) -> Response:
        """A small image of a style in the gallery."""
        if name not in worker.gallery.files or name.endswith(STYLE_FILE):
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
        nonlocal running
        job = await _read(request, limits)
        if running >= limits.queue:
            raise Refused(
                429, f"{running} requests are waiting already. Try again in a moment.", **{"Retry-After": "1"}
            )
        running += 1
        try:
            data = await _finished(request, worker, job, limits)
        finally:
            running -= 1
        return Response(data, media_type=MEDIA[job.format], headers={"Cache-Control": "no-store"})

    return app


async def _finished(request: Request, worker: Worker, job: Job, limits: Limits) -> bytes:
    """The stylised file; a job that has not begun is given up when the client has gone."""
    future = worker.submit(job)
    done, end = asyncio.wrap_future(future), asyncio.get_running_loop().time() + limits.seconds
    while not done.done():
        await asyncio.wait([done], timeout=0.2)
        if not done.done() and await request.is_disconnected():
            future.cancel()
            raise Refused(DISCONNECTED, "The client has gone.")
        if not done.done() and asyncio.get_running_loop().time() > end:
            future.cancel()
            raise Refused(
                504, f"It took longer than {limits.seconds:g} seconds. Reduce the picture, or try again later."
            )
    try:
        return done.result()
    except TooLarge as error:
        raise Refused(413, str(error)) from error
    except StylekitError as error:
        raise Refused(400, str(error)) from error
    except Exception as error:
        raise Refused(500, explain(error)) from error


async def _read(request: Request, limits: Limits) -> Job:
    """The job of a request.

    Raises:
        Refused: the body is too large, or cannot be read.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limits.bytes:
            raise _too_long(limits)
    try:
        if kind == "application/json":
            return _from_json(bytes(body))
        if kind == "multipart/form-data":
            return await _from_form(request, bytes(body))
    except (StylekitError, ValueError, TypeError, KeyError, RecursionError) as error:
        reason = str(error) if isinstance(error, StylekitError) else f"The request cannot be read: {error}."
        raise Refused(400, reason) from error
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
            options[key] = int(_number(options[key], key))
    return Job(content, styles, mask, **options)


def _number(value: Any, name: str) -> float:
    try:
        number = float(value)
    except (ValueError, TypeError):
        raise StylekitError(f"{name!r} must be a number, not {value!r}.") from None
    if not abs(number) < 1e9:  # also true for NaN
        raise StylekitError(f"{name!r} must be a number, not {value!r}.")
    return number


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
