"""The performance targets of the kernels, compared with the measurements: ``python benchmarks/report.py --targets``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import geometric_mean

from benchmarks.figures import Device, Kernel, devices


@dataclass(frozen=True)
class Cases:
    """A subset of an operation's cases, as a description and as a predicate."""

    words: str
    has: Callable[[Kernel], bool]


ALL = Cases("", lambda case: True)
WIDE = Cases("C >= 256", lambda case: case.channels >= 256)
LARGE = Cases("64 MB and more", lambda case: case.megabytes >= 64)
EIGHT = Cases("batch 8", lambda case: case.batch == 8)
HALF = Cases("bf16 and tf32", lambda case: case.precision != "fp32")
NARROW = Cases("bf16 and tf32, C <= 128", lambda case: case.precision != "fp32" and case.channels <= 128)


@dataclass(frozen=True)
class Target:
    """One performance target.

    Args:
        operation: the operation
        peer: what the kernel is compared with
        least: the required ratio of the peer's time to the kernel's; for the limit, the required share
        cases: the cases that count
        each: require it of each case instead of the geometric mean
    """

    operation: str
    peer: str
    least: float
    cases: Cases = ALL
    each: bool = False

    def judged(self, device: Device) -> str:
        """One line of the report: whether the target is met, and the figure."""
        cases = [case for case in device.kernels if case.operation == self.operation and self.cases.has(case)]
        ratios = [ratio for case in cases if (ratio := case.ratio(self.peer)) is not None]
        what = f"{self.operation} / {self.peer}{self.cases.words and f', {self.cases.words}'}"
        target = f"{'minimum' if self.each else 'mean'} of {len(ratios)} should be at least {self.least:g}"
        if not ratios:
            return f"unknown       {what}: {target}"
        value = min(ratios) if self.each else geometric_mean(ratios)
        return f"{'met' if value >= self.least else 'MISSED':7} {value:5.2f} {what}: {target}"


ON_CPU = [
    Target("adain_forward", "eager", 10),
    Target("adain_forward", "compiled", 2.5),
    Target("adain_forward", "limit", 0.5),
    Target("adain_forward_backward", "eager", 6),
    Target("adain_forward_backward", "compiled", 1.5),
    Target("instance_norm_relu_forward", "eager", 4),
    Target("instance_norm_relu_forward", "compiled", 1.2),
    Target("instance_norm_relu_forward", "limit", 0.5),
    Target("gram_forward", "eager", 1.5, WIDE),
    Target("gram_forward", "eager", 0.95, each=True),
    Target("gram_forward", "compiled", 1.5, WIDE),
    Target("gram_forward", "compiled", 0.95, each=True),
    Target("gram_mse_forward_backward", "eager", 1.5),
    Target("gram_mse_forward_backward", "compiled", 1.2),
]
ON_GPU = [
    Target("adain_forward", "limit", 0.85, LARGE, each=True),
    Target("adain_forward", "eager", 4, LARGE),
    Target("adain_forward", "compiled", 1.15, LARGE),
    Target("instance_norm_relu_forward", "limit", 0.85, LARGE, each=True),
    Target("instance_norm_relu_forward", "eager", 4, LARGE),
    Target("instance_norm_relu_forward", "compiled", 1.15, LARGE),
    Target("style_loss_forward_backward", "eager", 2, EIGHT, each=True),
    Target("gram_forward", "eager", 1, HALF, each=True),
    Target("gram_forward", "eager", 1.3, NARROW),
]


def targets() -> str:
    """The status of every target on every device."""
    measured = devices()
    lines = []
    for device in measured:
        lines += [device.title, *(target.judged(device) for target in (ON_GPU if device.on_gpu else ON_CPU))]
    if not any(device.on_gpu for device in measured):
        lines.append("Not yet measured on a GPU.")
    return "\n".join(lines)
