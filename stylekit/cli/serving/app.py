"""The HTTP interface of ``stylekit serve``, and the page that uses it."""

from __future__ import annotations

import asyncio
import functools
import html
import io
import secrets
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

import stylekit
from stylekit import images
from stylekit.cli.serving.jobs import read_job
from stylekit.cli.serving.limits import (
    DISCONNECTED,
    Limits,
    Load,
    Refused,
    require_length,
    require_origin,
    require_token,
    too_slow,
)
from stylekit.cli.serving.schema import RESPONSES, SCHEMA
from stylekit.cli.serving.worker import MEDIA, Gallery, Models, TooLarge, Worker
from stylekit.errors import StylekitError, explain

PAGE = Path(__file__).parent / "page.html"
THUMBNAIL = 128
"""Longer side of the images of the gallery."""


def create_app(models: Models, gallery: Gallery, limits: Limits, token: str = "") -> FastAPI:
    """The application.

    Args:
        models: what stylises; the names are what the user gave as ``--model``
        gallery: styles that requests can name
        limits: what it accepts
        token: what requests must show, if it is not empty
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        models.close()

    app = FastAPI(title="stylekit", version=stylekit.__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    load = Load(limits)

    @app.middleware("http")
    async def guard(request: Request, call: Any) -> Response:
        try:
            require_origin(request)
            require_token(request, token)
            require_length(request, limits)
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
        options = "".join(f"<option>{html.escape(name)}</option>" for name in models.names)
        text = PAGE.read_text(encoding="utf-8").replace("{{nonce}}", nonce).replace("{{models}}", options)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self' blob: data:; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        return HTMLResponse(text, headers={"Content-Security-Policy": policy})

    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Whether the service runs, its models, the default first, and how many requests it has at the moment."""
        loaded = models.loaded()
        return {
            "status": "ok",
            "model": models.names[0],
            "method": loaded[models.names[0]].model.name if models.names[0] in loaded else None,
            "models": [_facts(name, loaded.get(name)) for name in models.names],
            "requests": load.requests,
            "limit": limits.queue,
        }

    @app.get("/styles")
    async def styles(model: str = "") -> list[dict[str, Any]]:
        """The styles that requests can name: those of the gallery, and those that a model, by default the first, has
        learned."""
        try:
            worker = await _loaded(models, model, limits.seconds)
        except asyncio.TimeoutError as error:
            raise too_slow(limits) from error
        known = [{"name": name, "kind": gallery.kind(name)} for name in gallery.files]
        learned = {"kind": "learned", "model": model or models.names[0]}
        return [*known, *({"name": name, **learned} for name in worker.model.learned_styles())]

    @app.get("/styles/{name}", responses={200: {"content": {"image/jpeg": {}}}})
    async def thumbnail(name: str) -> Response:
        """A small image of a style in the gallery."""
        if name not in gallery.files or gallery.kind(name) != "image":
            raise Refused(404, f"There is no image {name!r} in the gallery.")
        try:
            data = await asyncio.to_thread(_thumbnail, gallery[name])
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
            job = await asyncio.wait_for(read_job(request, body, load), limits.seconds)
            worker = await _loaded(models, job.model, end - asyncio.get_running_loop().time())
            future = worker.submit(job)
            # A job that runs cannot be stopped, so it counts until it ends, even if nobody waits for it.
            future.add_done_callback(lambda done: load.leave(len(body)))
            data = await _finished(request, future, end, limits)
        except asyncio.TimeoutError as error:
            raise too_slow(limits) from error
        finally:
            if future is None:
                load.leave(len(body))
        return Response(data, media_type=MEDIA[job.format], headers={"Cache-Control": "no-store"})

    return app


def _facts(name: str, worker: Worker | None) -> dict[str, Any]:
    """What is known of a model; whether it needs a style only when it is loaded."""
    known = {} if worker is None else {"needs_style": worker.needs_style}
    return {"name": name, "loaded": worker is not None, **known}


async def _loaded(models: Models, name: str, seconds: float) -> Worker:
    """A model of the service, which goes on loading if that takes longer than this request has."""
    try:
        return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(models.find(name))), seconds)
    except StylekitError as error:
        raise Refused(400, str(error)) from error


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
            raise too_slow(limits)
    try:
        return done.result()
    except TooLarge as error:
        raise Refused(413, str(error)) from error
    except StylekitError as error:
        raise Refused(400, str(error)) from error
    except Exception as error:
        raise Refused(500, explain(error)) from error


@functools.lru_cache(maxsize=512)
def _thumbnail(path: Path) -> bytes:
    picture = images.read(path, THUMBNAIL, arrays=True)
    image = images.to_pil(picture).convert("RGB")
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()


def _refusal(refused: Refused) -> Response:
    return JSONResponse({"error": str(refused)}, refused.status, dict(refused.headers))
