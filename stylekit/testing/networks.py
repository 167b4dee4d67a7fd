"""What every network must do, whatever it is for, and what generators, discriminators and encoders must do besides."""

from __future__ import annotations

import inspect
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from stylekit.seeding import seeded
from stylekit.testing.calls import channels_of, inputs_of, require_output, side_of
from stylekit.testing.devices import TENSORS, require_float64, require_moves
from stylekit.testing.graphs import require_exports
from stylekit.testing.kit import Check, Subject, require
from stylekit.testing.options import OPTIONS
from stylekit.testing.pictures import (
    BATCHES,
    ODD,
    SIDE,
    difference,
    drawn,
    equal,
    first_difference,
    parameters_of,
    require_shape,
    tensors,
)
from stylekit.weights.tensors import fit, read_tensors, write_tensors


def _builds(subject: Subject) -> str:
    network = subject.build()
    require(
        isinstance(network, nn.Module), f"It is built as {type(network).__name__}: a {subject.kind} is an nn.Module."
    )
    if subject.kind == "generator":
        require(
            _takes_style(network), "forward must take (content, style=None), also where it has no use for the style."
        )
    channels = getattr(network, "channels", (3,))
    require(
        isinstance(channels, tuple | list) and bool(channels) and all(isinstance(n, int) and n > 0 for n in channels),
        f"channels names the numbers of channels that it takes, such as (1, 3), and is {channels!r}: give that another name.",
    )
    return parameters_of(network)


def _shaped(subject: Subject, draw: int = 0) -> nn.Module:
    """The network, its lazy layers with their shapes."""
    network: nn.Module = subject.build(draw)
    if any(map(is_lazy, [*network.parameters(), *network.buffers()])):
        with torch.no_grad():
            drawn(network, inputs_of(subject, network), draw)
    return network


def _takes_style(network: nn.Module) -> bool:
    signature = inspect.signature(network.forward)
    try:
        signature.bind(None)
        signature.bind(None, None)
        return True
    except TypeError:
        return False


def _size(subject: Subject) -> str:
    network = subject.build().eval()
    for count in BATCHES:
        out = require_output(subject, network, *inputs_of(subject, network, count))
    if subject.kind == "generator":
        return f"keeps {SIDE}x{SIDE}"
    if subject.kind == "encoder":
        return f"layers {', '.join(map(str, out))}"
    return f"scores {', '.join(str(tuple(scores.shape[1:])) for scores in tensors(out))}"


def _odd(subject: Subject) -> str:
    network = subject.build().eval()
    side = side_of(subject, network)
    size = ODD if side == SIDE else (side + 5, side + 3)
    inputs = inputs_of(subject, network, 1, size)
    if subject.kind != "generator":
        require_output(subject, network, *inputs)
        return ""
    with torch.no_grad():
        require_shape(network(*inputs), inputs[0], "forward(content)")
    return f"keeps {size[0]}x{size[1]}"


def _grey(subject: Subject) -> str:
    network = subject.build().eval()
    others = [channels for channels in channels_of(network) if channels != 3]
    for channels in others:
        require_output(subject, network, *inputs_of(subject, network, channels=channels))
    return f"channels {', '.join(map(str, channels_of(network)))}" if others else ""


def _independent(subject: Subject) -> str:
    network = _shaped(subject)
    if not getattr(network, "sample_independent", False):
        return ""
    batch = inputs_of(subject, network, 3)
    alone = tuple(each[:1] for each in batch)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    def call(seed: int, inputs: tuple[Tensor, ...]) -> list[Tensor]:
        network.load_state_dict(before)
        with seeded("forward", seed), torch.no_grad():
            return [each[:1].clone() for each in tensors(network(*inputs))]

    for training in (False, True):
        network.train(training)
        if not equal(call(0, batch), call(1, batch)):
            continue  # dropout, whose masks depend on the batch's size
        apart = difference(call(0, alone), call(0, batch))
        mode = "train" if training else "eval"
        require(
            apart < 1e-3,
            f"sample_independent is true, yet in {mode} mode a picture gives something else in a batch, by {apart:.2g}: say "
            "sample_independent = False.",
        )
    return "pictures of a batch are independent"


def _float64(subject: Subject) -> str:
    network = _shaped(subject).eval()
    require_float64(network, torch.no_grad()(network), inputs_of(subject, network), "forward")
    return ""


def _device(subject: Subject) -> str:
    network = _shaped(subject).eval()
    require_moves(network, inputs_of(subject, network), "forward")
    return ""


def _seed(subject: Subject) -> str:
    network, again = _shaped(subject).eval(), _shaped(subject).eval()
    name = first_difference(network.state_dict(), again.state_dict())
    require(
        name is None,
        f"{name!r} differs between two builds of one seed: draw it with torch's own functions, which are seeded.",
    )
    inputs = inputs_of(subject, network)
    with torch.no_grad():
        require(
            equal(drawn(network, inputs), drawn(network, inputs)),
            "forward must give the same twice, in eval mode: draw it with torch's own functions, which are seeded.",
        )
    return ""


def _total(out: list[Tensor]) -> Tensor:
    """A number that depends on every value, on each with another weight: a plain sum knows nothing before a norm."""
    return torch.stack([(each * torch.rand(each.shape)).sum() for each in out]).sum()


def _gradients(subject: Subject) -> str:
    network = _shaped(subject)
    if subject.kind == "encoder":
        _require_frozen(network, inputs_of(subject, network))
        return ""
    total = _total(tensors(network(*inputs_of(subject, network))))
    learning = {name: p for name, p in network.named_parameters() if p.requires_grad}
    if learning and total.requires_grad:
        total.backward()
    for name, parameter in learning.items():
        require(
            parameter.grad is not None,
            f"The parameter {name!r} gets no gradient. Use it in forward, or freeze it: requires_grad_(False).",
        )
        finite = parameter.grad is not None and bool(torch.isfinite(parameter.grad).all())
        require(finite, f"The gradient of {name!r} is NaN or infinite.")
    # One alone may be zero for good reason, such as a gate that starts closed.
    moved = any(bool(p.grad.any()) for p in learning.values() if p.grad is not None)
    require(moved or not learning, "Every gradient is zero, so it learns nothing: round() and sign() have none.")
    return ""


def _require_frozen(network: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    learning = any(p.requires_grad for p in network.parameters())
    require(not learning, "An encoder is frozen: requires_grad_(False).")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.train()(*inputs)
    name = first_difference(before, network.state_dict())
    require(
        name is None,
        f"forward changes {name!r} in train mode, and an encoder is frozen: let its train() keep eval mode, as in "
        "def train(self, mode=True): return super().train(False).",
    )


def _picture_gradient(subject: Subject) -> str:
    network = subject.build()
    inputs = inputs_of(subject, network)
    image = inputs[0].requires_grad_()
    out = tensors(network(*inputs))
    total = _total(out)
    (slope,) = torch.autograd.grad(total, image, allow_unused=True) if total.requires_grad else (None,)
    require(
        slope is not None and bool(slope.any()),
        "The output must have a gradient for the picture: leave no_grad and detach out of forward.",
    )
    return ""


def _saved(subject: Subject) -> str:
    network, other = _shaped(subject).eval(), subject.build(1).eval()
    inputs = inputs_of(subject, network)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        out = drawn(network, inputs)
        path = Path(folder) / "weights.safetensors"
        write_tensors(path, network.state_dict())
        fit(other, read_tensors(path)[0], Path("the saved file"))
        require(
            equal(out, drawn(other, inputs)),
            "Saved and loaded, it gives something else: keep what it draws or learns in parameters or buffers.",
        )
    return "saves and loads"


def _exported(subject: Subject) -> str:
    network = _shaped(subject).eval()
    cure = "Let forward ask for no values (.item(), if on a tensor), and call torch's functions only."
    require_exports(network, inputs_of(subject, network), "forward", cure)
    return "exports"


_FIRST = (Check("builds", _builds), OPTIONS, TENSORS)
_ANY = (
    Check("odd sizes", _odd),
    Check("channels", _grey),
    Check("independence", _independent),
    Check("float64", _float64, after=("tensors",)),
    Check("devices", _device, after=("tensors",)),
    Check("seed", _seed),
    Check("gradients", _gradients),
    Check("save and load", _saved, after=("tensors", "seed")),
    Check("export", _exported),
)
_GRADIENT = Check("gradient of the picture", _picture_gradient)

GENERATOR = (*_FIRST, Check("size and range", _size), *_ANY)
DISCRIMINATOR = (*_FIRST, Check("scores", _size), _GRADIENT, *_ANY)
ENCODER = (*_FIRST, Check("features", _size), _GRADIENT, *_ANY)
