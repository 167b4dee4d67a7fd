"""Model files and the object that stylises: what is restored, what is refused, and what an image becomes."""

from __future__ import annotations

import ast
import json
import shutil
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import stylekit
from stylekit import Method, Part, StylekitError, images, make
from stylekit.inference.loading import load
from stylekit.inference.model import Model
from stylekit.inference.model_files import save_model
from stylekit.inference.model_headers import json_arguments
from stylekit.method import Player, Statistics
from stylekit.registry import lookup
from stylekit.testing.catalogue import examine
from stylekit.testing.subjects import find_subjects
from stylekit.weights.tensors import read_tensors
from tests.facts import assert_mentions, raises
from tests.tensors import noise

NETWORKS: dict[str, Any] = {
    "generator": {"name": "resnet", "blocks": 1, "width": 4},
    "discriminator": {"name": "patch", "layers": 1, "width": 4},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one step with averaged weights."""
    out = tmp_path_factory.mktemp("model") / "run"
    given = {**NETWORKS, "ema": 0.5, "lr": 0.01}
    return stylekit.train("cyclegan", out=out, size=32, steps=1, workers=0, set=given)


@pytest.fixture(scope="module")
def model(run: Path) -> Model:
    return load(run)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 47), (64, 64)])
def test_size_and_range_are_kept(model: Model, size: tuple[int, int]) -> None:
    image = noise(2, 3, *size)
    kept = image.clone()
    styled = model.stylize(image)
    assert styled.shape == image.shape
    assert styled.dtype == torch.float32
    assert 0 <= float(styled.min()) <= float(styled.max()) <= 1
    assert torch.equal(image, kept)


def test_it_is_deterministic(model: Model) -> None:
    assert torch.equal(model.stylize(noise(1, 3, 40, 40)), model.stylize(noise(1, 3, 40, 40)))


def test_an_image_does_not_depend_on_the_others_in_its_batch(model: Model) -> None:
    batch = noise(3, 3, 40, 36)
    together = model.stylize(batch)
    for number in range(3):
        alone = model.stylize(batch[number : number + 1])
        torch.testing.assert_close(together[number : number + 1], alone, rtol=0, atol=1e-5)


def test_a_model_is_in_eval_mode_and_computes_no_gradients(model: Model) -> None:
    assert not any(module.training for module in model.method.modules())
    assert not model.stylize(noise(1, 3, 32, 32)).requires_grad


def test_the_result_may_be_used_like_any_tensor(model: Model) -> None:
    styled = model.stylize(noise(1, 3, 32, 32))
    styled.mul_(255)
    weight = torch.ones(1, requires_grad=True)
    (weight * styled).sum().backward()
    assert weight.grad is not None


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_the_result_has_the_float_type_of_the_image(model: Model, dtype: torch.dtype) -> None:
    image = noise(1, 3, 32, 32).to(dtype)
    styled = model.stylize(image)
    assert styled.dtype == dtype
    assert torch.equal(styled, model.stylize(image.float()).to(dtype))


@pytest.mark.parametrize(
    "image",
    [
        torch.rand(3, 32, 32),
        torch.rand(1, 1, 32, 32),
        torch.rand(1, 4, 32, 32),
        torch.rand(1, 32, 32, 3),
        torch.rand(0, 3, 32, 32),
        torch.rand(1, 3, 0, 32),
        torch.zeros(1, 3, 32, 32, dtype=torch.uint8),
        torch.zeros(1, 3, 32, 32, dtype=torch.complex64),
    ],
    ids=lambda image: f"{tuple(image.shape)}-{image.dtype}",
)
def test_other_tensors_are_refused(model: Model, image: Tensor) -> None:
    with raises(StylekitError, "(N, 3, H, W)", image.dtype, tuple(image.shape)):
        model.stylize(image)


def test_a_pil_image_gives_one_of_its_size(model: Model) -> None:
    picture = images.to_pil(noise(1, 3, 21, 34))
    styled = model.stylize(picture)
    assert (styled.size, styled.mode) == ((34, 21), "RGB")
    assert np.array_equal(np.asarray(styled), np.asarray(images.to_pil(model.stylize(images.to_tensor(picture)))))


def test_a_pil_image_keeps_its_alpha(model: Model) -> None:
    alpha = Image.fromarray(np.arange(34 * 21, dtype=np.uint32).reshape(21, 34).astype(np.uint8))
    picture = images.to_pil(noise(1, 3, 21, 34))
    picture.putalpha(alpha)
    styled = model.stylize(picture)
    assert styled.mode == "RGBA"
    assert styled.getchannel("A").tobytes() == alpha.tobytes()
    assert not np.array_equal(np.asarray(styled)[..., :3], np.asarray(picture)[..., :3])


def test_an_image_that_is_fully_transparent(model: Model) -> None:
    styled = model.stylize(Image.new("RGBA", (9, 8), (255, 0, 0, 0)))
    assert styled.getchannel("A").getextrema() == (0, 0)


def test_greyscale_and_palette_images(model: Model) -> None:
    for mode in ("L", "P", "CMYK", "1"):
        assert model.stylize(Image.new(mode, (9, 8))).mode == "RGB"


def test_directions(model: Model) -> None:
    image = noise(1, 3, 32, 32)
    assert torch.equal(model.stylize(image), model.stylize(image, direction="a-to-b"))
    assert not torch.equal(model.stylize(image), model.stylize(image, direction="b-to-a"))
    with raises(StylekitError, "'direction'", "'cyclegan'", "'b-2-a'", "'a-to-b'", "'b-to-a'"):
        model.stylize(image, direction="b-2-a")


def test_a_run_holds_averaged_weights_and_its_checkpoint_the_last(run: Path) -> None:
    name = "generator_ab.model.1.weight"
    tensors, _ = read_tensors(run / "checkpoints" / "1" / "players.safetensors")
    averaged, last = load(run).method.state_dict()[name], load(run / "checkpoints/1").method.state_dict()[name]
    assert any(tensor.shape == averaged.shape and torch.equal(tensor, averaged) for tensor in tensors.values())
    assert not torch.equal(averaged, last)


def test_a_model_file_has_a_header(run: Path) -> None:
    tensors, header = read_tensors(run / "model.safetensors")
    assert header["method"] == "cyclegan"
    assert header["format"] == "1"
    assert header["stylekit"] == stylekit.__version__
    assert header["origin"] == f"stylekit-torch {stylekit.__version__}"
    assert header["packages"] == "{}"
    arguments = json.loads(header["arguments"])
    assert arguments.items() >= {**NETWORKS, "ema": 0.5, "lr": 0.01, "pool": 50}.items()
    assert {name.split(".")[0] for name in tensors} == {"generator_ab", "generator_ba"}  # and no discriminator


def test_a_saved_and_loaded_model_is_the_same_bit_for_bit(model: Model, tmp_path: Path) -> None:
    save_model(model.method, "cyclegan", tmp_path / "again.safetensors")
    again = load(tmp_path / "again.safetensors")
    image = noise(1, 3, 40, 40)
    for direction in ("a-to-b", "b-to-a"):
        assert torch.equal(model.stylize(image, direction=direction), again.stylize(image, direction=direction))


def test_using_a_submodule_that_the_file_does_not_hold_is_an_error(model: Model, tmp_path: Path) -> None:
    save_model(model.method, "cyclegan", tmp_path / "it.safetensors")
    half = load(tmp_path / "it.safetensors")
    with raises(StylekitError, "it.safetensors", "'adversary_a'"):
        half.method.get_submodule("adversary_a")(noise(1, 3, 32, 32))


class Net(nn.Module):
    """A network without a registered name."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        return self.conv(content).sigmoid()


def test_a_part_without_a_name_must_be_given_again(tmp_path: Path) -> None:
    cyclegan = make("method", "cyclegan", generator=Net, discriminator=NETWORKS["discriminator"])
    path = tmp_path / "mine.safetensors"
    save_model(cyclegan, "cyclegan", path)
    with raises(StylekitError, "mine.safetensors", "generator=...", "Net"):
        load(path)
    image = noise(1, 3, 20, 20)
    assert torch.equal(load(path, generator=Net).stylize(image), cyclegan.eval().stylize(image).detach())


class Plain(Method):
    """A method without a constructor, weights or training."""

    style_modules = ()

    def describe(self, style: Tensor) -> Statistics:
        return {"mean": style.mean((2, 3))}

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        return style["mean"][..., None, None].expand_as(content)


def test_a_method_without_weights_comes_back(tmp_path: Path) -> None:
    save_model(Plain(), "plain", tmp_path / "plain.safetensors")
    assert isinstance(load(tmp_path / "plain.safetensors", method=Plain).method, Plain)


def test_a_style_may_be_a_pil_image_or_a_tensor_of_another_size() -> None:
    model = Model(Plain(), "plain")
    content = noise(1, 3, 20, 30)
    white = model.stylize(content, Image.new("RGB", (5, 6), "white"))
    assert torch.equal(white, torch.ones_like(content))
    assert torch.equal(model.stylize(content, torch.ones(1, 3, 4, 4)), white)
    with raises(StylekitError, "style", "(1, 3, H, W)", "(3, 4, 4)", "image[None]"):
        model.stylize(content, torch.ones(3, 4, 4))


def test_a_style_is_one_image_and_required_by_a_method_that_has_none() -> None:
    model, content = Model(Plain(), "plain"), noise(1, 3, 20, 30)
    with raises(StylekitError, "style", "(1, 3, H, W)", "(2, 3, 4, 4)"):
        model.stylize(content, torch.ones(2, 3, 4, 4))
    with raises(StylekitError, "method 'plain'", "needs a style", "--style IMAGE"):
        model.stylize(content)
    with raises(StylekitError, "nowhere.jpg", "image"):
        model.stylize(content, "nowhere.jpg")


class Learned(Plain):
    """Has two styles, and accepts no others."""

    describe = Method.describe

    def styles(self) -> dict[str, Statistics]:
        return {"dark": {"mean": torch.full((1, 3), 0.1)}, "light": {"mean": torch.full((1, 3), 0.9)}}


def test_learned_styles_have_names_and_the_first_is_the_default() -> None:
    model, content = Model(Learned(), "learned"), noise(1, 3, 6, 7)
    shades = {
        style: float(model.stylize(content, style).unique())
        for style in (None, "dark", "light", (("light", 3), ("dark", 1)))
    }
    assert list(shades.values()) == pytest.approx([0.1, 0.1, 0.9, 0.7])
    with raises(StylekitError, "darc", "did you mean 'dark'", "dark, light"):
        model.stylize(content, "darc")
    with raises(StylekitError, "method 'learned'", "style images", "dark, light"):
        model.stylize(content, noise(1, 3, 5, 5))
    with raises(StylekitError, "dark", "scale"):
        model.stylize(content, "dark", style_scale=2)


def test_a_style_of_another_model_is_refused(model: Model) -> None:
    style = Model(Plain(), "plain").style(noise(1, 3, 5, 5))
    with raises(StylekitError, "another model", "'plain'", "'other'"):
        Model(Plain(), "other").stylize(noise(1, 3, 6, 7), style)
    with raises(StylekitError, "method 'cyclegan'", "style images"):
        model.stylize(noise(1, 3, 6, 7), noise(1, 3, 5, 5))
    with raises(StylekitError, "method 'cyclegan'", "style images"):
        model.require_style_images()


def test_a_method_without_training_is_loaded_by_its_name() -> None:
    assert load("color-pca", "cpu").name == "color-pca"
    assert load("gatys", "cpu", **{"steps": 2, "encoder": "random", "encoder.width": 8}).method.steps == 2
    with raises(StylekitError, "method 'color-pca'", "'steps'"):
        load("color-pca", "cpu", steps=2)
    with raises(StylekitError, "'cyclegan'", "stylekit train --plugin cyclegan"):
        load("cyclegan", "cpu")


SHIPPED = """
import functools
from pathlib import Path
import stylekit

@stylekit.hookimpl
def stylekit_models():
    return {"mine": functools.partial(stylekit.load, Path(__file__).with_name("mine.safetensors"))}
"""


@pytest.mark.slow
def test_a_model_that_a_package_ships_is_loaded_by_its_name(run: Path, tmp_path: Path) -> None:
    (tmp_path / "shipping.py").write_text(SHIPPED)
    shutil.copy(run / "model.safetensors", tmp_path / "mine.safetensors")
    with raises(StylekitError, "no model mine"):
        load("mine")
    lookup.add_file(tmp_path / "shipping.py")
    image = noise(1, 3, 20, 20)
    assert torch.equal(load("mine", "cpu").stylize(image), load(run).stylize(image))
    with raises(StylekitError, "no model mien", "mine", "stylekit-any"):
        load("mien")
    assert [(each.check, each.fault) for each in examine(find_subjects("mine")[0])] == [
        ("loads", False),
        ("stylises", False),
    ]


def test_values_out_of_range_are_clamped() -> None:
    class Bright(Plain):
        def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
            return 4 * content - 1

    styled = Model(Bright(), "bright").stylize(noise(1, 3, 8, 8), noise(1, 3, 4, 4))
    assert (float(styled.min()), float(styled.max())) == (0, 1)


class Sgd(Method):
    """A player whose optimizer has no state."""

    batch_keys = ("content",)

    def __init__(self, network: Part = Net) -> None:
        super().__init__()
        self.network = make("generator", network)

    def players(self) -> dict[str, Player]:
        return {"it": Player(self.network, optimizer=torch.optim.SGD, lr=0.1)}

    @stylekit.turn("it")
    def near(self, batch: dict[str, Tensor], made: None) -> dict[str, Tensor]:
        return {"far": (self.network(batch["content"]) - 0.5).square().mean()}

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        return self.network(content)


def test_a_checkpoint_without_optimizer_state_can_be_read(tmp_path: Path) -> None:
    run = stylekit.train(Sgd(), out=tmp_path / "run", size=32, steps=1, workers=0)
    assert read_tensors(run / "checkpoints" / "1" / "players.safetensors") == ({}, {})
    assert isinstance(load(run, method=Sgd, network=Net).method, Sgd)


def test_a_summary_names_the_method_and_its_styles(model: Model) -> None:
    assert_mentions(model.summary(), "cyclegan", f"{sum(p.numel() for p in model.method.parameters()):,} parameters")
    assert "style" not in model.summary()
    assert_mentions(Model(Plain(), "plain").summary(), "plain", "0 parameters", "any style image")
    assert_mentions(Model(Learned(), "learned").summary(), "learned", "dark, light")


@pytest.mark.parametrize("name", ["stylekit-any", "color-pca"])
def test_autocast_of_the_caller_does_not_matter(name: str) -> None:
    content, style = noise(1, 3, 40, 48), noise(1, 3, 30, 20).flip(3)
    options: dict[str, Any] = {"strength": 0.1, "keep_color": "luminance", "mask": torch.eye(48)[None, None, :40]}
    model = load(name, "cpu")
    plain, controlled = model.stylize(content, style), model.stylize(content, style, **options)
    with torch.autocast("cpu", torch.bfloat16):
        fresh = load(name, "cpu")
        assert torch.equal(fresh.stylize(content, style), plain)
        assert torch.equal(fresh.stylize(content, style, **options), controlled)
        assert torch.equal(fresh.stylize(content, fresh.style(style)), plain)
        assert torch.equal(next(fresh.frames([content], style)), plain)
        assert torch.is_autocast_enabled("cpu")


def test_the_style_key_does_not_depend_on_the_callers_autocast() -> None:
    def build() -> Model:
        torch.manual_seed(0)
        return Model(make("method", "gatys", **lookup.find_part("method", "gatys").presets["tiny"]), "gatys")

    wanted = build().style_key
    with torch.autocast("cpu", torch.bfloat16):
        assert build().style_key == wanted


def test_a_folder_without_a_model(tmp_path: Path, run: Path) -> None:
    with raises(StylekitError, tmp_path, "no model", "run", "checkpoint"):
        load(tmp_path)
    shutil.copytree(run / "checkpoints", tmp_path / "checkpoints")
    with raises(StylekitError, tmp_path / "checkpoints", "no model"):
        load(tmp_path / "checkpoints")
    with raises(StylekitError, "no model", tmp_path / "nowhere"):
        load(tmp_path / "nowhere")


def test_the_device_is_that_of_parameters_or_buffers() -> None:
    gatys = make("method", "gatys", encoder="random")  # its filters are buffers
    assert Model(gatys.to("meta"), "gatys").device == torch.device("meta")
    assert load("color-pca", "cpu").device == torch.device("cpu")


def test_large_images_and_frames_of_which_not_even_a_tile_fits_are_refused_before_they_are_stylised(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stylekit.inference.model.LARGE", 64 * 64)
    monkeypatch.setattr("stylekit.native.devices.free_memory", lambda device: 2**10)
    image = torch.full((1, 3, 64, 65), 0.5)
    with raises(StylekitError, "65x64 pixels", "MiB"):
        model.stylize(image)
    with raises(StylekitError, "65x64 pixels", "MiB"):
        next(model.frames([image]))
    assert torch.equal(model.stylize(image, strength=0), image)
    assert model.stylize(image[..., :64]).shape == (1, 3, 64, 64)


def test_the_error_for_too_large_an_image_has_both_figures(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stylekit.native.devices.free_memory", lambda device: 2**30)
    model.require_memory(64, 64)
    with raises(StylekitError, "10000x8000", f"{model.needed_memory(8000, 10000) / 2**30:.1f} GiB", "1.0 GiB", "cpu"):
        model.require_memory(8000, 10000)


SOURCES = sorted(
    path for folder in ("stylekit", "plugins") for path in (Path(__file__).parents[2] / folder).rglob("*.py")
)


OWN_PROCESSES = Path("stylekit/cli/batch/ray_data.py")
"""Passes tasks between processes of one program through Ray, which pickles all that it passes; it reads no file of a user."""


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_nothing_executes_code_from_files(source: Path) -> None:
    tree = ast.parse(source.read_text())
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
        pickled = {"pickle"} if source.match(str(OWN_PROCESSES)) else set()
        imported = {name.split(".")[0] for name in [*names, module]} - pickled
        assert not {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal"} & imported
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        assert called not in ("eval", "exec", "torch.save", "yaml.load", "np.load", "torch.jit.load")
        if called == "torch.load":
            assert "weights_only=True" in ast.unparse(node)


class Padded(Method):
    """A method whose network pads to 256 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Identity()
        self.net.min_size = 256

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        height, width = content.shape[-2:]
        return images.pad_to(content, 256, 256).mul(1)[..., :height, :width]


def test_padding_of_small_images_is_not_extrapolated_to_large_ones() -> None:
    # Of the image, its padded copy, the product and the clamped result, at most four are alive at once.
    assert Model(Padded(), "padded").needed_memory(1000, 1000) <= 1e6 * 1.5 * 4 * 3 * 4


class Normalised(Method):
    """Divides by the deviation of the image, and by that of the style."""

    style_modules = ()

    def describe(self, style: Tensor) -> Statistics:
        return {"mean": style.mean((2, 3)) / style.std((2, 3))}

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        flat = content - content.mean((2, 3), keepdim=True)
        return torch.sigmoid(flat / content.std((2, 3), keepdim=True) + style["mean"][..., None, None])


class Failing(Method):
    """Fails for images of an even width."""

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        if content.shape[-1] % 2 == 0:
            raise ZeroDivisionError
        return 1 - content


def test_the_memory_of_a_method_is_measured_with_an_image_that_is_not_constant() -> None:
    assert Model(Normalised(), "normalised").needed_memory(100, 100) > 0


def test_a_trial_run_that_fails_forbids_no_image() -> None:
    model = Model(Failing(), "failing")
    assert model.needed_memory(100, 100) == 0
    model.require_memory(10**6, 10**6)


class Activated(Sgd):
    """A submodule without tensors, one that stylising needs, and one that it does not."""

    inference_modules = ("network", "activation")

    def __init__(self) -> None:
        super().__init__(Net)
        self.activation, self.judge = nn.Sigmoid(), nn.Conv2d(3, 1, 1)

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        return self.activation(self.network(content))


class Unlisted(Activated):
    inference_modules = ("network",)


class Taught(Activated):
    """All that the constructor builds is needed, but not the teacher."""

    inference_modules = ()

    def prepare(self) -> None:
        self.teacher = nn.Conv2d(3, 3, 1).requires_grad_(False)


@pytest.mark.parametrize("kind", [Activated, Unlisted, Taught])
def test_submodules_without_tensors_work_after_loading(kind: type[Activated], tmp_path: Path) -> None:
    run = stylekit.train(kind(), out=tmp_path / "run", size=32, steps=1, workers=0)
    for file in (run, run / "checkpoints" / "1"):
        loaded = load(file, "cpu", method=kind)
        assert loaded.stylize(noise(1, 3, 8, 8)).shape == (1, 3, 8, 8)
        assert isinstance(loaded.method.activation, nn.Sigmoid)
    assert not any("teacher" in name for name in read_tensors(run / "model.safetensors")[0])


class Mode(Enum):
    SOFT = "soft"
    HARD = "hard"


class Modes(Sgd):
    """Has an option of any kind.

    Args:
        mode: an enum
        modes: several
        other: anything
    """

    def __init__(self, mode: Mode = Mode.SOFT, modes: list[Mode] | None = None, other: Any = None) -> None:
        super().__init__(Net)
        self.mode, self.modes, self.other = mode, modes, other


def test_an_enum_is_stored_by_its_value(tmp_path: Path) -> None:
    method = Modes(Mode.HARD, [Mode.SOFT, Mode.HARD])
    assert json_arguments(method.arguments) == {"mode": "hard", "modes": ["soft", "hard"], "other": None}
    save_model(method, "modes", tmp_path / "modes.safetensors")
    loaded: Any = load(tmp_path / "modes.safetensors", method=Modes).method
    assert (loaded.mode, loaded.modes) == (Mode.HARD, [Mode.SOFT, Mode.HARD])


class Odd(Enum):
    PAIR = (1, 2)


@pytest.mark.parametrize("value", [{1, 2}, torch.float16, torch.ones(2), b"it", {(1, 2): 3}, [{4}], Odd.PAIR], ids=str)
def test_a_value_that_a_model_file_cannot_store_is_refused_before_training(value: Any, tmp_path: Path) -> None:
    with raises(StylekitError, "option 'other'", "model file"):
        stylekit.train(Modes(other=value), out=tmp_path / "run", size=32, steps=1, workers=0)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "value", [Net, Net(), torch.relu, {"norm": nn.BatchNorm2d}], ids=["class", "module", "function", "nested"]
)
def test_callables_are_noted_and_given_again(value: Any) -> None:
    assert "callable" in str(json_arguments({"other": value}))


@pytest.mark.parametrize("seed", [float("nan"), 1.0, "1", [1], None])
def test_a_seed_is_an_integer(model: Model, seed: object) -> None:
    with raises(StylekitError, "seed", "integer", repr(seed)):
        model.stylize(noise(1, 3, 8, 8), seed=seed)


@pytest.mark.parametrize("source", [b"stylekit-any", None, 7])
def test_a_model_is_loaded_by_a_path_or_a_name(source: object) -> None:
    with raises(StylekitError, "path", "name", type(source).__name__):
        load(source)


def test_a_method_that_optimises_works_in_inference_mode() -> None:
    content = noise(1, 3, 16, 16)
    expected = stylekit.load("gatys", "cpu", steps=2, encoder="random").stylize(content, content)
    with torch.inference_mode():
        styled = stylekit.load("gatys", "cpu", steps=2, encoder="random").stylize(content, content)
    assert torch.equal(styled, expected)
    assert not styled.is_inference()


@pytest.mark.parametrize("name", ["run", "stylekit-any", "gatys"])
def test_loading_leaves_the_caller_s_random_numbers_alone(run: Path, name: str) -> None:
    before = torch.get_rng_state()
    load(run if name == "run" else name)
    assert torch.equal(torch.get_rng_state(), before)
