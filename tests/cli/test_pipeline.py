"""The pipeline: reading, processing and writing at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

import pytest

from stylekit import StylekitError
from stylekit.cli.pipeline import AHEAD, ahead, run_pipeline


def test_steps_overlap_in_order_and_few_items_are_in_memory() -> None:
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
    done = len(failed)  # failed items are never written, and are not in memory
    assert most <= 2 * AHEAD + 2 + done


def test_an_unexpected_error_fails_one_item_and_ctrl_c_stops_at_once() -> None:
    started: list[int] = []

    def make_it(item: int, given: int, error: type[BaseException]) -> int:
        started.append(item)
        if item % 2:
            raise error(f"at {item}")
        return given

    found = run_pipeline(range(5), lambda item: item, partial(make_it, error=KeyError), lambda item, made: None)
    assert [(item, repr(error)) for item, error in found if error] == [(1, "KeyError('at 1')"), (3, "KeyError('at 3')")]
    started.clear()
    with pytest.raises(KeyboardInterrupt):
        list(
            run_pipeline(
                range(5), lambda item: item, partial(make_it, error=KeyboardInterrupt), lambda item, made: None
            )
        )
    assert started == [0, 1]


def test_items_are_processed_together_or_alone() -> None:
    """Items below 10 may go together; two of them meet at a barrier that one alone would never pass."""
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


def test_few_items_are_in_memory_while_several_are_processed() -> None:
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
    assert most <= 2 * AHEAD + 3 + 1  # read ahead; in the threads, finished or being written; and the current one


def test_a_thread_iterates_ahead_by_a_few_items() -> None:
    made: list[int] = []
    reached = threading.Event()

    def items() -> Iterator[int]:
        assert threading.current_thread() is not threading.main_thread()
        for item in range(10):
            made.append(item)
            if item == 3:
                reached.set()
            yield item

    given = ahead(items(), 2)
    assert next(given) == 0
    assert reached.wait(10)  # one is used, two are ready, and one waits for room
    assert made == [0, 1, 2, 3]
    assert list(given) == [*range(1, 10)]


def test_an_error_ahead_is_raised_where_the_items_are_used() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("no more")

    given = ahead(items())
    assert next(given) == 1
    with pytest.raises(OSError, match="no more"):
        next(given)


def test_closing_stops_the_thread() -> None:
    ended = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from range(10**9)
        finally:
            ended.set()

    before = threading.active_count()
    given = ahead(items())
    assert next(given) == 0
    given.close()
    assert threading.active_count() == before
    assert ended.wait(10)
