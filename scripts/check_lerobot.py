"""lerobot itself reads what this project writes, and this project reads what lerobot writes; frame by frame.

    python3.12 -m venv DIR && DIR/bin/pip install "lerobot[dataset]"
    PYTHONPATH=. python scripts/check_lerobot.py DIR/bin/python

lerobot pins another torch and lives in an environment of its own. Demonstrations are recorded in the simulator, written
here with and without loss, and read by `LeRobotDataset`; then lerobot writes a dataset of videos and one of pictures,
with its own encoder, and both are read here. States, actions and instructions must be equal to the bit; pictures to
the bit of the lossless file, and elsewhere to what the other side decodes from the same file. One minute. Exits with 1
where they differ.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

FRAMES, SIDE = 40, 96
DECODERS_MAY_DIFFER = 3  # of 255: colour conversions of two FFmpeg versions


def read_with_lerobot(folder: Path, out: Path) -> None:
    """Run under lerobot's Python: every frame of a dataset into an NPZ file."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    dataset: Any = LeRobotDataset("check/it", root=folder, video_backend="pyav")
    rows = [dataset[i] for i in range(len(dataset))]
    arrays = {name: np.stack([np.asarray(row[name]) for row in rows]) for name in rows[0] if name != "task"}
    for name in dataset.meta.camera_keys:
        arrays[name] = np.rint(arrays[name].transpose(0, 2, 3, 1) * 255).astype(np.uint8)
    arrays["task"] = np.array([row["task"] for row in rows])
    arrays["statistics"] = np.asarray(dataset.meta.stats["action"]["mean"])
    np.savez(out, allow_pickle=False, **arrays)


def write_with_lerobot(folder: Path, out: Path) -> None:
    """Run under lerobot's Python: a dataset with videos, then one with pictures, and what went into both."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2 * FRAMES, 6, 6, 3), dtype=np.uint8).repeat(SIDE // 6, 1).repeat(SIDE // 6, 2)
    state, action = (rng.standard_normal((2 * FRAMES, size), dtype=np.float32) for size in (8, 7))
    for kind in ("video", "image"):
        features = {
            "observation.images.exterior": {"dtype": kind, "shape": (SIDE, SIDE, 3), "names": ["height", "width", "c"]},
            "observation.state": {"dtype": "float32", "shape": (8,), "names": [f"s{i}" for i in range(8)]},
            "action": {"dtype": "float32", "shape": (7,), "names": [f"a{i}" for i in range(7)]},
        }
        dataset: Any = LeRobotDataset.create(f"check/{kind}", 20, features, root=folder / kind, use_videos=True)
        for index in range(2 * FRAMES):
            row = {"observation.images.exterior": images[index], "observation.state": state[index]}
            dataset.add_frame(row | {"action": action[index], "task": f"task {index // FRAMES}"})
            if index % FRAMES == FRAMES - 1:
                dataset.save_episode()
        dataset.finalize()
    np.savez(out, allow_pickle=False, images=images, state=state, action=action)


def check_written_here(other: str, place: Path) -> bool:
    """lerobot reads what `write_lerobot` wrote."""
    from steering.demonstrations.guessing import guess
    from steering.demonstrations.readers.registry import open_dataset
    from steering.demonstrations.recording import record
    from steering.demonstrations.writing import write_lerobot

    recorded = record("place_cube_in_bowl", 2, seed=0)
    agree = []
    for lossless in (True, False):
        folder, out = place / f"ours_{lossless}", place / f"ours_{lossless}.npz"
        write_lerobot(recorded, folder, lossless=lossless)
        run(other, "read", folder, out)
        theirs = np.load(out, allow_pickle=False)
        with open_dataset(folder) as dataset:
            ours = [dataset.episode(i, guess(dataset).mapping) for i in range(len(dataset.episodes))]
        state, action = (np.concatenate([getattr(e, name) for e in recorded.episodes]) for name in ("state", "action"))
        tasks = np.concatenate([[e.instruction] * e.frames for e in recorded.episodes])
        same = [np.array_equal(theirs["observation.state"], state), np.array_equal(theirs["action"], action)]
        same += [np.array_equal(theirs["task"], tasks), np.allclose(theirs["statistics"], action.mean(0), atol=1e-5)]
        for camera in recorded.episodes[0].cameras:
            seen = theirs[f"observation.images.{camera}"].astype(int)
            expected = recorded.episodes if lossless else ours
            worst = np.abs(seen - np.concatenate([e.cameras[camera] for e in expected])).max()
            same.append(worst <= (0 if lossless else DECODERS_MAY_DIFFER))
            against = "what was recorded" if lossless else "what is decoded here"
            print(f"{'lossless' if lossless else 'small'} {camera}: lerobot's differ from {against} by {worst} of 255")
        print(f"written here, read by lerobot: {len(state)} frames, {'equal' if all(same) else f'DIFFERENT {same}'}")
        agree += same
    return all(agree)


def check_written_there(other: str, place: Path) -> bool:
    """What lerobot wrote is read here."""
    from steering.demonstrations.guessing import guess
    from steering.demonstrations.readers.registry import open_dataset

    run(other, "write", place / "theirs", place / "theirs.npz")
    truth = np.load(place / "theirs.npz", allow_pickle=False)
    agree = []
    for kind in ("video", "image"):
        out = place / f"theirs_{kind}.npz"
        run(other, "read", place / "theirs" / kind, out)
        decoded = np.load(out, allow_pickle=False)["observation.images.exterior"].astype(int)
        with open_dataset(place / "theirs" / kind) as dataset:
            episodes = [dataset.episode(i, guess(dataset).mapping) for i in range(2)]
        images = np.concatenate([e.cameras["exterior"] for e in episodes])
        same = [
            np.array_equal(np.concatenate([getattr(e, k) for e in episodes]), truth[k]) for k in ("state", "action")
        ]
        same += [[e.instruction for e in episodes] == ["task 0", "task 1"]]
        worst = np.abs(images - (decoded if kind == "video" else truth["images"].astype(int))).max()
        same.append(worst <= (DECODERS_MAY_DIFFER if kind == "video" else 0))
        distance = np.abs(images[:, None, ::8, ::8].astype(int) - truth["images"][None, :, ::8, ::8])
        same.append(bool((distance.mean(axis=(2, 3, 4)).argmin(1) == np.arange(2 * FRAMES)).all()))
        verdict = "equal" if all(same) else f"DIFFERENT {same}"
        print(f"written by lerobot as {kind}, read here: {len(images)} frames, pictures differ by {worst}, {verdict}")
        agree += same
    return all(agree)


def run(other: str, what: str, folder: Path, out: Path) -> None:
    """Do one part under lerobot's Python."""
    subprocess.run([other, __file__, what, str(folder), str(out)], check=True, capture_output=True)


def main() -> int:
    """Check both ways, or do one part under lerobot's Python."""
    if sys.argv[1] in ("read", "write"):
        work = read_with_lerobot if sys.argv[1] == "read" else write_with_lerobot
        work(Path(sys.argv[2]), Path(sys.argv[3]))
        return 0
    with tempfile.TemporaryDirectory() as place:
        agree = [check(sys.argv[1], Path(place)) for check in (check_written_here, check_written_there)]
    return 0 if all(agree) else 1


if __name__ == "__main__":
    sys.exit(main())
