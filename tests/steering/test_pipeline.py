import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from steering import pipeline, policy_cache
from steering.errors import InputError, NotFound
from steering.progress import Progress, Report
from steering.store import Store
from steering.types import Demonstrations, FinetuneSettings

KS = (2, 4)
SETTINGS = FinetuneSettings(steps=2, batch_size=2, rank=2, warmup_steps=1, noise_samples=1)


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, demonstrations: Demonstrations, policy_folder: Path
) -> tuple[Path, str, str]:
    """A store, and in it the ids of demonstrations and of their heads' scores."""
    root = tmp_path_factory.mktemp("made")
    store = Store(root)
    recorded = store.save("demonstrations", demonstrations, params={"seed": 0})
    activations = pipeline.capture(store, demonstrations_id=recorded, policy=str(policy_folder))
    return root, recorded, pipeline.score(store, activations_id=activations, preset="paper", ks=KS, keyframes=False)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def source(policy_folder: Path) -> str:
    return str(policy_folder)


@pytest.fixture
def recorded(store: Store, demonstrations: Demonstrations) -> str:
    return store.save("demonstrations", demonstrations, params={"seed": 0})


@pytest.fixture
def scored(store: Store, made: tuple[Path, str, str]) -> str:
    shutil.copytree(made[0] / "artefacts", store.root / "artefacts", dirs_exist_ok=True)
    return made[2]


def test_the_stages_follow_each_other_and_every_artefact_names_its_parents(
    store: Store, recorded: str, scored: str, source: str
) -> None:
    activations_id, second = store.manifest(scored).parents
    assert second == recorded and store.manifest(activations_id).parents == (recorded,)
    selection = pipeline.select(store, relevance_id=scored, count=3)
    relevance, chosen = store.load(scored), store.load(selection)
    movable = [(-relevance.score[0, layer, head], layer, head) for layer in range(2) for head in range(4)]
    assert [(head.layer, head.head) for head in chosen.heads] == sorted(p[1:] for p in sorted(movable)[:3])
    assert {head.stack for head in chosen.heads} == {"vlm"} and relevance.inert[0, 2].all()
    adapter = pipeline.finetune(
        store,
        demonstrations_id=recorded,
        method="steering",
        selection_id=selection,
        settings={"steps": 2, "batch_size": 2, "rank": 2, "warmup_steps": 1, "noise_samples": 1},
        policy=source,
    )
    assert store.manifest(adapter).parents == (recorded, selection)
    result = store.load(adapter)
    assert result.settings == SETTINGS and len(result.loss) == 2
    assert dataclasses.replace(result.selection, origin=None) == chosen and result.selection.origin.rule == "top_k"
    assert (result.folder / "adapter_config.json").is_file()
    assert result.folder.is_relative_to(store.folder(adapter)) and not list(result.folder.glob("checkpoint*"))
    assert not list((store.root / "checkpoints").iterdir())


def test_work_that_was_done_is_not_done_again(
    store: Store, recorded: str, scored: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = pipeline.finetune(store, demonstrations_id=recorded, method="lora", settings=SETTINGS, policy=source)
    attention = pipeline.attention(store, demonstrations_id=recorded, episode=1, policy=source)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a policy was loaded")

    monkeypatch.setattr(policy_cache, "get", never)
    again = pipeline.capture(store, demonstrations_id=recorded, policy=source)
    assert pipeline.score(store, activations_id=again, preset="paper", ks=KS, keyframes=False) == scored
    options = {"demonstrations_id": recorded, "method": "lora", "policy": source}
    assert pipeline.finetune(store, settings=SETTINGS, **options) == adapter
    assert pipeline.attention(store, demonstrations_id=recorded, episode=1, policy=source) == attention
    with pytest.raises(AssertionError, match="policy was loaded"):
        pipeline.capture(store, demonstrations_id=recorded, policy=source, seed=1)


def test_other_weights_are_other_work(tmp_path: Path, policy_folder: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(policy_folder, copy)
    assert policy_cache.fingerprint(str(copy)) == policy_cache.fingerprint(str(policy_folder))
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert policy_cache.fingerprint(str(copy)) != policy_cache.fingerprint(str(policy_folder))


def test_a_policy_is_loaded_once_and_the_oldest_makes_room(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    policy_cache.forget()
    first = policy_cache.get(source)
    assert policy_cache.get(source) is first
    monkeypatch.setattr(policy_cache, "MAX_BYTES", 1)
    monkeypatch.setattr("steering.models.loading.load_policy", lambda *_, **__: first)
    policy_cache.get(source, Path("adapter"))
    assert list(policy_cache._cache) == [(policy_cache.fingerprint(source), "adapter")]
    policy_cache.forget()


def test_a_stopped_finetune_leaves_a_checkpoint_and_goes_on(store: Store, recorded: str, source: str) -> None:
    stop = {"now": False}
    reports: list[Report] = []

    def sink(report: Report) -> None:
        reports.append(report)
        stop["now"] = report.metrics.get("step", 0) >= 1

    options = {"demonstrations_id": recorded, "method": "lora", "settings": SETTINGS, "policy": source}
    from steering.errors import Cancelled

    with pytest.raises(Cancelled):
        pipeline.finetune(store, **options, progress=Progress(sink, lambda: stop["now"]))
    assert store.find("adapter") == [] and list((store.root / "checkpoints").rglob("checkpoint*"))
    resumed = store.load(pipeline.finetune(store, **options))
    fresh = store.root.with_name("fresh")
    whole = Store(fresh)
    again = whole.save("demonstrations", store.load(recorded), params={"seed": 0})
    straight = whole.load(pipeline.finetune(whole, **{**options, "demonstrations_id": again}))
    np.testing.assert_array_equal(resumed.loss, straight.loss)


def test_keyframes_count_only_where_they_are_enough(store: Store, recorded: str, source: str) -> None:
    activations = pipeline.capture(store, demonstrations_id=recorded, policy=source)
    few = pipeline.score(store, activations_id=activations, preset="paper", ks=(2,))
    many = pipeline.score(store, activations_id=activations, preset="paper", ks=(20,))
    default = pipeline.score(store, activations_id=activations, ks=(2,), preset="default")
    used = [store.manifest(made).params["keyframes"] for made in (few, many, default)]
    assert used == [True, False, False]
    assert (
        store.load(few).baselines
        != store.load(
            pipeline.score(store, activations_id=activations, preset="paper", ks=(2,), keyframes=False)
        ).baselines
    )


def test_controls_and_hand_made_sets(store: Store, scored: str) -> None:
    best = store.load(pipeline.select(store, relevance_id=scored, count=3)).heads
    drawn = store.load(pipeline.select(store, relevance_id=scored, rule="random", count=3, seed=5)).heads
    worst = store.load(pipeline.select(store, relevance_id=scored, rule="bottom", count=3)).heads
    assert sorted(h.layer for h in best) == sorted(h.layer for h in drawn) and not set(best) & set(worst)
    hand = pipeline.select(store, relevance_id=scored, rule="manual", heads=[["expert", 2, 1], ["vlm", 0, 0]])
    assert {h.label() for h in store.load(hand).heads} == {"VLM 0.0", "action expert 2.1"}
    assert hand == pipeline.select(store, relevance_id=scored, rule="manual", heads=[["vlm", 0, 0], ["expert", 2, 1]])
    with pytest.raises(NotFound, match="top_k"):
        pipeline.select(store, relevance_id=scored, rule="topk")
    with pytest.raises(InputError):
        pipeline.select(store, relevance_id=scored, rule="manual", heads=[["vlm", 9, 0]])


def test_what_cannot_be_done_is_refused_with_words(store: Store, recorded: str, scored: str, source: str) -> None:
    with pytest.raises(InputError, match="choose heads first"):
        pipeline.finetune(store, demonstrations_id=recorded, method="steering", policy=source)
    with pytest.raises(NotFound, match="setting"):
        pipeline.finetune(store, demonstrations_id=recorded, method="lora", settings={"stepz": 3}, policy=source)
    with pytest.raises(InputError, match="Relevance"):
        pipeline.select(store, relevance_id=recorded)
    with pytest.raises(InputError, match="needs an adapter"):
        pipeline.rollout(store, task="pick_cube", method="lora")
    with pytest.raises(InputError, match="episode"):
        pipeline.attention(store, demonstrations_id=recorded, episode=99, policy=source)
    with pytest.raises(InputError, match="1 to"):
        pipeline.scene_seeds(0, 0)


def test_scenes_are_the_same_for_every_method_and_never_those_of_demonstrations() -> None:
    from steering.demonstrations import recording

    assert pipeline.scene_seeds(3, 5) == pipeline.scene_seeds(3, 20)[:5]
    assert not set(pipeline.scene_seeds(0, 1000)) & set(pipeline.scene_seeds(1, 1000))
    assert max(pipeline.scene_seeds(899, 1000)) < recording._DEMONSTRATION_SEEDS
    with pytest.raises(InputError, match="seed"):
        pipeline.scene_seeds(900, 1)


@pytest.mark.slow
def test_rollouts_of_two_methods_meet_in_a_comparison(store: Store, source: str, recorded: str) -> None:
    adapter = pipeline.finetune(store, demonstrations_id=recorded, method="lora", settings=SETTINGS, policy=source)
    comparison = pipeline.evaluate(
        store,
        task="press_button",
        adapters={"zero_shot": None, "lora": adapter},
        trials=1,
        videos=1,
        policy=source,
    )
    first, second = (store.load(parent) for parent in store.manifest(comparison).parents)
    assert first.seeds == second.seeds == pipeline.scene_seeds(0, 1)
    assert [rate.method for rate in store.load(comparison).rates] == ["zero_shot", "lora"]
    assert first.videos[0].is_file() and store.root in first.videos[0].parents


def test_importing_the_pipeline_is_cheap() -> None:
    code = "import sys, steering.pipeline; print({'torch', 'transformers', 'mujoco', 'av'} & set(sys.modules))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "set()"


def test_find_heads_goes_on_from_the_parts_that_are_done(
    store: Store, recorded: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from steering.errors import Cancelled

    reports: list[Report] = []
    stop = Progress(reports.append, lambda: bool(store.find("relevance")))
    with pytest.raises(Cancelled):
        pipeline.find_heads(store, demonstrations_id=recorded, policy=source, progress=stop)
    assert store.find("activations") and store.find("neighbours") and not store.find("attention")

    def again(*_: object, **__: object) -> None:
        raise AssertionError("captured twice")

    monkeypatch.setattr("steering.activations.capture.capture", again)
    whole: list[Report] = []
    made = pipeline.find_heads(store, demonstrations_id=recorded, policy=source, progress=Progress(whole.append))
    assert store.manifest(made).kind == "relevance" and store.find("attention") and store.find("neighbours")
    assert store.find("trust") and {m.params["preset"] for m in store.find("relevance")} == {"default", "paper"}
    assert [one.fraction for one in whole] == sorted(one.fraction for one in whole)
    assert "find_heads" in pipeline.RESUMABLE and pipeline.RUNNABLE["find_heads"] is pipeline.find_heads
