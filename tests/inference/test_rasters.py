"""Models that are trained on values: they give back the type and the range that they got."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from torch import Tensor, nn

import stylekit
from stylekit import Method, StylekitError, StylekitWarning, images
from stylekit.images import Intensities
from stylekit.inference.exported.export import export
from stylekit.inference.model import Model
from stylekit.inference.model_files import save_model
from stylekit.inference.tiles import Tiles
from stylekit.inference.tiles.pieces import reduced_by
from tests.facts import raises, warns

WINDOW = (-1000.0, 400.0)


class Change(Method):
    """Multiplies values in [0, 1] by a factor, by a network.

    Args:
        factor: the factor
        channels: number of channels
    """

    def __init__(self, factor: float = 1.0, channels: int = 1) -> None:
        super().__init__()
        self.image_channels = channels
        self.layer = nn.Conv2d(channels, channels, 1, groups=channels, bias=False)
        nn.init.constant_(self.layer.weight, factor)

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        image: Tensor = self.layer(content)
        return image


def model(intensities: Mapping[str, Any] | None = None, factor: float = 1.0, channels: int = 1) -> Model:
    method = Change(factor, channels)
    method.intensities = None if intensities is None else Intensities(**intensities)
    return Model(method, "change")


def slices(kind: str = "int16", shape: tuple[int, ...] = (30, 40), low: int = -1000, high: int = 400) -> Any:
    return np.random.default_rng(0).integers(low, high, shape, endpoint=True).astype(kind)


@pytest.mark.parametrize("kind", ["int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("shape", [(30, 40), (30, 40, 1), (3, 30, 40, 1)])
def test_hounsfield_units_come_back_where_nothing_was_to_change(kind: str, shape: tuple[int, ...]) -> None:
    values = slices(kind, shape)
    made = model({"window": WINDOW}).stylize(values)
    assert (made.dtype, made.shape) == (kind, shape)
    assert np.array_equal(made, values)


@pytest.mark.parametrize("kind", ["uint8", "int8", "uint16", "int16", "uint32", "float32"])
def test_every_type_comes_back_within_a_step(kind: str) -> None:
    limits = (0, 1) if kind == "float32" else (np.iinfo(kind).min, np.iinfo(kind).max)
    values = np.random.default_rng(0).uniform(*limits, (20, 30)).astype(kind)
    made = model({}, 1 + 1e-7).stylize(values)  # so that nothing is copied
    assert made.dtype == kind
    assert np.abs(made.astype(float) - values).max() <= max(limits[1] * 2**-22, 0 if kind == "float32" else 1)


def test_changes_are_those_of_the_mapped_values() -> None:
    values = slices()
    made = model({"window": WINDOW}, 0.5).stylize(values)
    assert np.abs(made - (-1000 + 0.5 * (values.astype(float) + 1000))).max() <= 0.51
    values = slices("uint16", low=100, high=900)
    low, high = np.percentile(values, [1, 99])
    by_hand = np.where(values < low, values, low + 0.5 * (values.clip(low, high) - low))  # 0 stays 0, so they are kept
    assert np.abs(model({"percentile": (1.0, 99.0)}, 0.5).stylize(values) - by_hand).max() <= 0.51


def test_values_outside_the_window_are_counted_and_kept_if_they_do_not_change() -> None:
    values = slices(low=-2000, high=1500)
    outside = int(((values < -1000) | (values > 400)).sum())
    with warns(StylekitWarning, f"{outside:,} of 1,200", "-1000 to 400"):
        made = model({"window": WINDOW}).stylize(values)
    assert np.array_equal(made, values)
    with warns(StylekitWarning, f"{outside:,}"):
        made = model({"window": WINDOW}, 0.5).stylize(values)
    assert made[values > 400].tolist() == [-300] * int((values > 400).sum())


def test_strength_and_masks_work_on_values() -> None:
    values, mask = slices(), np.zeros((30, 40), np.uint8)
    mask[:, :20] = 255
    made = model({"window": WINDOW}, 0.5).stylize(values, mask=mask, strength=1.0)
    assert np.array_equal(made[:, 21:], values[:, 21:])
    assert np.abs(made[:, :19] - (-1000 + 0.5 * (values[:, :19].astype(float) + 1000))).max() <= 0.51
    assert np.array_equal(model({"window": WINDOW}, 0.5).stylize(values, strength=0.0), values)


def test_tiles_give_what_the_whole_image_gives() -> None:
    values = slices(shape=(700, 600, 5))
    subject = model({"window": WINDOW}, 0.5, channels=5)
    assert np.array_equal(subject.stylize(values, tiles=Tiles(256)), subject.stylize(values))


@pytest.mark.parametrize("channels", [1, 5])
def test_the_thumbnail_of_tiles_has_all_channels(channels: int) -> None:
    image = torch.rand(1, channels, 50, 37, dtype=torch.float64)
    reduced = reduced_by(4, lambda box: image[..., box.rows, box.columns], (50, 37))
    assert reduced.shape == (1, channels, 13, 10)
    torch.testing.assert_close(reduced[..., :12, :9], image[..., :48, :36].unfold(2, 4, 4).unfold(3, 4, 4).mean((4, 5)))
    torch.testing.assert_close(reduced[..., 12, 9], image[..., 48:, 36:].mean((2, 3)))


def test_a_file_becomes_a_raster_that_is_written_like_it(tmp_path: Path) -> None:
    values = slices("uint16", (4, 30, 40), 0, 60000)
    tifffile.imwrite(tmp_path / "in.ome.tif", values, ome=True, metadata={"axes": "CYX", "PhysicalSizeX": 0.5})
    images.write_raster(tmp_path / "out.ome.tif", model({}, channels=4).stylize(tmp_path / "in.ome.tif"))
    with tifffile.TiffFile(tmp_path / "out.ome.tif") as file, tifffile.TiffFile(tmp_path / "in.ome.tif") as before:
        assert np.array_equal(file.asarray(), values)
        assert file.ome_metadata == before.ome_metadata


def test_a_pil_image_becomes_one() -> None:
    image = Image.fromarray(slices("uint8", low=0, high=255))
    made = model({}).stylize(image)
    assert (made.mode, made.tobytes()) == ("L", image.tobytes())


def test_a_model_of_other_channels_without_a_mapping_takes_the_range_of_the_type() -> None:
    subject = model(None, 0.5)
    assert subject.intensities == Intensities()
    assert subject.stylize(np.full((4, 4), 200, np.uint8)).tolist() == [[100] * 4] * 4
    assert model(None, channels=3).intensities is None


def test_the_mapping_is_stored_in_the_model_file(tmp_path: Path) -> None:
    save_model(model({"window": WINDOW}).method, "change", tmp_path / "model.safetensors")
    loaded = stylekit.load(tmp_path / "model.safetensors", "cpu", Change)
    assert loaded.intensities == Intensities(window=WINDOW)
    save_model(Change(channels=3), "change", tmp_path / "rgb.safetensors")
    assert b"intensities" not in (tmp_path / "rgb.safetensors").read_bytes()
    content = (tmp_path / "model.safetensors").read_bytes().replace(b"-1000.0", b"90000.0")
    (tmp_path / "model.safetensors").write_bytes(content)
    with raises(StylekitError, tmp_path / "model.safetensors", "damaged", "intensities"):
        stylekit.load(tmp_path / "model.safetensors", "cpu", Change)


@pytest.mark.parametrize(
    ("image", "options", "facts"),
    [
        (np.zeros((8, 8, 3), np.uint8), {}, ["3 channels", "for 1"]),
        (np.zeros((8, 8), bool), {}, ["numbers", "bool"]),
        (np.zeros(8), {}, ["(H, W)", "(8,)"]),
        (Image.new("P", (8, 8)), {}, ["palette", "as grey", "as RGB"]),
        (torch.zeros(1, 3, 8, 8), {}, ["(N, 1, H, W)", "(1, 3, 8, 8)"]),
        (8, {}, ["path", "NumPy array", "int"]),
        (np.zeros((8, 8)), {"keep_color": "luminance"}, ["keep_color", "1 channels"]),
        ("nowhere.npy", {}, ["nowhere.npy", "no such file"]),
    ],
)
def test_what_does_not_fit_is_refused(image: Any, options: dict[str, Any], facts: list[object]) -> None:
    with raises(StylekitError, *facts):
        model({}).stylize(image, **options)


def test_such_a_model_is_none_of_several() -> None:
    with raises(StylekitError, "1 channel", "RGB pictures"):
        stylekit.load(["color-pca", model({})], "cpu")


def test_such_a_model_is_not_exported(tmp_path: Path) -> None:
    with raises(StylekitError, "mapping", "RGB"):
        export(model({}), tmp_path / "model.onnx")
