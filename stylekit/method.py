"""A method is a game: players own weights and an optimiser, and take turns."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from stylekit.errors import StylekitError

__all__ = ["Batch", "Method", "Player", "Statistics", "Terms", "Turn", "constant", "linear_decay", "turn"]

Batch = Mapping[str, Tensor]
Terms = dict[str, Tensor]
Statistics = Mapping[str, Tensor]
"""What a method knows of a style: tensors ``(N, ...)`` by name, a row a style, of which averages are styles too."""
_Function = TypeVar("_Function", bound=Callable[..., Terms])


@dataclass(frozen=True)
class Turn:
    """A loss of one player: its name, whose it is, how often it is played, and the function."""

    name: str
    player: str
    interval: int
    play: Callable[..., Terms]


def turn(player: str, interval: int = 1) -> Callable[[_Function], _Function]:
    """Marks a method's function ``(self, batch, made) -> {term: scalar}`` as a turn; ``made`` is what ``forward`` gave.

    All terms of all due turns of a player are summed into one update. Turns may share images that ``forward`` made, but
    not a discriminator's scores: its weights change between the turns.

    Args:
        player: whose weights the loss moves
        interval: play only at every n-th update of the player, scaled by n (lazy regularisation,
            Karras et al. 2020, appendix B)
    """

    if not isinstance(player, str) or interval < 1:
        raise TypeError(
            "A turn is marked with its player's name and a period from 1 on, as in @turn('generator', interval=16)."
        )

    def mark(function: _Function) -> _Function:
        function._turn = (player, interval)  # type: ignore[attr-defined]
        return function

    return mark


def constant(progress: float) -> float:
    """The learning rate stays as it is."""
    return 1.0


def linear_decay(progress: float) -> float:
    """The learning rate stays for the first half and falls to zero, linearly, over the second (CycleGAN, section 4)."""
    return min(1.0, 2.0 * (1.0 - progress))


@dataclass
class Player:
    """Modules that learn together, and how.

    Args:
        modules: what the player moves: a module or several, or a parameter, such as a picture that is optimised
        lr: learning rate
        optimizer: callable that builds a ``torch.optim.Optimizer`` from parameters and ``lr``
        schedule: factor on the learning rate as a function of progress through the run, from 0 to 1
        clip: largest norm of the gradient, over all parameters together
        ema: decay of an exponential moving average of the weights, used for pictures and the finished model
        update_every: the player moves only at every so-many-th step, unscaled ("five critic updates per generator
            update" is ``update_every=5`` of the generator)
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
            raise TypeError("A player has modules or parameters, and moves at every so-many-th step, from 1 on.")
        if self.lr < 0 or not 0 <= (self.ema or 0) < 1:
            raise StylekitError(
                f"A player's lr is 0 or more, and its ema from 0 to below 1: not {self.lr} and {self.ema}."
            )

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Every parameter of the player's modules that learns, once."""
        assert isinstance(self.modules, list)
        nested = ([m] if isinstance(m, nn.Parameter) else m.parameters() for m in self.modules)
        return list({p: None for parameters in nested for p in parameters if p.requires_grad})


class Method(nn.Module):
    """Base class of style-transfer methods.

    Subclasses list in their constructor what can be chosen, build their networks there with :func:`stylekit.make`, and
    define ``players``, ``forward``, one function per turn, and ``stylize``.
    """

    batch_keys: ClassVar[tuple[str, ...]] = ("content", "style")
    """The keys of a training batch."""
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Named sets of constructor arguments."""
    directions: ClassVar[tuple[str, ...]] = ()
    """The values that ``stylize`` takes as ``direction``, the usual one first; empty: it takes none."""
    inference_modules: ClassVar[tuple[str, ...]] = ()
    """The submodules that ``stylize`` needs, and all that a model file holds; empty: every one."""

    exportable: ClassVar[bool] = True
    """Whether ``stylize`` is one graph for all pictures of a size, which ``torch.export`` can take; an optimisation is not."""

    thread_safe: ClassVar[bool] = False
    """Whether threads may stylise different pictures at once: no call leaves anything on the method or its parts that another
    one finds, and none draws random numbers. So folders take less time on a CPU."""

    style_modules: ClassVar[tuple[str, ...]] = ("encoder",)
    """The submodules whose weights ``describe`` uses: a style that was described with other weights does not fit."""
    fine_tuning: ClassVar[Mapping[str, Any]] = {}
    """The constructor arguments with which a finished model learns on for one style; empty: it cannot."""
    on_step: Callable[[int, int, Tensor], None] | None = None
    """Called by a method that optimises the picture, after a step: its number from 1, of how many, and the picture."""

    arguments: dict[str, Any]
    """What the constructor was called with, defaults too; a model file keeps it."""

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
            elif kind is not inspect.Parameter.VAR_POSITIONAL:  # those have no names to be kept by
                given[name] = value
        object.__setattr__(self, "arguments", given)
        return self

    def players(self) -> dict[str, Player]:
        """Who learns, in the order of their updates within a step; none for a method that only stylises."""
        return {}

    def forward(self, batch: Batch) -> Any:
        """Makes what the turns share, once a step."""
        return None

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        """Stylises ``(N, 3, H, W)`` in [0, 1] and gives the same shape and range.

        A method defines this, or ``describe`` and ``transfer``, of which it is made then. One with :attr:`directions`
        takes the chosen one as ``direction``.

        Args:
            content: the pictures
            style: a style picture for each, or one for all, of any size; without, the first style that is known by heart

        Raises:
            StylekitError: the method needs a style picture, and there is none.
        """
        if style is None:
            for known in self.styles().values():
                return self.transfer(content, known)
            raise StylekitError(f"The method {type(self).__name__} needs a style picture, and none is given.")
        return self.transfer(content, self.describe(style))

    def describe(self, style: Tensor) -> Statistics:
        """What the method takes from style pictures ``(N, 3, H, W)`` in [0, 1], of any size.

        So a style is looked at once for many pictures, several are averaged, and it is kept in a small file.
        """
        raise StylekitError(f"The method {type(self).__name__} takes no style pictures.")

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        """Stylises with what ``describe`` gave, of one style for all or of one a picture.

        Args:
            content: pictures ``(N, 3, H, W)`` in [0, 1]
            style: statistics with N rows, or one
            strength: 1 for the style as it is, towards 0 less of it

        Returns:
            Pictures of the content's shape, in [0, 1].
        """
        raise StylekitError(f"The method {type(self).__name__} does not define transfer(content, style, strength).")

    def styles(self) -> Mapping[str, Statistics]:
        """Styles that the method has learnt by heart, for ``transfer``, by name; the first is the usual one."""
        return {}

    @classmethod
    def takes_styles(cls) -> bool:
        """Whether it takes any style picture."""
        return cls.describe is not Method.describe

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        """The columns of a sample sheet, each ``(N, 3, H, W)`` in [0, 1]; called without gradients, in eval mode."""
        return {"content": batch["content"], "translated": self.stylize(batch["content"], batch.get("style"))}

    @classmethod
    def import_weights(cls, files: Mapping[str, Mapping[str, Tensor]]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Understands weights of another program: ``{file name: state}`` to (constructor arguments, own state).

        Raises:
            StylekitError: the files are not of a kind that this method can read.
        """
        raise StylekitError(f"The method {cls.__name__} has no importer for weights of other programs.")

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
