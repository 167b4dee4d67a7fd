"""Writing clips in parts, and making the output of them: videos with their sound, animations and folders."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from stylekit import images
from stylekit.errors import StylekitError
from stylekit.images import Picture
from stylekit.images.video import parts
from stylekit.images.video.clip import Clip, Selection
from stylekit.images.video.opening import AnimatedFile, FrameFolder, open_clip
from stylekit.images.video.parts import FrameFiles, Parts, Segments
from stylekit.images.video.reading import VideoFile
from stylekit.images.video.writing import FORMATS, Sound, left_out
from tests.clips import packets, pictures, read_clip, read_times, write_clip
from tests.facts import raises

ALL = Selection()


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of four frames."""
    monkeypatch.setattr(parts, "SEGMENT", 4)


@pytest.fixture
def part(tmp_path: Path) -> Path:
    (tmp_path / "part").mkdir()
    return tmp_path / "part"


def copy(clip: Clip, to: Parts, out: Path, selection: Selection = ALL) -> Path:
    """Writes the frames of a clip as they are."""
    times = []
    for number, frame in enumerate(selection.of(clip)):
        times.append((frame.start, frame.end))
        if number >= to.count:
            to.add(frame.read())
    to.finish(out, times)
    return out


def segments(part: Path, clip: VideoFile, suffix: str = ".mp4", quality: int = 90, **options: object) -> Segments:
    return Segments(part, suffix, quality, clip.layout, Sound(clip.path), **options)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".m4v", ".webm", ".avi"])
def test_a_copy_has_the_same_frames_and_times(tmp_path: Path, part: Path, suffix: str) -> None:
    clip = VideoFile(write_clip(tmp_path / "a.mp4"))
    out = copy(clip, segments(part, clip, suffix), tmp_path / f"out{suffix}")
    made = VideoFile(out)
    assert (made.layout.size, made.layout.rate, made.layout.matrix) == (clip.layout.size, clip.layout.rate, 5)
    assert [frame.start for frame in made.frames()] == [frame.start for frame in clip.frames()]
    for one, other in zip(clip.frames(), made.frames(), strict=True):
        assert (one.read().image - other.read().image)[..., 20:, 20:].abs().max() < 10 / 255


def test_a_variable_frame_rate_survives(tmp_path: Path, part: Path) -> None:
    times = [0, 40, 100, 110, 150, 300, 310, 320, 333, 400]
    clip = VideoFile(write_clip(tmp_path / "a.mkv", times=times))
    out = copy(clip, segments(part, clip), tmp_path / "out.mp4")
    assert [time * 1000 for time in read_times(out)] == times


@pytest.mark.parametrize("colorspace", [1, 5])
def test_colours_are_stored_with_the_matrix_of_the_source_and_marked(
    tmp_path: Path, part: Path, colorspace: int
) -> None:
    """Y, Cb and Cr of RGB (200, 60, 30), in limited range: by hand."""
    kr, kb = {1: (0.2126, 0.0722), 5: (0.299, 0.114)}[colorspace]
    red, green, blue = 200 / 255, 60 / 255, 30 / 255
    y = kr * red + (1 - kr - kb) * green + kb * blue
    stored = [16 + 219 * y, 128 + 224 * (blue - y) / 2 / (1 - kb), 128 + 224 * (red - y) / 2 / (1 - kr)]
    shade = np.full((48, 64, 3), (200, 60, 30), np.uint8)
    clip = VideoFile(write_clip(tmp_path / "a.mp4", [shade] * 3, colorspace=colorspace, color_range=1))
    assert clip.layout.matrix == colorspace
    to = segments(part, clip)
    to.add(Picture(torch.tensor([red, green, blue]).view(1, 3, 1, 1).expand(1, 3, 48, 64)))
    to.finish(tmp_path / "out.mp4", [(Fraction(0), Fraction(1, 25))])
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0))
        assert (frame.format.name, frame.colorspace, frame.color_range) == ("yuv420p", colorspace, 1)
        assert [np.frombuffer(bytes(plane), np.uint8)[0] for plane in frame.planes] == pytest.approx(stored, abs=1.5)


def test_without_x264_another_encoder_is_used(tmp_path: Path, part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = VideoFile(write_clip(tmp_path / "a.mp4"))
    monkeypatch.setattr(av, "codecs_available", {"mpeg4"})
    out = copy(clip, segments(part, clip), tmp_path / "out.mp4")
    with av.open(str(out)) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    assert len(read_clip(out)) == 10
    with raises(StylekitError, "libvpx-vp9"):
        segments(part, clip, ".webm")


def test_frames_that_are_decoded_early_are_shown_in_time(
    tmp_path: Path, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With B-frames, packets are not in the order of the frames, in none of several segments."""
    monkeypatch.setattr(parts, "SEGMENT", 12)
    random = np.random.default_rng(0)
    times = [0, *np.cumsum(random.integers(10, 90, 29)).tolist()]
    clip = VideoFile(write_clip(tmp_path / "a.mkv", pictures(30), times=times))
    out = copy(clip, segments(part, clip), tmp_path / "out.mp4")
    with av.open(str(out)) as container:
        stamps = [(packet.dts, packet.pts) for packet in container.demux(video=0) if packet.size]
    assert any(pts > later for (_, pts), (_, later) in pairwise(stamps))  # there are B-frames
    assert all(dts < later for (dts, _), (later, _) in pairwise(stamps))
    assert all(dts <= pts for dts, pts in stamps)
    assert [time * 1000 for time in read_times(out)] == times
    shades = [frame[40, 40, 0] for frame in read_clip(out)]
    assert shades == pytest.approx([frame[40, 40, 0] for frame in pictures(30)], abs=5)


def test_odd_sides_get_a_copy_of_the_last_row_and_column(tmp_path: Path, part: Path) -> None:
    clip = VideoFile(write_clip(tmp_path / "a.mp4"))
    to = segments(part, clip, quality=100)
    image = torch.zeros(1, 3, 47, 63)
    image[..., -1, :] = image[..., :, -1] = 1
    to.add(Picture(image))
    to.finish(tmp_path / "out.mp4", [(Fraction(0), Fraction(1))])
    [made] = read_clip(tmp_path / "out.mp4")
    assert made.shape == (48, 64, 3)
    assert made[46:].min() > 240
    assert made[:, 62:].min() > 240
    assert made[:40, :56].max() < 15


def test_sound_and_facts_are_copied_bit_by_bit(tmp_path: Path, part: Path) -> None:
    source = write_clip(tmp_path / "plain.mp4", pictures(50), sound="aac")
    facts = tmp_path / "a.mp4"
    with av.open(str(source)) as plain, av.open(str(facts), "w") as to:
        to.metadata["title"] = "A day"
        streams = {each.index: to.add_stream_from_template(each) for each in plain.streams}
        streams[1].metadata["language"] = "fra"
        to.set_chapters(
            [{"id": 1, "start": 0, "end": 1000, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}}]
        )
        for packet in plain.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                to.mux(packet)
    clip = VideoFile(facts)
    out = copy(clip, segments(part, clip), tmp_path / "out.mp4")
    assert packets(out, "audio") == packets(facts, "audio")
    with av.open(str(out)) as made, av.open(str(facts)) as before:
        assert made.metadata["title"] == "A day"
        assert made.streams.audio[0].metadata["language"] == "fra"
        assert [chapter["metadata"]["title"] for chapter in made.chapters()] == ["One"]
        starts = [next(container.demux(audio=0)).pts for container in (made, before)]
        assert starts[0] == starts[1]


def test_sound_is_cut_with_the_frames(tmp_path: Path, part: Path) -> None:
    clip = VideoFile(write_clip(tmp_path / "a.mkv", pictures(75), sound="aac"))
    selection = Selection(Fraction(1), Fraction(2))
    sound = Sound(clip.path, Fraction(1), Fraction(2))
    out = copy(clip, Segments(part, ".mkv", 66, clip.layout, sound), tmp_path / "out.mkv", selection)
    with av.open(str(out)) as made:
        times = [packet.pts * packet.time_base for packet in made.demux(audio=0) if packet.size]
    assert 0 <= times[0] < 0.03
    assert 0.94 < times[-1] < 1
    assert set(packets(out, "audio")) < set(packets(clip.path, "audio"))
    assert read_times(out) == [Fraction(number, 25) for number in range(25)]


def test_sound_that_a_format_cannot_hold_is_named_and_left_out(tmp_path: Path, part: Path) -> None:
    clip = VideoFile(write_clip(tmp_path / "a.mp4", sound="aac"))
    assert clip.sound == ["audio"]
    assert left_out(clip.path, FORMATS[".webm"]) == ["audio (aac)"]
    assert left_out(clip.path, FORMATS[".mkv"]) == []
    out = copy(clip, segments(part, clip, ".webm"), tmp_path / "out.webm")
    assert VideoFile(out).sound == []


def test_subtitles_are_copied_where_they_can_be(tmp_path: Path, part: Path) -> None:
    plain, texts = write_clip(tmp_path / "plain.mkv", pictures(50)), tmp_path / "a.srt"
    texts.write_text("1\n00:00:00,200 --> 00:00:00,700\nHello\n\n2\n00:00:01,200 --> 00:00:01,700\nAgain\n\n")
    subtitled = tmp_path / "a.mkv"
    with av.open(str(plain)) as video, av.open(str(texts)) as words, av.open(str(subtitled), "w") as to:
        for source in (video, words):
            copied = to.add_stream_from_template(source.streams[0])
            copied.metadata.update(source.streams[0].metadata)
        for number, source in enumerate((video, words)):
            for packet in source.demux():
                if packet.size:
                    packet.stream = to.streams[number]
                    to.mux(packet)
    clip = VideoFile(subtitled)
    out = copy(clip, segments(part, clip, ".mkv"), tmp_path / "out.mkv")
    assert packets(out, "subtitle") == packets(subtitled, "subtitle") == [b"Hello", b"Again"]
    with av.open(str(out)) as made:
        assert [packet.pts for packet in made.demux(subtitles=0) if packet.size] == [200, 1200]
    assert left_out(subtitled, FORMATS[".mp4"]) == ["subtitle (srt)"]


def test_a_process_that_comes_later_goes_on_after_the_last_segment(tmp_path: Path, part: Path) -> None:
    clip = VideoFile(write_clip(tmp_path / "a.mp4"))
    whole = copy(clip, segments(part, clip), tmp_path / "whole.mp4").read_bytes()
    for file in part.iterdir():
        file.unlink()
    first = segments(part, clip)
    for frame in list(clip.frames())[:6]:
        first.add(frame.read())
    later = segments(part, clip)
    assert later.count == 4  # a segment; the two frames after it are lost
    assert copy(clip, later, tmp_path / "out.mp4").read_bytes() == whole
    assert segments(part, clip).count == 10


def test_the_last_frame_of_a_segment_may_be_kept_without_loss(tmp_path: Path, part: Path) -> None:
    clip = VideoFile(write_clip(tmp_path / "a.mp4"))
    frames = [torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(number)) for number in range(9)]
    for kind in (lambda: segments(part, clip, keep_last=True), lambda: FrameFiles(part, keep_last=True)):
        to = kind()
        for frame in frames:
            to.add(Picture(frame))
        later = kind()
        assert later.count == 8
        assert (later.last() == frames[7][0].numpy()).all()
        assert len(list(part.glob("*.safetensors"))) == 1
        for file in part.glob("0*"):
            file.unlink()


def test_frames_become_a_folder_or_an_animation(tmp_path: Path, part: Path) -> None:
    clip = VideoFile(write_clip(tmp_path / "a.mp4"))
    copy(clip, FrameFiles(part, loop=3), tmp_path / "out.gif")
    with_loop = images.read_frames(tmp_path / "out.gif")
    assert (len(with_loop.frames), with_loop.durations, with_loop.loop) == (10, [40] * 10, 3)
    out = copy(clip, FrameFiles(part), tmp_path / "frames")
    assert [path.name for path in sorted(out.iterdir())] == [f"{number:06}.png" for number in range(10)]
    frame = next(clip.frames()).read().image
    assert (images.read(out / "000000.png").image - frame).abs().max() < 1e-6


def test_frames_that_do_not_match_the_source_are_refused(tmp_path: Path, part: Path) -> None:
    clip = VideoFile(write_clip(tmp_path / "a.mp4"))
    to = segments(part, clip)
    to.add(next(clip.frames()).read())
    with raises(StylekitError, "source has changed", "--overwrite"):
        to.finish(tmp_path / "out.mp4", [])
    assert not (tmp_path / "out.mp4").exists()


def test_a_damaged_segment_is_named(tmp_path: Path, part: Path) -> None:
    clip = VideoFile(write_clip(tmp_path / "a.mp4"))
    copy(clip, segments(part, clip), tmp_path / "out.mp4")
    (part / "00000008.mkv").write_bytes((part / "00000010.mkv").read_bytes())
    with raises(StylekitError, part / "00000008.mkv", "damaged", "--resume"):
        copy(clip, segments(part, clip), tmp_path / "again.mp4")
    assert not (tmp_path / "again.mp4").exists()


def test_an_animation_is_a_clip(tmp_path: Path) -> None:
    frames = [Picture(torch.full((1, 3, 8, 8), value)) for value in (0.0, 0.5, 1.0)]
    images.write_frames(tmp_path / "a.gif", images.Animation(frames, [100, 50, 200], 0, "GIF"))
    clip = open_clip(tmp_path / "a.gif", Fraction(25))
    assert isinstance(clip, AnimatedFile)
    assert clip.layout.size == (8, 8)
    assert [(frame.start, frame.end) for frame in clip.frames()] == [
        (0, Fraction(1, 10)), (Fraction(1, 10), Fraction(3, 20)), (Fraction(3, 20), Fraction(7, 20)),
    ]  # fmt: skip
    assert [float(frame.read().image.mean()) for frame in clip.frames()] == pytest.approx([0, 0.5, 1], abs=0.01)


def test_a_still_image_is_no_clip(tmp_path: Path) -> None:
    images.write(tmp_path / "a.png", torch.zeros(1, 3, 8, 8))
    with raises(StylekitError, tmp_path / "a.png", "one image", "`stylekit stylize`"):
        open_clip(tmp_path / "a.png", Fraction(25))


def test_a_folder_is_a_clip_of_its_images(tmp_path: Path) -> None:
    for number in range(3):
        images.write(tmp_path / f"{number}.png", torch.full((1, 3, 8, 6), number / 4))
    clip = open_clip(tmp_path, Fraction(10), arrays=True)
    assert isinstance(clip, FrameFolder)
    assert (clip.layout.size, clip.layout.count) == ((8, 6), 3)
    assert [frame.start for frame in clip.frames(Fraction(1, 10))] == [Fraction(1, 10), Fraction(2, 10)]
    images.write(tmp_path / "1.png", torch.zeros(1, 3, 9, 6))
    with raises(StylekitError, tmp_path / "1.png", "6x9", "6x8"):
        [frame.read() for frame in clip.frames()]
    (tmp_path / "empty").mkdir()
    with raises(StylekitError, tmp_path / "empty", "no frames"):
        open_clip(tmp_path / "empty", Fraction(10))
