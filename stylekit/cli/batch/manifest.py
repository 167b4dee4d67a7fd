"""The manifest of a batch, next to its outputs: what was made of what, so that a second run does only what is missing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from stylekit.datasets.places import Place
from stylekit.errors import StylekitError

FOLDER = ".stylekit-manifest"
SETTINGS, RECORDS = f"{FOLDER}/settings.json", f"{FOLDER}/records.jsonl"


@dataclass(frozen=True)
class Record:
    """What is known of one finished output.

    Attributes:
        target: the output, relative to the folder of the outputs
        source: the picture that was read
        input: SHA-256 of the picture
        settings: digest of the settings
        output: SHA-256 of the output
        width, height, frames: of the output
        seconds: time that stylising took
    """

    target: str
    source: str
    input: str
    settings: str
    output: str
    width: int
    height: int
    frames: int
    seconds: float


def digest(content: bytes) -> str:
    """The SHA-256 of a content, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def settings_digest(settings: Mapping[str, Any]) -> str:
    """The SHA-256 of settings, which must be JSON."""
    return digest(json.dumps(settings, sort_keys=True).encode())


class Manifest:
    """The files of a manifest: the settings, and the records, in one file of each earlier run's end and many small ones.

    Workers write a small file for every few outputs. As its name is a digest of the outputs' names, what is done twice is
    recorded once.

    Args:
        out: where the outputs are
    """

    def __init__(self, out: Place) -> None:
        self.out = out

    def begin(self, settings: Mapping[str, Any], overwrite: bool) -> dict[str, Record]:
        """The outputs that are finished, by their target; from now on, the manifest is one of these settings.

        Args:
            settings: what the outputs depend on besides the pictures, as JSON
            overwrite: forget what was made before

        Raises:
            StylekitError: the outputs were made with other settings, or the manifest cannot be read or written.
        """
        files = self.out.find(FOLDER)
        if overwrite:
            self.out.remove(files)
        elif SETTINGS in files:
            self._compare(json.loads(self._text(SETTINGS)), settings)
        known = {} if overwrite else self._records(files)
        if overwrite or SETTINGS not in files:
            self.out.write(SETTINGS, json.dumps(settings, indent=1, sort_keys=True).encode())
        wanted = settings_digest(settings)
        return {target: record for target, record in known.items() if record.settings == wanted}

    def add(self, records: Sequence[Record]) -> None:
        """Records finished outputs; called by workers.

        Raises:
            StylekitError: the file cannot be written.
        """
        name = digest("\n".join(sorted(record.target for record in records)).encode())[:32]
        self.out.write(f"{FOLDER}/{name}.jsonl", _lines(records))

    def merge(self) -> None:
        """Makes one file of the small ones, which the next run reads faster.

        Raises:
            StylekitError: the manifest cannot be read or written.
        """
        files = self.out.find(FOLDER)
        small = [name for name in files if name not in (SETTINGS, RECORDS)]
        if small:
            records = self._records(files)
            self.out.write(RECORDS, _lines([records[target] for target in sorted(records)]))
            self.out.remove(small)

    def _records(self, files: Mapping[str, int]) -> dict[str, Record]:
        """The records of all files; those of the small ones are newer."""
        names = sorted((name for name in files if name.endswith(".jsonl")), key=lambda name: (name != RECORDS, name))
        found: dict[str, Record] = {}
        for name in names:
            try:
                found |= {row["target"]: Record(**row) for row in map(json.loads, self._text(name).splitlines())}
            except (ValueError, TypeError, KeyError) as error:
                raise StylekitError(
                    f"{self.out.path}/{name} is damaged. --overwrite makes all outputs again."
                ) from error
        return found

    def _text(self, name: str) -> str:
        return self.out.read(name).decode(errors="replace")

    def _compare(self, before: Any, now: Mapping[str, Any]) -> None:
        if before != now:
            old = before if isinstance(before, dict) else {}
            keys = [key for key in sorted({*old, *now}) if old.get(key) != now.get(key)]
            changes = ", ".join(f"{key} was {_short(old.get(key))} and is {_short(now.get(key))}" for key in keys)
            raise StylekitError(
                f"{self.out.path} has outputs that were made with other settings: {changes}. Give another --out, or "
                "--overwrite to replace them."
            )


def _lines(records: Sequence[Record]) -> bytes:
    return "".join(f"{json.dumps(asdict(record))}\n" for record in records).encode()


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
