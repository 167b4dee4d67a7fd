"""Bad input gets one paragraph that names the thing and says what to do, without a traceback, and exit code 2."""

from __future__ import annotations

import errno
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

from stylekit.inference.model import Model
from stylekit.weights.tensors import read_tensors
from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.cli.conftest import Paint, Program
    from tests.conftest import Install

GOLDEN = {
    "train --plugin cyclgan": (
        "There is no method 'cyclgan'. Did you mean 'cyclegan'? Available: adain, any-style, color-pca, colorize, colorstyle, "
        "content-gan, cut, cyclegan, enco, gan, gatys, microast, perceptual, pix2pix, restore, restore-gan, stargan, student, "
        "stylegan, vae-gan, wct."
    ),
    "train --plugin cyclegan --set cycel=3": (
        "The method 'cyclegan' has no option 'cycel'. Did you mean 'cycle'? Available: adversarial, augment, balance, "
        "channels, cycle, discriminator, ema, extra, generator, half_life, identity, lr, "
        "players, pool, regularizers, schedule, warmup."
    ),
    "train --config settings.yaml": (
        "There is no setting 'stepz'. Did you mean 'steps'? Available: accumulate, batch_size, checkpoint_activations, "
        "checkpoint_every, compile, content, copy_to, "
        "data, device, devices, eval_every, eval_metric, guard, init, keep, log, log_every, out, patience, plugin, precision, "
        "preset, resume, sample_every, seed, set, size, steps, style, workers."
    ),
    "train --plugin cyclegan --content nowhere --style nowhere": "There is no folder {folder}/nowhere.",
    "train --resume": "--resume needs --out, the folder of the run to resume.",
    "stylize photo.png --model nowhere -o out.png": (
        "There is no model nowhere. Give a run's folder, such as runs/NAME, a .safetensors file, or the name of a method "
        "that needs no training, such as gatys, or of a shipped model (stylekit-any, stylekit-restore-colorize, "
        "stylekit-restore-denoise, stylekit-restore-jpeg, stylekit-restore-x2, stylekit-restore-x4)."
    ),
    "stylize photo.png --model weights.safetensors -o out.png": (
        "weights.safetensors is not a stylekit model: its header names no method. Convert weights of other programs with "
        "`stylekit import`."
    ),
    "stylize photo.png --model color-pca -o out.png": (
        "The method 'color-pca' needs a style: --style IMAGE on the command line, or the second argument in Python."
    ),
    "stylize photo.png --model color-pca --style red.png -o blue.png": (
        "blue.png exists. Add --skip-existing to leave what exists, or --overwrite to replace it."
    ),
    "stylize photo.png --model color-pca --style red.png -o out --name {{nmae}}": (
        "--name '{{nmae}}' has an unknown field 'nmae'. Did you mean 'name'? Available: model, name, number, style."
    ),
    "stylize photo.png --model {model} --with diretcion=b-to-a -o out.png": (
        "The method 'cyclegan' has no option 'diretcion'. Did you mean 'direction'? Available: direction."
    ),
    "video nowhere.mp4 --style red.png -o out.mp4": "There is no clip nowhere.mp4.",
    "video 0 --style red.png -o out.mp4": "There is no clip 0. If it is the number of a camera, add --live.",
    "video photo.png --style red.png -o out.mp4": (
        "photo.png is one image, not a clip. Use `stylekit stylize` for it."
    ),
    "video photo.png --raw 640x360 --style red.png -o out.mp4": (
        "--raw is the size of frames on standard input, but the clip is photo.png. Give - instead."
    ),
    "video photo.png --style red.png -o out.mp4 --preview": (
        "--preview writes an image, and --out out.mp4 is none. Give one such as preview.png."
    ),
    "video photo.png --style red.png -o out.mp4 --live --resume": (
        "--resume is for clips that become files. A stream or a preview cannot be resumed."
    ),
    "stylize photo.png --model {model} --device cpu -o out.png": (
        "photo.png: 640x640 pixels need about 1.0 GiB with this model, but only 512 MiB are free on cpu. Make the "
        "image smaller by a factor of 1.4 per side."
    ),
}
"""The golden messages: whole paragraphs of the most common errors, word by word. All other tests assert facts."""


MEMORY = "stylize photo.png --model {model} --device cpu -o out.png"


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in GOLDEN if line != MEMORY])
def test_golden_messages(
    program: Program, place: Path, trained: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.chdir(place)
    Path("settings.yaml").write_text("plugin: cyclegan\nstepz: 3\n")
    model_file(Path("weights.safetensors"))
    assert program(*line.format(model=trained).split()).error == GOLDEN[line].format(folder=place)


def test_the_golden_message_about_memory(
    program: Program, paint: Paint, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Model, "_measure", lambda *given: 2**30 / 640**2)
    monkeypatch.setattr("stylekit.native.devices.free_memory", lambda device: 2**29)
    paint(Path("photo.png"), 640, 640)
    result = program(*MEMORY.format(model=trained).split())
    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines()[-1] == GOLDEN[MEMORY]


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        ("--plugin nowhere.py", ["nowhere.py"]),
        ("--set generator=resnt", ["generator 'resnt'", "did you mean 'resnet'", "nafnet, resnet, rrdb, srvgg, unet"]),
        ("--set generator.blokcs=3", ["generator 'resnet'", "'blokcs'", "did you mean 'blocks'"]),
        ("--set cycle=much", ["'cycle'", "method 'cyclegan'", "'much'", "number", 10.0]),
        ("--set pool=1.5", ["'pool'", "method 'cyclegan'", 1.5, "integer", 50]),
        ("--set generator.blocks=x", ["'blocks'", "generator 'resnet'", "'x'"]),
        ("--set generator.norm=layer", ["'norm'", "'layer'", "'instance', 'batch' or 'none'"]),
        ("--set lr.big=1", ["'lr.big'", "method 'cyclegan'", "'lr'"]),
        ("--set cycle", ["--set", "KEY=VALUE", "'cycle'"]),
        ("--set cycle=[1", ["'cycle'", "'[1'", "number"]),
        ("--set generator.width=[1", ["--set generator.width=[1", "YAML"]),
        ("--preset tny", ["method 'cyclegan'", "'tny'", "did you mean 'tiny'", "paper, tiny"]),
        ("--content {a}", ["'style'", "'cyclegan'", "--style DIR"]),
        ("--style {a}", ["--content DIR --style DIR"]),
        ("--content {a} --style {a} --data {a}", ["--content", "--style", "--data"]),
        ("--content {a} --data {{name: folders, data: .}}", ["--content", "--style", "--data"]),
        ("--style {a} --data scenes", ["--content", "--style", "--data"]),
        ("--data ./nowhere", ["/nowhere"]),
        ("--data nowhere", ["'nowhere'", "data set", "folder", "folders, ", "scenes, "]),
        ("--data scens", ["'scens'", "did you mean 'scenes'"]),
        ("--data . --out ../outside", ["trainA", "trainB", "A and B"]),
        ("--data {{name: folders, data: [", ["--data", "{name: folders, data: DIR}"]),
        (
            "--out ../outside --data {{name: folders, data: ., corp: 2}}",
            ["dataset 'folders'", "'corp'", "did you mean 'crop'"],
        ),
        ("--steps 0", ["'steps'", 0, "greater than"]),
        ("--log-every 0", ["'log_every'", 0, "greater than"]),
        ("--precision 16", ["'precision'", "'16'", "'32' or 'bf16'"]),
        ("--device gpu", ["'device'", "'gpu'", "'auto', 'cpu'"]),
        ("--log tensorbord", ["plugin 'tensorbord'", "did you mean 'tensorboard'"]),
        ("--config nowhere.yaml", ["nowhere.yaml", os.strerror(errno.ENOENT)]),
        ("--resume", ["no run", "run.json"]),
        ("--devices 2 --device mps", ["'mps'"]),
    ],
)
def test_wrong_settings(
    program: Program,
    tiny: Path,
    tmp_path: Path,
    folders: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: str,
    facts: list[object],
) -> None:
    monkeypatch.chdir(tmp_path)
    head, brace, data = arguments.format(a=folders / "a").partition("{")  # options of a data set are one argument
    line = [*head.split(), *([brace + data] if brace else [])]
    assert_mentions(program("train", "--config", tiny, *line).error, *facts)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("arguments", ["", "--steps 3"])
def test_nothing_to_train(program: Program, arguments: str) -> None:
    assert_mentions(program("train", *arguments.split()).error, "--plugin NAME", "`stylekit plugins`")


def test_a_method_without_its_option(program: Program) -> None:
    assert_mentions(program("train", "cyclegan", "--steps", 3).error, "'cyclegan'", "did you mean --plugin cyclegan")


@pytest.mark.parametrize(
    "arguments",
    [("train", "--steps", "many"), ("train", "--nonsense"), ("trian",), ("stylize",), ("sample",), ("show",)],
)
def test_a_command_line_that_cannot_be_parsed(program: Program, arguments: tuple[str, ...]) -> None:
    result = program(*arguments)
    assert result.code == 2
    assert "Usage: " in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        ("stepz: 3\n", ["'stepz'", "did you mean 'steps'"]),
        ("plugin: cyclegan\nsteps: many\n", ["'steps'", "'many'", "integer"]),
        ("plugin: cyclegan\nset: {generator: [a}\n", ["config.yaml", "YAML", "line 2", "column 20"]),
        ("plugin: \x00\n", ["config.yaml", "YAML"]),
        ("- cyclegan\n", ["config.yaml", "`plugin: cyclegan`"]),
        ("", ["config.yaml", "`plugin: cyclegan`"]),
        ("plugin: cyclegan\nset: [cycle=5]\n", ["config.yaml", "`set:`", "`cycle: 5`"]),
        ("plugin: cyclegan\nset:\n", ["config.yaml", "`set:`", "`cycle: 5`"]),
        ("plugin: cyclegan\nset: {generator: {blocks: 3}}\n", ["generator", "name", "'blocks': 3"]),
        ("plugin: cyclegan\nset: {3: 4}\n", ["'set'"]),
        ("plugin: cyclegan\ndata: {name: scens}\n", ["dataset 'scens'", "did you mean 'scenes'"]),
        ("plugin: cyclegan\ndata: 3\n", ["'data'"]),
        ("plugin: []\n", ["--plugin NAME"]),
    ],
)
def test_wrong_config_file(program: Program, tmp_path: Path, content: str, facts: list[object]) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(content)
    error = program("train", "--config", config, "--set", "cycle=5", "--out", tmp_path / "run").error
    assert_mentions(error, *facts)


def test_empty_folder(program: Program, tiny: Path, tmp_path: Path, folders: Path) -> None:
    (tmp_path / "empty").mkdir()
    error = program("train", "--config", tiny, "--content", tmp_path / "empty", "--style", folders / "b").error
    assert_mentions(error, tmp_path / "empty", ".png", f"stylekit data check {tmp_path}/empty")


def test_unreadable_images_only(program: Program, tiny: Path, tmp_path: Path, folders: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "text.png").write_text("text")
    error = program("train", "--config", tiny, "--content", tmp_path / "bad", "--style", folders / "b").error
    assert_mentions(error, tmp_path / "bad", "read", f"stylekit data check {tmp_path}/bad")


@pytest.mark.parametrize(
    ("extra", "facts"),
    [
        ("--size 4", ["--size 4", "generator_ab", "ResNet", 8]),
        ("--size 16 --set discriminator.layers=3", ["--size 16", "discriminator", "Patch", 24]),
    ],
)
def test_size_smaller_than_a_network_needs(
    program: Program, tiny: Path, folders: Path, extra: str, facts: list[object]
) -> None:
    data = ["--content", folders / "a", "--style", folders / "b"]
    assert_mentions(program("train", "--config", tiny, *data, *extra.split()).error, *facts)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_on_a_machine_without_it(
    program: Program, tiny: Path, trained: Path, folders: Path, tmp_path: Path
) -> None:
    assert_mentions(program("train", "--config", tiny, "--device", "cuda").error, "'cuda'", "--device cpu")
    line = ["stylize", folders / "a", "--model", trained, "-o", tmp_path / "out", "--device", "cuda"]
    assert_mentions(program(*line).error, "'cuda'", "--device cpu")
    assert_mentions(program(*line[:-1], "gpu").error, "device 'gpu'", "auto, cpu, cuda")


def test_a_run_is_not_overwritten(program: Program, tiny: Path, trained: Path) -> None:
    assert_mentions(program("train", "--config", tiny, "--out", trained).error, trained, "--resume", "--out")


def test_a_folder_that_cannot_be_created(program: Program, tiny: Path) -> None:
    assert_mentions(program("train", "--config", tiny, "--out", tiny).error, tiny, "is a file", "--out")
    inside = program("train", "--config", tiny, "--out", tiny / "run")
    assert_mentions(inside.error, tiny, os.strerror(errno.ENOTDIR))


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        ("--size 64", ["size was 32, now 64", "--out"]),
        ("--content {a} --style {a}", ["data of the run", "as many files", "--init"]),
        ("--content .", ["data of the run", "6 files then, ", "--init"]),
        ("--data scenes", ["data was", "'content': '{a}'", "'name': 'scenes'"]),
        ("--plugin adain", ["plugin was ['cyclegan'], now ['adain']"]),
        ("--plugin cyclgan", ["method 'cyclgan'", "did you mean 'cyclegan'"]),
        ("--set cycle=5", ["set was", "'cycle': 5"]),
        ("--steps 1", [1, "--steps"]),
        ("--steps 2 --device abacus", ["'device'", "'abacus'"]),
    ],
)
def test_resume_with_other_settings(
    program: Program, trained: Path, folders: Path, arguments: str, facts: list[object]
) -> None:
    sides = {side: folders / side for side in "ab"}
    error = program("train", "--resume", "--out", trained, *arguments.format(**sides).split()).error
    assert_mentions(error, *(fact.format(**sides) if isinstance(fact, str) else fact for fact in facts))


def test_resume_with_the_same_folders_is_no_change(
    program: Program, trained: Path, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folders)
    line = ["train", "--resume", "--out", trained, "--content", "a", "--style", "b"]
    assert_mentions(program(*line).error, 1, "--steps")  # there is nothing left to do, and no other complaint


@pytest.mark.parametrize(
    ("damage", "facts"),
    [
        (lambda run: (run / "run.json").write_text("{"), ["run.json"]),
        (
            lambda run: (run / "run.json").write_text('{"format": 3, "id": "0", "settings": {}}'),
            ["run.json", "sessions"],
        ),
        (
            lambda run: (run / "run.json").write_text(
                '{"format": 3, "id": "0", "settings": {"stp": 1}, "sessions": []}'
            ),
            ["'stp'", "did you mean 'steps'"],
        ),
        (
            lambda run: (run / "run.json").write_text('{"settings": {"plugin": "cyclegan"}, "sessions": []}'),
            ["format 1", "format 3", "--init {run} --out"],
        ),
        (lambda run: (run / "checkpoints/1/method.safetensors").write_bytes(b"12"), ["1/method.safetensors"]),
    ],
    ids=["no JSON", "no sessions", "unknown setting", "an old format", "truncated weights"],
)
def test_resume_of_a_damaged_or_old_run(
    program: Program, trained: Path, tmp_path: Path, damage: Callable[[Path], object], facts: list[str]
) -> None:
    run = tmp_path / "copy"
    shutil.copytree(trained, run)
    damage(run)
    error = program("train", "--resume", "--out", run, "--steps", 2).error
    assert_mentions(error, *(fact.format(run=run) for fact in facts))


def model_file(path: Path, **header: str) -> Path:
    save_file({"a": torch.ones(2)}, path, header)
    return path


FORMAT_1 = {"method": "cyclegan", "format": "1"}


@pytest.mark.parametrize(
    ("make", "facts"),
    [
        (lambda path, model: path.write_text("some notes, not a model"), ["safetensors"]),
        (lambda path, model: path.write_bytes(b""), ["safetensors"]),
        (lambda path, model: path.write_bytes(model.read_bytes()[:100]), ["truncated"]),
        (lambda path, model: path.write_bytes(model.read_bytes()[:-5]), ["truncated"]),
        (lambda path, model: model_file(path), ["method", "`stylekit import`"]),
        (lambda path, model: model_file(path, **FORMAT_1, arguments="{}"), ["'generator_ab.model.1.weight'"]),
        (lambda path, model: model_file(path, **FORMAT_1), ["damaged", "header", "arguments"]),
        (lambda path, model: model_file(path, **FORMAT_1, arguments="{"), ["damaged", "header", "arguments"]),
        (lambda path, model: model_file(path, **FORMAT_1, arguments="[1]"), ["damaged", "header", "arguments"]),
        (lambda path, model: model_file(path, **FORMAT_1, arguments='{"old": 1}'), ["method 'cyclegan'", "'old'"]),
        (lambda path, model: model_file(path, **FORMAT_1, arguments='{"generator": "x"}'), ["generator 'x'", "resnet"]),
        (lambda path, model: model_file(path, **{**FORMAT_1, "format": "9"}), ["format '9'", "'1'", "update stylekit"]),
        (
            lambda path, model: model_file(path, method="adaine", format="1", arguments="{}", origin="/here/other.py"),
            ["method 'adaine'", "/here/other.py", "--plugin FILE.py"],
        ),
        (
            lambda path, model: model_file(path, **FORMAT_1, arguments="{}", packages='{"tulips": "2.1"}'),
            ["lacks the tensor"],
        ),
        (
            lambda path, model: model_file(path, **FORMAT_1, arguments="{}", packages="1"),
            ["damaged", "header", "packages"],
        ),
        (lambda path, model: path.mkdir(), ["folder", "run", "checkpoint"]),
    ],
)
def test_a_file_that_is_not_a_model(
    program: Program,
    trained: Path,
    folders: Path,
    tmp_path: Path,
    make: Callable[[Path, Path], object],
    facts: list[object],
) -> None:
    path = tmp_path / "it.safetensors"
    make(path, trained / "model.safetensors")
    error = program("stylize", folders / "a", "--model", path, "-o", tmp_path / "out").error
    assert_mentions(error, path, *facts)


def test_model_with_a_tensor_of_another_shape(program: Program, trained: Path, folders: Path, tmp_path: Path) -> None:
    tensors, header = read_tensors(trained / "model.safetensors")
    name = "generator_ba.model.1.weight"
    path = tmp_path / "cut.safetensors"
    save_file({**tensors, name: tensors[name][:-1].clone()}, path, header)
    error = program("stylize", folders / "a", "--model", path, "-o", tmp_path / "out").error
    assert_mentions(error, repr(name), path, "(3, 3, 7, 7)", "(4, 3, 7, 7)")


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        ("nowhere -o out", ["nowhere"]),
        ("empty -o out", ["empty", ".png"]),
        ("{a} -o out.png", [3, "out.png", "folder"]),
        ("{a} -o notes.txt", ["notes.txt", "--out"]),
        ("{a} -o out --with direction=b-2-a", ["'direction'", "'b-2-a'", "'a-to-b' or 'b-to-a'"]),
        ("{a} -o out --with direction", ["--with", "KEY=VALUE", "'direction'"]),
        ("{a} -o out --with direction=[1", ["'direction'", "'[1'"]),
        ("{a} -o out --plugin nowhere.py", ["nowhere.py"]),
        ("{a} -o out --plugin notes.txt", ["notes.txt", ".py"]),
        ("{a}/0.png -o out.psd", ["out.psd", ".png"]),
        ("{a} -o out/it.JXL", ["out/it.JXL", ".jpg"]),
    ],
)
def test_wrong_arguments_of_stylize(
    program: Program,
    trained: Path,
    folders: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: str,
    facts: list[object],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("notes.txt").write_text("mine")
    error = program("stylize", "--model", trained, *arguments.format(a=folders / "a").split()).error
    assert_mentions(error, *facts)
    assert Path("notes.txt").read_text() == "mine"
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("line", "facts"),
    [
        ("import notes.txt --plugin cyclegan -o it.safetensors", ["notes.txt"]),
        ("import nowhere.pth --plugin cyclegan -o it.safetensors", ["nowhere.pth"]),
        ("import foreign.safetensors --plugin cyclegan -o it.safetensors", ["foreign.safetensors", "generator"]),
        ("import notes.txt --plugin cyclegan -o it.pth", [".safetensors", "it.pth"]),
        ("import notes.txt --plugin cyclgan -o it.safetensors", ["method 'cyclgan'", "did you mean 'cyclegan'"]),
        ("import foreign.safetensors --plugin cyclegan -o foreign.safetensors", ["foreign.safetensors", "overwritten"]),
        ("prune foreign.safetensors -o it.safetensors", ["foreign.safetensors", "`stylekit import`"]),
        ("prune nowhere -o it.safetensors", ["no model nowhere"]),
        ("prune color-pca -o it.safetensors", ["color-pca cannot be pruned", "narrowed(keep)"]),
        ("prune nowhere -o it.safetensors --keep 50", ["above 0 and at most 1", "not 50"]),
        ("prune foreign.safetensors -o foreign.safetensors --overwrite", ["foreign.safetensors", "not overwritten"]),
        ("show cyclgan", ["'cyclgan'", "did you mean 'cyclegan'"]),
        ("check cyclgan", ["'cyclgan'", "did you mean 'cyclegan'"]),
        ("check lsgn", ["'lsgn'", "did you mean 'lsgan'"]),
        ("check nowhere.py", ["nowhere.py"]),
        ("show nowhere.py", ["nowhere.py"]),
        ("show tensorboard", ["plugin 'tensorboard'", "parts"]),
        ("data check nowhere", ["nowhere"]),
    ],
)
def test_wrong_arguments_of_other_commands(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, facts: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text("some notes")
    model_file(Path("foreign.safetensors"))
    before = Path("foreign.safetensors").read_bytes()
    assert_mentions(program(*line.split()).error, *facts)
    assert not Path("it.safetensors").exists()
    assert Path("foreign.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    "line",
    [
        "style learn {a} -o mine.style --model color-pca",
        "style show {style} -o mine.png --model color-pca",
        "import {weights} --plugin cyclegan -o mine.safetensors",
        "prune {weights} -o mine.safetensors",
        "sample --model {weights} -o .",
        "sheet {a}/0.png --style {a} --model color-pca -o mine.png",
        "stylize {a}/0.png --style {a}/1.png --model color-pca -o mine.png",
    ],
)
def test_no_command_replaces_an_existing_file_without_overwrite(
    program: Program, place: Path, folders: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    mine = [Path(name) for name in ("mine.style", "mine.png", "mine.safetensors", "00000.png")]
    for path in mine:
        path.write_bytes(b"mine")
    weights = model_file(tmp_path / "weights.safetensors")
    words = line.format(a=folders / "a", style=place / "red.style", weights=weights).split()
    assert_mentions(program(*words).error, "exists", "--overwrite")
    assert [path.read_bytes() for path in mine] == [b"mine"] * 4


def test_two_packages_with_one_plugin(program: Program, tiny: Path, install: Install) -> None:
    source = "from stylekit import Method, hookimpl\n@hookimpl\ndef stylekit_methods():\n    return {'mine': Method}\n"
    for package in ("first", "second"):
        install(package, "mine", source)
    error = program("train", "--config", tiny, "--plugin", "mine").error
    assert_mentions(error, "'mine'", "first 1.0", "second 1.0", "uninstall", "STYLEKIT_PLUGINS")
    assert_mentions(program("check", "mine").error, "'mine'", "first 1.0", "second 1.0")


@pytest.mark.slow
def test_no_space(tiny: Path, environment: dict[str, str]) -> None:
    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    line = [sys.executable, "-m", "stylekit", "train", "--config", str(tiny), "--workers", "0"]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False, preexec_fn=small_disk)
    assert done.returncode == 2, done.stderr
    assert_mentions(done.stderr.splitlines()[-1], "Error: ", "no space left", tiny.parent / "run")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("place", [0, 1, 3])
def test_debug_anywhere_in_the_command_line_adds_the_traceback(program: Program, place: int) -> None:
    line = ["stylize", "nowhere", "--model", "nowhere", "-o", "out"]
    result = program(*line[:place], "--debug", *line[place:])
    assert result.code == 2
    assert result.err.startswith("Traceback (most recent call last)")
    assert_mentions(result.err.splitlines()[-1], "StylekitError: ", "nowhere")


LONG = "x" * 5000


@pytest.mark.parametrize(
    "line",
    [
        "stylize {long} -o out.png",
        "stylize {photo} --style {long} -o out.png",
        "stylize {photo} --model {long} -o out.png",
        "stylize {photo} --plugin {long}.py -o out.png",
        "stylize {photo} --style {photo} -o {long}",
        "sample --model {long} -o out",
        "show {long}.py",
        "check {long}.py",
        "data check {long}",
        "style learn {long} -o it.style",
        "style show {long}.style",
        "import {long} --plugin cyclegan -o it.safetensors",
        "new {long}",
        "train --plugin cyclegan --content {long} --style {photo}",
        "train --plugin cyclegan --preset tiny --out {long}",
        "train --config {long}",
    ],
)
def test_a_path_that_the_system_refuses_is_one_sentence(
    program: Program, paint: Paint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    photo = paint(tmp_path / "photo.png")
    error = program(*line.format(long=LONG, photo=photo).split()).error
    assert_mentions(error, os.strerror(errno.ENAMETOOLONG), "xxx")
    assert "--debug" not in error


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/secret/it"), ["/secret/it: Permission denied."]),
        (OSError(errno.EIO, "Input/output error", b"/disk"), ["/disk: Input/output error."]),
        (MemoryError(), ["not enough memory"]),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), ["not enough memory"]),
        (torch.OutOfMemoryError("CUDA out of memory"), ["not enough memory"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_the_machine_refuses_is_no_internal_error(
    program: Program, monkeypatch: pytest.MonkeyPatch, error: Exception, facts: list[str]
) -> None:
    def fail(*given: object) -> None:
        raise error

    monkeypatch.setattr("stylekit.registry.lookup.parts_named", fail)
    assert_mentions(program("show", "cyclegan").error, *facts)


def test_an_internal_error_names_the_line_and_the_code_is_1(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: object) -> None:
        raise ValueError("two\nlines")

    monkeypatch.setattr("stylekit.registry.lookup.parts_named", fail)
    result = program("show", "cyclegan")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert_mentions(result.err, "ValueError: two lines", "in line", __file__, "--debug")


def test_file_names_are_not_markup(program: Program, tmp_path: Path) -> None:
    assert "[red] sides[/red]" in program("data", "check", tmp_path / "[red] sides[/red]").error


@pytest.mark.parametrize(
    ("held", "direction", "missing", "other"),
    [
        ("generator_ab", "a-to-b", "generator_ba", "b-to-a"),
        ("generator_ba", "b-to-a", "generator_ab", "a-to-b"),
    ],
)
def test_a_model_of_one_direction_stylises_in_that_and_the_other_is_an_error(
    program: Program, trained: Path, folders: Path, tmp_path: Path, held: str, direction: str, missing: str, other: str
) -> None:
    tensors, header = read_tensors(trained / "model.safetensors")
    path = tmp_path / "half.safetensors"
    save_file({key: tensor for key, tensor in tensors.items() if key.startswith(f"{held}.")}, path, header)
    line = ["stylize", folders / "a" / "0.png", "--model", path, "--with"]
    result = program(*line, f"direction={other}", "-o", tmp_path / "other.png")
    assert result.code > 0
    assert "Traceback" not in result.err
    assert_mentions(result.err.splitlines()[-1], path, repr(missing))
    assert not (tmp_path / "other.png").exists()
    assert program(*line, f"direction={direction}", "-o", tmp_path / "out.png").code == 0


def test_the_package_is_the_program(environment: dict[str, str]) -> None:
    line = [sys.executable, "-m", "stylekit", "--version"]
    assert "stylekit " in subprocess.run(line, env=environment, capture_output=True, text=True, check=True).stdout


def test_the_exit_code_of_the_process_is_2(process: Program) -> None:
    line = ["stylize", "nowhere", "--model", "nowhere", "-o", "out"]
    assert_mentions(process(*line).error, "nowhere")
    result = process(*line, "--debug")
    assert (result.code, result.err.count("Traceback")) == (2, 1)


def test_a_closed_output_is_not_a_crash(environment: dict[str, str]) -> None:
    line = f"{sys.executable} -m stylekit plugins | head -n 1"
    done = subprocess.run(line, shell=True, env=environment, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert os.linesep in done.stdout


def test_a_method_that_needs_what_the_data_does_not_have(program: Program, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "deep.py").write_text("""
from stylekit import Method, hookimpl

class Deep(Method):
    batch_keys = ("content", "depth")

@hookimpl
def stylekit_methods():
    return {"deep": Deep}
""")
    tiny.write_text(f"plugin: {tmp_path}/deep.py\nsize: 32\nsteps: 1\nout: {tmp_path}/run\n")
    assert_mentions(program("train", "--config", tiny).error, "method 'deep'", "'depth'", "Scenes", "content, style")


@pytest.mark.parametrize(
    "line",
    [
        "stylize photo.png --style loop.style --model color-pca -o out.png",
        "stylize photo.png --style loop.png --model color-pca -o out.png",
        "stylize photo.png --style red.png --model loop.safetensors -o out.png",
        "stylize photo.png --style red.png --mask loop.png --model color-pca -o out.png",
        "import loop.safetensors --plugin cyclegan -o out.safetensors",
        "stylize photo.png --style red.png --model color-pca --plugin loop.py -o out.png",
    ],
)
def test_a_link_that_leads_to_itself(program: Program, place: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.chdir(place)
    for suffix in (".style", ".png", ".safetensors", ".py"):
        Path(f"loop{suffix}").symlink_to(f"loop{suffix}")
    assert_mentions(program(*line.split()).error, "loop.")


def test_a_look_that_a_style_file_lacks(program: Program, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    line = "stylize photo.png --style red.style#9 --model color-pca -o out.png"
    assert_mentions(program(*line.split()).error, "red.style#9", "look 9", 1)
