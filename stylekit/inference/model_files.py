"""Model files: a safetensors file with weights, and a header with the method and its arguments, to rebuild it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from stylekit._files import is_file
from stylekit.errors import StylekitError, printable
from stylekit.inference.building import build_for
from stylekit.inference.model_headers import SHOWN, Header, model_header, read_header
from stylekit.inference.several import Several
from stylekit.method import Method
from stylekit.registry import lookup, provenance
from stylekit.registry.lookup import MissingPart
from stylekit.registry.parts import make
from stylekit.registry.schema import arguments as arguments_of
from stylekit.registry.schema import override
from stylekit.weights.tensors import fit_sound, read_tensors, require_fit, write_tensors

LONGEST = 1000
"""Maximum length of what a message says about the values in a header."""


def save_model(method: Method, name: str, path: Path) -> None:
    """Writes a model file: the tensors that ``stylize`` needs, and how to rebuild the method.

    Args:
        method: the method
        name: registered name of the method
        path: the file, ending in ``.safetensors``

    Raises:
        StylekitError: no space is left, the file cannot be written, or the method is several.
    """
    if isinstance(method, Several):
        raise StylekitError("Several models are not saved as one. Save each by itself, and load them together.")
    write_tensors(path, inference_state(method), model_header(method, name))


def save_state(state: Mapping[str, Tensor], name: str, arguments: Mapping[str, Any], path: Path, source: Path) -> None:
    """Writes a model file of weights that no method has yet, after building the method that they fit.

    Args:
        state: the weights, of some of the method's submodules or of all
        name: registered name of the method
        arguments: arguments of the method
        path: the file, ending in ``.safetensors``
        source: the file that the weights came from, for messages

    Raises:
        StylekitError: the method cannot be built, the weights do not fit it, or the file cannot be written.
    """

    def absent(method: Method) -> set[str]:
        return {child for child, _ in method.named_children()} - {key.split(".")[0] for key in state}

    def build() -> Method:
        method: Method = make("method", name, **arguments)
        return method

    method = build_for(state, build, lambda draft: require_fit(draft, state, source, absent(draft)))
    fit_sound(method, state, source, absent(method))
    write_tensors(path, state, model_header(method, name))


def inference_state(method: Method) -> dict[str, Tensor]:
    """The tensors that a model file contains."""
    return {
        key: tensor
        for key, tensor in method.state_dict().items()
        if not method.inference_modules or key.split(".")[0] in method.inference_modules
    }


def resolve_model_file(path: Path) -> Path:
    """The model file for a path: the path itself, the model of a run, or the weights of a checkpoint.

    Raises:
        StylekitError: there is no model file.
    """
    if file := find_model_file(path):
        return file
    if path.is_dir():
        raise StylekitError(
            f"The folder {path} contains no model: it is neither a finished run nor a checkpoint. Give a run's folder, such "
            "as runs/NAME, or a .safetensors file."
        )
    shipped = "".join(f", {name}" for name in lookup.part_names("model"))
    raise StylekitError(
        f"There is no model {path}. Give a run's folder, such as runs/NAME, a .safetensors file, or the name of a method "
        f"that needs no training, such as gatys, or of a shipped model{shipped and f' ({shipped[2:]})'}."
    )


def find_model_file(path: Path) -> Path | None:
    """The model file for a path, if there is one."""
    files = (path, path / "model.safetensors", path / "method.safetensors")
    return next(filter(is_file, files), None)


def read_model(
    path: Path, factory: Callable[..., Method] | None = None, arguments: Mapping[str, Any] = {}
) -> tuple[Method, str]:
    """Builds the method that a model file contains.

    Args:
        path: the file
        factory: the method's class, if no plugin registers it
        arguments: constructor arguments that replace those in the file; ``part.option`` sets a part's option

    Returns:
        The method with its weights, and its registered name.

    Raises:
        StylekitError: the file is not a model file, its plugin is not installed, or a tensor is missing, unknown or has
            another shape.
    """
    tensors, texts = read_tensors(path)
    header = read_header(texts, path, given=factory is not None)
    reason = "with these arguments" if arguments else "with the installed plugins"
    try:
        method = build_for(
            tensors,
            partial(_build, header, factory, arguments, path),
            lambda draft: _require_fit(draft, tensors, path),
        )
    except _Unusable:
        raise
    except Exception as error:  # unchecked arguments may raise any type in a constructor
        if isinstance(error, MissingPart):
            provenance.require_packages(header.packages, path)
        provenance.warn_versions(header.packages, path)
        details = " ".join(str(error).split())
        raise StylekitError(f"The model {path} cannot be built {reason}. {details[:LONGEST]}") from error
    _require_origin(method, header, path)
    _restore(method, path, tensors)
    return method, header.method


def _restore(method: Method, path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Loads the tensors of a model file into a newly built method. Submodules without weights in the file raise an error
    when they are called.

    Raises:
        StylekitError: a tensor is missing, unknown, damaged, or of another shape; the message names the first.
    """
    used, absent = _used(method, tensors)
    fit_sound(method, used, path, absent)
    for name in absent & dict(method.named_children()).keys():
        setattr(method, name, _Absent(name, path))


def _require_fit(method: Method, tensors: Mapping[str, Tensor], path: Path) -> None:
    used, absent = _used(method, tensors)
    try:
        require_fit(method, used, path, absent)
    except StylekitError as error:
        raise _Unusable(str(error)) from None


def _used(method: Method, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], set[str]]:
    """The tensors that the method loads, and the names of submodules that remain without weights."""
    if not method.inference_modules:
        return dict(tensors), set()
    prefixes = {key.split(".")[0] for key in tensors}
    present = {name for name in method.inference_modules if name in prefixes} or set(method.inference_modules)
    absent = {key.split(".")[0] for key in method.state_dict()} - present  # not what has no tensors, such as nn.ReLU
    return {key: tensor for key, tensor in tensors.items() if key.split(".")[0] in present}, absent


class _Unusable(StylekitError):
    """An error whose message already names the file and the fix."""


def _build(header: Header, factory: Callable[..., Method] | None, arguments: Mapping[str, Any], path: Path) -> Method:
    for key, value in header.arguments.items():
        if isinstance(value, dict) and "callable" in value and key not in arguments:
            raise _Unusable(
                f"{path} was made with {printable(key[:SHOWN])}={printable(str(value['callable'])[:SHOWN])}, which has no "
                f"registered name. Give it again: stylekit.load({str(path)!r}, {printable(key[:SHOWN])}=...)."
            )
    if factory is None:
        _require_method(header, path)
    known = arguments_of(factory or lookup.find_part("method", header.method))
    chosen = override(known, header.arguments, arguments, f"method {header.method!r}")
    method: Method = make("method", factory or header.method, **chosen)
    method.intensities, method.results = header.intensities, header.results
    if not method.inference_modules:  # a checkpoint also contains what prepare() added, such as a teacher
        method.inference_modules = header.inference_modules
    return method


def _require_method(header: Header, path: Path) -> None:
    """Checks that the method is available. Packages of other names are imported only if the file lists an installed one."""
    if lookup.part_owners("method", header.method, everywhere=provenance.any_installed(header.packages)):
        return
    provenance.require_packages(header.packages, path)
    raise _Unusable(
        f"{path} needs the method {header.method!r} of {header.origin or 'no plugin'}, which is not available. "
        f"{lookup.why_missing(header.method)}Install the package that provides it, give its file with --plugin FILE.py, or "
        "its class with stylekit.load(..., method=...)."
    )


def _require_origin(method: Method, header: Header, path: Path) -> None:
    """Checks that the parts came from the packages that the file lists, and warns about other versions."""
    used = provenance.packages(method)
    if others := header.packages.keys() - used.keys():
        names = ", ".join(sorted(others)[:3])
        raise StylekitError(
            f"{path} was made with parts of {names}, but here their names belong to parts of other packages."
        )
    provenance.warn_versions({name: header.packages[name] for name in used if name in header.packages}, path)


class _Absent(nn.Module):
    """Replaces a submodule whose weights are not in the file; raises an error when it is called."""

    def __init__(self, name: str, path: Path) -> None:
        super().__init__()
        self.message = (
            f"{path} contains no weights for {name!r}, which are needed here. Use the other direction, or import or train "
            "them."
        )

    def forward(self, *_: Any, **__: Any) -> Tensor:
        raise StylekitError(self.message)
