"""Frames as the crowd actor's decoder would hand them out."""

from __future__ import annotations

__all__ = ["scaled"]

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray


def scaled(frame: av.VideoFrame, width: int) -> NDArray[np.uint8]:
    """A frame (uint8, height × width × 3, RGB) of that width, its shape kept."""
    height = max(1, round(frame.height * width / frame.width))
    made = VideoReformatter().reformat(
        frame, width=width, height=height, format="rgb24", interpolation=Interpolation.BILINEAR
    )
    return np.ascontiguousarray(made.to_ndarray())
