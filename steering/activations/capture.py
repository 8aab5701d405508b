"""Capture every head's output over demonstrations: both stacks in one pass, at one named token per stack.

Which tokens have names: `steering.models.tokens`. The prefix passes through the VLM once a frame; the expert runs at
fixed flow-matching times from noise that is the same for every frame, and where several times or draws of noise are
asked for, the mean over all of them is kept. No demonstrated action enters: below t = 1 the policy's own denoising
leads to the noisy actions. Only the named tokens leave the hooks, so memory is that of the policy's own pass and the
result (16 kB a frame). Cost on the embedded policy: that of the passes, see `tests/benchmarks/bench_capture.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from steering.errors import InputError
from steering.models.hooks import head_outputs
from steering.models.policy import SteerablePolicy
from steering.models.preprocessing import action_chunks, observe
from steering.models.sites import inert_mask
from steering.models.tokens import expert_tokens, vlm_tokens
from steering.progress import Progress
from steering.types import STACKS, Activations, Demonstrations


def capture(
    policy: SteerablePolicy,
    demonstrations: Demonstrations,
    *,
    vlm_token: str = "last_prefix",
    expert_token: str = "first_action",
    timestep: float | Sequence[float] = 1.0,
    seed: int = 0,
    samples: int = 1,
    stride: int = 1,
    frames: Sequence[np.ndarray] | None = None,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> Activations:
    """Head outputs of chosen frames.

    `timestep`: flow-matching time in (0, 1] of the expert's pass, 1 = pure noise, or several to average over.
    `samples`: how many draws of noise to average over, of the seeds `seed`, `seed + 1`, … `frames`: int frame indices
    per episode (keyframes, say); without them every `stride`-th frame. Raises NotFound for an unknown token,
    InputError for a word that an instruction lacks.
    """
    progress = progress or Progress()
    times = tuple(float(t) for t in (timestep if isinstance(timestep, Sequence) else (timestep,)))
    if not times or not all(0 < time <= 1 for time in times):
        raise InputError(f"Expected a timestep in (0, 1], 1 being pure noise; got {timestep}. Try 1.0.")
    if samples < 1:
        raise InputError(f"Expected at least 1 draw of noise; got {samples}.")
    episode, frame = chosen_frames(demonstrations, stride, frames)
    noises = [_noise(policy, seed + sample) for sample in range(samples)]
    shape = policy.head_shape
    outputs = np.empty((len(frame), len(STACKS), shape.layers, shape.heads, shape.head_dim), np.float32)
    images = []
    for start in range(0, len(frame), batch_size):
        rows = slice(start, start + batch_size)
        progress.report(start / len(frame), f"Head outputs: frame {start} of {len(frame)}")
        outputs[rows], image = _batch_outputs(
            policy, demonstrations, episode[rows], frame[rows], noises, times, (vlm_token, expert_token)
        )
        images.append(image)
    progress.report(1.0, f"Head outputs of {len(frame)} frames")
    chunks = [action_chunks(e.action, policy.chunk_size, absolute=e.absolute_actions) for e in demonstrations.episodes]
    lengths = np.array([e.frames for e in demonstrations.episodes])
    pairs = list(zip(episode, frame, strict=True))
    return Activations(
        outputs=outputs,
        episode=episode,
        frame=frame,
        action=np.stack([demonstrations.episodes[e].action[f] for e, f in pairs]).astype(np.float32),
        chunk=np.stack([chunks[e][f] for e, f in pairs]),
        state=np.stack([demonstrations.episodes[e].state[f] for e, f in pairs]).astype(np.float32),
        time_in_episode=(frame / np.maximum(lengths[episode] - 1, 1)).astype(np.float32),
        tokens=(vlm_token, expert_token),
        timestep=times[0],
        seed=seed,
        inert=inert_mask(shape),
        image=np.concatenate(images),
        timesteps=times,
        samples=samples,
    )


def chosen_frames(
    demonstrations: Demonstrations, stride: int = 1, frames: Sequence[np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Episode and frame index (int32) of every chosen frame, in order."""
    if not demonstrations.episodes:
        raise InputError("Expected at least one episode; the demonstrations hold none. Record or open some first.")
    if stride < 1:
        raise InputError(f"Expected a stride of at least 1 frame; got {stride}.")
    if frames is None:
        frames = [np.arange(0, e.frames, stride) for e in demonstrations.episodes]
    if len(frames) != len(demonstrations.episodes):
        raise InputError(
            f"Expected frame indices for each of {len(demonstrations.episodes)} episodes; got {len(frames)} lists."
        )
    episode = np.repeat(np.arange(len(frames)), [len(f) for f in frames]).astype(np.int32)
    return episode, np.concatenate(frames).astype(np.int32)


def _noise(policy: SteerablePolicy, seed: int) -> torch.Tensor:
    """The noise of a seed, the same for every frame: [1, step, noise_dim]."""
    noise = np.random.default_rng(seed).standard_normal((1, policy.chunk_size, policy.noise_dim), np.float32)
    return torch.from_numpy(noise).to(policy.device)


def _batch_outputs(
    policy: SteerablePolicy,
    demonstrations: Demonstrations,
    episode: np.ndarray,
    frame: np.ndarray,
    noises: Sequence[torch.Tensor],
    times: Sequence[float],
    tokens: tuple[str, str],
) -> tuple[np.ndarray, np.ndarray]:
    """Of one batch, head outputs float32 [frame, stack, layer, head, dim] and image embeddings float32 [frame, dim].

    The embedding is that of the vision tower as the VLM sees it, the mean over patches of each camera.
    """
    observation, rows = observe(demonstrations, episode, frame), len(frame)
    with torch.inference_mode():
        batch = policy.prepare(observation)
        batch["inputs_embeds"] = policy.embed(batch)
        cameras, patches = len(observation.cameras), policy.preprocessor.tokens_per_image
        image = batch["inputs_embeds"][:, : cameras * patches].unflatten(1, (cameras, patches)).mean(2).flatten(1)
        vlm = vlm_tokens(policy, tokens[0], batch, observation.instruction, cameras)
        expert = expert_tokens(policy, tokens[1], rows)
        with head_outputs(policy.model, {"vlm": vlm.read}) as captured:
            cache = policy.prefix(batch)
        read = [_stacked(policy, "vlm", captured)]
        passes = []
        for time in times:
            for noise in noises:
                noisy = policy.denoise(batch, cache, noise.expand(rows, -1, -1), end=time)
                with head_outputs(policy.model, {"expert": expert.read}) as captured:
                    policy.velocity(batch, cache, noisy, torch.full((rows,), time, device=policy.device))
                passes.append(_stacked(policy, "expert", captured))
        read.append(torch.stack(passes).mean(0))
    return torch.stack(read, dim=1).cpu().numpy(), image.float().cpu().numpy()


def _stacked(policy: SteerablePolicy, stack: str, captured: dict[tuple[str, int], torch.Tensor]) -> torch.Tensor:
    """Of all layers of a stack: float32 [frame, layer, head, dim]."""
    return torch.stack([captured[stack, layer] for layer in range(policy.head_shape.layers)], dim=1).float()
