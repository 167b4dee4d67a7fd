"""The house has floors: a module imports only from floors below its own, and nothing goes round in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "stylekit"
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("hookspecs", "seeding", "_files"),
    ("registry", "datasets", "native"),
    ("ops", "weights"),
    ("images", "layers", "losses"),
    ("encoders", "method"),
    ("inference",),
    ("evaluation",),
    ("training",),
    ("testing",),
    ("cli",),
)
"""From the ground up: what stands on one floor may be imported from every floor above it. Within a package any order goes
that has no circle. ``stylekit`` itself passes public names on and stands outside."""
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}


def modules() -> dict[str, Path]:
    """Every module by its dotted name below ``stylekit``; templates are text for other packages."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[:2] != ("cli", "templates") and parts not in (("__init__",), ("__main__",)):
            found[".".join(part for part in parts if part != "__init__")] = path
    return found


def imports(path: Path, known: set[str]) -> Iterator[str]:
    """The modules of stylekit that a file imports, wherever in it, for types too."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            below = name.removeprefix("stylekit.") if name.startswith("stylekit.") else ""
            for module in (below, below.rpartition(".")[0]):
                if module in known:
                    yield module
                    break


MODULES = modules()
IMPORTS = {name: sorted(set(imports(path, set(MODULES)))) for name, path in MODULES.items()}


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down(name: str) -> None:
    """A new module's place is the lowest floor from which it reaches what it needs."""
    mine = name.split(".")[0]
    others = [other for other in IMPORTS[name] if other.split(".")[0] != mine]
    up = [other for other in others if FLOOR[other.split(".")[0]] >= FLOOR[mine]]
    assert up == [], f"stylekit.{name} imports from its own floor or above"


def test_no_imports_go_round_in_a_circle() -> None:
    done: set[str] = set()

    def walk(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, f"a circle of imports: {' -> '.join((*way[way.index(name) :], name))}"
        if name not in done:
            for other in IMPORTS[name]:
                walk(other, (*way, name))
            done.add(name)

    for name in MODULES:
        walk(name, ())


def test_few_things_stand_at_the_top() -> None:
    top = {path.name for path in ROOT.iterdir() if path.name != "__pycache__" and path.suffix != ".so"}
    assert len(top) <= 22, sorted(top)
