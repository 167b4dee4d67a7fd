"""What a part changes for the whole process is reported and restored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tests.testing.samples import GENERATOR, NET, altered, assert_faults, faults, part

if TYPE_CHECKING:
    from tests.testing.conftest import Write


def test_the_settings_of_the_process_are_restored(write: Write) -> None:
    changes = "torch.set_default_dtype(torch.float64); torch.set_num_threads(3); import os; os.chdir('/')"
    before = torch.get_default_dtype(), torch.get_num_threads(), Path.cwd()
    found = faults(part(write(altered(GENERATOR, (NET, f"{NET}; {changes}")))))
    assert_faults(
        found, {"builds": ("torch's default type", "torch's number of threads", "working directory", "process")}
    )
    assert before == (torch.get_default_dtype(), torch.get_num_threads(), Path.cwd())
