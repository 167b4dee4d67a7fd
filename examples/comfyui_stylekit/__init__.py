"""Nodes for ComfyUI: load a stylekit model, and stylise images with it.

Copy or link this folder into ComfyUI/custom_nodes, and install stylekit into ComfyUI's environment. ComfyUI's images are float
tensors ``[B, H, W, C]`` in [0, 1], its masks ``[B, H, W]``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import stylekit
from stylekit.inference import Model

CATEGORY = "image/stylekit"
COLORS = ("of the style", "luminance", "histogram")


class StylekitLoader:
    """Loads a model: one that ships, a run's folder, a .safetensors file, or a method that needs no training."""

    CATEGORY = CATEGORY
    FUNCTION = "load"
    RETURN_TYPES = ("STYLEKIT_MODEL",)
    RETURN_NAMES = ("model",)
    DESCRIPTION = "Loads a stylekit model by its name or path."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"name": ("STRING", {"default": "stylekit-any", "tooltip": "a shipped model, or a path"})}}

    def load(self, name: str) -> tuple[Model]:
        return (stylekit.load(name),)


class StylekitStylize:
    """Stylises images; several styles are blended equally, and a mask says where."""

    CATEGORY = CATEGORY
    FUNCTION = "stylize"
    RETURN_TYPES = ("IMAGE",)
    DESCRIPTION = "Gives images the style of other images, and keeps their content."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        number: dict[str, Any] = {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.05}
        return {
            "required": {
                "model": ("STYLEKIT_MODEL",),
                "content": ("IMAGE",),
                "strength": ("FLOAT", number),
                "stroke_scale": ("FLOAT", {**number, "min": 0.1, "max": 4.0}),
                "colors": (list(COLORS), {"default": COLORS[0]}),
                "seed": ("INT", {"default": 0, "min": 0, "max": 2**53}),
            },
            "optional": {"style": ("IMAGE",), "mask": ("MASK",)},
        }

    def stylize(
        self,
        model: Model,
        content: Tensor,
        strength: float = 1.0,
        stroke_scale: float = 1.0,
        colors: str = COLORS[0],
        seed: int = 0,
        style: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Tensor]:
        styles = [] if style is None else [model.style(each[None], stroke_scale) for each in to_planes(style)]
        outputs = []
        for number, image in enumerate(to_planes(content)):
            keep: Any = None if colors == COLORS[0] else colors
            blended = [(each, 1.0) for each in styles]
            made = model.stylize(image[None], blended, strength=strength, keep_color=keep, seed=seed)
            if mask is not None:
                share = mask[min(number, len(mask) - 1)][None, None].float().clamp(0, 1)
                share = functional.interpolate(share, made.shape[-2:], mode="bilinear", antialias=True)
                made = image[None] + share * (made - image[None])
            outputs.append(made)
        return (torch.cat(outputs).permute(0, 2, 3, 1).contiguous(),)


def to_planes(images: Tensor) -> Tensor:
    """ComfyUI's images as ``(B, 3, H, W)``, without their alpha channel."""
    return images[..., :3].permute(0, 3, 1, 2).float().clamp(0, 1).contiguous()


NODE_CLASS_MAPPINGS: dict[str, type] = {"StylekitLoader": StylekitLoader, "StylekitStylize": StylekitStylize}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {
    "StylekitLoader": "Load stylekit model",
    "StylekitStylize": "Stylise (stylekit)",
}
