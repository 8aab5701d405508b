"""Rollouts on the same scenes for every method, open-loop predictions where there is no simulator, and comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from steering import policy_cache
from steering.cluster import Cluster
from steering.errors import InputError
from steering.pipeline.making import LOADING, adapter_folder, load, made, trained, weights
from steering.pipeline.spreading import rolled_out, run_options
from steering.progress import Progress
from steering.store import Store
from steering.types import Demonstrations, OpenLoop, Rollouts, StopRule, Surgery

MAX_TRIALS = 1000
_FIRST_SCENE, _END_SCENE = 100_000, 1_000_000  # demonstrations begin at the end


def rollout(
    store: Store,
    *,
    task: str,
    method: str = "zero_shot",
    adapter_id: str | None = None,
    trials: int = 20,
    seed: int = 0,
    variations: Sequence[str] = (),
    instruction: str = "original",
    policy: str = "embedded",
    videos: int = 6,
    surgery: Surgery | None = None,
    processes: int | None = None,
    cluster: Cluster | None = None,
    progress: Progress = Progress(),
) -> str:
    """Run the policy, with the adapter if one is given, on `trials` scenes that depend on `seed` alone.

    instruction: one of types.INSTRUCTIONS, what the policy is told. The first `videos` scenes are filmed and traced.
    surgery: what is done to heads while the scenes run; its rollouts are named by `Surgery.name`, not by `method`.
    processes: of the simulation, by default as many as cores and scenes allow; the results do not depend on it.
    cluster: where the scenes run, some at a time; by default here.
    """
    if (method == "zero_shot") != (adapter_id is None):
        raise InputError(f"{method} {'takes no' if adapter_id else 'needs an'} adapter; finetuning makes adapters.")
    if adapter_id is not None:
        policy = store.manifest(adapter_id).params.get("policy", policy)
    parents = (adapter_id,) if adapter_id else ()
    params = {**weights(policy), "task": task, "method": method, "trials": trials, "seed": seed}
    params |= {"variations": list(variations), "videos": videos, "instruction": instruction}
    params |= {"surgery": surgery.plain()} if surgery else {}
    if done := store.find_made("rollouts", parents, params):
        return done
    seeds = scene_seeds(seed, trials)
    with store.new_folder("rollouts") as folder:
        if cluster is None:
            rollouts = _run(store, adapter_id, params, seeds, folder, videos, processes, progress)
        else:
            rollouts = rolled_out(cluster, *trained(store, adapter_id), params, seeds, folder, progress)
        return store.save("rollouts", rollouts, parents=parents, params=params, folder=folder)


def film(store: Store, *, rollouts_id: str, seeds: Sequence[int], progress: Progress = Progress()) -> str:
    """The same rollouts with the scenes `seeds` filmed and traced: those scenes are run again.

    A scene that ends otherwise when it is run again (on devices whose sums depend on what runs beside it) gets no film,
    so that every film shows what was counted.
    """
    manifest = store.manifest(rollouts_id)
    before = load(store, rollouts_id, Rollouts)
    seeds = tuple(seed for seed in before.seeds if seed in set(seeds))
    params = {**manifest.params, "videos": len(seeds), "filmed": list(seeds)}
    if done := store.find_made("rollouts", manifest.parents, params):
        return done
    with store.new_folder("rollouts") as folder:
        adapter_id = manifest.parents[0] if manifest.parents else None
        again = _run(store, adapter_id, manifest.params, seeds, folder, len(seeds), None, progress)
        kept = []
        for i, seed in enumerate(seeds):
            j = before.seeds.index(seed)
            if (again.success[i], again.steps[i]) == (before.success[j], before.steps[j]):
                kept.append(i)
            else:
                again.videos[i].unlink()
                again.traces[i].unlink()
        filmed = replace(
            before,
            videos=tuple(again.videos[i] for i in kept),
            traces=tuple(again.traces[i] for i in kept),
            filmed=tuple(seeds[i] for i in kept),
        )
        return store.save("rollouts", filmed, parents=manifest.parents, params=params, folder=folder)


def _run(
    store: Store,
    adapter_id: str | None,
    params: Mapping[str, Any],
    seeds: Sequence[int],
    folder: Path,
    videos: int,
    processes: int | None,
    progress: Progress,
) -> Rollouts:
    """Rollouts with the `params` of their manifest; films and traces of the first `videos` scenes go into `folder`."""
    from steering.rollout import runner

    adapter, demonstrations = trained(store, adapter_id)
    return runner.run_rollouts(
        policy_cache.get(params["policy"], adapter, demonstrations, progress.part(0, LOADING)),
        params["task"],
        seeds,
        **run_options(params),
        record_dir=folder if videos else None,
        record_scenes=videos,
        processes=processes,
        progress=progress.part(LOADING, 1),
    )


def compare(store: Store, *, rollouts_ids: Sequence[str], progress: Progress = Progress()) -> str:
    """Success rates with intervals and paired tests of rollouts on the same scenes."""
    from steering.comparison.compare import compare as compare_rollouts

    comparison = compare_rollouts([store.load(rollouts_id) for rollouts_id in rollouts_ids])
    progress.report(1.0, "Compared")
    return made(store, "comparison", tuple(rollouts_ids), {}, lambda: comparison)


def evaluate(
    store: Store,
    *,
    task: str,
    adapters: Mapping[str, str | None],
    trials: int = 20,
    seed: int = 0,
    variations: Sequence[str] = (),
    instruction: str = "original",
    policy: str = "embedded",
    videos: int = 6,
    matters: float | None = None,
    progress: Progress = Progress(),
) -> str:
    """Roll out several methods on the same scenes and compare them. `adapters`: method -> adapter id, None for none.

    Where there are more scenes than `videos`, those are filmed afterwards that show the most: scenes in which the
    methods differ come first (comparison.compare.scenes_to_watch). matters: the comparison may stop before its last
    scene, once of every two methods a difference is shown or that none of `matters` (of success rates, 0..1) or more is
    likely (comparison.stopping); None runs every scene.
    """
    first = trials if trials <= videos and matters is None else 0
    common: dict[str, Any] = {"trials": trials, "seed": seed, "variations": variations, "videos": first}
    common |= {"task": task, "instruction": instruction, "policy": policy}
    films = min(trials, videos) - first
    share = trials / (trials + 2 * films) / len(adapters)  # a filmed scene takes about twice as long
    begun = len(adapters) * share
    rollouts_ids = []
    if matters is not None:
        rollouts_ids = _until_decided(store, adapters, common, matters, progress.part(0, begun))
    else:
        for i, (method, adapter_id) in enumerate(adapters.items()):
            part = progress.part(i * share, (i + 1) * share)
            rollouts_ids.append(rollout(store, method=method, adapter_id=adapter_id, progress=part, **common))
    if films:
        rollouts_ids = filmed_alike(store, rollouts_ids, films, progress.part(begun, 1))
    return compare(store, rollouts_ids=rollouts_ids, progress=progress)


def filmed_alike(store: Store, rollouts_ids: Sequence[str], films: int, progress: Progress) -> list[str]:
    """The same rollouts, each with those `films` scenes filmed that show the most (comparison.scenes_to_watch)."""
    from steering.comparison.compare import scenes_to_watch

    count = len(rollouts_ids)
    seeds = scenes_to_watch([load(store, one, Rollouts) for one in rollouts_ids], films)
    return [
        film(store, rollouts_id=one, seeds=seeds, progress=progress.part(i / count, (i + 1) / count))
        for i, one in enumerate(rollouts_ids)
    ]


def _until_decided(
    store: Store, adapters: Mapping[str, str | None], common: Mapping[str, Any], matters: float, progress: Progress
) -> list[str]:
    """Ids of the methods' rollouts, all on as many of the scenes as it took. common: as `rollout` takes it."""
    from steering.comparison.stopping import SCENES_A_LOOK, looked
    from steering.rollout.runner import joined

    if len(adapters) < 2:
        raise InputError("A comparison may stop early where there are two or more methods. Choose another one.")
    if not 0 < matters < 1:
        raise InputError(f"Expected a difference of success rates that matters between 0 and 1, got {matters}.")
    beside = [method if adapter_id is None else adapter_id for method, adapter_id in adapters.items()]
    made_of = []
    for method, adapter_id in adapters.items():
        source = store.manifest(adapter_id).params.get("policy", common["policy"]) if adapter_id else common["policy"]
        params = {**common, **weights(source), "method": method, "variations": list(common["variations"])}
        parents = (adapter_id,) if adapter_id else ()
        made_of.append((parents, {**params, "matters": matters, "beside": beside}))
    done = [store.find_made("rollouts", parents, params) for parents, params in made_of]
    if all(done):
        return [one for one in done if one]
    seeds, rule = scene_seeds(common["seed"], common["trials"]), StopRule(common["trials"], matters)
    found: list[Rollouts] = []
    for start in range(0, len(seeds), SCENES_A_LOOK):
        some = seeds[start : start + SCENES_A_LOOK]
        for i, (parents, params) in enumerate(made_of):
            at = (start + len(some) * i / len(made_of), start + len(some) * (i + 1) / len(made_of))
            part = progress.part(at[0] / len(seeds), at[1] / len(seeds))
            adapter_id = parents[0] if parents else None
            run = replace(_run(store, adapter_id, params, some, store.root, 0, None, part), may_stop=rule)
            before = [found[i]] if start else []
            found[i : i + 1] = [joined([*before, run], run.wall_s + sum(one.wall_s for one in before))]
        if "open" not in looked({one.method: one.success for one in found}, rule)[1]:
            break
    return [
        store.save("rollouts", one, parents=parents, params=params)
        for one, (parents, params) in zip(found, made_of, strict=True)
    ]


def open_loop(
    store: Store,
    *,
    demonstrations_id: str,
    adapters: Mapping[str, str | None],
    episodes: Sequence[int] | None = None,
    stride: int = 5,
    samples: int = 2,
    seed: int = 0,
    policy: str = "embedded",
    progress: Progress = Progress(),
) -> str:
    """Predicted beside demonstrated action chunks on held-out episodes: without a simulator, for any recordings.

    `adapters`: method -> adapter id, None for the untouched policy. episodes: indices into the demonstrations; by
    default those that finetuning leaves out. Adapters that were trained on one of them are refused.
    """
    from steering.comparison.open_loop import compare_open_loop

    if not adapters:
        raise InputError("Expected at least one method to compare, got none.")
    demonstrations = load(store, demonstrations_id, Demonstrations)
    left_out = demonstrations.split()[1]
    episodes = left_out if episodes is None else sorted(set(episodes))
    if not episodes:
        raise InputError("There is no held-out episode: three or more demonstrations leave one out. Record more.")
    made_ids = []
    for i, (method, adapter_id) in enumerate(adapters.items()):
        part = progress.part(i / len(adapters), (i + 1) / len(adapters))
        if adapter_id is not None:
            _check_unseen(store, adapter_id, demonstrations_id, episodes, left_out)
        source = store.manifest(adapter_id).params.get("policy", policy) if adapter_id else policy
        params = {**weights(source), "method": method, "episodes": list(episodes), "stride": stride}
        params |= {"samples": samples, "seed": seed}
        parents = (demonstrations_id, adapter_id) if adapter_id else (demonstrations_id,)
        predict = partial(_predict, store, demonstrations, adapter_id, source, part, params)
        made_ids.append(made(store, "open_loop", parents, params, predict))
    comparison = compare_open_loop([load(store, made_id, OpenLoop) for made_id in made_ids], seed=seed)
    return made(store, "open_loop_comparison", tuple(made_ids), {"seed": seed}, lambda: comparison)


def _predict(
    store: Store,
    demonstrations: Demonstrations,
    adapter_id: str | None,
    source: str,
    progress: Progress,
    params: Mapping[str, Any],
) -> OpenLoop:
    from steering.rollout.open_loop import predict_chunks

    adapter = adapter_folder(store, adapter_id) if adapter_id else None
    names = ("method", "stride", "samples", "seed")
    heldout = params["episodes"] if len(params["episodes"]) < len(demonstrations.episodes) else None
    policy = policy_cache.get(source, adapter, demonstrations, progress.part(0, LOADING), heldout=heldout)
    options = {name: params[name] for name in names}
    return predict_chunks(policy, demonstrations, params["episodes"], progress=progress.part(LOADING, 1), **options)


def _check_unseen(
    store: Store, adapter_id: str, demonstrations_id: str, episodes: Sequence[int], left_out: Sequence[int]
) -> None:
    manifest = store.manifest(adapter_id)
    if demonstrations_id not in manifest.parents:
        return  # trained on others
    given = manifest.params.get("heldout_episodes")
    heldout = left_out if given is None else given
    if not heldout:
        raise InputError(
            f"{adapter_id} was trained on every episode of these demonstrations, so none can show how it does on new "
            "ones. Train it again with held-out episodes, or choose other demonstrations."
        )
    seen = sorted(set(episodes) - set(heldout))
    if seen:
        raise InputError(
            f"Episodes {seen} took part in the training of {adapter_id}, so they cannot show how it does on new ones. "
            f"Choose among {sorted(heldout)}, or other demonstrations."
        )


def scene_seeds(seed: int, trials: int) -> tuple[int, ...]:
    """Simulator seeds of the scenes of a rollout: the same for every method, apart from those of demonstrations."""
    if not 1 <= trials <= MAX_TRIALS:
        raise InputError(f"Expected 1 to {MAX_TRIALS} scenes, got {trials}.")
    first = _FIRST_SCENE + MAX_TRIALS * seed
    if not _FIRST_SCENE <= first < _END_SCENE:
        raise InputError(f"Expected a seed of 0 to {(_END_SCENE - _FIRST_SCENE) // MAX_TRIALS - 1}, got {seed}.")
    return tuple(range(first, first + trials))
