"""Scores that can be computed by hand, what is left out, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from stylekit import StylekitError, images
from stylekit.evaluation import FolderPictures, FolderSubject, Inputs, evaluate
from tests.evaluation.conftest import Change, Changed, Difference, Plain
from tests.facts import raises


class Mean(nn.Module):
    """The squared difference of the mean colours of two sets."""

    against = "real"
    higher = False

    def features(self, image: Tensor) -> Tensor:
        return image.mean((2, 3))

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        return (output.mean(0) - reference.mean(0)).square().sum()


def test_scores_are_means_over_all_pairs(inputs: Inputs) -> None:
    half = Changed("half", inputs, lambda content, style: (content + style) / 2)  # type: ignore[operator]
    result = evaluate([half], inputs, [Difference, Mean])
    # Half the way from .2 and .4, whose mean is .3, to .6, .8 and 1, whose mean is .8; values are multiples of 1/255.
    assert result.scores["difference"]["half"]["mean"] == pytest.approx(0.25, abs=1 / 255)
    assert result.scores["difference"]["content untouched"]["mean"] == 0
    assert result.scores["difference"]["style itself"]["mean"] == pytest.approx(0.5, abs=1 / 255)
    assert result.scores["mean"]["half"]["mean"] == pytest.approx(3 * (0.55 - 0.8) ** 2, abs=0.01)
    assert result.scores["mean"]["half"]["low"] is None
    assert result.values["difference"]["half"]["a.png", "z.png"] == pytest.approx(0.4, abs=1 / 255)
    low, high = result.scores["difference"]["half"]["low"], result.scores["difference"]["half"]["high"]
    assert low is not None
    assert high is not None
    assert low < 0.25 < high


class Lost(Mean):
    """How much darker a set is than its contents; real images have none."""

    def features(self, image: Tensor, content: Tensor | None = None) -> Tensor:
        return super().features(image if content is None else content - image)

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        return output.mean()


def test_features_of_outputs_may_depend_on_their_contents(inputs: Inputs) -> None:
    darker = Changed("darker", inputs, lambda content, style: content - 51 / 255)
    result = evaluate([darker], inputs, [Lost])
    assert result.scores["lost"]["darker"]["mean"] == pytest.approx(0.2, abs=1e-6)
    assert result.scores["lost"]["content untouched"]["mean"] == 0
    samples = Inputs(Plain({"a.png": 0.2, "b.png": 0.4}), Plain({"z.png": 0.6}), mode="sample")
    with raises(StylekitError, "lost", "contents"):
        evaluate([Changed("same", samples, lambda content, style: content)], samples, [Lost])


def test_outputs_are_rounded_to_eight_bits(inputs: Inputs) -> None:
    nearly = Changed("nearly", inputs, lambda content, style: content + 0.4 / 255)
    assert evaluate([nearly], inputs, [Difference]).scores["difference"]["nearly"]["mean"] == 0


def test_two_subjects_are_compared_on_the_same_pairs(inputs: Inputs) -> None:
    """One is always .1 nearer: the difference has no spread, although the values have."""
    near = Changed("near", inputs, lambda content, style: content * 0.5 + 60 / 255)
    far = Changed("far", inputs, lambda content, style: content * 0.5 + 70 / 255)
    (row,) = evaluate([near, far], inputs, [Difference]).comparisons["difference"]
    assert (row["one"], row["other"], row["better_in"]) == ("near", "far", 1)
    assert [row[key] for key in ("mean", "low", "high")] == pytest.approx([-10 / 255] * 3, abs=1e-6)


def test_a_truth_is_found_by_its_name_without_the_suffix(tmp_path: Path) -> None:
    images.write(tmp_path / "a.jpg", torch.full((1, 3, 8, 12), 0.5))
    inputs = Inputs(Plain({"a.png": 0.2}), truths=FolderPictures(tmp_path))
    right = Changed("right", inputs, lambda content, style: content * 0 + 128 / 255)
    assert evaluate([right], inputs, ["psnr"]).scores["psnr"]["right"]["mean"] == 100
    with raises(StylekitError, "b.png", tmp_path):
        Inputs(Plain({"b.png": 0.2}), truths=FolderPictures(tmp_path))


@pytest.mark.slow
def test_built_in_metrics_that_do_not_apply_are_left_out_and_say_why(inputs: Inputs) -> None:
    result = evaluate([Changed("same", inputs, lambda content, style: content)], inputs)
    assert {"color-histogram"} <= result.scores.keys()
    assert "true outputs" in result.skipped["psnr"]
    assert "more" in result.skipped["frechet"] or "least" in result.skipped["frechet"]
    assert not result.skipped.keys() & result.scores.keys()


@pytest.mark.parametrize(
    ("metric", "facts"),
    [("psnr", ("psnr", "true outputs")), ("frechet", (6, "mind")), ("fretchet", ("fretchet", "frechet"))],
)
def test_a_metric_that_was_asked_for_must_apply(inputs: Inputs, metric: str, facts: tuple[object, ...]) -> None:
    with raises(StylekitError, *facts):
        evaluate([Changed("same", inputs, lambda content, style: content)], inputs, [metric])


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        (lambda content, style: content / 0, ("same", "a.png", "NaN")),
        (lambda content, style: content[..., :4], ("same", "a.png", "4x8", "12x8")),
    ],
)
def test_an_output_must_be_finite_and_fit_its_content(
    inputs: Inputs, change: Change, facts: tuple[object, ...]
) -> None:
    with raises(StylekitError, *facts):
        evaluate([Changed("same", inputs, change)], inputs, [Difference])


def test_names_must_differ(inputs: Inputs) -> None:
    same = Changed("same", inputs, lambda content, style: content)
    with raises(StylekitError, "same"):
        evaluate([same, same], inputs)


def test_another_programs_outputs_are_read_from_their_folder(inputs: Inputs, tmp_path: Path) -> None:
    for name in ("a", "b"):
        for style in "xyz":
            images.write(tmp_path / f"{name}-{style}.webp", torch.full((1, 3, 8, 12), 0.5))
    folder = FolderSubject("theirs", tmp_path, inputs)
    assert folder.output("a.png", "y.png").mean() == pytest.approx(0.5, abs=2 / 255)
    assert evaluate([folder], inputs, [Difference]).scores["difference"]["theirs"]["mean"] == pytest.approx(
        0.2, abs=0.01
    )
    (tmp_path / "b-z.webp").unlink()
    with raises(StylekitError, "b-z", tmp_path, 6):
        FolderSubject("theirs", tmp_path, inputs)


def test_the_card_and_the_protocol_name_what_is_needed_to_repeat_it(inputs: Inputs) -> None:
    metrics = [
        {"name": "style-distance", "encoder": {"name": "random", "width": 8, "scales": 2}, "statistic": "moments"}
    ]
    result = evaluate([Changed("same", inputs, lambda content, style: content)], inputs, metrics)
    card = result.cards["style-distance"]
    assert (card["against"], card["better"]) == ("style", "lower")
    assert card["options"]["statistic"] == "moments"
    assert len(card["encoder"]["weights"]) == 16
    protocol = result.as_json()["protocol"]
    assert (protocol["contents"]["count"], protocol["styles"]["count"], protocol["pairs"]) == (2, 3, 6)
    other = Inputs(Plain({"a.png": 0.2, "b.png": 0.41}), inputs.styles)
    assert other.contents.digest() != inputs.contents.digest() == Plain({"a.png": 0.2, "b.png": 0.4}).digest()


def test_a_value_does_not_depend_on_the_other_inputs(inputs: Inputs) -> None:
    """So neither on how images would be divided into batches or workers."""
    one = Inputs(Plain({"b.png": 0.4}), Plain({"y.png": 0.8}))
    metrics = ["color-histogram", {"name": "content-distance", "encoder": {"name": "random", "width": 8, "scales": 2}}]

    def values(given: Inputs) -> list[float]:
        noisy = torch.rand(1, 3, 8, 12, generator=torch.Generator().manual_seed(0))
        result = evaluate([Changed("noisy", given, lambda content, style: (content + noisy) / 2)], given, metrics)
        return [each["noisy"]["b.png", "y.png"] for each in result.values.values()]

    assert values(one) == values(inputs)
