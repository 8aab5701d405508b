"""Camera arrays as lossless H.264: bit-exact, and a tenth to a fiftieth of the raw size.

`libx264rgb` at constant rate factor 0 keeps every RGB byte. Costs about 0.5 ms a 192-px frame to write and 0.7 ms to
read on one core. The files are for this program: browsers do not play 4:4:4 RGB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np

from steering.errors import InputError

RATE_HZ = 20  # only written into the container's clock; the episode carries its own rate
MAX_SIDE_PX = 4096


def is_video(array: np.ndarray) -> bool:
    """Whether `array` has the form of camera frames: uint8 [frame, height, width, 3], not empty."""
    return array.dtype == np.uint8 and array.ndim == 4 and array.shape[-1] == 3 and array.size > 0


def write_video(path: Path, frames: np.ndarray) -> None:
    """Write uint8 [frame, height, width, 3] RGB to `path` (MP4), bit-exact."""
    import av

    with av.open(str(path), "w", format="mp4") as container:
        options = {"crf": "0", "preset": "veryfast"}
        stream = container.add_stream("libx264rgb", rate=Fraction(RATE_HZ), options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "rgb24"
        for image in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def each_frame(path: Path, shape: tuple[int, int, int, int]) -> Iterator[np.ndarray]:
    """The frames of `path` one by one, uint8 [height, width, 3]; InputError once they are found not to have `shape`."""
    import av

    count, height, width, _ = shape
    if max(height, width) > MAX_SIDE_PX:
        raise InputError(f"{path.name}: a frame may have at most {MAX_SIDE_PX} px a side, not {width}x{height}.")
    read = 0
    try:
        with av.open(str(path)) as container:
            container.streams.video[0].codec_context.options = {"max_pixels": str(MAX_SIDE_PX**2)}
            for frame in container.decode(video=0):
                if read == count or (frame.height, frame.width) != (height, width):
                    break
                yield frame.to_ndarray(format="rgb24")
                read += 1
            else:
                if read == count:
                    return
    except (av.FFmpegError, OSError, IndexError) as error:
        raise InputError(f"{path.name} cannot be read as video ({error}).") from None
    raise InputError(f"{path.name} does not hold the {count} frames of {width}x{height} px that its artefact names.")


def whole(rows: Iterable[np.ndarray]) -> np.ndarray:
    """Rows as one array, which they may be already."""
    return rows if isinstance(rows, np.ndarray) else np.stack(list(rows))


class LazyArrays(Mapping[str, np.ndarray]):
    """A mapping of arrays that are read when first asked for, and kept. Opening an artefact stays instant.

    readers: give the rows of an array. shapes: of every array, known without reading it.
    """

    def __init__(
        self, readers: Mapping[str, Callable[[], Iterable[np.ndarray]]], shapes: Mapping[str, tuple[int, ...]]
    ) -> None:
        self._readers = dict(readers)
        self._arrays: dict[str, np.ndarray] = {}
        self.shapes = dict(shapes)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._arrays:
            self._arrays[name] = whole(self._readers[name]())
        return self._arrays[name]

    def each(self, name: str) -> Iterator[np.ndarray]:
        """The rows of an array one by one, read as they are asked for; they are not kept."""
        return iter(self._arrays[name] if name in self._arrays else self._readers[name]())

    def first(self, name: str) -> np.ndarray:
        """The first row of an array, which is not kept."""
        return next(self.each(name))

    @property
    def decoded_bytes(self) -> int:
        """Memory of the arrays that were read."""
        return sum(array.nbytes for array in tuple(self._arrays.values()))

    def __contains__(self, name: object) -> bool:
        return name in self._readers  # `Mapping` would read the array

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)

    def __repr__(self) -> str:
        return f"LazyArrays({sorted(self._readers)})"
