"""The image pool: what it returns and keeps, and that its saved state is complete."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from stylekit import ImagePool


def numbered(start: int, count: int = 1) -> Tensor:
    """Images whose pixels are their number, from 1 on."""
    return torch.arange(start, start + count, dtype=torch.float32).add(1).reshape(-1, 1, 1, 1).expand(-1, 3, 2, 2)


def pool_of(size: int, seed: int = 0) -> ImagePool:
    torch.manual_seed(seed)
    return ImagePool(size)


def numbers(images: Tensor) -> list[int]:
    assert (images == images[:, :1, :1, :1]).all()
    return [int(value) for value in images[:, 0, 0, 0]]


def test_images_are_returned_unchanged_until_the_pool_is_full() -> None:
    pool = pool_of(5)
    for number in range(5):
        assert torch.equal(pool(numbered(number)), numbered(number))
    assert numbers(pool.images) == [1, 2, 3, 4, 5]


def test_a_full_pool_returns_an_old_image_half_of_the_time() -> None:
    pool, old = pool_of(50), 0
    pool(numbered(0, 50))
    for number in range(50, 2050):
        old += numbers(pool(numbered(number))) != [number + 1]
    assert abs(old - 1000) < 4 * (2000 * 0.25) ** 0.5  # four standard deviations of a fair coin


def test_every_returned_image_was_seen_before_and_is_returned_at_most_twice() -> None:
    """Once while the pool fills, and once when it leaves the pool."""
    pool = pool_of(10)
    given: list[int] = []
    for step in range(200):
        given += numbers(pool(numbered(3 * step, 3)))
        assert max(given) <= 3 * step + 3
    assert min(given) >= 1
    assert all(given.count(number) == 1 for number in set(given) if number > 10)
    assert all(given.count(number) <= 2 for number in range(1, 11))


def test_old_images_come_from_everywhere_in_the_pool() -> None:
    """After 2000 draws, every slot has been replaced about equally often."""
    pool = pool_of(4)
    pool(numbered(0, 4))
    changes = torch.zeros(4)
    for number in range(4, 2004):
        before = pool.images[:, 0, 0, 0].clone()
        pool(numbered(number))
        changes += before != pool.images[:, 0, 0, 0]
    assert (changes - 250).abs().max() < 4 * (2000 * 0.125 * 0.875) ** 0.5


def test_a_batch_may_be_larger_than_the_pool() -> None:
    pool = pool_of(3)
    given = numbers(pool(numbered(0, 20)))
    assert len(given) == 20
    assert given[:3] == [1, 2, 3]
    assert len(numbers(pool.images)) == 3
    assert set(given) <= set(range(1, 21))


def test_a_pool_of_size_zero_returns_every_image_unchanged() -> None:
    pool, image = ImagePool(0), torch.rand(2, 3, 4, 4, requires_grad=True)
    for _ in range(3):
        assert torch.equal(pool(image), image)
        assert not pool(image).requires_grad
    assert pool.images.numel() == 0


def test_no_gradient_and_no_later_change_of_an_image_reaches_the_pool() -> None:
    pool, image = pool_of(2), torch.rand(1, 3, 4, 4, requires_grad=True)
    given = pool(image)
    assert not given.requires_grad
    with torch.no_grad():
        before = image.clone()
        image.zero_()
    assert torch.equal(pool.images[0], before[0])


def test_returned_images_do_not_change_when_they_are_replaced_in_the_pool() -> None:
    pool = pool_of(1)
    given = [pool(numbered(number)) for number in range(50)]
    assert len({number for image in given for number in numbers(image)}) > 20
    kept = [image.clone() for image in given]
    pool(numbered(50, 50))
    assert all(torch.equal(image, copied) for image, copied in zip(given, kept, strict=True))


def test_draws_depend_on_the_seed() -> None:
    def draws(seed: int) -> list[int]:
        pool = pool_of(5, seed)
        return [number for step in range(40) for number in numbers(pool(numbered(step)))]

    assert draws(1) == draws(1)
    assert draws(1) != draws(2)


def test_draws_do_not_touch_the_global_random_state() -> None:
    pool = pool_of(1)
    pool(numbered(0))
    state = torch.get_rng_state()
    pool(numbered(1, 20))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("filled", [0, 3, 20])
def test_a_fresh_pool_continues_exactly_from_a_saved_state(filled: int) -> None:
    first = pool_of(5, seed=1)
    for number in range(filled):
        first(numbered(number))
    saved = copy.deepcopy(first.state_dict())
    second = pool_of(5, seed=2)
    second.load_state_dict(saved)
    assert (second.seen, second.seed) == (filled, first.seed)
    for name, tensor in second.state_dict().items():
        assert torch.equal(tensor, saved[name]), name
    for number in range(filled, filled + 30):
        assert torch.equal(first(numbered(number)), second(numbered(number)))


@pytest.mark.parametrize("shape", [(3, 2, 2), (3, 4, 6)])
def test_a_saved_state_replaces_the_images_of_a_used_pool(shape: tuple[int, ...]) -> None:
    first, second = pool_of(5, seed=1), pool_of(5, seed=2)
    first(numbered(0, 8))
    second(torch.rand(9, *shape))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(numbered(8, 8)), second(numbered(8, 8)))


def test_an_empty_state_empties_a_used_pool() -> None:
    used, fresh = pool_of(5), pool_of(5)
    used(numbered(0, 8))
    used.load_state_dict(fresh.state_dict())
    assert used.seen == 0
    assert torch.equal(used(numbered(0, 5)), numbered(0, 5))


def test_a_restored_pool_does_not_share_memory_with_the_state() -> None:
    first, second = pool_of(5), pool_of(5)
    first(numbered(0, 5))
    second.load_state_dict(first.state_dict())
    second(numbered(5, 20))
    assert numbers(first.images) == [1, 2, 3, 4, 5]


def test_the_state_loads_as_part_of_a_larger_module() -> None:
    first, second = nn.ModuleDict({"a": pool_of(3)}), nn.ModuleDict({"a": pool_of(3)})
    first["a"](numbered(0, 3))
    second.load_state_dict(first.state_dict())
    pool = second["a"]
    assert isinstance(pool, ImagePool)
    assert numbers(pool.images) == [1, 2, 3]


def test_the_state_of_a_pool_of_another_size_is_refused() -> None:
    small, large = pool_of(3), pool_of(5)
    small(numbered(0, 3))
    with pytest.raises(RuntimeError, match="images"):
        large.load_state_dict(small.state_dict())


def test_images_of_another_shape_empty_the_pool() -> None:
    """Otherwise it would return empty images."""
    pool = pool_of(3)
    pool(numbered(0, 10))
    larger = torch.full((8, 3, 4, 4), 0.5)
    assert torch.equal(pool(larger), larger)
    assert torch.equal(pool.images, larger[:3])


def test_the_type_of_the_images_is_kept() -> None:
    pool = pool_of(2)
    assert pool(torch.rand(6, 3, 2, 2, dtype=torch.bfloat16)).dtype == torch.bfloat16


PROCESS = """
import sys, torch
from safetensors.torch import save_file
from stylekit import ImagePool
rank, folder = int(sys.argv[1]), sys.argv[2]
torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
torch.manual_seed(7)
pool = ImagePool(3)
given = []
for step in range(12):
    whole = torch.arange(4 * step, 4 * step + 4, dtype=torch.float32).add(1).reshape(-1, 1, 1, 1).expand(-1, 3, 2, 2)
    given.append(pool(whole[2 * rank : 2 * rank + 2]))
save_file({"given": torch.stack(given), **pool.state_dict()}, f"{folder}/{rank}.safetensors")
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_share_one_pool_as_one_process_with_the_whole_batch(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROCESS]
    quiet = {**os.environ, "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen([*command, str(rank), str(tmp_path)], env=quiet, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    for rank in ranks:
        _, errors = rank.communicate(timeout=60)
        assert rank.returncode == 0, errors
    pool = pool_of(3, seed=7)
    alone = torch.stack([pool(numbered(4 * step, 4)) for step in range(12)])
    halves = [load_file(tmp_path / f"{rank}.safetensors") for rank in range(2)]
    assert torch.equal(torch.cat([half["given"] for half in halves], 1), alone)
    for half in halves:
        for name, tensor in pool.state_dict().items():
            assert torch.equal(half[name], tensor), name
