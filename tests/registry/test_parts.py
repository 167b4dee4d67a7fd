"""Building parts by name, mapping or callable, with options checked against the constructor's signature."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

from stylekit import StylekitError, make
from stylekit.registry.parts import resolve_part
from stylekit.registry.schema import arguments
from stylekit_plugins.generators.resnet import ResNet
from stylekit_plugins.losses.adversarial import Hinge
from tests.facts import raises


def test_a_name_builds_the_registered_part_with_its_defaults() -> None:
    network = make("discriminator", "patch")
    assert type(network).__name__ == "Patch"
    assert network.min_size == 24


def test_a_mapping_builds_the_part_with_options() -> None:
    network: Any = make("generator", {"name": "resnet", "blocks": 2, "width": 4})
    assert network.model[1].weight.shape == (4, 3, 7, 7)
    assert sum("ResBlock" in type(layer).__name__ for layer in network.model) == 2


def test_a_mapping_is_not_changed() -> None:
    spec = {"name": "resnet", "blocks": 1, "width": 4}
    make("generator", spec)
    assert spec == {"name": "resnet", "blocks": 1, "width": 4}


@pytest.mark.parametrize(
    "spec",
    [
        lambda: ResNet(blocks=1, width=4),
        functools.partial(ResNet, blocks=1, width=4),
        functools.partial(ResNet, 1, 4),
    ],
    ids=["function", "partial by name", "partial by place"],
)
def test_a_callable_is_called(spec: Callable[..., nn.Module]) -> None:
    network: Any = make("generator", spec)
    assert isinstance(network, ResNet)
    assert network.model[1].weight.shape[0] == 4


def test_a_class_is_called_with_further_options() -> None:
    network: Any = make("generator", ResNet, blocks=1, width=4)
    assert network.model[1].weight.shape[0] == 4


def test_options_in_the_mapping_take_precedence_over_further_ones() -> None:
    network: Any = make("generator", {"name": "resnet", "blocks": 1, "width": 4}, width=8)
    assert network.model[1].weight.shape[0] == 4


def test_the_error_for_an_unknown_name_suggests_the_nearest_and_lists_all() -> None:
    with raises(StylekitError, "generator 'resnett'", "did you mean 'resnet'", "unet"):
        make("generator", "resnett")


def test_the_error_for_an_unknown_option_suggests_the_nearest_and_lists_all() -> None:
    with raises(StylekitError, "generator 'resnet'", "'block'", "did you mean 'blocks'", "width"):
        make("generator", {"name": "resnet", "block": 6})


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("blocks", "many", "integer"),
        ("blocks", 6.5, "integer"),
        ("blocks", None, "integer"),
        ("dropout", "half", "number"),
        ("norm", "layer", "'instance', 'batch' or 'none'"),
        ("width", [64], "integer"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_with_the_reason_and_the_default(
    option: str, value: object, reason: str
) -> None:
    default = arguments(ResNet)[option].default
    with raises(StylekitError, repr(option), "generator 'resnet'", repr(value), reason, f"default: {default!r}"):
        make("generator", {"name": "resnet", option: value})


def test_a_built_module_instead_of_a_class_is_refused() -> None:
    with raises(StylekitError, "generator", "class", "function", "Identity"):
        make("generator", nn.Identity())


def test_a_mapping_without_a_name_is_refused() -> None:
    with raises(StylekitError, "generator", "{'name': ..., 'blocks': 6}"):
        make("generator", {"blocks": 6})


def test_a_class_without_a_constructor_accepts_no_arguments() -> None:
    class Empty(nn.Module):
        pass

    assert arguments(Empty) == {}
    with raises(StylekitError, "'width'"):
        make("generator", Empty, width=3)


def test_messages_name_a_part_by_its_kind_and_name() -> None:
    assert resolve_part("generator", "resnet")[2] == "generator 'resnet'"
    assert resolve_part("generator", {"name": "resnet", "width": 1})[2] == "generator 'resnet'"
    assert resolve_part("generator", ResNet)[2] == "generator 'ResNet'"


def test_adversarial_losses_are_a_kind_of_their_own() -> None:
    assert isinstance(make("adversarial", "hinge"), Hinge)
    with raises(StylekitError, "loss 'hinge'"):
        make("loss", "hinge")
    with raises(
        StylekitError,
        "'discriminators'",
        "did you mean 'discriminator'",
        "adversarial, augmentation, dataset, degradation, ",
    ):
        make("discriminators", "patch")


def test_a_part_that_cannot_be_built_is_named_with_its_options() -> None:
    def build(depth: int = 1) -> nn.Module:
        raise ValueError(f"no {depth} layers")

    with raises(StylekitError, "generator 'build'", "depth=3", "no 3 layers"):
        make("generator", build, depth=3)


@pytest.mark.parametrize("spec", [None, 7, b"resnet", ["resnet"]])
def test_what_is_no_specification_is_refused_in_one_sentence(spec: Any) -> None:
    with raises(StylekitError, "generator", repr(spec), "name"):
        make("generator", spec)
