"""``stylekit check NAME|FILE|PACKAGE``: runs the conformance checks of the plugin contract."""

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
    """Check a single part, or everything that a plugin or a package registers, on small images.

    Prints one line for each part that passes or that cannot be tried with its defaults, and one line for each fault, which
    says what to change. The exit code is 1 if there are faults.
    """
    from stylekit.testing.catalogue import examine
    from stylekit.testing.subjects import find_subjects

    console = Console(highlight=False)
    faults = 0
    for subject in find_subjects(name):
        findings = examine(subject)
        for line in _lines(subject, findings):
            console.print(line, markup=False, soft_wrap=True)
        for finding in findings:
            faults += finding.fault
            if finding.fault and debugging():
                traceback.print_exception(finding.raised)
    if faults:
        raise typer.Exit(1)


def _lines(subject: Subject, findings: list[Finding]) -> list[str]:
    what = f"{subject.kind} {subject.name}"
    if faults := [f"FAULT {what}, {finding.check}: {finding.told}" for finding in findings if finding.fault]:
        return faults
    if untried := [finding.told for finding in findings if not finding.tried]:
        return [f"{what}: not tried: {'; '.join(untried)}"]
    details = "; ".join(dict.fromkeys(finding.told for finding in findings if finding.told))
    return [f"{what}: OK, {len(findings)} checks ({details})"]
