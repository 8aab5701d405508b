"""Import a dataset from outside as `Demonstrations`, by a mapping that was given, kept or guessed.

Pictures are made smaller while they are read, so that memory is that of the small ones: 20 episodes of 300 frames and
two cameras at 224 px take 1.8 GB. Time is that of decoding, about 2 ms a frame of 480 x 640 px.
"""

from __future__ import annotations

from collections.abc import Mapping as Mapped
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from steering.demonstrations.dataset import Dataset
from steering.demonstrations.mapping import Mapping
from steering.errors import InputError
from steering.progress import Progress
from steering.types import Demonstrations, Episode

IMAGE_PX = 224
"""The side that π0 sees; larger pictures are made smaller once, here."""
MOST_EPISODES = 200
HOW_TO_SKIP = "To import the others, skip episodes that cannot be read (on the command line --skip-unreadable)."


@dataclass(frozen=True)
class Imported:
    """What was imported. episodes: indices of those that were read, in order; left_out: index -> why it was not."""

    demonstrations: Demonstrations
    episodes: tuple[int, ...]
    left_out: Mapped[int, str]


def import_episodes(
    dataset: Dataset,
    mapping: Mapping,
    *,
    episodes: Sequence[int] | None = None,
    image_px: int | None = IMAGE_PX,
    skip_unreadable: bool = False,
    progress: Progress | None = None,
) -> Imported:
    """The episodes (indices; None for all, at most `MOST_EPISODES`) as demonstrations.

    image_px: longest side of a picture; None keeps them as they are. skip_unreadable: episodes that cannot be read, or
    differ, are left out, not refused; there must be one that can. Raises InputError for episodes that cannot be read or
    differ, and where everything together would need too much memory.
    """
    progress = progress or Progress()
    chosen = list(range(len(dataset.episodes))) if episodes is None else list(dict.fromkeys(episodes))
    if not chosen:
        raise InputError(f"{dataset.name} has no episodes to import. Choose another dataset.")
    if len(chosen) > MOST_EPISODES:
        raise InputError(
            f"{len(chosen)} episodes were asked for; at most {MOST_EPISODES} are imported at a time. Name the episodes."
        )
    if not mapping.cameras or not mapping.state or not mapping.action:
        missing = [name for name in ("cameras", "state", "action") if not getattr(mapping, name)]
        raise InputError(f"The mapping of {dataset.name} names no {' and no '.join(missing)}. Correct it, then import.")
    found: dict[int, Episode] = {}
    left_out: dict[int, str] = {}
    size = 0
    for done, index in enumerate(chosen):
        progress.report(done / len(chosen), f"Reading episode {done + 1} of {len(chosen)}")
        try:
            episode = dataset.episode(index, mapping, image_px=image_px)
            _check_like(episode, next(iter(found.values()), episode))
        except InputError as error:
            if not skip_unreadable:
                raise InputError(f"Episode {index} cannot be imported. {error} {HOW_TO_SKIP}") from None
            left_out[index] = str(error)
            continue
        size += sum(images.nbytes for images in episode.cameras.values())
        if size > dataset.limits.image_bytes:
            raise InputError(
                f"The pictures of {len(chosen)} episodes take more than {dataset.limits.image_bytes >> 20} MB. "
                "Import fewer episodes, or at a smaller image size."
            )
        found[index] = episode
    if not found:
        raise InputError(f"None of {len(chosen)} episodes can be read. The first: {next(iter(left_out.values()))}")
    progress.report(1.0, f"{len(found)} episodes read")
    robot = dataset.robot_of(mapping)
    made = Demonstrations(
        dataset.name, dataset.task, dataset.variations, tuple(found.values()), robot, policy=dataset.policy
    )
    return Imported(made, tuple(found), left_out)


def _check_like(episode: Episode, first: Episode) -> None:
    """Refuse what no policy could take: no frames, or other dimensions than the first episode's."""
    if not episode.frames:
        raise InputError(f"{episode.name} has no frames. Leave it out.")
    if not (np.isfinite(episode.state).all() and np.isfinite(episode.action).all()):
        raise InputError(f"{episode.name} holds NaN or infinity in its state or action. Leave it out.")
    same = episode.state.shape[1:] == first.state.shape[1:] and episode.action.shape[1:] == first.action.shape[1:]
    if not same:
        raise InputError(f"{episode.name} has other state or action dimensions than {first.name}. Import them apart.")
