"""How long an artefact took to make, remembered beside the store, since a made artefact is not made again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from steering.store import Store


def timed(store: Store, make: Callable[[], str]) -> tuple[str, float]:
    """The id that `make` gives and the seconds that its making took when it was first made through here."""
    began_s = time.monotonic()
    made = make()
    took_s = round(time.monotonic() - began_s, 2)
    file = store.root / "seconds" / f"{made}.json"
    try:
        return made, float(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(took_s), encoding="utf-8")
        return made, took_s
