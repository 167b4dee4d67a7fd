"""CUT and EnCo: their terms by hand on a generator whose features are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import StylekitError, make, testing
from stylekit.losses import patch_nce
from stylekit_plugins.methods.cut import CUT, EnCo
from tests.facts import raises

TINY = {name: dict(kind.presets["tiny"]) for name, kind in {"cut": CUT, "enco": EnCo}.items()}


class Layered(nn.Module):
    """Four feature maps, of which the last two are made from the first two, and an image."""

    calls = 0

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.9))

    def features(self, content: Tensor) -> Iterator[Tensor]:
        self.calls += 1
        half = F.avg_pool2d(content, 2)
        yield content
        yield half
        yield self.weight * half
        yield self.weight * content.square()
        yield self.weight * content

    def forward(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        *_, image = self.features(content)
        return image


def batch(side: int = 32) -> dict[str, Tensor]:
    content, style = torch.rand(2, 2, 3, side, side, generator=torch.Generator().manual_seed(0))
    return {"content": content, "style": style}


@pytest.mark.parametrize("identity", [0.0, 0.25])
def test_the_contrast_compares_the_patches_of_output_and_content(identity: float) -> None:
    torch.manual_seed(0)
    method, images = CUT(Layered, patches=16, nce=3.0, identity=identity), batch()
    made = method(images)
    torch.manual_seed(1)
    terms = method.translate(images, made)
    torch.manual_seed(1)
    expected: dict[str, list[Tensor]] = {"content": [], "style": []}
    shrinking: list[Callable[[Tensor], Tensor]] = [lambda x: x, lambda x: F.avg_pool2d(x, 2)]
    for number, shrink in enumerate(shrinking):
        where = torch.randperm(shrink(images["content"])[0, 0].numel())[:16]
        for key in expected if identity else ("content",):
            vectors = [
                F.normalize(method.heads[number](shrink(image).flatten(2)[..., where].mT), dim=2)
                for image in (0.9 * images[key], images[key])
            ]
            expected[key].append(patch_nce(*vectors))
    torch.testing.assert_close(terms["nce"], 3 * (1 - identity) * torch.stack(expected["content"]).mean())
    assert ("identity" in terms) == bool(identity)
    if identity:
        torch.testing.assert_close(terms["identity"], 3 * identity * torch.stack(expected["style"]).mean())


def test_the_contents_features_come_from_the_pass_that_makes_the_output() -> None:
    method, images = CUT(Layered), batch()
    method.generator.calls = 0
    method.translate(images, method(images))
    assert method.generator.calls == 2  # one for both images, and the first half of one for the outputs
    assert len(method(images)["fake"]) == 2


def test_the_contents_side_of_the_contrast_gets_no_gradient() -> None:
    method, images = CUT(Layered, identity=0.0), batch()
    made = method(images)
    assert all(not each.requires_grad for each in made["shown"])


def test_no_gradient_goes_through_the_keys() -> None:
    """Neither to what they are given nor to the layers that project them (CUT's code detaches ``feat_k``)."""
    query, key = (F.normalize(torch.randn(1, 5, 4), dim=2).requires_grad_() for _ in range(2))
    patch_nce(query, key).backward()
    assert key.grad is None
    assert query.grad is not None
    torch.manual_seed(0)
    method, images = EnCo(Layered, identity=0.0), batch()
    detached: list[bool] = []
    cosine = F.cosine_similarity

    def recorded(ours: Tensor, theirs: Tensor, dim: int) -> Tensor:
        detached.append(ours.requires_grad and not theirs.requires_grad)
        return cosine(ours, theirs, dim)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "cosine_similarity", recorded)
        method.translate(images, method(images))
    assert detached
    assert all(detached)


def test_encoder_and_decoder_agree_by_the_cosine_of_their_projections() -> None:
    torch.manual_seed(0)
    method, images = EnCo(Layered, patches=16, agreement=3.0, identity=2.0), batch()
    made = method(images)
    torch.manual_seed(1)
    terms = method.translate(images, made)
    torch.manual_seed(1)
    losses = []
    half = F.avg_pool2d(images["content"], 2)
    for head, encoded, decoded in zip(
        method.heads, (images["content"], half), (0.9 * images["content"].square(), 0.9 * half), strict=True
    ):
        where = torch.randperm(encoded[0, 0].numel())[:16]
        key, query = (head["project"](x.flatten(2)[..., where].mT) for x in (encoded, decoded))
        losses.append(1 - F.cosine_similarity(head["predict"](query), key, dim=2).mean())
    torch.testing.assert_close(terms["agreement"], 3 * torch.stack(losses).mean())
    torch.testing.assert_close(terms["identity"], 2 * 2 * (0.1 * images["style"]).abs().mean())


def test_a_generator_without_features_is_one_error() -> None:
    for method in (CUT, EnCo):
        with raises(StylekitError, "UNet", "features(image)", "generator=resnet"):
            method({"name": "unet", "downs": 5, "width": 8})


@pytest.mark.parametrize("blocks", [1, 4])
def test_the_features_of_a_resnet_end_with_what_forward_returns(blocks: int) -> None:
    torch.manual_seed(0)
    network: Any = make("generator", "resnet", blocks=blocks, width=4).eval()
    image = torch.rand(2, 3, 37, 30)
    features = list(network.features(image))
    assert [each.shape[1] for each in features] == [4, 8, *[16] * (1 + blocks), 8, 4, 3]
    torch.testing.assert_close(features[-1], network(image), rtol=0, atol=0)
    x = network.model[:4](nn.functional.pad(image, (0, 2, 0, 3), mode="reflect") * 2 - 1)
    torch.testing.assert_close(features[0], x)


@pytest.mark.parametrize(("kind", "name"), [(CUT, "cut"), (EnCo, "enco")])
def test_conformance(kind: Any, name: str) -> None:
    testing.check("method", partial(kind, **TINY[name]))
