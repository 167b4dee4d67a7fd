"""``stylekit serve``: a page for the browser and an HTTP interface, on this machine only unless told otherwise."""

from __future__ import annotations

import re
import secrets
import socket
from pathlib import Path
from typing import Annotated

import typer

from stylekit.cli.options import DEFAULT_MODEL, METHOD, Device, PluginFiles
from stylekit.cli.output import echo
from stylekit.errors import StylekitError
from stylekit.registry import lookup
from stylekit.registry.extras import import_extra


def command(
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help="a shipped model, a run's folder, a model file, or a method that needs no training; several to choose from "
            f"[default: {DEFAULT_MODEL}]",
            rich_help_panel=METHOD,
        ),
    ] = None,
    styles: Annotated[
        Path | None, typer.Option("--styles", help="folder of images and .style files, to choose from")
    ] = None,
    host: Annotated[
        str, typer.Option(help="address to listen on; with another than this machine's own, requests need a token")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="port; 0: any that is free")] = 7860,
    token: Annotated[str, typer.Option(help="what requests must show; by default a new one, if one is needed")] = "",
    max_megabytes: Annotated[float, typer.Option(min=0.001, help="the largest request")] = 50.0,
    max_megapixels: Annotated[float, typer.Option(min=0.001, help="the largest picture")] = 50.0,
    queue: Annotated[int, typer.Option(min=1, help="the most requests that wait at the same time")] = 128,
    timeout: Annotated[float, typer.Option(min=0.1, help="the longest time of a request, in seconds")] = 120.0,
    engine: Annotated[str, typer.Option(help="auto, torch, onnxruntime or openvino")] = "auto",
    device: Device = "auto",
    plugin: PluginFiles = None,
) -> None:
    """Open a page in the browser to stylise pictures. They do not leave this machine.

    For example: [bold]stylekit serve --styles paintings[/bold], then open http://127.0.0.1:7860

    Programs can use the same service: docs/deploy.md describes it, and /openapi.json for tools.
    """
    for file in plugin or []:
        lookup.add_file(file)
    uvicorn = import_extra("uvicorn", "ui", "`stylekit serve`")
    import_extra("fastapi", "ui", "`stylekit serve`")
    import_extra("python_multipart", "ui", "`stylekit serve`")
    from stylekit.cli.engines import open_stylizer
    from stylekit.cli.serving.app import create_app
    from stylekit.cli.serving.limits import LOCAL, Limits
    from stylekit.cli.serving.worker import Gallery, Models, Worker
    from stylekit.inference.exported.runtimes import cores

    if token and not re.fullmatch(r"[\w.~-]{8,}", token, re.ASCII):
        raise StylekitError("--token must have 8 or more letters and digits, or be left out for a new one.")
    if host not in LOCAL:
        token = token or secrets.token_urlsafe(24)
    gallery = Gallery.of(styles)

    def load(name: str) -> Worker:
        stylizer, concurrency = open_stylizer(((name, None),), engine, device, cores(), 1.0, [], {})
        if stylizer.intensities:
            raise StylekitError(f"{name} is a model for files of values, but `stylekit serve` stylises RGB pictures.")
        return Worker(stylizer, concurrency({}), gallery, int(max_megapixels * 1e6))

    models = Models(model or [DEFAULT_MODEL], load)
    for name in models.names[1:]:
        _require(name)
    with _listen(host, port) as listening:
        models.find().result()
        limits = Limits(int(max_megabytes * 1e6), queue, timeout)
        app = create_app(models, gallery, limits, token)
        address = f"http://{host if ':' not in host else f'[{host}]'}:{listening.getsockname()[1]}/"
        echo(f"Open {address}{f'?token={token}' if token else ''} in a browser. Ctrl-C stops it.", stderr=True)
        settings = {"log_level": "warning", "access_log": False, "server_header": False, "limit_concurrency": 4 * queue}
        settings["timeout_graceful_shutdown"] = int(timeout) + 1
        uvicorn.Server(uvicorn.Config(app, **settings)).run(sockets=[listening])


def _require(model: str) -> None:
    """Checks, without loading it, that there is a model of that name."""
    if not (Path(model).exists() or lookup.part_owners("model", model) or lookup.part_owners("method", model)):
        raise StylekitError(f"There is no model {model}: neither a file or a run's folder, nor one that ships.")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StylekitError(
            f"{host}:{port} cannot be listened on: {reason}. Choose another --port or --host."
        ) from error
