"""From observations and demonstrations to a π0's tensors and back, without torchvision.

The prompt is the one that transformers' PI0Processor builds ("<image>" per image token, "<bos>", instruction,
newline), padded on the right; state and actions are normalised by the mean and standard deviation in the policy's
`processor_config.json` and padded with zeros. Images are reduced by area averaging and scaled to [-1, 1].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from steering.errors import InputError
from steering.types import CAMERAS, Demonstrations, Observation

PAD_MULTIPLE = 8
SMALLEST_STD = 1e-2


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of every state and action dimension: float32 [dim], in the data's units."""

    state_mean: np.ndarray
    state_std: np.ndarray
    actions_mean: np.ndarray
    actions_std: np.ndarray


def dataset_statistics(demonstrations: Demonstrations) -> Statistics:
    """Statistics over all frames. Standard deviations are at least `SMALLEST_STD`, for dimensions that never move."""
    state = np.concatenate([e.state for e in demonstrations.episodes]).astype(np.float64)
    action = np.concatenate([e.action for e in demonstrations.episodes]).astype(np.float64)
    moments = (state.mean(0), state.std(0), action.mean(0), action.std(0))
    moments = (moments[0], moments[1].clip(SMALLEST_STD), moments[2], moments[3].clip(SMALLEST_STD))
    return Statistics(*(m.astype(np.float32) for m in moments))


def action_chunks(action: np.ndarray, chunk: int) -> np.ndarray:
    """The actions [t, t + chunk) of every frame t of one episode: float32 [frame, step, dim].

    Past the end the arm rests: zero motion in every dimension but the last, the gripper, which keeps its value.
    """
    rest = np.zeros((chunk - 1, action.shape[1]), np.float32)
    rest[:, -1] = action[-1, -1]
    padded = np.concatenate([action.astype(np.float32), rest])
    return np.lib.stride_tricks.sliding_window_view(padded, chunk, axis=0).transpose(0, 2, 1).copy()


def observe(demonstrations: Demonstrations, episode: np.ndarray, frame: np.ndarray) -> Observation:
    """The observation of chosen frames: `episode`, `frame` are int [batch] indices into `demonstrations`."""
    rows = [(demonstrations.episodes[e], f) for e, f in zip(episode, frame, strict=True)]
    return Observation(
        cameras={name: np.stack([e.cameras[name][f] for e, f in rows]) for name in rows[0][0].cameras},
        state=np.stack([e.state[f] for e, f in rows]),
        instruction=tuple(e.instruction for e, _ in rows),
    )


def ordered_cameras(cameras: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Camera images in the order a policy sees them: CAMERAS first, then others as they come."""
    names = [name for name in CAMERAS if name in cameras]
    return [cameras[name] for name in names + [name for name in cameras if name not in CAMERAS]]


def area_weights(before: int, after: int) -> torch.Tensor:
    """Weights of exact area averaging along one axis, float32 [after, before]: each row sums to 1."""
    edges = torch.arange(after + 1) * before / after
    left, right = edges[:-1, None], edges[1:, None]
    pixel = torch.arange(before)
    overlap = (torch.minimum(right, pixel + 1) - torch.maximum(left, pixel)).clamp(min=0)
    return overlap * after / before


@dataclass(frozen=True)
class Preprocessor:
    """Turns observations into the tensors of one policy.

    tokenizer: a transformers tokenizer with `<image>`. image_px: side of the model's square input.
    tokens_per_image: image tokens of one camera. state_dim, action_dim: padded sizes of the model.
    """

    tokenizer: Any
    statistics: Statistics
    image_px: int
    tokens_per_image: int
    state_dim: int
    action_dim: int

    def tokens(self, instructions: Sequence[str], cameras: int) -> dict[str, torch.Tensor]:
        """`input_ids`, `attention_mask`: int64 [batch, token], padded to a multiple of `PAD_MULTIPLE`."""
        image = "<image>" * (self.tokens_per_image * cameras)
        prompts = [f"{image}{self.tokenizer.bos_token}{text}\n" for text in instructions]
        encoded = self.tokenizer(
            prompts,
            padding=True,
            pad_to_multiple_of=PAD_MULTIPLE,
            padding_side="right",
            add_special_tokens=False,
            return_tensors="pt",
        )
        return {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"]}

    def pixels(self, cameras: Sequence[np.ndarray]) -> torch.Tensor:
        """`cameras`: uint8 [batch, height, width, 3] each -> float32 [batch, camera, 3, px, px] in [-1, 1].

        Images that are not square are centred on black, as openpi does.
        """
        return torch.stack([self._camera_pixels(images) for images in cameras], dim=1)

    def _camera_pixels(self, images: np.ndarray) -> torch.Tensor:
        if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
            raise InputError(
                f"Expected camera images as uint8 [batch, height, width, 3], RGB; got {images.dtype} "
                f"{list(images.shape)}. Convert the frames first."
            )
        pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()
        height, width = pixels.shape[-2:]
        if height != width:
            tall, wide = max(width - height, 0), max(height - width, 0)
            pixels = F.pad(pixels, (wide // 2, wide - wide // 2, tall // 2, tall - tall // 2))
        if pixels.shape[-1] != self.image_px:
            weights = area_weights(pixels.shape[-1], self.image_px)
            pixels = weights @ pixels @ weights.T
        return pixels / 127.5 - 1

    def state(self, state: np.ndarray) -> torch.Tensor:
        """Raw state [batch, dim] -> normalised and padded float32 [batch, state_dim]."""
        return _normalise(state, self.statistics.state_mean, self.statistics.state_std, self.state_dim, "state")

    def actions(self, actions: np.ndarray) -> torch.Tensor:
        """Raw actions [..., dim] -> normalised and padded float32 [..., action_dim]."""
        return _normalise(actions, self.statistics.actions_mean, self.statistics.actions_std, self.action_dim, "action")

    def raw_actions(self, actions: torch.Tensor) -> np.ndarray:
        """Normalised padded actions [..., action_dim] -> raw float32 [..., dim], not clipped."""
        mean, std = self.statistics.actions_mean, self.statistics.actions_std
        return actions.float().cpu().numpy()[..., : len(mean)] * (std + 1e-8) + mean


def _normalise(values: np.ndarray, mean: np.ndarray, std: np.ndarray, size: int, what: str) -> torch.Tensor:
    if values.shape[-1] != len(mean):
        raise InputError(
            f"Expected {len(mean)} {what} dimensions, as in the policy's statistics; got {values.shape[-1]}. "
            "Use demonstrations of the same robot, or load the policy with the statistics of these."
        )
    normal = (np.asarray(values, np.float32) - mean) / (std + 1e-8)
    return F.pad(torch.from_numpy(normal.astype(np.float32)), (0, size - normal.shape[-1]))
