"""Finding and loading plugins: names, quarrels over names, broken plugins, files, and what is imported when."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import stylekit
import stylekit_plugins
from stylekit import StylekitError, StylekitWarning, hookspecs, make, plugins

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
Install = Callable[..., None]


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing that was found before or is found here is remembered."""
    monkeypatch.setattr(plugins, "_files", {})
    modules = set(sys.modules)
    for cached in (plugins._load, plugins._report):
        cached.cache_clear()
    yield
    for cached in (plugins._load, plugins._report):
        cached.cache_clear()
    for name in set(sys.modules) - modules:
        if name.startswith(("sample_", "stylekit_file_")):
            del sys.modules[name]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a distribution with one plugin, as pip would leave it behind."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def install(package: str, plugin: str, source: str, version: str = "1.0") -> None:
        module = f"sample_{package.replace('-', '_')}"
        (site / f"{module}.py").write_text(source)
        told = site / f"{package.replace('-', '_')}-{version}.dist-info"
        told.mkdir()
        (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        (told / "entry_points.txt").write_text(f"[stylekit]\n{plugin} = {module}\n")
        importlib.invalidate_caches()

    return install


def offering(name: str) -> str:
    return GENERATOR.replace("NAME", name)


def only(name: str) -> plugins.Plugin:
    (plugin,) = [plugin for plugin in plugins.installed() if plugin.name == name]
    return plugin


def test_installed_plugins_are_listed_by_name_with_their_package() -> None:
    found = {plugin.name: plugin for plugin in plugins.installed()}
    assert {"cyclegan", "resnet", "unet", "patch", "spectral", "adversarial", "scenes"} <= set(found)
    assert found["cyclegan"].module == "stylekit_plugins.cyclegan"
    assert found["cyclegan"].origin == f"stylekit {stylekit.__version__}"
    assert list(found) == sorted(found)


def test_plugin_of_another_package_is_found_and_its_part_built(install: Install) -> None:
    install("tulips", "tulip", offering("garden"), "2.1")
    assert only("tulip").origin == "tulips 2.1"
    assert isinstance(make("generator", "garden"), torch.nn.Identity)
    assert "garden" in plugins.names("generator")
    assert plugins.state(only("tulip")) == "generator garden"


def test_no_plugin_is_imported_to_be_listed(install: Install) -> None:
    install("tulips", "tulip", "raise RuntimeError('imported')")
    assert only("tulip")
    assert plugins.find_plugin("tulip") == only("tulip")


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
        plugins.find_plugin("flower")


def test_part_that_two_plugins_offer_names_both_packages(install: Install) -> None:
    install("tulips", "tulip", offering("flower"))
    install("roses", "rose", offering("flower"))
    with pytest.raises(StylekitError, match=r"generator 'flower' is offered twice, by roses 1\.0 and tulips 1\.0"):
        make("generator", "flower")


def test_part_in_a_plugin_of_the_same_name_goes_before_others(install: Install) -> None:
    install("tulips", "flower", offering("flower"))
    install("roses", "rose", offering("flower").replace("Identity", "Flatten"))
    assert isinstance(make("generator", "flower"), torch.nn.Identity)


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
        ("STYLEKIT_API = 99", "written for version 99 of the plugin contract, and this stylekit has version 1"),
        (offering("x").replace("stylekit_generators", "stylekit_generator"), "stylekit_generator"),
        (offering("x").replace("generators()", "generators(extra)"), "extra"),
        (offering("x").replace("return", "import no_such_module_anywhere;"), "failed in stylekit_generators"),
        (offering("x").replace('{"x": nn.Identity}', "3"), "failed in stylekit_generators"),
    ],
    ids=["import", "syntax", "value", "contract", "unknown hook", "argument", "late import", "no mapping"],
)
def test_broken_plugin_is_one_warning_with_its_package_and_all_else_works(
    install: Install, source: str, reason: str
) -> None:
    install("weeds", "weed", source)
    install("tulips", "tulip", offering("flower"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert isinstance(make("generator", "flower"), torch.nn.Identity)
        assert {"flower", "resnet"} <= set(plugins.names("generator"))
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
    told = plugins.state(only("weed"))
    assert told == "broken: plugin 'weed' (weeds 1.0) could not be imported: ValueError: out of order"


def test_broken_plugin_that_is_asked_for_by_name_raises_what_is_wrong(install: Install) -> None:
    install("weeds", "weed", "raise ValueError('out of order')")
    with pytest.raises(
        StylekitError, match=r"plugin 'weed' \(weeds 1\.0\) could not be imported: ValueError: out of order"
    ):
        plugins.manager(plugins.find_plugin("weed"))


def test_plugin_may_state_the_contracts_version(install: Install) -> None:
    install("tulips", "tulip", f"STYLEKIT_API = {hookspecs.API}\n{offering('flower')}")
    make("generator", "flower")


def test_every_hook_of_the_contract_may_be_implemented(install: Install) -> None:
    hooks = [(name, hook) for name, hook in vars(hookspecs).items() if name.startswith("stylekit_")]
    assert len(hooks) == 11
    source = "from stylekit import hookimpl\n"
    for name, hook in hooks:
        taken = ", ".join(hook.__code__.co_varnames[: hook.__code__.co_argcount])
        source += f"@hookimpl\ndef {name}({taken}):\n    return {{'{name}': 1}}\n"
    install("all", "everything", source)
    for kind, name in plugins.KINDS.items():
        assert list(plugins.offers(only("everything"), kind)) == [name]


def test_plugin_without_parts_follows_runs(install: Install) -> None:
    install(
        "diary", "diary", "from stylekit import hookimpl\n@hookimpl\ndef stylekit_run_finished(run, step):\n    pass\n"
    )
    assert plugins.state(only("diary")) == "follows runs"


def test_unknown_plugin_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(
        StylekitError, match=r"There is no plugin 'cyclgan'\. Did you mean 'cyclegan'\? There are: adversarial"
    ):
        plugins.find_plugin("cyclgan")


def write(path: Path, source: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    return str(path)


def test_file_is_a_plugin(tmp_path: Path) -> None:
    name, factory = plugins.find_method(write(tmp_path / "my_style.py", METHOD))
    assert name == "mine"
    assert float(factory().stylize(torch.zeros(()))) == 1


def test_parts_of_a_file_are_known_by_name_from_then_on(tmp_path: Path) -> None:
    plugins.find_method(write(tmp_path / "my_style.py", METHOD + offering("flower")))
    assert isinstance(make("generator", "flower"), torch.nn.Identity)
    assert make("method", "mine")
    assert plugins.find_plugin("my_style").origin == str(tmp_path / "my_style.py")


def test_file_is_imported_once(tmp_path: Path) -> None:
    path = write(tmp_path / "my_style.py", METHOD)
    first, second = plugins.find_method(path)[1], plugins.find_method(path)[1]
    assert first is second


def test_two_files_of_one_name_are_not_taken_for_each_other(tmp_path: Path) -> None:
    one = write(tmp_path / "a/style.py", METHOD)
    other = write(tmp_path / "b/style.py", METHOD.replace('"mine"', '"other"'))
    assert plugins.find_method(one)[0] == "mine"
    assert plugins.find_method(other)[0] == "other"


def test_imports_between_files_that_python_makes_work_in_a_file(tmp_path: Path) -> None:
    """Dataclasses and pickle look their module up by its name."""
    source = "import dataclasses\n@dataclasses.dataclass\nclass Options:\n    depth: 'int' = 3\n" + METHOD
    _, factory = plugins.find_method(write(tmp_path / "my_style.py", source))
    assert sys.modules[factory.__module__].Options().depth == 3


def test_file_that_was_edited_is_loaded_anew(tmp_path: Path) -> None:
    path = tmp_path / "my_style.py"
    for written, name in enumerate(("mine", "ours")):  # of one length, and within a second
        write(path, METHOD.replace('"mine"', f'"{name}"'))
        os.utime(path, ns=(10**18 + written, 10**18 + written))
        assert plugins.find_method(str(path))[0] == name


def test_missing_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StylekitError, match=r"^There is no file nowhere\.py\.$"):
        plugins.find_method("nowhere.py")
    Path("folder.py").mkdir()
    with pytest.raises(StylekitError, match=r"folder\.py is not a Python file"):
        plugins.find_method("folder.py")


def test_file_without_a_method_or_with_two_is_told(tmp_path: Path) -> None:
    none = write(tmp_path / "none.py", offering("flower"))
    with pytest.raises(StylekitError, match=r"none\.py offers no method; --plugin takes a file with one"):
        plugins.find_method(none)
    two = write(tmp_path / "two.py", METHOD.replace('{"mine": Mine}', '{"mine": Mine, "thine": Mine}'))
    with pytest.raises(StylekitError, match=r"two\.py offers 2 methods \(mine, thine\)"):
        plugins.find_method(two)


def test_broken_file_is_told_with_its_path(tmp_path: Path) -> None:
    path = write(tmp_path / "my_style.py", "import no_such_module_anywhere")
    with (
        pytest.warns(StylekitWarning, match=r"my_style\.py\) could not be imported: ModuleNotFoundError"),
        pytest.raises(StylekitError, match=r"my_style\.py"),
    ):
        plugins.find_method(path)


QUICK = {
    "import stylekit": ["-c", "import stylekit"],
    "plugins": ["-c", "from stylekit import plugins; assert plugins.installed()"],
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
OPEN = {"method", "images", "layouts", "layers", "weights", "hookspecs", "errors"}
"""The modules of stylekit that the documentation names, besides what ``stylekit`` itself offers."""


def closed(source: Path) -> list[str]:
    """What a file imports beyond torch, the standard library, its own package and stylekit's public names."""
    wrong = []
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            for module in (alias.name for alias in node.names):
                home, *rest = module.split(".")
                known = home == "torch" or home in sys.stdlib_module_names or (rest and rest[0] in OPEN)
                wrong += [] if known or module == "stylekit" else [module]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            home, *rest = node.module.split(".")
            names = [alias.name for alias in node.names]
            if home == "stylekit" and rest:
                public = getattr(importlib.import_module(node.module), "__all__", names)
                wrong += [
                    f"{node.module}.{n}" for n in names if rest[0] not in OPEN or n.startswith("_") or n not in public
                ]
            elif home == "stylekit":
                wrong += [f"stylekit.{name}" for name in names if name not in stylekit.__all__ and name not in OPEN]
            elif home == "stylekit_plugins":
                own = source.parent != BUILT_IN and rest[:1] == [source.parent.name]
                wrong += [] if own else [node.module]
            elif home != "torch" and home not in sys.stdlib_module_names:
                wrong.append(node.module)
    return wrong


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.relative_to(BUILT_IN).as_posix())
def test_built_in_plugin_imports_only_what_is_open_to_any_plugin(source: Path) -> None:
    assert closed(source) == []


def test_closed_imports_are_seen(tmp_path: Path) -> None:
    source = tmp_path / "plugin.py"
    source.write_text(
        textwrap.dedent("""
            import numpy
            import stylekit.engine
            from stylekit import engine, make
            from stylekit.parts import make
            from stylekit.method import _Function
            from stylekit_plugins.resnet import ResNet
            import torch.nn, math, stylekit, stylekit.layers
            from stylekit.method import Batch
        """)
    )
    assert closed(source) == [
        "numpy",
        "stylekit.engine",
        "stylekit.engine",
        "stylekit.parts.make",
        "stylekit.method._Function",
        "stylekit_plugins.resnet",
    ]


def test_every_public_name_is_there() -> None:
    for name in stylekit.__all__:
        assert getattr(stylekit, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = stylekit.nothing


def test_every_built_in_plugin_is_installed_and_whole() -> None:
    for plugin in plugins.installed():
        if plugin.package == "stylekit":
            assert not plugins.state(plugin).startswith("broken"), plugin.name
