"""Class-conditional WGAN-GP (Gulrajani et al. 2017). Shows labels, sampling, a gradient penalty, and several critic updates."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from stylekit import Method, Player, StylekitError, hookimpl, turn
from stylekit.images import resize
from stylekit.method import Batch, Terms


class ClassConditional(Method):
    """A generator draws images of a class; a critic scores images given their class.

    Args:
        classes: number of classes
        side: side of the generated images, a power of two
        width: channels of the finest layers
        critics: updates of the critic per update of the generator
        lr: learning rate
    """

    batch_keys = ("image", "label")
    reads = "labelled"
    inference_modules = ("generator", "start", "table")

    def __init__(self, classes: int = 2, side: int = 64, width: int = 16, critics: int = 5, lr: float = 2e-4) -> None:
        super().__init__()
        self.classes, self.side, self.latent, self.critics, self.lr = classes, side, 64, critics, lr
        widths = [width * min(2**step, 8) for step in range(side.bit_length() - 3, -1, -1)]  # from 4 x 4 pixels
        self.table = nn.Embedding(classes, self.latent)
        self.start = nn.Linear(2 * self.latent, widths[0] * 16)
        ups: list[nn.Module] = []
        downs: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1)]
        for before, after in pairwise(widths):
            conv = nn.Conv2d(before, after, 3, padding=1)
            ups += [nn.Upsample(scale_factor=2), conv, nn.GroupNorm(4, after), nn.ReLU()]
            downs[1:1] = [nn.LeakyReLU(0.2), nn.Conv2d(after, before, 4, 2, 1)]
        self.generator = nn.Sequential(*ups, nn.Conv2d(width, 3, 3, padding=1), nn.Sigmoid())
        self.critic = nn.Sequential(*downs, nn.LeakyReLU(0.2))
        self.score, self.class_scores = nn.Linear(widths[0], 1), nn.Embedding(classes, widths[0])

    def players(self) -> dict[str, Player]:
        adam = partial(torch.optim.Adam, betas=(0.0, 0.9))
        critic = Player([self.critic, self.score, self.class_scores], self.lr, adam)
        modules = [self.generator, self.start, self.table]
        return {"critic": critic, "generator": Player(modules, self.lr, adam, ema=0.999, update_every=self.critics)}

    def draw(self, label: Tensor) -> Tensor:
        code = torch.randn(len(label), self.latent, device=label.device)
        image: Tensor = self.generator(self.start(torch.cat([code, self.table(label)], 1)).unflatten(1, (-1, 4, 4)))
        return image

    def judge(self, image: Tensor, label: Tensor) -> Tensor:
        features = self.critic(image * 2 - 1).sum((2, 3))
        scores: Tensor = self.score(features)[:, 0] + (self.class_scores(label) * features).sum(1)
        return scores

    def forward(self, batch: Batch) -> Tensor:
        return self.draw(batch["label"])

    @turn("critic")
    def criticize(self, batch: Batch, fake: Tensor) -> Terms:
        image, label, fake = resize(batch["image"], (self.side, self.side)), batch["label"], fake.detach()
        between = image.lerp(fake, torch.rand(len(image), 1, 1, 1, device=image.device)).requires_grad_()
        (gradient,) = torch.autograd.grad(self.judge(between, label).sum(), between, create_graph=True)
        penalty = (gradient.flatten(1).norm(dim=1) - 1).square().mean()
        distance = self.judge(fake, label).mean() - self.judge(image, label).mean()
        return {"wasserstein": distance, "penalty": 10 * penalty}  # the paper's weight

    @turn("generator")
    def generate(self, batch: Batch, fake: Tensor) -> Terms:
        return {"wasserstein": -self.judge(fake, batch["label"]).mean()}

    def sample(self, count: int, *, label: int = 0) -> Tensor:
        """Draws images of a class.

        Args:
            count: number of images
            label: number of the class, counted from 0
        """
        if not 0 <= label < self.classes:
            raise StylekitError(f"There is no label {label}. Use 0 to {self.classes - 1}.")
        return self.draw(torch.full((count,), label, device=self.table.weight.device))

    def example(self, count: int, size: int) -> Batch:
        return {"image": torch.rand(count, 3, size, size), "label": torch.arange(count) % self.classes}


@hookimpl
def stylekit_methods() -> dict[str, type[Method]]:
    return {"class-conditional": ClassConditional}
