"""Every code block in the README and in docs/ is run, in order, in a folder with some pictures."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stylekit import images
from stylekit.runs import Run
from stylekit_plugins.scenes import Scenes

ROOT = Path(__file__).parents[1]
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
QUICKLY = ["--steps", "2", "--size", "48", "--batch-size", "1", "--workers", "0"]
"""The last of an option given twice counts, so these make a documented training short."""


def blocks(path: Path) -> list[tuple[str, str]]:
    return re.findall(r"^```(\w*)\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures by the names that the documents use, and weights of the paper's code."""
    import torch

    from stylekit_plugins.resnet import ResNet

    scenes = Scenes(size=64, split="test")
    for index in range(3):
        for place, key in (("photos", "content"), ("paintings", "style"), ("more_photos", "content")):
            (tmp_path / place).mkdir(exist_ok=True)
            images.write(tmp_path / place / f"{index}.png", scenes[index][key])
    images.write(tmp_path / "holiday.jpg", scenes[4]["content"])
    torch.save(ResNet(blocks=1, width=4).state_dict(), tmp_path / "latest_net_G_A.pth")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    return tmp_path


def run_console(line: str, folder: Path) -> None:
    words = shlex.split(line)
    if words[0] == "make":  # what it would do, without doing it
        subprocess.run(["make", "--dry-run", words[1]], cwd=ROOT, check=True, capture_output=True)
        return
    assert words[0] == "stylekit", f"the documents show a command that is not tested: {line}"
    if words[1] == "train":
        words += QUICKLY if "--resume" not in words else ["--steps", "3"]
        out = words[words.index("--out") + 1]
        if "--resume" in words and not (folder / out / "run.json").exists():
            pytest.fail(f"{line} resumes a run that the document did not start")
        if "--preset" not in words and "--resume" not in words and "generator" not in line and "--config" not in words:
            words += ["--set", "generator.blocks=1", "--set", "generator.width=4"]
    told = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert told.returncode == 0, f"{line}\n{told.stderr}"


def run_python(code: str, folder: Path) -> None:
    named = re.match(r"# (\w+\.py)\n", code)
    if named:
        (folder / named[1]).write_text(code)
    else:
        (folder / "block.py").write_text(
            "if __name__ == '__main__':\n" + "".join(f"    {line}\n" for line in code.splitlines())
        )
        told = subprocess.run([sys.executable, "block.py"], cwd=folder, capture_output=True, text=True, check=False)
        assert told.returncode == 0, f"{code}\n{told.stderr}"


@pytest.mark.slow
@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_code_block_runs(path: Path, folder: Path) -> None:
    for language, code in blocks(path):
        if language == "console":
            for line in code.strip().splitlines():
                run_console(line, folder)
        elif language == "python":
            run_python(code, folder)
        elif language == "yaml":
            named = re.match(r"# (\w+\.yaml)\n", code)
            assert named, f"a YAML block begins with its file's name: {code}"
            assert yaml.safe_load(code)
            (folder / named[1]).write_text(code)
        else:
            pytest.fail(f"{path.name} has a block of {language or 'no language'}, which no test runs")


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_is_there(path: Path) -> None:
    named = re.findall(r"`((?:stylekit|plugins|benchmarks|examples|tests|docs)/[\w./]*)`", path.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_tables_are_those_of_the_recorded_figures() -> None:
    told = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "report.py"), "--check"], capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr


@pytest.mark.slow
def test_the_demo_runs_and_scores(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    command = [sys.executable, str(ROOT / "examples" / "demo.py"), "--steps", "3", "--out", str(out)]
    told = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "A to B: photo to painting" in told.stdout
    assert len(list((out / "pictures").iterdir())) == 100
    assert (out / "held_out.png").exists()
    assert Run(out).metrics()[-1]["step"] == 3


def test_make_is_there_for_the_two_commands() -> None:
    assert shutil.which("make")
    for target in ("demo", "test"):
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)
