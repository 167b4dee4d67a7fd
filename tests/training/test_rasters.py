"""Training on images of any number of channels: CycleGAN, pix2pix and restoration, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import stylekit
from stylekit import StylekitError, images, make
from stylekit.images import Intensities
from stylekit.inference.importing import import_model
from stylekit.inference.tiles import Tiles
from stylekit.training.sample_grid import grid
from tests.facts import raises

RESNET = {"generator": {"name": "resnet", "blocks": 1, "width": 4}}
JUDGE = {"discriminator": {"name": "patch", "layers": 1, "width": 4}}
NAFNET = {"generator": {"name": "nafnet", "width": 4, "blocks": [1, 1]}}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "cyclegan": ("rasters", {**RESNET, **JUDGE}),
    "pix2pix": ("raster-pairs", {**RESNET, **JUDGE}),
    "restore": ("rasters", NAFNET),
    "restore-gan": ("rasters", {**NAFNET, **JUDGE}),
}
WINDOW = [-1000, 400]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two sides of two slices in Hounsfield units."""
    folder = tmp_path / "slices"
    for number, side in enumerate("AB"):
        (folder / side).mkdir(parents=True)
        for index in range(2):
            values = np.random.default_rng([number, index]).integers(-1000, 400, (24, 40)).astype(np.int16)
            tifffile.imwrite(folder / side / f"{index}.tif", values)
    return folder


def train(folder: Path, method: str, out: Path, **settings: Any) -> Path:
    data, options = CASES[method]
    chosen = {"name": data, "window": WINDOW, "data": str(folder)}
    if method.startswith("restore"):
        chosen = {**chosen, "content": str(folder / "A")}
        del chosen["data"]
    given = {
        "size": 24,
        "steps": 1,
        "workers": 0,
        "device": "cpu",
        "out": out,
        "data": {**chosen, **settings.pop("data", {})},
    }
    return stylekit.train(method, **{**given, **settings, "set": {**options, "channels": 1, **settings.get("set", {})}})


@pytest.mark.parametrize(
    "method", [name if name == "restore" else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)
def test_a_model_gives_back_the_type_and_the_range_and_is_loaded_with_its_mapping(
    folder: Path, tmp_path: Path, method: str
) -> None:
    run = train(folder, method, tmp_path / "run")
    model = stylekit.load(run, "cpu")
    assert (model.method.image_channels, model.intensities) == (1, Intensities(window=(-1000, 400)))
    made = model.stylize(folder / "A/0.tif")
    assert (made.values.dtype, made.values.shape) == (np.int16, (1, 24, 40, 1))
    assert -1000 <= made.values.min() < made.values.max() <= 400
    unit = torch.from_numpy((tifffile.imread(folder / "A/0.tif").astype(float) + 1000) / 1400).float()
    by_hand = model.method.stylize(unit[None, None])[0, 0].detach().clamp(0, 1).double().numpy() * 1400 - 1000
    assert np.abs(made.values[0, ..., 0] - by_hand).max() <= 0.51
    last = max((run / "checkpoints").iterdir())
    assert stylekit.load(last, "cpu").intensities == model.intensities
    sheet = np.asarray(Image.open(max((run / "samples").iterdir())).convert("RGB"))
    assert (sheet[30:] == sheet[30:, :, :1]).all()  # grey is shown as grey


def test_a_resumed_run_keeps_the_mapping(folder: Path, tmp_path: Path) -> None:
    run = train(folder, "restore", tmp_path / "run")
    stylekit.train(out=run, resume=True, steps=2, workers=0, device="cpu")
    assert stylekit.load(run, "cpu").intensities == Intensities(window=(-1000, 400))


def test_further_losses_and_augmentations_work_with_five_channels(tmp_path: Path) -> None:
    folder = tmp_path / "features"
    for side in "AB":
        (folder / side).mkdir(parents=True)
        np.save(folder / side / "0.npy", np.random.default_rng(0).random((24, 24, 5), np.float32))
    options = {
        "channels": 5,
        "augment": ["ada", "diffaugment"],
        "extra": ["ssim", "total-variation", "color-histogram"],
    }
    data = {"window": [0, 1], "channels": 5}
    run = train(folder, "cyclegan", tmp_path / "run", set=options, data=data)
    made = stylekit.load(run, "cpu").stylize(folder / "A/0.npy", direction="b-to-a")
    assert (made.values.dtype, made.values.shape) == (np.float32, (1, 24, 24, 5))


@pytest.mark.parametrize(
    ("method", "settings", "facts"),
    [
        ("cyclegan", {"set": {"channels": 3}}, ["Rasters", "1 channel", "'cyclegan' is for 3", "--set channels=1"]),
        ("cyclegan", {"data": {"channels": 2}}, ["2 channels", "--set channels=2", "rasters, channels: 1"]),
        ("cyclegan", {"set": {"extra": ["perceptual"], "cycle": 1.0}}, ["encoder", "3 channels", "not of 1"]),
        ("restore", {"set": {"degradation": "jpeg"}}, ["degradation JPEG", "3 channels", "not of 1"]),
        ("restore", {"set": {"degradation": "grey"}}, ["degradation Grey", "3 channels"]),
        ("restore", {"data": {"window": [1, 1]}}, ["'window'", "smaller"]),
        ("restore", {"data": {"percentile": [1, 99]}}, ["window", "percentiles"]),
    ],
)
def test_what_does_not_go_together_is_one_error(
    folder: Path, tmp_path: Path, method: str, settings: dict[str, Any], facts: list[object]
) -> None:
    with raises(StylekitError, *facts):
        train(folder, method, tmp_path / "run", **settings)


def test_pictures_are_not_for_a_method_of_one_channel(folder: Path, tmp_path: Path) -> None:
    with raises(StylekitError, "3 channels", "'cyclegan' is for 1"):
        stylekit.train("cyclegan", size=32, out=tmp_path / "run", set={**RESNET, **JUDGE, "channels": 1})


def test_a_method_without_the_option_says_which_have_it(folder: Path, tmp_path: Path) -> None:
    data = {"name": "rasters", "data": str(folder)}
    with raises(StylekitError, "'cut' is for 3", "cyclegan, pix2pix or restore"):
        stylekit.train("cut", preset="tiny", size=32, out=tmp_path / "run", data=data)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_sample_grid_shows_any_number_of_channels(count: int) -> None:
    image = torch.rand(count, 5, 6, generator=torch.Generator().manual_seed(0))
    shown = grid([[image]], gap=0)
    by_hand = image[:3] if count >= 3 else image[:1].expand(3, -1, -1)
    torch.testing.assert_close(shown, by_hand)


def rewired(state: dict[str, torch.Tensor], channels: int) -> dict[str, torch.Tensor]:
    """The weights of a generator for RGB, changed to those of a network that reads and writes other channels."""
    first, last = (
        "model.1.weight",
        max((key for key in state if key.endswith("weight")), key=lambda key: int(key.split(".")[1])),
    )
    reads, writes = state[first][:, :1], state[last][:1]
    changed = {first: reads.repeat(1, channels, 1, 1), last: writes.repeat(channels, 1, 1, 1)}
    bias = last.replace("weight", "bias")
    return {**state, **changed, bias: state[bias][:1].repeat(channels)}


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("method", ["cyclegan", "pix2pix"])
def test_files_of_the_papers_code_with_other_channels_are_imported(tmp_path: Path, method: str, channels: int) -> None:
    torch.manual_seed(0)
    generator = make("generator", "resnet", blocks=1, width=4)
    state = rewired(dict(generator.state_dict()), channels)
    name = "latest_net_G_A.pth" if method == "cyclegan" else "latest_net_G.pth"
    torch.save(state, tmp_path / name)
    import_model([tmp_path / name], method, tmp_path / "model.safetensors")
    model = stylekit.load(tmp_path / "model.safetensors", "cpu")
    assert model.method.image_channels == channels
    own = make("generator", "resnet", blocks=1, width=4, channels=channels)
    own.load_state_dict(state)
    values = np.random.default_rng(0).integers(0, 255, (16, 20, channels)).astype(np.uint8)
    unit = torch.from_numpy(values).permute(2, 0, 1)[None].float() / 255
    by_hand = own(unit)[0].permute(1, 2, 0).detach().numpy() * 255
    assert np.abs(model.stylize(values) - by_hand).max() <= 0.51


def test_a_method_for_rgb_refuses_a_file_of_one_channel(tmp_path: Path) -> None:
    state = rewired(dict(make("generator", "resnet", blocks=1, width=4).state_dict()), 1)
    torch.save(state, tmp_path / "latest_net_G.pth")
    with raises(StylekitError, "1 channel", "'cut' is for RGB"):
        import_model([tmp_path / "latest_net_G.pth"], "cut", tmp_path / "model.safetensors")


@pytest.mark.parametrize("name", ["resnet", "unet", "nafnet", "srvgg", "rrdb"])
def test_every_generator_has_any_number_of_channels(name: str) -> None:
    small = {"rrdb": {"blocks": 1, "width": 4, "growth": 2}, "unet": {"downs": 5, "width": 4}}.get(name, {"width": 4})
    network = make("generator", name, channels=2, **small).eval()
    image = torch.rand(1, 2, 36, 40)
    assert network(image).shape == image.shape
    recognised = getattr(network, "recognise", None)
    if recognised and name not in ("rrdb",):
        assert recognised(network.state_dict())["channels"] == 2


def test_a_picture_of_colours_becomes_grey_for_a_model_of_one_channel(folder: Path, tmp_path: Path) -> None:
    run = train(folder, "restore", tmp_path / "run", data={"window": [0, 255]})
    colors = np.random.default_rng(0).integers(0, 255, (24, 40, 3)).astype(np.uint8)
    Image.fromarray(colors).save(tmp_path / "photo.png")
    model = stylekit.load(run, "cpu")
    images.write_raster(tmp_path / "out.png", model.stylize(tmp_path / "photo.png", strength=0.0))
    made = np.asarray(Image.open(tmp_path / "out.png"))
    assert made.ndim == 2
    assert np.abs(made.astype(int) - np.asarray(Image.fromarray(colors).convert("L"))).max() <= 1


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Two pictures in colours, and their label maps of four classes."""
    folder = tmp_path / "labelled"
    for side in "AB":
        (folder / side).mkdir(parents=True)
    for index in range(2):
        labels = np.random.default_rng(index).integers(0, 4, (24, 40), np.uint8)
        Image.fromarray(labels).save(folder / f"B/{index}.png")
        Image.fromarray(np.stack([60 * labels, 255 - 60 * labels, labels], -1)).save(folder / f"A/{index}.png")
    return folder


def train_labels(folder: Path, out: Path, method: str = "pix2pix", reverse: bool = False, **options: Any) -> Path:
    data = {"name": "raster-pairs", "data": str(folder), "channels": 3, "labels": 4, "reverse": reverse}
    given = {"size": 24, "steps": 1, "workers": 0, "device": "cpu", "out": out, "data": data}
    return stylekit.train(method, **given, set={**RESNET, **JUDGE, **options})


def test_a_picture_becomes_a_label_map_of_integers(labelled: Path, tmp_path: Path) -> None:
    model = stylekit.load(train_labels(labelled, tmp_path / "run", outputs=4), "cpu")
    made = model.stylize(labelled / "A/0.png")
    assert (made.values.dtype, made.values.shape) == (np.uint8, (1, 24, 40, 1))
    colors = torch.from_numpy(np.array(Image.open(labelled / "A/0.png"))).permute(2, 0, 1)[None].float() / 255
    assert np.array_equal(made.values[0, ..., 0], model.method.stylize(colors)[0].argmax(0).numpy())
    assert np.array_equal(model.stylize(labelled / "A/0.png", tiles=Tiles(128)).values, made.values)
    images.write_raster(tmp_path / "out.png", made)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")), made.values[0, ..., 0])
    with raises(StylekitError, "another kind", "strength"):
        model.stylize(labelled / "A/0.png", strength=0.5)


def test_a_label_map_becomes_a_picture(labelled: Path, tmp_path: Path) -> None:
    run = train_labels(labelled, tmp_path / "run", reverse=True, channels=4, outputs=3)
    model = stylekit.load(run, "cpu")
    made = model.stylize(labelled / "B/0.png")
    assert (made.values.dtype, made.values.shape) == (np.uint8, (1, 24, 40, 3))
    with raises(StylekitError, "0 to 3", "value 200"):
        model.stylize(np.full((8, 8), 200, np.uint8))


@pytest.mark.parametrize(
    ("method", "options", "facts"),
    [
        ("pix2pix", {}, ["4 channels", "'pix2pix' makes images of 3", "--set outputs=4"]),
        ("cyclegan", {}, ["different ways", "'cyclegan'", "pix2pix"]),
        ("cyclegan", {"reverse": True, "channels": 4}, ["different ways", "'cyclegan'", "pix2pix"]),
    ],
)
def test_label_maps_need_a_method_of_other_outputs(
    labelled: Path, tmp_path: Path, method: str, options: dict[str, Any], facts: list[object]
) -> None:
    with raises(StylekitError, *facts):
        train_labels(labelled, tmp_path / "run", method, **options)


def test_another_window_of_the_style_gives_floats_in_its_unit(folder: Path, tmp_path: Path) -> None:
    run = train(folder, "pix2pix", tmp_path / "run", data={"style_window": [0, 10]})
    model = stylekit.load(run, "cpu")
    made = model.stylize(folder / "A/0.tif")
    unit = torch.from_numpy((tifffile.imread(folder / "A/0.tif").astype(float) + 1000) / 1400).float()
    by_hand = 10 * model.method.stylize(unit[None, None])[0, 0].detach().clamp(0, 1).numpy()
    assert made.values.dtype == np.float32
    assert np.abs(made.values[0, ..., 0] - by_hand).max() <= 1e-4


@pytest.mark.parametrize(("direction", "source", "target"), [("a-to-b", WINDOW, [0, 10]), ("b-to-a", [0, 10], WINDOW)])
def test_both_domains_of_a_cyclegan_may_have_a_window(
    folder: Path, tmp_path: Path, direction: str, source: list[float], target: list[float]
) -> None:
    for path in (folder / "B").iterdir():
        tifffile.imwrite(path, np.random.default_rng(1).uniform(0, 10, (24, 40)).astype(np.float32))
    run = train(folder, "cyclegan", tmp_path / "run", data={"style_window": [0, 10]})
    model = stylekit.load(run, "cpu")
    given = folder / ("A/0.tif" if direction == "a-to-b" else "B/0.tif")
    made = model.stylize(given, direction=direction)
    unit = torch.from_numpy((tifffile.imread(given).astype(float) - source[0]) / (source[1] - source[0])).float()
    method: Any = model.method
    with torch.no_grad():
        by_hand = method.stylize(unit[None, None], direction=direction)[0, 0].clamp(0, 1).double().numpy()
    expected = target[0] + (target[1] - target[0]) * by_hand
    assert made.values.dtype == np.float32
    assert np.abs(made.values[0, ..., 0] - expected).max() <= 1e-5 * (target[1] - target[0])


@pytest.mark.parametrize("mapping", [{}, {"percentile": [1, 99]}])
def test_results_of_both_sides_need_a_window_each(folder: Path, tmp_path: Path, mapping: dict[str, Any]) -> None:
    with raises(StylekitError, "'cyclegan'", "'window'"):
        train(folder, "cyclegan", tmp_path / "run", data={"window": None, "style_window": [0, 10], **mapping})


def test_a_window_of_the_style_needs_a_style(folder: Path) -> None:
    with raises(StylekitError, "'style_window'", "--style DIR"):
        make("dataset", "rasters", content=folder / "A", style_window=(0.0, 10.0))


@pytest.mark.parametrize("name", ["resnet", "unet"])
@pytest.mark.parametrize("upsample", ["transpose", "resize"])
def test_files_with_another_number_of_outputs_are_imported(tmp_path: Path, name: str, upsample: str) -> None:
    torch.manual_seed(0)
    small = {"blocks": 1, "width": 4} if name == "resnet" else {"downs": 5, "width": 4}
    network = make("generator", name, channels=1, outputs=3, upsample=upsample, **small).eval()
    torch.save(network.state_dict(), tmp_path / "latest_net_G.pth")
    import_model([tmp_path / "latest_net_G.pth"], "pix2pix", tmp_path / "model.safetensors")
    model = stylekit.load(tmp_path / "model.safetensors", "cpu")
    edges = np.random.default_rng(0).integers(0, 255, (40, 36), np.uint8)
    made = model.stylize(edges)
    by_hand = network(torch.from_numpy(edges)[None, None].float() / 255)[0].permute(1, 2, 0).detach().numpy() * 255
    assert made.shape == (40, 36, 3)
    assert np.abs(made - by_hand).max() <= 0.51
    with raises(StylekitError, "3 channels from images of 1", "'cyclegan'", "pix2pix"):
        import_model([tmp_path / "latest_net_G.pth"], "cyclegan", tmp_path / "other.safetensors")
