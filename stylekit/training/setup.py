"""Builds the method and the data set of a run from its settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stylekit._files import absolute_path
from stylekit.datasets.shards import absolute_source, is_shards
from stylekit.errors import StylekitError, counted, suggest, warn
from stylekit.inference.loading import load
from stylekit.inference.model_files import inference_state
from stylekit.method import Method
from stylekit.registry import lookup, provenance
from stylekit.registry.parts import construct, make
from stylekit.registry.schema import Argument, absolute_paths, arguments, override, unwrap_partial, validate_arguments
from stylekit.training import common_options
from stylekit.training.settings import Settings
from stylekit.weights.tensors import fit, require_fit


def prepare_arguments(method: Any) -> dict[str, Argument]:
    """The options that only training uses: the arguments of the method's ``prepare``, and those that every method has."""
    factory = unwrap_partial(method)
    prepare = getattr(factory, "prepare", None)
    own = {name: each for name, each in arguments(prepare).items() if name != "self"} if prepare else {}
    trains = getattr(factory, "players", Method.players) is not Method.players
    return {**(arguments(common_options.options) if trains else {}), **own}


def prepare(method: Method, given: Mapping[str, Any]) -> None:
    """Calls a method's ``prepare``. Model files leave out submodules that it adds, such as a teacher.

    Raises:
        StylekitError: it changed what a model file holds, which could not be loaded again.
    """
    shapes = {key: _shape(tensor) for key, tensor in method.state_dict().items()}
    built = {key.split(".")[0] for key in shapes}
    own = arguments(type(method).prepare)
    common = {name: value for name, value in given.items() if name not in own}
    if common:
        setattr(method, common_options.ATTRIBUTE, common_options.CommonOptions(**common))
    method.prepare(**{name: value for name, value in given.items() if name in own})
    after = {key: _shape(tensor) for key, tensor in method.state_dict().items()}
    if after.keys() - shapes.keys() and not method.inference_modules:
        method.inference_modules = tuple(sorted(built))
    for key, shape in after.items():
        part = key.split(".")[0]
        changed = key not in shapes or (
            shapes[key] is not None and shapes[key] != shape and not _loads_any(method, key)
        )
        if changed and part in built and part in (method.inference_modules or built):
            raise StylekitError(
                f"prepare of {type(method).__name__} added {key!r} or changed its shape, but {part!r} is in the model file, "
                "which is loaded without prepare. Create it in the constructor, or assign what only training needs to an "
                "attribute of its own, such as self.teacher."
            )


def _loads_any(method: Method, key: str) -> bool:
    """Whether the module of a tensor loads its tensors in a way of its own, perhaps of any shape."""
    owner = method.get_submodule(key.rpartition(".")[0])
    return type(owner)._load_from_state_dict is not nn.Module._load_from_state_dict


def _shape(tensor: Tensor) -> torch.Size | None:
    """The shape; None before a lazy layer has one."""
    return None if nn.parameter.is_lazy(tensor) else tensor.shape


def resolve(settings: Settings, method: Any) -> Settings:
    """The settings as a run stores them: with the full specification of its data set, and without relative paths.

    Args:
        settings: as the user gave them
        method: the method's class, or another callable that builds it

    Raises:
        StylekitError: there is no such data set, or ``--data`` contradicts ``--content`` and ``--style``.
    """
    known = {**arguments(method), **prepare_arguments(method)}
    own = {key: value for key, value in settings.set.items() if "." not in key}
    of_parts = {key: value for key, value in settings.set.items() if "." in key}
    return settings.model_copy(
        update={
            "set": {**absolute_paths(known, own), **absolute_paths({}, of_parts)},
            "data": data_options(settings, getattr(unwrap_partial(method), "reads", Method.reads)),
            "content": None,
            "style": None,
        }
    )


def data_options(settings: Settings, reads: str) -> dict[str, Any]:
    """The data set's name and options.

    Args:
        settings: as the user gave them
        reads: name of the data set that reads a folder

    Raises:
        StylekitError: there is no such data set, or ``--data`` contradicts ``--content`` and ``--style``.
    """
    data = settings.data
    options = dict(data) if isinstance(data, Mapping) else {} if data is None else _named_data(data)
    folders = {key: folder for key in ("content", "style") if (folder := getattr(settings, key))}
    if folders and (isinstance(data, str) or options.keys() & {"data", *folders}):
        raise StylekitError("Give either --content and --style, or --data, not both.")
    options |= folders
    name = str(options.pop("name", reads))
    factory = lookup.find_part("dataset", name)
    if data is None and not folders:
        stand_in = getattr(unwrap_partial(factory), "stand_in", name)
        return dict(stand_in) if isinstance(stand_in, Mapping) else {"name": stand_in}
    return {"name": name, **absolute_paths(arguments(factory), options)}


def _named_data(text: str) -> dict[str, Any]:
    """The options for a data set's name or a folder.

    If there is both a data set and a folder of that name, the folder is meant if the data set reads folders.
    """
    if is_shards(text):
        return {"data": str(absolute_source(text))}
    path = absolute_path(text)
    is_bare, exists = path.name == text, os.path.exists(path)  # which does not raise for a path that is too long
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
        The registered name of the method, the method, and the arguments of its ``prepare``.

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
    """Initialises a method with the weights of a finished model; weights that its model file lacks do not change.

    From a model of another method, only the generator is taken, or the first if there are several: each ``generator`` and
    ``generator_*`` of the method starts with its weights, for example to translate after having learned to restore.

    Raises:
        StylekitError: there is no such model, it is of another method and one of the two has no generator, or one of its
            tensors is unknown or has another shape.
    """
    factory = None if provenance.origin(method) else type(method)  # its class, if no plugin registers the method
    try:
        finished = load(source, device="cpu", method=factory).method
        if type(finished) is not type(method):
            _take_generator(method, finished, Path(source))
            return
        weights = inference_state(finished)
        absent = {key.split(".")[0] for key in method.state_dict()} - {key.split(".")[0] for key in weights}
        fit(method, weights, Path(source), absent)
    except StylekitError as error:
        raise StylekitError(f"Training cannot start with --init {source}: {error}") from None


def _take_generator(method: Method, finished: Method, source: Path) -> None:
    given, own = _generators(finished), _generators(method)
    if not own or not given:
        raise StylekitError(
            f"{source} is a model of {type(finished).__name__}, but the method to train is {type(method).__name__}, and one of "
            "them has no generator to share."
        )
    weights = given[0].state_dict()
    for generator in own:
        require_fit(generator, weights, source)
    for generator in own:
        generator.load_state_dict(weights)


def _generators(method: Method) -> list[nn.Module]:
    return [child for name, child in method.named_children() if name.split("_")[0] == "generator"]


def open_data(settings: Settings, split: str) -> Any:
    """Builds the data set of resolved settings.

    Raises:
        StylekitError: there is no such folder or data set, or it has no images.
    """
    return make("dataset", settings.data or {}, size=settings.size, seed=settings.seed, split=split)


def open_preview(settings: Settings) -> Any:
    """Opens the held-out images for the sample grids. Without any, which costs a warning, it returns None."""
    try:
        return open_data(settings, "test")
    except StylekitError as error:
        warn(f"Sample grids show training images, because there are no test images: {error}")
        return None


def check_data(method: Method, name: str, dataset: Any) -> None:
    """Checks that a data set provides the keys that the method needs in a batch, and has no other classes.

    The data may have fewer classes than the method. If the method names its classes, they are those of the data, in order.

    Raises:
        StylekitError: a key is missing, and the message names the first; or the classes or the channels differ.
    """
    _check_channels(method, name, dataset)
    _check_classes(method, dataset)
    keys = getattr(dataset, "item_keys", None)
    if keys is None:
        return
    item: Any = None
    for key in method.batch_keys:
        if key in keys:
            continue
        item = dataset[0] if item is None else item  # an item may contain more keys, such as a label
        if key not in item:
            hint = f" Give --{key} DIR." if key in ("content", "style") and key in arguments(type(dataset)) else ""
            raise StylekitError(
                f"The method {name!r} needs {key!r} in a batch, but the data set {type(dataset).__name__} has only "
                f"{', '.join(item)}.{hint}"
            )


def _check_channels(method: Method, name: str, dataset: Any) -> None:
    given, wanted = getattr(dataset, "channels", 3), method.image_channels
    if given == wanted:
        _check_results(method, name, dataset)
        return
    if "channels" in method.arguments:
        advice = f"Add --set channels={given}, or choose --data '{{name: rasters, channels: {wanted}, ...}}'."
    else:
        advice = "Choose a method with an option 'channels', such as cyclegan, pix2pix or restore."
    raise StylekitError(
        f"The images of the data set {type(dataset).__name__} have {counted(given, 'channel')}, but the method "
        f"{name!r} is for {wanted}. {advice}"
    )


def _check_results(method: Method, name: str, dataset: Any) -> None:
    given = getattr(dataset, "style_channels", None) or method.image_channels
    changes, results = "outputs" in method.arguments, getattr(dataset, "results", None)
    ends = [each for each in (getattr(dataset, "intensities", None), results) if each]
    both_ways = type(method).mappings is not Method.mappings and not any(each.labels for each in ends)
    if results and both_ways and not all(each.window for each in ends):
        raise StylekitError(
            f"The method {name!r} writes results of both sides, whose values need a window each, but those of the content have "
            "none. Give the data set the option 'window'."
        )
    if results and not changes and not both_ways:
        raise StylekitError(
            f"The data set {type(dataset).__name__} maps the values of content and style in different ways, but the method "
            f"{name!r} has one mapping for both. Choose pix2pix, or cyclegan without labels, or leave style_window and labels "
            "out."
        )
    if given == (wanted := method.result_channels or method.image_channels) or "style" not in method.batch_keys:
        return
    advice = f"Add --set outputs={given}." if changes else "Choose pix2pix, which can."
    raise StylekitError(
        f"The style images of the data set {type(dataset).__name__} have {counted(given, 'channel')}, but the method "
        f"{name!r} makes images of {wanted}. {advice}"
    )


def _check_classes(method: Method, dataset: Any) -> None:
    names = getattr(dataset, "classes", ())
    labels = set(method.batch_keys).difference(getattr(dataset, "item_keys", ()))
    if not labels or not isinstance(names, Sequence):
        return
    for name, part in [("", method), *_parts(method, "classes")]:
        classes = getattr(part, "classes", 0)
        if isinstance(classes, tuple) and classes != tuple(names):
            raise StylekitError(
                f"The data has the classes {', '.join(names)}, but {type(part).__name__} is built for "
                f"{', '.join(classes)}. Add --set 'classes=[{', '.join(names)}]'."
            )
        if isinstance(classes, int) and 0 < classes < len(names):
            option = f"{name}.classes" if name else "classes"
            known = option.split(".")[0] in method.arguments
            advice = f"Add --set {option}={len(names)}" if known else f"Build it for {len(names)}"
            raise StylekitError(
                f"The data has {len(names)} classes ({', '.join(map(str, names))}), but {type(part).__name__} is built for "
                f"{classes}. {advice}, or choose some with --data '{{name: ..., classes: [...]}}'."
            )


def _parts(module: nn.Module, attribute: str) -> Iterator[tuple[str, Any]]:
    """The outermost submodules that have an attribute, with the last component of their names."""
    for name, part in module.named_children():
        if hasattr(part, attribute):
            yield name, part
        else:
            yield from _parts(part, attribute)


def check_sizes(method: Method, size: int) -> None:
    """Checks that the training images are large enough for the networks.

    Raises:
        StylekitError: they are too small.
    """
    for name, part in _parts(method, "min_size"):
        minimum = part.min_size
        if size < minimum:
            raise StylekitError(
                f"--size {size} is too small for {name} ({type(part).__name__}), which needs images of at least {minimum} "
                "pixels. Choose a larger size, or give it fewer downsampling steps."
            )
