"""The frozen dataclasses that cross the stages' boundaries, and the glossary of axis names.

Axis glossary, always in this order when several appear:

    episode  one demonstration or rollout
    frame    one control step within an episode (or within a flattened set of episodes)
    k        the number of neighbours of a k-NN score
    stack    0 = VLM (PaliGemma's language model), 1 = action expert
    layer    decoder layer within a stack, 0 = nearest to the input
    head     query head within a layer
    camera   in the order of CAMERAS
    patch    image patch, row-major
    step     position within an action chunk
    dim      feature: head output, state or action component

Units stand in names (`_s`, `_m`, `_rad`, `_px`, `_hz`). Arrays are NumPy; nothing here imports torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

STACKS = ("vlm", "expert")
STACK_LABELS = {"vlm": "VLM", "expert": "action expert"}
CAMERAS = ("exterior", "wrist")
STATE_NAMES = ("joint_1", "joint_2", "joint_3", "joint_4", "joint_5", "joint_6", "joint_7", "gripper_opening")
ACTION_NAMES = ("delta_x", "delta_y", "delta_z", "delta_roll", "delta_pitch", "delta_yaw", "gripper")
PHASES = ("approach", "grasp", "transport", "release")
PAPER_SET_SIZE = 20  # heads in a set of the paper; `Relevance.best_k` and `cv_mse` are of sets of this size


@dataclass(frozen=True, order=True)
class Head:
    """One attention head: `stack` is one of STACKS, `layer` and `head` count from 0."""

    stack: str
    layer: int
    head: int

    def label(self) -> str:
        """Short name for people, e.g. `VLM 3.5` for layer 3, head 5."""
        return f"{STACK_LABELS[self.stack]} {self.layer}.{self.head}"


@dataclass(frozen=True)
class HeadShape:
    """Number of heads of a policy; both stacks share it (π0 joins their attention layer by layer)."""

    layers: int
    heads: int
    head_dim: int

    def all_heads(self, stacks: Sequence[str] = STACKS) -> tuple[Head, ...]:
        """Every head of `stacks`, in the order stack, layer, head."""
        return tuple(Head(s, la, h) for s in stacks for la in range(self.layers) for h in range(self.heads))


@dataclass(frozen=True)
class Observation:
    """What a policy sees, batched.

    cameras: name -> uint8 [batch, height, width, 3], RGB. state: float32 [batch, dim] (STATE_NAMES; rad and
    opening in 0..1). instruction: one string per batch row.
    """

    cameras: Mapping[str, np.ndarray]
    state: np.ndarray
    instruction: tuple[str, ...]


@dataclass(frozen=True)
class Episode:
    """One demonstration or recorded rollout.

    cameras: name -> uint8 [frame, height, width, 3], RGB. state: float32 [frame, dim] (STATE_NAMES).
    action: float32 [frame, dim] in [-1, 1] (ACTION_NAMES), the command given at that frame.
    phase: int8 [frame] index into PHASES, or None where unknown. success: None where unknown.
    seed: the simulator's seed, None for outside recordings.
    ground_truth: name -> float32 [frame, ...], simulator only (object positions in metres, base frame).
    """

    name: str
    instruction: str
    rate_hz: float
    cameras: Mapping[str, np.ndarray]
    state: np.ndarray
    action: np.ndarray
    phase: np.ndarray | None = None
    success: bool | None = None
    seed: int | None = None
    ground_truth: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.state)


@dataclass(frozen=True)
class Demonstrations:
    """A set of episodes of one task. `task` and `variations` are simulator names, empty for outside recordings."""

    name: str
    task: str
    variations: tuple[str, ...]
    episodes: tuple[Episode, ...]

    def fingerprint(self) -> str:
        """SHA-256 (hex) over every camera, state, action and instruction byte."""
        digest = hashlib.sha256()
        for episode in self.episodes:
            digest.update(episode.instruction.encode())
            for camera in sorted(episode.cameras):
                digest.update(np.ascontiguousarray(episode.cameras[camera]).data)
            digest.update(np.ascontiguousarray(episode.state).data)
            digest.update(np.ascontiguousarray(episode.action).data)
        return digest.hexdigest()


@dataclass(frozen=True)
class Activations:
    """Head outputs (the vector before the output projection) at one token per stack, for chosen frames.

    outputs: float32 [frame, stack, layer, head, dim]. episode, frame: int32 [frame], where each row came from.
    action: float32 [frame, dim], raw demonstrated action. chunk: float32 [frame, step, dim], the following
    actions (past the end: no motion, the last gripper value). state: float32 [frame, dim].
    time_in_episode: float32 [frame], 0..1.
    tokens: (VLM token, expert token) by name. timestep: flow-matching time of the capture (1 = pure noise).
    image: float32 [frame, dim], an embedding of the cameras' images (mean over patches), None where not captured.
    timesteps, samples: of an average over several times (`timestep` is the first) and draws of noise (those of `seed`,
    `seed` + 1, …).
    """

    outputs: np.ndarray
    episode: np.ndarray
    frame: np.ndarray
    action: np.ndarray
    chunk: np.ndarray
    state: np.ndarray
    time_in_episode: np.ndarray
    tokens: tuple[str, str]
    timestep: float
    seed: int
    image: np.ndarray | None = None
    timesteps: tuple[float, ...] = ()
    samples: int = 1

    @property
    def shape(self) -> HeadShape:
        """Layers, heads and head dimension of `outputs`."""
        return HeadShape(*self.outputs.shape[2:])


@dataclass(frozen=True)
class Relevance:
    """A score per head. Higher `score` is always more relevant.

    metric: name of the metric, e.g. `knn`. preset: `paper` or `default`. score: float32 [stack, layer, head].
    error: float32 [k, stack, layer, head], leave-one-episode-out squared error averaged over action dimensions,
    then frames. ks: the values of k. best_k, cv_mse: k of the best set of top heads and its error, per stack.
    baselines: name -> leave-one-episode-out squared error of a predictor that sees no head
    (`mean_action`, `time`, `state`, `state_time`). inert: bool [stack, layer, head], heads that cannot move an
    action. target: what was predicted. Metrics without neighbours have empty `ks` and `best_k` and one row of `error`.

    phase: the frames whose error counts, `whole` or one of PHASES. gain: float32 [stack, layer, head], explained
    variance beyond `state_time`. gripper: float32 [stack, layer, head], the score of the gripper's dimension alone,
    where `score` leaves it out. dimension_r2: float32 [dim, stack, layer, head], explained variance of each dimension
    of the target beyond its mean; dimension_names: their names. fold_k: stack -> the k chosen without each episode, in
    their order; empty where k was chosen in sample. fold_share: float32 [stack, layer, head], share of those folds
    whose set of best heads holds the head; then `cv_mse` is the error of episodes that took no part in the choice.

    Metrics that run the policy (`steering.metrics`) predict no target: `preset` is `policy`, `error` has no row,
    `baselines` hold what the score is measured against (`loss`: the whole policy's flow-matching loss). effects: name
    -> float32 [stack, layer, head], what else they measured, by the names in the metric's registry entry.
    """

    metric: str
    preset: str
    target: str
    score: np.ndarray
    error: np.ndarray
    ks: tuple[int, ...]
    best_k: Mapping[str, int]
    cv_mse: Mapping[str, float]
    baselines: Mapping[str, float]
    inert: np.ndarray
    tokens: tuple[str, str]
    phase: str = "whole"
    gain: np.ndarray | None = None
    gripper: np.ndarray | None = None
    dimension_r2: np.ndarray | None = None
    dimension_names: tuple[str, ...] = ()
    fold_k: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    fold_share: np.ndarray | None = None
    effects: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Neighbours:
    """The nearest frames of every frame, for every head and every baseline that has features: all that k-NN needs.

    order: uint16 (int32 beyond 65 535 frames) [unit, frame, depth], rows of the frames that may predict the frame,
    nearest first. distance: float32 of the same shape, cosine for heads, Euclidean in standard deviations for
    baselines; infinite where no further frame may. grid: (stacks, layers, heads); the first units are the heads in that order, then `baselines` by name.
    episode, frame: int32 [frame], where each row came from.
    """

    order: np.ndarray
    distance: np.ndarray
    grid: tuple[int, int, int]
    baselines: tuple[str, ...]
    episode: np.ndarray
    frame: np.ndarray


@dataclass(frozen=True)
class RankAgreement:
    """Spearman's rank correlation of two scores over the same heads, with a bootstrap interval over heads (95 %)."""

    first: str
    second: str
    heads: int
    rho: float
    low: float
    high: float


@dataclass(frozen=True)
class Trust:
    """How far a relevance can be trusted. Heads first: every array is [stack, layer, head]; NaN for inert heads.

    score_low, score_high, rank_low, rank_high: 95 % intervals over bootstrap replicates of the episodes; rank 1 is the
    best of its stack. chosen_share: share of the replicates in which the head is among the best `set_size` of its
    stack. stability: stack -> (low, S, high), Nogueira's S of those sets with its 95 % interval; 1 = always the same
    set, 0 = as random sets. p: family-wise p-value over all heads by the permutation null; p_head: of the head alone.
    null_max: float32 [permutation], the best head's score where trajectories were permuted between episodes.
    replicates, permutations, set_size, seed: how it was made; permutations are 0 where there is no null.
    """

    score_low: np.ndarray
    score_high: np.ndarray
    rank_low: np.ndarray
    rank_high: np.ndarray
    chosen_share: np.ndarray
    stability: Mapping[str, tuple[float, float, float]]
    p: np.ndarray
    p_head: np.ndarray
    null_max: np.ndarray
    replicates: int
    permutations: int
    set_size: int
    seed: int


@dataclass(frozen=True)
class Attention:
    """Attention weights of every head of one episode, for display.

    image: uint8 [frame, stack, layer, head, camera, patch], 255 = the largest weight over patches of that frame
    and head. mass: float32 [frame, stack, layer, head, group], summing to 1 over TOKEN_GROUPS.
    grid: patches per side.
    """

    image: np.ndarray
    mass: np.ndarray
    grid: int


@dataclass(frozen=True)
class FrameAttention:
    """Attention weights of every head at one frame, from the query tokens `tokens` (VLM, expert) to every token.

    image: float32 [stack, layer, head, camera, patch]. word: float32 [stack, layer, head, word], over `words` of the
    instruction in order. other: float32 [stack, layer, head], the rest of the prompt. state: float32 [stack, layer,
    head]. actions: float32 [stack, layer, head, step]. All of a head sum to 1; the VLM sees neither state nor actions.
    grid: patches per side.
    """

    tokens: tuple[str, str]
    words: tuple[str, ...]
    grid: int
    image: np.ndarray
    word: np.ndarray
    other: np.ndarray
    state: np.ndarray
    actions: np.ndarray


TOKEN_GROUPS = ("exterior", "wrist", "instruction", "state", "actions")


@dataclass(frozen=True)
class Selection:
    """A set of heads and the rule that chose it. `best_k` and `cv_mse` are None for sets chosen by hand."""

    heads: tuple[Head, ...]
    rule: str
    best_k: int | None = None
    cv_mse: float | None = None


@dataclass(frozen=True)
class SetError:
    """Leave-one-episode-out error of a head set, whose outputs are concatenated and scored as one head's.

    errors: at each of `ks`, squared error averaged over the dimensions of the target, then the frames that count; k:
    that of the lowest. score: explained variance at k beyond the baseline `zero` of the relevance that was asked.
    """

    heads: tuple[Head, ...]
    ks: tuple[int, ...]
    errors: tuple[float, ...]
    k: int
    score: float
    zero: str

    @property
    def error(self) -> float:
        """The error at `k`."""
        return self.errors[self.ks.index(self.k)]


@dataclass(frozen=True)
class Overlap:
    """What two head sets share, beside what random sets of their sizes would share.

    names: of the sets. sizes: their numbers of heads. shared: the heads of both. jaccard: shared over union.
    expected, expected_jaccard: means over random sets with as many movable heads in each stack. p: probability that
    random sets share as many or more.
    """

    names: tuple[str, str]
    sizes: tuple[int, int]
    shared: tuple[Head, ...]
    jaccard: float
    expected: float
    expected_jaccard: float
    p: float


@dataclass(frozen=True)
class Why:
    """Why a head predicts what it does at a frame: the frames in which it says similar things, and what was done there.

    episode, frame: of the query. neighbour_episode, neighbour_frame: int32 [k], nearest first, none of the query's own
    episode (of a single episode, none of the frames around it). distance: float32 [k], cosine. weight: float32 [k],
    summing to 1. action: float32 [k, dim], demonstrated there. predicted: float32 [dim], their weighted mean; true:
    float32 [dim]. spread: float32 [dim], standard deviation over all frames. names: of the dimensions.
    """

    head: Head
    episode: int
    frame: int
    neighbour_episode: np.ndarray
    neighbour_frame: np.ndarray
    distance: np.ndarray
    weight: np.ndarray
    action: np.ndarray
    predicted: np.ndarray
    true: np.ndarray
    spread: np.ndarray
    names: tuple[str, ...]


@dataclass(frozen=True)
class Projection:
    """A head's outputs in two dimensions. Near points are near for k-NN: the directions of the outputs are projected.

    points: float32 [frame, 2]. explained: share of the variance along each axis. episode, frame: int32 [frame].
    phase: int8 [frame], index into PHASES.
    """

    head: Head
    points: np.ndarray
    explained: tuple[float, float]
    episode: np.ndarray
    frame: np.ndarray
    phase: np.ndarray


@dataclass(frozen=True)
class RelevanceOverTime:
    """Relevance of every head by time in the episode.

    edges: float32 [bin + 1], 0..1. score: float32 [bin, stack, layer, head], explained variance beyond the baseline
    `zero` over the frames of the bin; NaN where there are none. frames: int32 [bin]. k: of the k-NN.
    """

    edges: np.ndarray
    score: np.ndarray
    frames: np.ndarray
    zero: str
    k: int


@dataclass(frozen=True)
class Replication:
    """How well head choice repeats on other demonstrations: of two disjoint pools, `count` episodes are drawn of each.

    counts: demonstrations in a draw. stability: stack -> float32 [count, 3], Nogueira's S of the two sets of `set_size`
    best heads, 1 = the same set, 0 = as random sets: mean over draws, and the range that holds 95 % of them (NaN for a
    single draw). rho: the same for Spearman's rank correlation of the two score lists. replicates: pairs of draws.
    """

    counts: tuple[int, ...]
    stability: Mapping[str, np.ndarray]
    rho: Mapping[str, np.ndarray]
    set_size: int
    replicates: int


METHODS = ("zero_shot", "steering", "lora", "lora_rank_matched", "dense_heads", "full")
METHOD_LABELS = {
    "zero_shot": "Zero-shot",
    "steering": "Robotic Steering",
    "lora": "LoRA, all heads",
    "lora_rank_matched": "LoRA, rank-matched",
    "dense_heads": "Selected heads, dense",
    "full": "Full finetune",
}
METHODS_OF_HEADS = ("steering", "lora_rank_matched", "dense_heads")  # these need a selection
FFN_CHOICES = ("none", "selected", "all")
PRECISIONS = ("bfloat16", "float32")


@dataclass(frozen=True)
class FinetuneSettings:
    """Settings shared by every finetuning method (openpi names). Learning rate is the peak after warm-up.

    alpha: scales ΔW by alpha / rank. What trains besides the selected heads' q and o: shared_kv, keys and values of
    their layers, which all heads of a layer share; ffn: of no layer, of the `selected` layers, or of `all` layers of
    the stacks that hold selected heads (FFN_CHOICES); projections: state and action projections, whole, under every
    adapter. LoRA on all heads always has keys, values and FFN. noise_samples: of each prefix. accumulation: parts that
    a batch is computed in, to the same gradient with less memory. precision: of autocast (PRECISIONS). evaluations: of
    the held-out error in a run. keep_best: save the weights of the lowest held-out error instead of the last.
    patience: stop after as many evaluations without a lower held-out error.
    """

    steps: int = 300
    batch_size: int = 24
    rank: int = 16
    alpha: float = 16.0
    learning_rate: float = 1e-3
    warmup_steps: int = 20
    noise_samples: int = 4
    seed: int = 0
    shared_kv: bool = False
    ffn: str = "none"
    projections: bool = False
    accumulation: int = 1
    precision: str = "bfloat16"
    evaluations: int = 10
    keep_best: bool = False
    patience: int | None = None


@dataclass(frozen=True)
class FinetuneResult:
    """A trained adapter and how it was made.

    folder: PEFT adapter folder; of `full` a checkpoint's folder. parameters: group -> trainable parameters that are
    not masked, e.g. `q_proj`, `o_proj`, `mlp`. loss: float32 [step]. heldout_step, heldout_error: int32, float32
    [evaluation], mean squared error of predicted action chunks on episodes left out of training, each dimension in
    its standard deviations. train_s: wall seconds of the loop.

    selection: also what a rank-matched LoRA was matched to. rank: of the adapters, None where there are none.
    best_step: the step whose weights are kept, None where that is the last. frozen_layers: the VLM's layers that were
    computed once a frame; cache_mb: memory that what was computed once took. peak_memory_mb: of the process (CPU) or
    of the device. notices: what the user should know of the run, as sentences.
    """

    method: str
    settings: FinetuneSettings
    selection: Selection | None
    folder: Path
    parameters: Mapping[str, int]
    loss: np.ndarray
    heldout_step: np.ndarray
    heldout_error: np.ndarray
    train_s: float
    rank: int | None = None
    best_step: int | None = None
    frozen_layers: int = 0
    cache_mb: float = 0.0
    peak_memory_mb: float = 0.0
    notices: tuple[str, ...] = ()

    @property
    def trainable_parameters(self) -> int:
        """Sum over groups."""
        return sum(self.parameters.values())


INSTRUCTIONS = {
    "original": "as demonstrated",
    "renamed": "another thing named",
    "empty": "no words",
    "rephrased": "other words",
}
"""What a rollout's instruction may be: name -> label."""

FAILURES = {
    "never_reached": "never reached it",
    "wrong_object": "went for another thing",
    "reached_not_grasped": "reached, not grasped",
    "reached_not_moved": "touched, hardly moved",
    "dropped": "picked up, then dropped",
    "missed_target": "missed the target",
    "timed_out": "ran out of time while holding it",
    "near_success": "ran out of time near success",
}
"""Kinds of failure: name -> label."""


@dataclass(frozen=True)
class Rollouts:
    """Rollouts of one method on the scenes `seeds` (the scene of a seed is the same for every method).

    success: bool [episode]. steps: int32 [episode], control steps until success or the limit.
    videos: one H.264 file per recorded episode, in the order of `seeds`, possibly fewer. rate_hz: of the video.
    traces: one JSON file per recorded episode, with paths in metres and in the pictures (steering.rollout.tracing).
    instruction: one of INSTRUCTIONS. instructions: the words of each episode.
    failure: per episode one of FAILURES, empty for a success. distance_m: float32 [episode], left to the goal at the
    end. wrong_object: bool [episode], a thing that the goal does not name was touched. named: int8 [episode], whether
    the goal that a changed instruction names was reached: 1, 0, or -1 where the scene has no such goal.
    Rollouts of older versions have None or () there.
    """

    method: str
    task: str
    variations: tuple[str, ...]
    seeds: tuple[int, ...]
    success: np.ndarray
    steps: np.ndarray
    videos: tuple[Path, ...] = ()
    rate_hz: float = 20.0
    wall_s: float = 0.0
    traces: tuple[Path, ...] = ()
    instruction: str = "original"
    instructions: tuple[str, ...] = ()
    failure: tuple[str, ...] = ()
    distance_m: np.ndarray | None = None
    wrong_object: np.ndarray | None = None
    named: np.ndarray | None = None


@dataclass(frozen=True)
class SuccessRate:
    """Successes of trials with the Wilson score interval (two-sided, 95 %)."""

    method: str
    successes: int
    trials: int
    low: float
    high: float

    @property
    def rate(self) -> float:
        """Successes over trials, 0..1."""
        return self.successes / self.trials


@dataclass(frozen=True)
class PairedTest:
    """Exact McNemar test of two methods on the same scenes; `p_holm` is corrected over all pairs shown."""

    first: str
    second: str
    only_first: int
    only_second: int
    p: float
    p_holm: float


@dataclass(frozen=True)
class Outcomes:
    """What a method's rollouts were like beyond success.

    steps: median control steps of the successes with their quartiles, None without a success.
    distance_left_m: mean over the failures, None without one. wrong_object: episodes in which it was touched.
    failures: kind (FAILURES) -> episodes. named: successes and trials of the goal that a changed instruction names.
    """

    method: str
    steps: tuple[float, float, float] | None
    distance_left_m: float | None
    wrong_object: int
    failures: Mapping[str, int]
    named: tuple[int, int] | None = None


@dataclass(frozen=True)
class Comparison:
    """Several methods on the same task, variations and scenes. `disagreement`: seeds where outcomes differ.

    A method whose instruction was changed is called `method/instruction`, e.g. `steering/empty`. `outcomes` are in the
    order of `rates`, empty for rollouts of older versions.
    """

    task: str
    variations: tuple[str, ...]
    seeds: tuple[int, ...]
    rates: tuple[SuccessRate, ...]
    tests: tuple[PairedTest, ...]
    disagreement: tuple[int, ...]
    outcomes: tuple[Outcomes, ...] = ()


@dataclass(frozen=True)
class OpenLoop:
    """Predicted beside demonstrated action chunks of one method, on episodes that it was not trained on.

    episode, frame: int32 [frame], where each row came from; `episode` counts in the demonstrations. predicted,
    demonstrated: float32 [frame, step, dim], raw actions. valid: bool [frame, step], False past the episode's end.
    spread: float32 [dim], standard deviation of each action over all demonstrations. rate_hz: steps a second.
    """

    method: str
    episode: np.ndarray
    frame: np.ndarray
    predicted: np.ndarray
    demonstrated: np.ndarray
    valid: np.ndarray
    spread: np.ndarray
    action_names: tuple[str, ...]
    rate_hz: float


@dataclass(frozen=True)
class OpenLoopComparison:
    """Action error of several methods on the same held-out frames, with 95 % bootstrap intervals over episodes.

    Errors are squared, in standard deviations of each action dimension squared: 1 is as bad as predicting the mean.
    error, low, high: float32 [method, step, dim]. by_step: float32 [method, step, 3], error, low and high over all
    dimensions. by_dim: float32 [method, dim, 3], over all steps. total: float32 [method, 3].
    difference: float32 [method, 3], total minus that of the first method, paired by episode.
    """

    methods: tuple[str, ...]
    episodes: tuple[int, ...]
    action_names: tuple[str, ...]
    rate_hz: float
    error: np.ndarray
    low: np.ndarray
    high: np.ndarray
    by_step: np.ndarray
    by_dim: np.ndarray
    total: np.ndarray
    difference: np.ndarray
