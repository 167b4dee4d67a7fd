"""CycleGAN against what the paper's own code computes, and against a plain training step written by hand.

The paper's code names networks by where they start or what they score: G_A translates a to b, D_A scores b. Its images are
in [-1, 1].
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

import stylekit
from stylekit import StylekitError
from stylekit.inference.importing import import_model
from stylekit.method import linear_decay
from stylekit.training.distributed import Runtime
from stylekit.training.player_state import player_states
from stylekit.training.rehearsal import rehearse
from stylekit.training.settings import validate_settings
from stylekit.training.setup import build_method
from stylekit.training.steps import step
from stylekit_plugins.generators.resnet import ResNet
from stylekit_plugins.methods.cyclegan import CycleGAN, together
from tests.facts import assert_mentions, raises

Weights = dict[str, Tensor]
SMALL: dict[str, Any] = {
    "generator": {"name": "resnet", "blocks": 1, "width": 4},
    "discriminator": {"name": "patch", "layers": 1, "width": 4},
}
ROLES = {
    "G_A": "generator_ab",
    "G_B": "generator_ba",
    "D_A": "adversary_b.discriminator",
    "D_B": "adversary_a.discriminator",
}


def batch(side: int = 16, count: int = 1) -> dict[str, Tensor]:
    return {"content": torch.rand(count, 3, side, side), "style": torch.rand(count, 3, side, side)}


@pytest.fixture(scope="module")
def folder(fixtures: Path) -> Path:
    return fixtures / "cyclegan"


@pytest.fixture(scope="module")
def reference(folder: Path) -> Weights:
    return load_file(folder / "expected.safetensors")


@pytest.fixture(scope="module")
def states(folder: Path) -> dict[str, Weights]:
    return {role: torch.load(folder / f"latest_net_{role}.pth", weights_only=True) for role in ROLES}


@pytest.fixture
def method(states: dict[str, Weights]) -> CycleGAN:
    method = CycleGAN(
        generator={"name": "resnet", "blocks": 6, "width": 4}, discriminator={"name": "patch", "width": 4}, pool=0
    )
    for role, name in ROLES.items():
        method.get_submodule(name).load_state_dict(states[role])
    return method


@pytest.fixture
def inputs(reference: Weights) -> Weights:
    return {"content": (reference["real_A"] + 1) / 2, "style": (reference["real_B"] + 1) / 2}


@pytest.mark.parametrize(
    ("theirs", "ours"), [("fake_A", "fake_a"), ("fake_B", "fake_b"), ("rec_A", "back_a"), ("rec_B", "back_b")]
)
def test_images_are_those_of_the_papers_code(
    method: CycleGAN, inputs: Weights, reference: Weights, theirs: str, ours: str
) -> None:
    made = method(inputs)
    assert (made[ours] * 2 - 1 - reference[theirs]).abs().max() < 1e-5


def test_scores_are_those_of_the_papers_code(method: CycleGAN, reference: Weights) -> None:
    scores = method.adversary_b.discriminator((reference["fake_B"] + 1) / 2)
    assert (scores - reference["D_A_of_fake_B"]).abs().max() < 1e-5


def total(terms: Weights) -> Tensor:
    return torch.stack(list(terms.values())).sum()


def test_losses_are_those_of_the_papers_code(method: CycleGAN, inputs: Weights, folder: Path) -> None:
    theirs = json.loads((folder / "expected.json").read_text())["losses"]
    made = method(inputs)
    translated, scored = method.translate(inputs, made), method.discriminate(inputs, made)
    ours = {
        "D_A": scored["b"],
        "D_B": scored["a"],
        "G_A": translated["adversarial_b"],
        "G_B": translated["adversarial_a"],
        "cycle_A": translated["cycle_a"],
        "cycle_B": translated["cycle_b"],
        "idt_A": translated["identity_b"],  # G_A is given what is in b already
        "idt_B": translated["identity_a"],
        "G": total(translated),
    }
    assert set(scored) == {"a", "b"}
    assert {name: value.item() for name, value in ours.items()} == pytest.approx(theirs, rel=1e-5)


def generate(w: Weights, x: Tensor) -> Tensor:
    """The generator of six blocks on [-1, 1], written out."""

    def conv(x: Tensor, key: str, **how: int) -> Tensor:
        return F.conv2d(x, w[f"model.{key}.weight"], w[f"model.{key}.bias"], **how)

    def pad(x: Tensor, margin: int) -> Tensor:
        return F.pad(x, [margin] * 4, mode="reflect")

    x = F.relu(F.instance_norm(conv(pad(x, 3), "1")))
    for key in ("4", "7"):
        x = F.relu(F.instance_norm(conv(x, key, stride=2, padding=1)))
    for block in range(10, 16):
        inner = F.relu(F.instance_norm(conv(pad(x, 1), f"{block}.conv_block.1")))
        x = x + F.instance_norm(conv(pad(inner, 1), f"{block}.conv_block.5"))
    for key in ("16", "19"):
        weight, bias = w[f"model.{key}.weight"], w[f"model.{key}.bias"]
        x = F.relu(F.instance_norm(F.conv_transpose2d(x, weight, bias, stride=2, padding=1, output_padding=1)))
    return torch.tanh(conv(pad(x, 3), "23"))


def score(w: Weights, x: Tensor) -> Tensor:
    """The patch discriminator of three layers on [-1, 1], written out."""
    for key, stride in (("0", 2), ("2", 2), ("5", 2), ("8", 1)):
        x = F.conv2d(x, w[f"model.{key}.weight"], w[f"model.{key}.bias"], stride=stride, padding=1)
        x = F.leaky_relu(x if key == "0" else F.instance_norm(x), 0.2)
    return F.conv2d(x, w["model.11.weight"], w["model.11.bias"], padding=1)


def plain_training(nets: dict[str, Weights], batches: list[Weights]) -> None:
    """The training step of the paper, plainly: every image in a pass of its own, the opponent frozen by a switch."""
    generators = [*nets["G_A"].values(), *nets["G_B"].values()]
    discriminators = [*nets["D_A"].values(), *nets["D_B"].values()]
    adam_g = torch.optim.Adam(generators, lr=2e-4, betas=(0.5, 0.999))
    adam_d = torch.optim.Adam(discriminators, lr=2e-4, betas=(0.5, 0.999))
    for images in batches:
        a, b = images["content"] * 2 - 1, images["style"] * 2 - 1
        for weight in discriminators:
            weight.requires_grad_(False)
        for weight in generators:
            weight.requires_grad_(True)
        fake_b, fake_a = generate(nets["G_A"], a), generate(nets["G_B"], b)
        back_a, back_b = generate(nets["G_B"], fake_b), generate(nets["G_A"], fake_a)
        loss = (score(nets["D_A"], fake_b) - 1).square().mean() + (score(nets["D_B"], fake_a) - 1).square().mean()
        loss = loss + 10 * (back_a - a).abs().mean() + 10 * (back_b - b).abs().mean()
        loss = loss + 5 * (generate(nets["G_A"], b) - b).abs().mean() + 5 * (generate(nets["G_B"], a) - a).abs().mean()
        adam_g.zero_grad()
        loss.backward()
        adam_g.step()
        for weight in discriminators:
            weight.requires_grad_(True)
        adam_d.zero_grad()
        for name, real, fake in (("D_A", b, fake_b.detach()), ("D_B", a, fake_a.detach())):
            right, wrong = (score(nets[name], real) - 1).square().mean(), score(nets[name], fake).square().mean()
            ((right + wrong) * 0.5).backward()
        adam_d.step()


def alone() -> Runtime:
    """One process on the CPU, in full precision."""
    fabric = SimpleNamespace(device=torch.device("cpu"), global_rank=0, world_size=1, autocast=contextlib.nullcontext)
    return Runtime(fabric)


def play(method: CycleGAN, batches: list[Weights], total: int) -> None:
    players = player_states(method)
    for index, images in enumerate(batches):
        step(method, players, images, index, total, alone())


def test_hand_written_networks_are_those_of_the_papers_code(states: dict[str, Weights], reference: Weights) -> None:
    """So that the next test compares with the right thing."""
    assert (generate(states["G_A"], reference["real_A"]) - reference["fake_B"]).abs().max() < 1e-5
    assert (score(states["D_A"], reference["fake_B"]) - reference["D_A_of_fake_B"]).abs().max() < 1e-5


def test_three_steps_lead_to_the_weights_of_a_plain_loop(method: CycleGAN, states: dict[str, Weights]) -> None:
    """In float64: Adam divides noise by noise where a gradient is zero in truth (biases before a norm)."""
    torch.manual_seed(0)
    batches = [{key: image.double() for key, image in batch(32).items()} for _ in range(3)]
    nets = {role: {key: t.double() for key, t in state.items()} for role, state in states.items()}
    before = copy.deepcopy(nets)
    plain_training(nets, batches)
    play(method.double(), batches, total=6)
    for role, name in ROLES.items():
        ours = method.get_submodule(name).state_dict()
        for key, theirs in nets[role].items():
            assert (ours[key] - theirs).abs().max() < 1e-9, f"{role} {key}"
            if key.endswith("weight"):
                assert (theirs - before[role][key]).abs().max() > 1e-4, f"{role} {key} did not move"


def test_three_float32_steps_lead_to_the_weights_of_a_plain_loop(method: CycleGAN, states: dict[str, Weights]) -> None:
    torch.manual_seed(0)
    batches = [batch(32) for _ in range(3)]
    nets = copy.deepcopy(states)
    plain_training(nets, batches)
    play(method, batches, total=6)
    for role, name in ROLES.items():
        ours = method.get_submodule(name).state_dict()
        off = torch.cat(
            [(ours[key] - t).detach().abs().flatten() for key, t in nets[role].items() if key.endswith("weight")]
        )
        assert off.median() < 1e-6
        assert off.quantile(0.999) < 1e-4  # of a distance of 6e-4


def test_learning_rate_stays_for_half_the_run_and_falls_to_zero() -> None:
    assert [linear_decay(progress) for progress in (0, 0.25, 0.5, 0.75, 1)] == [1, 1, 1, 0.5, 0]


def test_doubled_terms_equal_differences_in_minus_one_to_one() -> None:
    torch.manual_seed(0)
    method, images = CycleGAN(**SMALL), batch()
    made = method(images)
    by_hand = 10 * ((made["back_a"] * 2 - 1) - (images["content"] * 2 - 1)).abs().mean()
    assert torch.allclose(method.translate(images, made)["cycle_a"], by_hand)


def test_without_identity_the_terms_are_left_out() -> None:
    method, images = CycleGAN(**SMALL, identity=0), batch()
    losses = rehearse(method, images)
    assert set(losses["translate"]) == {"adversarial_a", "adversarial_b", "cycle_a", "cycle_b"}
    assert set(losses["discriminate"]) == {"a", "b"}


def test_a_discriminators_loss_is_half_the_sum_of_its_real_and_its_fake_loss() -> None:
    """Appendix 7.1; with least squares the labels are 1 for real images and 0 for fake ones."""
    torch.manual_seed(0)
    method, images = CycleGAN(**SMALL, pool=0).double(), {key: image.double() for key, image in batch(16, 2).items()}
    made = method(images)
    terms = method.discriminate(images, made)
    for domain, key in (("a", "content"), ("b", "style")):
        discriminator = getattr(method, f"adversary_{domain}").discriminator
        real, fake = discriminator(images[key]), discriminator(made[f"fake_{domain}"])
        expected = ((real - 1).square().mean() + fake.square().mean()) / 2
        torch.testing.assert_close(terms[domain], expected, rtol=1e-10, atol=0)


def test_generators_get_no_gradient_from_the_discriminators_turn() -> None:
    method, images = CycleGAN(**SMALL, pool=0), batch()
    made = method(images)
    total(method.discriminate(images, made)).backward()
    assert all(p.grad is None for g in (method.generator_ab, method.generator_ba) for p in g.parameters())
    learning = [p for player in method.players().values() for p in player.parameters]
    weights = {
        p for d in (method.adversary_a.discriminator, method.adversary_b.discriminator) for p in d.parameters()
    } & set(learning)
    assert weights
    assert all(p.grad is not None for p in weights)


def test_pools_give_the_discriminators_earlier_fakes_and_leave_the_generators_the_new_ones() -> None:
    torch.manual_seed(0)
    method = CycleGAN(**SMALL, pool=1)
    images = [batch() for _ in range(8)]
    seen: list[Tensor] = []
    method.adversary_b.discriminator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][-1:]))
    fakes: list[Tensor] = []
    with torch.no_grad():
        for each in images:
            made = method(each)
            method.discriminate(each, made)
            fakes.append(made["fake_b"])
            assert torch.equal(method(each)["fake_b"], made["fake_b"])
        assert torch.equal(seen[0], fakes[0])
        earlier = [not torch.equal(shown, fake) for shown, fake in zip(seen, fakes, strict=True)]
        assert any(earlier)
        assert not all(earlier)
        assert all(any(torch.equal(shown, fake) for fake in fakes[: n + 1]) for n, shown in enumerate(seen))
    assert method.adversary_a.pool.seen == method.adversary_b.pool.seen == 8


class Relativistic(nn.Module):
    """Relativistic logistic loss (Jolicoeur-Martineau 2019): is the one image more real than the other?"""

    relativistic = True

    def __init__(self) -> None:
        super().__init__()
        self.real: list[Tensor] = []

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(fake - real).mean()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        assert real is not None
        self.real.append(real.detach())
        return F.softplus(real - fake).mean()


def test_a_relativistic_loss_is_given_the_scores_of_real_images_and_trains_a_step() -> None:
    torch.manual_seed(0)
    method, images = CycleGAN(**SMALL, adversarial=Relativistic, pool=0), batch(16, 2)
    made = method(images)
    terms = method.translate(images, made)
    for domain, key in (("b", "style"), ("a", "content")):
        discriminator = getattr(method, f"adversary_{domain}").discriminator
        real, fake = discriminator(images[key]), discriminator(made[f"fake_{domain}"])
        torch.testing.assert_close(getattr(method, f"adversary_{domain}").adversarial.real[0], real)
        torch.testing.assert_close(terms[f"adversarial_{domain}"], F.softplus(real - fake).mean())
        scored = method.discriminate(images, made)[domain]
        torch.testing.assert_close(scored, F.softplus(fake - real).mean() / 2)
    assert rehearse(method, images)
    before = {name: weight.clone() for name, weight in method.state_dict().items()}
    play(method, [images], total=1)
    learning = {name for name, parameter in method.named_parameters() if parameter.requires_grad}
    moved = {name for name in learning if not torch.equal(method.state_dict()[name], before[name])}
    assert moved == learning
    assert all(bool(torch.isfinite(weight).all()) for weight in method.state_dict().values())


def test_the_real_side_of_a_relativistic_loss_does_not_move_the_generators() -> None:
    """The generators' terms depend on the real scores, and so on the discriminators, which the player leaves alone."""
    torch.manual_seed(0)
    method, images = CycleGAN(**SMALL, adversarial=Relativistic, pool=0), batch()
    made = method(images)
    generators = method.players()["generator"].parameters
    total(method.translate(images, made)).backward(inputs=generators)
    discriminators = method.players()["discriminator"].parameters
    assert all(p.grad is None for p in discriminators)
    assert all(p.grad is not None for p in generators)


def test_without_a_relativistic_loss_real_images_are_not_scored_for_the_generators() -> None:
    method, images = CycleGAN(**SMALL), batch()
    made = method(images)
    seen: list[Tensor] = []
    for discriminator in (method.adversary_a.discriminator, method.adversary_b.discriminator):
        discriminator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    method.translate(images, made)
    assert len(seen) == 2
    assert torch.equal(seen[0], made["fake_b"])
    assert torch.equal(seen[1], made["fake_a"])


class Counting(nn.Module):
    """Counts its passes; the images of a batch do not affect each other by default."""

    sample_independent = True

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers, self.passes = nn.Sequential(*layers), 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        out: Tensor = self.layers(x)
        return out


def test_images_share_one_pass_with_the_same_results_as_alone() -> None:
    network, first, second = Counting(nn.Conv2d(3, 3, 3, padding=1)), torch.rand(2, 3, 8, 8), torch.rand(1, 3, 8, 8)
    one, two = together(network, first, second)
    assert network.passes == 1
    assert torch.allclose(one, network(first), atol=1e-6)
    assert torch.allclose(two, network(second), atol=1e-6)


def test_images_pass_one_by_one_if_the_batch_shares_statistics_or_sizes_differ() -> None:
    shared, plain, image = Counting(nn.BatchNorm2d(3)), Counting(nn.Conv2d(3, 3, 1)), torch.rand(1, 3, 8, 8)
    shared.sample_independent = False
    alone, _ = together(shared, image, torch.zeros(1, 3, 8, 8))
    assert shared.passes == 2
    assert torch.allclose(alone.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    together(plain, image, torch.rand(1, 3, 4, 4))
    assert plain.passes == 2


def test_networks_may_be_classes_without_the_plugin_system() -> None:
    method = CycleGAN(generator=lambda: ResNet(blocks=1, width=4), discriminator=lambda: nn.Conv2d(3, 1, 4))
    assert rehearse(method, batch())
    assert method.generator_ab is not method.generator_ba


def test_previews_have_the_size_of_the_images() -> None:
    for image in CycleGAN(**SMALL).preview(batch(20)).values():
        assert image.shape == (1, 3, 20, 20)


def check_translation(model: stylekit.inference.model.Model, reference: Weights, theirs: str, **options: str) -> None:
    source = {"fake_B": "real_A", "fake_A": "real_B"}[theirs]
    out = model.stylize((reference[source] + 1) / 2, **options)
    assert (out * 2 - 1 - reference[theirs]).abs().max() < 1e-5


def test_imported_generator_stylises_as_in_the_papers_code(folder: Path, reference: Weights, tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    message = import_model([folder / "latest_net_G_A.pth"], "cyclegan", out)
    assert_mentions(message, "'blocks': 6", "'width': 4")
    check_translation(stylekit.load(out, device="cpu"), reference, "fake_B")


@pytest.mark.slow
def test_import_on_the_command_line(folder: Path, reference: Weights, tmp_path: Path) -> None:
    line = f"import {folder / 'latest_net_G_A.pth'} --plugin cyclegan -o m.safetensors"
    command = [sys.executable, "-m", "stylekit", *line.split()]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    check_translation(stylekit.load(tmp_path / "m.safetensors", device="cpu"), reference, "fake_B")


@pytest.mark.slow
def test_direction_that_was_not_imported_is_refused_with_advice(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    import_model([folder / "latest_net_G_A.pth"], "cyclegan", out)
    with raises(StylekitError, out, "'generator_ba'", "other direction"):
        stylekit.load(out, device="cpu").stylize(torch.rand(1, 3, 16, 16), direction="b-to-a")


def test_a_generator_from_b_to_a_alone_is_imported_for_its_direction(
    folder: Path, reference: Weights, tmp_path: Path
) -> None:
    out = tmp_path / "m.safetensors"
    import_model([folder / "latest_net_G_B.pth"], "cyclegan", out)
    check_translation(stylekit.load(out, device="cpu"), reference, "fake_A", direction="b-to-a")


def test_both_generators_give_both_directions(folder: Path, reference: Weights, tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    import_model([folder / "latest_net_G_B.pth", folder / "latest_net_G_A.pth"], "cyclegan", out)
    model = stylekit.load(out, device="cpu")
    check_translation(model, reference, "fake_B", direction="a-to-b")
    check_translation(model, reference, "fake_A", direction="b-to-a")


def test_old_norm_buffers_and_the_prefix_of_several_gpus_are_ignored(
    states: dict[str, Weights], reference: Weights, tmp_path: Path
) -> None:
    old = {f"module.{key}": tensor for key, tensor in states["G_A"].items()}
    for layer in ("model.2", "model.10.conv_block.2", "model.20"):
        old[f"module.{layer}.running_mean"] = old[f"module.{layer}.running_var"] = torch.ones(4)
        old[f"module.{layer}.num_batches_tracked"] = torch.tensor(7)
    torch.save(old, tmp_path / "old.pth")
    import_model([tmp_path / "old.pth"], "cyclegan", tmp_path / "m.safetensors")
    check_translation(stylekit.load(tmp_path / "m.safetensors", device="cpu"), reference, "fake_B")


def test_discriminators_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    with raises(StylekitError, "latest_net_D_A.pth"):
        import_model([folder / "latest_net_D_A.pth"], "cyclegan", tmp_path / "m.safetensors")
    assert not os.listdir(tmp_path)


def test_generators_of_different_architectures_are_refused_by_name(folder: Path, tmp_path: Path) -> None:
    torch.save(ResNet(blocks=1, width=4).state_dict(), tmp_path / "other_net_G_B.pth")
    files = [folder / "latest_net_G_A.pth", tmp_path / "other_net_G_B.pth"]
    with raises(StylekitError, *files, "differ"):
        import_model(files, "cyclegan", tmp_path / "m.safetensors")


def test_two_files_for_one_direction_are_refused(tmp_path: Path) -> None:
    for name in ("one_G_A.pth", "two_G_A.pth"):
        torch.save(ResNet(blocks=1, width=4).state_dict(), tmp_path / name)
    with raises(StylekitError, "two_G_A.pth", "rename the files"):
        import_model([tmp_path / "one_G_A.pth", tmp_path / "two_G_A.pth"], "cyclegan", tmp_path / "m.safetensors")


def test_the_direction_is_an_option_and_a_to_b_is_the_default(method: CycleGAN, reference: Weights) -> None:
    model = stylekit.inference.model.Model(method, "cyclegan")
    check_translation(model, reference, "fake_B")
    check_translation(model, reference, "fake_B", direction="a-to-b")
    check_translation(model, reference, "fake_A", direction="b-to-a")
    with raises(StylekitError, "'direction'", "'cyclegan'", "'both'", "a-to-b", "b-to-a"):
        model.stylize(torch.rand(1, 3, 16, 16), direction="both")
    with raises(StylekitError, "'cyclegan'", "'way'", "direction"):
        model.stylize(torch.rand(1, 3, 16, 16), way="b-to-a")


def test_the_preset_of_uvcgan2_has_the_settings_of_its_paper() -> None:
    """Torbunov et al. 2023: least squares, a penalty centred at 0, spectral norms and a head that compares four images."""
    settings = {
        "plugin": "cyclegan",
        "preset": "uvcgan2",
        "set": {"generator": {"name": "resnet", "width": 4, "blocks": 1}},
    }
    name, method, training = build_method(validate_settings(settings))
    assert (name, training["schedule"]) == ("cyclegan", "constant")
    assert isinstance(method, CycleGAN)
    assert (method.cycle, method.identity, method.lr, method.ema) == (5.0, 0.5, 1e-4, 0.9999)
    for adversary in (method.adversary_a, method.adversary_b):
        assert type(adversary.discriminator).__name__ == "PatchSN"
        assert not adversary.discriminator.sample_independent
        assert [each.group for each in adversary.discriminator.modules() if hasattr(each, "group")] == [4]
        assert adversary.pool.size == 0
        penalty = adversary.regularizers["gradient-penalty"]
        assert (penalty.weight, penalty.center) == (1.0, 0.0)
