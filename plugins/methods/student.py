"""A small network that learns what a finished model does, to be fast: without a discriminator, as in OMGD (Ren et al. 2021).

The student's outputs are compared with the teacher's by structural similarity, by features and Gram matrices of a frozen
encoder, and by total variation. Channels within both networks are compared as well (equation 8 of the paper; Zhou et al. 2020,
"Channel distillation"): the mean of each channel of some convolutions of the teacher is predicted from those of the student.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import Method, Part, Player, hookimpl, load, make, turn
from stylekit.encoders import encode, frozen_encoder
from stylekit.losses import ContentLoss, StructuralSimilarity, StyleLoss, total_variation
from stylekit.method import Batch, Capabilities, Terms, linear_decay

DEPTHS = (0.2, 0.4, 0.6, 0.8)
"""Where channels are compared: the relative depth of convolutions, of which four are taken as in the paper."""


class Student(Method):
    """A network for one style or translation, which is trained on a teacher's outputs and does not need it afterwards.

    Args:
        generator: the student's network
        encoder: network whose features of both outputs are compared; by default VGG-19 if there are weights of it, otherwise
            random filters
        pixels: weight of the mean absolute difference; not in the paper
        ssim: weight of one minus the structural similarity
        features: weight of the squared differences of features
        gram: weight of the relative errors of Gram matrices
        variation: weight of the total variation
        channels: weight of the squared differences of the means of channels
        lr: learning rate (Adam), constant for half of the run, then decaying linearly to 0
        ema: decay of the exponential moving average of the weights, used for samples and the finished model
    """

    batch_keys = ("content",)
    inference_modules = ("generator",)
    capabilities = Capabilities(thread_safe=True)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {  # minutes on a CPU, for images of 64 x 64 pixels
            "generator": {"name": "unet", "downs": 5, "width": 8, "upsample": "resize"},
            "encoder": {"name": "random", "width": 16, "scales": 3},
        },
    }

    def __init__(
        self,
        generator: Part = {"name": "resnet", "width": 16, "upsample": "resize"},  # noqa: B006
        encoder: Part | None = None,
        pixels: float = 10.0,
        ssim: float = 10.0,
        features: float = 1.0,
        gram: float = 1.0,
        variation: float = 1e-5,
        channels: float = 1.0,
        lr: float = 2e-3,
        ema: float | None = 0.995,
    ) -> None:
        super().__init__()
        self.generator = make("generator", generator)
        self.encoder_part = encoder
        self.weights = {"pixels": pixels, "ssim": ssim, "features": features, "gram": gram, "variation": variation}
        self.channels, self.lr, self.ema = channels, lr, ema
        self.losses: dict[str, ContentLoss | StyleLoss] = {"features": ContentLoss(), "gram": StyleLoss()}
        self.similarity = StructuralSimilarity("The method 'student'") if ssim else None

    def prepare(self, teacher: str = "stylekit-any", style: Path | None = None) -> None:
        """Loads the teacher, and finds the convolutions whose channels are compared.

        Args:
            teacher: model to learn from: a run's folder, a model file, or a model that ships
            style: style image, for a teacher that accepts any; by default a drawn texture
        """
        device = next(self.generator.parameters()).device
        encoder = frozen_encoder(self.encoder_part).to(device)
        # In a tuple, so that neither is a submodule, which would be trained and saved.
        self.frozen = (load(teacher, str(device)), encoder)
        self.style: Any = None
        if self.frozen[0].method.takes_styles():
            image = make("dataset", "textures", size=256)[0]["style"][None] if style is None else style
            self.style = self.frozen[0].style(image)
        probe = torch.rand(1, 3, 64, 64, device=device)
        networks: Sequence[tuple[nn.Module, Callable[[Tensor], Tensor]]]
        networks = ((self.generator, self.generator), (self.frozen[0].method, self._teach))
        self.compared = [spread(convolutions(network, call, probe), DEPTHS) for network, call in networks]
        self.connectors = nn.ModuleList(
            nn.Linear(ours.out_channels, theirs.out_channels) for ours, theirs in zip(*self.compared, strict=True)
        ).to(device)

    def players(self) -> dict[str, Player]:
        trained = [self.generator, *([self.connectors] if hasattr(self, "connectors") else [])]
        return {"generator": Player(trained, self.lr, schedule=linear_decay, ema=self.ema)}

    def forward(self, batch: Batch) -> Tensor:
        with means(self.compared[0]) as self.found:
            image: Tensor = self.generator(batch["content"])
        return image

    @turn("generator")
    def imitate(self, batch: Batch, made: Tensor) -> Terms:
        with torch.no_grad(), means(self.compared[1]) as wanted:
            target = self._teach(batch["content"])
        terms = {name: self.weights[name] * term for name, term in self._terms(made, target).items()}
        if self.channels:
            pairs = zip(self.connectors, self.found, wanted, strict=True)
            errors = [F.mse_loss(connector(ours), theirs) for connector, ours, theirs in pairs]
            terms["channels"] = self.channels * torch.stack(errors).mean()
        return terms

    def _terms(self, made: Tensor, target: Tensor) -> Terms:
        """How far the student's images are from the teacher's, without the weights; only what has a weight."""
        terms: Terms = {}
        if self.weights["pixels"]:
            terms["pixels"] = F.l1_loss(made, target)
        if self.similarity is not None:
            terms["ssim"] = 1 - self.similarity(made, target).mean()
        compared = {name: loss for name, loss in self.losses.items() if self.weights[name]}
        if compared:
            features = encode(self.frozen[1], made)
            with torch.no_grad():
                wanted = encode(self.frozen[1], target)
            terms |= {name: loss(features, loss.target(wanted)).mean() for name, loss in compared.items()}
        if self.weights["variation"]:
            terms["variation"] = total_variation(made).mean()
        return terms

    def _teach(self, content: Tensor) -> Tensor:
        taught: Tensor = self.frozen[0].stylize(content, self.style)
        return taught

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        image: Tensor = self.generator(content)
        return image


@torch.no_grad()
def convolutions(network: nn.Module, call: Callable[[Tensor], Tensor], image: Tensor) -> list[nn.Conv2d]:
    """The convolutions of a network that run for an image, in their order."""
    ran: list[nn.Conv2d] = []
    convs = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    handles = [module.register_forward_hook(lambda module, given, output: ran.append(module)) for module in convs]
    try:
        call(image)
    finally:
        for handle in handles:
            handle.remove()
    return list(dict.fromkeys(ran))


def spread(modules: Sequence[nn.Conv2d], depths: Sequence[float]) -> list[nn.Conv2d]:
    """The modules at these relative depths."""
    return [modules[min(len(modules) - 1, int(depth * len(modules)))] for depth in depths]


@contextmanager
def means(modules: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """Within the block, gathers the mean of each channel ``(N, C)`` of what the modules return, in their order."""
    found: dict[int, Tensor] = {}
    gathered: list[Tensor] = []

    def keep(module: nn.Module, given: object, output: Tensor) -> None:
        found[id(module)] = output.mean((2, 3))

    handles = [module.register_forward_hook(keep) for module in modules]
    try:
        yield gathered
    finally:
        for handle in handles:
            handle.remove()
        gathered += [found[id(module)] for module in modules if id(module) in found]


@hookimpl
def stylekit_methods() -> dict[str, Callable[..., Method]]:
    return {"student": Student}
