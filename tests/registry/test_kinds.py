"""The record of each kind of part, and what follows from it: lookup, checks and templates."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

import stylekit
from stylekit import StylekitError, hookspecs, make, testing
from stylekit.cli import new
from stylekit.hookspecs import KINDS, Kind, hookspec
from stylekit.registry import lookup
from stylekit.testing import catalogue
from stylekit.testing.kit import Check
from tests.facts import raises

TEMPLATES = Path(next(iter(stylekit.__path__))) / "cli" / "templates"
OTHER_HOOKS = {
    "stylekit_presets",
    "stylekit_image_formats",
    "stylekit_run_started",
    "stylekit_step_finished",
    "stylekit_checkpoint_saved",
    "stylekit_run_finished",
}
"""Hooks that offer no parts."""
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def test_the_kinds_are_known() -> None:
    parts = [
        "method",
        "generator",
        "discriminator",
        "adversarial",
        "regularizer",
        "augmentation",
        "degradation",
        "loss",
    ]
    parts += ["metric", "dataset", "encoder", "model"]
    assert list(KINDS) == parts
    assert [kind.name for kind in KINDS.values()] == parts


def test_every_hook_of_the_contract_belongs_to_one_kind_or_offers_no_parts() -> None:
    hooks = [name for name in vars(hookspecs) if name.startswith("stylekit_")]
    assert sorted([*(kind.hook for kind in KINDS.values()), *OTHER_HOOKS]) == sorted(hooks)
    assert all(hasattr(getattr(hookspecs, name), "stylekit_spec") for name in hooks)


@every_kind
def test_every_kind_has_checks_of_its_own(kind: Kind) -> None:
    checks = importlib.import_module(f"stylekit.testing.{kind.checks}").CHECKS
    assert checks
    assert all(isinstance(check, Check) for check in checks)
    names = [check.name for check in checks]
    assert len(set(names)) == len(names)
    assert {name for check in checks for name in check.after} <= set(names)
    assert catalogue.checks_of(kind.name) is checks


def test_no_two_kinds_share_a_module_of_checks() -> None:
    modules = [kind.checks for kind in KINDS.values()]
    assert len(set(modules)) == len(modules)


@every_kind
def test_every_kind_with_a_template_has_a_module_and_a_readme(kind: Kind) -> None:
    files = {path.suffix for path in TEMPLATES.glob(f"{kind.name}.*")}
    assert files == ({".py", ".md"} if kind.template else set())
    assert (kind.name in new.WRITABLE) == kind.template
    if kind.template:
        assert f"def {kind.hook}(" in (TEMPLATES / f"{kind.name}.py").read_text()


def test_only_methods_have_presets_and_only_models_are_finished() -> None:
    assert [name for name, kind in KINDS.items() if kind.presets] == ["method"]
    assert [name for name, kind in KINDS.items() if kind.finished] == ["model"]


@every_kind
def test_every_kind_has_a_built_in_part(kind: Kind) -> None:
    built_in = [plugin for plugin in lookup.visible_plugins() if plugin.own]
    assert any(lookup.parts_of_kind(plugin, kind.name) for plugin in built_in)


def test_the_error_for_an_unknown_kind_suggests_the_nearest_and_lists_all() -> None:
    with raises(StylekitError, "'generators'", "did you mean 'generator'", ", ".join(sorted(KINDS))):
        lookup.parts_of_kind(lookup.find_plugin("resnet"), "generators")


BRUSH = """
from stylekit import hookimpl

@hookimpl
def stylekit_brushes():
    return {"wide": lambda width=3: width}
"""


def test_a_new_kind_is_one_hook_and_one_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lookup, building and checks follow from these."""

    def stylekit_brushes() -> Mapping[str, Callable[..., Any]]:
        """Brushes."""
        return {}

    monkeypatch.setattr(hookspecs, "stylekit_brushes", hookspec(stylekit_brushes), raising=False)
    monkeypatch.setitem(KINDS, "brush", Kind("brush", "stylekit_brushes", "brushes"))
    (tmp_path / "brush.py").write_text(BRUSH)
    plugin = lookup.add_file(tmp_path / "brush.py")
    assert lookup.loaded_state(plugin) == ("loads", "brush wide")
    assert lookup.part_names("brush") == ["wide"]
    assert make("brush", {"name": "wide", "width": 5}) == 5
    assert [(kind, name) for kind, name, _ in lookup.parts_named("wide")] == [("brush", "wide")]
    with raises(StylekitError, "brush 'widest'", "did you mean 'wide'"):
        make("brush", "widest")
    with pytest.raises(ModuleNotFoundError, match=r"stylekit\.testing\.brushes"):
        catalogue.checks_of("brush")
    monkeypatch.setitem(KINDS, "brush", Kind("brush", "stylekit_brushes", "losses"))
    assert catalogue.checks_of("brush") is catalogue.checks_of("loss")


def test_marking_a_hook_registers_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    registered: dict[str, Kind] = {}
    monkeypatch.setattr(hookspecs, "KINDS", registered)

    def stylekit_brushes() -> Mapping[str, Callable[..., Any]]:
        """Brushes."""
        return {}

    marked = hookspecs.part_hook("brush", "brushes", template=False, finished=True)(stylekit_brushes)
    assert marked is stylekit_brushes
    assert hasattr(marked, "stylekit_spec")
    expected = Kind("brush", "stylekit_brushes", "brushes", template=False, presets=False, finished=True)
    assert registered == {"brush": expected}


def test_a_part_of_another_kind_does_not_pass_the_checks(recwarn: pytest.WarningsRecorder) -> None:
    with raises(StylekitError, "discriminator", "generator"):
        testing.check("adversarial", torch.nn.Identity)
