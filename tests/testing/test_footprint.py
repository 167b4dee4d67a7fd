"""What importing a plugin does to a process is told."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest

from stylekit import StylekitError
from stylekit.registry import lookup
from stylekit.testing.footprint import footprint
from stylekit.testing.subjects import find_subjects
from tests.testing.samples import QUIET, faults

if TYPE_CHECKING:
    from tests.testing.conftest import Write


def side_effects(write: Write, source: str) -> list[str]:
    return footprint(lookup.add_file(write(QUIET + textwrap.dedent(source))))[0]  # not imported in this process


def test_importing_a_plugin_may_import_and_define_whatever_it_likes(write: Write) -> None:
    assert side_effects(write, "import json, torch.fft, stylekit.layers\nANY = torch.zeros(3)\nclass Own: pass\n") == []


def test_what_importing_a_plugin_changes_is_named(write: Write) -> None:
    """All in one process: each is told in words of its own."""
    source = """
        import logging, os, pathlib, random, signal, sys, warnings
        import numpy, torch, stylekit.layers
        print("hello")
        torch.rand(1), numpy.random.rand(), random.random()
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(torch.get_num_threads() + 1)
        torch.set_grad_enabled(False)
        torch.set_default_device("meta")
        torch.backends.cudnn.benchmark = True
        sys.path.append("elsewhere")
        os.environ["OMP_NUM_THREADS_OF_MINE"] = "3"
        warnings.simplefilter("ignore")
        logging.basicConfig(level=logging.DEBUG)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        torch.nn.functional.relu = torch.nn.functional.gelu
        torch.nn.Module.__call__ = torch.nn.Module._call_impl
        torch.load = None
        import PIL.ImageFile; PIL.ImageFile.LOAD_TRUNCATED_IMAGES = True
        stylekit.layers.init_normal = None
        pathlib.Path("left.txt").write_text("here")
    """
    assert side_effects(write, source) == [
        "changes torch's random numbers",
        "changes NumPy's random numbers",
        "changes Python's random numbers",
        "changes torch's default type",
        "changes torch's default device",
        "changes torch's grad mode",
        "changes torch's number of threads",
        "changes torch's cudnn.benchmark",
        "changes sys.path",
        "changes os.environ (OMP_NUM_THREADS_OF_MINE)",
        "changes the warnings' filters",
        "changes the root logger",
        "changes the handlers of signals (15)",
        "changes what is in stylekit.layers (init_normal)",
        "changes what is in torch.nn.functional (relu)",
        "changes what is in nn.Module (__call__)",
        "changes what is in torch (load)",
        "changes what is in PIL.ImageFile (LOAD_TRUNCATED_IMAGES)",
        "prints 'hello'",
        "leaves the file left.txt behind",
    ]


def test_a_plugin_that_ends_a_new_process_is_told(write: Write) -> None:
    with pytest.raises(StylekitError, match=r"^Importing it in a new process ends that process: exit code 3\.$"):
        side_effects(write, "import os\nos._exit(3)\n")


def test_a_side_effect_is_a_fault_of_the_plugin(write: Write) -> None:
    (plugin,) = find_subjects(str(write(QUIET + "print('hello')\n")))
    assert faults(plugin) == {
        "import": "Importing it prints 'hello': leave that out, or do it in the function that needs it."
    }
