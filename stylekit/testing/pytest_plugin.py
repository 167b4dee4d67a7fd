"""The plugin for pytest: one test for every check of everything that a plugin or a package registers.

::

    @pytest.mark.stylekit("my-style")
    def test_it_does_what_the_contract_says(stylekit_check):
        stylekit_check()

pytest imports this wherever stylekit is installed, so torch and the kit are imported when a test asks for them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from stylekit.testing.kit import Check, Subject


def pytest_configure(config: pytest.Config) -> None:
    """Makes the marker known."""
    config.addinivalue_line(
        "markers",
        "stylekit(subject): check all that this plugin, .py file (from the test's folder) or installed package registers",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Makes a test for each check, such as ``test_it[method-tint-odd sizes]``."""
    if "stylekit_check" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("stylekit")
        folders = (metafunc.definition.path.parent, metafunc.config.rootpath)
        pairs = _pairs(marker, metafunc.definition.nodeid, folders)
        ids = [f"{subject.kind}-{subject.name}-{check.name}" for subject, check in pairs]
        metafunc.parametrize("stylekit_check", pairs, ids=ids, indirect=True)


def _pairs(marker: pytest.Mark | None, test: str, folders: tuple[Path, ...]) -> list[tuple[Subject, Check]]:
    if marker is None or len(marker.args) != 1:
        raise pytest.Collector.CollectError(
            f'{test} needs to say what is checked: @pytest.mark.stylekit("my-style"), the name of a plugin or of an '
            "installed package, or the path of a .py file."
        )
    from stylekit.errors import StylekitError
    from stylekit.testing.catalogue import checks_of
    from stylekit.testing.kit import run_check
    from stylekit.testing.subjects import find_subjects

    try:
        found = find_subjects(_place(str(marker.args[0]), folders))
        for subject in found:
            if subject.kind == "plugin":
                run_check(subject, checks_of("plugin")[0])  # one that does not load has no parts to make tests for
    except StylekitError as error:
        raise pytest.Collector.CollectError(str(error)) from None
    return [(subject, check) for subject in found for check in checks_of(subject.kind)]


def _place(name: str, folders: tuple[Path, ...]) -> str:
    """A file in the first of the folders that has it, wherever pytest was started; other names are as they were."""
    if not name.endswith(".py"):
        return name
    files = [folder / name for folder in folders]
    return str(next((file for file in files if file.exists()), files[0]))


@pytest.fixture
def stylekit_check(request: pytest.FixtureRequest) -> Callable[[], None]:
    """Runs one check of what the test's marker names; the test fails by one line that says what to change.

    A part that needs more than its defaults is skipped, with what it needs.
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
        if fault:  # outside, so that pytest does not tell of both errors
            pytest.fail(fault, pytrace=False)

    return run_one
