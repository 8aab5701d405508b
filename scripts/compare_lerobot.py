"""Actions and losses of this project's π0, π0.5 and SmolVLA beside lerobot's own modules, with the same random weights.

    pip download --no-deps --python-version 3.12 --only-binary=:all: lerobot==0.6.1 -d DIR && unzip DIR/*.whl -d DIR
    python scripts/compare_lerobot.py DIR

lerobot pins another torch and cannot be installed beside this project, so its policy modules alone are loaded from the
unpacked wheel, with stand-ins for the parts of lerobot that take no part in the computation. Each family is built small
by lerobot's classes, saved under lerobot's names, and loaded here by `load_policy`. Prints the largest difference of an
action and the two losses; exits with 1 where they differ by more than float rounding. Three minutes on a CPU.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors.torch import save_file

from steering.models.architecture import train_tokenizer
from steering.models.loading import load_policy
from steering.models.preprocessing import Statistics
from steering.types import Observation

INSTRUCTIONS = ("pick up the cube", "press it now and then")
SLOTS = ("base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb")
TOLERANCE = 2e-4  # of the largest action; lerobot embeds the time in double precision
SIZES = {"chunk_size": 50, "max_state_dim": 32, "max_action_dim": 32}
TIMES = {"min_period": 4e-3, "max_period": 4.0}


def stand_in(name: str, **content: Any) -> None:
    """A module of lerobot that is imported but not used."""
    module = types.ModuleType(name)
    module.__dict__.update(content, __path__=[])
    sys.modules[name] = module


def lerobot_modules(wheel: Path) -> Callable[[str], Any]:
    """A loader of single modules of the unpacked wheel."""
    rooms = ("pi0", "pi05", "smolvla", "rtc", "common")
    for name in ("", ".policies", *(f".policies.{room}" for room in rooms), ".utils"):
        stand_in(f"lerobot{name}")
    keys = ("ACTION", "OBS_LANGUAGE_ATTENTION_MASK", "OBS_LANGUAGE_TOKENS", "OBS_STATE")
    stand_in("lerobot.utils.constants", **dict.fromkeys(keys, ""), OPENPI_ATTENTION_MASK_VALUE=-2.3819763e38)
    stand_in("lerobot.utils.device_utils", get_safe_dtype=lambda dtype, device: dtype)
    stand_in("lerobot.utils.import_utils", _transformers_available=True, require_package=lambda *_, **__: None)
    stand_in("lerobot.configs", PreTrainedConfig=object)
    stand_in("lerobot.policies.pretrained", PreTrainedPolicy=torch.nn.Module, T=object)
    stand_in("lerobot.policies.utils", populate_queues=None)
    stand_in("lerobot.policies.rtc.modeling_rtc", RTCProcessor=object)
    stand_in("lerobot.policies.pi0.configuration_pi0", PI0Config=object, DEFAULT_IMAGE_SIZE=224)
    stand_in("lerobot.policies.pi05.configuration_pi05", PI05Config=object, DEFAULT_IMAGE_SIZE=224)
    stand_in("lerobot.policies.smolvla.configuration_smolvla", SmolVLAConfig=object)

    def load(name: str) -> Any:
        full = f"lerobot.policies.{name}"
        spec = importlib.util.spec_from_file_location(full, wheel / "lerobot/policies" / f"{name.replace('.', '/')}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[full] = module
        spec.loader.exec_module(module)
        return module

    return load


def lerobots_pi(load: Callable[[str], Any], family: str) -> Any:
    """lerobot's PI0Pytorch or PI05Pytorch: 18 × 8 heads of 256, narrow in everything else."""
    gemma = load("pi_gemma")
    masks = gemma.create_causal_mask  # newer transformers dropped an argument that lerobot passes
    gemma.create_causal_mask = lambda **given: masks(**{k: v for k, v in given.items() if k != "cache_position"})
    module = load(f"{family}.modeling_{family}")
    paligemma, expert = module.PaliGemmaForConditionalGenerationWithPiGemma, module.PiGemmaForCausalLM

    def narrow_paligemma(config: Any) -> Any:
        config.text_config.vocab_size = config._vocab_size = config.image_token_index = config.image_token_id = 400
        config.projection_dim = config.vision_config.projection_dim = 64
        sizes = {"hidden_size": 144, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 160}
        for name, size in (sizes | {"image_size": 56, "patch_size": 14}).items():
            setattr(config.vision_config, name, size)
        return paligemma(config=config)

    def narrow_expert(config: Any) -> Any:
        config.vocab_size = 400
        return expert(config=config)

    module.PaliGemmaForConditionalGenerationWithPiGemma, module.PiGemmaForCausalLM = narrow_paligemma, narrow_expert
    widths = {"gemma_2b": (64, 96), "gemma_300m": (32, 48)}
    module.get_gemma_config = lambda variant: module.GemmaConfig(
        width=widths[variant][0], mlp_dim=widths[variant][1], depth=18, num_heads=8, num_kv_heads=1, head_dim=256
    )
    settings = {"paligemma_variant": "gemma_2b", "action_expert_variant": "gemma_300m", "image_resolution": (56, 56)}
    settings |= {"dtype": "float32", "freeze_vision_encoder": False, "train_expert_only": False}
    settings |= {"compile_model": False, "num_inference_steps": 10, "rtc_config": None}
    return getattr(module, f"{family.upper()}Pytorch")(types.SimpleNamespace(**settings, **SIZES, **TIMES))


def lerobots_smolvla(load: Callable[[str], Any], folder: Path) -> Any:
    """lerobot's VLAFlowMatching: four layers of four heads of 64."""
    text = {"model_type": "llama", "hidden_size": 256, "num_hidden_layers": 6, "num_attention_heads": 4}
    text |= {"num_key_value_heads": 2, "head_dim": 64, "intermediate_size": 300, "vocab_size": 400}
    vision = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 1, "intermediate_size": 96}
    vision |= {"patch_size": 8, "image_size": 64}
    config = transformers.SmolVLMConfig(text_config=text | {"rms_norm_eps": 1e-5}, vision_config=vision, scale_factor=4)
    config.save_pretrained(folder / "vlm")
    layer: Any = transformers.cache_utils.DynamicLayer  # newer transformers takes negative numbers only
    crop = layer.crop
    layer.crop = lambda self, length: crop(self, min(length - self.get_seq_length(), 0) if length > 0 else length)
    tokenizer = types.SimpleNamespace(fake_image_token_id=1, global_image_token_id=2)
    processor = types.SimpleNamespace(from_pretrained=lambda *_, **__: types.SimpleNamespace(tokenizer=tokenizer))
    load("smolvla.smolvlm_with_expert").AutoProcessor = processor
    settings = {"vlm_model_name": str(folder / "vlm"), "freeze_vision_encoder": True, "train_expert_only": False}
    settings |= {"load_vlm_weights": False, "attention_mode": "cross_attn", "num_expert_layers": -1}
    settings |= {"num_vlm_layers": 4, "self_attn_every_n_layers": 2, "expert_width_multiplier": 0.75, "device": "cpu"}
    settings |= {"add_image_special_tokens": False, "num_steps": 10, "use_cache": True, "prefix_length": -1}
    settings |= {"train_state_proj": True, "rtc_config": None, "compile_model": False}
    return load("smolvla.modeling_smolvla").VLAFlowMatching(types.SimpleNamespace(**settings, **SIZES, **TIMES))


def compare(family: str, theirs: Any, folder: Path, side: int) -> bool:
    """Save lerobot's module under its names, load it here, and compare; prints one line."""
    theirs = theirs.eval()
    theirs._rtc_enabled = lambda: False
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if parameter.ndim == 2 and "embed" not in name and "lm_head" not in name:
                parameter.normal_(std=parameter.shape[1] ** -0.5, generator=generator)
    names = {f"model.{name}": tensor.contiguous().clone() for name, tensor in theirs.state_dict().items()}
    save_file(names, folder / "model.safetensors")
    of_pi, words = family.startswith("pi"), 200 if family == "pi05" else 48
    config: dict[str, Any] = {"type": family, **SIZES, "tokenizer_max_length": words}
    if of_pi:
        config["input_features"] = {f"observation.images.{slot}": {"type": "VISUAL"} for slot in SLOTS}
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer = train_tokenizer(INSTRUCTIONS * 5, vocab_size=300)
    tokenizer.save_pretrained(folder)
    plain = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<bos>", "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(plain))
    (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text().replace("<image>", "<unused>"))
    zero, one = np.zeros(7, np.float32), np.ones(7, np.float32)
    ours = load_policy(folder, statistics=Statistics(zero, one, zero, one), device="cpu")

    rng = np.random.default_rng(0)
    cameras = {name: rng.integers(0, 256, (2, side, side, 3), dtype=np.uint8) for name in ("exterior", "wrist")}
    rows = Observation(cameras, rng.standard_normal((2, 7), dtype=np.float32), INSTRUCTIONS)
    noise = rng.standard_normal((2, 50, 32), dtype=np.float32)
    chunk = rng.standard_normal((2, 50, 7), dtype=np.float32)
    time = torch.tensor([0.3, 0.8])
    pictures = [torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1 for images in cameras.values()]
    seen = [torch.ones(2, dtype=torch.bool)] * 2
    if of_pi:  # the third camera, black and masked
        pictures, seen = [*pictures, -torch.ones_like(pictures[0])], [*seen, torch.zeros(2, dtype=torch.bool)]
    start = "<bos>" if of_pi else ""
    texts = [f"{start}{text}\n" for text in INSTRUCTIONS]
    if family == "pi05":  # lerobot's Pi05PrepareStateTokenizerProcessorStep
        bins = np.digitize(rows.state, bins=np.linspace(-1, 1, 256 + 1)[:-1]) - 1
        states = [" ".join(map(str, row)) for row in bins]
        texts = [
            f"<bos>Task: {text}, State: {state};\nAction: " for text, state in zip(INSTRUCTIONS, states, strict=True)
        ]
    ids = tokenizer(texts, padding="max_length", max_length=words, padding_side="right", return_tensors="pt")
    padded = [torch.nn.functional.pad(torch.from_numpy(v), (0, 25)) for v in (rows.state, chunk)]
    given = [pictures, seen, ids["input_ids"], ids["attention_mask"].bool()]
    given += [] if family == "pi05" else [padded[0]]
    with torch.no_grad():
        expected = theirs.sample_actions(*given, noise=torch.from_numpy(noise))[..., :7].numpy()
        their_loss = theirs(*given, padded[1], torch.from_numpy(noise), time).mean().item()
        our_loss = ours.flow_loss(ours.prepare(rows, chunk), torch.from_numpy(noise)[:, None], time[:, None]).item()
    difference, largest = np.abs(ours.act(rows, noise) - expected).max(), np.abs(expected).max()
    print(f"{family:8} actions differ by {difference:.1e} of {largest:.1f}; losses {our_loss:.6f} and {their_loss:.6f}")
    return bool(difference < TOLERANCE * largest and abs(our_loss - their_loss) < TOLERANCE * their_loss)


def main() -> int:
    """Compare the three families."""
    load = lerobot_modules(Path(sys.argv[1]))
    load("common.flow_matching")
    load("common.vla_utils")
    torch.manual_seed(0)
    agree = []
    for family, side in (("pi0", 56), ("pi05", 56), ("smolvla", 64)):
        with tempfile.TemporaryDirectory() as place:
            theirs = lerobots_smolvla(load, Path(place)) if family == "smolvla" else lerobots_pi(load, family)
            agree.append(compare(family, theirs, Path(place), side))
    return 0 if all(agree) else 1


if __name__ == "__main__":
    sys.exit(main())
