"""Clips: frames are stylised in order and one at a time, and a method may carry a state from frame to frame."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stylekit import Method, StylekitError, images, load
from stylekit.images import Metadata, Picture
from stylekit.inference.model import Model
from stylekit.method import Statistics
from tests.facts import raises
from tests.tensors import noise


class Paint(Method):
    """The content blended with the style's mean colour, without a state."""

    style_modules = ()

    def describe(self, style: Tensor) -> Statistics:
        return {"mean": style.mean((2, 3))}

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        return torch.lerp(content, style["mean"][..., None, None].expand_as(content), 0.8 * strength)


class Smooth(Paint):
    """Averages each frame with the result of the one before."""

    def frames(self, contents: Iterable[Tensor], style: Statistics | None = None, **options: Any) -> Iterator[Tensor]:
        last = None
        for content in contents:
            now = self.transfer(content, style or {}, **options)
            last = now if last is None else (now + last) / 2
            yield last


class Noise(Paint):
    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        return torch.lerp(content, torch.rand_like(content), strength)


def plain(*colour: float) -> Tensor:
    return torch.tensor(colour)[None, :, None, None].expand(1, 3, 4, 4)


def left() -> Tensor:
    mask = torch.zeros(1, 1, 6, 8)
    mask[..., :3] = 1
    return mask


CLIP = [noise(1, 3, 6, 8, seed=number) for number in range(4)]
RED, BLUE = plain(1.0, 0.0, 0.0), plain(0.0, 0.0, 1.0)
CONTROLS: dict[str, dict[str, Any]] = {
    "plain": {},
    "strength": {"strength": 0.5},
    "little strength": {"strength": 0.1},
    "no strength": {"strength": 0},
    "luminance": {"keep_color": "luminance"},
    "histogram": {"keep_color": "histogram", "strength": 0.7},
    "mask": {"mask": left()},
    "mask and strength": {"mask": left(), "strength": 0.3, "keep_color": "luminance"},
    "style scale": {"style_scale": 0.5},
}


@pytest.mark.parametrize("controls", CONTROLS.values(), ids=CONTROLS)
def test_frames_of_a_method_without_a_state_are_those_of_stylize(controls: dict[str, Any]) -> None:
    model = Model(Paint(), "paint")
    wanted = [model.stylize(content, RED, **controls) for content in CLIP]
    frames = list(model.frames(CLIP, RED, **controls))
    assert len(frames) == len(CLIP)
    assert all(torch.equal(frame, styled) for frame, styled in zip(frames, wanted, strict=True))


@pytest.mark.parametrize("name", ["stylekit-any", "color-pca"])
def test_frames_of_the_built_in_methods_are_those_of_stylize(name: str) -> None:
    model, style = load(name, "cpu"), noise(1, 3, 20, 30, seed=9)
    for content, frame in zip(CLIP, model.frames(CLIP, style), strict=True):
        assert torch.equal(frame, model.stylize(content, style))


def test_options_and_one_style_methods_have_frames_too() -> None:
    class Gain(Method):
        def stylize(self, content: Tensor, style: Tensor | None = None, *, gain: float = 1.0) -> Tensor:
            return gain * content

    frames = list(Model(Gain(), "gain").frames(CLIP, gain="0.5", strength=0.5))
    for content, frame in zip(CLIP, frames, strict=True):
        torch.testing.assert_close(frame, 0.75 * content)


def test_a_state_is_carried_along_the_clip() -> None:
    model = Model(Smooth(), "smooth")
    last = None
    for content, frame in zip(CLIP, model.frames(CLIP, RED), strict=True):
        now = torch.lerp(content, RED[..., :1, :1].expand_as(content), 0.8)
        last = now if last is None else (now + last) / 2
        torch.testing.assert_close(frame, last)
    assert torch.equal(next(model.frames(CLIP[3:], RED)), model.stylize(CLIP[3], RED))  # a new clip starts afresh


def test_clips_that_are_stylised_at_once_do_not_affect_each_other() -> None:
    model = Model(Smooth(), "smooth")
    alone = [list(model.frames(clip, RED)) for clip in (CLIP, CLIP[::-1])]
    together = list(zip(model.frames(CLIP, RED), model.frames(CLIP[::-1], RED), strict=True))
    for number, pair in enumerate(together):
        assert all(torch.equal(frame, frames[number]) for frame, frames in zip(pair, alone, strict=True))


def test_each_masked_region_has_a_style_and_a_state_of_its_own() -> None:
    model = Model(Smooth(), "smooth")
    red, blue = list(model.frames(CLIP, RED)), list(model.frames(CLIP, BLUE))
    for number, frame in enumerate(model.frames(CLIP, [RED, BLUE], mask=[left()])):
        torch.testing.assert_close(frame[..., :3], red[number][..., :3], rtol=0, atol=1e-6)
        torch.testing.assert_close(frame[..., 3:], blue[number][..., 3:], rtol=0, atol=1e-6)
    two = [left(), 1 - left()]
    for number, frame in enumerate(model.frames(CLIP, [BLUE, RED], mask=two, strength=0.5)):
        halves = list(model.frames(CLIP[: number + 1], BLUE, strength=0.5))[-1]
        torch.testing.assert_close(frame[..., :3], halves[..., :3], rtol=0, atol=1e-6)
    for number, frame in enumerate(model.frames(CLIP, RED, mask=left())):
        assert torch.equal(frame[..., 3:], CLIP[number][..., 3:])


def sliding(number: int) -> Tensor:
    """White in one column, which moves to the right."""
    mask = torch.zeros(1, 1, 6, 8)
    mask[..., number] = 1
    return mask


def test_a_mask_that_moves_is_an_iterator() -> None:
    model = Model(Smooth(), "smooth")
    red, blue = list(model.frames(CLIP, RED)), list(model.frames(CLIP, BLUE))
    masks = map(sliding, range(len(CLIP)))
    for number, frame in enumerate(model.frames(CLIP, [RED, BLUE], mask=[left(), masks])):
        column, styled = (
            slice(number, number + 1),
            0.5 * (red[number] + blue[number]),
        )  # in both regions up to the third
        wanted = (styled if number < 3 else blue[number])[..., column]
        torch.testing.assert_close(frame[..., column], wanted, rtol=0, atol=1e-6)
        assert torch.equal(frame[..., 4:], CLIP[number][..., 4:]) or number > 3
    assert next(masks, None) is None


def test_masks_go_on_in_the_next_part_of_a_clip() -> None:
    model, masks = Model(Paint(), "paint"), map(sliding, range(4))
    parts = [*model.frames(CLIP[:2], RED, mask=masks), *model.frames(CLIP[2:], RED, mask=masks)]
    whole = model.frames(CLIP, RED, mask=map(sliding, range(4)))
    assert all(torch.equal(one, other) for one, other in zip(parts, whole, strict=True))
    assert torch.equal(parts[3], model.stylize(CLIP[3], RED, mask=sliding(3)))


def test_fewer_masks_than_frames_are_refused() -> None:
    frames = Model(Paint(), "paint").frames(CLIP, RED, mask=map(sliding, range(3)))
    for _ in range(3):
        next(frames)
    with raises(StylekitError, "mask", 3):
        next(frames)
    with raises(StylekitError, "mask", "map"):
        Model(Paint(), "paint").stylize(CLIP[0], RED, mask=map(sliding, range(3)))


def test_strength_and_colours_apply_to_the_results_and_not_to_the_state() -> None:
    model = Model(Smooth(), "smooth")
    full = list(model.frames(CLIP, RED, strength=0.2))
    for content, styled, frame in zip(CLIP, full, model.frames(CLIP, RED, strength=0.1), strict=True):
        # Below 0.2, the content is blended in as well; the method itself gets 0.1.
        assert (frame - content).abs().max() < (styled - content).abs().max()
    for content, frame in zip(CLIP, model.frames(CLIP, RED, strength=0), strict=True):
        assert torch.equal(frame, content)


@pytest.mark.parametrize("method", [Paint, Smooth])
@pytest.mark.parametrize("masks", [0, 2])
def test_a_frame_comes_out_before_the_next_is_read(method: type[Method], masks: int) -> None:
    read: list[int] = []

    def contents() -> Iterator[Tensor]:
        for number, content in enumerate(CLIP):
            read.append(number)
            yield content

    given: dict[str, Any] = {"mask": [left(), 1 - left()]} if masks else {}
    style: Any = [RED, BLUE] if masks else RED
    for number, _ in enumerate(Model(method(), "it").frames(contents(), style, **given)):
        assert read == list(range(number + 1))
    assert read == list(range(len(CLIP)))


def test_a_clip_without_an_end_can_be_stylised() -> None:
    endless = (noise(1, 3, 6, 8, seed=number) for number in iter(int, 1))
    frames = Model(Smooth(), "smooth").frames(endless, RED)
    assert all(next(frames).shape == (1, 3, 6, 8) for _ in range(5))


def test_an_empty_clip_has_no_frames() -> None:
    assert list(Model(Smooth(), "smooth").frames([], RED)) == []


def test_frames_depend_on_the_seed_and_their_number() -> None:
    model, same = Model(Noise(), "noise"), [CLIP[0]] * 3
    first, again, other = (list(model.frames(same, RED, seed=seed)) for seed in (0, 0, 1))
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[1])
    assert not any(torch.equal(one, two) for one, two in zip(first, other, strict=True))


def test_the_callers_random_numbers_and_grad_mode_are_untouched_between_frames() -> None:
    model = Model(Noise(), "noise")
    wanted = list(model.frames(CLIP, RED))
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    drawn = [(float(torch.rand(())), random.random(), float(np.random.rand())) for _ in CLIP]
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    for number, frame in enumerate(model.frames(CLIP, RED)):
        assert (float(torch.rand(())), random.random(), float(np.random.rand())) == drawn[number]
        assert torch.is_grad_enabled()
        assert not frame.requires_grad
        assert torch.equal(frame, wanted[number])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_frames_have_the_type_of_what_they_are_made_from(dtype: torch.dtype) -> None:
    model = Model(Smooth(), "smooth")
    assert all(frame.dtype == dtype for frame in model.frames([content.to(dtype) for content in CLIP], RED))
    fine = [content.double() / 3 for content in CLIP]
    assert all(torch.equal(one, two) for one, two in zip(fine, model.frames(fine, RED, mask=0 * left()), strict=True))


def test_what_cannot_be_done_is_refused() -> None:
    model = Model(Smooth(), "smooth")
    with raises(StylekitError, "strength", 2):
        next(model.frames(CLIP, RED, strength=2))
    with raises(StylekitError, "method 'smooth'", "'gain'"):
        next(model.frames(CLIP, RED, gain=2))
    with raises(StylekitError, "frame", "(N, 3, H, W)", "(3, 6, 8)"):
        list(model.frames([CLIP[0], CLIP[1][0]], RED))
    with raises(StylekitError, "frame", "NaN"):
        list(model.frames([CLIP[0], CLIP[1] * float("nan")], RED))


def test_a_method_that_gives_too_few_frames_is_an_error_that_names_it() -> None:
    class First(Paint):
        def frames(self, contents: Iterable[Tensor], style: Any = None, **options: Any) -> Iterator[Tensor]:
            yield self.transfer(next(iter(contents)), style, **options)

    with raises(StylekitError, "'first'"):
        list(Model(First(), "first").frames(CLIP, RED))


def picture(number: int, alpha: bool) -> Picture:
    shown = noise(1, 1, 6, 8, seed=10 + number).mul(2).clamp(0, 1).sub(0.3).clamp(min=0) if alpha else None
    return Picture(CLIP[number], shown, metadata=Metadata(b"profile", b"exif"))


@pytest.mark.parametrize("alpha", [False, True])
def test_a_clip_of_pictures_keeps_alpha_profile_and_exif(alpha: bool) -> None:
    model, pictures = Model(Paint(), "paint"), [picture(number, alpha) for number in range(4)]
    clip = list(model.clip(iter(pictures), RED, strength=0.7))
    assert len(clip) == len(pictures)
    for before, after in zip(pictures, clip, strict=True):
        assert torch.equal(after.image, model.stylize_picture(before, RED, strength=0.7).image)
        assert (after.alpha is None) == (not alpha)
        assert after.alpha is None or torch.equal(after.alpha, before.alpha)
        assert after.metadata == before.metadata


def test_colours_behind_full_transparency_do_not_affect_a_clip() -> None:
    model, clear = Model(Smooth(), "smooth"), [picture(number, alpha=True) for number in range(4)]
    garbage = [
        Picture(torch.where(each.alpha > 0, each.image, 1 - each.image), each.alpha)  # type: ignore[operator]
        for each in clear
    ]
    assert any((each.alpha == 0).any() for each in clear)  # type: ignore[union-attr]
    for one, two in zip(model.clip(clear, RED), model.clip(garbage, RED), strict=True):
        assert torch.equal(one.image, two.image)


def test_a_clip_is_read_one_picture_at_a_time() -> None:
    read: list[int] = []

    def pictures() -> Iterator[Picture]:
        for number in range(4):
            read.append(number)
            yield picture(number, alpha=True)

    for number, _ in enumerate(Model(Smooth(), "smooth").clip(pictures(), RED)):
        assert read == list(range(number + 1))


def test_frames_of_pil_images_are_stylised_as_pictures() -> None:
    model, pil = Model(Smooth(), "smooth"), [images.to_pil(content) for content in CLIP]
    styled = list(model.clip(map(images.from_pil, pil), RED))
    wanted = list(model.frames([images.to_tensor(each) for each in pil], RED))
    assert all(torch.equal(one.image, two) for one, two in zip(styled, wanted, strict=True))


class Listed(Paint):
    """Accepts no strength in a clip, and one of two options."""

    def transfer(
        self, content: Tensor, style: Statistics, strength: float = 1.0, *, gain: float = 1.0, shift: float = 0.0
    ) -> Tensor:
        return gain * super().transfer(content, style, strength) + shift

    def frames(  # type: ignore[override]
        self, contents: Iterable[Tensor], style: Statistics | None = None, gain: float = 1.0
    ) -> Iterator[Tensor]:
        for content in contents:
            yield self.transfer(content, style or {}, gain=gain)


def test_frames_need_not_accept_a_strength_or_every_option() -> None:
    model = Model(Listed(), "listed")
    for given in ({}, {"strength": 1}, {"gain": 0.5}, {"strength": 0}):
        for content, frame in zip(CLIP, model.frames(CLIP, RED, **given), strict=True):
            assert torch.equal(frame, model.stylize(content, RED, **given))
    for given in ({"strength": 0.5}, {"shift": 0.1}):
        with raises(StylekitError, "method 'listed'", repr(next(iter(given))), "clip"):
            next(model.frames(CLIP, RED, **given))
