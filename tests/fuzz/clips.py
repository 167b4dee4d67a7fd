"""Clips: video files and animations, each stylised by the program."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from stylekit import images
from tests.clips import read_clip, write_clip
from tests.fuzz.cases import Case, Kind
from tests.fuzz.damage import damaged, place, spliced
from tests.fuzz.judge import CLEAR, RIGHT, Bad
from tests.fuzz.model_files import written

kind = Kind("clips", 150)
FRAMES = 6
CODECS = {
    ".mp4": "libx264",
    ".mov": "mpeg4",
    ".mkv": "libx264",
    ".avi": "mpeg4",
    ".mpg": "mpeg2video",
    ".webm": "libvpx",
}
ANIMATIONS = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG"}


def some_frames(case: Case) -> list[np.ndarray]:
    height, width = (case.random.choice((2, 32, 48, 66)) for _ in range(2))
    waves = np.sin(np.add.outer(np.arange(height), np.arange(width)) / 4)
    return [
        np.stack([((waves + 1) * 20 * (number + 1)) % 256] * 3, -1).astype(np.uint8)  # as smooth as photos are
        for number in range(FRAMES)
    ]


def some_clip(case: Case) -> tuple[bytes, str]:
    """The content of a small clip of some kind, and its suffix."""
    suffix = case.random.choice([*CODECS, *ANIMATIONS])
    path = case.folder / f"made{suffix}"
    frames = some_frames(case)
    if suffix in CODECS:
        sound = "aac" if suffix in (".mp4", ".mkv") and case.random.random() < 0.3 else None
        write_clip(path, frames, codec=CODECS[suffix], sound=sound)
    else:
        first, *others = (Image.fromarray(frame) for frame in frames)
        first.save(path, ANIMATIONS[suffix], save_all=True, append_images=others, duration=40)
    content = path.read_bytes()
    path.unlink()
    return content, suffix


def film(case: Case, path: Path) -> None:
    """Stylises a clip: what is written has frames of an image's size, or it is refused."""
    case.mentions = (path.name,)
    size = path.stat().st_size if path.is_file() and not path.is_symlink() else 0
    if size:
        case.keep(path)
    out = case.folder / case.random.choice(("out.mkv", "out.mp4", "out.gif", "frames"))
    line = ("video", path, "-o", out, "--model", case.material.cyclegan, "--device", "cpu", "--steady", "off")
    case.program(*line, size=size)
    if out.suffix in CODECS:
        count = len(read_clip(out))
    elif out.suffix:
        count = images.frame_count(out)
    else:
        count = len([images.read(each) for each in out.iterdir()])
    if not 1 <= count <= 4 * FRAMES:
        raise Bad(f"{path.name} became {count} frames")
    if case.expected == RIGHT and count != FRAMES and out.suffix != ".gif":  # where equal frames become one
        raise Bad(f"{FRAMES} frames became {count}")


@kind
def unchanged(case: Case) -> None:
    case.expected = RIGHT
    content, suffix = some_clip(case)
    film(case, written(case, content, f"received{suffix}"))


@kind.often(8)
def damaged_bytes(case: Case) -> None:
    content, suffix = some_clip(case)
    film(case, written(case, damaged(content, case.random), f"received{suffix}"))


@kind.often(2)
def spliced_files(case: Case) -> None:
    (first, suffix), (second, _) = some_clip(case), some_clip(case)
    film(case, written(case, spliced(first, second, case.random), f"received{suffix}"))


@kind
def another_format(case: Case) -> None:
    """The suffix of one format and the content of another."""
    (content, _), suffix = some_clip(case), case.random.choice([*CODECS, *ANIMATIONS])
    film(case, written(case, content, f"received{suffix}"))


@kind
def another_file(case: Case) -> None:
    """Something else, such as a playlist that names other files, or a still image."""
    case.expected = CLEAR
    secret = case.folder / "secret.mp4"
    secret.write_bytes(some_clip(case)[0])
    content = case.random.choice(
        (
            b"#EXTM3U\n#EXTINF:1,\n" + str(secret).encode() + b"\n",
            b"ffconcat version 1.0\nfile secret.mp4\n",
            b"v=0\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
            b"", b"\0" * 5000, case.random.randbytes(5000), case.material.photo.read_bytes(), b"RIFF\xff\xff\xff\xffAVI ",
        )
    )  # fmt: skip
    film(case, written(case, content, f"received{case.random.choice([*CODECS])}"))


@kind
def not_a_file(case: Case) -> None:
    """Pipes, devices, loops of links, empty folders and nothing."""
    case.expected = CLEAR
    path = case.folder / f"odd{case.random.choice([*CODECS, *ANIMATIONS])}"
    place(path, case.random.choice(("pipe", "loop", "folder", "zero", "missing")), {})
    film(case, path)
