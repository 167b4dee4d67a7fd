"""The checks of methods: each fault is found, and reported in one line that names it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.facts import assert_mentions
from tests.testing.samples import (
    LABELLED,
    LEARNED,
    METHOD,
    NET,
    OWN,
    RETURN,
    SAMPLER,
    SIMULTANEOUS,
    STYLED,
    TAUGHT,
    altered,
    assert_every_check_finds_a_fault,
    assert_faults,
    broken,
    fault,
    faults,
    line,
    part,
    summary,
    untried,
)

if TYPE_CHECKING:
    from tests.testing.conftest import Write

KEYS, PLAYERS = "    batch_keys = (", "    def players"
THREAD_SAFE = (KEYS, f"    capabilities = Capabilities(thread_safe=True)\n{KEYS}")
PREVIEWED = (PLAYERS, f"    def preview(self, batch):\n        return {{'content': batch['content']}}\n\n{PLAYERS}")
TWICE = ".repeat_interleave(2, -1).repeat_interleave(2, -2)"


def option(signature: str, described: str = "amount: how much", result: str = RETURN) -> tuple[str, ...]:
    """Changes that give METHOD's ``stylize`` a keyword-only argument."""
    header = "def stylize(self, content, style=None"
    doc = f'"""Tints.\n\n        Args:\n            {described}\n        """'
    return f"{header}):", f"{header}, *, {signature}):\n        {doc}", RETURN, result


MODE = 'mode: Literal["soft", "hard"] = "soft"'


def frames(*lines: str) -> tuple[str, str]:
    """Changes that give METHOD a ``frames`` of these lines."""
    body = "\n        ".join(lines)
    return RETURN, f"{RETURN}\n\n    def frames(self, contents, style=None, **options):\n        {body}"


EACH, STYLIZED = "for content in contents:", "self.stylize(content, **options)"

METHODS: dict[str, tuple[Any, ...]] = {
    "no method": ("(Method)", "(nn.Module)", {"builds": "stylekit.Method"}),
    "does not build": (NET, "self.net = nn.Conv2d(3, 0, 'x')", {"builds": ("Tint", "defaults")}),
    "untyped": ("strength: float", "strength", {"options": ("type", "option strength")}),
    "undescribed": ("strength: how", "strong: how", {"options": ("describe", "option strength", "Args:")}),
    "unknown type": ("strength: float", "strength: 'Path'", {"options": ("name 'Path' is not defined", "TYPE_CHECKING")}),
    "default of another type": ("float = 1.0", "int = 1.5", {"options": ("option 'strength'", 1.5)}),
    "idle parameter": ("Player(self.net)", "Player([self.net, nn.Linear(1, 1)])", {"rehearsal": ("'tinter'", "gradient")}),
    "unknown player": ('@turn("tinter")', '@turn("tinker")',
                       {"rehearsal": ("'near' of Tint", "'tinker'", "did you mean 'tinter'")}),
    "no player": ('return {"tinter": Player(self.net)}', "return {}", {"rehearsal": ("Tint", "turns", "players()")}),
    "preview of no images": (PLAYERS, f"    def preview(self, batch):\n        return batch['content']\n\n{PLAYERS}",
                             {"preview": ("preview(batch)", "{name: (N, 3, H, W)}")}),
    "required option and no preview": (*option("amount: float", "amount: how much"),
                                       {"rehearsal": ("Tint", "'amount'", "preview(batch)", "default")}),
    "no such key": ('batch["content"]', 'batch["depth"]', {"rehearsal": ("Tint", "'depth'", "batch_keys")}),
    "no scalar": (".mean()}", "}", {"rehearsal": ("'far'", "'near'", "scalar", "(1, 3, 64, 64)")}),
    "no attribute": ("self.strength = strength", "", {"rehearsal": "no attribute 'strength'"}),
    "loss of NaN": ("self.strength *", "float('nan') *", {"rehearsal": ("'far'", "'near'", "nan")}),
    "no stylize": ("def stylize(", "def stylise(",
                   {"size and range": ("Tint", "stylize(content, style=None)", "describe", "transfer", "sample(count)")}),
    "cropped": (RETURN, f"{RETURN}[..., :-1]", {"size and range": ("stylize(content)", "(1, 3, 64, 63)", "(1, 3, 64, 64)")}),
    "even sides only": (RETURN, f"{RETURN}[..., ::2, ::2]{TWICE}", {"odd sizes": ("(1, 3, 70, 58)", "(1, 3, 69, 57)")}),
    "range": (RETURN, "return 2 * content - 1 + 0 * self.net(content)", {"size and range": ("from -1 to 1", "[0, 1]")}),
    "writes into its input": (RETURN, "content[0, 0, 0, 0] = 0.5; " + RETURN,
                              {"size and range": ("stylize(content)", "input", "content.clone()")}),
    "not seeded": (RETURN, f"return {OWN} * {RETURN[7:]}", {"repeated": ("same", "seeded")}),
    "ends the process": (RETURN, "raise SystemExit(0)", {"size and range": (line(METHOD, RETURN), "mine.py", "SystemExit")}),
    "skips": (RETURN, "import pytest; pytest.skip()", {"size and range": (line(METHOD, RETURN), "mine.py", "Skipped")}),
    "no gradient": ('.mean()}', '.mean().detach()}', {"rehearsal": ("'near' of Tint", "far", "gradient", "'tinter'")}),
    "flat": ("(self.net(batch", "(0 * self.net(batch", {"gradients": ("'tinter'", "gradient", "zero")}),
    "no tensor": ('.mean()}', '.mean().item()}', {"rehearsal": ("'far'", "'near' of Tint", "scalar", "float")}),
    "module for a player": ("Player(self.net)}", "self.net}", {"rehearsal": ("'tinter' of Tint", "Conv2d", "Player(module)")}),
    "names no submodule": (KEYS, f'    inference_modules = ("nets",)\n{KEYS}',
                           {"rehearsal": ("inference_modules", "'nets'", "did you mean 'net'")}),
    "keeps too little": (NET, NET + "; self.last = nn.Identity()", KEYS, f'    inference_modules = ("last",)\n{KEYS}',
                         {"save and load": ("'net'", "inference_modules")}),
    "changes the process": (RETURN, "torch.backends.cudnn.benchmark = True; " + RETURN,
                            {"size and range": ("torch's cudnn.benchmark", "process")}),
    "kept between lines": (
        RETURN, f"self.kept = content; import time; time.sleep(0.02); content = self.kept; {RETURN}", *THREAD_SAFE,
        {"threads": ("stylize(content)", "threads", "thread_safe")},
    ),
    "draws in threads": (RETURN, f"return {RETURN[7:]}.lerp(torch.rand_like(content), 0.1)", *THREAD_SAFE,
                         {"threads": ("stylize(content)", "random numbers", "thread_safe")}),
    "own random numbers": ("(self.net(batch", f"({OWN} * self.net(batch", {
        "seed": ("training step", "losses", "seed"), "resume": ("'net.weight'", "checkpoint"),
    }),
    "builds with its own random numbers": (NET, f"{NET}; nn.init.constant_(self.net.weight, {OWN})", {
        "seed": ("'net.weight'", "builds", "seed"), "resume": ("'net.weight'", "checkpoint"),
    }),
    "counts in an attribute": (
        '    def near(self, batch, made):',
        '    def near(self, batch, made):\n        self.strength += 1',
        {"resume": ("'net.weight'", "checkpoint", "parameters or buffers")},
    ),
    "weights not kept": (
        "self.strength = strength", "self.strength = strength; self.shade = [torch.rand(3, 1, 1)]",
        RETURN, "return (self.net(content) + self.shade[0]).sigmoid()",
        {"tensors": ("self.shade of Tint", "register_buffer")},
    ),
    "made on the CPU": (RETURN, "return (self.net(content) + torch.zeros(3, 1, 1)).sigmoid()",
                        {"devices": ("stylize(content)", "device=")}),
    "turn on the CPU": ("- 0.5)", "- torch.ones(3, 1, 1))", {"devices": ("turn 'near'", "device=")}),
    "float32 only": (RETURN, "return self.net(content).sigmoid().float()",
                     {"float64": ("stylize(content)", "float32", "float64")}),
    "fails in float64": (RETURN, "return self.net(content.float()).sigmoid()",
                         {"float64": ("stylize(content)", "RuntimeError")}),
    "no graph": (RETURN, f"return content if content.mean() > 2 else {RETURN[7:]}",
                 {"export": ("torch.export", "stylize(content)", "exportable=False")}),
    "preset": (KEYS, f'    presets = {{"grand": {{"strenth": 2.0}}}}\n{KEYS}',
               {"presets": ("'grand'", "'Tint'", "'strenth'", "did you mean 'strength'")}),
    "preset of training": (KEYS, f'    presets = {{"slow": {{"schedule": "sometimes"}}}}\n{KEYS}',
                           {"presets": ("'slow'", "schedule", "cosine")}),
    "untyped call option": (*option("amount=1.0"), {"call options": ("type", "option amount", "keyword-only")}),
    "undescribed call option": (*option("amount: float = 1.0", "much: how"),
                                {"call options": ("describe", "option amount", "keyword-only")}),
    "call option that stylekit has": (*option("strength: float = 1.0", "strength: how strong"), {"call options": "'strength'"}),
    "one choice is of another size": (
        *option(MODE, "mode: which", f"{RETURN}[..., int(mode == 'hard'):]"),
        {"size and range": ("stylize(content, mode='hard')", "(1, 3, 64, 63)")},
    ),
    "two choices together": (
        *option(f"{MODE}, side: Literal[1, 2] = 1", "mode: which\n            side: which",
                f"{RETURN}[..., int(mode == 'hard' and side == 2):]"),
        {"size and range": ("stylize(content, mode='hard', side=2)", "(1, 3, 64, 63)")},
    ),
    "one choice is no graph": (
        *option(MODE, "mode: which", f"return content if mode == 'hard' and content.mean() > 2 else {RETURN[7:]}"),
        {"export": ("stylize(content, mode='hard')", "exportable=False")},
    ),
    "stylises with what prepare made": (
        PLAYERS, f"    def prepare(self):\n        self.goal = 0.5\n\n{PLAYERS}", RETURN, f"{RETURN} * self.goal",
        {"size and range": "no attribute 'goal'"},
    ),
    "stylises otherwise after prepare": (
        PLAYERS, f"    goal = 1.0\n\n    def prepare(self):\n        self.goal = 0.5\n\n{PLAYERS}",
        RETURN, f"{RETURN} * self.goal",
        {"save and load": ("saved", "parameters or buffers")},
    ),
    "twice the size": (RETURN, RETURN + TWICE, {"size and range": ("(1, 3, 128, 128)", "(1, 3, 64, 64)", "scale")}),
    "only says that it doubles the size": (KEYS, f"    scale = 2\n{KEYS}",
                                           {"size and range": ("(1, 3, 64, 64)", "(1, 3, 128, 128)", "scale is 2")}),
    "state of a clip on self": (
        *frames("self.last = torch.zeros(())", EACH, f"    self.last = (self.last + {STYLIZED}) / 2", "    yield self.last"),
        {"frames": ("frames", "two clips", "local variables")},
    ),
    "state from clip to clip": (
        *frames(EACH, f"    self.last = (getattr(self, 'last', 0.5) + {STYLIZED}) / 2", "    yield self.last"),
        {"frames": ("frames", "two clips", "local variables")},
    ),
    "too few frames": (*frames("for content in list(contents)[1:]:", f"    yield {STYLIZED}"), {"frames": ("frames", 2, 3)}),
    "too many frames": (*frames(EACH, f"    yield {STYLIZED}", "    yield content"), {"frames": ("frames", 6, 3)}),
    "cropped frames": (*frames(EACH, f"    yield {STYLIZED}[..., 1:]"),
                       {"frames": ("frames(contents, style)", "(1, 3, 64, 63)", "(1, 3, 64, 64)")}),
    "no frames": (*frames(EACH, "    yield None"), {"frames": ("frames(contents, style)", "tensor", "NoneType")}),
}  # fmt: skip

ENCODED, DESCRIBE = "self.encoder(style).mean((2, 3))", "    def describe("
STYLES: dict[str, tuple[Any, ...]] = {
    "no tensors": (f'{{"mean": {ENCODED}}}', ENCODED, ("describe(style)", "{name: (N, ...)}")),
    "no rows": ("mean((2, 3))}", "mean()}", ("'mean'", "describe(style)", "row", 3)),
    "not finite": ("mean((2, 3))}", "std((2, 3))}", ("'mean'", "describe(style)", "1 x 1 x 1", "NaN or infinity")),
    "size of the image": ("mean((2, 3))}", 'mean((2, 3)), "map": self.encoder(style)}',
                          ("describe(style)", "shape", "'map'", "[4, 69, 57]", "[4, 64, 64]")),
    "statistics by size": ("mean((2, 3))}", 'mean((2, 3)), **({"small": style.mean((2, 3))} if style.shape[2] < 9 else {})}',
                           ("describe(style)", "shape", "'small'")),
    "rows are not spread": ('style["mean"][..., None, None]', 'style["mean"].view(len(content), -1, 1, 1)',
                            ("mine.py", "RuntimeError")),
    "no strength": ("strength * self.shade", "(strength < 0.9) * 50 * self.shade", ("transfer(content, style, 0.5)", "[0, 1]")),
    "no such submodule": (DESCRIBE, f'    style_modules = ("coder",)\n\n{DESCRIBE}', ("style_modules", "'coder'")),
    "described by more": (ENCODED, "(self.encoder(style) * self.net.bias.sum()).mean((2, 3))", ("'net.bias'", "style_modules")),
}  # fmt: skip


@pytest.mark.parametrize("case", STYLES.values(), ids=STYLES)
@pytest.mark.filterwarnings("ignore:std")  # of one value
def test_each_fault_of_a_method_that_describes_styles_is_reported(write: Write, case: tuple[Any, ...]) -> None:
    *changes, facts = case
    assert_mentions(fault(part(write(altered(STYLED, changes))), "styles"), *facts)


DRAWN = "return self.net(noise)"
SAMPLES: dict[str, tuple[Any, ...]] = {
    "no draw": ("torch.randn(", "torch.ones(", {"repeated": ("sample", "draw", "seed")}),
    "range": (".movedim(-1, 1)", ".movedim(-1, 1) + 1", {"size and range": ("sample(count)", "[0, 1]")}),
    "grey": ("nn.Linear(4, 3)", "nn.Linear(4, 1)", {"size and range": ("sample(count)", "(1, 1, 5, 6)", "(1, 3, 5, 6)")}),
    "always one": ("(count, 5, 6, 4", "(1, 5, 6, 4", {"size and range": ("sample(count)", "(1, 3, 5, 6)", "(3, 3, 5, 6)")}),
    "list": (".movedim(-1, 1)", ".movedim(-1, 1).split(1)", {"size and range": "tuple"}),
    "own random numbers": (DRAWN, f"return self.net(noise * {OWN})", {
        "repeated": ("same", "seeded"), "seed": ("training step", "losses", "seed"), "resume": "checkpoint",
    }),
    "made on the CPU": ("device=self.net.weight.device, ", "", {"devices": ("turn 'near'", "device=")}),
}  # fmt: skip

LABELS: dict[str, tuple[Any, ...]] = {
    "no example": ("def example", "def exempla", {"rehearsal": ("mine.py", "Long")}),
    "one label is too bright": ("return colour *", "return (1 + 10 * (label == 7)) * colour *",
                                {"size and range": ("sample(count, label=7)", "[0, 1]")}),
    "labels on the CPU": ('batch["label"])', 'batch["label"] + torch.zeros(1, dtype=torch.int64))',
                          {"devices": ("turn 'near'", "device=")}),
    "label of the batch is not used": ("    batch_keys = (\"content\", \"label\")", "    batch_keys = (\"content\", \"depth\")",
                                       {"rehearsal": ("Digits", "'depth'", "label")}),
}  # fmt: skip

OTHERS: dict[str, tuple[Any, ...]] = {
    "players share a graph": (SIMULTANEOUS, "    simultaneous = True\n", "", {
        "rehearsal": ("'judge' of Duel", "detach()", "simultaneous = True"),
    }),
    "describes without transfer": (STYLED, "def transfer", "def transform", {
        "size and range": ("Shade", "transfer(content, style, strength)"),
    }),
    "learned styles without transfer": (LEARNED, "def transfer", "def transform", {
        "size and range": ("Inks", "transfer(content, style, strength)"),
    }),
    "transfer without styles": (LEARNED, "def styles", "def looks",
                                {"size and range": ("Inks", "describe(style)", "transfer")}),
    "learned styles out of range": (LEARNED, '["ink"].clamp(0, 1)', '["ink"].add(1)', {"size and range": "[0, 1]"}),
    "size-dependent statistics": (STYLED, "mean((2, 3))}", 'mean((2, 3)), "map": self.encoder(style)}', {
        "styles": ("describe(style)", "shape", "'map'"),
    }),
}  # fmt: skip

BROKEN = broken(("method", METHOD, METHODS), ("sampler", SAMPLER, SAMPLES), ("labels", LABELLED, LABELS))
BROKEN += [pytest.param(source, changes, expected, id=name) for name, (source, *changes, expected) in OTHERS.items()]


@pytest.mark.parametrize(("source", "changes", "expected"), BROKEN)
def test_each_fault_is_reported_in_one_line(
    write: Write, source: str, changes: list[str], expected: dict[str, Any]
) -> None:
    assert_faults(faults(part(write(altered(source, changes)))), expected)


def test_every_check_finds_a_fault() -> None:
    assert_every_check_finds_a_fault(["method"], [METHODS, SAMPLES, LABELS, OTHERS])


SHADED = "return content + strength * self.shade * (shade - content)"
SMOOTH = frames("last = 0.5", EACH, f"    last = (last + {STYLIZED}) / 2", "    yield last")
GOOD = {
    "noise in a method": (METHOD, RETURN, "return (self.net(content) + torch.randn_like(content)).sigmoid()"),
    "lazy in a method": (METHOD, NET, "self.net = nn.LazyConv2d(3, 1)"),
    "keeps its latest batch": (METHOD, "    def near(self, batch, made):",
                               "    def near(self, batch, made):\n        self.latest = batch['content'].detach()"),
    "call option": (METHOD, *option("amount: float = 1.0")),
    "choice without a default": (METHOD, *option(MODE.removesuffix(' = "soft"'), "mode: which"), *PREVIEWED),
    "optional image": (METHOD, *option("depth: Tensor | None = None", "depth: a map",
                                       f"return {RETURN[7:]} if depth is None else depth")),
    "scale": (METHOD, KEYS, f"    scale = 2\n{KEYS}", RETURN, RETURN + TWICE),
    "scale by the constructor": (METHOD, NET, f"{NET}; self.scale = 2", RETURN, RETURN + TWICE),
    "scale of a method with styles": (STYLED, DESCRIBE, f"    scale = 2\n\n{DESCRIBE}",
                                      SHADED, f"return ({SHADED[7:]}){TWICE}"),
    "state of a clip": (METHOD, *SMOOTH),
    "state of a clip, twice the size": (METHOD, *SMOOTH, KEYS, f"    scale = 2\n{KEYS}", RETURN, RETURN + TWICE),
    "prepare": (METHOD, PLAYERS, f"    def prepare(self, goal: float = 0.5):\n        self.goal = goal\n\n{PLAYERS}",
                "- 0.5)", "- self.goal)"),
    "preset beside a required option": (METHOD, "strength: float = 1.0", "strength: float",
                                        KEYS, f'    presets = {{"grand": {{}}, "large": {{"strength": 2.0}}}}\n{KEYS}'),
    "preset with an option of training": (METHOD, KEYS, f'    presets = {{"slow": {{"schedule": "cosine"}}}}\n{KEYS}'),
    "tiny preset with an option of training": (METHOD, KEYS, f'    presets = {{"tiny": {{"warmup": 0.5}}}}\n{KEYS}'),
    "tiny preset with a required option": (METHOD, "strength: float = 1.0", "strength: float",
                                           KEYS, f'    presets = {{"tiny": {{"strength": 2.0}}}}\n{KEYS}'),
    "learned styles and transfer alone": (LEARNED,),
    "sampler": (SAMPLER,),
    "labels": (LABELLED,),
    "players that share a graph": (SIMULTANEOUS,),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("case", GOOD.values(), ids=GOOD)
def test_a_valid_but_unusual_method_passes(write: Write, case: tuple[str, ...]) -> None:
    source, *changes = case
    assert faults(part(write(altered(source, changes)))) == {}


def test_a_method_that_declares_that_it_is_no_graph_is_not_exported(write: Write) -> None:
    changes = (KEYS, f"    capabilities = Capabilities(exportable=False)\n{KEYS}")
    source = METHOD.replace(RETURN, f"return content if content.mean() > 2 else {RETURN[7:]}")
    subject = part(write(altered(source, changes)))
    assert faults(subject) == {}
    assert "exports" not in summary(subject)
    assert any("not exportable" in each for each in summary(subject))


@pytest.mark.parametrize("name", ["strength", "keep_color", "mask", "style_scale", "seed"])
def test_a_call_option_may_not_have_a_name_that_stylekit_uses(write: Write, name: str) -> None:
    assert repr(name) in fault(part(write(altered(METHOD, option(f"{name}: int = 1", f"{name}: it")))), "call options")


@pytest.mark.parametrize("name", ["image", "picture", "pictures", "contents"])
def test_a_call_option_may_not_have_the_name_of_an_argument_of_model(write: Write, name: str) -> None:
    changes = option(f"{name}: Tensor | None = None", f"{name}: another one")
    assert repr(name) in fault(part(write(altered(METHOD, changes))), "call options")


RESULT = "return self.net(depth).sigmoid() * content"
DEPTH = (*option("depth: Tensor", "depth: a map", RESULT), *PREVIEWED)


@pytest.mark.parametrize(
    "check",
    [
        "size and range",
        "odd sizes",
        "repeated",
        "save and load",
        "float64",
        "devices",
        "export",
    ],
)
def test_a_required_image_option_is_given_an_image(write: Write, check: str) -> None:
    assert fault(part(write(altered(METHOD, DEPTH))), check) == ""


def test_the_image_of_an_image_option_is_of_the_contents_size_and_range(write: Write) -> None:
    looks = "assert depth.shape == (1, *content.shape[1:]) and 0 <= depth.min() <= depth.max() <= 1"
    assert fault(part(write(altered(METHOD, DEPTH).replace(RESULT, f"{looks}; {RESULT}"))), "size and range") == ""


def test_a_method_that_needs_an_option_at_each_call_is_not_tried(write: Write) -> None:
    subject = part(write(altered(METHOD, (*option("amount: float"), *PREVIEWED))))
    assert faults(subject) == {}
    (message,) = untried(subject)
    assert_mentions(message, "'amount'", "how much")
    assert "turns near" in summary(subject)  # it is still trained


def test_a_method_whose_prepare_needs_an_option_is_not_trained(write: Write) -> None:
    subject = part(write(altered(METHOD, (PLAYERS, TAUGHT))))
    assert faults(subject) == {}
    (message,) = untried(subject)
    assert_mentions(message, "'teacher'", "a run")
    assert "keeps 69x57" in summary(subject)  # it is still stylised with


def test_a_preset_that_does_not_fit_is_found_when_another_one_leaves_a_required_option_out(write: Write) -> None:
    presets = '    presets = {"grand": {}, "large": {"strength": 2.0, "wide": 1}}\n'
    source = altered(METHOD, ("strength: float = 1.0", "strength: float", KEYS, presets + KEYS))
    assert_faults(faults(part(write(source))), {"presets": ("'large'", "'wide'")})


def test_an_unknown_option_in_a_preset_is_found_next_to_a_missing_required_option(write: Write) -> None:
    presets = '    presets = {"grand": {"strenth": 2.0}}\n'
    source = altered(METHOD, ("strength: float = 1.0", "strength: float", KEYS, presets + KEYS))
    assert_faults(faults(part(write(source))), {"presets": ("'grand'", "'strenth'")})


def test_frames_may_draw_random_numbers(write: Write) -> None:
    noise = f"{STYLIZED}.lerp(torch.rand_like(content), 0.1)"
    changes = frames("last = 0.5", EACH, f"    last = (last + {noise}) / 2", "    yield last")
    assert fault(part(write(altered(METHOD, changes))), "frames") == ""


def test_frames_are_given_the_options_that_the_method_needs(write: Write) -> None:
    changes = frames(EACH, f"    yield {STYLIZED}")
    source = altered(
        altered(METHOD, DEPTH), [RESULT if each == RETURN else each.replace(RETURN, RESULT) for each in changes]
    )
    assert fault(part(write(source)), "frames") == ""


def test_inference_modules_need_not_list_what_has_no_tensors(write: Write) -> None:
    needs = (NET, f"{NET}; self.last = nn.Sigmoid()", RETURN, "return self.last(self.net(content))")
    source = altered(METHOD, (*needs, KEYS, f'    inference_modules = ("net",)\n{KEYS}'))
    assert faults(part(write(source))) == {}


def test_frames_of_a_method_with_styles_need_not_accept_a_strength(write: Write) -> None:
    lines = (
        "\n\n    def frames(self, contents, style=None):"
        "\n        for content in contents:\n            yield self.transfer(content, style)\n"
    )
    source = altered(STYLED, (SHADED, SHADED + lines))
    assert fault(part(write(source)), "frames") == ""
