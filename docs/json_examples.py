"""Writes the examples of docs/json.md: what each command prints with ``--json``, on drawn images.

python docs/json_examples.py
"""

from __future__ import annotations

import json
import platform
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent / "json.md"
BLOCK = re.compile(r"(<!-- example: (.*?) -->\n).*?(<!-- /example -->)", re.DOTALL)
"""An example in the page: a command line, and what it prints."""
PREPARED = (
    "data draw scenes photos --count 3 --size 64",
    "data draw textures paintings --count 3 --size 64",
    "style learn paintings -o mine.style --model color-pca --looks 2",
)
"""The commands that make the files that the examples need."""
LISTED = 2
"""The number of items that an example shows of a list of objects."""


def examples() -> list[str]:
    """The command lines of the examples, in the order of the page."""
    return [block[2] for block in BLOCK.finditer(PAGE.read_text())]


def run(folder: Path, line: str) -> str:
    """What a command prints on stdout.

    Raises:
        RuntimeError: it failed.
    """
    words = [sys.executable, "-m", "stylekit", *shlex.split(line)]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{line}: {done.stderr}")
    return done.stdout


def outputs(folder: Path) -> Iterator[tuple[str, Any]]:
    """Each command line of the page, and the value that it prints, in a folder that is filled for it."""
    for line in PREPARED:
        run(folder, line)
    for line in examples():
        yield line, json.loads(run(folder, line))


def shortened(value: Any) -> Any:
    """A value with the first few items of each list of objects."""
    if isinstance(value, dict):
        return {key: shortened(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shortened(each) for each in (value[:LISTED] if value and isinstance(value[0], dict) else value)]
    return value


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        made = dict(outputs(Path(name)))
        shown = {
            line: json.dumps(shortened(value), indent=2).replace(str(Path(name).resolve()), "/home/ada")
            for line, value in made.items()
        }
    # What the page says must not depend on the machine that writes it.
    names = {platform.platform(): "Linux-x86_64", str(Path.home()): "/home/ada"}
    text = BLOCK.sub(lambda match: f"{match[1]}```json\n{shown[match[2]]}\n```\n{match[3]}", PAGE.read_text())
    PAGE.write_text(re.sub("|".join(map(re.escape, names)), lambda match: names[match[0]], text))


if __name__ == "__main__":
    main()
