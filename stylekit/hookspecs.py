"""The plugin contract: the hooks that a plugin may implement, and the interfaces of the parts that it provides.

A plugin is a module with any of these hooks, each marked with ``@hookimpl``. An installed package lists its plugins in
the entry-point group ``stylekit``. Hooks that provide parts return ``{name: factory}``. Images that parts exchange are
float tensors ``(N, C, H, W)`` in ``[0, 1]``. They have three channels unless a network lists the numbers of channels that
it accepts in an attribute ``channels``, such as ``(1, 3)``.

A package adds a command to ``stylekit`` with an entry point in the group ``stylekit.commands``: its name, and a function
whose parameters become the options, or a ``typer.Typer``.

The record :class:`Kind` holds everything that differs between kinds of parts. To add a kind, add one hook here and one file
of checks in ``stylekit/testing``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pluggy

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn
    from torch.utils.data import Dataset

    Scores = Tensor | Sequence[Tensor]

__all__ = [
    "API",
    "AdversarialLoss",
    "Augmentation",
    "Degradation",
    "Discriminator",
    "Encoder",
    "Generator",
    "ImageFormat",
    "ImageLoss",
    "Metric",
    "Regularizer",
]

API = 1
"""The contract's version. A plugin may state the version that it was written for as ``STYLEKIT_API = 1``."""

hookspec = pluggy.HookspecMarker("stylekit")
hookimpl = pluggy.HookimplMarker("stylekit")
"""Marks a function of a plugin as a hook: the decorator ``@hookimpl``."""
_Hook = TypeVar("_Hook", bound=Callable[[], Any])


@dataclass(frozen=True)
class Kind:
    """Everything that differs between kinds of parts.

    Attributes:
        name: its name in ``make(name, part)`` and in messages
        hook: the hook with which plugins provide parts of this kind
        checks: module of ``stylekit.testing`` whose ``CHECKS`` are the conformance checks
        template: whether ``stylekit new --kind NAME`` can create one
        presets: whether parts may have presets; the checks use the preset ``tiny``
        finished: whether a part is ready to use and has a ``summary()``, rather than options to build it with
    """

    name: str
    hook: str
    checks: str
    template: bool = True
    presets: bool = False
    finished: bool = False


KINDS: dict[str, Kind] = {}
"""Every kind of part, by name."""


def part_hook(kind: str, checks: str, **traits: bool) -> Callable[[_Hook], _Hook]:
    """Marks a hook that provides parts, and registers their kind; ``traits`` are the flags of :class:`Kind`."""

    def register(hook: _Hook) -> _Hook:
        KINDS[kind] = Kind(kind, hook.__name__, checks, **traits)
        marked: _Hook = hookspec(hook)
        return marked

    return register


class Generator(Protocol):
    """A network that generates an image from a content image and, optionally, a style image.

    Optional attributes, which discriminators and encoders may have too: ``channels``, the numbers of channels that it
    accepts; ``min_size``, the smallest side of training images, 1 by default; ``sample_independent``, whether the images
    of a batch do not affect each other, so that several batches may share one pass. A generator may have a method
    ``features(content)`` that yields its features, layer by layer, and at last the image, and a method ``narrowed(keep)``
    for ``stylekit prune``: the options that a generator with this share of its channels is built with, such as
    ``{"width": 8}``, and its weights by name.
    """

    def __call__(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        """Maps ``(N, C, H, W)`` in [0, 1] to an image of the same size (or ``scale`` times that size) and range."""
        ...


class Discriminator(Protocol):
    """A network that scores images.

    It may accept a ``condition`` that the score depends on: an image, or labels ``(N,)``. With labels, it states the number
    of classes in an attribute ``classes``. It may have a method ``features(image, condition=None) -> list`` that returns
    its intermediate feature maps, for feature matching.
    """

    def __call__(self, image: Tensor, condition: Tensor | None = None) -> Scores:
        """Scores ``(N, C, H, W)`` in [0, 1]: raw scores ``(N, ...)`` of any shape, or a list of them, one per scale."""
        ...


class AdversarialLoss(Protocol):
    """The losses of the generator and the discriminator, from the raw scores of real and generated images."""

    relativistic: bool
    """Whether ``generator`` also needs the scores of real images; otherwise methods do not compute them."""

    def discriminator(self, real: Scores, fake: Scores) -> Tensor:
        """The discriminator's loss, a scalar; lower for higher real and lower fake scores."""
        ...

    def generator(self, fake: Scores, real: Scores | None = None) -> Tensor:
        """The generator's loss, a scalar; lower for higher fake scores."""
        ...


class Regularizer(Protocol):
    """A penalty on a discriminator, which is added to its loss."""

    interval: int
    """The penalty is computed at every n-th update of the discriminator, and then counts n times (lazy regularisation)."""

    def __call__(self, discriminator: Callable[[Tensor], Scores], real: Tensor, fake: Tensor) -> Tensor:
        """The penalty, a scalar, for a discriminator (already given its condition) at images ``(N, C, H, W)``."""
        ...


class Augmentation(Protocol):
    """A random change of what a discriminator sees, of real and of generated images; it has a gradient for the image.

    It may have a method ``observe(scores)``, which gets the raw scores of the real images after each pass, and an attribute
    ``progress``, which the engine sets to the progress of training, from 0 to 1.
    """

    def __call__(self, image: Tensor) -> Tensor:
        """Changes images ``(N, C, H, W)`` in [0, 1], each differently; the size stays the same."""
        ...


class Degradation(Protocol):
    """Makes a damaged, smaller or poorer picture from a clean one, so that a network can learn the way back.

    It may have an attribute ``scale``, a whole number by which it divides the sides, 1 by default, and ``erases``, if it makes
    white holes, which ``restore`` then fills where its option ``hole`` says. It draws random numbers with
    torch's functions, whose generator the engine seeds for each item and each step.
    """

    def __call__(self, image: Tensor) -> Tensor:
        """Degrades images ``(N, 3, H, W)`` in [0, 1], each differently: ``(N, 3, H // scale, W // scale)`` in [0, 1]."""
        ...


class ImageLoss(Protocol):
    """A loss that compares two images.

    It may have a method ``change(output, reference)`` that returns what the output should be for a changed reference, and that
    reference. ``--set extra=...`` then generates from it, with the same random numbers, and the loss compares the result with
    what it should be: so it sees how a method responds to motion or noise.
    """

    def __call__(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, C, H, W)`` in [0, 1]: a scalar, lower for more similar images."""
        ...


class Metric(Protocol):
    """A measurement of generated images, of each against its reference or of all together.

    A metric of sets of images has a method ``features(image) -> (N, D)``; it then compares the features of whole sets instead
    of images. For outputs, ``features`` gets their contents, too, if it has an argument ``content=None``. A metric draws random
    numbers only from a generator with a seed of its own, and its values do not depend on how images are divided into batches.
    """

    @property
    def against(self) -> str:
        """What outputs are compared with: the true output, their content, their style, or a set of real images."""
        ...

    @property
    def higher(self) -> bool:
        """Whether higher values are better."""
        ...

    def __call__(self, output: Tensor, reference: Tensor) -> Tensor:
        """The values ``(N,)`` of images ``(N, C, H, W)`` in [0, 1]; of sets of features ``(N, D)`` and ``(M, D)``, a scalar."""
        ...


class Encoder(Protocol):
    """A frozen network that computes features.

    It may have an argument ``layers``, the names of the layers to return, so that others are not computed or kept; and an
    attribute ``half_precision``, if losses may compute its features in bfloat16: see :func:`stylekit.encoders.encode`.
    """

    def __call__(self, image: Tensor) -> Mapping[str, Tensor]:
        """The features ``{layer: (N, ...)}`` of images ``(N, 3, H, W)`` in [0, 1]."""
        ...


class ImageFormat(Protocol):
    """Reads and writes files whose values are more than those of RGB pictures: other types, ranges, channels or slices.

    Values are an array ``(P, H, W, C)`` of integers or floats: pages or slices, rows, columns and channels.
    """

    def read(self, path: Path) -> tuple[np.ndarray[Any, np.dtype[Any]], Any]:
        """The values of a file, in their unit, and what :meth:`encode` needs to write another file like it.

        Values are read after any scaling that the file states, such as the slope and the intercept of DICOM. Any error is
        reported with the name of the file.
        """
        ...

    def encode(self, values: np.ndarray[Any, np.dtype[Any]], original: Any) -> bytes:
        """The content of a file with these values, in the same unit.

        Args:
            values: the values, of the type that :meth:`read` gave, or that of a file of another format
            original: what :meth:`read` returned besides values; None if they come from a file of another format

        Raises:
            StylekitError: the format does not hold them, or needs an original.
        """
        ...


@part_hook("method", "methods", presets=True)
def stylekit_methods() -> Mapping[str, Callable[..., nn.Module]]:
    """Subclasses of :class:`stylekit.Method`: what ``stylekit train --plugin NAME`` trains."""


@part_hook("generator", "generators")
def stylekit_generators() -> Mapping[str, Callable[..., Generator]]:
    """Networks that implement :class:`Generator`."""


@part_hook("discriminator", "discriminators")
def stylekit_discriminators() -> Mapping[str, Callable[..., Discriminator]]:
    """Networks that implement :class:`Discriminator`."""


@part_hook("adversarial", "adversarial")
def stylekit_adversarial_losses() -> Mapping[str, Callable[..., AdversarialLoss]]:
    """Modules that implement :class:`AdversarialLoss`."""


@part_hook("regularizer", "regularizers")
def stylekit_regularizers() -> Mapping[str, Callable[..., Regularizer]]:
    """Modules that implement :class:`Regularizer`."""


@part_hook("augmentation", "augmentations")
def stylekit_augmentations() -> Mapping[str, Callable[..., Augmentation]]:
    """Modules that implement :class:`Augmentation`."""


@part_hook("degradation", "degradations")
def stylekit_degradations() -> Mapping[str, Callable[..., Degradation]]:
    """Modules that implement :class:`Degradation`."""


@part_hook("loss", "losses")
def stylekit_losses() -> Mapping[str, Callable[..., ImageLoss]]:
    """Modules that implement :class:`ImageLoss`."""


@part_hook("metric", "metrics")
def stylekit_metrics() -> Mapping[str, Callable[..., Metric]]:
    """Modules that implement :class:`Metric`."""


@part_hook("dataset", "datasets")
def stylekit_datasets() -> Mapping[str, Callable[..., Dataset[Any]]]:
    """Map-style data sets. They are built with ``size``, ``seed`` and ``split`` ("train" or "test"), and with the paths
    of ``--content``, ``--style`` and ``--data`` if they have arguments of these names. ``item_keys`` lists the keys of an
    item that are images ``(C, size, size)``; an item may hold other tensors or numbers, such as a label. ``paired``
    is true if the style of an item is the true output for its content. The engine seeds the random numbers that an item
    draws."""


@part_hook("encoder", "encoders")
def stylekit_encoders() -> Mapping[str, Callable[..., Encoder]]:
    """Networks that implement :class:`Encoder`."""


@part_hook("model", "models", template=False, finished=True)
def stylekit_models() -> Mapping[str, Callable[..., object]]:
    """Finished models that the package ships, for ``stylekit stylize --model NAME``: functions that load a model, such as
    ``functools.partial(stylekit.load, FILE)``."""


@hookspec
def stylekit_presets() -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    """Named sets of arguments for any methods, of this plugin or of others: ``{method: {preset: {argument: value}}}``."""


@hookspec
def stylekit_image_formats() -> Mapping[str, ImageFormat]:
    """Formats of images by the suffix of their files, such as ``{".dcm": DicomFormat()}``. The suffixes that stylekit reads
    itself cannot be changed."""


@hookspec
def stylekit_run_started(run: Path, settings: Mapping[str, Any]) -> object | None:
    """A run starts or resumes: its folder and all settings. Run hooks are called for the plugins that ``--log`` lists.

    May return an object with further run hooks, which are then called for this run: a logger can keep its open files
    there."""


@hookspec
def stylekit_step_finished(step: int, metrics: Mapping[str, float]) -> None:
    """A step was logged: its number, counted from 1, and its loss terms by name."""


@hookspec
def stylekit_checkpoint_saved(step: int, path: Path) -> None:
    """A checkpoint is complete in the folder ``path``."""


@hookspec
def stylekit_run_finished(run: Path, step: int) -> None:
    """The run ended after ``step`` steps, whether complete or interrupted."""
