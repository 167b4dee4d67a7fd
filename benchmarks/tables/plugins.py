"""The tables of docs/plugins.md."""

from __future__ import annotations

import json

from benchmarks.figures import RESULTS


def tutorial() -> str:
    results = json.loads((RESULTS / "tutorial.json").read_text())
    machine, commands = results["machine"], results["commands"]
    total = sum(seconds for _, seconds in commands)
    lines = [
        f"One file of {results['lines']} lines, {len(commands)} commands, {total / 60:.1f} minutes, with {machine['threads']} "
        f"of {machine['cores']} cores and torch {machine['torch']}, without downloads by pip:\n",
        "| command | seconds |",
        "|---|---|",
    ]
    return "\n".join([*lines, *(f"| `{command}` | {seconds:.1f} |" for command, seconds in commands)])
