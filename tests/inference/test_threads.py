"""Threads may stylise with one model: each gets what it would get alone, and the process's random numbers are untouched."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stylekit import Method, make
from stylekit.inference.model import Model
from stylekit.method import Capabilities, Statistics
from stylekit.registry import lookup
from stylekit.seeding import seeded
from tests.tensors import noise

ROUNDS = 20


class Noise(Method):
    """Draws from all three generators, with pauses in which another thread may draw."""

    style_modules = ()

    def describe(self, style: Tensor) -> Statistics:
        return {"mean": style.mean((2, 3))}

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        drawn = torch.rand_like(content)
        time.sleep(0.0005)
        drawn = drawn * random.random()
        time.sleep(0.0005)
        return drawn * float(np.random.rand()) + torch.rand_like(content) / 2

    def sample(self, count: int) -> Tensor:
        return self.transfer(torch.zeros(count, 3, 4, 4), {})


def states() -> tuple[object, ...]:
    return torch.get_rng_state().tolist(), repr(np.random.get_state()), random.getstate()


def at_once(*calls: Callable[[], Tensor]) -> list[Tensor]:
    """The results of calls that start together, each in a thread of its own."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Tensor]) -> Tensor:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(run, call) for call in calls]]


STYLE = noise(1, 3, 4, 4)


def stylizing(model: Model, seed: int) -> Callable[[], Tensor]:
    return lambda: model.stylize(noise(1, 3, 8, 8, seed=seed), STYLE, seed=seed)


def clip(model: Model, seed: int) -> Callable[[], Tensor]:
    frames = [noise(1, 3, 8, 8, seed=seed + number) for number in range(3)]
    return lambda: torch.cat(list(model.frames(frames, STYLE, seed=seed)))


def sampling(model: Model, seed: int) -> Callable[[], Tensor]:
    return lambda: model.sample(2, seed=seed)


@pytest.mark.parametrize("kind", [stylizing, clip, sampling])
def test_threads_of_a_method_that_draws_get_the_same_as_alone(
    kind: Callable[[Model, int], Callable[[], Tensor]],
) -> None:
    model = Model(Noise(), "noise")
    calls = [kind(model, 0), kind(model, 1)]
    alone = [call() for call in calls]
    assert not torch.equal(*alone)
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)
    before = states()
    for _ in range(ROUNDS):
        assert all(torch.equal(one, two) for one, two in zip(at_once(*calls), alone, strict=True))
        assert states() == before


def test_threads_with_models_of_their_own_do_not_share_random_numbers() -> None:
    calls = [stylizing(Model(Noise(), "noise"), 0), sampling(Model(Noise(), "noise"), 1)]
    alone, before = [call() for call in calls], states()
    for _ in range(ROUNDS):
        assert all(torch.equal(one, two) for one, two in zip(at_once(*calls), alone, strict=True))
        assert states() == before


def test_a_built_in_method_that_is_not_thread_safe_takes_turns() -> None:
    model = Model(make("method", "adain", **lookup.find_part("method", "adain").presets["tiny"]), "adain")
    assert not model.method.capabilities.thread_safe
    style, calls = noise(1, 3, 32, 32, seed=9), []
    for seed in (0, 1):
        calls.append(partial(model.stylize, noise(1, 3, 32, 40, seed=seed), style))
    alone = [call() for call in calls]
    for _ in range(3):
        assert all(torch.equal(one, two) for one, two in zip(at_once(*calls), alone, strict=True))


class Wait(Method):
    """Returns when two threads are within it, or after a while."""

    style_modules = ()

    def __init__(self, met: threading.Barrier) -> None:
        super().__init__()
        self.met = met

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        try:
            self.met.wait()
            return torch.ones_like(content)
        except threading.BrokenBarrierError:
            return torch.zeros_like(content)


class WaitSafely(Wait):
    capabilities = Capabilities(thread_safe=True)


@pytest.mark.parametrize(("method", "together"), [(WaitSafely, True), (Wait, False)])
def test_only_thread_safe_methods_stylise_in_several_threads_at_once(method: type[Wait], together: bool) -> None:
    model = Model(method(threading.Barrier(2, timeout=10 if together else 0.3)), "wait")
    call = partial(model.stylize, noise(1, 3, 4, 4))
    assert [float(out.mean()) for out in at_once(call, call)] == [float(together)] * 2


def test_a_thread_safe_method_is_not_seeded() -> None:
    class Draw(Noise):
        capabilities = Capabilities(thread_safe=True)

        def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
            return torch.rand_like(content)  # which it should not

    torch.manual_seed(7)
    wanted = torch.rand(1, 3, 8, 8)
    torch.manual_seed(7)
    assert torch.equal(Model(Draw(), "draw").stylize(noise(1, 3, 8, 8), STYLE), wanted)


def test_stylising_within_a_seeded_block_does_not_wait_for_itself() -> None:
    model = Model(Noise(), "noise")
    wanted = stylizing(model, 0)()
    with seeded("outer"):
        first = torch.rand(3)
        assert torch.equal(stylizing(model, 0)(), wanted)
        second = torch.rand(3)
    with seeded("outer"):
        assert torch.equal(torch.rand(3), first)
        assert torch.equal(torch.rand(3), second)


class Sketch(Method):
    """Describes a random column of a style, and keeps on itself what it works on, as forward hooks do."""

    style_modules = ()

    def keep(self, image: Tensor) -> Tensor:
        self.kept = image
        time.sleep(0.0005)
        return self.kept

    def styles(self) -> dict[str, Statistics]:
        return {"half": {"column": self.keep(torch.full((1, 3), 0.5))}}

    def describe(self, style: Tensor) -> Statistics:
        column = int(torch.randint(style.shape[-1], ()))
        return {"column": self.keep(style)[..., column].mean(-1)}

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        return (self.keep(content) + style["column"][..., None, None]) / 2


def test_threads_take_turns_to_describe_styles_too() -> None:
    model = Model(Sketch(), "sketch")
    styles = [noise(1, 3, 8, 50, seed=seed) for seed in (0, 1)]
    calls: list[Callable[[], Tensor]] = [lambda: model.stylize(noise(1, 3, 5, 6), styles[0])]
    calls.append(lambda: model.style(styles[1]).statistics["column"])
    calls.append(lambda: model.stylize(noise(1, 3, 6, 7), "half"))
    calls.append(lambda: torch.cat(list(model.frames([noise(1, 3, 4, 4)] * 2, styles[1]))))
    calls.append(lambda: torch.tensor(len(model.summary())))
    alone, before = [call() for call in calls], states()
    for _ in range(ROUNDS):
        assert all(torch.equal(one, two) for one, two in zip(at_once(*calls), alone, strict=True))
        assert states() == before


def test_a_style_is_described_alike_for_all_seeds_and_images_and_ahead() -> None:
    model, style = Model(Sketch(), "sketch"), noise(1, 3, 8, 500)
    before = states()
    first, second, content = model.style(style), model.style(style), noise(1, 3, 4, 4)
    assert torch.equal(first.statistics["column"], second.statistics["column"])
    for seed in (0, 1):
        assert torch.equal(model.stylize(content, style, seed=seed), model.stylize(content, first, seed=seed))
    both = model.stylize(content, [noise(1, 3, 8, 300, seed=1), style])
    assert torch.equal(both, model.stylize(content, [model.style(noise(1, 3, 8, 300, seed=1)), first]))
    assert states() == before


def test_a_clip_is_seeded_before_its_first_frame_and_after_its_last() -> None:
    class Ends(Noise):
        def frames(self, contents: Iterable[Tensor], style: Any = None, **options: Any) -> Iterator[Tensor]:
            first = torch.rand(())  # not in a generator, so it is drawn when frames() is called

            def made() -> Iterator[Tensor]:
                for content in contents:
                    yield content * first
                assert not torch.is_grad_enabled()
                torch.rand(())

            return made()

    model, contents = Model(Ends(), "ends"), [noise(1, 3, 4, 4)] * 2
    before = states()
    one, two = (list(model.frames(contents, STYLE)) for _ in range(2))
    assert torch.equal(one[0], two[0])
    assert states() == before
