"""What flatters an error on held-out episodes, read from what an adapter was made from. Milliseconds, nothing loaded.

Heads are scored on every episode, those that finetuning holds out among them; LoRA on all heads never sees those.
"""

from __future__ import annotations

from steering.errors import NotFound
from steering.store import Store
from steering.types import HEAD_RESTRICTED

HEADS_SAW = (
    "Its heads were chosen with the held-out episodes in view, so its held-out error is a little flattered; rollouts "
    "in fresh scenes are not."
)
_NOT_FOR_THE_TASK = ("random", "bottom", "other_task", "file")
"""Rules of a selection that take no head because it scores well on its relevance."""


def heldout_notice(store: Store, adapter_id: str, demonstrations_id: str) -> str:
    """What flatters an adapter's error on held-out episodes of `demonstrations_id`, a sentence; empty for nothing.

    A set by hand counts as chosen by the scores that it was chosen beside.
    """
    manifest = store.manifest(adapter_id)
    selections = (parent for parent in manifest.parents if parent.startswith("selection-"))
    if manifest.params.get("method") not in HEAD_RESTRICTED:
        return ""
    return HEADS_SAW if any(_chosen_on(store, one, demonstrations_id) for one in selections) else ""


def open_loop_notices(store: Store, comparison_id: str) -> dict[str, str]:
    """Method -> what flatters its error in an open-loop comparison; methods with nothing are left out."""
    notices = {}
    for prediction_id in store.manifest(comparison_id).parents:
        prediction = store.manifest(prediction_id)
        demonstrations_id, *adapters = prediction.parents
        for adapter_id in adapters:
            if notice := heldout_notice(store, adapter_id, demonstrations_id):
                notices[str(prediction.params["method"])] = notice
    return notices


def _chosen_on(store: Store, artefact_id: str, demonstrations_id: str) -> bool:
    """Whether a selection, or what it was made from, goes back to these demonstrations."""
    try:
        manifest = store.manifest(artefact_id)
    except NotFound:
        return False  # it came from elsewhere without what it was made from
    if manifest.params.get("rule") in _NOT_FOR_THE_TASK:
        return False
    return demonstrations_id in manifest.parents or any(
        _chosen_on(store, parent, demonstrations_id) for parent in manifest.parents
    )
