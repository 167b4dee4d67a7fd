"""Files of any type and number of channels, read and written, against tifffile, NumPy and Pillow themselves."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from stylekit import StylekitError, images
from stylekit.images import Raster, raster_formats
from tests.facts import raises

KINDS = ["uint8", "uint16", "int16", "uint32", "int32", "float32"]


def numbers(shape: tuple[int, ...], kind: str, seed: int = 0) -> np.ndarray[Any, Any]:
    """Values of the whole range of a type."""
    generator = np.random.default_rng(seed)
    if np.dtype(kind).kind == "f":
        return generator.normal(0, 1000, shape).astype(kind)
    limits = np.iinfo(kind)
    return generator.integers(limits.min, limits.max, shape, kind, endpoint=True)


def written(folder: Path, source: Path, name: str = "") -> Path:
    """A copy of a file, by what was read of it."""
    target = folder / (name or f"copy{''.join(source.suffixes)}")
    images.write_raster(target, images.read_raster(source))
    return target


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 2, 3, 7])
def test_tiff_of_every_type_comes_back(tmp_path: Path, kind: str, channels: int) -> None:
    values = numbers((9, 13, channels) if channels > 1 else (9, 13), kind)
    colors = "rgb" if channels == 3 and kind in ("uint8", "uint16") else "minisblack"
    tifffile.imwrite(tmp_path / "in.tif", values, photometric=colors, planarconfig="contig" if channels > 1 else None)
    raster = images.read_raster(tmp_path / "in.tif")
    assert raster.values.dtype == kind
    assert np.array_equal(raster.values, values.reshape(1, 9, 13, channels))
    again = tifffile.imread(written(tmp_path, tmp_path / "in.tif"))
    assert again.dtype == kind
    assert np.array_equal(again, values)


@pytest.mark.parametrize(
    ("axes", "shape", "pages", "channels"),
    [
        ("CYX", (4, 9, 13), 1, 4),
        ("ZYX", (5, 9, 13), 5, 1),
        ("ZCYX", (3, 2, 9, 13), 3, 2),
        ("TZYX", (2, 3, 9, 13), 6, 1),
    ],
)
@pytest.mark.parametrize("kind", ["ome", "imagej"])
def test_channels_and_slices_of_ome_and_imagej_come_back_with_their_description(
    tmp_path: Path, axes: str, shape: tuple[int, ...], pages: int, channels: int, kind: str
) -> None:
    values = numbers(shape, "uint16")
    source = tmp_path / ("in.ome.tif" if kind == "ome" else "in.tif")
    ours = {"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm"} if kind == "ome" else {"unit": "um", "spacing": 2.5}
    tifffile.imwrite(source, values, **{kind: True}, metadata={"axes": axes, **ours})
    raster = images.read_raster(source)
    assert raster.values.shape == (pages, 9, 13, channels)
    by_hand = np.moveaxis(values, axes.index("C"), -1) if "C" in axes else values[..., None]
    assert np.array_equal(raster.values, by_hand.reshape(raster.values.shape))
    with tifffile.TiffFile(source) as before, tifffile.TiffFile(written(tmp_path, source)) as after:
        assert after.series[0].axes == before.series[0].axes
        assert np.array_equal(after.asarray(), values)
        assert after.ome_metadata == before.ome_metadata
        if kind == "imagej":
            assert after.imagej_metadata["spacing"] == 2.5


def test_planes_stay_planes_and_white_stays_zero(tmp_path: Path) -> None:
    values = numbers((3, 9, 13), "uint16")
    tifffile.imwrite(tmp_path / "in.tif", values, photometric="rgb", planarconfig="separate", compression="zlib")
    assert np.array_equal(images.read_raster(tmp_path / "in.tif").values[0], np.moveaxis(values, 0, -1))
    with tifffile.TiffFile(written(tmp_path, tmp_path / "in.tif")) as file:
        assert file.pages[0].planarconfig.name == "SEPARATE"
        assert np.array_equal(file.asarray(), values)
    tifffile.imwrite(tmp_path / "white.tif", values[0], photometric="miniswhite", resolution=(300, 150))
    with tifffile.TiffFile(written(tmp_path, tmp_path / "white.tif")) as file:
        assert file.pages[0].photometric.name == "MINISWHITE"
        assert file.pages[0].resolution == (300, 150)
        assert np.array_equal(file.asarray(), values[0])


@pytest.mark.parametrize("kind", [*KINDS, "float16", "float64", "int64", ">i2", ">f4"])
@pytest.mark.parametrize("shape", [(9, 13), (9, 13, 1), (9, 13, 5), (2, 9, 13, 5)])
def test_npy_comes_back(tmp_path: Path, kind: str, shape: tuple[int, ...]) -> None:
    values = numbers(shape, np.dtype(kind).newbyteorder("=").name).astype(kind)
    np.save(tmp_path / "in.npy", values)
    raster = images.read_raster(tmp_path / "in.npy")
    assert np.array_equal(raster.values.ravel(), values.ravel())
    again = np.load(written(tmp_path, tmp_path / "in.npy"))
    assert (again.shape, again.dtype) == (shape, values.dtype.newbyteorder("="))
    assert np.array_equal(again, values)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_png_comes_back(tmp_path: Path, channels: int, kind: str) -> None:
    values = numbers((1, 9, 13, channels), kind)
    images.write_raster(tmp_path / "in.png", Raster(values))
    with Image.open(tmp_path / "in.png") as file:
        if (channels, kind) != (3, "uint16"):  # of which Pillow keeps 8 bits
            assert np.array_equal(np.atleast_3d(np.asarray(file)), values[0])
    assert np.array_equal(images.read_raster(tmp_path / "in.png").values, values)
    assert images.read_raster(tmp_path / "in.png").values.dtype == kind


def test_values_go_from_one_format_to_another(tmp_path: Path) -> None:
    values = numbers((2, 9, 13, 5), "int16")
    np.save(tmp_path / "in.npy", values)
    tiff = written(tmp_path, tmp_path / "in.npy", "out.tif")
    with tifffile.TiffFile(tiff) as file:
        assert np.array_equal(np.stack([page.asarray() for page in file.pages]), values)
    single = values[:1, ..., :1].astype(np.uint8)
    images.write_raster(tmp_path / "out.png", Raster(single))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")), single[0, ..., 0])


def test_colours_of_a_picture_become_grey_as_pillow_does_it_and_grey_is_repeated(tmp_path: Path) -> None:
    values = numbers((1, 9, 13, 3), "uint8")
    images.write_raster(tmp_path / "in.png", Raster(values))
    grey = images.read_raster(tmp_path / "in.png", channels=1).values
    by_pillow = np.asarray(Image.fromarray(values[0]).convert("L")).astype(int)
    assert np.abs(grey[0, ..., 0] - by_pillow).max() <= 1
    images.write_raster(tmp_path / "grey.png", Raster(grey))
    assert np.array_equal(images.read_raster(tmp_path / "grey.png", channels=3).values, np.repeat(grey, 3, -1))


def test_other_sizes_are_written_without_the_description_of_the_original(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "in.ome.tif", numbers((3, 9, 13), "uint16"), ome=True, metadata={"axes": "CYX"})
    raster = images.read_raster(tmp_path / "in.ome.tif")
    doubled = raster.values.repeat(2, 1).repeat(2, 2)
    images.write_raster(tmp_path / "out.tif", Raster(doubled, raster.file, raster.original))
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert file.ome_metadata is None
        assert np.array_equal(file.asarray(), doubled[0])


class Exploding:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, ("raise SystemExit('code was run')",)


def make(path: Path) -> Path:
    """A file by its name, that cannot be used."""
    values = numbers((9, 13), "uint16")
    if path.name == "objects.npy":
        np.save(path, np.array([[Exploding()]]), allow_pickle=True)
    elif path.name == "pickle.npy":
        path.write_bytes(pickle.dumps(Exploding()))
    elif path.name == "complex.npy":
        np.save(path, values * 1j)
    elif path.name == "line.npy":
        np.save(path, values[0])
    elif path.name == "short.npy":
        np.save(path, values)
        path.write_bytes(path.read_bytes()[:-9])
    elif path.name == "huge.npy":
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(
                file, {"descr": "<f8", "fortran_order": False, "shape": (2**30, 2**20)}
            )
    elif path.name == "short.tif":
        tifffile.imwrite(path, numbers((64, 64), "uint16"))
        path.write_bytes(path.read_bytes()[:-900])
    elif path.name == "several.tif":
        with tifffile.TiffWriter(path) as file:
            file.write(values, metadata=None)
            file.write(numbers((5, 7), "uint8"), metadata=None)
    elif path.name == "palette.tif":
        tifffile.imwrite(path, values.astype(np.uint8), photometric="palette", colormap=numbers((3, 256), "uint16"))
    elif path.name in ("palette.png", "palette.gif", "palette.bmp"):
        image = Image.fromarray(np.arange(35, dtype=np.uint8).reshape(5, 7), "P")
        image.putpalette(numbers((768,), "uint8").tolist())
        image.save(path)
    elif path.name == "complex.tif":
        tifffile.imwrite(path, values.astype(np.complex64))
    elif path.name == "alpha.png":
        Image.new("RGBA", (4, 4)).save(path)
    elif path.stem == "empty":
        path.touch()
    elif path.name == "text.tif":
        path.write_text("no picture")
    elif path.name == "inks.jpg":
        Image.new("CMYK", (4, 4)).save(path)
    elif path.name == "values.txt":
        path.write_text("1 2 3")
    return path


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("objects.npy", ["type object", "integers or floats"]),
        ("pickle.npy", ["cannot be read"]),
        ("complex.npy", ["complex128"]),
        ("line.npy", ["(13,)", "(H, W, C)"]),
        ("short.npy", ["truncated"]),
        ("huge.npy", ["truncated"]),
        ("short.tif", ["cannot be read"]),
        ("several.tif", ["2 images"]),
        *((f"palette.{suffix}", ["palette", "as grey", "as RGB"]) for suffix in ("tif", "png", "gif", "bmp")),
        ("complex.tif", ["complex64"]),
        ("text.tif", ["cannot be read"]),
        ("alpha.png", ["transparency"]),
        *((f"empty.{suffix}", ["it is empty"]) for suffix in ("npy", "tif", "png")),
        ("inks.jpg", ["CMYK"]),
        ("values.txt", ["suffix", ".npy", ".tif"]),
        ("nowhere.npy", ["no such file"]),
    ],
)
def test_what_cannot_be_used_is_one_error(tmp_path: Path, name: str, facts: list[object]) -> None:
    with raises(StylekitError, tmp_path / name, *facts):
        images.read_raster(make(tmp_path / name))


@pytest.mark.parametrize("name", ["in.npy", "in.tif"])
def test_sizes_are_compared_with_the_free_memory_before_values_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    images.write_raster(tmp_path / name, Raster(numbers((1, 64, 64, 1), "uint16")))
    monkeypatch.setattr(raster_formats, "free_cpu_memory", lambda: 2**10)
    with raises(StylekitError, tmp_path / name, "MiB", "4,096 values"):
        images.read_raster(tmp_path / name)


@pytest.mark.parametrize("name", ["in.npy", "in.tif"])
def test_other_channels_than_needed_are_refused_where_the_colours_have_no_known_meaning(
    tmp_path: Path, name: str
) -> None:
    images.write_raster(tmp_path / name, Raster(numbers((1, 9, 13, 3), "uint8")))
    with raises(StylekitError, tmp_path / name, "3 channels", "1 is needed"):
        images.read_raster(tmp_path / name, channels=1)


@pytest.mark.parametrize(
    ("name", "kind", "channels", "facts"),
    [
        ("out.png", "int16", 1, ["PNG", "uint16", "int16", ".tif or .npy"]),
        ("out.png", "uint8", 2, ["PNG", "uint8 with 2"]),
        ("out.jpg", "uint16", 1, ["JPEG", "uint8"]),
        ("out.txt", "uint8", 1, ["suffix", ".npy"]),
    ],
)
def test_formats_refuse_what_they_do_not_hold(
    tmp_path: Path, name: str, kind: str, channels: int, facts: list[object]
) -> None:
    (tmp_path / name).write_text("mine")
    with raises(StylekitError, tmp_path / name, *facts):
        images.write_raster(tmp_path / name, Raster(numbers((1, 9, 13, channels), kind)))
    assert (tmp_path / name).read_text() == "mine"
