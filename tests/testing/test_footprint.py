"""What importing a plugin changes in the process is reported."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest

from stylekit import StylekitError
from stylekit.registry import lookup
from stylekit.testing.footprint import footprint
from stylekit.testing.subjects import find_subjects
from tests.facts import assert_mentions, raises
from tests.testing.samples import QUIET, assert_faults, faults

if TYPE_CHECKING:
    from tests.testing.conftest import Write


def side_effects(write: Write, source: str) -> list[str]:
    return footprint(lookup.add_file(write(QUIET + textwrap.dedent(source))))[0]  # not imported in this process


@pytest.mark.slow
def test_imports_and_definitions_are_no_side_effects(write: Write) -> None:
    assert side_effects(write, "import json, torch.fft, stylekit.layers\nANY = torch.zeros(3)\nclass Own: pass\n") == []


@pytest.mark.slow
def test_what_importing_a_plugin_changes_is_named(write: Write) -> None:
    """All in one process: each is reported by itself."""
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
    expected = [
        ("torch's random numbers",),
        ("NumPy's random numbers",),
        ("Python's random numbers",),
        ("torch's default type",),
        ("torch's default device",),
        ("torch's grad mode",),
        ("torch's number of threads",),
        ("torch's cudnn.benchmark",),
        ("sys.path",),
        ("os.environ", "OMP_NUM_THREADS_OF_MINE"),
        ("warning filters",),
        ("root logger",),
        ("signal handlers", 15),
        ("stylekit.layers", "init_normal"),
        ("torch.nn.functional", "relu"),
        ("nn.Module", "__call__"),
        ("torch", "load"),
        ("PIL.ImageFile", "LOAD_TRUNCATED_IMAGES"),
        ("prints", "'hello'"),
        ("file", "left.txt"),
    ]
    changes = side_effects(write, source)
    assert len(changes) == len(expected), changes
    for change, facts in zip(changes, expected, strict=True):
        assert_mentions(change, *facts)


@pytest.mark.slow
def test_a_plugin_that_ends_a_new_process_is_an_error(write: Write) -> None:
    with raises(StylekitError, "process", "exit code 3"):
        side_effects(write, "import os\nos._exit(3)\n")


@pytest.mark.slow
def test_a_side_effect_is_a_fault_of_the_plugin(write: Write) -> None:
    (plugin,) = find_subjects(str(write(QUIET + "print('hello')\n")))
    assert_faults(faults(plugin), {"import": ("prints", "'hello'")})
