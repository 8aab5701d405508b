"""The sample store with head outputs that tell the action, neighbours, a score, trust and a measure by the policy.

`python laboratory_store.py DIR`. Nothing here is a measurement of a policy.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np

from steering import pipeline
from steering.store import Store
from steering.types import Activations, HeadShape, Relevance

HERE = Path(__file__).parent


def _samples():  # type: ignore[no-untyped-def]
    spec = importlib.util.spec_from_file_location("sample_store", HERE / "sample_store.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fill(root: Path, *, episodes: int = 6, count: int = 24, size: int = 96) -> dict[str, str]:
    """Fill a store; returns name -> artefact id. Head 2 of expert layer 3 says the action, all others noise."""
    samples = _samples()
    ids = samples.fill(root, episodes=episodes, count=count, size=size, runs=True)
    store = Store(root)
    made = store.load(ids["place_cube_in_bowl"]).episodes
    lengths = [one.frames for one in made]
    action = np.concatenate([one.action for one in made])
    rng = np.random.default_rng(1)
    outputs = rng.normal(size=(sum(lengths), 2, samples.LAYERS, samples.HEADS, 8)).astype(np.float32)
    outputs[:, 1, 3, 2, :7] = action + rng.normal(0, 0.02, action.shape)
    activations = Activations(
        outputs=outputs,
        episode=np.repeat(np.arange(episodes), lengths).astype(np.int32),
        frame=np.concatenate([np.arange(n) for n in lengths]).astype(np.int32),
        action=action,
        chunk=np.repeat(action[:, None], 10, 1),
        state=np.concatenate([one.state for one in made]),
        time_in_episode=np.concatenate([np.linspace(0, 1, n) for n in lengths]).astype(np.float32),
        tokens=("last_prefix", "first_action"),
        timestep=1.0,
        seed=0,
        inert=HeadShape.pair(samples.LAYERS, samples.HEADS, 8).last_layer("vlm"),
    )
    demonstrations = [ids["place_cube_in_bowl"]]
    ids["captured"] = store.save("activations", activations, parents=demonstrations, params={"stride": 1})
    ids["neighbours"] = pipeline.neighbours(store, activations_id=ids["captured"])
    ids["own"] = pipeline.score(store, activations_id=ids["captured"], preset="default", ks=(10, 20))
    ids["own_trust"] = pipeline.trust(store, relevance_id=ids["own"], replicates=20, permutations=20)
    scored = store.load(ids["own"])
    policy = Relevance(
        metric="attribution_patching",
        preset="policy",
        target="flow-matching loss",
        score=rng.normal(0, 1e-3, scored.score.shape).astype(np.float32),
        error=np.zeros((0, *scored.score.shape), np.float32),
        ks=(),
        best_k={},
        cv_mse={},
        baselines={"loss": 0.3},
        inert=scored.inert,
        tokens=scored.tokens,
        effects={"standard_error": np.full(scored.score.shape, 4e-4, np.float32)},
    )
    ids["policy"] = store.save("relevance", policy, parents=demonstrations, params={"metric": policy.metric})
    return ids


if __name__ == "__main__":
    print(fill(Path(sys.argv[1])))
