"""``python -m tests.fuzz``: runs cases, prints the bad ones with what reproduces them, and records the counts."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.background import obey_signals
from tests.fuzz.cases import Outcome, run_case
from tests.fuzz.judge import BAD, CLEAR, RIGHT
from tests.fuzz.material import make_material
from tests.fuzz.workers import available_kinds, kind_named, prepare_process, run_cases

VERDICTS = (RIGHT, CLEAR, BAD)


def main() -> None:
    obey_signals()
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--kind", action="append", choices=available_kinds(), help="what to try (default: everything)")
    parser.add_argument("--count", type=int, help="number of cases of each kind (default: as many as the kind has)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the cases")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--index", type=int, help="run this case only, in this process, with the traceback")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, help="JSON file to record the counts in")
    given = parser.parse_args()
    prepare_process()
    kinds = given.kind or available_kinds()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        material = make_material(Path(folder) / "material")
        if given.index is not None:
            outcome = run_case(kind_named(kinds[0]), given.seed, given.index, material, debug=True)
            print(json.dumps(outcome.as_json(), indent=2))
            sys.exit(outcome.verdict == BAD)
        recorded: dict[str, Any] = {}
        for name in kinds:
            start = time.monotonic()
            count = given.count or max(1, round(kind_named(name).count * given.scale))
            tasks = [(name, given.seed, index) for index in range(count)]
            outcomes = []
            for outcome in run_cases(tasks, material, given.workers):
                outcomes.append(outcome)
                if outcome.verdict == BAD:
                    print(
                        f"bad: {outcome.attempt} ({outcome.tried}): {outcome.said}\n     {command(outcome)}", flush=True
                    )
            recorded[name] = {
                **summary(outcomes),
                "seed": given.seed,
                "minutes": round((time.monotonic() - start) / 60, 2),
            }
            print(f"{name}: {', '.join(f'{recorded[name][verdict]} {verdict}' for verdict in VERDICTS)}", flush=True)
    if given.out:
        record(given.out, recorded)
    sys.exit(any(kind[BAD] for kind in recorded.values()))


def record(path: Path, kinds: dict[str, Any]) -> None:
    """Writes the counts to a file; kinds that were not tried keep theirs."""
    before = json.loads(path.read_text())["kinds"] if path.exists() else {}
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "torch": version("torch")}
    merged = {name: {**before, **kinds}[name] for name in available_kinds() if name in {**before, **kinds}}
    path.write_text(json.dumps({"machine": machine, "kinds": merged}, indent=2) + "\n")


def command(outcome: Outcome) -> str:
    """What reproduces a case."""
    return f"python -m tests.fuzz --kind {outcome.kind} --seed {outcome.seed} --index {outcome.index}"


def summary(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """The counts of a kind, in all and by attempt."""
    outcomes = list(outcomes)
    attempts: dict[str, dict[str, int]] = {}
    for outcome in sorted(outcomes, key=lambda each: each.attempt):
        counts = attempts.setdefault(outcome.attempt, dict.fromkeys(VERDICTS, 0))
        counts[outcome.verdict] += 1
    return {
        "cases": len(outcomes),
        **{verdict: sum(outcome.verdict == verdict for outcome in outcomes) for verdict in VERDICTS},
        "slowest_seconds": max(outcome.seconds for outcome in outcomes),
        "most_megabytes": max(outcome.megabytes for outcome in outcomes),
        "attempts": attempts,
    }


if __name__ == "__main__":
    main()
