"""Build a small π0: the published architecture (transformers' PI0ForConditionalGeneration) at a size that a CPU trains.

The defaults are the embedded policy: 96-px images in patches of 16, two cameras, 8 layers × 8 heads in both
stacks with one shared key/value head (multi-query attention, as in π0), 4 million parameters.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PI0Config, PreTrainedTokenizerFast

SPECIAL_TOKENS = ("<pad>", "<eos>", "<bos>", "<unk>", "<image>")


@dataclass(frozen=True)
class SmallPI0:
    """Sizes of a small π0. `chunk` is in control steps; the other sizes are the usual transformer ones."""

    image_px: int = 96
    patch_px: int = 16
    width: int = 128
    layers: int = 8
    heads: int = 8
    head_dim: int = 32
    mlp: int = 256
    expert_width: int = 128
    expert_mlp: int = 256
    vision_width: int = 128
    vision_layers: int = 4
    vision_heads: int = 4
    vision_mlp: int = 384
    chunk: int = 10
    state_dim: int = 8
    action_dim: int = 8
    denoising_steps: int = 5

    @property
    def tokens_per_image(self) -> int:
        """Image tokens of one camera."""
        return (self.image_px // self.patch_px) ** 2


def train_tokenizer(corpus: Iterable[str], vocab_size: int = 512) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer over `corpus`: words of the corpus become single tokens, others fall back to bytes."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        bos_token="<bos>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>"},
        padding_side="right",
    )


def small_pi0_config(sizes: SmallPI0, vocab_size: int, image_token_id: int) -> PI0Config:
    """The π0 configuration of `sizes`. `vocab_size` counts every token of the tokenizer the processor uses."""
    text = {
        "model_type": "gemma",
        "hidden_size": sizes.width,
        "num_hidden_layers": sizes.layers,
        "intermediate_size": sizes.mlp,
        "num_attention_heads": sizes.heads,
        "num_key_value_heads": 1,
        "head_dim": sizes.head_dim,
        "vocab_size": vocab_size,
        "max_position_embeddings": 512,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": 2,
    }
    vision = {
        "model_type": "siglip_vision_model",
        "hidden_size": sizes.vision_width,
        "intermediate_size": sizes.vision_mlp,
        "num_hidden_layers": sizes.vision_layers,
        "num_attention_heads": sizes.vision_heads,
        "image_size": sizes.image_px,
        "patch_size": sizes.patch_px,
        "vision_use_head": False,
    }
    return PI0Config(
        vlm_config={
            "model_type": "paligemma",
            "text_config": text,
            "vision_config": vision,
            "projection_dim": sizes.width,
            "image_token_id": image_token_id,
        },
        dit_config={
            "model_type": "gemma",
            "hidden_size": sizes.expert_width,
            "num_hidden_layers": sizes.layers,
            "intermediate_size": sizes.expert_mlp,
            "num_attention_heads": sizes.heads,
            "num_key_value_heads": 1,
            "head_dim": sizes.head_dim,
            "max_position_embeddings": 512,
        },
        chunk_size=sizes.chunk,
        max_state_dim=sizes.state_dim,
        max_action_dim=sizes.action_dim,
        num_inference_steps=sizes.denoising_steps,
    )
