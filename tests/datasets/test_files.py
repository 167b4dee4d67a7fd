"""Finding and opening image files, and the reasons why they are not read."""

from __future__ import annotations

import os
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from stylekit import datasets, images
from stylekit.errors import StylekitError, StylekitWarning
from tests.facts import raises, warns
from tests.image_files import bytes_of, chunk, save, with_chunks


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


def test_a_file_of_values_is_called_one(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((4, 4)))
    with raises(StylekitError, tmp_path / "x.npy", "values", "'rasters'", "PNG"):
        images.read(tmp_path / "x.npy")


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
    monkeypatch.setattr("stylekit.images.reading.free_cpu_memory", lambda: 8 * 10**7)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded"))
    with raises(StylekitError, path, "2000x1500", "MiB"):
        images.read(path)
    with raises(StylekitError, path, "2000x1500", "MiB"):
        images.read_frames(path)


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
