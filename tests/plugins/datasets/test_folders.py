"""The dataset of two image folders, or of one."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from stylekit.errors import StylekitError, StylekitWarning
from stylekit_plugins.datasets.folders import Folders, stylekit_datasets
from tests.facts import assert_mentions, raises, warns

REAL = Path(__file__).parents[3] / "../shared/data"


def shaded(folder: Path, shades: list[int], size: tuple[int, int] = (40, 30)) -> Path:
    """Images of a single shade each, by which they are identified."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, shade in enumerate(shades):
        Image.new("RGB", size, (shade, shade, shade)).save(folder / f"{number:03}.png")
    return folder


def shade(image: Tensor) -> int:
    assert image.max() - image.min() < 1e-5
    return round(float(image.mean()) * 255)


@pytest.fixture
def content(tmp_path: Path) -> Path:
    return shaded(tmp_path / "photos", [10, 20, 30])


@pytest.fixture
def style(tmp_path: Path) -> Path:
    return shaded(tmp_path / "paintings", [200, 210])


def truncated(path: Path) -> Path:
    """A JPEG whose header can be read and whose pixels cannot."""
    Image.effect_noise((64, 64), 90).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:700])
    with Image.open(path) as image:
        assert image.size == (64, 64)
    return path


def damaged(path: Path) -> Path:
    """An image whose pixels cannot be read, in a format without an end marker."""
    Image.effect_noise((64, 64), 90).save(path, "BMP")
    path.write_bytes(path.read_bytes()[:2000])
    return path


def test_the_hook_offers_the_dataset() -> None:
    assert stylekit_datasets() == {"folders": Folders}
    assert Folders.item_keys == ("content", "style")


def test_items(content: Path, style: Path) -> None:
    folders = Folders(content, style, size=16)
    assert len(folders) == 3
    for index in range(3):
        item = folders[index]
        assert list(item) == ["content", "style"]
        for image in item.values():
            assert image.shape == (3, 16, 16)
            assert image.dtype == torch.float32
            assert image.is_contiguous()
        assert shade(item["content"]) == [10, 20, 30][index]
        assert shade(item["style"]) in (200, 210)
    with pytest.raises(IndexError):
        folders[3]


def test_the_length_is_that_of_the_longer_side(content: Path, style: Path) -> None:
    folders = Folders(style, content, size=8)
    assert len(folders) == 3
    assert [shade(folders[i]["content"]) for i in range(3)] == [200, 210, 200]


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_content_folder_alone(content: Path, split: str) -> None:
    folders = Folders(content, size=16, split=split)
    assert folders.item_keys == ("content",)
    assert len(folders) == 3
    assert [{key: shade(image) for key, image in folders[index].items()} for index in range(3)] == [
        {"content": 10},
        {"content": 20},
        {"content": 30},
    ]
    assert Folders.item_keys == ("content", "style")  # of other folders
    with pytest.raises(IndexError):
        folders[3]


def test_random_choices_use_the_global_generator(tmp_path: Path, content: Path) -> None:
    noise = tmp_path / "noise"
    noise.mkdir()
    for number in range(8):
        Image.effect_noise((60, 50), 90).save(noise / f"{number}.png")
    folders = Folders(noise, content, size=16)

    def draw(seed: int) -> dict[str, Tensor]:
        torch.manual_seed(seed)
        return folders[0]

    assert all(torch.equal(draw(5)[key], draw(5)[key]) for key in folders.item_keys)
    assert len({round(float(draw(seed)["content"].double().sum()), 6) for seed in range(10)}) > 5
    assert {shade(draw(seed)["style"]) for seed in range(30)} == {10, 20, 30}


def test_test_items_are_fixed_centre_crops(tmp_path: Path, style: Path) -> None:
    (tmp_path / "wide").mkdir()
    pixels = np.zeros((16, 48, 3), np.uint8)
    pixels[:, 16:32] = 255
    Image.fromarray(pixels).save(tmp_path / "wide/x.png")
    folders = Folders(tmp_path / "wide", style, size=16, split="test")
    assert len(folders) == 2
    for index, expected in enumerate([200, 210]):
        item = folders[index]
        assert torch.allclose(item["content"], torch.ones(3, 16, 16), atol=1e-5)
        assert shade(item["style"]) == expected


def test_flip_and_crop_keep_the_pixels(tmp_path: Path, style: Path) -> None:
    (tmp_path / "ramp").mkdir()
    ramp = np.arange(160, 0, -10, dtype=np.uint8)[None, :, None].repeat(16, 0).repeat(3, 2)
    Image.fromarray(ramp).save(tmp_path / "ramp/x.png")
    kept = torch.from_numpy(ramp[0, :, 0]).float() / 255
    folders = Folders(tmp_path / "ramp", style, size=16, crop=1.0)
    seen = set()
    for seed in range(20):
        torch.manual_seed(seed)
        row = folders[0]["content"][1, 7]
        flipped = bool(row[0] < row[-1])
        seen.add(flipped)
        assert torch.allclose(row, kept.flip(0) if flipped else kept, atol=1e-5)
    assert seen == {False, True}
    still = Folders(tmp_path / "ramp", style, size=16, crop=1.0, flip=False)
    assert all(torch.allclose(still[0]["content"][1, 7], kept, atol=1e-5) for _ in range(10))


def test_images_are_not_distorted(tmp_path: Path, style: Path) -> None:
    """A disk in a wide image keeps its aspect ratio."""
    (tmp_path / "disk").mkdir()
    y, x = np.mgrid[:100, :300]
    disk = ((x - 150) ** 2 + (y - 50) ** 2 < 40**2).astype(np.uint8) * 255
    Image.fromarray(disk).save(tmp_path / "disk/x.png")
    image = Folders(tmp_path / "disk", style, size=50, split="test")[0]["content"][0] > 0.5
    assert int(image.any(0).sum()) == int(image.any(1).sum()) == 40


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (3000, 2), (5, 7)])
@pytest.mark.parametrize("split", ["train", "test"])
def test_odd_sizes(tmp_path: Path, style: Path, size: tuple[int, int], split: str) -> None:
    odd = shaded(tmp_path / "odd", [77], size)
    item = Folders(odd, style, size=64, split=split)[0]
    assert item["content"].shape == (3, 64, 64)
    assert shade(item["content"]) == 77


def test_alpha_is_composited_over_white(tmp_path: Path, style: Path) -> None:
    (tmp_path / "clear").mkdir()
    Image.new("RGBA", (20, 20), (0, 0, 0, 51)).save(tmp_path / "clear/x.png")
    assert shade(Folders(tmp_path / "clear", style, size=8)[0]["content"]) == 204


def test_one_data_folder(tmp_path: Path) -> None:
    for number, name in enumerate(["trainA", "trainB", "testA", "testB"]):
        shaded(tmp_path / "set" / name, [10 * number + 10])
    train, test = (Folders(data=tmp_path / "set", size=8, split=split)[0] for split in ("train", "test"))
    assert [shade(image) for image in (*train.values(), *test.values())] == [10, 20, 30, 40]


def test_a_folder_with_train_and_test_is_split(tmp_path: Path, style: Path) -> None:
    shaded(tmp_path / "divided/train", [50, 50])
    shaded(tmp_path / "divided/test", [60])
    assert len(Folders(tmp_path / "divided", style, size=8)) == 2
    assert shade(Folders(tmp_path / "divided", style, size=8, split="test")[0]["content"]) == 60


def test_wrong_arguments_are_refused(tmp_path: Path, content: Path, style: Path) -> None:
    for arguments in ({}, {"style": style}, {"content": content, "data": tmp_path}, {"style": style, "data": tmp_path}):
        with raises(StylekitError, "--content DIR --style DIR", "--data"):
            Folders(**arguments)
    with raises(StylekitError, "split", "'val'", "train", "test"):
        Folders(content, style, split="val")
    for arguments in ({"size": 0}, {"crop": 0.9}):
        with raises(StylekitError, *arguments, *arguments.values(), 1):
            Folders(content, style, **arguments)
    with raises(StylekitError, tmp_path / "nowhere"):
        Folders(tmp_path / "nowhere", style)
    with raises(StylekitError, content / "000.png", "folder"):
        Folders(content / "000.png", style)
    (tmp_path / "empty").mkdir()
    with raises(StylekitError, tmp_path / "empty"):
        Folders(content, tmp_path / "empty")
    (tmp_path / "empty/x.png").touch()
    with raises(StylekitError, tmp_path / "empty", "read"):
        Folders(content, tmp_path / "empty")


def test_unreadable_files_are_skipped_with_one_warning(content: Path, style: Path) -> None:
    for number in range(12):
        (content / f"bad{number:02}.jpg").write_text("text")
    with pytest.warns(StylekitWarning) as caught:
        folders = Folders(content, style, size=8)
    assert len(folders) == 3
    [message] = [str(warning.message) for warning in caught]
    assert_mentions(message, 12, 2, f"stylekit data check {content}")
    assert message.count(".jpg") == 10


def test_truncated_files_are_skipped_with_one_warning(content: Path, style: Path) -> None:
    truncated(content / "001.jpg")
    Image.effect_noise((64, 64), 90).save(content / "004.png")
    (content / "004.png").write_bytes((content / "004.png").read_bytes()[:700])
    padded = (content / "000.png").rename(content / "005.png")
    padded.write_bytes(padded.read_bytes() + bytes(100))  # complete, with extra bytes at the end
    with warns(StylekitWarning, 2, content / "001.jpg", content / "004.png") as caught:
        folders = Folders(content, style, size=8)
    assert len(caught) == 1
    assert [file.name for file in folders.content.files] == ["001.png", "002.png", "005.png"]


def test_a_damaged_file_is_replaced_by_the_next_with_one_warning(content: Path, style: Path) -> None:
    bad = damaged(content / "001.jpg")  # the order is 000.png, 001.jpg, 001.png, 002.png
    folders = Folders(content, style, size=8, flip=False)
    assert len(folders) == 4
    with warns(StylekitWarning, bad, "stylekit data check"):
        assert shade(folders[1]["content"]) == 20
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert shade(folders[1]["content"]) == 20
        assert [shade(folders[index]["content"]) for index in (0, 2, 3)] == [10, 20, 30]


def test_only_damaged_files_is_an_error(tmp_path: Path, style: Path) -> None:
    (tmp_path / "damaged").mkdir()
    damaged(tmp_path / "damaged/x.jpg")
    folders = Folders(tmp_path / "damaged", style, size=8)
    with (
        pytest.warns(StylekitWarning),
        raises(StylekitError, tmp_path / "damaged", "read"),
    ):
        folders[0]


@pytest.mark.skipif(not REAL.is_dir(), reason="the folder of real images is not available")
def test_real_images() -> None:
    folders = Folders(data=REAL, size=64)
    assert len(folders) == 40
    batch = next(iter(DataLoader(folders, batch_size=8)))
    for key in folders.item_keys:
        assert batch[key].shape == (8, 3, 64, 64)
        assert batch[key].min() >= 0
        assert batch[key].max() <= 1
        assert batch[key].std() > 0.1
    domains = REAL / "domains"
    assert len(Folders(domains / "photo", domains / "sketch", size=64, split="test")) == 60


def test_a_range_of_crops_shows_content_in_many_sizes(tmp_path: Path) -> None:
    """Stripes tell by their distance how much an image was enlarged."""
    bright = np.zeros((64, 64), np.uint8)
    bright[:, ::8] = 255
    (tmp_path / "stripes").mkdir()
    Image.fromarray(bright).save(tmp_path / "stripes/a.png")
    folders = Folders(tmp_path / "stripes", size=32, crop=(1.0, 4.0))
    assert folders.crop.resized == 128
    torch.manual_seed(0)
    widths = []
    for _ in range(60):
        row = folders[0]["content"][0, 16]
        spectrum = torch.fft.rfft(row - row.mean(), n=512).abs()
        widths.append(512 / int(spectrum[8:].argmax() + 8))  # period of the stripes in pixels: 8 * resized / 64
    logs = torch.tensor(widths).log2()
    assert 3.6 < min(widths) < 5.5
    assert 12 < max(widths) < 17
    assert 2.6 < logs.mean() < 3.4  # uniform in the logarithm: from 2 to 4
    test = Folders(tmp_path / "stripes", size=32, crop=(1.0, 4.0), split="test")
    assert torch.equal(test[0]["content"], Folders(tmp_path / "stripes", size=32, split="test")[0]["content"])


@pytest.mark.parametrize("crop", [(0.9, 2.0), (2.0, 1.0), (1.0, float("inf"))])
def test_a_wrong_range_is_refused(crop: tuple[float, float], content: Path) -> None:
    with raises(StylekitError, "crop", *map(str, crop)):
        Folders(content, crop=crop)


def test_by_folder_draws_small_subfolders_as_often_as_large_ones(tmp_path: Path) -> None:
    content = tmp_path / "photos"
    shaded(content / "few", [10])
    shaded(content / "many", list(range(100, 140)))
    folders = Folders(content, content, size=16, by_folder=True)
    torch.manual_seed(0)
    items = [folders[0] for _ in range(80)]
    for key in ("content", "style"):
        few = sum(shade(item[key]) == 10 for item in items)
        assert 25 < few < 55, key
    test = Folders(content, content, size=16, by_folder=True, split="test")
    assert [shade(test[index]["content"]) for index in range(3)] == [10, 100, 101]
