"""The network and its losses in plain float64 operations, blended styles, and a model file without style images."""

from __future__ import annotations

import contextlib
import functools
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import stylekit
from stylekit import StylekitError, images, make, testing
from stylekit.inference.model_files import save_model
from stylekit.inference.tiles import Tiles
from stylekit.training.distributed import Runtime
from stylekit.training.player_state import player_states
from stylekit.training.rehearsal import rehearse
from stylekit.training.steps import step
from stylekit.training.written import read_assignments
from stylekit.weights.tensors import read_tensors
from stylekit_plugins.methods.perceptual import BLOCKS, Perceptual, StyleNetwork, name_of
from tests.facts import raises

SMALL: dict[str, Any] = {
    "encoder": {"name": "random", "width": 8, "scales": 3},
    "content_layers": ["scale2", "scale3"],
    "width": 4,
}


class Two(nn.Module):
    """An encoder of two layers: the image, and the image in grey at half the size."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"fine": image, "coarse": F.avg_pool2d(image, 2).mean(1, keepdim=True)}


def painting(path: Path, red: float, blue: float, seed: int = 0, side: int = 40) -> Path:
    """Writes an image of blots in two colours."""
    blots = torch.rand(1, 1, 6, 7, generator=torch.Generator().manual_seed(seed))
    grain = images.resize(blots, (side, side + 9))
    images.write(path, torch.cat([red * grain, 0.3 * grain, blue * grain], 1))
    return path


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    return [painting(tmp_path / "rust.png", 1.0, 0.1), painting(tmp_path / "sea.png", 0.1, 1.0, seed=1)]


def randomised(styles: int, width: int = 3, enlarging: int = 1) -> StyleNetwork:
    """A network in float64 whose styles differ."""
    torch.manual_seed(0)
    network = StyleNetwork(styles, width, enlarging).double()
    for name, parameter in network.named_parameters():
        if name.endswith((".scale", ".shift")):
            parameter.data += 0.3 * torch.randn_like(parameter)
    return network


def written_out(w: dict[str, Tensor], image: Tensor, scale: dict[str, Tensor], shift: dict[str, Tensor]) -> Tensor:
    """The network on one image (1, 3, H, W) whose sides are multiples of 4, in plain operations."""

    def layer(name: str, x: Tensor, stride: int = 1) -> Tensor:
        kernel = w[f"layers.{name}.conv.2.weight"]
        margin = kernel.shape[-1] // 2
        x = F.conv2d(F.pad(x, [margin] * 4, mode="reflect"), kernel, stride=stride)
        mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), correction=0, keepdim=True)
        return scale[name][:, None, None] * (x - mean) / (variance + 1e-5).sqrt() + shift[name][:, None, None]

    def doubled(x: Tensor) -> Tensor:
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    x = layer("begin", image).relu()
    x = layer("down2", layer("down1", x, 2).relu(), 2).relu()
    for n in range(BLOCKS):
        x = x + layer(f"block{n}b", layer(f"block{n}a", x).relu())
    for name in (name for name in scale if name.startswith("up")):
        x = layer(name, doubled(x)).relu()
    x = F.conv2d(F.pad(x, [4] * 4, mode="reflect"), w["end.1.weight"], w["end.1.bias"])
    return 1 / (1 + (-x).exp())


@pytest.mark.parametrize("enlarging", [1, 2, 4])
def test_each_image_is_normalised_with_the_scales_and_shifts_of_its_style(enlarging: int) -> None:
    network = randomised(3, enlarging=enlarging)
    weights = network.state_dict()
    content = torch.rand(4, 3, 12, 20, dtype=torch.float64)
    out = network(content, network.rows(torch.tensor([2, 0, 1, 2])))
    assert out.shape == (4, 3, 12 * enlarging, 20 * enlarging)
    for image, style, painted in zip(content, (2, 0, 1, 2), out, strict=True):
        scale, shift = (
            {name.split(".")[1]: w[style] for name, w in weights.items() if name.endswith(end)}
            for end in (".scale", ".shift")
        )
        assert (written_out(weights, image[None], scale, shift)[0] - painted).abs().max() < 1e-12
    assert (out[0] - network(content, network.rows(slice(0, 1)))[0]).abs().max() > 1e-2


def only(network: StyleNetwork, change: dict[str, Tensor]) -> StyleNetwork:
    """A network of one style: the convolutions of the given network, and these scales and shifts."""
    alone = StyleNetwork(1, 3).double()
    convolutions = {name: w for name, w in network.state_dict().items() if name.endswith(("weight", "bias"))}
    alone.load_state_dict(convolutions | {f"layers.{name}": w for name, w in change.items()})
    return alone


def test_one_style_of_many_equals_a_network_with_only_its_row() -> None:
    method = Perceptual(**SMALL | {"styles": ["a.png", "b.png", "c.png"], "width": 3}).double()
    method.network = randomised(3)
    content = torch.rand(2, 3, 13, 21, dtype=torch.float64)
    assert list(method.styles()) == ["a", "b", "c"]
    for index, style in enumerate(method.styles().values()):
        row = {
            k.removeprefix("layers."): w
            for k, w in method.network.state_dict().items()
            if k.endswith(("scale", "shift"))
        }
        alone = only(method.network, {name: w[index : index + 1] for name, w in row.items()})
        assert torch.allclose(method.transfer(content, style), alone(content, alone.rows(slice(0, 1))), atol=1e-12)
    assert torch.equal(method.stylize(content), method.transfer(content, method.styles()["a"]))


def test_the_average_of_two_styles_equals_a_network_halfway_between_them() -> None:
    method = Perceptual(**SMALL | {"styles": ["a.png", "b.png"], "width": 3}).double()
    method.network = randomised(2)
    content, (a, b) = torch.rand(1, 3, 16, 16, dtype=torch.float64), method.styles().values()
    halfway = {name: 0.5 * a[name] + 0.5 * b[name] for name in a}
    alone = only(method.network, halfway)
    painted = method.transfer(content, halfway)
    assert torch.allclose(painted, alone(content, alone.rows(slice(0, 1))), atol=1e-12)
    for end in (a, b):
        assert (painted - method.transfer(content, end)).abs().max() > 1e-2


def test_strength_interpolates_between_the_image_and_the_painted_one() -> None:
    method, content = Perceptual(**SMALL), torch.rand(2, 3, 17, 9)
    style = method.styles()["painting"]
    painted = method.transfer(content, style)
    assert torch.equal(painted, method.network(content, style))
    assert torch.allclose(method.transfer(content, style, 0.25), 0.75 * content + 0.25 * painted, atol=1e-6)


def test_a_scale_stylises_and_enlarges_in_one_pass(two: list[Path], tmp_path: Path) -> None:
    method = Perceptual(two, **SMALL, scale=2)
    content = torch.rand(2, 3, 24, 24)
    made, seen = method({"content": content}), method.degrade
    assert seen
    assert made["painted"].shape == content.shape
    with raises(StylekitError, "25x24", "multiple of the scale 2", "--size 24"):
        method({"content": torch.rand(1, 3, 24, 25)})
    for shape in ((17, 9), (32, 20)):
        small = torch.rand(1, 3, *shape)
        none, half, full = (method.transfer(small, method.styles()["sea"], strength) for strength in (0, 0.5, 1))
        size = [2 * side for side in shape]
        torch.testing.assert_close(none, F.interpolate(small, size, mode="bicubic", antialias=True).clamp(0, 1))
        torch.testing.assert_close(half, (none + full) / 2, rtol=0, atol=1e-6)
    save_model(method, "perceptual", tmp_path / "model.safetensors")
    model = stylekit.load(tmp_path / "model.safetensors", "cpu")
    picture = torch.rand(1, 3, 200, 136)
    whole = model.stylize(picture, "rust")
    assert whole.shape == (1, 3, 400, 272)
    tiled = model.stylize(picture, "rust", tiles=Tiles(128, "exact"))
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1 / 255)


def normalised(features: Tensor) -> Tensor:
    """Features with mean 0 and std 1 in each channel of each image."""
    mean, variance = features.mean((2, 3), keepdim=True), features.var((2, 3), correction=0, keepdim=True)
    return (features - mean) / (variance + 1e-3).sqrt()


def test_the_content_term_ignores_contrast_and_brightness_of_a_channel() -> None:
    torch.manual_seed(0)
    loss = Perceptual(**SMALL | {"content_layers": ["only"]}).content_loss
    one, other = torch.rand(2, 3, 5, 7, dtype=torch.float64), torch.rand(2, 3, 5, 7, dtype=torch.float64)
    target = loss.target({"only": other, "unused": other})
    expected = (normalised(one) - normalised(other)).square().mean((1, 2, 3))
    torch.testing.assert_close(loss({"only": one, "unused": one}, target), expected, rtol=1e-10, atol=0)
    scale, shift = 10 + torch.rand(2, 3, 1, 1), torch.randn(2, 3, 1, 1)
    assert loss({"only": 100 * one * scale + shift}, loss.target({"only": 100 * one})).max() < 1e-8


def gram_by_hand(features: Tensor) -> Tensor:
    """Johnson et al., equation 4, of (C, H, W)."""
    channels, height, width = features.shape
    return torch.einsum("chw,dhw->cd", features, features) / (channels * height * width)


def test_the_terms_match_the_equations(two: list[Path]) -> None:
    weights = {"content_weight": 2.0, "style_weight": 3.0, "color_weight": 5.0, "tv_weight": 7.0}
    method = Perceptual(two, encoder=Two, content_layers=["fine"], width=4, **weights).double()
    torch.manual_seed(2)
    content = torch.rand(6, 3, 16, 16, dtype=torch.float64)
    made = method({"content": content})
    terms = {name: term.detach() for name, term in method.paint({"content": content}, made).items()}

    styles = []
    for path in two:
        image = F.interpolate(images.read(path).image, (16, 20), mode="bicubic", antialias=True)  # of 40 x 49
        styles.append(image.clamp(0, 1).double())
    painted, drawn = made["painted"].detach(), []
    style = color = 0.0
    assert set(made["targets"]) == {"fine", "coarse", "color.mean", "color.std"}
    for image, gram in zip(painted, made["targets"]["fine"], strict=True):
        apart = [float((gram - gram_by_hand(each[0])).abs().max()) for each in styles]
        drawn.append(apart.index(min(apart)))
        assert min(apart) < 1e-12
        wanted = styles[drawn[-1]]
        for ours, theirs in zip(Two()(image[None]).values(), Two()(wanted).values(), strict=True):
            difference, whole = gram_by_hand(ours[0]) - gram_by_hand(theirs[0]), gram_by_hand(theirs[0])
            style += float(difference.square().sum() / whole.square().sum()) / 2 / 6
        for of in (lambda x: x.mean((-2, -1)), lambda x: (x.var((-2, -1), correction=0) + 1e-5).sqrt()):
            color += float((of(image) - of(wanted[0])).square().mean()) / 6  # type: ignore[no-untyped-call]
    assert set(drawn) == {0, 1}
    assert float(terms["style"]) == pytest.approx(3 * style, rel=1e-10)
    assert float(terms["color"]) == pytest.approx(5 * color, rel=1e-10)
    expected = (normalised(painted) - normalised(content)).square().mean()  # the fine layer is the image itself
    assert float(terms["content"]) == pytest.approx(2 * float(expected), rel=1e-12)
    down, across = (painted[:, :, 1:] - painted[:, :, :-1]).abs(), (painted[..., 1:] - painted[..., :-1]).abs()
    assert float(terms["tv"]) == pytest.approx(7 * float(down.mean() + across.mean()), rel=1e-12)


def play(method: Perceptual, content: Tensor, steps: int) -> list[dict[str, float]]:
    fabric = SimpleNamespace(device=torch.device("cpu"), global_rank=0, world_size=1, autocast=contextlib.nullcontext)
    players = player_states(method)
    losses = [step(method, players, {"content": content}, index, steps, Runtime(fabric)) for index in range(steps)]
    return [{name: float(value) for name, value in terms.items()} for terms in losses]


def test_twenty_steps_lower_the_loss(two: list[Path]) -> None:
    torch.manual_seed(0)
    losses = [sum(terms.values()) for terms in play(Perceptual(two[:1], **SMALL), torch.rand(2, 3, 32, 32), 20)]
    assert losses[-1] < 0.7 * losses[0]
    assert all(math.isfinite(loss) for loss in losses)


@pytest.mark.slow
def test_each_style_learns_the_colours_of_its_image(two: list[Path]) -> None:
    torch.manual_seed(0)
    method, content = Perceptual(two, **SMALL, content_weight=0, style_weight=0, lr=1e-2), torch.rand(4, 3, 16, 16)
    play(method, content, 50)
    for path, style in zip(two, method.styles().values(), strict=True):
        with torch.no_grad():
            mean = method.transfer(content, style).mean((0, 2, 3))
        assert (mean - images.read(path).image.mean((0, 2, 3))).abs().max() < 0.1, path


def test_a_style_that_was_not_sampled_gets_no_gradient(two: list[Path]) -> None:
    method, batch = Perceptual(two, **SMALL), {"content": torch.rand(1, 3, 32, 32)}
    torch.manual_seed(0)
    made = method(batch)
    torch.stack(list(method.paint(batch, made).values())).sum().backward()
    gradients = torch.stack([p.grad.abs().sum(1) for p in method.network.parameters() if p.ndim == 2]).sum(0)
    assert sorted(gradients.gt(0).tolist()) == [False, True]


def test_style_images_are_read_once_when_training_starts(two: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    seen, read = [], images.read

    def recorded(path: Path) -> images.Picture:
        seen.append(path)
        return read(path)

    monkeypatch.setattr(images, "read", recorded)
    method = Perceptual(two, **SMALL)
    assert not seen
    for _ in range(3):
        method({"content": torch.rand(1, 3, 32, 32)})
    assert seen == two
    assert not any("target" in name for name in method.state_dict())


def test_transparent_parts_of_a_style_image_are_white(tmp_path: Path) -> None:
    images.write(tmp_path / "hole.png", images.Picture(torch.zeros(1, 3, 20, 20), torch.zeros(1, 1, 20, 20)))
    made = Perceptual([tmp_path / "hole.png"], **SMALL)({"content": torch.rand(1, 3, 32, 32)})
    assert torch.allclose(made["targets"]["color.mean"], torch.ones(1, 3))
    assert float(made["targets"]["color.std"].max()) < 0.01


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("art/la_muse.jpg", "la_muse"),
        ("la_muse", "la_muse"),
        ("v1.2.PNG", "v1.2"),
        ("v1.2", "v1.2"),
        ("a.jpg.png", "a"),
    ],
)
def test_a_style_is_named_after_its_file_and_a_name_stays_the_same(file: str, name: str) -> None:
    assert name_of(file) == name
    assert name_of(Path(name)) == name


def test_two_style_images_with_the_same_name_are_refused() -> None:
    with raises(StylekitError, "styles", "'night'", "rename"):
        Perceptual(["a/night.jpg", "day.jpg", "b/night.png"], **SMALL)


def test_a_missing_style_image_is_named_when_training_starts(tmp_path: Path) -> None:
    method = Perceptual([tmp_path / "gone.jpg"], **SMALL)
    with raises(StylekitError, "style 'gone'", tmp_path / "gone.jpg"):
        rehearse(method, {"content": torch.rand(1, 3, 32, 32)})
    (tmp_path / "gone.jpg").write_text("not an image")
    with raises(StylekitError, tmp_path / "gone.jpg", "read"):
        method({"content": torch.rand(1, 3, 32, 32)})


def test_an_unknown_layer_is_named() -> None:
    method = Perceptual(**SMALL | {"content_layers": ["scale9"]})
    with raises(StylekitError, "'scale9'", "did you mean 'scale"):
        rehearse(method, {"content": torch.rand(1, 3, 32, 32)})


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ({"width": 0}, ["'width'", 0]),
        ({"styles": "a.jpg"}, ["'styles'", "method 'perceptual'", "'a.jpg'"]),
        ({"styles": [3]}, ["'styles'", "method 'perceptual'"]),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], facts: list[object]) -> None:
    with raises(StylekitError, *facts):
        make("method", "perceptual", **SMALL | options)


def trained(out: Path, styles: list[Path] | list[str], **given: Any) -> Path:
    settings = {"data": {"name": "textures", "length": 8}, "size": 32, "workers": 0, "batch_size": 2, **given}
    return stylekit.train("perceptual", out=out, set={**SMALL, "styles": styles}, **settings)


@pytest.mark.slow
def test_a_model_file_needs_no_style_images_and_has_the_styles_by_name(two: list[Path], tmp_path: Path) -> None:
    line = [f"styles=[{two[0]}, {two[1]}]"]  # as in --set
    run = trained(tmp_path / "run", read_assignments(line)["styles"], steps=2)
    for path in two:
        path.unlink()
    model, again = stylekit.load(run, device="cpu"), tmp_path / "again.safetensors"
    assert list(model.method.styles()) == ["rust", "sea"]
    assert model.method.arguments["styles"] == ["rust", "sea"]
    tensors, header = read_tensors(run / "model.safetensors")
    assert all(name.startswith("network.") for name in tensors)
    assert str(tmp_path) not in header["arguments"]
    for style, values in enumerate(model.method.styles().values()):
        assert torch.equal(values["up2.shift"][0], tensors["network.layers.up2.shift"][style])
    save_model(model.method, "perceptual", again)
    assert list(stylekit.load(again, device="cpu").method.styles()) == ["rust", "sea"]
    content, sea = torch.rand(1, 3, 21, 34), model.method.styles()["sea"]
    assert torch.equal(model.stylize(content, style="sea"), model.method.transfer(content, sea))
    assert torch.equal(stylekit.load(again, device="cpu").stylize(content), model.stylize(content))


def test_the_style_key_depends_on_the_network(tmp_path: Path) -> None:
    keys = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        save_model(Perceptual(**SMALL), "perceptual", tmp_path / "m.safetensors")
        keys.append(stylekit.load(tmp_path / "m.safetensors", device="cpu").style_key)
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.slow
def test_a_run_resumes_exactly_from_another_working_folder(
    two: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [path.name for path in two]
    whole = trained(tmp_path / "whole", names, steps=4)
    parted = trained(tmp_path / "parted", names, steps=2)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    stylekit.train(out=parted, resume=True, steps=4)
    (one, _), (other, _) = (read_tensors(run / "model.safetensors") for run in (whole, parted))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_relative_paths_refer_to_the_folder_where_the_method_was_built(
    two: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    method = Perceptual(["rust.png"], **SMALL)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert method({"content": torch.rand(1, 3, 32, 32)})["painted"].shape == (1, 3, 32, 32)


def test_sample_grids_show_every_style(two: list[Path]) -> None:
    content = torch.rand(2, 3, 18, 30)
    columns = Perceptual(two, **SMALL).preview({"content": content})
    assert list(columns) == ["content", "rust", "sea"]
    assert all(column.shape == content.shape for column in columns.values())


@pytest.mark.slow
def test_a_method_with_several_styles_passes_the_test_kit(two: list[Path]) -> None:
    testing.check("method", functools.partial(Perceptual, styles=two, **SMALL))
