"""What is checked, what a check is, and how checks run: the basis of the checks of every kind."""

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
from stylekit.training.setup import prepare_arguments


@dataclass(frozen=True, eq=False)
class Subject:
    """What is checked.

    Attributes:
        kind: the kind of the part, or ``plugin``
        name: the name that it is registered under
        target: the callable that builds the part, or the plugin
    """

    kind: str
    name: str
    target: Any

    def build(self, draw: int = 0, /, **options: Any) -> Any:
        """Builds a new part with its defaults; a method with its preset ``tiny``, if it has one.

        The same ``draw`` always results in the same weights, if the part draws them from the generators that stylekit seeds.

        Raises:
            NotTried: the part needs an option.
            StylekitError: the part cannot be built.
        """
        presets = getattr(unwrap_partial(self.target), "presets", {}) if KINDS[self.kind].presets else {}
        tiny = presets.get("tiny", {})
        merged = {**tiny, **options}
        if inspect.isclass(unwrap_partial(self.target)) or inspect.isroutine(unwrap_partial(self.target)):
            known = arguments(self.target)
            training = prepare_arguments(self.target).keys() - known.keys() if tiny else ()
            merged = {name: value for name, value in merged.items() if name not in training}
            for name, argument in known.items():
                if argument.required and name not in merged:
                    raise NotTried(f"needs the option {name!r} ({argument.help or argument.type})")
        with seeded("part to check", draw):
            return make(self.kind, self.target, **merged)


class NotTried(StylekitError):
    """A check could not be tried. This is not a fault; the message says what the check needs."""


@dataclass(frozen=True)
class Check:
    """One requirement on a part.

    Attributes:
        name: name of the check
        look: runs the check: returns what it observed, in a few words, or raises StylekitError with what to change
        after: names of the checks whose faults would make this one fail too, so that it is skipped
    """

    name: str
    look: Callable[[Subject], str]
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """The result of a check: a fault, what it observed, or why it could not be tried.

    Attributes:
        check: name of the check
        fault: whether it found a fault
        told: the message
        tried: whether the check could be tried
        raised: the error behind a fault, for its traceback
    """

    check: str
    fault: bool
    told: str
    tried: bool = True
    raised: BaseException | None = field(default=None, compare=False, repr=False)


def run_checks(subject: Subject, checks: Sequence[Check]) -> Iterator[Finding]:
    """Runs every check. If the first one fails, which builds or loads the subject, the others are skipped.

    A fault that several checks report in the same words is yielded once.
    """
    messages: set[str] = set()
    failed: set[str] = set()
    for check in checks:
        if not failed.isdisjoint(check.after):
            failed.add(check.name)  # so that the checks after this one are skipped too
            continue
        try:
            yield Finding(check.name, False, run_check(subject, check))
        except StylekitError as error:
            fault = not isinstance(error, NotTried)
            if str(error) not in messages:
                yield Finding(check.name, fault, str(error), fault, error)
            messages.add(str(error))
            if fault:
                failed.add(check.name)
            if fault and check is checks[0]:
                return


def run_check(subject: Subject, check: Check) -> str:
    """Runs one check and returns what it observed. The random number generators are restored afterwards.

    Raises:
        NotTried: the part needs more than its defaults, or weights that have not been fetched.
        StylekitError: what is wrong, in one line, or the part's own error and the line of its file that raised it.
    """
    try:
        with seeded("check", subject.kind, check.name), changed_and_put_back() as changed:
            message = check.look(subject)
        require(not changed, f"It changes {' and '.join(changed)} for the whole process: leave that to the user.")
        return message
    except (KeyboardInterrupt, NotTried):
        raise
    except MissingWeights as error:
        raise NotTried(one_line(error)) from error
    except StylekitError as error:
        raise StylekitError(one_line(error)) from error
    except BaseException as error:  # including SystemExit, and the exceptions that test frameworks raise to skip
        line = _place(error, subject.target)
        raise StylekitError(f"It fails{line}: {type(error).__name__}: {one_line(error)}") from error


def require(good: bool, message: str) -> None:
    """Raises StylekitError with the message unless the condition holds."""
    if not good:
        raise StylekitError(message)


@contextlib.contextmanager
def explained(where: str, cure: str) -> Iterator[None]:
    """Adds to an error within the block what failed, and what to change.

    Raises:
        StylekitError: in place of any other error.
    """
    try:
        yield
    except StylekitError:
        raise
    except Exception as error:
        raise StylekitError(f"{where}: {type(error).__name__}: {one_line(error)} {cure}") from error


def one_line(error: BaseException, longest: int = 300) -> str:
    """The message of an error as one line; long messages, such as torch's, are cut."""
    text = " ".join(str(error).split()) if isinstance(error, StylekitError) else str(error).strip().partition("\n")[0]
    text = text if isinstance(error, StylekitError) or len(text) <= longest else f"{text[:longest]}..."
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _place(error: BaseException, target: Any) -> str:
    """The line of the part's own file that the error came from; empty if there is none."""
    with contextlib.suppress(TypeError):  # a built-in object has no file
        file = inspect.getfile(unwrap_partial(target))
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        return f" in line {lines[-1]} of {file}" if lines else ""
    return ""
