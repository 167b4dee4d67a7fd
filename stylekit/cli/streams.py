"""Images on standard input and output: ``-`` in place of a path."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from stylekit.errors import StylekitError

STREAM = "-"


def check_stdout(json: bool, terminal: str) -> None:
    """Checks that a result can go to standard output.

    Args:
        json: JSON goes there
        terminal: what to tell if it is a terminal

    Raises:
        StylekitError: it is a terminal, or JSON goes there.
    """
    if json:
        raise StylekitError("--json and --out - both write to standard output. Leave out one of them.")
    if sys.stdout is None or sys.stdout.isatty():
        raise StylekitError(terminal)


class Streams:
    """Puts temporary files in the places of standard input and output. They are removed at the end of the block.

    Attributes:
        names: what to call these files in messages
    """

    def __init__(self) -> None:
        self.names: dict[Path, str] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._out: Path | None = None

    def __enter__(self) -> Streams:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if self._folder:
            self._folder.cleanup()
        if self.names and isinstance(error, StylekitError):
            raise StylekitError(self.shown(str(error))) from error

    def receive(self, pictures: Iterable[str]) -> list[str]:
        """The paths, with each ``-`` replaced by a file with the content of standard input.

        Raises:
            StylekitError: standard input is a terminal, or empty.
        """
        pictures = list(pictures)
        if STREAM not in pictures:
            return pictures
        if sys.stdin is None or sys.stdin.isatty():
            raise StylekitError("- reads an image from standard input, which is a terminal. Redirect a file to it.")
        path = self._file("stdin", "standard input")
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        if not path.stat().st_size:
            raise StylekitError("- reads an image from standard input, but it is empty.")
        return [str(path) if picture == STREAM else picture for picture in pictures]

    def open_out(self, out: str, suffix: str, json: bool) -> Path:
        """The path to write to: for ``-`` a file, which :meth:`send` copies to standard output.

        Raises:
            StylekitError: standard output is a terminal, or JSON goes there.
        """
        if out != STREAM:
            return Path(out)
        check_stdout(json, "--out - writes to standard output, which is a terminal. Redirect it to a file.")
        self._out = self._file(f"stdout{suffix}", "standard output")
        return self._out

    def send(self) -> None:
        """Copies the image to standard output, if it goes there."""
        if self._out:
            with self._out.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()

    def shown(self, text: str) -> str:
        """A message, with the names of the streams in place of the files' paths."""
        for path, name in self.names.items():
            text = text.replace(str(path), name)
        return text

    def _file(self, file: str, name: str) -> Path:
        self._folder = self._folder or tempfile.TemporaryDirectory(prefix="stylekit-")
        path = Path(self._folder.name, file)
        self.names[path] = name
        return path
