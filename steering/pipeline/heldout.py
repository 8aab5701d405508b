"""What is to be known of an error on held-out episodes, read from what an adapter was made from. Milliseconds.

Heads are scored on every episode, those that finetuning holds out among them; LoRA on all heads never sees those.
Heads chosen on other demonstrations did not see them either. Which of these is true follows from the set's origin.
"""

from __future__ import annotations

from steering.errors import NotFound
from steering.pipeline.origins import name_of
from steering.store import Store
from steering.types import HEAD_RESTRICTED, Origin, origin_of_word
from steering.types.origin import CHOSEN_APART

HEADS_SAW = (
    "Its heads were chosen with the held-out episodes in view, so its held-out error is a little flattered; rollouts "
    "in fresh scenes are not."
)
HEADS_UNKNOWN = (
    "It is not known on what its heads were chosen: if it was on these episodes, its held-out error is a little "
    "flattered; rollouts in fresh scenes are not."
)


def heads_elsewhere(name: str) -> str:
    """What is true of heads that were chosen on other demonstrations, called `name`."""
    return (
        f"Its heads were chosen on {name or 'other demonstrations'}: the held-out episodes had no part in the choice, "
        "and the held-out error says how well those heads carry over."
    )


def heads_changed(name: str) -> str:
    """What is true where heads chosen on `name` were changed by hand beside the scores of these demonstrations."""
    return (
        f"Its heads were chosen on {name or 'other demonstrations'} and changed by hand with the held-out episodes in "
        "view, so its held-out error may be a little flattered; rollouts in fresh scenes are not."
    )


def heldout_notice(store: Store, adapter_id: str, demonstrations_id: str) -> str:
    """What is to be known of an adapter's error on held-out episodes of `demonstrations_id`, a sentence or nothing.

    A set by hand counts as chosen by the scores that it was chosen beside.
    """
    manifest = store.manifest(adapter_id)
    if manifest.params.get("method") not in HEAD_RESTRICTED:
        return ""
    said = [
        set_notice(store, parent, demonstrations_id) for parent in manifest.parents if parent.startswith("selection-")
    ]
    return said[0] if said else ""


def set_notice(store: Store, selection_id: str, demonstrations_id: str) -> str:
    """`heldout_notice` of a stored set of heads."""
    try:
        manifest = store.manifest(selection_id)
    except NotFound:
        return HEADS_UNKNOWN  # it came from elsewhere without what it was made from
    if manifest.params.get("origin"):
        return origin_notice(origin_of_word(str(manifest.params["origin"])), demonstrations_id)
    rule = manifest.params.get("rule")
    if rule == "file":
        return HEADS_UNKNOWN
    if rule in CHOSEN_APART:
        return ""
    # A control of another task holds its own relevance first, which only says which heads are inert.
    seen = _demonstrations(store, *(manifest.parents[1:] if rule == "other_task" else manifest.parents))
    if demonstrations_id in seen:
        return HEADS_SAW
    names = [name for one in sorted(seen) if (name := name_of(store, one))]
    return heads_elsewhere(" and ".join(names).replace("_", " ")) if seen else HEADS_UNKNOWN


def origin_notice(origin: Origin | None, demonstrations_id: str) -> str:
    """`heldout_notice` of a set of this origin."""
    if origin is None or not origin.demonstrations:
        return HEADS_UNKNOWN
    by_hand = origin.changed_on == demonstrations_id
    if origin.demonstrations == demonstrations_id:
        return "" if origin.rule in CHOSEN_APART and not by_hand else HEADS_SAW
    name = origin.name.replace("_", " ")
    return heads_changed(name) if by_hand else heads_elsewhere(name)


def open_loop_notices(store: Store, comparison_id: str) -> dict[str, str]:
    """Method -> what is to be known of its error in an open-loop comparison; methods with nothing are left out."""
    notices = {}
    for prediction_id in store.manifest(comparison_id).parents:
        prediction = store.manifest(prediction_id)
        demonstrations_id, *adapters = prediction.parents
        for adapter_id in adapters:
            if notice := heldout_notice(store, adapter_id, demonstrations_id):
                notices[str(prediction.params["method"])] = notice
    return notices


def _demonstrations(store: Store, *artefact_ids: str) -> set[str]:
    """Every set of demonstrations that these artefacts go back to."""
    found: set[str] = set()
    for one in artefact_ids:
        if one.startswith("demonstrations-"):
            found.add(one)
            continue
        try:
            found |= _demonstrations(store, *store.manifest(one).parents)
        except NotFound:
            continue
    return found
