"""stargan: its domains are styles, their blends lie between, and its losses are those of the paper."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import stylekit
from stylekit import StylekitError, images, testing
from stylekit.training.rehearsal import rehearse
from stylekit_plugins.methods.stargan import StarGAN
from tests.facts import raises

CLASSES = ("autumn", "spring", "winter")
TINY: dict[str, Any] = {
    "classes": CLASSES,
    "generator": {"name": "resnet", "blocks": 1, "width": 4, "upsample": "resize"},
    "discriminator": {"name": "patch-sn", "layers": 2, "width": 4},
    "width": 4,
}


def method() -> StarGAN:
    torch.manual_seed(0)
    return StarGAN(**TINY)


def test_every_domain_is_a_style_and_blends_lie_between() -> None:
    model, image = method().eval(), torch.rand(2, 3, 16, 20)
    styles = model.styles()
    assert tuple(styles) == CLASSES
    for number, style in enumerate(styles.values()):
        wanted = model.translate(image, torch.eye(3)[number].expand(2, -1))
        torch.testing.assert_close(model.transfer(image, style), wanted)
        torch.testing.assert_close(model.transfer(image, style, 0.25), image.lerp(wanted, 0.25))
    blend = {"domain": (styles["autumn"]["domain"] + styles["winter"]["domain"]) / 2}
    torch.testing.assert_close(model.transfer(image, blend), model.translate(image, torch.tensor([[0.5, 0, 0.5]] * 2)))
    torch.testing.assert_close(model.stylize(image), model.transfer(image, styles["autumn"]))


def test_domains_differ_though_the_generator_begins_with_an_instance_norm() -> None:
    model, image = method().eval(), torch.rand(1, 3, 16, 20)
    one, other = (model.transfer(image, style) for style in list(model.styles().values())[:2])
    assert (one - other).abs().mean() > 1e-3


def test_the_losses_are_those_of_the_paper() -> None:
    model = method()
    batch = {"image": torch.rand(3, 3, 16, 16), "label": torch.tensor([2, 0, 1])}
    made = model(batch)
    terms = model.generate(batch, made)
    back = model.translate(made["fake"], torch.eye(3)[[2, 0, 1]])
    torch.testing.assert_close(terms["cycle"], 10 * (back - batch["image"]).abs().mean())
    scores = model.classifier(made["fake"] * 2 - 1).log_softmax(1)
    wanted = -scores[torch.arange(3), made["target"]].mean()
    torch.testing.assert_close(terms["classify"], wanted)
    real = F.cross_entropy(model.classifier(batch["image"] * 2 - 1), batch["label"])
    torch.testing.assert_close(model.discriminate(batch, made)["classify"], real)
    assert set(rehearse(method(), batch)) == {"discriminate", "generate"}


def test_domains_are_drawn_at_random() -> None:
    batch = {"image": torch.rand(90, 3, 8, 8), "label": torch.zeros(90, dtype=torch.int64)}
    assert method()(batch)["target"].bincount(minlength=3).min() > 15


@pytest.mark.parametrize("classes", [(), ("one",), ("one", "one")])
def test_domains_need_different_names(classes: tuple[str, ...]) -> None:
    with raises(StylekitError, "'classes'", *classes):
        StarGAN(**{**TINY, "classes": classes})


@pytest.fixture
def seasons(tmp_path: Path) -> Path:
    for number, name in enumerate(CLASSES):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(2):
            picture = torch.rand(1, 3, 40, 40) * 0.3 + 0.2 * number
            images.write(tmp_path / "data" / name / f"{index}.png", picture)
    return tmp_path / "data"


def test_it_trains_on_folders_and_stylises_by_the_name_of_a_domain(seasons: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {**TINY, "classes": list(CLASSES)}
    data = {"name": "labelled", "data": seasons}
    stylekit.train("stargan", data=data, out=tmp_path / "run", size=32, batch_size=3, steps=2, set=options, workers=0)
    model = stylekit.load(tmp_path / "run", "cpu")
    image = torch.rand(1, 3, 32, 32)
    outputs = [model.stylize(image, name) for name in CLASSES]
    assert len({tuple(each.flatten().tolist()) for each in outputs}) == 3
    assert model.stylize(image, [("autumn", 1.0), ("winter", 1.0)]).shape == image.shape


def test_other_domains_than_those_of_the_data_are_refused(seasons: Path, tmp_path: Path) -> None:
    data = {"name": "labelled", "data": seasons}
    with raises(StylekitError, "autumn, spring, winter", "winter, autumn", "--set 'classes=[autumn, spring, winter]'"):
        stylekit.train(
            "stargan",
            data=data,
            out=tmp_path / "run",
            size=32,
            steps=2,
            set={**TINY, "classes": ["winter", "autumn"]},
            workers=0,
        )


def test_conformance() -> None:
    testing.check("method", partial(StarGAN, **TINY))
