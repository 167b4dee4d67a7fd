"""A CycleGAN training step as in the paper's PyTorch code, for comparison with stylekit's step.

It has six generator passes, four discriminator passes for the discriminators' update and two for the generators', uses
torch's instance norm, and switches ``requires_grad`` off and on. The networks, weights and losses are the same.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit.layers import InstanceNorm, NarrowConv2d
from stylekit_plugins.methods.cyclegan import CycleGAN


class TorchInstanceNorm(nn.Module):
    """``nn.InstanceNorm2d`` without parameters, which needs no number of channels."""

    def forward(self, x: Tensor) -> Tensor:
        return F.instance_norm(x)


def with_torch_layers(network: nn.Module) -> nn.Module:
    """A copy of the network with torch's own layers, in which all parameters are trainable."""
    network = copy.deepcopy(network).requires_grad_(True)
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, InstanceNorm):
                setattr(module, name, nn.Sequential(TorchInstanceNorm(), *_plain_activation(child)))
            elif isinstance(child, NarrowConv2d):
                setattr(module, name, _plain_conv(child))
    return network


def _plain_activation(norm: InstanceNorm) -> list[nn.Module]:
    relus: dict[str, list[nn.Module]] = {
        "none": [],
        "relu": [nn.ReLU(inplace=True)],
        "leaky_relu": [nn.LeakyReLU(0.2, inplace=True)],
    }
    return relus[norm.activation]


def _plain_conv(conv: nn.Conv2d) -> nn.Conv2d:
    plain = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size)  # type: ignore[arg-type]
    plain.load_state_dict(conv.state_dict())
    return plain


class PlainCycleGAN:
    """The four networks, their two optimizers and the training step.

    Args:
        method: method that provides the weights; its image pools must be disabled
        lr: learning rate
    """

    def __init__(self, method: CycleGAN, lr: float = 2e-4) -> None:
        self.g_ab, self.g_ba = with_torch_layers(method.generator_ab), with_torch_layers(method.generator_ba)
        self.d_a = with_torch_layers(method.adversary_a.discriminator)
        self.d_b = with_torch_layers(method.adversary_b.discriminator)
        generators = [*self.g_ab.parameters(), *self.g_ba.parameters()]
        discriminators = [*self.d_a.parameters(), *self.d_b.parameters()]
        self.generator_steps = torch.optim.Adam(generators, lr=lr, betas=(0.5, 0.999))
        self.discriminator_steps = torch.optim.Adam(discriminators, lr=lr, betas=(0.5, 0.999))

    def step(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        """Updates all four networks once, and returns the losses."""
        fake_b, fake_a = self.g_ab(a), self.g_ba(b)
        back_a, back_b = self.g_ba(fake_b), self.g_ab(fake_a)

        self._train_discriminators(False)
        self.generator_steps.zero_grad()
        losses = {
            "identity_b": 10 * F.l1_loss(self.g_ab(b), b),
            "identity_a": 10 * F.l1_loss(self.g_ba(a), a),
            "fool_b": self._mse(self.d_b(fake_b), 1.0),
            "fool_a": self._mse(self.d_a(fake_a), 1.0),
            "cycle_a": 20 * F.l1_loss(back_a, a),
            "cycle_b": 20 * F.l1_loss(back_b, b),
        }
        torch.stack(list(losses.values())).sum().backward()
        self.generator_steps.step()

        self._train_discriminators(True)
        self.discriminator_steps.zero_grad()
        for name, discriminator, real, fake in (("judge_b", self.d_b, b, fake_b), ("judge_a", self.d_a, a, fake_a)):
            loss = 0.5 * (self._mse(discriminator(real), 1.0) + self._mse(discriminator(fake.detach()), 0.0))
            loss.backward()
            losses[name] = loss
        self.discriminator_steps.step()
        return {name: loss.detach() for name, loss in losses.items()}

    def _train_discriminators(self, trainable: bool) -> None:
        for network in (self.d_a, self.d_b):
            network.requires_grad_(trainable)

    @staticmethod
    def _mse(scores: Tensor, label: float) -> Tensor:
        return F.mse_loss(scores, torch.full_like(scores, label))
