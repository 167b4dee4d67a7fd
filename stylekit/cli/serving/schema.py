"""What OpenAPI says about requests and answers."""

from __future__ import annotations

from typing import Any

from stylekit.cli.serving.worker import MEDIA


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
            "model": {"type": "string", "description": "one of those that /health names; by default the first"},
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
