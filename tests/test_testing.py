"""The conformance kit: whole parts of each kind pass, and each way to break the contract is told in words of its own."""

from __future__ import annotations

import importlib
import random
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from stylekit import StylekitError, StylekitWarning, plugins, testing
from stylekit.testing import Subject, examine, find
from stylekit.testing.footprint import footprint
from stylekit.testing.imports import private
from stylekit.testing.packages import sources

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
'''
)

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
'''
)


Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a plugin file."""

    def write(source: str) -> Path:
        path = tmp_path / "mine.py"
        path.write_text(source)
        return path

    return write


def part(path: Path) -> Subject:
    """The one part that a plugin file offers."""
    plugin, subject = find(str(path))
    assert (plugin.kind, plugin.name) == ("plugin", "mine")
    return subject


def faults(subject: Subject) -> dict[str, str]:
    """What is told of each check that fails."""
    return {finding.check: finding.told for finding in examine(subject) if finding.fault}


def fault(subject: Subject, name: str) -> str:
    """What one check tells, if it fails."""
    (check,) = [check for check in testing.CHECKS[subject.kind] if check.name == name]
    try:
        testing.run(subject, check)
    except StylekitError as error:
        return str(error)
    return ""


def untried(subject: Subject) -> list[str]:
    """What a part would need to be tried."""
    return [finding.told for finding in examine(subject) if not finding.tried]


def seen(subject: Subject) -> str:
    """All that is told, once each."""
    return "; ".join(dict.fromkeys(finding.told for finding in examine(subject) if finding.told))


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (METHOD, "12 parameters; keeps 69x57; turns near; saves and loads; resumes exactly; exports"),
        (GENERATOR, "12 parameters; keeps 64x64; keeps 69x57; saves and loads; exports"),
        (DISCRIMINATOR, "98 parameters; scores (2,); saves and loads; exports"),
        (ENCODER, "112 parameters; layers first; saves and loads; exports"),
        (ADVERSARIAL, "adversarial: real, fake, fool; several scales"),
        (IMAGE_LOSS, "image loss"),
        (DATASET, "4 items with content"),
    ],
    ids=["method", "generator", "discriminator", "encoder", "adversarial loss", "image loss", "dataset"],
)
def test_a_whole_part_passes(write: Write, source: str, told: str) -> None:
    subject = part(write(source))
    assert faults(subject) == {}
    assert seen(subject) == told


NET, SHOWN = "self.net = nn.Conv2d(3, 3, 1)", "return self.net(content).sigmoid()"
INIT, TOLD = "super().__init__()", "super().__init__(); self.independent = True"
OWN = "random.SystemRandom().random()"


def test_a_check_leaves_no_trace(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(METHOD)
    folder = path.parent / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    before = torch.get_rng_state(), random.getstate(), repr(np.random.get_state())
    assert faults(part(path)) == {}
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (random.getstate(), repr(np.random.get_state()))
    assert list(folder.iterdir()) == []


METHODS = {
    "no method": ("(Method)", "(nn.Module)", {"builds": "A method must be a subclass of stylekit.Method."}),
    "does not build": (NET, "self.net = nn.Conv2d(3, 0, 'x')", {"builds": "cannot be built with its defaults"}),
    "untyped": ("strength: float", "strength", {"options": "Give a type to the option strength, as in width: int = 64"}),
    "untold": ("strength: how", "strong: how", {"options": "Describe the option strength in the docstring"}),
    "unknown type": ("strength: float", "strength: 'Tensor'", {"options": "name 'Tensor' is not defined. Import it when"}),
    "default of another type": ("float = 1.0", "int = 1.5", {"options": "The option 'strength' of the part cannot be 1.5"}),
    "idle parameter": (
        "Player(self.net)", "Player([self.net, nn.Linear(1, 1)])", {"rehearsal": "of the player 'tinter' gets no gradient"}
    ),
    "unknown player": (
        '@turn("tinter")', '@turn("tinker")', {"rehearsal": "The turn 'near' of Tint is for 'tinker'. Did you mean 'tinter'?"}
    ),
    "no player": ('return {"tinter": Player(self.net)}', "return {}", {"rehearsal": "Tint has turns and no players"}),
    "no such key": ('batch["content"]', 'batch["depth"]', {"rehearsal": "asks its batch for 'depth'"}),
    "no scalar": (".mean()}", "}", {"rehearsal": "must be a scalar tensor, and is of shape (1, 3, 64"}),
    "no attribute": ("self.strength = strength", "", {"rehearsal": "no attribute 'strength'"}),
    "loss of NaN": ("self.strength *", "float('nan') *", {"rehearsal": "The term 'far' of the turn 'near' is nan."}),
    "no stylize": ("def stylize(", "def stylise(", {"size and range": "does not define stylize(content, style=None)."}),
    "cropped": (SHOWN, f"{SHOWN}[..., :-1]", {"size and range": "gave (1, 3, 64, 63) for (1, 3, 64, 64): keep the size"}),
    "even sides only": (SHOWN, f"{SHOWN}[..., ::2, ::2].repeat(1, 1, 2, 2)", {"odd sizes": "gave (1, 3, 70, 58) for"}),
    "range": (SHOWN, "return 2 * content - 1 + 0 * self.net(content)", {"size and range": "values from -1 to 1: images are"}),
    "writes into its input": (SHOWN, "content[0, 0, 0, 0] = 0.5; " + SHOWN, {"size and range": "changes its input"}),
    "drawn anew": (SHOWN, f"return {OWN} * {SHOWN[7:]}", {"repeated": "stylize must give the same twice"}),
    "ends the process": (SHOWN, "raise SystemExit(0)", {"size and range": "It fails in line 30 of"}),
    "skips": (SHOWN, "import pytest; pytest.skip()", {"size and range": "It fails in line 30 of"}),
    "no gradient": ('.mean()}', '.mean().detach()}',
                    {"rehearsal": "The turn 'near' of Tint gives far without a gradient, so the player 'tinter'"}),
    "flat": ("(self.net(batch", "(0 * self.net(batch", {"gradients": "Every gradient of the player 'tinter' is zero"}),
    "no tensor": ('.mean()}', '.mean().item()}', {"rehearsal": "of Tint must be a scalar tensor, and is a float."}),
    "module for a player": ("Player(self.net)}", "self.net}", {"rehearsal": "is of the type Conv2d: give Player(module)."}),
    "ships a typo": ("    needs = (", '    ships = ("nets",)\n    needs = (',
                     {"rehearsal": "Tint ships 'nets', which it does not have. Did you mean 'net'?"}),
    "ships too little": (NET, NET + "; self.last = nn.Identity()", "    needs = (", '    ships = ("last",)\n    needs = (',
                         {"save and load": "stylize needs 'net', which ships leaves out: name it there too."}),
    "changes the process": (SHOWN, "torch.backends.cudnn.benchmark = True; " + SHOWN,
                            {"size and range": "It changes torch's cudnn.benchmark for the whole process: leave that"}),
    "seeds of its own": ("(self.net(batch", f"({OWN} * self.net(batch", {"seed": "A training step gives other losses",
                                                                        "resume": "when training goes on"}),
    "counts in an attribute": (
        '    def near(self, batch, made):',
        '    def near(self, batch, made):\n        self.strength += 1',
        {"resume": "'net.weight' comes out otherwise when training goes on from a checkpoint"},
    ),
    "weights not kept": (
        "self.strength = strength", "self.strength = strength; self.shade = [torch.rand(3, 1, 1)]",
        SHOWN, "return (self.net(content) + self.shade[0]).sigmoid()",
        {"tensors": "self.shade of Tint is a plain tensor, which stays behind"},
    ),
    "made on the CPU": (SHOWN, "return (self.net(content) + torch.zeros(3, 1, 1)).sigmoid()",
                        {"devices": "On another device stylize(content) fails"}),
    "turn on the CPU": ("- 0.5)", "- torch.ones(3, 1, 1))", {"devices": "On another device the turn 'near' fails"}),
    "float32 only": (SHOWN, "return self.net(content).sigmoid().float()", {"float64": "gave float32 for float64"}),
    "fails in float64": (SHOWN, "return self.net(content.float()).sigmoid()", {"float64": "In float64 stylize(content) fails"}),
    "no graph": (SHOWN, f"return content if content.mean() > 2 else {SHOWN[7:]}",
                 {"export": "torch.export cannot take stylize(content)"}),
    "preset": ('    needs = (', '    presets = {"grand": {"strenth": 2.0}}\n    needs = (',
               {"presets": "The preset 'grand' does not fit: The method 'Tint' has no option 'strenth'. Did you mean"}),
}  # fmt: skip

GENERATORS = {
    "forward without style": ("content, style=None", "content", {"builds": "forward must take (content, style=None)"}),
    "channels": (NET, NET + "; self.channels = 3", {"builds": "channels names the numbers of channels that it takes"}),
    "options": ("width: int", "width", {"options": "Give a type to the option width"}),
    "cropped": (SHOWN, SHOWN + "[..., 1:, :]", {"size and range": "forward(content) gave (1, 3, 63, 64)",
                                            "odd sizes": "gave (1, 3, 68, 57) for (1, 3, 69, 57)"}),
    "even sides only": (SHOWN, f"{SHOWN}[..., ::2, ::2].repeat(1, 1, 2, 2)",
                        {"odd sizes": "gave (1, 3, 70, 58) for (1, 3, 69, 57): keep the size, pad and crop."}),
    "range": (SHOWN, "return 2 * self.net(content).sigmoid() - 2", {"size and range": "images are in [0, 1]."}),
    "NaN": (SHOWN, "return self.net(content) + (content == content.max()) / 0 * 0",
            {"size and range": "forward(content) gave NaN or infinity."}),
    "list": (SHOWN, "return [self.net(content)]", {"size and range": "forward(content) must return a tensor, not list."}),
    "bytes": (SHOWN, "return (255 * self.net(content)).byte()",
              {"size and range": "must return a float image, not torch.uint8.",
               "float64": "forward gave uint8 for float64",
               "gradients": "The parameter 'net.weight' gets no gradient"}),
    "error": (SHOWN, "return {}['nothing']", {"size and range": "It fails in line 20 of"}),
    "not grey": (NET, NET + "; self.channels = (1, 3)", {"channels": "It fails in line 20 of"}),
    "not independent": (INIT, TOLD, SHOWN, "return (self.net(content) - content.mean((0, 2, 3), keepdim=True)).sigmoid()",
                        {"independence": "in eval mode a picture gives something else in a batch"}),
    "independent in eval only": (INIT, TOLD, NET, "self.net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))",
                                 {"independence": "in train mode a picture gives something else in a batch"}),
    "float32 only": (SHOWN, "return self.net(content).sigmoid().float()", {"float64": "forward gave float32 for float64."}),
    "plain tensor": (NET, NET + "; self.mean = torch.full((3, 1, 1), 0.5)",
                     SHOWN, "return (self.net(content) + self.mean).sigmoid()",
                     {"tensors": "self.mean of Network is a plain tensor, which stays behind when the part moves: register"}),
    "made on the CPU": (SHOWN, "return (self.net(content) + torch.zeros(3, 1, 1)).sigmoid()",
                        {"devices": "torch.zeros(3, device=image.device, dtype=image.dtype)"}),
    "own random numbers": (NET, NET + f"; nn.init.constant_(self.net.weight, {OWN})",
                           {"seed": "'net.weight' differs between two builds of one seed"}),
    "noise of its own": (SHOWN, f"return (self.net(content) + {OWN}).sigmoid()",
                         {"seed": "forward must give the same twice, in eval mode: draw it with torch's own"}),
    "flat": (SHOWN, "return self.net(content).sigmoid().round()", {"gradients": "Every gradient is zero, so it learns"}),
    "writes into its input": (SHOWN, "content.mul_(0.5); " + SHOWN, {"size and range": "forward changes its input: work on a"}),
    "idle parameter": (NET, NET + "; self.idle = nn.Linear(2, 2)", {"gradients": "'idle.weight' gets no gradient. Use it"}),
    "gradient of NaN": (SHOWN, "return (self.net(content) - self.net(content)).abs().sqrt()",
                        {"gradients": "The gradient of 'net.weight' is NaN or infinite."}),
    "state not kept": (NET, NET + "; self.register_buffer('shade', torch.rand(3, 1, 1), persistent=False)",
                       SHOWN, "return (self.net(content) + self.shade).sigmoid()",
                       {"save and load": "Saved and loaded, it gives something else"}),
    "no graph": (SHOWN, f"return content if content.mean() > 2 else {SHOWN[7:]}",
                 {"export": "torch.export cannot take forward: GuardOnDataDependentSymNode"}),
}  # fmt: skip

SCORES = "return self.net(image).mean((2, 3))"
DISCRIMINATORS = {
    "no batch": (SCORES, "return self.net(image).mean()", {"scores": "one row of scores a picture"}),
    "no scores": (SCORES, "return {'a': self.net(image)}", {"scores": "forward(image) must return scores, or a list of them."}),
    "infinite": (SCORES, "return self.net(image).mean((2, 3)).detach() / 0 + self.net(image).mean((2, 3))",
                 {"scores": "forward(image) gave scores of NaN or"}),
    "no gradient": (SCORES, "return self.net(image.detach()).mean((2, 3))",
                    {"gradient of the picture": "must have a gradient for the picture"}),
}  # fmt: skip

ENCODERS = {
    "learns": (".requires_grad_(False)", "", {"gradients": "An encoder is frozen: requires_grad_(False)."}),
    "follows statistics": ("nn.Conv2d(3, 4, 3)", "nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))",
                           {"gradients": "forward changes 'net.1.running_mean' in train mode, and an encoder is frozen"}),
    "no layers": ('{"first": self.net(image)}', "self.net(image)", {"features": "must return {layer: features}."}),
    "batch": ("self.net(image)}", "self.net(image).mean(0)}", {"features": "one row of features a picture"}),
    "no gradient": ("    def forward", "    @torch.no_grad()\n    def forward",
                    {"gradient of the picture": "leave no_grad and detach out of forward"}),
}  # fmt: skip

ADVERSARIALS = {
    "verbs": ("def fool", "def full", {"builds": "An adversarial loss has real, fake and fool; this one lacks fool."}),
    "sense": ("def fool(self, scores):\n        return self.real", "def fool(self, scores):\n        return self.fake",
              {"sense": "fool(scores) must be lower for higher scores."}),
    "exchanged": ("def real", "def other", "def fake", "def real", "def other", "def fake", "self.real(scores)",
                  "self.fake(scores)", {"sense": "real(scores) must be lower for higher scores."}),
    "scales": ("([scores] if torch.is_tensor(scores) else scores)", "[scores]",
               {"scales": "real(scores) must take a list of scores too, one of each scale: average over them."}),
    "gradient": ("(1 - s).mean()", "(1 - s.detach()).mean()",
                 {"gradients": "real(scores) must have a finite gradient for its first argument"}),
}  # fmt: skip

DIFFERS = "return (output - reference).square().mean()"
IMAGE_LOSSES = {
    "no scalar": (".mean()", "", {"scalars": "forward(output, reference) must return a finite scalar, for a batch of 1 too."}),
    "other sense": (DIFFERS, "return -(output - reference).abs().mean()", {"sense": "a loss is to fall as pictures grow"}),
    "float32 only": (DIFFERS, DIFFERS + ".float()", {"float64": "forward(output, reference) gave float32 for float64."}),
    "made on the CPU": (DIFFERS, "return (output - reference + torch.zeros(3, 1, 1)).square().mean()",
                        {"devices": "On another device forward(output, reference) fails"}),
}  # fmt: skip

ITEM, KEEPS = "torch.rand(3, self.size, self.size)", "self.size = size"
DATASETS = {
    "arguments": ('split: str = "train"', 'part: str = "train"', {"arguments": "its constructor lacks split."}),
    "broken": (KEEPS, KEEPS + "; int('x')", {"items": "cannot be built with size=64, seed=1, split='train': inv"}),
    "gives": ('("content",)', '("content", "style")', {"items": "gives names 'style', and the items have only content."}),
    "gives nothing": ('gives = ("content",)', "", {"items": "gives must name the keys of an item"}),
    "size": ("self.size, self.size)", "self.size, 32)", {"items": "item['content'] gave (2, 3, 64, 32) for (2, 3, 64, 64)"}),
    "range": (ITEM, "255 * " + ITEM, {"items": "images are in [0, 1]."}),
    "drawn": (ITEM, f"{OWN} * torch.ones(3, 64, 64)", {"seed": "item['content'] differs for the same seed, epoch and index",
                                                       "loader processes": "An item differs in a loader process"}),
    "counted": (KEEPS, KEEPS + "; self.own = random.Random(1)", ITEM, "self.own.random() * " + ITEM,
                {"seed": "item['content'] differs for the same seed"}),
    "no test split": (KEEPS, KEEPS + "; {'train': 0}[split]",
                      {"splits": "The split 'test' fails: KeyError: 'test'. If there is none, raise StylekitError."}),
    "lambda": (KEEPS, KEEPS + "; self.own = lambda: 0", {"loader processes": "Loader processes cannot take it"}),
}  # fmt: skip

BROKEN = [
    pytest.param(source, case[:-1], case[-1], id=f"{kind}: {name}")
    for kind, source, cases in [
        ("method", METHOD, METHODS),
        ("generator", GENERATOR, GENERATORS),
        ("discriminator", DISCRIMINATOR, DISCRIMINATORS),
        ("encoder", ENCODER, ENCODERS),
        ("adversarial loss", ADVERSARIAL, ADVERSARIALS),
        ("image loss", IMAGE_LOSS, IMAGE_LOSSES),
        ("dataset", DATASET, DATASETS),
    ]
    for name, case in cases.items()
]


@pytest.mark.parametrize(("source", "changes", "told"), BROKEN)
def test_each_fault_is_one_line_of_its_own(write: Write, source: str, changes: list[str], told: dict[str, str]) -> None:
    for good, bad in zip(changes[::2], changes[1::2], strict=True):
        assert good in source
        source = source.replace(good, bad)
    found = faults(part(write(source)))
    assert found.keys() == told.keys(), found
    for check, words in told.items():
        assert words in found[check]
        assert "\n" not in found[check]


GOOD = {
    "noise": (GENERATOR, SHOWN, "return (self.net(content) + torch.randn_like(content)).sigmoid()"),
    "noise in a method": (METHOD, SHOWN, "return (self.net(content) + torch.randn_like(content)).sigmoid()"),
    "lazy": (GENERATOR, NET, "self.net = nn.LazyConv2d(3, 1)"),
    "lazy in a method": (METHOD, NET, "self.net = nn.LazyConv2d(3, 1)"),
    "a gate that starts closed": (GENERATOR, NET, NET + "; self.gate = nn.Parameter(torch.zeros(1))",
                                  SHOWN, "return (self.gate * self.net(content)).sigmoid()"),
    "partial": (GENERATOR, "import random", "import functools",
                "mine\": Network", "mine\": functools.partial(Network, width=3)"),
    "keeps what it made": (METHOD, "    def near(self, batch, made):",
                           "    def near(self, batch, made):\n        self.latest = batch['content'].detach()"),
    "spectral_norm": (DISCRIMINATOR, "nn.Conv2d(3, 2, 4, 4)", "nn.utils.spectral_norm(nn.Conv2d(3, 2, 4, 4))"),
    "weight_norm": (GENERATOR, "nn.Conv2d(3, 3, 1)", "nn.utils.weight_norm(nn.Conv2d(3, 3, 1))"),
    "contrastive": (IMAGE_LOSS, DIFFERS, "return 1 + (output - reference).square().mean()"),
    "of the output alone": (IMAGE_LOSS, DIFFERS, "return output.diff(dim=-1).abs().mean()"),
    "random patches": (IMAGE_LOSS, DIFFERS,
                       "i = int(torch.randint(32, ())); return (output - reference)[..., i:].abs().mean()"),
    "frozen statistics": (ENCODER, "nn.Conv2d(3, 4, 3)", "nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))",
                          "    def forward",
                          "    def train(self, mode=True):\n        return super().train(False)\n\n    def forward"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("case", GOOD.values(), ids=GOOD)
def test_what_is_unusual_and_good_is_no_fault(write: Write, case: tuple[str, ...]) -> None:
    source, *changes = case
    for good, other in zip(changes[::2], changes[1::2], strict=True):
        assert good in source
        source = source.replace(good, other)
    assert faults(part(write(source))) == {}


def test_a_part_that_must_be_given_an_option_is_not_tried_and_says_so(write: Write) -> None:
    subject = part(write(GENERATOR.replace("width: int = 4", "width: int")))
    assert faults(subject) == {}
    assert untried(subject) == ["needs the option 'width' (channels within)"]
    with pytest.warns(StylekitWarning, match=r"the generator is not tried: needs the option 'width'"):
        testing.check_generator(subject.target)
    assert "Describe the option" in fault(part(write(GENERATOR.replace("width: int = 4", "depth: int"))), "options")


def test_a_data_set_that_refuses_to_open_is_not_tried(write: Write) -> None:
    source = DATASET.replace(KEEPS, "raise StylekitError('Get the pictures first.')")
    subject = part(write(source.replace("hookimpl,", "StylekitError, hookimpl,")))
    assert (faults(subject), untried(subject)) == ({}, ["Get the pictures first."])


def test_the_switches_of_the_process_are_put_back(write: Write) -> None:
    changes = "torch.set_default_dtype(torch.float64); torch.set_num_threads(3); import os; os.chdir('/')"
    before = torch.get_default_dtype(), torch.get_num_threads(), Path.cwd()
    found = faults(part(write(GENERATOR.replace(NET, f"{NET}; {changes}"))))
    assert found == {
        "builds": "It changes torch's default type and torch's number of threads and the working directory for the whole "
        "process: leave that to the user."
    }
    assert before == (torch.get_default_dtype(), torch.get_num_threads(), Path.cwd())


def test_what_a_file_remembers_of_the_check_of_devices_is_forgotten(write: Write) -> None:
    cached = "CACHE.setdefault(content.shape[-1], torch.zeros(1, device=content.device))"
    source = GENERATOR.replace(SHOWN, f"return (self.net(content) + {cached}).sigmoid()")
    subject = part(write(source.replace("class Network", "CACHE = {}\n\nclass Network")))
    fault(subject, "devices")
    assert subject.target.forward.__globals__["CACHE"] == {}


def test_the_functions_of_the_kit_raise_one_line_a_fault(write: Write) -> None:
    testing.check_method(part(write(METHOD)).target)
    testing.check_generator(part(write(GENERATOR)).target)
    testing.check_discriminator(part(write(DISCRIMINATOR)).target)
    testing.check_loss(part(write(IMAGE_LOSS)).target)
    testing.check_dataset(part(write(DATASET)).target)
    testing.check_encoder(part(write(ENCODER)).target)
    network = part(write(GENERATOR.replace("width: int", "width").replace(".sigmoid()", ".sigmoid().float()"))).target
    with pytest.raises(StylekitError) as told:
        testing.check_generator(network)
    options, types = str(told.value).splitlines()
    assert options.startswith("options: Give a type to the option width")
    assert types.startswith("float64: forward gave float32 for float64.")


def test_a_fault_that_stops_several_checks_is_told_once(write: Write) -> None:
    found = faults(part(write(METHOD.replace('batch["content"]', 'batch["depth"]'))))
    assert list(found) == ["rehearsal"]


def test_a_part_that_does_not_build_is_told_as_that_alone(write: Write) -> None:
    source = GENERATOR.replace("width: int", "width").replace(NET, "raise ValueError('too early')")
    assert list(faults(part(write(source)))) == ["builds"]


def test_what_says_that_it_is_no_graph_is_not_exported(write: Write) -> None:
    source = METHOD.replace(SHOWN, f"return content if content.mean() > 2 else {SHOWN[7:]}")
    subject = part(write(source.replace("    needs = (", "    exportable = False\n    needs = (")))
    assert faults(subject) == {}
    assert "not exportable, as it says" in seen(subject)


def test_grey_pictures_are_tried_where_they_are_declared(write: Write) -> None:
    source = GENERATOR.replace(NET, "self.channels = (1, 3)").replace(SHOWN, "return 1 - content")
    subject = part(write(source))
    assert faults(subject) == {}
    assert "channels 1, 3" in seen(subject)


def test_a_dataset_that_needs_a_path_says_so_and_is_not_tried(write: Write) -> None:
    source = DATASET.replace("self, size", "self, root: str, size").replace(
        "size: side", "size: side\n        root: where"
    )
    subject = part(write(source))
    assert faults(subject) == {}
    assert untried(subject) == ["needs the option 'root' (where)"]


QUIET = "from stylekit import hookimpl\n\n@hookimpl\ndef stylekit_run_finished(run, step):\n    pass\n"


def side_effects(write: Write, source: str) -> list[str]:
    return footprint(plugins.add_file(write(QUIET + textwrap.dedent(source))))[0]  # not imported in this process


def test_importing_a_plugin_may_import_and_define_whatever_it_likes(write: Write) -> None:
    assert side_effects(write, "import json, torch.fft, stylekit.layers\nANY = torch.zeros(3)\nclass Own: pass\n") == []


def test_what_importing_a_plugin_changes_is_named(write: Write) -> None:
    """All in one process: each is told in words of its own."""
    source = """
        import logging, os, pathlib, random, signal, sys, warnings
        import numpy, torch, stylekit.layers
        print("hello")
        torch.rand(1), numpy.random.rand(), random.random()
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(torch.get_num_threads() + 1)
        torch.set_grad_enabled(False)
        torch.set_default_device("meta")
        torch.backends.cudnn.benchmark = True
        sys.path.append("elsewhere")
        os.environ["OMP_NUM_THREADS_OF_MINE"] = "3"
        warnings.simplefilter("ignore")
        logging.basicConfig(level=logging.DEBUG)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        torch.nn.functional.relu = torch.nn.functional.gelu
        torch.nn.Module.__call__ = torch.nn.Module._call_impl
        torch.load = None
        import PIL.ImageFile; PIL.ImageFile.LOAD_TRUNCATED_IMAGES = True
        stylekit.layers.init_normal = None
        pathlib.Path("left.txt").write_text("here")
    """
    assert side_effects(write, source) == [
        "changes torch's random numbers",
        "changes NumPy's random numbers",
        "changes Python's random numbers",
        "changes torch's default type",
        "changes torch's default device",
        "changes torch's grad mode",
        "changes torch's number of threads",
        "changes torch's cudnn.benchmark",
        "changes sys.path",
        "changes os.environ (OMP_NUM_THREADS_OF_MINE)",
        "changes the warnings' filters",
        "changes the root logger",
        "changes the handlers of signals (15)",
        "changes what is in stylekit.layers (init_normal)",
        "changes what is in torch.nn.functional (relu)",
        "changes what is in nn.Module (__call__)",
        "changes what is in torch (load)",
        "changes what is in PIL.ImageFile (LOAD_TRUNCATED_IMAGES)",
        "prints 'hello'",
        "leaves the file left.txt behind",
    ]


def test_a_plugin_that_ends_a_new_process_is_told(write: Write) -> None:
    with pytest.raises(StylekitError, match=r"^Importing it in a new process ends that process: exit code 3\.$"):
        side_effects(write, "import os\nos._exit(3)\n")


def test_a_side_effect_is_a_fault_of_the_plugin(write: Write) -> None:
    (plugin,) = find(str(write(QUIET + "print('hello')\n")))
    assert faults(plugin) == {
        "import": "Importing it prints 'hello': leave that out, or do it in the function that needs it."
    }


def test_private_names_of_stylekit_are_found(write: Write) -> None:
    source = """
        import numpy, torch.nn
        import stylekit, stylekit.layers
        import stylekit.engine
        from stylekit import images, make, engine
        from stylekit.method import Batch, _Function
        from stylekit.parts import make as build
        from stylekit_plugins.resnet import ResNet
        from stylekit.testing import check_method
        def late():
            from stylekit.seeding import seeded, nothing
    """
    path = write(textwrap.dedent(source))
    assert private(path) == [
        "stylekit.engine",
        "stylekit.method._Function",
        "stylekit.parts.make",
        "stylekit.seeding.nothing",
    ]


def test_private_names_that_are_reached_by_dots_are_found(write: Write) -> None:
    source = """
        import stylekit, stylekit.layers as layers
        import stylekit as sk
        stylekit.__version__, stylekit.make.__name__, stylekit.parts.validate("a"), stylekit.layers.init_normal
        sk.engine.step, layers._hidden, other.parts.validate
    """
    assert set(private(write(textwrap.dedent(source)))) == {
        "stylekit.parts",
        "stylekit.layers._hidden",
        "stylekit.engine",
    }


def test_a_private_name_is_a_fault_of_the_plugin(write: Write) -> None:
    (plugin,) = find(str(write(QUIET + "from stylekit.engine import step\n")))
    assert "imports stylekit.engine.step, which may change without notice" in fault(plugin, "public names")
    (plugin,) = find(str(write(QUIET + "from stylekit_plugins.resnet import ResNet\n")))
    assert fault(plugin, "public names").endswith("list in __all__, and make parts by name.")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("lsgan", "The loss 'lsgan' is stylekit's own, so yours is never used: give it another name."),
        ("My Loss", "to be typed in a command: call the loss 'My Loss' 'my-loss'."),
    ],
)
def test_a_name_that_cannot_be_used_is_a_fault(write: Write, name: str, told: str) -> None:
    plugin, _ = find(str(write(IMAGE_LOSS.replace('"mine"', repr(name)))))
    assert fault(plugin, "names").endswith(told)


def test_presets_that_do_not_fit_are_found(write: Write) -> None:
    hook = """
@hookimpl
def stylekit_presets():
    return {METHOD: {"bold": {"strength": GIVEN}}}
"""

    def told(method: str, given: str) -> str:
        plugin, _ = find(str(write(METHOD + hook.replace("METHOD", repr(method)).replace("GIVEN", given))))
        return fault(plugin, "presets")

    assert told("tint", "2.0") == ""
    assert told("tint", "'much'").startswith(
        "The preset 'bold' does not fit: The option 'strength' of the method 'Tint'"
    )
    assert "There is no method 'tnit'. Did you mean 'tint'?" in told("tnit", "2.0")


Package = Callable[[str, str, str, list[str]], None]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Installs a package of several files, with one plugin and what it requires."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def install(name: str, plugin: str, source: str, requires: list[str]) -> None:
        module = f"sample_{name}"
        (site / module).mkdir()
        (site / module / "__init__.py").write_text("")
        (site / module / "parts.py").write_text(source)
        told = site / f"{name}-1.0.dist-info"
        told.mkdir()
        needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
        (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}")
        (told / "entry_points.txt").write_text(f"[stylekit]\n{plugin} = {module}.parts\n" if plugin else "")
        importlib.invalidate_caches()

    return install


def test_a_package_is_all_its_plugins_and_their_parts(package: Package) -> None:
    package("tulips", "garden", GENERATOR + IMAGE_LOSS.replace(HEAD, ""), ["stylekit>=0.1", "torch>=2.10"])
    for name in ("Tulips", "garden"):
        plugin, *parts = find(name)
        assert (plugin.kind, plugin.name) == ("plugin", "garden")
        assert [(subject.kind, subject.name) for subject in parts] == [("generator", "mine"), ("loss", "mine")]
    assert [subject.kind for subject in find("mine")] == ["generator", "loss"]
    assert faults(plugin) == {}


def test_all_files_of_a_package_are_looked_through(package: Package, tmp_path: Path) -> None:
    package("tulips", "garden", QUIET, ["stylekit"])
    (tmp_path / "site" / "sample_tulips" / "other.py").write_text("from stylekit import parts\n")
    (plugin,) = find("tulips")
    assert [path.name for path in sources(plugin.target)] == ["__init__.py", "other.py", "parts.py"]
    assert "other.py imports stylekit.parts, which may change" in fault(plugin, "public names")


def test_a_name_that_another_package_has_is_a_fault(package: Package) -> None:
    package("tulips", "garden", IMAGE_LOSS, ["stylekit"])
    package("roses", "bower", IMAGE_LOSS, ["stylekit"])
    plugin, _ = find("tulips")
    assert faults(plugin) == {"names": "The loss 'mine' is also that of roses 1.0: give yours another name."}


def test_a_file_of_a_package_that_is_no_python_is_passed_over(package: Package, tmp_path: Path) -> None:
    package("tulips", "garden", QUIET, ["stylekit"])
    (tmp_path / "site" / "sample_tulips" / "template.py").write_text("class {{ name }}:\n")
    (plugin,) = find("tulips")
    assert faults(plugin) == {}


@pytest.mark.parametrize(
    ("requires", "told"),
    [
        (
            ["stylekit", "torch<3,>=2.10"],
            "requires torch<3,>=2.10, which keeps newer ones away from everyone who installs it.",
        ),
        (["stylekit", "torch<3,>=2.10"], "Write 'torch>=2.10'."),
        (["stylekit", "torch==2.13.*"], "Write 'torch>=2.13'."),
        (["stylekit", "Torch~=2.10"], "Write 'torch>=2.10'."),
        (["stylekit", "torch<=2.13"], "Write 'torch'."),
        (["stylekit", "torch @ https://example.org/torch.whl"], "one file for everyone who installs it. Write 'torch'"),
        (["torch>=2.10"], "tulips does not require stylekit: add 'stylekit' to dependencies in its pyproject.toml."),
        (["torch>=2.10", "stylekit; extra == 'dev'"], "does not require stylekit"),
        (["stylekit", "torch>=2.10,!=2.11.0", "torch==2.10; extra == 'old'", "numpy<3"], ""),
    ],
)
def test_a_package_pins_no_torch_and_requires_stylekit(package: Package, requires: list[str], told: str) -> None:
    package("tulips", "garden", QUIET, requires)
    (plugin,) = find("tulips")
    found = fault(plugin, "metadata")
    assert told in found
    assert bool(told) == bool(found)


def test_a_package_without_plugins_says_how_to_register_one(package: Package) -> None:
    package("tulips", "", QUIET, ["stylekit"])
    with pytest.raises(
        StylekitError, match=r"The package 'tulips' registers no plugin\. Name its module in pyproject\.toml"
    ):
        find("tulips")


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(StylekitError, match=r"no plugin, no part and no package 'cyclgan'\. Did you mean 'cyclegan'\?"):
        find("cyclgan")


BUILT_IN = [plugin.name for plugin in plugins.installed() if plugin.own]
HEAVY = {"cyclegan", "resnet", "spectral", "unet"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in HEAVY else []) for name in BUILT_IN]
)
def test_the_built_in_plugins_pass(name: str) -> None:
    assert len(BUILT_IN) >= 9
    for subject in find(name):
        assert faults(subject) == {}, subject.name
