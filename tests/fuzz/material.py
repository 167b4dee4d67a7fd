"""What the cases damage copies of: small models, runs, styles and images, made once."""

from __future__ import annotations

import contextlib
import io
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parents[1] / "fixtures"
NETWORKS: dict[str, Any] = {
    "generator": {"name": "resnet", "blocks": 1, "width": 4},
    "discriminator": {"name": "patch", "layers": 1, "width": 4},
}
STEPS = 3


@dataclass(frozen=True)
class Material:
    """A folder of files that no case changes.

    Attributes:
        folder: the folder
    """

    folder: Path

    @property
    def run(self) -> Path:
        """A CycleGAN of a few thousand weights, trained for ``STEPS`` steps, with a checkpoint of each."""
        return self.folder / "run"

    @property
    def other_run(self) -> Path:
        """The same with another seed."""
        return self.folder / "other_run"

    @property
    def cyclegan(self) -> Path:
        return self.run / "model.safetensors"

    @property
    def adain(self) -> Path:
        """A model for any style."""
        return self.folder / "adain.safetensors"

    @property
    def style(self) -> Path:
        """A style file of :attr:`adain`, with two looks."""
        return self.folder / "mine.style"

    @property
    def photo(self) -> Path:
        return self.folder / "photo.png"

    @property
    def painting(self) -> Path:
        return self.folder / "painting.png"

    @property
    def weights(self) -> Path:
        """Weights of a generator, as other programs save them."""
        return FIXTURES / "cyclegan" / "latest_net_G_A.pth"

    def stopped_run(self, folder: Path) -> Path:
        """A copy of the run as if it had been stopped one step before its end."""
        shutil.copytree(self.run, folder)
        shutil.rmtree(folder / "checkpoints" / str(STEPS))
        return folder


def make_material(folder: Path) -> Material:
    """Makes all of it, in some seconds."""
    import torch

    import stylekit
    from stylekit import images, make
    from stylekit.inference.model_files import save_model
    from stylekit.inference.styles import Style, write_style
    from stylekit.registry import lookup

    material = Material(folder)
    folder.mkdir(parents=True, exist_ok=True)
    scenes = make("dataset", "scenes", size=48, split="test")
    images.write(material.photo, scenes[0]["content"])
    images.write(material.painting, scenes[1]["style"])
    with contextlib.redirect_stderr(io.StringIO()):
        for seed, out in enumerate((material.run, material.other_run)):
            settings = {"steps": STEPS, "checkpoint_every": 1, "keep": 10, "seed": seed, "set": NETWORKS, **TINY}
            stylekit.train("cyclegan", out=out, **settings)
    torch.manual_seed(0)
    preset = lookup.find_part("method", "adain").presets["tiny"]
    save_model(make("method", "adain", **preset), "adain", material.adain)
    model = stylekit.load(material.adain, "cpu")
    looks = [model.style(path) for path in (material.photo, material.painting)]
    rows = {name: torch.cat([look.statistics[name] for look in looks]) for name in looks[0].statistics}
    write_style(material.style, Style(rows, torch.tensor([0.75, 0.25]), looks[0].key, looks[0].method))
    return material


TINY: dict[str, Any] = {"size": 32, "workers": 0, "device": "cpu", "sample_every": 100}
"""Settings of a run that takes less than a second."""
