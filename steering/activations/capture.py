"""Capture every head's output over demonstrations: all stacks in one pass, at one named token per stack.

Which tokens have names: `steering.models.tokens`. The prefix passes through the VLM once a frame; the expert runs at
fixed flow-matching times from noise that is the same for every frame, and where several times or draws of noise are
asked for, the mean over all of them is kept. No demonstrated action enters: below t = 1 the policy's own denoising
leads to the noisy actions. Only the named tokens leave the hooks, so memory is that of the policy's own pass and the
result (16 kB a frame). Cost on the embedded policy: that of the passes, see `tests/benchmarks/bench_capture.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from steering.errors import InputError
from steering.models.chunks import demonstrated_chunks
from steering.models.hooks import Site, head_outputs
from steering.models.policy import SteerablePolicy
from steering.models.preprocessing import observe
from steering.models.sites import ACTIONS, PROMPT
from steering.models.tokens import named_tokens, names_of_tokens
from steering.progress import Progress
from steering.types import Activations, Demonstrations, HeadShape

BATCH_SIZE = 32


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
    batch_size: int = BATCH_SIZE,
    progress: Progress | None = None,
) -> Activations:
    """Head outputs of chosen frames.

    `vlm_token`, `expert_token`: read in the stacks that run on the prompt and on the actions. `timestep`: flow-matching
    time in (0, 1] of the expert's pass, 1 = pure noise, or several to average over. `samples`: how many draws of noise
    to average over, of the seeds `seed`, `seed + 1`, … `frames`: int frame indices per episode (keyframes, say);
    without them every `stride`-th frame. Raises NotFound for an unknown token, InputError for a word that an
    instruction lacks.
    """
    progress = progress or Progress()
    times = tuple(float(t) for t in (timestep if isinstance(timestep, Sequence) else (timestep,)))
    if not times or not all(0 < time <= 1 for time in times):
        raise InputError(f"Expected a timestep in (0, 1], 1 being pure noise; got {timestep}. Try 1.0.")
    if samples < 1:
        raise InputError(f"Expected at least 1 draw of noise; got {samples}.")
    episode, frame = chosen_frames(demonstrations, stride, frames)
    noises = [_noise(policy, seed + sample) for sample in range(samples)]
    shape, tokens = policy.head_shape, names_of_tokens(policy, vlm_token, expert_token)
    outputs = np.zeros((len(frame), *shape.grid, shape.head_dim), np.float32)
    images = []
    for start in range(0, len(frame), batch_size):
        rows = slice(start, start + batch_size)
        progress.report(start / len(frame), f"Head outputs: frame {start} of {len(frame)}")
        image = _batch_outputs(policy, demonstrations, episode[rows], frame[rows], noises, times, tokens, outputs[rows])
        images.append(image)
    progress.report(1.0, f"Head outputs of {len(frame)} frames")
    chunks = demonstrated_chunks(demonstrations, policy.chunk_size)
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
        tokens=tokens,
        timestep=times[0],
        seed=seed,
        inert=policy.layout.inert,
        stacks=shape.stacks,
        image=np.concatenate(images),
        timesteps=times,
        samples=samples,
        robot=demonstrations.robot,
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


def joined(parts: Sequence[Activations]) -> Activations:
    """The rows of captures of one policy with one setting, one after the other."""
    rows = ("outputs", "episode", "frame", "action", "chunk", "state", "time_in_episode", "image")
    arrays: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in rows}
    return replace(parts[0], **arrays)


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
    tokens: tuple[str, ...],
    outputs: np.ndarray,
) -> np.ndarray:
    """Writes the head outputs of one batch, float32 [frame, stack, layer, head, dim]; image embeddings [frame, dim].

    The embedding is that of the vision tower as the VLM sees it, the mean over patches of each camera.
    """
    observation, rows = observe(demonstrations, episode, frame), len(frame)
    with torch.inference_mode():
        batch = policy.prepare(observation)
        batch["inputs_embeds"] = policy.embed(batch)
        cameras, patches = len(observation.cameras), policy.preprocessor.tokens_per_image
        image = batch["inputs_embeds"][:, : cameras * patches].unflatten(1, (cameras, patches)).mean(2).flatten(1)
        queries = named_tokens(policy, tokens, batch, observation.instruction, cameras)
        of_prompt, of_actions = (
            {one.stack.name: queries[one.stack.name].read for one in policy.layout.on(sequence)}
            for sequence in (PROMPT, ACTIONS)
        )
        with head_outputs(policy.model, of_prompt) as captured:
            cache = policy.prefix(batch)
        _write(policy.head_shape, of_prompt, [captured], outputs)
        passes = []
        for time in times if of_actions else ():
            for noise in noises:
                noisy = policy.denoise(batch, cache, noise.expand(rows, -1, -1), end=time)
                with head_outputs(policy.model, of_actions) as captured:
                    policy.velocity(batch, cache, noisy, torch.full((rows,), time, device=policy.device))
                passes.append(captured)
        _write(policy.head_shape, of_actions, passes, outputs)
    return image.float().cpu().numpy()


def _write(
    shape: HeadShape, stacks: Collection[str], passes: Sequence[dict[Site, torch.Tensor]], outputs: np.ndarray
) -> None:
    """The mean over passes of each stack's outputs into its cells of float32 [frame, stack, layer, head, dim]."""
    for name in stacks:
        one = shape[name]
        stacked = [torch.stack([captured[name, layer] for layer in range(one.layers)], dim=1) for captured in passes]
        mean = torch.stack([each.float() for each in stacked]).mean(0).cpu().numpy()
        outputs[:, shape.index(name), : one.layers, : one.heads, : one.head_dim] = mean
