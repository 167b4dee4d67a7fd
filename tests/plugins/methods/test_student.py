"""The student: what it compares, by hand, and that it learns a teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import stylekit
from stylekit import make
from stylekit.inference.model_files import save_model
from stylekit_plugins.methods.student import DEPTHS, convolutions, means, spread
from tests.inference.exported.conftest import small

NETWORK = {"name": "resnet", "width": 4, "blocks": 1}
RANDOM = {"name": "random", "width": 8, "scales": 2}


class Branches(nn.Module):
    """Its convolutions run in another order than they are defined, and one never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self.never, self.first = nn.Conv2d(2, 3, 1), nn.Conv2d(3, 3, 1), nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        image: Tensor = self.last(self.first(x))
        return image


def test_convolutions_are_found_in_the_order_in_which_they_run() -> None:
    network = Branches()
    assert convolutions(network, network, torch.zeros(1, 3, 4, 4)) == [network.first, network.last]
    assert not network.first._forward_hooks
    many = [nn.Conv2d(1, 1, 1) for _ in range(10)]
    assert spread(many, DEPTHS) == [many[number] for number in (2, 4, 6, 8)]
    assert spread(many[:1], DEPTHS) == many[:1] * 4


def test_the_means_of_channels_are_gathered() -> None:
    network, image = Branches(), torch.rand(2, 3, 4, 5)
    with means([network.first, network.last]) as found:
        output = network(image)
    torch.testing.assert_close(found[0], network.first(image).mean((2, 3)))
    torch.testing.assert_close(found[1], output.mean((2, 3)))


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    model = small({"name": "cyclegan", "generator": NETWORK})
    save_model(model.method, "cyclegan", tmp_path / "teacher.safetensors")
    return tmp_path / "teacher.safetensors"


def student(teacher: Path, **options: Any) -> Any:
    torch.manual_seed(1)
    method = make("method", "student", generator=NETWORK, encoder=RANDOM, **options)
    method.prepare(teacher=str(teacher))
    return method


def test_each_term_is_that_of_its_formula(teacher: Path) -> None:
    method = student(teacher, channels=2.0)
    content = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    made = method({"content": content})
    terms = method.imitate({"content": content}, made)
    target = stylekit.load(teacher, "cpu").stylize(content)
    assert terms.keys() == {"pixels", "ssim", "features", "gram", "variation", "channels"}
    torch.testing.assert_close(terms["pixels"], 10 * (made - target).abs().mean())
    rows, columns = made.diff(dim=2).square().mean(), made.diff(dim=3).square().mean()
    torch.testing.assert_close(terms["variation"], 1e-5 * (rows + columns), rtol=0.1, atol=0)
    errors = []
    for connector, ours, theirs in zip(method.connectors, method.compared[0], method.compared[1], strict=True):
        with means([ours]) as mine:
            method.generator(content)
        with means([theirs]) as wanted:
            method.frozen[0].stylize(content)
        errors.append((connector(mine[0]) - wanted[0]).square().mean())
    torch.testing.assert_close(terms["channels"], 2 * torch.stack(errors).mean())


def test_a_student_that_is_its_teacher_has_no_error(teacher: Path) -> None:
    method = student(teacher, channels=0.0)
    taught: Any = stylekit.load(teacher, "cpu").method
    method.generator.load_state_dict(taught.generator_ab.state_dict())
    content = torch.rand(1, 3, 32, 32)
    terms = method.imitate({"content": content}, method({"content": content}))
    for name in ("pixels", "ssim", "features", "gram"):
        assert terms[name].item() == pytest.approx(0, abs=1e-4)


def test_only_the_student_is_trained_and_saved(teacher: Path) -> None:
    method = student(teacher)
    trained = {id(each) for each in method.players()["generator"].parameters}
    parts = [each for part in (method.generator, method.connectors) for each in part.parameters()]
    assert trained == {id(each) for each in parts if each.requires_grad}
    assert not [name for name in method.state_dict() if name.split(".")[0] not in ("generator", "connectors")]


@pytest.mark.long
def test_it_learns_what_the_teacher_does(teacher: Path, tmp_path: Path) -> None:
    given = {"generator": NETWORK, "encoder": RANDOM, "lr": 0.01, "ema": None, "teacher": str(teacher)}
    run = stylekit.train(
        "student", out=tmp_path / "run", data="scenes", size=32, batch_size=2, steps=100, workers=0, set=given
    )
    image = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    taught, learned = (stylekit.load(each, "cpu").stylize(image) for each in (teacher, run))
    torch.manual_seed(3)
    before = make("method", "student", generator=NETWORK, encoder=RANDOM).eval().stylize(image).detach()
    assert (learned - taught).abs().mean() < 0.7 * (before - taught).abs().mean()
