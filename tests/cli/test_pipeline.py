"""Reading, making and writing at the same time."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from stylekit import StylekitError
from stylekit.cli.pipeline import AHEAD, run_pipeline


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

    found = list(run_pipeline(range(1, 31), load_it, make_it, write_it))
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

    found = run_pipeline(range(5), lambda item: item, partial(make_it, error=KeyError), lambda item, made: None)
    assert [(item, repr(error)) for item, error in found if error] == [(1, "KeyError('at 1')"), (3, "KeyError('at 3')")]
    begun.clear()
    with pytest.raises(KeyboardInterrupt):
        list(
            run_pipeline(
                range(5), lambda item: item, partial(make_it, error=KeyboardInterrupt), lambda item, made: None
            )
        )
    assert begun == [0, 1]


def test_several_are_made_at_once_but_for_those_that_are_made_alone() -> None:
    """Items below 10 may go together; two of them meet at a barrier, which one alone would never pass."""
    meeting = threading.Barrier(2, timeout=20)
    main, prepared = threading.get_ident(), set[int]()
    making, alone, written = set[int](), list[set[int]](), list[int]()

    def make_it(item: int, given: int) -> int:
        making.add(item)
        if item < 10:
            assert threading.get_ident() in prepared
            meeting.wait()
        else:
            assert threading.get_ident() == main
            alone.append(set(making))
        making.discard(item)
        if item in (3, 12):
            raise StylekitError(f"cannot make {item}")
        return given + 1

    def write_it(item: int, made: int) -> None:
        assert made == item + 1
        written.append(item)

    items = [0, 1, 10, 2, 3, 11, 12, 4, 5]
    found = list(
        run_pipeline(
            items,
            lambda item: item,
            make_it,
            write_it,
            2,
            lambda: prepared.add(threading.get_ident()),
            lambda n: n < 10,
        )
    )
    assert [item for item, _ in found] == items
    assert {item: str(error) for item, error in found if error} == {3: "cannot make 3", 12: "cannot make 12"}
    assert alone == [{10}, {11}, {12}]
    assert sorted(written) == sorted(set(items) - {3, 12})


def test_few_are_held_while_several_are_made() -> None:
    lock, held, most = threading.Lock(), 0, 0

    def load_it(item: int) -> int:
        nonlocal held, most
        with lock:
            held += 1
            most = max(most, held)
        return item

    def write_it(item: int, made: int) -> None:
        nonlocal held
        with lock:
            held -= 1

    assert len(list(run_pipeline(range(60), load_it, lambda item, given: given, write_it, 3))) == 60
    assert most <= 2 * AHEAD + 3 + 1  # read ahead; made, done or being written; and the one in hand
