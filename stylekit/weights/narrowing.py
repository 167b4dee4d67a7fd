"""Narrows a network: removes the channels whose filters have the smallest L1 norms (Li et al. 2017, "Pruning filters for
efficient ConvNets", section 3). What is left is an ordinary network with fewer channels, not one with zeros."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

    Convolution = nn.Conv2d | nn.ConvTranspose2d


@dataclass
class Channels:
    """Channels that can only be removed together from all layers that have them.

    Attributes:
        makers: convolutions whose filters make them; there are several if their outputs are added
        passed: layers with values of their own for each channel: batch norms and depthwise convolutions
        readers: convolutions that read them, with the position of the first of them among all that the convolution reads
    """

    makers: list[Convolution] = field(default_factory=list)
    passed: list[nn.Module] = field(default_factory=list)
    readers: list[tuple[Convolution, int]] = field(default_factory=list)


def follow(layer: nn.Module, *read: Channels) -> list[Channels]:
    """The channels that a layer, or several in a row, makes from others, in order. What reads those others is added to them.

    Args:
        layer: a chain of layers: its modules run one after another, and each reads only what the one before returns
        read: what the first convolution reads, in the order of their concatenation
    """
    from torch import nn

    made: list[Channels] = []
    for part in layer.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d) and part.groups == 1:
            start = 0
            for channels in read:
                channels.readers.append((part, start))
                start += channels.makers[0].out_channels if channels.makers else 0
            read = (Channels([part]),)
            made += read
        elif isinstance(part, nn.Conv2d | nn.BatchNorm2d):
            read[-1].passed.append(part)
    return made


def narrow(network: nn.Module, groups: Sequence[Channels], width: int, narrower: int) -> dict[str, Tensor]:
    """The weights of a network after a share of each group's channels is removed.

    A channel is ranked by the L1 norm of its filter; if several convolutions make it, by the sum of the norms. Those that
    are kept stay in their order.

    Args:
        network: the network
        groups: the channels to remove from; all others, such as those of images, are kept
        width: channels that the size of every group is a multiple of
        narrower: how many of each ``width`` channels are kept, from 1 to ``width``

    Returns:
        The tensors of the network's ``state_dict()``, with fewer channels.
    """
    import torch

    names: dict[nn.Module, str] = {module: name for name, module in network.named_modules()}
    kept: dict[tuple[str, int], list[tuple[int, Tensor]]] = {}
    for channels in groups:
        norms = torch.stack([_norms(maker) for maker in channels.makers]).sum(0)
        best = norms.sort(descending=True, stable=True).indices[: len(norms) * narrower // width].sort().values
        for maker in channels.makers:
            kept[f"{names[maker]}.weight", _filters(maker)] = [(0, best)]
            kept[f"{names[maker]}.bias", 0] = [(0, best)]
        for layer in channels.passed:
            kept |= {(f"{names[layer]}.{name}", 0): [(0, best)] for name in layer.state_dict()}
        for reader, start in channels.readers:
            kept.setdefault((f"{names[reader]}.weight", 1 - _filters(reader)), []).append((start, best + start))
    state = dict(network.state_dict())
    for (name, axis), parts in kept.items():
        if name in state and state[name].ndim:  # not the number of batches that a batch norm counts
            indices = torch.cat([each for _, each in sorted(parts, key=lambda part: part[0])])
            state[name] = state[name].index_select(axis, indices)
    return state


def _filters(convolution: Convolution) -> int:
    """The axis of a convolution's weights along which its filters lie."""
    return int(convolution.transposed)


def _norms(convolution: Convolution) -> Tensor:
    weight = convolution.weight.detach()
    return weight.abs().sum([axis for axis in range(weight.ndim) if axis != _filters(convolution)])
