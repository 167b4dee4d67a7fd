"""What the tests of the kit share: plugin files, and installed packages of several files."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest

Write = Callable[[str], Path]
Package = Callable[[str, str, str, list[str]], None]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a plugin file."""

    def write(source: str) -> Path:
        path = tmp_path / "mine.py"
        path.write_text(source)
        return path

    return write


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Installs a package of several files, with one plugin and its requirements."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def install(name: str, plugin: str, source: str, requires: list[str]) -> None:
        module = f"sample_{name}"
        (site / module).mkdir()
        (site / module / "__init__.py").write_text("")
        (site / module / "parts.py").write_text(source)
        metadata = site / f"{name}-1.0.dist-info"
        metadata.mkdir()
        needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}")
        (metadata / "entry_points.txt").write_text(f"[stylekit]\n{plugin} = {module}.parts\n" if plugin else "")
        importlib.invalidate_caches()

    return install
