"""What the tests share: reference data beside the repository, one thread for small tensors, and installed plugins."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
import torch

from stylekit.registry import entrypoints, lookup
from tests.background import obey_signals

FIXTURES = Path(__file__).parent / "fixtures"
SHARED = Path(__file__).parents[2] / "shared"


obey_signals()


def _folder(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"there is no reference data in {folder}")
    return folder


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """Results of the methods' reference implementations; each folder's README states how they were computed."""
    return FIXTURES


@pytest.fixture(scope="session")
def pictures() -> Path:
    """Photographs and paintings."""
    return _folder("data")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors are quicker on one thread, a hundredfold where the machine is shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Install(Protocol):
    """Installs a distribution of one module with one entry point, as pip would leave it behind."""

    def __call__(
        self, package: str, name: str, source: str, version: str = "1.0", group: str = "stylekit", target: str = ""
    ) -> None: ...


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def install(
        package: str, name: str, source: str, version: str = "1.0", group: str = "stylekit", target: str = ""
    ) -> None:
        module = f"sample_{package.replace('-', '_')}"
        (site / f"{module}.py").write_text(source)
        told = site / f"{package.replace('-', '_')}-{version}.dist-info"
        told.mkdir()
        (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        (told / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}{target}\n")
        importlib.invalidate_caches()

    return install


@pytest.fixture(autouse=True)
def _fresh_plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test found, loaded and warned of is not remembered by the next one."""
    monkeypatch.setattr(lookup, "_files", {})
    remembered = (lookup._load, lookup._report, entrypoints._pass_over)
    for cached in remembered:
        cached.cache_clear()
    yield
    for cached in remembered:
        cached.cache_clear()
    for name in [name for name in sys.modules if name.startswith(("sample_", "stylekit_file_"))]:
        del sys.modules[name]
