"""Resizing and padding."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from stylekit import images


def test_resize_agrees_with_pillow() -> None:
    plane = np.random.default_rng(0).random((60, 90), dtype=np.float32)
    image = torch.from_numpy(plane)[None, None]
    for height, width in [(20, 30), (31, 200), (1, 1), (120, 91)]:
        expected = np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC)).clip(0, 1)
        resized = images.resize(image, (height, width))
        assert resized.shape == (1, 1, height, width)
        assert np.abs(resized[0, 0].numpy() - expected).max() < 1e-5


@pytest.mark.parametrize("size", [(40, 60), (47, 61), (333, 500)])
@pytest.mark.parametrize("factor", [0.1, 0.37, 1.0, 2.0, 4.0])
def test_resized_images_keep_their_proportions(size: tuple[int, int], factor: float) -> None:
    other = images.scaled(size, factor)
    assert images.same_proportions(size, other)
    assert images.same_proportions(other, size)
    assert not images.same_proportions((other[1], other[0] + 2 * other[1]), size)


def test_pad_mirrors_first_and_then_repeats() -> None:
    row = torch.tensor([1.0, 2, 3])[None, None, None]
    assert images.pad_to(row, 1, 8)[0, 0, 0].tolist() == [1, 2, 3, 2, 1, 1, 1, 1]
    assert images.pad_to(row, 4).shape == (1, 1, 4, 4)
    assert images.pad_to(row, 4)[0, 0].tolist() == [[1, 2, 3, 2]] * 4
    assert images.pad_to(torch.ones(1, 3, 1, 1), 16, least=20).shape == (1, 3, 32, 32)


def test_pad_agrees_with_reflection_and_crops_back() -> None:
    image = torch.rand(2, 3, 13, 17)
    padded = images.pad_to(image, 8)
    assert torch.equal(padded, functional.pad(image, (0, 7, 0, 3), mode="reflect"))
    assert torch.equal(padded[..., :13, :17], image)


def test_pad_does_not_copy_an_image_of_the_right_size() -> None:
    image = torch.rand(1, 3, 16, 32)
    assert images.pad_to(image, 16, least=16) is image


def test_pad_passes_gradients() -> None:
    image = torch.rand(1, 1, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: images.pad_to(x, 4, 8) ** 2, image)
    assert torch.autograd.gradgradcheck(lambda x: images.pad_to(x, 4, 8) ** 2, image)


def test_a_margin_is_mirrored_and_the_last_line_repeated_where_the_image_ends() -> None:
    row = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    assert images.extend(row, 1)[0, 0].tolist() == [[2, 1, 2, 3, 2]] * 3
    assert images.extend(row, 4)[0, 0, 0].tolist() == [3, 3, 3, 2, 1, 2, 3, 2, 1, 1, 1]
    assert torch.equal(images.extend(torch.ones(1, 3, 1, 1), 2), torch.ones(1, 3, 5, 5))
    image = torch.rand(2, 3, 13, 17)
    assert torch.equal(images.extend(image, 8), functional.pad(image, (8, 8, 8, 8), mode="reflect"))
    assert torch.equal(images.extend(image, 0), image)


class Padded(torch.nn.Module):
    def __init__(self, pad: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.pad = pad

    def forward(self, image: Tensor) -> Tensor:
        return self.pad(image)


@pytest.mark.parametrize("pad", [lambda image: images.pad_to(image, 8, 16), lambda image: images.extend(image, 8)])
def test_padding_is_exported_for_all_sizes(pad: Callable[[Tensor], Tensor]) -> None:
    sizes = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    exported = torch.export.export(Padded(pad), (torch.rand(1, 3, 24, 33),), dynamic_shapes=(sizes,)).module()
    for height, width in ((24, 33), (40, 9), (7, 16), (3, 2)):
        image = torch.rand(1, 3, height, width)
        assert torch.equal(exported(image), pad(image))
