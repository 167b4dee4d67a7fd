"""``stylekit video --preview``: some stylised frames on one sheet."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from pathlib import Path

from stylekit.cli.filming import Look, read_frame
from stylekit.cli.progress import track
from stylekit.errors import StylekitError
from stylekit.images import resize, scaled, write
from stylekit.images.picture import over_white
from stylekit.images.video.clip import Clip, Frame, Selection

FRAMES = 6
LONGEST = 480
"""Maximum longer side of a frame on the sheet, in pixels."""


def write_preview(look: Look, clip: Clip, selection: Selection, out: Path, quiet: bool) -> int:
    """Writes a sheet of stylised frames that are evenly spread over a clip, and returns their number.

    Args:
        look: how the clip is stylised
        clip: the clip
        selection: which part of it
        out: the image file
        quiet: show no progress

    Raises:
        StylekitError: there is no frame, or the file cannot be written.
    """
    import torch

    from stylekit.training.sample_grid import contact_sheet

    frames = spread(clip, selection)
    if not frames:
        raise StylekitError(f"{clip.path} has no frame in the part that is wanted.")
    tiles = []
    for frame in track(frames, "frames", len(frames), quiet):
        [picture] = look.model.clip([read_frame(look, frame)], look.styles, **look.at([frame.start]).options)
        image = torch.as_tensor(over_white(picture.image, picture.alpha))
        size = image.shape[2], image.shape[3]
        smaller = resize(image, scaled(size, min(1.0, LONGEST / max(size))))
        tiles.append((_clock(frame.start), smaller[0].cpu()))
    write(out, contact_sheet(tiles))
    return len(tiles)


def spread(clip: Clip, selection: Selection) -> list[Frame]:
    """Up to :data:`FRAMES` different frames, in the middle of as many equal parts, with their times in the clip.

    Which frames the selection leaves out is told by the mean rate, because counting them would mean to decode the clip.
    """
    rate = clip.layout.rate
    seconds = clip.layout.count / rate
    end = min(seconds, selection.end) if selection.end is not None else seconds
    found: dict[Fraction, Frame] = {}
    for number in range(FRAMES):
        wanted = selection.start + (end - selection.start) * Fraction(2 * number + 1, 2 * FRAMES)
        nearest = ceil(wanted * rate - Fraction(1, 2))
        skipped = (nearest - ceil(selection.start * rate)) % selection.every  # frames since the one that is selected
        begin = max(selection.start, wanted - (skipped + Fraction(1, 2)) / rate)
        frame = next(clip.frames(begin), None)
        if frame is not None and (selection.end is None or frame.start < selection.end):
            found[frame.start] = frame
    return list(found.values())


def _clock(time: Fraction) -> str:
    minutes, seconds = divmod(float(time), 60)
    return f"{int(minutes)}:{seconds:04.1f}"
