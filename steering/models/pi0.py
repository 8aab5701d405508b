"""π0: an adapter over transformers' PI0ForConditionalGeneration at any size and precision.

The prefix (images and instruction) passes through the VLM once per observation; its keys and values are then
shared by every denoising step and, in training, by several noise samples. Cost of the embedded policy: see
`tests/benchmarks`; at the published size: `bench_full_size.py` there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from transformers import DynamicCache

from steering.models.flow import Batch as Batch
from steering.models.flow import FlowPolicy


class PaliGemmaPolicy(FlowPolicy):
    """What policies on PaliGemma share: how the prompt is read. See `steering.models.policy.SteerablePolicy`.

    Batches hold the model's own argument names: input_ids, attention_mask, pixel_values, pixel_attention_mask, state,
    optionally actions; in place of the pixels, inputs_embeds (the embedded prefix) or what `freeze` gives.
    """

    def embed(self, batch: Batch) -> torch.Tensor:
        """The embedded prefix [batch, token, width]: image features and instruction. Frozen by every finetuning."""
        if "inputs_embeds" in batch:
            return batch["inputs_embeds"]
        return self.model.model.embed_prefix(batch["input_ids"], batch["pixel_values"], batch["pixel_attention_mask"])

    def prefix(self, batch: Batch) -> Any:
        """One pass of the VLM, or of the layers that `freeze` left: the cache that the expert attends to."""
        return self.read(batch)[1]

    def read(self, batch: Batch) -> tuple[torch.Tensor, Any]:
        """Last hidden states of the prompt [batch, token, width], and the cache of every layer's keys and values."""
        frozen = batch["prefix_keys"].shape[1] if "prefix_keys" in batch else 0
        if frozen == self.head_shape["vlm"].layers:
            cache: Any = DynamicCache(config=self.model.config.vlm_config.text_config)
            hidden = self.model.model.vlm.language_model.norm(batch["inputs_embeds"])
        else:
            with self._vlm_layers(slice(frozen, None)):
                output = self._vlm_pass(self.embed(batch), batch["attention_mask"])
            hidden, cache = output.last_hidden_state, output.cache
        for layer in range(frozen):
            cache.update(batch["prefix_keys"][:, layer], batch["prefix_values"][:, layer], layer)
        return hidden, cache

    def freeze(self, batch: Batch, layers: int) -> Batch:
        """What the VLM's first `layers` give, for `prefix` to go on from, while their weights do not change.

        inputs_embeds: what enters the next layer. prefix_keys, prefix_values: [batch, layer, key head, token, dim].
        """
        entered: list[torch.Tensor] = []
        with self._vlm_layers(slice(layers)) as language, ExitStack() as hooks:
            hooks.callback(language.norm.register_forward_pre_hook(lambda _, args: entered.append(args[0])).remove)
            cache = self._vlm_pass(self.embed(batch), batch["attention_mask"]).cache
        return {
            "inputs_embeds": entered[0],
            "prefix_keys": torch.stack([cache.layers[layer].keys for layer in range(layers)], dim=1),
            "prefix_values": torch.stack([cache.layers[layer].values for layer in range(layers)], dim=1),
        }

    def _vlm_pass(self, embeds: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        return self.model.model.vlm(
            inputs_embeds=embeds,
            attention_mask=attention_mask,
            position_ids=attention_mask.cumsum(-1) - 1,
            token_type_ids=torch.zeros_like(embeds)[:, :, 0],
            use_cache=True,
        )

    @contextmanager
    def _vlm_layers(self, part: slice) -> Iterator[Any]:
        """The VLM's language model with some of its layers while the context is open."""
        language = self.model.model.vlm.language_model
        layers = language.layers
        language.layers = layers[part]
        try:
            yield language
        finally:
            language.layers = layers


class PI0Policy(PaliGemmaPolicy):
    """See `steering.models.policy.SteerablePolicy`."""

    expert_tokens = {"state": 0, "first_action": 1}

    def velocity(self, batch: Batch, cache: Any, noisy: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """One pass of the expert: velocity [batch, step, noise_dim] at `timestep` [batch]. The cache is unchanged."""
        length = cache.get_seq_length()
        output = self.model(
            state=batch["state"].to(self.dtype),
            noise=noisy.to(self.dtype),
            timestep=timestep,
            attention_mask=batch["attention_mask"],
            cache=cache,
        )
        cache.crop(length - cache.get_seq_length())
        return output.logits.float()
