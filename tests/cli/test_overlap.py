"""Reading, making and writing at the same time."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from stylekit import StylekitError
from stylekit.cli.overlap import AHEAD, overlapped


def test_steps_overlap_in_order_and_few_are_held_at_once() -> None:
    read: list[int] = []
    written: list[int] = []
    most, main = 0, threading.get_ident()
    lock = threading.Lock()

    def load_it(item: int) -> int:
        nonlocal most
        with lock:
            read.append(item)
            most = max(most, len(read) - len(written))
        assert threading.get_ident() != main
        if item % 5 == 0:
            raise OSError(f"cannot read {item}")
        return 10 * item

    def make_it(item: int, given: int) -> int:
        assert threading.get_ident() == main
        if item % 7 == 0:
            raise StylekitError(f"cannot make {item}")
        return given + 1

    def write_it(item: int, made: int) -> None:
        assert made == 10 * item + 1
        assert threading.get_ident() != main
        with lock:
            written.append(item)

    found = list(overlapped(range(1, 31), load_it, make_it, write_it))
    assert [item for item, _ in found] == list(range(1, 31))
    failed = {item: str(error) for item, error in found if error}
    assert failed == {
        item: f"cannot {'read' if item % 5 == 0 else 'make'} {item}"
        for item in range(1, 31)
        if not item % 5 or not item % 7
    }
    assert sorted(written) == [item for item in range(1, 31) if item not in failed]
    done = len(failed)  # what failed is never written, and holds nothing
    assert most <= 2 * AHEAD + 2 + done


def test_what_no_one_expected_fails_alone_and_ctrl_c_ends_it_at_once() -> None:
    begun: list[int] = []

    def make_it(item: int, given: int, error: type[BaseException]) -> int:
        begun.append(item)
        if item % 2:
            raise error(f"at {item}")
        return given

    found = overlapped(range(5), lambda item: item, partial(make_it, error=KeyError), lambda item, made: None)
    assert [(item, repr(error)) for item, error in found if error] == [(1, "KeyError('at 1')"), (3, "KeyError('at 3')")]
    begun.clear()
    with pytest.raises(KeyboardInterrupt):
        list(
            overlapped(range(5), lambda item: item, partial(make_it, error=KeyboardInterrupt), lambda item, made: None)
        )
    assert begun == [0, 1]
