"""The linear colour transfer as a method: style statistics, preserved details, and averaged styles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stylekit import images, make
from stylekit_plugins.methods.color_pca import ColorPCA


def noise(seed: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.4 + 0.2 * torch.rand(*shape, generator=generator, dtype=torch.float64)


def test_a_style_is_described_by_its_mean_and_covariance_root() -> None:
    style = noise(0, 2, 3, 9, 14)
    described = make("method", "color-pca").describe(style)
    assert {name: value.shape for name, value in described.items()} == {"mean": (2, 3), "root": (2, 3, 3)}
    for index in range(2):
        colours = style[index].flatten(1).numpy()
        assert np.allclose(described["mean"][index], colours.mean(1))
        assert np.allclose(described["root"][index] @ described["root"][index], np.cov(colours, bias=True))


def test_the_image_gets_the_styles_colours_and_keeps_its_details() -> None:
    content, style = noise(0, 1, 3, 20, 30), noise(1, 1, 3, 11, 13) * torch.tensor([1.3, 0.7, 1.0])[:, None, None]
    out = ColorPCA().stylize(content, style)
    assert out.shape == content.shape
    assert np.allclose(out[0].flatten(1).mean(1), style[0].flatten(1).mean(1))
    assert np.allclose(np.cov(out[0].flatten(1), bias=True), np.cov(style[0].flatten(1), bias=True))
    # An affine map of the colours: the least squares fit leaves no residual.
    known = torch.cat([content[0].flatten(1), torch.ones(1, 600)]).T.numpy()
    _, rest, _, _ = np.linalg.lstsq(known, out[0].flatten(1).T.numpy(), rcond=None)
    assert rest.max() < 1e-12


def test_the_average_of_two_styles_lies_between_them() -> None:
    """The average of two styles that differ only in contrast has the average contrast."""
    faint, strong = (0.5 + contrast * (noise(0, 1, 3, 16, 16) - 0.5) for contrast in (0.5, 1.5))
    method = ColorPCA()
    ends = [method.describe(style) for style in (faint, strong)]
    between = {name: (ends[0][name] + ends[1][name]) / 2 for name in ends[0]}
    out = method.transfer(noise(3, 1, 3, 16, 16), between)
    middle = 0.5 + (noise(0, 1, 3, 16, 16) - 0.5)
    assert np.allclose(np.cov(out[0].flatten(1), bias=True), np.cov(middle[0].flatten(1), bias=True))


def test_the_method_has_no_weights_and_no_training() -> None:
    method = ColorPCA()
    assert not method.state_dict()
    assert not method.players()
    assert not method.turns()
    assert method.style_modules == method.batch_keys == ()


def test_a_real_photo_becomes_grey_like_a_drawing(pictures: Path) -> None:
    photo, drawing = (
        images.read(pictures / name, least=200).image for name in ("content/flowers.jpg", "style/sketch.png")
    )

    def colourfulness(image: Tensor) -> Tensor:
        return (image - image.mean(1, keepdim=True)).abs().mean()

    out = ColorPCA().stylize(photo, drawing)
    assert colourfulness(out) < 0.02 < colourfulness(photo)
    assert torch.corrcoef(torch.stack([out.mean(1).flatten(), photo.mean(1).flatten()]))[0, 1] > 0.95
