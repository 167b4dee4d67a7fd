"""A plugin as a whole: its names, its presets, its files, and what its package requires."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stylekit.testing.packages import sources
from stylekit.testing.subjects import find_subjects
from tests.testing.samples import IMAGE_LOSS, METHOD, QUIET, fault, faults

if TYPE_CHECKING:
    from tests.testing.conftest import Package, Write


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("lsgan", "The loss 'lsgan' is stylekit's own, so yours is never used: give it another name."),
        ("My Loss", "to be typed in a command: call the loss 'My Loss' 'my-loss'."),
    ],
)
def test_a_name_that_cannot_be_used_is_a_fault(write: Write, name: str, told: str) -> None:
    plugin, _ = find_subjects(str(write(IMAGE_LOSS.replace('"mine"', repr(name)))))
    assert fault(plugin, "names").endswith(told)


def test_presets_that_do_not_fit_are_found(write: Write) -> None:
    hook = """
@hookimpl
def stylekit_presets():
    return {METHOD: {"bold": {"strength": GIVEN}}}
"""

    def told(method: str, given: str) -> str:
        plugin, _ = find_subjects(str(write(METHOD + hook.replace("METHOD", repr(method)).replace("GIVEN", given))))
        return fault(plugin, "presets")

    assert told("tint", "2.0") == ""
    assert told("tint", "'much'").startswith(
        "The preset 'bold' does not fit: The option 'strength' of the method 'Tint'"
    )
    assert "There is no method 'tnit'. Did you mean 'tint'?" in told("tnit", "2.0")


def test_all_files_of_a_package_are_looked_through(package: Package, tmp_path: Path) -> None:
    package("tulips", "garden", QUIET, ["stylekit"])
    (tmp_path / "site" / "sample_tulips" / "other.py").write_text("from stylekit.registry import parts\n")
    (plugin,) = find_subjects("tulips")
    assert [path.name for path in sources(plugin.target)] == ["__init__.py", "other.py", "parts.py"]
    assert "other.py imports stylekit.registry.parts, which may change" in fault(plugin, "public names")


def test_a_name_that_another_package_has_is_a_fault(package: Package) -> None:
    package("tulips", "garden", IMAGE_LOSS, ["stylekit"])
    package("roses", "bower", IMAGE_LOSS, ["stylekit"])
    plugin, _ = find_subjects("tulips")
    assert faults(plugin) == {"names": "The loss 'mine' is also that of roses 1.0: give yours another name."}


def test_a_file_of_a_package_that_is_no_python_is_passed_over(package: Package, tmp_path: Path) -> None:
    package("tulips", "garden", QUIET, ["stylekit"])
    (tmp_path / "site" / "sample_tulips" / "template.py").write_text("class {{ name }}:\n")
    (plugin,) = find_subjects("tulips")
    assert faults(plugin) == {}


@pytest.mark.parametrize(
    ("requires", "told"),
    [
        (
            ["stylekit", "torch<3,>=2.10"],
            "requires torch<3,>=2.10, which keeps newer ones away from everyone who installs it.",
        ),
        (["stylekit", "torch<3,>=2.10"], "Write 'torch>=2.10'."),
        (["stylekit", "torch==2.13.*"], "Write 'torch>=2.13'."),
        (["stylekit", "Torch~=2.10"], "Write 'torch>=2.10'."),
        (["stylekit", "torch<=2.13"], "Write 'torch'."),
        (["stylekit", "torch @ https://example.org/torch.whl"], "one file for everyone who installs it. Write 'torch'"),
        (["torch>=2.10"], "tulips does not require stylekit: add 'stylekit' to dependencies in its pyproject.toml."),
        (["torch>=2.10", "stylekit; extra == 'dev'"], "does not require stylekit"),
        (["stylekit", "torch>=2.10,!=2.11.0", "torch==2.10; extra == 'old'", "numpy<3"], ""),
    ],
)
def test_a_package_pins_no_torch_and_requires_stylekit(package: Package, requires: list[str], told: str) -> None:
    package("tulips", "garden", QUIET, requires)
    (plugin,) = find_subjects("tulips")
    found = fault(plugin, "metadata")
    assert told in found
    assert bool(told) == bool(found)
