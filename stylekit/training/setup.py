"""From the settings of a run to its method and its data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stylekit._files import absolute_path
from stylekit.errors import StylekitError, suggest
from stylekit.inference.model import load
from stylekit.inference.model_files import inference_state
from stylekit.method import Method
from stylekit.registry import lookup, provenance
from stylekit.registry.parts import construct, make
from stylekit.registry.schema import Argument, absolute_paths, arguments, override, unwrap_partial, validate_arguments
from stylekit.training.settings import Settings
from stylekit.weights.tensors import fit


def prepare_arguments(method: Any) -> dict[str, Argument]:
    """The options of training alone: those of the method's ``prepare``."""
    prepare = getattr(unwrap_partial(method), "prepare", None)
    return {name: each for name, each in arguments(prepare).items() if name != "self"} if prepare else {}


def prepare(method: Method, given: Mapping[str, Any]) -> None:
    """Calls a method's ``prepare``. Submodules that it adds, such as a teacher, are in no model file."""
    built = {key.split(".")[0] for key in method.state_dict()}
    method.prepare(**given)
    added = {key.split(".")[0] for key in method.state_dict()} - built
    if added and not method.inference_modules:
        method.inference_modules = tuple(sorted(built))


def resolve(settings: Settings, method: Any) -> Settings:
    """The settings as a run keeps them: with the whole specification of its data set, and without relative paths.

    Args:
        settings: as they were given
        method: the method's class, or whatever builds it

    Raises:
        StylekitError: there is no such data set, or ``--data`` contradicts ``--content`` and ``--style``.
    """
    known = {**arguments(method), **prepare_arguments(method)}
    heads = {key: value for key, value in settings.set.items() if "." not in key}
    within = {key: value for key, value in settings.set.items() if "." in key}
    return settings.model_copy(
        update={
            "set": {**absolute_paths(known, heads), **absolute_paths({}, within)},
            "data": _data(settings, getattr(unwrap_partial(method), "reads", Method.reads)),
            "content": None,
            "style": None,
        }
    )


def _data(settings: Settings, reads: str) -> dict[str, Any]:
    """The data set's name and options."""
    given = settings.data
    options = dict(given) if isinstance(given, Mapping) else {} if given is None else _named(given)
    folders = {key: folder for key in ("content", "style") if (folder := getattr(settings, key))}
    if folders and (isinstance(given, str) or options.keys() & {"data", *folders}):
        raise StylekitError("Give either --content and --style, or --data.")
    options |= folders
    name = str(options.pop("name", reads))
    factory = lookup.find_part("dataset", name)
    if given is None and not folders:
        stand_in = getattr(unwrap_partial(factory), "stand_in", name)
        return dict(stand_in) if isinstance(stand_in, Mapping) else {"name": stand_in}
    return {"name": name, **absolute_paths(arguments(factory), options)}


def _named(text: str) -> dict[str, Any]:
    """A data set of that name, or else a folder. A folder that is named like a data set of folders is a folder."""
    path = absolute_path(text)
    is_bare, exists = path.name == text, path.exists()
    if is_bare and lookup.part_owners("dataset", text, everywhere=not exists):
        reads_folders = "data" in arguments(lookup.find_part("dataset", text))
        return {"data": str(path)} if reads_folders and exists else {"name": text}
    if is_bare and not exists:
        known = lookup.part_names("dataset")
        raise StylekitError(f"There is neither a data set nor a folder {text!r}. {suggest(text, known)}")
    return {"data": str(path)}


def build_method(settings: Settings) -> tuple[str, Method, dict[str, Any]]:
    """Builds the method that the settings name.

    Returns:
        The name that it is registered by, the method, and the arguments of its ``prepare``.

    Raises:
        StylekitError: there is no such method or preset, or it does not accept an argument.
    """
    name, factory = lookup.find_method(settings.plugin)
    what = f"method {name!r}"
    constructor, training = arguments(factory), prepare_arguments(factory)
    base = _preset(name, factory, settings.preset) if settings.preset else {}
    chosen = override({**training, **constructor}, base, settings.set, what)
    method = construct(factory, {key: value for key, value in chosen.items() if key in constructor}, what)
    provenance.record_origin(method, lookup.part_owner("method", name))
    return name, method, validate_arguments(training, {k: v for k, v in chosen.items() if k in training}, what)


def _preset(method: str, factory: Callable[..., Method], name: str) -> Mapping[str, Any]:
    """The method's own preset of that name, or one that a plugin adds."""
    own: Mapping[str, Mapping[str, Any]] = getattr(factory, "presets", {})
    if name in own:
        return own[name]
    added = lookup.preset(method, name)
    if added is None:
        known = {*own, *lookup.presets(method)}
        raise StylekitError(f"The method {method!r} has no preset {name!r}. {suggest(name, known)}")
    return added[1]


def init_from_model(method: Method, source: Path | str) -> None:
    """Gives a method that is to be trained the weights of a finished model; what a model file does not hold is left alone.

    Raises:
        StylekitError: there is no such model, it is of another method, or a tensor of it is unknown or has another shape.
    """
    by_hand = None if provenance.origin(method) else type(method)  # no plugin offers it, so its class builds the model
    try:
        finished = load(source, device="cpu", method=by_hand).method
        if type(finished) is not type(method):
            raise StylekitError(
                f"{source} is a model of {type(finished).__name__}, and {type(method).__name__} is to be trained."
            )
        weights = inference_state(finished)
        absent = {key.split(".")[0] for key in method.state_dict()} - {key.split(".")[0] for key in weights}
        fit(method, weights, Path(source), absent)
    except StylekitError as error:
        raise StylekitError(f"The training cannot start with --init {source}: {error}") from None


def open_data(settings: Settings, split: str) -> Any:
    """Builds the data set of resolved settings.

    Raises:
        StylekitError: there is no such folder or data set, or it has no images.
    """
    return make("dataset", settings.data or {}, size=settings.size, seed=settings.seed, split=split)


def open_preview(settings: Settings) -> Any:
    """The held-out images for the sample grids; None where there are none, which is no reason not to train."""
    try:
        return open_data(settings, "test")
    except StylekitError:
        return None


def check_data(method: Method, name: str, dataset: Any) -> None:
    """Refuses a data set that lacks what the method needs of a batch.

    Raises:
        StylekitError: it does; the first missing key is named.
    """
    keys = getattr(dataset, "item_keys", None)
    if keys is None:
        return
    item: Any = None
    for key in method.batch_keys:
        if key in keys:
            continue
        item = dataset[0] if item is None else item  # an item may hold more than images, such as a label
        if key not in item:
            hint = f" Give --{key} DIR." if key in ("content", "style") and key in arguments(type(dataset)) else ""
            raise StylekitError(
                f"The method {name!r} needs {key!r} in a batch, and the data set {type(dataset).__name__} has only "
                f"{', '.join(item)}.{hint}"
            )


def check_sizes(method: Method, size: int) -> None:
    """Refuses images that are too small for a network.

    Raises:
        StylekitError: they are.
    """
    for name, part in method.named_children():
        least = getattr(part, "min_size", 1)
        if size < least:
            raise StylekitError(
                f"--size {size} is too small for {name} ({type(part).__name__}), which needs images of {least} pixels. "
                "Train on larger ones, or give it fewer downsampling steps."
            )
