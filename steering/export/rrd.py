"""An episode with the attention of chosen heads as a recording of rerun (`.rrd`), for its viewer and whoever reads one.

Entities: `camera/<role>`, over each `attention/<head>` as a picture that is the clearer the more the head looks there,
`state` and `action` as series of their columns, `instruction` as text; time lines `frame` and `time` (seconds).
Pictures are JPEG, attention PNG. Needs the extra `rerun`. Costs about 10 ms and 10 kB a frame.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from steering.errors import InputError, SteeringError
from steering.progress import Progress
from steering.types import Episode

APPLICATION = "robotic-steering"
JPEG_QUALITY = 90
_COLOUR, _MOST_ALPHA = (255, 209, 0), 170


def write_rrd(
    episode: Episode,
    path: Path,
    attention: Mapping[str, np.ndarray],
    *,
    bar: float = 0.5,
    names: tuple[tuple[str, ...], tuple[str, ...]] = ((), ()),
    progress: Progress = Progress(),
) -> Path:
    """Write `episode` to `path`, a new file.

    attention: name of a head -> uint8 [frame, camera, patch], cameras in the episode's order, as `Attention.image` has
    it with `bar`. names: of the columns of state and action. Raises InputError where the file is there already.
    """
    rerun = check_new(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    recording = rerun.RecordingStream(APPLICATION, recording_id=episode.name)
    recording.save(path)
    for entity, columns, dims in (
        ("state", names[0], episode.state.shape[1]),
        ("action", names[1], episode.action.shape[1]),
    ):
        told = list(columns) if len(columns) == dims else [f"{entity}_{i}" for i in range(dims)]
        recording.log(entity, rerun.SeriesLines(names=told), static=True)
    said = ""
    for frame in range(episode.frames):
        recording.set_time("frame", sequence=frame)
        recording.set_time("time", duration=frame / episode.rate_hz)
        for number, (role, images) in enumerate(episode.cameras.items()):
            place, (height, width) = f"camera/{role}", images[frame].shape[:2]
            recording.log(place, rerun.Image(images[frame]).compress(jpeg_quality=JPEG_QUALITY))
            for head, weights in attention.items():
                png = _png(over_picture(weights[frame, number], height, width, bar))
                recording.log(f"{place}/attention/{head}", rerun.EncodedImage(contents=png, media_type="image/png"))
        recording.log("state", rerun.Scalars(episode.state[frame]))
        recording.log("action", rerun.Scalars(episode.action[frame]))
        if episode.instruction_at(frame) != said:
            said = episode.instruction_at(frame)
            recording.log("instruction", rerun.TextDocument(said))
        progress.report((frame + 1) / episode.frames, f"rerun: frame {frame + 1} of {episode.frames}")
    recording.flush()
    recording.disconnect()
    return path


def check_new(path: Path) -> Any:
    """rerun's package, where it is installed and nothing is at `path`."""
    try:
        import rerun
    except ImportError as error:
        raise SteeringError(
            "A recording of rerun needs its package, which is not installed. Install it with: pip install "
            "'rerun-sdk>=0.41,<0.42'."
        ) from error
    if path.exists():
        raise InputError(f"{path} is there already. Choose another name.")
    return rerun


def over_picture(patches: np.ndarray, height: int, width: int, bar: float = 0.5) -> np.ndarray:
    """The weights of a head at every pixel of a picture: uint8 [height, width].

    patches: uint8 [patch], row-major, of the square that the policy sees: the picture with black beside its longer
    sides, of which the share `bar` lies on its left or above it.
    """
    grid, side = round(len(patches) ** 0.5), max(height, width)
    top, left = round((side - height) * bar), round((side - width) * bar)
    rows = (np.arange(top, top + height) * grid) // side
    columns = (np.arange(left, left + width) * grid) // side
    shown: np.ndarray = patches.reshape(grid, grid)[rows[:, None], columns[None]]
    return shown


def _png(weights: np.ndarray) -> bytes:
    """One colour, the less transparent the larger the weight."""
    picture = np.empty((*weights.shape, 4), np.uint8)
    picture[..., :3] = _COLOUR
    picture[..., 3] = weights.astype(np.uint16) * _MOST_ALPHA // 255
    file: Any = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=1)
    written: bytes = file.getvalue()
    return written
