"""Each way in which a method breaks the contract is told in words of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.testing.samples import METHOD, NET, OWN, SHOWN, STYLED, altered, assert_told, fault, faults, part, seen

if TYPE_CHECKING:
    from tests.testing.conftest import Write


METHODS = {
    "no method": ("(Method)", "(nn.Module)", {"builds": "A method must be a subclass of stylekit.Method."}),
    "does not build": (NET, "self.net = nn.Conv2d(3, 0, 'x')", {"builds": "cannot be built with its defaults"}),
    "untyped": ("strength: float", "strength", {"options": "Give a type to the option strength, as in width: int = 64"}),
    "untold": ("strength: how", "strong: how", {"options": "Describe the option strength in the docstring"}),
    "unknown type": ("strength: float", "strength: 'Tensor'", {"options": "name 'Tensor' is not defined. Import it when"}),
    "default of another type": ("float = 1.0", "int = 1.5", {"options": "The option 'strength' of the part cannot be 1.5"}),
    "idle parameter": (
        "Player(self.net)", "Player([self.net, nn.Linear(1, 1)])", {"rehearsal": "of the player 'tinter' gets no gradient"}
    ),
    "unknown player": (
        '@turn("tinter")', '@turn("tinker")', {"rehearsal": "The turn 'near' of Tint is for 'tinker'. Did you mean 'tinter'?"}
    ),
    "no player": ('return {"tinter": Player(self.net)}', "return {}", {"rehearsal": "Tint has turns and no players"}),
    "no such key": ('batch["content"]', 'batch["depth"]', {"rehearsal": "asks its batch for 'depth'"}),
    "no scalar": (".mean()}", "}", {"rehearsal": "must be a scalar tensor, and is of shape (1, 3, 64"}),
    "no attribute": ("self.strength = strength", "", {"rehearsal": "no attribute 'strength'"}),
    "loss of NaN": ("self.strength *", "float('nan') *", {"rehearsal": "The term 'far' of the turn 'near' is nan."}),
    "no stylize": ("def stylize(", "def stylise(",
                   {"size and range": "neither stylize(content, style=None) nor describe and transfer"}),
    "cropped": (SHOWN, f"{SHOWN}[..., :-1]", {"size and range": "gave (1, 3, 64, 63) for (1, 3, 64, 64): keep the size"}),
    "even sides only": (SHOWN, f"{SHOWN}[..., ::2, ::2].repeat(1, 1, 2, 2)", {"odd sizes": "gave (1, 3, 70, 58) for"}),
    "range": (SHOWN, "return 2 * content - 1 + 0 * self.net(content)", {"size and range": "values from -1 to 1: images are"}),
    "writes into its input": (SHOWN, "content[0, 0, 0, 0] = 0.5; " + SHOWN, {"size and range": "changes its input"}),
    "drawn anew": (SHOWN, f"return {OWN} * {SHOWN[7:]}", {"repeated": "stylize must give the same twice"}),
    "ends the process": (SHOWN, "raise SystemExit(0)", {"size and range": "It fails in line 30 of"}),
    "skips": (SHOWN, "import pytest; pytest.skip()", {"size and range": "It fails in line 30 of"}),
    "no gradient": ('.mean()}', '.mean().detach()}',
                    {"rehearsal": "The turn 'near' of Tint gives far without a gradient, so the player 'tinter'"}),
    "flat": ("(self.net(batch", "(0 * self.net(batch", {"gradients": "Every gradient of the player 'tinter' is zero"}),
    "no tensor": ('.mean()}', '.mean().item()}', {"rehearsal": "of Tint must be a scalar tensor, and is a float."}),
    "module for a player": ("Player(self.net)}", "self.net}", {"rehearsal": "is of the type Conv2d: give Player(module)."}),
    "ships a typo": ("    batch_keys = (", '    inference_modules = ("nets",)\n    batch_keys = (',
                     {"rehearsal": "Tint ships 'nets', which it does not have. Did you mean 'net'?"}),
    "ships too little": (NET, NET + "; self.last = nn.Identity()", "    batch_keys = (",
                         '    inference_modules = ("last",)\n    batch_keys = (',
                         {"save and load": "stylize needs 'net', which inference_modules leaves out: name it there too."}),
    "changes the process": (SHOWN, "torch.backends.cudnn.benchmark = True; " + SHOWN,
                            {"size and range": "It changes torch's cudnn.benchmark for the whole process: leave that"}),
    "kept between lines": (
        SHOWN, f"self.kept = content; import time; time.sleep(0.02); content = self.kept; {SHOWN}",
        "    batch_keys = (", "    thread_safe = True\n    batch_keys = (",
        {"threads": "gives other pictures when threads call it at once"},
    ),
    "draws in threads": (
        SHOWN, f"return {SHOWN[7:]}.lerp(torch.rand_like(content), 0.1)",
        "    batch_keys = (", "    thread_safe = True\n    batch_keys = (",
        {"threads": "draws random numbers, whose generators threads share"},
    ),
    "seeds of its own": ("(self.net(batch", f"({OWN} * self.net(batch", {"seed": "A training step gives other losses",
                                                                        "resume": "when training goes on"}),
    "counts in an attribute": (
        '    def near(self, batch, made):',
        '    def near(self, batch, made):\n        self.strength += 1',
        {"resume": "'net.weight' comes out otherwise when training goes on from a checkpoint"},
    ),
    "weights not kept": (
        "self.strength = strength", "self.strength = strength; self.shade = [torch.rand(3, 1, 1)]",
        SHOWN, "return (self.net(content) + self.shade[0]).sigmoid()",
        {"tensors": "self.shade of Tint is a plain tensor, which stays behind"},
    ),
    "made on the CPU": (SHOWN, "return (self.net(content) + torch.zeros(3, 1, 1)).sigmoid()",
                        {"devices": "On another device stylize(content) fails"}),
    "turn on the CPU": ("- 0.5)", "- torch.ones(3, 1, 1))", {"devices": "On another device the turn 'near' fails"}),
    "float32 only": (SHOWN, "return self.net(content).sigmoid().float()", {"float64": "gave float32 for float64"}),
    "fails in float64": (SHOWN, "return self.net(content.float()).sigmoid()", {"float64": "In float64 stylize(content) fails"}),
    "no graph": (SHOWN, f"return content if content.mean() > 2 else {SHOWN[7:]}",
                 {"export": "torch.export cannot take stylize(content)"}),
    "preset": ('    batch_keys = (', '    presets = {"grand": {"strenth": 2.0}}\n    batch_keys = (',
               {"presets": "The preset 'grand' does not fit: The method 'Tint' has no option 'strenth'. Did you mean"}),
}  # fmt: skip

ENCODED, SHOWS = "self.encoder(style).mean((2, 3))", "    def describe("
STYLES = {
    "no tensors": (f'{{"mean": {ENCODED}}}', ENCODED, "must return tensors by name, {name: (N, ...)}"),
    "no rows": ("mean((2, 3))}", "mean()}", "'mean' in describe(style) of 3 x 64 x 64 must be a float tensor with a row"),
    "not finite": ("mean((2, 3))}", "std((2, 3))}", "'mean' in describe(style) of 1 x 1 x 1 has NaN or infinity"),
    "rows are not spread": ('style["mean"][..., None, None]', 'style["mean"].view(len(content), -1, 1, 1)', "It fails"),
    "no strength": ("strength * self.shade", "(strength < 0.9) * 50 * self.shade", "values from"),
    "no such submodule": (SHOWS, f'    style_modules = ("coder",)\n\n{SHOWS}', "style_modules names 'coder', which it does"),
    "described by more": (ENCODED, "(self.encoder(style) * self.net.bias.sum()).mean((2, 3))",
                          "describe uses 'net.bias', which style_modules leaves out"),
}  # fmt: skip


@pytest.mark.parametrize("case", STYLES.values(), ids=STYLES)
@pytest.mark.filterwarnings("ignore:std")  # of one value
def test_each_fault_of_a_method_with_styles_is_told(write: Write, case: tuple[str, ...]) -> None:
    *changes, told = case
    assert told in fault(part(write(altered(STYLED, changes))), "styles")


BROKEN = [pytest.param(METHOD, case[:-1], case[-1], id=f"method: {name}") for name, case in METHODS.items()]


@pytest.mark.parametrize(("source", "changes", "told"), BROKEN)
def test_each_fault_is_one_line_of_its_own(write: Write, source: str, changes: list[str], told: dict[str, str]) -> None:
    assert_told(faults(part(write(altered(source, changes)))), told)


GOOD = {
    "noise in a method": (METHOD, SHOWN, "return (self.net(content) + torch.randn_like(content)).sigmoid()"),
    "lazy in a method": (METHOD, NET, "self.net = nn.LazyConv2d(3, 1)"),
    "keeps what it made": (METHOD, "    def near(self, batch, made):",
                           "    def near(self, batch, made):\n        self.latest = batch['content'].detach()"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("case", GOOD.values(), ids=GOOD)
def test_what_is_unusual_and_good_is_no_fault(write: Write, case: tuple[str, ...]) -> None:
    source, *changes = case
    assert faults(part(write(altered(source, changes)))) == {}


def test_what_says_that_it_is_no_graph_is_not_exported(write: Write) -> None:
    source = METHOD.replace(SHOWN, f"return content if content.mean() > 2 else {SHOWN[7:]}")
    subject = part(write(source.replace("    batch_keys = (", "    exportable = False\n    batch_keys = (")))
    assert faults(subject) == {}
    assert "not exportable, as it says" in seen(subject)
