"""Every pixel format is read with the right values, of 8 and 16 bits, with and without alpha."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from stylekit import images
from stylekit.errors import StylekitError
from tests.facts import raises
from tests.image_files import bytes_of, chunk, deep_png, grey, noise16, save


@pytest.mark.parametrize(
    ("mode", "colour", "suffix", "rgb"),
    [
        ("RGB", (10, 20, 30), ".png", (10, 20, 30)),
        ("RGB", (10, 20, 30), ".bmp", (10, 20, 30)),
        ("RGB", (10, 20, 30), ".tiff", (10, 20, 30)),
        ("L", 77, ".png", (77, 77, 77)),
        ("L", 77, ".jpg", (77, 77, 77)),
        ("1", 1, ".png", (255, 255, 255)),
        ("1", 0, ".tif", (0, 0, 0)),
        ("CMYK", (0, 255, 255, 0), ".tiff", (255, 0, 0)),
        ("CMYK", (0, 0, 0, 255), ".jpg", (0, 0, 0)),
        ("CMYK", (255, 0, 0, 0), ".jpg", (0, 255, 255)),
    ],
)
def test_opaque_modes(tmp_path: Path, mode: str, colour: int, suffix: str, rgb: tuple[int, ...]) -> None:
    picture = images.read(save(tmp_path / f"x{suffix}", Image.new(mode, (3, 2), colour)))
    assert picture.image.dtype == torch.float32
    assert picture.image.is_contiguous()
    assert picture.alpha is None
    assert bytes_of(picture.image) == [[list(rgb)] * 3] * 2


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_16_bit_grey_is_scaled_and_not_truncated(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 255, 256], [32768, 65534, 65535]], np.uint16)
    picture = images.read(save(tmp_path / f"x{suffix}", Image.fromarray(values)))
    expected = torch.tensor([[0, 255 / 65535, 256 / 65535], [32768 / 65535, 65534 / 65535, 1]])
    assert torch.allclose(picture.image, expected.expand(1, 3, 2, 3), atol=1e-7)


def test_big_endian_16_bit_grey(tmp_path: Path) -> None:
    path = save(tmp_path / "x.tiff", Image.new("I;16B", (2, 1), 256 * 200))
    assert images.read(path).image.unique().tolist() == pytest.approx([256 * 200 / 65535])


def test_integer_and_float_grey(tmp_path: Path) -> None:
    integers = np.array([[0, 13107, 65535]], np.int32)
    picture = images.read(save(tmp_path / "i.tiff", Image.fromarray(integers)))
    assert picture.image[0, 1].tolist() == [pytest.approx([0, 0.2, 1])]
    floats = np.array([[-1 / 300, 0.25, np.nan, 1 + 1 / 300]], np.float32)
    picture = images.read(save(tmp_path / "f.tiff", Image.fromarray(floats)))
    assert picture.image[0, 2].tolist() == [[0, 0.25, 0, 1]]
    assert images.read(save(tmp_path / "n.tiff", Image.new("F", (2, 1), float("nan")))).image.max() == 0


@pytest.mark.parametrize("layout", [{}, {"tile": (16, 16), "compression": "zlib"}], ids=["strips", "tiles"])
@pytest.mark.parametrize(
    ("kind", "values", "facts"),
    [
        ("int8", [40, -1], [-1, 40]),
        ("int16", [40, -1000], [-1000, 40]),
        ("int32", [0, 65536], [0, 65536]),
        ("uint32", [7, 3 * 10**9], [7, "3e+09"]),
        ("float32", [-0.01, 0.5], [-0.01, 0.5]),
        ("float32", [0, 4.5], [0, 4.5]),
        ("float32", [0, np.inf], [0, "inf"]),
        ("float64", [0, 0.5], ["floats of 64 bits in 1 channel"]),
        ("int64", [0, 1], ["integers of 64 bits with a sign in 1 channel"]),
    ],
)
def test_values_that_are_no_pictures_are_refused_by_every_reader(
    tmp_path: Path, kind: str, values: list[float], facts: list[object], layout: dict[str, Any]
) -> None:
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, np.full((9, 9), values[0]).astype(kind), **layout)
    stored = tifffile.imread(path)
    stored[3] = np.array(values[1]).astype(kind)
    tifffile.imwrite(path, stored, **layout)
    for read in (images.read, images.decode, images.read_frames, images.read_over_white):
        with raises(StylekitError, path, "no picture's", "8 or 16 bits", "'rasters'", "docs/rasters.md", *facts):
            read(path)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    ("kind", "what"), [("int16", "integers of 16 bits with a sign"), ("float32", "floats of 32 bits")]
)
def test_colors_that_pillow_does_not_read_are_named(tmp_path: Path, kind: str, what: str, big: bool) -> None:
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, np.zeros((9, 9, 3), kind), photometric="rgb", bigtiff=big)
    with raises(StylekitError, path, f"{what} in 3 channels", "'rasters'"):
        images.read(path)


def test_pil_images_with_values_that_are_no_pictures_are_refused() -> None:
    image = Image.fromarray(np.array([[40, -1000]], np.int32))
    for read in (images.from_pil, images.to_tensor):
        with raises(StylekitError, "PIL image", -1000, 40, "'rasters'"):
            read(image)


def deep_tiff(path: Path, values: np.ndarray, order: str = "<", separate: bool = False) -> Path:
    """An uncompressed TIFF file of 16 bits by hand, each channel by itself or not."""
    height, width, channels = values.shape
    planes = values.transpose(2, 0, 1) if separate else values[None]
    data = planes.astype(f"{order}u2").tobytes()
    size = len(data) // len(planes)
    entries = {256: [width], 257: [height], 258: [16] * channels, 259: [1], 262: [2 if channels > 2 else 1]}
    entries |= {273: [8 + size * number for number in range(len(planes))], 277: [channels], 278: [height]}
    entries |= {279: [size] * len(planes), 284: [2 if separate else 1]} | ({338: [2]} if channels in (2, 4) else {})
    extra, start = b"", 8 + len(data) + 2 + 12 * len(entries) + 4
    table = struct.pack(f"{order}H", len(entries))
    for tag, numbers in entries.items():
        packed = struct.pack(f"{order}{len(numbers)}I", *numbers)
        place = packed if len(numbers) == 1 else struct.pack(f"{order}I", start + len(extra))
        extra += packed if len(numbers) > 1 else b""
        table += struct.pack(f"{order}HHI", tag, 4, len(numbers)) + place
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(data))
    path.write_bytes(head + data + table + bytes(4) + extra)
    return path


def words(picture: images.Picture) -> np.ndarray:
    """Colours and alpha ``(H, W, C)`` as 16-bit values."""
    planes = [picture.image] + ([] if picture.alpha is None else [picture.alpha])
    return (torch.cat(planes, 1)[0].permute(1, 2, 0).double() * 65535).round().numpy().astype(np.uint16)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["png", "little", "big", "separate", "big separate"])
@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_16_bits_are_read_and_written_exactly(tmp_path: Path, kind: str, channels: int, suffix: str) -> None:
    values = noise16(channels)
    if kind == "png":
        path = deep_png(tmp_path / "x.png", values)
    elif channels == 2 or (channels == 1 and "separate" in kind):
        pytest.skip("Pillow does not read such files")
    else:
        path = deep_tiff(tmp_path / "x.tiff", values, ">" if "big" in kind else "<", "separate" in kind)
    picture = images.read(path)
    expected = values if channels > 2 else np.concatenate([values[..., :1]] * 3 + [values[..., 1:]], -1)
    assert picture.depth == 16
    assert np.array_equal(words(picture), expected)
    images.write(tmp_path / f"y{suffix}", picture)
    back = images.read(tmp_path / f"y{suffix}")
    assert back.depth == 16
    assert np.array_equal(words(back), expected)


def test_one_transparent_colour_of_16_bits(tmp_path: Path) -> None:
    path = deep_png(tmp_path / "x.png", np.array([[[256, 2, 3], [256, 2, 4]]], np.uint16))
    data = path.read_bytes()
    place = data.index(b"IDAT") - 4
    path.write_bytes(data[:place] + chunk(b"tRNS", struct.pack(">3H", 256, 2, 3)) + data[place:])
    picture = images.read(path)
    assert picture.alpha is not None
    assert picture.alpha.flatten().tolist() == [0, 1]
    assert words(picture)[0, 1].tolist() == [256, 2, 4, 65535]


def test_the_depth_can_be_chosen(tmp_path: Path) -> None:
    image = torch.tensor([0, 1000, 65535]).div(65535).expand(1, 3, 1, 3)
    for suffix in (".png", ".tiff"):
        images.write(tmp_path / f"x{suffix}", image, depth=16)
        assert words(images.read(tmp_path / f"x{suffix}"))[0, :, 0].tolist() == [0, 1000, 65535]
        images.write(tmp_path / f"x{suffix}", images.read(tmp_path / f"x{suffix}"), depth=8)
        assert words(images.read(tmp_path / f"x{suffix}"))[0, :, 0].tolist() == [0, 4 * 257, 65535]
    for suffix, depth in ((".jpg", 16), (".webp", 16), (".png", 12)):
        with raises(StylekitError, tmp_path / f"x{suffix}", depth, "PNG", "TIFF"):
            images.write(tmp_path / f"x{suffix}", image, depth=depth)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize(("mode", "colour"), [("RGBA", (10, 20, 30, 51)), ("LA", (10, 51))])
def test_alpha_is_read_separately(tmp_path: Path, mode: str, colour: tuple[int, ...], suffix: str) -> None:
    picture = images.read(save(tmp_path / f"x{suffix}", Image.new(mode, (2, 2), colour)))
    assert bytes_of(picture.image)[0][0] == ([10, 20, 30] if mode == "RGBA" else [10, 10, 10])
    assert picture.alpha is not None
    assert picture.alpha.shape == (1, 1, 2, 2)
    assert picture.alpha.unique().tolist() == pytest.approx([0.2])


@pytest.mark.parametrize("transparency", [1, bytes([255, 0])], ids=["one index", "table"])
def test_palette_with_transparency(tmp_path: Path, transparency: int | bytes) -> None:
    image = grey([[0, 1]], "P")
    image.putpalette([200, 100, 50, 1, 2, 3])
    picture = images.read(save(tmp_path / "x.png", image, transparency=transparency))
    assert bytes_of(picture.image) == [[[200, 100, 50], [1, 2, 3]]]
    assert picture.alpha is not None
    assert picture.alpha.flatten().tolist() == [1, 0]


def test_palette_without_transparency(tmp_path: Path) -> None:
    image = grey([[0, 1]], "P")
    image.putpalette([200, 100, 50, 1, 2, 3])
    picture = images.read(save(tmp_path / "x.png", image))
    assert bytes_of(picture.image) == [[[200, 100, 50], [1, 2, 3]]]
    assert picture.alpha is None


@pytest.mark.parametrize(
    ("image", "key"),
    [(grey([[9, 7]]), 7), (Image.fromarray(np.array([[9, 700]], np.uint16)), 700)],
    ids=["8 bits", "16 bits"],
)
def test_one_transparent_grey(tmp_path: Path, image: Image.Image, key: int) -> None:
    picture = images.read(save(tmp_path / "x.png", image, transparency=key))
    assert picture.alpha is not None
    assert picture.alpha.flatten().tolist() == [1, 0]


def black_only_profile() -> bytes:
    """A CMYK profile in which only black ink prints: an 8-bit table to Lab with two points per ink."""
    ramps = bytes(range(256))
    nodes = b"".join(bytes([0 if node & 1 else 255, 128, 128]) for node in range(16))  # K varies fastest
    identity = struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + ramps * 4 + nodes + ramps * 3
    table += bytes(-len(table) % 4)
    tags = struct.pack(">I4sII", 1, b"A2B0", 144, len(table))
    white = struct.pack(">3i", 63190, 65536, 54061)
    header = struct.pack(">I4xI4s4s4s12x4s", 144 + len(table), 0x02400000, b"prtr", b"CMYK", b"Lab ", b"acsp")
    header = header.ljust(68, b"\0") + white
    return header.ljust(128, b"\0") + tags + table


def test_cmyk_follows_its_profile_or_the_plain_formula_if_that_is_damaged(tmp_path: Path) -> None:
    cyan = Image.new("CMYK", (2, 2), (255, 0, 0, 0))
    picture = images.read(save(tmp_path / "x.tiff", cyan, icc_profile=black_only_profile()))
    assert picture.image.min() > 0.98  # white: this profile prints no cyan
    assert picture.metadata.icc_profile is None
    picture = images.read(save(tmp_path / "y.tiff", cyan, icc_profile=b"no profile at all" * 20))
    assert bytes_of(picture.image)[0][0] == [0, 255, 255]
    assert picture.metadata.icc_profile is None
