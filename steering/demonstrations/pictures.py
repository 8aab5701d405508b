"""Pictures from outside as uint8 RGB: their form, their size, and how they are turned.

Making a 480 x 640 picture smaller takes about 1 ms.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from steering.errors import InputError

if TYPE_CHECKING:
    from steering.demonstrations.mapping import Camera

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
COLOURS = (3, 4)
LEAST_PX = 8  # of a side; smaller blocks of numbers are matrices


def are_pictures(shape: Sequence[int], dtype: np.dtype) -> bool:
    """Whether an array is pictures, a row a frame: of 8 bits, or other numbers in three or four colours.

    Other numbers in one channel are distances. Sides and colours in either order.
    """
    if len(shape) != 4 or dtype == np.uint8:
        return len(shape) == 4
    sides = shape[1:3] if shape[3] in COLOURS else shape[2:] if shape[1] in COLOURS else (0,)
    return dtype.kind in "iuf" and min(sides) >= LEAST_PX


def scale_of(images: Sequence[np.ndarray], name: str) -> float:
    """What brings pictures that are not of 8 bits to 0..255: 255 where they go from 0 to 1, else 1.

    Judged on several, for a dark picture fits both. Raises InputError for any other range.
    """
    low, high = (float(bound([bound(image) for image in images])) for bound in (np.min, np.max))
    if low >= -1e-3 and high <= 1.001 and images[0].dtype.kind == "f":
        return 255.0
    if low >= -0.5 and high <= 255.5:
        return 1.0
    raise InputError(
        f"{name} holds pictures of {images[0].dtype} from {low:g} to {high:g}; those from 0 to 1 or from 0 to 255 are "
        "read. Convert them, or map another camera."
    )


def eight_bits(image: np.ndarray, scale: float, name: str) -> np.ndarray:
    """A picture of numbers as uint8, `scale` times as large. InputError where it does not lie in 0..255 then."""
    scaled = image * np.float64(scale)
    if not (scaled.min() >= -0.5 and scaled.max() <= 255.5):
        raise InputError(f"{name} holds numbers beyond the range of its other pictures, 0 to {255 / scale:g}. Mend it.")
    return np.rint(scaled.clip(0, 255)).astype(np.uint8)


def rgb(image: np.ndarray, name: str, side_px: int) -> np.ndarray:
    """A picture as uint8 [height, width, 3]. Takes also [3, height, width], one channel, and four (alpha dropped)."""
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim == 3 and image.shape[-1] not in (1, 3, 4) and image.shape[0] in (1, 3, 4):
        image = image.transpose(1, 2, 0)
    if image.ndim != 3 or image.dtype != np.uint8 or image.shape[-1] not in (1, 3, 4) or 0 in image.shape:
        raise InputError(
            f"{name} should be pictures of 8-bit colours, [height, width, 3], but is {image.dtype} "
            f"{list(image.shape)}. Convert it, or map another camera."
        )
    if max(image.shape[:2]) > side_px:
        raise InputError(f"{name} is {image.shape[1]} x {image.shape[0]} px; at most {side_px} px a side are read.")
    image = np.repeat(image, 3, axis=2) if image.shape[-1] == 1 else image[..., :3]
    return np.ascontiguousarray(image)


def decoded(data: bytes, name: str, side_px: int) -> np.ndarray:
    """A JPEG, PNG, WebP or BMP picture as uint8 [height, width, 3]."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            if max(picture.size) > side_px:
                raise InputError(f"{name} holds a picture of {picture.size} px; at most {side_px} px a side are read.")
            return np.asarray(picture.convert("RGB"))
    except Image.DecompressionBombError:
        raise InputError(f"{name} holds a picture that is too large; at most {side_px} px a side are read.") from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"A picture of {name} cannot be decoded; expected one of {', '.join(FORMATS)}.") from None


def smaller(image: np.ndarray, image_px: int | None) -> np.ndarray:
    """uint8 [height, width, 3] with its longest side at most `image_px`; antialiased bilinear, as openpi."""
    from PIL import Image

    longest = max(image.shape[:2])
    if image_px is None or longest <= image_px:
        return image
    height, width = (max(1, round(side * image_px / longest)) for side in image.shape[:2])
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def turned(images: np.ndarray, camera: Camera) -> np.ndarray:
    """uint8 [frame, height, width, 3] upright: turned by `camera.rotate` degrees, mirrored, red and blue swapped."""
    images = np.rot90(images, -camera.rotate // 90 % 4, axes=(1, 2))
    images = images[:, :, ::-1] if camera.mirror else images
    return np.ascontiguousarray(images[..., ::-1] if camera.bgr else images)
