"""Clips: a camera moves in front of a scene, so that the optical flow between any two frames is known exactly.

A scene has two planes: its background, and in front of it what its kind draws after ``canvas.front()``. Each is painted once,
with its texture, and the camera moves over both. So a clip in a painting's manner is a perfectly steady painting.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from stylekit_plugins.datasets.scenes.canvas import Canvas
from stylekit_plugins.datasets.scenes.kinds import draw
from stylekit_plugins.datasets.scenes.manners import rendered, require_drawable

FIELD = 0.6
"""The side of what the camera sees of the background from its start, relative to that of the scene."""
DEPTH = 0.6
"""The distance from the camera's start to the front, relative to that to the background."""
SAMPLES = 3
"""Samples of a pixel along each side."""
CLEAR = 1 / 255
"""A pixel shows one plane only if the other has at most this share of it."""


@dataclass(frozen=True)
class Camera:
    """Where a camera is; all 0 at its start, in front of the middle of the scene.

    Args:
        x: displacement to the right, relative to the side of the scene, at most 0.05
        y: displacement downwards, at most 0.05
        z: displacement towards the scene, relative to the distance of the background, at most 0.06
        roll: angle in radians by which the image is turned, at most 0.05
    """

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    roll: float = 0.0

    def view(self, depth: float) -> Tensor:
        """The affine map ``(3, 3)``, in float64, from the image to a plane at a distance from the camera's start.

        Both have coordinates from 0 to 1. A plane is drawn so that the planes coincide in the image from the start.
        """
        side = FIELD * (1 - self.z / depth)
        cos, sin = side * math.cos(self.roll), side * math.sin(self.roll)
        middle = torch.tensor([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]], dtype=torch.float64)
        turned = [[cos, -sin, 0.5 + self.x / depth], [sin, cos, 0.5 + self.y / depth], [0, 0, 1]]
        return torch.tensor(turned, dtype=torch.float64) @ middle


def wandering(rng: random.Random) -> Callable[[int], Camera]:
    """A smooth random path, endless: the camera at each frame. It swings along every axis in 30 to 60 frames."""
    reaches = (0.05, 0.05, 0.06, 0.05)
    swings = [(reach, 2 * math.pi / rng.uniform(30, 60), rng.uniform(0, 2 * math.pi)) for reach in reaches]
    return lambda frame: Camera(*(reach * math.sin(speed * frame + phase) for reach, speed, phase in swings))


class Clip:
    """Frames of a scene in front of which a camera moves, with the exact flow between them.

    Everything depends only on the arguments. The same scene and camera can be shown in every manner.

    Args:
        index: number of the scene, as for :func:`render` with the stream "test"
        manner: one of ``MANNERS``
        size: side of the frames in pixels, 32 to 1024
        seed: random seed
        camera: the camera at each frame; by default a random path, along which neighbouring frames differ by a few pixels

    Raises:
        StylekitError: the size or the manner is not supported.
    """

    def __init__(
        self,
        index: int,
        manner: str = "photo",
        size: int = 128,
        seed: int = 0,
        camera: Callable[[int], Camera] | None = None,
    ) -> None:
        require_drawable(size, manner)
        address = f"{seed}/test/{index}"
        self.size, self.camera = size, camera or wandering(random.Random(f"{address}/camera"))
        side = min(1024, 4 * size)
        with torch.no_grad():
            # What the front does not cover is brighter by 1 in the second drawing, so their difference shows the share of the
            # front, as in Smith and Blinn 1996, "Blue screen matting".
            drawn, lifted = (Canvas(side, random.Random(address), lift) for lift in (0, 1))
            draw(drawn)
            draw(lifted)
            share = 1 - (lifted.rgb - drawn.rgb).mean(0, keepdim=True).clamp(0, 1)
            near, far = (rendered(*layer, manner, address) for layer in ((drawn.rgb, drawn.ink), drawn.behind))
            self._far, self._near = far, torch.cat([near * share, share])

    def frame(self, number: int) -> Tensor:
        """The frame ``(3, size, size)`` in [0, 1], not rounded to 8 bits."""
        near = self._seen(self._near, DEPTH, number)
        image = near[:, :3] + (1 - near[:, 3:]) * self._seen(self._far, 1.0, number)
        return F.avg_pool2d(image, SAMPLES)[0].clamp(0, 1)

    def flow(self, frame: int, other: int) -> tuple[Tensor, Tensor]:
        """The flow from one frame to another, and where it holds.

        Returns:
            The flow ``(2, size, size)`` in pixels, to the right and downwards, exact to the rounding of float32; and a mask
            ``(size, size)`` of the pixels that show one plane only, at a place that is inside the other frame and visible
            there. With ``warp`` of :mod:`stylekit.images.flow`, the flow fetches the pixels of this frame from the other.
        """
        here, there = self.camera(frame), self.camera(other)
        position = (torch.arange(self.size, dtype=torch.float64) + 0.5) / self.size
        flows, valid = [], []
        shares = [self._share(number) for number in (frame, other)]
        for depth, front in ((1.0, False), (DEPTH, True)):
            way = torch.linalg.solve(there.view(depth), here.view(depth))
            landing = _mapped(way, position)
            flows.append((landing - _mapped(torch.eye(3, dtype=torch.float64), position)) * self.size)
            clear, target = ((1 - share if front else share) <= CLEAR for share in shares)
            grid = (2 * landing - 1).permute(1, 2, 0)[None].float()
            seen = F.grid_sample(target[None, None].float(), grid, align_corners=False)[0, 0]
            valid.append(clear & (seen > 0.999))
        return torch.where(shares[0] > 0.5, flows[1], flows[0]).float(), valid[0] | valid[1]

    def _share(self, number: int) -> Tensor:
        """The share (size, size) of the front in the pixels of a frame."""
        return F.avg_pool2d(self._seen(self._near[3:], DEPTH, number), SAMPLES)[0, 0]

    def _seen(self, plane: Tensor, depth: float, number: int) -> Tensor:
        """What a frame shows of a plane (C, S, S) at a depth, in finer pixels: (1, C, SAMPLES size, SAMPLES size)."""
        fine = SAMPLES * self.size
        position = (torch.arange(fine, dtype=torch.float64) + 0.5) / fine
        grid = (2 * _mapped(self.camera(number).view(depth), position) - 1).permute(1, 2, 0)[None].float()
        return F.grid_sample(plane[None], grid, padding_mode="border", align_corners=False)


def _mapped(way: Tensor, position: Tensor) -> Tensor:
    """Where an affine map leads from the points of a grid: ``(2, size, size)``."""
    x, y = position[None, :], position[:, None]
    return torch.stack([row[0] * x + row[1] * y + row[2] for row in way[:2]])
