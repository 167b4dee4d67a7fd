"""Pictures of NumPy arrays are the same as those of tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from stylekit import StylekitError, images
from stylekit.images.resizing import resize_array
from tests.facts import raises
from tests.image_files import deep_png, grey, noise16, save, with_metadata


def files(folder: Path) -> list[Path]:
    """Files of all kinds of pixels, with and without alpha and profile."""
    generator = np.random.default_rng(0)
    rgb, rgba = (generator.integers(0, 256, (9, 12, count), np.uint8) for count in (3, 4))
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    return [
        save(folder / "rgb.jpg", Image.fromarray(rgb)),
        save(folder / "damaged-profile.png", Image.fromarray(rgb), icc_profile=lab),
        save(folder / "rgba.png", Image.fromarray(rgba)),
        save(folder / "palette.gif", Image.fromarray(rgb).quantize(7)),
        save(folder / "grey.png", grey([[0, 128, 255]])),
        save(folder / "float.tiff", Image.fromarray(generator.random((5, 4), np.float32))),
        deep_png(folder / "deep.png", noise16(4)),
        with_metadata(folder / "metadata.jpg"),
    ]


@pytest.mark.parametrize("number", range(8))
def test_a_file_is_read_and_written_as_with_tensors(tmp_path: Path, number: int) -> None:
    path = files(tmp_path)[number]
    arrays, tensors = images.read(path, arrays=True), images.read(path)
    for one, other in ((arrays.image, tensors.image), (arrays.alpha, tensors.alpha)):
        if other is None:
            assert one is None
            continue
        assert isinstance(one, np.ndarray)
        assert one.dtype == np.float32
        assert torch.equal(torch.from_numpy(one), other)
    assert (arrays.depth, arrays.metadata) == (tensors.depth, tensors.metadata)
    for suffix in (".png", ".tiff", ".jpg"):
        for name, picture in (("arrays", arrays), ("tensors", tensors)):
            images.write(tmp_path / f"{name}{suffix}", picture)
        assert (tmp_path / f"arrays{suffix}").read_bytes() == (tmp_path / f"tensors{suffix}").read_bytes()


def test_the_frames_of_an_animation_are_arrays(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 6), (level, 0, 0)) for level in (10, 90)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:], duration=40)
    found = images.read_frames(tmp_path / "x.gif", arrays=True).frames
    assert [type(frame.image) for frame in found] == [np.ndarray, np.ndarray]


def test_arrays_are_resized_as_tensors_are() -> None:
    image = torch.rand(1, 3, 20, 33, generator=torch.Generator().manual_seed(0))
    for size in ((7, 11), (40, 50), (20, 33)):
        found = resize_array(image.numpy(), size)
        assert found.shape == (1, 3, *size)
        assert np.abs(found - images.resize(image, size).numpy()).max() < 1e-5


def test_nan_in_an_array_is_refused(tmp_path: Path) -> None:
    broken = images.Picture(np.full((1, 3, 4, 4), np.nan, np.float32))
    with raises(StylekitError, "NaN"):
        images.write(tmp_path / "x.png", broken)
