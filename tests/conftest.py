"""What the tests share: the folders of reference data beside the repository, and one thread for small tensors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

SHARED = Path(__file__).parents[2] / "shared"


def _folder(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"there is no reference data in {folder}")
    return folder


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """Results of the methods' reference implementations."""
    return _folder("fixtures")


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
