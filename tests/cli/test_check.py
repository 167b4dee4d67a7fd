"""``stylekit check``: what is whole passes, and each kind of fault in a plugin is one clear line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Program

HEAD = """
import random
import torch
from torch import nn
from stylekit import Method, Player, hookimpl, make, turn

"""

METHOD = (
    HEAD
    + """
class Tint(Method):
    needs = ("content",)

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
"""
)

GENERATOR = (
    HEAD
    + """
class Network(nn.Module):
    def forward(self, content, style=None):
        return 1 - content

@hookimpl
def stylekit_generators():
    return {"mine": Network}
"""
)

LOSS = (
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

DATASET = (
    HEAD
    + """
class Noise(torch.utils.data.Dataset):
    gives = ("content",)

    def __init__(self, size: int = 64, seed: int = 0, split: str = "train"):
        self.size = size

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return {"content": torch.rand(3, self.size, self.size)}

@hookimpl
def stylekit_datasets():
    return {"noise": Noise}
"""
)

DISCRIMINATOR = (
    HEAD
    + """
class Judge(nn.Module):
    def forward(self, image):
        return image.mean((1, 2, 3))

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


@pytest.mark.parametrize(
    "name", ["cyclegan", "resnet", "unet", "patch", "spectral", "adversarial", "scenes", "folders", "tensorboard"]
)
def test_what_is_built_in_passes(program: Program, name: str) -> None:
    told = program("check", name)
    assert (told.code, told.err) == (0, "")
    assert all(": good (" in line or "offers no parts" in line for line in told.out.splitlines())


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (METHOD, "method tint: good (turns near; keeps 69x57; saves and loads)"),
        (GENERATOR, "generator mine: good (0 parameters; keeps 64x64 and 69x57)"),
        (LOSS, "loss mine: good (adversarial: real, fake, fool)"),
        (DATASET, "dataset noise: good (4 items with content)"),
        (DISCRIMINATOR, "discriminator mine: good (0 parameters; scores ())"),
        (ENCODER, "encoder mine: good (layers first)"),
    ],
)
def test_a_whole_plugin_file_passes(program: Program, tmp_path: Path, source: str, told: str) -> None:
    (tmp_path / "mine.py").write_text(source)
    assert program("check", tmp_path / "mine.py").out == f"{told}\n"


@pytest.mark.parametrize(
    ("source", "good", "bad", "told"),
    [
        # generators
        (GENERATOR, "1 - content", "content[..., 1:, :]", "The generator 'mine': forward(content) gave (1, 3, 63, 64)"),
        (GENERATOR, "1 - content", "content[..., ::2, ::2].repeat(1, 1, 2, 2)", "gave (1, 3, 70, 58) for (1, 3, 69, 57)"),
        (GENERATOR, "1 - content", "2 * content - 1", "gave values from -1 to 1: images are in [0, 1]."),
        (GENERATOR, "1 - content", "content / 0 * 0", "forward(content) gave NaN or infinity."),
        (GENERATOR, "1 - content", "[content]", "forward(content) must return a tensor, not list."),
        (GENERATOR, "1 - content", "(255 * content).byte()", "must return a float image, not torch.uint8."),
        (GENERATOR, "1 - content", "content @ content[..., 1:, :]", "The generator 'mine': It fails in line"),
        # discriminators, losses, encoders
        (DISCRIMINATOR, "image.mean((1, 2, 3))", "image.mean()", "one row of scores a picture"),
        (DISCRIMINATOR, "image.mean((1, 2, 3))", "image.mean((1, 2, 3)).detach()", "must have a gradient"),
        (LOSS, "def fool", "def full", "The loss 'mine': An adversarial loss has real, fake and fool; this one lacks fool."),
        (LOSS, "return self.real(scores)", "return self.fake(scores)", "fool(scores) must be lower for higher scores."),
        (LOSS, "for s in ([scores] if torch.is_tensor(scores) else scores)", "for s in [scores]", "mine.py: TypeError"),
        (ENCODER, ".requires_grad_(False)", "", "An encoder is frozen: requires_grad_(False)."),
        # datasets
        (DATASET, '("content",)', '("content", "style")', "gives names 'style', and the items have only content."),
        (DATASET, ", self.size)}", ", 32)}", "item['content'] gave (2, 3, 64, 32) for (2, 3, 64, 64)"),
        (DATASET, 'split: str = "train"', 'part: str = "train"', "is built with size, seed and split."),
        # methods
        (METHOD, "self.net(content).sigmoid()", "self.net(content).sigmoid()[..., :-1]", "'tint': stylize(content) gave"),
        (METHOD, "self.net(content).sigmoid()", "torch.rand_like(content)", "stylize must give the same twice"),
        (METHOD, "Player(self.net)", "Player([self.net, nn.Linear(1, 1)])", "of the player 'tinter' gets no gradient"),
        (METHOD, '@turn("tinter")', '@turn("tinker")', "The turn 'near' of Tint is for 'tinker'. Did you mean 'tinter'?"),
        (METHOD, "return {\"tinter\": Player(self.net)}", "return {}", "is for 'tinter'. There are none."),
        (METHOD, 'batch["content"]', 'batch["depth"]', "It fails in line 21 of"),
        (METHOD, ".mean()}", "}", "must return a dict of named scalar tensors."),
        (METHOD, "    def stylize(", "    def stylise(", "does not define stylize(content, style=None)."),
        (METHOD, "(Method)", "(nn.Module)", "A method must be a subclass of stylekit.Method."),
        (METHOD, "self.strength = strength", "self.w = [torch.rand(1)]", "no attribute 'strength'"),
        (METHOD, "self.net(content).sigmoid()", "(self.net(content) + self.own).sigmoid()", "no attribute 'own'"),
        # plugins
        (METHOD, "def stylekit_methods", "def stylekit_metods", "stylekit_metods"),
        (METHOD, "import random", "STYLEKIT_API = 99", "was written for version 99 of the plugin contract"),
        (METHOD, "import random", "import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_"),
        (METHOD, "import random", "import random random", "SyntaxError"),
        (METHOD, "return {\"tint\": Tint}", "return {\"tint\": Tont}", "NameError: name 'Tont' is not defined"),
    ],
)  # fmt: skip
def test_each_fault_is_one_clear_line(
    program: Program, tmp_path: Path, source: str, good: str, bad: str, told: str
) -> None:
    assert good in source
    (tmp_path / "mine.py").write_text(source.replace(good, bad))
    assert told in program("check", tmp_path / "mine.py").error


def test_weights_that_a_file_does_not_keep_are_found(program: Program, tmp_path: Path) -> None:
    source = METHOD.replace("self.strength = strength", "self.strength = strength\n        self.own = torch.rand(())")
    (tmp_path / "mine.py").write_text(source.replace("self.net(content)", "(self.net(content) + self.own)"))
    assert "A saved and loaded method stylises otherwise." in program("check", tmp_path / "mine.py").error


@pytest.mark.parametrize("drawn", ["random.SystemRandom().random()", "next(self.counted)", "self.own.random()"])
def test_a_dataset_with_numbers_of_its_own_is_found(program: Program, tmp_path: Path, drawn: str) -> None:
    own = "self.counted = iter([0.1, 0.2, 0.3, 0.4, 0.5])\n        self.own = random.Random(1)"
    source = DATASET.replace("self.size = size", f"self.size = size\n        {own}")
    (tmp_path / "mine.py").write_text(source.replace("torch.rand(3,", f"{drawn} * torch.ones(3,"))
    assert "item['content'] differs for the same seed, epoch and index" in program("check", tmp_path / "mine.py").error


def test_a_plugin_that_only_follows_runs(program: Program, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from stylekit import hookimpl\n\n@hookimpl\ndef stylekit_run_finished(run, step):\n    pass\n"
    )
    assert program("check", tmp_path / "mine.py").out == (
        "The plugin 'mine' offers no parts, only hooks that follow a run.\n"
    )


def test_one_part_is_checked_by_its_name(program: Program) -> None:
    assert program("check", "lsgan").out == "loss lsgan: good (adversarial: real, fake, fool)\n"
