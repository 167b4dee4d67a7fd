"""What a part changes for the whole process is told, and put back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tests.testing.samples import GENERATOR, NET, faults, part

if TYPE_CHECKING:
    from tests.testing.conftest import Write


def test_the_switches_of_the_process_are_put_back(write: Write) -> None:
    changes = "torch.set_default_dtype(torch.float64); torch.set_num_threads(3); import os; os.chdir('/')"
    before = torch.get_default_dtype(), torch.get_num_threads(), Path.cwd()
    found = faults(part(write(GENERATOR.replace(NET, f"{NET}; {changes}"))))
    assert found == {
        "builds": "It changes torch's default type and torch's number of threads and the working directory for the whole "
        "process: leave that to the user."
    }
    assert before == (torch.get_default_dtype(), torch.get_num_threads(), Path.cwd())
