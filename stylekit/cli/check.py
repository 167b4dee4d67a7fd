"""``stylekit check NAME|FILE|PACKAGE``: runs the conformance checks of the plugin contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from stylekit.cli.output import Json, debugging, echo, echo_traceback, print_json

if TYPE_CHECKING:
    from stylekit.testing.kit import Finding, Subject


def command(
    name: Annotated[
        str, typer.Argument(help="a plugin, a .py file, an installed package, or a part", metavar="NAME|FILE|PACKAGE")
    ],
    json: Json = False,
) -> None:
    """Check a single part, or everything that a plugin or a package registers, on small images.

    Prints one line for each part that passes or that cannot be tried with its defaults, and one line for each fault, which
    says what to change. The exit code is 1 if there are faults.
    """
    from stylekit.testing.catalogue import examine
    from stylekit.testing.subjects import find_subjects

    checked = []
    for subject in find_subjects(name):
        findings = examine(subject)
        checked.append(_facts(subject, findings))
        if not json:
            echo(*_lines(checked[-1]))
        for finding in findings:
            if finding.fault and finding.raised and debugging():
                echo_traceback(finding.raised)
    faults = sum(len(each["faults"]) for each in checked)
    if json:
        print_json({"parts": checked, "faults": faults})
    if faults:
        raise typer.Exit(1)


def _facts(subject: Subject, findings: list[Finding]) -> dict[str, Any]:
    faults = [{"check": finding.check, "message": finding.told} for finding in findings if finding.fault]
    untried = [finding.told for finding in findings if not finding.tried and not finding.fault]
    observed = list(dict.fromkeys(finding.told for finding in findings if finding.told))
    return {
        "kind": subject.kind,
        "name": subject.name,
        "state": "fault" if faults else "not tried" if untried else "ok",
        "checks": len(findings),
        "faults": faults,
        "details": [] if faults else untried or observed,
    }


def _lines(facts: dict[str, Any]) -> list[str]:
    what, details = f"{facts['kind']} {facts['name']}", "; ".join(facts["details"])
    if facts["state"] == "ok":
        return [f"{what}: OK, {facts['checks']} checks ({details})"]
    if facts["state"] == "not tried":
        return [f"{what}: not tried: {details}"]
    return [f"FAULT {what}, {fault['check']}: {fault['message']}" for fault in facts["faults"]]
