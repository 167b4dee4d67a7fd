"""Settings that name data sets, folders and files, and that a run finds them from any folder when it is resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

import stylekit
from stylekit import Method, StylekitError, images
from stylekit.registry import lookup
from stylekit.training.settings import Settings, read_config, read_data, validate_settings
from stylekit.training.setup import build_method, open_data, prepare_arguments, resolve
from stylekit.training.written import read_assignments
from tests.facts import raises

LIST = '''
from pathlib import Path
from stylekit import hookimpl, images

class Listed:
    """Images whose names are in a text file, and stamps.

    Args:
        names: text file
        stamps: folders of stamps
        label: not a path
        size: side of the images
        seed: not used
        split: not used
    """

    item_keys = ("content",)

    def __init__(self, names: Path, stamps: tuple[Path, ...] = (), label: str = "", size: int = 8, seed: int = 0,
                 split: str = "train"):
        self.files = [names.parent / line for line in names.read_text().split()]
        self.size, self.label = size, label

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        return {"content": images.resize(images.read(self.files[index]).image, (self.size, self.size))[0]}

@hookimpl
def stylekit_datasets():
    return {"listed": Listed}
'''
LINE = """
import torch
from torch import nn
from stylekit import Method, Player, hookimpl, turn

class Line(Method):
    batch_keys = ("content",)
    reads = "listed"

    def __init__(self):
        super().__init__()
        self.net = nn.Conv2d(3, 3, 1)

    def players(self):
        return {"net": Player(self.net, optimizer=torch.optim.SGD, lr=0.1)}

    @turn("net")
    def near(self, batch, made):
        return {"far": (self.net(batch["content"]) - 0.5).square().mean()}

    def stylize(self, content, style=None):
        return self.net(content).clamp(0, 1)

@hookimpl
def stylekit_methods():
    return {"line": Line}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: folders with the names of plugins and data sets, and a list of images."""
    folder = tmp_path / "work"
    for name in ("patch", "scenes", "tr", "home", "listed"):
        (folder / name).mkdir(parents=True)
    (folder / "list.py").write_text(LIST)
    (folder / "line.py").write_text(LINE)
    for number in range(2):
        image = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(number))
        images.write(folder / f"{number}.png", image)
    (folder / "names.txt").write_text("0.png 1.png")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder / "home"))
    return folder


def resolved(plugin: Any = "cyclegan", **given: Any) -> Settings:
    settings = validate_settings({"plugin": plugin, **given})
    return resolve(settings, lookup.find_method(settings.plugin)[1])


def data(given: Any, **more: Any) -> Any:
    return resolved(data=given, **more).data


def test_a_bare_name_is_a_data_set_before_it_is_a_folder(here: Path) -> None:
    assert data("scenes") == {"name": "scenes"}
    assert data("./scenes") == {"name": "folders", "data": str(here / "scenes")}
    assert data("tr") == {"name": "folders", "data": str(here / "tr")}
    assert data("patch") == {"name": "folders", "data": str(here / "patch")}  # the plugin has no data set
    assert data("nowhere/at/all") == {"name": "folders", "data": str(here / "nowhere/at/all")}
    assert data("~/c") == {"name": "folders", "data": str(here / "home/c")}
    with raises(StylekitError, "data set", "folder", "'resnet'", "scenes"):  # a part of another kind
        data("resnet")


def test_a_bare_name_is_a_data_set_of_a_plugin_file_before_it_is_a_folder(here: Path) -> None:
    assert data("listed") == {"name": "folders", "data": str(here / "listed")}
    assert data("listed", plugin=("cyclegan", "list.py")) == {"name": "listed"}
    assert data("./listed", plugin=("cyclegan", "list.py")) == {"name": "folders", "data": str(here / "listed")}


def test_a_data_set_without_a_name_is_the_one_that_the_method_reads(here: Path) -> None:
    class Reader(Method):
        reads: ClassVar[str] = "listed"

    lookup.add_file(here / "list.py")

    def read(**given: Any) -> Any:
        return resolve(validate_settings({"plugin": "reader", **given}), Reader).data

    assert read(data={"names": "names.txt"}) == {"name": "listed", "names": str(here / "names.txt")}
    assert read(data={"name": "folders", "data": "tr"}) == {"name": "folders", "data": str(here / "tr")}
    assert read(content="tr") == {"name": "listed", "content": str(here / "tr")}
    assert read() == {"name": "listed"}  # it has no stand-in
    assert data({"data": "tr", "crop": 1.5}) == {"name": "folders", "data": str(here / "tr"), "crop": 1.5}


def test_without_data_the_stand_in_is_used() -> None:
    assert resolved().data == {"name": "scenes"}


@pytest.mark.parametrize("given", ["folders", {"name": "folders"}])
def test_a_data_set_that_is_named_is_used_without_its_folders_too(given: Any) -> None:
    settings = resolved(data=given)
    assert settings.data == {"name": "folders"}
    with raises(StylekitError, "folders", "--content DIR", "--data DIR"):
        open_data(settings, "train")


def test_a_folder_that_is_named_like_a_data_set_of_folders_is_a_folder(here: Path) -> None:
    (here / "pairs").mkdir()
    assert data("pairs") == {"name": "folders", "data": str(here / "pairs")}
    assert data("scenes") == {"name": "scenes"}


def test_one_folder_has_one_name(here: Path) -> None:
    (here / "sub").mkdir()
    assert data("sub/../tr") == data("./tr")
    assert resolved(content="sub/../tr", style="tr").data == resolved(content="tr", style="sub/../tr").data
    assert validate_settings({"plugin": "sub/../mine.py"}).plugin == (str(here / "mine.py"),)


def test_options_of_a_data_set_reach_it(here: Path) -> None:
    for side in ("A", "B"):
        (here / "tr" / side).mkdir()
        images.write(here / "tr" / side / "0.png", torch.rand(1, 3, 40, 40))
    given = read_data("{name: folders, data: tr, crop: 1.5, flip: false}")
    settings = resolved(data=given, size=16)
    assert settings.data == {"name": "folders", "data": str(here / "tr"), "crop": 1.5, "flip": False}
    folders = open_data(settings, "train")
    assert (folders.crop.resized, folders.crop.flip) == (24, False)
    with raises(StylekitError, "dataset 'folders'", "'corp'", "did you mean 'crop'"):
        open_data(resolved(data={"data": "tr", "corp": 1.5}), "train")


def test_values_in_braces_are_no_yaml_of_another_age() -> None:
    assert read_data("{name: listed, label: on, names: 16:9, size: 8}") == {
        "name": "listed",
        "label": "on",
        "names": "16:9",
        "size": 8,
    }


def test_the_values_of_a_config_file_are_no_yaml_of_another_age(here: Path) -> None:
    (here / "run.yaml").write_text("resume: no\nset:\n  norm: on\n  lr: 1e-4\n  ratio: 16:9\n  word: '7e2'\n")
    values = read_config(here / "run.yaml")
    assert values["set"] == {"norm": "on", "lr": 1e-4, "ratio": "16:9", "word": "7e2"}
    assert validate_settings({"plugin": "x", **values}).resume is False


def test_paths_among_the_options_of_any_data_set_are_absolute(here: Path) -> None:
    (here / "label").touch()
    given = {"name": "listed", "names": "names.txt", "stamps": ["tr", "~/stamps", "patch"], "label": "label"}
    assert data(given, plugin=("cyclegan", "list.py")) == {
        "name": "listed",
        "names": str(here / "names.txt"),
        "stamps": [str(here / "tr"), "~/stamps", str(here / "patch")],  # the second one does not exist
        "label": "label",
    }
    pair = {"name": "folders", "content": "tr", "style": Path("~/b"), "data": None}
    assert data(pair) == {**pair, "content": str(here / "tr"), "style": str(here / "home/b")}


@pytest.mark.parametrize(
    "given",
    [
        {"content": "tr", "style": "tr", "data": "scenes"},
        {"content": "tr", "data": "tr"},
        {"style": "tr", "data": {"name": "folders", "data": "tr"}},
        {"content": "tr", "data": {"content": "patch"}},
    ],
)
def test_content_and_style_contradict_data(given: dict[str, Any]) -> None:
    with raises(StylekitError, "--content", "--style", "--data"):
        resolved(**given)


def test_content_and_style_are_options_of_the_data_set(here: Path) -> None:
    both = {"content": str(here / "tr"), "style": str(here / "patch")}
    settings = resolved(content="tr", style="patch")
    assert settings.data == {"name": "folders", **both}
    assert (settings.content, settings.style) == (None, None)
    assert resolved(content="tr", style="patch", data={"crop": 1.5}).data == {"name": "folders", "crop": 1.5, **both}


def test_resolved_settings_stay_as_they_are() -> None:
    once = resolved(content="tr", style="patch", set={"cycle": 5})
    assert resolve(validate_settings(once.as_json()), lookup.find_method(once.plugin)[1]) == once


@pytest.mark.slow
def test_a_run_stores_absolute_paths_and_resumes_from_another_folder(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {"size": 8, "workers": 0, "data": {"names": "names.txt", "stamps": ["tr"]}}
    run = stylekit.train(["line.py", "list.py"], out=Path("run"), steps=1, **given)
    settings = json.loads((here / "run" / "run.json").read_text())["settings"]
    assert settings["data"] == {"name": "listed", "names": str(here / "names.txt"), "stamps": [str(here / "tr")]}
    assert settings["plugin"] == [str(here / "line.py"), str(here / "list.py")]
    assert (settings["content"], settings["style"], settings["out"]) == (None, None, str(here / "run"))
    assert run == here / "run"
    monkeypatch.chdir(tmp_path)
    with raises(StylekitError, here / "line.py", "pass it again", f"--plugin {here}/line.py --plugin {here}/list.py"):
        stylekit.train(resume=True, out=run, steps=2)
    stylekit.train([str(here / "line.py"), str(here / "list.py")], resume=True, out=run, steps=2)
    stylekit.train(["work/line.py", "work/list.py"], resume=True, out=run, steps=3)
    monkeypatch.chdir(here)
    plugins = ["line.py", "list.py"]
    stylekit.train(plugins, resume=True, out="run", steps=4, data=given["data"])  # given again, the paths are the same
    with raises(StylekitError, "data was", "names.txt", "other.txt"):
        stylekit.train(plugins, resume=True, out="run", steps=5, data={**given["data"], "names": "other.txt"})


def test_folders_and_files_are_absolute_and_the_home_folder_is_known(here: Path) -> None:
    given = {"plugin": "~/mine.py", "content": "~/a", "style": "b", "out": "~/run", "log": ("tensorboard", "log.py")}
    settings = validate_settings(given)
    assert settings.plugin == (str(here / "home/mine.py"),)
    assert (settings.content, settings.style, settings.out) == (here / "home/a", here / "b", here / "home/run")
    assert settings.log == ("tensorboard", str(here / "log.py"))
    assert validate_settings(settings.as_json()) == settings


def test_methods_in_files_are_named_with_absolute_paths(here: Path) -> None:
    given = ("cyclegan", "mine.py:tint", "~/more.py")
    assert validate_settings({"plugin": given}).plugin == (
        "cyclegan", f"{here}/mine.py:tint", f"{here}/home/more.py",
    )  # fmt: skip
    assert validate_settings({"plugin": "tint:1"}).plugin == ("tint:1",)  # not a file


def test_files_among_the_methods_arguments_are_absolute(here: Path) -> None:
    for name in ("night.jpg", "vgg.pth", "resnet"):
        (here / name).touch()
    given = {"styles": ["night.jpg", "~/day.jpg"], "encoder": {"name": "vgg16", "weights": Path("vgg.pth")}, "lr": 0.5}
    settings = resolved("perceptual", set={**given, "generator": "resnet", "generator.blocks": 1})
    assert settings.set == {
        "styles": [str(here / "night.jpg"), "~/day.jpg"],  # the second one does not exist
        "encoder": {"name": "vgg16", "weights": str(here / "vgg.pth")},
        "lr": 0.5,
        "generator": "resnet",
        "generator.blocks": 1,
    }
    assert resolved("perceptual", set={"encoder.weights": "vgg.pth"}).set == {"encoder.weights": str(here / "vgg.pth")}


def test_options_of_prepare_are_set_too(here: Path) -> None:
    (here / "taught.py").write_text(
        "from pathlib import Path\nfrom stylekit import Method, hookimpl\n\nclass Taught(Method):\n"
        "    def __init__(self, width: int = 1):\n        super().__init__()\n\n"
        "    def prepare(self, teacher: Path | None = None, rate: float = 0.5):\n        pass\n\n"
        "@hookimpl\ndef stylekit_methods():\n    return {'taught': Taught}\n"
    )
    settings = resolved("taught.py", set={"teacher": "names.txt", "rate": "2", "width": 3})
    assert settings.set == {"teacher": str(here / "names.txt"), "rate": "2", "width": 3}
    name, method, prepare = build_method(settings)
    assert (name, method.arguments) == ("taught", {"width": 3})
    assert prepare == {"teacher": here / "names.txt", "rate": 2.0}
    assert list(prepare_arguments(type(method))) == ["teacher", "rate"]
    with raises(StylekitError, "method 'taught'", "'rat'", "did you mean 'rate'", "teacher", "width"):
        build_method(resolved("taught.py", set={"rat": 1}))
    with raises(StylekitError, "method 'taught'", "'rate'", "'fast'", "number"):
        build_method(resolved("taught.py", set={"rate": "fast"}))


WORDY = """
from pathlib import Path
from typing import Literal
import torch
from torch import nn
from stylekit import Method, Player, hookimpl, turn

class Wordy(Method):
    batch_keys = ("content",)

    def __init__(self, word: str = "x", norm: Literal["on", "off"] = "off", count: int | None = 3):
        super().__init__()
        self.net = nn.Conv2d(3, 3, 1)

    def prepare(self, teacher: Path | None = None, rate: float = 1.0):
        self.taught = (teacher, rate)

    def players(self):
        return {"net": Player(self.net, optimizer=torch.optim.SGD, lr=0.1)}

    @turn("net")
    def near(self, batch, made):
        return {"far": (self.net(batch["content"]) - 0.5).square().mean()}

    def stylize(self, content, style=None):
        return self.net(content).clamp(0, 1)

@hookimpl
def stylekit_methods():
    return {"wordy": Wordy}
"""


def test_a_run_stores_what_a_written_option_means_for_its_type(here: Path) -> None:
    (here / "wordy.py").write_text(WORDY)
    (here / "2024").mkdir()
    given = read_assignments(["word=7e2", "norm=on", "count=none", "teacher=2024", "rate=1e-3"])
    stored = {"word": "7e2", "norm": "on", "count": None, "teacher": str(here / "2024"), "rate": 1e-3}
    data = {"name": "textures", "length": 2}
    run = stylekit.train("wordy.py", out="run", steps=1, size=32, workers=0, data=data, set=given)
    settings = json.loads((run / "run.json").read_text())["settings"]
    assert settings["set"] == stored
    stylekit.train("wordy.py", resume=True, out="run", steps=2)
    stylekit.train("wordy.py", resume=True, out="run", steps=3, set=given)  # given again, it is the same
    assert json.loads((run / "run.json").read_text())["method"]["arguments"] == {
        "word": "7e2",
        "norm": "on",
        "count": None,
    }


def test_options_of_parts_are_yaml() -> None:
    given = ["generator.blocks=3", "generator.norm=on", "loss.weight=1e-4", 'encoder.name="7e2"']
    assert read_assignments(given) == {
        "generator.blocks": 3,
        "generator.norm": "on",
        "loss.weight": 1e-4,
        "encoder.name": "7e2",
    }
    with raises(StylekitError, "--set generator.x=[1", "YAML"):
        read_assignments(["generator.x=[1"])


def test_a_path_that_the_system_refuses_is_stored_as_it_is() -> None:
    long = "a" * 5000
    assert resolved(data={"name": "folders", "data": long}).data == {"name": "folders", "data": long}
    assert validate_settings({"plugin": "x", "init": long}).init == long


def test_settings_that_json_lacks_are_stored_or_refused(tmp_path: Path) -> None:
    stored = validate_settings({"plugin": "cyclegan", "set": {"cycle": float("inf")}, "precision": 32}).as_json()
    assert (json.loads(json.dumps(stored))["set"], stored["precision"]) == ({"cycle": float("inf")}, "32")
    with raises(StylekitError, "cannot store", "settings", "stylekit.train("):
        stylekit.train("cyclegan", set={"generator": int}, out=tmp_path / "run", steps=1)
    assert not (tmp_path / "run").exists()


def test_a_config_file_that_never_ends_is_refused(here: Path) -> None:
    (here / "run.yaml").symlink_to("/dev/zero")
    with raises(StylekitError, here / "run.yaml", "KiB"):
        read_config(here / "run.yaml")


@pytest.mark.parametrize("given", [{"steps": True}, {"batch_size": True}, {"log_every": True}], ids=str)
def test_true_and_false_are_not_numbers(given: dict[str, Any]) -> None:
    """YAML reads ``yes`` as true, which would train one step."""
    with raises(StylekitError, repr(next(iter(given))), "number"):
        validate_settings({"plugin": "cyclegan", **given})
    assert validate_settings({"plugin": "cyclegan", "compile": 1}).compile is True
