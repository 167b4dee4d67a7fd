"""A reader who does what a document shows: types its commands, and writes its files.

Shared by the tests of the documents and by what measures the tutorial.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from tests.venvs import FreshEnvironment
from tests.warm import WarmProgram

ROOT = Path(__file__).parents[1]
QUICKLY = ["--steps", "2", "--size", "48", "--batch-size", "1", "--workers", "0"]
"""The last of an option given twice counts, so these make a documented training short."""

NOT_RUN = "# not run by the tests"
"""What follows a command that is shown only; the document says why."""

OFFLINE = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
MODULES = ("pip", "pytest", "twine")
"""Programs that a fresh environment has as modules only."""


def blocks(path: Path) -> list[tuple[str, str]]:
    """The code blocks of a document: language and code."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)


class Reader:
    """Follows a document, from a folder on.

    Args:
        folder: where the reader begins
        own: an environment that the reader may install to; without it they use the one that runs the tests
        wheel: what ``pip install stylekit-torch`` installs
        quickly: shorten every training and optimisation
        warm: what runs ``stylekit`` instead of the program itself
    """

    def __init__(
        self,
        folder: Path,
        own: FreshEnvironment | None = None,
        wheel: Path | None = None,
        quickly: bool = True,
        warm: WarmProgram | None = None,
    ) -> None:
        self.folder, self.wheel, self.quickly, self.warm = folder, wheel, quickly, warm
        self.installs = own is not None
        self.home = own.folder if own else Path(sys.executable).parents[1]

    def follow(self, language: str, code: str) -> None:
        """Does what one code block shows.

        Raises:
            AssertionError: a command failed, or the block is of a kind that nothing is known to be done with.
        """
        if named := re.match(r"# (at the end of )?([\w./-]+\.(?:py|toml|yaml))\n", code):
            with (self.folder / named[2]).open("a" if named[1] else "w") as file:
                file.write(f"\n{code}" if named[1] else code)
            assert language != "yaml" or yaml.safe_load(code)
        elif language == "console":
            for line in code.strip().splitlines():
                self.type(line)
        elif language == "python":
            (self.folder / "block.py").write_text(
                "if __name__ == '__main__':\n" + "".join(f"    {line}\n" for line in code.splitlines())
            )
            self.run(["python", "block.py"], code)
        elif language == "json":
            json.loads(code)
        elif language != "text":  # a drawing
            raise AssertionError(f"a block of {language or 'no language'}, which no test runs:\n{code}")

    def type(self, line: str) -> None:
        """Types one line; what would need a network is done without."""
        if NOT_RUN in line:
            return
        words = shlex.split(line, comments=True)
        variables: dict[str, str] = {}
        while "=" in words[0]:
            name, _, variables[name] = words.pop(0).partition("=")
        if words[0] == "cd":
            self.folder = self.folder / words[1]
        elif words[0] == "make":  # what it would do, without doing it
            subprocess.run(["make", "--dry-run", words[1]], cwd=ROOT, check=True, capture_output=True)
        elif words[:3] == ["python", "-m", "venv"]:
            assert self.wheel, line
            FreshEnvironment(self.folder / words[3]).install(self.wheel)
        elif "pip" in words[0] and words[1] == "install":
            assert self.installs, f"the document installs, and the test has no environment for that: {line}"
            asked = [str(self.wheel) if word == "stylekit-torch" else word for word in words[2:]]
            self.run([words[0], "install", *OFFLINE, *asked], line)
        elif words[:3] == ["python", "-m", "build"]:
            self.run([*words, "--no-isolation"], line)
        elif Path(words[0]).name == "stylekit":
            self.run(self._shortened(words) if self.quickly else words, line, **variables)
        else:
            assert words[0] in ("mv", "pytest", "twine"), f"the documents show a command that is not tested: {line}"
            self.run(words, line)

    def _shortened(self, words: list[str]) -> list[str]:
        if words[1] != "train":
            return [*words, "--steps", "2"] if "--steps" in words else words  # of methods that optimise
        if "--resume" in words:
            return [*words, "--steps", "3"]
        plain = not {"--preset", "--config"} & {*words} and "cyclegan" in words and "generator" not in " ".join(words)
        small = ["--set", "generator.blocks=1", "--set", "generator.width=4"] if plain else []
        return [*words, *QUICKLY, *small]

    def run(self, words: list[str], shown: str, **variables: str) -> str:
        """Runs a program, which must not fail, where the reader is, and returns what it printed."""
        found = [word for pattern in words for word in (self._matching(pattern) if "*" in pattern else [pattern])]
        program = self.folder / found[0] if "/" in found[0] else self.home / "bin" / found[0]
        if program.name in MODULES:
            found[:1] = [str(program.with_name("python")), "-m", program.name]
        else:
            found[0] = str(program) if program.exists() else str(shutil.which(found[0]))
        path = f"{self.home / 'bin'}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, **variables}
        if self.warm and program.name == "stylekit":
            code, out, err = self.warm.run(found[1:], self.folder, environment)
        else:
            told = subprocess.run(found, cwd=self.folder, env=environment, capture_output=True, text=True)
            code, out, err = told.returncode, told.stdout, told.stderr
        assert code == 0, f"{shown}\n{out}\n{err}"
        return out

    def _matching(self, pattern: str) -> list[str]:
        return sorted(str(path) for path in self.folder.glob(pattern))
