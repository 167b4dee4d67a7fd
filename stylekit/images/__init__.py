"""Reading, writing, resizing, padding and cropping images.

An image is a float32 tensor ``(N, C, H, W)`` in ``[0, 1]``, in sRGB. torch is imported only by functions that need it.
"""

from typing import TYPE_CHECKING, Any

from stylekit.images.animation import Animation, frame_count, frame_sizes, read_frames, write_frames
from stylekit.images.canvas import Canvas
from stylekit.images.decoded import Decoded
from stylekit.images.files import ImageFiles
from stylekit.images.intensities import Intensities
from stylekit.images.picture import Metadata, Picture, over_white
from stylekit.images.raster_files import RasterFiles
from stylekit.images.rasters import Raster, read_raster, write_raster
from stylekit.images.reading import decode, from_pil, read, read_over_white, size, to_tensor
from stylekit.images.resizing import enlarge, extend, pad_to, resize, same_proportions, scaled
from stylekit.images.writing import FORMATS, to_pil, write

if TYPE_CHECKING:
    from stylekit.images.crops import Crop, SquareCrop, square_crop
    from stylekit.images.degrading import Degradations, Range, drawn, require_range

__all__ = [
    "FORMATS",
    "Animation",
    "Canvas",
    "Crop",
    "Decoded",
    "Degradations",
    "ImageFiles",
    "Intensities",
    "Metadata",
    "Picture",
    "Range",
    "Raster",
    "RasterFiles",
    "SquareCrop",
    "decode",
    "drawn",
    "enlarge",
    "extend",
    "frame_count",
    "frame_sizes",
    "from_pil",
    "over_white",
    "pad_to",
    "read",
    "read_frames",
    "read_over_white",
    "read_raster",
    "require_range",
    "resize",
    "same_proportions",
    "scaled",
    "size",
    "square_crop",
    "to_pil",
    "to_tensor",
    "write",
    "write_frames",
    "write_raster",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'stylekit.images' has no attribute {name!r}")
    from stylekit.images import crops, degrading

    return getattr(degrading if hasattr(degrading, name) else crops, name)
