"""Training: what a run writes, exact resume, interruption, NaN, several processes."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import stylekit
from stylekit import Player, StylekitError
from stylekit.seeding import seeded
from stylekit.training.checkpoint import saved_steps as checkpoint_steps
from stylekit.training.distributed import Runtime
from stylekit.training.pool import ImagePool
from stylekit.training.runs import Run
from stylekit.training.setup import build_method
from stylekit.training.signals import interruptible
from stylekit.weights.tensors import read_tensors, write_tensors
from tests.facts import assert_mentions, raises, warns
from tests.line import Line
from tests.training.signals import stopper

SMALL = {
    "generator": {"name": "resnet", "blocks": 1, "width": 4, "dropout": 0.5},
    "discriminator": {"name": "patch-sn", "layers": 1, "width": 4},
    "pool": 2,
    "ema": 0.9,
}
"""A CycleGAN with every kind of state: dropout, power iteration, a full pool, an average."""


def train(out: Path, **settings: Any) -> Path:
    return stylekit.train(
        "cyclegan", **{"out": out, "size": 32, "workers": 0, "set": SMALL, "batch_size": 2, **settings}
    )


def everything(run: Path) -> dict[str, Tensor]:
    """Every tensor of the newest checkpoint and of the model file."""
    newest = run / "checkpoints" / str(checkpoint_steps(run / "checkpoints")[-1])
    files = [newest / "method.safetensors", newest / "players.safetensors", run / "model.safetensors"]
    return {f"{file.name}:{name}": tensor for file in files for name, tensor in read_tensors(file)[0].items()}


def assert_same(one: Path, other: Path) -> None:
    first, second = everything(one), everything(other)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    assert Run(one).metrics() == Run(other).metrics()


@pytest.mark.slow
def test_a_run_writes_what_the_documentation_lists(tmp_path: Path) -> None:
    run = train(tmp_path / "run", steps=3, sample_every=2, checkpoint_every=1, keep=2)
    assert run == tmp_path / "run"
    assert sorted(path.name for path in run.iterdir()) == [
        ".lock", "checkpoints", "losses.png", "metrics.jsonl", "model.safetensors", "run.json", "samples",
    ]  # fmt: skip
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["2", "3"]
    assert sorted(path.name for path in (run / "samples").iterdir()) == ["0000001.png", "0000002.png", "0000003.png"]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert {"translate/cycle_a", "discriminate/a", "discriminate/b"} <= lines[0].keys()
    stored = json.loads((run / "run.json").read_text())
    assert stored["format"] == 3
    assert stored["settings"]["seed"] == 0
    assert stored["settings"]["data"] == {"name": "scenes"}
    assert stored["method"]["name"] == "cyclegan"
    assert stored["method"]["arguments"].items() >= SMALL.items()
    assert stored["method"]["arguments"]["cycle"] == 10
    assert stored["sessions"][0]["to"] == 3
    assert stored["versions"]["torch"] == torch.__version__


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_an_interrupted_run_resumes_bit_for_bit(tmp_path: Path, workers: int) -> None:
    whole = train(tmp_path / "whole", steps=6, checkpoint_every=3)
    # The signal comes while step 2 is recorded, so step 3 is the last.
    parted = train(tmp_path / "parted", steps=6, checkpoint_every=100, log=[stopper(tmp_path, 2, signal.SIGINT)])
    assert checkpoint_steps(parted / "checkpoints") == [3]
    assert json.loads((parted / "run.json").read_text())["sessions"][0]["ended"] == "interrupted"
    stylekit.train(resume=True, out=parted, workers=workers, checkpoint_every=3, log=[])
    assert_same(whole, parted)


@pytest.mark.slow
def test_a_killed_run_resumes_from_its_last_complete_checkpoint(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", steps=8, checkpoint_every=2)
    killed = tmp_path / "killed"
    program = f"import stylekit; stylekit.train('cyclegan', out={str(killed)!r}, size=32, workers=0, set={SMALL!r}, \
batch_size=2, steps=8, checkpoint_every=2, log=[{stopper(tmp_path, 5, signal.SIGKILL)!r}])"
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # as these tests: several threads round sums in another order
    assert subprocess.run([sys.executable, "-c", program], env=one_thread, check=False).returncode == -signal.SIGKILL
    assert checkpoint_steps(killed / "checkpoints") == [2, 4]
    (
        killed / "checkpoints" / ".stylekit-0123456789abcdef.part"
    ).mkdir()  # what a kill during the writing of a checkpoint leaves behind
    with (killed / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "trans')
    stylekit.train(resume=True, out=killed, log=[])
    assert not list((killed / "checkpoints").glob(".*"))
    assert_same(whole, killed)


@pytest.mark.long
def test_a_run_killed_while_it_writes_checkpoints_always_resumes(tmp_path: Path) -> None:
    run = tmp_path / "run"
    program = f"import stylekit; stylekit.train('cyclegan', out={str(run)!r}, size=32, workers=0, set={SMALL!r}, \
steps=500, checkpoint_every=1, keep=1, sample_every=500)"
    process = subprocess.Popen([sys.executable, "-c", program])
    for _ in range(3):
        while process.poll() is None and len(Run(run).metrics()) < 3:
            time.sleep(0.05)
        time.sleep(0.03 * (1 + _))
        process.kill()
        process.wait()
        newest = checkpoint_steps(run / "checkpoints")[-1]
        stylekit.train(resume=True, out=run, steps=newest + 1)
        program = f"import stylekit; stylekit.train(resume=True, out={str(run)!r}, steps=500)"
        process = subprocess.Popen([sys.executable, "-c", program])
    process.kill()
    process.wait()


@pytest.mark.slow
def test_a_run_with_more_steps_reports_that_schedules_change_and_keeps_the_new_number(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = train(tmp_path / "run", steps=1)
    stylekit.train(resume=True, out=run, steps=4, log=[stopper(tmp_path, 2, signal.SIGINT)], progress=True)
    line = capfd.readouterr().err.splitlines()[0]
    assert_mentions(line, "from 1 to 4", "schedules")
    assert checkpoint_steps(run / "checkpoints")[-1] == 3
    stylekit.train(resume=True, out=run, log=[])  # the number that was given last
    assert checkpoint_steps(run / "checkpoints")[-1] == 4


@pytest.mark.slow
def test_a_run_killed_before_its_first_checkpoint_starts_again(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", steps=2)
    early = tmp_path / "early"
    shutil.copytree(whole, early)
    shutil.rmtree(early / "checkpoints")
    (early / "model.safetensors").unlink()
    (early / "metrics.jsonl").write_text('{"step": 1, "discr')
    stylekit.train(resume=True, out=early)
    assert_same(whole, early)


@pytest.mark.slow
def test_a_damaged_log_is_truncated_and_the_run_resumes(tmp_path: Path) -> None:
    run = train(tmp_path / "run", steps=2)
    log = run / "metrics.jsonl"
    log.write_bytes(log.read_bytes().replace(b'{"step": 2', b"\0" * 10))
    stylekit.train(resume=True, out=run, steps=3)
    assert [line["step"] for line in Run(run).metrics()] == [1, 3]


def test_a_log_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    run = Run(tmp_path)
    with raises(StylekitError, "no space left", tmp_path / "metrics.jsonl"):
        run.log([{"step": 1}])
    with contextlib.suppress(OSError):
        run.close()


@pytest.mark.slow
def test_an_optimizers_state_of_another_shape_is_refused(tmp_path: Path) -> None:
    run = train(tmp_path / "run", steps=1)
    path = run / "checkpoints" / "1" / "players.safetensors"
    tensors, header = read_tensors(path)
    for name, wrong, facts in (
        ("/generator/average/0", torch.zeros(7, 7), ["average", "shapes"]),
        ("/generator/optimizer/state/0/exp_avg", torch.zeros(1, 1, 1, 1), ["exp_avg of parameter 0", "(1, 1, 1, 1)"]),
    ):
        write_tensors(path, {**tensors, name: wrong}, header)
        with raises(StylekitError, "player 'generator'", path, *facts):
            stylekit.train(resume=True, out=run, steps=2)


def test_compiling_without_a_compiler_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with raises(StylekitError, "--compile", "C++ compiler", "g++"):
        train(tmp_path / "run", steps=1, compile=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_number_of_workers_has_no_effect(tmp_path: Path) -> None:
    assert_same(train(tmp_path / "none", steps=3, workers=0), train(tmp_path / "two", steps=3, workers=2))


@pytest.mark.slow
def test_a_run_depends_on_its_seed_and_the_callers_random_state_is_unchanged(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one = train(tmp_path / "one", steps=2, seed=1)
    assert torch.equal(torch.rand(3), expected)
    assert_same(one, train(tmp_path / "again", steps=2, seed=1))
    other = everything(train(tmp_path / "other", steps=2, seed=2))
    assert not torch.equal(other["model.safetensors:generator_ab.model.1.weight"],
                           everything(one)["model.safetensors:generator_ab.model.1.weight"])  # fmt: skip


@pytest.mark.slow
def test_resume_refuses_other_settings_and_lists_them(tmp_path: Path) -> None:
    run = train(tmp_path / "run", steps=1)
    with raises(StylekitError, run, "size was 32, now 64", "--out"):
        stylekit.train(resume=True, out=run, size=64, steps=2)
    with raises(StylekitError, run, 1, "--steps"):
        stylekit.train(resume=True, out=run)
    with raises(StylekitError, tmp_path / "nowhere", "run.json"):
        stylekit.train(resume=True, out=tmp_path / "nowhere")
    with raises(StylekitError, run, "--resume", "--out"):
        train(run, steps=2)


@pytest.mark.slow
def test_a_run_of_an_older_format_is_not_resumed_and_its_model_still_loads(tmp_path: Path) -> None:
    run = train(tmp_path / "run", steps=1)
    stored = json.loads((run / "run.json").read_text())
    del stored["format"]
    (run / "run.json").write_text(json.dumps(stored))
    with raises(StylekitError, run, "format 1", "format 3", f"--init {run} --out"):
        stylekit.train(resume=True, out=run, steps=2)
    assert stylekit.load(run, "cpu").name == "cyclegan"
    train(tmp_path / "new", steps=1, init=str(run))  # as the message says


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "file"),
    [
        (
            lambda c: (c / "method.safetensors").write_bytes((c / "method.safetensors").read_bytes()[:-9]),
            "method.safetensors",
        ),
        (lambda c: (c / "players.safetensors").unlink(), "players.safetensors"),
        (lambda c: (c / "state.json").write_text('{"step": 1'), "state.json"),
    ],
)
def test_a_damaged_checkpoint_is_named(tmp_path: Path, damage: Callable[[Path], None], file: str) -> None:
    run = train(tmp_path / "run", steps=1)
    damage(run / "checkpoints" / "1")
    with raises(StylekitError, run / "checkpoints" / "1" / file, f"remove {run}/checkpoints/1 "):
        stylekit.train(resume=True, out=run, steps=2)


def test_nan_stops_the_run_names_the_term_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    # The rehearsal does not change the buffer, so the fifth step is the fifth forward.
    checkpoint = tmp_path / "run" / "checkpoints" / "4"
    with raises(StylekitError, "step 5", "term 'square'", "turn 'fit'", "nan", checkpoint, "learning rate"):
        stylekit.train(Line(fail_at=5), out=tmp_path / "run", size=32, steps=9, checkpoint_every=2, workers=0)
    assert checkpoint_steps(tmp_path / "run" / "checkpoints") == [2, 4]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["sessions"][0]["ended"] == "failed"


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    class Exploding(Line):
        def players(self) -> dict[str, Player]:
            return {
                "learner": Player(self.value, optimizer=lambda parameters, **_: torch.optim.SGD(parameters, math.inf))
            }

    with raises(StylekitError, "step 1", "tensor 'value.weight'", "NaN"):
        stylekit.train(Exploding(), out=tmp_path / "run", size=32, steps=2, checkpoint_every=1, workers=0)
    assert checkpoint_steps(tmp_path / "run" / "checkpoints") == []


@pytest.mark.slow
def test_a_full_disk_leaves_the_old_checkpoint_and_is_reported(tmp_path: Path) -> None:
    run = train(tmp_path / "run", steps=2, checkpoint_every=2)
    before = everything(run)
    program = f"""
import resource, sys, stylekit
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # files may not grow, as on a full disk
try:
    stylekit.train(resume=True, out={str(run)!r}, steps=4)
except stylekit.StylekitError as error:
    sys.exit(str(error))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert_mentions(result.stderr, "no space left", run)
    assert everything(run).keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in everything(run).items())
    assert not list((run / "checkpoints").glob(".*"))


def penalised(folder: Path) -> Path:
    """A plugin file with a gradient penalty, which differentiates twice."""
    path = folder / "penalised.py"
    path.write_text('''
import torch
from stylekit import hookimpl, turn
from stylekit_plugins.methods.cyclegan import CycleGAN

class Penalised(CycleGAN):
    """CycleGAN with R1 (Mescheder et al. 2018)."""

    @turn("discriminator", interval=2)
    def penalty(self, batch, made):
        real = batch["style"].detach().requires_grad_()
        (slope,) = torch.autograd.grad(self.adversary_b.discriminator(real).sum(), real, create_graph=True)
        return {"r1": slope.square().sum((1, 2, 3)).mean()}

@hookimpl
def stylekit_methods():
    return {"penalised": Penalised}
''')
    return path


@pytest.mark.slow
@pytest.mark.parametrize("discriminator", ["patch", pytest.param("patch-sn", marks=pytest.mark.long)])
def test_two_processes_train_like_one_with_the_same_global_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, discriminator: str
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as this process: several threads round sums in another order
    plugin = str(penalised(tmp_path))
    network = {"name": "resnet", "blocks": 1, "width": 4}
    shared: dict[str, Any] = {
        "size": 32, "steps": 3, "batch_size": 4, "workers": 0, "seed": 1,  # with 0, rounding errors grow faster
        "set": {"generator": network, "discriminator": {"name": discriminator, "layers": 1, "width": 4}, "ema": 0.9, "pool": 5},
    }  # fmt: skip
    one = everything(stylekit.train(plugin, out=tmp_path / "one", **shared))
    two = everything(stylekit.train(plugin, out=tmp_path / "two", devices=2, device="cpu", **shared))
    assert one.keys() == two.keys()
    assert any("penalty/r1" in line for line in Run(tmp_path / "two").metrics())
    for name, tensor in one.items():
        if tensor.is_floating_point() and not name.startswith("players"):
            difference = (two[name] - tensor).abs()
            # Rounding may change the sign of a gradient that is almost zero, and Adam takes a whole step for it.
            assert (difference <= 1e-5).float().mean() >= 0.98, name
            assert difference.max() < 2e-4, name  # less than one step


@pytest.mark.slow
def test_an_error_in_spawned_processes_is_raised_here(tmp_path: Path) -> None:
    with raises(StylekitError, "batch of 3", "2 processes", "multiple of 2"):
        train(tmp_path / "run", devices=2, device="cpu", batch_size=3, steps=1)


@pytest.mark.slow
def test_the_average_follows_the_weights_closely_at_first_and_the_model_holds_it(tmp_path: Path) -> None:
    state = everything(train(tmp_path / "run", steps=1))
    name = "generator_ab.model.1.weight"
    moved = everything(train(tmp_path / "plain", steps=1, set={**SMALL, "ema": None}))[f"method.safetensors:{name}"]
    with seeded(0, "setup"):
        start = build_method(Run(tmp_path / "run").settings())[1].state_dict()[name]
    # The decay of the first update is 1/10, not 0.9.
    torch.testing.assert_close(state[f"model.safetensors:{name}"], 0.1 * start + 0.9 * moved, rtol=0, atol=1e-7)


def test_a_failing_logger_is_disabled_with_one_warning_and_the_run_continues(tmp_path: Path) -> None:
    broken = tmp_path / "broken_logger.py"
    broken.write_text(
        "from stylekit import hookimpl\n@hookimpl\ndef stylekit_step_finished(step, metrics):\n    1 / 0\n"
    )
    with warns(stylekit.StylekitWarning, "broken_logger", "ZeroDivisionError") as caught:
        run = train(tmp_path / "run", steps=3, log=[str(broken)])
    assert len(caught) == 1
    assert len(Run(run).metrics()) == 3


@pytest.mark.slow
def test_tensorboard_logs_a_run(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = train(tmp_path / "run", steps=2, log=["tensorboard"])
    board = events.EventAccumulator(str(run / "tensorboard"))
    board.Reload()
    cycle = board.Scalars("translate/cycle_a")
    assert {point.step: point.value for point in cycle} == pytest.approx(
        {line["step"]: line["translate/cycle_a"] for line in Run(run).metrics()}
    )


@pytest.mark.slow
def test_bf16_trains_and_is_close_to_float32(tmp_path: Path) -> None:
    plain = Run(train(tmp_path / "plain", steps=1)).metrics()
    half = Run(train(tmp_path / "half", steps=1, precision="bf16")).metrics()
    assert half[0]["translate/cycle_a"] == pytest.approx(plain[0]["translate/cycle_a"], rel=0.02)
    assert half != plain


def test_a_second_interrupt_is_raised_at_once() -> None:
    with interruptible() as interrupted:
        signal.raise_signal(signal.SIGINT)
        assert interrupted()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.slow
def test_processes_average_gradients_and_share_buffers() -> None:
    """A gradient that one process lacks counts as zero; of buffers, floats are averaged, others are the main process's."""
    from torch.multiprocessing.spawn import start_processes

    with tempfile.TemporaryDirectory() as folder:
        start_processes(_communicate, (folder,), nprocs=2, start_method="spawn")


def _communicate(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    fabric = type("Fabric", (), {"device": torch.device("cpu"), "global_rank": rank, "world_size": 2})
    both, one, none = (nn.Parameter(torch.zeros(2)) for _ in range(3))
    both.grad = torch.full((2,), float(rank + 1))
    if rank == 1:
        one.grad = torch.full((2,), 4.0)
    runtime = Runtime(fabric)
    runtime.average_gradients([both, one, none])
    assert both.grad.tolist() == [1.5, 1.5]
    assert one.grad is not None
    assert one.grad.tolist() == [2.0, 2.0]
    assert none.grad is None
    method, pool = nn.Module(), ImagePool(1)
    pool.images, method.pool = torch.full((1, 3, 2, 2), float(rank)), pool
    lowest = torch.finfo(torch.float32).min
    for name, value in {"mean": [0.0, 4.0], "count": [0], "flag": [False], "empty": [], "mask": [lowest]}.items():
        method.register_buffer(name, torch.tensor(value))
    with runtime.shared_buffers(method):
        method.get_buffer("mean")[0] = rank
        method.get_buffer("count").add_(rank + 3)
        method.flag = torch.tensor([not rank])  # replaced
    names = ("mean", "count", "flag", "mask")
    assert [method.get_buffer(name).tolist() for name in names] == [[0.5, 4.0], [3], [True], [lowest]]
    assert float(pool.images.mean()) == rank  # a real pool is the same in all processes already
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
