"""Reading video files: every frame once, its time, colours and orientation, and what is damaged."""

from __future__ import annotations

import warnings
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import pytest

from stylekit.errors import StylekitError, StylekitWarning
from stylekit.images.video.clip import Frame, Selection
from stylekit.images.video.reading import VideoFile
from stylekit.registry import extras
from tests.clips import pictures, write_clip
from tests.facts import raises, warns

KR_KB = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 9: (0.2627, 0.0593)}


def colors(frame: Frame) -> np.ndarray:
    """``(H, W, 3)`` from 0 to 255."""
    return frame.read().image[0].permute(1, 2, 0).numpy() * 255


def expected(values: tuple[int, int, int], matrix: int, full: bool) -> list[float]:
    """R, G and B from 0 to 255 of Y, Cb and Cr of 8 bits, by the formulas of ITU-R BT.601, BT.709 and BT.2020."""
    low, luma, chroma = (0, 255, 255) if full else (16, 219, 224)
    y, cb, cr = (values[0] - low) / luma, (values[1] - 128) / chroma, (values[2] - 128) / chroma
    kr, kb = KR_KB[matrix]
    red, blue = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    return [255 * red, 255 * (y - kr * red - kb * blue) / (1 - kr - kb), 255 * blue]


def write_yuv(
    path: Path, values: tuple[int, int, int], format_: str = "yuv420p", height: int = 48, **facts: int
) -> Path:
    """A lossless video of three frames of one colour."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = height, 64, format_
        for name, value in facts.items():
            setattr(stream.codec_context, name, value)
        for number in range(3):
            frame = av.VideoFrame(64, height, format_)
            for plane, value in zip(frame.planes, values, strict=True):
                kind = np.uint16 if "10" in format_ else np.uint8
                plane.update(np.full(plane.buffer_size // kind().itemsize, value, kind).tobytes())
            frame.pts = number
            for name, value in facts.items():
                setattr(frame, name, value)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.mov", "libx264"), ("a.avi", "mpeg4")]
)
def test_every_frame_is_read_once_in_order(tmp_path: Path, name: str, codec: str) -> None:
    clip = VideoFile(write_clip(tmp_path / name, codec=codec))
    frames = list(clip.frames())
    assert (clip.layout.size, clip.layout.count, clip.layout.rate) == ((48, 64), 10, Fraction(25))
    assert [frame.start for frame in frames] == [Fraction(number, 25) for number in range(10)]
    assert all(frame.end - frame.start == Fraction(1, 25) for frame in frames)
    for frame, picture in zip(frames, pictures(), strict=True):
        assert np.abs(colors(frame) - picture)[20:, 20:].max() < 6
    assert len(list(clip.frames())) == 10  # it can be read again
    assert frames[0].read().image.shape == (1, 3, 48, 64)


def test_a_variable_frame_rate_is_kept(tmp_path: Path) -> None:
    times = [0, 40, 100, 110, 150, 300, 310, 320, 333, 400]
    frames = list(VideoFile(write_clip(tmp_path / "a.mkv", times=times)).frames())
    assert [frame.start * 1000 for frame in frames] == times
    assert [frame.end for frame in frames[:-1]] == [frame.start for frame in frames[1:]]


def test_arrays_are_the_same_as_tensors(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4")
    for one, other in zip(VideoFile(path).frames(), VideoFile(path, arrays=True).frames(), strict=True):
        image = other.read().image
        assert isinstance(image, np.ndarray)
        assert np.abs(one.read().image.numpy() - image).max() < 1e-6


@pytest.mark.parametrize("matrix", [1, 5, 9])
@pytest.mark.parametrize("full", [False, True])
def test_the_stated_matrix_and_range_are_used(tmp_path: Path, matrix: int, full: bool) -> None:
    path = write_yuv(tmp_path / "a.mkv", (100, 90, 170), colorspace=matrix, color_range=2 if full else 1)
    found = colors(next(VideoFile(path).frames()))
    assert np.abs(found - expected((100, 90, 170), matrix, full)).max() < 1


@pytest.mark.parametrize(("height", "matrix"), [(48, 5), (720, 1)])
def test_without_a_stated_matrix_the_number_of_lines_decides(tmp_path: Path, height: int, matrix: int) -> None:
    clip = VideoFile(write_yuv(tmp_path / "a.mkv", (100, 90, 170), height=height))
    assert clip.layout.matrix == matrix
    assert np.abs(colors(next(clip.frames())) - expected((100, 90, 170), matrix, False)).max() < 1


def test_10_bits_are_rounded_to_8_with_one_warning(tmp_path: Path) -> None:
    path = write_yuv(tmp_path / "a.mkv", (400, 360, 680), "yuv420p10le", colorspace=1, color_range=1)
    with warns(StylekitWarning, path, "10 bits", 8) as caught:
        found = [colors(frame) for frame in VideoFile(path).frames()]
    assert len(caught) == 1
    assert np.abs(found[0] - expected((100, 90, 170), 1, False)).max() < 1.5


@pytest.mark.parametrize(("transfer", "name", "luma"), [(16, "PQ", 0.5807), (18, "HLG", 0.75)])
def test_hdr_is_reduced_to_sdr_with_one_warning(tmp_path: Path, transfer: int, name: str, luma: float) -> None:
    """Diffuse white, 203 cd/m^2, is 58 % of PQ and 75 % of HLG (ITU-R BT.2408), and is mapped to the same shade."""
    values = (round(64 + 876 * luma), 512, 512)
    facts = {"color_trc": transfer, "color_primaries": 9, "colorspace": 9, "color_range": 1}
    path = write_yuv(tmp_path / "a.mkv", values, "yuv420p10le", **facts)
    with warns(StylekitWarning, path, "HDR", name) as caught:
        clip = VideoFile(path)
        found = [colors(frame) for frame in clip.frames()]
    assert len(caught) == 1
    assert np.abs(found[0] - 229).max() <= 1.5
    assert clip.layout.matrix == 1  # what is written is not HDR


@pytest.mark.parametrize(("rotation", "turns"), [(90, 1), (180, 2), (-90, 3)])
def test_a_rotated_video_is_turned_upright(tmp_path: Path, rotation: int, turns: int) -> None:
    clip = VideoFile(write_clip(tmp_path / "a.mp4", rotation=rotation))
    upright = np.rot90(pictures()[0], turns)  # counter-clockwise
    assert clip.layout.size == upright.shape[:2]
    assert np.abs(colors(next(clip.frames())) - upright).mean() < 4


def test_reading_may_begin_in_the_middle(tmp_path: Path) -> None:
    clip = VideoFile(write_clip(tmp_path / "a.mp4", pictures(60), gop_size=12))
    assert [frame.start for frame in clip.frames(Fraction(1))] == [Fraction(number, 25) for number in range(25, 60)]
    frame = next(clip.frames(Fraction(1)))
    assert np.abs(colors(frame) - pictures(60)[25])[20:, 20:].max() < 4


def test_selection_trims_thins_out_and_keeps_the_length(tmp_path: Path) -> None:
    clip = VideoFile(write_clip(tmp_path / "a.mp4", pictures(50)))
    selection = Selection(Fraction(1, 5), Fraction(6, 5), every=4)  # frames 5 to 29
    frames = list(selection.of(clip))
    assert [frame.start for frame in frames] == [Fraction(4 * number, 25) for number in range(7)]
    assert [frame.end for frame in frames] == [*(frame.start for frame in frames[1:]), Fraction(1)]
    assert selection.count(clip.layout) == 7
    assert len(list(Selection().of(clip))) == Selection().count(clip.layout) == 50


def test_a_truncated_file_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 48, 64, 3), np.uint8)
    whole = write_clip(tmp_path / "whole.mov", noise)
    data = whole.read_bytes()
    moov = data.index(b"moov") - 4  # the header is at the end: put it first, as in a file for the web
    with (
        av.open(str(whole)) as source,
        av.open(str(tmp_path / "web.mp4"), "w", options={"movflags": "faststart"}) as to,
    ):
        stream = to.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                to.mux(packet)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes((tmp_path / "web.mp4").read_bytes()[: len(data) // 2])
    clip = VideoFile(cut)
    with warns(StylekitWarning, cut, "truncated", "of 40 frames"):
        count = len(list(clip.frames()))
    assert 5 < count < 35
    headless = tmp_path / "headless.mp4"
    headless.write_bytes(data[:moov])
    with raises(StylekitError, headless, "damaged", "truncated"):
        VideoFile(headless)


@pytest.mark.parametrize("sound", [None, "aac"])
@pytest.mark.parametrize("start", [Fraction(0), Fraction(1, 25)])
def test_a_truncated_matroska_file_is_noticed_though_it_counts_no_frames(
    tmp_path: Path, sound: str | None, start: Fraction
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (12, 48, 64, 3), np.uint8)
    data = write_clip(tmp_path / "whole.mkv", noise, codec="ffv1", sound=sound).read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(data[: len(data) // 2])
    with warns(StylekitWarning, cut, "truncated", "of 0.5" if sound else "of 0.48 seconds"):
        count = len(list(VideoFile(cut).frames(start)))
    assert 2 < count < 9


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("name", "codec", "sound", "tone"),
    [
        ("a.mkv", "ffv1", None, 0),
        ("a.mkv", "libx264", "aac", 1.5),
        ("a.webm", "libvpx-vp9", "libopus", 1.5),
        ("a.webm", "libvpx-vp9", "libopus", 0.1),
        ("a.mp4", "libx264", "aac", 1.5),
        ("a.mpg", "mpeg2video", None, 0),
        ("a.flv", "libx264", None, 0),
    ],
)
def test_intact_files_are_not_taken_for_truncated(
    tmp_path: Path, name: str, codec: str, sound: str | None, tone: float
) -> None:
    """Neither if the sound is longer or shorter than the video, nor if only a part is used."""
    path = write_clip(tmp_path / name, pictures(12), codec=codec, sound=sound, tone=tone)
    clip = VideoFile(path)
    assert len(list(clip.frames())) == 12
    assert len(list(Selection(end=Fraction(1, 5)).of(clip))) == 5
    assert len(list(Selection(start=Fraction(1, 5), every=3).of(clip))) == 3
    assert not list(clip.frames(Fraction(9)))


@pytest.mark.filterwarnings("error")
def test_a_matroska_file_without_a_duration_is_not_taken_for_truncated(tmp_path: Path) -> None:
    """Such as one that was written to a pipe."""
    whole, path = write_clip(tmp_path / "whole.mkv", pictures(12)), tmp_path / "piped.mkv"
    with (
        av.open(str(whole)) as source,
        path.open("wb") as file,
        av.open(_Pipe(file), "w", format="matroska") as to,
    ):
        stream = to.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                to.mux(packet)
    with av.open(str(path)) as piped:
        assert piped.duration is None
    assert len(list(VideoFile(path).frames())) == 12


class _Pipe:
    """A file that cannot be sought in."""

    def __init__(self, file: BinaryIO) -> None:
        self.write = file.write


def test_damage_in_the_middle_is_reported_and_the_rest_is_read(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 48, 64, 3), np.uint8)
    path = write_clip(tmp_path / "a.mp4", noise, gop_size=5)
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][20]
    data = bytearray(path.read_bytes())
    data[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    path.write_bytes(data)
    with warns(StylekitWarning, path, "damaged"):
        count = len(list(VideoFile(path).frames()))
    assert 30 < count <= 40


@pytest.mark.parametrize("content", [b"", b"not a video", b"\0" * 1000])
def test_what_is_no_video_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with raises(StylekitError, path, "cannot be read"):
        VideoFile(path)


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "libx264"), (".mkv", "libx264"), (".webm", "libvpx-vp9")])
@pytest.mark.filterwarnings("ignore::stylekit.errors.StylekitWarning")
def test_any_damage_is_an_error_or_fewer_frames(tmp_path: Path, suffix: str, codec: str) -> None:
    whole = write_clip(tmp_path / f"whole{suffix}", codec=codec).read_bytes()
    random, path = np.random.default_rng(0), tmp_path / f"a{suffix}"
    read, refused = 0, []
    for number in range(40):
        data = bytearray(whole)
        if number % 2:
            del data[int(random.integers(1, len(data))) :]
        else:
            for position in random.integers(0, len(data), 20):
                data[position] = random.integers(0, 256)
        path.write_bytes(data)
        try:
            read += len([frame.read() for frame in VideoFile(path).frames()])
        except StylekitError as error:
            refused.append(str(error))
    assert read > 0
    assert refused
    assert all(str(path) in message for message in refused)


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.mkv", sound="aac")
    path = tmp_path / "sound.mkv"
    with av.open(str(whole)) as source, av.open(str(path), "w") as to:
        stream = to.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.size:
                packet.stream = stream
                to.mux(packet)
    with raises(StylekitError, path, "no video", "audio"):
        VideoFile(path)


def test_a_playlist_opens_nothing(tmp_path: Path) -> None:
    write_clip(tmp_path / "secret.ts")
    path = tmp_path / "a.mp4"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.ts\n#EXT-X-ENDLIST\n")
    with raises(StylekitError, path, "cannot be read"):
        VideoFile(path)
    path.write_text("ffconcat version 1.0\nfile secret.ts\n")
    with raises(StylekitError, path, "cannot be read"):
        VideoFile(path)


def test_without_pyav_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_clip(tmp_path / "a.mp4")

    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(extras.importlib, "import_module", missing)
    with raises(StylekitError, path, "needs av", "pip install 'stylekit-torch[video]'"):
        VideoFile(path)


def test_reading_warns_of_nothing_if_all_is_well(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(VideoFile(write_clip(tmp_path / "a.webm", codec="libvpx-vp9")).frames())) == 10
