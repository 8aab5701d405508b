"""The policy before any training: tokenizer, sizes, random weights."""

from __future__ import annotations

import math

import torch
from torch import nn
from transformers import PI0ForConditionalGeneration

from steering.models.architecture import SmallPI0, small_pi0_config, train_tokenizer
from steering.models.attention import GROUPED_MATMUL
from steering.models.pi0 import PI0Policy
from steering.models.preprocessing import Preprocessor, Statistics
from steering.simulation.families import instruction_corpus

TOKENS_ADDED_BY_PROCESSOR = 1152
"""PI0Processor adds PaliGemma's location and segmentation tokens to any tokenizer; the embedding has rows for them."""


def initial_policy(sizes: SmallPI0, statistics: Statistics, seed: int = 0) -> PI0Policy:
    """A policy with random weights, drawn from `seed`."""
    torch.manual_seed(seed)
    tokenizer = train_tokenizer(instruction_corpus())
    vocab_size = len(tokenizer) + TOKENS_ADDED_BY_PROCESSOR
    config = small_pi0_config(sizes, vocab_size, tokenizer.get_vocab()["<image>"])
    model = PI0ForConditionalGeneration(config)
    _initialise(model, sizes.layers)
    model.set_attn_implementation(GROUPED_MATMUL)
    preprocessor = Preprocessor(
        tokenizer, statistics, sizes.image_px, sizes.tokens_per_image, sizes.state_dim, sizes.action_dim
    )
    return PI0Policy(model, preprocessor, "untrained")


def _initialise(model: PI0ForConditionalGeneration, layers: int) -> None:
    """Weights of variance 1 / fan-in, the residual branches' outputs smaller by the depth: small widths need it."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            std = 1 / math.sqrt(module.in_features)
            if name.endswith(("o_proj", "down_proj", "out_proj", "fc2")):
                std /= math.sqrt(2 * layers)
            nn.init.normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    embeddings = model.get_input_embeddings()
    assert isinstance(embeddings, nn.Embedding)
    nn.init.normal_(embeddings.weight, std=1 / math.sqrt(embeddings.embedding_dim))
    nn.init.zeros_(model.action_out_proj.weight)
