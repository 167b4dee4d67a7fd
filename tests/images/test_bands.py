"""TIFF files whose values are read in bands: equal to those of the whole file, in memory that does not grow with its height."""

from __future__ import annotations

import tracemalloc
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from stylekit import images
from stylekit.errors import StylekitError
from stylekit.images import Decoded, bands
from stylekit.images.bands import Bands
from tests.facts import raises
from tests.images.test_profiles import ADOBE

tifffile = pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")

SHAPE = (90, 130)
ORIENTATION = 274


def values(channels: int = 3, dtype: Any = np.uint8) -> np.ndarray:
    """A smooth picture with noise, so that it shrinks, but no two rows are equal."""
    y, x, channel = np.ogrid[: SHAPE[0], : SHAPE[1], :channels]
    waves = 0.5 + 0.4 * np.sin(x / (9 + channel) + y / (7 + 2 * channel))
    noisy = waves + 0.05 * np.random.default_rng(0).random(waves.shape)
    return (noisy * np.iinfo(dtype).max).astype(dtype)


def write(path: Path, stored: np.ndarray, **options: Any) -> Path:
    channels = stored.shape[2]
    alpha = {"extrasamples": ["unassalpha"]} if channels in (2, 4) else {}
    kind = {"photometric": "rgb" if channels > 2 else "minisblack", "planarconfig": "contig"}
    strips = {} if "tile" in options else {"rowsperstrip": 7}
    chosen: dict[str, Any] = {**strips, **kind, **alpha, **options}
    tifffile.imwrite(path, stored[..., 0] if channels == 1 else stored, **chosen)
    return path


def assert_same(decoded: Decoded, path: Path) -> None:
    """The picture, and some parts of it, are those that Pillow reads."""
    whole, (height, width) = images.read(path), decoded.size
    assert whole.size == decoded.size
    for rows, columns in (
        (slice(None), slice(None)),
        (slice(1), slice(1)),
        (slice(5, 40), slice(20, 71)),
        (slice(height - 9, None), slice(width - 3, width + 10)),
    ):
        part = decoded.part(rows, columns)
        assert torch.equal(part.image, whole.image[..., rows, columns])
        assert (part.alpha is None) == (whole.alpha is None)
        if part.alpha is not None and whole.alpha is not None:
            assert torch.equal(part.alpha, whole.alpha[..., rows, columns])
        assert (part.metadata, part.depth) == (whole.metadata, whole.depth)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_values_are_those_of_the_file(tmp_path: Path, channels: int, dtype: Any) -> None:
    stored = values(channels, dtype)
    layouts: list[dict[str, Any]] = [{}, {"tile": (32, 48)}, {"bigtiff": True}]
    for number, (compression, layout) in enumerate(product([None, "lzw", "zlib", "packbits", "zstd"], layouts)):
        predictor = {"predictor": True} if compression in ("lzw", "zlib") else {}
        order = {"byteorder": ">"} if number % 2 and "bigtiff" not in layout else {}
        path = write(tmp_path / "a.tif", stored, compression=compression, **predictor, **layout, **order)
        decoded = images.decode(path)
        assert isinstance(decoded.stored, Bands)
        expected = stored[..., [0, 0, 0] if channels == 1 else [0, 1, 2]]
        assert (decoded.stored[10:80, 3:100] == expected[10:80, 3:100]).all()
        if channels == 4:
            assert decoded.alpha is not None
            assert (decoded.alpha[10:80, 3:100] == stored[10:80, 3:100, 3]).all()
        assert_same(decoded, path)


def test_grey_with_alpha_and_channels_that_are_ignored(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", values(2), compression="zlib")
    decoded = images.decode(path)
    assert isinstance(decoded.alpha, Bands)
    assert_same(decoded, path)
    path = write(tmp_path / "b.tif", values(4), extrasamples=["unspecified"])
    assert images.decode(path).alpha is None
    assert_same(images.decode(path), path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_with_a_profile(tmp_path: Path, orientation: int) -> None:
    tags = [(ORIENTATION, "H", 1, orientation, True)]
    path = write(
        tmp_path / "a.tif", values(4), tile=(16, 32), compression="zlib", iccprofile=ADOBE, resolution=(200, 200, 2),
        extratags=tags,
    )  # fmt: skip
    decoded = images.decode(path)
    assert isinstance(decoded.stored, Bands)
    assert decoded.part().stored is not None  # its profile is not sRGB
    assert decoded.part().metadata.dpi == (200, 200)
    assert_same(decoded, path)


def test_jpeg_with_fewer_values_for_colours(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    kind = {"compression": "jpeg", "photometric": "ycbcr", "tile": (32, 48), "subsampling": (2, 2)}
    tifffile.imwrite(path, values(), compressionargs={"level": 90, "subsampling": "420"}, **kind)
    decoded = images.decode(path)
    assert isinstance(decoded.stored, Bands)
    assert_same(decoded, path)


@pytest.mark.parametrize("inside", [False, True])
def test_the_largest_level_of_a_pyramid(tmp_path: Path, inside: bool) -> None:
    """Reduced copies are further pages, or are named in the first page only."""
    path, stored = tmp_path / "a.tif", values()
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        options: Any = {"photometric": "rgb", "tile": (16, 16), "compression": "zlib"}
        file.write(stored, subifds=2 if inside else 0, **options)
        for step in (2, 4):
            file.write(stored[::step, ::step], subfiletype=1, **options)
    assert images.frame_count(path) == 1
    decoded = images.decode(path)
    assert isinstance(decoded.stored, Bands)
    assert (decoded.stored[:, :] == stored).all()


@pytest.mark.parametrize("name", ["palette", "white is 0", "by channel", "alpha in the colours", "1 bit", "floats"])
def test_other_files_are_read_as_a_whole(tmp_path: Path, name: str) -> None:
    path, grey = tmp_path / "a.tif", values(1)[..., 0]
    if name == "palette":
        Image.fromarray(values()).quantize().save(path)
    elif name == "white is 0":
        tifffile.imwrite(path, grey, photometric="miniswhite")
    elif name == "by channel":
        tifffile.imwrite(path, values().transpose(2, 0, 1).copy(), photometric="rgb", planarconfig="separate")
    elif name == "alpha in the colours":
        write(path, values(4), extrasamples=["assocalpha"])
    elif name == "1 bit":
        Image.fromarray(grey).convert("1").save(path)
    else:
        tifffile.imwrite(path, grey.astype(np.float32) / 255)
    decoded = images.decode(path)
    assert isinstance(decoded.stored, np.ndarray)
    assert_same(decoded, path)


def test_a_file_that_stylekit_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = images.read(write(tmp_path / "a.tif", values(4, np.uint16)))
    images.write(tmp_path / "b.tif", picture)
    decoded = images.decode(tmp_path / "b.tif")
    assert isinstance(decoded.stored, Bands)
    assert_same(decoded, tmp_path / "b.tif")
    monkeypatch.setattr(bands, "CACHE", 1000)  # all in one strip, which is larger
    assert isinstance(images.decode(tmp_path / "b.tif").stored, np.ndarray)


def test_a_last_strip_with_more_rows_than_the_image(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", values(), compression="zlib", rowsperstrip=30)
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages.first.tags[257].overwrite(80)
    assert_same(images.decode(path), path)


@pytest.mark.parametrize("layout", [{}, {"tile": (64, 64)}, {"compression": "zlib"}, {"rowsperstrip": 10**6}])
def test_memory_does_not_grow_with_the_height(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: dict[str, Any]
) -> None:
    monkeypatch.setattr(bands, "CACHE", 2**18)
    monkeypatch.setattr(bands, "VIRTUAL", 2**16)
    peaks = []
    for height in (1000, 5000):
        stored = np.tile(values(), (height // SHAPE[0] + 1, 1, 1))[:height]
        path = write(tmp_path / f"{height}.tif", stored, **layout)
        del stored
        images.decode(path).part(slice(1), arrays=True)  # what is imported
        tracemalloc.start()
        decoded = images.decode(path)
        for top in range(0, height, 100):
            decoded.part(slice(top, top + 120), arrays=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
    assert peaks[1] < 5000 * SHAPE[1] * 3  # less than the values of the image


def test_neighbouring_parts_are_decoded_once(tmp_path: Path) -> None:
    decoded = images.decode(write(tmp_path / "a.tif", values(), compression="zlib"))
    assert isinstance(decoded.stored, Bands)
    segments, read = decoded.stored.segments, []
    decode = segments.decode

    def counted(content: bytes, number: int) -> np.ndarray:
        read.append(number)
        return decode(content, number)

    object.__setattr__(segments, "decode", counted)
    for top, left in product(range(0, 90, 30), range(0, 130, 40)):
        decoded.part(slice(top, top + 40), slice(left, left + 50))
    assert read == [*range(1, 12)]  # 90 rows in strips of 7, of which the first and the last were tried at the start


def test_without_tifffile_it_is_read_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.tif", values())
    monkeypatch.setattr(bands, "installed", lambda: False)
    assert isinstance(images.decode(path).stored, np.ndarray)
    monkeypatch.setattr("stylekit.images.reading.SMALL", 0)
    monkeypatch.setattr("stylekit.images.reading.free_cpu_memory", lambda: 1000)
    with raises(StylekitError, path, "130x90", "stylekit-torch[rasters]"):
        images.decode(path)
    monkeypatch.undo()
    assert_same(images.decode(path), path)


@pytest.mark.parametrize("layout", [{}, {"compression": "zlib"}, {"compression": "lzw", "tile": (32, 48)}])
def test_a_truncated_file_is_refused_before_its_values_are_read(tmp_path: Path, layout: dict[str, Any]) -> None:
    path = write(tmp_path / "a.tif", values(), **layout)
    path.write_bytes(path.read_bytes()[:-500])
    with raises(StylekitError, path, "truncated"):
        images.decode(path)


def test_a_damaged_part_is_named_when_it_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", values(), compression="zlib")
    with tifffile.TiffFile(path) as file:
        place = file.pages.first.dataoffsets[-2]
    content = bytearray(path.read_bytes())
    content[place : place + 20] = b"x" * 20
    path.write_bytes(content)
    decoded = images.decode(path)
    decoded.part(slice(0, 70))
    with raises(StylekitError, path, "damaged"):
        decoded.part()


TAGS = {"width": 256, "height": 257, "offsets": 273, "lengths": 279, "tile width": 322, "tile offsets": 324}


@pytest.mark.parametrize(("tag", "value"), [*product(TAGS, [0, 2**31 - 1])])
def test_hostile_headers_end_in_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tag: str, value: int
) -> None:
    """Whatever a size or an offset is, no memory is taken for it, and nothing but a StylekitError is raised."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # as with --max-memory
    layout = {"tile": (32, 48)} if "tile" in tag else {}
    path = write(tmp_path / "a.tif", values(), compression="zlib", **layout)
    with tifffile.TiffFile(path, mode="r+b") as file:
        changed = file.pages.first.tags[TAGS[tag]]
        changed.overwrite(value if changed.count == 1 else (value,) * changed.count, dtype="I")
    tracemalloc.start()
    with raises(StylekitError, path):
        images.decode(path).part(slice(200), slice(200), arrays=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**25
