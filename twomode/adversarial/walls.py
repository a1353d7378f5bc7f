"""What the faces of a box do to a Gaussian step: reflection, and the density of where it ends."""

from __future__ import annotations

import numpy as np

from twomode._typing import FloatArray

__all__ = ["fold", "log_folded", "log_normal"]


def fold(y: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """Reflect at both faces as often as it takes."""
    period, y = 2 * (high - low), y - low
    np.mod(y, period, out=y, where=(y < 0) | (y >= period))  # leaves the others as they are
    return np.clip(low + np.minimum(y, period - y), low, high)


def log_normal(
    y: FloatArray, mean: FloatArray, sd: FloatArray | float, *faces: FloatArray
) -> FloatArray:
    """log density of mean + sd xi at y."""
    return -((y - mean) ** 2) / (2 * sd**2) - np.log(sd * np.sqrt(2 * np.pi))


def log_folded(
    y: FloatArray, mean: FloatArray, sd: FloatArray | float, low: FloatArray, high: FloatArray
) -> FloatArray:
    """log density of fold(mean + sd xi) at y in the box: a sum over the images of y.

    The mean may be folded first: a reflection maps the normal law around it to that around its
    image.  A standard deviation of three widths gives the uniform law to 1e-19, as any larger one.
    """
    width, (y, mean) = high - low, np.broadcast_arrays(y, mean)
    mean, sd_there = fold(mean, low, high), np.minimum(sd, 3 * width)
    most = int(np.ceil((9 * sd_there / (2 * width)).max()))
    nearest, scale, total = (y - mean) ** 2, 2 * sd_there**2, np.zeros(y.shape)
    for k in range(-most, most + 1):
        for image in (y, 2 * low - y):  # none is nearer to the mean than y itself
            total += np.exp((nearest - (image + 2 * k * width - mean) ** 2) / scale)
    return log_normal(y, mean, sd_there) + np.log(total)
