"""The tables of README.md."""

from __future__ import annotations

import json

from benchmarks.figures import RESULTS


def demo() -> str:
    results = json.loads((RESULTS / "demo.json").read_text())
    lines = [
        f"{results['pictures']} held-out scenes of {results['size']} x {results['size']} pixels against the ground truth, "
        f"after {results['steps']} steps of training in {results['seconds']:.0f} seconds:\n",
        "| | PSNR, input | PSNR, translated | SSIM, input | SSIM, translated |",
        "|---|---|---|---|---|",
    ]
    for name, score in results["scores"].items():
        (psnr_before, psnr), (ssim_before, ssim) = score["psnr"], score["ssim"]
        lines.append(f"| {name} | {psnr_before:.2f} dB | **{psnr:.2f} dB** | {ssim_before:.3f} | **{ssim:.3f}** |")
    return "\n".join(lines)
