"""What is checked, what a check is, and how one is run: the ground that the checks of every kind stand on."""

from __future__ import annotations

import contextlib
import inspect
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from stylekit.errors import MissingWeights, StylekitError
from stylekit.hookspecs import KINDS
from stylekit.registry.parts import make
from stylekit.registry.schema import arguments, unwrap_partial
from stylekit.seeding import seeded
from stylekit.testing.switches import changed_and_put_back


@dataclass(frozen=True, eq=False)
class Subject:
    """What is checked.

    Attributes:
        kind: the kind of a part, or ``plugin``
        name: what it is registered by
        target: the callable that builds the part, or the plugin
    """

    kind: str
    name: str
    target: Any

    def build(self, draw: int = 0, /, **options: Any) -> Any:
        """Builds the part anew, with its defaults, or a method with its preset ``tiny`` if it has one.

        One ``draw`` always gives the same weights, if the part draws them from the generators that stylekit seeds.

        Raises:
            NotTried: an option must be given.
            StylekitError: it cannot be built.
        """
        presets = getattr(unwrap_partial(self.target), "presets", {}) if KINDS[self.kind].presets else {}
        tiny = presets.get("tiny", {})
        given = {**tiny, **options}
        if inspect.isclass(unwrap_partial(self.target)) or inspect.isroutine(unwrap_partial(self.target)):
            for name, argument in arguments(self.target).items():
                if argument.required and name not in given:
                    raise NotTried(f"needs the option {name!r} ({argument.help or argument.type})")
        with seeded("part to check", draw):
            return make(self.kind, self.target, **given)


class NotTried(StylekitError):
    """Nothing is known to be wrong, and nothing could be tried: it says what that would need."""


@dataclass(frozen=True)
class Check:
    """One thing that a part must do: says in a few words what it saw, or raises StylekitError with what to change.

    Attributes:
        name: what it is called
        look: does it
        after: the checks whose faults it would only meet again, in other words
    """

    name: str
    look: Callable[[Subject], str]
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """What a check told: a fault, what it saw, or why it could not be tried.

    Attributes:
        check: the check's name
        fault: whether something is to be changed
        told: in words
        tried: whether it could be
        raised: the error behind a fault, for its traceback
    """

    check: str
    fault: bool
    told: str
    tried: bool = True
    raised: BaseException | None = field(default=None, compare=False, repr=False)


def run_checks(subject: Subject, checks: Sequence[Check]) -> Iterator[Finding]:
    """Runs every check; only if the first fails, which builds or loads, nothing else is tried.

    One fault may stop several checks; it is told once.
    """
    told: set[str] = set()
    failed: set[str] = set()
    for check in checks:
        if not failed.isdisjoint(check.after):
            failed.add(check.name)  # and so what comes after it
            continue
        try:
            yield Finding(check.name, False, run_check(subject, check))
        except StylekitError as error:
            fault = not isinstance(error, NotTried)
            if str(error) not in told:
                yield Finding(check.name, fault, str(error), fault, error)
            told.add(str(error))
            if fault:
                failed.add(check.name)
            if fault and check is checks[0]:
                return


def run_check(subject: Subject, check: Check) -> str:
    """Runs one check and gives what it saw. Random numbers are afterwards as they were before.

    Raises:
        NotTried: it needs more than its defaults, or weights that are not here.
        StylekitError: one line: what is wrong, or the part's own error and where in its file it was raised.
    """
    try:
        with seeded("check", subject.kind, check.name), changed_and_put_back() as changed:
            told = check.look(subject)
        require(not changed, f"It changes {' and '.join(changed)} for the whole process: leave that to the user.")
        return told
    except (KeyboardInterrupt, NotTried):
        raise
    except MissingWeights as error:
        raise NotTried(one_line(error)) from error
    except StylekitError as error:
        raise StylekitError(one_line(error)) from error
    except BaseException as error:  # such as SystemExit, and what test frameworks raise to skip
        place = _place(error, subject.target)
        raise StylekitError(f"It fails{place}: {type(error).__name__}: {one_line(error)}") from error


def require(good: bool, message: str) -> None:
    """Raises StylekitError with the message unless it is good."""
    if not good:
        raise StylekitError(message)


@contextlib.contextmanager
def explained(where: str, cure: str) -> Iterator[None]:
    """Says of an error within the block where it came up, and what cures it.

    Raises:
        StylekitError: instead of any other error.
    """
    try:
        yield
    except StylekitError:
        raise
    except Exception as error:
        raise StylekitError(f"{where}: {type(error).__name__}: {one_line(error)} {cure}") from error


def one_line(error: BaseException, longest: int = 300) -> str:
    """What an error says, as one line that a terminal can show; torch tells pages."""
    text = " ".join(str(error).split()) if isinstance(error, StylekitError) else str(error).strip().partition("\n")[0]
    text = text if isinstance(error, StylekitError) or len(text) <= longest else f"{text[:longest]}..."
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _place(error: BaseException, target: Any) -> str:
    """Where in the part's own file the error came from."""
    with contextlib.suppress(TypeError):  # built in, or an object without a file
        file = inspect.getfile(unwrap_partial(target))
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        return f" in line {lines[-1]} of {file}" if lines else ""
    return ""
