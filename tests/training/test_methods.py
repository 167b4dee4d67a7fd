"""Methods of many kinds in the engine: with ``prepare``, labels, tensors of their own, and a schedule by progress."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

import stylekit
from stylekit import Method, Player, StylekitError, turn
from stylekit.method import Batch, Terms, linear_decay
from stylekit.training.checkpoint import saved_steps
from stylekit.training.runs import Run
from stylekit.weights.tensors import read_tensors
from tests.facts import raises
from tests.training.signals import stopper

TINY: dict[str, Any] = {"size": 32, "workers": 0}


class Base(Method):
    """A convolution that learns to make everything grey."""

    batch_keys = ("content",)

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Conv2d(3, 3, 1)

    def players(self) -> dict[str, Player]:
        return {"it": Player(self.net, 0.1, torch.optim.SGD)}

    @turn("it")
    def fit(self, batch: Batch, made: Any) -> Terms:
        return {"square": (self.net(batch["content"]) - 0.5).square().mean()}

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        return self.net(content).clamp(0, 1)


class Gradual(Base):
    """Logs the progress that it sees."""

    @turn("it")
    def fit(self, batch: Batch, made: Any) -> Terms:
        return {**super().fit(batch, made), "progress": torch.tensor(self.progress)}


@pytest.mark.slow
def test_progress_is_exact_at_each_step_also_after_resuming(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = stylekit.train(Gradual(), out=tmp_path / "whole", steps=8, **TINY)
    expected = [step / 8 for step in range(8)]
    assert [line["fit/progress"] for line in Run(whole).metrics()] == expected
    torch.manual_seed(0)
    log = [stopper(tmp_path, 2, signal.SIGINT)]
    parted = stylekit.train(Gradual(), out=tmp_path / "parted", steps=8, log=log, **TINY)
    assert saved_steps(parted / "checkpoints") == [3]
    stylekit.train(Gradual(), resume=True, out=parted, log=[])
    assert [line["fit/progress"] for line in Run(parted).metrics()] == expected
    assert all(map(torch.equal, *(read_tensors(run / "model.safetensors")[0].values() for run in (whole, parted))))


class Rising(Base):
    """Two numbers in two parameter groups, the second with its own learning rate; each gradient is -1."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

    def players(self) -> dict[str, Player]:
        def groups(parameters: list[nn.Parameter], lr: float) -> torch.optim.Optimizer:
            one, two = parameters
            return torch.optim.SGD([{"params": [one]}, {"params": [two], "lr": 0.25}], lr)

        return {"it": Player([self.first, self.second], 1.0, groups, linear_decay)}

    @turn("it")
    def fit(self, batch: Batch, made: Any) -> Terms:
        return {"sum": -(self.first + self.second).sum()}


def test_a_resumed_run_keeps_the_learning_rates_of_parameter_groups(tmp_path: Path) -> None:
    log = [stopper(tmp_path, 4, signal.SIGINT)]
    run = stylekit.train(Rising(), out=tmp_path / "run", steps=8, log=log, **TINY)
    assert saved_steps(run / "checkpoints") == [5]  # where the schedule has begun to fall
    stylekit.train(Rising(), resume=True, out=run, log=[])
    weights, _ = read_tensors(run / "model.safetensors")
    # The factors are 1 for steps 0 to 4, then 0.75, 0.5 and 0.25.
    assert (float(weights["first"]), float(weights["second"])) == (6.5, 0.25 * 6.5)


class Reversed(Base):
    """Its optimizer has the parameters in another order than the player."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv2d(3, 8, 1)
        self.narrow = nn.Conv2d(8, 3, 1)

    def players(self) -> dict[str, Player]:
        def groups(parameters: list[nn.Parameter], lr: float) -> torch.optim.Optimizer:
            return torch.optim.Adam(
                [{"params": self.narrow.parameters(), "lr": 0.01}, {"params": self.wide.parameters()}]
            )

        return {"it": Player([self.wide, self.narrow], 0.1, groups)}

    @turn("it")
    def fit(self, batch: Batch, made: Any) -> Terms:
        return {"square": (self.narrow(self.wide(batch["content"])) - 0.5).square().mean()}


def test_a_run_resumes_whatever_the_order_of_parameter_groups(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = stylekit.train(Reversed(), out=tmp_path / "whole", steps=6, **TINY)
    torch.manual_seed(0)
    parted = stylekit.train(
        Reversed(), out=tmp_path / "parted", steps=6, log=[stopper(tmp_path, 2, signal.SIGINT)], **TINY
    )
    stylekit.train(Reversed(), resume=True, out=parted, log=[])
    assert Run(whole).metrics() == Run(parted).metrics()


class Frozen(Base):
    """Has a teacher that stays in evaluation mode."""

    inference_modules = ("net",)

    def prepare(self) -> None:
        self.teacher = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Dropout()).requires_grad_(False).eval()

    @turn("it")
    def fit(self, batch: Batch, made: Any) -> Terms:
        difference = self.net(batch["content"]) - self.teacher(batch["content"])
        return {"square": difference.square().mean(), "training": torch.tensor(float(self.teacher[1].training))}


def test_sample_grids_leave_each_module_in_its_own_mode(tmp_path: Path) -> None:
    method = Frozen()
    run = stylekit.train(method, out=tmp_path / "run", steps=3, sample_every=1, **TINY)
    assert [line["fit/training"] for line in Run(run).metrics()] == [0, 0, 0]
    assert method.net.training
    assert int(method.teacher[1].num_batches_tracked) == 0


class Merging(nn.Conv2d):
    """Adds an update to its weight for evaluation, and removes it for training (Hu et al. 2022)."""

    merged = False

    def train(self, mode: bool = True) -> Merging:
        if self.merged == mode:
            self.weight.data += 0.5 if not mode else -0.5
            self.merged = not mode
        return super().train(mode)


class Adapted(Base):
    def __init__(self) -> None:
        super().__init__()
        self.net = Merging(3, 3, 1)

    @turn("it")
    def fit(self, batch: Batch, made: Any) -> Terms:
        return {**super().fit(batch, made), "merged": torch.tensor(float(self.net.merged))}


def test_sample_grids_return_to_training_by_the_modules_own_functions(tmp_path: Path) -> None:
    method = Adapted()
    run = stylekit.train(method, out=tmp_path / "run", steps=3, sample_every=1, **TINY)
    assert [line["fit/merged"] for line in Run(run).metrics()] == [0, 0, 0]


class Bank(nn.Module):
    """A buffer that loads in any shape."""

    values: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("values", torch.empty(0, 3))

    def _load_from_state_dict(self, state: Any, prefix: str, *rest: Any) -> None:
        self.values = state[f"{prefix}values"].clone()


class Collected(Base):
    def __init__(self) -> None:
        super().__init__()
        self.bank = Bank()

    def prepare(self) -> None:
        self.bank.values = torch.rand(5, 3)


def test_prepare_may_fill_a_buffer_that_loads_in_any_shape(tmp_path: Path) -> None:
    run = stylekit.train(Collected(), out=tmp_path / "run", steps=1, **TINY)
    assert stylekit.load(run, "cpu", method=Collected).method.get_buffer("bank.values").shape == (5, 3)


class Nested(Base):
    """Puts a teacher into a module that the model file has."""

    def __init__(self) -> None:
        super().__init__()
        self.nets = nn.ModuleDict({"student": nn.Conv2d(3, 3, 1)})

    def prepare(self) -> None:
        self.nets["teacher"] = nn.Conv2d(3, 3, 1)


class Filled(Base):
    """Fills a buffer of another shape."""

    target: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("target", torch.empty(0))

    def prepare(self) -> None:
        self.target = torch.rand(1, 3)


@pytest.mark.parametrize(("method", "name"), [(Nested, "nets.teacher.weight"), (Filled, "target")])
def test_prepare_may_not_change_what_the_model_file_has(method: type[Method], name: str, tmp_path: Path) -> None:
    with raises(StylekitError, f"prepare of {method.__name__}", f"'{name}'", "model file", "constructor"):
        stylekit.train(method(), out=tmp_path / "run", steps=1, **TINY)

    class Excluded(method):  # type: ignore[valid-type,misc]
        inference_modules = ("net",)

    run = stylekit.train(Excluded(), out=tmp_path / "other", steps=1, **TINY)
    stylekit.load(run, "cpu", method=Excluded).stylize(torch.rand(1, 3, 8, 8))


class Drawing(Base):
    """Stylises without options, and draws with one."""

    def sample(self, count: int, *, label: int) -> Tensor:  # type: ignore[override]
        return torch.full((count, 3, 8, 8), label / 10)


def test_a_required_option_of_sample_does_not_matter_to_the_grids_of_a_method_that_stylises(tmp_path: Path) -> None:
    run = stylekit.train(Drawing(), out=tmp_path / "run", steps=1, **TINY)
    assert (run / "samples" / "0000001.png").is_file()


PREPARED = '''
import torch
from torch import nn
from stylekit import Method, Player, hookimpl, turn

EVENTS = []

class Prepared(Method):
    """Learns what a teacher shows.

    Args:
        width: of nothing
    """

    batch_keys = ("content",)
    inference_modules = ("net",)

    def __init__(self, width: int = 1):
        super().__init__()
        self.net = nn.Conv2d(3, 3, 1)

    def to(self, *args, **kwargs):
        if args:  # the engine also sets the memory format
            EVENTS.append("to a device")
        return super().to(*args, **kwargs)

    def prepare(self, target: float = 0.5, teacher: str = ""):
        """Builds the teacher.

        Args:
            target: what is learned
            teacher: a name
        """
        EVENTS.append(f"prepare {target} {teacher!r}")
        self.teacher = nn.Conv2d(3, 3, 1).requires_grad_(False)
        nn.init.zeros_(self.teacher.weight)
        nn.init.constant_(self.teacher.bias, target)

    def players(self):
        return {"net": Player(self.net, 0.5, torch.optim.SGD)}

    def forward(self, batch):
        EVENTS.append("forward")

    @turn("net")
    def follow(self, batch, made):
        return {"far": (self.net(batch["content"]) - self.teacher(batch["content"])).square().mean()}

    def stylize(self, content, style=None):
        return self.net(content).clamp(0, 1)

@hookimpl
def stylekit_methods():
    return {"prepared": Prepared}
'''


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A plugin file whose method needs a teacher to train."""
    path = tmp_path / "prepared.py"
    path.write_text(PREPARED)
    return path


def events() -> list[str]:
    """What happened to the method since the last call."""
    seen: list[str] = sys.modules["stylekit_file_prepared"].EVENTS
    happened = list(seen)
    seen.clear()
    return happened


def test_prepare_is_called_once_on_the_device_before_the_rehearsal_and_never_by_load(
    prepared: Path, tmp_path: Path
) -> None:
    given = {"target": 0.25, "width": 2}
    run = stylekit.train(str(prepared), out=tmp_path / "run", steps=2, set=given, **TINY)
    assert events() == ["to a device", "prepare 0.25 ''", "forward", "forward", "forward"]  # a rehearsal and two steps
    stylekit.train(str(prepared), resume=True, out=run, steps=3)
    assert events() == ["to a device", "prepare 0.25 ''", "forward", "forward"]
    for model in (run, run / "model.safetensors", run / "checkpoints" / "3"):
        loaded = stylekit.load(model, "cpu")
        assert not hasattr(loaded.method, "teacher")
        loaded.stylize(torch.rand(1, 3, 8, 8))
    assert [event for event in events() if event != "to a device"] == []
    tensors, header = read_tensors(run / "model.safetensors")
    assert {name.split(".")[0] for name in tensors} == {"net"}
    assert json.loads(header["arguments"]) == {"width": 2}
    assert json.loads((run / "run.json").read_text())["settings"]["set"] == given


def test_a_teacher_of_a_method_without_inference_modules_is_not_in_the_model_file(
    prepared: Path, tmp_path: Path
) -> None:
    prepared.write_text(PREPARED.replace('    inference_modules = ("net",)\n', ""))
    run = stylekit.train(str(prepared), out=tmp_path / "run", steps=1, **TINY)
    assert {name.split(".")[0] for name in read_tensors(run / "model.safetensors")[0]} == {"net"}
    stylekit.load(run, "cpu").stylize(torch.rand(1, 3, 8, 8))
    stylekit.train(str(prepared), resume=True, out=run, steps=2)


@pytest.mark.slow
def test_a_checkpoint_with_a_teacher_loads_as_a_model(prepared: Path, tmp_path: Path) -> None:
    prepared.write_text(PREPARED.replace('    inference_modules = ("net",)\n', ""))
    run = stylekit.train(str(prepared), out=tmp_path / "run", steps=1, **TINY)
    stylekit.load(run / "checkpoints" / "1", "cpu").stylize(torch.rand(1, 3, 8, 8))


@pytest.mark.slow
def test_arguments_of_prepare_have_an_effect_and_are_validated(prepared: Path, tmp_path: Path) -> None:
    run = stylekit.train(str(prepared), out=tmp_path / "run", steps=30, set={"target": "0.75"}, **TINY)
    assert Run(run).metrics()[-1]["follow/far"] < 0.05
    made = stylekit.load(run, "cpu").stylize(torch.full((1, 3, 8, 8), 0.5))
    assert float(made.mean()) == pytest.approx(0.75, abs=0.1)
    with raises(StylekitError, "method 'prepared'", "'target'", "'much'"):
        stylekit.train(str(prepared), out=tmp_path / "wrong", steps=1, set={"target": "much"}, **TINY)
    with raises(StylekitError, "method 'prepared'", "'traget'", "did you mean 'target'", "width"):
        stylekit.train(str(prepared), out=tmp_path / "wrong", steps=1, set={"traget": 1}, **TINY)
    with raises(StylekitError, "set was", "'0.75'"):
        stylekit.train(str(prepared), resume=True, out=run, steps=31, set={"target": 0.5})
    with raises(StylekitError, "method 'prepared'", "'target'"):  # not an argument of the model
        stylekit.load(run, "cpu", target=0.5)


def test_a_method_built_by_hand_is_prepared_with_set(tmp_path: Path) -> None:
    class Taught(Base):
        seen: ClassVar[list[float]] = []

        def prepare(self, target: float = 0.5) -> None:
            self.seen.append(target)

    stylekit.train(Taught(), out=tmp_path / "run", steps=1, set={"target": 2}, **TINY)
    assert Taught.seen == [2.0]
    with raises(StylekitError, "Taught", "'net'", "target"):
        stylekit.train(Taught(), out=tmp_path / "other", steps=1, set={"net": 2}, **TINY)


class Owning(Base):
    """Has a parameter and buffers of its own, which a model file leaves out, or not."""

    seen: Tensor
    center: Tensor

    inference_modules = ("net",)

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("center", torch.full((3,), 0.5))
        self.weight = nn.Parameter(torch.ones(()))

    def players(self) -> dict[str, Player]:
        return {"it": Player([self.net, self.weight], 0.1, torch.optim.SGD)}

    @turn("it")
    def fit(self, batch: Batch, made: Any) -> Terms:
        self.seen += 1
        difference = self.net(batch["content"]) - self.center.view(1, 3, 1, 1)
        return {"square": self.weight.square() * difference.square().mean()}


@pytest.mark.parametrize("kept", [(), ("seen",), ("center",), ("weight",), ("weight", "center", "seen")])
def test_a_model_file_may_leave_out_tensors_of_the_method_itself(tmp_path: Path, kept: tuple[str, ...]) -> None:
    class Partial(Owning):
        inference_modules = ("net", *kept)

    run = stylekit.train(Partial(), out=tmp_path / "run", steps=3, **TINY)
    tensors, _ = read_tensors(run / "model.safetensors")
    assert tensors.keys() == {"net.weight", "net.bias", *kept}
    model = stylekit.load(run, "cpu", method=Partial)
    image = torch.rand(1, 3, 8, 8)
    expected = nn.functional.conv2d(image, tensors["net.weight"], tensors["net.bias"]).clamp(0, 1)
    torch.testing.assert_close(model.stylize(image), expected, rtol=0, atol=1e-6)
    for name in kept:
        assert torch.equal(model.method.get_buffer(name) if name != "weight" else model.method.weight, tensors[name])
    checkpoint = stylekit.load(run / "checkpoints" / "3", "cpu", method=Partial)
    torch.testing.assert_close(checkpoint.stylize(image), expected, rtol=0, atol=1e-6)
    stylekit.train(Partial(), resume=True, out=run, steps=4)
    state, _ = read_tensors(run / "checkpoints" / "4" / "method.safetensors")
    assert int(state["seen"]) == 4  # a checkpoint has everything


DIGITS = '''
import torch
from torch import nn
from stylekit import Method, Player, hookimpl, turn

class Shades:
    """Grey images, labelled by their shade."""

    item_keys = ("content",)

    def __init__(self, size=8, seed=0, split="train"):
        self.size = size

    def __len__(self):
        return 6

    def __getitem__(self, index):
        label = index % 3
        return {"content": torch.full((3, self.size, self.size), label / 4), "label": label}

class Labelled(Method):
    """Learns the shade of each label."""

    batch_keys = ("label", "content")
    reads = "shades"

    def __init__(self):
        super().__init__()
        self.shades = nn.Embedding(3, 3)
        nn.init.zeros_(self.shades.weight)

    def players(self):
        return {"shades": Player(self.shades, 0.5, torch.optim.SGD)}

    def forward(self, batch):
        assert batch["label"].dtype == torch.int64
        return self.shades(batch["label"])[:, :, None, None]

    @turn("shades")
    def match(self, batch, made):
        return {"square": (made - batch["content"]).square().sum((1, 2, 3)).mean() / batch["content"][0, 0].numel()}

    def preview(self, batch):
        made = self.forward(batch).expand_as(batch["content"])
        return {"content": batch["content"], "learned": made.clamp(0, 1)}

    def sample(self, count, *, label: int = 0):
        return self.shades.weight[label].view(1, 3, 1, 1).expand(count, 3, 8, 8)

@hookimpl
def stylekit_methods():
    return {"labelled-shades": Labelled}

@hookimpl
def stylekit_datasets():
    return {"shades": Shades}
'''


@pytest.mark.parametrize("workers", [0, 1])
def test_labels_in_items_are_trained_on_and_previewed(tmp_path: Path, workers: int) -> None:
    (tmp_path / "digits.py").write_text(DIGITS)
    run = stylekit.train(
        str(tmp_path / "digits.py"), out=tmp_path / "run", steps=20, batch_size=6, size=8, workers=workers
    )
    assert json.loads((run / "run.json").read_text())["settings"]["data"] == {"name": "shades"}
    assert Run(run).metrics()[-1]["match/square"] < 0.01
    assert (run / "samples" / "0000020.png").is_file()
    model = stylekit.load(run, "cpu")
    for label in range(3):
        drawn = model.sample(2, label=label)
        torch.testing.assert_close(drawn, torch.full((2, 3, 8, 8), label / 4), rtol=0, atol=0.05)
