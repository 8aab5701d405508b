"""Policies as `steering serve` offers them to robots: loaded, with what their demonstrations say of the robot."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from steering import policy_cache
from steering.demonstrations import mapping as mappings
from steering.demonstrations import pictures
from steering.errors import InputError
from steering.pipeline.demonstrations import MAPPING_FILE
from steering.pipeline.making import adapter_folder, load
from steering.progress import Progress
from steering.store import Store
from steering.types import Demonstrations

if TYPE_CHECKING:
    from steering.serving.observing import Wanted
    from steering.serving.server import Served

ZERO_SHOT = "zero_shot"


def served_policies(
    store: Store,
    *,
    policy: str = "embedded",
    adapters: Sequence[str] = (),
    demonstrations_id: str | None = None,
    progress: Progress = Progress(),
) -> dict[str, Served]:
    """Name -> policy, loaded and in order: of adapters by their method, `zero_shot` for the policy without one.

    adapters: ids, or `zero_shot`; none of them serves the policy alone. demonstrations_id: whose robot and statistics
    the untouched policy takes, by default those of the first adapter. Raises InputError for adapters of another policy.
    """
    wanted = list(dict.fromkeys(adapters)) or [ZERO_SHOT]
    trained = [one for one in wanted if one != ZERO_SHOT]
    if trained:
        policy = _one_policy(store, trained)
        demonstrations_id = demonstrations_id or store.manifest(trained[0]).parents[0]
    served: dict[str, Served] = {}
    for i, one in enumerate(wanted):
        method = ZERO_SHOT if one == ZERO_SHOT else str(store.manifest(one).params["method"])
        name = method if method not in served else f"{method}_{one[-4:]}"
        own = demonstrations_id if one == ZERO_SHOT else store.manifest(one).parents[0]
        part = progress.part(i / len(wanted), (i + 1) / len(wanted))
        served[name] = _served(store, name, policy, None if one == ZERO_SHOT else one, own, part)
    return served


def _one_policy(store: Store, adapters: Sequence[str]) -> str:
    bases = {str(store.manifest(one).params.get("policy", "embedded")) for one in adapters}
    if len(bases) > 1:
        raise InputError(f"Expected adapters of one policy, got those of {', '.join(sorted(bases))}. Serve them apart.")
    return bases.pop()


def _served(
    store: Store, name: str, policy: str, adapter_id: str | None, demonstrations_id: str | None, progress: Progress
) -> Served:
    from steering.serving.observing import Wanted
    from steering.serving.server import Served

    adapter = adapter_folder(store, adapter_id) if adapter_id else None
    demonstrations = load(store, demonstrations_id, Demonstrations) if demonstrations_id else None
    loaded = policy_cache.get(policy, adapter, demonstrations, progress)
    if demonstrations is None or demonstrations_id is None:
        return Served(name, loaded, Wanted())
    first = demonstrations.episodes[0]
    return Served(
        name, loaded, _wanted(store, demonstrations_id, demonstrations), demonstrations.columns, first.rate_hz
    )


def _wanted(store: Store, demonstrations_id: str, demonstrations: Demonstrations) -> Wanted:
    """What the policy saw in training, by the mapping that was kept where the recording came from outside."""
    from steering.serving.observing import Wanted

    first = demonstrations.episodes[0]
    roles = list(first.pictures_px)
    told = {text for episode in demonstrations.episodes for text in episode.all_instructions}
    instruction = told.pop() if len(told) == 1 else ""
    path = store.folder(demonstrations_id) / MAPPING_FILE
    if not path.is_file():
        return Wanted(dict.fromkeys(roles, ""), instruction=instruction)
    kept = mappings.read(path)
    most_px = store.manifest(demonstrations_id).params.get("image_px")
    return Wanted(
        most_px=most_px if isinstance(most_px, int) else None,
        cameras={role: kept.cameras[role].feature if role in kept.cameras else "" for role in roles},
        turns={role: partial(_upright, kept.cameras[role]) for role in roles if role in kept.cameras},
        state=tuple((columns.feature, columns.indices) for columns in kept.state),
        instruction=instruction,
    )


def _upright(camera: mappings.Camera, image: np.ndarray) -> np.ndarray:
    return pictures.turned(image[None], camera)[0]
