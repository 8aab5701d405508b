"""Single frames of a video file, exact: the frame whose time was asked for, or an error, never a neighbour.

Seeks to the keyframe before the first frame that is wanted and decodes forward; after a gap it seeks again, so an
episode in the middle of a long file costs only its own frames. About 0.5 to 2 ms a frame of 480 x 640 px.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from steering.errors import InputError

SEEK_GAP = 90  # frames; a shorter way is decoded, which is cheaper than another seek
TOLERANCE = 0.4  # of a frame


def frames_at(
    path: Path, frames: Sequence[int], rate_hz: float, *, start_s: float = 0.0, side_px: int = 4096
) -> Iterator[np.ndarray]:
    """The pictures at `start_s + frame / rate_hz` for rising `frames`: uint8 [height, width, 3], RGB.

    Raises InputError when the file is no video, is cut short, or has no frame within 0.4 frames of that time.
    """
    import av

    if not frames:
        return
    try:
        with av.open(str(path), options={"enable_drefs": "0"}) as container:
            if not container.streams.video:
                raise InputError(f"{path.name} holds no video. Copy the dataset again.")
            stream = container.streams.video[0]
            _check_size(stream.codec_context, path, side_px)
            stream.codec_context.options = {"max_pixels": str(side_px**2)}  # of every frame, whatever the header says
            yield from _pick(container, stream, path, frames, rate_hz, start_s, side_px)
    except (av.FFmpegError, OSError, ValueError, IndexError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise _undecodable(path, error) from None


def frames_counted(path: Path, frames: Sequence[int], *, side_px: int = 4096) -> Iterator[np.ndarray]:
    """The pictures at rising places in the order of showing, whatever their times: uint8 [height, width, 3], RGB.

    For recordings that keep one video frame a row (DROID). Decodes from the beginning.
    """
    import av

    waiting = list(frames)[::-1]
    try:
        with av.open(str(path), options={"enable_drefs": "0"}) as container:
            stream = container.streams.video[0]
            _check_size(stream.codec_context, path, side_px)
            stream.codec_context.options = {"max_pixels": str(side_px**2)}  # of every frame, whatever the header says
            for place, frame in enumerate(container.decode(stream) if waiting else ()):
                if place == waiting[-1]:
                    _check_size(frame, path, side_px)
                    yield frame.to_ndarray(format="rgb24")
                    waiting.pop()
                    if not waiting:
                        return
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:
        if isinstance(error, InputError):
            raise
        raise _undecodable(path, error) from None


def frames_promised(path: Path) -> int | None:
    """Frames by the file's own index, none decoded; None where it does not say or cannot be read."""
    import av

    try:
        with av.open(str(path), options={"enable_drefs": "0"}) as container:
            return container.streams.video[0].frames or None
    except (av.FFmpegError, OSError, ValueError, IndexError):
        return None


def _pick(
    container: Any, stream: Any, path: Path, frames: Sequence[int], rate_hz: float, start_s: float, side_px: int
) -> Iterator[np.ndarray]:
    waiting = list(frames)[::-1]
    times = iter(_decoded(container, stream, start_s + frames[0] / rate_hz, rate_hz, start=True))
    nearest: float | None = None
    while waiting:
        wanted_s = start_s + waiting[-1] / rate_hz
        found = next(times, None)
        if found is None:
            break
        time_s, frame = found
        away = (time_s - wanted_s) * rate_hz  # frames
        if abs(away) <= TOLERANCE:
            _check_size(frame, path, side_px)
            yield frame.to_ndarray(format="rgb24")
            done = waiting.pop()
            if waiting and waiting[-1] - done > SEEK_GAP:
                times = iter(_decoded(container, stream, start_s + waiting[-1] / rate_hz, rate_hz, start=False))
        elif away > 0:
            nearest = time_s
            break
        nearest = time_s
    if waiting:
        wanted_s = start_s + waiting[-1] / rate_hz
        at = "it has no frames there" if nearest is None else f"the nearest is at {nearest:.3f} s"
        raise InputError(
            f"{path.name} has no frame at {wanted_s:.3f} s ({at}); the video is cut short or was encoded again at "
            f"another rate than {rate_hz:g} frames a second. Copy the dataset again."
        )


def _decoded(
    container: Any, stream: Any, first_s: float, rate_hz: float, *, start: bool
) -> Iterator[tuple[float, Any]]:
    """(seconds, frame) from at or before `first_s` on. A file that cannot seek is decoded from its beginning."""
    import av

    time_base = float(stream.time_base)
    if not (start and first_s * rate_hz <= SEEK_GAP):
        try:
            container.seek(max(0, int((first_s - 0.5 / rate_hz) / time_base)), stream=stream, backward=True)
        except av.FFmpegError:
            container.seek(0, stream=stream, backward=True)
    for frame in container.decode(stream):
        if frame.pts is not None:
            yield frame.pts * time_base, frame


def _check_size(sized: Any, path: Path, side_px: int) -> None:
    if sized is None:
        raise InputError(f"{path.name} is encoded by a codec that is not here. Encode it as H.264 or AV1.")
    if not (0 < sized.width <= side_px and 0 < sized.height <= side_px):
        raise InputError(f"{path.name} is {sized.width} x {sized.height} px; at most {side_px} px a side are read.")


def _undecodable(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path.name} cannot be decoded as video ({type(error).__name__}); it is damaged or cut short. "
        "Copy the dataset again, or leave its episodes out."
    )
