"""Heads with the policy in the loop: relevance by gradients, ablation, patching or attention, and what a gain does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from steering import policy_cache
from steering.errors import InputError, unknown_name
from steering.metrics import WITH_POLICY
from steering.pipeline.making import LOADING, load, made, weights
from steering.progress import Progress
from steering.store import Store
from steering.types import ACTION_NAMES, CAMERAS, Demonstrations, GainSweep, Head, Relevance

FRAMES = 64
GAINS = tuple(np.arange(0, 3.01, 0.25).tolist())
MASKS = 0.5  # share of the time of `attention_mass` that the masks take


def attribute(
    store: Store,
    *,
    demonstrations_id: str,
    metric: str,
    policy: str = "embedded",
    frames: int = FRAMES,
    samples: int = 4,
    seed: int = 0,
    progress: Progress = Progress(),
) -> str:
    """Score every head by one of `metrics.WITH_POLICY`: a relevance whose parent is the demonstrations.

    frames: how many are asked, evenly spread over the episodes. samples: draws of noise and time a frame, by `seed`.
    """
    if metric not in WITH_POLICY:
        raise unknown_name("metric that runs the policy", metric, WITH_POLICY)

    def make() -> Relevance:
        from steering.attribution.probe import spread_frames
        from steering.attribution.scoring import attribute as measure

        demonstrations = load(store, demonstrations_id, Demonstrations)
        masks, part = None, progress
        if metric == "attention_mass":
            from steering.demonstrations.masks import named_masks

            chosen = spread_frames(demonstrations, frames)
            masks, part = (
                named_masks(demonstrations, *chosen, progress=progress.part(0, MASKS)),
                progress.part(MASKS, 1),
            )
        loaded = policy_cache.get(policy, None, demonstrations, part.part(0, LOADING))
        options = {"frames": frames, "samples": samples, "seed": seed}
        return measure(loaded, demonstrations, metric, masks=masks, progress=part.part(LOADING, 1), **options)

    params = {**weights(policy), "metric": metric, "frames": frames, "samples": samples, "seed": seed}
    return made(store, "relevance", (demonstrations_id,), params, make)


def predicted_path(
    store: Store,
    *,
    demonstrations_id: str,
    head: Sequence[object],
    episode: int,
    frame: int,
    gains: Sequence[float] = GAINS,
    policy: str = "embedded",
    seed: int = 0,
    progress: Progress = Progress(),
) -> str:
    """The actions predicted at a frame with one head at each of `gains`: a GainSweep. 20 ms a gain when warm.

    head: (stack, layer, head). The path in metres and in the pictures comes from the simulator where the demonstrations
    did, 0.1 s more; recordings from outside, or of another version of the simulator, have none.
    """
    stack, layer, number = head
    chosen = Head(str(stack), int(str(layer)), int(str(number)))
    params = {**weights(policy), "head": [chosen.stack, chosen.layer, chosen.head], "episode": episode, "frame": frame}

    def make() -> GainSweep:
        from steering.attribution.gains import predicted_path as predict

        demonstrations = load(store, demonstrations_id, Demonstrations)
        if not 0 <= episode < len(demonstrations.episodes):
            last = len(demonstrations.episodes) - 1
            raise InputError(f"There is no episode {episode}; the demonstrations have 0 to {last}.")
        recorded = demonstrations.episodes[episode]
        loaded = policy_cache.get(policy, None, demonstrations, progress)
        chunks = []
        for done, gain in enumerate(gains):
            progress.report(done / len(gains), f"{chosen.label()} × {gain:g}")
            chunks.append(predict(loaded, recorded, frame, {chosen: gain}, seed=seed))
        chunk = np.stack(chunks)
        action = np.concatenate([one.action for one in demonstrations.episodes])
        dims = action.shape[1]
        path_m, path_px = _in_the_scene(demonstrations, episode, frame, chunk)
        return GainSweep(
            head=chosen,
            episode=episode,
            frame=frame,
            gains=tuple(map(float, gains)),
            chunk=chunk,
            demonstrated=recorded.action[frame : frame + chunk.shape[1]],
            spread=action.std(0).astype(np.float32),
            names=ACTION_NAMES if dims == len(ACTION_NAMES) else tuple(f"action {d}" for d in range(dims)),
            path_m=path_m,
            path_px=path_px,
        )

    return made(store, "gain_sweep", (demonstrations_id,), {**params, "gains": list(gains), "seed": seed}, make)


def _in_the_scene(
    demonstrations: Demonstrations, episode: int, frame: int, chunk: np.ndarray
) -> tuple[np.ndarray | None, dict[str, np.ndarray]]:
    """Where chunks [gain, step, dim] would take the tool: metres, and places in the pictures. None without a scene."""
    recorded = demonstrations.episodes[episode]
    if not demonstrations.task or recorded.seed is None or chunk.shape[2] != len(ACTION_NAMES):
        return None, {}
    from steering.demonstrations.masks import STATE_TOLERANCE
    from steering.demonstrations.recording import replay
    from steering.rollout.tracing import project
    from steering.simulation.world import STEP_M, World

    found: list[tuple[np.ndarray, dict[str, np.ndarray]]] = []
    passed = 0

    def watch(world: World, action: np.ndarray) -> None:
        nonlocal passed
        at, passed = passed, passed + 1
        if at != frame or np.abs(world.state() - recorded.state[at]).max() > STATE_TOLERANCE:
            return  # a replay that left the recording shows another place than the picture
        moves = np.clip(chunk[..., :3], -1, 1) * STEP_M
        start = np.zeros((len(chunk), 1, 3))
        path_m = world.position_m() + np.concatenate([start, np.cumsum(moves, axis=1)], axis=1)
        flat = path_m.reshape(-1, 3)
        pixels = {c: project(world, c, flat).reshape(*path_m.shape[:2], 2).astype(np.float32) for c in CAMERAS}
        found.append((path_m.astype(np.float32), pixels))

    replay(demonstrations, recorded, watch)
    return found[0] if found else (None, {})
