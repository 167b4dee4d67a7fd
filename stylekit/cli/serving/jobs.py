"""Reads the job of a request: a form, or JSON with files in base64."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from fastapi import Request
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from stylekit.cli.serving.limits import DISCONNECTED, Load, Refused, too_long
from stylekit.cli.serving.worker import Job, StyleInput
from stylekit.errors import StylekitError

FIELDS = ("strength", "keep_color", "style_scale", "seed", "max_size", "format", "model")


async def read_job(request: Request, body: bytearray, load: Load) -> Job:
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
                raise too_long(load.limits)
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
    if not isinstance(options.get("model", ""), str):
        raise StylekitError("'model' must be a name.")
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
