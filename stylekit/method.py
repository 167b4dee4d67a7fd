"""Methods: players own modules and an optimizer, and turns are their losses."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from stylekit.errors import StylekitError

__all__ = ["Batch", "Capabilities", "Statistics", "Terms", "Turn", "constant", "linear_decay"]

Batch = Mapping[str, Tensor]
"""A training batch: tensors ``(N, ...)`` by key."""
Terms = dict[str, Tensor]
"""A player's loss: scalar tensors by name."""
Statistics = Mapping[str, Tensor]
"""What a method knows of a style: float tensors ``(N, ...)`` by name, one row per style; their averages are styles too."""
_Function = TypeVar("_Function", bound=Callable[..., Terms])


@dataclass(frozen=True)
class Turn:
    """A loss of one player.

    Attributes:
        name: name of the method's function
        player: whose weights the loss moves
        interval: it is played at every n-th update of the player
        play: the function
    """

    name: str
    player: str
    interval: int
    play: Callable[..., Terms]


def turn(player: str, interval: int = 1) -> Callable[[_Function], _Function]:
    """Marks a method's function ``(self, batch, made) -> {term: scalar}`` as a turn; ``made`` is what ``forward`` returned.

    All terms of all due turns of a player are summed into one update. Turns may share images that ``forward`` made, but
    not a discriminator's scores: its weights change between the turns.

    Args:
        player: whose weights the loss moves
        interval: play only at every n-th update of the player, scaled by n (lazy regularisation, Karras et al. 2020,
            appendix B)
    """

    if not isinstance(player, str) or interval < 1:
        raise TypeError(
            "A turn is marked with its player's name and an interval of at least 1: @turn('generator', interval=16)."
        )

    def mark(function: _Function) -> _Function:
        function._turn = (player, interval)  # type: ignore[attr-defined]
        return function

    return mark


def constant(progress: float) -> float:
    """A schedule: the learning rate stays as it is."""
    return 1.0


def linear_decay(progress: float) -> float:
    """A schedule: constant for the first half, then falling linearly to zero (Zhu et al. 2017, section 4)."""
    return min(1.0, 2.0 * (1.0 - progress))


@dataclass
class Player:
    """Modules that learn together, and how.

    Args:
        modules: what the player moves: a module or several, or a parameter, such as an image that is optimised
        lr: learning rate
        optimizer: callable that builds a ``torch.optim.Optimizer`` from parameters and ``lr``; it may make parameter groups
            with learning rates of their own, which the schedule scales alike
        schedule: factor on the learning rates as a function of progress through the run, from 0 to 1
        clip: largest norm of the gradient, over all parameters together
        ema: decay of an exponential moving average of the weights and floating-point buffers, used for sample grids and
            the finished model
        update_every: the player moves only at every n-th step, unscaled ("five critic updates per generator update" is
            ``update_every=5`` of the generator)
    """

    modules: Iterable[nn.Module | nn.Parameter] | nn.Module | nn.Parameter
    lr: float = 2e-4
    optimizer: Callable[..., torch.optim.Optimizer] = field(default=lambda p, lr: torch.optim.Adam(p, lr, (0.5, 0.999)))
    schedule: Callable[[float], float] = constant
    clip: float | None = None
    ema: float | None = None
    update_every: int = 1

    def __post_init__(self) -> None:
        self.modules = [self.modules] if isinstance(self.modules, nn.Module | nn.Parameter) else list(self.modules)
        if not all(isinstance(module, nn.Module | nn.Parameter) for module in self.modules) or self.update_every < 1:
            raise TypeError("A player has modules or parameters, and update_every is at least 1.")
        if self.lr < 0 or not 0 <= (self.ema or 0) < 1:
            raise StylekitError(f"A player needs lr >= 0 and 0 <= ema < 1, not lr={self.lr} and ema={self.ema}.")

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Every parameter of the player's modules that learns, once."""
        assert isinstance(self.modules, list)
        nested = ([m] if isinstance(m, nn.Parameter) else m.parameters() for m in self.modules)
        return list({p: None for parameters in nested for p in parameters if p.requires_grad})

    @property
    def buffers(self) -> list[Tensor]:
        """Every floating-point buffer of the player's modules, once, for averages.

        The vectors of a spectral norm are left out: their averages would not have unit length.
        """
        assert isinstance(self.modules, list)
        nested = (module.named_buffers() for module in self.modules if isinstance(module, nn.Module))
        named = [(name, buffer) for buffers in nested for name, buffer in buffers if buffer.is_floating_point()]
        return list({buffer: None for name, buffer in named if not name.endswith(("_u", "_v"))})


@dataclass(frozen=True)
class Capabilities:
    """What a method can do, or cannot.

    Args:
        optimizes: stylising runs an optimisation: it is too slow to try out, and reports its progress by ``on_step``
        exportable: stylising is one graph for all images of a size, which ``torch.export`` can capture
        thread_safe: several threads may stylise different images at once: no call leaves anything on the method or its
            parts that another call finds, and none draws random numbers; so a CPU works on several images of a folder
        zero_strength: ``transfer`` accepts a strength of 0, with a result of its own; without it, stylekit blends the
            content in below a strength of 0.2, and returns the content at 0
    """

    optimizes: bool = False
    exportable: bool = True
    thread_safe: bool = False
    zero_strength: bool = False


class Method(nn.Module):
    """Base class of style-transfer methods.

    A subclass lists its options as constructor arguments, builds its networks in the constructor with
    :func:`stylekit.make`, and defines ``players``, ``forward``, one function per turn, and ``stylize`` (or ``describe``
    and ``transfer``, or ``sample``). Keyword-only arguments of these three are options that a user may choose for each
    image: on the command line by ``--with KEY=VALUE``, and in Python by ``Model.stylize(image, style, key=value)``. One
    whose type is ``Tensor`` is an image ``(1, 3, H, W)`` in [0, 1], given by its path.
    """

    batch_keys: ClassVar[tuple[str, ...]] = ("content", "style")
    """The keys of a training batch that the method uses."""
    reads: ClassVar[str] = "folders"
    """The data set behind ``--content``, ``--style`` and ``--data DIR``."""
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Named sets of constructor arguments."""
    inference_modules: tuple[str, ...] = ()
    """The submodules that stylising needs, which is all that a model file holds; empty: every one."""
    style_modules: ClassVar[tuple[str, ...]] = ("encoder",)
    """The submodules whose weights ``describe`` uses: a style that was described with other weights does not fit."""
    fine_tuning: ClassVar[Mapping[str, Any]] = {}
    """The constructor arguments to fine-tune a finished model with, on one style; empty: it cannot be fine-tuned."""
    simultaneous: ClassVar[bool] = False
    """Whether all due players get their gradients before any of them moves, so that they may share one graph. By default
    players move one after the other, and each sees those before it as they are by then."""
    capabilities: ClassVar[Capabilities] = Capabilities()
    """What the method can do, or cannot."""

    scale: int = 1
    """Sides of the output, as a multiple of the input's; may be set in the constructor."""
    progress: float = 0.0
    """How far training is, from 0 to 1; set by the engine before each step."""
    on_step: Callable[[int, int, Tensor], None] | None = None
    """Called by a method that optimises the image, after a step: its number from 1, of how many, and the image."""
    arguments: dict[str, Any]
    """What the constructor was called with, defaults included; a model file keeps it."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Method:
        self = super().__new__(cls)
        signature = inspect.signature(cls.__init__)
        bound = signature.bind_partial(self, *args, **kwargs)
        bound.apply_defaults()
        given: dict[str, Any] = {}
        for name, value in list(bound.arguments.items())[1:]:
            kind = signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_KEYWORD:
                given |= value
            elif kind is not inspect.Parameter.VAR_POSITIONAL:  # those have no names
                given[name] = value
        object.__setattr__(self, "arguments", given)
        return self

    # Training

    def prepare(self) -> None:
        """Called once before training, on the device, and never when a model is loaded.

        The place for what only training needs, such as a frozen teacher or the targets of a style. A subclass may add
        arguments: they are options of training (``--set teacher=runs/big``). Neither they nor submodules that it adds are
        in a model file.
        """

    def players(self) -> dict[str, Player]:
        """Who learns, in the order of their updates within a step; none for a method that only stylises."""
        return {}

    def forward(self, batch: Batch) -> Any:
        """Makes what the turns share, once per step."""
        return None

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        """The columns of a sample grid, each ``(N, 3, H, W)`` in [0, 1]; called without gradients, in eval mode."""
        if not self.stylizes():
            return {"sample": self.sample(len(next(iter(batch.values()))))}
        columns = {"content": batch["content"]}
        style = batch["style"] if self.takes_styles() else None
        if style is not None:
            columns["style"] = style
        return {**columns, "stylised": self.stylize(batch["content"], style)}

    def example(self, count: int, size: int) -> Batch | None:
        """A batch of ``count`` items for conformance checks; None: random images ``(count, 3, size, size)``, which will do
        unless the batch holds something else, such as labels."""
        return None

    @classmethod
    def turns(cls) -> list[Turn]:
        """The turns, in the order of their definition; a subclass's redefinition takes its parent's place."""
        defined = dict.fromkeys(name for base in reversed(cls.__mro__) for name in vars(base))
        found = []
        for name in defined:
            function: Any = getattr(cls, name, None)
            if hasattr(function, "_turn"):
                player, interval = function._turn
                found.append(Turn(name, player, interval, function))
        return found

    # Stylising

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        """Stylises images ``(N, 3, H, W)`` in [0, 1]; returns that shape, its sides multiplied by ``scale``, and range.

        A method defines this, or ``describe`` and ``transfer``, from which it follows.

        Args:
            content: the images
            style: a style image for each, or one for all, of any size; by default the first learned style

        Raises:
            StylekitError: the method needs a style image, and there is none.
        """
        if style is None:
            for known in self.styles().values():
                return self.transfer(content, known)
            raise StylekitError(f"The method {type(self).__name__} needs a style image.")
        return self.transfer(content, self.describe(style))

    def describe(self, style: Tensor) -> Statistics:
        """What the method takes from style images ``(N, 3, H, W)`` in [0, 1], of any size.

        So a style is processed once for many images, styles can be averaged, and a style fits into a small file.
        """
        raise StylekitError(f"The method {type(self).__name__} does not accept style images.")

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        """Stylises with what ``describe`` returned.

        Args:
            content: images ``(N, 3, H, W)`` in [0, 1]
            style: statistics with N rows, or one for all
            strength: 1 for the style as it is, towards 0 less of it

        Returns:
            Images of the content's shape, its sides multiplied by ``scale``, in [0, 1].
        """
        raise StylekitError(f"The method {type(self).__name__} does not define transfer(content, style, strength).")

    def styles(self) -> Mapping[str, Statistics]:
        """Styles that the method has learned, for ``transfer``, by name; the first is the default."""
        return {}

    def frames(self, contents: Iterable[Tensor], style: Statistics | None = None, **options: Any) -> Iterator[Tensor]:
        """Stylises the frames of one clip, in order; a method with a state along a clip keeps it in local variables.

        Args:
            contents: frames ``(1, 3, H, W)`` in [0, 1]
            style: statistics of one row; None for a method that has one style
            options: of ``stylize`` or ``transfer``
        """
        for content in contents:
            yield self.stylize(content, **options) if style is None else self.transfer(content, style, **options)

    def sample(self, count: int) -> Tensor:
        """Draws images ``(count, 3, H, W)`` in [0, 1] without a content, with torch's random numbers.

        Args:
            count: how many
        """
        raise StylekitError(f"The method {type(self).__name__} does not draw samples: it stylises images.")

    @classmethod
    def takes_styles(cls) -> bool:
        """Whether it accepts any style image."""
        return cls.describe is not Method.describe

    @classmethod
    def stylizes(cls) -> bool:
        """Whether it stylises images; a method that only draws samples does not."""
        return cls.stylize is not Method.stylize or cls.transfer is not Method.transfer

    @classmethod
    def samples(cls) -> bool:
        """Whether it draws samples."""
        return cls.sample is not Method.sample

    @classmethod
    def import_weights(cls, files: Mapping[str, Mapping[str, Tensor]]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Converts weights of another program: ``{file name: state}`` to (constructor arguments, own state).

        Raises:
            StylekitError: the files are not of a kind that this method can convert.
        """
        raise StylekitError(f"The method {cls.__name__} has no importer for weights of other programs.")
