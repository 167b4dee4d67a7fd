"""Reading and writing image files: every pixel format against values computed by hand."""

from __future__ import annotations

import errno
import io
import os
import struct
import tracemalloc
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageCms, PngImagePlugin
from torch.nn import functional

from stylekit import datasets, images
from stylekit.datasets import files
from stylekit.errors import StylekitError, StylekitWarning
from stylekit.images import icc
from stylekit.training.sample_grid import grid
from tests.facts import assert_mentions, raises, warns

REAL = Path(__file__).parents[1] / "../shared/data"


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def grey(values: list[list[int]], mode: str = "L") -> Image.Image:
    image = Image.new(mode, (len(values[0]), len(values)))
    image.putdata([value for row in values for value in row])
    return image


def bytes_of(image: torch.Tensor) -> list[list[list[int]]]:
    """Channels last, as 0 to 255."""
    return (image[0].permute(1, 2, 0) * 255).round().int().tolist()


# Finding


def test_find_lists_nested_images_in_order_and_no_other_files(tmp_path: Path) -> None:
    for name in [
        "b.JPG",
        "a/z.png",
        "a/b/c.TiFf",
        "a.webp",
        "notes.txt",
        ".hidden.png",
        ".cache/x.png",
        "jpg",
    ]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in datasets.find_images(tmp_path)]
    assert found == ["a/b/c.TiFf", "a/z.png", "a.webp", "b.JPG"]


def test_find_survives_cyclic_links(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/one.png").touch()
    (tmp_path / "a/up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "b").symlink_to(tmp_path / "a", target_is_directory=True)
    assert datasets.find_images(tmp_path) == [tmp_path / "a/one.png"]


def test_find_refuses_a_missing_folder_and_a_file(tmp_path: Path) -> None:
    with raises(StylekitError, tmp_path / "nowhere", "folder"):
        datasets.find_images(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with raises(StylekitError, tmp_path / "file", "folder"):
        datasets.find_images(tmp_path / "file")


def test_find_passes_over_broken_links_loops_pipes_and_closed_folders_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "one.png").touch()
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "ring").symlink_to(tmp_path / "ring")
    os.mkfifo(tmp_path / "pipe.png")
    with warns(StylekitWarning, tmp_path / "gone.png", tmp_path / "loop.png", tmp_path / "ring", tmp_path / "pipe.png"):
        assert datasets.find_images(tmp_path) == [tmp_path / "one.png"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_find_passes_over_a_folder_that_cannot_be_listed(tmp_path: Path) -> None:
    (tmp_path / "one.png").touch()
    (tmp_path / "closed").mkdir(mode=0)
    with warns(StylekitWarning, tmp_path / "closed"):
        assert datasets.find_images(tmp_path) == [tmp_path / "one.png"]


def test_find_counts_images_and_videos_that_are_not_read(tmp_path: Path) -> None:
    for name in ["a.png", "a.psd", "b.PSD", "sub/c.psd", "clip.mp4", "notes.txt", "data.json", ".hidden.psd"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with warns(StylekitWarning, tmp_path, "1 .mp4, 3 .psd") as caught:
        assert datasets.find_images(tmp_path) == [tmp_path / "a.png"]
    assert len(caught) == 1
    assert ".txt" not in str(caught[0].message)


@pytest.mark.parametrize(
    "name", ["x" * 251 + ".png", "\u00e9" * 125 + ".png", os.fsdecode(b"\xff\xfe.png"), "a\nb.png"]
)
def test_names_of_any_length_and_any_bytes_are_found_read_and_written(tmp_path: Path, name: str) -> None:
    image = torch.randint(0, 256, (1, 3, 5, 7)) / 255
    images.write(tmp_path / name, image)
    assert datasets.find_images(tmp_path) == [tmp_path / name]
    assert torch.equal(images.read(tmp_path / name).image, image)


# Opening


def test_a_pipe_and_a_device_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", Path("/dev/zero")):
        with raises(StylekitError, path, "regular"):
            images.read(path)


@pytest.mark.parametrize("head", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"8BPS\0\1", b"\0" * 64])
def test_other_formats_are_not_opened_whatever_the_name(
    tmp_path: Path, head: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*args: object, **options: object) -> None:
        raise AssertionError("another program was started")

    monkeypatch.setattr("subprocess.Popen", run)
    (tmp_path / "x.png").write_bytes(head + bytes(200))
    with raises(StylekitError, tmp_path / "x.png", "does not read"):
        images.read(tmp_path / "x.png")


def test_a_video_is_called_a_video(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(100))
    with raises(StylekitError, tmp_path / "x.mp4", "video"):
        images.read(tmp_path / "x.mp4")


def test_the_size_is_known_from_the_header(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    path = save(tmp_path / "x.jpg", Image.new("RGB", (40, 20)), exif=exif)
    path.write_bytes(path.read_bytes()[:-20])
    assert images.size(path) == (40, 20)
    path = save(tmp_path / "x.tiff", Image.new("RGB", (40, 20)), exif=exif)
    assert images.size(path) == (40, 20)


def test_an_image_that_does_not_fit_in_memory_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "x.png", Image.new("L", (2000, 1500)))
    monkeypatch.setattr("stylekit.images.reading.free_memory", lambda device: 8 * 10**7)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded"))
    with raises(StylekitError, path, "2000x1500", "GiB"):
        images.read(path)
    with raises(StylekitError, path, "2000x1500", "GiB"):
        images.read_frames(path)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunks(path: Path, *chunks: bytes, last: bool = False) -> Path:
    """A PNG file of 4 x 3 pixels, with chunks before or after the pixels."""
    whole = io.BytesIO()
    Image.new("RGB", (4, 3), (10, 20, 30)).save(whole, "PNG")
    data = whole.getvalue()
    place = data.index(b"IEND") - 4 if last else 33
    path.write_bytes(data[:place] + b"".join(chunks) + data[place:])
    return path


@pytest.mark.parametrize("last", [False, True])
def test_long_compressed_texts_are_read_and_kept(tmp_path: Path, last: bool) -> None:
    long, longer = "workflow " * 270_000, "\u00fcber " * 300_000
    path = with_chunks(
        tmp_path / "x.png",
        chunk(b"zTXt", b"prompt\0\0" + zlib.compress(long.encode())),
        chunk(b"iTXt", b"note\0\1\0de\0\0" + zlib.compress(longer.encode())),
        last=last,
    )
    picture = images.read(path)
    assert bytes_of(picture.image)[0][0] == [10, 20, 30]
    assert dict(picture.metadata.text) == {"prompt": long, "note": longer}
    images.write(tmp_path / "y.png", picture)
    assert dict(images.read(tmp_path / "y.png").metadata.text) == {"prompt": long, "note": longer}
    with Image.open(tmp_path / "y.png") as written:  # other programs read it, too
        assert written.text == {"prompt": long, "note": longer}


def test_a_text_bomb_is_left_out(tmp_path: Path) -> None:
    bomb = chunk(b"zTXt", b"bomb\0\0" + zlib.compress(bytes(2**26)))
    path = with_chunks(tmp_path / "x.png", chunk(b"tEXt", b"Title\0mine"), *[bomb] * 100)
    tracemalloc.start()
    picture = images.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert bytes_of(picture.image)[0][0] == [10, 20, 30]
    assert dict(picture.metadata.text) == {"Title": "mine"}
    assert peak < 2**27


# Reading: pixel formats


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
    integers = np.array([[-5, 13107, 65535, 99999]], np.int32)
    picture = images.read(save(tmp_path / "i.tiff", Image.fromarray(integers)))
    assert picture.image[0, 1].tolist() == [pytest.approx([0, 0.2, 1, 1])]
    floats = np.array([[-1, 0.25, np.nan, 7]], np.float32)
    picture = images.read(save(tmp_path / "f.tiff", Image.fromarray(floats)))
    assert picture.image[0, 2].tolist() == [[0, 0.25, 0, 1]]


def deep_png(path: Path, values: np.ndarray) -> Path:
    """A PNG file of 16 bits by hand: 1, 2, 3 or 4 channels ``(H, W, C)``."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    return path


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


def noise16(channels: int) -> np.ndarray:
    values = np.random.default_rng(0).integers(0, 65536, (9, 7, channels), dtype=np.uint16)
    values[0, :3] = np.array([0, 1, 65535])[:, None]
    return values


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


# Reading: colour

P3 = icc.build(icc.primaries_matrix((0.3127, 0.329), (0.68, 0.32), (0.265, 0.69), (0.15, 0.06)), icc.SRGB_CURVE)
ADOBE = icc.build(
    icc.primaries_matrix((0.3127, 0.329), (0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), icc.gamma_curve(563 / 256)
)
SWAPPED = icc.build(icc.SRGB[:, [1, 0, 2]], icc.SRGB_CURVE)
PROFILES = {"P3": P3, "AdobeRGB": ADOBE, "swapped": SWAPPED}


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def grey_profile(gamma: float) -> bytes:
    """The RGB profile of that gamma, made grey."""
    profile = icc.build(icc.SRGB, icc.gamma_curve(gamma))
    return profile[:16] + b"GRAY" + profile[20:].replace(b"rTRC", b"kTRC")


def converted(image: Image.Image, source: bytes, target: bytes) -> Image.Image:
    """By lcms with 8 bits, as a colour-managed program does."""
    one, two = (ImageCms.ImageCmsProfile(io.BytesIO(profile)) for profile in (source, target))
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    return ImageCms.buildTransform(one, two, "RGB", "RGB", intent).apply(image)


def muted(size: int = 48) -> Image.Image:
    """Colours that all of the profiles contain."""
    values = np.random.default_rng(0).integers(70, 186, (size, size, 3), dtype=np.uint8)
    return Image.fromarray(values)


def differences(one: torch.Tensor, two: torch.Tensor) -> float:
    return float((one - two).abs().max() * 255)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("name", PROFILES)
def test_colours_of_a_profile_are_read_as_srgb(tmp_path: Path, name: str, depth: int) -> None:
    profile, image = PROFILES[name], muted()
    encoded = converted(image, srgb_profile(), profile)
    if depth == 8:
        path = save(tmp_path / "x.png", encoded, icc_profile=profile)
    else:
        path = tmp_path / "x.tiff"
        metadata = images.Metadata(profile)
        stored = np.asarray(encoded).astype(np.uint16) * 257
        images.write(path, images.Picture(images.to_tensor(image), None, 16, metadata, stored))
    picture = images.read(path)
    assert (picture.depth, picture.metadata.icc_profile) == (depth, profile)
    assert differences(picture.image, images.to_tensor(image)) <= 2.01  # a level is lost by the encoding alone


@pytest.mark.parametrize("name", PROFILES)
def test_colours_are_written_in_the_profile_of_the_picture(tmp_path: Path, name: str) -> None:
    """What a colour-managed program shows is the same whatever the profile."""
    profile, image = PROFILES[name], images.to_tensor(muted())
    for suffix in (".png", ".tiff"):
        images.write(tmp_path / f"x{suffix}", images.Picture(image, metadata=images.Metadata(profile)))
        with Image.open(tmp_path / f"x{suffix}") as written:
            assert written.info["icc_profile"] == profile
            shown = converted(written.convert("RGB"), profile, srgb_profile())
        assert differences(images.to_tensor(shown), image) <= 2
        images.write(tmp_path / f"y{suffix}", images.Picture(image, metadata=images.Metadata(profile)), depth=16)
        assert differences(images.read(tmp_path / f"y{suffix}").image, image) <= 0.02


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("name", PROFILES)
def test_pixels_that_do_not_change_keep_a_wide_gamut_exactly(tmp_path: Path, name: str, depth: int) -> None:
    values = noise16(3) if depth == 16 else (noise16(3) >> 8) * 257
    plain = deep_png(tmp_path / "x.png", values) if depth == 16 else None
    if plain:
        data = plain.read_bytes()
        plain.write_bytes(data[:33] + chunk(b"iCCP", b"x\0\0" + zlib.compress(PROFILES[name])) + data[33:])
    else:
        plain = save(tmp_path / "x.png", Image.fromarray((values // 257).astype(np.uint8)), icc_profile=PROFILES[name])
    picture = images.read(plain)
    image = picture.image.clone()
    image[..., 4, :] = 0.5
    for suffix in (".png", ".tiff"):
        images.write(tmp_path / f"y{suffix}", replace(picture, image=image))
        stored = images.read(tmp_path / f"y{suffix}").stored
        assert stored is not None
        stored = stored.astype(np.uint16) * (257 if depth == 8 else 1)
        assert np.array_equal(stored[:4], values[:4])
        assert np.array_equal(stored[5:], values[5:])
        assert not np.array_equal(stored[4], values[4])


@pytest.mark.parametrize("deep", [False, True])
def test_a_grey_profile_is_converted_and_becomes_one_of_rgb(tmp_path: Path, deep: bool) -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    stored = Image.fromarray(values.astype(np.uint16) * 257 if deep else values)
    picture = images.read(save(tmp_path / "x.png", stored, icc_profile=grey_profile(1.8)))
    linear = (values / 255) ** (round(1.8 * 256) / 256)
    wanted = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(picture.image[0, 1].numpy() - wanted).max() * 255 <= (0.1 if deep else 1)
    images.write(tmp_path / "y.png", picture)
    back = images.read(tmp_path / "y.png")
    assert torch.equal(back.image, picture.image)
    assert back.stored is not None
    assert np.array_equal(back.stored[..., 0] // (257 if deep else 1), values)


def test_a_profile_that_is_srgb_changes_nothing(tmp_path: Path) -> None:
    for profile in (srgb_profile(), icc.build(icc.SRGB, icc.SRGB_CURVE)):
        path = save(tmp_path / "x.png", muted(), icc_profile=profile)
        picture = images.read(path)
        assert picture.metadata.icc_profile == profile
        assert picture.stored is None
        assert torch.equal(picture.image, images.to_tensor(muted()))


@pytest.mark.parametrize(
    "profile", [b"no profile" * 20, P3[:200], P3[:128] + bytes(300), b"", P3[:16] + b"CMYK" + P3[20:]]
)
def test_a_damaged_or_unfitting_profile_is_ignored(tmp_path: Path, profile: bytes) -> None:
    picture = images.read(save(tmp_path / "x.png", muted(), icc_profile=profile))
    assert picture.metadata.icc_profile is None
    assert torch.equal(picture.image, images.to_tensor(muted()))


def test_a_long_profile_of_a_png_file_is_used(tmp_path: Path) -> None:
    long = P3 + bytes(2**21)
    long = struct.pack(">I", len(long)) + long[4:]
    picture = images.read(save(tmp_path / "x.png", muted(), icc_profile=long))
    assert picture.metadata.icc_profile == long
    assert picture.stored is not None


@pytest.mark.parametrize(
    ("chunks", "exponent"),
    [
        ([(b"gAMA", struct.pack(">I", 100000))], 1.0),
        ([(b"gAMA", struct.pack(">I", 55556))], 1.8),
        ([(b"gAMA", struct.pack(">I", 45455))], None),
        ([(b"gAMA", struct.pack(">I", 100000)), (b"sRGB", b"\0")], None),
        ([(b"gAMA", struct.pack(">I", 0))], None),
        ([(b"cHRM", bytes(32))], None),
    ],
    ids=["linear", "1.8", "the usual one", "sRGB", "zero", "impossible"],
)
def test_the_gamma_of_a_png_file_counts(
    tmp_path: Path, chunks: list[tuple[bytes, bytes]], exponent: float | None
) -> None:
    path = with_chunks(tmp_path / "x.png", *(chunk(*each) for each in chunks))
    picture = images.read(path)
    linear = np.array([10, 20, 30]) / 255
    wanted = linear if exponent is None else icc.encode(linear**exponent)
    assert np.abs(picture.image[0, :, 0, 0].numpy() - wanted).max() * 255 <= 1.5
    images.write(tmp_path / "y.png", picture)
    back = images.read(tmp_path / "y.png")
    assert torch.equal(back.image, picture.image)
    assert bytes_of(images.to_tensor(Image.open(tmp_path / "y.png")))[0][0] == [10, 20, 30]


def test_the_primaries_of_a_png_file_count(tmp_path: Path) -> None:
    points = [0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06]
    path = with_chunks(tmp_path / "x.png", chunk(b"cHRM", struct.pack(">8I", *(round(1e5 * each) for each in points))))
    by_profile = images.read(save(tmp_path / "y.png", Image.new("RGB", (4, 3), (10, 20, 30)), icc_profile=P3))
    assert differences(images.read(path).image, by_profile.image) <= 1


def test_lab_is_converted_alike_from_a_file_and_from_pil(tmp_path: Path) -> None:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(muted(), srgb, lab, outputMode="LAB")
    picture = images.read(save(tmp_path / "x.tiff", image))
    assert (picture.image - images.to_tensor(muted())).abs().mean() * 255 < 1.5  # LAB with 8 bits is coarse
    assert torch.equal(images.from_pil(image).image, picture.image)
    assert picture.metadata.icc_profile is None


def test_pil_images_are_converted_from_and_to_their_profile() -> None:
    image = muted()
    image.info["icc_profile"] = P3
    picture = images.from_pil(image)
    assert not torch.equal(picture.image, images.to_tensor(image))
    back = images.to_pil(picture)
    assert back.info["icc_profile"] == P3
    assert np.array_equal(np.asarray(back), np.asarray(image))


def test_a_closed_pil_image_is_one_sentence(tmp_path: Path) -> None:
    path = save(tmp_path / "x.png", muted())
    image = Image.open(path)
    image.close()
    with raises(StylekitError, "PIL image", "closed"):
        images.from_pil(image)


MODES = "1 L LA La P PA RGB RGBA RGBX RGBa CMYK YCbCr LAB HSV I F I;16"


@pytest.mark.parametrize("mode", MODES.split())
def test_every_mode_of_pil_is_read(mode: str) -> None:
    image = Image.new(mode, (4, 3))
    picture = images.from_pil(image)
    assert picture.image.shape == (1, 3, 3, 4)
    assert 0 <= float(picture.image.min()) <= float(picture.image.max()) <= 1


# Metadata

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="t" xmlns:xmp="x" xmlns:dc="d"%s dc:creator="me">%s</rdf:Description></rdf:RDF></x:xmpmeta>'
)
LOSSLESS: dict[str, dict[str, Any]] = {".webp": {"lossless": True}, ".tiff": {}, ".png": {}, ".jpg": {"quality": 95}}


def camera() -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Artist] = "a maker", "somebody"
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.FNumber: 2.8, ExifTags.Base.ExifImageWidth: 40}
    exif[ExifTags.IFD.GPSInfo] = {ExifTags.GPS.GPSLatitudeRef: "N"}
    return exif


def with_metadata(path: Path, xmp: bytes = XMP % (b"", b"")) -> Path:
    """An image of 40 x 30 pixels with EXIF, XMP and 150 pixels per inch."""
    options = {"exif": camera(), "dpi": (150, 150), "xmp": xmp, **LOSSLESS[path.suffix]}
    if path.suffix == ".png":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
    if path.suffix == ".tiff":
        options["exif"][700] = xmp
        options["exif"] = options["exif"].tobytes()
    if path.suffix == ".webp":
        options["exif"][282] = options["exif"][283] = 150.0
        options["exif"][296] = 2
    return save(path, Image.new("RGB", (40, 30), (90, 120, 150)), **options)


@pytest.mark.parametrize("target", LOSSLESS)
@pytest.mark.parametrize("source", LOSSLESS)
def test_exif_xmp_and_resolution_go_from_every_format_to_every_format(tmp_path: Path, source: str, target: str) -> None:
    images.write(tmp_path / f"y{target}", images.read(with_metadata(tmp_path / f"x{source}")))
    with Image.open(tmp_path / f"y{target}") as written:
        exif = written.getexif()
        assert (exif[ExifTags.Base.Make], exif[ExifTags.Base.Artist]) == ("a maker", "somebody")
        assert float(exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FNumber]) == pytest.approx(2.8)
        assert exif.get_ifd(ExifTags.IFD.GPSInfo) == {ExifTags.GPS.GPSLatitudeRef: "N"}
        assert written.size == (40, 30)
    back = images.read(tmp_path / f"y{target}").metadata
    assert back.xmp == XMP % (b"", b"")
    assert back.dpi == pytest.approx((150, 150), abs=0.1)


@pytest.mark.parametrize("dpi", [(300, 300), (72, 144), None])
def test_the_resolution_of_a_bmp_file(tmp_path: Path, dpi: tuple[int, int] | None) -> None:
    images.write(tmp_path / "x.bmp", images.Picture(torch.rand(1, 3, 4, 4), metadata=images.Metadata(dpi=dpi)))
    back = images.read(tmp_path / "x.bmp").metadata.dpi
    assert back == (dpi and pytest.approx(dpi, abs=0.1))


@pytest.mark.parametrize("dpi", [(0, 0), (float("nan"), 72), (1e9, 72), "text", (72,), None])
def test_an_impossible_resolution_is_left_out(dpi: object) -> None:
    image = Image.new("RGB", (2, 2))
    image.info["dpi"] = dpi
    assert images.from_pil(image).metadata.dpi is None


@pytest.mark.parametrize("orientation", [1, 6, None])
def test_previews_are_never_kept(tmp_path: Path, orientation: int | None) -> None:
    """They would show the image as it was."""
    preview = io.BytesIO()
    Image.new("RGB", (8, 6), (1, 2, 3)).save(preview, "JPEG")
    exif = camera()
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.MakerNote: b"maker" + preview.getvalue(), ExifTags.Base.FNumber: 2.8}
    if orientation:
        exif[ExifTags.Base.Orientation] = orientation
    exif.endian = ">"
    data = exif.tobytes()[6:]
    second = struct.pack(">HHHIIHHIII", 2, 513, 4, 1, len(data) + 30, 514, 4, 1, len(preview.getvalue()), 0)
    count = struct.unpack(">H", data[8:10])[0]
    place = 10 + 12 * count
    data = data[:place] + struct.pack(">I", len(data)) + data[place + 4 :] + second + preview.getvalue()
    thumbnails = b"<xmp:Thumbnails><rdf:Alt><rdf:li>%s</rdf:li></rdf:Alt></xmp:Thumbnails>" % (b"/9j/" * 99)
    image = Image.new("RGB", (40, 30))
    path = save(tmp_path / "x.jpg", image, exif=b"Exif\0\0" + data, xmp=XMP % (b' tiff:Orientation="1"', thumbnails))
    with Image.open(path) as stored:
        assert stored.getexif().get_ifd(ExifTags.IFD.IFD1)[514] == len(preview.getvalue())
    picture = images.read(path)
    assert picture.metadata.exif is not None
    assert b"\xff\xd8\xff" not in picture.metadata.exif
    assert picture.metadata.xmp == XMP % (b"", b"")
    for suffix in LOSSLESS:
        images.write(tmp_path / f"y{suffix}", picture)
        written = (tmp_path / f"y{suffix}").read_bytes()
        assert written.count(b"\xff\xd8\xff") == (suffix == ".jpg")
        assert b"Thumbnails" not in written
        with Image.open(tmp_path / f"y{suffix}") as image:
            assert ExifTags.Base.Orientation not in image.getexif()
            assert image.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FNumber] == pytest.approx(2.8)


def test_an_orientation_in_xmp_is_applied_and_dropped(tmp_path: Path) -> None:
    xmp = XMP % (b' tiff:Orientation="6"', b"")
    picture = images.read(save(tmp_path / "x.jpg", Image.new("RGB", (40, 30)), xmp=xmp))
    assert picture.image.shape == (1, 3, 40, 30)
    assert picture.metadata.xmp == XMP % (b"", b"")


def test_texts_of_a_png_file_are_kept(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "mine")
    info.add_text("prompt", "x" * 5000, zip=True)
    info.add_itxt("Title2", "\u00fcber", "de", "Titel")
    info.add_text("Raw profile type exif", "preview")
    info.add_text("Thumb::Image::Width", "3")
    picture = images.read(save(tmp_path / "x.png", Image.new("RGB", (4, 3)), pnginfo=info))
    expected = {"Title": "mine", "prompt": "x" * 5000, "Title2": "\u00fcber"}
    assert dict(picture.metadata.text) == expected
    images.write(tmp_path / "y.png", picture)
    images.write(tmp_path / "z.png", picture, depth=16)
    for name in ("y.png", "z.png"):
        with Image.open(tmp_path / name) as written:
            assert written.text == expected
            assert (written.text["Title2"].lang, written.text["Title2"].tkey) == ("de", "Titel")


@pytest.mark.parametrize("suffix", [".jpg", ".gif"])
def test_the_comment_of_a_file_is_kept(tmp_path: Path, suffix: str) -> None:
    picture = images.read(save(tmp_path / f"x{suffix}", Image.new("RGB", (4, 3)), comment="made by me"))
    assert dict(picture.metadata.text) == {"Comment": "made by me"}
    for target in (".jpg", ".gif", ".png"):
        images.write(tmp_path / f"y{target}", picture)
        assert dict(images.read(tmp_path / f"y{target}").metadata.text) == {"Comment": "made by me"}


def test_what_is_too_long_for_a_jpeg_file_is_left_out_with_a_warning(tmp_path: Path) -> None:
    long = XMP % (b"", b"x" * 70_000)
    with warns(StylekitWarning, "XMP", "JPEG"):
        images.write(tmp_path / "x.jpg", images.Picture(torch.rand(1, 3, 4, 4), metadata=images.Metadata(xmp=long)))
    assert images.read(tmp_path / "x.jpg").metadata.xmp is None
    images.write(tmp_path / "x.png", images.Picture(torch.rand(1, 3, 4, 4), metadata=images.Metadata(xmp=long)))
    assert images.read(tmp_path / "x.png").metadata.xmp == long


# Reading: orientation, size, damage

UPRIGHT = {
    1: [[1, 2, 3], [4, 5, 6]],
    2: [[3, 2, 1], [6, 5, 4]],
    3: [[6, 5, 4], [3, 2, 1]],
    4: [[4, 5, 6], [1, 2, 3]],
    5: [[1, 4], [2, 5], [3, 6]],
    6: [[4, 1], [5, 2], [6, 3]],
    7: [[6, 3], [5, 2], [4, 1]],
    8: [[3, 6], [2, 5], [1, 4]],
}
"""How the stored image [[1, 2, 3], [4, 5, 6]] must be shown, by EXIF orientation."""


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".webp"])
@pytest.mark.parametrize(("orientation", "expected"), UPRIGHT.items())
def test_every_orientation(tmp_path: Path, orientation: int, expected: list[list[int]], suffix: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored = grey([[40, 80, 120], [160, 200, 240]]).convert("RGB")
    lossless = {"lossless": True} if suffix == ".webp" else {}
    picture = images.read(save(tmp_path / f"x{suffix}", stored, exif=exif, **lossless))
    seen = (picture.image[0, 0] * 255 / 40).round().int()
    assert seen.tolist() == expected
    assert picture.metadata.exif is None


def test_exif_is_kept_without_the_orientation(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Model] = "a camera"
    picture = images.read(save(tmp_path / "x.jpg", Image.new("RGB", (4, 2)), exif=exif))
    assert picture.image.shape == (1, 3, 4, 2)
    assert picture.metadata.exif is not None
    images.write(tmp_path / "y.jpg", picture)
    with Image.open(tmp_path / "y.jpg") as written:
        assert dict(written.getexif()) == {ExifTags.Base.Model: "a camera"}
        assert written.size == (2, 4)


def test_an_image_with_damaged_exif_is_read(tmp_path: Path) -> None:
    path = save(tmp_path / "x.jpg", Image.new("RGB", (4, 2), (9, 9, 9)), exif=b"Exif\0\0not a TIFF header")
    picture = images.read(path)
    assert picture.image.shape == (1, 3, 2, 4)
    assert picture.metadata.exif is None or picture.metadata.exif.startswith(b"Exif")


def test_least_reads_a_jpeg_at_a_fraction_of_its_size(tmp_path: Path) -> None:
    path = save(tmp_path / "x.jpg", Image.new("RGB", (1600, 800), (50, 100, 150)))
    assert images.read(path).image.shape == (1, 3, 800, 1600)
    small = images.read(path, least=101).image
    assert small.shape == (1, 3, 200, 400)
    assert bytes_of(small)[0][0] == pytest.approx([50, 100, 150], abs=2)
    assert images.read(path, least=5000).image.shape == (1, 3, 800, 1600)


@pytest.mark.parametrize("size", [(1, 1), (3000, 2), (1, 700)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    for suffix in (".png", ".jpg", ".webp", ".tiff", ".bmp"):
        picture = images.read(save(tmp_path / f"x{suffix}", Image.new("RGB", size, (255, 255, 255))))
        assert picture.image.shape == (1, 3, size[1], size[0])
        assert picture.image.min() > 0.98


def test_large_images_are_read_without_a_warning_up_to_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    images.read(save(tmp_path / "fits.png", Image.new("L", (10, 10))))
    path = save(tmp_path / "large.png", Image.new("L", (11, 10)))
    with raises(StylekitError, path, 100, "pixels"):
        images.read(path)


def test_an_unreadable_file_is_named_with_the_reason(tmp_path: Path) -> None:
    whole = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(whole, "JPEG")
    (tmp_path / "truncated.jpg").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    for name, reason in {
        "truncated.jpg": "truncated",
        "text.jpg": "damaged",
        "empty.png": "empty",
        "folder.png": "a folder",
        "gone.png": "no such file",
        "missing.png": "no such file",
    }.items():
        with raises(StylekitError, tmp_path / name) as caught:
            images.read(tmp_path / name)
        assert_mentions(str(caught.value).replace(str(tmp_path / name), ""), reason)


# Converting


def test_bytes_survive_a_round_trip() -> None:
    pixels = np.arange(256 * 3, dtype=np.uint8).reshape(16, 16, 3)
    back = images.to_pil(images.to_tensor(Image.fromarray(pixels)))
    assert np.array_equal(np.asarray(back), pixels)


def test_to_pil_clamps_and_rounds_a_half_upwards() -> None:
    values = torch.tensor([-1.0, 0.49 / 255, 0.5 / 255, 2.5 / 255, 254.4 / 255, 9.0, float("inf")])
    image = images.to_pil(values.expand(3, 1, -1))
    assert [image.getpixel((i, 0))[0] for i in range(7)] == [0, 0, 1, 3, 254, 255, 255]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_to_pil_accepts_any_float_type(dtype: torch.dtype) -> None:
    image = images.to_pil(torch.full((1, 3, 1, 1), 0.5, dtype=dtype, requires_grad=True))
    assert image.getpixel((0, 0)) == (128, 128, 128)


def test_to_pil_refuses_tensors_that_are_not_images() -> None:
    with raises(TypeError, torch.uint8):
        images.to_pil(torch.zeros(3, 2, 2, dtype=torch.uint8))
    for shape in [(2, 2), (2, 3, 4, 4), (1, 4, 4), (1, 1, 4, 4), (3, 0, 4)]:
        with raises(ValueError, shape):
            images.to_pil(torch.zeros(shape))
    with raises(StylekitError, "NaN"):
        images.to_pil(torch.full((3, 2, 2), torch.nan))


# Writing


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".bmp", ".PNG"])
def test_lossless_formats_keep_the_image(tmp_path: Path, suffix: str) -> None:
    image = torch.randint(0, 256, (1, 3, 5, 7)) / 255
    images.write(tmp_path / f"x{suffix}", image)
    assert torch.equal(images.read(tmp_path / f"x{suffix}").image, image)
    assert [path.name for path in tmp_path.iterdir()] == [f"x{suffix}"]


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_lossy_formats_nearly_keep_the_image(tmp_path: Path, suffix: str) -> None:
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 64, 64)
    images.write(tmp_path / f"x{suffix}", ramp)
    assert (images.read(tmp_path / f"x{suffix}").image - ramp).abs().mean() < 0.01


def test_jpeg_keeps_full_colour_resolution(tmp_path: Path) -> None:
    images.write(tmp_path / "x.jpg", torch.rand(3, 16, 16))
    with Image.open(tmp_path / "x.jpg") as image:
        assert [component[1:3] for component in image.layer] == [(1, 1)] * 3
        assert image.quantization[0][0] <= 2  # quality 95


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tiff"])
def test_alpha_is_written_if_the_format_supports_it(tmp_path: Path, suffix: str) -> None:
    alpha = torch.tensor([[0.2, 1.0]])[None, None]
    images.write(tmp_path / f"x{suffix}", images.Picture(torch.full((1, 3, 1, 2), 0.4), alpha))
    picture = images.read(tmp_path / f"x{suffix}")
    assert picture.alpha is not None
    assert torch.allclose(picture.alpha, alpha)
    assert torch.allclose(picture.image, torch.tensor(0.4), atol=0.02)


@pytest.mark.parametrize("suffix", [".jpg", ".bmp"])
def test_alpha_is_composited_over_white_if_the_format_has_none(tmp_path: Path, suffix: str) -> None:
    images.write(tmp_path / f"x{suffix}", images.Picture(torch.zeros(1, 3, 8, 8), torch.full((1, 1, 8, 8), 0.4)))
    picture = images.read(tmp_path / f"x{suffix}")
    assert picture.alpha is None
    assert torch.allclose(picture.image, torch.tensor(0.6), atol=0.005)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff"])
def test_profile_and_exif_are_written_with_the_image(tmp_path: Path, suffix: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = "a camera"
    metadata = images.Metadata(profile, exif.tobytes())
    images.write(tmp_path / f"x{suffix}", images.Picture(torch.rand(1, 3, 4, 4), metadata=metadata))
    assert images.read(tmp_path / f"x{suffix}").metadata.icc_profile == profile
    with Image.open(tmp_path / f"x{suffix}") as image:
        assert image.getexif()[ExifTags.Base.Model] == "a camera"


def test_unknown_suffix_lists_the_known_ones(tmp_path: Path) -> None:
    for name in ("x.psd", "x"):
        with raises(StylekitError, tmp_path / name, ".jpg", ".png", ".webp"):
            images.write(tmp_path / name, torch.rand(3, 2, 2))


@pytest.mark.parametrize(
    ("code", "fact"),
    [(errno.ENOSPC, "space"), (errno.EACCES, "what the system says")],
)
def test_a_failed_write_leaves_only_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, fact: str
) -> None:
    (tmp_path / "x.png").write_bytes(b"old")

    def fail(descriptor: int) -> None:
        raise OSError(code, "what the system says")

    monkeypatch.setattr(os, "fsync", fail)
    with raises(StylekitError, tmp_path / "x.png", fact):
        images.write(tmp_path / "x.png", torch.rand(3, 2, 2))
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
    assert (tmp_path / "x.png").read_bytes() == b"old"


def test_write_names_a_path_that_cannot_be_written(tmp_path: Path) -> None:
    with raises(StylekitError, tmp_path / "nowhere/x.png", "no such file"):
        images.write(tmp_path / "nowhere/x.png", torch.rand(3, 2, 2))
    with raises(StylekitError, tmp_path / "x.webp") as caught:
        images.write(tmp_path / "x.webp", torch.zeros(3, 1, 20000))
    assert "WEBP" in str(caught.value)
    (tmp_path / "folder.png").mkdir()
    with raises(StylekitError, tmp_path / "folder.png"):
        images.write(tmp_path / "folder.png", torch.rand(3, 2, 2))
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


# Animations


def moving(count: int = 4, alpha: bool = False) -> images.Animation:
    """Frames of two colours, that a palette holds exactly."""
    frames = []
    for number in range(count):
        image = torch.zeros(1, 3, 12, 20)
        image[..., : 4 + 4 * number] = torch.tensor([1.0, 0.2 * number, 0])[:, None, None]
        shown = (torch.arange(12) >= number)[:, None].expand(1, 1, 12, 20).float() if alpha else None
        frames.append(images.Picture(image, shown))
    return images.Animation(frames, [100.0, 200.0, 50.0, 70.0][:count], 3, "GIF")


@pytest.mark.parametrize("alpha", [False, True], ids=["opaque", "alpha"])
@pytest.mark.parametrize("suffix", [".gif", ".png", ".apng", ".webp", ".tiff"])
def test_an_animation_keeps_its_frames_durations_and_loop(tmp_path: Path, suffix: str, alpha: bool) -> None:
    animation, path = moving(alpha=alpha), tmp_path / f"x{suffix}"
    images.write_frames(path, animation)
    assert images.frame_count(path) == 4
    back = images.read_frames(path)
    assert back.format == {".gif": "GIF", ".webp": "WEBP", ".tiff": "TIFF"}.get(suffix, "PNG")
    if suffix != ".tiff":
        assert (back.durations, back.loop) == (animation.durations, 3)
    for before, after in zip(animation.frames, back.frames, strict=True):
        seen, shown = images.over_white(after.image, after.alpha), images.over_white(before.image, before.alpha)
        assert (seen - shown).abs().mean() < (0.02 if suffix == ".webp" else 1e-6)
    assert torch.equal(images.read(path).image, back.frames[0].image)


@pytest.mark.parametrize(("loop", "options"), [(0, {"loop": 0}), (1, {}), (2, {"loop": 1})])
def test_the_loop_of_a_gif_counts_how_often_it_is_shown(tmp_path: Path, loop: int, options: dict[str, int]) -> None:
    frames = [images.to_pil(each.image) for each in moving(2).frames]
    path = save(tmp_path / "x.gif", frames[0], save_all=True, append_images=frames[1:], duration=40, **options)
    animation = images.read_frames(path)
    assert (animation.loop, animation.durations) == (loop, [40, 40])
    images.write_frames(tmp_path / "y.gif", animation)
    assert images.read_frames(tmp_path / "y.gif").loop == loop


def test_frames_of_a_still_image_and_of_a_still_format(tmp_path: Path) -> None:
    path = save(tmp_path / "x.png", Image.new("RGB", (4, 3), (10, 20, 30)))
    assert images.frame_count(path) == 1
    animation = images.read_frames(path)
    assert [bytes_of(each.image)[0][0] for each in animation.frames] == [[10, 20, 30]]
    with raises(StylekitError, tmp_path / "x.jpg", "JPEG"):
        images.write_frames(tmp_path / "x.jpg", moving())


def test_a_jpeg_with_a_second_image_is_not_animated(tmp_path: Path) -> None:
    """Cameras add a preview or a depth map."""
    one, two = Image.new("RGB", (16, 16), (200, 10, 10)), Image.new("RGB", (8, 8))
    one.save(tmp_path / "x.jpg", "MPO", save_all=True, append_images=[two])
    assert images.frame_count(tmp_path / "x.jpg") == 1
    assert len(images.read_frames(tmp_path / "x.jpg").frames) == 1


def test_the_first_image_of_an_animated_png_may_not_be_a_frame(tmp_path: Path) -> None:
    frames = [images.to_pil(each) for each in moving(3).frames]
    default = Image.new("RGB", frames[0].size, (1, 2, 3))
    path = save(tmp_path / "x.png", default, save_all=True, append_images=frames, default_image=True, duration=40)
    assert images.frame_count(path) == 3
    first = images.read_frames(path).frames[0]
    assert torch.equal(first.image, moving(3).frames[0].image)


def test_a_reduced_copy_in_a_tiff_file_is_not_a_frame(tmp_path: Path) -> None:
    pages = [Image.new("RGB", (16, 16), (200, 10, 10)), Image.new("RGB", (4, 4)), Image.new("RGB", (16, 16))]
    pages[1].encoderinfo = {"tiffinfo": {254: 1}}
    path = save(tmp_path / "x.tiff", pages[0], save_all=True, append_images=pages[1:])
    assert images.frame_count(path) == 2
    assert [each.image.shape[-1] for each in images.read_frames(path).frames] == [16, 16]


def test_a_file_that_is_damaged_behind_its_first_frame_is_a_still_image(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), (200, 10 * number, 10)) for number in range(3)]
    path = save(tmp_path / "x.tiff", frames[0], save_all=True, append_images=frames[1:])
    data = bytearray(path.read_bytes())
    second = data.index(struct.pack("<HHII", 256, 4, 1, 16), data.index(struct.pack("<HHII", 256, 4, 1, 16)) + 1)
    data[second : second + 2] = b"\xf0\xff"
    path.write_bytes(data)
    assert images.frame_count(path) == 1
    assert bytes_of(images.read(path).image)[0][0] == [200, 0, 10]


# Formats


@pytest.mark.parametrize("suffix", images.FORMATS)
def test_every_format_that_is_found_is_also_read_and_written(tmp_path: Path, suffix: str) -> None:
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 48, 64)
    images.write(tmp_path / f"x{suffix}", images.Picture(ramp, metadata=images.Metadata(srgb_profile())))
    assert datasets.find_images(tmp_path) == [tmp_path / f"x{suffix}"]
    assert (images.read(tmp_path / f"x{suffix}").image - ramp).abs().mean() < 0.02


@pytest.mark.skipif(".avif" not in datasets.SUFFIXES, reason="this Pillow reads no AVIF")
def test_avif_keeps_an_animation_and_metadata(tmp_path: Path) -> None:
    animation = moving(alpha=True)
    images.write_frames(tmp_path / "x.avif", animation)
    assert images.frame_count(tmp_path / "x.avif") == 4
    back = images.read_frames(tmp_path / "x.avif")
    assert (back.format, back.durations) == ("AVIF", animation.durations)
    images.write(tmp_path / "y.avif", images.read(with_metadata(tmp_path / "y.jpg")))
    metadata = images.read(tmp_path / "y.avif").metadata
    assert metadata.dpi == pytest.approx((150, 150), abs=0.1)
    assert metadata.xmp == XMP % (b"", b"")


def test_heic_is_read_where_its_reader_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif")
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 48, 64)
    picture = images.read(with_metadata(tmp_path / "x.jpg"))
    images.write(tmp_path / "x.heic", replace(picture, image=ramp))
    back = images.read(tmp_path / "x.heic")
    assert (back.image - ramp).abs().mean() < 0.02
    assert back.metadata.xmp == picture.metadata.xmp
    assert images.size(tmp_path / "x.heic") == (48, 64)


def test_heic_without_its_reader_is_counted_with_the_install_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = tuple(suffix for suffix in datasets.SUFFIXES if suffix not in files.HEIC)
    monkeypatch.setattr(files, "SUFFIXES", plain)
    monkeypatch.setattr(files, "OTHERS", {*files.OTHERS, *files.HEIC})
    (tmp_path / "x.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    with warns(StylekitWarning, "1 .heic", "stylekit-torch[heic]"):
        assert datasets.find_images(tmp_path) == []
    monkeypatch.setattr(files, "_formats", lambda: ["PNG"])
    with raises(StylekitError, tmp_path / "x.heic", "stylekit-torch[heic]"):
        images.read(tmp_path / "x.heic")


# Sizes


def test_resize_agrees_with_pillow() -> None:
    plane = np.random.default_rng(0).random((60, 90), dtype=np.float32)
    image = torch.from_numpy(plane)[None, None]
    for height, width in [(20, 30), (31, 200), (1, 1), (120, 91)]:
        expected = np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC)).clip(0, 1)
        resized = images.resize(image, (height, width))
        assert resized.shape == (1, 1, height, width)
        assert np.abs(resized[0, 0].numpy() - expected).max() < 1e-5


def test_pad_mirrors_first_and_then_repeats() -> None:
    row = torch.tensor([1.0, 2, 3])[None, None, None]
    assert images.pad_to(row, 1, 8)[0, 0, 0].tolist() == [1, 2, 3, 2, 1, 1, 1, 1]
    assert images.pad_to(row, 4).shape == (1, 1, 4, 4)
    assert images.pad_to(row, 4)[0, 0].tolist() == [[1, 2, 3, 2]] * 4
    assert images.pad_to(torch.ones(1, 3, 1, 1), 16, least=20).shape == (1, 3, 32, 32)


def test_pad_agrees_with_reflection_and_crops_back() -> None:
    image = torch.rand(2, 3, 13, 17)
    padded = images.pad_to(image, 8)
    assert torch.equal(padded, functional.pad(image, (0, 7, 0, 3), mode="reflect"))
    assert torch.equal(padded[..., :13, :17], image)


def test_pad_does_not_copy_an_image_of_the_right_size() -> None:
    image = torch.rand(1, 3, 16, 32)
    assert images.pad_to(image, 16, least=16) is image


def test_pad_passes_gradients() -> None:
    image = torch.rand(1, 1, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: images.pad_to(x, 4, 8) ** 2, image)
    assert torch.autograd.gradgradcheck(lambda x: images.pad_to(x, 4, 8) ** 2, image)


# Square crops


def places(height: int, width: int) -> torch.Tensor:
    """An image (1, 2, H, W) that contains the row and the column of each pixel."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([rows, columns])[None].float() / 255


def cropped(image: torch.Tensor, *args: int, **options: bool) -> list[list[list[int]]]:
    """Rows and columns of the pixels in a crop."""
    return (images.square_crop(image, *args, **options) * 255).round().int().tolist()


@pytest.mark.parametrize(
    ("size", "rows", "columns"), [((4, 10), 0, 3), ((10, 4), 3, 0), ((4, 11), 0, 3), ((4, 4), 0, 0)], ids=str
)
def test_a_square_without_randomness_is_the_middle(size: tuple[int, int], rows: int, columns: int) -> None:
    before = torch.get_rng_state()
    expected = places(*size)[0, :, rows : rows + 4, columns : columns + 4]
    square = images.square_crop(places(*size), 4, 4, random=False)
    torch.testing.assert_close(square, expected, rtol=0, atol=1e-6)
    assert square.is_contiguous()
    assert torch.equal(torch.get_rng_state(), before)


def test_random_squares_are_every_part_of_the_image() -> None:
    """A square of 4 pixels of an image of 6 x 5: at 3 rows and 2 columns."""
    seen = set()
    for seed in range(100):
        torch.manual_seed(seed)
        rows, columns = cropped(places(6, 5), 4, 5)
        top, left = rows[0][0], columns[0][0]
        assert columns == [list(range(left, left + 4))] * 4
        assert rows == [[top + step] * 4 for step in range(4)]
        seen.add((top, left))
    assert seen == {(top, left) for top in range(3) for left in range(2)}


def test_random_squares_use_torchs_generator() -> None:
    image = torch.rand(1, 3, 40, 50)

    def draw(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return images.square_crop(image, 16, 20, flip=True)

    assert torch.equal(draw(0), draw(0))
    assert len({draw(seed).numpy().tobytes() for seed in range(8)}) > 1


def test_half_of_the_squares_are_mirrored_if_asked_for() -> None:
    mirrored = 0
    for seed in range(200):
        torch.manual_seed(seed)
        _, columns = cropped(places(4, 4), 4, 4, flip=True)
        assert columns[0] in ([0, 1, 2, 3], [3, 2, 1, 0])
        mirrored += columns[0] == [3, 2, 1, 0]
        torch.manual_seed(seed)
        assert cropped(places(4, 4), 4, 4)[1][0] == [0, 1, 2, 3]
    assert 70 < mirrored < 130


@pytest.mark.parametrize("size", [(30, 90), (90, 30), (300, 100), (7, 9)], ids=str)
def test_the_shorter_side_is_resized_and_nothing_is_distorted(size: tuple[int, int]) -> None:
    """A pixel's neighbours are as far away in rows as in columns."""
    rows, columns = images.square_crop(places(*size), 12, 24, random=False)
    step = min(size) / 24 / 255
    middle = slice(3, 9)  # bicubic interpolation is linear there, away from mirrored borders
    assert rows.diff(dim=0)[middle, middle].mean() == pytest.approx(step, rel=0.05)
    assert columns.diff(dim=1)[middle, middle].mean() == pytest.approx(step, rel=0.05)


def test_joined_channels_are_cropped_alike() -> None:
    image = torch.rand(1, 3, 33, 50)
    joined = torch.cat([image, 1 - image, image[:, :1]], 1)
    for seed in range(20):
        torch.manual_seed(seed)
        content, style, mask = images.square_crop(joined, 16, 18, flip=True).split([3, 3, 1])
        torch.testing.assert_close(style, 1 - content, rtol=0, atol=1e-5)
        torch.testing.assert_close(mask, content[:1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(2, 4000), (4000, 2), (1, 999)], ids=str)
@pytest.mark.parametrize("random", [True, False])
def test_a_very_long_image_is_cropped_before_it_is_resized(
    size: tuple[int, int], random: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[int, int]] = []
    resize = images.resize

    def recorded(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        sizes.append(size)
        return resize(image, size)

    monkeypatch.setattr(images.crops, "resize", recorded)
    assert images.square_crop(torch.rand(1, 3, *size), 8, 8, random).shape == (3, 8, 8)
    assert sorted(*sizes) == [8, 32]


# Files that can be read


def shades(folder: Path, *names: str) -> list[Path]:
    """Images of 4 x 3 pixels; the first has the shade 10, the second 20, and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    return [save(folder / name, Image.new("RGB", (4, 3), (10 * number,) * 3)) for number, name in enumerate(names, 1)]


def shade(image: torch.Tensor) -> int:
    assert image.shape == (1, 3, 3, 4)
    return round(float(image.mean()) * 255)


def broken(path: Path, kept: int = 300) -> Path:
    """A BMP, which has no end marker, so that only decoding it shows that pixels are missing."""
    Image.effect_noise((20, 20), 90).save(path, "BMP")
    path.write_bytes(path.read_bytes()[:kept])
    return path


def test_a_folders_images_are_read_in_order_as_tensors(tmp_path: Path) -> None:
    shades(tmp_path, "b.png", "c.png", "a.png")
    (tmp_path / "notes.txt").write_text("not an image")
    files = images.ImageFiles(tmp_path)
    assert len(files) == 3
    assert [path.name for path in files.files] == ["a.png", "b.png", "c.png"]
    assert [shade(files.read(index)) for index in range(3)] == [30, 10, 20]
    assert files.what == str(tmp_path)


def test_a_list_of_files_keeps_its_order(tmp_path: Path) -> None:
    first, second = shades(tmp_path, "b.png", "a.png")
    files = images.ImageFiles([first, second, first])
    assert [shade(files.read(index)) for index in range(3)] == [10, 20, 10]


def test_transparent_images_are_laid_over_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 3), (0, 0, 0, 51)).save(tmp_path / "clear.png")
    assert shade(images.ImageFiles(tmp_path).read(0)) == 204


def test_a_large_jpeg_may_be_decoded_at_a_smaller_size(tmp_path: Path) -> None:
    Image.new("RGB", (400, 320)).save(tmp_path / "large.jpg")
    files = images.ImageFiles(tmp_path)
    assert files.read(0).shape == (1, 3, 320, 400)
    assert files.read(0, least=40).shape == (1, 3, 40, 50)


def test_files_that_cannot_be_opened_are_left_out_with_one_warning(tmp_path: Path) -> None:
    shades(tmp_path, "good.png")
    for number in range(12):
        (tmp_path / f"bad{number:02}.png").write_text("text")
    with warns(StylekitWarning, 12, 2, tmp_path / "bad00.png", f"stylekit data check {tmp_path}") as caught:
        files = images.ImageFiles(tmp_path)
    assert len(caught) == 1
    assert str(caught[0].message).count(".png") == 10
    assert [path.name for path in files.files] == ["good.png"]


def test_a_file_that_turns_out_damaged_is_replaced_by_the_next_with_one_warning(tmp_path: Path) -> None:
    shades(tmp_path, "a.png", "c.png")
    files = images.ImageFiles([tmp_path / "a.png", broken(tmp_path / "b.bmp"), tmp_path / "c.png"])
    assert len(files) == 3
    with warns(StylekitWarning, tmp_path / "b.bmp", f"stylekit data check {tmp_path}"):
        assert shade(files.read(1)) == 20
    assert [shade(files.read(index)) for index in range(3)] == [10, 20, 20]  # warnings are errors in these tests


def test_the_last_file_is_replaced_by_the_first(tmp_path: Path) -> None:
    (good,) = shades(tmp_path, "a.png")
    files = images.ImageFiles([good, broken(tmp_path / "b.bmp")])
    with pytest.warns(StylekitWarning):
        assert shade(files.read(1)) == 10


def test_files_none_of_which_can_be_read_are_an_error(tmp_path: Path) -> None:
    with raises(StylekitError, tmp_path / "nowhere"):
        images.ImageFiles(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with raises(StylekitError, tmp_path / "empty", ".jpg", ".png", f"stylekit data check {tmp_path / 'empty'}"):
        images.ImageFiles(tmp_path / "empty")
    with raises(StylekitError, "the styles"):
        images.ImageFiles([], "the styles")
    (tmp_path / "text.png").write_text("text")
    with raises(StylekitError, "the styles", "read"):
        images.ImageFiles([tmp_path / "text.png"], "the styles")
    files = images.ImageFiles([broken(tmp_path / "a.bmp"), broken(tmp_path / "b.bmp")], "the styles")
    with warns(StylekitWarning, tmp_path / "b.bmp") as caught, raises(StylekitError, "the styles", "read"):
        files.read(1)
    assert len(caught) == 2
    with raises(StylekitError, "the styles"):
        files.read(0)


# Sample grids


def test_a_sample_grid_puts_each_image_in_its_place() -> None:
    black, red = torch.zeros(3, 4, 6), torch.tensor([2.0, -1, 0])[:, None, None].expand(3, 2, 3)
    sheet = grid([[black, red], [red]], gap=1)
    assert sheet.shape == (3, 1 + 4 + 1 + 2 + 1, 1 + 6 + 1 + 3 + 1)
    expected = torch.ones(3, 9, 12)
    expected[:, 1:5, 1:7] = 0
    expected[1:, 1:3, 8:11] = 0
    expected[1:, 6:8, 1:4] = 0
    assert torch.equal(sheet, expected)


def test_labels_of_a_sample_grid_get_their_own_space_and_do_not_change_the_images() -> None:
    image = torch.rand(3, 8, 8)
    sheet = grid([[image, image]], labels=["content", "style"])
    assert sheet.shape[1] == 20 + 4 + 8 + 4
    assert sheet.shape[2] > 3 * 4 + 2 * 8  # wider, for the labels
    assert sheet[:, :24].min() < 0.5  # letters
    assert torch.equal(sheet[:, 24:32, 4:12], image)
    with raises(ValueError, "image"):
        grid([[]])


# Real images


@pytest.mark.skipif(not REAL.is_dir(), reason="the folder of real images is not available")
def test_real_images() -> None:
    files = datasets.find_images(REAL / "content") + datasets.find_images(REAL / "style")
    assert len(files) > 50
    for file in files[::3]:
        with Image.open(file) as image:
            expected = np.asarray(image.convert("RGB"))
        picture = images.read(file)
        assert np.array_equal((picture.image[0] * 255).round().byte().permute(1, 2, 0).numpy(), expected)
        assert images.read(file, least=64).image.shape[-1] >= 64


def test_image_files_of_a_string(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "w/1.png")
    monkeypatch.chdir(tmp_path)
    assert len(images.ImageFiles("w")) == 1
