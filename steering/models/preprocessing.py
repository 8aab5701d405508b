"""From observations and demonstrations to a π0's tensors and back, without torchvision.

The prompt is the one that transformers' PI0Processor builds ("<image>" per image token, "<bos>", instruction,
newline), padded on the right; state and actions are normalised by the mean and standard deviation in the policy's
`processor_config.json` and padded with zeros. Images are reduced by area averaging (enlarged linearly) and scaled to
[-1, 1]. A policy with named cameras sees them in its own order; those that are missing are left out, which is what
π0's mask does: masked tokens are attended to by none and take no position.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from steering.errors import InputError
from steering.types import CAMERAS, Demonstrations, Episode, Observation

PAD_MULTIPLE = 8
SMALLEST_STD = 1e-2
MEAN_STD = ("MEAN_STD", "MEAN_STD")
QUANTILES = {"MIN_MAX": (0.0, 1.0), "QUANTILES": (0.01, 0.99), "QUANTILE10": (0.1, 0.9)}
"""lerobot's name of a normalisation -> the quantiles that become -1 and 1."""
WRIST_WORDS = ("wrist", "hand", "gripper")
EMPTY_CAMERA = "empty_camera"  # lerobot's name for a slot that is always masked


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of every state and action dimension: float32 [dim], in the data's units."""

    state_mean: np.ndarray
    state_std: np.ndarray
    actions_mean: np.ndarray
    actions_std: np.ndarray

    def without_padding(self, episode: Episode) -> Statistics:
        """Those of the dimensions of an episode, where the rest is padding (openpi pads to 32 before it counts): of
        mean 0 and no spread. Else themselves.
        """
        dims = {"state": episode.state.shape[1], "actions": episode.action.shape[1]}
        cut = dict(vars(self))
        for what, size in dims.items():
            mean, std = cut[f"{what}_mean"], cut[f"{what}_std"]
            if 0 < size < len(mean) and not mean[size:].any() and (std[size:] <= SMALLEST_STD).all():
                cut |= {f"{what}_mean": mean[:size], f"{what}_std": std[:size]}
        return Statistics(**cut) if len(cut["state_mean"]) + len(cut["actions_mean"]) < self._dims else self

    @property
    def _dims(self) -> int:
        return len(self.state_mean) + len(self.actions_mean)

    def fits(self, episode: Episode) -> bool:
        """Whether they have the dimensions of an episode."""
        return (len(self.state_mean), len(self.actions_mean)) == (episode.state.shape[1], episode.action.shape[1])


def dataset_statistics(demonstrations: Demonstrations, modes: tuple[str, str] = MEAN_STD) -> Statistics:
    """Statistics over all frames, of state and action as `modes` say. Scales are at least `SMALLEST_STD`."""
    state = np.concatenate([e.state for e in demonstrations.episodes]).astype(np.float64)
    action = np.concatenate([e.action for e in demonstrations.episodes]).astype(np.float64)
    moments = (*_moments(state, modes[0]), *_moments(action, modes[1]))
    return Statistics(*(m.astype(np.float32) for m in moments))


def _moments(values: np.ndarray, mode: str) -> tuple[np.ndarray, np.ndarray]:
    """Centre and scale [dim] of values [frame, dim]; a dimension that never moves is scaled by `SMALLEST_STD`."""
    if mode == "IDENTITY":
        return np.zeros(values.shape[1]), np.ones(values.shape[1])
    if mode in QUANTILES:
        low, high = np.quantile(values, QUANTILES[mode], axis=0)
        return (low + high) / 2, ((high - low) / 2).clip(SMALLEST_STD)
    return values.mean(0), values.std(0).clip(SMALLEST_STD)


def observe(demonstrations: Demonstrations, episode: np.ndarray, frame: np.ndarray) -> Observation:
    """The observation of chosen frames: `episode`, `frame` are int [batch] indices into `demonstrations`."""
    rows = [(demonstrations.episodes[e], f) for e, f in zip(episode, frame, strict=True)]
    return Observation(
        cameras={name: np.stack([e.cameras[name][f] for e, f in rows]) for name in rows[0][0].cameras},
        state=np.stack([e.state[f] for e, f in rows]),
        instruction=tuple(e.instruction_at(f) for e, f in rows),
    )


def camera_order(cameras: Sequence[str], slots: Sequence[str] = ()) -> list[str]:
    """The names in `cameras` in the order a policy sees them.

    Without `slots`: CAMERAS first, then others as they come. Else as `cameras_by_slot`.
    """
    return list(cameras_by_slot(cameras, slots).values()) if slots else _known_first(cameras)


def _known_first(cameras: Sequence[str]) -> list[str]:
    return [name for name in CAMERAS if name in cameras] + [name for name in cameras if name not in CAMERAS]


def cameras_by_slot(cameras: Sequence[str], slots: Sequence[str]) -> dict[str, str]:
    """The policy's own camera name -> the camera that it sees there, in the order of `slots`.

    A camera of the same name first, then wrist cameras in wrist slots and others in others, then whatever is free.
    Slots without a camera are left out. Raises InputError when there are more cameras than slots.
    """
    ordered = _known_first(cameras)
    usable = [slot for slot in slots if not slot.startswith(EMPTY_CAMERA)]
    if not ordered or len(ordered) > len(usable):
        raise InputError(
            f"Expected 1 to {len(usable)} cameras, for this policy's {', '.join(usable)}; got "
            f"{', '.join(ordered) or 'none'}. Choose the cameras that the policy shall see."
        )
    shown = {slot: slot for slot in usable if slot in ordered}
    for match in (lambda name, slot: of_wrist(name) == of_wrist(slot), lambda name, slot: True):
        for name in ordered:
            if name not in shown.values():
                free = [slot for slot in usable if slot not in shown and match(name, slot)]
                shown |= {free[0]: name} if free else {}
    return {slot: shown[slot] for slot in usable if slot in shown}


def of_wrist(camera: str) -> bool:
    """Whether a camera is one at the gripper, by its name."""
    return any(word in camera.lower() for word in WRIST_WORDS)


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

    tokenizer: a transformers tokenizer. image_px: side of the model's square input. tokens_per_image: image tokens of
    one camera. state_dim, action_dim: padded sizes of the model. cameras: the policy's own camera names in its order,
    empty where it takes any. max_text_tokens: instructions are cut off there, None for no limit. image_token_id: of the
    image tokens, None for the tokenizer's own `<image>`.
    """

    tokenizer: Any
    statistics: Statistics
    image_px: int
    tokens_per_image: int
    state_dim: int
    action_dim: int
    cameras: tuple[str, ...] = ()
    max_text_tokens: int | None = None
    image_token_id: int | None = None
    bar: ClassVar[float] = 0.5
    """Share of the black around a picture that is not square which lies on its left or above it."""

    def seen(self, cameras: Iterable[str]) -> list[str]:
        """Names of cameras in the order the policy sees them; see `camera_order`."""
        return camera_order(tuple(cameras), self.cameras)

    def cameras_in_order(self, cameras: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Camera images in the order the policy sees them."""
        return [cameras[name] for name in self.seen(cameras)]

    def tokens(self, instructions: Sequence[str], cameras: int) -> dict[str, torch.Tensor]:
        """`input_ids`, `attention_mask`: int64 [batch, token], padded to a multiple of `PAD_MULTIPLE`."""
        rows = [self.row(text, cameras) for text in instructions]
        length = -(-max(map(len, rows)) // PAD_MULTIPLE) * PAD_MULTIPLE
        ids = torch.full((len(rows), length), self.tokenizer.pad_token_id or 0)
        mask = torch.zeros_like(ids)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = torch.tensor(row)
            mask[index, : len(row)] = 1
        return {"input_ids": ids, "attention_mask": mask}

    def row(self, instruction: str, cameras: int) -> list[int]:
        """Token ids of one prompt: the images' places, then the text."""
        image = self.image_token_id
        image = self.tokenizer.convert_tokens_to_ids("<image>") if image is None else image
        return [image] * (self.tokens_per_image * cameras) + self.text_tokens(instruction)

    def text_tokens(self, instruction: str) -> list[int]:
        """Token ids of the prompt after the images: "<bos>", instruction, newline, at most `max_text_tokens`."""
        prompt = (self.tokenizer.bos_token or "") + f"{instruction}\n"
        return self.tokenizer(prompt, add_special_tokens=False)["input_ids"][: self.max_text_tokens]

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
        pixels = torch.from_numpy(np.require(images, requirements=["C", "W"])).permute(0, 3, 1, 2).float()
        return self.square_pixels(pixels) / 127.5 - 1

    def square_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """Float [batch, 3, height, width] -> [batch, 3, px, px], the picture centred on black."""
        height, width = pixels.shape[-2:]
        if height != width:
            tall, wide = max(width - height, 0), max(height - width, 0)
            pixels = F.pad(pixels, (wide // 2, wide - wide // 2, tall // 2, tall - tall // 2))
        return pixels if pixels.shape[-1] == self.image_px else _resized(pixels, self.image_px)

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


def _resized(pixels: torch.Tensor, side: int) -> torch.Tensor:
    if pixels.shape[-1] < side:
        return F.interpolate(pixels, (side, side), mode="bilinear", align_corners=False)
    if pixels.shape[-1] % side == 0:
        return F.avg_pool2d(pixels, pixels.shape[-1] // side)
    weights = area_weights(pixels.shape[-1], side)
    return weights @ pixels @ weights.T


def _normalise(values: np.ndarray, mean: np.ndarray, std: np.ndarray, size: int, what: str) -> torch.Tensor:
    if values.shape[-1] != len(mean):
        raise InputError(
            f"Expected {len(mean)} {what} dimensions, as in the policy's statistics; got {values.shape[-1]}. "
            "Use demonstrations of the same robot, or load the policy with the statistics of these."
        )
    if len(mean) > size:
        raise InputError(f"Expected at most {size} {what} dimensions, this policy's; got {len(mean)}. Choose fewer.")
    normal = (np.asarray(values, np.float32) - mean) / (std + 1e-8)
    return F.pad(torch.from_numpy(normal.astype(np.float32)), (0, size - normal.shape[-1]))
