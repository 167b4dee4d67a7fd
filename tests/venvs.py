"""What tests of packages share: building wheels, and environments that have nothing but them installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

NO_SOURCES = (".git", ".venv", "*_cache", ".benchmarks", "build", "dist", "runs", "__pycache__", "*.egg-info", "*.so")
"""What lies in a checkout beside its sources."""


def copy_sources(source: Path, copy: Path) -> Path:
    """Copies the folder of a project, without what lies there beside the sources, and returns the copy."""
    return Path(shutil.copytree(source, copy, ignore=shutil.ignore_patterns(*NO_SOURCES)))


def call(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command that must not fail; what it said is in the error if it does."""
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


def build_wheel(source: Path, out: Path, **environment: str) -> Path:
    """Builds the wheel of a project, from a copy of its folder, into ``out``, and returns the wheel."""
    with tempfile.TemporaryDirectory() as name:
        copy, made = copy_sources(source, Path(name) / source.name), Path(name) / "made"
        call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", made, copy, **environment)
        [wheel] = made.iterdir()
        out.mkdir(parents=True, exist_ok=True)
        return Path(shutil.move(wheel, out / wheel.name))


NO_COMPILER = {"PATH": "/nothing", "CXX": ""}
"""For builds that find no compiler."""


class FreshEnvironment:
    """A virtual environment with the libraries of the one that runs the tests, but without stylekit.

    The libraries are links; nothing is downloaded.
    """

    def __init__(self, folder: Path) -> None:
        venv.create(folder, symlinks=True)
        self.folder = folder
        (libraries := folder / "libraries").mkdir()
        for installed in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
            for entry in Path(installed).iterdir():
                if not entry.name.startswith(("stylekit", "__editable__")) and entry.suffix != ".pth":
                    (libraries / entry.name).symlink_to(entry)
        python = f"python{sys.version_info.major}.{sys.version_info.minor}"
        (folder / "lib" / python / "site-packages" / "libraries.pth").write_text(f"{libraries}\n")

    def install(self, *wheels: Path) -> None:
        """Installs wheels, and not what they depend on."""
        self._pip("install", "--no-deps", "--no-index", *wheels)

    def uninstall(self, *names: str) -> None:
        """Uninstalls packages by their names."""
        self._pip("uninstall", "--yes", *names)

    def _pip(self, *words: str | Path) -> None:
        pip = (sys.executable, "-m", "pip", "--python", self.folder / "bin" / "python")
        call(*pip, "--disable-pip-version-check", *words)

    def run(self, *command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs a program of the environment: ``python``, or one that was installed, such as ``stylekit``.

        It runs outside the checkout, and its exit code is not looked at. ``environment`` adds to this process's variables.
        """
        program, *words = command
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return subprocess.run(
            [self.folder / "bin" / program, *words],
            cwd=self.folder,
            env={**variables, "VIRTUAL_ENV": str(self.folder), "PATH": path, **environment},
            capture_output=True,
            text=True,
        )
