"""``stylekit train``: sources of settings, interruption, resuming, and several processes."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stylekit.registry import lookup
from stylekit.training.checkpoint import saved_steps
from stylekit.training.settings import Settings
from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.cli.conftest import Program
    from tests.conftest import Install


def settings_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "run.json").read_text())["settings"]


def arguments_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "run.json").read_text())["method"]["arguments"]


def test_a_run_prints_the_paths_of_its_sample_grids_and_its_model(program: Program, tiny: Path, tmp_path: Path) -> None:
    result = program("train", "--config", tiny)
    assert (result.code, result.out) == (0, "")
    sample, rate, model = result.err.splitlines()
    assert sample == f"step 1: {tmp_path}/run/samples/0000001.png"
    assert re.match(r"1 step, [\d.]+ images/s, [\d.]+% ", rate)
    assert model == f"model: {tmp_path}/run/model.safetensors"


def test_quiet_prints_nothing_and_json_prints_one_object(program: Program, tiny: Path, tmp_path: Path) -> None:
    assert program("train", "--config", tiny, "--quiet").err == ""
    result = program("train", "--resume", "--out", tmp_path / "run", "--steps", 3, "--quiet", "--json")
    assert (result.code, result.err, result.out.count("\n")) == (0, "", 1)
    facts = json.loads(result.out)
    assert list(facts)[:4] == ["run", "step", "ended", "model"]
    assert {key: facts[key] for key in ("run", "step", "ended", "model", "from", "processes")} == {
        "run": f"{tmp_path}/run",
        "step": 3,
        "ended": "complete",
        "model": f"{tmp_path}/run/model.safetensors",
        "from": 1,
        "processes": 1,
    }
    assert facts["seconds"] > 0


def test_the_command_line_takes_precedence_over_the_file_and_the_file_over_the_defaults(
    program: Program, tiny: Path, tmp_path: Path
) -> None:
    tiny.write_text(tiny.read_text() + "seed: 3\nbatch-size: 2\n")
    line = ["--seed", 4, "--set", "lr=1e-4", "--set", "generator.width=6", "--set", "discriminator=pixel"]
    assert program("train", "--config", tiny, *line).code == 0
    settings, arguments = settings_of(tmp_path / "run"), arguments_of(tmp_path / "run")
    assert (settings["seed"], settings["batch_size"], settings["keep"]) == (4, 2, 3)
    assert arguments["lr"] == 1e-4
    assert arguments["generator"] == {"name": "resnet", "blocks": 1, "width": 6}
    assert arguments["discriminator"] == "pixel"
    assert arguments["pool"] == 50


@pytest.mark.parametrize(
    "written",
    [
        "set: {generator: {name: unet, downs: 5, width: 4}, lr: 1e-4}",
        "set:\n  generator: unet\n  generator.downs: 5\n  generator.width: 4\n  lr: 0.0001",
        "set:\n  generator.width: 4\n  generator.downs: '5'\n  generator: unet\n  lr: '1e-4'",
    ],
)
def test_options_of_parts_in_a_file_are_nested_or_dotted(program: Program, tmp_path: Path, written: str) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"plugin: cyclegan\nsize: 32\nsteps: 1\nworkers: 0\n{written}\n  \n")
    line = ["--out", tmp_path / "run", "--set", "discriminator.layers=1", "--set", "discriminator.width=4"]
    assert program("train", "--config", config, *line).code == 0
    arguments = arguments_of(tmp_path / "run")
    assert {key: str(value) for key, value in arguments["generator"].items()} == {
        "name": "unet", "downs": "5", "width": "4",
    }  # fmt: skip
    assert arguments["lr"] == 1e-4
    assert arguments["discriminator"] == {"name": "patch", "layers": 1, "width": 4}


def test_set_changes_a_preset(program: Program, tmp_path: Path) -> None:
    line = ["--plugin", "cyclegan", "--preset", "tiny", "--size", 32, "--steps", 1, "--workers", 0]
    assert program("train", *line, "--set", "generator.width=4", "--out", tmp_path / "run").code == 0
    arguments = arguments_of(tmp_path / "run")
    assert arguments["generator"] == {"name": "unet", "downs": 5, "width": 4, "upsample": "resize"}
    assert arguments["ema"] == 0.995


@pytest.mark.slow
def test_without_out_each_run_gets_a_folder_of_its_own(
    program: Program, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.write_text(tiny.read_text().replace(f"out: {tmp_path}/run\n", ""))
    for _ in range(2):
        assert program("train", "--config", tiny).code == 0
    assert sorted(path.name for path in Path("runs").iterdir()) == ["cyclegan", "cyclegan-2"]


@pytest.mark.slow
def test_a_run_on_two_folders_resumes(program: Program, tiny: Path, tmp_path: Path, folders: Path) -> None:
    run = tmp_path / "run"
    assert program("train", "--config", tiny, "--content", folders / "a", "--style", folders / "b").code == 0
    result = program("train", "--resume", "--out", run, "--steps", 2)
    assert result.code == 0, result
    assert saved_steps(run / "checkpoints") == [1, 2]
    again = ["--config", tiny, "--content", folders / "a", "--style", folders / "b", "--resume", "--steps", 3]
    assert program("train", *again).code == 0
    assert saved_steps(run / "checkpoints") == [1, 2, 3]


def test_images_that_cannot_be_read_are_left_out_with_one_warning(
    program: Program, tiny: Path, tmp_path: Path, folders: Path
) -> None:
    shutil.copytree(folders / "a", tmp_path / "a")
    (tmp_path / "a" / "bad.png").write_text("text")
    (tmp_path / "a" / "worse.jpg").write_text("text")
    result = program("train", "--config", tiny, "--content", tmp_path / "a", "--style", folders / "b")
    assert result.code == 0
    (warning,) = (line for line in result.err.splitlines() if not line.startswith(("step ", "1 step,", "model: ")))
    assert_mentions(warning, "Warning: ", 2, tmp_path / "a" / "bad.png", tmp_path / "a" / "worse.jpg")


def test_a_run_on_one_folder_of_a_known_layout(program: Program, tiny: Path, tmp_path: Path, folders: Path) -> None:
    assert_mentions(program("train", "--config", tiny, "--data", folders).error, folders, "trainA", "trainB")
    data = tmp_path / "data"
    for side in ("A", "B"):
        (data / f"train{side}").parent.mkdir(exist_ok=True)
        (data / f"train{side}").symlink_to(folders / side.lower(), target_is_directory=True)
    assert program("train", "--config", tiny, "--data", data).code == 0


def test_a_method_in_a_file_trains_and_resumes(program: Program, tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text("""
import torch
from stylekit import Method, Player, hookimpl, turn

class Tint(Method):
    batch_keys = ("content",)

    def __init__(self, strength: float = 1.0):
        super().__init__()
        self.net = torch.nn.Conv2d(3, 3, 1)
        self.strength = strength

    def players(self):
        return {"net": Player(self.net)}

    @turn("net")
    def near(self, batch, made):
        return {"far": self.strength * (self.net(batch["content"]) - 0.5).square().mean()}

    def stylize(self, content, style=None):
        return self.net(content).clamp(0, 1)

@hookimpl
def stylekit_methods():
    return {"tint": Tint}
""")
    run = tmp_path / "run"
    line = ["--size", 32, "--steps", 1, "--workers", 0, "--set", "strength=2", "--out", run]
    assert program("train", "--plugin", plugin, *line).code == 0
    assert program("train", "--resume", "--out", run, "--plugin", plugin, "--steps", 2).code == 0
    assert saved_steps(run / "checkpoints") == [1, 2]
    assert arguments_of(run) == {"strength": 2.0}


@pytest.mark.slow
def test_an_interrupted_run_is_saved_and_prints_the_command_that_resumes_it(
    tiny: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    run = tmp_path / "a run, interrupted"
    line = ["train", "--config", tiny, "--out", run, "--steps", 100_000, "--workers", 2]
    with subprocess.Popen(
        [sys.executable, "-m", "stylekit", *map(str, line)],
        env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        assert process.stderr.readline().startswith("step 1: ")
        os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it: to the workers of the loader too
        sample, _, farewell = process.stderr.read().splitlines()
    assert process.returncode == 130
    (saved,) = saved_steps(run / "checkpoints")
    assert sample.startswith(f"step {saved}: ")
    assert farewell.startswith("interrupted")
    command = f"stylekit train --resume --out '{run}'"
    assert farewell.endswith(f": {command}")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        f"{command} --steps {saved + 2}",
        shell=True,
        env={**environment, "PATH": path},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert saved_steps(run / "checkpoints") == [saved, saved + 2]


@pytest.mark.slow
def test_a_run_that_a_scheduler_terminates_is_saved(tiny: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    line = ["train", "--config", tiny, "--steps", 100_000, "--workers", 1]
    with subprocess.Popen(
        [sys.executable, "-m", "stylekit", *map(str, line)],
        env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        assert process.stderr.readline().startswith("step 1: ")
        os.killpg(process.pid, signal.SIGTERM)
        output = process.stderr.read()
    assert process.returncode == 130, output
    assert_mentions(output.splitlines()[-1], "interrupted", f"stylekit train --resume --out {tmp_path}/run")
    (saved,) = saved_steps(tmp_path / "run" / "checkpoints")
    assert saved < 100_000


@pytest.mark.slow
def test_two_processes_print_what_one_prints(process: Program, tiny: Path, tmp_path: Path) -> None:
    line = ["--devices", 2, "--device", "cpu", "--steps", 2, "--batch-size", 2]
    result = process("train", "--config", tiny, *line)
    assert (result.code, result.out) == (0, ""), result
    assert [re.split(r"[ :]", text)[0] for text in result.err.splitlines()] == ["step", "step", "2", "model"]
    session = json.loads((tmp_path / "run" / "run.json").read_text())["sessions"][0]
    assert (session["processes"], session["to"], session["ended"]) == (2, 2, "complete")


@pytest.mark.long
def test_two_processes_warn_once_and_in_one_line(process: Program, tiny: Path, tmp_path: Path, folders: Path) -> None:
    shutil.copytree(folders / "a", tmp_path / "a")
    (tmp_path / "a" / "bad.png").write_text("text")
    line = ["--devices", 2, "--device", "cpu", "--batch-size", 2, "--content", tmp_path / "a", "--style", folders / "b"]
    result = process("train", "--config", tiny, *line)
    assert result.code == 0, result
    assert [re.split(r"[ :]", text)[0] for text in result.err.splitlines()] == ["Warning", "step", "1", "model"]


@pytest.mark.parametrize(
    "command",
    [
        *("train", "stylize", "sample", "import", "plugins", "show", "new", "check", "doctor", "style", "style learn"),
        *(
            "style show",
            "data",
            "data check",
            "data draw",
            "data pack",
            "runs",
            "kernels",
            "kernels build",
            "weights",
            "weights fetch",
            "",
        ),
    ],
)
def test_every_command_has_help(program: Program, command: str) -> None:
    result = program(*command.split(), "--help")
    assert (result.code, result.err) == (0, "")
    assert f"Usage: stylekit {command}".rstrip() in result.out
    assert "[/" not in result.out  # markup that was not rendered


def test_help_lists_every_setting_with_its_meaning_and_default(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.setenv("TERMINAL_WIDTH", "250")
    output = program("train", "--help").out
    for name, field in Settings.model_fields.items():
        (line,) = (line for line in output.splitlines() if re.match(rf"│ +--{name.replace('_', '-')} ", line))
        assert field.description is not None
        assert field.description in line
        if not field.is_required() and field.default:
            assert f"[default: {field.default}]" in line
    assert "--config" in output


def test_the_version(program: Program) -> None:
    import stylekit

    assert program("--version").out == f"stylekit {stylekit.__version__}\n"


SMALL = """
from stylekit import hookimpl

@hookimpl
def stylekit_presets():
    small = {"generator": {"name": "resnet", "blocks": 1, "width": 4}, "discriminator": "pixel", "cycle": CYCLE}
    return {"cyclegan": {"small": small}}
"""


@pytest.mark.slow
def test_a_run_with_a_preset_of_a_package_stores_the_package_and_resumes_with_that_version_only(
    program: Program, install: Install, tmp_path: Path
) -> None:
    install("tulips", "tulip", SMALL.replace("CYCLE", "5.0"), "1.0")
    run = tmp_path / "run"
    line = ["train", "--plugin", "cyclegan", "--preset", "small", "--size", "32", "--workers", "0", "--out", run]
    assert program(*line, "--steps", "1").code == 0
    assert json.loads((run / "run.json").read_text())["packages"] == {"tulips": "1.0"}

    (tmp_path / "site" / "sample_tulips.py").write_text(SMALL.replace("CYCLE", "500.0"))
    sys.modules.pop("sample_tulips")
    lookup._load.cache_clear()
    assert_mentions(program("train", "--resume", "--out", run, "--steps", "2").error, run, "cycle=5.0", 500.0)
    shutil.rmtree(next((tmp_path / "site").glob("tulips-*.dist-info")))
    importlib.invalidate_caches()
    error = program("train", "--resume", "--out", run, "--steps", "2").error
    assert_mentions(error, run, "installed", "pip install tulips==1.0")


def test_an_error_in_a_plugin_is_one_line_with_its_location(program: Program, tmp_path: Path) -> None:
    path = tmp_path / "faulty.py"
    path.write_text(
        "from torch import nn\nfrom stylekit import Method, hookimpl\n\nclass Faulty(Method):\n"
        "    def forward(self, batch):\n        return nn.Conv2d(4, 3, 1)(batch['content'])\n"
        "    def stylize(self, content, style=None):\n        return content\n\n"
        "@hookimpl\ndef stylekit_methods():\n    return {'faulty': Faulty}\n"
    )
    line = ["train", "--plugin", path, "--size", "32", "--steps", "1", "--workers", "0", "--out", tmp_path / "run"]
    result = program(*line)
    assert (result.code, result.out, result.err.count("\n")) == (1, "", 1)
    assert result.err.startswith("Error: RuntimeError: Given groups=1, weight of size [3, 4, 1, 1], expected input")
    assert_mentions(result.err, f"in line 6 of {path}", "--debug")
    assert "Traceback" in program(*line, "--debug").err
