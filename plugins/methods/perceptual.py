"""A feed-forward network for one or more fixed styles, each learned from one image.

For one style, it is the network of Johnson et al. 2016 ("Perceptual losses for real-time style transfer and
super-resolution") with the instance norm of Ulyanov et al. 2016. For several styles, it is that of Dumoulin et al. 2017 ("A
learned representation for artistic style"): the styles share all convolutions, and each has its own scale and shift in every
norm. Interpolating the scales and shifts of two styles interpolates the styles.

With ``scale``, the network enlarges and stylises in one pass: it sees small pictures, and its loss compares large ones.

The papers compare unnormalised features, and so need different loss weights for each encoder. Here, content features are
compared after an instance norm, so that contrasts and colours may change, and Gram matrices by their error relative to the
style's. The same loss weights therefore suit every encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from stylekit import Method, Part, Player, StylekitError, datasets, hookimpl, images, make, turn
from stylekit.encoders import encode, require_layers
from stylekit.images import Degradations
from stylekit.layers import NarrowConv2d, Width, require_options
from stylekit.losses import ContentLoss, StyleLoss, moment_loss, moments, total_variation
from stylekit.method import Batch, Capabilities, Statistics, Terms
from stylekit.ops import Activation, instance_norm

BLOCKS = 5
"""Number of residual blocks of the network."""
LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
"""The layers of the style loss of Johnson et al."""


class Layer(nn.Module):
    """A convolution with reflection padding, and an instance norm with a separate scale and shift for each style."""

    def __init__(self, styles: int, before: int, after: int, side: int, stride: int = 1, up: bool = False) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Upsample(scale_factor=2) if up else nn.Identity(),
            nn.ReflectionPad2d(side // 2),
            nn.Conv2d(before, after, side, stride, bias=False),
        )
        self.scale = nn.Parameter(torch.ones(styles, after))
        self.shift = nn.Parameter(torch.zeros(styles, after))


class StyleNetwork(nn.Module):
    """The image transformation network: two downsampling layers, residual blocks, two upsampling layers.

    The architecture is that of Dumoulin et al. 2017, table 1. The last convolution has a bias and no norm, as in Johnson et
    al.; learning the shift of the output colours in a norm would take thousands of steps, limited by the learning rate.

    Args:
        styles: number of styles
        width: channels of the first layer
        scale: what it multiplies the sides by, a power of 2, in further upsampling layers
    """

    stride = 4
    min_size = 8

    def __init__(self, styles: int, width: int, scale: int = 1) -> None:
        super().__init__()
        self.scale = scale
        layers = {
            "begin": Layer(styles, 3, width, 9),
            "down1": Layer(styles, width, 2 * width, 3, stride=2),
            "down2": Layer(styles, 2 * width, 4 * width, 3, stride=2),
            **{f"block{n}{half}": Layer(styles, 4 * width, 4 * width, 3) for n in range(BLOCKS) for half in "ab"},
            "up1": Layer(styles, 4 * width, 2 * width, 3, up=True),
            "up2": Layer(styles, 2 * width, width, 3, up=True),
        }
        self.last = [f"up{n}" for n in range(3, scale.bit_length() + 2)]
        layers |= {name: Layer(styles, width, width, 3, up=True) for name in self.last}
        self.layers = nn.ModuleDict(layers)
        self.end = nn.Sequential(nn.ReflectionPad2d(4), NarrowConv2d(width, 3, 9))

    def rows(self, which: Tensor | slice) -> dict[str, Tensor]:
        """The scales and shifts ``(N, C)`` of some styles, one row per style, named ``layer.scale`` and ``layer.shift``."""
        parameters = self.layers.named_parameters()
        return {name: each[which] for name, each in parameters if name.endswith((".scale", ".shift"))}

    def forward(self, content: Tensor, style: Statistics) -> Tensor:
        """Stylises images ``(N, 3, H, W)`` in [0, 1], of any size, in the style of ``rows``: one for all, or one per image."""
        height, width = content.shape[-2:]
        rows = {name: values.expand(content.shape[0], -1) for name, values in style.items()}

        def layer(name: str, x: Tensor, activation: Activation = "relu", residual: Tensor | None = None) -> Tensor:
            x = self.layers[name].conv(x)  # type: ignore[operator]
            return instance_norm(x, rows[f"{name}.scale"], rows[f"{name}.shift"], 1e-5, activation, residual)

        x = images.pad_to(content, self.stride, self.min_size)
        x = layer("down2", layer("down1", layer("begin", x)))
        for n in range(BLOCKS):
            x = layer(f"block{n}b", layer(f"block{n}a", x), "none", residual=x)
        x = layer("up2", layer("up1", x))
        for name in self.last:
            x = layer(name, x)
        out: Tensor = torch.sigmoid(self.end(x))
        return out[..., : height * self.scale, : width * self.scale]


def name_of(picture: Path | str) -> str:
    """The name of a style: the file name of its picture without the suffix. A name is returned unchanged."""
    path = Path(picture)
    while path.suffix.lower() in datasets.SUFFIXES:
        path = path.with_suffix("")
    return path.name


class Perceptual(Method):
    """A network stylises images in the styles that it has learned, each from one image, by comparing features.

    The style images are read when training starts, and resized so that their shorter side is that of the training images. A
    model file does not need them, and contains only their names.

    Args:
        styles: style images, named by their files; if empty: a painting of the data set ``scenes``
        encoder: network whose features are compared; the style loss uses all its layers
        content_layers: layers of the encoder for the content loss
        width: channels of the network's first layer
        content_weight: weight of the content loss
        style_weight: weight of the style loss (Gram matrices)
        color_weight: weight of the differences in the mean and the standard deviation of red, green and blue
        tv_weight: weight of the total variation; below 1, a network that was trained briefly leaves a fine grid pattern
        scale: what the network multiplies the sides of a picture by. It learns from pictures that are reduced by MATLAB's
            bicubic filter
        lr: learning rate (Adam)

    Raises:
        StylekitError: two style images have the same name, or ``width`` is below 1. When training starts: a style image
            cannot be read, the encoder has no such layer, or the side of the images is not a multiple of ``scale``.
    """

    batch_keys = ("content",)
    inference_modules = ("network",)
    capabilities = Capabilities(thread_safe=True)
    style_modules = ("network",)  # scales and shifts can only be used with their own network
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"encoder": {"name": "vgg16", "layers": LAYERS}},
        "tiny": {  # minutes on a CPU, without weights to fetch
            "encoder": {"name": "random", "width": 32},
            "content_layers": ["scale2", "scale3", "scale4"],
            "width": 16,
        },
    }

    def __init__(
        self,
        styles: Sequence[Path | str] = (),
        encoder: Part = {"name": "vgg19", "layers": LAYERS},  # noqa: B006
        content_layers: Sequence[str] = ("relu3_3",),
        width: Width = 32,
        content_weight: float = 1.0,
        style_weight: float = 10.0,
        color_weight: float = 10.0,
        tv_weight: float = 1.0,
        scale: Literal[1, 2, 4] = 1,
        lr: float = 1e-3,
    ) -> None:
        super().__init__()
        require_options(width=width)
        self.pictures = {name_of(picture): Path(picture).expanduser().absolute() for picture in styles}
        if len(self.pictures) < len(styles):
            names = [name_of(picture) for picture in styles]
            duplicate = next(name for name in names if names.count(name) > 1)
            raise StylekitError(
                f"Two of the styles have the name {duplicate!r}, that of their files. Rename one of the files."
            )
        self.names = tuple(self.pictures) or ("painting",)
        self.arguments["styles"] = list(self.names)  # a model file contains only the names
        self.scale, self.degrade = scale, Degradations({"name": "downscale", "scale": scale}) if scale > 1 else None
        self.encoder, self.network = make("encoder", encoder), StyleNetwork(len(self.names), width, scale)
        self.content_layers, self.target_names = tuple(content_layers), tuple[str, ...]()
        self.content_loss, self.style_loss = ContentLoss(self.content_layers, normalize=True), StyleLoss()
        self.content_weight, self.style_weight = content_weight, style_weight
        self.color_weight, self.tv_weight, self.lr = color_weight, tv_weight, lr

    def players(self) -> dict[str, Player]:
        return {"network": Player(self.network, lr=self.lr, optimizer=torch.optim.Adam)}

    def forward(self, batch: Batch) -> dict[str, Any]:
        """Stylises each image in a random style, and selects the targets of that style."""
        content = batch["content"]
        targets = self._targets(content)
        which = torch.randint(len(self.names), (len(content),), device=content.device)
        return {
            "painted": self.network(self._reduced(content), self.network.rows(which)),
            "targets": {name: target[which] for name, target in targets.items()},
        }

    def outputs(self, batch: Batch, made: dict[str, Any]) -> dict[str, list[tuple[Tensor, Tensor]]]:
        return {"network": [(made["painted"], batch["content"])]}

    def _reduced(self, content: Tensor) -> Tensor:
        """What the network sees of training images."""
        return content if self.degrade is None else self.degrade.damage(content)

    @torch.no_grad()
    def _targets(self, like: Tensor) -> dict[str, Tensor]:
        """The statistics of the style images, one row per style; computed at the first call."""
        if not self.target_names:
            described = [self._describe(self._style(name, like)) for name in self.names]
            self.target_names = tuple(described[0])
            # As buffers they move to other devices. They are not saved, because they can be computed again.
            for index, name in enumerate(self.target_names):
                self.register_buffer(f"target{index}", torch.cat([each[name] for each in described]), persistent=False)
        return dict(zip(self.target_names, self.buffers(recurse=False), strict=True))

    def _describe(self, image: Tensor) -> dict[str, Tensor]:
        """The statistics of a style: the Gram matrix of each layer, and the mean and standard deviation of the colours."""
        mean, std = moments(image)
        return {**self.style_loss.target(encode(self.encoder, image)), "color.mean": mean, "color.std": std}

    def _style(self, name: str, like: Tensor) -> Tensor:
        """A style image ``(1, 3, h, w)``, whose shorter side is resized to that of the images ``like``."""
        if not self.pictures:
            image = make("dataset", "scenes", size=256)[0]["style"][None]
        elif not self.pictures[name].is_file():
            raise StylekitError(
                f"The style {name!r} cannot be learned: there is no file {self.pictures[name]}. Pass its path, as in "
                f"--set 'styles=[pictures/{name}.jpg]'."
            )
        else:
            picture = images.read(self.pictures[name])
            image = images.over_white(picture.image, picture.alpha)
        factor = min(like.shape[-2:]) / min(image.shape[-2:])
        height, width = (round(side * factor) for side in image.shape[-2:])
        return images.resize(image, (height, width)).to(like)

    @turn("network")
    def paint(self, batch: Batch, made: dict[str, Any]) -> Terms:
        painted, content = made["painted"], batch["content"]
        features = encode(self.encoder, painted)
        require_layers(self.content_layers, features)
        with torch.no_grad():
            content_target = self.content_loss.target(encode(self.encoder, content))
        targets = made["targets"]
        colors = targets["color.mean"], targets["color.std"]
        return {
            "content": self.content_weight * self.content_loss(features, content_target).mean(),
            "style": self.style_weight * self.style_loss(features, targets).mean(),
            "color": self.color_weight * moment_loss(moments(painted), colors).mean(),
            "tv": self.tv_weight * total_variation(painted, power=1.0).mean(),
        }

    def styles(self) -> dict[str, Statistics]:
        return {name: self.network.rows(slice(index, index + 1)) for index, name in enumerate(self.names)}

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        return images.enlarge(content, self.scale).lerp(self.network(content, style), strength)

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        """Stylises in the first style; ``transfer`` accepts any of ``styles``, and interpolations between them."""
        return self.transfer(content, self.network.rows(slice(0, 1)))

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        content = self._reduced(batch["content"])
        shown = {"content": images.enlarge(content, self.scale)}
        return shown | {name: self.transfer(content, style) for name, style in self.styles().items()}


@hookimpl
def stylekit_methods() -> dict[str, Callable[..., Method]]:
    return {"perceptual": Perceptual}
