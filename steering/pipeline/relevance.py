"""Scores of heads, from cached activations alone."""

from __future__ import annotations

from collections.abc import Sequence

from steering.pipeline.making import load, made
from steering.progress import Progress
from steering.store import Store
from steering.types import Activations, Demonstrations, Relevance


def score(
    store: Store,
    *,
    activations_id: str,
    preset: str = "paper",
    metric: str = "knn",
    ks: Sequence[int] | None = None,
    keyframes: bool | None = None,
    progress: Progress = Progress(),
) -> str:
    """Score every head. The relevance has the demonstrations as second parent, so that it is found from them alone.

    keyframes: whether only keyframes count. By default those of the paper preset, where they are enough for every k;
    else all frames. The manifest says which.
    """
    from steering.relevance import knn
    from steering.relevance.folds import fewest_training_frames
    from steering.relevance.keyframes import keyframes as find_keyframes
    from steering.relevance.keyframes import take
    from steering.relevance.scoring import score as score_heads

    demonstrations_id = store.manifest(activations_id).parents[0]
    ks = tuple(ks or knn.KS)
    activations = load(store, activations_id, Activations)
    if keyframes or (keyframes is None and preset == "paper"):
        rate_hz = load(store, demonstrations_id, Demonstrations).episodes[0].rate_hz
        at_keyframes = take(activations, find_keyframes(activations, rate_hz))
        keyframes = keyframes or fewest_training_frames(at_keyframes.episode, at_keyframes.frame) >= max(ks)
        activations = at_keyframes if keyframes else activations

    def make() -> Relevance:
        from steering.models.sites import inert_mask

        return score_heads(activations, preset, ks, metric, inert_mask(activations.shape), progress)

    params = {"preset": preset, "metric": metric, "ks": ks, "keyframes": bool(keyframes)}
    return made(store, "relevance", (activations_id, demonstrations_id), params, make)
