"""Private names of stylekit are found in a plugin's source."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from stylekit.testing.imports import private_names
from stylekit.testing.subjects import find_subjects
from tests.facts import assert_mentions
from tests.testing.samples import QUIET, fault

if TYPE_CHECKING:
    from tests.testing.conftest import Write


def test_private_names_that_are_imported_are_found(write: Write) -> None:
    source = """
        import numpy, torch.nn
        import stylekit, stylekit.layers
        import stylekit.training.engine
        from stylekit import images, make, training
        from stylekit.method import Batch, Capabilities, _Function
        from stylekit.registry.parts import make as build
        from stylekit_plugins.generators.resnet import ResNet
        from stylekit.testing import check, kit
        def late():
            from stylekit.seeding import seeded, nothing
    """
    path = write(textwrap.dedent(source))
    assert private_names(path) == [
        "stylekit.training.engine",
        "stylekit.training",
        "stylekit.method._Function",
        "stylekit.registry.parts.make",
        "stylekit.testing.kit",
        "stylekit.seeding.nothing",
    ]


def test_private_names_that_are_reached_by_attributes_are_found(write: Write) -> None:
    source = """
        import stylekit, stylekit.layers as layers
        import stylekit as sk
        stylekit.__version__, stylekit.make.__name__, stylekit.registry.parts.validate("a"), stylekit.layers.init_normal
        sk.training.engine, layers._hidden, other.parts.validate
    """
    assert set(private_names(write(textwrap.dedent(source)))) == {
        "stylekit.registry",
        "stylekit.layers._hidden",
        "stylekit.training",
    }


def test_a_private_name_is_a_fault_of_the_plugin(write: Write) -> None:
    (plugin,) = find_subjects(str(write(QUIET + "from stylekit.training.steps import step\n")))
    assert_mentions(fault(plugin, "public names"), "mine.py", "stylekit.training.steps.step", "__all__")
    (plugin,) = find_subjects(str(write(QUIET + "from stylekit_plugins.generators.resnet import ResNet\n")))
    assert_mentions(fault(plugin, "public names"), "stylekit_plugins.generators.resnet.ResNet", "__all__", "by name")
