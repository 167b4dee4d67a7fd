"""Square crops of images."""

from __future__ import annotations

import math

import pytest
import torch

from stylekit import StylekitError, images
from stylekit.images import SquareCrop
from stylekit.images.crops import rotated
from tests.facts import raises


def places(height: int, width: int) -> torch.Tensor:
    """An image (1, 2, H, W) that contains the row and the column of each pixel."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([rows, columns])[None].float() / 255


def cropped(image: torch.Tensor, *args: int, **options: bool) -> list[list[list[int]]]:
    """Rows and columns of the pixels in a crop."""
    return (images.square_crop(image, *args, **options) * 255).round().int().tolist()


@pytest.mark.parametrize(
    ("size", "rows", "columns"), [((4, 10), 0, 3), ((10, 4), 3, 0), ((4, 11), 0, 3), ((4, 4), 0, 0)], ids=str
)
def test_a_square_without_randomness_is_the_middle(size: tuple[int, int], rows: int, columns: int) -> None:
    before = torch.get_rng_state()
    expected = places(*size)[0, :, rows : rows + 4, columns : columns + 4]
    square = images.square_crop(places(*size), 4, 4, random=False)
    torch.testing.assert_close(square, expected, rtol=0, atol=1e-6)
    assert square.is_contiguous()
    assert torch.equal(torch.get_rng_state(), before)


def test_random_squares_are_every_part_of_the_image() -> None:
    """A square of 4 pixels of an image of 6 x 5: at 3 rows and 2 columns."""
    seen = set()
    for seed in range(100):
        torch.manual_seed(seed)
        rows, columns = cropped(places(6, 5), 4, 5)
        top, left = rows[0][0], columns[0][0]
        assert columns == [list(range(left, left + 4))] * 4
        assert rows == [[top + step] * 4 for step in range(4)]
        seen.add((top, left))
    assert seen == {(top, left) for top in range(3) for left in range(2)}


def test_random_squares_use_torchs_generator() -> None:
    image = torch.rand(1, 3, 40, 50)

    def draw(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return images.square_crop(image, 16, 20, flip=True)

    assert torch.equal(draw(0), draw(0))
    assert len({draw(seed).numpy().tobytes() for seed in range(8)}) > 1


def test_half_of_the_squares_are_mirrored_if_asked_for() -> None:
    mirrored = 0
    for seed in range(200):
        torch.manual_seed(seed)
        _, columns = cropped(places(4, 4), 4, 4, flip=True)
        assert columns[0] in ([0, 1, 2, 3], [3, 2, 1, 0])
        mirrored += columns[0] == [3, 2, 1, 0]
        torch.manual_seed(seed)
        assert cropped(places(4, 4), 4, 4)[1][0] == [0, 1, 2, 3]
    assert 70 < mirrored < 130


@pytest.mark.parametrize("size", [(30, 90), (90, 30), (300, 100), (7, 9)], ids=str)
def test_the_shorter_side_is_resized_and_nothing_is_distorted(size: tuple[int, int]) -> None:
    """A pixel's neighbours are as far away in rows as in columns."""
    rows, columns = images.square_crop(places(*size), 12, 24, random=False)
    step = min(size) / 24 / 255
    middle = slice(3, 9)  # bicubic interpolation is linear there, away from mirrored borders
    assert rows.diff(dim=0)[middle, middle].mean() == pytest.approx(step, rel=0.05)
    assert columns.diff(dim=1)[middle, middle].mean() == pytest.approx(step, rel=0.05)


def test_joined_channels_are_cropped_alike() -> None:
    image = torch.rand(1, 3, 33, 50)
    joined = torch.cat([image, 1 - image, image[:, :1]], 1)
    for seed in range(20):
        torch.manual_seed(seed)
        content, style, mask = images.square_crop(joined, 16, 18, flip=True).split([3, 3, 1])
        torch.testing.assert_close(style, 1 - content, rtol=0, atol=1e-5)
        torch.testing.assert_close(mask, content[:1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(2, 4000), (4000, 2), (1, 999)], ids=str)
@pytest.mark.parametrize("random", [True, False])
def test_a_very_long_image_is_cropped_before_it_is_resized(
    size: tuple[int, int], random: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[int, int]] = []
    resize = images.resize

    def recorded(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        sizes.append(size)
        return resize(image, size)

    monkeypatch.setattr(images.crops, "resize", recorded)
    assert images.square_crop(torch.rand(1, 3, *size), 8, 8, random).shape == (3, 8, 8)
    assert sorted(*sizes) == [8, 32]


def test_a_right_angle_rotates_clockwise_and_exactly() -> None:
    image = torch.rand(3, 9, 9)
    torch.testing.assert_close(rotated(image, 9, math.pi / 2), image.rot90(-1, (1, 2)), atol=1e-5, rtol=0)
    torch.testing.assert_close(rotated(image, 5, math.pi), image[:, 2:7, 2:7].flip(1, 2), atol=1e-5, rtol=0)
    torch.testing.assert_close(rotated(image, 9, 0.0), image, atol=1e-5, rtol=0)


def test_a_rotated_gradient_falls_in_another_direction() -> None:
    """A plane stays a plane: where x grows by 1 a pixel, it grows by cos and sin of the angle after the rotation."""
    image = torch.arange(41.0).expand(1, 41, 41)
    turned = rotated(image, 21, math.radians(30))
    torch.testing.assert_close(turned.diff(dim=2).mean(), torch.tensor(math.cos(math.radians(30))), atol=1e-3, rtol=0)
    torch.testing.assert_close(turned.diff(dim=1).mean(), torch.tensor(math.sin(math.radians(30))), atol=1e-3, rtol=0)


def test_training_rotates_and_adds_noise_and_testing_does_neither() -> None:
    torch.manual_seed(0)
    bar = torch.zeros(1, 3, 60, 80)
    bar[..., 35:45] = 1
    options = {"rotate": 40.0}
    slopes = []
    for _ in range(40):
        square = SquareCrop(32, "train", 1.0, False, **options)(bar)
        assert square.shape == (3, 32, 32)
        rows, columns = (square[0] > 0.5).nonzero(as_tuple=True)
        if len(rows) > 20:
            slopes.append(
                float(torch.linalg.lstsq(torch.stack([rows, torch.ones(len(rows))], 1), columns.float()).solution[0])
            )
    assert min(slopes) < -0.4
    assert max(slopes) > 0.4
    assert torch.equal(SquareCrop(32, "test", **options)(bar), SquareCrop(32, "test")(bar))
    flat = torch.full((1, 3, 64, 64), 0.5)
    assert SquareCrop(64, "train", noise=0.05)(flat).std() == pytest.approx(0.05, rel=0.1)
    assert SquareCrop(64, "test", noise=0.05)(flat).std() == 0


@pytest.mark.parametrize("options", [{"rotate": -1.0}, {"noise": -0.1}, {"noise": math.inf}])
def test_negative_augmentations_are_refused(options: dict[str, float]) -> None:
    with raises(StylekitError, *options):
        SquareCrop(32, "train", **options)
