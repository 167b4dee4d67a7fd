"""Tools for networks that use an encoder's features: the shapes of its layers, and a decoder that mirrors it."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar

import torch
from torch import Tensor, nn

from stylekit.errors import StylekitError, suggest, warn
from stylekit.images.pixels import require_channels
from stylekit.images.recent import Recent
from stylekit.layers import NarrowConv2d
from stylekit.native.devices import computes_bf16
from stylekit.registry.parts import Part, make

__all__ = [
    "default_encoder",
    "encode",
    "frozen_encoder",
    "layer_shapes",
    "mirror_decoder",
    "remembered",
    "require_layers",
    "shared_features",
]

_VGG = {"name": "vgg19", "layers": ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")}
_SIDE = 256
"""Side of the probe image: a power of two, at least as large as any stride."""
_SAME_WIDTH = {1: 1, 2: 1, 4: 3, 8: 3, 16: 3}
"""The number of convolutions in VGG-19 that keep the number of channels, by stride; its mirrored decoder has as many."""


def encode(
    encoder: nn.Module, image: Tensor, layers: Sequence[str] | None = None, half: bool = True
) -> dict[str, Tensor]:
    """Features of a frozen encoder, by default for a loss: in bfloat16 if the encoder and the processor allow it.

    An encoder allows it by an attribute ``half_precision = True``, as VGG does: there, the gradient of a loss hardly changes
    its direction (a cosine of 0.997), and both passes take less than half the time on a processor with instructions for
    bfloat16. On other devices, and for images that are not float32, nothing is converted.

    Args:
        encoder: a network ``forward(image) -> {layer: features}``
        image: images ``(N, 3, H, W)`` in [0, 1]
        layers: the layers to return; others are not computed if the encoder's ``forward`` has this argument, too
        half: whether half precision is good enough

    Raises:
        StylekitError: the encoder lacks a layer, or takes no images of so many channels.
    """
    require_channels(encoder, image, "encoder")
    shared = _shared.get()
    if shared and not torch.is_grad_enabled() and not half:

        def compute(image: Tensor) -> Mapping[str, Tensor]:
            found = _computed(encoder, image, half=shared.half)
            return {layer: each.float() if shared.half else each for layer, each in found.items()}

        features = remembered(encoder, image, compute)
    else:
        features = _computed(encoder, image, layers, half)
    if layers is None:
        return dict(features)
    require_layers(layers, features)
    return {layer: features[layer] for layer in layers}


def _computed(
    encoder: nn.Module, image: Tensor, layers: Sequence[str] | None = None, half: bool = False
) -> Mapping[str, Tensor]:
    half &= getattr(encoder, "half_precision", False) and image.dtype == torch.float32 and computes_bf16(image.device)
    if half:
        image = image.contiguous(memory_format=torch.channels_last)
    selects = layers is not None and "layers" in inspect.signature(encoder.forward).parameters
    # Without half precision, an autocast of the caller stays in force.
    precision = torch.autocast(image.device.type, torch.bfloat16) if half else nullcontext()
    with precision:
        features: Mapping[str, Tensor] = encoder(image, layers=layers) if selects else encoder(image)
    return features


class _Shared:
    """What is shared in a block of :func:`shared_features`: encoders, and what parts computed of the latest images."""

    def __init__(self, limit: int, half: bool) -> None:
        self.encoders: dict[str, nn.Module] = {}
        self.half = half
        self._recent: Recent[Mapping[str, Tensor]] = Recent(
            limit, lambda values: sum(each.nbytes for each in values.values())
        )

    def remembered(
        self, part: nn.Module, image: Tensor, compute: Callable[[Tensor], Mapping[str, Tensor]]
    ) -> Mapping[str, Tensor]:
        key = part, id(image)

        def computed() -> Mapping[str, Tensor]:
            weakref.finalize(image, self._recent.drop, key)  # since another image may get the id
            return compute(image)

        return self._recent.get(key, computed)


_shared: ContextVar[_Shared | None] = ContextVar("shared", default=None)


@contextmanager
def shared_features(limit: int = 2**30, half: bool = False) -> Iterator[None]:
    """Within the block, parts with the same frozen encoder share it, and compute the features of an image only once.

    This holds for encoders from :func:`frozen_encoder`, and for features from :func:`encode` in full precision and without
    gradients, as metrics use them. Images must not be modified in place.

    Args:
        limit: bytes of features that are kept, those of the latest images
        half: compute them in bfloat16 where :func:`encode` would allow it for a loss; they are float32 afterwards
    """
    token = _shared.set(_Shared(limit, half))
    try:
        yield
    finally:
        _shared.reset(token)


def remembered(
    part: nn.Module, image: Tensor, compute: Callable[[Tensor], Mapping[str, Tensor]]
) -> Mapping[str, Tensor]:
    """What a part computes of an image, by name. In a block of :func:`shared_features` it is computed only once.

    It is kept as long as the image exists, unless that of later images needs the space.

    Args:
        part: a part, such as a metric, which computes the same of an image each time
        image: the image, which must not be modified in place
        compute: computes it from the image
    """
    shared = _shared.get()
    return compute(image) if shared is None else shared.remembered(part, image, compute)


def default_encoder() -> tuple[Part, nn.Module]:
    """VGG-19 if there are weights of it; otherwise random filters, with a warning that says how to get the weights.

    Returns:
        The specification of the encoder, and the encoder, whose layers are those of Gatys et al.'s style loss.
    """
    encoder = make("encoder", _VGG)
    if missing := getattr(encoder, "missing", ""):
        warn(f"Random filters are used, though VGG-19 makes better pictures. {missing}")
        return "random", make("encoder", "random")
    return _VGG, encoder


def frozen_encoder(part: Part | None) -> nn.Module:
    """An encoder whose weights are not trained; the default one if no part is given."""
    shared, key = _shared.get(), repr(part)
    if shared and key in shared.encoders:
        return shared.encoders[key]
    encoder: nn.Module = default_encoder()[1] if part is None else make("encoder", part)
    encoder.requires_grad_(False)
    if shared:
        shared.encoders[key] = encoder
    return encoder


def layer_shapes(encoder: nn.Module) -> dict[str, tuple[int, int]]:
    """Channels and stride of each layer of an encoder, in the encoder's order.

    The stride is the factor by which a layer is smaller than the image. The encoder runs on the meta device, where nothing
    is computed, so its weights may be loaded later from a model file, and the encoder itself is not modified.

    Args:
        encoder: a network ``forward(image) -> {layer: features}``

    Raises:
        StylekitError: a layer is not a feature map ``(N, C, H, W)`` with an integer stride.
    """
    state = {**dict(encoder.named_parameters()), **dict(encoder.named_buffers())}
    meta = {name: tensor.detach().to("meta") for name, tensor in state.items()}
    dtype = next((tensor.dtype for tensor in meta.values() if tensor.is_floating_point()), None)
    image = torch.zeros(1, 3, _SIDE, _SIDE, dtype=dtype, device="meta")
    shapes: dict[str, tuple[int, int]] = {}
    for layer, features in torch.func.functional_call(encoder, meta, (image,)).items():
        if features.ndim != 4 or features.shape[2] != features.shape[3] or _SIDE % features.shape[2]:
            raise StylekitError(
                f"The layer {layer!r} of the encoder has the shape {tuple(features.shape)} for an image of {_SIDE}x{_SIDE} "
                "pixels, but must be a feature map (N, C, H, W) whose sides divide the image's. Remove it from the encoder's "
                "layers, or use another encoder."
            )
        shapes[layer] = (features.shape[1], _SIDE // features.shape[2])
    return shapes


def require_layers(wanted: Iterable[str], given: Iterable[str]) -> None:
    """Checks that an encoder has all the wanted layers.

    Raises:
        StylekitError: the encoder lacks a layer; the message suggests the closest name and lists all layers.
    """
    given = list(given)
    for layer in wanted:
        if layer not in given:
            raise StylekitError(f"The encoder has no layer {layer!r}. {suggest(layer, given)}")


def mirror_decoder(layers: Sequence[tuple[int, int]]) -> nn.Sequential:
    """Builds a decoder from an encoder's deepest layer to an image, which mirrors the encoder.

    For VGG-19, the architecture and the layout of the weights are those of the decoders of Huang and Belongie 2017 (section
    6.1, from relu4_1) and of Li et al. 2017 (section 3.1, from each of their five layers).

    Args:
        layers: channels and stride of each layer, from shallow to deep, as in the values of :func:`layer_shapes`; the last
            one is decoded

    Returns:
        A network ``forward(features) -> image``, from ``(N, C, H, W)`` to ``(N, 3, H * stride, W * stride)``. Both sides
        of the features must be at least two pixels, because of the reflection padding.
    """
    width, stride = layers[-1]
    widths = {stride: channels for channels, stride in reversed(layers)}  # of the shallowest layer of each stride
    widths.setdefault(1, layers[0][0])
    chain: list[nn.Module] = []

    def convolve(before: int, after: int) -> None:
        chain.extend([nn.ReflectionPad2d(1), nn.Conv2d(before, after, 3), nn.ReLU()])

    for finer in sorted((each for each in widths if each < stride), reverse=True):
        convolve(width, widths[finer])
        width = widths[finer]
        chain.append(nn.Upsample(scale_factor=stride // finer))
        stride = finer
        for _ in range(_SAME_WIDTH.get(stride, 1)):
            convolve(width, width)
    return nn.Sequential(*chain, nn.ReflectionPad2d(1), NarrowConv2d(width, 3, 3))
