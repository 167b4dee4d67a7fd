from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import judge
from benchmarks.judge import Judge, Marks, blotches, clipped, distance, lightness
from stylekit import images
from stylekit.color import color_stats, match_color
from stylekit.errors import StylekitError
from stylekit_plugins.datasets.scenes import render
from stylekit_plugins.datasets.textures import draw

SIZE = 48


@pytest.fixture(scope="module")
def eyes() -> Judge:
    return Judge()


@pytest.fixture(scope="module")
def content() -> Tensor:
    return render(4, size=SIZE)[None]


@pytest.fixture(scope="module")
def style() -> Tensor:
    return draw("leaves", SIZE, 0)[None]


def marks(eyes: Judge, output: Tensor, content: Tensor, style: Tensor) -> Marks:
    return judge.marks(output, content, eyes.look(output), eyes.look(content), eyes.look(style), seconds=0.0)


def blurred(image: Tensor, reach: int) -> Tensor:
    return F.avg_pool2d(F.pad(image, (reach,) * 4, mode="replicate"), 2 * reach + 1, 1)


def noisy(image: Tensor, strength: float) -> Tensor:
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    return (image + strength * noise).clamp(0, 1)


def test_a_distance_is_the_squared_error_relative_to_the_other_averaged_over_layers() -> None:
    mine, theirs = [torch.tensor([3.0, 4.0]), torch.ones(3)], [torch.tensor([0.0, 5.0]), torch.tensor([1.0, 1.0, 2.0])]
    assert distance(mine, theirs) == pytest.approx((10 / 25 + 1 / 6) / 2)


def test_the_content_itself_is_0_and_the_style_itself_far_from_it(eyes: Judge, content: Tensor, style: Tensor) -> None:
    untouched, other = marks(eyes, content, content, style), marks(eyes, style, content, style)
    assert untouched.content == untouched.blotches == 0 < min(untouched.style, untouched.texture)
    assert other.style == other.texture == 0
    assert 1 < other.content < 3


def test_what_blurs_or_shuffles_is_further_from_the_content(eyes: Judge, content: Tensor, style: Tensor) -> None:
    tiles = F.unfold(content, 16, stride=16)
    order = torch.randperm(tiles.shape[2], generator=torch.Generator().manual_seed(0))
    shuffled = F.fold(tiles[..., order], (SIZE, SIZE), 16, stride=16)
    outputs = (content, blurred(content, 1), blurred(content, 4), shuffled)
    found = [marks(eyes, output, content, style).content for output in outputs]
    assert found == sorted(found)
    assert 0.05 < found[1] < found[2] - 0.05 < found[3] - 0.1


def test_colours_and_contrasts_are_no_content(eyes: Judge, content: Tensor, style: Tensor) -> None:
    recoloured = marks(eyes, 0.5 * content + content.new_tensor([0.3, 0.1, 0.0])[:, None, None], content, style)
    assert recoloured.content == pytest.approx(0, abs=1e-4)
    grey = lightness(content)
    assert float(grey.mean()) == pytest.approx(0.5, abs=1e-5)
    assert float(grey.var(correction=0)) == pytest.approx(0.04, rel=0.01)
    assert torch.equal(grey[:, 0], grey[:, 2])


def test_the_styles_colours_bring_nearer_to_the_style(eyes: Judge, content: Tensor, style: Tensor) -> None:
    matched = match_color(content, *color_stats(style))
    before, after = marks(eyes, content, content, style), marks(eyes, matched, content, style)
    assert after.style < 0.5 * before.style
    another = match_color(draw("leaves", SIZE, 1)[None], *color_stats(style))
    strokes = marks(eyes, another, content, style)
    assert strokes.style < after.style
    assert strokes.texture < after.texture  # the style's strokes, nearer still
    assert strokes.content > after.content


def test_noise_in_the_flat_is_measured_in_steps_of_8_bits() -> None:
    content = torch.full((1, 3, SIZE, SIZE), 0.5)
    content[..., : SIZE // 2] = draw("cells", SIZE, 0)[..., : SIZE // 2]  # a half is flat, and a fifth is searched
    found = [blotches(noisy(content, strength), content) for strength in (0.0, 4 / 255, 16 / 255)]
    # A mean of 25 keeps a 25th of white noise's variance, and 24 parts are fine.
    assert found == pytest.approx([0, 4 * (24 / 25) ** 0.5, 16 * (24 / 25) ** 0.5], rel=0.03)
    only_textured = torch.where(torch.arange(SIZE) < SIZE // 2 - 8, noisy(content, 0.1), content)
    assert blotches(only_textured, content) == 0
    assert blotches(blurred(content, 2), content) == 0


def test_a_pixel_is_clipped_if_a_channel_of_it_is() -> None:
    image = torch.full((1, 3, 2, 4), 0.5)
    image[0, 1, 0, 0], image[0, :, 1, 1], image[0, 0, 0, 3] = 1.0, 0.001, 0.997
    assert clipped(image) == 2 / 8  # 0.997 is written as 254


def test_the_program_compares_on_drawn_pictures_and_writes_what_it_did(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet, told = tmp_path / "sheet.png", tmp_path / "told.json"
    judge.main([*f"--size 48 --count 2 -o {sheet} --json {told}".split(), "--model", "color-pca"])
    assert "color-pca" in capsys.readouterr().out
    written = json.loads(told.read_text())
    assert written["models"] == dict.fromkeys(["content, untouched", "style itself", "color-pca"])
    untouched, style, recoloured = (written["medians"][model] for model in written["models"])
    assert untouched["content"] == style["style"] == 0 < recoloured["style"] < untouched["style"]
    pairs = [each["style"] for row in written["pairs"]["color-pca"].values() for each in row.values()]
    assert len(pairs) == 4
    assert recoloured["style"] == pytest.approx((sorted(pairs)[1] + sorted(pairs)[2]) / 2)
    assert images.read(sheet).image.shape[-1] > 3 * 48


def test_a_folders_pictures_are_cut_to_squares_taken_from_all_over_it(tmp_path: Path) -> None:
    for index in range(6):
        images.write(tmp_path / f"{index}.png", torch.full((3, 40, 60), index / 10))
    found = judge.read_folder(tmp_path, 32, 3)
    assert list(found) == ["0.png", "2.png", "4.png"]
    assert all(image.shape == (1, 3, 32, 32) for image in found.values())
    assert float(found["4.png"].mean()) == pytest.approx(0.4, abs=1e-3)
    assert len(judge.read_folder(tmp_path, 32, 0)) == 6


def test_a_model_may_have_arguments(content: Tensor, style: Tensor) -> None:
    stylise = judge.with_model("color-pca", {"leaves": style})
    torch.testing.assert_close(stylise(content, "leaves"), match_color(content, *color_stats(style)))
    with pytest.raises(StylekitError, match="stepz"):
        judge.with_model("color-pca stepz=3", {})


def test_a_model_file_is_known_again_by_its_digest(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"abc")
    assert judge.weights(f"{tmp_path} steps=3") == "ba7816bf8f01cfea"  # FIPS 180-2, appendix B.1
    assert judge.caption("runs/mine/checkpoints/1000 steps=3") == "checkpoints/1000"


def test_every_content_and_style_is_on_the_sheet() -> None:
    pairs = judge.shown(dict.fromkeys("ab", torch.empty(0)), dict.fromkeys("xyz", torch.empty(0)))
    assert pairs == [("a", "x"), ("b", "y"), ("a", "z")]
