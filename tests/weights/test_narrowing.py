"""Networks with fewer channels: which are removed, and from which layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stylekit.weights import Channels, follow, narrow


def test_the_filters_with_the_smallest_norms_are_removed_from_all_layers_that_have_their_channels() -> None:
    first, alone, last = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 1, groups=4), nn.ConvTranspose2d(4, 2, 1)
    chain = nn.Sequential(first, nn.BatchNorm2d(4), alone, last)
    first.weight.data = torch.tensor([3.0, -1.0, 2.0, -4.0]).view(4, 1, 1, 1)
    first.bias = nn.Parameter(torch.arange(4.0))
    last.weight.data = torch.arange(8.0).view(4, 2, 1, 1)
    hidden, _made = follow(chain, Channels())
    state = narrow(chain, [hidden], width=4, narrower=2)
    assert state["0.weight"].flatten().tolist() == [3, -4]
    assert state["0.bias"].tolist() == [0, 3]
    assert torch.equal(state["2.weight"], alone.weight[[0, 3]])
    assert state["3.weight"].flatten().tolist() == [0, 1, 6, 7]
    assert {
        name: tensor.shape[0] for name, tensor in state.items() if tensor.ndim and name[0] in "12"
    } == dict.fromkeys(("1.weight", "1.bias", "1.running_mean", "1.running_var", "2.weight", "2.bias"), 2)


def test_the_norms_of_filters_whose_outputs_are_added_are_summed() -> None:
    first, second, last = nn.Conv2d(1, 3, 1), nn.Conv2d(1, 3, 1), nn.Conv2d(3, 1, 1)
    first.weight.data = torch.tensor([1.0, 5.0, 0.0]).view(3, 1, 1, 1)
    second.weight.data = torch.tensor([3.0, 0.0, 3.5]).view(3, 1, 1, 1)
    state = narrow(nn.Sequential(first, second, last), [Channels([first, second], [], [(last, 0)])], 3, 2)
    assert state["0.weight"].flatten().tolist() == [1, 5]
    assert torch.equal(state["2.weight"], last.weight[:, :2])


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_concatenated_channels_are_removed_at_their_positions(order: tuple[int, int]) -> None:
    makers = [nn.Conv2d(1, 2, 1), nn.Conv2d(1, 2, 1)]
    last = nn.Conv2d(4, 1, 1)
    makers[0].weight.data = torch.tensor([1.0, 2.0]).view(2, 1, 1, 1)
    makers[1].weight.data = torch.tensor([4.0, 3.0]).view(2, 1, 1, 1)
    groups = [Channels([each]) for each in makers]
    follow(last, *groups)
    state = narrow(nn.ModuleList([*makers, last]), [groups[each] for each in order], 2, 1)
    assert torch.equal(state["2.weight"], last.weight[:, [1, 2]])


def test_equal_norms_keep_the_first() -> None:
    conv = nn.Conv2d(1, 4, 1)
    nn.init.ones_(conv.weight)
    conv.bias = nn.Parameter(torch.arange(4.0))
    assert narrow(nn.Sequential(conv), [Channels([conv])], 4, 2)["0.bias"].tolist() == [0, 1]
