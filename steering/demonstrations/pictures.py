"""Pictures from outside as uint8 RGB: their form, their size, and how they are turned.

Making a 480 x 640 picture smaller takes about 1 ms.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from steering.errors import InputError

if TYPE_CHECKING:
    from steering.demonstrations.mapping import Camera

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")


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
