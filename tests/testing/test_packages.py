"""A plugin as a whole: its names, its presets, its files, and what its package requires."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stylekit.testing.packages import sources
from stylekit.testing.subjects import find_subjects
from tests.facts import assert_mentions
from tests.testing.samples import ADVERSARIAL, IMAGE_LOSS, METHOD, QUIET, altered, assert_faults, fault, faults

if TYPE_CHECKING:
    from tests.testing.conftest import Package, Write


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "name", "facts"),
    [
        (ADVERSARIAL, "lsgan", ("adversarial 'lsgan'", "stylekit's own", "another name")),
        (IMAGE_LOSS, "My Loss", ("loss 'My Loss'", "'my-loss'")),
        (IMAGE_LOSS, "3loss", ("loss '3loss'", "'loss'")),
    ],
)
def test_a_name_that_cannot_be_used_is_a_fault(write: Write, source: str, name: str, facts: tuple[str, ...]) -> None:
    plugin, _ = find_subjects(str(write(source.replace('"mine"', repr(name)))))
    assert_faults(faults(plugin), {"names": facts})


@pytest.mark.slow
def test_an_image_loss_may_have_the_name_of_an_adversarial_loss(write: Write) -> None:
    plugin, _ = find_subjects(str(write(IMAGE_LOSS.replace('"mine"', '"lsgan"'))))
    assert faults(plugin) == {}


def test_a_plugin_that_cannot_be_imported_has_no_parts_and_one_fault(write: Write) -> None:
    (plugin,) = find_subjects(str(write("import no_such_thing\n")))
    assert_faults(faults(plugin), {"loads": ("mine", "no_such_thing")})


def test_presets_that_do_not_fit_are_found(write: Write) -> None:
    def preset_fault(method: str, strength: str, name: str = "bold") -> str:
        presets = f"{{{method!r}: {{{name!r}: {{'strength': {strength}}}}}}}"
        hook = f"\n@hookimpl\ndef stylekit_presets():\n    return {presets}\n"
        own = altered(METHOD, ("    batch_keys = (", '    presets = {"large": {"strength": 2.0}}\n    batch_keys = ('))
        plugin, _ = find_subjects(str(write(own + hook)))
        return fault(plugin, "presets")

    assert preset_fault("tint", "2.0") == ""
    assert_mentions(preset_fault("tint", "'much'"), "'bold'", "'strength'", "method 'Tint'", "'much'")
    assert_mentions(preset_fault("tnit", "2.0"), "stylekit_presets", "'tnit'", "did you mean 'tint'")
    assert_mentions(preset_fault("perceptual", "2.0"), "'bold'", "'strength'")


def test_all_files_of_a_package_are_examined(package: Package, tmp_path: Path) -> None:
    package("tulips", "garden", QUIET, ["stylekit-torch"])
    (tmp_path / "site" / "sample_tulips" / "other.py").write_text("from stylekit.registry import parts\n")
    (plugin,) = find_subjects("tulips")
    assert [path.name for path in sources(plugin.target)] == ["__init__.py", "other.py", "parts.py"]
    assert_mentions(fault(plugin, "public names"), "other.py", "stylekit.registry.parts")


@pytest.mark.slow
def test_a_name_that_another_package_uses_is_a_fault(package: Package) -> None:
    package("tulips", "garden", IMAGE_LOSS, ["stylekit-torch"])
    package("roses", "bower", IMAGE_LOSS, ["stylekit-torch"])
    plugin, _ = find_subjects("tulips")
    assert_faults(faults(plugin), {"names": ("loss 'mine'", "roses 1.0", "another name")})


@pytest.mark.slow
def test_a_file_of_a_package_that_is_not_valid_python_is_skipped(package: Package, tmp_path: Path) -> None:
    package("tulips", "garden", QUIET, ["stylekit-torch"])
    (tmp_path / "site" / "sample_tulips" / "template.py").write_text("class {{ name }}:\n")
    (plugin,) = find_subjects("tulips")
    assert faults(plugin) == {}


@pytest.mark.parametrize(
    ("requires", "facts"),
    [
        (["stylekit-torch", "torch<3,>=2.10"], ("tulips", "torch<3,>=2.10", "'torch>=2.10'")),
        (["stylekit-torch", "torch==2.13.*"], ("torch==2.13.*", "'torch>=2.13'")),
        (["stylekit-torch", "Torch~=2.10"], ("Torch~=2.10", "'torch>=2.10'")),
        (["stylekit-torch", "torch<=2.13"], ("torch<=2.13", "'torch'")),
        (["stylekit-torch", "torch @ https://example.org/torch.whl"], ("https://example.org/torch.whl", "'torch'")),
        (["torch>=2.10"], ("tulips", "'stylekit-torch'", "dependencies", "pyproject.toml")),
        (["torch>=2.10", "stylekit-torch; extra == 'dev'"], ("tulips", "'stylekit-torch'", "dependencies")),
        (["stylekit-torch", "torch>=2.10,!=2.11.0", "torch==2.10; extra == 'old'", "numpy<3"], ()),
    ],
)
def test_a_package_pins_no_torch_and_requires_stylekit(
    package: Package, requires: list[str], facts: tuple[str, ...]
) -> None:
    package("tulips", "garden", QUIET, requires)
    (plugin,) = find_subjects("tulips")
    message = fault(plugin, "metadata")
    assert bool(message) == bool(facts), message
    assert_mentions(message, *facts)
