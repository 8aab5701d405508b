"""lerobot itself runs what `export-policy` writes: π0 and π0.5, adapter and merged, with the workbench's actions.

    python3.12 -m venv DIR && DIR/bin/pip install "lerobot[pi,peft]==0.6.1"
    PYTHONPATH=. python scripts/check_export.py DIR/bin/python

lerobot pins another torch and lives in an environment of its own. Each family is made in lerobot's layout, 18 layers
of 8 heads of 256, narrow in everything else, with random weights; heads, feed-forward layers and projections are
trained for three steps on noise of a robot whose gripper was turned over, under names that its recording gave its
cameras; then it is exported. `PI0Policy.from_pretrained` and `PI05Policy.from_pretrained` load the merged folder,
PEFT the adapter over the policy that it names, both processors come from the folder, and `TrainPipelineConfig` reads
its `train_config.json`. openpi's folder is read here again. Actions are compared in the robot's own units. Two
minutes; exits with 1 where an action differs by more than the tolerance. Only the widths are patched in lerobot, and
the gated tokenizer's place.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

INSTRUCTION = "pick up the cube"
FAMILIES = ("pi0", "pi05")
SIDE, WORDS, DIM = 56, 400, 7
WIDTHS = {"gemma_2b": (64, 96), "gemma_300m": (32, 48)}
VISION = {"hidden_size": 144, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 160}
VISION |= {"image_size": SIDE, "patch_size": 14}
TOLERANCE = 1e-4
"""In standard deviations of each action dimension: two versions of torch and transformers lie between."""
RECORDED = {"exterior": "observation.images.top", "wrist": "observation.images.hand_eye"}


def reduced_policy(folder: Path, family: str, layers: int = 18, heads: int = 8) -> Path:
    """A checkpoint in lerobot's layout with random weights, its tokenizer beside it."""
    import torch
    from safetensors.torch import save_file
    from transformers import GemmaConfig, PaliGemmaConfig, PI0Config, PI0ForConditionalGeneration

    from steering.models.names import PUBLISHED, translated
    from steering.models.pi05_model import PI05Config, PI05Model

    folder.mkdir(parents=True)
    torch.manual_seed(0)
    gemma = {"num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": 1, "head_dim": 256}
    text = gemma | {"hidden_size": 64, "intermediate_size": 96, "vocab_size": WORDS, "model_type": "gemma"}
    vlm = {"text_config": text, "vision_config": VISION | {"model_type": "siglip_vision_model"}, "projection_dim": 64}
    vlm["vision_config"]["vision_use_head"] = False
    expert = gemma | {"hidden_size": 32, "intermediate_size": 48, "vocab_size": WORDS}
    if family == "pi0":
        config = PI0Config(
            vlm_config={**vlm, "model_type": "paligemma", "image_token_id": WORDS},
            dit_config={**expert, "model_type": "gemma"},
        )
        model: Any = PI0ForConditionalGeneration(config)
    else:
        model = PI05Model(PI05Config(PaliGemmaConfig(**vlm, image_token_id=WORDS), GemmaConfig(**expert)))
    state = {}
    for name, value in model.state_dict().items():
        if value.ndim == 2 and "embed" not in name.split(".")[-2]:
            value = torch.randn(value.shape) / value.shape[1] ** 0.5
        state["model." + translated(name, PUBLISHED[family])] = value.contiguous().clone()
    state["model.paligemma_with_expert.gemma_expert.lm_head.weight"] = torch.zeros(WORDS, 32)
    save_file(state, folder / "model.safetensors")
    mode = "MEAN_STD" if family == "pi0" else "QUANTILES"
    slots = ("base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb")
    features: dict[str, Any] = {
        f"observation.images.{slot}": {"type": "VISUAL", "shape": [3, SIDE, SIDE]} for slot in slots
    }
    written = {"type": family, "chunk_size": 50, "n_action_steps": 50, "max_state_dim": 32, "max_action_dim": 32}
    written |= {"num_inference_steps": 10, "image_resolution": [SIDE, SIDE]}
    written |= {"input_features": features | {"observation.state": {"type": "STATE", "shape": [32]}}}
    written |= {"output_features": {"action": {"type": "ACTION", "shape": [32]}}}
    written |= {"normalization_mapping": {"VISUAL": "IDENTITY", "STATE": mode, "ACTION": mode}}
    written |= {"tokenizer_max_length": 48 if family == "pi0" else 200}
    (folder / "config.json").write_text(json.dumps(written))
    _write_tokenizer(folder)
    return folder


def _write_tokenizer(folder: Path) -> None:
    """A tokenizer without `<image>`, as Gemma's, which begins a prompt with `<bos>`."""
    from steering.models.architecture import train_tokenizer

    train_tokenizer([INSTRUCTION, "Task: State: Action: "] * 5, vocab_size=300).save_pretrained(folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text().replace("<image>", "<unused>"))
    begin = next(one["id"] for one in tokenizer["added_tokens"] if one["content"] == "<bos>")
    special = {"<bos>": {"id": "<bos>", "ids": [begin], "tokens": ["<bos>"]}}
    single = [{"SpecialToken": {"id": "<bos>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    tokenizer["post_processor"] = {"type": "TemplateProcessing", "single": single, "pair": single}
    tokenizer["post_processor"] |= {"special_tokens": special}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    plain = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<bos>", "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(plain))


def recorded(turned: bool = True) -> Any:
    """Demonstrations of noise of a robot that counts its gripper the other way round, from 0 to 100."""
    from steering.types import Demonstrations, Episode, Robot

    rng = np.random.default_rng(0)
    episodes = []
    for index in range(3):
        cameras = {role: rng.integers(0, 256, (8, SIDE, SIDE, 3), dtype=np.uint8) for role in RECORDED}
        state, action = (rng.normal(3, 2, (8, DIM)).astype(np.float32) for _ in range(2))
        action[:, -1] = rng.uniform(0, 100, 8)
        episodes.append(Episode(f"episode_{index}", INSTRUCTION, 30.0, cameras, state, action))
    roles = ("joint",) * (DIM - 1) + ("gripper",)
    names = tuple(f"joint_{i}.pos" for i in range(DIM - 1)) + ("gripper.pos",)
    robot = Robot("so_arm", names, names, roles, roles, (0.0, 100.0) if turned else (), RECORDED)
    return Demonstrations("noise of an arm", "", (), tuple(episodes), robot)


def trained(store: Any, policy: Path, **settings: Any) -> str:
    """The id of an adapter on four heads, every feed-forward layer of the VLM and the projections."""
    from steering import pipeline
    from steering.types import Head, Origin, Selection

    demonstrations = store.save("demonstrations", recorded())
    heads = (Head("expert", 0, 1), Head("vlm", 0, 1), Head("vlm", 0, 3), Head("vlm", 1, 0))
    origin = Origin("top_k", metric="knn", preset="paper", name="noise").word()
    selection = store.save("selection", Selection(heads, "top_k"), params={"origin": origin})
    few = {"steps": 3, "batch_size": 2, "rank": 2, "warmup_steps": 1, "noise_samples": 1, "learning_rate": 0.01}
    return pipeline.finetune(
        store,
        demonstrations_id=demonstrations,
        method="steering",
        selection_id=selection,
        settings={**few, "projections": True, "time_mlp": True, "ffn": "all", "head_factors": True, **settings},
        policy=str(policy),
    )


def observed() -> dict[str, np.ndarray]:
    """What the robot sees, and noise."""
    rng = np.random.default_rng(1)
    seen = {role: rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8) for role in RECORDED}
    state = rng.normal(3, 2, DIM).astype(np.float32)
    return {**seen, "state": state, "noise": rng.standard_normal((50, 32), dtype=np.float32)}


def workbench_actions(policy: Any, given: dict[str, np.ndarray], robot: Any) -> np.ndarray:
    """float32 [50, 7]: the policy's actions in the robot's own units."""
    from steering.types import Observation

    cameras = {role: given[role][None] for role in RECORDED}
    return robot.as_recorded(
        policy.act(Observation(cameras, given["state"][None], (INSTRUCTION,)), given["noise"][None])[0]
    )


def run_lerobot(family: str, folder: Path, given: Path, out: Path, tokenizer: str) -> None:
    """Run under lerobot's Python: the actions of an exported folder, by lerobot's own loaders and processors."""
    import importlib

    import torch
    from lerobot.configs import PreTrainedConfig
    from lerobot.configs.train import TrainPipelineConfig
    from lerobot.policies.factory import make_pre_post_processors

    module = importlib.import_module(f"lerobot.policies.{family}.modeling_{family}")
    _narrow(module)
    policy_class = getattr(module, f"{family.upper()}Policy")
    config: Any = PreTrainedConfig.from_pretrained(folder)
    if config.use_peft:
        from peft import PeftConfig, PeftModel

        below: Any = PeftConfig.from_pretrained(str(folder))
        policy: Any = policy_class.from_pretrained(below.base_model_name_or_path, config=config)
        policy = PeftModel.from_pretrained(policy, str(folder), config=below).get_base_model()
    else:
        policy = policy_class.from_pretrained(folder)
    overrides = {"tokenizer_processor": {"tokenizer_name": tokenizer}}
    before, after = make_pre_post_processors(config, str(folder), preprocessor_overrides=overrides)
    run = TrainPipelineConfig.from_pretrained(folder)
    assert (run.steps, run.policy.type) == (3, family), run
    arrays = np.load(given)
    batch: dict[str, Any] = {
        name: torch.from_numpy(arrays[role]).permute(2, 0, 1).float() / 255 for role, name in RECORDED.items()
    }
    batch |= {"observation.state": torch.from_numpy(arrays["state"]), "task": INSTRUCTION}
    with torch.inference_mode():
        policy.eval()
        actions = policy.predict_action_chunk(before(batch), noise=torch.from_numpy(arrays["noise"])[None])
    np.save(out, np.asarray(after(actions)[0]), allow_pickle=False)


def _narrow(module: Any) -> None:
    """lerobot's configurations name two widths alone; make these narrow."""
    paligemma, expert = module.PaliGemmaForConditionalGenerationWithPiGemma, module.PiGemmaForCausalLM

    def narrow_paligemma(config: Any) -> Any:
        config.text_config.vocab_size = config._vocab_size = config.image_token_index = config.image_token_id = WORDS
        config.projection_dim = config.vision_config.projection_dim = 64
        for name, size in VISION.items():
            setattr(config.vision_config, name, size)
        return paligemma(config=config)

    def narrow_expert(config: Any) -> Any:
        config.vocab_size = WORDS
        return expert(config=config)

    module.PaliGemmaForConditionalGenerationWithPiGemma, module.PiGemmaForCausalLM = narrow_paligemma, narrow_expert
    module.get_gemma_config = lambda variant: module.GemmaConfig(
        width=WIDTHS[variant][0], mlp_dim=WIDTHS[variant][1], depth=18, num_heads=8, num_kv_heads=1, head_dim=256
    )


def check(python: str, family: str, work: Path) -> bool:
    """Train, export, and compare one family; prints a line for each export."""
    from steering import pipeline
    from steering.models.loading import load_policy
    from steering.store import Store

    base, store = reduced_policy(work / f"{family}_base", family), Store(work / f"{family}_store")
    adapter = trained(store, base)
    given, robot = observed(), recorded().robot
    np.savez(work / "given.npz", **given)
    expected = workbench_actions(load_policy(base, store.load(adapter).folder, device="cpu"), given, robot)
    untouched = workbench_actions(load_policy(base, statistics_from=recorded(), device="cpu"), given, robot)
    scale = np.concatenate([one.action for one in recorded().episodes]).std(0)
    moved = np.abs((expected - untouched) / scale).max()
    print(f"{family:5} training moved an action by {moved:.2f} standard deviations", flush=True)
    agree = []
    for name, layout, merged in (
        ("adapter", "lerobot", False),
        ("merged", "lerobot", True),
        ("openpi", "openpi", True),
    ):
        folder = pipeline.export_policy(
            store, adapter_id=adapter, folder=work / f"{family}_{name}", layout=layout, merged=merged
        )
        if layout == "openpi":
            as_it_is = replace(robot, turned=())  # the statistics turn the gripper back
            found = workbench_actions(load_policy(folder, tokenizer=str(base), device="cpu"), given, as_it_is)
        else:
            out = work / "out.npy"
            arguments = [family, str(folder), str(work / "given.npz"), str(out), str(base)]
            subprocess.run(
                [python, __file__, "--lerobot", *arguments],
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            found = np.load(out)
        difference = np.abs((found - expected) / scale).max()
        print(f"{family:5} {name:8} actions differ by at most {difference:.1e} standard deviations", flush=True)
        agree.append(bool(difference < TOLERANCE))
    return all(agree)


def main() -> int:
    """Both families."""
    if sys.argv[1] == "--lerobot":
        run_lerobot(sys.argv[2], *map(Path, sys.argv[3:6]), sys.argv[6])
        return 0
    with tempfile.TemporaryDirectory() as work:
        return 0 if all([check(sys.argv[1], family, Path(work)) for family in FAMILIES]) else 1


if __name__ == "__main__":
    sys.exit(main())
