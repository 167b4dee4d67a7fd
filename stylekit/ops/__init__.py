"""The operations that take most of the time in style transfer: statistics, AdaIN, instance norm and Gram matrices.

Each accepts feature maps ``(N, C, H, W)`` of any floating-point type, contiguous or channels-last, and returns the same
layout. If the kernels are built (``stylekit doctor`` reports it), float32, bfloat16 and float16 are computed by one
fused kernel. Everything else, and everything under ``STYLEKIT_KERNELS=reference``, is computed by the plain torch code in
:mod:`stylekit.ops.reference`. Both compute half precision in float32, and return statistics and Gram matrices in float32.

The operations support second derivatives, ``torch.compile``, and autocast, which does not change their type, as with
torch's instance norm. Invalid arguments raise ``TypeError`` or ``ValueError``, which name the argument.
"""

from stylekit.ops import reference
from stylekit.ops.gram import gram_matrix, gram_mse
from stylekit.ops.normalize import Activation, adain, adain_with, instance_norm
from stylekit.ops.stats import channel_stats

__all__ = [
    "Activation",
    "adain",
    "adain_with",
    "channel_stats",
    "gram_matrix",
    "gram_mse",
    "instance_norm",
    "reference",
]
