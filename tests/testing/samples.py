"""What the tests of the kit share: a whole plugin of each kind, and what is told of one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stylekit import StylekitError
from stylekit.testing import catalogue, kit
from stylekit.testing.catalogue import examine
from stylekit.testing.kit import Subject
from stylekit.testing.subjects import find_subjects

HEAD = """
import random
import torch
from torch import nn
from stylekit import Method, Part, Player, hookimpl, make, turn

"""

METHOD = (
    HEAD
    + '''
class Tint(Method):
    """A tint of its own.

    Args:
        strength: how strong
    """

    batch_keys = ("content",)

    def __init__(self, strength: float = 1.0):
        super().__init__()
        self.net = nn.Conv2d(3, 3, 1)
        self.strength = strength

    def players(self):
        return {"tinter": Player(self.net)}

    @turn("tinter")
    def near(self, batch, made):
        return {"far": self.strength * (self.net(batch["content"]) - 0.5).square().mean()}

    def stylize(self, content, style=None):
        return self.net(content).sigmoid()

@hookimpl
def stylekit_methods():
    return {"tint": Tint}
'''
)

STYLED = (
    HEAD
    + '''
class Shade(Method):
    """The style's mean colour, learnt to be seen.

    Args:
        shade: how much of it
    """

    def __init__(self, shade: float = 0.5):
        super().__init__()
        self.encoder, self.net = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 3, 1)
        self.shade = shade

    def players(self):
        return {"painter": Player([self.encoder, self.net])}

    @turn("painter")
    def near(self, batch, made):
        return {"far": (self.stylize(batch["content"], batch["style"]) - 0.5).square().mean()}

    def describe(self, style):
        return {"mean": self.encoder(style).mean((2, 3))}

    def transfer(self, content, style, strength=1.0):
        shade = self.net(self.encoder(content) + style["mean"][..., None, None]).sigmoid()
        return content + strength * self.shade * (shade - content)

@hookimpl
def stylekit_methods():
    return {"shade": Shade}
'''
)
"""A method that describes styles."""

GENERATOR = (
    HEAD
    + '''
class Network(nn.Module):
    """A network.

    Args:
        width: channels within
    """

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.net = nn.Conv2d(3, 3, 1)

    def forward(self, content, style=None):
        return self.net(content).sigmoid()

@hookimpl
def stylekit_generators():
    return {"mine": Network}
'''
)

DISCRIMINATOR = (
    HEAD
    + """
class Judge(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Conv2d(3, 2, 4, 4)

    def forward(self, image):
        return self.net(image).mean((2, 3))

@hookimpl
def stylekit_discriminators():
    return {"mine": Judge}
"""
)

ENCODER = (
    HEAD
    + """
class Features(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Conv2d(3, 4, 3).requires_grad_(False)

    def forward(self, image):
        return {"first": self.net(image)}

@hookimpl
def stylekit_encoders():
    return {"mine": Features}
"""
)

ADVERSARIAL = (
    HEAD
    + """
class Loss(nn.Module):
    def real(self, scores):
        return torch.stack([(1 - s).mean() for s in ([scores] if torch.is_tensor(scores) else scores)]).mean()

    def fake(self, scores):
        return -self.real(scores)

    def fool(self, scores):
        return self.real(scores)

@hookimpl
def stylekit_losses():
    return {"mine": Loss}
"""
)

IMAGE_LOSS = (
    HEAD
    + """
class Loss(nn.Module):
    def forward(self, output, reference):
        return (output - reference).square().mean()

@hookimpl
def stylekit_losses():
    return {"mine": Loss}
"""
)

WEIGHTED = '''
from torch import nn
from stylekit import hookimpl

class Loss(nn.Module):
    """A loss.

    Args:
        weight: a factor
    """

    def __init__(self, weight: float = 1.0):
        super().__init__()
        self.weight = weight

    def forward(self, output, reference):
        return self.weight * (output - reference).abs().mean()

@hookimpl
def stylekit_losses():
    return {"mine": Loss}
'''
"""A plugin with a loss that has an option."""

DATASET = (
    HEAD
    + '''
class Noise(torch.utils.data.Dataset):
    """Noise.

    Args:
        size: side
        seed: seed
        split: train or test
    """

    item_keys = ("content",)

    def __init__(self, size: int = 64, seed: int = 0, split: str = "train"):
        self.size = size

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return {"content": torch.rand(3, self.size, self.size)}

@hookimpl
def stylekit_datasets():
    return {"noise": Noise}
'''
)

QUIET = "from stylekit import hookimpl\n\n@hookimpl\ndef stylekit_run_finished(run, step):\n    pass\n"
"""A plugin without parts."""

NET, SHOWN = "self.net = nn.Conv2d(3, 3, 1)", "return self.net(content).sigmoid()"
"""Lines of METHOD and GENERATOR, to be replaced."""

OWN = "random.SystemRandom().random()"
"""A number that no seed decides."""


def altered(source: str, changes: Sequence[str]) -> str:
    """A source with every first replaced by its second, each of which must be in it."""
    for good, other in zip(changes[::2], changes[1::2], strict=True):
        assert good in source, f"{good!r} is not in the source"
        source = source.replace(good, other)
    return source


def part(path: Path) -> Subject:
    """The one part that a plugin file offers."""
    plugin, subject = find_subjects(str(path))
    assert (plugin.kind, plugin.name) == ("plugin", "mine")
    return subject


def faults(subject: Subject) -> dict[str, str]:
    """What is told of each check that fails."""
    return {finding.check: finding.told for finding in examine(subject) if finding.fault}


def assert_told(found: dict[str, str], told: dict[str, str]) -> None:
    """Fails unless these checks are found to fail, and no others, each in one line with these words."""
    assert found.keys() == told.keys(), found
    for check, words in told.items():
        assert words in found[check], found[check]
        assert "\n" not in found[check], found[check]


def fault(subject: Subject, name: str) -> str:
    """What one check tells, if it fails."""
    (check,) = [check for check in catalogue.CHECKS[subject.kind] if check.name == name]
    try:
        kit.run_check(subject, check)
    except StylekitError as error:
        return str(error)
    return ""


def untried(subject: Subject) -> list[str]:
    """What a part would need to be tried."""
    return [finding.told for finding in examine(subject) if not finding.tried]


def seen(subject: Subject) -> str:
    """All that is told, once each."""
    return "; ".join(dict.fromkeys(finding.told for finding in examine(subject) if finding.told))
