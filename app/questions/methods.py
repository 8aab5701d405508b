"""What a finetune is of: its method, or the control that it is. Read from manifests, milliseconds."""

from __future__ import annotations

from app.questions.training_form import CONTROLS
from steering.errors import NotFound
from steering.manifest import Manifest
from steering.store import Store


def control_of(store: Store, selection_id: object) -> str:
    """The control that a stored selection is, of CONTROLS; empty where it is none. Raises Damaged where it is not
    known.
    """
    if not isinstance(selection_id, str):
        return ""
    try:
        rule = str(store.manifest(selection_id).params.get("rule"))
    except NotFound:
        return ""
    return rule if rule in CONTROLS else ""


def trained_as(store: Store, adapter: Manifest) -> str:
    """Method, or control, that an adapter is of. Raises Damaged where that cannot be told, or it cannot be used."""
    store.kept(adapter.id)
    method = str(adapter.params.get("method"))
    selection = next((parent for parent in adapter.parents if parent.startswith("selection-")), None)
    return control_of(store, selection) or method if method == "steering" else method
