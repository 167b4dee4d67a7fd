"""``stylekit show``, ``plugins`` and ``doctor``: what is available, and its options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

import stylekit
from stylekit.registry import lookup
from stylekit.registry.entrypoints import OWN
from stylekit.registry.schema import arguments
from tests.facts import assert_mentions

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
    result = program("show", name)
    monkeypatch.setenv("COLUMNS", "400")
    rows = program("show", name).out.splitlines()
    assert (result.code, result.err) == (0, "")
    assert f"{name}, a {kind}" in rows
    for argument in arguments(lookup.find_part(kind, name)).values():
        (row,) = (row for row in rows if row.startswith(f"{argument.name} "))
        assert argument.help
        assert row.rstrip().endswith(argument.help.replace("``", ""))
        assert f" {argument.default} " in row


def test_types_and_presets_are_readable(program: Program) -> None:
    output = program("show", "cyclegan").out
    assert "part" in output
    assert "float | None" in output
    assert "preset tiny: generator={'name': 'unet', 'downs': 5, 'width': 16, 'upsample': 'resize'}" in output
    assert "Literal" not in program("show", "resnet").out
    assert "str | Path | None" in program("show", "folders").out
    assert "tuple[str, ...]" in program("show", "any-style").out
    assert not [name for name in ("cyclegan", "any-style", "adain") if "``" in program("show", name).out]


def tables(output: str) -> dict[str, list[str]]:
    """The tables of options: their first columns, by their titles. Presets and empty lines end a table."""
    found: dict[str, list[str]] = {}
    rows: list[str] = []
    for line in output.splitlines():
        if line.startswith("option"):
            title = line.partition("  ")[0]
            rows = found[title] = []
        elif not line.strip() or line.startswith("preset"):
            rows = []
        elif not line.startswith(" "):
            rows.append(line.split()[0])
    return found


def test_the_options_of_each_image_have_a_table_of_their_own(program: Program) -> None:
    shown = tables(program("show", "cyclegan").out)
    (title,) = [title for title in shown if "--with" in title]
    assert shown[title] == ["direction"]
    assert "direction" not in shown["option"]
    assert {"generator", "cycle", "lr"} <= {*shown["option"]}
    row = next(line for line in program("show", "cyclegan").out.splitlines() if line.startswith("direction "))
    assert row.split()[:4] == ["direction", "a-to-b,", "b-to-a", "a-to-b"]  # name, type, default
    assert [title for title in tables(program("show", "color-pca").out) if "--" in title] == []


PREPARED = '''
from stylekit import Method, hookimpl
from torch import Tensor

class Prepared(Method):
    """Has options of every kind.

    Args:
        built: of the constructor
    """

    def __init__(self, built: int = 1):
        super().__init__()

    def prepare(self, taught: str = "well"):
        """Gets ready.

        Args:
            taught: of training
        """

    def describe(self, style):
        return {"mean": style.mean((2, 3))}

    def transfer(self, content, style, strength=1.0, *, guide: Tensor | None = None, keen: bool = False):
        """Does it.

        Args:
            guide: an image
            keen: a switch
        """
        return content

    def sample(self, count, *, label: int):
        """Draws.

        Args:
            label: of the digit
        """

@hookimpl
def stylekit_methods():
    return {"prepared": Prepared}
'''


def test_options_of_training_and_of_samples_are_shown_too(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "mine.py").write_text(PREPARED)
    output = program("show", tmp_path / "mine.py").out
    shown = tables(output)
    (training,) = [title for title in shown if "--set" in title]
    (each,) = [title for title in shown if "--with" in title]
    assert shown == {"option": ["built"], training: ["taught"], each: ["guide", "keen", "label"]}
    rows = {line.split()[0]: line for line in output.splitlines() if line}
    assert_mentions(rows["guide"], "Tensor | None", "an image")
    assert_mentions(rows["label"], "int", "required", "of the digit")
    assert_mentions(rows["taught"], "str", "well", "of training")


def test_a_finished_model_shows_its_summary_and_the_options_of_each_image(
    program: Program, trained: Path, tmp_path: Path
) -> None:
    (tmp_path / "shipping.py").write_text(
        "from functools import partial\nfrom stylekit import hookimpl, load\n\n@hookimpl\ndef stylekit_models():\n"
        f"    return {{'sample-shipped': partial(load, {str(trained)!r})}}\n"
    )
    result = program("show", tmp_path / "shipping.py")
    assert (result.code, result.err) == (0, "")
    assert "sample-shipped, a model" in result.out.splitlines()
    assert " ".join(stylekit.load(trained, "cpu").summary().split()) in " ".join(result.out.split())
    assert [rows for title, rows in tables(result.out).items() if "--with" in title] == [["direction"]]


def test_a_loss_without_options(program: Program) -> None:
    assert "lsgan, an adversarial" in program("show", "lsgan").out


def test_a_plugin_is_shown_by_its_parts(program: Program, tmp_path: Path) -> None:
    output = program("show", "spectral").out
    assert [line for line in output.splitlines() if line.endswith(", a discriminator")] == [
        f"{name}, a discriminator" for name in ("patch-sn", "resnet-sn")
    ]
    assert "pixel" not in program("show", "patch").out.split("\n")[0]  # a part takes precedence over its plugin
    (tmp_path / "mine.py").write_text(
        "from stylekit import hookimpl\n@hookimpl\ndef stylekit_losses():\n    return {'mild': lambda: None}\n"
    )
    assert "mild, a loss" in program("show", tmp_path / "mine.py").out


def test_plugins_are_listed_with_their_packages(program: Program) -> None:
    result = program("plugins")
    assert result.code == 0
    assert [line.split() for line in result.out.splitlines() if line.startswith("cyclegan ")] == [
        ["cyclegan", OWN, stylekit.__version__, "installed"]
    ]


def test_doctor_prints_versions_devices_and_the_state_of_plugins(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = program("doctor")
    assert (result.code, result.err) == (0, "")
    facts = {line[: line.index("  ")]: line.partition("  ")[2].strip() for line in result.out.splitlines()}
    assert facts["stylekit"] == stylekit.__version__
    assert facts["torch"].startswith(torch.__version__)
    assert "--device auto" in facts["device"]
    assert facts["free memory"].endswith("GiB")
    assert facts["kernels"].startswith(("in use (built", "reference"))
    assert facts["plugin cyclegan"] == "loads: method cyclegan"
    assert facts["plugin tensorboard"].startswith("loads: ")


def test_doctor_continues_after_a_broken_plugin(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    lookup.add_file(tmp_path / "broken.py")
    result = program("doctor")
    assert result.code == 0
    (row,) = (line for line in result.out.splitlines() if line.startswith("plugin broken "))
    assert_mentions(row, "broken: ", "ZeroDivisionError: division by zero")
    assert "plugin tensorboard" in result.out


def test_brackets_in_types_and_texts_are_not_markup(program: Program, tmp_path: Path) -> None:
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
    lines = program("show", "boxed").out.splitlines()
    assert lines[-1].split() == ["sides", "list[int]", "[1]", "as", "in", "[red]"]
    assert lines[-2].split() == ["needed", "str", "required"]
