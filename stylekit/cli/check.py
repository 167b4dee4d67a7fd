"""``stylekit check NAME|FILE|PACKAGE``: does it do what the plugin contract says?"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from stylekit.cli.output import debugging

if TYPE_CHECKING:
    from stylekit.testing.kit import Finding, Subject


def command(
    name: Annotated[
        str, typer.Argument(help="a plugin, a .py file, an installed package, or a part", metavar="NAME|FILE|PACKAGE")
    ],
) -> None:
    """Try out everything that a plugin or a package registers, or one part, on small pictures.

    A line for each that is good or needs more to be tried, and one for each fault that says what to change; exit code 1 if
    there are any.
    """
    from stylekit.testing.catalogue import examine
    from stylekit.testing.subjects import find_subjects

    console = Console(highlight=False)
    faults = 0
    for subject in find_subjects(name):
        found = examine(subject)
        for line in _lines(subject, found):
            console.print(line, markup=False, soft_wrap=True)
        for finding in found:
            faults += finding.fault
            if finding.fault and debugging():
                traceback.print_exception(finding.raised)
    if faults:
        raise typer.Exit(1)


def _lines(subject: Subject, found: list[Finding]) -> list[str]:
    what = f"{subject.kind} {subject.name}"
    if faults := [f"FAULT {what}, {finding.check}: {finding.told}" for finding in found if finding.fault]:
        return faults
    if untried := [finding.told for finding in found if not finding.tried]:
        return [f"{what}: not tried: {'; '.join(untried)}"]
    seen = "; ".join(dict.fromkeys(finding.told for finding in found if finding.told))
    return [f"{what}: good, {len(found)} checks ({seen})"]
