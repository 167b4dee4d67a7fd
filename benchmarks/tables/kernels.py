"""The tables of README.md and docs/kernels.md."""

from __future__ import annotations

from collections.abc import Callable
from statistics import geometric_mean

from benchmarks.figures import OPERATIONS, Device, Kernel, devices

PEERS = {"eager": "eager PyTorch", "instance_norm": "`F.instance_norm`", "compiled": "`torch.compile`"}


def times(ratios: list[float | None]) -> str:
    """The geometric mean, the minimum and the maximum."""
    known = [ratio for ratio in ratios if ratio is not None]
    if not known:
        return ""
    mean = f"**{geometric_mean(known):.2f}**"
    return f"{mean} ({min(known):.2f} to {max(known):.2f})" if len(known) > 1 else mean


def share(ratios: list[float | None]) -> str:
    """The geometric mean in percent."""
    known = [ratio for ratio in ratios if ratio is not None]
    return f"{100 * geometric_mean(known):.0f} %" if known else ""


def summary(device: Device) -> str:
    lines = [
        f"{device.title}:\n",
        f"| speedup over | {' | '.join(PEERS.values())} | share of the limit |",
        "|---|" + "---|" * (len(PEERS) + 1),
    ]
    for operation, precision, cases in device.groups():
        name = f"{OPERATIONS[operation]}, {precision}" if device.on_gpu else OPERATIONS[operation]
        columns = [times([case.ratio(peer) for case in cases]) for peer in PEERS]
        lines.append(f"| {name} | {' | '.join(columns)} | {share([case.ratio('limit') for case in cases])} |")
    return "\n".join(lines)


def every_shape(device: Device) -> str:
    lines = [f"{device.title}:"]
    for operation, precision, cases in device.groups():
        name = f"{OPERATIONS[operation]}, {precision}" if device.on_gpu else OPERATIONS[operation]
        lines += [
            f"\n{name[0].upper()}{name[1:]}:\n",
            f"| features | MB | kernel, ms | {' | '.join(f'{peer}, ms' for peer in PEERS.values())} | limit, ms |",
            "|---|---|---|" + "---|" * (len(PEERS) + 1),
        ]
        lines += [row(case) for case in cases]
    return "\n".join(lines)


def row(case: Kernel) -> str:
    name = f"{case.layer} at {case.size}" if case.shape else f"five layers at {case.size}, batch {case.batch}"
    shape = f", {' x '.join(map(str, case.shape))}" if case.shape else ""
    columns = [f"{milliseconds(case, peer)}{in_brackets(case.ratio(peer))}" for peer in PEERS]
    limit, ours = milliseconds(case, "limit"), milliseconds(case, "ours")
    reached = f"{limit} ({share([case.ratio('limit')])})"
    return f"| {name}{shape} | {case.megabytes:g} | {ours} | {' | '.join(columns)} | {reached} |"


def milliseconds(case: Kernel, name: str) -> str:
    names = ("compiled", "instance_norm_compiled") if name == "compiled" else (name,)
    known = [case.figures[f"{name}_us"] for name in names if f"{name}_us" in case.figures]
    return f"{min(known) / 1e3:.3g}" if known else ""


def in_brackets(ratio: float | None) -> str:
    return "" if ratio is None else f" ({ratio:.2f})"


def on_all(table: Callable[[Device], str]) -> str:
    """The tables of all devices, and a note if there are none for a CPU or a GPU."""
    measured = devices()
    parts = [table(device) for device in measured]
    if not any(not device.on_gpu for device in measured):
        parts.append("Not yet measured on a CPU.")
    if not any(device.on_gpu for device in measured):
        parts.append("Not yet measured on a GPU.")
    return "\n\n".join(parts)
