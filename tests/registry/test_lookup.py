"""Finding and loading plugins: names, quarrels over names, broken plugins, files, and what is imported when."""

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
from stylekit.registry import loading, lookup
from stylekit.registry.status import plugin_status
from stylekit.testing.imports import private_names
from stylekit.training.settings import validate_settings
from stylekit.training.setup import build_method

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
    found = {plugin.name: plugin for plugin in lookup.visible_plugins()}
    assert {"cyclegan", "resnet", "unet", "patch", "spectral", "adversarial", "scenes"} <= set(found)
    assert found["cyclegan"].module == "stylekit_plugins.methods.cyclegan"
    assert found["cyclegan"].origin == f"stylekit {stylekit.__version__}"
    assert list(found) == sorted(found)


def test_plugin_of_another_package_is_found_and_its_part_built(install: Install) -> None:
    install("tulips", "tulip", offering("garden"), "2.1")
    assert only("tulip").origin == "tulips 2.1"
    assert isinstance(make("generator", "garden"), torch.nn.Identity)
    assert "garden" in lookup.part_names("generator")
    assert lookup.loaded_state(only("tulip")) == ("loads", "generator garden")


def test_no_plugin_is_imported_to_be_listed(install: Install) -> None:
    install("tulips", "tulip", "raise RuntimeError('imported')")
    assert only("tulip")
    assert lookup.find_plugin("tulip") == only("tulip")


def test_part_of_a_plugins_own_name_is_found_without_importing_others(install: Install) -> None:
    install("tulips", "garden", offering("garden"))
    install("weeds", "weed", "raise RuntimeError('imported')")
    make("generator", "garden")


def test_plugin_that_two_packages_have_names_both(install: Install) -> None:
    install("tulips", "flower", offering("tulip"))
    install("roses", "flower", offering("rose"), "3.0")
    with pytest.raises(
        StylekitError, match=r"plugin 'flower' is offered twice, by roses 3\.0 and tulips 1\.0\. Uninstall one"
    ):
        lookup.find_plugin("flower")


def test_part_that_two_plugins_offer_names_both_packages(install: Install) -> None:
    install("tulips", "tulip", offering("flower"))
    install("roses", "rose", offering("flower"))
    with pytest.raises(StylekitError, match=r"generator 'flower' is offered twice, by roses 1\.0 and tulips 1\.0"):
        make("generator", "flower")


def test_part_in_a_plugin_of_the_same_name_goes_before_others(install: Install) -> None:
    install("tulips", "flower", offering("flower"))
    install("roses", "rose", offering("flower").replace("Identity", "Flatten"))
    assert isinstance(make("generator", "flower"), torch.nn.Identity)


def test_installed_package_cannot_take_a_built_in_name(install: Install) -> None:
    install("weeds", "resnet", offering("resnet").replace("return", "raise SystemExit;"))
    install("thorns", "thorn", "raise RuntimeError('imported')")
    assert lookup.part_owner("generator", "resnet").own
    assert lookup.find_plugin("resnet").own
    assert [(kind, part.__name__) for kind, _, part in lookup.parts_named("resnet")] == [("generator", "ResNet")]


def test_built_in_parts_are_found_without_importing_any_package(install: Install) -> None:
    """Also those whose name is not their plugin's."""
    install("thorns", "thorn", "raise RuntimeError('imported')")
    assert make("loss", "hinge")
    assert lookup.part_owners("dataset", "scenes")


def test_file_that_takes_a_built_in_name_is_told(tmp_path: Path) -> None:
    lookup.add_file(Path(write(tmp_path / "mine.py", offering("resnet"))))
    with pytest.raises(StylekitError, match=rf"is offered twice, by {tmp_path}/mine\.py and stylekit .*another name"):
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


def test_package_with_damaged_metadata_is_passed_over(install: Install, tmp_path: Path) -> None:
    install("tulips", "tulip", offering("flower"))
    install("weeds", "weed", "")
    damaged = tmp_path / "site" / "weeds-1.0.dist-info"
    (damaged / "entry_points.txt").write_text("[stylekit]\nweed\n")
    with pytest.warns(StylekitWarning, match=rf"the metadata in {damaged} is damaged and passed over"):
        assert only("tulip").origin == "tulips 1.0"
    assert only("cyclegan").own
    (tmp_path / "older").mkdir()
    shutil.copytree(tmp_path / "site" / "tulips-1.0.dist-info", tmp_path / "older" / "tulips-0.9.dist-info")
    sys.path.insert(1, str(tmp_path / "older"))
    assert only("tulip").origin == "tulips 1.0"


def test_package_without_metadata_is_passed_over(install: Install, tmp_path: Path) -> None:
    install("weeds", "weed", offering("weed"))
    (tmp_path / "site" / "weeds-1.0.dist-info" / "METADATA").unlink()
    with pytest.warns(StylekitWarning, match=r"weeds-1\.0\.dist-info is damaged and passed over"):
        assert "weed" not in {plugin.name for plugin in lookup.visible_plugins()}


PRESET = """
from stylekit import hookimpl

@hookimpl
def stylekit_presets():
    return {"cyclegan": {"huge": {"cycle": 2.0, "generator": {"name": "resnet", "blocks": 1, "width": 4}}}}
"""


def test_plugin_adds_a_preset_to_a_method(install: Install) -> None:
    install("tulips", "tulip", PRESET)
    assert lookup.loaded_state(only("tulip")) == ("loads", "preset for cyclegan")
    _, method = build_method(validate_settings({"plugin": "cyclegan", "preset": "huge", "set": {"generator.width": 2}}))
    assert method.arguments["cycle"] == 2.0
    assert method.arguments["generator"] == {"name": "resnet", "blocks": 1, "width": 2}
    with pytest.raises(StylekitError, match=r"no preset 'hug'\. Did you mean 'huge'\? There are: huge, paper, tiny"):
        build_method(validate_settings({"plugin": "cyclegan", "preset": "hug"}))


@pytest.mark.parametrize("presets", ["{'cyclegan': ['huge']}", "{'cyclegan': {'huge': ['cycle']}}", "['cyclegan']"])
def test_presets_of_another_form_are_told(install: Install, presets: str) -> None:
    install(
        "tulips", "tulip", f"from stylekit import hookimpl\n@hookimpl\ndef stylekit_presets():\n    return {presets}\n"
    )
    with pytest.warns(
        StylekitWarning, match=r"must return {method: {preset: {argument: value}}} from stylekit_presets"
    ):
        assert lookup.presets("cyclegan") == {}


def test_preset_that_two_plugins_add_names_both_and_the_methods_own_goes_first(install: Install) -> None:
    install("tulips", "tulip", PRESET)
    install("roses", "rose", PRESET.replace("2.0", "3.0").replace("}}}}", "}}, 'tiny': {'cycle': 4.0}}}"))
    with pytest.raises(StylekitError, match=r"preset 'huge' of 'cyclegan' is offered twice, by roses 1\.0 and tulips"):
        lookup.preset("cyclegan", "huge")
    _, method = build_method(validate_settings({"plugin": "cyclegan", "preset": "tiny"}))
    assert method.arguments["cycle"] == 10.0


def test_one_name_may_mean_parts_of_different_kinds(install: Install) -> None:
    install("tulips", "tulip", offering("flower"))
    install("roses", "rose", offering("flower").replace("stylekit_generators", "stylekit_losses"))
    assert isinstance(make("generator", "flower"), torch.nn.Identity)
    assert isinstance(make("loss", "flower"), torch.nn.Identity)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
        ("def broken(:", "SyntaxError"),
        ("raise ValueError('out of order')", "ValueError: out of order"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("STYLEKIT_API = 99", "written for version 99 of the plugin contract, and this stylekit has version 1"),
        (offering("x").replace("stylekit_generators", "stylekit_generator"), "stylekit_generator"),
        (offering("x").replace("generators()", "generators(extra)"), "extra"),
        (offering("x").replace("return", "import no_such_module_anywhere;"), "failed in stylekit_generators"),
        (offering("x").replace('{"x": nn.Identity}', "3"), "must return {name: class} from stylekit_generators"),
        (offering("x").replace('{"x": nn.Identity}', "{1: nn.Identity}"), "must return {name: class}"),
        (offering("x").replace('{"x": nn.Identity}', "{'x': 3}"), "must return {name: class}"),
        ("def __getattr__(name):\n    raise ImportError('lazy')", "could not be imported: ImportError: lazy"),
        ("class Skipped(BaseException): pass\nraise Skipped('not here')", "could not be imported: Skipped: not here"),
    ],
    ids=[
        *("import", "syntax", "value", "exit", "contract", "unknown hook", "argument", "late import"),
        *("no mapping", "no name", "no class", "lazy", "base exception"),
    ],
)
def test_broken_plugin_is_one_warning_with_its_package_and_all_else_works(
    install: Install, source: str, reason: str
) -> None:
    install("weeds", "weed", source)
    install("tulips", "tulip", offering("flower"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert isinstance(make("generator", "flower"), torch.nn.Identity)
        assert {"flower", "resnet"} <= set(lookup.part_names("generator"))
        assert make("loss", "hinge")
        with pytest.raises(StylekitError, match="no generator 'weed'"):
            make("generator", "weed")
    (warning,) = caught
    assert issubclass(warning.category, StylekitWarning)
    assert "plugin 'weed' (weeds 1.0)" in str(warning.message)
    assert reason in str(warning.message)
    assert "\n" not in str(warning.message)


def test_broken_plugin_says_so_when_it_is_asked_for_its_state(install: Install) -> None:
    install("weeds", "weed", "raise ValueError('out of order')")
    told = lookup.loaded_state(only("weed"))
    assert told == ("broken", "plugin 'weed' (weeds 1.0) could not be imported: ValueError: out of order")


def test_broken_plugin_that_is_asked_for_by_name_raises_what_is_wrong(install: Install) -> None:
    install("weeds", "weed", "raise ValueError('out of order')")
    with pytest.raises(
        StylekitError, match=r"plugin 'weed' \(weeds 1\.0\) could not be imported: ValueError: out of order"
    ):
        loading.load_hooks(lookup.find_plugin("weed"))


def test_plugin_may_state_the_contracts_version(install: Install) -> None:
    install("tulips", "tulip", f"STYLEKIT_API = {hookspecs.API}\n{offering('flower')}")
    make("generator", "flower")


def test_every_hook_of_the_contract_may_be_implemented(install: Install) -> None:
    hooks = [(name, hook) for name, hook in vars(hookspecs).items() if name.startswith("stylekit_")]
    assert len(hooks) == 12
    source = "from stylekit import hookimpl\n"
    for name, hook in hooks:
        taken = ", ".join(hook.__code__.co_varnames[: hook.__code__.co_argcount])
        given = "{'cyclegan': {'all': {}}}" if name == "stylekit_presets" else f"{{'{name}': int}}"
        source += f"@hookimpl\ndef {name}({taken}):\n    return {given}\n"
    install("all", "everything", source)
    for kind, name in lookup.KINDS.items():
        assert list(lookup.parts_of_kind(only("everything"), kind)) == [name]


def test_plugin_without_parts_follows_runs(install: Install) -> None:
    install(
        "diary", "diary", "from stylekit import hookimpl\n@hookimpl\ndef stylekit_run_finished(run, step):\n    pass\n"
    )
    assert lookup.loaded_state(only("diary")) == ("loads", "follows runs")


def test_package_may_name_a_module_once_for_each_part_or_an_object_in_it(install: Install, tmp_path: Path) -> None:
    install("tulips", "tulip", offering("garden"))
    told = tmp_path / "site" / "tulips-1.0.dist-info" / "entry_points.txt"
    told.write_text("[stylekit]\ntulip = sample_tulips\nbulb = sample_tulips [extra]\n")
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


def test_folder_that_hides_a_package_is_told(install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install("tulips", "tulip", offering("garden"))
    (tmp_path / "site" / "sample_tulips.py").unlink()
    (tmp_path / "site" / "sample_tulips").mkdir()
    importlib.invalidate_caches()
    word, told = lookup.loaded_state(only("tulip"))
    assert word == "broken"
    assert f"Python finds only the folder {tmp_path}/site/sample_tulips by the name sample_tulips" in told
    every = lookup.all_plugins()
    assert plugin_status(only("tulip"), True, [plugin for plugin, _ in every])[0] == "broken"


def test_part_that_is_never_asked_for_is_told(install: Install) -> None:
    install("tulips", "tulip", offering("resnet"))
    install("roses", "rose", offering("bush"))
    install("thorns", "thorn", offering("bush"))
    assert _taken(only("tulip")) == [f"the generator 'resnet' is also that of stylekit {stylekit.__version__}"]
    assert _taken(only("rose")) == ["the generator 'bush' is also that of thorns 1.0"]
    assert _taken(only("resnet")) == []


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            offering("x").replace("stylekit_generators", "stylekit_generator"),
            "has a hook stylekit_generator, which the co",
        ),
        (
            offering("x").replace("generators()", "generators(extra)"),
            "has a hook stylekit_generators that takes 'extra'",
        ),
        (offering("x").replace("@hookimpl", ""), "must put @hookimpl before its function stylekit_generators."),
        ("STYLEKIT_API = '1'", "states STYLEKIT_API = '1', which must be the number 1."),
    ],
)
def test_what_does_not_fit_the_contract_is_told_in_words(install: Install, source: str, reason: str) -> None:
    install("weeds", "weed", source)
    word, told = lookup.loaded_state(only("weed"))
    assert (word, reason in told) == ("broken", True), told


def test_name_of_another_kind_or_of_a_hidden_or_broken_plugin_is_explained(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("tulips", "tulip", offering("tulip"))
    with pytest.raises(
        StylekitError, match=r"no method 'tulip'\. The plugin of that name offers: generator tulip\. There"
    ):
        lookup.find_part("method", "tulip")
    install("weeds", "weed", "1 / 0")
    with (
        pytest.warns(StylekitWarning),
        pytest.raises(
            StylekitError, match=r"no method 'weed'\. The plugin 'weed' \(weeds 1\.0\) could not be imported"
        ),
    ):
        lookup.find_part("method", "weed")
    monkeypatch.setenv("STYLEKIT_PLUGINS", "")
    with pytest.raises(StylekitError, match=r"STYLEKIT_PLUGINS leaves out the plugin of that name, of tulips 1\.0\."):
        lookup.find_part("generator", "tulip")


def test_unknown_plugin_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(
        StylekitError, match=r"There is no plugin 'cyclgan'\. Did you mean 'cyclegan'\? There are: adain, "
    ):
        lookup.find_plugin("cyclgan")


def write(path: Path, source: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    return str(path)


def test_file_is_a_plugin(tmp_path: Path) -> None:
    name, factory = lookup.find_method(write(tmp_path / "my_style.py", METHOD))
    assert name == "mine"
    assert float(factory().stylize(torch.zeros(()))) == 1


def test_parts_of_a_file_are_known_by_name_from_then_on(tmp_path: Path) -> None:
    lookup.find_method(write(tmp_path / "my_style.py", METHOD + offering("flower")))
    assert isinstance(make("generator", "flower"), torch.nn.Identity)
    assert make("method", "mine")
    assert lookup.find_plugin("my_style").origin == str(tmp_path / "my_style.py")


def test_file_is_imported_once(tmp_path: Path) -> None:
    path = write(tmp_path / "my_style.py", METHOD)
    first, second = lookup.find_method(path)[1], lookup.find_method(path)[1]
    assert first is second


def test_two_files_of_one_name_are_not_taken_for_each_other(tmp_path: Path) -> None:
    one = write(tmp_path / "a/style.py", METHOD)
    other = write(tmp_path / "b/style.py", METHOD.replace('"mine"', '"other"'))
    assert lookup.find_method(one)[0] == "mine"
    assert lookup.find_method(other)[0] == "other"


def test_imports_between_files_that_python_makes_work_in_a_file(tmp_path: Path) -> None:
    """Dataclasses and pickle look their module up by its name."""
    source = "import dataclasses\n@dataclasses.dataclass\nclass Options:\n    depth: 'int' = 3\n" + METHOD
    _, factory = lookup.find_method(write(tmp_path / "my_style.py", source))
    assert sys.modules[factory.__module__].Options().depth == 3


def test_file_that_was_edited_is_loaded_anew(tmp_path: Path) -> None:
    path = tmp_path / "my_style.py"
    for written, name in enumerate(("mine", "ours")):  # of one length, and within a second
        write(path, METHOD.replace('"mine"', f'"{name}"'))
        os.utime(path, ns=(10**18 + written, 10**18 + written))
        assert lookup.find_method(str(path))[0] == name


def test_missing_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StylekitError, match=r"^There is no file nowhere\.py\.$"):
        lookup.find_method("nowhere.py")
    Path("folder.py").mkdir()
    with pytest.raises(StylekitError, match=r"folder\.py is not a Python file"):
        lookup.find_method("folder.py")


def test_file_without_a_method_or_with_two_is_told(tmp_path: Path) -> None:
    none = write(tmp_path / "none.py", offering("flower"))
    with pytest.raises(StylekitError, match=r"none\.py offers no method; --plugin takes a file with one"):
        lookup.find_method(none)
    two = write(tmp_path / "two.py", METHOD.replace('{"mine": Mine}', '{"mine": Mine, "thine": Mine}'))
    with pytest.raises(StylekitError, match=r"two\.py offers 2 methods \(mine, thine\)"):
        lookup.find_method(two)


def test_broken_file_is_told_with_its_path(tmp_path: Path) -> None:
    path = write(tmp_path / "my_style.py", "import no_such_module_anywhere")
    with pytest.raises(StylekitError, match=r"my_style\.py\) could not be imported: ModuleNotFoundError"):
        lookup.find_method(path)


QUICK = {
    "import stylekit": ["-c", "import stylekit"],
    "plugins": ["-c", "from stylekit.registry import lookup; assert lookup.visible_plugins()"],
    "stylekit --help": ["-m", "stylekit.cli", "--help"],
    "stylekit plugins": ["-m", "stylekit.cli", "plugins"],
}


@pytest.mark.parametrize("command", QUICK.values(), ids=QUICK)
def test_torch_is_not_imported(command: list[str]) -> None:
    ran = subprocess.run([sys.executable, "-X", "importtime", *command], capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}
    assert "stylekit" in imported
    assert not {name for name in imported if name.split(".")[0] in ("torch", "numpy", "stylekit_plugins")}


@pytest.mark.parametrize("command", QUICK.values(), ids=QUICK)
def test_is_quick(command: list[str]) -> None:
    """In time of the processor, which does not depend on what else the machine does; the best of three."""

    def seconds() -> float:
        before = os.times()
        subprocess.run([sys.executable, *command], capture_output=True, check=True)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    assert min(seconds() for _ in range(3)) < 0.5


BUILT_IN = Path(next(iter(stylekit_plugins.__path__)))
SOURCES = sorted(BUILT_IN.rglob("*.py"))


def closed(source: Path) -> list[str]:
    """What a built-in plugin imports beyond torch, the standard library, its own package and stylekit's public names."""
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
def test_built_in_plugin_imports_only_what_is_open_to_any_plugin(source: Path) -> None:
    assert closed(source) == []


def test_closed_imports_are_seen(tmp_path: Path) -> None:
    source = tmp_path / "plugin.py"
    source.write_text(
        "import numpy\nimport torch.nn, math, stylekit\nfrom stylekit.method import Batch, _Function\n"
        "from stylekit_plugins.generators.resnet import ResNet\n"
    )
    assert closed(source) == ["stylekit.method._Function", "numpy", "stylekit_plugins.generators.resnet"]


def test_every_public_name_is_there() -> None:
    for name in stylekit.__all__:
        assert getattr(stylekit, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = stylekit.nothing


def test_every_built_in_plugin_is_installed_and_whole() -> None:
    for plugin in lookup.visible_plugins():
        if plugin.package == "stylekit":
            assert lookup.loaded_state(plugin)[0] == "loads", plugin.name
