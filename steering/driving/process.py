"""Demonstrations that a person drives: the process that holds the scene, and how the kept episodes are stored.

The process is `python -m steering.driving.process`, started by `steering.driving.client`: a wish in, the state and
pictures out (`steering.child`). It ends when it is told to, when nobody asks for `idle_s`, and when its server is gone,
in the last two cases after storing what was kept. It starts in half a second, holds one episode in memory (220 kB a
frame) and the kept ones on disk, and answers a step in 15 ms on one core; as much again goes while the answer travels.
"""

from __future__ import annotations

import hashlib
import io
import json
import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from steering.child import Deserted, Parent
from steering.errors import InputError, SteeringError
from steering.pipeline.making import made
from steering.store import Store
from steering.types import CAMERAS, Demonstrations, Episode

if TYPE_CHECKING:
    from steering.driving.scene import DrivenScene

VIEW_PX = 384
"""Side of the exterior picture that the driver sees; what is recorded has the size of all demonstrations."""
JPEG_QUALITY = 85
MOST_KEPT, MOST_FRAMES = 50, 15_000
"""Episodes and frames of a set: 3.3 GB on disk until they are stored."""


def keep_driven(store: Store, *, task: str, variations: Sequence[str] = (), episodes: Sequence[Episode]) -> str:
    """Store driven episodes as demonstrations; the same driving gives the same id. Raises InputError for none."""
    if not episodes:
        raise InputError("Expected at least one episode, got none. Keep an episode first.")
    digest = hashlib.sha256()
    for one in episodes:
        digest.update(json.dumps([one.seed, one.frames, one.success]).encode())
        digest.update(np.ascontiguousarray(one.action).data)
    params = {"task": task, "variations": list(variations), "by": "keyboard", "actions": digest.hexdigest()}
    count = f"{len(episodes)} episode{'' if len(episodes) == 1 else 's'} by hand"
    name = f"{task}, {count}" + (f", {' + '.join(variations)}" if variations else "")
    named = tuple(replace(one, name=f"episode_{i:03d}") for i, one in enumerate(episodes))
    return made(store, "demonstrations", (), params, lambda: Demonstrations(name, task, tuple(variations), named))


class Drive:
    """Scenes of a task in turn, and what was kept of them. folder: where kept pictures lie until they are stored."""

    def __init__(self, store: Store, folder: Path, task: str, seed: int, variations: Sequence[str]) -> None:
        self._store, self._folder, self._task, self._seed = store, folder, task, seed
        self._variations, self._number = tuple(variations), 0
        self.kept: list[Episode] = []
        self._try = self._open()

    def answer(self, wish: Mapping[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        """State and pictures after `wish`: {do: step, action}, look, again, next, {do: keep, failure}, save.

        Raises InputError where it cannot be had; the scene is then as before.
        """
        do = wish.get("do")
        if do == "step":
            self._try.step(np.asarray(wish["action"], np.float32))
        elif do == "keep":
            self._keep(bool(wish.get("failure")))
        elif do in ("again", "next"):
            self._turn_to(self._number + (do == "next"))
        elif do == "save":
            return {"saved": self.save()}, []
        elif do != "look":
            raise InputError(f"Expected step, look, keep, again, next or save, got {str(do)[:20]!r}. Reload the page.")
        pictures = (self._try.picture(CAMERAS[0], VIEW_PX), self._try.look(CAMERAS[1]))
        return self._state(), [_jpeg(picture) for picture in pictures]

    def prepare(self) -> None:
        """Draw now what the next step will record, while nobody waits."""
        if not self._try.ended:
            for camera in CAMERAS:
                self._try.look(camera)

    def save(self) -> str:
        """Store what was kept; the id."""
        return keep_driven(self._store, task=self._task, variations=self._variations, episodes=self.kept)

    def close(self) -> None:
        """Free the scene."""
        self._try.close()

    def _open(self) -> DrivenScene:
        from steering.demonstrations.recording import driven_seed
        from steering.driving.scene import DrivenScene

        return DrivenScene(self._task, driven_seed(self._seed, self._number), self._variations)

    def _turn_to(self, number: int) -> None:
        self._try.close()
        self._number = number
        self._try = self._open()

    def _keep(self, failure: bool) -> None:
        if not self._try.success and not failure:
            raise InputError("The task is not reached yet. Drive on, or keep the episode as a failure.")
        self._try.finish()
        frames = self._try.frames + sum(one.frames for one in self.kept)
        if len(self.kept) >= MOST_KEPT or frames > MOST_FRAMES:
            raise InputError(
                f"A set holds at most {MOST_KEPT} episodes and {MOST_FRAMES} frames. Save it, then start another."
            )
        episode = self._try.episode(f"episode_{len(self.kept):03d}")
        cameras = {}
        for camera, images in episode.cameras.items():
            path = self._folder / f"{len(self.kept)}-{camera}.npy"
            np.save(path, images)
            cameras[camera] = np.load(path, mmap_mode="r")
        self.kept.append(replace(episode, cameras=cameras))
        self._turn_to(self._number + 1)

    def _state(self) -> dict[str, Any]:
        now = self._try
        return {
            "scene": self._number + 1,
            "frames": now.frames,
            "limit": now.limit,
            "success": now.success,
            "ended": now.ended,
            "still": now.still,
            "opening": round(now.opening, 3),
            "gripper": now.gripper,
            "away": now.away,
            "instruction": now.scene.instruction,
            "kept": [bool(one.success) for one in self.kept],
        }


def _jpeg(picture: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


def serve(parent: Parent) -> None:
    """Answer what the parent asks until stop, silence or its end.

    The first message says {root, owner, task, seed, variations, idle_s}. A reply is {error}, or state and pictures.
    """
    asked = parent.receive()
    if asked is None:
        return
    first = asked.fields
    store = Store(first["root"], owner=first["owner"])
    with store.new_folder("driving") as folder:
        try:
            drive = Drive(store, folder, first["task"], first["seed"], first["variations"])
        except SteeringError as error:
            parent.send({"error": str(error)})
            return
        wish: Mapping[str, Any] | None = {"do": "look"}
        try:
            while wish is not None and wish.get("do") != "stop":
                try:
                    state, pictures = drive.answer(wish)
                    parent.send(state, pictures)
                    if "saved" in state:
                        break
                    drive.prepare()
                except SteeringError as error:
                    parent.send({"error": str(error)})
                asked = parent.receive(float(first["idle_s"]))
                wish = None if asked is None else asked.fields
        except Deserted:  # the server is gone
            wish = None
        if wish is None and drive.kept:
            drive.save()
        drive.close()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl C is for the server, whose end is heard of
    serve(Parent())
