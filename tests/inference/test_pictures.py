"""Pictures through a model: their colours look the same whatever the profile, and what does not change is exact."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from torch import Tensor

from stylekit import Method, images
from stylekit.images import icc
from stylekit.images.tiff import encode_tiff
from stylekit.inference.model import Model

P3 = icc.build(icc.primaries_matrix((0.3127, 0.329), (0.68, 0.32), (0.265, 0.69), (0.15, 0.06)), icc.SRGB_CURVE)
ADOBE = icc.build(
    icc.primaries_matrix((0.3127, 0.329), (0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), icc.gamma_curve(563 / 256)
)
SWAPPED = icc.build(icc.SRGB[:, [1, 0, 2]], icc.SRGB_CURVE)
PROFILES = {"P3": P3, "AdobeRGB": ADOBE, "swapped": SWAPPED}


class Tint(Method):
    """Moves the colours to the mean colour of the style."""

    style_modules = ()

    def describe(self, style: Tensor) -> dict[str, Tensor]:
        return {"mean": style.mean((2, 3))}

    def transfer(self, content: Tensor, style: Any, strength: float = 1.0) -> Tensor:
        return torch.lerp(content, style["mean"][..., None, None].expand_as(content), 0.5 * strength)


def encoded(image: Image.Image, source: bytes, target: bytes) -> Image.Image:
    one, two = (ImageCms.ImageCmsProfile(io.BytesIO(profile)) for profile in (source, target))
    return ImageCms.buildTransform(one, two, "RGB", "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC).apply(image)


def shown(path: Path, srgb: bytes) -> np.ndarray[Any, Any]:
    """What a colour-managed program shows."""
    with Image.open(path) as image:
        profile = image.info.get("icc_profile", srgb)
        return np.asarray(encoded(image.convert("RGB"), profile, srgb)).astype(int)


@pytest.mark.parametrize("name", PROFILES)
def test_the_result_looks_the_same_whatever_the_profile_of_content_and_style(tmp_path: Path, name: str) -> None:
    model, srgb = Model(Tint(), "tint"), icc.build(icc.SRGB, icc.SRGB_CURVE)
    values = np.random.default_rng(0).integers(70, 186, (2, 40, 40, 3), dtype=np.uint8)
    for file, array in zip(("content", "style"), values, strict=True):
        Image.fromarray(array).save(tmp_path / f"{file}.png")
        twin = encoded(Image.fromarray(array), srgb, PROFILES[name])
        twin.save(tmp_path / f"{file}-twin.png", icc_profile=PROFILES[name])
    results = []
    for end in ("", "-twin"):
        picture = images.read(tmp_path / f"content{end}.png")
        images.write(tmp_path / "out.png", model.stylize_picture(picture, tmp_path / f"style{end}.png"))
        results.append(shown(tmp_path / "out.png", srgb))
    assert np.abs(results[0] - results[1]).max() <= 2


@pytest.mark.parametrize("profile", [None, *PROFILES])
@pytest.mark.parametrize("depth", [8, 16])
def test_strength_0_and_a_black_mask_keep_every_value(tmp_path: Path, profile: str | None, depth: int) -> None:
    """In colours outside sRGB and behind full transparency, too."""
    model, generator = Model(Tint(), "tint"), np.random.default_rng(0)
    style = torch.rand(1, 3, 8, 8)
    values = generator.integers(0, 2**depth, (12, 10, 4)).astype(f"u{depth // 8}")
    values[:3, :, 3] = 0
    data = encode_tiff([(values, images.Metadata(PROFILES[profile] if profile else None))])
    (tmp_path / "in.tiff").write_bytes(data)
    picture = images.read(tmp_path / "in.tiff")
    half = torch.zeros(1, 1, 12, 10)
    half[..., 5:] = 1
    untouched = model.stylize_picture(picture, style, strength=0)
    masked = model.stylize_picture(picture, style, mask=half)
    for suffix in (".png", ".tiff"):
        images.write(tmp_path / f"a{suffix}", untouched)
        images.write(tmp_path / f"b{suffix}", masked)
        assert np.array_equal(_file_values(tmp_path / f"a{suffix}", depth), values)
        partly = _file_values(tmp_path / f"b{suffix}", depth)
        assert np.array_equal(partly[:, :5], values[:, :5])
        assert not np.array_equal(partly[3:, 5:], values[3:, 5:])


def _file_values(path: Path, depth: int) -> np.ndarray[Any, Any]:
    picture = images.read(path)
    assert picture.depth == depth
    assert picture.alpha is not None
    colors = picture.stored if picture.stored is not None else _integers(picture.image, depth)
    return np.concatenate([colors, _integers(picture.alpha, depth)], -1)


def _integers(image: Tensor, depth: int) -> np.ndarray[Any, Any]:
    return (image[0].permute(1, 2, 0).double() * (2**depth - 1)).round().numpy().astype(f"u{depth // 8}")


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp"])
def test_an_animation_is_stylised_frame_by_frame(tmp_path: Path, suffix: str) -> None:
    model, red = Model(Tint(), "tint"), torch.tensor([1.0, 0, 0])[None, :, None, None].expand(1, 3, 4, 4)
    frames = [images.Picture(torch.full((1, 3, 16, 16), 0.2 * number)) for number in range(4)]
    images.write_frames(tmp_path / f"x{suffix}", images.Animation(frames, [100, 50, 70, 80], 2, "GIF"))
    animation = images.read_frames(tmp_path / f"x{suffix}")
    styled = list(model.clip(animation.frames, red))
    images.write_frames(tmp_path / f"y{suffix}", images.Animation(styled, animation.durations, animation.loop, "GIF"))
    back = images.read_frames(tmp_path / f"y{suffix}")
    assert (back.durations, back.loop) == ([100, 50, 70, 80], 2)
    for number, frame in enumerate(back.frames):
        mean = frame.image.mean((0, 2, 3))
        assert mean.tolist() == pytest.approx([0.5 + 0.1 * number, 0.1 * number, 0.1 * number], abs=0.02)
