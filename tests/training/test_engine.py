"""Training: steps, exact resume, interruption, NaN, several processes."""

from __future__ import annotations

import json
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
from stylekit import Method, Player, StylekitError, turn
from stylekit.method import Batch, Terms
from stylekit.seeding import seeded
from stylekit.training.checkpoint import saved_steps as checkpoint_steps
from stylekit.training.distributed import Runtime
from stylekit.training.player_state import PlayerState
from stylekit.training.runs import Run
from stylekit.training.setup import build_method
from stylekit.weights.tensors import read_tensors, write_tensors
from tests.line import Line

SMALL = {
    "generator": {"name": "resnet", "blocks": 1, "width": 4, "dropout": 0.5},
    "discriminator": {"name": "patch-sn", "layers": 1, "width": 4},
    "pool": 2,
    "ema": 0.9,
}
"""A CycleGAN with everything that changes in training: dropout, power iteration, a full pool, an average."""

FOLLOWER = """
import os, signal
from stylekit import hookimpl

@hookimpl
def stylekit_step_finished(step, metrics):
    if step == {step}:
        os.kill(os.getpid(), {signal})
"""


def train(out: Path, **settings: Any) -> Path:
    return stylekit.train(
        "cyclegan", **{"out": out, "size": 32, "workers": 0, "set": SMALL, "batch_size": 2, **settings}
    )


def stopper(folder: Path, step: int, number: signal.Signals) -> str:
    """A plugin file that sends this process a signal after a step."""
    path = folder / f"stop_at_{step}.py"
    path.write_text(FOLLOWER.format(step=step, signal=int(number)))
    return str(path)


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


def test_a_run_leaves_what_the_documentation_says(tmp_path: Path) -> None:
    run = train(tmp_path / "run", steps=3, sample_every=2, checkpoint_every=1, keep=2)
    assert run == tmp_path / "run"
    assert sorted(path.name for path in run.iterdir()) == [
        "checkpoints", "losses.png", "metrics.jsonl", "model.safetensors", "run.json", "samples",
    ]  # fmt: skip
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["2", "3"]
    assert sorted(path.name for path in (run / "samples").iterdir()) == ["0000001.png", "0000002.png", "0000003.png"]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert {"translate/cycle_a", "judge_a/real", "judge_b/fake"} <= lines[0].keys()
    told = json.loads((run / "run.json").read_text())
    assert told["settings"]["seed"] == 0
    assert told["method"]["name"] == "cyclegan"
    assert told["method"]["arguments"].items() >= SMALL.items()
    assert told["method"]["arguments"]["cycle"] == 10
    assert told["sessions"][0]["to"] == 3
    assert told["versions"]["torch"] == torch.__version__


@pytest.mark.parametrize("workers", [0, 2])
def test_an_interrupted_run_resumes_bit_for_bit(tmp_path: Path, workers: int) -> None:
    whole = train(tmp_path / "whole", steps=6, checkpoint_every=3)
    # The signal comes while step 2 is recorded, so step 3 is the last.
    parted = train(tmp_path / "parted", steps=6, checkpoint_every=100, log=[stopper(tmp_path, 2, signal.SIGINT)])
    assert checkpoint_steps(parted / "checkpoints") == [3]
    assert json.loads((parted / "run.json").read_text())["sessions"][0]["ended"] == "interrupted"
    stylekit.train(resume=True, out=parted, workers=workers, checkpoint_every=3, log=[])
    assert_same(whole, parted)


def test_killed_at_any_moment_a_run_goes_on_from_its_last_whole_checkpoint(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", steps=8, checkpoint_every=2)
    killed = tmp_path / "killed"
    program = f"import stylekit; stylekit.train('cyclegan', out={str(killed)!r}, size=32, workers=0, set={SMALL!r}, \
batch_size=2, steps=8, checkpoint_every=2, log=[{stopper(tmp_path, 5, signal.SIGKILL)!r}])"
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # as these tests: sums are rounded in another order by more
    assert subprocess.run([sys.executable, "-c", program], env=one_thread, check=False).returncode == -signal.SIGKILL
    assert checkpoint_steps(killed / "checkpoints") == [2, 4]
    (killed / "checkpoints" / ".6.abcd.part").mkdir()  # as a kill within the writing of a checkpoint leaves it
    with (killed / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "trans')
    stylekit.train(resume=True, out=killed, log=[])
    assert not list((killed / "checkpoints").glob(".*"))
    assert_same(whole, killed)


def test_killed_while_it_writes_checkpoints_a_run_is_never_broken(tmp_path: Path) -> None:
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


def test_a_longer_run_is_told_of_its_schedules_and_keeps_its_new_length(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = train(tmp_path / "run", steps=1)
    stylekit.train(resume=True, out=run, steps=4, log=[stopper(tmp_path, 2, signal.SIGINT)], progress=True)
    assert "was to have 1 steps: schedules are stretched to 4" in capfd.readouterr().err
    assert checkpoint_steps(run / "checkpoints")[-1] == 3
    stylekit.train(resume=True, out=run, log=[])  # the length that was given last
    assert checkpoint_steps(run / "checkpoints")[-1] == 4


def test_killed_before_its_first_checkpoint_a_run_starts_again(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", steps=2)
    early = tmp_path / "early"
    shutil.copytree(whole, early)
    shutil.rmtree(early / "checkpoints")
    (early / "model.safetensors").unlink()
    (early / "metrics.jsonl").write_text('{"step": 1, "judge')
    stylekit.train(resume=True, out=early)
    assert_same(whole, early)


def test_a_damaged_log_is_cut_and_no_reason_to_stop(tmp_path: Path) -> None:
    run = train(tmp_path / "run", steps=2)
    log = run / "metrics.jsonl"
    log.write_bytes(log.read_bytes().replace(b'{"step": 2', b"\0" * 10))
    stylekit.train(resume=True, out=run, steps=3)
    assert [line["step"] for line in Run(run).metrics()] == [1, 3]


def test_a_log_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(StylekitError, match=r"no space left to write .*metrics\.jsonl"):
        Run(tmp_path).log({"step": 1})


def test_an_optimisers_state_of_another_shape_is_refused(tmp_path: Path) -> None:
    run = train(tmp_path / "run", steps=1)
    path = run / "checkpoints" / "1" / "players.safetensors"
    tensors, told = read_tensors(path)
    for name, wrong, message in (
        ("/generator/average/0", torch.zeros(7, 7), "its average has other shapes"),
        ("/generator/optimizer/state/0/exp_avg", torch.zeros(1, 1, 1, 1), "exp_avg of parameter 0 is"),
    ):
        write_tensors(path, {**tensors, name: wrong}, told)
        refused = rf"player 'generator' in .*players\.safetensors does not fit.*{message}"
        with pytest.raises(StylekitError, match=refused):
            stylekit.train(resume=True, out=run, steps=2)


def test_compiling_without_a_compiler_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(StylekitError, match=r"--compile needs a C\+\+ compiler"):
        train(tmp_path / "run", steps=1, compile=True)
    assert not (tmp_path / "run").exists()


def test_the_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    assert_same(train(tmp_path / "none", steps=3, workers=0), train(tmp_path / "two", steps=3, workers=2))


def test_the_seed_decides_and_the_callers_random_state_is_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one = train(tmp_path / "one", steps=2, seed=1)
    assert torch.equal(torch.rand(3), expected)
    assert_same(one, train(tmp_path / "again", steps=2, seed=1))
    other = everything(train(tmp_path / "other", steps=2, seed=2))
    assert not torch.equal(other["model.safetensors:generator_ab.model.1.weight"],
                           everything(one)["model.safetensors:generator_ab.model.1.weight"])  # fmt: skip


def test_resume_refuses_other_settings_and_lists_them(tmp_path: Path) -> None:
    run = train(tmp_path / "run", steps=1)
    with pytest.raises(StylekitError, match=r"other settings: size was 32, now 64.*leave these out"):
        stylekit.train(resume=True, out=run, size=64, steps=2)
    with pytest.raises(StylekitError, match=r"has made 1 steps already. Ask for more"):
        stylekit.train(resume=True, out=run)
    with pytest.raises(StylekitError, match=r"There is no run in .*nowhere"):
        stylekit.train(resume=True, out=tmp_path / "nowhere")
    with pytest.raises(StylekitError, match=r"There is a run in .* already"):
        train(run, steps=2)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda c: (c / "method.safetensors").write_bytes((c / "method.safetensors").read_bytes()[:-9]),
            "method.safetensors",
        ),
        (lambda c: (c / "players.safetensors").unlink(), "players.safetensors"),
        (lambda c: (c / "state.json").write_text('{"step": 1'), "state.json"),
    ],
)
def test_a_damaged_checkpoint_is_named(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    run = train(tmp_path / "run", steps=1)
    damage(run / "checkpoints" / "1")
    with pytest.raises(StylekitError, match=rf"{message}.*Remove .*to go on from the checkpoint before"):
        stylekit.train(resume=True, out=run, steps=2)


def test_nan_stops_the_run_names_the_term_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    # Rehearsal leaves the buffer as it was, so the fifth step is the fifth forward.
    with pytest.raises(
        StylekitError, match=r"At step 5 the term 'square' of the turn 'fit' became nan.*checkpoints/4.*lower learning"
    ):
        stylekit.train(Line(fail_at=5), out=tmp_path / "run", size=32, steps=9, checkpoint_every=2, workers=0)
    assert checkpoint_steps(tmp_path / "run" / "checkpoints") == [2, 4]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["sessions"][0]["ended"] == "failed"


def test_weights_that_are_no_numbers_are_never_saved(tmp_path: Path) -> None:
    class Exploding(Line):
        def players(self) -> dict[str, Player]:
            return {"learner": Player(self.value, optimizer=torch.optim.SGD, lr=float("inf"))}

    with pytest.raises(StylekitError, match=r"'value.weight' holds NaN or infinity"):
        stylekit.train(Exploding(), out=tmp_path / "run", size=32, steps=2, checkpoint_every=1, workers=0)
    assert checkpoint_steps(tmp_path / "run" / "checkpoints") == []


def test_a_full_disk_leaves_the_old_checkpoint_and_says_so(tmp_path: Path) -> None:
    run = train(tmp_path / "run", steps=2, checkpoint_every=2)
    before = everything(run)
    program = f"""
import resource, sys, stylekit
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # a file may not grow: what a full disk does, for one process
try:
    stylekit.train(resume=True, out={str(run)!r}, steps=4)
except stylekit.StylekitError as error:
    sys.exit(str(error))
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert "There is no space left to write" in told.stderr
    assert "Nothing that was there is lost" in told.stderr
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
        (slope,) = torch.autograd.grad(self.discriminator_b(real).sum(), real, create_graph=True)
        return {"r1": slope.square().sum((1, 2, 3)).mean()}

@hookimpl
def stylekit_methods():
    return {"penalised": Penalised}
''')
    return path


@pytest.mark.slow
@pytest.mark.parametrize("discriminator", ["patch", "patch-sn"])
def test_two_processes_train_like_one_with_the_same_global_batch(tmp_path: Path, discriminator: str) -> None:
    plugin = str(penalised(tmp_path))
    network = {"name": "resnet", "blocks": 1, "width": 4}
    shared: dict[str, Any] = {
        "size": 32, "steps": 3, "batch_size": 4, "workers": 0,
        "set": {"generator": network, "discriminator": {"name": discriminator, "layers": 1, "width": 4}, "ema": 0.9, "pool": 5},
    }  # fmt: skip
    one = everything(stylekit.train(plugin, out=tmp_path / "one", **shared))
    two = everything(stylekit.train(plugin, out=tmp_path / "two", devices=2, device="cpu", **shared))
    assert one.keys() == two.keys()
    assert any("penalty/r1" in line for line in Run(tmp_path / "two").metrics())
    for name, tensor in one.items():
        if tensor.is_floating_point() and not name.startswith("players"):
            apart = (two[name] - tensor).abs()
            # A gradient that is nearly zero is rounded otherwise in another process, and Adam makes a step of it.
            assert (apart <= 1e-5).float().mean() >= 0.98, name
            assert apart.max() < 2e-4, name  # less than a step


def test_an_error_in_a_second_process_is_told_like_one_in_the_first(tmp_path: Path) -> None:
    with pytest.raises(
        StylekitError, match=r"A batch of 3 cannot be shared evenly by 2 processes. Choose a multiple of 2"
    ):
        train(tmp_path / "run", devices=2, device="cpu", batch_size=3, steps=1)


class Counting(Method):
    """Two turns, one of them lazy; plain gradients, so that an update can be computed by hand."""

    batch_keys = ("content",)

    def __init__(self, lazy: int = 1, update_every: int = 1) -> None:
        super().__init__()
        self.net = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.net.weight)
        self.update_every = update_every

    def players(self) -> dict[str, Player]:
        return {"it": Player(self.net, lr=1.0, optimizer=torch.optim.SGD, update_every=self.update_every)}

    @turn("it")
    def often(self, batch: Batch, made: None) -> Terms:
        return {"one": -self.net.weight.sum()}

    @turn("it", interval=4)
    def seldom(self, batch: Batch, made: None) -> Terms:
        return {"ten": -10 * self.net.weight.sum()}


def weights_after(
    method: Method, steps: int, total: int = 100, schedule: Callable[[float], float] | None = None
) -> list[float]:
    from stylekit.training.distributed import launch
    from stylekit.training.engine import step
    from stylekit.training.settings import validate_settings

    seen: list[float] = []

    def work(runtime: Any, settings: Any) -> None:
        player = method.players()["it"]
        if schedule:
            player.schedule = schedule
        players = [PlayerState("it", player, method.turns())]
        for index in range(steps):
            step(method, players, {}, index, total, runtime)
            seen.append(float(next(method.parameters()).detach()))

    launch(work, validate_settings({"plugin": "counting"}))
    return seen


def test_due_turns_are_summed_and_a_lazy_one_is_scaled_by_its_period() -> None:
    # Each step moves by 1; steps 0 and 4 by 4 * 10 more.
    assert weights_after(Counting(), 6) == [41, 42, 43, 44, 85, 86]


def test_a_player_that_rests_is_not_scaled_and_its_lazy_turns_count_its_updates() -> None:
    assert weights_after(Counting(update_every=2), 10) == [41, 41, 42, 42, 43, 43, 44, 44, 85, 85]


def test_the_schedule_is_a_function_of_progress() -> None:
    from stylekit.method import linear_decay

    moves = weights_after(Counting(), 4, total=4, schedule=linear_decay)
    assert moves == pytest.approx([41, 42, 43, 43.5])  # factors 1, 1, 1, 0.5


def test_the_average_follows_the_weights_quickly_at_first_and_is_what_the_model_holds(tmp_path: Path) -> None:
    state = everything(train(tmp_path / "run", steps=1))
    name = "generator_ab.model.1.weight"
    moved = everything(train(tmp_path / "plain", steps=1, set={**SMALL, "ema": None}))[f"method.safetensors:{name}"]
    with seeded(0, "setup"):
        start = build_method(Run(tmp_path / "run").settings())[1].state_dict()[name]
    # The decay of the first update is 1/10, although 0.9 was asked for.
    torch.testing.assert_close(state[f"model.safetensors:{name}"], 0.1 * start + 0.9 * moved, rtol=0, atol=1e-7)


def test_a_failing_logger_is_left_out_with_one_warning_and_the_run_goes_on(tmp_path: Path) -> None:
    broken = tmp_path / "broken_logger.py"
    broken.write_text(
        "from stylekit import hookimpl\n@hookimpl\ndef stylekit_step_finished(step, metrics):\n    1 / 0\n"
    )
    with pytest.warns(stylekit.StylekitWarning, match=r"broken_logger.*ZeroDivisionError") as caught:
        run = train(tmp_path / "run", steps=3, log=[str(broken)])
    assert len(caught) == 1
    assert len(Run(run).metrics()) == 3


def test_tensorboard_follows_a_run(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = train(tmp_path / "run", steps=2, log=["tensorboard"])
    board = events.EventAccumulator(str(run / "tensorboard"))
    board.Reload()
    cycle = board.Scalars("translate/cycle_a")
    assert {point.step: point.value for point in cycle} == pytest.approx(
        {line["step"]: line["translate/cycle_a"] for line in Run(run).metrics()}
    )


def test_bf16_trains_and_stays_near_float32(tmp_path: Path) -> None:
    plain = Run(train(tmp_path / "plain", steps=1)).metrics()
    half = Run(train(tmp_path / "half", steps=1, precision="bf16")).metrics()
    assert half[0]["translate/cycle_a"] == pytest.approx(plain[0]["translate/cycle_a"], rel=0.02)
    assert half != plain


def test_a_second_interrupt_is_not_held_back() -> None:
    from stylekit.training.engine import _interruptible

    with _interruptible() as asked:
        signal.raise_signal(signal.SIGINT)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_parameter_that_learns_in_one_process_only_is_averaged_with_zero() -> None:
    """What ``average_gradients`` does, with a process of its own for each gradient."""
    from torch.multiprocessing.spawn import start_processes

    with tempfile.TemporaryDirectory() as folder:
        start_processes(_average_alone, (folder,), nprocs=2, start_method="spawn")


def _average_alone(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    fabric = type("Fabric", (), {"device": torch.device("cpu"), "global_rank": rank, "world_size": 2})
    both, one, none = (nn.Parameter(torch.zeros(2)) for _ in range(3))
    both.grad = torch.full((2,), float(rank + 1))
    if rank == 1:
        one.grad = torch.full((2,), 4.0)
    Runtime(fabric).average_gradients([both, one, none])
    assert both.grad.tolist() == [1.5, 1.5]
    assert one.grad is not None
    assert one.grad.tolist() == [2.0, 2.0]
    assert none.grad is None
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
