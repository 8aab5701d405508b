"""π0 as a Policy: an adapter over transformers' PI0ForConditionalGeneration at any size.

The prefix (images and instruction) passes through the VLM once per observation; its keys and values are then
shared by every denoising step and, in training, by several noise samples. Conventions are the model's own:
noisy = t · noise + (1 − t) · actions, velocity = noise − actions, sampling from t = 1 to 0.
Cost of the embedded policy: see `tests/benchmarks`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

from steering.models.policy import Policy
from steering.models.preprocessing import Preprocessor, ordered_cameras
from steering.models.sites import head_shape
from steering.types import Observation

Batch = dict[str, torch.Tensor]
"""Tensors by the model's own argument names: input_ids, attention_mask, pixel_values, pixel_attention_mask, state,
optionally actions; in place of the pixels, inputs_embeds (the embedded prefix) or what `freeze` gives."""


class PI0Policy(Policy):
    """See `steering.models.policy.Policy`. `model` is a PI0ForConditionalGeneration in evaluation mode."""

    def __init__(self, model: Any, preprocessor: Preprocessor, name: str) -> None:
        self.model = model
        self.preprocessor = preprocessor
        self.name = name
        self.head_shape = head_shape(model.config)
        self.chunk_size = int(model.config.chunk_size)
        self.noise_dim = int(model.config.max_action_dim)
        self.action_dim = len(preprocessor.statistics.actions_mean)
        self.denoising_steps = int(model.config.num_inference_steps)

    @property
    def device(self) -> torch.device:
        """Where the model's parameters are."""
        return next(self.model.parameters()).device

    def prepare(self, observation: Observation, chunk: np.ndarray | None = None) -> Batch:
        """The model's tensors for an observation, and `actions` for raw chunks [batch, step, dim]."""
        cameras = ordered_cameras(observation.cameras)
        batch: Batch = {
            **self.preprocessor.tokens(observation.instruction, len(cameras)),
            "pixel_values": self.preprocessor.pixels(cameras),
            "pixel_attention_mask": torch.ones(len(observation.state), len(cameras), dtype=torch.bool),
            "state": self.preprocessor.state(observation.state),
        }
        if chunk is not None:
            batch["actions"] = self.preprocessor.actions(chunk)
        return {name: tensor.to(self.device) for name, tensor in batch.items()}

    def act(self, observation: Observation, noise: np.ndarray) -> np.ndarray:
        """See `Policy.act`."""
        with torch.inference_mode():
            batch = self.prepare(observation)
            actions = self.denoise(batch, self.prefix(batch), torch.from_numpy(noise).to(self.device))
        return self.preprocessor.raw_actions(actions).clip(-1, 1)

    def embed(self, batch: Batch) -> torch.Tensor:
        """The embedded prefix [batch, token, width]: image features and instruction. Frozen by every finetuning."""
        if "inputs_embeds" in batch:
            return batch["inputs_embeds"]
        return self.model.model.embed_prefix(batch["input_ids"], batch["pixel_values"], batch["pixel_attention_mask"])

    def prefix(self, batch: Batch) -> Any:
        """One pass of the VLM, or of the layers that `freeze` left: the cache that the expert attends to."""
        frozen = batch["prefix_keys"].shape[1] if "prefix_keys" in batch else 0
        if frozen == self.head_shape.layers:
            cache: Any = DynamicCache(config=self.model.config.vlm_config.text_config)
        else:
            with self._vlm_layers(slice(frozen, None)):
                cache = self._vlm_pass(self.embed(batch), batch["attention_mask"])
        for layer in range(frozen):
            cache.update(batch["prefix_keys"][:, layer], batch["prefix_values"][:, layer], layer)
        return cache

    def freeze(self, batch: Batch, layers: int) -> Batch:
        """What the VLM's first `layers` give, for `prefix` to go on from, while their weights do not change.

        inputs_embeds: what enters the next layer. prefix_keys, prefix_values: [batch, layer, key head, token, dim].
        """
        entered: list[torch.Tensor] = []
        with self._vlm_layers(slice(layers)) as language, ExitStack() as hooks:
            hooks.callback(language.norm.register_forward_pre_hook(lambda _, args: entered.append(args[0])).remove)
            cache = self._vlm_pass(self.embed(batch), batch["attention_mask"])
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
        ).past_key_values

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

    def velocity(self, batch: Batch, cache: Any, noisy: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """One pass of the expert: velocity [batch, step, noise_dim] at `timestep` [batch]. The cache is unchanged."""
        length = cache.get_seq_length()
        output = self.model(
            state=batch["state"],
            noise=noisy,
            timestep=timestep,
            attention_mask=batch["attention_mask"],
            past_key_values=cache,
        )
        cache.crop(length - cache.get_seq_length())
        return output.logits

    def denoise(self, batch: Batch, cache: Any, noise: torch.Tensor, end: float = 0.0) -> torch.Tensor:
        """Integrate the velocity from t = 1 to `end`: normalised actions [batch, step, noise_dim] at that time."""
        steps = round((1 - end) * self.denoising_steps)
        actions = noise
        for step in range(steps):
            time = 1 - (1 - end) * step / steps
            timestep = torch.full((len(noise),), time, device=noise.device)
            actions = actions - (1 - end) / steps * self.velocity(batch, cache, actions, timestep)
        return actions

    def flow_loss(self, batch: Batch, noise: torch.Tensor, timestep: torch.Tensor, cache: Any = None) -> torch.Tensor:
        """The flow-matching loss (scalar) with several noise samples per prefix.

        `noise`: [batch, sample, step, noise_dim]; `timestep`: [batch, sample]. The prefix is computed once, unless
        its `cache` is given (it is used up).
        """
        samples = noise.shape[1]
        cache = self.prefix(batch) if cache is None else cache
        cache.batch_repeat_interleave(samples)
        return self.model(
            state=batch["state"].repeat_interleave(samples, 0),
            noise=noise.flatten(0, 1),
            timestep=timestep.flatten(),
            attention_mask=batch["attention_mask"].repeat_interleave(samples, 0),
            past_key_values=cache,
            actions=batch["actions"].repeat_interleave(samples, 0),
        ).loss
