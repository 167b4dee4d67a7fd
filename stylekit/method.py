"""The base class of methods: players own modules and an optimizer, and turns are the losses of the players."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from stylekit.errors import StylekitError
from stylekit.images import Intensities, resize

__all__ = [
    "Batch",
    "Capabilities",
    "Layer",
    "OptimizingMethod",
    "Stage",
    "Statistics",
    "Terms",
    "Turn",
    "constant",
    "cosine",
    "halved",
    "linear_decay",
    "steps",
]

Batch = Mapping[str, Tensor]
"""A training batch: tensors ``(N, ...)`` by key."""
Terms = dict[str, Tensor]
"""A player's loss: scalar tensors by name."""
Statistics = Mapping[str, Tensor]
"""What a method extracts from a style: float tensors ``(N, ...)`` by name, one row per style. Averages are also styles."""
Layer = Annotated[Tensor, "with alpha"]
"""The type of an option that is a picture with transparency: red, green, blue and alpha ``(1, 4, H, W)`` in [0, 1]."""
_Function = TypeVar("_Function", bound=Callable[..., Terms])


@dataclass(frozen=True)
class Turn:
    """A loss of one player.

    Attributes:
        name: name of the method's function
        player: name of the player whose weights the loss updates
        interval: the turn is played at every n-th update of the player
        play: the function
    """

    name: str
    player: str
    interval: int
    play: Callable[..., Terms]


def turn(player: str, interval: int = 1) -> Callable[[_Function], _Function]:
    """Marks a method's function ``(self, batch, made) -> {term: scalar}`` as a turn; ``made`` is what ``forward`` returned.

    For each update, all terms of a player's due turns are summed. Turns may share images that ``forward`` generated, but not
    a discriminator's scores, because its weights change between the turns.

    Args:
        player: name of the player whose weights the loss updates
        interval: play only at every n-th update of the player, with the loss scaled by n (lazy regularisation, Karras et
            al. 2020, appendix B)
    """

    if not isinstance(player, str) or interval < 1:
        raise TypeError(
            "@turn needs the player's name and an interval of at least 1, as in @turn('generator', interval=16)."
        )

    def mark(function: _Function) -> _Function:
        function._turn = (player, interval)  # type: ignore[attr-defined]
        return function

    return mark


def constant(progress: float) -> float:
    """A schedule that keeps the learning rate constant."""
    return 1.0


def linear_decay(progress: float) -> float:
    """A schedule that is constant for the first half, then decays linearly to zero (Zhu et al. 2017, section 4)."""
    return min(1.0, 2.0 * (1.0 - progress))


def cosine(progress: float) -> float:
    """A schedule that falls to zero along half a cosine (Loshchilov and Hutter 2017, without restarts)."""
    return 0.5 + 0.5 * math.cos(math.pi * progress)


def steps(progress: float) -> float:
    """A schedule that falls to a tenth after each third of the run."""
    return float(0.1 ** min(2, int(3 * progress)))


@dataclass
class Player:
    """Modules that are trained together, and how.

    Args:
        modules: what the player trains: one or more modules or parameters, such as an image that is optimised
        lr: learning rate
        optimizer: callable that builds a ``torch.optim.Optimizer`` from parameters and ``lr``; it may create parameter
            groups with their own learning rates, which the schedule scales as well
        schedule: factor on the learning rates as a function of the run's progress, from 0 to 1
        clip: maximum norm of the gradient over all parameters together
        clip_value: maximum absolute value of each element of the gradient
        ema: decay of an exponential moving average of the weights and floating-point buffers, used for sample grids and
            the finished model
        update_every: update only at every n-th step, without scaling the loss ("five critic updates per generator update"
            is ``update_every=5`` of the generator)
    """

    modules: Iterable[nn.Module | nn.Parameter] | nn.Module | nn.Parameter
    lr: float = 2e-4
    optimizer: Callable[..., torch.optim.Optimizer] = field(default=lambda p, lr: torch.optim.Adam(p, lr, (0.5, 0.999)))
    schedule: Callable[[float], float] = constant
    clip: float | None = None
    ema: float | None = None
    update_every: int = 1
    clip_value: float | None = None

    def __post_init__(self) -> None:
        self.modules = [self.modules] if isinstance(self.modules, nn.Module | nn.Parameter) else list(self.modules)
        if not all(isinstance(module, nn.Module | nn.Parameter) for module in self.modules) or self.update_every < 1:
            raise TypeError("A player needs modules or parameters, and an update_every of at least 1.")
        clips = all(limit is None or limit > 0 for limit in (self.clip, self.clip_value))
        if not (0 <= self.lr < math.inf and 0 <= (self.ema or 0) < 1 and clips):
            raise StylekitError(
                f"A player needs a finite lr >= 0, 0 <= ema < 1, clip > 0 and clip_value > 0, not lr={self.lr}, "
                f"ema={self.ema}, clip={self.clip} and clip_value={self.clip_value}."
            )

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The parameters of the player's modules that require a gradient, without duplicates."""
        assert isinstance(self.modules, list)
        nested = ([m] if isinstance(m, nn.Parameter) else m.parameters() for m in self.modules)
        return list({p: None for parameters in nested for p in parameters if p.requires_grad})

    @property
    def buffers(self) -> list[Tensor]:
        """The floating-point buffers of the player's modules, without duplicates, for the moving average.

        The vectors of a spectral norm are left out, because their averages would not have unit length.
        """
        assert isinstance(self.modules, list)
        nested = (module.named_buffers() for module in self.modules if isinstance(module, nn.Module))
        named = [(name, buffer) for buffers in nested for name, buffer in buffers if buffer.is_floating_point()]
        return list({buffer: None for name, buffer in named if not name.endswith(("_u", "_v"))})


@dataclass(frozen=True)
class Capabilities:
    """What a method can and cannot do.

    Args:
        optimizes: stylising runs an optimisation: it is too slow for a trial run, and reports its progress with ``on_step``
        exportable: stylising is one graph for all images of a size, which ``torch.export`` can capture
        thread_safe: several threads may stylise different images at the same time: calls share no state on the method or
            its parts, and draw no random numbers; on a CPU, several images of a folder are then stylised in parallel
        blends_statistics: ``transfer`` with a strength below 1 is the same as with that share of the style's statistics, and
            the rest of the content's own: so it can be computed around an exported graph
        zero_strength: ``transfer`` accepts a strength of 0 and defines its result; otherwise stylekit blends in the content
            below a strength of 0.2, and returns the content at 0
    """

    optimizes: bool = False
    exportable: bool = True
    thread_safe: bool = False
    blends_statistics: bool = False
    zero_strength: bool = False


class Method(nn.Module):
    """Base class of style-transfer methods.

    A subclass lists its options as constructor arguments, builds its networks in the constructor with
    :func:`stylekit.make`, and defines ``players``, ``forward``, one function per turn, and ``stylize`` (or ``describe``
    and ``transfer``, or ``sample``). Keyword-only arguments of ``stylize``, ``transfer`` and ``sample`` are options that a
    user may set for each image: ``--with KEY=VALUE`` on the command line, ``Model.stylize(image, style, key=value)`` in
    Python. An option of type ``Tensor`` is an image ``(1, 3, H, W)`` in [0, 1], and one of type ``Layer`` has alpha, too; the
    user passes its path.
    """

    batch_keys: ClassVar[tuple[str, ...]] = ("content", "style")
    """The keys of a training batch that the method uses."""
    reads: ClassVar[str] = "folders"
    """The data set that reads ``--content``, ``--style`` and ``--data DIR``."""
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Named sets of constructor arguments."""
    inference_modules: tuple[str, ...] = ()
    """The submodules that stylising needs; a model file holds only these. Empty: all submodules."""
    style_modules: ClassVar[tuple[str, ...]] = ("encoder",)
    """The submodules whose weights ``describe`` uses. Styles that were described with other weights are incompatible."""
    fine_tuning: ClassVar[Mapping[str, Any]] = {}
    """The constructor arguments for fine-tuning a finished model on one style; empty: it cannot be fine-tuned."""
    simultaneous: ClassVar[bool] = False
    """Whether the gradients of all due players are computed before any of them is updated, so that they may share one
    graph. By default, players are updated one after the other, and each uses the updated weights of those before it."""
    capabilities: ClassVar[Capabilities] = Capabilities()
    """What the method can and cannot do."""

    scale: int = 1
    """The factor from the sides of the input to those of the output; may be set in the constructor."""
    image_channels: int = 3
    """The number of channels of the images; may be set in the constructor."""
    result_channels: int | None = None
    """The number of channels of the results, if it is another one; may be set in the constructor."""
    intensities: Intensities | None = None
    """How the values of files are mapped to [0, 1], if the images are no RGB pictures; set by the engine, from the data."""
    results: Intensities | None = None
    """How results are mapped back, if not as the images were mapped; set by the engine, from the data."""
    progress: float = 0.0
    """Progress of training, from 0 to 1; set by the engine before each step."""
    on_step: Callable[[int, int, Tensor], None] | None = None
    """Called after each step by a method that optimises the image: the step from 1, the number of steps, and the image."""
    arguments: dict[str, Any]
    """The arguments of the constructor, including defaults; stored in the model file."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Method:
        self = super().__new__(cls)
        signature = inspect.signature(cls.__init__)
        bound = signature.bind_partial(self, *args, **kwargs)
        bound.apply_defaults()
        arguments: dict[str, Any] = {}
        for name, value in list(bound.arguments.items())[1:]:
            kind = signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_KEYWORD:
                arguments |= value
            elif kind is not inspect.Parameter.VAR_POSITIONAL:  # values in *args have no names
                arguments[name] = value
        object.__setattr__(self, "arguments", arguments)
        return self

    # Training

    def prepare(self) -> None:
        """Called once before training, on the device; not called when a model is loaded.

        Creates what only training needs, such as a frozen teacher or the targets of a style. A subclass may add arguments,
        which are options of training (``--set teacher=runs/big``). A model file contains neither these arguments nor the
        submodules that this method adds.
        """

    def players(self) -> dict[str, Player]:
        """The players by name, in the order of their updates within a step; empty for a method without training."""
        return {}

    def forward(self, batch: Batch) -> Any:
        """Computes what the turns share, once per step."""
        return None

    def outputs(self, batch: Batch, made: Any) -> Mapping[str, Sequence[tuple[Tensor, Tensor]]]:
        """The images that a step generated, by the player that learns from them, each with the image that it shows.

        Further losses (``--set extra=...``) compare them, and the sentinel watches them. By default, what ``forward``
        returned is the output of the player ``generator``, or of the only player, for the content of the batch.

        Args:
            batch: the batch of the step
            made: what ``forward`` returned for it
        """
        players, content = list(self.players()), batch.get("content")
        player = "generator" if "generator" in players else players[0] if len(players) == 1 else None
        known = isinstance(made, Tensor) and content is not None and made.shape == content.shape
        return {player: [(made, content)]} if known and player and content is not None else {}

    def drawn(self, batch: Batch, made: Any) -> Sequence[tuple[Tensor, Tensor]]:
        """The samples that a step drew from noise, each batch of them with real images; the sentinel watches them.

        Args:
            batch: the batch of the step
            made: what ``forward`` returned for it
        """
        return []

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
        """A batch of ``count`` items for conformance checks. By default, None: the checks use random images
        ``(count, 3, size, size)``. Override it if the batch holds something else, such as labels."""
        return None

    @classmethod
    def turns(cls) -> list[Turn]:
        """The turns, in the order of their definition; an overriding turn keeps the position of the overridden one."""
        defined = dict.fromkeys(name for base in reversed(cls.__mro__) for name in vars(base))
        turns = []
        for name in defined:
            function: Any = getattr(cls, name, None)
            if hasattr(function, "_turn"):
                player, interval = function._turn
                turns.append(Turn(name, player, interval, function))
        return turns

    # Stylising

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        """Stylises images ``(N, 3, H, W)`` in [0, 1]; returns images in [0, 1] with the sides multiplied by ``scale``.

        A method overrides either this, or ``describe`` and ``transfer``, which the default implementation calls.

        Args:
            content: the images
            style: one style image for each, or one for all, of any size; by default, the first learned style is used

        Raises:
            StylekitError: the method needs a style image, but none was passed.
        """
        if style is None:
            for known in self.styles().values():
                return self.transfer(content, known)
            raise StylekitError(f"The method {type(self).__name__} needs a style image.")
        return self.transfer(content, self.describe(style))

    def describe(self, style: Tensor) -> Statistics:
        """Returns the statistics of style images ``(N, 3, H, W)`` in [0, 1], of any size.

        A style is then processed only once for many images, can be averaged with others, and fits into a small file.
        """
        raise StylekitError(f"The method {type(self).__name__} does not accept style images.")

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        """Stylises images with the statistics that ``describe`` returned.

        Args:
            content: images ``(N, 3, H, W)`` in [0, 1]
            style: statistics with N rows, or with one row for all images
            strength: 1 for the full style, less towards 0

        Returns:
            Images in [0, 1] with the sides of the content multiplied by ``scale``.
        """
        raise StylekitError(f"The method {type(self).__name__} does not define transfer(content, style, strength).")

    def mappings(self, options: Mapping[str, Any]) -> tuple[Intensities | None, Intensities | None]:
        """How the values of files are mapped to [0, 1], and how results are mapped back if in another way.

        A method that translates in both directions swaps them by an option of :meth:`stylize`. If it overrides this, contents
        and styles may have different windows.

        Args:
            options: options of :meth:`stylize`, as given
        """
        return self.intensities, self.results

    def styles(self) -> Mapping[str, Statistics]:
        """The learned styles by name, for ``transfer``; the first is the default."""
        return {}

    def frames(self, contents: Iterable[Tensor], style: Statistics | None = None, **options: Any) -> Iterator[Tensor]:
        """Stylises the frames of one clip, in order. A method that needs state between frames keeps it in local variables.

        Args:
            contents: frames ``(1, 3, H, W)`` in [0, 1]
            style: statistics with one row; None for a method that has one style
            options: options of ``stylize`` or ``transfer``, and ``strength`` with statistics; a subclass need not accept all
        """
        for content in contents:
            yield self.stylize(content, **options) if style is None else self.transfer(content, style, **options)

    def codes(self, count: int) -> Tensor:
        """Draws random codes ``(count, ...)`` for :meth:`sample_from`, from a standard normal distribution.

        Args:
            count: number of codes
        """
        raise StylekitError(f"The method {type(self).__name__} does not draw images from codes.")

    def sample_from(self, codes: Tensor) -> Tensor:
        """Draws an image ``(N, 3, H, W)`` in [0, 1] from each code. Codes that lie between two others give images on the
        way from one to the other."""
        raise StylekitError(f"The method {type(self).__name__} does not draw images from codes.")

    def sample(self, count: int) -> Tensor:
        """Draws images ``(count, 3, H, W)`` in [0, 1] without a content image, with torch's random numbers.

        A method that draws from codes defines :meth:`codes` and :meth:`sample_from` instead.

        Args:
            count: number of images
        """
        if not self.walks():
            raise StylekitError(f"The method {type(self).__name__} does not draw samples. It stylises images.")
        return self.sample_from(self.codes(count))

    @classmethod
    def takes_styles(cls) -> bool:
        """Whether the method accepts any style image."""
        return cls.describe is not Method.describe

    @classmethod
    def stylizes(cls) -> bool:
        """Whether the method stylises images; a method that only draws samples does not."""
        return cls.stylize is not Method.stylize or cls.transfer is not Method.transfer

    @classmethod
    def samples(cls) -> bool:
        """Whether the method draws samples."""
        return cls.sample is not Method.sample or cls.walks()

    @classmethod
    def walks(cls) -> bool:
        """Whether the method draws samples from codes."""
        return cls.sample_from is not Method.sample_from

    @classmethod
    def import_weights(cls, files: Mapping[str, Mapping[str, Tensor]]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Converts weights of another program: ``{file name: state}`` to (constructor arguments, own state).

        Raises:
            StylekitError: this method cannot convert the files.
        """
        raise StylekitError(f"The method {cls.__name__} cannot import the weights of other programs.")


@dataclass(frozen=True)
class Stage:
    """One of the sizes at which an image is optimised.

    Args:
        level: how often the sides of the content are halved
        steps: number of steps at this size
    """

    level: int
    steps: int


class OptimizingMethod(Method):
    """Base class of methods that optimise the image itself, at one or more sizes.

    A subclass defines :meth:`describe`, :meth:`stages`, :meth:`objective` and :meth:`descend`. Images of any size are then
    optimised in bounded memory, region by region: stylekit computes the objective of a region as if all others were seen,
    too, so a method needs to know nothing of regions. In the objective, what looks at the whole image consists of means,
    variances, norms and Gram matrices over whole feature maps, as all losses of :mod:`stylekit.losses` do.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(optimizes=True, exportable=False)

    def stages(self, height: int, width: int) -> Sequence[Stage]:
        """The sizes at which an image is optimised, from coarse to fine; the last has level 0.

        Args:
            height: height of the content
            width: its width
        """
        raise StylekitError(f"The method {type(self).__name__} does not define stages(height, width).")

    def objective(
        self, content: Tensor, style: Statistics, strength: float = 1.0, level: int = 0
    ) -> Callable[[Tensor], Tensor]:
        """What is minimised: a function of images ``(N, 3, H, W)`` that returns a loss ``(N,)``, a mean over pixels.

        Args:
            content: the content at the size of the stage, ``(N, 3, H, W)``
            style: the style, as ``describe`` returned it
            strength: 1 for the full style, less towards 0
            level: level of the stage
        """
        raise StylekitError(f"The method {type(self).__name__} does not define objective(content, style).")

    def descend(
        self,
        image: Tensor,
        objective: Callable[[Tensor], Tensor],
        steps: int,
        on_step: Callable[[int, Tensor], None] = lambda step, image: None,
    ) -> Tensor:
        """Minimises an objective, and returns the image in [0, 1]; called with gradients enabled.

        Args:
            image: the initial image ``(N, 3, H, W)``
            objective: what :meth:`objective` returned
            steps: number of steps
            on_step: called after each step, with its number from 1 and the image
        """
        raise StylekitError(f"The method {type(self).__name__} does not define descend(image, objective, steps).")

    def begin(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        """The initial image at the coarsest size, of the content's shape; by default, the content."""
        return content

    def first_step(self, content: Tensor) -> Tensor:
        """Makes one step with a content as its own style, from which follows how much memory an image needs."""
        with torch.inference_mode(False), torch.no_grad():
            content = content.clone()
            objective = self.objective(content, self.describe(content))
            with torch.enable_grad():
                return self.descend(content, objective, 1)

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        """Optimises images of the content's shape. :attr:`on_step` receives the images at the size of their stage."""
        image, done = None, 0
        stages = self.stages(*content.shape[2:])
        total = sum(stage.steps for stage in stages)

        def on_step(step: int, now: Tensor) -> None:
            if self.on_step is not None:
                self.on_step(done + step, total, now)

        # stylekit calls this in inference mode, whose tensors cannot be used by autograd.
        with torch.inference_mode(False), torch.enable_grad():
            for stage in stages:
                smaller = halved(content.clone(), stage.level)
                objective = self.objective(smaller, style, strength, stage.level)
                start = self.begin(smaller, style, strength) if image is None else image
                image = self.descend(
                    resize(start, (smaller.shape[2], smaller.shape[3])), objective, stage.steps, on_step
                )
                done += stage.steps
        assert image is not None
        return image


def halved(image: Tensor, level: int) -> Tensor:
    """The image ``(N, C, H, W)`` with its sides halved ``level`` times, rounded down, and at least 1."""
    height, width = halved_size(image.shape[2], image.shape[3], level)
    return resize(image, (height, width)) if level else image


def halved_size(height: int, width: int, level: int) -> tuple[int, int]:
    """Height and width, halved ``level`` times."""
    return max(1, height >> level), max(1, width >> level)
