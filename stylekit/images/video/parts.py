"""What is finished of a clip: a folder of segments or frames, from which a later process goes on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Protocol, overload

import numpy as np
import safetensors.numpy

from stylekit._files import explain_os_errors, remove, write_atomic
from stylekit.errors import StylekitError, counted
from stylekit.images.animation import Animation, write_frames
from stylekit.images.picture import Picture, over_white
from stylekit.images.pixels import Array
from stylekit.images.reading import read
from stylekit.images.video import writing
from stylekit.images.video.clip import Layout
from stylekit.images.writing import to_integers, to_planes, write

SEGMENT = 48
"""Frames of a segment, which are lost if the process is killed. Each begins with a key frame, to which players can jump."""
Times = Sequence[tuple[Fraction, Fraction]]
"""When each frame appears and disappears, in seconds."""


class Parts(Protocol):
    """The finished frames of a clip.

    Attributes:
        count: their number
    """

    count: int

    def add(self, picture: Picture) -> None:
        """Writes the next frame."""
        ...

    def last(self) -> Array:
        """The last finished frame ``(3, H, W)``, float32, as it was added, without a loss. Only if it is kept."""
        ...

    def finish(self, out: Path, times: Times) -> None:
        """Makes the output of all frames, which replaces ``out`` at once.

        Raises:
            StylekitError: no space is left, or it cannot be written.
        """
        ...


def finished(folder: Path) -> int:
    """The number of frames that are finished in a folder of either kind of parts."""
    return max((int(path.stem) for path in folder.glob("[0-9]*.mkv")), default=0) or len([*folder.glob("frames/*.png")])


class _LastFrame:
    """The last frame of each segment without a loss, in a file named by the number of frames up to it.

    Args:
        folder: the folder
        wanted: whether it is kept at all
    """

    def __init__(self, folder: Path, wanted: bool) -> None:
        self._folder, self.wanted = folder, wanted

    def _path(self, count: int) -> Path:
        return self._folder / f"{count:08}.safetensors"

    def known(self, count: int) -> bool:
        return not self.wanted or self._path(count).exists()

    def save(self, count: int, picture: Picture) -> None:
        if self.wanted:
            frame = np.ascontiguousarray(to_planes(picture.image, 3))
            write_atomic(self._path(count), safetensors.numpy.save({"frame": frame}))

    def load(self, count: int) -> Array:
        with explain_os_errors(self._path(count), "read"):
            frame: Array = safetensors.numpy.load(self._path(count).read_bytes())["frame"]
        return frame

    def forget_before(self, count: int) -> None:
        for path in self._folder.glob("*.safetensors"):
            if int(path.stem) < count:
                path.unlink()


class Segments:
    """Frames of a video file, in segments of :data:`SEGMENT` frames; each file is named by the number of frames up to its end.

    Args:
        folder: the folder
        suffix: suffix of the video file
        quality: quality from 1 to 100
        layout: what the source's headers say
        sound: what else is copied from the source
        keep_last: keep the last frame of each segment without a loss
    """

    def __init__(
        self,
        folder: Path,
        suffix: str,
        quality: int,
        layout: Layout,
        sound: writing.Sound | None = None,
        keep_last: bool = False,
    ) -> None:
        self._folder, self._layout, self._sound = folder, layout, sound
        self._encoder = writing.available_encoder(writing.FORMATS[suffix.lower()])
        self._options = writing.encoder_options(self._encoder, quality)
        self._segment: writing.SegmentEncoder | None = None
        self._last = _LastFrame(folder, keep_last)
        self.count = max((int(path.stem) for path in self._files() if self._last.known(int(path.stem))), default=0)
        for path in self._files():
            if int(path.stem) > self.count:
                path.unlink()

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9]*.mkv"))

    def add(self, picture: Picture) -> None:
        """Encodes the next frame; writes a segment if it is full."""
        colors = np.moveaxis(to_integers(over_white(picture.image, picture.alpha), 3), 0, -1)
        height, width = colors.shape[:2]
        self._segment = self._segment or writing.SegmentEncoder(
            self._encoder, self._options, self._layout, (height, width)
        )
        self._segment.add(colors)
        if self._segment.count == SEGMENT:
            self._last.save(self.count + SEGMENT, picture)
            self._write(self._segment)

    def last(self) -> Array:
        """The last frame of the last segment, if it is kept."""
        return self._last.load(self.count)

    def _write(self, segment: writing.SegmentEncoder) -> None:
        content, self._segment = segment.finish(), None
        write_atomic(self._folder / f"{self.count + segment.count:08}.mkv", content)
        self.count += segment.count
        self._last.forget_before(self.count)

    def finish(self, out: Path, times: Times) -> None:
        """Joins the segments to a video file."""
        if self._segment:
            self._write(self._segment)
        if self.count != len(times):
            raise StylekitError(
                f"{self._folder} holds {counted(self.count, 'frame')} of {len(times)}: the source has changed. Start again "
                "with --overwrite."
            )
        joined = self._folder / f"joined{out.suffix}"
        with explain_os_errors(out):
            writing.join(self._files(), joined, times, self._layout, self._sound)
            with joined.open("rb+") as file:
                os.fsync(file.fileno())
            joined.replace(out)


class FrameFiles:
    """Frames in PNG files, which become a folder or an animation.

    Args:
        folder: the folder
        quality: quality of an animation in a lossy format, from 1 to 100
        loop: how often an animation is shown; 0: for ever
        keep_last: keep every frame number n * :data:`SEGMENT` without a loss, and go on only from there
    """

    def __init__(self, folder: Path, quality: int | None = None, loop: int = 0, keep_last: bool = False) -> None:
        self._frames, self._quality, self._loop = folder / "frames", quality, loop
        self._last = _LastFrame(folder, keep_last)
        with explain_os_errors(folder):
            self._frames.mkdir(parents=True, exist_ok=True)
        self.count = 0
        while self._path(self.count).exists():
            self.count += 1
        while self.count and not self._last.known(self.count):
            self.count -= 1

    def _path(self, number: int) -> Path:
        return self._frames / f"{number:06}.png"

    def add(self, picture: Picture) -> None:
        """Writes the file of the next frame."""
        if (self.count + 1) % SEGMENT == 0:
            self._last.save(self.count + 1, picture)
        write(self._path(self.count), picture)
        self.count += 1
        if self.count % SEGMENT == 0:
            self._last.forget_before(self.count)

    def last(self) -> Array:
        """The last frame that is kept."""
        return self._last.load(self.count)

    def finish(self, out: Path, times: Times) -> None:
        """Makes the animation, or the folder if ``out`` has no suffix."""
        if out.suffix and not out.is_dir():
            frames = _Lazy([self._path(number) for number in range(len(times))])
            shown = [float(end - start) * 1000 for start, end in times]
            write_frames(out, Animation(frames, shown, self._loop, format=""), quality=self._quality)
            return
        for path in sorted(self._frames.glob("*.png"))[len(times) :]:
            path.unlink()
        with explain_os_errors(out):
            remove(out)
            self._frames.replace(out)


class _Lazy(Sequence[Picture]):
    """Pictures that are read from their files each time."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths

    @overload
    def __getitem__(self, index: int) -> Picture: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Picture]: ...

    def __getitem__(self, index: int | slice) -> Picture | Sequence[Picture]:
        if isinstance(index, slice):
            return _Lazy(self._paths[index])
        return read(self._paths[index])

    def __len__(self) -> int:
        return len(self._paths)
