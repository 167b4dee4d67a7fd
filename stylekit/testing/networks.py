"""Checks that apply to every network. Each kind of network defines how it is called and what it must return."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from stylekit.seeding import seeded
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
    pictures,
    tensors,
)
from stylekit.weights.tensors import fit, read_tensors, write_tensors


@dataclass(frozen=True)
class NetworkKind:
    """How networks of a kind are called, and what they must return.

    Attributes:
        returns: name of the check of what ``forward`` returns
        require_output: raises StylekitError unless the output of a network matches its inputs; returns a few words on it
        side: side of the images that a network is tried on
        second: further arguments of ``forward``, for a network and a batch of images; none by default
        require_built: raises StylekitError unless a network is built as its kind requires
    """

    returns: str
    require_output: Callable[[nn.Module, Any, tuple[Tensor, ...]], str]
    side: Callable[[nn.Module], int]
    second: Callable[[nn.Module, Tensor], tuple[Tensor, ...]] = lambda network, images: ()
    require_built: Callable[[nn.Module], None] = lambda network: None

    def inputs(
        self, network: nn.Module, count: int = 2, size: tuple[int, int] | None = None, channels: int = 0
    ) -> tuple[Tensor, ...]:
        """The arguments of ``forward``: images of a size (by default, the kind's ``side``), and further arguments."""
        accepted = channels_of(network)
        channels = channels or (3 if 3 in accepted else accepted[0])
        height, width = size or (self.side(network),) * 2
        images = pictures(count, height, width, channels)
        return (images, *self.second(network, images))

    def call(self, network: nn.Module, *inputs: Tensor) -> str:
        """Calls a network without gradients, and checks its output, and that it does not change its inputs."""
        before = [each.clone() for each in inputs]
        with torch.no_grad():
            out = network(*inputs)
        require(equal(before, list(inputs)), "forward changes its input: work on a copy, as in content.clone().")
        return self.require_output(network, out, inputs)


def require_rows(found: list[Tensor], inputs: tuple[Tensor, ...], what: str) -> None:
    """Raises StylekitError unless each tensor has one row per image, and only finite values."""
    require(
        all(each.ndim and len(each) == len(inputs[0]) for each in found),
        f"forward(image) must keep the batch: one row of {what} per image.",
    )
    finite = all(bool(torch.isfinite(each).all()) for each in found)
    require(finite, f"forward(image) returned {what} with NaN or infinity.")


def channels_of(network: nn.Module) -> list[int]:
    """The numbers of channels that a network accepts."""
    return list(getattr(network, "channels", (3,)))


def network_checks(kind: NetworkKind, *more: Check) -> tuple[Check, ...]:
    """The checks of a kind of network; ``more`` are checks of that kind only."""
    return (
        Check("builds", partial(_builds, kind)),
        OPTIONS,
        TENSORS,
        Check(kind.returns, partial(_output, kind)),
        *more,
        Check("odd sizes", partial(_odd, kind), after=(kind.returns,)),
        Check("channels", partial(_channels, kind)),
        Check("independence", partial(_independent, kind)),
        Check("float64", partial(_float64, kind), after=("tensors",)),
        Check("devices", partial(_device, kind), after=("tensors",)),
        Check("seed", partial(_seed, kind)),
        Check("save and load", partial(_saved, kind), after=("tensors", "seed")),
        Check("export", partial(_exported, kind)),
    )


def _builds(kind: NetworkKind, subject: Subject) -> str:
    network = subject.build()
    require(
        isinstance(network, nn.Module),
        f"The {subject.kind} must be an nn.Module, and this is a {type(network).__name__}.",
    )
    kind.require_built(network)
    channels = getattr(network, "channels", (3,))
    require(
        isinstance(channels, tuple | list) and bool(channels) and all(isinstance(n, int) and n > 0 for n in channels),
        f"The attribute channels must list the numbers of channels that the network accepts, such as (1, 3), but it is "
        f"{channels!r}: if it means something else, rename it.",
    )
    return parameters_of(network)


def shaped(kind: NetworkKind, subject: Subject, draw: int = 0) -> nn.Module:
    """The network, with lazy layers initialised."""
    network: nn.Module = subject.build(draw)
    if any(map(is_lazy, [*network.parameters(), *network.buffers()])):
        with torch.no_grad():
            drawn(network, kind.inputs(network), draw)
    return network


def _output(kind: NetworkKind, subject: Subject) -> str:
    network = subject.build().eval()
    return [kind.call(network, *kind.inputs(network, count)) for count in BATCHES][-1]


def _odd(kind: NetworkKind, subject: Subject) -> str:
    network = subject.build().eval()
    side = kind.side(network)
    kind.call(network, *kind.inputs(network, 1, ODD if side == SIDE else (side + 5, side + 3)))
    return ""


def _channels(kind: NetworkKind, subject: Subject) -> str:
    network = subject.build().eval()
    others = [channels for channels in channels_of(network) if channels != 3]
    for channels in others:
        kind.call(network, *kind.inputs(network, channels=channels))
    return f"channels {', '.join(map(str, channels_of(network)))}" if others else ""


def _independent(kind: NetworkKind, subject: Subject) -> str:
    network = shaped(kind, subject)
    if not getattr(network, "sample_independent", False):
        return ""
    batch = kind.inputs(network, 3)
    alone = tuple(each[:1] for each in batch)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    def call(seed: int, inputs: tuple[Tensor, ...]) -> list[Tensor]:
        network.load_state_dict(before)
        with seeded("forward", seed), torch.no_grad():
            return [each[:1].clone() for each in tensors(network(*inputs))]

    for training in (False, True):
        network.train(training)
        if not equal(call(0, batch), call(1, batch)):
            continue  # dropout, whose masks depend on the batch size
        error = difference(call(0, alone), call(0, batch))
        mode = "train" if training else "eval"
        require(
            error < 1e-3,
            f"sample_independent is true, but in {mode} mode the output for an image differs by {error:.2g} if it is in a "
            "batch: set sample_independent = False.",
        )
    return "images of a batch are independent"


def _float64(kind: NetworkKind, subject: Subject) -> str:
    network = shaped(kind, subject).eval()
    require_float64(network, torch.no_grad()(network), kind.inputs(network), "forward")
    return ""


def _device(kind: NetworkKind, subject: Subject) -> str:
    network = shaped(kind, subject).eval()
    require_moves(network, kind.inputs(network), "forward")
    return ""


def _seed(kind: NetworkKind, subject: Subject) -> str:
    network, again = shaped(kind, subject).eval(), shaped(kind, subject).eval()
    name = first_difference(network.state_dict(), again.state_dict())
    require(
        name is None,
        f"{name!r} differs between two builds with the same seed: draw it with torch's functions, whose generator is seeded.",
    )
    inputs = kind.inputs(network)
    with torch.no_grad():
        require(
            equal(drawn(network, inputs), drawn(network, inputs)),
            "In eval mode, forward must return the same output for the same seed: draw random numbers with torch's functions, "
            "whose generator is seeded.",
        )
    return ""


def weighted_sum(out: list[Tensor]) -> Tensor:
    """The sum of all values with random weights. A plain sum would be constant if a normalisation precedes it."""
    return torch.stack([(each * torch.rand(each.shape)).sum() for each in out]).sum()


def _gradients(kind: NetworkKind, subject: Subject) -> str:
    network = shaped(kind, subject)
    total = weighted_sum(tensors(network(*kind.inputs(network))))
    trainable = {name: p for name, p in network.named_parameters() if p.requires_grad}
    if trainable and total.requires_grad:
        total.backward()
    for name, parameter in trainable.items():
        require(
            parameter.grad is not None,
            f"The parameter {name!r} receives no gradient. Use it in forward, or freeze it with requires_grad_(False).",
        )
        finite = parameter.grad is not None and bool(torch.isfinite(parameter.grad).all())
        require(
            finite, f"The gradient of {name!r} is NaN or infinite: check divisions, roots and logarithms in forward."
        )
    # A single parameter may have a zero gradient for a good reason, such as a gate that starts closed.
    nonzero = any(bool(p.grad.any()) for p in trainable.values() if p.grad is not None)
    require(
        nonzero or not trainable,
        "All gradients are zero, so the network does not learn: avoid round() and sign(), which have no gradient.",
    )
    return ""


def gradients(kind: NetworkKind) -> Check:
    """Checks that every trainable parameter receives a gradient."""
    return Check("gradients", partial(_gradients, kind))


def _frozen(kind: NetworkKind, subject: Subject) -> str:
    network = shaped(kind, subject)
    trainable = any(p.requires_grad for p in network.parameters())
    require(not trainable, f"The {subject.kind} must be frozen: call requires_grad_(False).")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.train()(*kind.inputs(network))
    name = first_difference(before, network.state_dict())
    require(
        name is None,
        f"forward changes {name!r} in train mode, but the network is frozen: override train() to keep eval mode, as in "
        "def train(self, mode=True): return super().train(False).",
    )
    return ""


def frozen(kind: NetworkKind) -> Check:
    """Checks that no parameter is trainable, and that ``forward`` changes no buffer."""
    return Check("gradients", partial(_frozen, kind))


def _input_gradient(kind: NetworkKind, subject: Subject) -> str:
    network = subject.build()
    inputs = kind.inputs(network)
    image = inputs[0].requires_grad_()
    total = weighted_sum(tensors(network(*inputs)))
    (grad,) = torch.autograd.grad(total, image, allow_unused=True) if total.requires_grad else (None,)
    require(
        grad is not None and bool(grad.any()),
        "The output must have a gradient with respect to the image: do not use no_grad or detach in forward.",
    )
    return ""


def input_gradient(kind: NetworkKind) -> Check:
    """Checks that the output has a gradient with respect to the image."""
    return Check("gradient of the image", partial(_input_gradient, kind))


def _saved(kind: NetworkKind, subject: Subject) -> str:
    network, other = shaped(kind, subject).eval(), subject.build(1).eval()
    inputs = kind.inputs(network)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        out = drawn(network, inputs)
        path = Path(folder) / "weights.safetensors"
        write_tensors(path, network.state_dict())
        fit(other, read_tensors(path)[0], Path("the saved file"))
        require(
            equal(out, drawn(other, inputs)),
            "Saved and loaded, the network returns another output: keep everything random or learned in parameters or buffers.",
        )
    return "saves and loads"


def _exported(kind: NetworkKind, subject: Subject) -> str:
    network = shaped(kind, subject).eval()
    cure = "Do not read values of tensors in forward (.item(), if), and call only torch's functions."
    require_exports(network, kind.inputs(network), "forward", cure)
    return "exports"
