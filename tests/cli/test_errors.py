"""What bad input gets: one paragraph that names the thing and says what to do, no trace, and exit code 2."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file

from stylekit.weights.tensors import read_tensors

if TYPE_CHECKING:
    from tests.cli.conftest import Program
    from tests.conftest import Install


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--plugin cyclgan", "There is no method 'cyclgan'. Did you mean 'cyclegan'? There are: adain, "),
        ("--plugin nowhere.py", "nowhere.py"),
        ("--set generator=resnt", "There is no generator 'resnt'. Did you mean 'resnet'? There are: resnet, unet."),
        ("--set cycel=3", "no option 'cycel'. Did you mean 'cycle'? There are: adversarial, cycle, discriminator,"),
        ("--set generator.blokcs=3", "The generator 'resnet' has no option 'blokcs'. Did you mean 'blocks'?"),
        ("--set cycle=much", "The option 'cycle' of the method 'cyclegan' cannot be 'much': Input should be a valid n"),
        ("--set pool=1.5", "The option 'pool' of the method 'cyclegan' cannot be 1.5: Input should be a valid integer"),
        ("--set generator.blocks=x", "The option 'blocks' of the generator 'resnet' cannot be 'x'"),
        ("--set generator.norm=layer", "cannot be 'layer': Input should be 'instance', 'batch' or 'none'"),
        ("--set lr.big=1", "'lr.big' of the method 'cyclegan' reaches into 'lr'"),
        ("--set cycle", "--set takes KEY=VALUE, not 'cycle'."),
        ("--set cycle=[1", "The value in --set cycle=[1 cannot be read."),
        ("--preset tny", "The method 'cyclegan' has no preset 'tny'. Did you mean 'tiny'? There are: paper, tiny."),
        ("--content nowhere --style .", "/nowhere."),
        ("--content .", "--content DIR --style DIR"),
        ("--style .", "--content DIR --style DIR"),
        ("--content . --style . --data .", "Give either --content and --style, or --data."),
        ("--data ./nowhere", "/nowhere."),
        ("--data .", "Name two of them trainA and trainB, or A and B"),
        ("--steps 0", "The setting 'steps' (steps of the whole run) cannot be 0: Input should be greater than"),
        ("--precision 16", "The setting 'precision' (float32, or bfloat16 where that is safe) cannot be '16'"),
        ("--device gpu", "The setting 'device' (where to compute) cannot be 'gpu': Input should be 'auto', 'cpu'"),
        ("--log tensorbord", "There is no plugin 'tensorbord'. Did you mean 'tensorboard'?"),
        ("--config nowhere.yaml", "The config file nowhere.yaml cannot be read: No such file or directory."),
        ("--resume", "There is no run in"),
        ("--devices 2 --device mps", "The device 'mps' was asked for, but"),
    ],
)
def test_wrong_settings(
    program: Program, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert told in program("train", "--config", tiny, *arguments.split()).error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("arguments", ["", "--steps 3"])
def test_nothing_to_train(program: Program, arguments: str) -> None:
    assert "Say what to train: --plugin NAME" in program("train", *arguments.split()).error


def test_a_method_without_its_option(program: Program) -> None:
    assert program("train", "cyclegan", "--steps", 3).error == (
        "'cyclegan' follows no option. Say what to train by --plugin cyclegan."
    )


def test_resume_without_a_folder(program: Program) -> None:
    assert "--resume needs --out, the folder of the run to go on with." in program("train", "--resume").error


@pytest.mark.parametrize(
    "arguments", [("train", "--steps", "many"), ("train", "--nonsense"), ("trian",), ("stylize",), ("show",)]
)
def test_a_line_that_cannot_be_parsed(program: Program, arguments: tuple[str, ...]) -> None:
    told = program(*arguments)
    assert told.code == 2
    assert "Usage: " in told.err
    assert "Traceback" not in told.err


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("plugin: cyclegan\nstepz: 3\n", "There is no setting 'stepz'. Did you mean 'steps'?"),
        ("stepz: 3\n", "There is no setting 'stepz'. Did you mean 'steps'?"),
        ("plugin: cyclegan\nsteps: many\n", "The setting 'steps' (steps of the whole run) cannot be 'many'"),
        ("plugin: cyclegan\nset: {generator: [a}\n", "config.yaml is no YAML in line 2, column 20: "),
        ("plugin: \x00\n", "config.yaml is no YAML: "),
        ("- cyclegan\n", "config.yaml must hold lines such as `plugin: cyclegan`."),
        ("", "config.yaml must hold lines such as"),
        ("plugin: cyclegan\nset: [cycle=5]\n", "config.yaml must hold lines such as `cycle: 5`."),
        ("plugin: cyclegan\nset:\n", "config.yaml must hold lines such as `cycle: 5`."),
        ("plugin: cyclegan\nset: {generator: {blocks: 3}}\n", "A generator with options needs its name"),
        ("plugin: cyclegan\nset: {3: 4}\n", "'set'"),
        ("plugin: cyclegan\ndata: {name: scens}\n", "There is no dataset 'scens'. Did you mean 'scenes'?"),
        ("plugin: cyclegan\ndata: 3\n", "The setting 'data'"),
    ],
)
def test_wrong_config_file(program: Program, tmp_path: Path, content: str, told: str) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(content)
    assert told in program("train", "--config", config, "--set", "cycle=5", "--out", tmp_path / "run").error


def test_empty_folder(program: Program, tiny: Path, tmp_path: Path, folders: Path) -> None:
    (tmp_path / "empty").mkdir()
    told = program("train", "--config", tiny, "--content", tmp_path / "empty", "--style", folders / "b").error
    assert f"No pictures in {tmp_path}/empty" in told
    assert "stylekit data check" in told


def test_unreadable_pictures_only(program: Program, tiny: Path, tmp_path: Path, folders: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "text.png").write_text("text")
    told = program("train", "--config", tiny, "--content", tmp_path / "bad", "--style", folders / "b").error
    assert f"No pictures in {tmp_path}/bad can be read" in told


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ("--size 4", "--size 4 is too small for generator_ab (ResNet), which needs pictures of 8 pixels."),
        ("--size 16 --set discriminator.layers=3", "too small for discriminator_a (Patch), which needs pictures of 24"),
    ],
)
def test_size_smaller_than_a_network_needs(program: Program, tiny: Path, folders: Path, extra: str, told: str) -> None:
    data = ["--content", folders / "a", "--style", folders / "b"]
    assert told in program("train", "--config", tiny, *data, *extra.split()).error


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
def test_cuda_where_there_is_none(program: Program, tiny: Path, trained: Path, folders: Path, tmp_path: Path) -> None:
    told = program("train", "--config", tiny, "--device", "cuda").error
    assert "The device 'cuda' was asked for, but" in told
    assert "Leave --device out, or say --device cpu." in told
    line = ["stylize", folders / "a", "--model", trained, "-o", tmp_path / "out", "--device", "cuda"]
    assert "The device 'cuda' was asked for" in program(*line).error
    assert "There is no device 'gpu'. " in program(*line[:-1], "gpu").error


def test_a_run_is_not_overwritten(program: Program, tiny: Path, trained: Path) -> None:
    told = program("train", "--config", tiny, "--out", trained).error
    assert told == f"There is a run in {trained} already. Go on with it by --resume, or give another folder with --out."


def test_a_folder_that_cannot_be_made(program: Program, tiny: Path) -> None:
    told = program("train", "--config", tiny, "--out", tiny).error
    assert told == f"{tiny} cannot be written: Not a directory."


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--size 64", "other settings: size was 32, now 64. A resumed run keeps its settings: leave these out"),
        ("--content .", "content was '{a}', now '"),
        ("--plugin cyclgan", "plugin was 'cyclegan', now 'cyclgan'"),
        ("--set cycle=5", "set was {{"),
        ("--steps 1", "has made 1 steps already. Ask for more in all with --steps."),
        ("--steps 2 --device abacus", "The setting 'device'"),
    ],
)
def test_resume_with_other_settings(program: Program, trained: Path, folders: Path, arguments: str, told: str) -> None:
    line = program("train", "--resume", "--out", trained, *arguments.split())
    assert told.format(a=folders / "a") in line.error


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda run: (run / "run.json").write_text("{"), "run.json is damaged"),
        (lambda run: (run / "run.json").write_text('{"settings": {"plugin": "cyclegan"}}'), "run.json is damaged"),
        (lambda run: (run / "run.json").write_text('{"settings": {"stp": 1}, "sessions": []}'), "no setting 'stp'"),
        (
            lambda run: (run / "checkpoints/1/method.safetensors").write_bytes(b"12"),
            "1/method.safetensors is truncated",
        ),
    ],
)
def test_resume_of_a_damaged_run(
    program: Program, trained: Path, tmp_path: Path, damage: Callable[[Path], object], told: str
) -> None:
    run = tmp_path / "copy"
    shutil.copytree(trained, run)
    damage(run)
    assert told in program("train", "--resume", "--out", run, "--steps", 2).error


def model_file(path: Path, **header: str) -> Path:
    save_file({"a": torch.ones(2)}, path, header)
    return path


FORMAT_1 = {"method": "cyclegan", "format": "1"}


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path, model: path.write_text("some notes, by no means a model"), "no safetensors file"),
        (lambda path, model: path.write_bytes(b""), "no safetensors file"),
        (lambda path, model: path.write_bytes(model.read_bytes()[:100]), "is truncated"),
        (lambda path, model: path.write_bytes(model.read_bytes()[:-5]), "is truncated"),
        (lambda path, model: model_file(path), "names no method. Weights of other programs come in with `stylekit imp"),
        (
            lambda path, model: model_file(path, **FORMAT_1, arguments="{}"),
            "lacks the tensor 'generator_ab.model.1.wei",
        ),
        (lambda path, model: model_file(path, **FORMAT_1), "is damaged: its header has no arguments"),
        (lambda path, model: model_file(path, **FORMAT_1, arguments="{"), "is damaged: its header has no arguments"),
        (lambda path, model: model_file(path, **FORMAT_1, arguments="[1]"), "is damaged: its header has no arguments"),
        (lambda path, model: model_file(path, **FORMAT_1, arguments='{"old": 1}'), "has no option 'old'"),
        (lambda path, model: model_file(path, **FORMAT_1, arguments='{"generator": "x"}'), "There is no generator 'x'"),
        (lambda path, model: model_file(path, **{**FORMAT_1, "format": "9"}), "format '9'; this stylekit reads '1'"),
        (
            lambda path, model: model_file(path, method="adaine", format="1", arguments="{}", origin="/here/other.py"),
            "belongs to the method 'adaine' of /here/other.py, which is not here. Install the package that offers it, name its",
        ),
        (
            lambda path, model: model_file(path, **FORMAT_1, arguments="{}", packages='{"tulips": "2.1"}'),
            "was made with plugins that are not installed here. Type: pip install tulips==2.1",
        ),
        (
            lambda path, model: model_file(path, **FORMAT_1, arguments="{}", packages="1"),
            "is damaged: its header has no arguments",
        ),
        (lambda path, model: path.mkdir(), "holds no model: neither a finished run nor a checkpoint"),
        (lambda path, model: None, "There is no model"),
    ],
)
def test_model_of_another_kind(
    program: Program,
    trained: Path,
    folders: Path,
    tmp_path: Path,
    make: Callable[[Path, Path], object],
    told: str,
) -> None:
    path = tmp_path / "it.safetensors"
    make(path, trained / "model.safetensors")
    error = program("stylize", folders / "a", "--model", path, "-o", tmp_path / "out").error
    assert told in error
    assert str(path) in error


def test_model_with_a_tensor_of_another_shape(program: Program, trained: Path, folders: Path, tmp_path: Path) -> None:
    tensors, header = read_tensors(trained / "model.safetensors")
    name = "generator_ba.model.1.weight"
    save_file({**tensors, name: tensors[name][:-1].clone()}, tmp_path / "cut.safetensors", header)
    told = program("stylize", folders / "a", "--model", tmp_path / "cut.safetensors", "-o", tmp_path / "out").error
    assert f"The tensor {name!r} in {tmp_path}/cut.safetensors is (3, 3, 7, 7)" in told
    assert "needs (4, 3, 7, 7)" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("nowhere -o out", "There is no picture or folder nowhere."),
        ("empty -o out", "There are no pictures in empty"),
        ("{a} -o out.png", "3 pictures cannot all go to the file out.png. Give a folder."),
        ("{a} -o notes.txt", "notes.txt is a file, and neither a folder nor a picture to replace."),
        ("{a} -o out --direction b-2-a", "has no direction 'b-2-a'. Did you mean 'b-to-a'? There are: a-to-b, b-to-a."),
        ("{a} -o out --plugin nowhere.py", "There is no file nowhere.py."),
        ("{a}/0.png -o out.gif", "out.gif has the name of a picture in a format that is not written here."),
        ("{a} -o out/it.HEIC", "Give a folder, or a file that ends in .jpg,"),
    ],
)
def test_wrong_lines_of_stylize(
    program: Program,
    trained: Path,
    folders: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: str,
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("notes.txt").write_text("mine")
    assert told in program("stylize", "--model", trained, *arguments.format(a=folders / "a").split()).error
    assert Path("notes.txt").read_text() == "mine"
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("import notes.txt --plugin cyclegan -o it.safetensors", "notes.txt was not read: it is no file of weights"),
        ("import nowhere.pth --plugin cyclegan -o it.safetensors", "There is no file nowhere.pth."),
        ("import foreign.safetensors --plugin cyclegan -o it.safetensors", "holds weights of a generator that no"),
        ("import notes.txt --plugin cyclegan -o it.pth", "A model file ends in .safetensors, and it.pth does not."),
        ("import notes.txt --plugin cyclgan -o it.safetensors", "There is no method 'cyclgan'. Did you mean"),
        ("import foreign.safetensors --plugin cyclegan -o foreign.safetensors", "is not overwritten"),
        ("show cyclgan", "There is no part 'cyclgan' of any kind. Did you mean 'cyclegan'?"),
        ("check cyclgan", "There is no plugin, no part and no package 'cyclgan'. Did you mean 'cyclegan'?"),
        ("check lsgn", "Did you mean 'lsgan'?"),
        ("check nowhere.py", "There is no file nowhere.py."),
        ("show nowhere.py", "There is no file nowhere.py."),
        ("show tensorboard", "The plugin 'tensorboard' offers no parts"),
        ("data check nowhere", "There is no folder nowhere."),
    ],
)
def test_wrong_lines_of_other_verbs(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text("some notes")
    model_file(Path("foreign.safetensors"))
    assert told in program(*line.split()).error
    assert not Path("it.safetensors").exists()


def test_two_packages_with_one_plugin(program: Program, tiny: Path, install: Install) -> None:
    source = "from stylekit import Method, hookimpl\n@hookimpl\ndef stylekit_methods():\n    return {'mine': Method}\n"
    for package in ("first", "second"):
        install(package, "mine", source)
    told_by_train = program("train", "--config", tiny, "--plugin", "mine").error
    assert "'mine' is offered twice, by first 1.0 and second 1.0. Uninstall one of them, or set" in told_by_train
    assert "offered twice, by first 1.0 and second 1.0" in program("check", "mine").error


def test_no_space(tiny: Path, environment: dict[str, str]) -> None:
    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    line = [sys.executable, "-m", "stylekit.cli", "train", "--config", str(tiny), "--workers", "0"]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False, preexec_fn=small_disk)
    assert done.returncode == 2, done.stderr
    assert "Error: There is no space left to write" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("place", [0, 1, 3])
def test_debug_anywhere_shows_the_trace_too(program: Program, place: int) -> None:
    line = ["stylize", "nowhere", "--model", "nowhere", "-o", "out"]
    told = program(*line[:place], "--debug", *line[place:])
    assert told.code == 2
    assert told.err.startswith("Traceback (most recent call last)")
    assert told.err.endswith("StylekitError: There is no picture or folder nowhere.\n")


def test_names_of_files_are_no_markup(program: Program, tmp_path: Path) -> None:
    assert "[red] sides[/red]" in program("data", "check", tmp_path / "[red] sides[/red]").error


def test_a_direction_without_weights_is_one_error(
    program: Program, trained: Path, folders: Path, tmp_path: Path
) -> None:
    tensors, header = read_tensors(trained / "model.safetensors")
    for there, direction in (("ba", "b-to-a"), ("ab", "a-to-b")):
        half = {key: tensor for key, tensor in tensors.items() if key.startswith(f"generator_{there}.")}
        path, out = tmp_path / f"{there}.safetensors", tmp_path / f"out-{there}"
        save_file(half, path, header)
        line = [folders / "a", "--model", path, "-o", out, "--direction"]
        assert program("stylize", *line, direction).code == 0
        missing = "generator_ab" if there == "ba" else "generator_ba"
        shutil.rmtree(out)
        other = "a-to-b" if there == "ba" else "b-to-a"
        assert f"{path} holds no weights for {missing!r}" in program("stylize", *line, other).error
        assert not out.exists()


def test_the_package_is_the_program(environment: dict[str, str]) -> None:
    line = [sys.executable, "-m", "stylekit", "--version"]
    assert "stylekit " in subprocess.run(line, env=environment, capture_output=True, text=True, check=True).stdout


def test_the_program_itself_ends_with_2(apart: Program) -> None:
    line = ["stylize", "nowhere", "--model", "nowhere", "-o", "out"]
    assert apart(*line).error == "There is no picture or folder nowhere."
    told = apart(*line, "--debug")
    assert (told.code, told.err.count("Traceback")) == (2, 1)


def test_a_closed_output_is_no_crash(environment: dict[str, str]) -> None:
    line = f"{sys.executable} -m stylekit.cli plugins | head -n 1"
    done = subprocess.run(line, shell=True, env=environment, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert os.linesep in done.stdout


def test_a_method_that_needs_what_the_data_does_not_give(program: Program, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "deep.py").write_text("""
from stylekit import Method, hookimpl

class Deep(Method):
    batch_keys = ("content", "depth")

@hookimpl
def stylekit_methods():
    return {"deep": Deep}
""")
    tiny.write_text(f"plugin: {tmp_path}/deep.py\nsize: 32\nsteps: 1\nout: {tmp_path}/run\n")
    told = program("train", "--config", tiny).error
    assert told == "Deep needs 'depth' in a batch, and the data set gives only content, style."
