"""What a caller may pass as an image, and what is refused by name: one judge for contents, styles, masks and options."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import stylekit
from stylekit import Method, StylekitError
from stylekit.inference.model import Model
from stylekit.method import Statistics
from tests.facts import raises


class Lift(Method):
    """The content, brighter by a tenth, or an image in its place, or what the style's mean adds to it."""

    style_modules = ()

    def describe(self, style: Tensor) -> Statistics:
        return {"mean": style.mean((2, 3))}

    def transfer(
        self, content: Tensor, style: Statistics, strength: float = 1.0, *, instead: Tensor | None = None
    ) -> Tensor:
        """Lifts.

        Args:
            instead: image in place of the result
        """
        return (0.9 * content + 0.1 * style["mean"][..., None, None]) if instead is None else instead


WHITE = torch.ones(1, 3, 4, 4)


@pytest.fixture
def model() -> Model:
    return Model(Lift(), "lift")


def levels(dtype: Any, channels: int = 3, top: int = 255) -> np.ndarray[Any, Any]:
    """An array with many different values."""
    return np.random.default_rng(0).integers(0, top + 1, (9, 11, channels)).astype(dtype)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535), (">u2", 65535)])
def test_an_array_of_integers_is_stylised_and_comes_back_as_one(
    model: Model, dtype: Any, top: int, channels: int
) -> None:
    array = levels(dtype, channels, top)
    before = array.copy()
    styled = model.stylize(array, WHITE)
    assert styled.dtype == array.dtype
    assert np.array_equal(styled[..., 3:], array[..., 3:])
    opaque = array[..., 3] > 0 if channels == 4 else np.ones(array.shape[:2], bool)
    expected = 0.9 * array[..., :3].astype(np.float64) + 0.1 * top
    assert np.abs(styled[..., :3].astype(np.float64) - expected)[opaque].max() <= 0.51 + top / 1e6
    assert np.array_equal(model.stylize(array, WHITE, strength=0)[opaque], array[opaque])
    assert np.array_equal(array, before)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_an_array_of_floats_keeps_its_type(model: Model, dtype: Any) -> None:
    array = (levels(np.float64, 4) / 255).astype(dtype)
    styled = model.stylize(array, WHITE)
    assert styled.dtype == dtype
    assert np.array_equal(styled[..., 3], array[..., 3])
    opaque = array[..., 3] > 0
    expected = 0.9 * array[..., :3].astype(np.float64) + 0.1
    assert np.abs(styled[..., :3] - expected)[opaque].max() < 1e-3
    assert np.array_equal(model.stylize(array, WHITE, strength=0)[opaque], array[opaque])


@pytest.mark.parametrize(
    "view",
    [lambda array: array[::-1, ::-2], lambda array: array[..., ::-1], np.asfortranarray, lambda array: array[..., :1],
     lambda array: array[..., 0]],
    ids=["reversed", "BGR", "Fortran", "one channel", "grey"],
)  # fmt: skip
def test_an_array_of_any_strides_is_the_same_as_its_copy(model: Model, view: Any) -> None:
    array = view(levels(np.uint8))
    array.setflags(write=False)
    styled = model.stylize(array, WHITE)
    colours = np.broadcast_to(np.atleast_3d(array), (*array.shape[:2], 3))
    assert np.array_equal(styled, model.stylize(colours.copy(), WHITE))


def test_a_path_is_stylised_like_the_image_in_it(model: Model, tmp_path: Path) -> None:
    Image.fromarray(levels(np.uint8, 4)).save(tmp_path / "a.png")
    opened = model.stylize(Image.open(tmp_path / "a.png"), WHITE)
    for path in (tmp_path / "a.png", str(tmp_path / "a.png")):
        styled = model.stylize(path, WHITE)
        assert isinstance(styled, Image.Image)
        assert (styled.mode, styled.tobytes()) == ("RGBA", opened.tobytes())
    with raises(StylekitError, "nowhere.png", "no such file"):
        model.stylize("nowhere.png", WHITE)


def test_an_empty_pil_image_is_refused(model: Model) -> None:
    image = Image.new("RGB", (0, 5))
    for call in (
        lambda: model.stylize(image, WHITE),
        lambda: model.stylize(WHITE, image),
        lambda: model.stylize(WHITE, WHITE, mask=image),
    ):
        with pytest.raises(StylekitError):
            call()


def test_arrays_serve_as_styles_masks_and_options(model: Model) -> None:
    content = torch.rand(1, 3, 9, 11)
    array = levels(np.uint8)
    tensor = torch.from_numpy(array.transpose(2, 0, 1).copy())[None] / 255
    assert torch.equal(model.stylize(content, array), model.stylize(content, tensor))
    assert torch.equal(model.stylize(content, [(array, 0.5), (array, 0.5)]), model.stylize(content, tensor))
    assert torch.equal(model.stylize(content, WHITE, instead=array), tensor)
    mask = np.zeros((9, 11), bool)
    mask[:, :5] = True
    expected = model.stylize(content, WHITE, mask=torch.from_numpy(mask)[None, None].float())
    for given in (mask, mask.astype(float), mask.astype(np.uint8) * 255, torch.from_numpy(mask)[None, None]):
        assert torch.equal(model.stylize(content, WHITE, mask=given), expected)
    assert torch.equal(expected[..., 5:], content[..., 5:])


@pytest.mark.parametrize(
    ("scale", "facts"),
    [
        (lambda image: image * 255, ("255", "Divide it by 255")),
        (lambda image: image * 65535, ("65535", "Divide it")),
        (lambda image: image * 2 - 1, ("from -1 to 1", "(image + 1) / 2")),
        (lambda image: (image - 0.45) / 0.225, ("normalisation",)),
        (lambda image: image * 1.1, ("1.1", "clamp")),
        (lambda image: image - 0.1, ("-0.1", "clamp")),
        (lambda image: image * float("nan"), ("NaN",)),
        (lambda image: image / 0, ("infinity",)),
    ],
)
def test_values_outside_0_to_1_are_refused_wherever_an_image_is_passed(
    model: Model, scale: Any, facts: tuple[str, ...]
) -> None:
    good = torch.linspace(0, 1, 300).reshape(1, 3, 10, 10)
    bad = scale(good)
    array = bad[0].permute(1, 2, 0).numpy()
    calls: dict[str, Any] = {
        "image to stylise": lambda: model.stylize(bad, WHITE),
        "image": lambda: model.stylize(array, WHITE),
        "style": lambda: model.stylize(good, bad),
        "A style": lambda: model.style(array),
        "mask": lambda: model.stylize(good, WHITE, mask=scale(good.reshape(1, 1, 30, 10))),
        "frame": lambda: next(model.frames([bad], WHITE)),
        "'instead'": lambda: model.stylize(good, WHITE, instead=bad),
    }
    for what, call in calls.items():
        with pytest.raises(StylekitError) as caught:
            call()
        assert what in str(caught.value)
        assert all(fact.lower() in str(caught.value).lower() for fact in facts), caught.value


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_values_that_rounding_took_outside_are_clamped(model: Model, dtype: torch.dtype) -> None:
    image = torch.rand(1, 3, 8, 8).to(dtype)
    image[0, 0, 0, :2] = torch.tensor([-1 / 300, 1 + 1 / 300])
    styled = model.stylize(image, WHITE)
    assert styled.dtype == dtype
    assert torch.equal(styled, model.stylize(image.clamp(0, 1), WHITE))
    assert torch.equal(model.stylize(image, WHITE, strength=0), image.clamp(0, 1))


good = torch.rand(1, 3, 8, 8)
ODD: dict[str, Any] = {
    "meta": good.to("meta"),
    "sparse": good.to_sparse(),
    "nested": torch.nested.nested_tensor([good[0], good[0, :, :4]], layout=torch.jagged),
    "complex": good.to(torch.complex64),
    "bool": good > 0.5,
    "uint8": (good * 255).to(torch.uint8),
    "int64": (good * 255).long(),
    "float8": good.to(torch.float8_e4m3fn),
    "empty": torch.zeros(1, 3, 0, 5),
    "no batch": good[0],
    "channels last": good.permute(0, 2, 3, 1),
    "scalar": torch.tensor(0.5),
    "list": good.tolist(),
    "None": None,
    "object array": np.array([[None]]),
    "empty array": np.zeros((0, 5, 3), np.uint8),
    "int array": np.zeros((5, 5, 3), np.int64),
    "text array": np.array([["a"]]),
    "record array": np.zeros((4, 4), [("r", "u1")]),
    "scalar array": np.array(0.5),
    "planes first": np.zeros((3, 8, 8), np.uint8),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_no_image_is_refused_in_one_sentence(model: Model, name: str) -> None:
    calls: list[Any] = [
        lambda: model.stylize(ODD[name], WHITE),
        lambda: model.stylize(good, [(ODD[name], 1.0)]),
        lambda: next(model.frames([ODD[name]], WHITE)),
    ]
    if name not in ("bool", "list", "None"):  # a mask may be boolean; a list holds several masks; None is no mask
        calls.append(lambda: model.stylize(good, WHITE, mask=ODD[name]))
    for call in calls:
        with pytest.raises(StylekitError) as caught:
            call()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda image: image.clone().requires_grad_(),
        lambda image: image.clone().requires_grad_() * 1,
        lambda image: image.to(memory_format=torch.channels_last),
        lambda image: image.transpose(2, 3).contiguous().transpose(2, 3),
        lambda image: image[:, :1].expand(1, 3, 8, 8),
        lambda image: torch.nn.Parameter(image),
        lambda image: image.flip(3).flip(3),
    ],
    ids=["leaf with gradient", "with gradient", "channels last", "transposed", "expanded", "parameter", "flipped"],
)
def test_a_tensor_of_any_layout_and_with_a_gradient_is_accepted(model: Model, make: Any) -> None:
    image = make(good)
    styled = model.stylize(image, WHITE)
    assert torch.equal(styled, model.stylize(image.detach().clone().contiguous(), WHITE))
    assert not styled.requires_grad
    with torch.inference_mode():
        inside = make(torch.rand(1, 3, 8, 8))
    assert model.stylize(inside, inside).shape == inside.shape


@pytest.mark.parametrize(
    "call",
    [
        lambda model: next(model.frames(3, WHITE)),
        lambda model: stylekit.load(None),
        lambda model: stylekit.make("generator", 3),  # type: ignore[call-overload]
        lambda model: stylekit.train("a\0.py"),
        lambda model: stylekit.train("cyclegan", preset="tiny", out="a\0b"),
        lambda model: model.stylize("a\0b", WHITE),
        lambda model: model.stylize(WHITE, "x" * 300),
        lambda model: model.sample("three"),
    ],
)
def test_other_arguments_of_a_wrong_type_are_one_sentence(model: Model, call: Any) -> None:
    with pytest.raises(StylekitError) as caught:
        call(model)
    assert "\n" not in str(caught.value)


def test_a_closed_pil_image_is_refused(model: Model, tmp_path: Path) -> None:
    Image.new("RGB", (5, 6)).save(tmp_path / "a.png")
    image = Image.open(tmp_path / "a.png")
    image.close()
    with pytest.raises(StylekitError):
        model.stylize(image, WHITE)
    with pytest.raises(StylekitError):
        model.stylize(WHITE, WHITE, mask=image)


def test_the_callers_random_numbers_are_the_same_after_threads_have_stylised(model: Model) -> None:
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda seed: model.stylize(good, WHITE, seed=seed), range(40)))
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])


def test_arrays_of_other_classes_are_read_or_refused(model: Model) -> None:
    values = np.random.default_rng(0).random((24, 32))
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix(values)
    assert np.array_equal(model.stylize(matrix, WHITE), model.stylize(values, WHITE))
    with raises(StylekitError, "masked array", "filled"):
        model.stylize(np.ma.MaskedArray(np.zeros((8, 8, 3), np.uint8)), WHITE)


def test_an_array_as_keep_color_is_refused(model: Model) -> None:
    with raises(StylekitError, "keep_color"):
        model.stylize(np.zeros((8, 8, 3)), WHITE, keep_color=np.zeros(2))
