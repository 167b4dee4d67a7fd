"""Models as folders for the Hugging Face hub: ``config.json``, ``model.safetensors``, and a card written from the run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import stylekit
from stylekit._files import explain_os_errors, read_json, write_atomic
from stylekit.errors import StylekitError, one_line_error
from stylekit.inference.loading import load
from stylekit.inference.model import Model
from stylekit.inference.model_files import save_model
from stylekit.inference.model_headers import model_header
from stylekit.registry.extras import import_extra

FILES = ("model.safetensors", "config.json")
"""What is downloaded of a model. No code is: the plugin of its method must be installed."""
SHOWN = ("preset", "set", "size", "batch_size", "steps", "seed", "precision")
"""The settings of a run that a card shows; paths are left out, because they say where the author keeps files."""


def from_pretrained(name: str | Path, device: str | torch.device = "auto", revision: str | None = None) -> Model:
    """Loads a model from a folder, or by its name on the Hugging Face hub.

    Only ``model.safetensors`` and ``config.json`` are downloaded, and kept in the hub's cache; with ``HF_HUB_OFFLINE=1``, the
    cache is used. The package huggingface_hub is imported only for a name on the hub.

    Args:
        name: a folder, or a name such as ``ada/horses``
        device: as for :func:`stylekit.load`
        revision: branch, tag or commit on the hub

    Raises:
        StylekitError: it cannot be downloaded or loaded.
    """
    if Path(name).is_dir():
        return load(Path(name), device)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", str(name)):
        raise StylekitError(
            f"There is no folder {name}, and it is not a name on the Hugging Face hub, such as ada/horses."
        )
    hub = import_extra("huggingface_hub", "hub", f"The model {name} on the Hugging Face hub")
    try:
        folder = hub.snapshot_download(str(name), revision=revision, allow_patterns=list(FILES))
    except Exception as error:  # huggingface_hub raises many types
        raise StylekitError(
            f"The model {name} cannot be fetched from the hub: {one_line_error(error)[:300]}"
        ) from error
    return load(Path(folder), device)


def save_pretrained(
    model: Model, folder: str | Path, run: Path | None = None, report: Path | None = None, licence: str = "other"
) -> Path:
    """Writes a model to a folder that :func:`from_pretrained` and the Hugging Face hub read; returns the folder.

    Args:
        model: the model
        folder: the folder; it is created
        run: the folder of the run that trained it, for the card
        report: ``report.json`` of ``stylekit evaluate``, for the card
        licence: the hub's identifier of the licence of the weights, such as ``cc-by-4.0``

    Raises:
        StylekitError: the folder cannot be written, or a file for the card cannot be read.
    """
    folder = Path(folder)
    card = model_card(model, run, report, licence)
    with explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    save_model(model.method, model.name, folder / "model.safetensors")
    write_atomic(folder / "config.json", json.dumps(_config(model), indent=2) + "\n")
    write_atomic(folder / "README.md", card)
    return folder


def upload(folder: Path, name: str) -> str:
    """Uploads a folder to the Hugging Face hub, where the user is logged in, and returns its address.

    Raises:
        StylekitError: it cannot be uploaded.
    """
    hub = import_extra("huggingface_hub", "hub", "Uploading to the Hugging Face hub")
    try:
        hub.create_repo(name, exist_ok=True)
        return str(hub.upload_folder(repo_id=name, folder_path=str(folder), allow_patterns=[*FILES, "README.md"]))
    except Exception as error:  # huggingface_hub raises many types
        raise StylekitError(f"{folder} cannot be uploaded to {name}: {one_line_error(error)[:300]}") from error


def _config(model: Model) -> dict[str, Any]:
    """What the header of the model file says, as JSON."""
    texts = model_header(model.method, model.name)
    parsed = ("packages", "arguments", "inference_modules")
    return {key: json.loads(text) if key in parsed else text for key, text in texts.items()}


def model_card(model: Model, run: Path | None = None, report: Path | None = None, licence: str = "other") -> str:
    """The card of a model, in Markdown, with what is known of its training and evaluation.

    Raises:
        StylekitError: the run or the report cannot be read.
    """
    if not re.fullmatch(r"[\w.-]+", licence):
        raise StylekitError(f"The licence must be the hub's identifier of one, such as cc-by-4.0, not {licence!r}.")
    method = model.method
    header = [
        "---",
        "library_name: stylekit",
        "pipeline_tag: image-to-image",
        f"license: {licence}",
        f"tags: [stylekit, style-transfer, {model.name}]",
        "---",
    ]
    about = (type(method).__doc__ or "").strip().partition("\n\n")[0]
    call = 'model.stylize("photo.jpg", "painting.jpg")' if method.takes_styles() else 'model.stylize("photo.jpg")'
    call = call if method.stylizes() else "model.sample(16)"
    use = ["```python", "import stylekit", "", 'model = stylekit.from_pretrained("...")', f"result = {call}", "```"]
    parts = [
        "\n".join(header),
        f"# A model of the method {model.name}",
        f"{' '.join(about.split())} {model.summary()}",
        "\n".join(use),
        *_training(run),
        *_evaluation(report),
        "## Limits\n\nIt was trained on the pictures above, and paints others as if they were such pictures. It may lose "
        "details, or invent some; outputs are no evidence of what was in a picture.",
    ]
    return "\n\n".join(parts) + "\n"


def _training(run: Path | None) -> list[str]:
    if run is None:
        return ["## Training\n\nNot recorded."]
    content: Mapping[str, Any] = read_json(run / "run.json")
    if not isinstance(content, Mapping) or not isinstance(content.get("settings"), Mapping):
        raise StylekitError(f"{run / 'run.json'} is not the record of a run.")
    settings, sessions = content.get("settings", {}), content.get("sessions", [])
    rows = {key: _without_paths(settings[key]) for key in SHOWN if settings.get(key) not in (None, {}, "")}
    data = settings.get("data") or {}
    name = data.get("name", "folders") if isinstance(data, Mapping) else str(data)
    rows["data"] = "folders" if Path(name).name != name else name
    if facts := content.get("data"):
        rows["pictures"] = f"{facts.get('files')} files, digest {facts.get('digest')}"
    rows["time"] = f"{sum(each.get('seconds', 0) for each in sessions) / 60:.0f} minutes"
    rows["device"] = ", ".join({str(each.get("device", "?")): None for each in sessions})
    rows |= {name: version for name, version in content.get("versions", {}).items() if name in ("stylekit", "torch")}
    if best := content.get("best"):
        rows["best"] = f"{best.get('metric')} {best.get('value')} at step {best.get('step')}"
    lines = ["| | |", "|---|---|", *(f"| {key} | {_cell(value)} |" for key, value in rows.items())]
    return ["## Training", "\n".join(lines)]


def _evaluation(report: Path | None) -> list[str]:
    if report is None:
        return []
    content: Mapping[str, Any] = read_json(report)
    scores = content.get("scores", {}) if isinstance(content, Mapping) else None
    known = isinstance(scores, Mapping) and all(
        isinstance(row, Mapping) and all(isinstance(each, Mapping) for each in row.values()) for row in scores.values()
    )
    if not known or not scores:
        raise StylekitError(f"{report} is not a report of `stylekit evaluate`.")
    subjects = list(next(iter(scores.values()), {}))
    lines = [f"| metric | {' | '.join(map(_cell, subjects))} |", "|---" * (len(subjects) + 1) + "|"]
    for metric, by_subject in scores.items():
        values = [by_subject.get(each, {}).get("mean") for each in subjects]
        cells = ["" if value is None else f"{value:.4g}" for value in values]
        lines.append(f"| {_cell(metric)} | {' | '.join(cells)} |")
    protocol = content.get("protocol", {})
    facts = f"{protocol.get('pairs')} outputs, precision {protocol.get('precision')}, seed {protocol.get('seed')}"
    return ["## Evaluation", f"By `stylekit evaluate` {stylekit.__version__}: {facts}.", "\n".join(lines)]


def _without_paths(value: Any) -> Any:
    """A setting in which each path is only the name of its file or folder."""
    if isinstance(value, Mapping):
        return {key: _without_paths(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_paths(each) for each in value]
    return Path(value).name if isinstance(value, str) and ("/" in value or "\\" in value) else value


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return " ".join(text.replace("|", "\\|").split())
