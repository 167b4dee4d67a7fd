"""Sample plugins, one of each kind, that pass every check, and helpers to examine altered ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from stylekit import StylekitError
from stylekit.testing import kit
from stylekit.testing.catalogue import checks_of, examine
from stylekit.testing.kit import Subject
from stylekit.testing.subjects import find_subjects
from tests.facts import assert_mentions

HEAD = """
import random
from typing import Literal
import torch
from torch import Tensor, nn
from stylekit import Method, Part, Player, hookimpl, make, turn
from stylekit.method import Capabilities

"""

METHOD = (
    HEAD
    + '''
class Tint(Method):
    """A learned tint.

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
    """The style's mean colour, learned.

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

LEARNED = (
    HEAD
    + """
class Inks(Method):
    style_modules = ()

    def __init__(self):
        super().__init__()
        self.inks = nn.Parameter(torch.rand(2, 3))

    def players(self):
        return {"inks": Player(self.inks)}

    @turn("inks")
    def near(self, batch, made):
        return {"far": (self.inks - batch["style"].mean((0, 2, 3))).square().mean()}

    def styles(self):
        return {name: {"ink": ink[None]} for name, ink in zip(("dark", "light"), self.inks)}

    def transfer(self, content, style, strength=1.0):
        return content.lerp(style["ink"].clamp(0, 1)[..., None, None].expand_as(content), strength)

@hookimpl
def stylekit_methods():
    return {"inks": Inks}
"""
)
"""A method with learned styles that defines ``styles`` and ``transfer`` alone."""

SAMPLER = (
    HEAD
    + """
class Dots(Method):
    batch_keys = ("content",)

    def __init__(self):
        super().__init__()
        self.net = nn.Linear(4, 3)

    def players(self):
        return {"drawer": Player(self.net)}

    @turn("drawer")
    def near(self, batch, made):
        images = self.sample(len(batch["content"]))
        return {"far": (images.mean((2, 3)) - batch["content"].mean((2, 3))).square().mean()}

    def sample(self, count):
        noise = torch.randn(count, 5, 6, 4, device=self.net.weight.device, dtype=self.net.weight.dtype)
        return self.net(noise).sigmoid().movedim(-1, 1)

@hookimpl
def stylekit_methods():
    return {"dots": Dots}
"""
)
"""A method that only draws samples."""

LABELLED = (
    HEAD
    + '''
class Digits(Method):
    batch_keys = ("content", "label")

    def __init__(self):
        super().__init__()
        self.colours = nn.Embedding(10, 3)

    def players(self):
        return {"painter": Player(self.colours)}

    @turn("painter")
    def near(self, batch, made):
        return {"far": (self.colours(batch["label"]) - batch["content"].mean((2, 3))).square().mean()}

    def example(self, count, size):
        return {"content": torch.rand(count, 3, size, size), "label": torch.arange(count) % 10}

    def sample(self, count, *, label: Literal[3, 7] = 3):
        """Draws digits.

        Args:
            label: which digit
        """
        colour = self.colours.weight[label].sigmoid().view(1, 3, 1, 1)
        return colour * torch.rand(count, 1, 8, 8, device=colour.device, dtype=colour.dtype)

@hookimpl
def stylekit_methods():
    return {"digits": Digits}
'''
)
"""A method that is trained on labels, which only its ``example`` can make up, and draws samples of one label."""

SIMULTANEOUS = (
    HEAD
    + """
class Duel(Method):
    batch_keys = ("content",)
    simultaneous = True

    def __init__(self):
        super().__init__()
        self.net, self.judge = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 1, 1)

    def players(self):
        return {"painter": Player(self.net), "judge": Player(self.judge)}

    def forward(self, batch):
        return self.judge(self.net(batch["content"]).sigmoid()).square().mean()

    @turn("painter")
    def near(self, batch, made):
        return {"seen": made}

    @turn("judge")
    def far(self, batch, made):
        return {"missed": -made}

    def stylize(self, content, style=None):
        return self.net(content).sigmoid()

@hookimpl
def stylekit_methods():
    return {"duel": Duel}
"""
)
"""A method whose two players backpropagate through one graph."""

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

    def features(self, image, condition=None):
        return [self.net(image), self.net(image).relu()]

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
def mean(scores):
    return torch.stack([each.mean() for each in ([scores] if torch.is_tensor(scores) else scores)]).mean()

class Loss(nn.Module):
    relativistic = False

    def __init__(self):
        super().__init__()

    def discriminator(self, real, fake):
        return mean(fake) - mean(real)

    def generator(self, fake, real=None):
        return -mean(fake)

@hookimpl
def stylekit_adversarial_losses():
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

METRIC = (
    HEAD
    + """
class Distance(nn.Module):
    against = "content"
    higher = False

    def forward(self, output, reference):
        return (output - reference).square().mean((1, 2, 3))

@hookimpl
def stylekit_metrics():
    return {"mine": Distance}
"""
)

SET_METRIC = (
    HEAD
    + """
class Distance(nn.Module):
    against = "real"
    higher = False

    def features(self, image):
        return image.mean((2, 3))

    def forward(self, output, reference):
        return (output.mean(0) - reference.mean(0)).square().sum()

@hookimpl
def stylekit_metrics():
    return {"mine": Distance}
"""
)

REGULARIZER = (
    HEAD
    + """
class Penalty(nn.Module):
    interval = 4

    def forward(self, discriminator, real, fake):
        return mean(discriminator(real)).square()

def mean(scores):
    return torch.stack([s.mean() for s in ([scores] if torch.is_tensor(scores) else scores)]).mean()

@hookimpl
def stylekit_regularizers():
    return {"mine": Penalty}
"""
)

AUGMENTATION = (
    HEAD
    + """
class Mirrored(nn.Module):
    def forward(self, image):
        return torch.where(torch.rand(len(image), 1, 1, 1, device=image.device) < 0.5, image.flip(3), image)

    def observe(self, scores):
        pass

@hookimpl
def stylekit_augmentations():
    return {"mine": Mirrored}
"""
)

DEGRADATION = (
    HEAD
    + """
class Halved(nn.Module):
    scale = 2

    def forward(self, image):
        small = nn.functional.avg_pool2d(image, 2)
        return torch.where(torch.rand(len(image), 1, 1, 1, device=image.device) < 0.5, small.flip(3), small)

@hookimpl
def stylekit_degradations():
    return {"mine": Halved}
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

NET, RETURN = "self.net = nn.Conv2d(3, 3, 1)", "return self.net(content).sigmoid()"
"""Lines of METHOD and GENERATOR, to be replaced."""

TAUGHT = '''    def prepare(self, teacher: str):
        """Trains from a teacher.

        Args:
            teacher: a run
        """

    def players'''
"""Lines that give METHOD a ``prepare`` that needs an option, in place of their last one."""

OWN = "random.SystemRandom().random()"
"""A number that no seed decides."""


Facts = str | tuple[object, ...]
"""What a message mentions: names, values, options."""


def line(source: str, text: str) -> str:
    """Where the first line with this text is, as messages say it."""
    return f"line {next(number for number, each in enumerate(source.splitlines(), 1) if text in each)}"


def altered(source: str, changes: Sequence[str]) -> str:
    """A source with every first text replaced by its second; each of the first must be in it."""
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
    """The message of each check that fails."""
    return {finding.check: finding.told for finding in examine(subject) if finding.fault}


def assert_faults(found: Mapping[str, str], expected: Mapping[str, Facts]) -> None:
    """Fails unless exactly these checks fail, each with one line that mentions these facts."""
    assert found.keys() == expected.keys(), found
    for check, facts in expected.items():
        assert_mentions(found[check], *(facts if isinstance(facts, tuple) else (facts,)))
        assert "\n" not in found[check], found[check]


def broken(*tables: tuple[str, str, Mapping[str, tuple[Any, ...]]]) -> list[Any]:
    """Parameters of a test: source, changes and what fails, for each case of tables of a name, a source and its cases."""
    return [
        pytest.param(source, case[:-1], case[-1], id=f"{kind}: {name}")
        for kind, source, cases in tables
        for name, case in cases.items()
    ]


def assert_every_check_finds_a_fault(kinds: Iterable[str], tables: Iterable[Mapping[str, tuple[Any, ...]]]) -> None:
    """Fails unless each check of these kinds of parts fails in a case of the tables, whose last item is what fails."""
    shown = {check for table in tables for case in table.values() for check in case[-1]}
    assert {check.name for kind in kinds for check in checks_of(kind)} == shown


def fault(subject: Subject, name: str) -> str:
    """The message of one check if it fails; empty if it passes."""
    (check,) = [check for check in checks_of(subject.kind) if check.name == name]
    try:
        kit.run_check(subject, check)
    except StylekitError as error:
        return str(error)
    return ""


def untried(subject: Subject) -> list[str]:
    """What would be needed to try a part."""
    return [finding.told for finding in examine(subject) if not finding.tried]


def summary(subject: Subject) -> list[str]:
    """Everything that the checks report, once each."""
    return list(dict.fromkeys(finding.told for finding in examine(subject) if finding.told))
