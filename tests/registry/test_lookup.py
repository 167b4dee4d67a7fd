"""Finding and loading plugins: names, name conflicts, broken plugins, files, and which modules are imported."""

from __future__ import annotations

import ast
import importlib
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

import stylekit
import stylekit_plugins
from stylekit import StylekitError, StylekitWarning, hookspecs, make
from stylekit.cli.plugins import _taken
from stylekit.inference.model_files import save_model
from stylekit.registry import loading, lookup
from stylekit.registry.provenance import origin
from stylekit.registry.status import plugin_status
from stylekit.testing.imports import private_names
from stylekit.training.settings import validate_settings
from stylekit.training.setup import build_method
from tests.facts import assert_mentions, raises, warns

if TYPE_CHECKING:
    from tests.conftest import Install

GENERATOR = """
from stylekit import hookimpl
from torch import nn

@hookimpl
def stylekit_generators():
    return {"NAME": nn.Identity}
"""
METHOD = """
from stylekit import Method, hookimpl

class Mine(Method):
    def stylize(self, content, style=None):
        return 1 - content

@hookimpl
def stylekit_methods():
    return {"mine": Mine}
"""


def offering(name: str) -> str:
    return GENERATOR.replace("NAME", name)


def only(name: str) -> loading.Plugin:
    (plugin,) = [plugin for plugin in lookup.visible_plugins() if plugin.name == name]
    return plugin


def test_installed_plugins_are_listed_by_name_with_their_package() -> None:
    plugins = {plugin.name: plugin for plugin in lookup.visible_plugins()}
    assert {"cyclegan", "resnet", "unet", "patch", "spectral", "adversarial", "scenes"} <= set(plugins)
    assert plugins["cyclegan"].module == "stylekit_plugins.methods.cyclegan"
    assert plugins["cyclegan"].origin == f"stylekit-torch {stylekit.__version__}"
    assert list(plugins) == sorted(plugins)


def test_plugin_of_another_package_is_found_and_its_part_built(install: Install) -> None:
    install("tulips", "tulip", offering("garden"), "2.1")
    assert only("tulip").origin == "tulips 2.1"
    assert isinstance(make("generator", "garden"), torch.nn.Identity)
    assert "garden" in lookup.part_names("generator")
    assert lookup.loaded_state(only("tulip")) == ("loads", "generator garden")


def test_listing_imports_no_plugin(install: Install) -> None:
    install("tulips", "tulip", "raise RuntimeError('imported')")
    assert only("tulip")
    assert lookup.find_plugin("tulip") == only("tulip")


def test_a_part_with_its_plugins_name_is_found_without_importing_others(install: Install) -> None:
    install("tulips", "garden", offering("garden"))
    install("weeds", "weed", "raise RuntimeError('imported')")
    assert origin(make("generator", "garden")) == "tulips 1.0"


def test_a_plugin_of_two_packages_is_refused_and_both_are_named(install: Install) -> None:
    install("tulips", "flower", offering("tulip"))
    install("roses", "flower", offering("rose"), "3.0")
    with raises(StylekitError, "plugin 'flower'", "roses 3.0", "tulips 1.0", "uninstall"):
        lookup.find_plugin("flower")


def test_a_part_of_two_plugins_is_refused_and_both_packages_are_named(install: Install) -> None:
    install("tulips", "tulip", offering("flower"))
    install("roses", "rose", offering("flower"))
    with raises(StylekitError, "generator 'flower'", "roses 1.0", "tulips 1.0"):
        make("generator", "flower")


def test_a_part_in_a_plugin_of_the_same_name_takes_precedence(install: Install) -> None:
    install("tulips", "flower", offering("flower"))
    install("roses", "rose", offering("flower").replace("Identity", "Flatten"))
    assert isinstance(make("generator", "flower"), torch.nn.Identity)


def test_an_installed_package_cannot_override_a_built_in_name(install: Install) -> None:
    install("weeds", "resnet", offering("resnet").replace("return", "raise SystemExit;"))
    install("thorns", "thorn", "raise RuntimeError('imported')")
    assert lookup.part_owner("generator", "resnet").own
    assert lookup.find_plugin("resnet").own
    assert [(kind, part.__name__) for kind, _, part in lookup.parts_named("resnet")] == [("generator", "ResNet")]


def test_built_in_parts_are_found_without_importing_any_package(install: Install) -> None:
    """Including parts whose name differs from that of their plugin."""
    install("thorns", "thorn", "raise RuntimeError('imported')")
    assert make("adversarial", "hinge")
    assert lookup.part_owners("dataset", "scenes")


def test_a_lookup_that_is_not_to_go_everywhere_imports_no_plugin_of_another_name(install: Install) -> None:
    install("thorns", "thorn", "raise RuntimeError('imported')")
    for kind, name in (("dataset", "scenes"), ("adversarial", "hinge"), ("dataset", "nothing")):
        found = lookup.part_owners(kind, name, everywhere=False)
        assert [plugin.own for plugin in found] == [True] * (name != "nothing")
    assert "sample_thorns" not in sys.modules
    with warns(StylekitWarning, "'thorn'", "imported"):
        assert lookup.part_owners("dataset", "nothing") == []


def test_a_lookup_that_is_not_to_go_everywhere_finds_a_part_with_its_plugins_name(install: Install) -> None:
    install("tulips", "garden", offering("garden"))
    install("roses", "bush", offering("rose"))
    for everywhere in (False, True):
        (owner,) = lookup.part_owners("generator", "garden", everywhere)
        assert owner.origin == "tulips 1.0"
    assert lookup.part_owners("generator", "rose", everywhere=False) == []
    assert "sample_roses" not in sys.modules
    (owner,) = lookup.part_owners("generator", "rose")
    assert owner.origin == "roses 1.0"


def test_a_lookup_that_is_not_to_go_everywhere_sees_given_files(tmp_path: Path) -> None:
    lookup.add_file(Path(write(tmp_path / "mine.py", offering("flower"))))
    (owner,) = lookup.part_owners("generator", "flower", everywhere=False)
    assert owner.origin == str(tmp_path / "mine.py")


def test_a_file_that_uses_a_built_in_name_is_refused(tmp_path: Path) -> None:
    lookup.add_file(Path(write(tmp_path / "mine.py", offering("resnet"))))
    with raises(
        StylekitError, "'resnet'", tmp_path / "mine.py", f"stylekit-torch {stylekit.__version__}", "rename yours"
    ):
        make("generator", "resnet")


@pytest.mark.parametrize(
    ("wanted", "seen"),
    [
        ("", set()),
        ("tulip", {"tulip"}),
        ("Red_Roses", {"rose"}),
        (" tulip, red-roses ,", {"tulip", "rose"}),
        ("nothing", set()),
    ],
)
def test_variable_limits_what_is_visible(
    install: Install, monkeypatch: pytest.MonkeyPatch, wanted: str, seen: set[str]
) -> None:
    install("tulips", "tulip", offering("tulip"))
    install("red-roses", "rose", offering("rose"))
    monkeypatch.setenv("STYLEKIT_PLUGINS", wanted)
    assert {plugin.name for plugin in lookup.visible_plugins() if not plugin.own} == seen
    assert {"cyclegan", "resnet"} <= {plugin.name for plugin in lookup.visible_plugins()}


def test_variable_decides_between_two_packages(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("tulips", "flower", offering("flower"))
    install("roses", "flower", offering("flower"), "3.0")
    monkeypatch.setenv("STYLEKIT_PLUGINS", "roses")
    assert lookup.part_owner("generator", "flower").origin == "roses 3.0"


def test_a_package_with_damaged_metadata_is_skipped(install: Install, tmp_path: Path) -> None:
    install("tulips", "tulip", offering("flower"))
    install("weeds", "weed", "")
    damaged = tmp_path / "site" / "weeds-1.0.dist-info"
    (damaged / "entry_points.txt").write_text("[stylekit]\nweed\n")
    with warns(StylekitWarning, "metadata", damaged):
        assert only("tulip").origin == "tulips 1.0"
    assert only("cyclegan").own
    (tmp_path / "older").mkdir()
    shutil.copytree(tmp_path / "site" / "tulips-1.0.dist-info", tmp_path / "older" / "tulips-0.9.dist-info")
    sys.path.insert(1, str(tmp_path / "older"))
    assert only("tulip").origin == "tulips 1.0"


def test_a_package_without_metadata_is_skipped(install: Install, tmp_path: Path) -> None:
    install("weeds", "weed", offering("weed"))
    (tmp_path / "site" / "weeds-1.0.dist-info" / "METADATA").unlink()
    with warns(StylekitWarning, "metadata", tmp_path / "site" / "weeds-1.0.dist-info"):
        assert "weed" not in {plugin.name for plugin in lookup.visible_plugins()}


PRESET = """
from stylekit import hookimpl

@hookimpl
def stylekit_presets():
    return {"cyclegan": {"huge": {"cycle": 2.0, "generator": {"name": "resnet", "blocks": 1, "width": 4}}}}
"""


def test_a_plugin_adds_a_preset_to_a_method(install: Install) -> None:
    install("tulips", "tulip", PRESET)
    assert lookup.loaded_state(only("tulip")) == ("loads", "preset for cyclegan")
    _, method, _ = build_method(
        validate_settings({"plugin": "cyclegan", "preset": "huge", "set": {"generator.width": 2}})
    )
    assert method.arguments["cycle"] == 2.0
    assert method.arguments["generator"] == {"name": "resnet", "blocks": 1, "width": 2}
    with raises(StylekitError, "preset 'hug'", "did you mean 'huge'", "huge, paper, tiny"):
        build_method(validate_settings({"plugin": "cyclegan", "preset": "hug"}))


@pytest.mark.parametrize("presets", ["{'cyclegan': ['huge']}", "{'cyclegan': {'huge': ['cycle']}}", "['cyclegan']"])
def test_presets_of_the_wrong_type_are_reported(install: Install, presets: str) -> None:
    install(
        "tulips", "tulip", f"from stylekit import hookimpl\n@hookimpl\ndef stylekit_presets():\n    return {presets}\n"
    )
    with warns(StylekitWarning, "'tulip'", "stylekit_presets", "{method: {preset: {argument: value}}}"):
        assert lookup.presets("cyclegan") == {}


def test_a_preset_of_two_plugins_is_refused_and_the_methods_own_takes_precedence(install: Install) -> None:
    install("tulips", "tulip", PRESET)
    install("roses", "rose", PRESET.replace("2.0", "3.0").replace("}}}}", "}}, 'tiny': {'cycle': 4.0}}}"))
    with raises(StylekitError, "preset 'huge'", "'cyclegan'", "roses 1.0", "tulips 1.0"):
        lookup.preset("cyclegan", "huge")
    _, method, _ = build_method(validate_settings({"plugin": "cyclegan", "preset": "tiny"}))
    assert method.arguments["cycle"] == 10.0


def test_parts_of_different_kinds_may_have_the_same_name(install: Install) -> None:
    install("tulips", "tulip", offering("flower"))
    install("roses", "rose", offering("flower").replace("stylekit_generators", "stylekit_losses"))
    assert isinstance(make("generator", "flower"), torch.nn.Identity)
    assert isinstance(make("loss", "flower"), torch.nn.Identity)


@pytest.mark.parametrize(
    ("source", "facts"),
    [
        ("import no_such_module_anywhere", ["ModuleNotFoundError: No module named 'no_such_module_anywhere'"]),
        ("def broken(:", ["SyntaxError"]),
        ("raise ValueError('out of order')", ["ValueError: out of order"]),
        ("raise SystemExit(3)", ["SystemExit: 3"]),
        ("STYLEKIT_API = 99", ["version", 99, hookspecs.API]),
        (offering("x").replace("stylekit_generators", "stylekit_generator"), ["stylekit_generator"]),
        (offering("x").replace("generators()", "generators(extra)"), ["'extra'"]),
        (offering("x").replace("return", "import no_such_module_anywhere;"), ["stylekit_generators", "no_such_module"]),
        (offering("x").replace('{"x": nn.Identity}', "3"), ["{name: class}", "stylekit_generators"]),
        (offering("x").replace('{"x": nn.Identity}', "{1: nn.Identity}"), ["{name: class}", "stylekit_generators"]),
        (offering("x").replace('{"x": nn.Identity}', "{'x': 3}"), ["{name: class}", "stylekit_generators"]),
        ("def __getattr__(name):\n    raise ImportError('lazy')", ["import", "ImportError: lazy"]),
        ("class Skipped(BaseException): pass\nraise Skipped('not here')", ["import", "Skipped: not here"]),
    ],
    ids=[
        *("import", "syntax", "value", "exit", "contract", "unknown hook", "argument", "late import"),
        *("no mapping", "no name", "no class", "lazy", "base exception"),
    ],
)
def test_a_broken_plugin_is_one_warning_and_other_plugins_still_work(
    install: Install, source: str, facts: list[object]
) -> None:
    install("weeds", "weed", source)
    install("tulips", "tulip", offering("flower"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert isinstance(make("generator", "flower"), torch.nn.Identity)
        assert {"flower", "resnet"} <= set(lookup.part_names("generator"))
        assert make("adversarial", "hinge")
        with raises(StylekitError, "generator 'weed'"):
            make("generator", "weed")
    (warning,) = caught
    assert issubclass(warning.category, StylekitWarning)
    assert_mentions(warning.message, "plugin 'weed' (weeds 1.0)", *facts)
    assert "\n" not in str(warning.message)


def test_the_state_of_a_broken_plugin_has_the_reason(install: Install) -> None:
    install("weeds", "weed", "raise ValueError('out of order')")
    state, reason = lookup.loaded_state(only("weed"))
    assert state == "broken"
    assert_mentions(reason, "plugin 'weed' (weeds 1.0)", "import", "ValueError: out of order")


def test_loading_a_broken_plugin_by_name_raises_the_reason(install: Install) -> None:
    install("weeds", "weed", "raise ValueError('out of order')")
    with raises(StylekitError, "plugin 'weed' (weeds 1.0)", "import", "ValueError: out of order"):
        loading.load_hooks(lookup.find_plugin("weed"))


def test_a_plugin_may_declare_the_contracts_version(install: Install) -> None:
    install("tulips", "tulip", f"STYLEKIT_API = {hookspecs.API}\n{offering('flower')}")
    assert origin(make("generator", "flower")) == "tulips 1.0"


def test_every_hook_of_the_contract_may_be_implemented(install: Install) -> None:
    hooks = [(name, hook) for name, hook in vars(hookspecs).items() if name.startswith("stylekit_")]
    assert len(hooks) == 18
    source = "from stylekit import hookimpl\n"
    for name, hook in hooks:
        parameters = ", ".join(hook.__code__.co_varnames[: hook.__code__.co_argcount])
        returned = "{'cyclegan': {'all': {}}}" if name == "stylekit_presets" else f"{{'{name}': int}}"
        source += f"@hookimpl\ndef {name}({parameters}):\n    return {returned}\n"
    install("all", "everything", source)
    for kind in hookspecs.KINDS.values():
        assert list(lookup.parts_of_kind(only("everything"), kind.name)) == [kind.hook]


def test_a_plugin_without_parts_follows_runs(install: Install) -> None:
    install(
        "diary", "diary", "from stylekit import hookimpl\n@hookimpl\ndef stylekit_run_finished(run, step):\n    pass\n"
    )
    assert lookup.loaded_state(only("diary")) == ("loads", "follows runs")


def test_an_entry_point_may_repeat_a_module_or_name_an_object_in_it(install: Install, tmp_path: Path) -> None:
    install("tulips", "tulip", offering("garden"))
    entry_points = tmp_path / "site" / "tulips-1.0.dist-info" / "entry_points.txt"
    entry_points.write_text("[stylekit]\ntulip = sample_tulips\nbulb = sample_tulips [extra]\n")
    assert isinstance(make("generator", "garden"), torch.nn.Identity)
    source = """
from stylekit import hookimpl
from torch import nn

class Bush:
    @hookimpl
    def stylekit_generators(self):
        return {"rose": nn.Identity}

bush = Bush()
"""
    install("roses", "bush", source, target=":bush")
    assert lookup.loaded_state(only("bush")) == ("loads", "generator rose")


def test_a_folder_that_shadows_a_package_is_reported(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("tulips", "tulip", offering("garden"))
    (tmp_path / "site" / "sample_tulips.py").unlink()
    (tmp_path / "site" / "sample_tulips").mkdir()
    importlib.invalidate_caches()
    state, reason = lookup.loaded_state(only("tulip"))
    assert state == "broken"
    assert_mentions(reason, "folder", tmp_path / "site" / "sample_tulips", "package")
    every = lookup.all_plugins()
    assert plugin_status(only("tulip"), True, [plugin for plugin, _ in every])[0] == "broken"


def test_a_part_that_another_plugin_also_offers_is_reported(install: Install) -> None:
    install("tulips", "tulip", offering("resnet"))
    install("roses", "rose", offering("bush"))
    install("thorns", "thorn", offering("bush"))
    (tulip,) = _taken(only("tulip"))
    assert_mentions(tulip, "generator 'resnet'", f"stylekit-torch {stylekit.__version__}")
    (rose,) = _taken(only("rose"))
    assert_mentions(rose, "generator 'bush'", "thorns 1.0")
    assert _taken(only("resnet")) == []


@pytest.mark.parametrize(
    ("source", "facts"),
    [
        (
            offering("x").replace("stylekit_generators", "stylekit_generator"),
            ["stylekit_generator", "did you mean 'stylekit_generators'"],
        ),
        (offering("x").replace("generators()", "generators(extra)"), ["stylekit_generators", "'extra'"]),
        (offering("x").replace("@hookimpl", ""), ["@hookimpl", "stylekit_generators"]),
        ("STYLEKIT_API = '1'", ["STYLEKIT_API = '1'", "number", hookspecs.API]),
    ],
)
def test_a_plugin_that_violates_the_contract_is_reported(install: Install, source: str, facts: list[object]) -> None:
    install("weeds", "weed", source)
    state, reason = lookup.loaded_state(only("weed"))
    assert state == "broken"
    assert_mentions(reason, "plugin 'weed' (weeds 1.0)", *facts)


def test_the_error_for_a_missing_part_explains_what_its_plugin_offers(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("tulips", "tulip", offering("tulip"))
    with raises(StylekitError, "method 'tulip'", "plugin", "generator tulip"):
        lookup.find_part("method", "tulip")
    install("weeds", "weed", "1 / 0")
    with (
        pytest.warns(StylekitWarning),
        raises(StylekitError, "method 'weed'", "plugin 'weed' (weeds 1.0)", "import", "ZeroDivisionError"),
    ):
        lookup.find_part("method", "weed")
    monkeypatch.setenv("STYLEKIT_PLUGINS", "")
    with raises(StylekitError, "'tulip'", "STYLEKIT_PLUGINS", "tulips 1.0"):
        lookup.find_part("generator", "tulip")


def test_the_error_for_an_unknown_plugin_suggests_the_nearest_name() -> None:
    with raises(StylekitError, "plugin 'cyclgan'", "did you mean 'cyclegan'", "adain, "):
        lookup.find_plugin("cyclgan")


def write(path: Path, source: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    return str(path)


def test_a_file_is_a_plugin(tmp_path: Path) -> None:
    name, factory = lookup.find_method([write(tmp_path / "my_style.py", METHOD)])
    assert name == "mine"
    assert float(factory().stylize(torch.zeros(()))) == 1


def test_parts_of_a_loaded_file_are_known_by_name(tmp_path: Path) -> None:
    lookup.find_method([write(tmp_path / "my_style.py", METHOD + offering("flower"))])
    assert isinstance(make("generator", "flower"), torch.nn.Identity)
    assert make("method", "mine")
    assert lookup.find_plugin("my_style").origin == str(tmp_path / "my_style.py")


def test_a_file_is_imported_once(tmp_path: Path) -> None:
    path = write(tmp_path / "my_style.py", METHOD)
    first, second = lookup.find_method([path])[1], lookup.find_method([path])[1]
    assert first is second


def test_two_files_of_the_same_name_are_kept_apart(tmp_path: Path) -> None:
    one = write(tmp_path / "a/style.py", METHOD)
    other = write(tmp_path / "b/style.py", METHOD.replace('"mine"', '"other"'))
    assert lookup.find_method([one])[0] == "mine"
    assert lookup.find_method([other])[0] == "other"


def test_the_module_of_a_file_can_be_looked_up_by_name(tmp_path: Path) -> None:
    """As dataclasses and pickle do."""
    source = "import dataclasses\n@dataclasses.dataclass\nclass Options:\n    depth: 'int' = 3\n" + METHOD
    _, factory = lookup.find_method([write(tmp_path / "my_style.py", source)])
    assert sys.modules[factory.__module__].Options().depth == 3


def test_an_edited_file_is_loaded_again(tmp_path: Path) -> None:
    path = tmp_path / "my_style.py"
    for written, name in enumerate(("mine", "ours")):  # same length, edited within a second
        write(path, METHOD.replace('"mine"', f'"{name}"'))
        os.utime(path, ns=(10**18 + written, 10**18 + written))
        assert lookup.find_method([str(path)])[0] == name


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with raises(StylekitError, "nowhere.py"):
        lookup.find_method(["nowhere.py"])
    Path("folder.py").mkdir()
    with raises(StylekitError, "folder.py", "Python file"):
        lookup.find_method(["folder.py"])


def test_a_file_without_a_method_or_with_two_is_refused(tmp_path: Path) -> None:
    none = write(tmp_path / "none.py", offering("flower"))
    with raises(StylekitError, none, "method", "--plugin"):
        lookup.find_method([none])
    two = write(tmp_path / "two.py", METHOD.replace('{"mine": Mine}', '{"mine": Mine, "thine": Mine}'))
    with raises(StylekitError, two, 2, "mine, thine"):
        lookup.find_method([two])


def methods(*names: str) -> str:
    """The source of a plugin with methods of these names."""
    offered = ", ".join(f'"{name}": Mine' for name in names)
    return METHOD.replace('{"mine": Mine}', f"{{{offered}}}")


@pytest.mark.parametrize(
    ("name", "file", "part"),
    [
        ("cyclegan", "", "cyclegan"),
        ("style.py", "style.py", ""),
        ("a/b.py:mine", "a/b.py", "mine"),
        ("c:/a/b.py:mine", "c:/a/b.py", "mine"),
        ("c:/a/b.py", "c:/a/b.py", ""),
        ("a:b", "", "a:b"),
        ("style.txt:mine", "", "style.txt:mine"),
    ],
)
def test_a_name_may_be_a_file_and_a_part_of_it(name: str, file: str, part: str) -> None:
    assert lookup.split_file(name) == (file, part)


def test_a_method_is_found_by_its_name() -> None:
    name, factory = lookup.find_method(["cyclegan"])
    assert name == "cyclegan"
    assert factory.__name__ == "CycleGAN"
    with raises(StylekitError, "method 'cyclgan'", "did you mean 'cyclegan'"):
        lookup.find_method(["cyclgan"])


def test_a_file_with_several_methods_needs_the_name_of_one(tmp_path: Path) -> None:
    file = write(tmp_path / "two.py", methods("mine", "thine"))
    with raises(StylekitError, file, 2, "mine, thine", "--plugin FILE.py:mine"):
        lookup.find_method([file])
    for name in ("mine", "thine"):
        assert lookup.find_method([f"{file}:{name}"])[0] == name
    with raises(StylekitError, file, "'mien'", "did you mean 'mine'", "mine, thine"):
        lookup.find_method([f"{file}:mien"])


def test_further_files_may_offer_other_parts(tmp_path: Path) -> None:
    method, parts = write(tmp_path / "method.py", METHOD), write(tmp_path / "parts.py", offering("flower"))
    for names in ([method, parts], [parts, method], [f"{method}:mine", parts], [parts, f"{method}:mine"]):
        assert lookup.find_method(names)[0] == "mine"
        assert isinstance(make("generator", "flower"), torch.nn.Identity)
    name, factory = lookup.find_method([parts, "cyclegan"])
    assert (name, factory.__name__) == ("cyclegan", "CycleGAN")


def test_a_named_method_takes_precedence_over_those_of_further_files(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one.py", METHOD), write(tmp_path / "other.py", methods("other", "another"))
    assert lookup.find_method([one, f"{other}:another"])[0] == "another"
    assert lookup.find_method(["cyclegan", one, other])[0] == "cyclegan"


def test_names_without_a_method_or_with_several_are_refused(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one.py", METHOD), write(tmp_path / "other.py", methods("other"))
    parts, more = (write(tmp_path / f"{name}.py", offering(name)) for name in ("parts", "more"))
    with raises(StylekitError, one, other, 2, "mine, other", "FILE.py:mine"):
        lookup.find_method([one, other])
    with raises(StylekitError, 2, "cyclegan, adain"):
        lookup.find_method(["cyclegan", "adain"])
    with raises(StylekitError, parts, more, "method", "stylekit_methods", "--plugin"):
        lookup.find_method([parts, more])
    with raises(StylekitError, tmp_path / "gone.py"):
        lookup.find_method([one, str(tmp_path / "gone.py")])


def test_two_different_files_of_one_name_are_refused(tmp_path: Path) -> None:
    """Plugins are known by the names of their files, so the second would replace the first."""
    one, other = write(tmp_path / "a/style.py", METHOD), write(tmp_path / "b/style.py", offering("flower"))
    for names in ([one, other], [other, f"{one}:mine"]):
        with raises(StylekitError, one, other, "rename"):
            lookup.find_method(names)


def test_a_file_with_a_built_in_methods_name_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "mine.py", methods("cyclegan"))
    for name in (file, f"{file}:cyclegan"):
        with raises(StylekitError, "method 'cyclegan'", file, f"stylekit-torch {stylekit.__version__}", "rename yours"):
            lookup.find_method([name])


def test_the_error_for_a_broken_file_has_its_path(tmp_path: Path) -> None:
    path = write(tmp_path / "my_style.py", "import no_such_module_anywhere")
    with raises(StylekitError, path, "import", "ModuleNotFoundError", "no_such_module_anywhere"):
        lookup.find_method([path])


LIGHT = {
    "import stylekit": ["-c", "import stylekit"],
    "plugins": ["-c", "from stylekit.registry import lookup; assert lookup.visible_plugins()"],
    "stylekit --help": ["-m", "stylekit", "--help"],
    "stylekit plugins": ["-m", "stylekit", "plugins"],
}


@pytest.mark.parametrize("command", LIGHT.values(), ids=LIGHT)
def test_torch_is_not_imported(command: list[str]) -> None:
    process = subprocess.run([sys.executable, "-X", "importtime", *command], capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in process.stderr.splitlines()}
    assert "stylekit" in imported
    assert not {name for name in imported if name.split(".")[0] in ("torch", "numpy", "stylekit_plugins")}


@pytest.mark.slow
def test_loading_a_model_imports_neither_yaml_nor_rich(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(build_method(validate_settings({"plugin": "color-pca", "steps": 1}))[1], "color-pca", path)
    code = f"import sys, stylekit; stylekit.load({str(path)!r}, 'cpu'); print(*sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "torch" in process.stdout.split()
    assert not {"yaml", "rich", "typer", "matplotlib"} & set(process.stdout.split())


BUILT_IN = Path(next(iter(stylekit_plugins.__path__)))
SOURCES = sorted(BUILT_IN.rglob("*.py"))


def private_imports(source: Path) -> list[str]:
    """The imports of a built-in plugin other than torch, the standard library, its package and stylekit's public names."""
    wrong = private_names(source)
    for node in ast.walk(ast.parse(source.read_text())):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        for module in modules:
            home, *rest = module.split(".")
            own = source.parent.parent.parent == BUILT_IN and rest[:2] == [*source.parent.relative_to(BUILT_IN).parts]
            known = home in ("torch", "stylekit") or home in sys.stdlib_module_names
            wrong += [] if known or (home == "stylekit_plugins" and own) else [module]
    return wrong


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.relative_to(BUILT_IN).as_posix())
def test_built_in_plugins_import_only_what_any_plugin_may_import(source: Path) -> None:
    assert private_imports(source) == []


def test_private_imports_are_detected(tmp_path: Path) -> None:
    source = tmp_path / "plugin.py"
    source.write_text(
        "import numpy\nimport torch.nn, math, stylekit\nfrom stylekit.method import Batch, _Function\n"
        "from stylekit_plugins.generators.resnet import ResNet\n"
    )
    assert private_imports(source) == ["stylekit.method._Function", "numpy", "stylekit_plugins.generators.resnet"]


def test_every_public_name_exists() -> None:
    for name in stylekit.__all__:
        assert getattr(stylekit, name) is not None
    with raises(AttributeError, "'nothing'"):
        _ = stylekit.nothing


def test_every_built_in_plugin_is_installed_and_loads() -> None:
    for plugin in lookup.visible_plugins():
        if plugin.package == "stylekit-torch":
            assert lookup.loaded_state(plugin)[0] == "loads", plugin.name


def test_a_built_in_module_that_is_listed_several_times_is_one_plugin_beside_files_too(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("")
    lookup.add_file(tmp_path / "mine.py")
    listed = [plugin.name for plugin in lookup.visible_plugins() if plugin.module.endswith("degradations.noise")]
    assert sorted(listed) == ["gaussian-noise", "poisson-noise"]
    assert len(lookup.part_owners("degradation", "poisson-noise")) == 1
