"""The checks that all modules have in common that change images at random: augmentations and degradations."""

from __future__ import annotations

from stylekit.testing.devices import require_float64, require_moves
from stylekit.testing.kit import Check, Subject, require
from stylekit.testing.pictures import SIDE, drawn, equal, pictures


def _seed(subject: Subject) -> str:
    module, image = subject.build(), pictures(2, SIDE, SIDE)
    require(
        equal(drawn(module, (image,)), drawn(module, (image,))),
        "forward must return the same images for the same seed: draw random numbers with torch's functions, whose generator "
        "is seeded.",
    )
    return ""


def _float64(subject: Subject) -> str:
    module = subject.build()
    require_float64(module, module, (pictures(2, SIDE, SIDE),), "forward")
    return ""


def _device(subject: Subject) -> str:
    require_moves(subject.build(), (pictures(2, SIDE, SIDE),), "forward")
    return ""


SEED = Check("seed", _seed)
FLOAT64 = Check("float64", _float64, after=("tensors",))
DEVICES = Check("devices", _device, after=("tensors",))
