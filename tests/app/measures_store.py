"""The sample store with head outputs that tell the action, neighbours, a score, trust, a measure by the policy, a
surgery and a sweep of an adapter's strength.

`python measures_store.py DIR`. Nothing here is a measurement of a policy.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from steering import pipeline
from steering.comparison.compare import compare
from steering.comparison.intervals import success_rate
from steering.store import Store
from steering.types import Activations, HeadShape, Relevance, Rollouts, StrengthSweep, Surgery, SurgeryRun

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
    ids["surgery"] = _surgery(store, ids["comparison"])
    won = {"place_cube_in_bowl": (2, 6, 7), "push": (8, 7, 3), "place": (9, 9, 6)}
    rates = {
        name: tuple(success_rate("lora", np.arange(10) < one) for one in successes) for name, successes in won.items()
    }
    swept = StrengthSweep("lora", "place_cube_in_bowl", (0.0, 0.5, 1.0), rates)
    ids["strength"] = store.save("strength", swept, parents=[ids["lora"]], params={"seed": 1})
    return ids


def _surgery(store: Store, comparison_id: str) -> str:
    """A paired run over the ten scenes of the sample comparison, one of which is filmed."""
    first: Rollouts = store.load(store.manifest(comparison_id).parents[0])
    parents = []
    for method, won in (("zero_shot", 9), ("changed", 2), ("control", 8)):
        with store.new_folder("rollouts") as folder:
            film = folder / first.videos[0].name
            film.write_bytes(first.videos[0].read_bytes())
            one = replace(first, method=method, success=np.arange(10) < won, videos=(film,), traces=())
            parents.append(store.save("rollouts", one, params={"method": method}, folder=folder))
    changed = Surgery(HeadShape.pair(8, 8, 1).all_heads()[26:29], 0.0, 20)
    control = replace(changed, instead=HeadShape.pair(8, 8, 1).all_heads()[29:32])
    run = SurgeryRun(changed, control, compare([store.load(one) for one in parents]), 1, first.rate_hz)
    return store.save("surgery", run, parents=parents)


if __name__ == "__main__":
    print(fill(Path(sys.argv[1])))
