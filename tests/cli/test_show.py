"""``stylekit show``, ``plugins`` and ``doctor``: what there is, in words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

import stylekit
from stylekit.registry import lookup
from stylekit.registry.parts import arguments

if TYPE_CHECKING:
    from tests.cli.conftest import Program


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("method", "cyclegan"),
        ("generator", "resnet"),
        ("discriminator", "patch-sn"),
        ("dataset", "folders"),
        ("dataset", "scenes"),
    ],
)
def test_every_option_is_shown_with_its_default_and_its_meaning(
    program: Program, monkeypatch: pytest.MonkeyPatch, kind: str, name: str
) -> None:
    told = program("show", name)
    monkeypatch.setenv("COLUMNS", "400")
    rows = program("show", name).out.splitlines()
    assert (told.code, told.err) == (0, "")
    assert f"{name}, a {kind}" in rows
    for argument in arguments(lookup.find_part(kind, name)).values():
        (row,) = (row for row in rows if row.startswith(f"{argument.name} "))
        assert argument.help
        assert row.rstrip().endswith(argument.help)
        assert f" {argument.default} " in row


def test_types_and_presets_are_readable(program: Program) -> None:
    told = program("show", "cyclegan").out
    assert "part" in told
    assert "float | None" in told
    assert "preset tiny: generator={'name': 'unet', 'downs': 5, 'width': 16, 'upsample': 'resize'}" in told
    assert "Literal" not in program("show", "resnet").out
    assert "str | Path | None" in program("show", "folders").out


def test_a_loss_without_options(program: Program) -> None:
    assert "lsgan, a loss" in program("show", "lsgan").out


def test_a_plugin_is_shown_by_its_parts(program: Program, tmp_path: Path) -> None:
    told = program("show", "spectral").out
    assert [line for line in told.splitlines() if line.endswith(", a discriminator")] == [
        f"{name}, a discriminator" for name in ("patch-sn", "multiscale-sn", "resnet-sn")
    ]
    assert "a discriminator" in told
    assert "pixel" not in program("show", "patch").out.split("\n")[0]  # a part goes before the plugin of its name
    (tmp_path / "mine.py").write_text(
        "from stylekit import hookimpl\n@hookimpl\ndef stylekit_losses():\n    return {'mild': lambda: None}\n"
    )
    assert "mild, a loss" in program("show", tmp_path / "mine.py").out


def test_plugins_are_listed_with_their_packages(program: Program) -> None:
    told = program("plugins")
    assert told.code == 0
    assert [line.split() for line in told.out.splitlines() if line.startswith("cyclegan ")] == [
        ["cyclegan", "stylekit", stylekit.__version__, "installed"]
    ]


def test_doctor_tells_versions_devices_and_the_state_of_plugins(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    told = program("doctor")
    assert (told.code, told.err) == (0, "")
    facts = {line[: line.index("  ")]: line.partition("  ")[2].strip() for line in told.out.splitlines()}
    assert facts["stylekit"] == stylekit.__version__
    assert facts["torch"].startswith(torch.__version__)
    assert "what --device auto takes" in facts["device"]
    assert facts["free memory"].endswith("GiB")
    assert facts["kernels"].startswith(("live (built", "reference, torch's own operations ("))
    assert facts["plugin cyclegan"] == "loads: method cyclegan"
    assert facts["plugin tensorboard"] == "loads: follows runs"


def test_doctor_goes_on_past_a_broken_plugin(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    lookup.add_file(tmp_path / "broken.py")
    told = program("doctor")
    assert told.code == 0
    assert "could not be imported: ZeroDivisionError: division by zero" in told.out


def test_brackets_in_types_and_texts_are_no_markup(program: Program, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text('''
from stylekit import hookimpl
from torch import nn

class Boxed(nn.Identity):
    """Nothing.

    Args:
        sides: as in [red]
    """

    def __init__(self, needed: str, sides: list[int] = [1]):
        super().__init__()

@hookimpl
def stylekit_generators():
    return {"boxed": Boxed}
''')
    lookup.add_file(tmp_path / "mine.py")
    told = program("show", "boxed").out.splitlines()
    assert told[-1].split() == ["sides", "list[int]", "[1]", "as", "in", "[red]"]
    assert told[-2].split() == ["needed", "str", "needed"]
