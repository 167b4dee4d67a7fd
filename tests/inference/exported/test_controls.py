"""The controls in NumPy, against those in torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stylekit.inference import controls
from stylekit.inference.controls import KeepColor
from stylekit.inference.exported.controls import fit_masks, keep_color


@pytest.mark.parametrize("how", [None, "luminance", "histogram"])
def test_colours_are_kept_as_by_torch(how: KeepColor | None) -> None:
    generator = torch.Generator().manual_seed(0)
    styled, content = torch.rand(2, 1, 3, 20, 31, generator=generator)
    content = content * torch.tensor([1.0, 0.6, 0.3]).view(1, 3, 1, 1)
    expected = controls.keep_color(styled, content, how)
    torch.testing.assert_close(
        torch.from_numpy(keep_color(styled.numpy(), content.numpy(), how)), expected, rtol=0, atol=2e-5
    )


def test_the_colours_of_an_image_of_one_colour_are_not_amplified() -> None:
    flat, content = torch.full((1, 3, 5, 5), 0.5), torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    expected = controls.keep_color(flat, content, "histogram")
    assert np.abs(keep_color(flat.numpy(), content.numpy(), "histogram") - expected.numpy()).max() < 1e-5


def test_masks_are_fitted_as_by_torch() -> None:
    mask = torch.rand(1, 1, 13, 17, generator=torch.Generator().manual_seed(0))
    for size in ((13, 17), (40, 33), (5, 4)):
        (expected,) = controls.fit_masks([mask], torch.zeros(1, 3, *size))
        (found,) = fit_masks([mask.numpy()], size)
        assert np.abs(found - expected.numpy()).max() < 1e-5


def test_regions_accept_arrays() -> None:
    masks = [torch.tensor([[[[0.7, 0.2]]]]), torch.tensor([[[[0.7, 0.1]]]])]
    for count in (2, 3):
        expected = controls.regions(masks, count)
        found = controls.regions([mask.numpy() for mask in masks], count)  # type: ignore[misc]
        for one, other in zip(found, expected, strict=True):
            assert np.allclose(one, other.numpy())
