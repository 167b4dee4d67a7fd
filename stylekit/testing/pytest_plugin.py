"""The pytest plugin: one test for every check of everything that a plugin or a package registers.

::

    @pytest.mark.stylekit("my-style")
    def test_it_does_what_the_contract_says(stylekit_check):
        stylekit_check()

pytest imports this module wherever stylekit is installed, so torch and the checks are imported only if a test needs them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from stylekit.testing.kit import Check, Subject


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker."""
    config.addinivalue_line(
        "markers",
        "stylekit(subject): check all parts of a plugin, .py file (from the test's folder) or installed package",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Creates one test per check, such as ``test_it[method-tint-odd sizes]``."""
    if "stylekit_check" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("stylekit")
        folders = (metafunc.definition.path.parent, metafunc.config.rootpath)
        pairs = _pairs(marker, metafunc.definition.nodeid, folders)
        ids = [f"{subject.kind}-{subject.name}-{check.name}" for subject, check in pairs]
        metafunc.parametrize("stylekit_check", pairs, ids=ids, indirect=True)


def _pairs(marker: pytest.Mark | None, test: str, folders: tuple[Path, ...]) -> list[tuple[Subject, Check]]:
    if marker is None or len(marker.args) != 1:
        raise pytest.Collector.CollectError(
            f'{test} needs a marker that says what to check, such as @pytest.mark.stylekit("my-style"): the name of a plugin '
            "or an installed package, or the path of a .py file."
        )
    from stylekit.errors import StylekitError
    from stylekit.testing.catalogue import checks_of
    from stylekit.testing.kit import run_check
    from stylekit.testing.subjects import find_subjects

    try:
        subjects = find_subjects(_resolve(str(marker.args[0]), folders))
        for subject in subjects:
            if subject.kind == "plugin":
                run_check(subject, checks_of("plugin")[0])  # a plugin that does not load has no parts to test
    except StylekitError as error:
        raise pytest.Collector.CollectError(str(error)) from None
    return [(subject, check) for subject in subjects for check in checks_of(subject.kind)]


def _resolve(name: str, folders: tuple[Path, ...]) -> str:
    """The path of a file in the first of the folders that contains it; other names are unchanged."""
    if not name.endswith(".py"):
        return name
    files = [folder / name for folder in folders]
    return str(next((file for file in files if file.exists()), files[0]))


@pytest.fixture
def stylekit_check(request: pytest.FixtureRequest) -> Callable[[], None]:
    """Runs one check of the subject in the test's marker. If it fails, one line says what to change.

    A part that needs more than its defaults is skipped, and the reason says what it needs.
    """

    def run_one() -> None:
        from stylekit.errors import StylekitError
        from stylekit.testing.kit import NotTried, run_check

        subject, check = request.param
        fault = untried = ""
        try:
            run_check(subject, check)
        except NotTried as error:
            untried = f"{subject.kind} {subject.name}: {error}"
        except StylekitError as error:
            fault = f"{subject.kind} {subject.name}, {check.name}: {error}"
        if untried:
            pytest.skip(untried)
        if fault:  # outside the except block, so that pytest does not report both errors
            pytest.fail(fault, pytrace=False)

    return run_one
