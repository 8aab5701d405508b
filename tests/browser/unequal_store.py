"""A store and a policy's configuration with unequal stacks, 8 × 4 and 8 × 6 heads: `python unequal_store.py DIR`."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "app"))
import sample_store

from steering.store import Store
from steering.types import HeadShape, Stack

SHAPE = HeadShape((Stack("vlm", 8, 4, 16), Stack("expert", 8, 6, 16)))


def make(folder: Path) -> None:
    """Write `store` and `policy`."""
    ids = sample_store.fill(folder / "store", episodes=2, count=20, size=32, runs=False)
    store = Store(folder / "store")
    rng = np.random.default_rng(0)
    score = rng.uniform(0, 0.3, SHAPE.grid).astype(np.float32)
    score[1, 6, 5] = 0.5
    scored = replace(
        store.load(ids["relevance"]),
        score=score,
        error=np.stack([0.2 * (1 - score)] * 4),
        inert=SHAPE.last_layer("vlm"),
        stacks=SHAPE.stacks,
    )
    parents = store.manifest(ids["relevance"]).parents
    store.save("relevance", scored, parents=parents, params=dict(store.manifest(ids["relevance"]).params))
    sizes = {"num_key_value_heads": 1, "head_dim": 16, "num_hidden_layers": 8, "intermediate_size": 64}
    text, expert = sizes | {"num_attention_heads": 4, "hidden_size": 32}, sizes | {"num_attention_heads": 6}
    config = {"vlm_config": {"text_config": text}, "dit_config": expert | {"hidden_size": 24}}
    (folder / "policy").mkdir()
    (folder / "policy" / "config.json").write_text(json.dumps(config))


if __name__ == "__main__":
    make(Path(sys.argv[1]))
