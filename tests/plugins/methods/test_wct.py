"""WCT: the transform against singular value decompositions in float64, the decoders' shapes, and their training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import StylekitError
from stylekit_plugins.methods.wct import WCT, color, statistics, whiten
from tests.facts import raises

Array = npt.NDArray[np.float64]
SMALL: dict[str, Any] = {"encoder": {"name": "random", "width": 48, "side": 3, "scales": 2}, "lr": 2e-3}


def features(seed: int, *shape: int) -> Tensor:
    """Features in float64 of correlated channels, ``(N, C, H, W)``."""
    generator = torch.Generator().manual_seed(seed)
    channels = shape[1]
    mixing = torch.randn(channels, channels, generator=generator, dtype=torch.float64)
    noise = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return torch.einsum("ij,njhw->nihw", mixing, noise) + torch.randn(channels, 1, 1, generator=generator)


def picture(seed: int, *shape: int) -> Tensor:
    """Images ``(N, 3, H, W)`` with structure: upsampled noise."""
    noise = torch.rand(shape[0], 3, 5, 5, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, shape[1:], mode="bilinear")


def covariance(maps: Tensor) -> Array:
    return np.cov(maps[0].flatten(1).numpy(), bias=True)


def transformed(content: Tensor, style: Tensor) -> Tensor:
    return color(whiten(content), *statistics(style))


def by_svd(content: Tensor, style: Tensor) -> Array:
    """Equations 2 and 3 in NumPy: from the singular values of the centred features themselves, without a covariance."""

    def parts(maps: Tensor) -> tuple[Array, Array, Array, Array]:
        values = maps[0].flatten(1).numpy()
        mean = values.mean(1, keepdims=True)
        axes, lengths, _ = np.linalg.svd((values - mean) / np.sqrt(values.shape[1]), full_matrices=False)
        return values, mean, axes, lengths

    values, mean, axes, lengths = parts(content)
    white = axes @ np.diag(1 / lengths) @ axes.T @ (values - mean)
    _, mean, axes, lengths = parts(style)
    return axes @ np.diag(lengths) @ axes.T @ white + mean


def test_the_transform_matches_the_singular_value_decomposition() -> None:
    content, style = features(0, 1, 6, 12, 13), features(1, 1, 6, 9, 20)
    out = transformed(content, style)
    assert np.allclose(out[0].flatten(1), by_svd(content, style), atol=1e-9)


def test_whitening_gives_the_identity_covariance_and_colouring_the_styles() -> None:
    content, style = features(0, 1, 6, 12, 13), features(1, 1, 6, 9, 20)
    white = whiten(content)
    assert np.allclose(covariance(white), np.eye(6), atol=1e-10)
    out = transformed(content, style)
    assert np.allclose(covariance(out), covariance(style), atol=1e-9)
    assert torch.allclose(out.mean((2, 3)), style.mean((2, 3)))


def test_with_fewer_pixels_than_channels_whitening_is_limited_to_their_span() -> None:
    """The covariance is a projection whose rank is the number of pixels less one, for the mean."""
    white = whiten(features(0, 1, 20, 3, 3))
    values = np.linalg.eigvalsh(covariance(white))
    assert np.allclose(values[:12], 0, atol=1e-9)
    assert np.allclose(values[12:], 1, atol=1e-9)


@pytest.mark.parametrize("pixels", [(4, 5), (40, 50)])
def test_float32_is_finite_and_close_to_float64(pixels: tuple[int, int]) -> None:
    """128 channels, half of them zero as after a ReLU, with many pixels or few."""
    content, style = (features(seed, 1, 128, *pixels) for seed in (0, 1))
    content[:, ::2] = 0
    exact = transformed(content, style)
    single = transformed(content.float(), style.float())
    assert single.dtype == torch.float32
    assert (single - exact).std() < 1e-2 * exact.std()


@pytest.mark.parametrize(
    ("before", "after"),
    [([4.0, 1.0, 4e-5, 4e-6], [1, 1, 1, 0.1]), ([1e-8, 1e-9, 1e-12, 0.0], [1, 0.1, 1e-4, 0])],
)
def test_negligible_variances_are_not_scaled_up_to_one(before: list[float], after: list[float]) -> None:
    """Uncorrelated channels, rows of a Hadamard matrix: the threshold is 1e-5 of the largest variance, or 1e-8."""
    rows = torch.tensor([[1, -1, 1, -1, 1, -1, 1, -1], [1, 1, -1, -1, 1, 1, -1, -1], [1, -1, -1, 1, 1, -1, -1, 1]])
    rows = torch.cat([rows, rows[:1] * torch.tensor([1] * 4 + [-1] * 4)]).double()
    white = whiten((rows * torch.tensor(before).double().sqrt()[:, None]).view(1, 4, 2, 4))
    assert np.allclose(covariance(white), np.diag(after), atol=1e-6)


def test_flat_features_become_the_styles_mean() -> None:
    style = features(1, 1, 6, 8, 8)
    for shade in (0.0, 0.1, 700.0):
        flat = torch.full((1, 6, 5, 4), shade, dtype=torch.float64)
        out = transformed(flat, style)
        assert torch.allclose(out, style.mean((2, 3), keepdim=True).expand_as(out), atol=1e-6)


@pytest.mark.parametrize("pattern", ["flat", "nearly flat", "one line", "one pixel"])
def test_the_decomposition_converges(pattern: str) -> None:
    """For flat features with rounding errors, eigh in float32 would fail in one case of six without the added identity."""
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        maps = torch.randn(1, 64, 1, 1, generator=generator).relu().repeat(1, 1, 2 + seed % 4, 4)
        if pattern == "nearly flat":
            maps = maps * (1 + 1e-7 * torch.randn(maps.shape, generator=generator))
        if pattern == "one line":
            maps = maps * torch.randn(1, 1, *maps.shape[2:], generator=generator)
        if pattern == "one pixel":
            maps[..., 0, 0] += torch.randn(1, 64, generator=generator)
        white = whiten(maps)
        assert bool(white.isfinite().all())
        assert float(white.square().mean((2, 3)).sum()) < 1.1  # one direction at most
        assert bool(statistics(maps)[1].isfinite().all())


def test_each_layer_has_its_own_decoder() -> None:
    """All scales have the same width: each larger scale adds an upsampling step and the convolution after it."""
    decoders = WCT(encoder={"name": "random", "width": 8, "side": 3, "scales": 3}).decoders
    widths = {
        name: [(each.in_channels, each.out_channels) for each in decoder.modules() if isinstance(each, nn.Conv2d)]
        for name, decoder in decoders.items()
    }
    last = (8, 3)
    assert widths == {"scale1": [last], "scale2": [(8, 8)] * 2 + [last], "scale3": [(8, 8)] * 4 + [last]}


class Deep(nn.Module):
    """Two layers, the deeper one first."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.randn(5, 3, 1, 1, generator=torch.Generator().manual_seed(0)))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        near = F.conv2d(image, self.weight)
        return {"far": F.avg_pool2d(near, 4).repeat(1, 2, 1, 1), "near": near}


def test_layers_are_ordered_by_size() -> None:
    method = WCT(encoder=Deep)
    assert method.stride == 4
    assert list(method.decoders) == ["near", "far"]


def test_a_layer_that_cannot_be_decoded_is_refused() -> None:
    class Crooked(nn.Module):
        def forward(self, image: Tensor) -> dict[str, Tensor]:
            return {"shrunk": image[..., 1:, 1:]}

    with raises(StylekitError, "'shrunk'", "encoder", (1, 3, 255, 255), 256):
        WCT(encoder=Crooked)


def test_the_decoders_are_built_without_weights_for_the_default_encoder() -> None:
    """The weights may come from a model file."""
    assert WCT(encoder={"name": "vgg19-normalised", "layers": ["relu1_1", "relu2_1"]}).stride == 2


def test_levels_can_be_chosen() -> None:
    encoder = {"name": "random", "width": 8, "side": 3, "scales": 3}
    method = WCT(encoder=encoder, levels=["scale3", "scale1"])
    assert list(method.decoders) == ["scale1", "scale3"]
    assert {name.partition(".")[0] for name in method.describe(picture(0, 1, 32, 32))} == {"scale1", "scale3"}
    with raises(StylekitError, "encoder", "'scale4'", "did you mean 'scale"):
        WCT(encoder=encoder, levels=["scale4"])


def test_layers_are_transformed_from_the_deepest_up(monkeypatch: pytest.MonkeyPatch) -> None:
    method, order = WCT(**SMALL), []
    for name, decoder in method.decoders.items():
        decoder.register_forward_hook(lambda *_, name=name: order.append(name))
    method.stylize(picture(0, 1, 32, 32), picture(1, 1, 32, 32))
    assert order == ["scale2", "scale1"]


def test_a_style_is_the_mean_and_the_covariance_root_of_its_features() -> None:
    method, style = WCT(**SMALL), picture(1, 2, 24, 30)
    described = method.describe(style)
    for name, maps in method.encoder(style).items():
        for index in range(2):
            values = maps[index].flatten(1).double().numpy()
            side = described[f"{name}.root"][index].double().numpy()
            assert np.allclose(described[f"{name}.mean"][index], values.mean(1), atol=1e-5)
            assert np.allclose(side @ side, np.cov(values, bias=True), atol=1e-5)
            assert np.allclose(side, side.T, atol=1e-6)


def test_a_batch_accepts_one_style_for_all_or_one_for_each() -> None:
    method, content = WCT(**SMALL), picture(0, 2, 32, 32)
    both = method.describe(picture(1, 2, 32, 32))
    out = method.transfer(content, both)
    for index in range(2):
        row = slice(index, index + 1)
        alone = {name: value[row] for name, value in both.items()}
        assert torch.allclose(out[row], method.transfer(content[row], alone), atol=1e-4)
        assert torch.allclose(method.transfer(content, alone)[row], out[row], atol=1e-4)


class Same(nn.Module):
    """An encoder whose only layer is the image."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"picture": image}


def test_on_pixels_with_a_perfect_decoder_the_result_is_the_transform() -> None:
    """Strength is that of equation 4; the average of two styles with contrasts of 0.1 and 0.3 has a contrast of 0.2."""
    method = WCT(encoder=Same)
    method.decoders["picture"] = nn.Identity()
    content = 0.4 + 0.2 * torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)).double()
    faint, strong = 0.5 + 0.1 * (content - 0.5), 0.5 + 0.3 * (content - 0.5)
    out = method.stylize(content, strong)
    assert np.allclose(out[0].flatten(1), by_svd(content, strong), atol=1e-9)
    assert torch.allclose(method.transfer(content, method.describe(strong), 0.6), 0.6 * out + 0.4 * content)
    ends = method.describe(faint), method.describe(strong)
    between = {name: (ends[0][name] + ends[1][name]) / 2 for name in ends[0]}
    assert torch.allclose(method.transfer(content, between), 0.5 + 0.2 * (content - 0.5), atol=1e-9)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (9, 3), (33, 50)])
def test_any_size_of_content_and_style(size: tuple[int, int]) -> None:
    method = WCT(**SMALL)
    for content, style in (
        (picture(0, 1, *size), picture(1, 1, 32, 32)),
        (picture(0, 1, 32, 32), picture(1, 1, *size)),
    ):
        out = method.stylize(content, style)
        assert out.shape == content.shape
        assert 0 <= out.min() <= out.max() <= 1


def test_a_style_of_one_colour_and_a_flat_content() -> None:
    """Without variance only means are left, so all pixels away from the border become equal."""
    method = WCT(**SMALL)
    for content, style in ((torch.rand(1, 3, 32, 32), 0.3), (torch.full((1, 3, 32, 32), 0.7), 0.3)):
        out = method.stylize(content, torch.full((1, 3, 1, 1), style))[..., 12:20, 12:20]
        assert bool(out.isfinite().all())
        assert (out - out.mean((2, 3), keepdim=True)).abs().max() < 1e-3


class Folded(nn.Module):
    """A lossless encoder: the colours rotated into 16 channels, and those of 2 x 2 pixels into 32."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        for name, width, colours in (("near", 16, 3), ("far", 32, 12)):
            turned = torch.linalg.qr(torch.randn(width, colours, generator=generator))[0]
            self.register_buffer(name, 2 * turned[..., None, None])

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        image = image - 0.5
        return {"near": F.conv2d(image, self.near), "far": F.conv2d(F.pixel_unshuffle(image, 2), self.far)}


@pytest.fixture(scope="module")
def trained() -> tuple[WCT, Callable[[], float], float]:
    """A small method after 150 steps, a function for its error on held-out images, and that error before training."""
    torch.manual_seed(0)
    method = WCT(encoder=Folded, lr=1e-2)
    [player] = method.players().values()
    optimizer = player.optimizer(player.parameters, lr=player.lr)
    held_out = {"content": picture(1000, 8, 24, 24)}

    def error() -> float:
        with torch.no_grad():
            terms = method.reconstruct(held_out, method(held_out))
        return sum(float(value) for name, value in terms.items() if name.endswith("pixels"))

    before = error()
    for index in range(150):
        optimizer.param_groups[0]["lr"] = player.lr * player.schedule(index / 150)
        batch = {"content": picture(index, 4, 24, 24)}
        optimizer.zero_grad()
        torch.stack(list(method.reconstruct(batch, method(batch)).values())).sum().backward()
        optimizer.step()
    return method, error, before


def test_training_lowers_the_reconstruction_error(trained: tuple[WCT, Callable[[], float], float]) -> None:
    _, error, before = trained
    assert error() < 0.05 * before


def test_an_image_in_its_own_style_is_reconstructed(trained: tuple[WCT, Callable[[], float], float]) -> None:
    """The transform does nothing then, so only the errors of the decoders add up."""
    method, error, _ = trained
    content = picture(1000, 8, 24, 24)
    with torch.no_grad():
        own = F.mse_loss(method.stylize(content, content), content)
        other = F.mse_loss(method.stylize(content, content.flip(0)), content)
    assert own < 2 * error()
    assert own < 0.25 * other


def test_less_strength_is_closer_to_the_content(trained: tuple[WCT, Callable[[], float], float]) -> None:
    method = trained[0]
    content, style = picture(1000, 2, 24, 24), picture(2000, 2, 24, 24)
    with torch.no_grad():
        described = method.describe(style)
        moved = [F.mse_loss(method.transfer(content, described, s), content).item() for s in (0.25, 0.5, 1.0)]
    assert moved == sorted(moved)
    assert moved[0] < 0.3 * moved[2]


def test_the_losses_computed_by_hand() -> None:
    method, image = WCT(feature=0.5, **SMALL), picture(0, 2, 32, 32)
    terms = method.reconstruct({}, method({"content": image}))
    assert list(terms) == [f"scale{scale}_{what}" for scale in (1, 2) for what in ("pixels", "features")]
    before = method.encoder(image)
    for name, decoder in method.decoders.items():
        picture_of = decoder(before[name])
        after = method.encoder(picture_of)[name]
        assert torch.allclose(terms[f"{name}_pixels"], (picture_of - image).square().mean())
        assert torch.allclose(terms[f"{name}_features"], 0.5 * (after - before[name]).square().mean())


def test_sample_sheets_show_the_decoded_images_and_the_style_if_there_is_one() -> None:
    method = WCT(**SMALL).eval()
    content = picture(0, 2, 30, 30)
    alone = method.preview({"content": content})
    assert list(alone) == ["content", "scale1", "scale2"]
    assert all(column.shape == content.shape for column in alone.values())
    assert list(method.preview({"content": content, "style": content}))[3:] == ["style", "stylised"]


def test_autocast_does_not_affect_covariances() -> None:
    content, style = features(0, 1, 6, 12, 13).float(), features(1, 1, 6, 9, 20).float()
    expected = transformed(content, style)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.allclose(transformed(content, style), expected, atol=1e-4)
        out = WCT(**SMALL).stylize(picture(0, 1, 32, 32), picture(1, 1, 32, 32))
    assert bool(out.isfinite().all())
