"""The operations that style transfer spends its time in: statistics, AdaIN, instance norm and Gram matrices.

Each takes feature maps ``(N, C, H, W)`` of any floating type, contiguous or channels-last, and returns the same layout.
float32, bfloat16 and float16 are computed by one fused kernel where the kernels are built (``stylekit doctor`` tells),
all else, and everything under ``STYLEKIT_KERNELS=reference``, by the plain torch code in :mod:`stylekit.ops.reference`.
Half precision is computed in float32 on both ways; statistics and Gram matrices are returned in float32.

They may be differentiated twice, compiled with ``torch.compile``, and used under autocast, which leaves their type
alone as it does for torch's instance norm. Wrong arguments raise ``TypeError`` or ``ValueError`` with their name.
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
